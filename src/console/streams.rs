//! Blocking reads and writes of the standard streams, which another process may have
//! made non-blocking.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, poll};

/// Most bytes of standard input that one job reads: enough for a file, and little enough for a
/// terminal.
const PIECE: usize = 16 * 1024;

/// Writes everything.
pub(super) fn write_all(stream: &mut (impl Write + AsFd), mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match stream.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => bytes = &bytes[count..],
            Err(error) => wait_to_retry(&error, stream, PollFlags::OUT).ok_or(error)?,
        }
    }
    stream.flush()
}

/// Reads a piece of standard input; it is empty at EOF. The read blocks, so it is a job for
/// a helper thread. Files can't be polled, and a non-blocking terminal would be non-blocking
/// for every process that has it open.
///
/// # Errors
/// The error of the system.
pub fn read_stdin() -> io::Result<Vec<u8>> {
    let mut stdin = io::stdin().lock();
    let mut piece = vec![0; PIECE];
    loop {
        match stdin.read(&mut piece) {
            Ok(count) => {
                piece.truncate(count);
                return Ok(piece);
            }
            Err(error) => wait_to_retry(&error, &stdin, PollFlags::IN).ok_or(error)?,
        }
    }
}

/// Waits until a retry makes sense; none if it never does.
fn wait_to_retry(error: &io::Error, stream: &impl AsFd, readiness: PollFlags) -> Option<()> {
    match error.kind() {
        io::ErrorKind::Interrupted => Some(()),
        io::ErrorKind::WouldBlock => {
            // If the wait fails, so does the retry.
            let _ = poll(&mut [PollFd::new(stream, readiness)], None);
            Some(())
        }
        _ => None,
    }
}
