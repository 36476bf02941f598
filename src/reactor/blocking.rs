//! One helper thread for what exists only as a blocking call: a password check,
//! a durable write, a name look-up.
//!
//! Jobs go there, messages come back, and the loop is woken. The thread is
//! started with the first job, so who needs none pays for none.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

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
