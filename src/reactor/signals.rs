//! Signals as events of the loop.

use std::io;

use mio::{Interest, Registry, Token};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH, SIGXFSZ};

/// A signal that the loop takes note of.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Signal {
    /// SIGTERM
    Terminate,
    /// SIGINT
    Interrupt,
    /// SIGHUP
    Hangup,
    /// SIGUSR1
    User1,
    /// SIGUSR2
    User2,
}

impl Signal {
    const ALL: [(Signal, i32); 5] = [
        (Signal::Terminate, SIGTERM),
        (Signal::Interrupt, SIGINT),
        (Signal::Hangup, SIGHUP),
        (Signal::User1, SIGUSR1),
        (Signal::User2, SIGUSR2),
    ];

    fn from_number(number: i32) -> Option<Self> {
        Self::ALL.iter().find(|(_, n)| *n == number).map(|(signal, _)| *signal)
    }
}

/// The signals that were asked for, as a source of events.
pub(super) struct Signals(signal_hook_mio::v1_0::Signals);

impl Signals {
    pub(super) fn register(registry: &Registry, token: Token, signals: &[Signal]) -> io::Result<Self> {
        let numbers = Signal::ALL.iter().filter(|(signal, _)| signals.contains(signal)).map(|(_, number)| *number);
        // A write beyond the limit of file sizes ends the process, unless the signal has a
        // handler. Then the write fails with an error.
        let mut source = signal_hook_mio::v1_0::Signals::new(numbers.chain([SIGXFSZ]))?;
        registry.register(&mut source, token, Interest::READABLE)?;
        Ok(Self(source))
    }

    /// SIGWINCH alone, by which a tap is asked. No protocol is told of it.
    pub(super) fn of_window(registry: &Registry, token: Token) -> io::Result<Self> {
        let mut source = signal_hook_mio::v1_0::Signals::new([SIGWINCH])?;
        registry.register(&mut source, token, Interest::READABLE)?;
        Ok(Self(source))
    }

    pub(super) fn pending(&mut self) -> Vec<Signal> {
        self.0.pending().filter_map(Signal::from_number).collect()
    }
}
