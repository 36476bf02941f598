//! The bytes of a capture file, read once from its beginning to its end.
//!
//! Only what a caller wants to see is kept, at most [`SNAPLEN`] bytes and a header; the
//! rest is skipped. So no length in a file can make the reader take memory.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read};

use super::SNAPLEN;
use crate::text::io_error::describe;

/// A file that isn't a capture, or is damaged.
#[derive(Debug)]
pub struct CaptureError {
    /// Where the record or block begins that is wrong, in bytes from the beginning of the file.
    pub offset: u64,
    /// What is wrong.
    pub damage: Damage,
}

/// What is wrong with a file.
#[derive(Debug)]
pub enum Damage {
    /// It ends in the middle.
    CutOff,
    /// It can't be true. A sentence without its full stop.
    Malformed(&'static str),
    /// It can't be read.
    Io(io::Error),
}

impl fmt::Display for CaptureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let offset = self.offset;
        match &self.damage {
            Damage::CutOff => write!(f, "the capture is cut off in the record at offset {offset}"),
            Damage::Malformed(why) => write!(f, "{why}, at offset {offset}"),
            Damage::Io(error) => write!(f, "can't read at offset {offset}: {}", describe(error)),
        }
    }
}

impl std::error::Error for CaptureError {}

/// A file that is being read.
pub(super) struct Source<R> {
    input: BufReader<R>,
    /// Where the next byte is.
    offset: u64,
    /// Where the record begins that is being read.
    record: u64,
}

impl<R: Read> Source<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input: BufReader::with_capacity(64 * 1024, input), offset: 0, record: 0 }
    }

    /// Begins the next record. False at the end of the file.
    pub(super) fn begin(&mut self) -> Result<bool, CaptureError> {
        self.record = self.offset;
        loop {
            match self.input.fill_buf() {
                Ok(bytes) => return Ok(!bytes.is_empty()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.io(error)),
            }
        }
    }

    /// Reads as many bytes as an array has.
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], CaptureError> {
        let mut bytes = [0; N];
        self.input.read_exact(&mut bytes).map_err(|error| self.io(error))?;
        self.offset += N as u64;
        Ok(bytes)
    }

    /// Reads `count` bytes into `buffer`, and nothing else. The caller has checked that they may be that many.
    pub(super) fn fill(&mut self, count: usize, buffer: &mut Vec<u8>) -> Result<(), CaptureError> {
        buffer.resize(count, 0);
        self.input.read_exact(buffer).map_err(|error| self.io(error))?;
        self.offset += count as u64;
        Ok(())
    }

    /// Skips bytes.
    pub(super) fn skip(&mut self, count: u64) -> Result<(), CaptureError> {
        let skipped =
            io::copy(&mut self.input.by_ref().take(count), &mut io::sink()).map_err(|error| self.io(error))?;
        self.offset += skipped;
        if skipped < count { Err(self.error(Damage::CutOff)) } else { Ok(()) }
    }

    /// Checks the length of a captured packet.
    pub(super) fn check_length(&self, length: u32) -> Result<usize, CaptureError> {
        match length {
            ..=SNAPLEN => Ok(length as usize),
            _ => Err(self.malformed("a packet has more than 262,144 bytes")),
        }
    }

    /// The error for a record that can't be true.
    pub(super) fn malformed(&self, why: &'static str) -> CaptureError {
        self.error(Damage::Malformed(why))
    }

    fn error(&self, damage: Damage) -> CaptureError {
        CaptureError { offset: self.record, damage }
    }

    fn io(&self, error: io::Error) -> CaptureError {
        self.error(match error.kind() {
            io::ErrorKind::UnexpectedEof => Damage::CutOff,
            _ => Damage::Io(error),
        })
    }
}

/// The order of the bytes of a number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ByteOrder {
    Little,
    Big,
}

impl ByteOrder {
    pub(super) fn u16(self, bytes: [u8; 2]) -> u16 {
        match self {
            Self::Little => u16::from_le_bytes(bytes),
            Self::Big => u16::from_be_bytes(bytes),
        }
    }

    pub(super) fn u32(self, bytes: [u8; 4]) -> u32 {
        match self {
            Self::Little => u32::from_le_bytes(bytes),
            Self::Big => u32::from_be_bytes(bytes),
        }
    }

    pub(super) fn i64(self, bytes: [u8; 8]) -> i64 {
        match self {
            Self::Little => i64::from_le_bytes(bytes),
            Self::Big => i64::from_be_bytes(bytes),
        }
    }

    /// The numbers of 32 bits in `bytes`.
    pub(super) fn words<const N: usize>(self, bytes: &[u8]) -> [u32; N] {
        let (words, _) = bytes.as_chunks::<4>();
        std::array::from_fn(|at| words.get(at).map_or(0, |word| self.u32(*word)))
    }
}
