//! Bodies that an application receives piece by piece.

use std::panic::resume_unwind;

use super::*;
use crate::app::{Answer, App, BodyMode, Call, Methods, Outcome, Push, Request, Response, Sink};
use crate::http::head::Method;
use crate::http::{Reject, Status};
use crate::reactor::JobClass;

const LIMIT: u64 = 100_000;

/// An application that receives bodies, and responds with their size. The path determines what
/// its sink does: a job for each piece, an error, a panic.
struct Upload;

struct Counting {
    path: Vec<u8>,
    bytes: usize,
}

impl Sink for Counting {
    fn push(&mut self, content: &[u8]) -> Result<Push, Reject> {
        assert!(!content.is_empty(), "pieces are never empty");
        match &*self.path {
            b"/push" => resume_unwind(Box::new("push")),
            b"/refuse" => return Err(Reject::new(Status::INSUFFICIENT_STORAGE, "no room")),
            b"/jobs" | b"/refuse-later" | b"/resume" => {
                let bytes = content.len();
                return Ok(Push::Later(JobClass::Files, Box::new(move || Box::new(bytes))));
            }
            b"/job-panics" => {
                return Ok(Push::Later(JobClass::Files, Box::new(|| resume_unwind(Box::new("job")))));
            }
            _ => self.bytes += content.len(),
        }
        Ok(Push::More)
    }

    fn resume(&mut self, done: Outcome) -> Result<(), Reject> {
        match &*self.path {
            b"/refuse-later" => return Err(Reject::new(Status::INSUFFICIENT_STORAGE, "no room")),
            b"/resume" => resume_unwind(Box::new("resume")),
            _ => self.bytes += *done.downcast::<usize>().unwrap(),
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Outcome {
        match &*self.path {
            b"/finish" => resume_unwind(Box::new("finish")),
            _ => Box::new(self.bytes),
        }
    }

    fn memory(&self) -> usize {
        self.path.capacity()
    }
}

impl App for Upload {
    fn methods(&self, _: &[u8]) -> Methods {
        Methods::Any
    }

    fn body_mode(&self, _: Method, path: &[u8]) -> BodyMode {
        match path {
            b"/mode" => resume_unwind(Box::new("body_mode")),
            b"/collected" => BodyMode::Collect,
            _ => BodyMode::Stream { limit: LIMIT },
        }
    }

    fn handle(&mut self, request: &Request<'_>, _: &mut Call<'_>) -> Answer {
        match request.path {
            b"/no" => Answer::now(Response::new(Status::OK).text("no, thanks")),
            b"/later" => Answer::later(JobClass::Files, || ()),
            _ => Answer::receive(Counting { path: request.path.to_vec(), bytes: 0 }),
        }
    }

    fn resume(&mut self, request: &Request<'_>, _: &mut Call<'_>, done: Outcome) -> Answer {
        match done.downcast::<usize>() {
            Ok(_) if request.path == b"/twice" => Answer::receive(Counting { path: Vec::new(), bytes: 0 }),
            Ok(bytes) => Answer::now(Response::new(Status::OK).text(format!("{bytes}"))),
            Err(_) => Answer::receive(Counting { path: Vec::new(), bytes: 0 }),
        }
    }
}

fn bench() -> Bench {
    Bench::with_host(|host| host.routes.mount("/up", Box::new(Upload)).unwrap())
}

fn post(path: &str, lines: &str, content: &str) -> String {
    format!("POST /up{path} HTTP/1.1\r\nHost: x\r\n{lines}\r\n{content}")
}

#[test]
fn a_body_arrives_in_pieces_followed_by_the_next_request() {
    let requests = [
        &post("", "Content-Length: 5\r\n", "hello"),
        &post("", "Transfer-Encoding: chunked\r\n", "3;a=b\r\nwor\r\n4\r\nld!!\r\n0\r\nT: t\r\n\r\n"),
        &post("", "", ""),
        &post("", "Content-Length: 2\r\nConnection: close\r\n", "ab"),
    ];
    let requests = requests.map(|request| &**request).concat();
    let (responses, finish) = every_split(requests.as_bytes(), &[], |pieces| {
        let mut bench = bench();
        let mut responses = String::new();
        let mut finish = Finish::No;
        for piece in pieces {
            let (response, want) = bench.exchange(piece);
            responses.push_str(&response);
            finish = want.finish;
        }
        (responses, finish)
    });
    assert_eq!((statuses(&responses), finish), (vec![200; 4], Finish::Close));
    for size in ["5", "7", "0", "2"] {
        assert!(responses.contains(&format!("\r\n\r\n{size}")), "{responses}");
    }
}

#[test]
fn nothing_is_read_during_a_job_of_the_sink() {
    let mut bench = bench();
    let want = bench.send(post("/jobs", "Content-Length: 10\r\n", "01234"));
    assert_eq!((want.read, want.wake), (false, Some(bench.now.after(limits::JOB_TIMEOUT))));
    bench.peer.send(b"5678");
    assert_eq!(bench.peer.waiting(), 4, "the next piece waits");
    // The time of the job doesn't count for the timeout of the body.
    bench.now = bench.now.after(25 * SECOND);
    bench.run_jobs();
    assert_eq!((bench.phase(), bench.peer.waiting()), ("Body", 0));
    bench.now = bench.now.after(25 * SECOND);
    let want = bench.run_jobs();
    assert_eq!((want.read, want.wake), (true, Some(bench.now.after(20 * SECOND))));
    bench.send("9");
    bench.run_jobs();
    let (response, want) = bench.exchange("");
    assert_eq!((statuses(&response), body(&response), want.finish), (vec![200], "10", Finish::No));
}

#[test]
fn a_job_that_takes_too_long_is_503() {
    let mut bench = bench();
    bench.send(post("/jobs", "Content-Length: 10\r\n", "01234"));
    let want = bench.pass(limits::JOB_TIMEOUT);
    assert_eq!((statuses(&bench.responses()), want.finish), (vec![503], Finish::Linger));
}

#[test]
fn a_failure_during_the_body_is_an_error_and_closes_the_connection() {
    for (path, status) in
        [("/push", 500), ("/refuse", 507), ("/refuse-later", 507), ("/resume", 500), ("/job-panics", 500)]
    {
        let mut bench = bench();
        bench.send(post(path, "Content-Length: 10\r\n", "01234"));
        bench.run_jobs();
        let (response, want) = bench.exchange("56789");
        assert_eq!((statuses(&response), want.finish), (vec![status], Finish::Linger), "{path}");
        assert!(response.contains("Connection: close"), "{path}");
    }
}

#[test]
fn a_failure_after_the_body_is_an_error_and_keeps_the_connection() {
    // A body can be received once, and only in its mode.
    for path in ["/finish", "/twice", "/mode", "/collected"] {
        let mut bench = bench();
        let (responses, want) = bench.exchange(post(path, "Content-Length: 1\r\n", "a") + &get("/"));
        assert_eq!((statuses(&responses), want.finish), (vec![500, 200], Finish::No), "{path}");
    }
}

#[test]
fn a_response_without_the_body_closes_the_connection() {
    let mut bench = bench();
    let (response, want) = bench.exchange(post("/no", "Content-Length: 10\r\n", "01234"));
    assert_eq!((statuses(&response), want.finish), (vec![200], Finish::Linger));
    assert!(response.contains("Connection: close"));
    // Without a body there is nothing to lose.
    let mut bench = self::bench();
    let (responses, want) = bench.exchange(post("/no", "", "") + &get("/"));
    assert_eq!((statuses(&responses), want.finish), (vec![200, 200], Finish::No));
}

#[test]
fn an_application_may_decide_in_a_job_before_it_receives() {
    let mut bench = bench();
    assert!(!bench.send(post("/later", "Content-Length: 3\r\n", "abc")).read);
    bench.run_jobs();
    let (responses, want) = bench.exchange(get("/"));
    assert_eq!((statuses(&responses), want.finish), (vec![200, 200], Finish::No));
}

#[test]
fn continue_is_sent_when_the_application_receives() {
    let lines = "Expect: 100-continue\r\nContent-Length: 2\r\n";
    let mut bench = bench();
    assert_eq!(bench.exchange(post("", lines, "")).0, "HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(body(&bench.exchange("ok").0), "2");
    let mut bench = self::bench();
    let (response, want) = bench.exchange(post("/no", lines, ""));
    assert_eq!((statuses(&response), want.finish), (vec![200], Finish::Linger));
}

#[test]
fn the_application_sets_the_limit_of_a_body() {
    let content = "x".repeat(LIMIT as usize + 1);
    for (lines, content) in [
        (format!("Content-Length: {}\r\n", content.len()), String::new()),
        ("Transfer-Encoding: chunked\r\n".to_owned(), format!("{:x}\r\n{content}\r\n0\r\n\r\n", content.len())),
    ] {
        let mut bench = Bench::with_host(|host| {
            host.routes.mount("/up", Box::new(Upload)).unwrap();
            host.set_rules(Rules { body_limit: 10, ..Rules::default() });
        });
        bench.send(post("", &lines, ""));
        for piece in content.as_bytes().chunks(20_000) {
            bench.send(piece);
        }
        let (response, want) = bench.exchange("");
        assert_eq!((statuses(&response), want.finish), (vec![413], Finish::Linger), "{lines}");
    }
}

#[test]
fn the_password_is_checked_before_the_body_is_received() {
    let mut bench = Bench::with_host(|host| {
        host.routes.mount("/up", Box::new(Upload)).unwrap();
        host.guard.get_mut().protect("/up", checking::alice()).unwrap();
    });
    let want = bench.send(post("", &format!("{}Content-Length: 5\r\n", checking::RIGHT), "hello"));
    assert_eq!((bench.phase(), want.read), ("Waiting", false));
    bench.run_jobs();
    let (responses, want) = bench.exchange("");
    assert_eq!((statuses(&responses), body(&responses), want.finish), (vec![200], "5", Finish::No));
    let (responses, want) = bench.exchange(post("", "Content-Length: 5\r\n", "hello") + &get("/"));
    assert_eq!((statuses(&responses), want.finish), (vec![401, 200], Finish::No), "a small body is read and dropped");
}

#[test]
fn the_memory_of_a_sink_counts() {
    let mut bench = bench();
    bench.send(post("/path-of-a-sink", "Content-Length: 5\r\n", "hell"));
    let least = "/path-of-a-sink".len() + post("/path-of-a-sink", "Content-Length: 5\r\n", "").len();
    assert!(bench.http.memory() >= least);
}
