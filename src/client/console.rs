//! Standard input and output of a client tool, and the file that may stand for the
//! latter: the only place here that makes system calls.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;

use rustix::event::{PollFd, PollFlags, poll};

use super::Failure;
use crate::reactor::Closer;

/// Most octets of standard input that one job reads: a few lines of a person, and a
/// fair piece of a file.
const PIECE: usize = 16 * 1024;

/// What is to be printed: what a machine leaves behind.
///
/// It is printed after each turn of the loop, so it holds no more than one turn of one
/// connection can bring.
#[derive(Debug, Default)]
pub struct Paper {
    /// For standard output, or the file in its place.
    pub out: Vec<u8>,
    /// For standard error.
    pub err: Vec<u8>,
    /// There is to be an output, if perhaps an empty one.
    pub begun: bool,
}

impl Paper {
    /// A line for standard error.
    pub fn note(&mut self, line: impl std::fmt::Display) {
        // Writing to a vector can't fail.
        let _ = writeln!(self.err, "{line}");
    }
}

/// Where the output goes.
#[derive(Debug)]
pub enum Target {
    /// Standard output.
    Stdout,
    /// A file that is made, or emptied, when there is something for it.
    File(PathBuf),
    /// The end of a file that is there.
    Append(PathBuf),
}

/// Prints papers.
pub struct Console {
    target: Target,
    file: Option<File>,
    closer: Closer,
    /// Why there can be no more output.
    failure: Option<Failure>,
    /// Nobody reads the output any longer.
    broken: bool,
}

impl Console {
    /// One that has `closer` end the loop when it can't print.
    pub fn new(target: Target, closer: Closer) -> Self {
        Self { target, file: None, closer, failure: None, broken: false }
    }

    /// Prints all, however long that takes.
    pub fn print(&mut self, paper: &mut Paper) {
        if !paper.err.is_empty() {
            // Nobody reads it: no reason to end.
            let _ = write_all(&mut io::stderr(), &paper.err);
            paper.err.clear();
        }
        if (paper.begun || !paper.out.is_empty()) && !self.broken && self.failure.is_none() {
            match self.write(&paper.out) {
                Ok(()) => {}
                Err(error) => {
                    match &self.target {
                        Target::Stdout if error.kind() == io::ErrorKind::BrokenPipe => self.broken = true,
                        Target::Stdout => self.failure = Some(Failure::Output("standard output".into(), error)),
                        Target::File(path) | Target::Append(path) => {
                            self.failure = Some(Failure::Output(path.clone(), error));
                        }
                    }
                    self.closer.close();
                }
            }
        }
        paper.out.clear();
    }

    fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        let (path, append) = match &self.target {
            Target::Stdout => return write_all(&mut io::stdout(), octets),
            Target::File(path) => (path, false),
            Target::Append(path) => (path, true),
        };
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                let mut options = OpenOptions::new();
                let options = if append { options.append(true) } else { options.write(true).truncate(true) };
                self.file.insert(options.create(true).open(path)?)
            }
        };
        file.write_all(octets)
    }

    /// Whether nobody reads the output any longer. That ends a tool, and is no failure.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// Why there could be no more output, if that was so.
    pub fn failure(&mut self) -> Option<Failure> {
        self.failure.take()
    }
}

/// Writes all to a stream, which whoever shares it may have made non-blocking.
fn write_all(stream: &mut (impl Write + AsFd), mut octets: &[u8]) -> io::Result<()> {
    while !octets.is_empty() {
        match stream.write(octets) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => octets = &octets[count..],
            Err(error) => retry(&error, stream, PollFlags::OUT).ok_or(error)?,
        }
    }
    stream.flush()
}

/// Reads a piece of standard input; an empty one at its end. Blocks, and so is a job for
/// the helper thread: files can't be polled, and to make a terminal non-blocking would
/// make it so for everybody who has it.
pub fn read_stdin() -> io::Result<Vec<u8>> {
    let mut stdin = io::stdin().lock();
    let mut piece = vec![0; PIECE];
    loop {
        match stdin.read(&mut piece) {
            Ok(count) => {
                piece.truncate(count);
                return Ok(piece);
            }
            Err(error) => retry(&error, &stdin, PollFlags::IN).ok_or(error)?,
        }
    }
}

/// Whether it is worth another try; waits until it is.
fn retry(error: &io::Error, stream: &impl AsFd, readiness: PollFlags) -> Option<()> {
    match error.kind() {
        io::ErrorKind::Interrupted => Some(()),
        io::ErrorKind::WouldBlock => {
            // A failure to wait shows in the next try.
            let _ = poll(&mut [PollFd::new(stream, readiness)], None);
            Some(())
        }
        _ => None,
    }
}
