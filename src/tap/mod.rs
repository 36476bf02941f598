//! `--tap FILE`: writes what this process does on the wire as a capture, without root and without a
//! capture device.
//!
//! ```text
//!            the loop                     │                the tap's thread
//!                                         │
//! Reactor ──TapEvent──► Recorder ──Batch──┼──► Conversations ──packets──► Store ──► FILE, FILE.1, ...
//!                       copies bytes      │    segments, checksums        blocks; sizes; the ring
//! ```
//!
//! The loop only copies: an event is a record and its bytes, at the end of a batch. Everything else is
//! done on a thread of its own. Between them waits a limited number of bytes
//! ([`TAP_QUEUE`](crate::limits::TAP_QUEUE)). When the disk is slower than the sockets, the bytes of whole
//! batches are dropped and counted, and their connections go on behind a gap, as in a capture that has lost
//! packets. So the loop never waits.
//!
//! Addresses, bytes, their order and their times are real. Packets are not: see
//! [`segments`](crate::capture::segments).
//!
//! The thread begins with the first batch, because a server changes its user and enters its sandbox
//! before that, and neither could be done for two threads.

mod batch;
mod conversations;
mod files;
mod handover;
mod recorder;
mod ring;
mod settings;
mod store;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::reactor::{Protocol, Reactor, TapOptions};
use crate::text::io_error::describe;
use files::Files;
use recorder::Recorder;
use ring::Ring;
use store::Store;

pub use settings::TapSettings;

/// A tap whose file is open.
pub struct Tap {
    store: Box<dyn Store + Send>,
    settings: TapSettings,
}

/// The file of a tap can't be written.
#[derive(Debug)]
pub struct TapError {
    /// The file.
    pub path: PathBuf,
    /// The error of the system.
    pub error: io::Error,
}

impl fmt::Display for TapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} can't be written: {}", self.path.display(), describe(&self.error))
    }
}

impl Tap {
    /// Opens the file, if there is to be a tap. An existing one is replaced.
    ///
    /// # Errors
    /// If the file can't be made, or something else than a file is there.
    pub fn open(settings: &TapSettings) -> Result<Option<Self>, TapError> {
        let Some(path) = &settings.file else { return Ok(None) };
        let opened = || -> io::Result<Box<dyn Store + Send>> {
            Ok(match settings.ring {
                Some(size) => Box::new(Ring::open(path, settings.dumps(), size)?),
                None => Box::new(Files::open(path, settings.files(), settings.size)?),
            })
        };
        let store = opened().map_err(|error| TapError { path: path.clone(), error })?;
        Ok(Some(Self { store, settings: settings.clone() }))
    }

    /// Has everything on the sockets of a reactor written.
    ///
    /// # Errors
    /// If the system refuses the signal by which a ring is asked for.
    pub fn attach<P: Protocol>(self, reactor: &mut Reactor<P>) -> io::Result<()> {
        let has_ring = self.settings.ring.is_some();
        let options = TapOptions { plain: self.settings.plain, secrets: self.settings.kept(), by_signal: has_ring };
        reactor.tap(Box::new(Recorder::new(self.store, has_ring)), options)
    }
}
