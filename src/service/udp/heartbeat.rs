//! The tool `heartbeat send`: tells a watcher that it lives, once an interval.
//!
//! A heartbeat is `Heartbeat SEQUENCE TIME`. Nobody answers; that nobody listens the
//! network may tell, and so does this, once, and when it is over.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::following;
use super::stamp::Stamp;
use crate::reactor::{Context, DatagramProtocol, Outbox, Stay, Tick};
use crate::service::Service;
use crate::text::json;
use crate::text::reason::reason;

/// The word that heartbeats begin with.
pub(super) const WORD: &str = "Heartbeat";

/// What a user can decide.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Between two heartbeats.
    pub interval: Duration,
    /// Everything is told as JSON, an object a line.
    pub json: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { interval: Duration::from_secs(1), json: false }
    }
}

/// The tool.
pub struct Heart {
    peer: SocketAddr,
    settings: Settings,
    sent: u64,
    next: Tick,
    /// Errors since the last heartbeat, and whether the one before met one.
    errors: u64,
    trouble: bool,
    over: bool,
}

type Cx<'a> = Context<'a, Service>;

impl Heart {
    /// The tool for the watcher at `peer`, with a socket that is connected to it.
    pub fn new(peer: SocketAddr, settings: Settings) -> Self {
        Self { peer, settings, sent: 0, next: Tick::default(), errors: 0, trouble: false, over: false }
    }
}

impl DatagramProtocol<Service> for Heart {
    fn received(&mut self, _: &[u8], _: SocketAddr, _: &mut Outbox, _: &mut Cx<'_>) {}

    fn advance(&mut self, out: &mut Outbox, cx: &mut Cx<'_>) -> Stay {
        let Self { peer, sent, .. } = *self;
        let report = &mut cx.shared.report;
        if cx.draining && !self.over {
            self.over = true;
            if self.settings.json {
                report.line(format_args!(r#"{{"event":"summary","to":"{peer}","sent":{sent}}}"#));
            } else {
                report.line(format_args!("{sent} heartbeats sent to {peer}"));
            }
        }
        if self.over {
            return Stay::Over;
        }
        if self.next <= cx.time.now {
            if self.trouble && self.errors == 0 {
                self.trouble = false;
                if self.settings.json {
                    report.line(format_args!(r#"{{"event":"recovered","to":"{peer}"}}"#));
                } else {
                    report.line(format_args!("{peer} can be reached again"));
                }
            }
            self.errors = 0;
            self.sent += 1;
            cx.shared.success = true;
            out.send(peer, Stamp::now(self.sent, cx.time).write(WORD).as_bytes());
            self.next = following(self.next, self.settings.interval, cx.time.now);
        }
        Stay::Until(self.next)
    }

    fn failed(&mut self, error: &io::Error, _: Option<SocketAddr>, cx: &mut Cx<'_>) {
        self.errors += 1;
        if !std::mem::replace(&mut self.trouble, true) && !self.over {
            let (peer, why) = (self.peer, reason(error));
            if self.settings.json {
                let why = json::string(&why).to_string();
                cx.shared.report.line(format_args!(r#"{{"event":"error","to":"{peer}","reason":{why}}}"#));
            } else {
                cx.shared.report.line(format_args!("no way to {peer}: {why}; going on"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Lone;
    use super::*;

    fn peer() -> SocketAddr {
        "192.0.2.1:12001".parse().unwrap()
    }

    #[test]
    fn beats_until_it_is_told_to_end() {
        let mut heart = Lone::new(Heart::new(peer(), Settings::default()));
        assert_eq!(heart.sent(), [b"Heartbeat 1 1800000000.000000"]);
        heart.sleep(Duration::from_millis(999));
        assert!(heart.sent().is_empty());
        heart.sleep(Duration::from_millis(1));
        assert_eq!(heart.sent(), [b"Heartbeat 2 1800000001.000000"]);
        // A minute without a turn doesn't become sixty heartbeats.
        heart.sleep(Duration::from_secs(60));
        assert_eq!(heart.sent(), [b"Heartbeat 3 1800000061.000000"]);
        heart.drain();
        assert_eq!(heart.told(), "3 heartbeats sent to 192.0.2.1:12001\n");
        assert!(heart.is_over());
    }

    #[test]
    fn trouble_is_told_once_and_its_end() {
        for json in [false, true] {
            let mut heart = Lone::new(Heart::new(peer(), Settings { json, ..Settings::default() }));
            for _ in 0..3 {
                heart.fail(io::ErrorKind::ConnectionRefused, None);
                heart.sleep(Duration::from_secs(1));
            }
            heart.sleep(Duration::from_secs(1));
            heart.sleep(Duration::from_secs(1));
            heart.drain();
            let expected = if json {
                r#"{"event":"error","to":"192.0.2.1:12001","reason":"connection refused"}
{"event":"recovered","to":"192.0.2.1:12001"}
{"event":"summary","to":"192.0.2.1:12001","sent":6}
"#
            } else {
                "no way to 192.0.2.1:12001: connection refused; going on
192.0.2.1:12001 can be reached again
6 heartbeats sent to 192.0.2.1:12001
"
            };
            assert_eq!(heart.told(), expected);
        }
    }
}
