//! Names of what is stored: keyed hashes of URIs, and of what requests had in the fields of Vary.
//!
//! Clients choose URIs and the values of fields. If they could make two of them have the same
//! hash, one would get the response of the other. So the hashes are keyed with a secret that is
//! made with the directory: SipHash 2-4, 128 bits for a URI in two halves with different keys,
//! 64 bits for a variant, which is only compared with the few others of its URI. An entry of the
//! index needs no URI then, and a file its own name only.
//!
//! The hash must be the same in each process that opens the directory, so it can't be that of
//! std's hash tables, which may change with the compiler.

use std::hash::Hasher;
#[expect(deprecated, reason = "for hash tables; here it is the one that is documented as SipHash 2-4")]
use std::hash::SipHasher;
use std::io;

/// What a URI is found by.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Key(u64, u64);

impl Key {
    /// The key of no URI, for places without an entry.
    pub(super) const NONE: Self = Self(0, 0);

    /// A number of which all bits are equally likely to be set.
    pub(super) fn hash(self) -> u64 {
        self.0
    }

    /// The number of its directory.
    pub(super) fn directory(self) -> u8 {
        (self.0 >> 56) as u8
    }
}

/// What one of the responses of a URI is found by, and the name of its file.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(super) struct Name {
    pub(super) key: Key,
    pub(super) variant: u64,
}

/// How long the text of a name is.
pub(super) const NAME_LENGTH: usize = 48;

impl Name {
    /// Its text: hexadecimal digits.
    pub(super) fn text(self) -> String {
        format!("{:016x}{:016x}{:016x}", self.key.0, self.key.1, self.variant)
    }

    /// The name with this text; none if it is another one.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let [a, b, variant] = words(text)?;
        Some(Self { key: Key(a, b), variant })
    }
}

/// The numbers that are written in sixteen lower-case hexadecimal digits each.
fn words<const N: usize>(text: &[u8]) -> Option<[u64; N]> {
    let fine = text.len() == N * 16 && text.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let mut words = [0; N];
    for (word, digits) in words.iter_mut().zip(text.chunks_exact(16)) {
        *word = u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    fine.then_some(words)
}

/// The secret of a store: the keys of its hashes.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Secret([u64; 4]);

/// How long the text of a secret is.
pub(super) const SECRET_LENGTH: usize = 64;

impl Secret {
    /// A new one.
    ///
    /// # Errors
    /// If the system has no random bytes.
    pub(super) fn new() -> io::Result<Self> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(io::Error::other)?;
        let mut words = [0; 4];
        for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(8)) {
            *word = bytes.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        }
        Ok(Self(words))
    }

    /// Its text: hexadecimal digits.
    pub(super) fn text(&self) -> String {
        self.0.iter().map(|word| format!("{word:016x}")).collect()
    }

    /// The secret with this text.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        words(text).map(Self)
    }

    /// The key of a URI.
    pub(super) fn key(&self, uri: &[u8]) -> Key {
        let Self([a, b, c, d]) = *self;
        Key(sip(a, b, &[uri]), sip(c, d, &[uri]))
    }

    /// The variant of responses with these names in Vary to requests with this key among them
    /// ([`write_key`](crate::http::caching::variant::write_key)).
    pub(super) fn variant(&self, names: &[u8], key: &[u8]) -> u64 {
        // The other order of the keys, so no URI has the hash of a variant.
        let Self([a, b, c, d]) = *self;
        sip(d ^ a, c ^ b, &[names, b"\n", key])
    }

    /// Where checksums begin, so that the files of another directory are foreign here.
    pub(super) fn seed(&self) -> u64 {
        let Self([a, b, c, d]) = *self;
        sip(b ^ c, a ^ d, &[b"checksum"])
    }
}

#[expect(deprecated, reason = "see above")]
fn sip(a: u64, b: u64, parts: &[&[u8]]) -> u64 {
    let mut hasher = SipHasher::new_with_keys(a, b);
    parts.iter().for_each(|part| hasher.write(part));
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_documented_one() {
        // Of the reference implementation: the key is 00..0f, the input 00..0e.
        let input: Vec<u8> = (0..15).collect();
        let (a, b) = (0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908);
        assert_eq!(sip(a, b, &[&input]), 0xa129_ca61_49be_45e5);
        assert_eq!(sip(a, b, &[&input[..4], &[], &input[4..]]), 0xa129_ca61_49be_45e5);
    }

    #[test]
    fn texts_are_read_as_they_are_written() {
        let secret = Secret::new().unwrap();
        assert!(Secret::parse(secret.text().as_bytes()) == Some(secret.clone()));
        assert!(secret != Secret::new().unwrap() && secret.text().len() == SECRET_LENGTH);
        let name = Name { key: secret.key(b"http://a/"), variant: secret.variant(b"accept", b"-") };
        let text = name.text();
        assert_eq!((Name::parse(text.as_bytes()), text.len()), (Some(name), NAME_LENGTH));
        for other in ["", &text[1..], &format!("{text}0"), &text.replace(&text[..1], "x"), &"+".repeat(48)] {
            assert_eq!(Name::parse(other.as_bytes()), None, "{other}");
        }
        assert_eq!(Name::parse("A".repeat(48).as_bytes()), None);
        assert_eq!(&text[..2], format!("{:02x}", name.key.directory()));
    }

    #[test]
    fn each_part_counts() {
        let secret = Secret([1, 2, 3, 4]);
        assert_ne!(secret.key(b"a"), secret.key(b"b"));
        assert_ne!(secret.key(b"a"), Secret([1, 2, 3, 5]).key(b"a"));
        assert_ne!(secret.variant(b"a", b"b"), secret.variant(b"", b"b"));
        assert_ne!(secret.variant(b"a", b"b"), secret.variant(b"a", b""));
        assert_ne!(secret.seed(), Secret([1, 2, 3, 5]).seed());
    }
}
