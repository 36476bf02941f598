#!/usr/bin/env python3
"""The start page and two applications by https in a real, headless Chromium.

    python3 tests/tls_browser.py https://localhost:8443 CA.pem

The browser has a home of its own, in whose NSS database the authority is trusted; so
it needs `certutil` too. Its console must stay clean. A second browser trusts nobody, and
must refuse the page.
"""
import json, os, subprocess, sys, tempfile

from browser_pages import Browser, Page, board, counter, run, until


class Recorder:
    """A WebSocket that keeps the events of the browser."""

    def __init__(self, socket):
        self.socket, self.send, self.events = socket, socket.send, []

    def receive(self):
        text = self.socket.receive()
        message = json.loads(text)
        if "method" in message:
            self.events.append(message)
        return text

    def all(self, method):
        return [event["params"] for event in self.events if event["method"] == method]


def start(home, authority=None):
    """A browser with this home directory, that trusts the authority."""
    os.environ.update(HOME=home, XDG_DATA_HOME=f"{home}/.local/share", XDG_CONFIG_HOME=f"{home}/.config")
    if authority:
        database = f"{home}/.pki/nssdb"
        os.makedirs(database)
        for arguments in ["-N", "--empty-password"], ["-A", "-n", "miod", "-t", "C,,", "-i", authority]:
            subprocess.run(["certutil", "-d", f"sql:{database}", *arguments], check=True)
    browser = Browser(os.path.join(home, "profile"))
    browser.socket = Recorder(browser.socket)
    return browser


def open_page(browser, url):
    page = Page(browser, browser.context())
    for domain in ("Log", "Runtime", "Security", "Network", "Page"):
        page.call(f"{domain}.enable")
    outcome = page.call("Page.navigate", url=url)
    return page, outcome.get("errorText")


def start_page(browser, root):
    """It is secure, everything on it loads, and nothing is written to the console."""
    events = browser.socket
    page, error = open_page(browser, root + "/")
    if error:
        sys.exit(f"error: {error}")
    until(lambda: "<h1" in (page.run("document.documentElement.outerHTML") or "") and page.text(), "the page is shown")
    changes = lambda: page.text() and events.all("Security.visibleSecurityStateChanged")
    states = lambda: [change["visibleSecurityState"] for change in changes()]
    until(lambda: states() and states()[-1]["securityState"] == "secure", "the page is secure", lambda: str(states()))
    protocol = states()[-1]["certificateSecurityState"]["protocol"]
    if protocol != "TLS 1.3" or page.run("window.isSecureContext") is not True:
        sys.exit(f"error: {protocol}")
    waiting = lambda: {event["requestId"] for event in events.all("Network.requestWillBeSent")} - {
        event["requestId"] for event in events.all("Network.loadingFinished") + events.all("Network.loadingFailed")
    }
    until(lambda: page.text() and not waiting(), "everything is loaded", lambda: str(waiting()))
    responses = [event["response"] for event in events.all("Network.responseReceived")]
    is_bad = lambda response: response["status"] >= 400 or not response["url"].startswith(root)
    bad = [response["url"] for response in responses if is_bad(response)]
    bad += events.all("Network.loadingFailed") + events.all("Log.entryAdded")
    bad += events.all("Runtime.consoleAPICalled") + events.all("Runtime.exceptionThrown")
    if bad or len(responses) < 2:
        sys.exit(f"error: {len(responses)} responses, and {bad}")


def unknown_authority(browser, root):
    """Who doesn't trust the authority sees no page."""
    _, error = open_page(browser, root + "/")
    if error != "net::ERR_CERT_AUTHORITY_INVALID":
        sys.exit(f"error: {error}")


def main():
    root, authority = sys.argv[1].rstrip("/"), os.path.abspath(sys.argv[2])
    for trusted, tests in (authority, (start_page, counter, board)), (None, (unknown_authority,)):
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
            run(tests, start(home, trusted), root)


if __name__ == "__main__":
    main()
