//! The tool `heartbeat watch`: hears heartbeats of many senders, and tells of each
//! how long they took, which are missing, and since when there are none.
//!
//! How long a heartbeat took is the watcher's clock less the sender's: right as far
//! as both are.
//!
//! The numbers of the last 64 are remembered, so one that comes late is known from
//! one that comes twice. A lower number with a later time is neither: the sender
//! has begun anew.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::heartbeat::WORD;
use super::spread::{Seconds, Spread};
use super::stamp::{Stamp, micros};
use crate::http::date;
use crate::reactor::{Context, DatagramProtocol, Outbox, Stay, Tick};
use crate::service::Service;

/// Most senders that are known at once. The longest silent makes room for another,
/// if it counts as lost: addresses are easily made up.
const SENDERS: usize = 1024;

/// What a user can decide.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// After so long without a heartbeat a sender counts as lost.
    pub timeout: Duration,
    /// Everything is told as JSON, an object a line.
    pub json: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(3), json: false }
    }
}

/// What is known of a sender.
struct Sender {
    /// The highest number, and its time.
    last: Stamp,
    /// Which of the numbers up to the highest came: the lowest bit is its own.
    came: u64,
    heard: Tick,
    /// When that was, in Unix seconds.
    heard_at: i64,
    lost: bool,
    received: u64,
    missing: u64,
    disordered: u64,
    duplicates: u64,
    delays: Spread,
}

/// What a heartbeat is, seen from those before it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Next,
    /// So many before it are missing.
    Gap(u64),
    /// It comes after a higher one.
    Disordered,
    Duplicate,
    /// The sender counts from the beginning again.
    Anew,
}

impl Sender {
    fn new(stamp: Stamp) -> Self {
        Self {
            last: stamp,
            came: 0,
            heard: Tick::default(),
            heard_at: 0,
            lost: false,
            received: 0,
            missing: 0,
            disordered: 0,
            duplicates: 0,
            delays: Spread::default(),
        }
    }

    fn take(&mut self, stamp: Stamp) -> Kind {
        let highest = self.last.sequence;
        let kind = match stamp.sequence.checked_sub(highest) {
            // Its first.
            Some(0) if self.received == 0 => Kind::Next,
            Some(ahead @ 1..) => {
                self.came = u32::try_from(ahead).ok().and_then(|ahead| self.came.checked_shl(ahead)).unwrap_or(0);
                if ahead == 1 { Kind::Next } else { Kind::Gap(ahead - 1) }
            }
            _ if stamp.micros > self.last.micros => {
                self.came = 0;
                Kind::Anew
            }
            _ => {
                let bit = u32::try_from(highest - stamp.sequence).ok().and_then(|back| 1_u64.checked_shl(back));
                let bit = bit.unwrap_or(0);
                let twice = self.came & bit != 0;
                self.came |= bit;
                if twice { Kind::Duplicate } else { Kind::Disordered }
            }
        };
        match kind {
            Kind::Next | Kind::Gap(_) | Kind::Anew => {
                self.came |= 1;
                self.last = stamp;
            }
            Kind::Disordered | Kind::Duplicate => {}
        }
        match kind {
            Kind::Gap(count) => self.missing = self.missing.saturating_add(count),
            Kind::Disordered => {
                self.disordered += 1;
                self.missing = self.missing.saturating_sub(1);
            }
            Kind::Duplicate => self.duplicates += 1,
            Kind::Next | Kind::Anew => {}
        }
        self.received += 1;
        kind
    }
}

/// The tool.
pub struct Watch {
    settings: Settings,
    /// In the order of their addresses.
    senders: Vec<(SocketAddr, Sender)>,
    /// Datagrams that were no heartbeats.
    strange: u64,
    /// Heartbeats of senders for whom there was no room.
    ignored: u64,
    over: bool,
}

type Cx<'a> = Context<'a, Service>;

impl Watch {
    /// The tool on one socket.
    pub fn new(settings: Settings) -> Self {
        Self { settings, senders: Vec::new(), strange: 0, ignored: 0, over: false }
    }

    /// The sender at `from`, if there is room for it.
    fn sender(&mut self, from: SocketAddr, stamp: Stamp) -> Option<&mut Sender> {
        let place = |senders: &[(SocketAddr, Sender)]| senders.binary_search_by_key(&from, |(address, _)| *address);
        let mut found = place(&self.senders);
        if found.is_err() && self.senders.len() >= SENDERS {
            let lost = self.senders.iter().enumerate().filter(|(_, (_, sender))| sender.lost);
            let (longest, _) = lost.min_by_key(|(_, (_, sender))| sender.heard)?;
            self.senders.remove(longest);
            found = place(&self.senders);
        }
        let index = found.unwrap_or_else(|index| {
            self.senders.insert(index, (from, Sender::new(stamp)));
            index
        });
        self.senders.get_mut(index).map(|(_, sender)| sender)
    }

    /// Tells who hasn't been heard for too long.
    fn expire(&mut self, cx: &mut Cx<'_>) {
        let Settings { timeout, json } = self.settings;
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
                cx.shared.report.line(format_args!(
                    r#"{{"event":"lost","from":"{from}","since":"{since}","sequence":{sequence}}}"#
                ));
            } else {
                cx.shared.report.line(format_args!("{from}: lost since {since}, after heartbeat {sequence}"));
            }
        }
    }

    /// The last lines.
    fn finish(&mut self, cx: &mut Cx<'_>) {
        self.over = true;
        let (json, report) = (self.settings.json, &mut cx.shared.report);
        for (from, sender) in &self.senders {
            let Sender { received, missing, disordered, duplicates, .. } = *sender;
            let Some([least, average, most, _]) = sender.delays.told() else { continue };
            if json {
                report.line(format_args!(
                    r#"{{"event":"summary","from":"{from}","received":{received},"missing":{missing},"disordered":{disordered},"duplicates":{duplicates},"min":{least},"avg":{average},"max":{most}}}"#
                ));
            } else {
                report.line(format_args!(
                    "{from}: {received} received, {missing} missing, {disordered} out of order, {duplicates} twice, \
                     delay min/avg/max = {least}/{average}/{most} s"
                ));
            }
        }
        let Self { strange, ignored, .. } = *self;
        if strange + ignored > 0 {
            if json {
                report.line(format_args!(r#"{{"event":"ignored","strange":{strange},"too_many_senders":{ignored}}}"#));
            } else {
                report.line(format_args!(
                    "{strange} datagrams were no heartbeats, {ignored} heartbeats came from too many senders"
                ));
            }
        }
    }
}

impl DatagramProtocol<Service> for Watch {
    fn received(&mut self, datagram: &[u8], from: SocketAddr, _: &mut Outbox, cx: &mut Cx<'_>) {
        // Who comes back too late was lost, though nobody has noticed yet.
        self.expire(cx);
        let json = self.settings.json;
        let Some(stamp) = Stamp::read(WORD, datagram) else {
            self.strange += 1;
            return;
        };
        let Some(sender) = self.sender(from, stamp) else {
            self.ignored += 1;
            return;
        };
        cx.shared.success = true;
        let report = &mut cx.shared.report;
        if std::mem::take(&mut sender.lost) {
            let silence = Seconds(cx.time.now.since(sender.heard).as_micros() as f64);
            if json {
                report.line(format_args!(r#"{{"event":"back","from":"{from}","after":{silence}}}"#));
            } else {
                report.line(format_args!("{from}: back after {silence} s"));
            }
        }
        (sender.heard, sender.heard_at) = (cx.time.now, cx.time.unix_seconds);
        let highest = sender.last.sequence;
        let kind = sender.take(stamp);
        let delay = micros(cx.time).saturating_sub(stamp.micros);
        sender.delays.add(delay);
        let (sequence, delay) = (stamp.sequence, Seconds(delay as f64));
        if json {
            let more = match kind {
                Kind::Next => String::new(),
                Kind::Gap(count) => format!(r#","missing":{count}"#),
                Kind::Disordered => r#","disordered":true"#.to_owned(),
                Kind::Duplicate => r#","duplicate":true"#.to_owned(),
                Kind::Anew => r#","anew":true"#.to_owned(),
            };
            report.line(format_args!(
                r#"{{"event":"heartbeat","from":"{from}","sequence":{sequence},"delay":{delay}{more}}}"#
            ));
        } else {
            let more = match kind {
                Kind::Next => String::new(),
                Kind::Gap(1) => format!(", {} is missing", highest + 1),
                Kind::Gap(count) => format!(", {} to {} are missing", highest + 1, highest + count),
                Kind::Disordered => format!(", out of order after {highest}"),
                Kind::Duplicate => ", for the second time".to_owned(),
                Kind::Anew => format!(", counted anew after {highest}"),
            };
            report.line(format_args!("{from}: heartbeat {sequence}, delay {delay} s{more}"));
        }
    }

    fn advance(&mut self, _: &mut Outbox, cx: &mut Cx<'_>) -> Stay {
        if self.over {
            return Stay::Over;
        }
        self.expire(cx);
        if cx.draining {
            self.finish(cx);
            return Stay::Over;
        }
        let heard = self.senders.iter().filter(|(_, sender)| !sender.lost).map(|(_, sender)| sender.heard);
        heard.min().map_or(Stay::Open, |heard| Stay::Until(heard.after(self.settings.timeout)))
    }

    fn failed(&mut self, error: &io::Error, _: Option<SocketAddr>, _: &mut Cx<'_>) {
        log::debug!("{error}");
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Lone;
    use super::*;

    fn at(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    fn watch(json: bool) -> Lone<Watch> {
        Lone::new(Watch::new(Settings { json, ..Settings::default() }))
    }

    fn beat(sequence: u64, millis: i64) -> Vec<u8> {
        let micros = 1_800_000_000_000_000 + millis * 1000;
        Stamp { sequence, micros }.write(WORD).into_bytes()
    }

    /// A sender whose heartbeats may be lost, late, come twice; and another.
    fn play(watch: &mut Lone<Watch>) {
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
    fn tells_of_each_sender_what_happened() {
        let mut watch = watch(false);
        play(&mut watch);
        assert_eq!(
            watch.told(),
            "192.0.2.1:1: heartbeat 1, delay 0.005000 s
192.0.2.1:1: heartbeat 4, delay -1.995000 s, 2 to 3 are missing
192.0.2.1:1: heartbeat 3, delay -0.995000 s, out of order after 4
192.0.2.1:1: heartbeat 3, delay -0.995000 s, for the second time
192.0.2.1:1: heartbeat 6, delay -3.995000 s, 5 is missing
192.0.2.1:2: heartbeat 1, delay 0.005000 s
192.0.2.1:1: lost since 2027-01-15T08:00:01Z, after heartbeat 6
192.0.2.1:1: back after 4.000000 s
192.0.2.1:1: heartbeat 1, delay 0.004000 s, counted anew after 6
192.0.2.1:1: 6 received, 2 missing, 1 out of order, 1 twice, delay min/avg/max = -3.995000/-1.328500/0.005000 s
192.0.2.1:2: 1 received, 0 missing, 0 out of order, 0 twice, delay min/avg/max = 0.005000/0.005000/0.005000 s
2 datagrams were no heartbeats, 0 heartbeats came from too many senders
"
        );
        assert!(watch.is_over());
    }

    #[test]
    fn json_says_the_same() {
        let mut watch = watch(true);
        play(&mut watch);
        assert_eq!(
            watch.told(),
            r#"{"event":"heartbeat","from":"192.0.2.1:1","sequence":1,"delay":0.005000}
{"event":"heartbeat","from":"192.0.2.1:1","sequence":4,"delay":-1.995000,"missing":2}
{"event":"heartbeat","from":"192.0.2.1:1","sequence":3,"delay":-0.995000,"disordered":true}
{"event":"heartbeat","from":"192.0.2.1:1","sequence":3,"delay":-0.995000,"duplicate":true}
{"event":"heartbeat","from":"192.0.2.1:1","sequence":6,"delay":-3.995000,"missing":1}
{"event":"heartbeat","from":"192.0.2.1:2","sequence":1,"delay":0.005000}
{"event":"lost","from":"192.0.2.1:1","since":"2027-01-15T08:00:01Z","sequence":6}
{"event":"back","from":"192.0.2.1:1","after":4.000000}
{"event":"heartbeat","from":"192.0.2.1:1","sequence":1,"delay":0.004000,"anew":true}
{"event":"summary","from":"192.0.2.1:1","received":6,"missing":2,"disordered":1,"duplicates":1,"min":-3.995000,"avg":-1.328500,"max":0.005000}
{"event":"summary","from":"192.0.2.1:2","received":1,"missing":0,"disordered":0,"duplicates":0,"min":0.005000,"avg":0.005000,"max":0.005000}
{"event":"ignored","strange":2,"too_many_senders":0}
"#
        );
    }

    #[test]
    fn a_sender_is_lost_at_its_time_and_not_before() {
        let mut watch = watch(false);
        assert_eq!(watch.wakes_in(), None);
        watch.receive(&beat(1, 0), at(1));
        watch.told();
        watch.sleep(Duration::from_micros(2_999_999));
        assert_eq!((watch.told().as_str(), watch.wakes_in()), ("", Some(Duration::from_micros(1))));
        watch.sleep(Duration::from_micros(1));
        assert!(watch.told().contains("lost since"));
        assert_eq!(watch.wakes_in(), None, "a lost one has no deadline");
    }

    #[test]
    fn made_up_senders_and_numbers_hurt_nobody() {
        let mut watch = watch(false);
        for port in 1..=SENDERS as u16 {
            watch.receive(&beat(1, 0), at(port));
        }
        watch.told();
        watch.receive(&beat(1, 0), at(2000));
        assert_eq!((watch.told().as_str(), watch.machine.ignored), ("", 1));
        // Those who are there are heard, and make room when they are lost.
        watch.receive(&beat(u64::MAX, 0), at(1));
        watch.receive(&beat(u64::MAX - 1, 0), at(1));
        watch.receive(&beat(0, 0), at(1));
        assert!(watch.told().contains("out of order after 18446744073709551615"));
        watch.sleep(Duration::from_secs(10));
        watch.told();
        watch.receive(&beat(1, 0), at(2000));
        assert!(watch.told().starts_with("192.0.2.1:2000: heartbeat 1"));
        assert_eq!(watch.machine.senders.len(), SENDERS);
    }
}
