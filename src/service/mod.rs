//! The protocols that run on the reactor: the layer that knows both sockets and the meaning
//! of bytes.
//!
//! One enum lists them and passes each call on by `match`: no `dyn` for a connection, no
//! shared ownership. A new protocol is a file, a variant here, and a line in each `match`.
//! Services on datagrams are in [`udp`].

pub mod bad_network;
pub mod certificates;
pub mod echo;
pub mod http;
pub mod mailbox;
pub mod notify;
pub mod proxy;
pub mod session_store_client;
#[cfg(test)]
pub(crate) mod testing;
pub mod udp;
pub mod upper;

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::app;
use crate::auth::Checked;
use crate::files::Names;
use crate::files::listing::Listing;
use crate::limits;
use crate::logging::Log;
use crate::mailbox::Written;
use crate::reactor::{
    Accepted, Context, Ending, Ends, Handle, Io, JobId, JobResult, NoDatagrams, Protocol, Signal, Time, Want,
};
use bad_network::{BadNetwork, Impaired, Line};
use certificates::Certificates;
use echo::Echo;
use http::{HostsId, Http, Tree};
use notify::Notifier;
use proxy::{Cache, ExchangeId, FromUpstream, HealthCheck, ToUpstream, UpstreamConnection};
use session_store_client::SessionStoreClient;
use upper::Upper;

/// What a listener is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// HTTP, with this default host.
    Http(HostsId),
    /// Each byte is sent back.
    Echo,
    /// The input is sent back in upper case.
    Upper,
    /// Mail is received.
    Mail,
}

/// The protocol of a connection.
pub enum Service {
    /// See [`http`].
    Http(Http),
    /// See [`echo`].
    Echo(Echo),
    /// See [`upper`].
    Upper(Upper),
    /// See [`mailbox`].
    Mail(Box<mailbox::Connection>),
    /// See [`session_store_client`].
    SessionStore(Box<SessionStoreClient>),
    /// See [`proxy`].
    Upstream(Box<UpstreamConnection>),
    /// See [`proxy`].
    HealthCheck(Box<HealthCheck>),
    /// One of these two over a bad network: see [`bad_network`].
    Impaired(Box<Impaired>),
}

/// What the reactor lends to a connection.
type Cx<'a> = Context<'a, Service>;

/// What all protocols share.
pub struct Shared {
    /// The shared state of HTTP.
    pub http: http::Shared,
    /// The directories whose files are watched, by the number of their source.
    pub watched: Vec<Rc<Tree>>,
    /// The log, whose buffer is written out between turns.
    pub log: Log,
    /// What the connections of a mailbox share, if there is one.
    pub mail: Option<Rc<mailbox::Shared>>,
    /// The simulated network of the line services.
    pub bad_network: BadNetwork,
    /// The certificates of the listeners for TLS, if there are any.
    pub certificates: Option<Certificates>,
    /// The way to the service manager, if there is one.
    pub notifier: Option<Notifier>,
}

impl Shared {
    /// The shared state for web services. The network of line services is good.
    pub fn new(http: http::Shared, log: Log) -> Self {
        let bad_network = BadNetwork::default();
        Self { http, watched: Vec::new(), log, mail: None, bad_network, certificates: None, notifier: None }
    }
}

/// A message from one connection to another.
#[derive(Debug)]
pub enum Message {
    /// An application has news for its watchers, which they find there.
    News,
    /// The session store has a result for the receiver, which it finds there, or there is an
    /// operation to send to it.
    Session,
    /// The cache may have what the receiver waits for.
    Cache,
    /// An upstream may have room for an exchange that waits. The receiver looks whether it has.
    Room,
    /// From an exchange to its upstream.
    ToUpstream(ExchangeId, ToUpstream),
    /// From an upstream to an exchange: by which connection.
    FromUpstream(Handle, ExchangeId, FromUpstream),
}

/// The result of a job on a helper thread.
pub enum Outcome {
    /// The job of an application.
    App(app::Outcome),
    /// A password was checked.
    Checked(Checked),
    /// A directory was read.
    Listing(io::Result<Arc<Listing>>),
    /// A file was compressed. The cache of files has the result.
    Compressed,
    /// The names in a directory were read.
    Names(io::Result<Arc<Names>>),
    /// A job of the cache has ended. The cache has the results.
    Cache,
    /// The write of a session to disk has ended. The store has the result.
    Session,
    /// A message was written.
    Mail(Written),
    /// A name was looked up. The upstream has the result.
    Addresses,
}

/// Lends the cache, if there is one.
fn with_cache(cx: &mut Cx<'_>, act: impl FnOnce(&Cache, &mut Cx<'_>)) {
    if let Some(cache) = cx.shared.http.cache.take() {
        act(&cache, cx);
        cx.shared.http.cache = Some(cache);
    }
}

// An idle connection has one of these: none may be larger than that of HTTP.
const _: () = assert!(size_of::<Service>() == size_of::<Http>());

impl Protocol for Service {
    type Shared = Shared;
    type Listener = Kind;
    type Message = Message;
    type Outcome = Outcome;
    type Datagrams = NoDatagrams;

    fn open(accepted: &Accepted<'_, Kind>, cx: &mut Context<'_, Self>) -> Option<Self> {
        if accepted.ends.security().is_tls()
            && let Some(certificates) = &mut cx.shared.certificates
        {
            certificates.refresh(cx.time);
        }
        let echoes = match accepted.listener {
            Kind::Http(host) => return Some(Self::Http(Http::open(accepted, host, cx))),
            Kind::Echo => true,
            Kind::Upper => false,
            Kind::Mail => {
                let shared = cx.shared.mail.clone()?;
                return Some(Self::Mail(Box::new(mailbox::Connection::open(accepted, &shared, cx))));
            }
        };
        // These protocols have no way to tell the client that the server is full.
        if accepted.overloaded {
            return None;
        }
        let network = cx.shared.bad_network;
        if network.is_bad() {
            let line = if echoes { Line::Echo(Echo::default()) } else { Line::Upper(Upper) };
            return Some(Self::Impaired(Box::new(Impaired::new(line, network, cx.handle.number()))));
        }
        Some(if echoes { Self::Echo(Echo::default()) } else { Self::Upper(Upper) })
    }

    fn deliver(&mut self, message: Message) {
        match (self, message) {
            (Self::Http(http), Message::FromUpstream(from, id, message)) => http.deliver(from, id, message),
            (Self::Upstream(upstream), Message::ToUpstream(id, message)) => upstream.deliver(id, message),
            (Self::Http(http), Message::Cache) => http.woken(),
            (Self::Upstream(upstream), Message::Cache) => upstream.woken(),
            // The receiver finds what there is; and no other connection is sent the rest.
            _ => {}
        }
    }

    fn undelivered(&mut self, to: Handle, message: Message) {
        if let (Self::Http(http), Message::ToUpstream(id, message)) = (self, message) {
            http.undelivered(to, id, &message);
        }
    }

    fn job_ended(&mut self, job: JobId, result: JobResult<Outcome>) {
        match self {
            Self::Http(http) => http.job_ended(job, result),
            Self::Mail(mail) => mail.job_ended(job, result),
            _ => {}
        }
    }

    fn shared_job_ended(_: JobResult<Outcome>, cx: &mut Context<'_, Self>) {
        // Only the cache has such jobs, and it finds the results itself.
        with_cache(cx, Cache::job_ended);
    }

    fn advance(&mut self, io: &mut Io<'_>, cx: &mut Context<'_, Self>) -> Want {
        let want = match self {
            Self::Http(http) => http.advance(io, cx),
            Self::Echo(echo) => echo.advance(io, cx.time.now, cx.draining),
            Self::Upper(upper) => upper.advance(io, cx.draining),
            Self::Mail(mail) => mail.advance(io, cx),
            Self::SessionStore(client) => client.advance(io, cx),
            Self::Upstream(upstream) => upstream.advance(io, cx),
            Self::HealthCheck(check) => check.advance(io, cx),
            Self::Impaired(impaired) => impaired.advance(io, cx.time.now, cx.draining),
        };
        // The turn may have used it.
        with_cache(cx, Cache::settle);
        want
    }

    fn answers_plain_text(&self) -> bool {
        matches!(self, Self::Http(_))
    }

    fn memory(&self) -> usize {
        match self {
            Self::Http(http) => http.memory(),
            Self::Impaired(impaired) => impaired.memory(),
            Self::Upstream(upstream) => upstream.memory(),
            Self::Mail(mail) => mail.memory(),
            Self::Echo(_) | Self::Upper(_) | Self::SessionStore(_) | Self::HealthCheck(_) => 0,
        }
    }

    fn memory_of(message: &Message) -> usize {
        let (memory, piece) = match message {
            Message::ToUpstream(_, message) => (message.memory(), message.piece()),
            Message::FromUpstream(.., message) => (message.memory(), message.piece()),
            Message::News | Message::Session | Message::Cache | Message::Room => return 0,
        };
        memory + piece.map_or(0, |piece| piece.len())
    }

    fn closed(&mut self, ending: Ending, ends: Ends<'_>, cx: &mut Context<'_, Self>) {
        match self {
            Self::Http(http) => http.closed(ending.unsent, ends, cx),
            Self::SessionStore(client) => client.closed(ending, cx),
            Self::Upstream(upstream) => upstream.closed(&ending, cx),
            Self::HealthCheck(check) => check.closed(&ending, cx),
            Self::Mail(mail) => mail.closed(cx),
            Self::Echo(_) | Self::Upper(_) | Self::Impaired(_) => {}
        }
        with_cache(cx, Cache::settle);
    }

    fn started(cx: &mut Context<'_, Self>) {
        // What is in the directory of the cache is to be known when the first request comes.
        with_cache(cx, Cache::settle);
    }

    fn signal(signal: Signal, cx: &mut Context<'_, Self>) {
        match signal {
            Signal::Terminate | Signal::Interrupt if cx.draining => {
                log::warn!("a second signal: ending now");
                cx.quit();
            }
            Signal::Terminate | Signal::Interrupt => {
                log::info!("shutting down");
                if let Some(notifier) = &mut cx.shared.notifier {
                    notifier.stopping();
                }
                cx.drain(limits::DRAIN_GRACE);
            }
            Signal::Hangup if cx.draining => log::warn!("shutting down: the configuration isn't reloaded"),
            Signal::Hangup => cx.pause(),
            Signal::User1 => {
                if let Some(certificates) = &mut cx.shared.certificates {
                    certificates.reload(cx.time);
                }
                let failed = cx.shared.log.reopen();
                for (name, error) in &failed {
                    log::error!("{name} can't be reopened: {error}");
                }
                if failed.is_empty() {
                    log::info!("the access log was reopened");
                }
            }
            Signal::User2 => {
                let maintenance = &mut cx.shared.http.maintenance;
                *maintenance = !*maintenance;
                let on = *maintenance;
                log::warn!("maintenance is {}", if on { "on: every request gets 503" } else { "off" });
                if let Some(notifier) = &mut cx.shared.notifier {
                    notifier.note(if on { "maintenance: every request gets 503" } else { "" });
                }
            }
        }
    }

    fn source_ready(source: usize, shared: &mut Shared) {
        if let Some(files) = shared.watched.get(source) {
            files.borrow_mut().take_changes();
        }
    }

    fn before_wait(shared: &mut Shared, time: Time, quiet: bool) -> Option<Duration> {
        let log = shared.log.before_wait(time.now, quiet);
        match &mut shared.notifier {
            None => log,
            Some(notifier) => log.into_iter().chain(notifier.before_wait(time.now)).min(),
        }
    }

    fn audit(shared: &Shared, open: &mut dyn Iterator<Item = &Self>) {
        http::audit(
            &shared.http,
            &mut open.filter_map(|service| match service {
                Self::Http(http) => Some(http),
                Self::Echo(_)
                | Self::Upper(_)
                | Self::Mail(_)
                | Self::Impaired(_)
                | Self::SessionStore(_)
                | Self::Upstream(_)
                | Self::HealthCheck(_) => None,
            }),
        );
    }
}
