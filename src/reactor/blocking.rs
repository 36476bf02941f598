//! One helper thread for what exists only as a blocking call: a password check,
//! a durable write, a name look-up.
//!
//! Jobs go there, messages come back, and the loop is woken. The thread is
//! started with the first job, so who needs none pays for none. [`within`] is for the
//! one job that must be done before the loop runs.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use mio::Waker;

use super::protocol::Job;
use super::slots::Handle;

/// Work that may block, and where its results come out.
pub(super) struct Blocking<M> {
    waker: Arc<Waker>,
    jobs: Option<Sender<(Handle, Job<M>)>>,
    done: Option<Receiver<(Handle, M)>>,
}

impl<M: Send + 'static> Blocking<M> {
    pub(super) fn new(waker: Arc<Waker>) -> Self {
        Self { waker, jobs: None, done: None }
    }

    /// Has `job` run; its message comes out of `finished` under `handle`. The
    /// number of jobs is bounded by the connections, each of which waits for its own.
    pub(super) fn run(&mut self, handle: Handle, job: Job<M>) -> io::Result<()> {
        let jobs = match &self.jobs {
            Some(jobs) => jobs,
            None => {
                let (jobs, todo) = channel::<(Handle, Job<M>)>();
                let (results, done) = channel();
                let waker = Arc::clone(&self.waker);
                std::thread::Builder::new().name("miod-blocking".into()).spawn(move || {
                    while let Ok((handle, job)) = todo.recv() {
                        let message = job();
                        if results.send((handle, message)).is_err() || waker.wake().is_err() {
                            break; // the loop is gone
                        }
                    }
                })?;
                self.done = Some(done);
                self.jobs.insert(jobs)
            }
        };
        jobs.send((handle, job)).map_err(|_| io::Error::other("the helper thread is gone"))
    }

    /// A result that is there.
    pub(super) fn finished(&mut self) -> Option<(Handle, M)> {
        self.done.as_ref()?.try_recv().ok()
    }
}

/// What `job` comes to, if it does within `limit`; for what must be known before there is
/// a loop. One that takes longer is left to itself: the system's calls that block can't be
/// called off.
///
/// # Errors
/// If the system has no thread for it.
pub fn within<T: Send + 'static>(limit: Duration, job: impl FnOnce() -> T + Send + 'static) -> io::Result<Option<T>> {
    let (send, receive) = channel();
    std::thread::Builder::new().name("miod-first".into()).spawn(move || drop(send.send(job())))?;
    Ok(receive.recv_timeout(limit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_too_long_is_not_waited_for() {
        let (answer, never) = channel::<()>();
        assert_eq!(within(Duration::from_millis(10), move || never.recv()).unwrap(), None);
        drop(answer);
        assert_eq!(within(Duration::from_secs(20), || 7).unwrap(), Some(7));
    }
}
