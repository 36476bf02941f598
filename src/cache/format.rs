//! The files of entries, version 1.
//!
//! ```text
//! aa/<name>        magic · checksum of all that follows up to the body · lengths of URI, names,
//!                  key, head and body · checksum of the body · freshness · URI · names · key ·
//!                  head · body, if it is small
//! aa/<name>.body   the body, if it is large
//! ```
//!
//! Numbers are little-endian. A file must have exactly the length that its numbers say, so one
//! that is cut, or has something behind its end, is damaged. What is in it is used only after
//! the checksums were compared. They begin with a number of the directory, so a file of another
//! directory is damaged as well.

use super::checksum::Checksum;
use crate::http::caching::Freshness;

/// The largest body that is in the same file as its head, and in memory while it grows: with it
/// an entry is one file, and most responses are smaller.
pub const INLINE: u64 = 64 * 1024;
/// The most that is before the body: two heads and a target, with much to spare.
pub(super) const MOST_META: usize = 256 * 1024;

const MAGIC: [u8; 8] = *b"miodhc1\n";
/// The length of what comes first in each file.
pub(super) const FIXED: usize = 8 + 8 + 4 * 4 + 8 + 8 + Freshness::BYTES;
/// Where what the checksum covers begins.
const COVERED: usize = 16;

/// What a file has before the body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Meta<'a> {
    pub(super) uri: &'a [u8],
    /// The names in Vary, and the key of the request among them.
    pub(super) names: &'a [u8],
    pub(super) key: &'a [u8],
    /// The stored head.
    pub(super) head: &'a [u8],
    pub(super) freshness: Freshness,
    /// The body's length in bytes, and its checksum.
    pub(super) body: u64,
    pub(super) body_checksum: u64,
}

impl<'a> Meta<'a> {
    /// Its length in a file, in bytes.
    pub(super) fn length(&self) -> usize {
        FIXED + self.uri.len() + self.names.len() + self.key.len() + self.head.len()
    }

    /// Writes it.
    pub(super) fn write(&self, seed: u64) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.length());
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&[0; 8]);
        for part in [self.uri, self.names, self.key, self.head] {
            // All are shorter than MOST_META.
            out.extend_from_slice(&(part.len() as u32).to_le_bytes());
        }
        out.extend_from_slice(&self.body.to_le_bytes());
        out.extend_from_slice(&self.body_checksum.to_le_bytes());
        out.extend_from_slice(&self.freshness.to_bytes());
        for part in [self.uri, self.names, self.key, self.head] {
            out.extend_from_slice(part);
        }
        seal(&mut out, seed);
        out
    }

    /// Reads it at the beginning of `bytes`; none if it is damaged. Numbers may be anything.
    pub(super) fn read(seed: u64, bytes: &'a [u8]) -> Option<Self> {
        let bytes = bytes.get(..meta_length(bytes)?)?;
        if Checksum::of(seed, &bytes[COVERED..]) != long(bytes, 8)? {
            return None;
        }
        let freshness = Freshness::from_bytes(bytes.get(FIXED - Freshness::BYTES..)?.first_chunk()?)?;
        let mut rest = &bytes[FIXED..];
        let mut part = |number: usize| {
            let (part, after) = rest.split_at_checked(short(bytes, COVERED + 4 * number)? as usize)?;
            rest = after;
            Some(part)
        };
        let [uri, names, key, head] = [part(0)?, part(1)?, part(2)?, part(3)?];
        let [body, body_checksum] = [long(bytes, 32)?, long(bytes, 40)?];
        Some(Self { uri, names, key, head, freshness, body, body_checksum })
    }

    /// The length of the file that begins with it.
    pub(super) fn file_length(&self) -> u64 {
        self.length() as u64 + if self.is_inline() { self.body } else { 0 }
    }

    /// Whether the body is in the same file.
    pub(super) fn is_inline(&self) -> bool {
        self.body <= INLINE
    }
}

/// Completes what was [written](Meta::write) before the body was known.
pub(super) fn complete(bytes: &mut [u8], seed: u64, body: u64, body_checksum: u64) {
    if let Some(place) = bytes.get_mut(32..48) {
        place[..8].copy_from_slice(&body.to_le_bytes());
        place[8..].copy_from_slice(&body_checksum.to_le_bytes());
        seal(bytes, seed);
    }
}

fn seal(bytes: &mut [u8], seed: u64) {
    let checksum = Checksum::of(seed, &bytes[COVERED..]);
    bytes[8..COVERED].copy_from_slice(&checksum.to_le_bytes());
}

/// The length of the part before the body in a file that begins with these bytes; none if it is
/// none of ours.
pub(super) fn meta_length(bytes: &[u8]) -> Option<usize> {
    if !bytes.starts_with(&MAGIC) || bytes.len() < FIXED {
        return None;
    }
    let lengths = (0..4).map(|number| short(bytes, COVERED + 4 * number));
    let length = lengths.sum::<Option<u64>>()? + FIXED as u64;
    (length <= MOST_META as u64).then_some(length as usize)
}

fn long(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn short(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta() -> Meta<'static> {
        let mut bytes = [7; Freshness::BYTES];
        bytes[20..24].copy_from_slice(&60_u32.to_le_bytes());
        bytes[32] = 9;
        Meta {
            uri: b"http://a/b",
            names: b"accept",
            key: b"+text/html\0",
            head: b"HTTP/1.1 200 OK\r\n\r\n",
            freshness: Freshness::from_bytes(&bytes).unwrap(),
            body: 5,
            body_checksum: 77,
        }
    }

    #[test]
    fn what_is_written_is_read_and_any_damage_is_found() {
        let mut bytes = meta().write(3);
        assert_eq!((bytes.len(), meta_length(&bytes)), (meta().length(), Some(meta().length())));
        assert_eq!(Meta::read(3, &bytes), Some(meta()));
        assert_eq!(Meta::read(4, &bytes), None, "another directory");
        for length in 0..bytes.len() {
            assert_eq!(Meta::read(3, &bytes[..length]), None, "cut at {length}");
        }
        for at in 0..bytes.len() {
            for bit in 0..8 {
                bytes[at] ^= 1 << bit;
                assert_eq!(Meta::read(3, &bytes), None, "bit {bit} of byte {at}");
                bytes[at] ^= 1 << bit;
            }
        }
        let mut other = Meta { body: 0, body_checksum: 0, ..meta() }.write(3);
        complete(&mut other, 3, 5, 77);
        assert_eq!(other, bytes);
        bytes.extend_from_slice(b"12345");
        assert_eq!(Meta::read(3, &bytes), Some(meta()));
        assert_eq!(meta().file_length(), bytes.len() as u64);
    }

    #[test]
    fn a_body_is_inline_up_to_a_limit() {
        let at = Meta { body: INLINE, ..meta() };
        assert!(at.is_inline() && at.file_length() == at.length() as u64 + INLINE);
        let above = Meta { body: INLINE + 1, ..meta() };
        assert!(!above.is_inline() && above.file_length() == above.length() as u64);
    }

    #[test]
    fn lengths_have_a_limit() {
        let mut bytes = meta().write(3);
        bytes[16..20].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!((meta_length(&bytes), Meta::read(3, &bytes)), (None, None));
        let most = vec![b'a'; MOST_META - FIXED];
        let mut meta = Meta { uri: &most, names: b"", key: b"", head: b"", ..meta() };
        assert_eq!(Meta::read(3, &meta.write(3)), Some(meta));
        meta.head = b"a";
        assert_eq!(Meta::read(3, &meta.write(3)), None);
    }
}
