//! The services `udp upper` and `udp echo`: each datagram is answered by one, over
//! a network as bad as one wishes.
//!
//! Upper case is what [`upper`](crate::service::upper) makes of a line: Unicode's,
//! if the datagram is UTF-8, else that of the ASCII letters in it.
//!
//! Two services that answer everything would answer each other for ever, once
//! somebody sends one a datagram in the other's name. So what comes from a port of
//! the system's services (below 1024: echo, chargen, DNS) or from a port like one's
//! own isn't answered.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::fate::{Fate, Network};
use crate::reactor::{Context, DatagramProtocol, Outbox, Stay, Tick};
use crate::service::Service;

/// How often the counts are told, if they are.
const EVERY: Duration = Duration::from_secs(10);
/// Most answers that are held back, and octets of them: what a fast sender makes in a
/// second of delay. Beyond that the network loses them.
const HELD: usize = 100_000;
const HELD_OCTETS: usize = 16 * 1024 * 1024;
/// Ports below belong to the system's services.
const UNPRIVILEGED: u16 = 1024;

/// What an answer is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Manner {
    /// The datagram in upper case.
    Upper,
    /// The datagram.
    Echo,
}

/// What became of the datagrams.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Counts {
    received: u64,
    dropped: u64,
    answered: u64,
    duplicated: u64,
    failed: u64,
}

/// A datagram whose answer is held back. What is due at the same time keeps its order.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Held {
    due: Tick,
    order: u64,
    from: SocketAddr,
    datagram: Box<[u8]>,
    /// It is answered for the second time.
    again: bool,
}

/// A service that answers, on one socket.
pub struct Answerer {
    manner: Manner,
    fate: Fate,
    /// Where it is; known when the socket is there.
    local: Option<SocketAddr>,
    /// Answers that are held back, the first that is due on top.
    held: BinaryHeap<Reverse<Held>>,
    held_octets: usize,
    counts: Counts,
    verbose: bool,
    /// When the counts are told next.
    told: Option<Tick>,
    over: bool,
}

type Cx<'a> = Context<'a, Service>;

impl Answerer {
    /// A service; `verbose` if it tells its counts while it runs.
    pub fn new(manner: Manner, network: Network, verbose: bool) -> Self {
        Self {
            manner,
            fate: Fate::new(network),
            local: None,
            held: BinaryHeap::new(),
            held_octets: 0,
            counts: Counts::default(),
            verbose,
            told: None,
            over: false,
        }
    }

    fn is_service(&self, from: SocketAddr) -> bool {
        from.port() < UNPRIVILEGED || self.local.is_some_and(|local| local.port() == from.port())
    }

    /// Puts the answer to `datagram` into `out`, perhaps for the second time.
    fn answer(&mut self, datagram: &[u8], to: SocketAddr, again: bool, out: &mut Outbox) {
        *(if again { &mut self.counts.duplicated } else { &mut self.counts.answered }) += 1;
        match self.manner {
            Manner::Echo => _ = out.send(to, datagram),
            Manner::Upper => match std::str::from_utf8(datagram) {
                Ok(text) if !text.is_ascii() => _ = out.send(to, text.to_uppercase().as_bytes()),
                _ => out.send(to, datagram).make_ascii_uppercase(),
            },
        }
    }

    /// Holds the answer to `datagram` back; false if there is no room for that.
    fn hold(&mut self, due: Tick, from: SocketAddr, datagram: &[u8], again: bool) -> bool {
        let fits = self.held.len() < HELD && self.held_octets + datagram.len() <= HELD_OCTETS;
        if fits {
            self.held_octets += datagram.len();
            let order = 2 * self.counts.received + u64::from(again);
            self.held.push(Reverse(Held { due, order, from, datagram: datagram.into(), again }));
        }
        fits
    }

    fn tell(&self, cx: &mut Cx<'_>) {
        let Counts { received, dropped, answered, duplicated, failed } = self.counts;
        let place = self.local.map(|local| format!("{local}: ")).unwrap_or_default();
        cx.shared.report.line(format_args!(
            "{place}{received} received, {dropped} dropped, {answered} answered, {duplicated} of them twice, {failed} failed"
        ));
    }
}

impl DatagramProtocol<Service> for Answerer {
    fn opened(&mut self, local: SocketAddr) {
        self.local = Some(local);
    }

    fn received(&mut self, datagram: &[u8], from: SocketAddr, out: &mut Outbox, cx: &mut Cx<'_>) {
        self.counts.received += 1;
        let fate = self.fate.next();
        let silent = self.over || self.is_service(from);
        for (delay, again) in fate.into_iter().zip([false, true]) {
            let answers = match delay.filter(|_| !silent) {
                Some(Duration::ZERO) => {
                    self.answer(datagram, from, again, out);
                    true
                }
                Some(delay) => self.hold(cx.time.now.after(delay), from, datagram, again),
                None => false,
            };
            self.counts.dropped += u64::from(!answers && !again);
        }
    }

    fn advance(&mut self, out: &mut Outbox, cx: &mut Cx<'_>) -> Stay {
        if self.over {
            return Stay::Over;
        }
        if cx.draining {
            // What is still on its way doesn't arrive.
            self.counts.dropped += self.held.iter().filter(|Reverse(held)| !held.again).count() as u64;
            self.held.clear();
            self.tell(cx);
            self.over = true;
            return Stay::Over;
        }
        while self.held.peek().is_some_and(|Reverse(held)| held.due <= cx.time.now)
            && let Some(Reverse(Held { from, datagram, again, .. })) = self.held.pop()
        {
            self.held_octets -= datagram.len();
            self.answer(&datagram, from, again, out);
        }
        let mut wake = self.held.peek().map(|Reverse(held)| held.due);
        if self.verbose {
            let told = *self.told.get_or_insert(cx.time.now.after(EVERY));
            if told <= cx.time.now {
                self.tell(cx);
                self.told = Some(cx.time.now.after(EVERY));
            }
            wake = wake.into_iter().chain(self.told).min();
        }
        wake.map_or(Stay::Open, Stay::Until)
    }

    fn failed(&mut self, error: &io::Error, to: Option<SocketAddr>, _: &mut Cx<'_>) {
        self.counts.failed += 1;
        match to {
            Some(to) => log::debug!("an answer to {to} can't be sent: {error}"),
            None => log::debug!("{error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Lone;
    use super::*;

    fn at(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    fn service(manner: Manner, network: Network) -> Lone<Answerer> {
        Lone::new(Answerer::new(manner, network, false))
    }

    #[test]
    fn answers_in_upper_case_or_as_it_was_asked() {
        for (datagram, upper) in [
            (&b""[..], &b""[..]),
            (b"hello, World", b"HELLO, WORLD"),
            ("stra\u{df}e".as_bytes(), b"STRASSE"),
            (b"\xff\0a", b"\xff\0A"),
        ] {
            for (manner, answer) in [(Manner::Upper, upper), (Manner::Echo, datagram)] {
                let mut service = service(manner, Network::default());
                service.receive(datagram, at(5000));
                assert_eq!(service.sent_to(), [(at(5000), answer.to_vec())]);
            }
        }
    }

    #[test]
    fn the_fate_of_each_is_the_seeds() {
        let network = Network { loss: 0.3, duplicate: 0.2, seed: 42, ..Network::default() };
        let run = || {
            let mut service = service(Manner::Echo, network);
            let answers: Vec<usize> = (0..20)
                .map(|number: u8| {
                    service.receive(&[number], at(5000));
                    let sent = service.sent();
                    assert!(sent.iter().all(|answer| answer == &[number]));
                    sent.len()
                })
                .collect();
            service.drain();
            (answers, service.told())
        };
        let (answers, told) = run();
        assert_eq!(run(), (answers.clone(), told.clone()));
        let count = |of| answers.iter().filter(|sent| **sent == of).count();
        let (dropped, twice) = (count(0), count(2));
        let answered = 20 - dropped;
        assert!(dropped > 2 && twice > 0);
        assert_eq!(
            told,
            format!(
                "127.0.0.1:12000: 20 received, {dropped} dropped, {answered} answered, {twice} of them twice, 0 failed\n"
            )
        );
    }

    #[test]
    fn a_slow_network_takes_its_time() {
        let delay = Duration::from_millis(50);
        let mut service = service(Manner::Upper, Network { delay, ..Network::default() });
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
        // What is on its way at the end is lost.
        service.receive(b"d", at(5000));
        service.drain();
        assert!(service.told().ends_with("4 received, 1 dropped, 3 answered, 0 of them twice, 0 failed\n"));
        assert!(service.is_over() && service.sent().is_empty());
    }

    #[test]
    fn jitter_changes_the_order() {
        let jitter = Duration::from_millis(100);
        let mut service = service(Manner::Echo, Network { jitter, seed: 1, ..Network::default() });
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
    fn what_is_held_back_is_bounded() {
        let delay = Duration::from_secs(60);
        let mut service = service(Manner::Echo, Network { delay, ..Network::default() });
        for _ in 0..300 {
            service.receive(&[b'x'; 65_507], at(5000));
        }
        assert!(service.machine.held_octets <= HELD_OCTETS);
        assert_eq!(service.machine.counts.dropped, 300 - service.machine.held.len() as u64);
    }

    #[test]
    fn services_do_not_answer_each_other_for_ever() {
        let mut service = service(Manner::Echo, Network::default());
        for port in [0, 7, 19, 53, 1023, 12_000] {
            service.receive(b"hello", at(port));
        }
        assert!(service.sent().is_empty());
        service.receive(b"hello", at(1024));
        assert_eq!(service.sent().len(), 1);
        service.drain();
        assert!(service.told().contains("7 received, 6 dropped, 1 answered"));
    }

    #[test]
    fn counts_are_told_every_ten_seconds_if_one_wishes() {
        let mut service = Lone::new(Answerer::new(Manner::Echo, Network::default(), true));
        assert_eq!(service.wakes_in(), Some(EVERY));
        service.receive(b"", at(5000));
        service.sleep(EVERY);
        let expected = "127.0.0.1:12000: 1 received, 0 dropped, 1 answered, 0 of them twice, 0 failed\n";
        assert_eq!(service.told(), expected);
        assert_eq!(service.wakes_in(), Some(EVERY));
        service.drain();
        assert_eq!(service.told(), expected);
    }
}
