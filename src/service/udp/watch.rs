//! `miod heartbeat watch`: receives heartbeats from many senders and prints their delays,
//! the missing ones, and which senders are lost.
//!
//! The delay is the watcher's clock minus the sender's. It is right if both clocks are
//! right.
//!
//! The last 64 sequence numbers of a sender are remembered, to distinguish a late
//! heartbeat from a duplicate. A lower number with a later time is neither: the sender
//! has restarted.
//!
//! Datagrams in another format are counted, and the first one of each sender is shown: most
//! likely it is another program's heartbeat, and silence would look like a lost network.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use serde::Serialize;

use crate::console::program::{Program, ProgramContext};
use crate::http::date;
use crate::logging::escape;
use crate::probe::rtt_stats::{RttStats, Seconds};
use crate::probe::{HEARTBEAT, Probe, micros};
use crate::reactor::{DatagramProtocol, Outbox, Stay, Tick};
use crate::text::json;

/// Most senders that are remembered. If a new one comes, the lost sender with the oldest
/// heartbeat is forgotten: source addresses are easily forged.
const SENDERS: usize = 1024;
/// Most bytes that are shown of a datagram in another format.
const SHOWN: usize = 32;

/// The options of `miod heartbeat watch`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WatchOptions {
    /// A sender is lost after this time without a heartbeat.
    pub timeout: Duration,
    /// Print JSON, one object per line.
    pub json: bool,
}

impl Default for WatchOptions {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(3), json: false }
    }
}

/// What is remembered of a sender.
struct Sender {
    /// The highest sequence number, and its time.
    last: Probe,
    /// Which of the last 64 sequence numbers were received; bit 0 is the highest.
    window: u64,
    heard: Tick,
    /// The time of the last heartbeat in Unix seconds.
    heard_at: i64,
    lost: bool,
    received: u64,
    missing: u64,
    disordered: u64,
    duplicates: u64,
    delays: RttStats,
}

/// The position of a heartbeat relative to the earlier ones.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Order {
    Next,
    /// This many before it are missing.
    Gap(u64),
    /// It comes after a higher number.
    Disordered,
    Duplicate,
    /// The sender counts from the beginning again.
    Restarted,
}

impl Sender {
    fn new(probe: Probe) -> Self {
        Self {
            last: probe,
            window: 0,
            heard: Tick::default(),
            heard_at: 0,
            lost: false,
            received: 0,
            missing: 0,
            disordered: 0,
            duplicates: 0,
            delays: RttStats::default(),
        }
    }

    fn receive(&mut self, probe: Probe) -> Order {
        let highest = self.last.sequence;
        let order = match probe.sequence.checked_sub(highest) {
            // The first one.
            Some(0) if self.received == 0 => Order::Next,
            Some(ahead @ 1..) => {
                self.window = u32::try_from(ahead).ok().and_then(|ahead| self.window.checked_shl(ahead)).unwrap_or(0);
                if ahead == 1 { Order::Next } else { Order::Gap(ahead - 1) }
            }
            _ if probe.micros > self.last.micros => {
                self.window = 0;
                Order::Restarted
            }
            _ => {
                let bit = u32::try_from(highest - probe.sequence).ok().and_then(|back| 1_u64.checked_shl(back));
                let bit = bit.unwrap_or(0);
                let twice = self.window & bit != 0;
                self.window |= bit;
                if twice { Order::Duplicate } else { Order::Disordered }
            }
        };
        match order {
            Order::Next | Order::Gap(_) | Order::Restarted => {
                self.window |= 1;
                self.last = probe;
            }
            Order::Disordered | Order::Duplicate => {}
        }
        match order {
            Order::Gap(count) => self.missing = self.missing.saturating_add(count),
            Order::Disordered => {
                self.disordered += 1;
                self.missing = self.missing.saturating_sub(1);
            }
            Order::Duplicate => self.duplicates += 1,
            Order::Next | Order::Restarted => {}
        }
        self.received += 1;
        order
    }
}

/// A line for programs.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Event<'a> {
    Heartbeat {
        from: SocketAddr,
        sequence: u64,
        delay: Seconds,
        #[serde(flatten)]
        remark: Option<Remark>,
    },
    Lost {
        from: SocketAddr,
        since: &'a str,
        sequence: u64,
    },
    Back {
        from: SocketAddr,
        after: Seconds,
    },
    Strange {
        from: SocketAddr,
        size: usize,
        start: &'a str,
    },
    Summary {
        from: SocketAddr,
        received: u64,
        missing: u64,
        disordered: u64,
        duplicates: u64,
        min: Seconds,
        avg: Seconds,
        max: Seconds,
    },
    Ignored {
        strange: u64,
        too_many_senders: u64,
    },
}

/// What is remarkable about the order of a heartbeat.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Remark {
    Missing(u64),
    Disordered(bool),
    Duplicate(bool),
    Restarted(bool),
}

impl Order {
    fn remark(self) -> Option<Remark> {
        match self {
            Self::Next => None,
            Self::Gap(count) => Some(Remark::Missing(count)),
            Self::Disordered => Some(Remark::Disordered(true)),
            Self::Duplicate => Some(Remark::Duplicate(true)),
            Self::Restarted => Some(Remark::Restarted(true)),
        }
    }
}

/// The state machine of `miod heartbeat watch` on one socket.
pub struct Watch {
    options: WatchOptions,
    /// Sorted by address.
    senders: Vec<(SocketAddr, Sender)>,
    /// Datagrams that aren't heartbeats.
    strange: u64,
    /// Senders of which a datagram that isn't a heartbeat was shown. When the set is full,
    /// no more are shown.
    shown: BTreeSet<SocketAddr>,
    /// Heartbeats of senders that there was no room for.
    ignored: u64,
    over: bool,
}

impl Watch {
    /// A watcher on one socket.
    pub fn new(options: WatchOptions) -> Self {
        Self { options, senders: Vec::new(), strange: 0, shown: BTreeSet::new(), ignored: 0, over: false }
    }

    /// The sender at `from`, if there is room for it.
    fn sender(&mut self, from: SocketAddr, probe: Probe) -> Option<&mut Sender> {
        let find = |senders: &[(SocketAddr, Sender)]| senders.binary_search_by_key(&from, |(address, _)| *address);
        let mut found = find(&self.senders);
        if found.is_err() && self.senders.len() >= SENDERS {
            let lost = self.senders.iter().enumerate().filter(|(_, (_, sender))| sender.lost);
            let (oldest, _) = lost.min_by_key(|(_, (_, sender))| sender.heard)?;
            self.senders.remove(oldest);
            found = find(&self.senders);
        }
        let index = found.unwrap_or_else(|index| {
            self.senders.insert(index, (from, Sender::new(probe)));
            index
        });
        self.senders.get_mut(index).map(|(_, sender)| sender)
    }

    /// Reports the senders that are lost now.
    fn expire(&mut self, cx: &mut ProgramContext<'_>) {
        let WatchOptions { timeout, json } = self.options;
        for (from, sender) in &mut self.senders {
            if sender.lost || sender.heard.after(timeout) > cx.time.now {
                continue;
            }
            sender.lost = true;
            let sequence = sender.last.sequence;
            let mut since = Vec::new();
            date::write_rfc3339(sender.heard_at, &mut since);
            let since = String::from_utf8_lossy(&since);
            if json {
                let event = Event::Lost { from: *from, since: &since, sequence };
                cx.shared.output.line(json::to_string(&event));
            } else {
                cx.shared.output.line(format_args!("{from}: lost since {since}, after heartbeat {sequence}"));
            }
        }
    }

    /// Counts a datagram that isn't a heartbeat, and prints the first one of a sender.
    fn strange(&mut self, datagram: &[u8], from: SocketAddr, cx: &mut ProgramContext<'_>) {
        self.strange += 1;
        if self.shown.len() == SENDERS || !self.shown.insert(from) {
            return;
        }
        let size = datagram.len();
        let start = escape(&datagram[..size.min(SHOWN)]).to_string();
        if self.options.json {
            cx.shared.output.line(json::to_string(&Event::Strange { from, size, start: &start }));
        } else {
            let more = if size > SHOWN { "..." } else { "" };
            cx.shared.output.line(format_args!("{from}: not a heartbeat: {size} bytes, \"{start}\"{more}"));
        }
    }

    /// Prints the summary.
    fn finish(&mut self, cx: &mut ProgramContext<'_>) {
        self.over = true;
        let (json, output) = (self.options.json, &mut cx.shared.output);
        for (from, sender) in &self.senders {
            let Sender { received, missing, disordered, duplicates, .. } = *sender;
            let Some([min, avg, max, _]) = sender.delays.summary() else { continue };
            if json {
                let from = *from;
                let event = Event::Summary { from, received, missing, disordered, duplicates, min, avg, max };
                output.line(json::to_string(&event));
            } else {
                output.line(format_args!(
                    "{from}: {received} received, {missing} missing, {disordered} out of order, {duplicates} duplicate, \
                     delay min/avg/max = {min}/{avg}/{max} s"
                ));
            }
        }
        let Self { strange, ignored, .. } = *self;
        if strange + ignored > 0 {
            if json {
                output.line(json::to_string(&Event::Ignored { strange, too_many_senders: ignored }));
            } else {
                output.line(format_args!(
                    "{strange} datagrams were not heartbeats, {ignored} heartbeats ignored: too many senders"
                ));
            }
        }
    }
}

impl DatagramProtocol<Program> for Watch {
    fn received(&mut self, datagram: &[u8], from: SocketAddr, _: &mut Outbox, cx: &mut ProgramContext<'_>) {
        // A sender that is back after the timeout was lost, even if this is the first turn after the timeout.
        self.expire(cx);
        let json = self.options.json;
        let Some(probe) = Probe::parse(HEARTBEAT, datagram) else {
            self.strange(datagram, from, cx);
            return;
        };
        let Some(sender) = self.sender(from, probe) else {
            self.ignored += 1;
            return;
        };
        let output = &mut cx.shared.output;
        if std::mem::take(&mut sender.lost) {
            let silence = Seconds(cx.time.now.since(sender.heard).as_micros() as f64);
            if json {
                output.line(json::to_string(&Event::Back { from, after: silence }));
            } else {
                output.line(format_args!("{from}: back after {silence} s"));
            }
        }
        (sender.heard, sender.heard_at) = (cx.time.now, cx.time.unix_seconds);
        let highest = sender.last.sequence;
        let order = sender.receive(probe);
        let delay = micros(cx.time).saturating_sub(probe.micros);
        sender.delays.add(delay);
        let (sequence, delay) = (probe.sequence, Seconds(delay as f64));
        if json {
            let event = Event::Heartbeat { from, sequence, delay, remark: order.remark() };
            output.line(json::to_string(&event));
        } else {
            let more = match order {
                Order::Next => String::new(),
                Order::Gap(1) => format!(", {} is missing", highest + 1),
                Order::Gap(count) => format!(", {} to {} are missing", highest + 1, highest + count),
                Order::Disordered => format!(", out of order after {highest}"),
                Order::Duplicate => ", duplicate".to_owned(),
                Order::Restarted => format!(", restarted after {highest}"),
            };
            output.line(format_args!("{from}: heartbeat {sequence}, delay {delay} s{more}"));
        }
    }

    fn advance(&mut self, _: &mut Outbox, cx: &mut ProgramContext<'_>) -> Stay {
        if self.over {
            return Stay::Over;
        }
        self.expire(cx);
        if cx.draining {
            self.finish(cx);
            return Stay::Over;
        }
        let heard = self.senders.iter().filter(|(_, sender)| !sender.lost).map(|(_, sender)| sender.heard);
        heard.min().map_or(Stay::Open, |heard| Stay::Until(heard.after(self.options.timeout)))
    }

    fn failed(&mut self, error: &io::Error, _: Option<SocketAddr>, _: &mut ProgramContext<'_>) {
        log::debug!("{error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::testing::TestProgram;

    fn at(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    fn watch(json: bool) -> TestProgram<Watch> {
        TestProgram::new(Watch::new(WatchOptions { json, ..WatchOptions::default() }))
    }

    fn beat(sequence: u64, millis: i64) -> Vec<u8> {
        let micros = 1_800_000_000_000_000 + millis * 1000;
        Probe { sequence, micros }.write(HEARTBEAT).into_bytes()
    }

    /// Lost, late and duplicate heartbeats of one sender; and another sender.
    fn play(watch: &mut TestProgram<Watch>) {
        let second = Duration::from_secs(1);
        watch.sleep(Duration::from_millis(5));
        watch.receive(&beat(1, 0), at(1));
        watch.sleep(second);
        watch.receive(&beat(4, 3_000), at(1));
        watch.receive(&beat(3, 2_000), at(1));
        watch.receive(&beat(3, 2_000), at(1));
        watch.receive(&beat(6, 5_000), at(1));
        watch.receive(b"hello", at(1));
        watch.receive(b"", at(3));
        watch.sleep(2 * second);
        watch.receive(&beat(1, 3_000), at(2));
        watch.sleep(second);
        watch.sleep(second);
        watch.receive(&beat(1, 5_001), at(1));
        watch.drain();
    }

    #[test]
    fn events_of_each_sender_are_printed() {
        let mut watch = watch(false);
        play(&mut watch);
        assert_eq!(
            watch.printed(),
            "192.0.2.1:1: heartbeat 1, delay 0.005000 s
192.0.2.1:1: heartbeat 4, delay -1.995000 s, 2 to 3 are missing
192.0.2.1:1: heartbeat 3, delay -0.995000 s, out of order after 4
192.0.2.1:1: heartbeat 3, delay -0.995000 s, duplicate
192.0.2.1:1: heartbeat 6, delay -3.995000 s, 5 is missing
192.0.2.1:1: not a heartbeat: 5 bytes, \"hello\"
192.0.2.1:3: not a heartbeat: 0 bytes, \"\"
192.0.2.1:2: heartbeat 1, delay 0.005000 s
192.0.2.1:1: lost since 2027-01-15T08:00:01Z, after heartbeat 6
192.0.2.1:1: back after 4.000000 s
192.0.2.1:1: heartbeat 1, delay 0.004000 s, restarted after 6
192.0.2.1:1: 6 received, 2 missing, 1 out of order, 1 duplicate, delay min/avg/max = -3.995000/-1.328500/0.005000 s
192.0.2.1:2: 1 received, 0 missing, 0 out of order, 0 duplicate, delay min/avg/max = 0.005000/0.005000/0.005000 s
2 datagrams were not heartbeats, 0 heartbeats ignored: too many senders
"
        );
        assert!(watch.is_over());
    }

    #[test]
    fn json_has_the_same_content() {
        let mut watch = watch(true);
        play(&mut watch);
        assert_eq!(
            watch.printed(),
            r#"{"event":"heartbeat","from":"192.0.2.1:1","sequence":1,"delay":0.005000}
{"event":"heartbeat","from":"192.0.2.1:1","sequence":4,"delay":-1.995000,"missing":2}
{"event":"heartbeat","from":"192.0.2.1:1","sequence":3,"delay":-0.995000,"disordered":true}
{"event":"heartbeat","from":"192.0.2.1:1","sequence":3,"delay":-0.995000,"duplicate":true}
{"event":"heartbeat","from":"192.0.2.1:1","sequence":6,"delay":-3.995000,"missing":1}
{"event":"strange","from":"192.0.2.1:1","size":5,"start":"hello"}
{"event":"strange","from":"192.0.2.1:3","size":0,"start":""}
{"event":"heartbeat","from":"192.0.2.1:2","sequence":1,"delay":0.005000}
{"event":"lost","from":"192.0.2.1:1","since":"2027-01-15T08:00:01Z","sequence":6}
{"event":"back","from":"192.0.2.1:1","after":4.000000}
{"event":"heartbeat","from":"192.0.2.1:1","sequence":1,"delay":0.004000,"restarted":true}
{"event":"summary","from":"192.0.2.1:1","received":6,"missing":2,"disordered":1,"duplicates":1,"min":-3.995000,"avg":-1.328500,"max":0.005000}
{"event":"summary","from":"192.0.2.1:2","received":1,"missing":0,"disordered":0,"duplicates":0,"min":0.005000,"avg":0.005000,"max":0.005000}
{"event":"ignored","strange":2,"too_many_senders":0}
"#
        );
    }

    #[test]
    fn a_sender_is_lost_exactly_at_the_timeout() {
        let mut watch = watch(false);
        assert_eq!(watch.wakes_in(), None);
        watch.receive(&beat(1, 0), at(1));
        watch.printed();
        watch.sleep(Duration::from_micros(2_999_999));
        assert_eq!((watch.printed().as_str(), watch.wakes_in()), ("", Some(Duration::from_micros(1))));
        watch.sleep(Duration::from_micros(1));
        assert!(watch.printed().contains("lost since"));
        assert_eq!(watch.wakes_in(), None, "a lost sender has no deadline");
    }

    #[test]
    fn the_first_datagram_of_each_sender_in_another_format_is_shown() {
        let mut watch = watch(false);
        watch.receive(b"1 1800000000.5", at(1));
        watch.receive(b"2 1800000001.5", at(1));
        watch.receive(&[&b"\x1b[2J\n\"\xff"[..], &[b'x'; 60]].concat(), at(2));
        assert_eq!(
            watch.printed(),
            "192.0.2.1:1: not a heartbeat: 14 bytes, \"1 1800000000.5\"\n\
             192.0.2.1:2: not a heartbeat: 67 bytes, \"\\x1b[2J\\x0a\\\"\\xffxxxxxxxxxxxxxxxxxxxxxxxxx\"...\n"
        );
        for port in 3..3000 {
            watch.receive(b"x", at(port));
        }
        assert_eq!(watch.printed().lines().count(), SENDERS - 2);
        assert_eq!(watch.machine.strange, 3000);
    }

    #[test]
    fn forged_senders_and_numbers_are_bounded() {
        let mut watch = watch(false);
        for port in 1..=SENDERS as u16 {
            watch.receive(&beat(1, 0), at(port));
        }
        watch.printed();
        watch.receive(&beat(1, 0), at(2000));
        assert_eq!((watch.printed().as_str(), watch.machine.ignored), ("", 1));
        // Known senders are still heard, and forgotten when they are lost.
        watch.receive(&beat(u64::MAX, 0), at(1));
        watch.receive(&beat(u64::MAX - 1, 0), at(1));
        watch.receive(&beat(0, 0), at(1));
        assert!(watch.printed().contains("out of order after 18446744073709551615"));
        watch.sleep(Duration::from_secs(10));
        watch.printed();
        watch.receive(&beat(1, 0), at(2000));
        assert!(watch.printed().starts_with("192.0.2.1:2000: heartbeat 1"));
        assert_eq!(watch.machine.senders.len(), SENDERS);
    }
}
