//! `miod get`: asks for a URL, once or many times, and prints what is answered.
//!
//! ```text
//! Plan ─► Fetch (pure) ──requests──► output ═► server
//!           │   ▲
//!           │   └──answers── input ◄═
//!           └─► Paper: content, heads, the trace;  Progress
//! ```
//!
//! `fetch.rs` is the whole of it as a state machine: what is asked on which connection,
//! what an answer means, and what comes next. Here is what surrounds it: the
//! connection, the look-ups of names, and the printing.

mod fetch;
mod plan;
mod progress;
#[cfg(test)]
mod tests;
mod trace;

use std::convert::Infallible;
use std::io;
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::time::Duration;

use super::console::{Console, Paper, Target};
use super::{Failed, Failure, resolve, resolve_within};
use crate::http::uri::HttpUrl;
use crate::reactor::{
    Accepted, Context, Ending, Endpoint, Ends, Finish, Io, JobClass, JobId, JobResult, NoDatagrams, Options, Protocol,
    Reactor, Tick, Time, Until, Want,
};
use fetch::{Fetch, Next};
pub use plan::{Content, Plan, Show, Wish};
use progress::Progress;

/// How often the progress is drawn anew: as often as an eye can tell numbers apart.
const REDRAW: Duration = Duration::from_millis(100);

/// Fetches as it is wished.
///
/// # Errors
/// If not all was answered, or not so.
pub fn run(wish: Wish) -> Result<(), Failed> {
    let mut url = wish.plan.url.clone();
    let outcome = wish.open().and_then(|(plan, target)| fetch(plan, target, &mut url));
    outcome.map_err(|failure| failure.at(url))
}

/// The same; `url` becomes what was asked for last.
fn fetch(plan: Plan, target: Target, url: &mut HttpUrl) -> Result<(), Failure> {
    let to_file = matches!(target, Target::File(_) | Target::Append(_));
    let mut reactor = Reactor::<Link>::new(None, Options::default())?;
    let begun = reactor.time().now;
    let (what, limit) = Fetch::patience(&plan);
    let found = resolve_within(&plan.url.host, plan.url.port, limit)?;
    let addresses = found.ok_or(Failure::TimedOut(what, limit))?;
    let mut desk = Desk {
        paper: Paper::default(),
        console: Console::new(target, reactor.closer()),
        progress: (to_file && io::stderr().is_terminal()).then(Progress::default),
        fetch: Fetch::new(plan, begun),
    };
    desk.fetch.resolved(Ok(addresses), reactor.time().now, &mut desk.paper);
    if let Some(address) = desk.fetch.dial() {
        reactor.connect(Endpoint::Tcp(address), Link::default());
    }
    *reactor.shared() = Some(desk);
    reactor.run(Until::Idle)?;
    let Some(mut desk) = reactor.shared().take() else { return Ok(()) };
    let now = reactor.time().now;
    let outcome = desk.fetch.finish(&mut desk.paper);
    url.clone_from(desk.fetch.url());
    desk.draw(now, true);
    desk.console.print(&mut desk.paper);
    match desk.console.failure() {
        Some(failure) => Err(failure),
        None if desk.console.is_broken() => Ok(()),
        None => outcome,
    }
}

/// What outlives a connection.
pub struct Desk {
    fetch: Fetch,
    paper: Paper,
    console: Console,
    progress: Option<Progress>,
}

impl Desk {
    /// Draws the progress, if there is any and it is time to.
    fn draw(&mut self, now: Tick, last: bool) {
        let Some(progress) = &mut self.progress else { return };
        if let Some((done, total)) = self.fetch.progress()
            && let Some(line) = progress.line(done, total, now, last)
        {
            self.paper.err.extend_from_slice(line.as_bytes());
        }
    }
}

/// One connection; all that is to be known is at the desk.
#[derive(Debug, Default)]
pub struct Link {
    /// The addresses that were looked up for it.
    found: Option<Result<Vec<SocketAddr>, Failure>>,
}

impl Protocol for Link {
    /// None before the first connection is asked for.
    type Shared = Option<Desk>;
    type Listener = ();
    type Message = Infallible;
    type Outcome = Result<Vec<SocketAddr>, Failure>;
    type Datagrams = NoDatagrams;

    fn open(_: &Accepted<'_, ()>, _: &mut Context<'_, Self>) -> Option<Self> {
        None
    }

    fn deliver(&mut self, message: Infallible) {
        match message {}
    }

    fn job_ended(&mut self, _: JobId, found: JobResult<Self::Outcome>) {
        // If it panicked, the deadline ends the wait.
        self.found = found.ok();
    }

    fn advance(&mut self, io: &mut Io<'_>, cx: &mut Context<'_, Self>) -> Want {
        let now = cx.time.now;
        let Some(desk) = cx.shared.as_mut().filter(|_| !cx.draining) else { return Want::finish(Finish::Abort) };
        if let Some(found) = self.found.take() {
            desk.fetch.resolved(found, now, &mut desk.paper);
        }
        match desk.fetch.advance(io, now, &mut desk.paper) {
            Next::Go(want) => want,
            Next::Resolve(host, port, by) => {
                // If it can't be asked, the deadline ends the wait.
                let _ = cx.run(JobClass::Names, move || resolve(&host, port));
                Want::NOTHING.by(by)
            }
        }
    }

    fn closed(&mut self, ending: Ending, ends: Ends<'_>, cx: &mut Context<'_, Self>) {
        let now = cx.time.now;
        let Some(desk) = cx.shared.as_mut().filter(|_| !cx.draining) else { return };
        desk.fetch.closed(ending, ends.peer(), now);
        if let Some(address) = desk.fetch.dial() {
            cx.connect(Endpoint::Tcp(address), Self::default());
        }
    }

    fn before_wait(desk: &mut Option<Desk>, time: Time, _: bool) -> Option<Duration> {
        let desk = desk.as_mut()?;
        desk.draw(time.now, false);
        desk.console.print(&mut desk.paper);
        desk.progress.as_ref().map(|_| REDRAW)
    }
}
