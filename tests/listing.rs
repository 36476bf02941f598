//! Listings of directories over real connections.

mod support;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixListener;
use std::time::{Duration, UNIX_EPOCH};

use support::{LONG_AGO, Response, Root, Server, get, get_with, head_with};

const JSON: &str = "Accept: application/json\r\n";

fn site() -> Root {
    let root = Root::new();
    for (name, size, age) in [("d/beta", 30, 10), ("d/Alpha", 10, 30), ("d/gamma", 20, 20)] {
        root.file(name, vec![b'x'; size]).set_modified(name, UNIX_EPOCH + Duration::from_secs(LONG_AGO - age));
    }
    root.directory("d/sub").directory("d/Zoo").file("indexed/index.html", "index").directory("empty");
    root
}

/// The links in the rows of a page, without the parent directory.
fn references(response: &Response) -> Vec<String> {
    let text = response.text();
    let rows = text.lines().filter_map(|line| line.strip_prefix("<tr><td><a href=\""));
    rows.filter_map(|row| Some(row.split_once('"')?.0.to_owned())).filter(|reference| reference != "../").collect()
}

/// The values of `"name"` in a JSON listing whose strings contain no escapes.
fn names(response: &Response) -> Vec<String> {
    let text = response.text();
    text.split("\"name\":\"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()).collect()
}

#[test]
fn directories_are_listed_only_with_the_option() {
    let root = site();
    let server = Server::start(&root, &[]);
    for path in ["/", "/d/", "/empty/"] {
        for lines in ["", JSON] {
            let response = server.get_with(path, lines);
            assert_eq!(response.status, 404, "{path}");
            assert!(!response.text().contains("beta"));
        }
    }
    assert_eq!(server.get("/indexed/").text(), "index");
}

#[test]
fn pages_are_sorted_by_the_query() {
    let root = site();
    let server = Server::start(&root, &["--listing"]);
    for (query, expected) in [
        ("", ["sub/", "Zoo/", "Alpha", "beta", "gamma"]),
        ("?sort=name&order=asc", ["sub/", "Zoo/", "Alpha", "beta", "gamma"]),
        ("?sort=name&order=desc", ["Zoo/", "sub/", "gamma", "beta", "Alpha"]),
        ("?sort=size&order=asc", ["sub/", "Zoo/", "Alpha", "gamma", "beta"]),
        ("?sort=size&order=desc", ["beta", "gamma", "Alpha", "sub/", "Zoo/"]),
        ("?sort=modified", ["Alpha", "gamma", "beta", "sub/", "Zoo/"]),
        ("?order=nonsense&sort=<script>", ["sub/", "Zoo/", "Alpha", "beta", "gamma"]),
    ] {
        let response = server.get(&format!("/d/{query}").replace('<', "%3c"));
        assert_eq!(response.status, 200);
        let expected = expected.map(|name| format!("./{name}"));
        assert_eq!(references(&response), expected, "{query}");
        let json = server.get_with(&format!("/d/{query}").replace('<', "%3c"), JSON);
        let bare = expected.map(|name| name[2..].trim_end_matches('/').to_owned());
        assert_eq!(names(&json), bare, "{query}");
    }
    // The directories are the newest; their order among each other is undefined.
    let response = server.get("/d/?sort=modified&order=desc");
    assert_eq!(references(&response)[2..], ["./beta", "./gamma", "./Alpha"]);
    let page = server.get("/d/?sort=size&order=asc");
    assert_eq!(page.field("Content-Type"), Some("text/html; charset=utf-8"));
    let text = page.text();
    assert!(text.contains("aria-sort=\"ascending\"><a href=\"?sort=size&amp;order=desc\">"), "{text}");
    assert!(text.contains("<a href=\"../\">") && text.contains("Index of /d/"), "{text}");
    let top = server.get("/").text();
    assert!(!top.contains("href=\"../\""), "{top}");
    assert!(server.get("/empty/").text().contains("This directory is empty."));
}

#[test]
fn listings_are_available_as_json() {
    let root = site();
    let server = Server::start(&root, &["--listing"]);
    let response = server.get_with("/d/?sort=size&order=desc", JSON);
    assert_eq!(response.field("Content-Type"), Some("application/json"));
    let text = response.text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "[");
    assert_eq!(lines[1], r#"{"name":"beta","type":"file","size":30,"modified":"2023-11-14T22:13:10Z"},"#);
    assert_eq!(lines[2], r#"{"name":"gamma","type":"file","size":20,"modified":"2023-11-14T22:13:00Z"},"#);
    assert!(lines[4].starts_with(r#"{"name":"sub","type":"directory","size":0,"modified":""#), "{}", lines[4]);
    assert_eq!((lines.len(), lines[6]), (7, "]"));
    assert_eq!(server.get_with("/empty/", JSON).text().split_whitespace().collect::<String>(), "[]");
    for (accept, is_json) in [
        ("application/json", true),
        ("application/json, */*", true),
        ("text/html, application/json", true),
        ("text/html, application/json;q=0.9", false),
        ("*/*", false),
        ("text/html,application/xhtml+xml,*/*;q=0.8", false),
        ("application/json;q=0", false),
    ] {
        let response = server.get_with("/d/", &format!("Accept: {accept}\r\n"));
        let expected = if is_json { "application/json" } else { "text/html; charset=utf-8" };
        assert_eq!(response.field("Content-Type"), Some(expected), "{accept}");
        assert_eq!(response.field("Vary"), Some("Accept, Accept-Encoding"));
        assert_eq!(response.field("X-Content-Type-Options"), Some("nosniff"));
        assert_eq!(response.field("Cache-Control"), Some("no-cache"));
    }
}

#[test]
fn what_is_not_served_is_not_listed() {
    let root = site();
    root.file("d/.secret", "secret").file("d/.git/config", "secret").file(".well-known/x", "x").file("outside", "x");
    root.link("d/in", "beta")
        .link("d/out", "../../../etc/passwd")
        .link("d/up", "../outside")
        .link("d/broken", "nothing");
    root.link("d/absolute", "/etc");
    let _socket = UnixListener::bind(root.at("d/socket")).unwrap();
    let all = ["sub", "Zoo", "Alpha", "beta", "gamma"];
    let server = Server::start(&root, &["--listing"]);
    let listed = names(&server.get_with("/d/", JSON));
    assert_eq!(listed, ["sub", "Zoo", "Alpha", "beta", "gamma", "in", "up"]);
    assert_eq!(names(&server.get_with("/", JSON)), [".well-known", "d", "empty", "indexed", "outside"]);
    let server = Server::start(&root, &["--listing", "--symlinks", "none"]);
    assert_eq!(names(&server.get_with("/d/", JSON)), all);
}

#[test]
fn special_characters_in_names_are_escaped_and_links_work() {
    let root = Root::new();
    let odd: [&[u8]; 14] = [
        b"\"quotes\" and 'apostrophes'",
        b"<script>alert(1)<",
        b"&amp;",
        b"javascript:x",
        b"data:text,x",
        b"a b+c%20d",
        b"100%",
        b"q?query=1#fragment",
        b"not \xff\xfe utf-8",
        "\u{e9}\u{202e}txt.exe".as_bytes(),
        b"line\x0bfeed",
        b"~tilde",
        b"http:evil.example",
        b"[brackets]{}|^`",
    ];
    for (at, name) in odd.iter().enumerate() {
        fs::write(root.path().join(OsStr::from_bytes(name)), format!("content {at}")).unwrap();
    }
    let server = Server::start(&root, &["--listing"]);
    let page = server.get("/");
    let text = page.text();
    for markup in ["<script", "href=\"javascript", "href=\"data:text", "href=\"http:", "&#38;amp;\">", "\x0b"] {
        assert!(!text.contains(markup), "{markup} in {text}");
    }
    assert!(
        text.contains("&#60;script&#62;alert(1)&#60;") && text.contains("&#38;amp;") && text.contains("\u{fffd}"),
        "{text}"
    );
    let mut found = Vec::new();
    for reference in references(&page) {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte);
        assert!(reference.strip_prefix("./").unwrap().bytes().all(plain), "{reference}");
        let response = server.get(&reference[1..]);
        if response.status == 200 {
            found.push(response.text());
        } else {
            // Names with control bytes aren't served, however they are encoded.
            assert!(reference.contains("%0B"), "{reference} {}", response.status);
        }
    }
    found.sort();
    found.dedup();
    assert_eq!(found.len(), odd.len() - 1);
    let json = server.get_with("/", JSON).text();
    assert!(json.contains(r#""\"quotes\" and 'apostrophes'""#) && json.contains("\u{fffd}"), "{json}");
    assert!(!json.contains('\x0b'), "{json}");
}

#[test]
fn a_large_listing_is_sent_in_chunks() {
    let root = Root::new();
    for at in 0..3_000 {
        root.file(&format!("big/a rather long name of a file, so that there is more to send {at:04}"), "");
    }
    let server = Server::start(&root, &["--listing"]);
    let mut client = server.connect();
    for lines in ["", JSON] {
        // A second request follows, so the end must be exact.
        client.send(get_with("/big/", lines) + &head_with("/big/", lines) + &get("/missing"));
        let response = client.response();
        assert_eq!((response.status, response.field("Transfer-Encoding")), (200, Some("chunked")));
        assert_eq!(response.count("Content-Length"), 0);
        assert!(response.body.len() > 200_000, "{}", response.body.len());
        let found = if lines.is_empty() { references(&response) } else { names(&response) };
        assert_eq!(found.len(), 3_000);
        assert!(found.is_sorted() && found[2_999].ends_with("2999"));
        let head = client.response_to("HEAD");
        assert_eq!((head.status, head.field("Content-Type")), (200, response.field("Content-Type")));
        assert_eq!(client.response().status, 404);
    }
    // In HTTP/1.0 the listing ends with the connection.
    let mut client = server.connect();
    client.send("GET /big/ HTTP/1.0\r\n\r\n");
    let response = client.response();
    assert_eq!((response.count("Transfer-Encoding"), response.count("Content-Length")), (0, 0));
    assert_eq!(references(&response).len(), 3_000);
}

#[test]
fn a_program_gets_all_names_of_a_huge_directory_page_by_page() {
    const COUNT: usize = 10_050;
    let root = Root::new();
    root.directory("huge");
    for at in 0..COUNT {
        fs::write(root.at(&format!("huge/{at:05}")), "").unwrap();
    }
    let server = Server::start(&root, &["--listing"]);
    for lines in ["", JSON] {
        let (mut query, mut found, mut pages) = (String::new(), Vec::new(), 0);
        loop {
            let response = server.get_with(&format!("/huge/{query}"), lines);
            found.extend(if lines.is_empty() { references(&response) } else { names(&response) });
            pages += 1;
            let Some(link) = response.field("Link") else { break };
            query = link.strip_prefix('<').unwrap().strip_suffix(">; rel=\"next\"").unwrap().to_owned();
            let reference = format!("<a href=\"{}\" rel=\"next\">", query.replace('&', "&#38;"));
            assert_eq!(response.text().contains(&reference), lines.is_empty(), "{query}");
        }
        assert_eq!((found.len(), pages, found.is_sorted()), (COUNT, 2, true));
    }
}

#[test]
fn a_listing_shows_changes() {
    let root = site();
    let server = Server::start(&root, &["--listing"]);
    let list = |path: &str| names(&server.get_with(path, JSON));
    assert_eq!(list("/empty/"), [""; 0]);
    root.file("empty/new", "");
    assert_eq!(list("/empty/"), ["new"]);
    fs::rename(root.at("empty/new"), root.at("empty/other")).unwrap();
    assert_eq!(list("/empty/"), ["other"]);
    root.file("empty/index.html", "index");
    assert_eq!(server.get("/empty/").text(), "index");
    fs::remove_file(root.at("empty/index.html")).unwrap();
    assert_eq!(list("/empty/"), ["other"]);
    assert_eq!(server.get("/empty").field("Location"), Some("/empty/"));
}
