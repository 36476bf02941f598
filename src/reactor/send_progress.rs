//! The progress of output that the peer takes slowly.
//!
//! What counts is what the peer has acknowledged, and not what the kernel has accepted from
//! us: its queue holds megabytes, so a steady reader of 1,000 bytes a second frees no room
//! in it for a long time. The kernel is asked how much of the queue is left: at most once a
//! second, and before a connection is given up.
//!
//! A receiver whose buffer is full doesn't report each byte that it reads. It opens its
//! window again when there is room for a segment, or for a sixteenth of its buffer (RFC 9293
//! §3.8.6.2.2, silly window avoidance). On the loopback that is 64 KiB: the reader of 1,000
//! bytes a second is silent for a minute. So after each piece the next one may take as long as
//! the [least rate](limits::MIN_RATE) needs for it, but at most [`PATIENCE`] timeouts: that
//! is how long a peer is held that reads nothing more.

use std::time::Duration;

use super::{Pace, Tick};
use crate::limits;

/// Longest time between two pieces, in timeouts.
const PATIENCE: u32 = 6;

/// How often the kernel is asked.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// The progress of one connection's output, since the kernel took less than there is.
#[derive(Clone, Copy, Debug)]
pub(super) struct SendProgress {
    pace: Pace,
    /// When the kernel was asked last.
    asked: Tick,
    /// Bytes that wait in the kernel, as far as is known here.
    queued: u64,
    /// Bytes that were acknowledged last.
    piece: u64,
}

impl SendProgress {
    /// From now on; `queued` bytes wait in the kernel.
    pub(super) fn start(now: Tick, queued: u64) -> Self {
        Self { pace: Pace::start(now), asked: now, queued, piece: 0 }
    }

    /// The kernel took `sent` further bytes. `queue` asks it how many bytes wait there, none if
    /// it can't tell. Returns when the connection is to be given up.
    pub(super) fn update(
        &mut self,
        now: Tick,
        sent: u64,
        timeout: Duration,
        queue: impl FnOnce() -> Option<u64>,
    ) -> Tick {
        self.queued += sent;
        if now >= self.asked.after(ASK_EVERY) || now >= self.deadline(timeout) {
            self.asked = now;
            // Where it can't be known, what the kernel takes must do.
            let queued = queue().unwrap_or(self.queued - sent).min(self.queued);
            let acknowledged = self.queued - queued;
            self.queued = queued;
            if acknowledged > 0 {
                self.piece = acknowledged;
                self.pace.moved(now, acknowledged, timeout);
            }
        }
        self.deadline(timeout)
    }

    fn deadline(&self, timeout: Duration) -> Tick {
        let piece = Duration::from_secs(self.piece / limits::MIN_RATE);
        self.pace.deadline(timeout.max(piece.min(timeout * PATIENCE)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(20);
    const QUEUE: u64 = 4_000_000;

    fn at(seconds: u64) -> Tick {
        Tick::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn a_steady_reader_is_never_given_up_though_its_window_opens_in_pieces() {
        for (rate, piece) in [(1_000, 66_560), (5_000, 95_232), (600, 65_536), (120, 8_192)] {
            let mut progress = SendProgress::start(at(0), QUEUE);
            // The buffer of the receiver was filled at once.
            let mut acknowledged = 64_000;
            for second in 1..10_000 {
                let reported = 64_000 + rate * second / piece * piece;
                let queue = || Some(QUEUE - reported.min(QUEUE));
                let deadline = progress.update(at(second), 0, TIMEOUT, queue);
                assert!(deadline > at(second) || reported >= QUEUE, "{rate} B/s is cut after {second} s");
                acknowledged = reported.max(acknowledged);
            }
        }
    }

    #[test]
    fn a_peer_that_reads_nothing_is_given_up() {
        // It never acknowledged anything, or its kernel filled a buffer for it.
        for (filled, expected) in [(0, 20), (1_000, 21), (6_000, 61), (5_000_000, 121)] {
            let mut progress = SendProgress::start(at(0), 10_000_000);
            let mut deadline = progress.update(at(1), 0, TIMEOUT, || Some(10_000_000 - filled));
            assert_eq!(deadline, at(expected));
            // The kernel takes more for a while; that is no progress of the peer.
            let mut queued = 10_000_000 - filled;
            for second in 2..expected {
                queued += 10;
                deadline = progress.update(at(second), 10, TIMEOUT, || Some(queued));
            }
            assert_eq!(deadline, at(expected));
        }
    }

    #[test]
    fn a_trickle_is_given_up() {
        let mut progress = SendProgress::start(at(0), QUEUE);
        let ends =
            (1..60).find(|&second| progress.update(at(second), 0, TIMEOUT, || Some(QUEUE - second)) <= at(second));
        assert_eq!(ends, Some(6), "a byte a second, after the grace");
    }

    #[test]
    fn the_kernel_is_asked_once_a_second_and_at_the_deadline() {
        let timeout = Duration::from_millis(300);
        let mut progress = SendProgress::start(at(0), QUEUE);
        let after = |millis| Tick::default().after(Duration::from_millis(millis));
        let mut asked = Vec::new();
        for millis in [100, 200, 300, 400, 500, 1_200, 1_300, 1_400] {
            progress.update(after(millis), 0, timeout, || {
                asked.push(millis);
                Some(QUEUE - 10_000 - millis)
            });
        }
        assert_eq!(asked, [300, 1_300], "10,000 bytes allow 1.8 s until the next");
    }

    #[test]
    fn where_the_queue_is_unknown_what_the_kernel_takes_is_progress() {
        let mut progress = SendProgress::start(at(0), 0);
        assert_eq!(progress.update(at(3), 100, TIMEOUT, || None), at(23));
        assert_eq!(progress.update(at(9), 0, TIMEOUT, || None), at(23));
    }
}
