//! The service without a server.

use super::*;
use crate::app::{Body, Ports};
use crate::http::FieldLines;
use crate::http::head::parse;
use crate::reactor::{Ends, Handle, Tick, Time};

const JSON_TYPE: &str = "Content-Type: application/json\r\n";

/// The answer to a request at this Unix second: status, fields, content.
fn ask_at(kv: &mut Kv, now: i64, request: &str, lines: &str, body: &[u8]) -> (u16, Vec<(String, String)>, String) {
    let bytes = format!("{request} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n").into_bytes();
    let mut room = FieldLines::default();
    let head = parse(&bytes, &mut room).unwrap().unwrap();
    let mut path = b"/".to_vec();
    if crate::http::target::decode_path(head.target.path, &mut path).is_err() {
        path.clear();
    }
    let request = Request { head: &head, body, mount: "", path: &path };
    let local = "127.0.0.1:5100".parse().unwrap();
    let mut call = Call {
        time: Time { unix_seconds: now, ..Time::default() },
        connection: Handle::for_test(1),
        request_number: 1,
        ends: Ends::for_test("127.0.0.1:4711".parse().unwrap(), &local),
        client: None,
        secure: false,
        ports: Ports::default(),
        session: None,
        news: false,
    };
    let response = match kv.handle(&request, &mut call) {
        Answer::Now(response) => response,
        Answer::Later(_, job) => match kv.resume(&request, &mut call, job()) {
            Answer::Now(response) => response,
            _ => panic!("not at once"),
        },
        _ => panic!("neither now nor later"),
    };
    let fields = response.fields.iter().map(|(name, value)| ((*name).to_owned(), value.to_string())).collect();
    let content = match response.body {
        Body::Bytes(bytes) => bytes.into_owned(),
        Body::Source(mut source) => {
            let mut content = Vec::new();
            while source.pull(&mut content, 100, Tick::default()) == Ok(crate::app::Pull::More) {}
            content
        }
    };
    (response.status.0, fields, String::from_utf8_lossy(&content).into_owned())
}

fn ask(kv: &mut Kv, request: &str, lines: &str, body: &str) -> (u16, String) {
    let (status, _, content) = ask_at(kv, 1000, request, lines, body.as_bytes());
    (status, content)
}

fn kv() -> Kv {
    Kv::new(Store::in_memory(100_000), None)
}

#[test]
fn values_are_put_read_listed_and_deleted() {
    let mut kv = kv();
    assert_eq!(ask(&mut kv, "GET /", "", ""), (200, "{}\n".to_owned()));
    assert_eq!(ask(&mut kv, "PUT /a", JSON_TYPE, "{\"n\": 1}").0, 201);
    assert_eq!(ask(&mut kv, "PUT /a", JSON_TYPE, "[2]").0, 204);
    assert_eq!(ask(&mut kv, "PUT /b/c%20d", "Content-Type: Application/Octet-Stream;x=y\r\n", "x\u{e9}").0, 201);
    assert_eq!(ask(&mut kv, "GET /a", "", ""), (200, "[2]".to_owned()));
    assert_eq!(ask(&mut kv, "GET /", "", "").1, "{\"a\":[2],\n\"b/c d\":\"x\u{e9}\"}\n");
    assert_eq!(ask(&mut kv, "GET /?format=lines", "", "").1, "{\"a\":[2]}\n{\"b/c d\":\"x\u{e9}\"}\n");
    assert_eq!(ask(&mut kv, "DELETE /a", "", "").0, 204);
    assert_eq!(ask(&mut kv, "DELETE /a", "", "").0, 404);
    assert_eq!(ask(&mut kv, "GET /a", "", "").0, 404);
}

#[test]
fn post_makes_a_key() {
    let mut kv = kv();
    let (status, fields, content) = ask_at(&mut kv, 0, "POST /", JSON_TYPE, b"true");
    let place = &fields.iter().find(|(name, _)| name == "Location").unwrap().1;
    assert_eq!((status, content), (201, format!("{{\"key\":\"{}\"}}\n", &place[1..])));
    assert_eq!(Uuid::parse_str(&place[1..]).unwrap().get_version_num(), 4);
    assert_eq!(ask(&mut kv, &format!("GET {place}"), "", ""), (200, "true".to_owned()));
}

#[test]
fn a_value_expires_after_its_time_to_live() {
    let mut kv = kv();
    assert_eq!(ask(&mut kv, "PUT /a?ttl=10", JSON_TYPE, "1").0, 201);
    assert_eq!(ask_at(&mut kv, 1009, "GET /a", "", b"").0, 200);
    assert_eq!(ask_at(&mut kv, 1010, "GET /a", "", b"").0, 404);
    assert_eq!(ask_at(&mut kv, 1010, "GET /", "", b"").2, "{}\n");
    for wrong in ["0", "-1", "+1", "1.5", "", "x", "99999999999", "99999999999999999999"] {
        assert_eq!(ask(&mut kv, &format!("PUT /a?ttl={wrong}"), JSON_TYPE, "1").0, 400, "{wrong}");
    }
}

#[test]
fn invalid_requests_are_refused() {
    let mut kv = kv();
    let long = "k".repeat(KEY + 1);
    for (request, lines, body, status) in [
        ("PUT /a", "", "1", 415),
        ("PUT /a", "Content-Type: text/plain\r\n", "1", 415),
        ("PUT /a", "Content-Type: application/jsonp\r\n", "1", 415),
        ("POST /", "Content-Type: application/x-www-form-urlencoded\r\n", "1", 415),
        ("PUT /a", JSON_TYPE, "", 400),
        ("PUT /a", JSON_TYPE, "{\"n\":1", 400),
        ("PUT /a", JSON_TYPE, "1 2", 400),
        ("GET /?format=xml", "", "", 400),
        ("PUT /%ff", JSON_TYPE, "1", 400),
        ("PUT /a%2fb", JSON_TYPE, "1", 400),
        ("PUT /..", JSON_TYPE, "1", 400),
        ("GET /%00", "", "", 400),
        ("PUT /", JSON_TYPE, "1", 405),
        ("DELETE /", "", "", 405),
        ("POST /a", JSON_TYPE, "1", 405),
        (&format!("PUT /{long}"), JSON_TYPE, "1", 414),
        ("GET /", "Origin: http://evil.example\r\n", "", 403),
    ] {
        let (found, sentence) = ask(&mut kv, request, lines, body);
        assert_eq!(found, status, "{request} {body}");
        assert!(sentence.ends_with('\n') && sentence.len() > 10, "{sentence}");
    }
    assert_eq!(ask(&mut kv, &format!("PUT /{}", &long[1..]), JSON_TYPE, "1").0, 201);
    assert_eq!(ask(&mut Kv::new(Store::in_memory(100), Some("t".into())), "GET /", "", "").0, 401);
}

#[test]
fn a_full_store_is_507() {
    let mut kv = kv();
    let value = format!("\"{}\"", "x".repeat(60_000));
    assert_eq!(ask(&mut kv, "PUT /a", JSON_TYPE, &value).0, 201);
    assert_eq!(ask(&mut kv, "PUT /b", JSON_TYPE, &value), (507, "the store is full\n".to_owned()));
    assert_eq!(ask(&mut kv, "PUT /a", JSON_TYPE, &value).0, 204);
}

#[test]
fn the_number_of_lists_is_limited() {
    let mut kv = kv();
    let held: Vec<_> = (0..LISTINGS).map(|_| Rc::clone(&kv.listings)).collect();
    assert_eq!(ask(&mut kv, "GET /", "", "").0, 503);
    drop(held);
    assert_eq!(ask(&mut kv, "GET /", "", "").0, 200);
}

#[test]
fn deeply_nested_json_needs_no_stack() {
    let deep = "[".repeat(500_000) + &"]".repeat(500_000);
    assert!(matches!(ask(&mut Kv::new(Store::in_memory(10 << 20), None), "PUT /a", JSON_TYPE, &deep).0, 201 | 400));
}

/// The entity-tag of a key's value.
fn etag_of(kv: &mut Kv, key: &str) -> String {
    let (_, fields, _) = ask_at(kv, 1000, &format!("GET {key}"), "", b"");
    fields.into_iter().find(|(name, _)| name == "ETag").expect("an entity-tag").1
}

#[test]
fn preconditions_are_evaluated_before_a_write() {
    let mut kv = kv();
    assert_eq!(ask(&mut kv, "PUT /a", JSON_TYPE, "1").0, 201);
    let first = etag_of(&mut kv, "/a");
    for (request, lines, body, status) in [
        ("PUT /a", "If-None-Match: *\r\n".to_owned(), "2", 412),
        ("PUT /a", "If-Match: \"x\"\r\n".to_owned(), "2", 412),
        ("DELETE /a", "If-Match: \"x\"\r\n".to_owned(), "", 412),
        ("DELETE /a", format!("If-None-Match: {first}\r\n"), "", 412),
        ("DELETE /no", "If-Match: *\r\n".to_owned(), "", 404),
        ("PUT /no", "If-Match: *\r\n".to_owned(), "2", 412),
        ("POST /", "If-Match: *\r\n".to_owned(), "2", 412),
        // What is refused anyway is refused for that reason.
        ("PUT /a", "If-None-Match: *\r\n".to_owned(), "{", 400),
        // There is no date of modification.
        ("PUT /a", "If-Unmodified-Since: Thu, 01 Jan 1970 00:00:00 GMT\r\n".to_owned(), "1", 204),
    ] {
        assert_eq!(ask(&mut kv, request, &(JSON_TYPE.to_owned() + &lines), body).0, status, "{request} {lines}");
        assert_eq!((ask(&mut kv, "GET /a", "", ""), etag_of(&mut kv, "/a")), ((200, "1".to_owned()), first.clone()));
    }
    assert_eq!(ask(&mut kv, "GET /no", "", "").0, 404);
    // Compare and set.
    let matches = format!("{JSON_TYPE}If-Match: {first}\r\n");
    let (status, fields, _) = ask_at(&mut kv, 1000, "PUT /a", &matches, b"2");
    let second = etag_of(&mut kv, "/a");
    assert!(status == 204 && first != second && fields.contains(&("ETag".to_owned(), second.clone())));
    assert_eq!(ask(&mut kv, "PUT /a", &matches, "3").0, 412);
    assert_eq!(ask(&mut kv, "GET /a", &format!("If-None-Match: {second}\r\n"), ""), (304, String::new()));
    assert_eq!(ask(&mut kv, "GET /a", &format!("If-None-Match: {first}\r\n"), ""), (200, "2".to_owned()));
    assert_eq!(ask(&mut kv, "HEAD /a", "If-Match: \"x\"\r\n", "").0, 412);
    assert_eq!(ask(&mut kv, "PUT /b", &format!("{JSON_TYPE}If-None-Match: *\r\n"), "1").0, 201);
    assert_eq!(ask(&mut kv, "DELETE /a", &format!("If-Match: {second}\r\n"), "").0, 204);
    // The type belongs to the representation.
    let bytes = "Content-Type: application/octet-stream\r\n";
    assert_eq!(ask(&mut kv, "PUT /c", bytes, "1").0, 201);
    assert_ne!(etag_of(&mut kv, "/b"), etag_of(&mut kv, "/c"));
}

#[test]
fn a_pending_write_counts_for_preconditions() {
    let directory = std::env::temp_dir().join(format!("miod-kv-pending-{}", std::process::id()));
    let mut kv = Kv::new(Store::open(&directory, "kv", 100_000).unwrap(), None);
    let lines = format!("{JSON_TYPE}If-None-Match: *\r\n");
    let mut begin = |body: &[u8]| {
        let bytes = format!("PUT /a HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n").into_bytes();
        let mut room = FieldLines::default();
        let head = parse(&bytes, &mut room).unwrap().unwrap();
        kv.put("a", false, &Request { head: &head, body, mount: "", path: b"/a" }, 1000)
    };
    let Ok(Answer::Later(_, job)) = begin(b"1") else { panic!("it is written later") };
    let Err(refused) = begin(b"2") else { panic!("the key is there") };
    assert_eq!(refused.status, Status::PRECONDITION_FAILED);
    assert!(job().downcast::<Committed>().is_ok_and(|committed| committed.outcome == Ok(false)));
    drop(kv);
    std::fs::remove_dir_all(directory).unwrap();
}
