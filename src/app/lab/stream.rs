//! A response body that is made over time: `stream?chunks=10&ms=300`.
//!
//! Nothing sleeps: the source returns the moment of the next chunk, and the loop serves
//! other connections until then. The moments are counted from the request, so a chunk that
//! is late because the client is slow doesn't delay the next ones.

use std::fmt::Display;
use std::time::Duration;

use super::number;
use crate::app::{Answer, App, Call, Pull, Request, Response, Source};
use crate::http::Status;
use crate::reactor::Tick;

/// Most chunks.
const CHUNKS: u64 = 1_000;
/// Most milliseconds between two chunks.
const MS: u64 = 10_000;
/// Most milliseconds of a whole response.
const TOTAL_MS: u64 = 600_000;

pub(crate) struct Stream;

impl App for Stream {
    fn handle(&mut self, request: &Request<'_>, call: &mut Call<'_>) -> Answer {
        let of = |name, default, range| request.query(name).map_or(Some(default), |text| number::parse(&text, range));
        let Some(chunks) = of("chunks", 10, 1..=CHUNKS) else {
            return refuse(format_args!("chunks must be a number from 1 to {CHUNKS}"));
        };
        let Some(ms) = of("ms", 300, 0..=MS) else {
            return refuse(format_args!("ms must be a number from 0 to {MS}"));
        };
        if (chunks - 1) * ms > TOTAL_MS {
            return refuse(format_args!("that would take longer than {} minutes", TOTAL_MS / 60_000));
        }
        let source = Chunks { sent: 0, chunks, every: Duration::from_millis(ms), begun: call.time.now };
        Answer::now(Response::new(Status::OK).stream("text/plain; charset=utf-8", source).no_store())
    }
}

fn refuse(why: impl Display) -> Answer {
    Answer::now(Response::new(Status::BAD_REQUEST).text(format!("{why}.\n")).no_store())
}

/// The chunks to come.
struct Chunks {
    sent: u64,
    chunks: u64,
    every: Duration,
    begun: Tick,
}

impl Source for Chunks {
    fn pull(&mut self, out: &mut Vec<u8>, room: usize, now: Tick) -> Pull {
        let full = out.len() + room;
        while self.sent < self.chunks {
            // Both are bounded, so nothing is cut off or overflows.
            let due = self.begun.after(self.every * self.sent as u32);
            if due > now {
                return Pull::Wait(due);
            }
            if out.len() >= full {
                return Pull::More;
            }
            self.sent += 1;
            let ms = now.since(self.begun).as_millis();
            out.extend_from_slice(format!("chunk {} of {} after {ms} ms\n", self.sent, self.chunks).as_bytes());
        }
        Pull::End
    }

    fn memory(&self) -> usize {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::Body;
    use crate::app::boundary::Content;
    use crate::app::testing::{ask, field, text};

    fn source(target: &str) -> Content {
        let response = ask(&mut Stream, target, &[]);
        assert_eq!(response.status, Status::OK);
        assert_eq!(field(&response, "Cache-Control"), Some("no-store"));
        match response.body {
            Body::Source(source) => source,
            Body::Bytes(_) => panic!("made at once"),
        }
    }

    fn pull(source: &mut Content, room: usize, ms: u64) -> (String, Pull) {
        let mut out = b"before".to_vec();
        let pull = source.pull(&mut out, room, Tick::from_micros(ms * 1000));
        (String::from_utf8(out).unwrap()["before".len()..].to_owned(), pull.unwrap())
    }

    #[test]
    fn each_chunk_comes_at_its_moment() {
        let mut source = source("/lab/x?chunks=3&ms=100");
        let wait = |ms: u64| Pull::Wait(Tick::from_micros(ms * 1000));
        assert_eq!(pull(&mut source, 999, 0), ("chunk 1 of 3 after 0 ms\n".into(), wait(100)));
        assert_eq!(pull(&mut source, 999, 99), (String::new(), wait(100)));
        assert_eq!(pull(&mut source, 999, 130), ("chunk 2 of 3 after 130 ms\n".into(), wait(200)));
        assert_eq!(pull(&mut source, 999, 200), ("chunk 3 of 3 after 200 ms\n".into(), Pull::End));
        assert_eq!(pull(&mut source, 999, 200), (String::new(), Pull::End));
    }

    #[test]
    fn a_slow_reader_gets_what_is_due_when_there_is_room() {
        let mut source = source("/lab/x?chunks=3&ms=0");
        assert_eq!(pull(&mut source, 1, 5), ("chunk 1 of 3 after 5 ms\n".into(), Pull::More));
        let rest = "chunk 2 of 3 after 7 ms\nchunk 3 of 3 after 7 ms\n";
        assert_eq!(pull(&mut source, 999, 7), (rest.into(), Pull::End));
    }

    #[test]
    fn has_defaults() {
        let mut source = source("/lab/x");
        let (first, then) = pull(&mut source, 999, 0);
        assert_eq!(first, "chunk 1 of 10 after 0 ms\n");
        assert_eq!(then, Pull::Wait(Tick::from_micros(300_000)));
    }

    #[test]
    fn invalid_values_are_refused_with_an_explanation() {
        for query in [
            "chunks=0",
            "chunks=1001",
            "chunks=",
            "chunks=x",
            "chunks=-1",
            "chunks=1.5",
            "ms=10001",
            "ms=+1",
            "ms=",
            "chunks=62&ms=10000",
            "chunks=1000&ms=601",
        ] {
            let response = ask(&mut Stream, &format!("/lab/x?{query}"), &[]);
            assert_eq!(response.status, Status::BAD_REQUEST, "{query}");
            assert!(text(&response).ends_with(".\n"), "{query}");
        }
        for query in ["chunks=61&ms=10000", "chunks=1000&ms=600", "chunks=1&ms=10000", "chunks=1000&ms=0"] {
            source(&format!("/lab/x?{query}"));
        }
    }
}
