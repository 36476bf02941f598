//! The trace of a fetch: a line for each response, and at the end a summary.

use std::time::Duration;

use crate::client::steps::seconds;
use crate::console::OutputQueue;
use crate::http::Status;
use crate::reactor::Tick;

/// The statistics, and whether they are printed.
#[derive(Debug)]
pub(super) struct Trace {
    wanted: bool,
    count: u32,
    bytes: u64,
    least: Duration,
    most: Duration,
    sum: Duration,
}

/// The times of one request, from its sending to the last byte of its response.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) sent: Tick,
    pub(super) first: Tick,
    pub(super) last: Tick,
}

impl Trace {
    pub(super) fn new(wanted: bool) -> Self {
        Self { wanted, count: 0, bytes: 0, least: Duration::MAX, most: Duration::ZERO, sum: Duration::ZERO }
    }

    pub(super) fn answered(&mut self, times: Times, status: Status, bytes: u64, output: &mut OutputQueue) {
        let whole = times.last.since(times.sent);
        self.count += 1;
        self.bytes += bytes;
        self.least = self.least.min(whole);
        self.most = self.most.max(whole);
        self.sum += whole;
        if self.wanted {
            output.note(format_args!(
                "request {}: first byte {}, last byte {}, status {}, {bytes} bytes",
                self.count,
                seconds(times.first.since(times.sent)),
                seconds(whole),
                status.0
            ));
        }
    }

    /// Prints the last line, if there was more than one request.
    pub(super) fn summary(&self, output: &mut OutputQueue) {
        if self.wanted && self.count > 1 {
            output.note(format_args!(
                "{} requests, {} bytes; last byte min/avg/max {}/{}/{}",
                self.count,
                self.bytes,
                seconds(self.least).trim_end_matches(" s"),
                seconds(self.sum / self.count).trim_end_matches(" s"),
                seconds(self.most)
            ));
        }
    }
}
