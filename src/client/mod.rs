//! The client tools: `miod connect`, `get`, `mail`, `ping` and `heartbeat send`.
//!
//! They run on the same reactor as the servers, each with a protocol type of its own. A
//! tool is a pure state machine that reads and writes bytes and appends what is to be
//! printed to an [`OutputQueue`].
//!
//! Blocking work is done elsewhere: the helper thread reads standard input, and resolves
//! names while the loop runs. The first name is resolved before the loop runs, by a thread;
//! the tool waits for it as long as its timeouts allow. `connect`, `get` and `mail` leave the
//! signals as they are, so Ctrl-C ends them at once, even while their output blocks;
//! everything before the last wait is printed by then.

pub mod connect;
pub mod datagrams;
pub mod get;
pub mod heartbeat;
pub mod mail;
mod opening;
pub mod ping;
mod progress;
mod schedule;
mod steps;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::console::{OutputQueue, WriteError};
use crate::http::Status;
use crate::http::client::HttpError;
use crate::http::uri::UrlError;
use crate::names::{self, UnknownHost};
use crate::reactor::{KeyLogFile, Protocol, Reactor, TlsClient, TlsConnector, TlsFailure, within};
use crate::smtp::client::{Failure, Step};
use crate::tap::{Tap, TapError, TapSettings};
use crate::text::io_error::describe;
use crate::trust::{NAMELESS, Trust};

/// What times out while a name is resolved.
const NO_ADDRESS: &str = "the name isn't resolved";

/// What times out with `--max-time`.
const NOT_DONE: &str = "it isn't finished";

/// The name of standard input in messages.
const STDIN: &str = "standard input";

/// A peer on the command line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target {
    /// A name or an address.
    pub host: String,
    /// The port there.
    pub port: u16,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, port {}", self.host, self.port)
    }
}

/// Why a tool failed.
#[derive(Debug)]
pub enum ClientError {
    /// The name has no address.
    Name(UnknownHost),
    /// No connection to this address.
    Connect(SocketAddr, io::Error),
    /// Datagrams can't be sent to this address.
    Send(SocketAddr, io::Error),
    /// What timed out, and the limit.
    TimedOut(&'static str, Duration),
    /// Fewer replies than lines, over UDP.
    Unanswered {
        /// Lines of the input.
        lines: u64,
        /// Replies to them.
        replies: u64,
    },
    /// The connection broke.
    Lost(io::Error),
    /// TLS failed.
    Tls(TlsFailure),
    /// The trusted authorities can't be used.
    Authorities(String),
    /// Settings that don't fit together; a sentence about them.
    Setting(String),
    /// The request can't be written.
    Request(HttpError),
    /// The response is malformed or incomplete.
    Response(HttpError),
    /// The response is an error, and `--fail` is given.
    Status(Status),
    /// A redirect to a URL that can't be requested.
    Redirect(String, UrlError),
    /// More redirects in a row than this limit.
    Redirects(usize),
    /// The server doesn't send the missing part of a file; the status of its response.
    Resume(Status),
    /// A mail server sent no reply to this step within the limit.
    NoReply(Step, Duration),
    /// The connection to a mail server broke before the reply to this step.
    Broken(Step, io::Error),
    /// A mail server didn't accept the message.
    Mail(Failure),
    /// It accepted the message for some recipients only: how many were refused, of how many.
    Partial(usize, usize),
    /// This file can't be written.
    Output(PathBuf, io::Error),
    /// This file can't be read.
    Input(PathBuf, io::Error),
    /// The system refused something else.
    Io(io::Error),
}

impl ClientError {
    /// No connection to the last address. Without an error it timed out.
    fn connect(peer: Option<SocketAddr>, error: Option<io::Error>) -> Self {
        let error = error.unwrap_or(io::ErrorKind::TimedOut.into());
        match peer {
            Some(peer) => Self::Connect(peer, error),
            None => Self::Io(error),
        }
    }

    /// This error with its target.
    pub fn at(self, target: impl fmt::Display) -> ToolError {
        ToolError { target: target.to_string(), error: self }
    }
}

/// An error with the target that was requested.
#[derive(Debug)]
pub struct ToolError {
    /// A URL, or host and port.
    pub target: String,
    /// What went wrong.
    pub error: ClientError,
}

impl fmt::Display for ToolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.error {
            // These messages contain their own address or file.
            ClientError::Name(_)
            | ClientError::Connect(..)
            | ClientError::Send(..)
            | ClientError::Output(..)
            | ClientError::Input(..) => {}
            _ => write!(f, "{}: ", self.target)?,
        }
        self.error.fmt(f)
    }
}

impl std::error::Error for ToolError {}

impl From<io::Error> for ClientError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<UnknownHost> for ClientError {
    fn from(error: UnknownHost) -> Self {
        Self::Name(error)
    }
}

impl From<TapError> for ClientError {
    fn from(error: TapError) -> Self {
        Self::Output(error.path, error.error)
    }
}

impl From<WriteError> for ClientError {
    fn from(error: WriteError) -> Self {
        Self::Output(error.path, error.error)
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(error) => error.fmt(f),
            Self::Connect(address, error) => write!(f, "can't connect to {address}: {}", describe(error)),
            Self::Send(address, error) => write!(f, "can't send to {address}: {}", describe(error)),
            Self::TimedOut(what, limit) => write!(f, "timed out: {what} within {limit:?}"),
            Self::Unanswered { lines, replies } => {
                write!(f, "not every line got a reply: {lines} sent, {replies} answered")
            }
            Self::Tls(TlsFailure::Untrusted(why)) => write!(
                f,
                "the server's certificate isn't trusted: {why}; --cacert FILE trusts an authority, -k trusts anybody"
            ),
            Self::Tls(failure) => write!(f, "the TLS handshake failed: {failure}"),
            Self::Authorities(why) | Self::Setting(why) => f.write_str(why),
            Self::Lost(error) => write!(f, "the connection broke: {}", describe(error)),
            Self::Request(fault) => write!(f, "can't send the request: {fault}"),
            Self::Response(fault @ (HttpError::NoResponse | HttpError::Truncated)) => write!(f, "{fault}"),
            Self::Response(fault) => write!(f, "the response is malformed: {fault}"),
            Self::Status(status) => write!(f, "the response is {} {}", status.0, status.reason()),
            Self::Redirect(to, error) => write!(f, "can't follow the redirect to {to}: {error}"),
            Self::Redirects(most) => write!(f, "more than {most} redirects in a row"),
            Self::Resume(status) => {
                write!(f, "can't resume: the server sends {} {}, not the missing part", status.0, status.reason())
            }
            Self::NoReply(step, limit) => write!(f, "timed out: no reply to {step} within {limit:?}"),
            Self::Broken(step, error) => {
                write!(f, "the connection broke before the server replied to {step}: {}", describe(error))
            }
            Self::Mail(failure) => failure.fmt(f),
            Self::Partial(refused, all) => write!(f, "{refused} of {all} recipients are refused"),
            Self::Output(path, error) => write!(f, "can't write {}: {}", path.display(), describe(error)),
            Self::Input(path, error) => write!(f, "can't read {}: {}", path.display(), describe(error)),
            Self::Io(error) => write!(f, "can't continue: {}", describe(error)),
        }
    }
}

/// Prints the last output of a tool. Its result is `outcome`, unless the output can't be
/// written or its reader is gone.
fn conclude(output: &mut OutputQueue, outcome: Result<(), ClientError>) -> Result<(), ClientError> {
    output.flush();
    match output.failure() {
        Some(error) => Err(error.into()),
        None if output.is_broken() => Ok(()),
        None => outcome,
    }
}

/// Has what is received and sent written, if that is wanted.
///
/// # Errors
/// If the file can't be made.
fn begin_tap<P: Protocol>(settings: &TapSettings, reactor: &mut Reactor<P>) -> Result<(), ClientError> {
    match Tap::open(settings)? {
        Some(tap) => Ok(tap.attach(reactor)?),
        None => Ok(()),
    }
}

/// A connector for TLS that is made when the first server needs it.
struct LazyConnector {
    trust: Trust,
    /// Where the secrets are written.
    key_log: Option<PathBuf>,
    tap: TapSettings,
    /// The protocols that are spoken (ALPN).
    protocols: &'static [&'static str],
    made: Option<TlsConnector>,
}

impl LazyConnector {
    fn new(trust: Trust, key_log: Option<PathBuf>, tap: &TapSettings, protocols: &'static [&'static str]) -> Self {
        Self { trust, key_log, tap: tap.clone(), protocols, made: None }
    }

    /// For a connection to this server.
    ///
    /// # Errors
    /// If no authority can be used, no certificate can be for this name, or the file for the
    /// secrets can't be opened.
    fn to(&mut self, host: &str) -> Result<TlsClient, ClientError> {
        let connector = match self.made.take() {
            Some(connector) => connector,
            None => self.make()?,
        };
        let client = connector.to(host);
        self.made = Some(connector);
        client.ok_or_else(|| ClientError::Authorities(NAMELESS.to_owned()))
    }

    fn make(&self) -> Result<TlsConnector, ClientError> {
        let connector = self.trust.connector(self.protocols).map_err(ClientError::Authorities)?;
        let open = |path: &PathBuf| KeyLogFile::open(path).map_err(|error| ClientError::Output(path.clone(), error));
        let file = self.key_log.as_ref().map(open).transpose()?;
        Ok(connector.with_key_log(self.tap.key_log(file.map(Arc::new))))
    }
}

/// Resolves a name before the loop runs. `None` if it takes longer than `limit`.
///
/// # Errors
/// If there is no address, or no thread to resolve the name.
fn resolve_within(host: &str, port: u16, limit: Duration) -> Result<Option<Vec<SocketAddr>>, ClientError> {
    let host = host.to_owned();
    Ok(within(limit, move || names::resolve(&host, port))?.transpose()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_resolves_to_itself_in_time() {
        let found = resolve_within("127.0.0.1", 80, Duration::from_secs(20)).unwrap();
        assert_eq!(found, Some(vec![([127, 0, 0, 1], 80).into()]));
    }
}
