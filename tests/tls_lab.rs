//! The pages of the laboratory about TLS, in a real browser.

mod support;

use std::process::{Command, Stdio};

use support::site::{Site, certificate};
use support::{Root, miod, run_to_end};

/// A server of all applications, whose user is alice with the password apple. Returns also the
/// file of the authority that a client must trust.
fn laboratory() -> (Site, String) {
    let root = Root::new();
    root.file("site/index.html", "hello");
    let certificate = certificate(&root, "tls", &["lab.example", "localhost"]);
    let users = root.at("users").display().to_string();
    let made = run_to_end(miod().args(["passwd", "--cost", "4", &users, "alice"]), b"apple");
    assert_eq!(made.code, Some(0), "{made:?}");
    (Site::over(root, &["--tls", &certificate.pair, "--apps", "--users", &users]), certificate.authority)
}

#[test]
#[ignore = "needs chromium, certutil, curl and python3"]
fn a_browser_does_what_the_pages_say() {
    let (site, authority) = laboratory();
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
