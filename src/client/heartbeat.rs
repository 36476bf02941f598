//! `miod heartbeat send`: sends a heartbeat to a watcher once an interval.
//!
//! A heartbeat is `Heartbeat SEQUENCE TIME`. There is no reply. If the network reports that
//! nobody listens, this is printed once, and the recovery too.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::schedule::next_after;
use crate::console::program::{Program, ProgramContext};
use crate::probe::{HEARTBEAT, Probe};
use crate::reactor::{DatagramProtocol, Outbox, Stay, Tick};
use crate::text::io_error::describe;
use crate::text::json;

/// The options of `miod heartbeat send`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HeartbeatPlan {
    /// Time between two heartbeats.
    pub interval: Duration,
    /// Print JSON, one object per line.
    pub json: bool,
}

impl Default for HeartbeatPlan {
    fn default() -> Self {
        Self { interval: Duration::from_secs(1), json: false }
    }
}

/// The state machine of `miod heartbeat send`.
pub struct Heartbeat {
    peer: SocketAddr,
    plan: HeartbeatPlan,
    sent: u64,
    next: Tick,
    /// Errors since the last heartbeat.
    errors: u64,
    /// An error was printed, and no recovery after it.
    failing: bool,
    over: bool,
}

impl Heartbeat {
    /// Heartbeats for the watcher at `peer`, to which the socket is connected.
    pub fn new(peer: SocketAddr, plan: HeartbeatPlan) -> Self {
        Self { peer, plan, sent: 0, next: Tick::default(), errors: 0, failing: false, over: false }
    }
}

impl DatagramProtocol<Program> for Heartbeat {
    fn received(&mut self, _: &[u8], _: SocketAddr, _: &mut Outbox, _: &mut ProgramContext<'_>) {}

    fn advance(&mut self, out: &mut Outbox, cx: &mut ProgramContext<'_>) -> Stay {
        let Self { peer, sent, .. } = *self;
        let output = &mut cx.shared.output;
        if cx.draining && !self.over {
            self.over = true;
            if self.plan.json {
                output.line(format_args!(r#"{{"event":"summary","to":"{peer}","sent":{sent}}}"#));
            } else {
                output.line(format_args!("{sent} heartbeats sent to {peer}"));
            }
        }
        if self.over {
            return Stay::Over;
        }
        if self.next <= cx.time.now {
            if self.failing && self.errors == 0 {
                self.failing = false;
                if self.plan.json {
                    output.line(format_args!(r#"{{"event":"recovered","to":"{peer}"}}"#));
                } else {
                    output.line(format_args!("{peer} can be reached again"));
                }
            }
            self.errors = 0;
            self.sent += 1;
            out.send(peer, Probe::now(self.sent, cx.time).write(HEARTBEAT).as_bytes());
            self.next = next_after(self.next, self.plan.interval, cx.time.now);
        }
        Stay::Until(self.next)
    }

    fn failed(&mut self, error: &io::Error, _: Option<SocketAddr>, cx: &mut ProgramContext<'_>) {
        self.errors += 1;
        if !std::mem::replace(&mut self.failing, true) && !self.over {
            let (peer, why) = (self.peer, describe(error));
            if self.plan.json {
                let why = json::to_string(&why);
                cx.shared.output.line(format_args!(r#"{{"event":"error","to":"{peer}","reason":{why}}}"#));
            } else {
                cx.shared.output.line(format_args!("can't reach {peer}: {why}; still trying"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::testing::TestProgram;

    fn peer() -> SocketAddr {
        "192.0.2.1:12001".parse().unwrap()
    }

    #[test]
    fn one_heartbeat_per_interval_until_the_end() {
        let mut heart = TestProgram::new(Heartbeat::new(peer(), HeartbeatPlan::default()));
        assert_eq!(heart.sent(), [b"Heartbeat 1 1800000000.000000"]);
        heart.sleep(Duration::from_millis(999));
        assert!(heart.sent().is_empty());
        heart.sleep(Duration::from_millis(1));
        assert_eq!(heart.sent(), [b"Heartbeat 2 1800000001.000000"]);
        // After a minute without a turn there is one heartbeat, not sixty.
        heart.sleep(Duration::from_secs(60));
        assert_eq!(heart.sent(), [b"Heartbeat 3 1800000061.000000"]);
        heart.drain();
        assert_eq!(heart.printed(), "3 heartbeats sent to 192.0.2.1:12001\n");
        assert!(heart.is_over());
    }

    #[test]
    fn an_error_and_the_recovery_are_printed_once() {
        for json in [false, true] {
            let mut heart =
                TestProgram::new(Heartbeat::new(peer(), HeartbeatPlan { json, ..HeartbeatPlan::default() }));
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
                "can't reach 192.0.2.1:12001: connection refused; still trying
192.0.2.1:12001 can be reached again
6 heartbeats sent to 192.0.2.1:12001
"
            };
            assert_eq!(heart.printed(), expected);
        }
    }
}
