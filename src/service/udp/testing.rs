//! A harness for one datagram machine: its peers, its report and its clock,
//! without a socket.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use crate::logging::Log;
use crate::reactor::{DatagramProtocol, Outbox, Stay, TestContext, Tick, Time};
use crate::service::{Service, Shared, http};

/// A machine alone with the test.
pub(crate) struct Lone<D: DatagramProtocol<Service>> {
    pub(crate) machine: D,
    pub(crate) shared: Shared,
    now: Tick,
    draining: bool,
    out: Outbox,
    stay: Stay,
    sent: Vec<(SocketAddr, Vec<u8>)>,
}

impl<D: DatagramProtocol<Service>> Lone<D> {
    pub(crate) fn new(machine: D) -> Self {
        let http = http::Shared::new(http::Limits::default(), http::Host::new(false));
        let shared = Shared::new(http, Log::default());
        let (now, out) = (Tick::default(), Outbox::default());
        let mut lone = Self { machine, shared, now, draining: false, out, stay: Stay::Open, sent: Vec::new() };
        lone.machine.opened("127.0.0.1:12000".parse().unwrap());
        lone.settle();
        lone
    }

    fn time(&self) -> Time {
        let micros = self.now.as_micros();
        let (seconds, unix_micros) = ((micros / 1_000_000) as i64, (micros % 1_000_000) as u32);
        Time { now: self.now, unix_seconds: 1_800_000_000 + seconds, unix_micros }
    }

    /// Has it do what is due, and once more, which must change nothing.
    fn settle(&mut self) {
        let time = self.time();
        let mut context = TestContext::<Service>::default();
        for round in 0..2 {
            self.stay =
                self.machine.advance(&mut self.out, &mut context.context(&mut self.shared, time, self.draining));
            let sent: Vec<_> = self.out.iter().map(|(to, datagram)| (to, datagram.to_vec())).collect();
            self.out.clear();
            assert!(round == 0 || sent.is_empty(), "advance isn't idempotent: {sent:?}");
            self.sent.extend(sent);
        }
        if let Stay::Until(wake) = self.stay {
            assert!(wake > self.now, "it doesn't sleep");
        }
    }

    /// A datagram comes.
    pub(crate) fn receive(&mut self, datagram: &[u8], from: SocketAddr) {
        let time = self.time();
        let mut context = TestContext::<Service>::default();
        let mut cx = context.context(&mut self.shared, time, self.draining);
        self.machine.received(datagram, from, &mut self.out, &mut cx);
        self.settle();
    }

    /// The socket reports an error.
    pub(crate) fn fail(&mut self, kind: io::ErrorKind, to: Option<SocketAddr>) {
        let time = self.time();
        let mut context = TestContext::<Service>::default();
        let mut cx = context.context(&mut self.shared, time, self.draining);
        self.machine.failed(&kind.into(), to, &mut cx);
        self.settle();
    }

    /// Time passes, all at once: the machine is woken at its end, if it wished to be
    /// woken by then.
    pub(crate) fn sleep(&mut self, span: Duration) {
        self.now = self.now.after(span);
        if matches!(self.stay, Stay::Until(wake) if wake <= self.now) {
            self.settle();
        }
    }

    /// The tool is told to end.
    pub(crate) fn drain(&mut self) {
        self.draining = true;
        self.settle();
    }

    /// When it wishes to be woken, from now.
    pub(crate) fn wakes_in(&self) -> Option<Duration> {
        match self.stay {
            Stay::Until(wake) => Some(wake.since(self.now)),
            Stay::Open | Stay::Over => None,
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.stay == Stay::Over
    }

    /// What it sent, and nobody has seen yet.
    pub(crate) fn sent(&mut self) -> Vec<Vec<u8>> {
        self.sent_to().into_iter().map(|(_, datagram)| datagram).collect()
    }

    /// The same, and to whom.
    pub(crate) fn sent_to(&mut self) -> Vec<(SocketAddr, Vec<u8>)> {
        std::mem::take(&mut self.sent)
    }

    /// What it told, and nobody has seen yet.
    pub(crate) fn told(&mut self) -> String {
        self.shared.report.take()
    }
}
