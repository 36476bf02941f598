#!/usr/bin/env python3
"""The applications' pages in a real, headless Chromium, by mouse and keyboard.

    python3 tests/browser_pages.py http://127.0.0.1:8080 [--shots DIR]

Uses the DevTools protocol and only the standard library. `miod` must be running
with its built-in applications. Each browser context has its own cookies, so each
test starts as a new client.
"""
import argparse, base64, json, os, socket, subprocess, sys, tempfile, time, urllib.error, urllib.request

TIMEOUT = 30
shots = None  # the directory for screenshots


class WebSocket:
    """A WebSocket client (RFC 6455) for text messages."""

    def __init__(self, port, path):
        self.sock = socket.create_connection(("127.0.0.1", port), TIMEOUT)
        key = base64.b64encode(os.urandom(16)).decode()
        self.sock.sendall(
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self.exactly(1)
        if b" 101 " not in head:
            sys.exit(f"error: {head!r}")

    def exactly(self, count):
        data = b""
        while len(data) < count:
            part = self.sock.recv(count - len(data))
            if not part:
                sys.exit("error: the browser closed the connection")
            data += part
        return data

    def send(self, text):
        data, mask = text.encode(), os.urandom(4)
        size = len(data)
        head = bytes([0x81]) + (
            bytes([0x80 | size]) if size < 126
            else bytes([0x80 | 126]) + size.to_bytes(2, "big") if size < 65536
            else bytes([0x80 | 127]) + size.to_bytes(8, "big")
        )
        self.sock.sendall(head + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(data)))

    def receive(self):
        text = b""
        while True:
            first, size = self.exactly(2)
            if size >= 126:
                size = int.from_bytes(self.exactly(2 if size == 126 else 8), "big")
            text += self.exactly(size)
            if first & 0x80:
                return text.decode()


class Browser:
    flags = []  # further arguments

    def __init__(self, profile):
        command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
        command += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
        command += self.flags + ["--remote-debugging-port=0", f"--user-data-dir={profile}", "about:blank"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        port_file = os.path.join(profile, "DevToolsActivePort")
        until(lambda: os.path.exists(port_file) and open(port_file).read().count("\n") >= 1, "the browser starts")
        port, path = open(port_file).read().split("\n")[:2]
        self.socket, self.last = WebSocket(int(port), path), 0

    def call(self, method, session=None, **parameters):
        response = self.ask(method, session, **parameters)
        if "error" in response:
            sys.exit(f"error: {method}: {response['error']}")
        return response["result"]

    def ask(self, method, session=None, **parameters):
        self.last += 1
        message = {"id": self.last, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        self.socket.send(json.dumps(message))
        while True:
            response = json.loads(self.socket.receive())
            if response.get("id") == self.last:
                return response

    def context(self):
        """A new context, which shares no cookies with others."""
        return self.call("Target.createBrowserContext")["browserContextId"]

    def end(self):
        self.process.terminate()
        self.process.wait(TIMEOUT)


class Page:
    def __init__(self, browser, context):
        self.browser = browser
        target = browser.call("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        self.session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.call("Emulation.setDeviceMetricsOverride", width=900, height=1000, deviceScaleFactor=1, mobile=False)

    def call(self, method, **parameters):
        return self.browser.call(method, self.session, **parameters)

    def run(self, script):
        response = self.browser.ask("Runtime.evaluate", self.session, expression=script, returnByValue=True)
        # During a navigation there is no page that could run the script.
        outcome = response.get("result", {"exceptionDetails": response.get("error")})
        return outcome["result"].get("value") if "exceptionDetails" not in outcome else None

    def text(self):
        return self.run("document.readyState === 'complete' ? document.body.innerText : ''") or ""

    def shows(self, text):
        until(lambda: text in self.text(), f"{text!r} is shown", lambda: self.text())

    def leave(self, act, what):
        """Returns when another page is loaded: until then a script would run in the old page, or in none."""
        self.run("window.left = true")
        act()
        until(lambda: self.run("!window.left && document.readyState === 'complete'"), what, self.text)

    def go(self, url):
        self.leave(lambda: self.call("Page.navigate", url=url), f"{url} is loaded")

    def click(self, selector):
        """Clicks with the mouse. A covered or invisible element does not receive the click."""
        script = (
            f"(() => {{ const e = document.querySelector({json.dumps(selector)}); if (!e) return null;"
            " e.scrollIntoView({block: 'center', behavior: 'instant'}); "
            # A link on two lines has two rectangles.
            " const b = e.getClientRects()[0];"
            " return [b.x + b.width / 2, b.y + b.height / 2]; })()"
        )
        place = until(lambda: self.run(script), f"{selector} exists", lambda: self.text())
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], button="left", clickCount=1)

    def type(self, selector, text):
        self.click(selector)
        self.call("Input.insertText", text=text)

    def shoot(self, name):
        if shots:
            self.call("Page.enable")
            data = self.call("Page.captureScreenshot", format="png")["data"]
            with open(os.path.join(shots, name + ".png"), "wb") as file:
                file.write(base64.b64decode(data))


def until(condition, what, details=lambda: ""):
    begin = time.monotonic()
    while time.monotonic() - begin < TIMEOUT:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    sys.exit(f"error: timed out waiting until {what}\n{details()}")


def exists(url):
    try:
        return urllib.request.urlopen(url, timeout=TIMEOUT).status == 200
    except urllib.error.HTTPError as error:
        return error.code != 404


def counter(browser, root):
    """Two browsers have separate counts. Reset affects only the browser that sends it."""
    one, other = Page(browser, browser.context()), Page(browser, browser.context())
    for count in (1, 2, 3):
        one.go(f"{root}/counter")
        one.shows(f"Count: {count}")
    other.go(f"{root}/counter")
    other.shows("Count: 1")
    one.shoot("counter")
    one.click("form button")
    one.shows("Count: 1")
    other.go(f"{root}/counter")
    other.shows("Count: 2")


def quiz(browser, root):
    """From the first question to the result, with a step back and a form submitted twice."""
    page = Page(browser, browser.context())
    page.go(f"{root}/quiz")
    page.shows("Question 1 of 12")
    page.click("form button")
    page.shows("Question 1 of 12")  # no choice is selected
    for question in range(1, 13):
        page.shows(f"Question {question} of 12")
        page.click(f"label:nth-of-type({question % 4 + 1}) input")
        if question == 3:
            page.shoot("question")
        if question == 5:
            # Twice, before the browser leaves the page.
            page.run("for (const n of [1, 2]) document.querySelector('form').requestSubmit(document.querySelector('form button'))")
        else:
            page.click("form button")
        if question == 7:
            page.shows("Question 8 of 12")
            # The browser shows the old page or the current question. Neither counts twice.
            page.leave(lambda: page.run("history.back()"), "the browser is back")
            page.shows(" of 12")
            page.go(f"{root}/quiz")
            page.shows("Question 8 of 12")
    page.shows(" of 12 right")
    right = int(page.text().split(" of 12 right")[0].split()[-1])
    tags = page.run("[document.querySelectorAll('.good').length, document.querySelectorAll('.bad').length]")
    if tags != [right, 12 - right]:
        sys.exit(f"error: {right} of 12, and {tags}")
    page.shoot("results")
    page.click("form button")
    page.shows("Question 1 of 12")


def login(browser, root):
    """Home redirects to the login. A wrong password shows an error, the right one leads to home. Then logout."""
    page = Page(browser, browser.context())
    page.go(f"{root}/home")
    for password, then in (("pear", "The name or the password is wrong."), ("apple", "alice")):
        page.type("#username", "" if password == "apple" else "alice")
        page.type("#password", password)
        page.shoot(f"login-{password}")
        page.click("main form button")
        page.shows(then)
    until(lambda: page.run("location.pathname") == "/home", "the browser shows /home", page.text)
    page.shoot("home")
    page.leave(lambda: page.click("main form button"), "the browser has left /home")
    page.go(f"{root}/home")
    until(lambda: page.run("location.pathname") == "/login", "the user is logged out", page.text)


def board(browser, root):
    """Two windows: a post in one appears in the other without a reload, and so does its deletion."""
    one, other = Page(browser, browser.context()), Page(browser, browser.context())
    for page in (one, other):
        page.go(f"{root}/board")
        page.shows("New posts appear here automatically.")
        page.run("window.stayed = true")
    one.type("textarea", "Hello <b>from</b> here & now")
    one.click("form button")
    one.shows("Hello <b>from</b> here & now")
    other.shows("Hello <b>from</b> here & now")
    other.type("textarea", "A draft that no event disturbs")
    one.shows("New posts appear here automatically.")
    one.type("textarea", "And again")
    one.click("form button")
    other.shows("And again")
    order = other.run("[...document.querySelectorAll('.text')].map(e => e.textContent).slice(0, 2).join('|')")
    if order != "And again|Hello <b>from</b> here & now":
        sys.exit(f"error: wrong order: {order}")
    draft = other.run("document.querySelector('textarea').value + window.stayed")
    if draft != "A draft that no event disturbstrue":
        sys.exit(f"error: the page was reloaded: {draft}")
    other.shoot("board")
    one.shows("And again")
    one.click("#posts article .quiet")
    until(lambda: "And again" not in other.text(), "the deleted post disappears", other.text)
    one.shoot("board-own")


def run(tests, browser, root):
    """Runs the tests one after another, and ends the browser."""
    try:
        for test in tests:
            test(browser, root)
            print(f"{test.__name__}: passed", flush=True)
    finally:
        browser.end()


def main():
    global shots
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("root")
    parser.add_argument("--shots", help="write screenshots of the pages to this directory")
    options = parser.parse_args()
    root, shots = options.root.rstrip("/"), options.shots
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        tests = [counter, quiz, login, board]
        if not exists(root + "/login"):
            print("login: not available")
            tests.remove(login)
        run(tests, Browser(profile), root)


if __name__ == "__main__":
    main()
