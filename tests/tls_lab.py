#!/usr/bin/env python3
"""The pages of the laboratory about TLS in a real, headless Chromium.

    python3 tests/tls_lab.py 8080 8443 CA.pem [--shots DIR]

`miod` must be running at these ports for http and https, with its applications, the user
alice with the password apple, and a certificate for localhost and lab.example that the
authority has signed. The browser finds lab.example at this machine: names of the machine
itself have privileges. It trusts the authority, so `certutil` is needed too.
"""
import argparse, os, shlex, subprocess, sys, tempfile

import browser_pages
from browser_pages import Browser, Page, until
from tls_browser import open_page, start


def fail(*what):
    sys.exit("error: " + " ".join(map(str, what)))


def opened(browser, url):
    page, error = open_page(browser, url)
    if error:
        fail(url, error)
    page.shows("Connection ")
    return page


def console(browser):
    return [entry["entry"]["text"] for entry in browser.socket.all("Log.entryAdded")]


def part(page, number):
    """What an image or a script of the page shows: a width in pixels, or a text."""
    script = "(e => e.complete === undefined ? e.textContent : e.complete ? e.naturalWidth : null)"
    return page.run(f"{script}(document.getElementById('part-{number}'))")


def parts(page, expected):
    shown = lambda: [part(page, number + 1) for number in range(len(expected))]
    until(lambda: shown() == expected, f"the parts are {expected}", lambda: f"{shown()}\n{page.text()}")


BLOCKED, HTTP, HTTPS = "It did not run.", "It ran. It came by http.", "It ran. It came by https."


def mixed(browser, http, https):
    """Images are asked for over https, and the script over http is blocked; the console says both."""
    page = opened(browser, f"{https}/lab/mixed")
    # The first image is at the port for http, where nobody speaks https.
    parts(page, [0, 160, BLOCKED, HTTPS])
    for number, words in (1, "automatically upgraded to HTTPS"), (2, "automatically upgraded to HTTPS"), (3, "blocked"):
        address = page.run(f"document.querySelectorAll('td:first-child')[{number - 1}].textContent")
        said = lambda: [text for text in console(browser) if "Mixed Content" in text and address in text]
        until(lambda: any(words in text for text in said()), f"{address}: {words}", lambda: str(console(browser)))
    failed = lambda: [event["errorText"] for event in browser.socket.all("Network.loadingFailed")]
    until(lambda: page.text() and len(failed()) == 2, "two loads fail", lambda: str(failed()))
    # The other port closes the connection. The script isn't even asked for.
    if sorted(failed()) != ["", "net::ERR_CONNECTION_CLOSED"] or any("Policy" in text for text in console(browser)):
        fail(failed(), console(browser))
    page.shoot("mixed-https")
    page.click("main p a[href^='http:']")
    page.shows("came by http, and so do")
    parts(page, [160, HTTP])
    page.shoot("mixed-http")


def mixed_local(browser, http, https):
    """Names of the machine itself count as secure; others are upgraded and blocked there too."""
    local = https.replace("lab.example", "localhost")
    page = opened(browser, f"{local}/lab/mixed")
    parts(page, [160, 0, HTTP, BLOCKED, HTTPS])
    for words in "automatically upgraded to HTTPS", "blocked":
        said = lambda: [text for text in console(browser) if "http://lab.invalid/" in text and words in text]
        until(said, words, lambda: str(console(browser)))
    if any("Security Policy" in text for text in console(browser)):
        fail(console(browser))
    page.shoot("mixed-localhost")
    page.go(f"{local}/lab/mixed/cookies")
    cookies_are(page, "Cookies over https\n", ["no", "no"])
    page.click("#other")
    cookies_are(page, "Cookies over http\n", [by("https"), by("https")])
    page.shows("Chromium")


by = "yes: the visit by {} set it".format


def cookies_are(page, title, expected):
    came = lambda: [page.run(f"document.getElementById('{name}').textContent") for name in ("lab-plain", "lab-secure")]
    until(lambda: title in page.text() and came() == expected, f"{title} {expected}", page.text)


def cookies(browser, http, https):
    """Over http the cookie with Secure neither comes back nor can be set."""
    page = opened(browser, f"{http}/lab/mixed/cookies")
    cookies_are(page, "Cookies over http\n", ["no", "no"])
    page.click("#here")
    cookies_are(page, "Cookies over http\n", [by("http"), "no"])
    page.click("#other")
    cookies_are(page, "Cookies over https\n", [by("http"), "no"])
    page.click("#here")
    cookies_are(page, "Cookies over https\n", [by("https"), by("https")])
    page.shoot("cookies-https")
    page.click("#other")
    cookies_are(page, "Cookies over http\n", [by("https"), "no"])
    page.shoot("cookies-http")
    page.click("#other")
    # What http set without Secure is sent to https; what https set with Secure is unchanged.
    cookies_are(page, "Cookies over https\n", [by("http"), by("https")])


def connection(browser, http, https):
    """The same page over both, with a link from one to the other."""
    page = opened(browser, f"{http}/lab/tls")
    page.shows("Nothing protects this connection.")
    page.shows("GET /lab/tls HTTP/1.1")
    page.shoot("tls-http")
    page.click("main p a")
    page.shows("TLS protects this connection.")
    page.shows("the name of the server, lab.example")
    page.shoot("tls-https")


def log_in(page, password):
    page.type("#username", "" if page.run("document.querySelector('#username').value") else "alice")
    page.type("#password", password)
    page.click("main form button")


def at(page, url):
    until(lambda: page.text() and page.run("location.href") == url, f"the browser is at {url}", page.text)


def cookies_for(page, url):
    """The cookies that the browser would send: name, and whether Secure, HttpOnly; and SameSite."""
    cookies = page.call("Network.getCookies", urls=[url])["cookies"]
    return [(cookie["name"], cookie["secure"], cookie["httpOnly"], cookie.get("sameSite")) for cookie in cookies]


def posted(browser):
    """Where forms were sent to."""
    requests = [event["request"] for event in browser.socket.all("Network.requestWillBeSent")]
    return [request["url"] for request in requests if request["method"] == "POST"]


def login_only(browser, http, https):
    """The password goes by https, the cookie by http too, and whoever has the cookie is the user."""
    place = "/lab/login-only"
    page = opened(browser, http + place)
    page.shoot("login-only-form")
    log_in(page, "pear")
    page.shows("The name or the password is wrong.")
    at(page, https + place)
    log_in(page, "apple")
    page.shows("Hello, alice.")
    at(page, http + place)
    page.shoot("login-only")
    if posted(browser) != [https + place] * 2:
        fail(posted(browser))
    for url in http + place, https + place:
        if cookies_for(page, url) != [("lab-login", False, True, "Lax")]:
            fail(url, cookies_for(page, url))
    # The page says how somebody else uses the cookie.
    command = shlex.split(page.run("document.getElementById('copied').textContent"))
    port = http.rsplit(":")[-1]
    command[1:1] = ["-sS", "--noproxy", "*", "--resolve", f"lab.example:{port}:127.0.0.1"]
    curl = lambda: subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout
    if curl() != "Hello, alice.\n":
        fail(command, curl())
    page.go(https + place)
    page.shows("The example begins by http")
    page.click("#begin")
    page.shows("Hello, alice.")
    page.click("main form button")
    page.shows("Log in by HTTPS")
    at(page, http + place)
    if not curl().startswith("Nobody is logged in.") or cookies_for(page, http + place):
        fail(curl(), cookies_for(page, http + place))


def whole_session(browser, http, https):
    """The cookie of the session is never sent by http."""
    page = opened(browser, f"{http}/login")
    page.shows("everybody on the way can read the password")
    page.go(f"{http}/lab/login-only")
    page.click("#whole")
    page.shows("Enter your name")
    at(page, f"{https}/login")
    log_in(page, "apple")
    page.shows("Hello, alice.")
    at(page, f"{https}/home")
    page.shoot("whole-session")
    if posted(browser) != [f"{https}/login"]:
        fail(posted(browser))
    cookies = cookies_for(page, f"{https}/"), cookies_for(page, f"{http}/")
    if cookies != ([("__Host-sessionId", True, True, "Lax")], []):
        fail(cookies)
    page.go(f"{http}/home")
    at(page, f"{http}/login?next=%2Fhome")
    page.go(f"{https}/home")
    page.shows("Hello, alice.")


TESTS = [connection, mixed, mixed_local, cookies, login_only, whole_session]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("http", type=int)
    parser.add_argument("https", type=int)
    parser.add_argument("authority")
    parser.add_argument("--shots", help="write screenshots of the pages to this directory")
    options = parser.parse_args()
    browser_pages.shots = options.shots
    Browser.flags = ["--host-resolver-rules=MAP lab.example 127.0.0.1"]
    http, https = f"http://lab.example:{options.http}", f"https://lab.example:{options.https}"
    for test in TESTS:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
            browser = start(home, os.path.abspath(options.authority))
            try:
                test(browser, http, https)
                print(f"{test.__name__}: passed", flush=True)
            finally:
                browser.end()


if __name__ == "__main__":
    main()
