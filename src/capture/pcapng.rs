//! Writes a capture in the format pcapng (draft-ietf-opsawg-pcapng).
//!
//! ```text
//! file  = section header, interface, *( packet / names / secrets ), [ statistics ]
//! block = type, length, body, padding to four bytes, options, length
//! ```
//!
//! Each function appends one block, little-endian, and can't fail. A file that is cut off after any
//! block is a whole capture.

use std::net::IpAddr;

use super::{LINK_RAW, SNAPLEN, Timestamp};

/// The types of blocks.
pub(super) mod block {
    pub(crate) const SECTION: u32 = 0x0a0d_0d0a;
    pub(crate) const INTERFACE: u32 = 1;
    pub(crate) const PACKET_OBSOLETE: u32 = 2;
    pub(crate) const PACKET_SIMPLE: u32 = 3;
    pub(crate) const NAMES: u32 = 4;
    pub(crate) const STATISTICS: u32 = 5;
    pub(crate) const PACKET: u32 = 6;
    pub(crate) const SECRETS: u32 = 10;
}

/// The types of options.
pub(super) mod option {
    pub(crate) const END: u16 = 0;
    pub(crate) const COMMENT: u16 = 1;
    pub(crate) const SECTION_APPLICATION: u16 = 4;
    pub(crate) const INTERFACE_NAME: u16 = 2;
    pub(crate) const INTERFACE_RESOLUTION: u16 = 9;
    pub(crate) const INTERFACE_OFFSET: u16 = 14;
    pub(crate) const STATISTICS_RECEIVED: u16 = 4;
    pub(crate) const STATISTICS_DROPPED: u16 = 5;
}

/// By this number a reader finds the byte order.
pub(super) const BYTE_ORDER: u32 = 0x1a2b_3c4d;
/// Secrets are in the format of NSS key logs.
const TLS_KEY_LOG: u32 = 0x544c_534b;
/// The longest comment in bytes: an option has a length of 16 bits.
const COMMENT: usize = 0xfff0;
/// The longest name of an address in bytes, as in DNS.
const NAME: usize = 255;

/// The unit of the times of an interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Resolution {
    /// 10^-6 s.
    Micro,
    /// 10^-9 s.
    Nano,
}

impl Resolution {
    const fn exponent(self) -> u8 {
        match self {
            Self::Micro => 6,
            Self::Nano => 9,
        }
    }

    /// A time in this unit. Times before 1970 can't be told.
    const fn units(self, time: Timestamp) -> u64 {
        let nanos = if time.0 < 0 { 0 } else { time.0 as u64 };
        match self {
            Self::Micro => nanos / 1_000,
            Self::Nano => nanos,
        }
    }
}

/// Begins a section, which is a capture of its own. `application` is who writes it.
pub fn section(out: &mut Vec<u8>, application: &str) {
    block(out, block::SECTION, |out| {
        out.extend_from_slice(&BYTE_ORDER.to_le_bytes());
        out.extend_from_slice(&1_u16.to_le_bytes());
        out.extend_from_slice(&0_u16.to_le_bytes());
        // The length of the section isn't told.
        out.extend_from_slice(&u64::MAX.to_le_bytes());
        option(out, option::SECTION_APPLICATION, application.as_bytes());
        option(out, option::END, b"");
    });
}

/// Describes the next interface of the section, whose packets are IP packets.
pub fn interface(out: &mut Vec<u8>, name: &str, resolution: Resolution) {
    block(out, block::INTERFACE, |out| {
        out.extend_from_slice(&LINK_RAW.to_le_bytes());
        out.extend_from_slice(&0_u16.to_le_bytes());
        out.extend_from_slice(&SNAPLEN.to_le_bytes());
        option(out, option::INTERFACE_NAME, name.as_bytes());
        option(out, option::INTERFACE_RESOLUTION, &[resolution.exponent()]);
        option(out, option::END, b"");
    });
}

/// A packet of the first interface. Its bytes may be in several parts, so that no caller has to join a
/// header and its payload. What exceeds [`SNAPLEN`] is cut off, and said to be.
pub fn packet(out: &mut Vec<u8>, resolution: Resolution, time: Timestamp, parts: &[&[u8]], comment: Option<&str>) {
    let original = parts.iter().map(|part| part.len()).sum::<usize>();
    let captured = original.min(SNAPLEN as usize);
    block(out, block::PACKET, |out| {
        out.extend_from_slice(&0_u32.to_le_bytes());
        push_time(out, resolution, time);
        out.extend_from_slice(&(captured as u32).to_le_bytes());
        out.extend_from_slice(&(original.min(u32::MAX as usize) as u32).to_le_bytes());
        let begin = out.len();
        for part in parts {
            let rest = captured - (out.len() - begin);
            out.extend_from_slice(&part[..part.len().min(rest)]);
        }
        pad(out, captured);
        if let Some(comment) = comment {
            option(out, option::COMMENT, fit(comment, COMMENT).as_bytes());
            option(out, option::END, b"");
        }
    });
}

/// Names of addresses. Nothing is written if there are none.
pub fn names<'a>(out: &mut Vec<u8>, names: impl IntoIterator<Item = (IpAddr, &'a str)>) {
    const IPV4: u16 = 1;
    const IPV6: u16 = 2;
    let mut names = names.into_iter().peekable();
    if names.peek().is_none() {
        return;
    }
    block(out, block::NAMES, |out| {
        for (address, name) in names {
            let value = |address: &[u8]| [address, fit(name, NAME).as_bytes(), b"\0"].concat();
            match address {
                IpAddr::V4(address) => option(out, IPV4, &value(&address.octets())),
                IpAddr::V6(address) => option(out, IPV6, &value(&address.octets())),
            }
        }
        option(out, option::END, b"");
    });
}

/// Secrets of TLS connections: whole lines of a key log. They must come before the packets that need
/// them, for readers that read a file once. The length of the block is that of the lines, below 4 GiB.
pub fn secrets(out: &mut Vec<u8>, key_log: &[u8]) {
    block(out, block::SECRETS, |out| {
        out.extend_from_slice(&TLS_KEY_LOG.to_le_bytes());
        out.extend_from_slice(&(key_log.len() as u32).to_le_bytes());
        out.extend_from_slice(key_log);
        pad(out, key_log.len());
    });
}

/// How many packets the first interface received until `time`, and how many of them aren't in the file.
pub fn statistics(out: &mut Vec<u8>, resolution: Resolution, time: Timestamp, received: u64, dropped: u64) {
    block(out, block::STATISTICS, |out| {
        out.extend_from_slice(&0_u32.to_le_bytes());
        push_time(out, resolution, time);
        option(out, option::STATISTICS_RECEIVED, &received.to_le_bytes());
        option(out, option::STATISTICS_DROPPED, &dropped.to_le_bytes());
        option(out, option::END, b"");
    });
}

/// A time: its upper half first, in any byte order.
fn push_time(out: &mut Vec<u8>, resolution: Resolution, time: Timestamp) {
    let units = resolution.units(time);
    out.extend_from_slice(&((units >> 32) as u32).to_le_bytes());
    out.extend_from_slice(&(units as u32).to_le_bytes());
}

/// A block: its type, its length, what `body` appends, and its length again.
fn block(out: &mut Vec<u8>, kind: u32, body: impl FnOnce(&mut Vec<u8>)) {
    let begin = out.len();
    out.extend_from_slice(&kind.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    body(out);
    let length = ((out.len() - begin + 4) as u32).to_le_bytes();
    out[begin + 4..begin + 8].copy_from_slice(&length);
    out.extend_from_slice(&length);
}

/// An option, or a record of names, which looks the same. Its length is without the padding.
fn option(out: &mut Vec<u8>, kind: u16, value: &[u8]) {
    out.extend_from_slice(&kind.to_le_bytes());
    out.extend_from_slice(&(value.len() as u16).to_le_bytes());
    out.extend_from_slice(value);
    pad(out, value.len());
}

/// As much of `text` as fits in `most` bytes.
pub(crate) fn fit(text: &str, most: usize) -> &str {
    let fits = |&end: &usize| text.is_char_boundary(end);
    &text[..(0..=most.min(text.len())).rev().find(fits).unwrap_or(0)]
}

/// The padding after `length` bytes.
fn pad(out: &mut Vec<u8>, length: usize) {
    out.extend_from_slice(&[0; 3][..length.wrapping_neg() % 4]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_have_their_length_twice_and_are_padded() {
        for length in 0..9 {
            let mut out = Vec::new();
            secrets(&mut out, &b"ABCDEFGH"[..length]);
            let total = 20 + length.next_multiple_of(4);
            assert_eq!(out.len(), total);
            assert_eq!(out[4..8], (total as u32).to_le_bytes());
            assert_eq!(out[total - 4..], out[4..8]);
            assert_eq!(out[12..16], (length as u32).to_le_bytes(), "without the padding");
        }
    }

    #[test]
    fn times_are_in_the_unit_of_the_interface() {
        let time = Timestamp(1_700_000_000_123_456_789);
        for (resolution, units) in
            [(Resolution::Micro, 1_700_000_000_123_456_u64), (Resolution::Nano, 1_700_000_000_123_456_789)]
        {
            let mut out = Vec::new();
            packet(&mut out, resolution, time, &[b"E"], None);
            let word = |at: usize| u64::from(u32::from_le_bytes(out[at..at + 4].try_into().unwrap()));
            assert_eq!(word(12) << 32 | word(16), units);
        }
        assert_eq!(Resolution::Nano.units(Timestamp(-1)), 0);
    }

    #[test]
    fn what_is_too_long_is_cut_off() {
        let long = vec![b'E'; SNAPLEN as usize];
        let comment = "\u{e4}".repeat(40_000);
        let mut out = Vec::new();
        packet(&mut out, Resolution::Nano, Timestamp(0), &[b"abc", &long], Some(&comment));
        assert_eq!(out[20..24], SNAPLEN.to_le_bytes());
        assert_eq!(out[24..28], (SNAPLEN + 3).to_le_bytes());
        let option = 28 + SNAPLEN as usize;
        let length = usize::from(u16::from_le_bytes([out[option + 2], out[option + 3]]));
        assert!(std::str::from_utf8(&out[option + 4..option + 4 + length]).is_ok());
        assert_eq!(out.len(), option + 4 + length.next_multiple_of(4) + 4 + 4);
        let mut out = Vec::new();
        names(&mut out, []);
        assert!(out.is_empty());
    }
}
