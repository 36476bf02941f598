//! Content codings: of responses that are compressed on their way, and of requests.

mod support;

use std::io::Write;
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::mpsc::channel;

use miod::compression::{self, Coding};
use support::gzip::{decode, decode_part};
use support::response::take_chunks;
use support::{
    Response, Root, Script, Server, TIMEOUT, await_line, browser, eventually, get_with, head_with, miod, read_head,
};

const GZIP: &str = "Accept-Encoding: gzip\r\n";

/// Content in the coding gzip.
fn compress(content: &[u8], level: u8) -> Vec<u8> {
    compression::compress(Coding::Gzip, content, level)
}

/// The content of zstd, at most 1 MiB.
fn decode_zstd(coded: &[u8]) -> String {
    let mut content = Vec::with_capacity(1 << 20);
    zstd_safe::decompress(&mut content, coded).expect("zstd");
    String::from_utf8(content).unwrap()
}

/// A page of this many bytes.
fn page(size: usize) -> String {
    let paragraphs = (0..size / 15 + 1).map(|n| format!("<p>Paragraph {n}</p>\n"));
    paragraphs.collect::<String>()[..size].to_owned()
}

/// A response of an origin.
fn ok(fields: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// A server in front of an origin.
fn before(origin: &Script, arguments: &[&str]) -> Server {
    let route = format!("/={}", origin.url(""));
    Server::start_with(Root::new(), &[&["--proxy", &route], arguments].concat())
}

/// A server with a configuration file; `URL` is that of an origin.
fn configured(origin: &Script, config: &str) -> Server {
    let root = Root::new();
    let config = config.replace("URL", &origin.url(""));
    root.file("miod.toml", format!("bind = \"127.0.0.1:0\"\nproxy-cache = \"memory\"\n{config}"));
    let mut command = miod();
    command.arg("-c").arg(root.at("miod.toml"));
    let server = Server::run(command);
    drop(root);
    server
}

/// The fields of a response but for those that say when and how it came.
fn fields_of(response: &Response) -> Vec<String> {
    let lines = response.head.lines().filter(|line| !line.starts_with("Date:") && !line.starts_with("Age:"));
    lines.map(str::to_owned).collect()
}

/// The files of usual sites, as the tests of other servers' configurations have them.
#[test]
fn each_type_of_a_site_is_compressed_or_sent_as_it_is() {
    const CODED: &[&str] = &[
        "atom",
        "bmp",
        "css",
        "cur",
        "eot",
        "geojson",
        "html",
        "ico",
        "ics",
        "js",
        "json",
        "jsonld",
        "md",
        "mjs",
        "otf",
        "rdf",
        "rss",
        "svg",
        "topojson",
        "ttf",
        "txt",
        "vcf",
        "vtt",
        "wasm",
        "webmanifest",
        "xhtml",
        "xml",
    ];
    const PLAIN: &[&str] =
        &["avif", "gif", "gz", "jpg", "mp3", "mp4", "pdf", "png", "webm", "webp", "woff", "woff2", "zip", "unknown"];
    let (root, content) = (Root::new(), page(3_000));
    for extension in CODED.iter().chain(PLAIN) {
        root.old_file(&format!("a.{extension}"), &content);
    }
    let server = Server::start(&root, &[]);
    let varies = |response: &Response| response.field("Vary") == Some("Accept-Encoding");
    for extension in CODED {
        let path = format!("/a.{extension}");
        let get = || server.get_with(&path, GZIP);
        assert!(eventually(|| get().field("Content-Encoding") == Some("gzip")), "{path}");
        let (coded, plain) = (get(), server.get(&path));
        assert_eq!((decode(&coded.body), plain.text()), (content.clone(), content.clone()), "{path}");
        assert!(varies(&coded) && varies(&plain) && plain.field("Content-Encoding").is_none(), "{path}");
        assert!(coded.body.len() < content.len() / 2 && coded.field("ETag") != plain.field("ETag"), "{path}");
        for response in [coded, plain] {
            let media_type = response.field("Content-Type").expect("its type is known");
            assert!(
                !media_type.starts_with("text/") || media_type.ends_with("; charset=utf-8"),
                "{path}: {media_type}"
            );
            assert_eq!(response.field("X-Content-Type-Options"), Some("nosniff"), "{path}");
        }
    }
    for extension in PLAIN {
        let response = server.get_with(&format!("/a.{extension}"), GZIP);
        assert_eq!(response.text(), content, "{extension}");
        assert!(!varies(&response) && response.field("Content-Encoding").is_none(), "{extension}");
    }
}

#[test]
fn a_proxied_page_is_compressed_for_those_who_accept_it() {
    let origin = Script::answering(|head| {
        let page = page(5000);
        let fields = "Content-Type: text/html\r\nETag: \"a\"\r\nAccept-Ranges: bytes\r\nVary: Cookie\r\n";
        let answer = ok(fields, &page);
        let end = if head.starts_with("HEAD") { answer.len() - page.len() } else { answer.len() };
        answer[..end].to_vec()
    });
    let server = before(&origin, &[]);
    let coded = server.get_with("/", GZIP);
    assert_eq!(coded.field("Content-Encoding"), Some("gzip"));
    assert_eq!(coded.field("Vary"), Some("Cookie, Accept-Encoding"));
    assert_eq!(
        (coded.field("ETag"), coded.count("Content-Length"), coded.count("Accept-Ranges")),
        (Some("W/\"a\""), 0, 0)
    );
    assert_eq!(decode(&coded.body), page(5000));
    assert!(coded.body.len() < 2000, "{}", coded.body.len());
    for lines in
        ["", "Accept-Encoding: br\r\n", "Accept-Encoding: gzip;q=0\r\n", "Accept-Encoding: identity, gzip;q=0.5\r\n"]
    {
        let plain = server.get_with("/", lines);
        assert_eq!((plain.field("ETag"), plain.count("Content-Encoding")), (Some("\"a\""), 0), "{lines}");
        assert_eq!(plain.field("Vary"), Some("Cookie, Accept-Encoding"), "{lines}");
        assert_eq!(plain.text(), page(5000));
    }
    for lines in ["", GZIP, "Accept-Encoding: x-gzip;q=0.001, identity;q=0\r\n"] {
        let mut client = server.connect();
        client.send(head_with("/", lines));
        assert_eq!(fields_of(&client.response_to("HEAD")), fields_of(&server.get_with("/", lines)), "{lines}");
    }
}

#[test]
fn who_prefers_zstd_gets_it_where_it_is_made() {
    // In one piece, and in several.
    for size in [5_000, 300_000] {
        let origin = Script::answering(move |_| ok("Content-Type: text/html\r\n", &page(size)));
        for (arguments, lines, expected) in [
            (&["--compress", "gzip,zstd"][..], "Accept-Encoding: zstd\r\n", "zstd"),
            (&["--compress", "zstd"], "Accept-Encoding: gzip, zstd;q=0.1\r\n", "zstd"),
            (&["--compress", "gzip,zstd"], "Accept-Encoding: gzip, deflate, br, zstd\r\n", "zstd"),
            (&["--compress", "gzip,zstd"], "Accept-Encoding: gzip, zstd;q=0.1\r\n", "gzip"),
            (&["--compress", "gzip,zstd"], GZIP, "gzip"),
            (&["--compress", "gzip"], "Accept-Encoding: zstd\r\n", ""),
            (&[], "Accept-Encoding: gzip, deflate, br, zstd\r\n", "gzip"),
            (&["--compress", "off"], "Accept-Encoding: gzip, zstd\r\n", ""),
        ] {
            let response = before(&origin, arguments).get_with("/", lines);
            assert_eq!(response.field("Content-Encoding").unwrap_or_default(), expected, "{arguments:?} {lines}");
            let content = match expected {
                "zstd" => decode_zstd(&response.body),
                "gzip" => decode(&response.body),
                _ => response.text(),
            };
            assert!(content == page(size), "{size} bytes, {arguments:?} {lines}");
            assert!(expected.is_empty() || response.body.len() < size / 3, "{}", response.body.len());
        }
    }
}

#[test]
fn what_must_not_be_changed_passes_unchanged() {
    let body = page(3000);
    for (fields, request) in [
        ("Content-Type: text/html\r\nContent-Encoding: br\r\n", GZIP),
        ("Content-Type: text/html\r\nCache-Control: no-transform\r\n", GZIP),
        ("Content-Type: image/png\r\n", GZIP),
        ("Content-Type: text/event-stream\r\n", GZIP),
        ("", GZIP),
        // Other servers may have other codings, and their responses are never refused.
        ("Content-Type: text/html\r\nContent-Encoding: zstd\r\n", "Accept-Encoding: zstd, identity;q=0\r\n"),
    ] {
        let (sent, answer) = (body.clone(), ok(fields, &body));
        let origin = Script::answering(move |_| answer.clone());
        let response = before(&origin, &[]).get_with("/", request);
        assert_eq!(response.text(), sent, "{fields}");
        assert_eq!((response.count("Vary"), response.field("Content-Length")), (0, Some("3000")), "{fields}");
        assert!(response.head.contains(fields), "{}", response.head);
    }
    let small = Script::answering(|_| ok("Content-Type: text/html\r\n", &page(1000)));
    let response = before(&small, &[]).get_with("/", GZIP);
    assert_eq!((response.text(), response.count("Vary")), (page(1000), 0));
    let part = Script::answering(|_| {
        let fields = "Content-Type: text/html\r\nContent-Range: bytes 0-2999/9000\r\nContent-Length: 3000\r\n\r\n";
        format!("HTTP/1.1 206 Partial Content\r\n{fields}{}", page(3000))
    });
    let response = before(&part, &[]).get_with("/", GZIP);
    assert_eq!((response.status, response.text(), response.count("Content-Encoding")), (206, page(3000), 0));
}

#[test]
fn a_304_has_the_entity_tag_that_the_client_has() {
    let origin = Script::answering(|_| "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n");
    let server = before(&origin, &[]);
    for (known, tag) in [("W/\"a\"", "W/\"a\""), ("\"a\"", "\"a\"")] {
        let response = server.get_with("/", &format!("{GZIP}If-None-Match: {known}\r\n"));
        assert_eq!((response.status, response.field("ETag")), (304, Some(tag)));
        assert_eq!(response.field("Vary"), Some("Accept-Encoding"));
    }
}

#[test]
fn events_arrive_when_they_happen() {
    for (arguments, is_coded) in [(&[][..], false), (&["--compress-types", "default,text/event-stream"], true)] {
        let (go, told) = channel::<()>();
        let told = Mutex::new(told);
        let origin = Script::start(move |_, stream| {
            read_head(stream);
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n").unwrap();
            for number in 0..5 {
                write!(stream, "data: {number}\n\n").unwrap();
                told.lock().unwrap().recv_timeout(TIMEOUT).expect("the event has arrived");
            }
        });
        let server = before(&origin, arguments);
        let mut client = server.connect();
        client.send(get_with("/", GZIP));
        let mut received = Vec::new();
        for number in 0..5 {
            // The next event isn't sent before this one is here.
            let expected: String = (0..=number).map(|number| format!("data: {number}\n\n")).collect();
            loop {
                received.extend(client.take(1));
                let Some(end) = received.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
                let mut body = Vec::new();
                take_chunks(&received[end + 4..], &mut body);
                let content = if is_coded { decode_part(&body).0 } else { String::from_utf8(body).unwrap() };
                if content == expected {
                    break;
                }
            }
            go.send(()).unwrap();
        }
        let head = String::from_utf8_lossy(&received);
        assert_eq!(head.contains("Content-Encoding: gzip"), is_coded, "{head}");
    }
}

#[test]
fn a_cut_response_stays_cut() {
    let origin = Script::start(|_, stream| {
        read_head(stream);
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 100000\r\n\r\n";
        stream.write_all((head.to_owned() + &page(50_000)).as_bytes()).unwrap();
    });
    let server = before(&origin, &[]);
    let mut client = server.connect();
    client.send(get_with("/", GZIP));
    let received = client.rest();
    let end = received.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    let mut body = Vec::new();
    assert_eq!(take_chunks(&received[end..], &mut body), None, "there is no last chunk");
    let (content, is_complete) = decode_part(&body);
    assert!(!is_complete && page(50_000).starts_with(&content) && !content.is_empty());
}

#[test]
fn stored_responses_are_compressed_and_their_ranges_are_not() {
    let fields = "Content-Type: text/html\r\nCache-Control: max-age=600\r\nETag: \"a\"\r\n";
    for size in [5_000, 3_000_000] {
        let origin = Script::answering(move |_| ok(fields, &page(size)));
        let server = configured(&origin, "[[host]]\n[[host.route]]\npath = \"/\"\nproxy = [\"URL\"]\ncache = true\n");
        for cache in ["MISS", "HIT", "HIT"] {
            let coded = server.get_with("/", GZIP);
            assert_eq!(
                (coded.field("X-Cache"), coded.field("Content-Encoding")),
                (Some(cache), Some("gzip")),
                "{size}"
            );
            assert_eq!((coded.field("ETag"), coded.field("Vary")), (Some("W/\"a\""), Some("Accept-Encoding")));
            assert!(decode(&coded.body) == page(size), "{size}, {cache}");
        }
        let plain = server.get("/");
        assert_eq!((plain.field("ETag"), plain.field("Vary")), (Some("\"a\""), Some("Accept-Encoding")));
        assert_eq!((plain.field("Content-Length"), plain.count("Content-Encoding")), (Some(&*size.to_string()), 0));
        assert!(plain.text() == page(size));
        let part = server.get_with("/", &format!("{GZIP}Range: bytes=10-19\r\n"));
        assert_eq!((part.status, part.text()), (206, page(size)[10..20].to_owned()));
        assert_eq!((part.field("ETag"), part.field("Vary")), (Some("\"a\""), Some("Accept-Encoding")));
        let same = server.get_with("/", &format!("{GZIP}If-None-Match: W/\"a\"\r\n"));
        assert_eq!(
            (same.status, same.field("ETag"), same.field("Vary")),
            (304, Some("W/\"a\""), Some("Accept-Encoding"))
        );
        let mut client = server.connect();
        client.send(head_with("/", GZIP));
        assert_eq!(fields_of(&client.response_to("HEAD")), fields_of(&server.get_with("/", GZIP)));
    }
}

#[test]
fn what_an_origin_has_coded_itself_is_stored_for_each_coding() {
    let fields = "Content-Type: text/html\r\nCache-Control: max-age=600\r\nVary: Accept-Encoding\r\n";
    let origin = Script::answering(move |head| match head.contains("Accept-Encoding: gzip\r\n") {
        true => {
            let coded = compress(page(5000).as_bytes(), 9);
            let head = format!("{fields}ETag: \"gz\"\r\nContent-Encoding: gzip\r\nContent-Length: {}", coded.len());
            [format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n").as_bytes(), &coded].concat()
        }
        false => ok(&format!("{fields}ETag: \"a\"\r\n"), &page(5000)),
    });
    let server = configured(&origin, "[[host]]\n[[host.route]]\npath = \"/\"\nproxy = [\"URL\"]\ncache = true\n");
    for cache in ["MISS", "HIT", "HIT"] {
        for (lines, coding, tag) in [(GZIP, Some("gzip"), "\"gz\""), ("", None, "\"a\"")] {
            let response = server.get_with("/", lines);
            assert_eq!((response.field("X-Cache"), response.field("Content-Encoding")), (Some(cache), coding));
            assert_eq!((response.field("ETag"), response.count("Vary")), (Some(tag), 1));
            let content = if coding.is_some() { decode(&response.body) } else { response.text() };
            assert_eq!(content, page(5000));
        }
    }
}

#[test]
fn a_route_can_be_without_codings() {
    let origin = Script::answering(|_| ok("Content-Type: text/html\r\n", &page(5000)));
    let route = |path: &str, rule: &str| format!("[[host.route]]\npath = \"{path}\"\nproxy = [\"URL\"]\n{rule}\n");
    let routes = route("/", "") + &route("/secret", "compress = false") + &route("/secret/open", "compress = true");
    let server = configured(&origin, &format!("[[host]]\n{routes}"));
    for (path, coding, vary) in
        [("/", Some("gzip"), 1), ("/secret", None, 0), ("/secret/x", None, 0), ("/secret/open", Some("gzip"), 1)]
    {
        let response = server.get_with(path, GZIP);
        assert_eq!((response.field("Content-Encoding"), response.count("Vary")), (coding, vary), "{path}");
    }
    let off = before(&origin, &["--compress", "off"]);
    assert_eq!(fields_of(&off.get_with("/", GZIP)), fields_of(&off.get("/")));
}

#[test]
fn a_route_can_forbid_that_content_is_changed() {
    let origin = Script::answering(|_| ok("Content-Type: text/html\r\nCache-Control: max-age=5\r\n", &page(5000)));
    let route = |path: &str, headers: &str| {
        format!("[[host.route]]\npath = \"{path}\"\nproxy = [\"URL\"]\nheaders = {headers}\n")
    };
    let routes = route("/set", "{ set = { Cache-Control = \"private, No-Transform\" } }")
        + &route("/add", "{ add = { cache-control = \"no-transform\" } }")
        + &route("/other", "{ add = { Cache-Control = \"private\", X-Cache-Control = \"no-transform\" } }");
    let server = configured(&origin, &format!("[[host]]\n{routes}"));
    for (path, coding, vary) in [("/set", None, 0), ("/add", None, 0), ("/other", Some("gzip"), 1)] {
        let response = server.get_with(path, GZIP);
        assert_eq!((response.field("Content-Encoding"), response.count("Vary")), (coding, vary), "{path}");
    }
}

#[test]
fn without_an_encoder_left_responses_are_sent_as_they_are() {
    let (go, told) = channel::<()>();
    let told = Mutex::new(told);
    let origin = Script::parallel(move |number, stream| {
        read_head(stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n").unwrap();
        stream.write_all(page(2000).as_bytes()).unwrap();
        if number == 0 {
            told.lock().unwrap().recv_timeout(TIMEOUT).expect("a word from the test");
        }
    });
    // An eighth of it is one encoder, not two.
    let server = before(&origin, &["--max-memory", "4M"]);
    let mut first = server.connect();
    first.send(get_with("/", GZIP));
    let head = String::from_utf8_lossy(&first.take(180)).into_owned();
    assert!(head.contains("Content-Encoding: gzip"), "{head}");
    let second = server.get_with("/", GZIP);
    assert_eq!((second.count("Content-Encoding"), second.field("Vary")), (0, Some("Accept-Encoding")));
    assert_eq!(second.text(), page(2000));
    go.send(()).unwrap();
    let mut third = None;
    assert!(eventually(|| {
        third = server.get_with("/", GZIP).field("Content-Encoding").map(str::to_owned);
        third.is_some()
    }));
}

#[test]
fn applications_are_compressed_at_once_or_as_they_stream() {
    let server = Server::start(&Root::new(), &["--apps"]);
    let whole = server.get_with("/lab", GZIP);
    assert_eq!(whole.field("Content-Encoding"), Some("gzip"), "{}", whole.head);
    assert_eq!(whole.field("Content-Length"), Some(&*whole.body.len().to_string()));
    // Its foot has the number of the connection.
    let without_numbers = |text: String| text.replace(|c: char| c.is_ascii_digit(), "");
    assert_eq!(without_numbers(decode(&whole.body)), without_numbers(server.get("/lab").text()));
    let stream = server.get_with("/lab/stream?chunks=20&ms=1", GZIP);
    assert_eq!((stream.field("Content-Encoding"), stream.field("Transfer-Encoding")), (Some("gzip"), Some("chunked")));
    let plain = server.get("/lab/stream?chunks=20&ms=1").text();
    assert_eq!(without_numbers(decode(&stream.body)), without_numbers(plain));
    for path in ["/lab", "/lab/stream?chunks=20&ms=1", "/lab/hello", "/lab/status/404"] {
        for lines in ["", GZIP, "Accept-Encoding: gzip, identity;q=0\r\n", "Accept-Encoding: br, identity;q=0\r\n"] {
            let mut client = server.connect();
            client.send(head_with(path, lines));
            let (head, get) = (client.response_to("HEAD"), server.get_with(path, lines));
            // The number of the connection is part of pages, but not of this text.
            let has_number = |line: &String| line.starts_with("Content-Length") && path != "/lab/hello";
            let without_number = |response| {
                let lines = fields_of(response).into_iter();
                lines.map(|line| if has_number(&line) { "Content-Length".to_owned() } else { line }).collect::<Vec<_>>()
            };
            assert_eq!(without_number(&head), without_number(&get), "{path} {lines}");
        }
    }
    // It shows the fields of the request, and so cookies.
    let inspect = server.get_with("/lab/inspect", &format!("{GZIP}X: {}\r\n", "a".repeat(2000)));
    assert_eq!((inspect.count("Content-Encoding"), inspect.field("Vary")), (0, Some("Accept")));
    assert!(inspect.body.len() > 2000);
}

#[test]
fn listings_are_compressed_as_they_stream() {
    let root = Root::new();
    (0..200).for_each(|number| _ = root.file(&format!("a/file-{number}.txt"), ""));
    let server = Server::start(&root, &["--listing"]);
    let (coded, plain) = (server.get_with("/a/", GZIP), server.get("/a/"));
    assert_eq!((coded.field("Content-Encoding"), coded.field("Vary")), (Some("gzip"), Some("Accept, Accept-Encoding")));
    assert_eq!(plain.field("Vary"), Some("Accept, Accept-Encoding"));
    assert_eq!(decode(&coded.body), plain.text());
}

#[test]
fn who_refuses_identity_gets_a_coding_or_406() {
    let server = Server::start(&Root::new(), &["--apps"]);
    let small = server.get_with("/lab/hello", "Accept: text/plain\r\nAccept-Encoding: gzip, *;q=0\r\n");
    assert_eq!((small.status, small.field("Content-Encoding")), (200, Some("gzip")));
    let refused = server.get_with("/lab/hello", "Accept-Encoding: br, identity;q=0\r\n");
    assert_eq!((refused.status, refused.field("Vary")), (406, Some("Accept-Encoding")));
    let secret = server.get_with("/lab/inspect", "Accept-Encoding: gzip, identity;q=0\r\n");
    assert_eq!((secret.status, secret.field("Vary")), (406, Some("Accept-Encoding")));
}

fn post(path: &str, fields: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\n{fields}Content-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

#[test]
fn the_coding_of_a_request_is_taken_off() {
    let server = Server::start(&Root::new(), &["--apps", "--body-limit", "100K"]);
    let content = page(90_000);
    let members = [compress(&content.as_bytes()[..50_000], 5), compress(&content.as_bytes()[50_000..], 1)].concat();
    for (path, fields) in [
        ("/lab/echo", "Content-Encoding: gzip\r\n"),
        ("/lab/echo", "Content-Encoding: X-Gzip\r\n"),
        ("/lab/echo", "Content-Encoding: identity, gzip\r\n"),
    ] {
        for body in [&compress(content.as_bytes(), 5), &members] {
            let response = server.exchange(post(path, fields, body));
            assert_eq!((response.status, response.text() == content), (200, true), "{fields}");
        }
    }
    let plain = server.exchange(post("/lab/echo", "Content-Encoding: identity\r\n", b"plain"));
    assert_eq!((plain.status, plain.text()), (200, "plain".to_owned()));
    // In pieces, to an application that gets it in pieces.
    let digest = |fields: &str, body: &[u8]| server.exchange(post("/lab/digest", fields, body)).text();
    assert_eq!(digest("Content-Encoding: gzip\r\n", &members), digest("", content.as_bytes()));
    let coded = compress(content.as_bytes(), 5);
    let mut client = server.connect();
    let head =
        "POST /lab/echo HTTP/1.1\r\nHost: localhost\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n";
    client.send(head);
    for piece in coded.chunks(7) {
        client.send([format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat());
    }
    client.send("0\r\n\r\n");
    assert_eq!(client.response().text(), content);
    // The connection persists.
    client.send(post("/lab/echo", "", b"next"));
    assert_eq!(client.response().text(), "next");
}

#[test]
fn what_is_no_gzip_is_refused() {
    let server = Server::start(&Root::new(), &["--apps", "--body-limit", "1M"]);
    let coded = compress(page(5000).as_bytes(), 5);
    let gzip = "Content-Encoding: gzip\r\n";
    for path in ["/lab/echo", "/lab/digest"] {
        for (body, fields, status) in [
            (&b"plain text"[..], gzip, 400),
            (&coded[..coded.len() - 1], gzip, 400),
            (&[&coded[..], b"garbage"].concat(), gzip, 400),
            (&[&coded[..], b"\0\0"].concat(), gzip, 400),
            (&compress(&vec![0; 20_000_000], 9), gzip, 413),
            (&compress(&vec![0; (1 << 20) + 1], 9), gzip, 413),
            (&compress(&vec![0; 1 << 20], 9), gzip, 200),
            (b"", gzip, 200),
            (b"x", "Content-Encoding: br\r\n", 415),
            (&coded, "Content-Encoding: gzip, gzip\r\n", 415),
            (&coded, "Content-Encoding: deflate\r\n", 415),
        ] {
            // Who gets it in pieces has a limit of its own.
            let status = if status == 413 && path == "/lab/digest" { 200 } else { status };
            let response = server.exchange(post(path, fields, body));
            assert_eq!(response.status, status, "{path} {fields} {} bytes", body.len());
            let accepted = (status == 415).then_some("gzip");
            assert_eq!(response.field("Accept-Encoding"), accepted, "{fields}");
        }
    }
    // Who asks first whether it may send the content is told so at once.
    let mut client = server.connect();
    client.send("POST /lab/echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Encoding: br\r\nContent-Length: 5\r\n\r\n");
    assert!(client.rest().starts_with(b"HTTP/1.1 415 "));
    // Many members without content are work, too, but not too much.
    let empty = compress(b"", 1).repeat(40_000);
    assert_eq!(server.exchange(post("/lab/echo", gzip, &empty)).status, 200);
    let used = server.memory();
    assert!(used < 64 << 20, "{used}");
}

#[test]
fn the_content_of_a_proxied_request_passes_unchanged() {
    let origin = Script::parallel(|_, stream: &mut TcpStream| {
        let head = read_head(stream);
        let mut byte = [0; 5];
        std::io::Read::read_exact(stream, &mut byte).unwrap();
        let body = head + &String::from_utf8_lossy(&byte);
        stream.write_all(&ok("", &body)).unwrap();
    });
    let server = before(&origin, &[]);
    let text = server.exchange(post("/", "Content-Encoding: br\r\n", b"coded")).text();
    assert!(text.contains("Content-Encoding: br\r\n") && text.ends_with("coded"), "{text}");
}

#[test]
fn what_compression_saves_is_counted() {
    let origin = Script::answering(|_| ok("Content-Type: text/html\r\n", &page(5000)));
    let socket = Root::new();
    let admin = format!("unix:{}", socket.at("admin").display());
    let server = before(&origin, &["--admin", &admin]);
    let coded = server.get_with("/", GZIP).body.len();
    let mut stream = std::os::unix::net::UnixStream::connect(socket.at("admin")).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    std::io::Read::read_to_string(&mut stream, &mut text).unwrap();
    for line in [
        "\nmiod_http_compressed_from_bytes_total 5000\n".to_owned(),
        format!("\nmiod_http_compressed_to_bytes_total {coded}\n"),
    ] {
        assert!(text.contains(&line), "{line}: {text}");
    }
}

#[test]
#[ignore = "needs curl"]
fn curl_decodes_what_it_gets() {
    let version = std::process::Command::new("curl").arg("-V").output().unwrap().stdout;
    let knows_zstd = String::from_utf8_lossy(&version).split_whitespace().any(|feature| feature == "zstd");
    for (codings, expected) in [("gzip", "gzip"), ("gzip,zstd", if knows_zstd { "zstd" } else { "gzip" })] {
        let server = Server::start(&Root::new(), &["--apps", "--compress", codings]);
        let url = format!("http://{}/lab", server.address());
        let run = |arguments: &[&str]| {
            let output =
                std::process::Command::new("curl").args(["-sS", "--noproxy", "*"]).args(arguments).arg(&url).output();
            // The page has the number of the connection.
            String::from_utf8(output.unwrap().stdout).unwrap().replace(|c: char| c.is_ascii_digit(), "")
        };
        assert_eq!(run(&["--compressed"]), run(&[]));
        assert!(run(&["--compressed", "-I"]).contains(&format!("Content-Encoding: {expected}")));
    }
}

#[test]
#[ignore = "needs chromium"]
fn chromium_decodes_what_it_gets() {
    let root = Root::new();
    let script = "document.body.append(\"a script ran\");".to_owned() + &"// a comment\n".repeat(200);
    let html = |body: &str| {
        format!("<!doctype html><title>t</title><body>{}<script src=\"script.js\"></script>{body}", page(5000))
    };
    root.old_file("made.html", html("made")).old_file("sibling.html", html("old"));
    root.old_file("sibling.html.gz", compress(html("sibling").as_bytes(), 9)).old_file("script.js", script);
    let logs = Root::new();
    let log = logs.at("access.log");
    let mut command = miod();
    command.args(["-p", "0", "--apps", "--access-log"]).arg(&log).arg(root.path());
    let server = Server::run(command);
    assert!(eventually(|| server.get_with("/made.html", GZIP).field("Content-Encoding").is_some()));
    let profile = Root::new();
    for (path, end) in
        [("/made.html", "made"), ("/sibling.html", "sibling"), ("/lab/stream?chunks=100&ms=0", "chunk 100 of 100")]
    {
        let document =
            browser::open(&mut browser::chromium(profile.path()), &format!("http://{}{path}", server.address()));
        assert!(document.contains(end), "{path}: {document}");
        assert!(path.starts_with("/lab") || document.contains("a script ran"), "{path}: {document}");
        let line = await_line(&log, &format!("GET {path} "));
        let size: usize = line.split("\" 200 ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
        assert!(size < 1_500, "{line}");
    }
}
