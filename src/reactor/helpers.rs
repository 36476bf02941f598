//! Helper threads for what exists only as a blocking call: a password hash, a durable
//! write, reading a directory, a name look-up.
//!
//! ```text
//!  loop:    run(class, job) ─▶ bounded queue of the class      outcome ─▶ the waiter, or all
//!                                       │                          ▲
//!  helper:                              └─▶ job, or a panic ───────┘ wakes the loop
//! ```
//!
//! A job has a class, and each class has one queue and one thread, started with its
//! first job: a slow password check holds up no durable write. Names have up to four threads,
//! since they need no order, and one slow server of names would hold up all of them. A full queue is an error
//! at once. A job that panics is an outcome like any other. A job whose waiter is gone
//! is skipped if it has not begun, except for durable writes, which are finished in
//! any case.
//!
//! A shared job has no waiter ([`Handle::NONE`]): it is for what all connections share, and is never
//! skipped. A few places in each queue are for shared jobs alone, so those of connections can't keep them out.

use std::collections::VecDeque;
use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mio::Waker;

use super::slots::Handle;
use crate::limits;
use crate::panics::{self, Panicked};

/// What kind of work a job is. Jobs of one class wait for each other, and for no others.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum JobClass {
    /// Password hashes: processor time, tens of milliseconds each.
    Hashing,
    /// Durable writes: the disk must confirm them. Never skipped.
    Commit,
    /// Reading files and directories, and work on their content.
    Files,
    /// Compressing what is sent often: processor time, up to a second.
    Compression,
    /// Name look-ups: the resolver may take seconds.
    Names,
}

impl JobClass {
    const COUNT: usize = Self::Names as usize + 1;
    /// All classes.
    pub const ALL: [Self; Self::COUNT] = [Self::Hashing, Self::Commit, Self::Files, Self::Compression, Self::Names];

    /// Most jobs that wait when one for `waiter` is added.
    fn limit(self, waiter: Handle) -> usize {
        let limit = match self {
            Self::Hashing => limits::HASHING_JOBS,
            Self::Commit => limits::COMMIT_JOBS,
            Self::Files => limits::FILE_JOBS,
            Self::Compression => limits::COMPRESSION_JOBS,
            Self::Names => limits::NAME_JOBS,
        };
        if waiter == Handle::NONE { limit + limits::SHARED_JOBS } else { limit }
    }

    /// Most threads.
    fn threads(self) -> usize {
        match self {
            Self::Hashing | Self::Commit | Self::Files | Self::Compression => 1,
            Self::Names => limits::NAME_THREADS,
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hashing => "hashing",
            Self::Commit => "commit",
            Self::Files => "files",
            Self::Compression => "compression",
            Self::Names => "names",
        }
    }
}

/// Names a job until its outcome is delivered.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct JobId {
    class: JobClass,
    number: u64,
}

/// A job can't be taken now: too many of its class wait, or the system has no thread
/// for them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QueueFull;

/// What has come of a job.
pub type JobResult<O> = Result<O, Panicked>;

/// A job for a helper thread.
type Job<O> = Box<dyn FnOnce() -> O + Send>;

/// A job that ended: the connection that waits for it, or none, and its result.
pub(super) struct Ended<O> {
    pub(super) waiter: Handle,
    pub(super) job: JobId,
    pub(super) result: JobResult<O>,
}

/// The helper threads and their queues.
pub(super) struct Helpers<O> {
    /// Wakes the loop; without it there are no threads, and jobs wait for
    /// [`run_all`](Self::run_all).
    waker: Option<Arc<Waker>>,
    queues: [Option<Arc<Queue<O>>>; JobClass::COUNT],
    ended: (Sender<Ended<O>>, Receiver<Ended<O>>),
    numbers: u64,
    /// Jobs whose outcome was not delivered.
    open: usize,
}

/// The jobs of one class that wait.
struct Queue<O> {
    state: Mutex<Waiting<O>>,
    changed: Condvar,
}

struct Waiting<O> {
    jobs: VecDeque<(Handle, JobId, Job<O>)>,
    /// Threads, and how many of them wait for a job.
    threads: usize,
    idle: usize,
    closed: bool,
}

impl<O> Default for Queue<O> {
    fn default() -> Self {
        let waiting = Waiting { jobs: VecDeque::new(), threads: 0, idle: 0, closed: false };
        Self { state: Mutex::new(waiting), changed: Condvar::new() }
    }
}

impl<O> Queue<O> {
    fn lock(&self) -> MutexGuard<'_, Waiting<O>> {
        // No job runs while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next job; none if there will be no more.
    fn next(&self) -> Option<(Handle, JobId, Job<O>)> {
        let mut waiting = self.lock();
        loop {
            if let Some(job) = waiting.jobs.pop_front() {
                return Some(job);
            }
            if waiting.closed {
                return None;
            }
            waiting.idle += 1;
            waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
            waiting.idle -= 1;
        }
    }
}

impl<O: Send + 'static> Helpers<O> {
    pub(super) fn new(waker: Option<Arc<Waker>>) -> Self {
        Self { waker, queues: [const { None }; JobClass::COUNT], ended: channel(), numbers: 0, open: 0 }
    }

    /// Has `job` run for a connection, or for [none](Handle::NONE); its result comes out of [`ended`](Self::ended).
    pub(super) fn run(&mut self, waiter: Handle, class: JobClass, job: Job<O>) -> Result<JobId, QueueFull> {
        let queue = Arc::clone(self.queues[class as usize].get_or_insert_with(Arc::default));
        let mut waiting = queue.lock();
        if waiting.jobs.len() >= class.limit(waiter) {
            return Err(QueueFull);
        }
        if waiting.idle <= waiting.jobs.len() && waiting.threads < class.threads() {
            match self.start_thread(class, &queue) {
                Ok(()) => waiting.threads += 1,
                Err(error) if waiting.threads == 0 => {
                    log::error!("no thread for {class:?}: {error}");
                    return Err(QueueFull);
                }
                // Those that there are do it.
                Err(error) => log::debug!("no further thread for {class:?}: {error}"),
            }
        }
        self.numbers += 1;
        let id = JobId { class, number: self.numbers };
        waiting.jobs.push_back((waiter, id, job));
        drop(waiting);
        queue.changed.notify_one();
        self.open += 1;
        Ok(id)
    }

    /// Starts a thread for the jobs of a class, if there are threads.
    fn start_thread(&self, class: JobClass, queue: &Arc<Queue<O>>) -> io::Result<()> {
        let Some(waker) = &self.waker else { return Ok(()) };
        let (waker, ended, jobs) = (Arc::clone(waker), self.ended.0.clone(), Arc::clone(queue));
        std::thread::Builder::new().name(format!("miod-{}", class.name())).spawn(move || {
            while let Some((waiter, job, code)) = jobs.next() {
                let result = panics::catch(code);
                if ended.send(Ended { waiter, job, result }).is_err() || waker.wake().is_err() {
                    break; // the loop is gone
                }
            }
        })?;
        Ok(())
    }

    /// How many jobs of a class wait.
    pub(super) fn waiting(&self, class: JobClass) -> usize {
        self.queues[class as usize].as_ref().map_or(0, |queue| queue.lock().jobs.len())
    }

    /// A job that has ended.
    pub(super) fn ended(&mut self) -> Option<Ended<O>> {
        let ended = self.ended.1.try_recv().ok()?;
        self.open -= 1;
        Some(ended)
    }

    /// Skips a job, if it waits and may be skipped.
    pub(super) fn cancel(&mut self, job: JobId) {
        self.skip(job.class, |_, id| id == job);
    }

    /// Skips all jobs that this connection waits for.
    pub(super) fn forget(&mut self, waiter: Handle) {
        if self.open > 0 {
            for class in JobClass::ALL {
                self.skip(class, |other, _| other == waiter);
            }
        }
    }

    fn skip(&mut self, class: JobClass, is_skipped: impl Fn(Handle, JobId) -> bool) {
        let Some(queue) = self.queues[class as usize].as_ref().filter(|_| class != JobClass::Commit) else { return };
        let mut waiting = queue.lock();
        let (skipped, kept): (VecDeque<_>, _) =
            std::mem::take(&mut waiting.jobs).into_iter().partition(|(waiter, id, _)| is_skipped(*waiter, *id));
        waiting.jobs = kept;
        // Their code is dropped when nothing is held.
        drop(waiting);
        self.open -= skipped.len();
    }

    /// Runs all jobs that wait, here and now: where there are no threads.
    pub(super) fn run_all(&mut self) {
        for queue in self.queues.iter().flatten() {
            while let Some((waiter, job, code)) = { queue.lock().jobs.pop_front() } {
                // The receiver is beside the sender.
                let _ = self.ended.0.send(Ended { waiter, job, result: panics::catch(code) });
            }
        }
    }
}

impl<O> Drop for Helpers<O> {
    fn drop(&mut self) {
        for queue in self.queues.iter().flatten() {
            queue.lock().closed = true;
            queue.changed.notify_all();
        }
    }
}

/// The result of `job`, if it ends within `limit`; for what must be known before there is
/// a loop. A job that takes longer is left to itself: the system's calls that block can't
/// be called off.
///
/// # Errors
/// If the system has no thread for it.
pub fn within<T: Send + 'static>(limit: Duration, job: impl FnOnce() -> T + Send + 'static) -> io::Result<Option<T>> {
    let (send, receive) = channel();
    std::thread::Builder::new().name("miod-first".into()).spawn(move || drop(send.send(job())))?;
    Ok(receive.recv_timeout(limit).ok())
}

/// Starts a thread of its own for work that lasts as long as the loop.
///
/// # Errors
/// If the system has no thread for it.
pub fn start_worker(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    std::thread::Builder::new().name(format!("miod-{name}")).spawn(work).map(drop)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use mio::Poll;

    use super::*;

    const SOMEBODY: Handle = Handle::for_test(1);
    const SOMEBODY_ELSE: Handle = Handle::for_test(2);
    /// Longer than anything that works takes.
    const PATIENCE: Duration = Duration::from_secs(20);

    fn threads() -> (Poll, Helpers<u32>) {
        let poll = Poll::new().unwrap();
        let waker = Arc::new(Waker::new(poll.registry(), mio::Token(0)).unwrap());
        (poll, Helpers::new(Some(waker)))
    }

    /// The next job that ends.
    fn next(helpers: &Helpers<u32>) -> (Handle, JobId, JobResult<u32>) {
        let ended = helpers.ended.1.recv_timeout(PATIENCE).expect("a job ends");
        (ended.waiter, ended.job, ended.result)
    }

    #[test]
    fn a_busy_class_holds_up_no_other() {
        let (_poll, mut helpers) = threads();
        let (release, wait) = mpsc::channel::<()>();
        let slow = helpers.run(SOMEBODY, JobClass::Hashing, Box::new(move || wait.recv().map_or(0, |()| 1))).unwrap();
        for class in [JobClass::Commit, JobClass::Files, JobClass::Names] {
            let job = helpers.run(SOMEBODY, class, Box::new(|| 2)).unwrap();
            assert_eq!(next(&helpers), (SOMEBODY, job, Ok(2)));
        }
        release.send(()).unwrap();
        assert_eq!(next(&helpers), (SOMEBODY, slow, Ok(1)));
    }

    #[test]
    fn a_slow_name_holds_up_no_other_and_threads_are_limited() {
        let (_poll, mut helpers) = threads();
        let (release, wait) = mpsc::channel::<()>();
        let wait = Arc::new(Mutex::new(wait));
        let (begun, has_begun) = mpsc::channel::<()>();
        for _ in 1..limits::NAME_THREADS {
            let (wait, begun) = (Arc::clone(&wait), begun.clone());
            let slow = move || {
                begun.send(()).unwrap();
                wait.lock().unwrap().recv().map_or(0, |()| 1)
            };
            helpers.run(SOMEBODY, JobClass::Names, Box::new(slow)).unwrap();
            has_begun.recv_timeout(PATIENCE).unwrap();
        }
        for value in 2..20 {
            let quick = helpers.run(SOMEBODY, JobClass::Names, Box::new(move || value)).unwrap();
            assert_eq!(next(&helpers), (SOMEBODY, quick, Ok(value)));
        }
        let threads = || helpers.queues[JobClass::Names as usize].as_ref().unwrap().lock().threads;
        assert_eq!(threads(), limits::NAME_THREADS);
        drop(release);
        for _ in 1..limits::NAME_THREADS {
            assert_eq!(next(&helpers).2, Ok(0));
        }
    }

    #[test]
    fn a_panic_is_an_outcome_and_the_next_job_runs() {
        let (_poll, mut helpers) = threads();
        let hostile: Job<u32> = Box::new(|| std::panic::resume_unwind(Box::new("a job")));
        let first = helpers.run(SOMEBODY, JobClass::Files, hostile).unwrap();
        let second = helpers.run(SOMEBODY, JobClass::Files, Box::new(|| 7)).unwrap();
        assert_eq!(next(&helpers), (SOMEBODY, first, Err(Panicked)));
        assert_eq!(next(&helpers), (SOMEBODY, second, Ok(7)));
    }

    #[test]
    fn a_full_queue_is_an_error_at_once() {
        let mut helpers = Helpers::new(None);
        for _ in 0..limits::HASHING_JOBS {
            assert!(helpers.run(SOMEBODY, JobClass::Hashing, Box::new(|| 1)).is_ok());
        }
        assert_eq!(helpers.run(SOMEBODY, JobClass::Hashing, Box::new(|| 1)), Err(QueueFull));
        assert!(helpers.run(SOMEBODY, JobClass::Commit, Box::new(|| 1)).is_ok());
        helpers.run_all();
        assert!(helpers.run(SOMEBODY, JobClass::Hashing, Box::new(|| 1)).is_ok());
    }

    #[test]
    fn jobs_that_nobody_waits_for_are_skipped_but_for_durable_writes() {
        let mut helpers = Helpers::new(None);
        let mut run = |waiter, class, value| helpers.run(waiter, class, Box::new(move || value)).unwrap();
        let cancelled = run(SOMEBODY, JobClass::Names, 1);
        run(SOMEBODY_ELSE, JobClass::Files, 2);
        let write = run(SOMEBODY_ELSE, JobClass::Commit, 3);
        let kept = run(SOMEBODY, JobClass::Files, 4);
        helpers.cancel(cancelled);
        helpers.cancel(write);
        helpers.forget(SOMEBODY_ELSE);
        assert_eq!(helpers.open, 2);
        helpers.run_all();
        let ended: Vec<_> = std::iter::from_fn(|| helpers.ended()).map(|ended| ended.job).collect();
        assert_eq!((ended, helpers.open), (vec![write, kept], 0));
    }

    #[test]
    fn a_shared_job_finds_a_place_in_a_full_queue_and_is_never_skipped() {
        let mut helpers = Helpers::new(None);
        let mut run = |waiter| helpers.run(waiter, JobClass::Files, Box::new(|| 1));
        let of_connections = (0..1000).take_while(|_| run(SOMEBODY).is_ok()).count();
        let shared: Vec<_> = (0..1000).map_while(|_| run(Handle::NONE).ok()).collect();
        assert_eq!((of_connections, shared.len()), (limits::FILE_JOBS, limits::SHARED_JOBS));
        assert_eq!(run(SOMEBODY), Err(QueueFull), "these places are not for it");
        helpers.forget(SOMEBODY);
        helpers.run_all();
        let ended: Vec<_> = std::iter::from_fn(|| helpers.ended()).map(|ended| (ended.waiter, ended.job)).collect();
        assert_eq!(ended, shared.into_iter().map(|job| (Handle::NONE, job)).collect::<Vec<_>>());
    }

    #[test]
    fn a_job_that_takes_too_long_is_not_waited_for() {
        let (answer, never) = channel::<()>();
        assert_eq!(within(Duration::from_millis(10), move || never.recv()).unwrap(), None);
        drop(answer);
        assert_eq!(within(Duration::from_secs(20), || 7).unwrap(), Some(7));
    }
}
