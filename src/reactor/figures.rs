//! What the loop counts: for those who operate the process.

use super::Options;
use crate::metrics::Histogram;

/// The bounds of the durations of passes, in microseconds.
const PASSES: &[u64; 7] = &[100, 250, 1_000, 2_500, 5_000, 25_000, 100_000];

/// What the loop has counted since its start.
#[derive(Clone, Debug)]
pub struct Figures {
    /// Connections that were accepted.
    pub accepted: u64,
    /// Connections that were made, or tried to.
    pub dialled: u64,
    /// Connections that have ended.
    pub closed: u64,
    /// Bytes of input that protocols got.
    pub received: u64,
    /// Bytes that the sockets took, those of TLS included.
    pub sent: u64,
    /// Connections that were closed because the peer took its output too slowly.
    pub slow_readers: u64,
    /// Connections that were closed because there was no memory left for them.
    pub out_of_memory: u64,
    /// Times when no connection could be accepted, because the system had no descriptor left.
    pub starved: u64,
    /// Complete handshakes of TLS: full ones, and those that resumed a session.
    pub handshakes: [u64; 2],
    /// Handshakes of TLS that failed.
    pub failed_handshakes: u64,
    /// How long passes over the loop took, in microseconds.
    pub passes: Histogram<7>,
    /// Bytes that connections hold now, beyond their slots.
    pub held: usize,
    /// Most connections, and most bytes that they may hold.
    pub limits: (usize, usize),
}

impl Figures {
    /// Other options hold from now on.
    pub(super) fn note_limits(&mut self, options: &Options) {
        self.limits = (options.connections, options.memory);
    }
}

impl Default for Figures {
    fn default() -> Self {
        Self {
            accepted: 0,
            dialled: 0,
            closed: 0,
            received: 0,
            sent: 0,
            slow_readers: 0,
            out_of_memory: 0,
            starved: 0,
            handshakes: [0; 2],
            failed_handshakes: 0,
            passes: Histogram::new(PASSES),
            held: 0,
            limits: (0, 0),
        }
    }
}
