//! Reads a part of a file.

use std::io;
use std::os::fd::AsFd;

use rustix::io::Errno;

/// Appends `length` bytes of a file from `offset` on. It is an error if the file is shorter: it
/// was truncated after its size was read.
pub(super) fn read_range(file: impl AsFd, offset: u64, length: usize, out: &mut Vec<u8>) -> io::Result<()> {
    let start = out.len();
    out.resize(start + length, 0);
    let mut read = 0;
    while read < length {
        match rustix::io::pread(&file, &mut out[start + read..], offset + read as u64) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => read += count,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}
