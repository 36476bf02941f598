//! The SHA-256 digest of what a client uploads, of any size: it is hashed as it comes,
//! and never stored.

use ring::digest::{Context, SHA256};

use crate::app::{Answer, App, BodyMode, Call, Methods, Outcome, Push, Request, Response, Sink};
use crate::http::head::Method;
use crate::http::{Reject, Status};

/// Most bytes of one upload.
const LIMIT: u64 = 1 << 40;

pub(crate) struct Digest;

/// The digest of an upload so far.
struct Hashing {
    digest: Context,
    bytes: u64,
}

impl Hashing {
    fn new() -> Self {
        Self { digest: Context::new(&SHA256), bytes: 0 }
    }
}

impl Sink for Hashing {
    fn push(&mut self, content: &[u8]) -> Result<Push, Reject> {
        self.digest.update(content);
        self.bytes += content.len() as u64;
        Ok(Push::More)
    }

    fn finish(self: Box<Self>) -> Outcome {
        let digest: String = self.digest.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        Box::new(format!("{digest}  {} bytes\n", self.bytes))
    }

    fn memory(&self) -> usize {
        0
    }
}

impl App for Digest {
    fn methods(&self, path: &[u8]) -> Methods {
        match path {
            b"" | b"/" => Methods::Only(&[Method::Post, Method::Put]),
            _ => Methods::Only(&[]),
        }
    }

    fn body_mode(&self, _method: Method, _path: &[u8]) -> BodyMode {
        BodyMode::Stream { limit: LIMIT }
    }

    fn handle(&mut self, _request: &Request<'_>, _call: &mut Call<'_>) -> Answer {
        Answer::receive(Hashing::new())
    }

    fn resume(&mut self, _request: &Request<'_>, _call: &mut Call<'_>, done: Outcome) -> Answer {
        match done.downcast::<String>() {
            Ok(text) => Answer::now(Response::new(Status::OK).text(*text).no_store()),
            Err(_) => unreachable!("the sink returns text"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_hashed_as_one_content() {
        let mut sink = Box::new(Hashing::new());
        for piece in [&b"a"[..], b"bc"] {
            assert!(matches!(sink.push(piece), Ok(Push::More)));
        }
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  3 bytes\n";
        assert_eq!(*sink.finish().downcast::<String>().unwrap(), expected);
    }
}
