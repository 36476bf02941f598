//! Checks whether an upstream works, also while nobody asks it.
//!
//! ```text
//!  check ── 2xx or 3xx ──▶ it works ─────────────┐
//!    │                                           ├─ the interval ──▶ the next check
//!    └── anything else, or late ──▶ a failure ───┘
//! ```
//!
//! A check is a GET on a connection of its own. Two failures in a row take the upstream out, and one
//! success brings it back. Each check tries one address; after a failure the next one has its turn.
//!
//! A check has only a weak reference to its upstream. So the checks end when the upstream has been
//! replaced by a reload, and they end in a shutdown.

use std::rc::{Rc, Weak};

use super::Upstream;
use super::health::HealthSettings;
use crate::http::FieldLines;
use crate::http::client::{RequestKind, ResponseReader};
use crate::reactor::{Dial, Ending, Finish, Io, JobClass, Tick, Want};
use crate::service::{Cx, Outcome, Service};

/// The protocol of a connection for a check.
pub struct HealthCheck {
    upstream: Weak<Upstream>,
    reader: ResponseReader,
    established: bool,
    is_asked: bool,
    since: Tick,
    /// What came of it, if that is known: nothing, or why it failed.
    result: Option<Result<(), String>>,
}

impl HealthCheck {
    /// How to check an upstream, and the protocol of the connection for that. None if it isn't
    /// checked.
    pub fn of(upstream: &Rc<Upstream>, now: Tick) -> Option<(Dial, Service)> {
        upstream.health_settings()?;
        let mut addresses = upstream.addresses();
        let known = addresses.get();
        let endpoint = known.get(upstream.failed_checks() % known.len().max(1))?.clone();
        let check = Self {
            upstream: Rc::downgrade(upstream),
            reader: ResponseReader::new(RequestKind::Content),
            established: false,
            is_asked: false,
            since: now,
            result: None,
        };
        Some((Dial { endpoint, tls: upstream.tls() }, Service::HealthCheck(Box::new(check))))
    }

    /// Asks, and reads the head of the response.
    pub(crate) fn advance(&mut self, io: &mut Io<'_>, cx: &mut Cx<'_>) -> Want {
        let Some(upstream) = self.upstream.upgrade().filter(|_| !cx.draining) else {
            return Want::finish(Finish::Abort);
        };
        if !self.is_asked {
            self.is_asked = true;
            write_request(&upstream, io.output.buffer());
            look_up(&upstream, cx);
        }
        if io.established && !self.established {
            (self.established, self.since) = (true, cx.time.now);
        }
        if self.result.is_none() {
            self.result = self.read(io);
        }
        let timeouts = upstream.timeouts();
        let deadline = self.since.after(if self.established { timeouts.response } else { timeouts.connect });
        let is_late = cx.time.now >= deadline;
        if self.result.is_none() && (io.ended || is_late) {
            let why = match (is_late, self.established) {
                (true, true) => "no response in time",
                (true, false) => "no connection in time",
                (false, _) => "it closed the connection",
            };
            self.result = Some(Err(why.to_owned()));
        }
        if self.result.is_some() {
            return Want::finish(Finish::Abort);
        }
        Want::READ.by(deadline)
    }

    /// Reads heads. Returns whether the response is good, or else why not, when its head has come.
    fn read(&mut self, io: &mut Io<'_>) -> Option<Result<(), String>> {
        while !io.input.is_empty() {
            let is_full = io.input.is_full();
            let mut lines = FieldLines::default();
            let (length, status) = match self.reader.head(io.input.bytes_mut(), &mut lines) {
                Ok(Some(head)) if head.is_interim() => (head.length, None),
                Ok(Some(head)) => (head.length, Some(head.status)),
                Ok(None) => return is_full.then(|| Err("the head of its response is too large".to_owned())),
                Err(error) => return Some(Err(error.to_string())),
            };
            io.input.consume(length);
            if let Some(status) = status {
                let is_good = (200..400).contains(&status.0);
                return Some(if is_good { Ok(()) } else { Err(format!("status {}", status.0)) });
            }
        }
        None
    }

    /// The check is over: the next one follows.
    pub(crate) fn closed(&mut self, ending: &Ending, cx: &mut Cx<'_>) {
        let Some(upstream) = self.upstream.upgrade().filter(|_| !cx.draining) else { return };
        // Without a result there was no connection, or it was lost.
        let lost = || Err(ending.error.as_ref().map_or_else(|| "no connection".to_owned(), ToString::to_string));
        upstream.checked(self.result.take().unwrap_or_else(lost).err().as_deref(), cx.time.now);
        let interval = upstream.health_settings().map(|settings| settings.interval).unwrap_or_default();
        let next = cx.time.now.after(interval);
        if let Some((to, check)) = Self::of(&upstream, next) {
            cx.connect_later(next, to, check);
        }
    }
}

fn write_request(upstream: &Upstream, out: &mut Vec<u8>) {
    let Some(HealthSettings { path, .. }) = upstream.health_settings() else { return };
    let (host, version) = (&upstream.authority, env!("CARGO_PKG_VERSION"));
    let head =
        format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: miod/{version}\r\nConnection: close\r\n\r\n");
    out.extend_from_slice(head.as_bytes());
}

/// Looks the name of the upstream up again, if that is due: while the upstream is out, no exchange
/// does it.
fn look_up(upstream: &Upstream, cx: &mut Cx<'_>) {
    if let Some(job) = upstream.addresses().look_up(cx.time.now) {
        // If too many names are looked up, the next check tries it again.
        let _ = cx.run(JobClass::Names, move || {
            job();
            Outcome::Addresses
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::http::proxying::UpstreamTimeouts;
    use crate::reactor::{TestContext, Time};
    use crate::service::Shared;
    use crate::service::testing::{self, Peer};

    fn upstream() -> Rc<Upstream> {
        let settings = HealthSettings { path: "/up".to_owned(), interval: Duration::from_secs(5) };
        Rc::new(testing::upstream().with_health(Some(settings)))
    }

    /// Makes one check, to which the upstream sends this. Returns how many further ones are planned.
    fn check(upstream: &Rc<Upstream>, response: &[u8], shared: &mut Shared, after: Duration) -> usize {
        let Some((_, Service::HealthCheck(mut check))) = HealthCheck::of(upstream, Tick::default()) else { panic!() };
        let (mut peer, mut context) = (Peer::default(), TestContext::default());
        let begun = peer.turn(|io| check.advance(io, &mut context.context(shared, Time::default(), false)));
        assert_eq!(begun.finish, Finish::No);
        let time = Time { now: Tick::default().after(after), ..Time::default() };
        peer.send(response);
        let want = peer.turn(|io| check.advance(io, &mut context.context(shared, time, false)));
        assert_eq!(want.finish, Finish::Abort);
        let request = String::from_utf8(peer.received()).unwrap();
        assert!(request.starts_with("GET /up HTTP/1.1\r\nHost: a\r\nUser-Agent: miod/"), "{request}");
        check.closed(&Ending { unsent: 0, error: None }, &mut context.context(shared, time, false));
        context.connecting_later()
    }

    #[test]
    fn two_failures_take_an_upstream_out_and_one_success_brings_it_back() {
        let files = testing::files();
        let (mut shared, upstream) = (testing::shared(&files), upstream());
        let mut check = |response: &str| {
            assert_eq!(check(&upstream, response.as_bytes(), &mut shared, Duration::from_secs(1)), 1, "{response}");
            upstream.is_down()
        };
        assert!(!check("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"));
        assert!(!check("HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n"));
        assert!(!check("nonsense\r\n\r\n"));
        assert!(check("HTTP/1.1 404 No\r\n\r\n"));
        assert!(check("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 503 No\r\n\r\n"));
        assert!(!check("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"));
    }

    #[test]
    fn a_response_that_is_late_is_a_failure_and_checks_end_with_their_upstream() {
        let files = testing::files();
        let (mut shared, upstream) = (testing::shared(&files), upstream());
        let late = UpstreamTimeouts::default().response * 2;
        assert_eq!(check(&upstream, b"HTTP/1.1 200 ", &mut shared, late), 1);
        assert_eq!(upstream.failed_checks(), 1);
        let Some((_, Service::HealthCheck(mut check))) = HealthCheck::of(&upstream, Tick::default()) else { panic!() };
        drop(upstream);
        let (mut peer, mut context) = (Peer::default(), TestContext::default());
        let mut cx = context.context(&mut shared, Time::default(), false);
        assert_eq!(peer.turn(|io| check.advance(io, &mut cx)).finish, Finish::Abort);
        check.closed(&Ending { unsent: 0, error: None }, &mut context.context(&mut shared, Time::default(), false));
        assert_eq!((context.connecting_later(), peer.received().len()), (0, 0));
    }
}
