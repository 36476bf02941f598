//! Conditional requests over the wire.

mod support;

use support::{LONG_AGO_DATE, Response, Root, Server, get, get_with, head_with, pattern};

const PATHS: [&str; 3] = ["/small.txt", "/large.txt", "/empty.txt"];

fn site() -> (Root, Server) {
    let root = Root::new();
    root.old_file("small.txt", "small").old_file("large.txt", pattern(50_000)).old_file("empty.txt", "");
    let server = Server::start(&root, &[]);
    (root, server)
}

fn tag(server: &Server, path: &str) -> String {
    server.get(path).field("ETag").unwrap().to_owned()
}

fn statuses(server: &Server, path: &str, cases: &[(String, u16)]) {
    let mut client = server.connect();
    for (lines, status) in cases {
        client.send(get_with(path, lines));
        let response = client.response();
        assert_eq!(response.status, *status, "{path} {lines}");
        match status {
            200 => assert_eq!(response.count("Content-Length"), 1),
            304 => assert_eq!(response.count("Content-Length"), 0),
            _ => assert_eq!((response.count("ETag"), response.count("Last-Modified")), (0, 0)),
        }
    }
}

#[test]
fn a_304_has_only_the_fields_that_update_a_cache() {
    let (_root, server) = site();
    for path in PATHS {
        let complete = server.get(path);
        let mut client = server.connect();
        for method in ["GET", "HEAD"] {
            let lines = format!("If-None-Match: {}\r\n", complete.field("ETag").unwrap());
            client.send(if method == "GET" { get_with(path, &lines) } else { head_with(path, &lines) });
            let response = client.response_to(method);
            assert_eq!(response.status, 304);
            for name in ["ETag", "Cache-Control", "Last-Modified", "Server"] {
                assert_eq!((response.field(name), response.count(name)), (complete.field(name), 1), "{name}");
            }
            assert_eq!(response.count("Date"), 1);
            for name in ["Content-Length", "Content-Type", "Transfer-Encoding", "Accept-Ranges", "Connection"] {
                assert_eq!(response.count(name), 0, "{}", response.head);
            }
            // No body precedes the next response.
            client.send(get(path));
            let next = client.response();
            assert_eq!((next.status, &next.body), (200, &complete.body));
        }
    }
}

#[test]
fn if_none_match() {
    let (_root, server) = site();
    for path in PATHS {
        let tag = tag(&server, path);
        let line = |value: &str| format!("If-None-Match: {value}\r\n");
        statuses(
            &server,
            path,
            &[
                (line(&tag), 304),
                (line(&format!("W/{tag}")), 304),
                (line("*"), 304),
                (line(&format!("\"a\", \"b,c\",{tag} ,W/\"d\"")), 304),
                (line("\"a\"") + &line(&tag), 304),
                (line("\"other\""), 200),
                (line(tag.trim_matches('"')), 200),
                (line(""), 200),
                (line(&format!("\"{}", &tag[1..tag.len() - 1])), 200),
                // It takes precedence over the date.
                (line("\"other\"") + &format!("If-Modified-Since: {LONG_AGO_DATE}\r\n"), 200),
                (line(&tag) + "If-Modified-Since: Mon, 01 Jan 2001 00:00:00 GMT\r\n", 304),
            ],
        );
    }
    assert_eq!(server.get_with("/missing", "If-None-Match: *\r\n").status, 404);
    assert_eq!(server.get_with("/", "If-None-Match: *\r\n").status, 404);
}

#[test]
fn dates_are_read_in_all_three_formats() {
    let (_root, server) = site();
    let line = |name: &str, value: &str| format!("{name}: {value}\r\n");
    let same = [LONG_AGO_DATE, "Tuesday, 14-Nov-23 22:13:20 GMT", "Tue Nov 14 22:13:20 2023"];
    let before = ["Tue, 14 Nov 2023 22:13:19 GMT", "Tuesday, 14-Nov-23 22:13:19 GMT", "Tue Nov 14 22:13:19 2023"];
    let after = ["Tue, 14 Nov 2023 22:13:21 GMT", "Tuesday, 14-Nov-23 22:13:21 GMT", "Tue Nov 14 22:13:21 2023"];
    let none = ["", "yesterday", "Tue, 14 Nov 2023 22:13:20", "2023-11-14T22:13:20Z", "Tue, 32 Nov 2023 22:13:20 GMT"];
    for path in PATHS {
        let mut cases = Vec::new();
        let mut add = |dates: &[&str], since, unmodified| {
            for date in dates {
                cases.push((line("If-Modified-Since", date), since));
                cases.push((line("If-Unmodified-Since", date), unmodified));
            }
        };
        add(&same, 304, 200);
        add(&before, 200, 412);
        add(&after, 304, 200);
        add(&none, 200, 200);
        // The server never sent this date.
        cases.push((line("If-Modified-Since", "Fri, 01 Jan 2200 00:00:00 GMT"), 200));
        cases.push((line("If-Modified-Since", same[0]) + &line("If-Modified-Since", same[0]), 200));
        statuses(&server, path, &cases);
    }
}

#[test]
fn if_match() {
    let (_root, server) = site();
    for path in PATHS {
        let tag = tag(&server, path);
        let line = |value: &str| format!("If-Match: {value}\r\n");
        let modified = |date: &str| format!("If-Unmodified-Since: {date}\r\n");
        statuses(
            &server,
            path,
            &[
                (line(&tag), 200),
                (line("*"), 200),
                (line(&format!("\"a\", {tag}")), 200),
                (line("\"other\""), 412),
                // The comparison is strong.
                (line(&format!("W/{tag}")), 412),
                (line(""), 412),
                // It takes precedence over the date, and is checked before If-None-Match.
                (line(&tag) + &modified("Mon, 01 Jan 2001 00:00:00 GMT"), 200),
                (line("\"other\"") + &modified(LONG_AGO_DATE), 412),
                (line("\"other\"") + &format!("If-None-Match: {tag}\r\n"), 412),
                (line(&tag) + &format!("If-None-Match: {tag}\r\n"), 304),
                (line("\"other\"") + "Range: bytes=0-0\r\n", 412),
            ],
        );
    }
}

#[test]
fn a_412_has_an_explanation_and_keeps_the_connection() {
    let (_root, server) = site();
    let mut client = server.connect();
    client.send(get_with("/small.txt", "If-Match: \"other\"\r\nAccept: text/plain\r\n"));
    let response: Response = client.response();
    assert_eq!(response.status, 412);
    assert!(response.text().starts_with("412 Precondition Failed\n"), "{}", response.text());
    client.send(head_with("/small.txt", "If-Match: \"other\"\r\n"));
    assert_eq!(client.response_to("HEAD").status, 412);
    client.send(get("/small.txt"));
    assert_eq!(client.response().text(), "small");
}

#[test]
fn a_changed_file_is_sent_again() {
    let (root, server) = site();
    for (path, name) in [("/small.txt", "small.txt"), ("/large.txt", "large.txt")] {
        let lines = format!("If-None-Match: {}\r\n", tag(&server, path));
        assert_eq!(server.get_with(path, &lines).status, 304);
        root.file(name, "changed");
        assert_eq!(server.get_with(path, &lines).text(), "changed");
        // A weak tag suffices for a 304.
        let weak = tag(&server, path);
        assert!(weak.starts_with("W/"));
        assert_eq!(server.get_with(path, &format!("If-None-Match: {weak}\r\n")).status, 304);
    }
}
