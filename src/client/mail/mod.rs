//! `miod mail`: sends a message to a mail server.
//!
//! ```text
//! MailRequest ─files─► MailPlan ─► Delivery (pure) ──commands, message──► output ═► server
//!                                    │   ▲
//!                                    │   └──────replies────── input ◄═
//!                                    └─► OutputQueue: the dialogue, the trace, JSON;  Progress
//! ```
//!
//! The message is complete before the connection is made, so a file that can't be read costs no
//! connection, and its size is known (`plan.rs`, `message.rs`). `delivery.rs` is the state machine:
//! the connection, TLS, what is shown, and timeouts, around the dialogue of
//! [`smtp::client`](crate::smtp::client). This file has the connection.

mod delivery;
mod message;
mod plan;

use std::convert::Infallible;
use std::io::{self, IsTerminal};
use std::time::Duration;

use super::progress::{Progress, REDRAW};
use super::{ClientError, LazyConnector, NO_ADDRESS, ToolError, begin_tap, conclude, resolve_within};
use crate::console::{Destination, OutputQueue};
use crate::reactor::{
    Accepted, Context, Dial, Ending, Endpoint, Ends, Finish, Io, NoDatagrams, Options, Protocol, Reactor, Tick, Time,
    TlsClient, TlsSide, Until, Want,
};
use crate::smtp::client::StartTls;
use delivery::{Delivery, Next};
pub use message::{Draft, Stamp, Text, file_name};
pub use plan::{MailPlan, MailRequest, MailSettings, MailShow, MessageSource, TlsMode};

/// From this size on, in bytes, a terminal shows the progress.
const LARGE: usize = 256 * 1024;

/// Prints the message and sends nothing.
///
/// # Errors
/// If a file can't be read, or the output can't be written.
pub fn print(request: MailRequest, stamp: &Stamp) -> Result<(), ToolError> {
    let target = request.settings.server.clone();
    let print = || {
        let plan = request.open(stamp)?;
        let mut output = OutputQueue::new(Destination::Stdout, None);
        output.write(&plan.message);
        conclude(&mut output, Ok(()))
    };
    print().map_err(|error: ClientError| error.at(target))
}

/// Sends the message.
///
/// # Errors
/// If it isn't accepted for all recipients.
pub fn run(request: MailRequest, stamp: &Stamp) -> Result<(), ToolError> {
    let target = request.settings.server.clone();
    let send = || deliver(request.open(stamp)?);
    send().map_err(|error| error.at(target))
}

fn deliver(plan: MailPlan) -> Result<(), ClientError> {
    let settings = plan.settings.clone();
    let options = Options { send_timeout: settings.timeout, ..Options::default() };
    let mut reactor = Reactor::<MailConnection>::new(None, options)?;
    if settings.tls != TlsMode::StartTls(StartTls::No) {
        settings.tap.check_tls().map_err(ClientError::Setting)?;
    }
    begin_tap(&settings.tap, &mut reactor)?;
    let begun = reactor.time().now;
    let limit = settings.max_time.map_or(settings.connect_timeout, |most| most.min(settings.connect_timeout));
    let found = resolve_within(&settings.server.host, settings.server.port, limit)?;
    let addresses = found.ok_or(ClientError::TimedOut(NO_ADDRESS, limit))?;
    let shows_progress = plan.message.len() >= LARGE && !settings.show.dialogue && io::stderr().is_terminal();
    let mut shared = MailShared {
        output: OutputQueue::new(Destination::Stdout, reactor.closer()),
        progress: shows_progress.then(Progress::default),
        connector: LazyConnector::new(settings.trust, settings.key_log, &settings.tap, &[]),
        delivery: Delivery::new(plan, addresses, begun),
    };
    shared.delivery.resolved(reactor.time().now, &mut shared.output);
    let dial = shared.next_dial();
    *reactor.shared() = Some(shared);
    // Without authorities to trust there is nothing to run.
    if let Some(dial) = dial {
        reactor.connect(dial, MailConnection);
        reactor.run(Until::Idle)?;
    }
    let Some(mut shared) = reactor.shared().take() else { return Ok(()) };
    let now = reactor.time().now;
    shared.draw(now, true);
    let outcome = shared.delivery.finish(&mut shared.output);
    conclude(&mut shared.output, outcome)
}

/// What the connections to the addresses of a server share.
pub struct MailShared {
    delivery: Delivery,
    output: OutputQueue,
    progress: Option<Progress>,
    connector: LazyConnector,
}

impl MailShared {
    /// How to make the next connection, if one is needed.
    fn next_dial(&mut self) -> Option<Dial> {
        let address = self.delivery.next_address()?;
        let tls = if self.delivery.settings().tls == TlsMode::Implicit { Some(self.tls()?) } else { None };
        Some(Dial { endpoint: Endpoint::Tcp(address), tls })
    }

    /// The client's side of TLS. Without one the delivery has failed.
    fn tls(&mut self) -> Option<TlsClient> {
        let client = self.connector.to(&self.delivery.settings().server.host);
        client.map_err(|error| self.delivery.fail(error)).ok()
    }

    /// Draws the progress, if it is shown and due.
    fn draw(&mut self, now: Tick, last: bool) {
        let Some(progress) = &mut self.progress else { return };
        if let Some((done, total)) = self.delivery.progress()
            && let Some(line) = progress.line(done, Some(total), now, last)
        {
            self.output.errors().extend_from_slice(line.as_bytes());
        }
    }
}

/// The protocol of one connection. The delivery itself is in [`MailShared`].
#[derive(Debug)]
pub struct MailConnection;

impl Protocol for MailConnection {
    /// `None` before the first connection.
    type Shared = Option<MailShared>;
    type Listener = ();
    type Message = Infallible;
    type Outcome = Infallible;
    type Datagrams = NoDatagrams;

    fn open(_: &Accepted<'_, ()>, _: &mut Context<'_, Self>) -> Option<Self> {
        None
    }

    fn advance(&mut self, io: &mut Io<'_>, cx: &mut Context<'_, Self>) -> Want {
        let now = cx.time.now;
        let Some(shared) = cx.shared.as_mut().filter(|_| !cx.draining) else { return Want::finish(Finish::Abort) };
        match shared.delivery.advance(io, now, &mut shared.output) {
            Next::Go(want) => want,
            Next::Secure(by) => match shared.tls() {
                Some(client) => {
                    cx.secure(TlsSide::Client(client));
                    Want::NOTHING.by(by)
                }
                None => Want::finish(Finish::Abort),
            },
        }
    }

    fn closed(&mut self, ending: Ending, ends: Ends<'_>, cx: &mut Context<'_, Self>) {
        let now = cx.time.now;
        let Some(shared) = cx.shared.as_mut().filter(|_| !cx.draining) else { return };
        shared.delivery.closed(ending, ends.peer(), now);
        if let Some(dial) = shared.next_dial() {
            cx.connect(dial, Self);
        }
    }

    fn before_wait(shared: &mut Option<MailShared>, time: Time, _: bool) -> Option<Duration> {
        let shared = shared.as_mut()?;
        shared.draw(time.now, false);
        shared.output.flush();
        shared.progress.as_ref().map(|_| REDRAW)
    }
}
