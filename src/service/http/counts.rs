//! What is counted about requests, for those who operate the server.
//!
//! A request counts for its host when its response begins, since its status is known then. Its
//! duration counts when the response ends, and the size of its content when it is known.

use std::cell::Cell;

use crate::http::Status;
use crate::http::head::Method;
use crate::metrics::Histogram;
use crate::reactor::Tick;

/// The bounds of durations, in microseconds.
const DURATIONS: &[u64; 13] = &[
    1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 10_000_000,
    60_000_000,
];
/// The bounds of sizes, in bytes.
const SIZES: &[u64; 10] = &[1 << 8, 1 << 10, 1 << 12, 1 << 14, 1 << 16, 1 << 18, 1 << 20, 1 << 24, 1 << 28, 1 << 32];

const METHODS: usize = Method::Unknown as usize + 1;
/// The classes of status codes, 1xx to 5xx.
const CLASSES: usize = 5;

/// What a client took too long for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Timeout {
    /// It sent no further request.
    Idle,
    /// The head of a request.
    Head,
    /// The body of a request.
    Body,
    /// It and its upstream sent nothing in a tunnel.
    Tunnel,
}

impl Timeout {
    pub(super) const ALL: [Self; 4] = [Self::Idle, Self::Head, Self::Body, Self::Tunnel];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Head => "head",
            Self::Body => "body",
            Self::Tunnel => "tunnel",
        }
    }
}

/// Why every request of a connection gets 503.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Refusal {
    /// There were too many connections, or too little memory.
    Full,
    /// There were too many from its address.
    Address,
}

impl Refusal {
    pub(super) const ALL: [Self; 2] = [Self::Full, Self::Address];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Address => "address",
        }
    }
}

/// What is counted about all requests.
#[derive(Debug)]
pub(super) struct Counts {
    /// From the first byte of a request to the last of its response, in microseconds.
    pub(super) durations: Histogram<13>,
    /// Bytes of the content of responses.
    pub(super) sizes: Histogram<10>,
    pub(super) timeouts: [u64; Timeout::ALL.len()],
    pub(super) refused: [u64; Refusal::ALL.len()],
    /// Input that is no request.
    pub(super) malformed: u64,
    /// Bytes of content that was compressed.
    pub(super) coded_from: u64,
    /// Bytes that it became.
    pub(super) coded_to: u64,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            durations: Histogram::new(DURATIONS),
            sizes: Histogram::new(SIZES),
            timeouts: Default::default(),
            refused: Default::default(),
            malformed: 0,
            coded_from: 0,
            coded_to: 0,
        }
    }
}

impl Counts {
    /// A response has ended, whose request began at `began`.
    pub(super) fn ended(&mut self, began: Tick, now: Tick) {
        self.durations.add(now.as_micros().saturating_sub(began.as_micros()));
    }

    /// So many bytes of content were compressed.
    pub(super) fn coded(&mut self, from: usize, to: usize) {
        self.coded_from += from as u64;
        self.coded_to += to as u64;
    }

    pub(super) fn timed_out(&mut self, timeout: Timeout) {
        self.timeouts[timeout as usize] += 1;
    }

    pub(super) fn refused(&mut self, refusal: Refusal) {
        self.refused[refusal as usize] += 1;
    }
}

/// The requests of a host. It stays the same when a reload replaces the host.
#[derive(Default)]
pub struct HostCounts([[Cell<u64>; CLASSES]; METHODS]);

impl HostCounts {
    /// A response has begun.
    pub(super) fn add(&self, method: Method, status: Status) {
        let class = usize::from(status.0 / 100).clamp(1, CLASSES) - 1;
        let count = &self.0[method as usize][class];
        count.set(count.get() + 1);
    }

    /// Those that aren't 0: method, class of the status (`2xx`), and how many.
    pub(super) fn all(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        const CODES: [&str; CLASSES] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
        let all = METHOD_NAMES
            .iter()
            .zip(&self.0)
            .flat_map(|(method, classes)| CODES.iter().zip(classes).map(|(code, count)| (*method, *code, count.get())));
        all.filter(|(.., count)| *count > 0)
    }
}

/// The names of the methods, in their order.
const METHOD_NAMES: [&str; METHODS] =
    ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "CONNECT", "TRACE", "other"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_method_and_class() {
        let counts = HostCounts::default();
        for (method, status) in
            [(Method::Get, 200), (Method::Get, 206), (Method::Get, 404), (Method::Unknown, 501), (Method::Patch, 999)]
        {
            counts.add(method, Status(status));
        }
        let expected = [("GET", "2xx", 2), ("GET", "4xx", 1), ("PATCH", "5xx", 1), ("other", "5xx", 1)];
        assert_eq!(counts.all().collect::<Vec<_>>(), expected);
        for method in [Method::Get, Method::Options, Method::Trace] {
            assert_eq!(METHOD_NAMES[method as usize], method.name());
        }
    }
}
