//! The client tools: `miod connect` and `miod get`.
//!
//! They run on the same reactor as the servers, with one connection at a time. Each is
//! a pure state machine that reads and writes octets, and lays what is to be printed
//! on a [`Paper`](console::Paper); the paper goes out between two turns of the loop
//! ([`console`]), where writing may block: a client has nobody else to serve, and
//! whoever doesn't read its output doesn't want more of it either.
//!
//! What blocks otherwise is done elsewhere: standard input is read by the helper
//! thread, and so are names looked up while the loop runs. The first name is looked up
//! before it runs, by a thread that is waited for as long as the tool's time-outs allow.
//! Signals keep their usual effect, so that Ctrl-C ends a tool at once even while it is
//! held up by its reader; all that came before the last wait is printed then.

pub mod connect;
pub mod console;
pub mod get;

use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use crate::http::Status;
use crate::http::client::Fault;
use crate::http::uri::UrlError;
use crate::reactor::within;
use crate::text::reason::reason;

/// What is waited for while a name is looked up.
const NO_ADDRESS: &str = "no address is found";

/// Why a tool couldn't do what it was asked for.
#[derive(Debug)]
pub enum Failure {
    /// No address is known for this name.
    Name(String),
    /// No connection to this address, and why.
    Connect(SocketAddr, io::Error),
    /// Nothing moved for so long, or all took so long: what was waited for.
    TimedOut(&'static str, Duration),
    /// The connection broke.
    Lost(io::Error),
    /// The request can't be written.
    Request(Fault),
    /// Somebody answers, but not as HTTP wants it, or not to the end.
    Answer(Fault),
    /// The answer is an error, and that was to be one.
    Status(Status),
    /// A redirect leads to what can't be asked for.
    Redirect(String, UrlError),
    /// There are more redirects in a row than anybody means.
    Redirects(usize),
    /// The server doesn't send the rest of a file alone; with what it answered.
    Resume(Status),
    /// This file can't be written.
    Output(PathBuf, io::Error),
    /// What is to be sent can't be read.
    Input(PathBuf, io::Error),
    /// The system failed us.
    Io(io::Error),
}

impl Failure {
    /// Nobody could be connected to at the last address; without an error because it took
    /// too long.
    fn connect(peer: Option<SocketAddr>, error: Option<io::Error>) -> Self {
        let error = error.unwrap_or(io::ErrorKind::TimedOut.into());
        match peer {
            Some(peer) => Self::Connect(peer, error),
            None => Self::Io(error),
        }
    }

    /// The same, of what was asked for.
    pub fn at(self, place: impl fmt::Display) -> Failed {
        Failed { place: place.to_string(), failure: self }
    }
}

/// A failure and what was asked for.
#[derive(Debug)]
pub struct Failed {
    /// A URL, or host and port.
    pub place: String,
    /// What went wrong there.
    pub failure: Failure,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.failure {
            // They tell a place of their own.
            Failure::Name(_) | Failure::Connect(..) | Failure::Output(..) | Failure::Input(..) => {}
            _ => write!(f, "{}: ", self.place)?,
        }
        self.failure.fmt(f)
    }
}

impl std::error::Error for Failed {}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(host) => write!(f, "no address is known for {host}"),
            Self::Connect(address, error) => write!(f, "can't connect to {address}: {}", reason(error)),
            Self::TimedOut(what, limit) => write!(f, "timed out: {what} within {limit:?}"),
            Self::Lost(error) => write!(f, "the connection broke: {}", reason(error)),
            Self::Request(fault) => write!(f, "can't ask that: {fault}"),
            Self::Answer(fault @ (Fault::Unanswered | Fault::Truncated)) => write!(f, "{fault}"),
            Self::Answer(fault) => write!(f, "the answer is malformed: {fault}"),
            Self::Status(status) => write!(f, "the answer is {} {}", status.0, status.reason()),
            Self::Redirect(to, error) => write!(f, "can't follow the redirect to {to}: {error}"),
            Self::Redirects(most) => write!(f, "there are more than {most} redirects in a row"),
            Self::Resume(status) => {
                write!(f, "can't resume: the server answers {} {}, not the missing part", status.0, status.reason())
            }
            Self::Output(path, error) => write!(f, "can't write {}: {}", path.display(), reason(error)),
            Self::Input(path, error) => write!(f, "can't read {}: {}", path.display(), reason(error)),
            Self::Io(error) => write!(f, "can't go on: {}", reason(error)),
        }
    }
}

/// The addresses of a host, in the order in which they are to be tried. Blocks.
///
/// # Errors
/// If none is known.
pub fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, Failure> {
    let unknown = || Failure::Name(host.to_owned());
    let mut addresses: Vec<_> = (host, port).to_socket_addrs().map_err(|_| unknown())?.collect();
    // Some systems list an address once for each kind of socket.
    addresses.dedup();
    if addresses.is_empty() { Err(unknown()) } else { Ok(addresses) }
}

/// The same, before the loop runs; none if it takes longer than `limit`.
///
/// # Errors
/// If no address is known, or there is no thread to look it up.
fn resolve_within(host: &str, port: u16, limit: Duration) -> Result<Option<Vec<SocketAddr>>, Failure> {
    let host = host.to_owned();
    within(limit, move || resolve(&host, port))?.transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_its_own_name() {
        let found = resolve_within("127.0.0.1", 80, Duration::from_secs(20)).unwrap();
        assert_eq!(found, Some(vec![([127, 0, 0, 1], 80).into()]));
    }
}
