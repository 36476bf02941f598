//! What is told to a tap: all that comes and goes on the sockets, and when.
//!
//! ```text
//! socket ──read, write, end──► Observer ──TapEvent, Time──► Tap (another layer)
//! protocol ──note, incident──►
//! ```
//!
//! A reactor has at most one. Without one each system call costs a branch, and nothing else. With one
//! the clock is read for each event, because a pass may last longer than what is to be seen; and files
//! are read and sent, instead of sent by the kernel alone, because their bytes are to be seen, too.
//!
//! The bytes are those on the wire: under TLS, ciphertext. [`TapOptions::plain`] asks for the plain
//! text instead. The secrets of a session are told before the bytes that they are for, as far as that
//! is possible: those of a client can be known only when the server's bytes have come. So a tap puts
//! secrets before the bytes that it was told of last.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::clock::{Clock, Time};
use super::signals::Signals;
use super::slots::Handle;
use super::tls::KeptSecrets;

/// Sees what comes and goes. It must not block.
pub trait Tap {
    /// Something happened on this connection at this time.
    fn event(&mut self, of: Handle, time: Time, event: TapEvent<'_>);

    /// Called before each wait for events, between turns; `quiet` if the last wait brought none. What it
    /// returns bounds the wait.
    fn before_wait(&mut self, time: Time, quiet: bool) -> Option<Duration>;
}

/// What a tap is told.
#[derive(Debug)]
pub enum TapEvent<'a> {
    /// A connection was accepted.
    Accepted(TapEnds),
    /// A connection was asked for.
    Dialled(TapEnds),
    /// The peer has accepted the connection that was asked for.
    Connected,
    /// These bytes were read.
    Received(&'a [u8]),
    /// The system took these bytes.
    Sent(&'a [u8]),
    /// The end of the peer's bytes was read.
    PeerEnded,
    /// Our bytes have ended; the peer may still send.
    Ended,
    /// The connection is over, in this way, and perhaps for this reason.
    Closed(TapEnd, Option<&'a io::Error>),
    /// A datagram was received or sent.
    Datagram {
        /// Who sent it.
        from: SocketAddr,
        /// For whom it is.
        to: SocketAddr,
        /// Its content.
        bytes: &'a [u8],
    },
    /// Lines of a key log: secrets of the connection's TLS.
    Secrets(&'a [u8]),
    /// A protocol has something to say about bytes of the connection.
    Note(NoteOn, fmt::Arguments<'a>),
    /// Something went wrong that an operator may want to look at.
    Incident,
    /// The operator wants to look at what was seen.
    Asked,
}

/// The two ends of a connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TapEnds {
    /// The local address; none on a unix-domain socket.
    pub local: Option<SocketAddr>,
    /// The peer's address; none on a unix-domain socket.
    pub peer: Option<SocketAddr>,
    /// The path of a unix-domain socket.
    pub path: Option<PathBuf>,
}

/// How a connection ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TapEnd {
    /// By an end of our bytes.
    Orderly,
    /// By a reset of ours.
    Reset,
    /// By a reset of the peer's, or it refused the connection.
    PeerReset,
    /// The peer can't be reached; nothing came of it.
    Lost,
}

/// Which bytes a note is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NoteOn {
    /// Those that were received last.
    Received,
    /// Those that are sent next.
    Sending,
    /// Those that were sent last.
    Sent,
}

/// How a reactor is tapped.
#[derive(Clone, Debug, Default)]
pub struct TapOptions {
    /// Under TLS, the plain text is told instead of the ciphertext.
    pub plain: bool,
    /// Where the TLS of this process leaves its secrets, if they are to be told.
    pub secrets: Option<Arc<KeptSecrets>>,
    /// SIGWINCH asks for what was seen.
    pub by_signal: bool,
}

/// A tap as the reactor has it.
pub(super) struct Observer {
    tap: Box<dyn Tap>,
    options: TapOptions,
    clock: Clock,
    /// The connection whose turn it is.
    of: Handle,
    /// A system call in this turn has said that the peer has reset it.
    peer_reset: bool,
    /// The signal by which the tap is asked.
    asks: Option<Signals>,
    /// A piece of a file.
    pub(super) piece: Vec<u8>,
}

/// How a connection ended, and the error that it had.
pub(super) type Ended = (TapEnd, Option<io::Error>);

/// The tap as it is lent; there may be none.
pub(super) type LentTap = Option<Box<Observer>>;

impl Observer {
    pub(super) fn new(tap: Box<dyn Tap>, options: TapOptions, asks: Option<Signals>) -> Self {
        let clock = Clock::start();
        Self { tap, options, clock, of: Handle::NONE, peer_reset: false, asks, piece: Vec::new() }
    }

    /// Tells something about a connection.
    #[cold]
    pub(super) fn tell(&mut self, of: Handle, event: TapEvent<'_>) {
        self.tap.event(of, self.clock.read(), event);
    }

    /// Tells something about the connection whose turn it is.
    #[cold]
    pub(super) fn here(&mut self, event: TapEvent<'_>) {
        self.tell(self.of, event);
    }

    /// The turn of a connection begins.
    #[cold]
    pub(super) fn turn(&mut self, of: Handle) {
        (self.of, self.peer_reset) = (of, false);
    }

    /// Whether bytes under TLS are told in plain text.
    pub(super) fn is_plain(&self) -> bool {
        self.options.plain
    }

    /// What came of an attempt to read. Those of `bytes` that were read are the last ones.
    #[cold]
    pub(super) fn read(&mut self, attempt: &io::Result<usize>, bytes: &[u8], ended: bool) {
        match attempt {
            Ok(count) => {
                let read = bytes.len().checked_sub(*count).and_then(|at| bytes.get(at..)).unwrap_or_default();
                if !read.is_empty() {
                    self.here(TapEvent::Received(read));
                }
                if ended {
                    self.here(TapEvent::PeerEnded);
                }
            }
            Err(error) => self.failed(error),
        }
    }

    /// What came of an attempt to send these bytes.
    #[cold]
    pub(super) fn sent(&mut self, attempt: &io::Result<usize>, bytes: &[u8]) {
        match attempt {
            Ok(count) => {
                let sent = bytes.get(..*count).unwrap_or(bytes);
                if !sent.is_empty() {
                    self.here(TapEvent::Sent(sent));
                }
            }
            Err(error) => self.failed(error),
        }
    }

    fn failed(&mut self, error: &io::Error) {
        self.peer_reset |= is_reset(error);
    }

    /// Tells the secrets that the TLS of this turn has left.
    #[cold]
    pub(super) fn secrets(&mut self) {
        if let Some(secrets) = self.options.secrets.as_ref().map(|kept| kept.take())
            && !secrets.is_empty()
        {
            self.here(TapEvent::Secrets(&secrets));
        }
    }

    /// How a connection ends whose turn this was.
    pub(super) fn end(&self, reset: bool, error: Option<&io::Error>, connected: bool) -> TapEnd {
        match error {
            _ if self.peer_reset => TapEnd::PeerReset,
            Some(error) if is_reset(error) => TapEnd::PeerReset,
            _ if !connected => TapEnd::Lost,
            _ if reset => TapEnd::Reset,
            _ => TapEnd::Orderly,
        }
    }

    /// The same, and why; the protocol gets the error itself.
    #[cold]
    pub(super) fn ending(&self, reset: bool, error: Option<&io::Error>, connected: bool) -> Ended {
        let why = error.map(|error| io::Error::new(error.kind(), error.to_string()));
        (self.end(reset, error, connected), why)
    }

    /// A signal asks.
    #[cold]
    pub(super) fn asked(&mut self) {
        if let Some(signals) = &mut self.asks {
            signals.pending();
            self.tell(Handle::NONE, TapEvent::Asked);
        }
    }

    /// See [`Tap::before_wait`].
    #[cold]
    pub(super) fn before_wait(&mut self, time: Time, quiet: bool) -> Option<Duration> {
        self.tap.before_wait(time, quiet)
    }
}

/// Whether an error says that the peer has sent a reset.
fn is_reset(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionReset | BrokenPipe | ConnectionRefused)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// Keeps what it is told.
    #[derive(Clone, Default)]
    struct Seen(Arc<Mutex<Vec<String>>>);

    impl Tap for Seen {
        fn event(&mut self, of: Handle, _: Time, event: TapEvent<'_>) {
            self.0.lock().unwrap().push(format!("{} {event:?}", of.number()));
        }

        fn before_wait(&mut self, _: Time, _: bool) -> Option<Duration> {
            None
        }
    }

    fn observer(options: TapOptions) -> (Observer, Seen) {
        let seen = Seen::default();
        let mut observer = Observer::new(Box::new(seen.clone()), options, None);
        observer.turn(Handle::for_test(7));
        (observer, seen)
    }

    #[test]
    fn what_a_system_call_did_is_told_and_nothing_else() {
        let (mut observer, seen) = observer(TapOptions::default());
        observer.read(&Ok(2), b"abcd", false);
        observer.read(&Ok(0), b"abcd", false);
        observer.read(&Ok(0), b"", true);
        observer.read(&Ok(9), b"abcd", false);
        observer.sent(&Ok(3), b"abcd");
        observer.sent(&Ok(0), b"abcd");
        observer.sent(&Err(io::ErrorKind::WouldBlock.into()), b"abcd");
        let expected = ["7 Received([99, 100])", "7 PeerEnded", "7 Sent([97, 98, 99])"];
        assert_eq!(*seen.0.lock().unwrap(), expected);
    }

    #[test]
    fn a_reset_of_the_peer_is_remembered_for_the_turn() {
        let error = |kind: io::ErrorKind| io::Error::from(kind);
        let (mut observer, _) = observer(TapOptions::default());
        assert_eq!(observer.end(false, None, true), TapEnd::Orderly);
        assert_eq!(observer.end(true, None, true), TapEnd::Reset);
        assert_eq!(observer.end(true, Some(&error(io::ErrorKind::TimedOut)), false), TapEnd::Lost);
        assert_eq!(observer.end(true, Some(&error(io::ErrorKind::ConnectionRefused)), false), TapEnd::PeerReset);
        observer.sent(&Err(error(io::ErrorKind::BrokenPipe)), b"a");
        assert_eq!(observer.end(false, None, true), TapEnd::PeerReset);
        observer.turn(Handle::for_test(8));
        observer.read(&Err(error(io::ErrorKind::ConnectionReset)), b"", false);
        assert_eq!(observer.end(false, None, true), TapEnd::PeerReset);
        observer.turn(Handle::for_test(9));
        assert_eq!(observer.end(false, None, true), TapEnd::Orderly);
    }

    #[test]
    fn secrets_are_told_once_and_those_that_nobody_takes_are_limited() {
        use rustls::KeyLog as _;
        let kept = Arc::<KeptSecrets>::default();
        let (mut observer, seen) = observer(TapOptions { secrets: Some(Arc::clone(&kept)), ..TapOptions::default() });
        let log = super::super::tls::KeyLog { file: None, kept: Some(kept) };
        log.log("CLIENT_RANDOM", &[1], &[255]);
        observer.secrets();
        observer.secrets();
        let expected = format!("7 {:?}", TapEvent::Secrets(b"CLIENT_RANDOM 01 ff\n"));
        assert_eq!(*seen.0.lock().unwrap(), [expected]);
        for _ in 0..10_000 {
            log.log("CLIENT_RANDOM", &[1], &[255]);
        }
        assert!(log.kept.unwrap().take().len() <= 64 * 1024);
    }
}
