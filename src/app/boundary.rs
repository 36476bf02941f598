//! The boundary to application code: every call of it is made here.
//!
//! Applications and their content are written by others. Each call is caught if it
//! panics, and what comes back is checked against the contract. A [`Failed`] call
//! becomes a 500, or cuts a response that has begun; the loop and all other
//! connections go on. The panic hook has then reported where and why.

use std::cell::RefCell;
use std::collections::HashSet;

use super::{Answer, App, BodyMode, Call, Methods, Outcome, Pull, Push, Request, Sink, Source};
use crate::http::Reject;
use crate::http::head::Method;
use crate::panics::{self, Panicked};
use crate::reactor::{Handle, Tick};

/// Application code panicked or broke its contract.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Failed;

/// Calls application code.
fn guarded<T>(call: impl FnOnce() -> T) -> Result<T, Failed> {
    panics::catch(call).map_err(|Panicked| Failed)
}

/// An application as the server calls it. Shared by the hosts that mount it.
pub struct Application {
    app: RefCell<Box<dyn App>>,
    /// The connections that receive its events.
    watchers: RefCell<HashSet<Handle>>,
}

impl Application {
    /// Takes over an application.
    pub fn new(app: Box<dyn App>) -> Self {
        Self { app: RefCell::new(app), watchers: RefCell::default() }
    }

    /// What it serves at `path`, the decoded path behind its prefix.
    ///
    /// # Errors
    /// If it panics.
    pub fn methods(&self, path: &[u8]) -> Result<Methods, Failed> {
        guarded(|| self.app.borrow().methods(path))
    }

    /// Whether it reads sessions.
    ///
    /// # Errors
    /// If it panics.
    pub fn reads_session(&self) -> Result<bool, Failed> {
        guarded(|| self.app.borrow().reads_session())
    }

    /// How it gets the content of a request for `path`, the decoded path behind its prefix.
    ///
    /// # Errors
    /// If it panics.
    pub fn body_mode(&self, method: Method, path: &[u8]) -> Result<BodyMode, Failed> {
        guarded(|| self.app.borrow().body_mode(method, path))
    }

    /// Its answer to a request, or to the result of the job or the content that it asked
    /// for before.
    ///
    /// # Errors
    /// If it panics, or changes its session and then asks for a job or for content: the
    /// change would be lost.
    pub fn answer(&self, request: &Request<'_>, call: &mut Call<'_>, done: Option<Outcome>) -> Result<Answer, Failed> {
        let answer = guarded(|| {
            let mut app = self.app.borrow_mut();
            match done {
                None => app.handle(request, call),
                Some(outcome) => app.resume(request, call, outcome),
            }
        })?;
        let changed = call.session.as_ref().is_some_and(|session| session.is_changed());
        if changed && matches!(answer, Answer::Later(..) | Answer::Receive(_)) {
            log::error!("an application changed its session and then asked for a job or for content");
            return Err(Failed);
        }
        Ok(answer)
    }

    /// Appends the events after number `seen` to `out`, about `room` bytes. Returns the
    /// number of the last.
    ///
    /// # Errors
    /// If it panics.
    pub fn events(&self, seen: u64, out: &mut Vec<u8>, room: usize) -> Result<u64, Failed> {
        guarded(|| self.app.borrow_mut().events(seen, out, room))
    }

    /// Its figures, and how many connections receive its events.
    pub fn figures(&self) -> Vec<(&'static str, u64)> {
        let mut figures = guarded(|| self.app.borrow().figures()).unwrap_or_default();
        figures.push(("watchers", self.watchers.borrow().len() as u64));
        figures
    }

    /// Registers a connection that receives its events.
    pub(crate) fn watch(&self, watcher: Handle) {
        self.watchers.borrow_mut().insert(watcher);
    }

    /// Removes a connection that received its events.
    pub(crate) fn unwatch(&self, watcher: Handle) {
        let mut watchers = self.watchers.borrow_mut();
        watchers.remove(&watcher);
        // After a peak, give the memory back once there is nothing in it.
        if watchers.is_empty() {
            *watchers = HashSet::new();
        }
    }

    /// The connections that receive its events.
    pub(crate) fn watchers(&self) -> Vec<Handle> {
        self.watchers.borrow().iter().copied().collect()
    }

    /// Whether this connection is registered.
    pub(crate) fn is_watched_by(&self, watcher: Handle) -> bool {
        self.watchers.borrow().contains(&watcher)
    }
}

/// Content that an application makes over time, as the server pulls it.
pub struct Content(Option<Box<dyn Source>>);

impl Content {
    /// Takes over a source.
    pub fn new(source: Box<dyn Source>) -> Self {
        Self(Some(source))
    }

    /// Appends about `room` bytes of content to `out`.
    ///
    /// # Errors
    /// If it panics, or promises more without adding anything: it would be asked
    /// without end.
    pub fn pull(&mut self, out: &mut Vec<u8>, room: usize, now: Tick) -> Result<Pull, Failed> {
        let Some(source) = &mut self.0 else { return Err(Failed) };
        let before = out.len();
        let pulled = guarded(|| source.pull(out, room, now))?;
        if pulled == Pull::More && out.len() <= before {
            log::error!("the content of an application adds nothing and promises more");
            return Err(Failed);
        }
        Ok(pulled)
    }

    /// Bytes of memory that it holds.
    pub fn memory(&self) -> usize {
        let held = self.0.as_ref().map(|source| guarded(|| source.memory()));
        held.and_then(Result::ok).unwrap_or_default()
    }
}

impl Drop for Content {
    fn drop(&mut self) {
        if let Some(source) = self.0.take() {
            // Reported by the panic hook; there is nothing left to do about it.
            let _ = guarded(|| drop(source));
        }
    }
}

/// The sink of an application, as the server feeds it.
pub struct ContentSink(Option<Box<dyn Sink>>);

impl ContentSink {
    /// Takes over a sink.
    pub fn new(sink: Box<dyn Sink>) -> Self {
        Self(Some(sink))
    }

    /// Hands it a piece of content; inside, what it says to that.
    ///
    /// # Errors
    /// If it panics.
    pub fn push(&mut self, content: &[u8]) -> Result<Result<Push, Reject>, Failed> {
        let Some(sink) = &mut self.0 else { return Err(Failed) };
        guarded(|| sink.push(content))
    }

    /// Hands it the result of its job; inside, what it says to that.
    ///
    /// # Errors
    /// If it panics.
    pub fn resume(&mut self, done: Outcome) -> Result<Result<(), Reject>, Failed> {
        let Some(sink) = &mut self.0 else { return Err(Failed) };
        guarded(|| sink.resume(done))
    }

    /// The content is whole: what the sink made of it.
    ///
    /// # Errors
    /// If it panics.
    pub fn finish(mut self) -> Result<Outcome, Failed> {
        let Some(sink) = self.0.take() else { return Err(Failed) };
        guarded(|| sink.finish())
    }

    /// Bytes of memory that it holds.
    pub fn memory(&self) -> usize {
        let held = self.0.as_ref().map(|sink| guarded(|| sink.memory()));
        held.and_then(Result::ok).unwrap_or_default()
    }
}

impl Drop for ContentSink {
    fn drop(&mut self) {
        if let Some(sink) = self.0.take() {
            // Reported by the panic hook; there is nothing left to do about it.
            let _ = guarded(|| drop(sink));
        }
    }
}
