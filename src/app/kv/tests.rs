//! The service without a server.

use super::*;
use crate::app::Body;
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
fn a_post_makes_a_key() {
    let mut kv = kv();
    let (status, fields, content) = ask_at(&mut kv, 0, "POST /", JSON_TYPE, b"true");
    let place = &fields.iter().find(|(name, _)| name == "Location").unwrap().1;
    assert_eq!((status, content), (201, format!("{{\"key\":\"{}\"}}\n", &place[1..])));
    assert_eq!(Uuid::parse_str(&place[1..]).unwrap().get_version_num(), 4);
    assert_eq!(ask(&mut kv, &format!("GET {place}"), "", ""), (200, "true".to_owned()));
}

#[test]
fn what_lives_for_a_time_is_gone_after_it() {
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
fn what_is_refused() {
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
fn a_full_store_says_so() {
    let mut kv = kv();
    let value = format!("\"{}\"", "x".repeat(60_000));
    assert_eq!(ask(&mut kv, "PUT /a", JSON_TYPE, &value).0, 201);
    assert_eq!(ask(&mut kv, "PUT /b", JSON_TYPE, &value), (507, "the store is full\n".to_owned()));
    assert_eq!(ask(&mut kv, "PUT /a", JSON_TYPE, &value).0, 204);
}

#[test]
fn lists_on_their_way_are_few() {
    let mut kv = kv();
    let held: Vec<_> = (0..LISTINGS).map(|_| Rc::clone(&kv.listings)).collect();
    assert_eq!(ask(&mut kv, "GET /", "", "").0, 503);
    drop(held);
    assert_eq!(ask(&mut kv, "GET /", "", "").0, 200);
}

#[test]
fn deep_json_costs_no_stack() {
    let deep = "[".repeat(500_000) + &"]".repeat(500_000);
    assert!(matches!(ask(&mut Kv::new(Store::in_memory(10 << 20), None), "PUT /a", JSON_TYPE, &deep).0, 201 | 400));
}
