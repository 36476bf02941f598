//! `miod ping`: sends a probe to a datagram service once an interval, and prints the
//! round-trip times.
//!
//! A probe is `Ping SEQUENCE TIME`. A datagram with the same words, in either case, is its
//! reply. The sequence number shows whether the reply is late (its probe has timed out) or
//! a duplicate. Sequence and time must be those of a probe that was sent, so replies to
//! other probes are ignored.
//!
//! An error that the network reports doesn't name its probe. It counts for the oldest
//! pending probe.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use serde::Serialize;

use super::schedule::next_after;
use crate::console::program::{Program, ProgramContext};
use crate::logging::escape;
use crate::probe::rtt_stats::{RttStats, Seconds};
use crate::probe::{PING, Probe};
use crate::reactor::{DatagramProtocol, Outbox, Stay, Tick};
use crate::text::io_error::describe;
use crate::text::json;

/// Most probes that are remembered, to recognise late replies: one minute at the
/// shortest interval. An older pending probe times out.
const REMEMBERED: usize = 65_536;
/// Most bytes of a reply that are printed.
const SHOWN: usize = 100;

/// The options of `miod ping`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PingPlan {
    /// The number of probes.
    pub count: u64,
    /// Time between two probes.
    pub interval: Duration,
    /// The longest time for a reply.
    pub timeout: Duration,
    /// The minimum size of a probe in bytes; shorter ones are padded.
    pub size: usize,
    /// Print the content of replies and the statistics so far.
    pub verbose: bool,
    /// Print JSON, one object per line.
    pub json: bool,
}

impl Default for PingPlan {
    fn default() -> Self {
        let second = Duration::from_secs(1);
        Self { count: 10, interval: second, timeout: second, size: 0, verbose: false, json: false }
    }
}

/// A probe that was sent.
struct SentProbe {
    sent: Tick,
    micros: i64,
    state: ProbeState,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum ProbeState {
    Pending,
    /// It timed out or was refused.
    Lost,
    Answered,
}

/// The state machine of `miod ping`.
pub struct Ping {
    peer: SocketAddr,
    plan: PingPlan,
    sent: u64,
    /// When the next probe is due.
    next: Tick,
    /// The last probes.
    probes: VecDeque<SentProbe>,
    /// The first probe that may be pending.
    oldest: u64,
    answered: u64,
    late: u64,
    duplicates: u64,
    stats: RttStats,
    over: bool,
}

impl Ping {
    /// Probes for the service at `peer`, to which the socket is connected.
    pub fn new(peer: SocketAddr, plan: PingPlan) -> Self {
        Self {
            peer,
            plan,
            sent: 0,
            next: Tick::default(),
            probes: VecDeque::new(),
            oldest: 1,
            answered: 0,
            late: 0,
            duplicates: 0,
            stats: RttStats::default(),
            over: false,
        }
    }

    /// A probe that is remembered.
    fn probe(&mut self, sequence: u64) -> Option<&mut SentProbe> {
        let first = self.sent + 1 - self.probes.len() as u64;
        self.probes.get_mut(usize::try_from(sequence.checked_sub(first)?).ok()?)
    }

    /// The oldest pending probe, and when it was sent.
    fn pending(&mut self) -> Option<(u64, Tick)> {
        while self.oldest <= self.sent {
            let oldest = self.oldest;
            if let Some(SentProbe { sent, state: ProbeState::Pending, .. }) = self.probe(oldest) {
                return Some((oldest, *sent));
            }
            self.oldest += 1;
        }
        None
    }

    /// Reports a probe as lost.
    fn lose(&mut self, sequence: u64, why: fmt::Arguments<'_>, cx: &mut ProgramContext<'_>) {
        if let Some(probe) = self.probe(sequence) {
            probe.state = ProbeState::Lost;
        }
        if self.plan.json {
            let event = Event::Lost { sequence, to: self.peer, reason: why.to_string() };
            cx.shared.output.line(json::to_string(&event));
        } else {
            cx.shared.output.line(format_args!("Sequence {sequence}: {why}"));
        }
    }

    /// Reports the probes that have timed out.
    fn expire(&mut self, cx: &mut ProgramContext<'_>) {
        while let Some((sequence, sent)) = self.pending()
            && sent.after(self.plan.timeout) < cx.time.now
        {
            self.lose(sequence, format_args!("Request timed out"), cx);
        }
    }

    fn send(&mut self, out: &mut Outbox, cx: &mut ProgramContext<'_>) {
        if self.probes.len() == REMEMBERED {
            if let Some((sequence, _)) = self.pending()
                && sequence + REMEMBERED as u64 == self.sent + 1
            {
                self.lose(sequence, format_args!("Request timed out"), cx);
            }
            self.probes.pop_front();
        }
        self.sent += 1;
        let probe = Probe::now(self.sent, cx.time);
        let mut datagram = probe.write(PING).into_bytes();
        if datagram.len() < self.plan.size {
            datagram.push(b' ');
            datagram.resize(self.plan.size, b'x');
        }
        out.send(self.peer, &datagram);
        self.probes.push_back(SentProbe { sent: cx.time.now, micros: probe.micros, state: ProbeState::Pending });
        self.next = next_after(self.next, self.plan.interval, cx.time.now);
    }

    fn print(
        &self,
        kind: ReplyKind,
        sequence: u64,
        from: SocketAddr,
        rtt: Duration,
        text: &[u8],
        cx: &mut ProgramContext<'_>,
    ) {
        let rtt = Seconds(rtt.as_micros() as f64);
        let output = &mut cx.shared.output;
        if self.plan.json {
            let reply = Reply { sequence, from, rtt, size: text.len() };
            output.line(json::to_string(&match kind {
                ReplyKind::OnTime => Event::Reply(reply),
                ReplyKind::Late => Event::Late(reply),
                ReplyKind::Duplicate => Event::Duplicate(reply),
            }));
            return;
        }
        let kind = match kind {
            ReplyKind::OnTime => "Reply",
            ReplyKind::Late => "Late reply",
            ReplyKind::Duplicate => "Duplicate reply",
        };
        let mut line = format!("Sequence {sequence}: {kind} from {from} RTT = {rtt} s");
        if self.plan.verbose {
            line += &format!(" \"{}\"", escape(&text[..text.len().min(SHOWN)]));
            if let Some([least, average, most, _]) = self.stats.summary() {
                line += &format!(" min/avg/max = {least}/{average}/{most} s");
            }
        }
        output.line(format_args!("{line}"));
    }

    /// Prints the summary.
    fn finish(&mut self, cx: &mut ProgramContext<'_>) {
        self.over = true;
        let Self { peer, sent, answered, late, duplicates, .. } = *self;
        let loss = if sent == 0 { 0.0 } else { (sent - answered) as f64 * 100.0 / sent as f64 };
        let loss = (loss * 10.0).round() / 10.0;
        let summary = self.stats.summary();
        let output = &mut cx.shared.output;
        if self.plan.json {
            let times = summary.map(|[min, avg, max, mdev]| Times { min, avg, max, mdev });
            let event = Event::Summary { to: peer, sent, received: answered, loss, late, duplicates, times };
            output.line(json::to_string(&event));
            return;
        }
        output.line(format_args!("--- {peer} ping statistics ---"));
        let more = |count: u64, name| if count > 0 { format!(", {count} {name}") } else { String::new() };
        let more = more(late, "late") + &more(duplicates, "duplicate");
        output.line(format_args!("{sent} sent, {answered} received, {loss}% loss{more}"));
        if let Some([least, average, most, deviation]) = summary {
            output.line(format_args!("RTT min/avg/max/mdev = {least}/{average}/{most}/{deviation} s"));
        }
    }
}

#[derive(Clone, Copy)]
enum ReplyKind {
    OnTime,
    Late,
    Duplicate,
}

/// A line for programs.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Event {
    Reply(Reply),
    Late(Reply),
    Duplicate(Reply),
    Lost {
        sequence: u64,
        to: SocketAddr,
        reason: String,
    },
    Summary {
        to: SocketAddr,
        sent: u64,
        received: u64,
        /// In percent.
        loss: f64,
        late: u64,
        duplicates: u64,
        #[serde(flatten)]
        times: Option<Times>,
    },
}

#[derive(Serialize)]
struct Reply {
    sequence: u64,
    from: SocketAddr,
    rtt: Seconds,
    size: usize,
}

/// Round-trip times.
#[derive(Serialize)]
struct Times {
    min: Seconds,
    avg: Seconds,
    max: Seconds,
    mdev: Seconds,
}

impl DatagramProtocol<Program> for Ping {
    fn received(&mut self, datagram: &[u8], from: SocketAddr, _: &mut Outbox, cx: &mut ProgramContext<'_>) {
        // A reply after the timeout is late, even if this is the first turn after the timeout.
        self.expire(cx);
        let Some(reply) = Probe::parse(PING, datagram) else { return };
        let Some(probe) = self.probe(reply.sequence).filter(|probe| probe.micros == reply.micros) else { return };
        let rtt = cx.time.now.since(probe.sent);
        let kind = match std::mem::replace(&mut probe.state, ProbeState::Answered) {
            ProbeState::Pending => ReplyKind::OnTime,
            ProbeState::Lost => ReplyKind::Late,
            ProbeState::Answered => ReplyKind::Duplicate,
        };
        match kind {
            ReplyKind::OnTime => {
                self.answered += 1;
                self.stats.add(i64::try_from(rtt.as_micros()).unwrap_or(i64::MAX));
            }
            ReplyKind::Late => self.late += 1,
            ReplyKind::Duplicate => self.duplicates += 1,
        }
        cx.shared.succeeded = true;
        self.print(kind, reply.sequence, from, rtt, datagram, cx);
    }

    fn advance(&mut self, out: &mut Outbox, cx: &mut ProgramContext<'_>) -> Stay {
        if self.over {
            return Stay::Over;
        }
        self.expire(cx);
        if self.sent < self.plan.count && self.next <= cx.time.now && !cx.draining {
            self.send(out, cx);
        }
        let deadline = self.pending().map(|(_, sent)| sent.after(self.plan.timeout + Duration::from_micros(1)));
        let next = (self.sent < self.plan.count).then_some(self.next);
        match deadline.into_iter().chain(next).min() {
            Some(wake) if !cx.draining => Stay::Until(wake),
            _ => {
                self.finish(cx);
                Stay::Over
            }
        }
    }

    fn failed(&mut self, error: &io::Error, to: Option<SocketAddr>, cx: &mut ProgramContext<'_>) {
        // The last probe couldn't be sent, or the oldest one came back.
        let sequence = if to.is_some() { Some(self.sent) } else { self.pending().map(|(sequence, _)| sequence) };
        if let Some(sequence) = sequence
            && !self.over
        {
            let peer = self.peer;
            self.lose(sequence, format_args!("can't reach {peer}: {}", describe(error)), cx);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::testing::TestProgram;

    fn peer() -> SocketAddr {
        "192.0.2.1:12000".parse().unwrap()
    }

    fn ping(plan: PingPlan) -> TestProgram<Ping> {
        TestProgram::new(Ping::new(peer(), plan))
    }

    fn two() -> PingPlan {
        PingPlan { count: 2, ..PingPlan::default() }
    }

    #[test]
    fn one_probe_per_interval_with_its_reply_or_timeout() {
        let mut ping = ping(two());
        let [first] = ping.sent().try_into().unwrap();
        assert_eq!(first, b"Ping 1 1800000000.000000");
        ping.sleep(Duration::from_micros(1_234));
        ping.receive(&first.to_ascii_uppercase(), peer());
        assert_eq!(ping.printed(), "Sequence 1: Reply from 192.0.2.1:12000 RTT = 0.001234 s\n");
        ping.sleep(Duration::from_micros(998_765));
        assert!(ping.sent().is_empty());
        ping.sleep(Duration::from_micros(1));
        assert_eq!(ping.sent(), [b"Ping 2 1800000001.000000"]);
        ping.sleep(Duration::from_secs(1));
        assert_eq!(ping.printed(), "");
        ping.sleep(Duration::from_micros(1));
        assert_eq!(
            ping.printed(),
            "Sequence 2: Request timed out
--- 192.0.2.1:12000 ping statistics ---
2 sent, 1 received, 50% loss
RTT min/avg/max/mdev = 0.001234/0.001234/0.001234/0.000000 s
"
        );
        assert!(ping.is_over() && ping.shared.succeeded);
    }

    #[test]
    fn late_and_duplicate_replies_are_distinguished() {
        let mut ping = ping(PingPlan { count: 3, ..PingPlan::default() });
        let [first] = ping.sent().try_into().unwrap();
        ping.sleep(Duration::from_millis(1_500));
        let [second] = ping.sent().try_into().unwrap();
        assert_eq!(ping.printed(), "Sequence 1: Request timed out\n");
        ping.receive(&second, peer());
        ping.receive(&first, peer());
        ping.receive(&second, peer());
        ping.receive(&first, peer());
        assert_eq!(
            ping.printed(),
            "Sequence 2: Reply from 192.0.2.1:12000 RTT = 0.000000 s
Sequence 1: Late reply from 192.0.2.1:12000 RTT = 1.500000 s
Sequence 2: Duplicate reply from 192.0.2.1:12000 RTT = 0.000000 s
Sequence 1: Duplicate reply from 192.0.2.1:12000 RTT = 1.500000 s
"
        );
        ping.drain();
        assert!(ping.printed().contains("\n2 sent, 1 received, 50% loss, 1 late, 2 duplicate\n"));
    }

    #[test]
    fn a_datagram_that_answers_no_probe_is_ignored() {
        let mut ping = ping(two());
        let [first] = ping.sent().try_into().unwrap();
        for wrong in
            [&b""[..], b"\xff\xfe", b"Ping", b"Ping 1 1800000000.000001", b"Ping 2 1800000000.000000", b"Ping 0 0"]
        {
            ping.receive(wrong, peer());
        }
        ping.receive(&vec![b'x'; 65_507], peer());
        assert_eq!(ping.printed(), "");
        assert!(!ping.shared.succeeded);
        ping.receive(&first, peer());
        assert!(ping.printed().starts_with("Sequence 1: Reply"));
    }

    #[test]
    fn a_refused_probe_is_lost_at_once() {
        let mut ping = ping(two());
        ping.fail(io::ErrorKind::ConnectionRefused, None);
        assert_eq!(ping.printed(), "Sequence 1: can't reach 192.0.2.1:12000: connection refused\n");
        ping.sleep(Duration::from_secs(1));
        ping.fail(io::ErrorKind::NetworkUnreachable, Some(peer()));
        assert_eq!(
            ping.printed(),
            "Sequence 2: can't reach 192.0.2.1:12000: network unreachable
--- 192.0.2.1:12000 ping statistics ---
2 sent, 0 received, 100% loss
"
        );
        assert!(ping.is_over() && !ping.shared.succeeded);
    }

    #[test]
    fn an_interrupt_prints_the_summary() {
        let mut ping = ping(PingPlan { count: 3, ..PingPlan::default() });
        ping.drain();
        assert_eq!(ping.printed(), "--- 192.0.2.1:12000 ping statistics ---\n1 sent, 0 received, 100% loss\n");
        assert!(ping.is_over());
    }

    #[test]
    fn json_has_the_same_content() {
        let mut ping =
            ping(PingPlan { count: 3, json: true, interval: Duration::from_millis(100), ..PingPlan::default() });
        let [first] = ping.sent().try_into().unwrap();
        ping.sleep(Duration::from_millis(10));
        ping.receive(&first, peer());
        ping.sleep(Duration::from_millis(5_000));
        assert_eq!(
            ping.printed(),
            r#"{"event":"reply","sequence":1,"from":"192.0.2.1:12000","rtt":0.010000,"size":24}
"#
        );
        ping.sleep(Duration::from_secs(5));
        assert_eq!(
            ping.printed(),
            r#"{"event":"lost","sequence":2,"to":"192.0.2.1:12000","reason":"Request timed out"}
"#
        );
        ping.sleep(Duration::from_secs(5));
        assert_eq!(
            ping.printed(),
            r#"{"event":"lost","sequence":3,"to":"192.0.2.1:12000","reason":"Request timed out"}
{"event":"summary","to":"192.0.2.1:12000","sent":3,"received":1,"loss":66.7,"late":0,"duplicates":0,"min":0.010000,"avg":0.010000,"max":0.010000,"mdev":0.000000}
"#
        );
    }

    #[test]
    fn verbose_output_shows_the_content_of_a_reply() {
        let mut ping = ping(PingPlan { size: 30, verbose: true, ..two() });
        let [first] = ping.sent().try_into().unwrap();
        assert_eq!(first, b"Ping 1 1800000000.000000 xxxxx");
        ping.receive(&[&first[..], b"\x1b\""].concat(), peer());
        assert_eq!(
            ping.printed(),
            "Sequence 1: Reply from 192.0.2.1:12000 RTT = 0.000000 s \
             \"Ping 1 1800000000.000000 xxxxx\\x1b\\\"\" min/avg/max = 0.000000/0.000000/0.000000 s\n"
        );
    }

    #[test]
    fn a_late_first_reply_is_printed_without_statistics() {
        let mut ping = ping(PingPlan { verbose: true, ..two() });
        let [first] = ping.sent().try_into().unwrap();
        ping.sleep(Duration::from_secs(2));
        ping.printed();
        ping.receive(&first, peer());
        let line = "Sequence 1: Late reply from 192.0.2.1:12000 RTT = 2.000000 s \"Ping 1 1800000000.000000\"\n";
        assert_eq!(ping.printed(), line);
    }

    #[test]
    fn the_number_of_remembered_probes_is_bounded() {
        let millisecond = Duration::from_millis(1);
        let day = Duration::from_secs(86_400);
        let mut ping = ping(PingPlan { count: 70_000, interval: millisecond, timeout: day, ..PingPlan::default() });
        for _ in 0..REMEMBERED {
            ping.sleep(millisecond);
        }
        assert_eq!(ping.printed(), "Sequence 1: Request timed out\n");
        assert_eq!(ping.machine.probes.len(), REMEMBERED);
    }
}
