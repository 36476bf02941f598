//! Attempts to connect to one of several addresses: Happy Eyeballs (RFC 8305) in its simple form.
//!
//! ```text
//!  first address  ├──────────────── no answer ─────── cancelled
//!  second         │ 250 ms ├──────────── established: it gets the request
//!  third          │        │ 250 ms ├─ refused
//! ```
//!
//! An attempt that isn't established after a while gets another one beside it; one that fails lets
//! the next begin at once. This is the pure part: it says what to do, and is told what happens.

use std::collections::VecDeque;

use crate::http::proxying::UpstreamFailure;
use crate::limits;
use crate::reactor::{Endpoint, Handle, Tick};

/// The attempts to get one connection.
#[derive(Default)]
pub(super) struct Attempts {
    /// Addresses that weren't tried, in the order in which to try them.
    left: VecDeque<Endpoint>,
    open: Vec<(Handle, Endpoint)>,
    /// When the next one begins beside those that are open.
    next: Tick,
    /// When all are given up.
    deadline: Tick,
    /// Why the last one failed.
    failure: Option<UpstreamFailure>,
}

impl Attempts {
    /// Attempts at these addresses, which are given up at `deadline`.
    pub(super) fn new(endpoints: impl IntoIterator<Item = Endpoint>, deadline: Tick) -> Self {
        let left = endpoints.into_iter().collect();
        Self { left, open: Vec::new(), next: Tick::default(), deadline, failure: None }
    }

    /// An address to connect to now; [`begun`](Self::begun) follows.
    pub(super) fn due(&mut self, now: Tick) -> Option<Endpoint> {
        if now < self.next && !self.open.is_empty() {
            return None;
        }
        self.next = now.after(limits::CONNECTION_ATTEMPT);
        self.left.pop_front()
    }

    /// An attempt has begun.
    pub(super) fn begun(&mut self, connection: Handle, endpoint: Endpoint) {
        self.open.push((connection, endpoint));
    }

    /// An attempt has failed, if it is one of these.
    pub(super) fn failed(&mut self, connection: Handle, failure: UpstreamFailure, now: Tick) {
        if let Some(at) = self.open.iter().position(|(open, _)| *open == connection) {
            self.open.remove(at);
            self.failure = Some(failure);
            self.next = now;
        }
    }

    /// A connection is established: takes it out, if it is one of these, and returns its address.
    pub(super) fn established(&mut self, connection: Handle) -> Option<Endpoint> {
        let at = self.open.iter().position(|(open, _)| *open == connection)?;
        Some(self.open.remove(at).1)
    }

    /// When something is due.
    ///
    /// # Errors
    /// Why there will be no connection: no attempt is left, or no time.
    pub(super) fn wake(&self, now: Tick) -> Result<Tick, UpstreamFailure> {
        if self.open.is_empty() && self.left.is_empty() {
            return Err(self.failure.unwrap_or(UpstreamFailure::Unreachable));
        }
        if now >= self.deadline {
            return Err(UpstreamFailure::ConnectTimeout);
        }
        Ok(if self.left.is_empty() { self.deadline } else { self.deadline.min(self.next) })
    }

    /// The connections that aren't established.
    pub(super) fn open(&self) -> impl Iterator<Item = Handle> {
        self.open.iter().map(|(connection, _)| *connection)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Handle = Handle::for_test(1);
    const SECOND: Handle = Handle::for_test(2);

    fn endpoint(name: &str) -> Endpoint {
        Endpoint::Unix(name.into())
    }

    fn at(millis: u64) -> Tick {
        Tick::from_micros(millis * 1_000)
    }

    fn attempts(names: &[&str]) -> Attempts {
        Attempts::new(names.iter().map(|name| endpoint(name)), at(1000))
    }

    #[test]
    fn a_late_attempt_gets_another_one_beside_it_and_the_first_that_is_established_counts() {
        let mut all = attempts(&["a", "b"]);
        assert_eq!(all.due(at(0)), Some(endpoint("a")));
        all.begun(FIRST, endpoint("a"));
        assert_eq!((all.due(at(249)), all.wake(at(249))), (None, Ok(at(250))));
        assert_eq!(all.due(at(250)), Some(endpoint("b")));
        all.begun(SECOND, endpoint("b"));
        assert_eq!((all.due(at(600)), all.wake(at(600))), (None, Ok(at(1000))));
        assert_eq!(all.established(SECOND), Some(endpoint("b")));
        assert_eq!(all.established(SECOND), None, "only once");
        assert_eq!(all.open().collect::<Vec<_>>(), [FIRST], "it is to be cancelled");
    }

    #[test]
    fn an_attempt_that_fails_lets_the_next_begin_at_once() {
        let mut all = attempts(&["a", "b"]);
        all.due(at(0));
        all.begun(FIRST, endpoint("a"));
        all.failed(SECOND, UpstreamFailure::Tls, at(1));
        assert_eq!(all.due(at(1)), None, "that was no attempt of these");
        all.failed(FIRST, UpstreamFailure::Refused, at(2));
        assert!(all.wake(at(2)).is_ok());
        assert_eq!(all.due(at(2)), Some(endpoint("b")));
        all.begun(SECOND, endpoint("b"));
        all.failed(SECOND, UpstreamFailure::Unreachable, at(3));
        assert_eq!((all.due(at(3)), all.wake(at(3))), (None, Err(UpstreamFailure::Unreachable)));
    }

    #[test]
    fn all_attempts_together_have_a_time() {
        let mut all = attempts(&["a"]);
        all.due(at(0));
        all.begun(FIRST, endpoint("a"));
        assert_eq!(all.wake(at(999)), Ok(at(1000)));
        assert_eq!(all.wake(at(1000)), Err(UpstreamFailure::ConnectTimeout));
        assert_eq!(attempts(&[]).wake(at(0)), Err(UpstreamFailure::Unreachable), "there is no address");
    }
}
