//! What a part of an exchange comes to in one turn.

use crate::reactor::Want;

/// Whether a part of an exchange is done, or what it waits for.
pub(super) enum Step<T> {
    Wait(Want),
    Done(T),
}
