//! The tool `ping`: asks a datagram service, once an interval, and tells how long
//! its answers take.
//!
//! A probe is `Ping SEQUENCE TIME`. Whatever comes back with the same words,
//! in either case, is its answer; by its sequence number it is known to be a late one,
//! whose probe was given up, or another one to the same probe. Its time must be the
//! one that was sent, so answers to somebody else's probes count for nothing.
//!
//! An error that the network reports doesn't say which probe it is about. It is
//! taken to be the oldest that still waits.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::following;
use super::spread::{Seconds, Spread};
use super::stamp::Stamp;
use crate::logging::escape;
use crate::reactor::{Context, DatagramProtocol, Outbox, Stay, Tick};
use crate::service::Service;
use crate::text::json;
use crate::text::reason::reason;

/// The word that probes begin with.
const WORD: &str = "Ping";
/// Most probes that are remembered, so that late answers are known: a minute of the
/// fastest there are. A probe that waits for longer is given up.
const REMEMBERED: usize = 65_536;
/// Octets of an answer that are told.
const TOLD: usize = 100;

/// What a user can decide.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// How many probes.
    pub count: u64,
    /// Between two of them.
    pub interval: Duration,
    /// How long an answer may take.
    pub timeout: Duration,
    /// Least octets of a probe, which is filled up to it.
    pub size: usize,
    /// Answers are told, and how long they take so far.
    pub verbose: bool,
    /// Everything is told as JSON, an object a line.
    pub json: bool,
}

impl Default for Settings {
    fn default() -> Self {
        let second = Duration::from_secs(1);
        Self { count: 10, interval: second, timeout: second, size: 0, verbose: false, json: false }
    }
}

/// A probe that was sent.
struct Probe {
    sent: Tick,
    micros: i64,
    fate: Fate,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    Waiting,
    /// It was given up, or refused.
    Lost,
    Answered,
}

/// The tool.
pub struct Ping {
    peer: SocketAddr,
    settings: Settings,
    sent: u64,
    /// When the next probe is due.
    next: Tick,
    /// The last probes.
    probes: VecDeque<Probe>,
    /// The first probe that isn't known to be over.
    oldest: u64,
    answered: u64,
    late: u64,
    duplicates: u64,
    spread: Spread,
    over: bool,
}

type Cx<'a> = Context<'a, Service>;

impl Ping {
    /// The tool for the service at `peer`, with a socket that is connected to it.
    pub fn new(peer: SocketAddr, settings: Settings) -> Self {
        Self {
            peer,
            settings,
            sent: 0,
            next: Tick::default(),
            probes: VecDeque::new(),
            oldest: 1,
            answered: 0,
            late: 0,
            duplicates: 0,
            spread: Spread::default(),
            over: false,
        }
    }

    /// A probe that is remembered.
    fn probe(&mut self, sequence: u64) -> Option<&mut Probe> {
        let first = self.sent + 1 - self.probes.len() as u64;
        self.probes.get_mut(usize::try_from(sequence.checked_sub(first)?).ok()?)
    }

    /// The oldest probe that waits, and when it was sent.
    fn waiting(&mut self) -> Option<(u64, Tick)> {
        while self.oldest <= self.sent {
            let oldest = self.oldest;
            if let Some(Probe { sent, fate: Fate::Waiting, .. }) = self.probe(oldest) {
                return Some((oldest, *sent));
            }
            self.oldest += 1;
        }
        None
    }

    /// Gives up the oldest probe that waits.
    fn lose(&mut self, sequence: u64, why: fmt::Arguments<'_>, cx: &mut Cx<'_>) {
        if let Some(probe) = self.probe(sequence) {
            probe.fate = Fate::Lost;
        }
        if self.settings.json {
            let (to, why) = (self.peer, json::string(&why.to_string()).to_string());
            cx.shared
                .report
                .line(format_args!(r#"{{"event":"lost","sequence":{sequence},"to":"{to}","reason":{why}}}"#));
        } else {
            cx.shared.report.line(format_args!("Sequence {sequence}: {why}"));
        }
    }

    /// Gives up what has waited for too long.
    fn expire(&mut self, cx: &mut Cx<'_>) {
        while let Some((sequence, sent)) = self.waiting()
            && sent.after(self.settings.timeout) < cx.time.now
        {
            self.lose(sequence, format_args!("Request timed out"), cx);
        }
    }

    fn send(&mut self, out: &mut Outbox, cx: &mut Cx<'_>) {
        if self.probes.len() == REMEMBERED {
            if let Some((sequence, _)) = self.waiting()
                && sequence + REMEMBERED as u64 == self.sent + 1
            {
                self.lose(sequence, format_args!("Request timed out"), cx);
            }
            self.probes.pop_front();
        }
        self.sent += 1;
        let stamp = Stamp::now(self.sent, cx.time);
        let mut datagram = stamp.write(WORD).into_bytes();
        if datagram.len() < self.settings.size {
            datagram.push(b' ');
            datagram.resize(self.settings.size, b'x');
        }
        out.send(self.peer, &datagram);
        self.probes.push_back(Probe { sent: cx.time.now, micros: stamp.micros, fate: Fate::Waiting });
        self.next = following(self.next, self.settings.interval, cx.time.now);
    }

    fn tell(&self, kind: Kind, sequence: u64, from: SocketAddr, rtt: Duration, text: &[u8], cx: &mut Cx<'_>) {
        let rtt = Seconds(rtt.as_micros() as f64);
        let report = &mut cx.shared.report;
        if self.settings.json {
            let event = kind.name();
            report.line(format_args!(
                r#"{{"event":"{event}","sequence":{sequence},"from":"{from}","rtt":{rtt},"size":{}}}"#,
                text.len()
            ));
            return;
        }
        let kind = match kind {
            Kind::Reply => "Reply",
            Kind::Late => "Late reply",
            Kind::Duplicate => "Duplicate reply",
        };
        let mut line = format!("Sequence {sequence}: {kind} from {from} RTT = {rtt} s");
        if self.settings.verbose {
            line += &format!(" \"{}\"", escape(&text[..text.len().min(TOLD)]));
            if let Some([least, average, most, _]) = self.spread.told() {
                line += &format!(" min/avg/max = {least}/{average}/{most} s");
            }
        }
        report.line(format_args!("{line}"));
    }

    /// The last lines.
    fn finish(&mut self, cx: &mut Cx<'_>) {
        self.over = true;
        let Self { peer, sent, answered, late, duplicates, .. } = *self;
        let loss = if sent == 0 { 0.0 } else { (sent - answered) as f64 * 100.0 / sent as f64 };
        let loss = (loss * 10.0).round() / 10.0;
        let told = self.spread.told();
        let report = &mut cx.shared.report;
        if self.settings.json {
            let times = told.map_or(String::new(), |[least, average, most, deviation]| {
                format!(r#","min":{least},"avg":{average},"max":{most},"mdev":{deviation}"#)
            });
            report.line(format_args!(
                r#"{{"event":"summary","to":"{peer}","sent":{sent},"received":{answered},"loss":{loss},"late":{late},"duplicates":{duplicates}{times}}}"#
            ));
            return;
        }
        report.line(format_args!("--- {peer} ping statistics ---"));
        let more = |count: u64, name| if count > 0 { format!(", {count} {name}") } else { String::new() };
        let more = more(late, "late") + &more(duplicates, "duplicate");
        report.line(format_args!("{sent} sent, {answered} received, {loss}% loss{more}"));
        if let Some([least, average, most, deviation]) = told {
            report.line(format_args!("RTT min/avg/max/mdev = {least}/{average}/{most}/{deviation} s"));
        }
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Reply,
    Late,
    Duplicate,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Reply => "reply",
            Kind::Late => "late",
            Kind::Duplicate => "duplicate",
        }
    }
}

impl DatagramProtocol<Service> for Ping {
    fn received(&mut self, datagram: &[u8], from: SocketAddr, _: &mut Outbox, cx: &mut Cx<'_>) {
        // What came too late is that, though nobody has noticed yet.
        self.expire(cx);
        let Some(stamp) = Stamp::read(WORD, datagram) else { return };
        let Some(probe) = self.probe(stamp.sequence).filter(|probe| probe.micros == stamp.micros) else { return };
        let rtt = cx.time.now.since(probe.sent);
        let kind = match std::mem::replace(&mut probe.fate, Fate::Answered) {
            Fate::Waiting => Kind::Reply,
            Fate::Lost => Kind::Late,
            Fate::Answered => Kind::Duplicate,
        };
        match kind {
            Kind::Reply => {
                self.answered += 1;
                self.spread.add(i64::try_from(rtt.as_micros()).unwrap_or(i64::MAX));
            }
            Kind::Late => self.late += 1,
            Kind::Duplicate => self.duplicates += 1,
        }
        cx.shared.success = true;
        self.tell(kind, stamp.sequence, from, rtt, datagram, cx);
    }

    fn advance(&mut self, out: &mut Outbox, cx: &mut Cx<'_>) -> Stay {
        if self.over {
            return Stay::Over;
        }
        self.expire(cx);
        if self.sent < self.settings.count && self.next <= cx.time.now && !cx.draining {
            self.send(out, cx);
        }
        let deadline = self.waiting().map(|(_, sent)| sent.after(self.settings.timeout + Duration::from_micros(1)));
        let next = (self.sent < self.settings.count).then_some(self.next);
        match deadline.into_iter().chain(next).min() {
            Some(wake) if !cx.draining => Stay::Until(wake),
            _ => {
                self.finish(cx);
                Stay::Over
            }
        }
    }

    fn failed(&mut self, error: &io::Error, to: Option<SocketAddr>, cx: &mut Cx<'_>) {
        // What couldn't be sent is the last one, what came back the oldest.
        let sequence = if to.is_some() { Some(self.sent) } else { self.waiting().map(|(sequence, _)| sequence) };
        if let Some(sequence) = sequence
            && !self.over
        {
            let peer = self.peer;
            self.lose(sequence, format_args!("no way to {peer}: {}", reason(error)), cx);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Lone;
    use super::*;

    fn peer() -> SocketAddr {
        "192.0.2.1:12000".parse().unwrap()
    }

    fn ping(settings: Settings) -> Lone<Ping> {
        Lone::new(Ping::new(peer(), settings))
    }

    fn two() -> Settings {
        Settings { count: 2, ..Settings::default() }
    }

    #[test]
    fn a_probe_a_second_and_what_came_of_it() {
        let mut ping = ping(two());
        let [first] = ping.sent().try_into().unwrap();
        assert_eq!(first, b"Ping 1 1800000000.000000");
        ping.sleep(Duration::from_micros(1_234));
        ping.receive(&first.to_ascii_uppercase(), peer());
        assert_eq!(ping.told(), "Sequence 1: Reply from 192.0.2.1:12000 RTT = 0.001234 s\n");
        ping.sleep(Duration::from_micros(998_765));
        assert!(ping.sent().is_empty());
        ping.sleep(Duration::from_micros(1));
        assert_eq!(ping.sent(), [b"Ping 2 1800000001.000000"]);
        ping.sleep(Duration::from_secs(1));
        assert_eq!(ping.told(), "");
        ping.sleep(Duration::from_micros(1));
        assert_eq!(
            ping.told(),
            "Sequence 2: Request timed out
--- 192.0.2.1:12000 ping statistics ---
2 sent, 1 received, 50% loss
RTT min/avg/max/mdev = 0.001234/0.001234/0.001234/0.000000 s
"
        );
        assert!(ping.is_over() && ping.shared.success);
    }

    #[test]
    fn late_and_duplicate_answers_are_told_apart() {
        let mut ping = ping(Settings { count: 3, ..Settings::default() });
        let [first] = ping.sent().try_into().unwrap();
        ping.sleep(Duration::from_millis(1_500));
        let [second] = ping.sent().try_into().unwrap();
        assert_eq!(ping.told(), "Sequence 1: Request timed out\n");
        ping.receive(&second, peer());
        ping.receive(&first, peer());
        ping.receive(&second, peer());
        ping.receive(&first, peer());
        assert_eq!(
            ping.told(),
            "Sequence 2: Reply from 192.0.2.1:12000 RTT = 0.000000 s
Sequence 1: Late reply from 192.0.2.1:12000 RTT = 1.500000 s
Sequence 2: Duplicate reply from 192.0.2.1:12000 RTT = 0.000000 s
Sequence 1: Duplicate reply from 192.0.2.1:12000 RTT = 1.500000 s
"
        );
        ping.drain();
        assert!(ping.told().contains("\n2 sent, 1 received, 50% loss, 1 late, 2 duplicate\n"));
    }

    #[test]
    fn what_is_no_answer_to_its_probes_counts_for_nothing() {
        let mut ping = ping(two());
        let [first] = ping.sent().try_into().unwrap();
        for wrong in
            [&b""[..], b"\xff\xfe", b"Ping", b"Ping 1 1800000000.000001", b"Ping 2 1800000000.000000", b"Ping 0 0"]
        {
            ping.receive(wrong, peer());
        }
        ping.receive(&vec![b'x'; 65_507], peer());
        assert_eq!(ping.told(), "");
        assert!(!ping.shared.success);
        ping.receive(&first, peer());
        assert!(ping.told().starts_with("Sequence 1: Reply"));
    }

    #[test]
    fn nobody_there() {
        let mut ping = ping(two());
        ping.fail(io::ErrorKind::ConnectionRefused, None);
        assert_eq!(ping.told(), "Sequence 1: no way to 192.0.2.1:12000: connection refused\n");
        ping.sleep(Duration::from_secs(1));
        ping.fail(io::ErrorKind::NetworkUnreachable, Some(peer()));
        assert_eq!(
            ping.told(),
            "Sequence 2: no way to 192.0.2.1:12000: network unreachable
--- 192.0.2.1:12000 ping statistics ---
2 sent, 0 received, 100% loss
"
        );
        assert!(ping.is_over() && !ping.shared.success);
    }

    #[test]
    fn an_interrupt_tells_the_summary() {
        let mut ping = ping(Settings { count: 3, ..Settings::default() });
        ping.drain();
        assert_eq!(ping.told(), "--- 192.0.2.1:12000 ping statistics ---\n1 sent, 0 received, 100% loss\n");
        assert!(ping.is_over());
    }

    #[test]
    fn json_says_the_same() {
        let mut ping =
            ping(Settings { count: 3, json: true, interval: Duration::from_millis(100), ..Settings::default() });
        let [first] = ping.sent().try_into().unwrap();
        ping.sleep(Duration::from_millis(10));
        ping.receive(&first, peer());
        ping.sleep(Duration::from_millis(5_000));
        assert_eq!(
            ping.told(),
            r#"{"event":"reply","sequence":1,"from":"192.0.2.1:12000","rtt":0.010000,"size":24}
"#
        );
        ping.sleep(Duration::from_secs(5));
        assert_eq!(
            ping.told(),
            r#"{"event":"lost","sequence":2,"to":"192.0.2.1:12000","reason":"Request timed out"}
"#
        );
        ping.sleep(Duration::from_secs(5));
        assert_eq!(
            ping.told(),
            r#"{"event":"lost","sequence":3,"to":"192.0.2.1:12000","reason":"Request timed out"}
{"event":"summary","to":"192.0.2.1:12000","sent":3,"received":1,"loss":66.7,"late":0,"duplicates":0,"min":0.010000,"avg":0.010000,"max":0.010000,"mdev":0.000000}
"#
        );
    }

    #[test]
    fn verbosely_what_the_answer_says() {
        let mut ping = ping(Settings { size: 30, verbose: true, ..two() });
        let [first] = ping.sent().try_into().unwrap();
        assert_eq!(first, b"Ping 1 1800000000.000000 xxxxx");
        ping.receive(&[&first[..], b"\x1b\""].concat(), peer());
        assert_eq!(
            ping.told(),
            "Sequence 1: Reply from 192.0.2.1:12000 RTT = 0.000000 s \
             \"Ping 1 1800000000.000000 xxxxx\\x1b\\\"\" min/avg/max = 0.000000/0.000000/0.000000 s\n"
        );
    }

    #[test]
    fn verbosely_a_late_answer_before_any_other_says_something_too() {
        let mut ping = ping(Settings { verbose: true, ..two() });
        let [first] = ping.sent().try_into().unwrap();
        ping.sleep(Duration::from_secs(2));
        ping.told();
        ping.receive(&first, peer());
        let line = "Sequence 1: Late reply from 192.0.2.1:12000 RTT = 2.000000 s \"Ping 1 1800000000.000000\"\n";
        assert_eq!(ping.told(), line);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let millisecond = Duration::from_millis(1);
        let day = Duration::from_secs(86_400);
        let mut ping = ping(Settings { count: 70_000, interval: millisecond, timeout: day, ..Settings::default() });
        for _ in 0..REMEMBERED {
            ping.sleep(millisecond);
        }
        assert_eq!(ping.told(), "Sequence 1: Request timed out\n");
        assert_eq!(ping.machine.probes.len(), REMEMBERED);
    }
}
