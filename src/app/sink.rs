//! The content of a request as it comes, for applications that need it no other way.
//!
//! An application usually gets the content of a request whole. One that takes uploads
//! of any size says so by [`App::body_mode`](super::App::body_mode). It is then called
//! when the head is there and its rules are passed; by
//! [`Answer::Receive`](super::Answer::Receive) it names a [`Sink`], and when the body is
//! whole it is called again, by [`App::resume`](super::App::resume). Memory is bounded:
//! while a sink works on a piece, the connection isn't read, and TCP slows the client down.

use super::{Job, Outcome};
use crate::http::Reject;
use crate::reactor::JobClass;

/// How an application gets the content of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BodyMode {
    /// Whole, as [`Request::body`](super::Request::body), up to the server's limit.
    Collect,
    /// Piece by piece, if it asks for it. A response without having asked for it closes
    /// the connection, since the content is still unread.
    Stream {
        /// Most bytes of content; a request with more gets 413.
        limit: u64,
    },
}

/// Takes the content of a request piece by piece. The counterpart of
/// [`Source`](super::Source). It is dropped without [`finish`](Self::finish) if the
/// connection or the body ends too early.
pub trait Sink {
    /// Takes the next piece of content, which isn't empty and has 64 KiB at most.
    ///
    /// # Errors
    /// The error response that ends the request.
    fn push(&mut self, content: &[u8]) -> Result<Push, Reject>;

    /// Takes the result of the job that [`push`](Self::push) asked for. A sink that never
    /// returns [`Push::Later`] is never called here.
    ///
    /// # Errors
    /// The error response that ends the request.
    fn resume(&mut self, _done: Outcome) -> Result<(), Reject> {
        unreachable!("resumed without a job")
    }

    /// The content is whole. What is returned goes to
    /// [`App::resume`](super::App::resume).
    fn finish(self: Box<Self>) -> Outcome;

    /// Bytes of memory that it holds beyond its own size: they count against the limit of
    /// all connections.
    fn memory(&self) -> usize;
}

/// What a sink needs before it takes the next piece.
pub enum Push {
    /// Nothing.
    More,
    /// The result of this job, which runs on the helper thread of its class. It has
    /// [`JOB_TIMEOUT`](crate::limits::JOB_TIMEOUT), then the client gets 503.
    Later(JobClass, Job),
}
