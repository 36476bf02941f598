//! Files over real connections: what is served, with which fields, and what is never served.

mod support;

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use rustix::fs::{CWD, FileType, Mode, RenameFlags};
use support::{LONG_AGO_DATE, Response, Root, Server, eventually, get, get_with, head_with, pattern, run_to_end};

const GIB: u64 = 1 << 30;

/// Requests a path that must be refused. The response must not reveal anything.
fn assert_refused(server: &Server, path: &str, status: u16) {
    let response = server.get(path);
    assert_eq!(response.status, status, "{path}: {}", response.head);
    assert!(!response.text().contains("secret"), "{path}");
    assert_eq!(response.count("Location"), 0, "{path}");
}

#[test]
fn a_directory_serves_its_index_and_its_path_ends_with_a_slash() {
    let root = Root::new();
    root.file("index.html", "top").file("a/index.html", "in a").file("b c/\u{e9}/index.html", "deep").directory("none");
    let server = Server::start(&root, &[]);
    for (path, content) in [
        ("/", "top"),
        ("/index.html", "top"),
        ("/?query", "top"),
        ("/a/", "in a"),
        ("/a/index.html", "in a"),
        ("/b%20c/%C3%A9/", "deep"),
        ("/%61/", "in a"),
        ("/.//a/./", "in a"),
    ] {
        let response = server.get(path);
        assert_eq!((response.status, response.text().as_str()), (200, content), "{path}");
        assert_eq!(response.field("Content-Type"), Some("text/html; charset=utf-8"), "{path}");
    }
    for (path, location) in [
        ("/a", "/a/"),
        ("/a?x=1&y=%2F?z", "/a/?x=1&y=%2F?z"),
        ("/a?", "/a/?"),
        ("/b%20c/%C3%A9", "/b%20c/%C3%A9/"),
        ("http://evil.example/a?x", "/a/?x"),
    ] {
        let response = server.get(path);
        assert_eq!((response.status, response.field("Location")), (301, Some(location)), "{path}");
        assert!(!response.head.contains("ETag"), "{}", response.head);
    }
    for path in ["/none/", "/none", "/index.html/", "/a/index.html/", "/a/missing", "/index.html/x"] {
        assert_refused(&server, path, 404);
    }
}

#[test]
fn no_redirect_leads_to_another_host() {
    let root = Root::new();
    root.file("evil.example/index.html", "ours").file("a/evil.example/index.html", "ours");
    let server = Server::start(&root, &[]);
    for (path, status) in [
        ("//evil.example", 301),
        ("///evil.example", 301),
        ("/.//evil.example", 301),
        ("//./evil.example?a=//evil.example", 301),
        ("//a//evil.example", 301),
        ("//evil.example/", 200),
        ("//evil.example/..", 400),
        ("//evil.example/%2e%2e", 400),
        ("//evil.example/%2e%2e/a", 400),
        ("/%2f%2fevil.example", 400),
        ("/%2fevil.example", 400),
        ("/\\evil.example", 400),
        ("/%5cevil.example", 400),
        ("/%09/evil.example", 400),
        ("http://evil.example//evil.example", 301),
    ] {
        let response = server.get(path);
        assert_eq!(response.status, status, "{path}");
        match response.field("Location") {
            Some(location) => {
                let rest = location.strip_prefix('/').unwrap_or_else(|| panic!("{path}: {location}"));
                assert!(!rest.starts_with(['/', '\\']), "{path}: {location}");
            }
            None => assert_ne!(status, 301, "{path}"),
        }
    }
}

#[test]
fn types_come_from_extensions_and_sniffing_is_forbidden() {
    let root = Root::new();
    let names = [
        ("a.html", "text/html; charset=utf-8"),
        ("a.css", "text/css; charset=utf-8"),
        ("a.js", "text/javascript; charset=utf-8"),
        ("a.TXT", "text/plain; charset=utf-8"),
        ("a.svg", "image/svg+xml"),
        ("a.png", "image/png"),
        ("a.json", "application/json"),
        ("a.wasm", "application/wasm"),
        ("a.tar.unknown", "application/octet-stream"),
        ("noextension", "application/octet-stream"),
    ];
    for (name, _) in names {
        root.file(name, "x");
    }
    let server = Server::start(&root, &[]);
    for (name, media_type) in names {
        let response = server.get(&format!("/{name}"));
        assert_eq!(response.field("Content-Type"), Some(media_type), "{name}");
        assert_eq!(response.field("X-Content-Type-Options"), Some("nosniff"), "{name}");
        assert_eq!(response.field("Accept-Ranges"), Some("bytes"), "{name}");
        assert_eq!(response.field("Cache-Control"), Some("no-cache"), "{name}");
    }
    assert_eq!(server.get("/missing").field("X-Content-Type-Options"), Some("nosniff"));

    let types = ["--media-type", "unknown=text/x-odd; charset=ascii", "--media-type", "HTML=text/plain"];
    let server = Server::start(&root, &types);
    assert_eq!(server.get("/a.tar.unknown").field("Content-Type"), Some("text/x-odd; charset=ascii"));
    assert_eq!(server.get("/a.html").field("Content-Type"), Some("text/plain"));
    assert_eq!(server.get("/a.css").field("Content-Type"), Some("text/css; charset=utf-8"));
}

#[test]
fn cache_control_can_be_set() {
    let root = Root::new();
    root.old_file("a.css", "x").old_file("large", pattern(100_000)).file("404.html", "gone");
    let server = Server::start(&root, &["--cache-control", "public, max-age=31536000, immutable"]);
    for path in ["/a.css", "/large"] {
        let value = Some("public, max-age=31536000, immutable");
        let response = server.get(path);
        assert_eq!(response.field("Cache-Control"), value);
        assert_eq!(server.get_with(path, "Range: bytes=0-0\r\n").field("Cache-Control"), value);
        let lines = format!("If-None-Match: {}\r\n", response.field("ETag").unwrap());
        assert_eq!(server.get_with(path, &lines).field("Cache-Control"), value);
        assert_eq!(response.count("Cache-Control"), 1);
    }
}

#[test]
fn last_modified_is_never_later_than_date() {
    let root = Root::new();
    root.old_file("old", "x").file("new", "x").file("future", "x").file("large", pattern(10_000));
    let tomorrow = SystemTime::now() + Duration::from_secs(86_400);
    root.set_modified("future", tomorrow).set_modified("large", tomorrow);
    let server = Server::start(&root, &[]);
    assert_eq!(server.get("/old").field("Last-Modified"), Some(LONG_AGO_DATE));
    for path in ["/new", "/future", "/large", "/future", "/large"] {
        let response = server.get(path);
        assert!(response.date("Last-Modified") <= response.date("Date"), "{path}: {}", response.head);
        let off = SystemTime::now().duration_since(response.date("Date")).unwrap_or_default();
        assert!(off < Duration::from_secs(3), "{}", response.head);
    }
    // A change within the same second isn't visible in the entity-tag.
    assert!(server.get("/future").field("ETag").unwrap().starts_with("W/"));
}

#[test]
fn entity_tags_are_the_same_on_every_machine_unless_they_contain_inodes() {
    let (one, other) = (Root::new(), Root::new());
    for root in [&one, &other] {
        root.old_file("small", "x").old_file("large", pattern(100_000));
    }
    let tag = |server: &Server, path: &str| server.get(path).field("ETag").unwrap().to_owned();
    let servers = [Server::start(&one, &[]), Server::start(&other, &[])];
    for path in ["/small", "/large"] {
        assert_eq!(tag(&servers[0], path), tag(&servers[1], path));
        assert!(tag(&servers[0], path).starts_with('"'));
    }
    assert_ne!(tag(&servers[0], "/small"), tag(&servers[0], "/large"));
    let servers = [Server::start(&one, &["--etag-inode"]), Server::start(&other, &["--etag-inode"])];
    for path in ["/small", "/large"] {
        assert_ne!(tag(&servers[0], path), tag(&servers[1], path));
        assert_eq!(tag(&servers[0], path), tag(&servers[0], path));
    }
}

#[test]
fn new_content_with_the_time_of_a_build_is_never_a_304() {
    let root = Root::new();
    let server = Server::start(&root, &[]);
    for (seconds, size) in [(0, 5), (1, 5), (315_532_800, 20_000), (499_162_500, 20_000)] {
        let built = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        root.file("f", vec![b'1'; size]).set_modified("f", built);
        let first = server.get("/f");
        assert_eq!((first.body.len(), first.count("Last-Modified")), (size, 0), "{}", first.head);
        let tag = first.field("ETag").unwrap();
        // The copy may still be used after a restart.
        let another = Server::start(&root, &[]);
        assert_eq!(another.get_with("/f", &format!("If-None-Match: {tag}\r\n")).status, 304);

        root.file("new", vec![b'2'; size]).set_modified("new", built);
        fs::rename(root.at("new"), root.at("f")).unwrap();
        for lines in [
            format!("If-None-Match: {tag}\r\n"),
            "If-Modified-Since: Tue, 14 Nov 2023 22:13:20 GMT\r\n".to_owned(),
            format!("Range: bytes=0-3\r\nIf-Range: {tag}\r\n"),
        ] {
            for server in [&server, &another] {
                let response = server.get_with("/f", &lines);
                assert_eq!((response.status, response.body.len(), response.body[0]), (200, size, b'2'), "{lines}");
            }
        }
    }
}

#[test]
fn the_entity_tag_of_a_file_just_written_is_weak_for_a_while() {
    let root = Root::new();
    root.file("settled", "x");
    root.set_modified("settled", SystemTime::now() - Duration::from_secs(3));
    let server = Server::start(&root, &[]);
    let tag = |path: &str| server.get(path).field("ETag").unwrap().to_owned();
    assert!(tag("/settled").starts_with('"'));
    root.file("new", "x");
    let weak = tag("/new");
    assert!(weak.starts_with("W/\""), "{weak}");
    let strong = weak.strip_prefix("W/").unwrap();
    assert!(eventually(|| tag("/new") == strong), "it stays weak");
}

#[test]
fn the_operator_says_which_page_an_error_has() {
    let root = Root::new();
    root.file("403.html", "<h1>no").file("errors/other.html", "<h1>other").file("404.html", "<h1>usual");
    let server = Server::start(&root, &["--error-page", "4xx=errors/other.html", "--error-page", "405=403.html"]);
    for (method, path, status, content) in
        [("GET", "/missing", 404, "<h1>other"), ("PUT", "/", 405, "<h1>no"), ("GET", "/%00", 400, "<h1>other")]
    {
        let response = server.exchange(format!("{method} {path} HTTP/1.1\r\nHost: x\r\nAccept: text/html\r\n\r\n"));
        assert_eq!((response.status, response.text().as_str()), (status, content), "{method} {path}");
    }
    root.file("errors/other.html", "<h1>changed");
    assert!(eventually(|| server.get("/missing").text() == "<h1>changed"));
    std::fs::remove_file(root.at("errors/other.html")).unwrap();
    assert!(eventually(|| server.get("/missing").text().starts_with("404 Not Found")), "the server's own page");
}

#[test]
fn error_pages_come_from_the_site() {
    let root = Root::new();
    root.old_file("404.html", "<h1>our own").old_file("50x.html", "<h1>later");
    let server = Server::start(&root, &[]);
    let check = |response: &Response, status: u16, content: &str| {
        assert_eq!((response.status, response.text().as_str()), (status, content));
        assert_eq!(response.field("Content-Type"), Some("text/html; charset=utf-8"));
        for name in ["ETag", "Last-Modified"] {
            assert_eq!(response.count(name), 0, "{}", response.head);
        }
    };
    check(&server.get("/missing"), 404, "<h1>our own");
    check(&server.get_with("/missing", "Accept: text/html\r\nIf-None-Match: *\r\n"), 404, "<h1>our own");
    let head = server.head("/missing");
    assert_eq!((head.status, head.field("Content-Length")), (404, Some("11")));
    let plain = server.get_with("/missing", "Accept: text/plain\r\n");
    assert_eq!(plain.field("Content-Type"), Some("text/plain; charset=utf-8"));
    assert!(plain.text().starts_with("404 Not Found\n"), "{}", plain.text());
    assert_eq!(server.get("/404.html").status, 200);

    server.signal("USR2");
    assert!(eventually(|| server.get("/").status == 503));
    let response = server.get("/404.html");
    check(&response, 503, "<h1>later");
    assert_eq!(response.field("Retry-After"), Some("5"));

    let server = Server::start_with(Root::new(), &[]);
    let response = server.get_with("/missing", "Accept: text/html,*/*;q=0.8\r\n");
    assert!(response.text().contains("<h1>404 Not Found</h1>"), "{}", response.text());
    for accept in ["", "Accept: */*\r\n", "Accept: text/plain\r\n"] {
        let text = server.get_with("/missing", accept).text();
        assert!(text.starts_with("404 Not Found\nThere is no such file.\n"), "{text}");
    }
    assert_eq!(response.field("Cache-Control"), Some("no-store"));
}

#[test]
fn a_single_page_application_is_served_instead_of_404() {
    let root = Root::new();
    root.old_file("index.html", "<app>").old_file("style.css", "b{}").directory("empty").file(".env", "secret");
    let server = Server::start(&root, &["--spa", "index.html"]);
    for path in ["/", "/some/view", "/users/7?tab=x", "/empty/", "/missing.css", "/.env", "/style.css/x"] {
        let response = server.get(path);
        assert_eq!((response.status, response.text().as_str()), (200, "<app>"), "{path}");
        assert_eq!(response.field("Content-Type"), Some("text/html; charset=utf-8"));
        let tag = response.field("ETag").unwrap();
        assert_eq!(server.get_with(path, &format!("If-None-Match: {tag}\r\n")).status, 304, "{path}");
    }
    assert_eq!(server.get("/style.css").text(), "b{}");
    assert_eq!(server.get("/../etc/passwd").status, 400);
    fs::remove_file(root.at("index.html")).unwrap();
    assert_eq!(server.get("/some/view").status, 404);
}

#[test]
fn names_that_begin_with_a_dot_are_hidden() {
    let root = Root::new();
    for name in [".env", ".git/config", "a/.htpasswd", "..x", ".well-known/.secret"] {
        root.file(name, "secret");
    }
    root.file(".well-known/security.txt", "Contact: x").file("a.b/c.d", "dots elsewhere");
    let server = Server::start(&root, &["--listing"]);
    for path in ["/.env", "/%2eenv", "/.git/config", "/.git/", "/.git", "/a/.htpasswd", "/..x", "/.well-known/.secret"]
    {
        assert_refused(&server, path, 404);
    }
    assert_eq!(server.get("/.well-known/security.txt").text(), "Contact: x");
    assert_eq!(server.get("/a.b/c.d").status, 200);
}

#[test]
fn special_files_are_404_without_a_wait() {
    let root = Root::new();
    rustix::fs::mknodat(CWD, root.at("fifo"), FileType::Fifo, Mode::from(0o666), 0).unwrap();
    let _listener = UnixListener::bind(root.at("socket")).unwrap();
    root.link("device", "/dev/zero").link("fifo-link", "fifo");
    let server = Server::start(&root, &[]);
    let begin = Instant::now();
    for path in ["/fifo", "/socket", "/device", "/fifo-link", "/fifo/", "/fifo/x"] {
        assert_refused(&server, path, 404);
    }
    assert!(begin.elapsed() < Duration::from_secs(5), "it waited for a writer");
}

#[test]
fn malformed_paths_are_refused() {
    let root = Root::new();
    root.file("www/a/f", "inside").file("secret", "secret").file("www/back\\slash", "secret");
    let www = Server::start(&root, &[]);
    drop(www);
    let mut command = support::miod();
    command.arg("serve").arg(root.at("www")).args(["-p", "0"]);
    let server = Server::run(command);
    for path in [
        "/../secret",
        "/..",
        "/a/../../secret",
        "/a/..",
        "/a/../a/f",
        "/%2e%2e/secret",
        "/%2E./secret",
        "/.%2e/secret",
        "/..%2fsecret",
        "/a%2ff",
        "/a%2Ff",
        "/a/f%00",
        "/%00",
        "/a/f%0a",
        "/a/f%7f",
        "/back\\slash",
        "/back%5Cslash",
        "/..\\secret",
        "/a/%",
        "/a/%2",
        "/a/%zz",
        "/a/f%",
    ] {
        assert_refused(&server, path, 400);
    }
    // A path that was encoded twice is an ordinary name.
    for path in ["/%252e%252e/secret", "/a%252ff", "/...", "/~root"] {
        assert_refused(&server, path, 404);
    }
    assert_refused(&server, &format!("/{}", "a".repeat(300)), 404);
    assert_refused(&server, &format!("/{}", "a/".repeat(3_000)), 404);
    assert_refused(&server, &format!("/{}", "a".repeat(9_000)), 414);
    assert_eq!(server.get("/a/f").text(), "inside");
    assert_eq!(server.get("/%61/%66?/../x").text(), "inside");
}

fn linked() -> Root {
    let root = Root::new();
    root.old_file("www/f", "inside").old_file("www/d/index.html", "index").old_file("secret/f", "secret");
    root.link("www/relative", "f").link("www/d/up", "../f").link("www/directory", "d").link("www/chain", "relative");
    root.link("www/outside", "../secret/f").link("www/outdir", "../secret").link("www/d/deep", "../../secret/f");
    root.link("www/absolute", root.at("secret/f")).link("www/absolute-inside", root.at("www/f"));
    root.link("www/dangling", "nothing")
        .link("www/loop", "loop")
        .link("www/etc", "/etc")
        .link("www/proc", "/proc/self/root");
    root.link("www/index-out.d", "../secret").directory("www/e").link("www/e/index.html", "../../secret/f");
    root
}

fn serve_www(root: &Root, arguments: &[&str]) -> Server {
    let mut command = support::miod();
    command.arg("serve").arg(root.at("www")).args(["-p", "0"]).args(arguments);
    Server::run(command)
}

#[test]
fn links_are_followed_inside_the_root_only() {
    let root = linked();
    let server = serve_www(&root, &["--listing"]);
    // Twice, because the first result may be cached.
    for _ in 0..2 {
        for (path, content) in [
            ("/f", "inside"),
            ("/relative", "inside"),
            ("/d/up", "inside"),
            ("/chain", "inside"),
            ("/directory/", "index"),
            ("/directory/up", "inside"),
        ] {
            assert_eq!(server.get(path).text(), content, "{path}");
        }
        assert_eq!(server.get("/directory").field("Location"), Some("/directory/"));
        for path in [
            "/outside",
            "/outdir/f",
            "/outdir/",
            "/outdir",
            "/d/deep",
            "/absolute",
            "/absolute-inside",
            "/dangling",
            "/loop",
            "/etc/passwd",
            "/etc/",
            "/etc",
            "/proc/etc/passwd",
            "/e/index.html",
            "/index-out.d/f",
        ] {
            assert_refused(&server, path, 404);
        }
    }
    // The target of a link may change without a report.
    fs::write(root.at("www/f"), "changed").unwrap();
    assert_eq!(server.get("/chain").text(), "changed");
    fs::remove_file(root.at("www/relative")).unwrap();
    root.link("www/relative", "../secret/f");
    assert_refused(&server, "/relative", 404);
    assert_refused(&server, "/chain", 404);
}

#[test]
fn no_link_is_followed_with_symlinks_none() {
    let root = linked();
    let server = serve_www(&root, &["--symlinks", "none", "--listing"]);
    for path in ["/relative", "/d/up", "/directory/", "/directory/up", "/chain", "/outside", "/dangling", "/loop"] {
        assert_refused(&server, path, 404);
    }
    assert_eq!(server.get("/f").text(), "inside");
    assert_eq!(server.get("/d/").text(), "index");
}

#[test]
fn a_directory_that_becomes_a_link_never_leads_outside() {
    let root = Root::new();
    root.old_file("www/d/f", "inside").old_file("secret/f", "secret").link("www/trap", "../secret");
    let server = serve_www(&root, &[]);
    assert_eq!(server.get("/d/f").text(), "inside");
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let (d, trap) = (root.at("www/d"), root.at("www/trap"));
                rustix::fs::renameat_with(CWD, d, CWD, trap, RenameFlags::EXCHANGE).unwrap();
            }
        });
        let mut seen = [0, 0];
        let mut client = server.connect();
        let enough = eventually(|| {
            client.send(get("/d/f"));
            let response = client.response();
            match (response.status, response.text().as_str()) {
                (200, "inside") => seen[0] += 1,
                (404, text) if !text.contains("secret") => seen[1] += 1,
                (status, text) => {
                    over.store(true, Ordering::Relaxed);
                    panic!("{status} {text}");
                }
            }
            seen[0] + seen[1] > 500 && seen[0] > 0 && seen[1] > 0
        });
        over.store(true, Ordering::Relaxed);
        assert!(enough, "{seen:?}");
    });
}

#[test]
fn files_of_every_size_are_sent_completely() {
    let root = Root::new();
    let sizes = [
        0, 1, 2, 4095, 4096, 4097, 6143, 6144, 6145, 16_383, 16_384, 16_385, 65_535, 65_536, 65_537, 131_071, 131_072,
        131_073, 1_048_576, 1_048_577,
    ];
    let content = pattern(1_048_577);
    for size in sizes {
        root.old_file(&format!("f{size}"), &content[..size]);
    }
    for arguments in [&[][..], &["--cache-size", "0"], &["--cache-size", "20K"]] {
        let server = Server::start(&root, arguments);
        let mut client = server.connect();
        for size in sizes.into_iter().flat_map(|size| [size, size]) {
            // A second request follows each, which would reveal an excess byte.
            client.send(get(&format!("/f{size}")) + &head_with(&format!("/f{size}"), ""));
            let response = client.response();
            assert_eq!((response.status, response.count("Content-Length")), (200, 1));
            assert_eq!(response.field("Content-Length"), Some(size.to_string().as_str()));
            assert!(response.body == content[..size], "{size} bytes differ, {arguments:?}");
            let head = client.response_to("HEAD");
            let without_date = |head: &str| head.lines().filter(|l| !l.starts_with("Date")).collect::<String>();
            assert_eq!(without_date(&head.head), without_date(&response.head));
        }
        // A range that is read into the output, and one that is sent from the file descriptor.
        for (size, first, last) in [(65_536, 1, 4096), (65_536, 1, 4097), (65_536, 61_000, 65_535), (4097, 4000, 4096)]
        {
            client.send(get_with(&format!("/f{size}"), &format!("Range: bytes={first}-{last}\r\n")));
            let response = client.response();
            assert_eq!(response.status, 206);
            assert!(response.body == content[first..=last], "{first} to {last} of {size}");
        }
    }
}

#[test]
fn files_larger_than_four_gib_are_served() {
    let root = Root::new();
    let file = File::create(root.at("huge")).unwrap();
    let size = 5 * GIB + 3;
    file.set_len(size).unwrap();
    file.write_all_at(b"across", 4 * GIB - 3).unwrap();
    file.write_all_at(b"the end", size - 7).unwrap();
    let server = Server::start(&root, &[]);
    let head = server.head("/huge");
    assert_eq!((head.status, head.field("Content-Length")), (200, Some(size.to_string().as_str())));

    let part = |range: &str| {
        let response = server.get_with("/huge", &format!("Range: bytes={range}\r\n"));
        assert_eq!(response.status, 206, "{range}");
        (response.field("Content-Range").unwrap().to_owned(), response.body)
    };
    let last = size - 1;
    assert_eq!(part("-7"), (format!("bytes {}-{last}/{size}", size - 7), b"the end".to_vec()));
    assert_eq!(part(&format!("{last}-")), (format!("bytes {last}-{last}/{size}"), b"d".to_vec()));
    assert_eq!(part(&format!("{}-{}", 4 * GIB - 3, 4 * GIB + 2)).1, b"across");
    // Large enough to be sent from the file descriptor.
    let (range, body) = part(&format!("{}-{}", 4 * GIB - 100_000, 4 * GIB + 99_999));
    assert_eq!(range, format!("bytes {}-{}/{size}", 4 * GIB - 100_000, 4 * GIB + 99_999));
    assert!(body.len() == 200_000 && body[99_997..100_003] == *b"across");
    assert!(body[..99_997].iter().chain(&body[100_003..]).all(|byte| *byte == 0));
    assert_eq!(server.get_with("/huge", &format!("Range: bytes={size}-\r\n")).status, 416);
}

#[test]
#[ignore = "needs curl and gzip"]
fn curl_decodes_what_is_compressed() {
    let root = Root::new();
    let text = |lines: usize| (0..lines).map(|line| format!("line {line}\n")).collect::<String>();
    root.old_file("made.txt", text(20_000)).old_file("sibling.txt", text(30_000));
    let zipped = Command::new("gzip").args(["-k9"]).arg(root.at("sibling.txt")).status().unwrap();
    assert!(zipped.success());
    let server = Server::start(&root, &[]);
    for (path, content) in [("made.txt", text(20_000)), ("sibling.txt", text(30_000))] {
        // Whole, and then in two parts that are joined.
        let curl = |arguments: &[&str]| {
            let url = format!("http://{}/{path}", server.address());
            let mut command = Command::new("curl");
            let got =
                run_to_end(command.args(["-s", "--noproxy", "*", "--max-time", "20"]).args(arguments).arg(url), b"");
            assert_eq!(got.code, Some(0));
            got.out
        };
        let raw = ["-H", "Accept-Encoding: gzip"];
        assert!(eventually(|| curl(&raw).len() < content.len()));
        assert_eq!(curl(&["--compressed"]), content.as_bytes());
        assert_eq!(curl(&[]), content.as_bytes());
        let parts = ["0-999", "1000-"].map(|range| curl(&[&raw[..], &["-r", range]].concat()));
        let joined = run_to_end(Command::new("gzip").arg("-dc"), &parts.concat());
        assert_eq!((joined.code, joined.out), (Some(0), content.into_bytes()));
    }
}
