//! The services `udp upper` and `udp echo`: one reply to each datagram, over a simulated
//! bad network.
//!
//! `udp upper` maps characters like [`upper`](crate::service::upper).
//!
//! Two services that reply to everything would reply to each other for ever after one
//! datagram with a forged source address. So a datagram from a port of the system's
//! services (below 1024: echo, chargen, DNS) or from the service's own port number gets
//! no reply.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::impairment::{Dice, Impairment};
use crate::console::program::{Program, ProgramContext};
use crate::reactor::{DatagramProtocol, Outbox, Stay, Tick};
use crate::service::upper::write_upper;

/// How often the counts are printed, with `-v`.
const EVERY: Duration = Duration::from_secs(10);
/// Most replies that are held back, and most of their bytes: as many as a fast sender
/// causes in a second of delay. More are dropped.
const HELD: usize = 100_000;
const HELD_BYTES: usize = 16 * 1024 * 1024;
/// Ports below this one belong to the system's services.
const UNPRIVILEGED: u16 = 1024;

/// What a service replies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reply {
    /// The datagram in upper case.
    Upper,
    /// The datagram.
    Echo,
}

/// Datagrams by outcome.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Counts {
    received: u64,
    dropped: u64,
    answered: u64,
    duplicated: u64,
    failed: u64,
}

/// A datagram whose reply is held back. Replies that are due at the same time keep their
/// order.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Held {
    due: Tick,
    order: u64,
    from: SocketAddr,
    datagram: Box<[u8]>,
    /// It is a duplicate reply.
    duplicate: bool,
}

/// The state machine of a service on one socket.
pub struct Answerer {
    reply: Reply,
    dice: Dice,
    /// The address of the socket; `None` before it is opened.
    local: Option<SocketAddr>,
    /// Replies that are held back, the first that is due on top.
    held: BinaryHeap<Reverse<Held>>,
    held_bytes: usize,
    counts: Counts,
    verbose: bool,
    /// When the counts are printed next.
    next_counts: Option<Tick>,
    over: bool,
}

impl Answerer {
    /// A service; `verbose` prints the counts while it runs.
    pub fn new(reply: Reply, impairment: Impairment, verbose: bool) -> Self {
        Self {
            reply,
            dice: Dice::new(impairment),
            local: None,
            held: BinaryHeap::new(),
            held_bytes: 0,
            counts: Counts::default(),
            verbose,
            next_counts: None,
            over: false,
        }
    }

    fn is_service(&self, from: SocketAddr) -> bool {
        from.port() < UNPRIVILEGED || self.local.is_some_and(|local| local.port() == from.port())
    }

    /// Puts the reply to `datagram` into `out`.
    fn answer(&mut self, datagram: &[u8], to: SocketAddr, duplicate: bool, out: &mut Outbox) {
        *(if duplicate { &mut self.counts.duplicated } else { &mut self.counts.answered }) += 1;
        match self.reply {
            Reply::Echo => _ = out.send(to, datagram),
            Reply::Upper if datagram.is_ascii() => out.send(to, datagram).make_ascii_uppercase(),
            Reply::Upper => {
                let mut upper = Vec::new();
                write_upper(datagram, &mut upper);
                out.send(to, &upper);
            }
        }
    }

    /// Holds the reply to `datagram` back; false if there is no room.
    fn hold(&mut self, due: Tick, from: SocketAddr, datagram: &[u8], duplicate: bool) -> bool {
        let fits = self.held.len() < HELD && self.held_bytes + datagram.len() <= HELD_BYTES;
        if fits {
            self.held_bytes += datagram.len();
            let order = 2 * self.counts.received + u64::from(duplicate);
            self.held.push(Reverse(Held { due, order, from, datagram: datagram.into(), duplicate }));
        }
        fits
    }

    fn print_counts(&self, cx: &mut ProgramContext<'_>) {
        let Counts { received, dropped, answered, duplicated, failed } = self.counts;
        let place = self.local.map(|local| format!("{local}: ")).unwrap_or_default();
        cx.shared.output.line(format_args!(
            "{place}{received} received, {dropped} dropped, {answered} answered, {duplicated} duplicated, {failed} failed"
        ));
    }
}

impl DatagramProtocol<Program> for Answerer {
    fn opened(&mut self, local: SocketAddr) {
        self.local = Some(local);
    }

    fn received(&mut self, datagram: &[u8], from: SocketAddr, out: &mut Outbox, cx: &mut ProgramContext<'_>) {
        self.counts.received += 1;
        let delays = self.dice.next();
        let silent = self.over || self.is_service(from);
        for (delay, duplicate) in delays.into_iter().zip([false, true]) {
            let answers = match delay.filter(|_| !silent) {
                Some(Duration::ZERO) => {
                    self.answer(datagram, from, duplicate, out);
                    true
                }
                Some(delay) => self.hold(cx.time.now.after(delay), from, datagram, duplicate),
                None => false,
            };
            self.counts.dropped += u64::from(!answers && !duplicate);
        }
    }

    fn advance(&mut self, out: &mut Outbox, cx: &mut ProgramContext<'_>) -> Stay {
        if self.over {
            return Stay::Over;
        }
        if cx.draining {
            // Replies that are still held back are never sent.
            self.counts.dropped += self.held.iter().filter(|Reverse(held)| !held.duplicate).count() as u64;
            self.held.clear();
            self.print_counts(cx);
            self.over = true;
            return Stay::Over;
        }
        while self.held.peek().is_some_and(|Reverse(held)| held.due <= cx.time.now)
            && let Some(Reverse(Held { from, datagram, duplicate, .. })) = self.held.pop()
        {
            self.held_bytes -= datagram.len();
            self.answer(&datagram, from, duplicate, out);
        }
        let mut wake = self.held.peek().map(|Reverse(held)| held.due);
        if self.verbose {
            let next = *self.next_counts.get_or_insert(cx.time.now.after(EVERY));
            if next <= cx.time.now {
                self.print_counts(cx);
                self.next_counts = Some(cx.time.now.after(EVERY));
            }
            wake = wake.into_iter().chain(self.next_counts).min();
        }
        wake.map_or(Stay::Open, Stay::Until)
    }

    fn failed(&mut self, error: &io::Error, to: Option<SocketAddr>, _: &mut ProgramContext<'_>) {
        self.counts.failed += 1;
        match to {
            Some(to) => log::debug!("a reply to {to} can't be sent: {error}"),
            None => log::debug!("{error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::testing::TestProgram;

    fn at(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    fn service(reply: Reply, impairment: Impairment) -> TestProgram<Answerer> {
        TestProgram::new(Answerer::new(reply, impairment, false))
    }

    #[test]
    fn a_reply_is_in_upper_case_or_unchanged() {
        for (datagram, upper) in [
            (&b""[..], &b""[..]),
            (b"hello, World", b"HELLO, WORLD"),
            ("stra\u{df}e".as_bytes(), b"STRASSE"),
            (b"\xff\0a", b"\xff\0A"),
        ] {
            for (reply, answer) in [(Reply::Upper, upper), (Reply::Echo, datagram)] {
                let mut service = service(reply, Impairment::default());
                service.receive(datagram, at(5000));
                assert_eq!(service.sent_to(), [(at(5000), answer.to_vec())]);
            }
        }
    }

    #[test]
    fn the_seed_decides_what_is_lost_and_duplicated() {
        let impairment = Impairment { loss: 0.3, duplicate: 0.2, seed: 42, ..Impairment::default() };
        let run = || {
            let mut service = service(Reply::Echo, impairment);
            let answers: Vec<usize> = (0..20)
                .map(|number: u8| {
                    service.receive(&[number], at(5000));
                    let sent = service.sent();
                    assert!(sent.iter().all(|answer| answer == &[number]));
                    sent.len()
                })
                .collect();
            service.drain();
            (answers, service.printed())
        };
        let (answers, printed) = run();
        assert_eq!(run(), (answers.clone(), printed.clone()));
        let count = |of| answers.iter().filter(|sent| **sent == of).count();
        let (dropped, duplicated) = (count(0), count(2));
        let answered = 20 - dropped;
        assert!(dropped > 2 && duplicated > 0);
        assert_eq!(
            printed,
            format!(
                "127.0.0.1:12000: 20 received, {dropped} dropped, {answered} answered, {duplicated} duplicated, 0 failed\n"
            )
        );
    }

    #[test]
    fn a_delay_holds_each_reply_back() {
        let delay = Duration::from_millis(50);
        let mut service = service(Reply::Upper, Impairment { delay, ..Impairment::default() });
        service.receive(b"a", at(5000));
        service.sleep(Duration::from_millis(20));
        service.receive(b"b", at(5000));
        service.receive(b"c", at(5000));
        assert!(service.sent().is_empty());
        assert_eq!(service.wakes_in(), Some(Duration::from_millis(30)));
        service.sleep(Duration::from_millis(30));
        assert_eq!(service.sent(), [b"A"]);
        service.sleep(Duration::from_millis(20));
        assert_eq!(service.sent(), [b"B", b"C"]);
        assert_eq!(service.wakes_in(), None);
        // A reply that is held back at the end is dropped.
        service.receive(b"d", at(5000));
        service.drain();
        assert!(service.printed().ends_with("4 received, 1 dropped, 3 answered, 0 duplicated, 0 failed\n"));
        assert!(service.is_over() && service.sent().is_empty());
    }

    #[test]
    fn jitter_reorders_replies() {
        let jitter = Duration::from_millis(100);
        let mut service = service(Reply::Echo, Impairment { jitter, seed: 1, ..Impairment::default() });
        for number in 0..20_u8 {
            service.receive(&[number], at(5000));
        }
        for _ in 0..101 {
            service.sleep(Duration::from_millis(1));
        }
        let mut sent = service.sent().concat();
        assert!(!sent.is_sorted());
        sent.sort_unstable();
        assert_eq!(sent, Vec::from_iter(0..20));
    }

    #[test]
    fn held_replies_are_bounded() {
        let delay = Duration::from_secs(60);
        let mut service = service(Reply::Echo, Impairment { delay, ..Impairment::default() });
        for _ in 0..300 {
            service.receive(&[b'x'; 65_507], at(5000));
        }
        assert!(service.machine.held_bytes <= HELD_BYTES);
        assert_eq!(service.machine.counts.dropped, 300 - service.machine.held.len() as u64);
    }

    #[test]
    fn services_do_not_reply_to_each_other() {
        let mut service = service(Reply::Echo, Impairment::default());
        for port in [0, 7, 19, 53, 1023, 12_000] {
            service.receive(b"hello", at(port));
        }
        assert!(service.sent().is_empty());
        service.receive(b"hello", at(1024));
        assert_eq!(service.sent().len(), 1);
        service.drain();
        assert!(service.printed().contains("7 received, 6 dropped, 1 answered"));
    }

    #[test]
    fn verbose_prints_the_counts_every_ten_seconds() {
        let mut service = TestProgram::new(Answerer::new(Reply::Echo, Impairment::default(), true));
        assert_eq!(service.wakes_in(), Some(EVERY));
        service.receive(b"", at(5000));
        service.sleep(EVERY);
        let expected = "127.0.0.1:12000: 1 received, 0 dropped, 1 answered, 0 duplicated, 0 failed\n";
        assert_eq!(service.printed(), expected);
        assert_eq!(service.wakes_in(), Some(EVERY));
        service.drain();
        assert_eq!(service.printed(), expected);
    }
}
