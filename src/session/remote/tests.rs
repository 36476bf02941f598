//! Questions and answers in both languages, without a connection.

use super::*;
use crate::session::pending::Ticket;
use crate::testing::every_split;

const TEXT: &str = "{\"@\":[1,2],\"n\":1}";

fn redis() -> Courier {
    Courier::new(&StoreUrl::parse("redis://:pass@h/3").unwrap())
}

fn kv() -> Courier {
    Courier::new(&StoreUrl::parse("http://:t0ken@h:5100/").unwrap())
}

fn ids() -> (Id, Id) {
    let id = |text: &str| Id::parse(text.as_bytes()).unwrap();
    (id("11111111-1111-4111-8111-111111111111"), id("22222222-2222-4222-8222-222222222222"))
}

/// One question of each kind: a load, a save, one under another identifier, an end.
fn questions() -> [Question; 4] {
    let (id, old) = ids();
    let save = |was| Question::Save { id, was, text: TEXT.into(), seconds: 60 };
    [Question::Load(id), save(Some(id)), save(Some(old)), Question::End(id)]
}

fn ask(courier: &mut Courier) -> String {
    let mut out = Vec::new();
    courier.begin(Tick::default(), &mut out);
    for (at, question) in questions().iter().enumerate() {
        courier.ask(Ticket(at as u64), question, Tick::default(), &mut out);
    }
    String::from_utf8(out).unwrap()
}

/// All that comes of these bytes after one question of each kind.
fn replies(make: fn() -> Courier, bytes: &[u8]) -> (Vec<(u64, Reply)>, Option<Fault>, usize) {
    every_split(bytes, &[], |pieces| {
        let (mut courier, mut input, mut replies) = (make(), Vec::new(), Vec::new());
        ask(&mut courier);
        for piece in pieces {
            input.extend_from_slice(piece);
            loop {
                match courier.read(&mut input) {
                    Err(fault) => return (replies, Some(fault), courier.len()),
                    Ok(Read { consumed: 0, reply: None }) => break,
                    Ok(Read { consumed, reply }) => {
                        input.drain(..consumed);
                        replies.extend(reply.map(|(ticket, reply)| (ticket.0, reply)));
                    }
                }
            }
        }
        (replies, None, courier.len())
    })
}

#[test]
fn what_redis_is_asked() {
    let mut courier = redis();
    let words = |text: String| text.lines().filter(|line| !line.starts_with(['*', '$'])).collect::<Vec<_>>().join(" ");
    let (id, old) = ids();
    assert_eq!(
        words(ask(&mut courier)),
        format!(
            "AUTH pass SELECT 3 GET miod:session:{id} SET miod:session:{id} {TEXT} EX 60 \
             SET miod:session:{id} {TEXT} EX 60 DEL miod:session:{old} DEL miod:session:{id}"
        )
    );
    assert_eq!((courier.len(), courier.waits_since()), (7, Some(Tick::default())));
}

#[test]
fn what_a_key_value_service_is_asked() {
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
fn what_redis_answers() {
    let all = |load: &str, middle: &str| format!("+OK\r\n+OK\r\n{load}+OK\r\n{middle}:1\r\n:0\r\n");
    let loaded = |text: Option<&str>| Reply::Loaded(text.map(|text| text.as_bytes().to_vec()));
    let saved = |at| (at, Reply::Saved);
    assert_eq!(
        replies(redis, all("$3\r\nabc\r\n", "+OK\r\n").as_bytes()),
        (vec![(0, loaded(Some("abc"))), saved(1), saved(2), saved(3)], None, 0)
    );
    // One command of a question fails, and the next question is another matter.
    assert_eq!(
        replies(redis, all("$-1\r\n", "-OOM command not allowed\r\n").as_bytes()),
        (vec![(0, loaded(None)), saved(1), (2, Reply::Failed), saved(3)], None, 0)
    );
    // Without leave nothing is answered.
    let (answers, fault, _) = replies(redis, b"-WRONGPASS invalid\r\n");
    assert_eq!((answers.len(), fault.unwrap().0), (0, "it doesn't let us in: WRONGPASS invalid".to_owned()));
    for garbage in
        ["HTTP/1.1 400 Bad Request\r\n\r\n", "+OK\r\n+OK\r\n*1\r\n:1\r\n", "+OK\r\n+OK\r\n+OK\r\n", "\0\0\0\0"]
    {
        let (answers, fault, _) = replies(redis, garbage.as_bytes());
        assert!(answers.is_empty() && fault.is_some(), "{garbage:?}");
    }
    let more = all("$-1\r\n", "+OK\r\n") + "+OK\r\n";
    assert!(replies(redis, more.as_bytes()).1.is_some(), "nobody asked for that");
}

#[test]
fn what_a_key_value_service_answers() {
    let head = "HTTP/1.1 ";
    let text = |status: &str, body: &str| format!("{head}{status}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let none = format!("{head}204 No Content\r\n\r\n");
    let missing = text("404 Not Found", "there is no such key\n");
    let loaded = Reply::Loaded(Some(TEXT.into()));
    let saved = |at| (at, Reply::Saved);
    let fine = [text("200 OK", TEXT), none.clone(), text("201 Created", ""), none.clone(), missing.clone()].concat();
    assert_eq!(replies(kv, fine.as_bytes()), (vec![(0, loaded), saved(1), saved(2), saved(3)], None, 0));
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
        let (answers, fault, _) = replies(kv, garbage.as_bytes());
        assert!(answers.is_empty() && fault.is_some(), "{garbage:?}");
    }
}

#[test]
fn a_service_that_ends_the_connection_says_so() {
    let mut courier = kv();
    courier.ask(Ticket(1), &questions()[0], Tick::default(), &mut Vec::new());
    assert!(!courier.is_over());
    let mut answer = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec();
    let read = courier.read(&mut answer).unwrap();
    assert_eq!(read.reply, Some((Ticket(1), Reply::Loaded(None))));
    assert!(courier.is_over() && courier.is_empty());
}

#[test]
fn no_answer_is_too_long() {
    let long = "x".repeat(REPLY + 100);
    let mut courier = Courier::new(&StoreUrl::parse("redis://h").unwrap());
    courier.ask(Ticket(1), &questions()[0], Tick::default(), &mut Vec::new());
    assert!(courier.read(&mut format!("$9999999\r\n{long}").into_bytes()).is_err());
    let mut courier = kv();
    courier.ask(Ticket(1), &questions()[0], Tick::default(), &mut Vec::new());
    let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n{long}").into_bytes();
    assert!(courier.read(&mut answer).is_err());
    // What the store refused is told once.
    let mut courier = Courier::new(&StoreUrl::parse("redis://h").unwrap());
    courier.ask(Ticket(1), &questions()[0], Tick::default(), &mut Vec::new());
    assert_eq!(courier.read(b"-LOADING\r\n".to_vec().as_mut_slice()).unwrap().reply, Some((Ticket(1), Reply::Failed)));
    assert_eq!((courier.refusal(), courier.refusal()), (Some("LOADING".to_owned()), None));
}
