//! Ranges over real connections, checked byte by byte.

mod support;

use std::ops::RangeInclusive;

use support::{Client, LONG_AGO_DATE, Response, Root, Server, get, get_with, head_with, pattern};

/// Sizes that are served from memory, and from the file descriptor.
const SIZES: [usize; 2] = [1_000, 300_000];

fn site() -> (Root, Server) {
    let root = Root::new();
    for size in SIZES {
        root.old_file(&format!("f{size}.txt"), pattern(size));
    }
    root.old_file("empty", "");
    let server = Server::start(&root, &["--listing"]);
    (root, server)
}

fn path(size: usize) -> String {
    format!("/f{size}.txt")
}

fn request(client: &mut Client, size: usize, ranges: &str) -> Response {
    client.send(get_with(&path(size), &format!("Range: {ranges}\r\n")));
    client.response()
}

/// One part of multipart/byteranges.
struct Part {
    media_type: String,
    range: String,
    content: Vec<u8>,
}

/// Parses multipart/byteranges completely.
fn parts(response: &Response) -> Vec<Part> {
    let media_type = response.field("Content-Type").unwrap();
    let boundary = media_type.strip_prefix("multipart/byteranges; boundary=").unwrap_or_else(|| panic!("{media_type}"));
    assert!(boundary.len() <= 70 && boundary.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    let mut rest = &response.body[..];
    let mut take = |count: usize| {
        let (taken, after) = rest.split_at(count);
        rest = after;
        taken.to_vec()
    };
    let delimiter = format!("\r\n--{boundary}");
    let mut parts = Vec::new();
    loop {
        assert_eq!(take(delimiter.len()), delimiter.as_bytes());
        if take(2) == b"--" {
            break;
        }
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.extend(take(1));
        }
        let head = String::from_utf8(head).unwrap();
        let value = |name: &str| {
            head.lines()
                .find_map(|line| line.strip_prefix(name))
                .unwrap_or_else(|| panic!("no {name} {head}"))
                .to_owned()
        };
        let (media_type, range) = (value("Content-Type: "), value("Content-Range: "));
        assert_eq!(head.lines().count(), 3, "{head}");
        let (first, last) = range.strip_prefix("bytes ").unwrap().split_once('/').unwrap().0.split_once('-').unwrap();
        let count = last.parse::<usize>().unwrap() - first.parse::<usize>().unwrap() + 1;
        parts.push(Part { media_type, range, content: take(count) });
    }
    assert_eq!(rest, b"\r\n");
    parts
}

#[test]
fn a_single_range_is_served() {
    let (_root, server) = site();
    let mut client = server.connect();
    for size in SIZES {
        let (content, complete) = (pattern(size), server.get(&path(size)));
        let last = size - 1;
        for (range, expected) in [
            ("bytes=0-0".to_owned(), 0..=0),
            ("bytes=0-".to_owned(), 0..=last),
            ("bytes=1-".to_owned(), 1..=last),
            ("bytes=-1".to_owned(), last..=last),
            ("bytes=-100".to_owned(), size - 100..=last),
            ("bytes=-999999999".to_owned(), 0..=last),
            ("bytes=10-999999999".to_owned(), 10..=last),
            ("bytes=7-18446744073709551615".to_owned(), 7..=last),
            ("bytes=7-99999999999999999999999".to_owned(), 7..=last),
            (format!("bytes={last}-"), last..=last),
            (format!("bytes={last}-{last}"), last..=last),
            ("BYTES=3-4".to_owned(), 3..=4),
            ("bytes= ,3-4 ,".to_owned(), 3..=4),
            (format!("bytes=3-4,{size}-"), 3..=4),
            // Ranges that overlap, touch or are closer than the length of a part's head are merged.
            ("bytes=0-9,5-20".to_owned(), 0..=20),
            ("bytes=10-20,0-9".to_owned(), 0..=20),
            ("bytes=0-9,50-59".to_owned(), 0..=59),
        ] {
            let response = request(&mut client, size, &range);
            assert_eq!(response.status, 206, "{range} of {size}");
            assert!(response.body == content[expected.clone()], "{range} of {size}: {}", response.body.len());
            let (first, last) = (expected.start(), expected.end());
            assert_eq!(response.field("Content-Range"), Some(format!("bytes {first}-{last}/{size}").as_str()));
            for name in
                ["ETag", "Last-Modified", "Cache-Control", "Content-Type", "Accept-Ranges", "X-Content-Type-Options"]
            {
                assert_eq!((response.field(name), response.count(name)), (complete.field(name), 1), "{name}");
            }
            assert_eq!(response.count("Content-Length"), 1);
        }
    }
}

#[test]
fn malformed_ranges_are_ignored() {
    let (_root, server) = site();
    let mut client = server.connect();
    let far_apart = |count: usize| (0..count).map(|i| format!("{0}-{0}", i * 10_000)).collect::<Vec<_>>().join(",");
    for size in SIZES {
        let content = pattern(size);
        for range in [
            "bytes=",
            "bytes=,",
            "bytes",
            "bytes=-",
            "bytes=a-b",
            "bytes=1",
            "bytes=5-2",
            "bytes=0-1,5-2",
            "bytes=0-1,x",
            "bytes=--1",
            "bytes=+0-1",
            "bytes=0x0-1",
            "bytes 0-1",
            "items=0-1",
            "=0-1",
            "",
        ] {
            let response = request(&mut client, size, range);
            assert_eq!((response.status, response.count("Content-Range")), (200, 0), "{range:?}");
            assert!(response.body == content, "{range:?}");
        }
        // Two Range lines are ambiguous.
        client.send(get_with(&path(size), "Range: bytes=0-1\r\nRange: bytes=4-5\r\n"));
        assert_eq!(client.response().body.len(), size);
    }
    // The maximum number of parts, and one more.
    assert_eq!(parts(&request(&mut client, 300_000, &format!("bytes={}", far_apart(16)))).len(), 16);
    assert_eq!(request(&mut client, 300_000, &format!("bytes={}", far_apart(17))).body.len(), 300_000);
    // Overlapping ranges never add up to more than the file.
    let overlapping = vec!["0-"; 120].join(",");
    assert_eq!(request(&mut client, 300_000, &format!("bytes={overlapping}")).body.len(), 300_000);
    for path in ["/", "/missing"] {
        client.send(get_with(path, "Range: bytes=0-0\r\n"));
        assert_eq!(client.response().count("Content-Range"), 0, "{path}");
    }
}

#[test]
fn head_ignores_ranges() {
    let (_root, server) = site();
    let mut client = server.connect();
    for size in SIZES {
        for range in ["bytes=0-0", "bytes=999999-", "bytes=0-0,500-500"] {
            client.send(head_with(&path(size), &format!("Range: {range}\r\n")));
            let response = client.response_to("HEAD");
            assert_eq!((response.status, response.count("Content-Range")), (200, 0), "{range}");
            assert_eq!(response.field("Content-Length"), Some(size.to_string().as_str()));
        }
        client.send(get(&path(size)));
        assert_eq!(client.response().body.len(), size);
    }
}

#[test]
fn unsatisfiable_ranges_get_416_with_the_size() {
    let (_root, server) = site();
    let mut client = server.connect();
    let check = |client: &mut Client, size: usize, range: &str| {
        client.send(get_with(&path(size), &format!("Range: {range}\r\n")));
        let response = client.response();
        assert_eq!(response.status, 416, "{range} of {size}");
        assert_eq!(response.field("Content-Range"), Some(format!("bytes */{size}").as_str()));
        assert_eq!((response.count("ETag"), response.count("Content-Length")), (0, 1));
    };
    for size in SIZES {
        for range in [format!("bytes={size}-"), format!("bytes={size}-{size}"), "bytes=-0".to_owned()] {
            check(&mut client, size, &range);
        }
        check(&mut client, size, "bytes=999999-,99999999999999999999999-,-0");
    }
}

#[test]
fn an_empty_file_is_sent_whatever_range_is_asked_for() {
    let (_root, server) = site();
    let mut client = server.connect();
    for range in ["bytes=0-0", "bytes=0-", "bytes=-5", "bytes=-0", "bytes=0-0,5-9"] {
        client.send(get_with("/empty", &format!("Range: {range}\r\n")));
        let response = client.response();
        assert_eq!((response.status, response.body.len(), response.count("Content-Range")), (200, 0, 0), "{range}");
        assert_eq!((response.field("Content-Length"), response.count("ETag")), (Some("0"), 1), "{range}");
    }
}

#[test]
fn several_ranges_are_parts_in_the_requested_order() {
    let (_root, server) = site();
    let mut client = server.connect();
    let check = |client: &mut Client, size: usize, ranges: &[RangeInclusive<usize>]| {
        let content = pattern(size);
        let list: Vec<_> = ranges.iter().map(|range| format!("{}-{}", range.start(), range.end())).collect();
        let response = request(client, size, &format!("bytes={}", list.join(", ")));
        assert_eq!((response.status, response.count("Content-Range")), (206, 0));
        assert_eq!((response.count("Content-Length"), response.count("Content-Type")), (1, 1));
        let parts = parts(&response);
        assert_eq!(parts.len(), ranges.len());
        for (part, range) in parts.iter().zip(ranges) {
            assert_eq!(part.media_type, "text/plain; charset=utf-8");
            assert_eq!(part.range, format!("bytes {}-{}/{size}", range.start(), range.end()));
            assert!(part.content == content[range.clone()], "{}", part.range);
        }
        for name in ["ETag", "Last-Modified", "Cache-Control"] {
            assert_eq!(response.count(name), 1, "{name}");
        }
    };
    for size in SIZES {
        check(&mut client, size, &[0..=9, 500..=509]);
        check(&mut client, size, &[990..=999, 0..=0, 400..=450]);
    }
    // Parts that are read into the output, and parts sent from the descriptor, alternate.
    check(&mut client, 300_000, &[0..=9, 10_000..=110_000, 200_000..=200_001, 250_000..=299_999]);
    check(&mut client, 300_000, &[100_000..=299_999, 0..=99_000]);

    // Unsatisfiable ranges are left out; a suffix is an ordinary range.
    let response = request(&mut client, 1_000, "bytes=-10,5000-,0-4");
    let ranges: Vec<_> = parts(&response).into_iter().map(|part| part.range).collect();
    assert_eq!(ranges, ["bytes 990-999/1000", "bytes 0-4/1000"]);
    // Each response has its own boundary.
    let again = request(&mut client, 1_000, "bytes=-10,0-4");
    assert_ne!(response.field("Content-Type"), again.field("Content-Type"));
}

#[test]
fn if_range_uses_strong_comparison() {
    let (root, server) = site();
    let mut client = server.connect();
    let mut status = |path: &str, value: &str| {
        client.send(get_with(path, &format!("Range: bytes=2-4\r\nIf-Range: {value}\r\n")));
        client.response().status
    };
    for size in SIZES {
        let tag = server.get(&path(size)).field("ETag").unwrap().to_owned();
        // Larger text may be compressed, and a date doesn't say which form it is of.
        let dated = if size < 1_024 { 206 } else { 200 };
        for (value, expected) in [
            (tag.as_str(), 206),
            (LONG_AGO_DATE, dated),
            ("Tuesday, 14-Nov-23 22:13:20 GMT", dated),
            (&format!("W/{tag}"), 200),
            (&format!("{tag}, {tag}"), 200),
            ("\"other\"", 200),
            ("*", 200),
            // A date must be equal, not only as new.
            ("Tue, 14 Nov 2023 22:13:21 GMT", 200),
            ("Tue, 14 Nov 2023 22:13:19 GMT", 200),
            ("some day", 200),
            ("", 200),
        ] {
            assert_eq!(status(&path(size), value), expected, "{value:?} {size}");
        }
    }
    // A file that was just written may change again within the same second.
    root.file("new", pattern(10_000));
    let response = server.get("/new");
    assert_eq!(status("/new", response.field("Last-Modified").unwrap()), 200);
    assert_eq!(status("/new", response.field("ETag").unwrap()), 200);
    // Without Range it is ignored; 304 takes precedence over a part.
    let tag = server.get(&path(1_000)).field("ETag").unwrap().to_owned();
    assert_eq!(server.get_with(&path(1_000), &format!("If-Range: {tag}\r\n")).status, 200);
    let lines = format!("Range: bytes=0-0\r\nIf-Range: {tag}\r\nIf-None-Match: {tag}\r\n");
    assert_eq!(server.get_with(&path(1_000), &lines).status, 304);
    let lines = "Range: bytes=5000-\r\nIf-Range: \"other\"\r\n";
    assert_eq!(server.get_with(&path(1_000), lines).status, 200);
}
