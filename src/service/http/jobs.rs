//! Starts a job for an exchange, which then waits for the result.

use super::exchange::{Exchange, Turn};
use super::rejects::BUSY;
use super::respond::refuse;
use super::state::{Progress, State};
use super::waiting::{AfterJob, Awaits, Waiting};
use crate::limits;
use crate::reactor::{JobClass, QueueFull};
use crate::service::Outcome;

/// Starts `job` on the helper thread of its class. When it has ended, the exchange continues
/// with `next`.
pub(super) fn start(
    exchange: &Exchange<'_>,
    body: &[u8],
    next: AfterJob,
    class: JobClass,
    job: impl FnOnce() -> Outcome + Send + 'static,
    turn: &mut Turn<'_, '_>,
) -> Progress {
    match turn.cx.run(class, job) {
        Ok(job) => {
            let awaits = Awaits::Job { job, next, result: None };
            Progress::Pending(State::Waiting(Waiting::new(exchange, body, awaits, limits::JOB_TIMEOUT, turn)))
        }
        Err(QueueFull) => refuse(exchange, BUSY, turn),
    }
}
