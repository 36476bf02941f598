//! What a connection reports as its memory is what it holds: compared with the bytes that
//! are freed when it is dropped, in each of its states. A process of its own, since the
//! allocator counts for the whole process.

use std::alloc::System;

use miod::app::{Answer, App, BodyMode, Call, Methods, Outcome, Pull, Push, Request, Response, Sink, Source};
use miod::http::head::Method;
use miod::http::{Reject, Status};
use miod::reactor::{Accepted, BUFFER, Ends, Input, Io, JobClass, Output, TestContext, Tick, Time};
use miod::server::Log;
use miod::service::http::{self, Host, HostId, Http, Limits};
use miod::service::{Kind, Shared};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// What sources, sinks and contents hold.
const HELD: usize = 40_000;

/// An application for each kind of response.
struct Kinds;

struct Held(Vec<u8>);

impl Source for Held {
    fn pull(&mut self, out: &mut Vec<u8>, _: usize, now: Tick) -> Pull {
        out.push(b'x');
        Pull::Wait(now.after(std::time::Duration::from_secs(9)))
    }

    fn memory(&self) -> usize {
        self.0.capacity()
    }
}

impl Sink for Held {
    fn push(&mut self, _: &[u8]) -> Result<Push, Reject> {
        Ok(Push::More)
    }

    fn finish(self: Box<Self>) -> Outcome {
        Box::new(())
    }

    fn memory(&self) -> usize {
        self.0.capacity()
    }
}

impl App for Kinds {
    fn methods(&self, _: &[u8]) -> Methods {
        Methods::Any
    }

    fn body_mode(&self, _: Method, path: &[u8]) -> BodyMode {
        if path == b"/sink" { BodyMode::Stream { limit: 1 << 20 } } else { BodyMode::Collect }
    }

    fn handle(&mut self, request: &Request<'_>, _: &mut Call<'_>) -> Answer {
        let held = vec![b'x'; HELD];
        match request.path {
            b"/later" => Answer::later(JobClass::Files, || ()),
            b"/source" => Answer::now(Response::new(Status::OK).stream("text/plain", Held(held))),
            b"/sink" => Answer::receive(Held(held)),
            b"/watch" => Answer::Watch(0),
            _ => Answer::now(Response::new(Status::OK).content("text/plain", [held, vec![b'y'; 4 * BUFFER]].concat())),
        }
    }

    fn events(&mut self, seen: u64, _: &mut Vec<u8>, _: usize) -> u64 {
        seen
    }
}

/// Sends a request to a connection of its own. Returns what it reports, and what it frees.
fn measure(shared: &mut Shared, request: &[u8]) -> (usize, usize) {
    let local = "127.0.0.1:80".parse().unwrap();
    let ends = Ends::for_test("192.0.2.1:1".parse().unwrap(), &local);
    let mut context = TestContext::default();
    let accepted = Accepted { listener: Kind::Http(HostId::default()), ends, overloaded: false };
    let mut http = Http::open(&accepted, HostId::default(), &mut context.context(shared, Time::default(), false));
    let (mut input, mut output) = (Input::default(), Output::default());
    for piece in request.chunks(BUFFER / 2) {
        input.extend(piece);
        let mut io = Io {
            input: &mut input,
            output: &mut output,
            ended: false,
            unread: false,
            gone: false,
            established: true,
            ends,
        };
        http.advance(&mut io, &mut context.context(shared, Time::default(), false));
    }
    let reported = http.memory();
    let region = Region::new(ALLOCATOR);
    drop(http);
    (reported, region.change().bytes_deallocated)
}

#[test]
fn a_connection_reports_the_memory_that_it_holds() {
    let mut host = Host::default();
    host.routes.mount("/app", Box::new(Kinds)).unwrap();
    let mut shared = Shared::new(http::Shared::new(Limits::default(), [host]), Log::default());
    let post = |path: &str, length: usize, content: &[u8]| {
        let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n");
        [head.as_bytes(), content].concat()
    };
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\nUser-Agent: {}\r\n\r\n", "u".repeat(20_000));
    for (name, request, least) in [
        ("idle", Vec::new(), 0),
        ("part of a body", post("/app/body", 200_000, &[b'x'; 150_000]), 150_000),
        ("a body that is dropped", post("/", 60_000, &[b'x'; 50_000]), 0),
        ("a body for a sink", post("/app/sink", 200_000, &[b'x'; 150_000]), HELD),
        ("a body and a job", post("/app/later", 150_000, &[b'x'; 150_000]), 150_000),
        ("a head and a job", get("/app/later").into_bytes(), 20_000),
        ("content in memory", get("/app/content").into_bytes(), HELD),
        ("content of a source", get("/app/source").into_bytes(), HELD),
        ("events", get("/app/watch").into_bytes(), 0),
    ] {
        measure(&mut shared, &request);
        let (reported, freed) = measure(&mut shared, &request);
        assert!(freed >= least, "{name}: {freed} bytes were freed");
        // A little more is the allocator's rounding and the objects of the application.
        let difference = reported.abs_diff(freed);
        assert!(difference <= 256 + freed / 50, "{name}: reports {reported} bytes, and frees {freed}");
    }
}
