//! The content of a response as it is made, for applications that don't have it whole.
//!
//! The counterpart of [`Sink`](super::Sink). A source is asked for more whenever there is room, so
//! memory is bounded, and a slow client slows it down.

use crate::reactor::Tick;

/// Content of a response that is made over time.
pub trait Source {
    /// Appends up to about `room` bytes of content to `out`. Called when there
    /// is room, so a slow client slows it down. `now` is the loop's time.
    fn pull(&mut self, out: &mut Vec<u8>, room: usize, now: Tick) -> Pull;

    /// Bytes of memory that it holds beyond its own size, without memory that it shares. They
    /// count against the limit of all connections.
    fn memory(&self) -> usize;
}

/// The state of a source after a pull.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pull {
    /// Something was added, and there is more now.
    More,
    /// There will be more at this moment.
    Wait(Tick),
    /// The content is complete.
    End,
}
