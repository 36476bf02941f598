//! Operations and replies in both protocols, without a connection.

use super::*;
use crate::session::pending::Ticket;
use crate::testing::every_split;

const TEXT: &str = "{\"@\":[1,2],\"n\":1}";

fn redis() -> Pipeline {
    Pipeline::new(&StoreUrl::parse("redis://:pass@h/3").unwrap())
}

fn kv() -> Pipeline {
    Pipeline::new(&StoreUrl::parse("http://:t0ken@h:5100/").unwrap())
}

fn ids() -> (Id, Id) {
    let id = |text: &str| Id::parse(text.as_bytes()).unwrap();
    (id("11111111-1111-4111-8111-111111111111"), id("22222222-2222-4222-8222-222222222222"))
}

/// One operation of each kind: a load, a save, a save with a new identifier, an end.
fn operations() -> [Operation; 4] {
    let (id, old) = ids();
    let save = |was| Operation::Save { id, was, text: TEXT.into(), seconds: 60 };
    [Operation::Load(id), save(Some(id)), save(Some(old)), Operation::End(id)]
}

fn ask(pipeline: &mut Pipeline) -> String {
    let mut out = Vec::new();
    pipeline.begin(Tick::default(), &mut out);
    for (at, operation) in operations().iter().enumerate() {
        pipeline.write(Ticket(at as u64), operation, Tick::default(), &mut out);
    }
    String::from_utf8(out).unwrap()
}

/// All replies that are read from `bytes` after one operation of each kind.
fn replies(make: fn() -> Pipeline, bytes: &[u8]) -> (Vec<(u64, Reply)>, Option<ProtocolError>, usize) {
    every_split(bytes, &[], |pieces| {
        let (mut pipeline, mut input, mut replies) = (make(), Vec::new(), Vec::new());
        ask(&mut pipeline);
        for piece in pieces {
            input.extend_from_slice(piece);
            loop {
                match pipeline.read(&mut input) {
                    Err(error) => return (replies, Some(error), pipeline.len()),
                    Ok(Progress { consumed: 0, reply: None }) => break,
                    Ok(Progress { consumed, reply }) => {
                        input.drain(..consumed);
                        replies.extend(reply.map(|(ticket, reply)| (ticket.0, reply)));
                    }
                }
            }
        }
        (replies, None, pipeline.len())
    })
}

#[test]
fn operations_become_redis_commands() {
    let mut pipeline = redis();
    let words = |text: String| text.lines().filter(|line| !line.starts_with(['*', '$'])).collect::<Vec<_>>().join(" ");
    let (id, old) = ids();
    assert_eq!(
        words(ask(&mut pipeline)),
        format!(
            "AUTH pass SELECT 3 GET miod:session:{id} SET miod:session:{id} {TEXT} EX 60 \
             SET miod:session:{id} {TEXT} EX 60 DEL miod:session:{old} DEL miod:session:{id}"
        )
    );
    assert_eq!((pipeline.len(), pipeline.oldest_since()), (7, Some(Tick::default())));
}

#[test]
fn operations_become_http_requests() {
    let (id, old) = ids();
    let head = "Host: h:5100\r\nAuthorization: Bearer t0ken\r\n";
    let length = TEXT.len();
    let put = format!(
        "PUT /{id}?ttl=60 HTTP/1.1\r\n{head}Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{TEXT}"
    );
    assert_eq!(
        ask(&mut kv()),
        format!(
            "GET /{id} HTTP/1.1\r\n{head}\r\n{put}{put}DELETE /{old} HTTP/1.1\r\n{head}\r\n\
             DELETE /{id} HTTP/1.1\r\n{head}\r\n"
        )
    );
}

#[test]
fn redis_replies_are_read() {
    let all = |load: &str, middle: &str| format!("+OK\r\n+OK\r\n{load}+OK\r\n{middle}:1\r\n:0\r\n");
    let loaded = |text: Option<&str>| Reply::Loaded(text.map(|text| text.as_bytes().to_vec()));
    let saved = |at| (at, Reply::Saved);
    assert_eq!(
        replies(redis, all("$3\r\nabc\r\n", "+OK\r\n").as_bytes()),
        (vec![(0, loaded(Some("abc"))), saved(1), saved(2), saved(3)], None, 0)
    );
    // One command of an operation fails; the next operation is not affected.
    assert_eq!(
        replies(redis, all("$-1\r\n", "-OOM command not allowed\r\n").as_bytes()),
        (vec![(0, loaded(None)), saved(1), (2, Reply::Failed), saved(3)], None, 0)
    );
    // After a failed login no reply is returned.
    let (found, error, _) = replies(redis, b"-WRONGPASS invalid\r\n");
    assert_eq!((found.len(), error.unwrap().0), (0, "the store refuses the login: WRONGPASS invalid".to_owned()));
    for garbage in
        ["HTTP/1.1 400 Bad Request\r\n\r\n", "+OK\r\n+OK\r\n*1\r\n:1\r\n", "+OK\r\n+OK\r\n+OK\r\n", "\0\0\0\0"]
    {
        let (found, error, _) = replies(redis, garbage.as_bytes());
        assert!(found.is_empty() && error.is_some(), "{garbage:?}");
    }
    let more = all("$-1\r\n", "+OK\r\n") + "+OK\r\n";
    assert!(replies(redis, more.as_bytes()).1.is_some(), "a reply without an operation");
}

#[test]
fn http_responses_are_read() {
    let head = "HTTP/1.1 ";
    let text = |status: &str, body: &str| format!("{head}{status}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let none = format!("{head}204 No Content\r\n\r\n");
    let missing = text("404 Not Found", "there is no such key\n");
    let loaded = Reply::Loaded(Some(TEXT.into()));
    let saved = |at| (at, Reply::Saved);
    let succeeded =
        [text("200 OK", TEXT), none.clone(), text("201 Created", ""), none.clone(), missing.clone()].concat();
    assert_eq!(replies(kv, succeeded.as_bytes()), (vec![(0, loaded), saved(1), saved(2), saved(3)], None, 0));
    let full = text("507 Insufficient Storage", "the store is full\n");
    let chunked = format!("{head}200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n");
    let some = [chunked, full, none.clone(), missing].concat();
    assert_eq!(
        replies(kv, some.as_bytes()),
        (vec![(0, Reply::Loaded(Some(b"{}".to_vec()))), (1, Reply::Failed), saved(2)], None, 1)
    );
    for garbage in
        ["+OK\r\n", "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"]
    {
        let (found, error, _) = replies(kv, garbage.as_bytes());
        assert!(found.is_empty() && error.is_some(), "{garbage:?}");
    }
}

#[test]
fn a_closing_connection_is_reported() {
    let mut pipeline = kv();
    pipeline.write(Ticket(1), &operations()[0], Tick::default(), &mut Vec::new());
    assert!(!pipeline.is_closing());
    let mut response = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec();
    let read = pipeline.read(&mut response).unwrap();
    assert_eq!(read.reply, Some((Ticket(1), Reply::Loaded(None))));
    assert!(pipeline.is_closing() && pipeline.is_empty());
}

#[test]
fn a_reply_that_is_too_long_is_an_error() {
    let long = "x".repeat(REPLY + 100);
    let mut pipeline = Pipeline::new(&StoreUrl::parse("redis://h").unwrap());
    pipeline.write(Ticket(1), &operations()[0], Tick::default(), &mut Vec::new());
    assert!(pipeline.read(&mut format!("$9999999\r\n{long}").into_bytes()).is_err());
    let mut pipeline = kv();
    pipeline.write(Ticket(1), &operations()[0], Tick::default(), &mut Vec::new());
    let mut response = format!("HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n{long}").into_bytes();
    assert!(pipeline.read(&mut response).is_err());
    // An error of the store is returned once.
    let mut pipeline = Pipeline::new(&StoreUrl::parse("redis://h").unwrap());
    pipeline.write(Ticket(1), &operations()[0], Tick::default(), &mut Vec::new());
    assert_eq!(pipeline.read(b"-ERR x\r\n".to_vec().as_mut_slice()).unwrap().reply, Some((Ticket(1), Reply::Failed)));
    assert_eq!((pipeline.error(), pipeline.error()), (Some("ERR x".to_owned()), None));
}
