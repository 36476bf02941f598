//! The pages of the laboratory about TLS, in a real browser.

mod support;

use std::process::{Command, Stdio};

use support::site::{Site, certificate};
use support::{Root, miod, run_to_end};

/// A server with these arguments, whose user is alice with the password apple. Returns also the
/// file of the authority that a client must trust.
fn laboratory(arguments: &[&str]) -> (Site, String) {
    let root = Root::new();
    root.file("site/index.html", "hello");
    let certificate = certificate(&root, "tls", &["lab.example", "localhost"]);
    let users = root.at("users").display().to_string();
    let made = run_to_end(miod().args(["passwd", "--cost", "4", &users, "alice"]), b"apple");
    assert_eq!(made.code, Some(0), "{made:?}");
    let arguments = [&["--tls", &certificate.pair, "--users", &users], arguments].concat();
    (Site::over(root, &arguments), certificate.authority)
}

#[test]
fn each_page_links_to_itself_at_the_other_port() {
    let root = Root::new();
    root.file("site/index.html", "hello");
    let site = Site::over(root, &["--tls", "auto", "--apps", "--kv", "127.0.0.1:0"]);
    let http = site.server.address().port();
    let plain = site.server.get("/lab/tls").text();
    assert!(plain.starts_with("Nothing protects this connection."), "{plain}");
    let https = plain.trim_end().rsplit(' ').next().unwrap();
    assert!(https.starts_with("https://localhost:"), "{plain}");
    let secure = run_to_end(miod().args(["get", "-k", https]), b"").text();
    assert!(secure.starts_with("TLS protects this connection.\n\nversion: TLSv1.3\n"), "{secure}");
    assert!(secure.contains("server name (SNI): localhost\nprotocol (ALPN): http/1.1\n"), "{secure}");
    assert!(secure.ends_with(&format!(": http://localhost:{http}/lab/tls\n")), "{secure}");
}

#[test]
fn only_those_who_ask_for_the_laboratory_have_the_bad_login() {
    let (site, _) = laboratory(&["--apps"]);
    assert_eq!(site.server.get("/lab/login-only").status, 200);
    let (site, _) = laboratory(&[]);
    assert_eq!((site.server.get("/login").status, site.server.get("/lab/login-only").status), (200, 404));
}

#[test]
fn guesses_count_at_both_logins() {
    let (site, _) = laboratory(&["--apps"]);
    let guess =
        |arguments: &[&str], path| site.get(&[&["-k", "-i", "-d", "username=alice"], arguments].concat(), path).text();
    for number in 0..5 {
        let wrong = format!("password={number}");
        for path in ["/login", "/lab/login-only"] {
            assert!(guess(&["-d", &wrong], path).starts_with("HTTP/1.1 401 "), "{path}");
        }
    }
    for path in ["/login", "/lab/login-only"] {
        assert!(guess(&["-d", "password=apple"], path).starts_with("HTTP/1.1 429 "), "{path}");
    }
}

#[test]
#[ignore = "needs chromium, certutil, curl and python3"]
fn a_browser_does_what_the_pages_say() {
    let (site, authority) = laboratory(&["--apps"]);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tls_lab.py");
    let mut command = Command::new("timeout");
    command
        .args(["180", "python3", script])
        .args([&site.server.address().port().to_string(), &site.port().to_string()]);
    let output = command.arg(&authority).stdin(Stdio::null()).output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    for test in ["connection", "mixed", "mixed_local", "cookies", "login_only", "whole_session"] {
        assert!(output.status.success() && printed.contains(&format!("{test}: passed\n")), "{printed}");
    }
}
