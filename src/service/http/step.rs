//! The result of a step of an exchange in one turn.

use crate::reactor::Want;

/// A step is done, or waits.
pub(super) enum Step<T> {
    Wait(Want),
    Done(T),
}
