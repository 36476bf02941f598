//! `miod get`: requests a URL, once or many times, and prints the responses.
//!
//! ```text
//! Plan ─► Fetch (pure) ──requests──► output ═► server
//!           │   ▲
//!           │   └──responses── input ◄═
//!           └─► OutputQueue: content, heads, the trace;  Progress
//! ```
//!
//! `fetch.rs` is the state machine: which request goes to which connection, what a
//! response means, and what comes next. This file has the connection, the resolving of
//! names and the printing.

mod current;
mod fetch;
mod plan;
#[cfg(test)]
mod tests;
mod trace;

use std::convert::Infallible;
use std::io;
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::time::Duration;

use super::progress::{Progress, REDRAW};
use super::{ClientError, LazyConnector, ToolError, begin_tap, conclude, resolve_within};
use crate::console::{Destination, OutputQueue};
use crate::http::uri::{HttpUrl, Scheme};
use crate::names::{self, UnknownHost};
use crate::reactor::{
    Accepted, Context, Dial, Ending, Endpoint, Ends, Finish, Io, JobClass, JobId, JobResult, NoDatagrams, Options,
    Protocol, Reactor, Tick, Time, Until, Want,
};
use fetch::{Fetch, Next};
pub use plan::{Content, GetPlan, GetRequest, Show};

/// Sends the requests and prints the responses.
///
/// # Errors
/// If a response is missing or isn't what the plan demands.
pub fn run(request: GetRequest) -> Result<(), ToolError> {
    let mut url = request.plan.url.clone();
    let outcome = request.open().and_then(|(plan, destination)| fetch(plan, destination, &mut url));
    outcome.map_err(|error| error.at(url))
}

/// Fetches the URL of a plan. `url` becomes the last one that was requested.
fn fetch(plan: GetPlan, destination: Destination, url: &mut HttpUrl) -> Result<(), ClientError> {
    let to_file = matches!(destination, Destination::File(_) | Destination::Append(_));
    let mut reactor = Reactor::<GetConnection>::new(None, Options::default())?;
    if plan.url.scheme == Scheme::Https {
        plan.tap.check_tls().map_err(ClientError::Setting)?;
    }
    begin_tap(&plan.tap, &mut reactor)?;
    let begun = reactor.time().now;
    let (what, limit) = Fetch::resolve_limit(&plan);
    let found = resolve_within(&plan.url.host, plan.url.port, limit)?;
    let addresses = found.ok_or(ClientError::TimedOut(what, limit))?;
    let mut shared = GetShared {
        output: OutputQueue::new(destination, reactor.closer()),
        progress: (to_file && io::stderr().is_terminal()).then(Progress::default),
        connector: LazyConnector::new(plan.trust.clone(), plan.key_log.clone(), &plan.tap, &["http/1.1"]),
        fetch: Fetch::new(plan, begun),
    };
    shared.fetch.resolved(Ok(addresses), reactor.time().now, &mut shared.output);
    let dial = shared.next_dial();
    *reactor.shared() = Some(shared);
    // Without authorities to trust there is nothing to run.
    if let Some(dial) = dial {
        reactor.connect(dial, GetConnection::default());
        reactor.run(Until::Idle)?;
    }
    let Some(mut shared) = reactor.shared().take() else { return Ok(()) };
    let now = reactor.time().now;
    let outcome = shared.fetch.finish(&mut shared.output);
    url.clone_from(shared.fetch.url());
    shared.draw(now, true);
    conclude(&mut shared.output, outcome)
}

/// What all connections share.
pub struct GetShared {
    fetch: Fetch,
    output: OutputQueue,
    progress: Option<Progress>,
    connector: LazyConnector,
}

impl GetShared {
    /// How to make the next connection, if one is needed.
    fn next_dial(&mut self) -> Option<Dial> {
        let address = self.fetch.next_address()?;
        let tls = match self.fetch.url().scheme {
            Scheme::Http => None,
            Scheme::Https => match self.connector.to(&self.fetch.url().host) {
                Ok(client) => Some(client),
                Err(error) => {
                    self.fetch.fail(error);
                    return None;
                }
            },
        };
        Some(Dial { endpoint: Endpoint::Tcp(address), tls })
    }

    /// Draws the progress, if it is shown and due.
    fn draw(&mut self, now: Tick, last: bool) {
        let Some(progress) = &mut self.progress else { return };
        if let Some((done, total)) = self.fetch.progress()
            && let Some(line) = progress.line(done, total, now, last)
        {
            self.output.errors().extend_from_slice(line.as_bytes());
        }
    }
}

/// The protocol of one connection. The fetch itself is in [`GetShared`].
#[derive(Debug, Default)]
pub struct GetConnection {
    /// The addresses that were resolved for it.
    found: Option<Result<Vec<SocketAddr>, UnknownHost>>,
}

impl Protocol for GetConnection {
    /// `None` before the first connection.
    type Shared = Option<GetShared>;
    type Listener = ();
    type Message = Infallible;
    type Outcome = Result<Vec<SocketAddr>, UnknownHost>;
    type Datagrams = NoDatagrams;

    fn open(_: &Accepted<'_, ()>, _: &mut Context<'_, Self>) -> Option<Self> {
        None
    }

    fn job_ended(&mut self, _: JobId, found: JobResult<Self::Outcome>) {
        // After a panic in the resolver the deadline ends the wait.
        self.found = found.ok();
    }

    fn advance(&mut self, io: &mut Io<'_>, cx: &mut Context<'_, Self>) -> Want {
        let now = cx.time.now;
        let Some(shared) = cx.shared.as_mut().filter(|_| !cx.draining) else { return Want::finish(Finish::Abort) };
        if let Some(found) = self.found.take() {
            shared.fetch.resolved(found.map_err(Into::into), now, &mut shared.output);
        }
        match shared.fetch.advance(io, now, &mut shared.output) {
            Next::Go(want) => want,
            Next::Resolve(host, port, by) => {
                // If the resolver's queue is full, the deadline ends the wait.
                let _ = cx.run(JobClass::Names, move || names::resolve(&host, port));
                Want::NOTHING.by(by)
            }
        }
    }

    fn closed(&mut self, ending: Ending, ends: Ends<'_>, cx: &mut Context<'_, Self>) {
        let now = cx.time.now;
        let Some(shared) = cx.shared.as_mut().filter(|_| !cx.draining) else { return };
        shared.fetch.closed(ending, ends.peer(), now);
        if let Some(dial) = shared.next_dial() {
            cx.connect(dial, Self::default());
        }
    }

    fn before_wait(shared: &mut Option<GetShared>, time: Time, _: bool) -> Option<Duration> {
        let shared = shared.as_mut()?;
        shared.draw(time.now, false);
        shared.output.flush();
        shared.progress.as_ref().map(|_| REDRAW)
    }
}
