//! The output queue of a command: state machines append to it, and the loop prints it between
//! two turns.
//!
//! ```text
//! state machine ──line, out──► OutputQueue ──between turns──► standard output, or a file
//!               ──note───────►             ─────────────────► standard error
//! ```
//!
//! A state machine makes no system call, so it never prints itself. Printing may block:
//! standard output is the purpose of the command, so a slow reader slows it down, as with
//! any other tool. A reader that is gone ends the command quietly.
//!
//! The queue is emptied after each turn, so it holds no more than one turn can add.
//!
//! [`program`] is the reactor of commands that have datagram sockets only.

pub mod program;
mod streams;
#[cfg(test)]
pub(crate) mod testing;

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;

use crate::reactor::Closer;

pub use streams::read_stdin;

/// Where the output goes.
#[derive(Debug, Default)]
pub enum Destination {
    /// Nowhere; a test reads the queue.
    #[default]
    None,
    /// Standard output.
    Stdout,
    /// A file, which is created or emptied when the first output comes.
    File(PathBuf),
    /// The end of an existing file.
    Append(PathBuf),
}

/// The output can't be written.
#[derive(Debug)]
pub struct WriteError {
    /// The file, or `standard output`.
    pub path: PathBuf,
    /// The error of the system.
    pub error: io::Error,
}

/// The output that isn't printed yet.
#[derive(Default)]
pub struct OutputQueue {
    out: Vec<u8>,
    err: Vec<u8>,
    /// A file is created even if it stays empty.
    begun: bool,
    destination: Destination,
    file: Option<File>,
    /// Ends the loop when nothing more can be printed.
    closer: Option<Closer>,
    failure: Option<WriteError>,
    /// The reader of standard output is gone.
    broken: bool,
}

impl OutputQueue {
    /// A queue to `destination`. If that can't be written, `closer` ends the loop, if one runs.
    pub fn new(destination: Destination, closer: impl Into<Option<Closer>>) -> Self {
        Self { destination, closer: closer.into(), ..Self::default() }
    }

    /// Adds bytes.
    pub fn write(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// Adds a line.
    pub fn line(&mut self, line: impl fmt::Display) {
        // Writing to a vector can't fail.
        let _ = writeln!(self.out, "{line}");
    }

    /// Adds a line for standard error.
    pub fn note(&mut self, line: impl fmt::Display) {
        let _ = writeln!(self.err, "{line}");
    }

    /// Bytes for standard error, to be appended to.
    pub fn errors(&mut self) -> &mut Vec<u8> {
        &mut self.err
    }

    /// Has the file created even if the output stays empty.
    pub fn begin(&mut self) {
        self.begun = true;
    }

    /// Prints everything. Blocks until the readers have taken it.
    pub fn flush(&mut self) {
        if !self.err.is_empty() {
            // If only the reader of standard error is gone, the command goes on.
            let _ = streams::write_all(&mut io::stderr(), &self.err);
            self.err.clear();
        }
        if (self.begun || !self.out.is_empty()) && !self.broken && self.failure.is_none() {
            let out = std::mem::take(&mut self.out);
            if let Err(error) = self.write_out(&out) {
                self.fail(error);
            }
            self.out = out;
        }
        self.out.clear();
    }

    fn write_out(&mut self, bytes: &[u8]) -> io::Result<()> {
        let (path, append) = match &self.destination {
            Destination::None => return Ok(()),
            Destination::Stdout => return streams::write_all(&mut io::stdout(), bytes),
            Destination::File(path) => (path, false),
            Destination::Append(path) => (path, true),
        };
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                let mut options = OpenOptions::new();
                let options = if append { options.append(true) } else { options.write(true).truncate(true) };
                self.file.insert(options.create(true).open(path)?)
            }
        };
        file.write_all(bytes)
    }

    fn fail(&mut self, error: io::Error) {
        let path = match &self.destination {
            Destination::None | Destination::Stdout if error.kind() == io::ErrorKind::BrokenPipe => {
                self.broken = true;
                None
            }
            Destination::None | Destination::Stdout => Some("standard output".into()),
            Destination::File(path) | Destination::Append(path) => Some(path.clone()),
        };
        self.failure = path.map(|path| WriteError { path, error });
        if let Some(closer) = &self.closer {
            closer.close();
        }
    }

    /// Whether the reader of standard output is gone. That ends a command, and isn't an error.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// The error of the output, if it can't be written.
    pub fn failure(&mut self) -> Option<WriteError> {
        self.failure.take()
    }
}

/// What tests look at.
#[cfg(test)]
impl OutputQueue {
    pub(crate) fn out(&self) -> &[u8] {
        &self.out
    }

    pub(crate) fn err(&self) -> &[u8] {
        &self.err
    }

    pub(crate) fn take(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.out)).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn path(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("miod-output-{name}-{}", std::process::id()))
    }

    fn queue(destination: Destination) -> OutputQueue {
        OutputQueue { destination, ..OutputQueue::default() }
    }

    #[test]
    fn a_file_is_created_with_the_first_output_and_appended_to_if_asked() {
        let path = path("file");
        let mut output = queue(Destination::File(path.clone()));
        output.flush();
        assert!(!path.exists(), "there was no output yet");
        output.line("one");
        output.flush();
        output.write(b"two");
        output.flush();
        assert_eq!(fs::read(&path).unwrap(), b"one\ntwo");
        let mut output = queue(Destination::Append(path.clone()));
        output.write(b", three");
        output.flush();
        assert_eq!(fs::read(&path).unwrap(), b"one\ntwo, three");
        let mut output = queue(Destination::File(path.clone()));
        output.begin();
        output.flush();
        assert_eq!(fs::read(&path).unwrap(), b"", "an empty output empties the file");
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn output_that_cannot_be_written_is_a_failure_and_dropped() {
        let mut output = queue(Destination::File("/none/such".into()));
        output.line("one");
        output.flush();
        assert!(output.out().is_empty() && !output.is_broken());
        let failure = output.failure().unwrap();
        assert_eq!((failure.path, failure.error.kind()), ("/none/such".into(), io::ErrorKind::NotFound));
    }
}
