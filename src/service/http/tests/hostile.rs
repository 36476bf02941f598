//! Applications that break their contract. The result is a 500 or a visibly truncated response,
//! and other requests are still served.

use std::panic::resume_unwind;

use super::*;
use crate::app::{Answer, App, Call, Methods, Pull, Request, Response, Source};
use crate::http::Status;
use crate::http::head::Method;

/// An application that fails in the call that its path names.
struct Hostile;

/// The payload of its panic, which panics again when dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            resume_unwind(Box::new(()));
        }
    }
}

impl App for Hostile {
    fn methods(&self, path: &[u8]) -> Methods {
        match path {
            b"/methods" => resume_unwind(Box::new(Bomb)),
            _ => Methods::Only(&[Method::Get, Method::Head, Method::Post]),
        }
    }

    fn reads_session(&self) -> bool {
        resume_unwind(Box::new("reads_session"))
    }

    fn handle(&mut self, _: &Request<'_>, _: &mut Call<'_>) -> Answer {
        unreachable!("it isn't known whether it reads sessions")
    }
}

/// An application whose content has no bytes and panics when dropped.
struct Empty;

struct EmptySource;

impl Source for EmptySource {
    fn pull(&mut self, _: &mut Vec<u8>, _: usize, _: Tick) -> Pull {
        Pull::More
    }

    fn memory(&self) -> usize {
        resume_unwind(Box::new("memory"))
    }
}

impl Drop for EmptySource {
    fn drop(&mut self) {
        resume_unwind(Box::new("drop"));
    }
}

impl App for Empty {
    fn handle(&mut self, _: &Request<'_>, _: &mut Call<'_>) -> Answer {
        Answer::now(Response::new(Status::OK).stream("text/plain", EmptySource))
    }
}

fn bench() -> Bench {
    Bench::with_host(|host| {
        host.routes.mount("/hostile", Box::new(Hostile)).unwrap();
        host.routes.mount("/empty", Box::new(Empty)).unwrap();
    })
}

#[test]
fn a_panic_in_any_call_is_a_500_and_the_connection_persists() {
    for path in ["/hostile/methods", "/hostile/reads"] {
        for method in ["GET", "HEAD", "POST"] {
            let mut bench = bench();
            let request = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
            let (responses, want) = bench.exchange(request + &get("/"));
            assert_eq!((statuses(&responses), want.finish), (vec![500, 200], Finish::No), "{method} {path}");
        }
    }
}

#[test]
fn content_that_promises_more_but_adds_nothing_is_truncated() {
    let mut bench = bench();
    let (response, want) = bench.exchange(get("/empty"));
    assert_eq!((statuses(&response), body(&response), want.finish), (vec![200], "", Finish::Cut));
    let mut bench = self::bench();
    let (_, want) = bench.exchange("GET /empty HTTP/1.0\r\n\r\n");
    assert_eq!(want.finish, Finish::Abort);
    let mut bench = self::bench();
    let (responses, _) = bench.exchange("HEAD /empty HTTP/1.1\r\nHost: x\r\n\r\n".to_owned() + &get("/"));
    assert_eq!(statuses(&responses), [200, 200], "content that isn't sent is dropped");
}
