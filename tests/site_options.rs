//! Index files, pretty URLs, Cache-Control by name, and the fields of security.

mod support;

use support::{Root, Server, eventually, miod, run_to_end};

fn site() -> Root {
    let root = Root::new();
    root.old_file("index.html", "root").old_file("about.html", "about").old_file("both.html", "page");
    root.old_file("both/index.html", "directory").old_file("plain", "plain").old_file("plain.html", "other");
    root.old_file("old/index.htm", "htm")
        .old_file("empty/x", "x")
        .old_file("assets/a.css", "css")
        .old_file("a.css", "css");
    root
}

#[test]
fn the_first_index_that_is_there_is_shown() {
    let root = site();
    let server = Server::start(&root, &["--index", "index.html", "--index", "index.htm"]);
    for (path, status, expected) in [("/", 200, "root"), ("/old/", 200, "htm"), ("/empty/", 404, ""), ("/old", 301, "")]
    {
        let response = server.get(path);
        assert_eq!(response.status, status, "{path}");
        assert!(expected.is_empty() || response.text() == expected, "{path}");
    }
    // An earlier one that appears, and one that goes away.
    root.file("old/index.html", "html");
    assert!(eventually(|| server.get("/old/").text() == "html"));
    std::fs::remove_file(root.at("old/index.html")).unwrap();
    assert!(eventually(|| server.get("/old/").text() == "htm"));
    std::fs::remove_file(root.at("old/index.htm")).unwrap();
    assert!(eventually(|| server.get("/old/").status == 404));
}

#[test]
fn pages_are_shown_without_their_ending() {
    let root = site();
    let server = Server::start(&root, &["--pretty-urls"]);
    for (path, status, expected) in [
        ("/about", 200, "about"),
        ("/about.html", 200, "about"),
        ("/about/", 404, ""),
        ("/both", 200, "page"),
        ("/both/", 200, "directory"),
        ("/plain", 200, "plain"),
        ("/none", 404, ""),
        ("/old", 404, ""),
    ] {
        for _ in 0..2 {
            let response = server.get(path);
            assert_eq!(response.status, status, "{path}");
            assert!(expected.is_empty() || response.text() == expected, "{path}");
        }
    }
    assert_eq!(server.get("/about").field("Content-Type"), Some("text/html; charset=utf-8"));
    root.file("about.html", "changed");
    assert!(eventually(|| server.get("/about").text() == "changed"));
    root.file("none.html", "new");
    assert!(eventually(|| server.get("/none").text() == "new"));
    root.file("about", "a file");
    assert!(eventually(|| server.get("/about").text() == "a file"));
    assert_eq!(Server::start_with(site(), &[]).get("/about").status, 404, "only if it is asked for");
}

#[test]
fn a_page_with_two_names_is_not_protected_under_one() {
    let root = site();
    let users = root.at(".users").display().to_string();
    root.file(".users", "alice:$2y$04$MLhQcSVSXWZEBa76VTowc.Dn8tyrxSjlY.gu8AkQrojRxxZtcQUQW\n");
    for (arguments, why) in [
        (&["--pretty-urls", "--auth"][..], "/about.html"),
        (&["--pretty-urls", "--auth"], "/about"),
        (&["--index", "index.htm", "--auth"], "/old/index.htm"),
    ] {
        let mut command = miod();
        command.arg("serve").arg(root.path()).args(["-p", "0"]).args(arguments).arg(format!("{why}={users}"));
        let outcome = run_to_end(&mut command, b"");
        assert!(outcome.code == Some(78) && outcome.errors.contains("too: protect "), "{outcome:?}");
    }
}

#[test]
fn cache_control_is_by_name() {
    let rules = ["--cache-control", "max-age=9", "--cache-control", "/assets/**: max-age=31536000, immutable"];
    let server = Server::start_with(site(), &[&rules[..], &["--cache-control", "index.html: no-store"]].concat());
    for (path, expected) in [
        ("/assets/a.css", "max-age=31536000, immutable"),
        ("/a.css", "max-age=9"),
        ("/", "no-store"),
        ("/both/", "no-store"),
    ] {
        assert_eq!(server.get(path).field("Cache-Control"), Some(expected), "{path}");
    }
}

#[test]
fn browsers_are_told_to_be_careful() {
    let server = Server::start_with(site(), &["--security-headers", "--apps"]);
    for path in ["/", "/none", "/lab/hello", "/both"] {
        let response = server.get(path);
        for (name, value) in [
            ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "strict-origin-when-cross-origin"),
            ("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
        ] {
            assert_eq!((response.field(name), response.count(name)), (Some(value), 1), "{path} {name}");
        }
        assert!(response.head.contains("Content-Security-Policy: frame-ancestors 'self'\r\n"), "{path}");
    }
}
