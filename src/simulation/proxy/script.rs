//! An answer that was decided before.

/// What follows an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Then {
    /// The next request.
    Stay,
    Close,
    Reset,
    /// Nothing, without an end.
    Silence,
}

/// An answer to a GET that was decided before: a version of a resource, which is fresh for a while.
pub(super) struct Script {
    pub(super) is_chunked: bool,
    pub(super) length: usize,
    /// So many bytes of it are sent, if there are as many.
    pub(super) bytes: usize,
    /// What follows if it is cut.
    pub(super) then: Then,
}
