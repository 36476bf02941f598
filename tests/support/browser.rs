//! A client that keeps its cookie, as a browser does; and a real browser.

use std::io::Read;
use std::path::Path;
use std::process::Command;

use super::{Client, Response, Server, uninterrupted};

/// A browser with one cookie.
pub struct Browser<'a> {
    server: &'a Server,
    pub cookie: Option<String>,
}

impl<'a> Browser<'a> {
    pub fn new(server: &'a Server) -> Self {
        Self { server, cookie: None }
    }

    /// A request with further lines, each with its CRLF, on a connection of its own.
    pub fn exchange(&mut self, line: &str, lines: &str, body: &str) -> Response {
        let cookie = self.cookie.as_ref().map(|cookie| format!("Cookie: {cookie}\r\n")).unwrap_or_default();
        let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        let response = self.server.exchange(format!(
            "{line} HTTP/1.1\r\nHost: localhost\r\n{cookie}{length}{lines}Connection: close\r\n\r\n{body}"
        ));
        if let Some(set) = response.field("set-cookie") {
            self.cookie = Some(set.split(';').next().unwrap().to_owned());
        }
        response
    }

    pub fn get(&mut self, path: &str) -> Response {
        self.exchange(&format!("GET {path}"), "", "")
    }

    pub fn json(&mut self, path: &str) -> Response {
        self.exchange(&format!("GET {path}"), "Accept: application/json\r\n", "")
    }

    /// Sends a form.
    pub fn post(&mut self, path: &str, form: &str) -> Response {
        self.exchange(&format!("POST {path}"), "Content-Type: application/x-www-form-urlencoded\r\n", form)
    }

    /// Sends JSON and accepts JSON.
    pub fn post_json(&mut self, path: &str, json: &str) -> Response {
        let lines = "Content-Type: application/json\r\nAccept: application/json\r\n";
        self.exchange(&format!("POST {path}"), lines, json)
    }
}

/// Receives until the text contains `needle`.
pub fn until(client: &mut Client, needle: &str) -> String {
    let mut seen = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&seen);
        if text.contains(needle) {
            return text.into_owned();
        }
        let mut some = [0; 4096];
        let count =
            uninterrupted(|| client.stream.read(&mut some)).unwrap_or_else(|error| panic!("{error} after {text:?}"));
        assert!(count > 0, "it ends after {text:?}");
        seen.extend_from_slice(&some[..count]);
    }
}

/// Chromium without a window, with a profile in this directory. Further arguments may follow.
pub fn chromium(profile: &Path) -> Command {
    let mut command = Command::new("timeout");
    command
        .args(["60", "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync", "--dump-dom"])
        .arg(format!("--user-data-dir={}", profile.display()));
    command
}

/// Opens a page in Chromium. Returns the document after its scripts have run.
pub fn open(chromium: &mut Command, url: &str) -> String {
    let output = chromium.arg(url).output().unwrap();
    assert!(output.status.success(), "chromium failed: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
