//! What a protocol wants from the reactor, and how it ends its connection.

use super::clock::Tick;

/// What a protocol wants now. Computed by every `advance`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Want {
    /// More input. This holds until the next call: what has come by then is read before it.
    pub read: bool,
    /// Of that, much at once ([`BULK`](super::BULK)): it is passed on at once.
    pub in_bulk: bool,
    /// To be called at this moment at the latest.
    pub wake: Option<Tick>,
    /// To be called again soon, after others: there is more to do with what is at hand,
    /// but the turn's [`Work`](super::Work) is spent.
    pub again: bool,
    /// To end the connection.
    pub finish: Finish,
}

impl Want {
    /// Nothing but what is already on its way: room in the output, a message.
    pub const NOTHING: Self = Self { read: false, in_bulk: false, wake: None, again: false, finish: Finish::No };
    /// More input, no deadline.
    pub const READ: Self = Self { read: true, ..Self::NOTHING };
    /// To be called again, after others.
    pub const AGAIN: Self = Self { again: true, ..Self::NOTHING };

    /// The end, in this way.
    pub const fn finish(finish: Finish) -> Self {
        Self { finish, ..Self::NOTHING }
    }

    /// The end after the last output: [`Finish::Close`] if the peer has
    /// ended its input, [`Finish::Linger`] if more may still be on its way, since
    /// a close would then cost the peer our last bytes.
    pub const fn over(peer_ended: bool) -> Self {
        Self::finish(if peer_ended { Finish::Close } else { Finish::Linger })
    }

    /// The same, and to be called at `tick` at the latest.
    pub const fn by(mut self, tick: Tick) -> Self {
        self.wake = Some(tick);
        self
    }
}

/// How a connection ends, after all output is sent (but for `Abort`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Finish {
    /// Not yet.
    No,
    /// No more output will come; input goes on.
    HalfClose,
    /// It is over, and nothing more is expected from the peer. If input is unread all the
    /// same, this is `Linger`.
    Close,
    /// It is over, but the peer may still be sending. A close now would make the
    /// peer's system throw away what it hasn't read, so: end the output, read
    /// and discard until the peer ends too, or for [`Options::linger`](super::Options::linger).
    Linger,
    /// As `Linger`, but the output is incomplete, and the peer should know: over TLS without
    /// close_notify.
    Cut,
    /// At once, with a reset; unsent output is dropped, in the kernel too.
    Abort,
}

impl Finish {
    /// Whether the output ends as it should: over TLS with close_notify.
    pub(super) fn is_orderly(self) -> bool {
        matches!(self, Self::HalfClose | Self::Close | Self::Linger)
    }
}
