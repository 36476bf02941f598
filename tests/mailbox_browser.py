#!/usr/bin/env python3
"""The page of a mailbox in a real, headless Chromium.

    python3 tests/mailbox_browser.py http://127.0.0.1:8025 [--shots DIR] -- COMMAND...

COMMAND sends the message that `tests/mailbox.rs` describes to the mailbox, which is empty. It must appear
without a reload. Its HTML must be shown with its picture, and do nothing else.
"""
import argparse, subprocess, sys, tempfile, urllib.request

import browser_pages
from browser_pages import Browser, Page, until


def frame_of(page):
    """The text in the frame with the HTML. The page itself can't read it: it has a process of its own."""
    for target in page.browser.call("Target.getTargets")["targetInfos"]:
        if target["type"] == "iframe" and target["url"].endswith("/html"):
            frame = object.__new__(Page)
            frame.browser = page.browser
            frame.session = frame.browser.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)["sessionId"]
            return frame.text()
    return ""


def arrival(browser, root, command):
    """A message appears by itself, as it looks after a reload; a narrow window has no horizontal scroll bar."""
    page = Page(browser, browser.context())
    page.go(root + "/")
    page.shows("New messages appear here automatically.")
    page.run("window.stayed = true")
    subprocess.run(command, check=True)
    page.shows("Welcome <b>Ada</b>")
    if not page.run("window.stayed"):
        sys.exit("error: the page was reloaded")
    text = "document.querySelector('#messages article').innerText"
    by_itself = page.run(text)
    page.go(root + "/")
    if "KiB" not in by_itself or page.run(text) != by_itself:
        sys.exit(f"error: a message looks otherwise after a reload: {by_itself!r}, {page.run(text)!r}")
    page.shoot("mailbox-list")
    narrow(page, "mailbox-list-narrow")
    return page


def narrow(page, name):
    page.call("Emulation.setDeviceMetricsOverride", width=320, height=700, deviceScaleFactor=1, mobile=True)
    # The window becomes narrow a little later.
    width = lambda: page.run("document.documentElement.scrollWidth")
    until(lambda: (width() or 900) <= 320, f"{name} is 320 pixels wide", lambda: str(width()))
    page.shoot(name)
    page.call("Emulation.setDeviceMetricsOverride", width=900, height=1000, deviceScaleFactor=1, mobile=False)


def message(browser, root, page):
    """The HTML is shown with its picture; its script doesn't run, and nothing is fetched from elsewhere."""
    page.call("Network.enable")
    page.click("#messages a")
    page.shows("All fields of the header")
    confirm = lambda: next((text for text in [frame_of(page)] if "Please confirm" in text), "")
    shown = until(confirm, "the HTML is shown", lambda: frame_of(page))
    if "script ran" in shown or "hacked" in (page.run("document.title") or ""):
        sys.exit(f"error: the script of the message ran: {shown}")
    for text in ("The text.", "notes.txt", "photo.jpg", "Welcome <b>Ada</b>"):
        page.shows(text)
    page.shoot("mailbox-message")
    narrow(page, "mailbox-message-narrow")
    document = urllib.request.urlopen(root + page.run("document.querySelector('iframe').getAttribute('src')"))
    if b"data:image/jpeg;base64," not in document.read():
        sys.exit("error: the picture isn't in the HTML")
    # On its own the document is a sandbox, too.
    page.go(document.url)
    page.shows("Please confirm")
    if page.run("document.images[0].naturalWidth") in (None, 0):
        sys.exit("error: the picture isn't shown")
    if page.run("document.images[1].naturalWidth") != 0 or "script ran" in page.text():
        sys.exit("error: something from elsewhere is shown")


def deletion(browser, root, page):
    """A message that is deleted in one window disappears from another."""
    page.go(root + "/")
    page.shows("New messages appear here automatically.")
    other = Page(browser, browser.context())
    other.go(root + page.run("new URL(document.querySelector('#messages a').href).pathname"))
    other.shows("Delete this message")
    other.click("form button")
    other.shows("Mailbox")
    until(lambda: "Welcome" not in page.text(), "the deleted message disappears", page.text)
    page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    page.shoot("mailbox-dark")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("root")
    parser.add_argument("--shots", help="write screenshots of the pages to this directory")
    parser.add_argument("command", nargs="+", help="sends the message")
    options = parser.parse_args()
    browser_pages.shots = options.shots
    root = options.root.rstrip("/")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = Browser(profile)
        try:
            page = arrival(browser, root, options.command)
            message(browser, root, page)
            deletion(browser, root, page)
            print("mailbox: passed", flush=True)
        finally:
            browser.end()


if __name__ == "__main__":
    main()
