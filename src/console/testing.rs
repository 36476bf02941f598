//! A test harness for one datagram state machine: its peers, its output and its clock,
//! without a socket.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::program::{Program, Shared};
use crate::reactor::{DatagramProtocol, Outbox, Stay, TestContext, Tick, Time};

/// One state machine.
pub(crate) struct TestProgram<D: DatagramProtocol<Program>> {
    pub(crate) machine: D,
    pub(crate) shared: Shared,
    now: Tick,
    draining: bool,
    out: Outbox,
    stay: Stay,
    sent: Vec<(SocketAddr, Vec<u8>)>,
}

impl<D: DatagramProtocol<Program>> TestProgram<D> {
    pub(crate) fn new(machine: D) -> Self {
        let (now, out) = (Tick::default(), Outbox::default());
        let mut program =
            Self { machine, shared: Shared::default(), now, draining: false, out, stay: Stay::Open, sent: Vec::new() };
        program.machine.opened("127.0.0.1:12000".parse().unwrap());
        program.settle();
        program
    }

    fn time(&self) -> Time {
        let micros = self.now.as_micros();
        let (seconds, unix_micros) = ((micros / 1_000_000) as i64, (micros % 1_000_000) as u32);
        Time { now: self.now, unix_seconds: 1_800_000_000 + seconds, unix_micros }
    }

    /// Calls `advance`, and a second time, which must change nothing.
    fn settle(&mut self) {
        let time = self.time();
        let mut effects = TestContext::<Program>::default();
        for round in 0..2 {
            self.stay =
                self.machine.advance(&mut self.out, &mut effects.context(&mut self.shared, time, self.draining));
            let sent: Vec<_> = self.out.iter().map(|(to, datagram)| (to, datagram.to_vec())).collect();
            self.out.clear();
            assert!(round == 0 || sent.is_empty(), "advance isn't idempotent: {sent:?}");
            self.sent.extend(sent);
        }
        if let Stay::Until(wake) = self.stay {
            assert!(wake > self.now, "it is woken in the past");
        }
    }

    /// Receives a datagram.
    pub(crate) fn receive(&mut self, datagram: &[u8], from: SocketAddr) {
        let time = self.time();
        let mut effects = TestContext::<Program>::default();
        let mut cx = effects.context(&mut self.shared, time, self.draining);
        self.machine.received(datagram, from, &mut self.out, &mut cx);
        self.settle();
    }

    /// The socket reports an error.
    pub(crate) fn fail(&mut self, kind: io::ErrorKind, to: Option<SocketAddr>) {
        let time = self.time();
        let mut effects = TestContext::<Program>::default();
        let mut cx = effects.context(&mut self.shared, time, self.draining);
        self.machine.failed(&kind.into(), to, &mut cx);
        self.settle();
    }

    /// Time passes in one step. The state machine is called if it is due by then.
    pub(crate) fn sleep(&mut self, span: Duration) {
        self.now = self.now.after(span);
        if matches!(self.stay, Stay::Until(wake) if wake <= self.now) {
            self.settle();
        }
    }

    /// A signal ends the program.
    pub(crate) fn drain(&mut self) {
        self.draining = true;
        self.settle();
    }

    /// The time until it is due.
    pub(crate) fn wakes_in(&self) -> Option<Duration> {
        match self.stay {
            Stay::Until(wake) => Some(wake.since(self.now)),
            Stay::Open | Stay::Over => None,
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.stay == Stay::Over
    }

    /// What it sent since the last call.
    pub(crate) fn sent(&mut self) -> Vec<Vec<u8>> {
        self.sent_to().into_iter().map(|(_, datagram)| datagram).collect()
    }

    /// The same with the receivers.
    pub(crate) fn sent_to(&mut self) -> Vec<(SocketAddr, Vec<u8>)> {
        std::mem::take(&mut self.sent)
    }

    /// What it printed since the last call.
    pub(crate) fn printed(&mut self) -> String {
        self.shared.output.take()
    }
}
