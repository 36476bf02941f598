//! The content of a message as it comes: without its dots, and no longer than allowed.
//!
//! What is wrong with it is said at its end, where the client expects a reply. Until then it is
//! read on, and nothing of it is kept.

use crate::limits;
use crate::smtp::dots::Unstuffer;
use crate::smtp::reply::Reply;

/// A content that isn't complete.
#[derive(Debug)]
pub struct Content {
    unstuffer: Unstuffer,
    /// What came so far; nothing if there is a fault.
    bytes: Vec<u8>,
    /// Most bytes.
    limit: u64,
    /// Bytes of the last line so far.
    line: usize,
    fault: Option<Fault>,
}

/// Why a content isn't accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// It is too large.
    Large,
    /// A line is too long.
    LongLine,
    /// It has a CR or LF that is no line end, or a NUL.
    Malformed,
}

impl Fault {
    /// The reply at the end of the content.
    pub fn reply(self) -> Reply {
        match self {
            Self::Large => too_large(),
            Self::LongLine => {
                Reply::new(500, format!("5.5.2 A line of the message is longer than {} bytes", limits::TEXT_LINE))
            }
            Self::Malformed => {
                Reply::new(550, "5.6.0 The message has a CR or LF alone, or a NUL; lines end with CR LF")
            }
        }
    }
}

/// The reply to a message that is too large, declared or found (RFC 1870 §6).
pub fn too_large() -> Reply {
    Reply::new(552, "5.3.4 The message is too large")
}

impl Content {
    /// The content of a message with at most `limit` bytes.
    pub fn new(limit: u64) -> Self {
        Self { unstuffer: Unstuffer::default(), bytes: Vec::new(), limit, line: 0, fault: None }
    }

    /// Bytes of memory that it holds.
    pub fn memory(&self) -> usize {
        self.bytes.capacity()
    }

    /// Takes what came. Returns how many bytes are used, and the content or what is wrong with it,
    /// if its end is there.
    pub fn receive(&mut self, input: &[u8]) -> (usize, Option<Result<Vec<u8>, Fault>>) {
        let start = self.bytes.len();
        let (used, over) = self.unstuffer.decode(input, &mut self.bytes);
        if self.fault.is_none() {
            self.fault = self.find_fault(start);
        }
        if self.fault.is_some() {
            self.bytes = Vec::new();
        }
        let result = || self.fault.map_or_else(|| Ok(std::mem::take(&mut self.bytes)), Err);
        (used, over.then(result))
    }

    /// What is wrong with the bytes from `start` on.
    fn find_fault(&mut self, start: usize) -> Option<Fault> {
        for part in self.bytes[start..].split_inclusive(|&byte| byte == b'\n') {
            self.line += part.len();
            if self.line > limits::TEXT_LINE {
                return Some(Fault::LongLine);
            }
            if part.ends_with(b"\n") {
                self.line = 0;
            }
        }
        if self.bytes.len() as u64 > self.limit {
            return Some(Fault::Large);
        }
        self.unstuffer.is_malformed().then_some(Fault::Malformed)
    }
}
