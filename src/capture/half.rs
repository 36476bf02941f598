//! One direction of a TCP connection: its segments in order (RFC 9293 §3.4).
//!
//! Sequence numbers wrap at 2^32, so each is made an offset from the first byte: the one that is nearest
//! to the next byte that is expected. Pieces that come too early wait. Which segment was sent again, and
//! which only came in another order, can't be known; like Wireshark we decide by the time since the
//! newest segment.

use std::collections::BTreeMap;

use super::Timestamp;

/// What a waiting piece costs beside its data, in bytes.
const OVERHEAD: usize = 128;
/// A segment that comes so long after the one behind it was sent again, if the round-trip time isn't known: 3 ms.
const LATE: i64 = 3_000_000;

/// Data of a segment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Piece {
    /// The bytes that were captured.
    pub(super) data: Vec<u8>,
    /// How many there were.
    pub(super) length: u64,
    pub(super) time: Timestamp,
    /// How much of the other direction had arrived when it was sent: an offset there.
    pub(super) after: u64,
}

/// What a segment is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// The next data, or later data.
    New,
    /// Some of it was there before, or it fills a gap late.
    Again,
    /// It fills a gap.
    Reordered,
    /// It asks whether the peer is still there.
    KeepAlive,
}

/// A direction of a connection.
#[derive(Default)]
pub(super) struct Half {
    /// The sequence number of its first byte.
    origin: Option<u32>,
    /// The offset of the next byte that is passed on.
    pub(super) next: u64,
    /// The end of all data that was captured.
    pub(super) seen: u64,
    /// The offset up to which the peer has all.
    pub(super) acknowledged: u64,
    /// The offset of the end.
    pub(super) fin: Option<u64>,
    /// The end was passed on.
    pub(super) ended: bool,
    /// What can't be passed on yet, by offset. No two overlap.
    pieces: BTreeMap<u64, Piece>,
    /// Bytes of memory of the pieces.
    pub(super) held: usize,
}

impl Half {
    /// Its first byte has this number, unless that is known.
    pub(super) fn begin(&mut self, sequence: u32) {
        self.origin.get_or_insert(sequence);
    }

    /// The offset of a sequence number. None before the first byte.
    pub(super) fn offset(&self, sequence: u32) -> Option<u64> {
        let next = self.origin?.wrapping_add(self.next as u32);
        let distance = sequence.wrapping_sub(next).cast_signed();
        self.next.checked_add_signed(distance.into())
    }

    /// What a segment is whose data has this offset and length.
    pub(super) fn kind(&self, offset: u64, length: u64, time: Timestamp, round_trip: Option<i64>) -> Kind {
        let end = offset.saturating_add(length);
        if length == 1 && end == self.seen && self.fin.is_none() {
            return Kind::KeepAlive;
        }
        let overlaps = offset < self.next
            || self.pieces.range(..end).next_back().is_some_and(|(&at, piece)| at + piece.length > offset);
        let behind = self.pieces.range(end..).next();
        let is_late = behind.is_none_or(|(_, piece)| time.since(piece.time) > round_trip.unwrap_or(LATE));
        match () {
            () if offset >= self.seen => Kind::New,
            () if overlaps || is_late => Kind::Again,
            () => Kind::Reordered,
        }
    }

    /// Whether data at this offset is the next, and nothing else waits.
    pub(super) fn is_next(&self, offset: u64) -> bool {
        offset == self.next && self.pieces.is_empty()
    }

    /// Keeps the parts of a segment that aren't there yet.
    pub(super) fn keep(&mut self, offset: u64, data: &[u8], length: u64, time: Timestamp, after: u64) {
        let end = offset.saturating_add(length);
        let mut at = offset.max(self.next);
        while at < end {
            // The piece that covers this place, or the next one.
            let covers = self.pieces.range(..=at).next_back().map(|(&from, piece)| from + piece.length);
            if let Some(until) = covers.filter(|&until| until > at) {
                at = until;
                continue;
            }
            let until = self.pieces.range(at..).next().map_or(end, |(&from, _)| from.min(end));
            let part = |offset_in: u64| usize::try_from(offset_in - offset).unwrap_or(usize::MAX).min(data.len());
            let data = data[part(at)..part(until)].to_vec();
            self.held += data.len() + OVERHEAD;
            self.pieces.insert(at, Piece { data, length: until - at, time, after });
            at = until;
        }
    }

    /// The offset of the first piece that waits, when it was captured, and what it was sent after.
    pub(super) fn first(&self) -> Option<(u64, Timestamp, u64)> {
        self.pieces.first_key_value().map(|(&at, piece)| (at, piece.time, piece.after))
    }

    /// Takes the first piece, if it is the next.
    pub(super) fn take(&mut self) -> Option<Piece> {
        let first = self.pieces.first_entry().filter(|first| *first.key() <= self.next)?;
        let piece = first.remove();
        self.held = self.held.saturating_sub(piece.data.len() + OVERHEAD);
        self.next += piece.length;
        Some(piece)
    }

    /// Whether its end can be passed on.
    pub(super) fn is_at_end(&self) -> bool {
        !self.ended && self.fin.is_some_and(|fin| fin <= self.next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::tests::shuffle;
    use crate::random::SplitMix64;

    fn drain(half: &mut Half) -> Vec<u8> {
        std::iter::from_fn(|| half.take()).flat_map(|piece| piece.data).collect()
    }

    #[test]
    fn pieces_in_any_order_around_the_wrap_give_the_same() {
        let content: Vec<u8> = (0..=255).collect();
        let mut random = SplitMix64::new(1);
        for first in [0, 5, u32::MAX - 100, u32::MAX, 1 << 31] {
            for _ in 0..100 {
                let mut half = Half::default();
                half.begin(first);
                let mut pieces: Vec<_> = (0..40)
                    .map(|_| {
                        let at = random.below(256);
                        (at, (at + 1 + random.below(30)).min(256))
                    })
                    .chain((0..8).map(|part| (part * 32, part * 32 + 32)))
                    .collect();
                shuffle(&mut pieces, &mut random);
                let mut out = Vec::new();
                for (from, to) in pieces {
                    let offset = half.offset(first.wrapping_add(from as u32)).unwrap();
                    assert_eq!(offset, from as u64);
                    half.keep(offset, &content[from..to], (to - from) as u64, Timestamp(0), 0);
                    out.extend(drain(&mut half));
                }
                assert_eq!(out, content);
                assert_eq!(half.held, 0);
            }
        }
    }

    #[test]
    fn offsets_go_on_beyond_the_wrap() {
        let mut half = Half::default();
        half.begin(u32::MAX - 9);
        half.next = (1 << 32) * 5 + 3;
        assert_eq!(half.offset((u32::MAX - 9).wrapping_add(3)), Some(half.next));
        assert_eq!(half.offset((u32::MAX - 9).wrapping_add(1)), Some(half.next - 2));
        half.next = 3;
        assert_eq!(half.offset(u32::MAX - 10), None, "before the first byte");
        assert_eq!(Half::default().offset(1), None);
    }

    #[test]
    fn segments_are_classified() {
        let mut half = Half::default();
        half.begin(0);
        let at = |ms: i64| Timestamp(ms * 1_000_000);
        assert_eq!(half.kind(0, 10, at(0), None), Kind::New);
        half.keep(0, &[0; 10], 10, at(0), 0);
        half.seen = 10;
        drain(&mut half);
        assert_eq!(half.kind(20, 10, at(0), None), Kind::New, "after a gap");
        half.keep(20, &[0; 10], 10, at(0), 0);
        half.seen = 30;
        for (offset, length, ms, round_trip, expected) in [
            (10, 10, 1, None, Kind::Reordered),
            (10, 10, 4, None, Kind::Again),
            (10, 10, 4, Some(5_000_000), Kind::Reordered),
            (10, 11, 1, None, Kind::Again),
            (0, 10, 1, None, Kind::Again),
            (25, 5, 1, None, Kind::Again),
            (25, 6, 1, None, Kind::Again),
            (30, 6, 1, None, Kind::New),
            (29, 1, 1, None, Kind::KeepAlive),
        ] {
            assert_eq!(half.kind(offset, length, at(ms), round_trip), expected, "{offset} {length} {ms}");
        }
    }

    #[test]
    fn what_was_not_captured_keeps_its_place() {
        let mut half = Half::default();
        half.begin(0);
        half.keep(0, b"abc", 10, Timestamp(0), 0);
        half.keep(5, b"fghijk", 6, Timestamp(0), 0);
        let piece = half.take().unwrap();
        assert_eq!((&piece.data[..], piece.length), (&b"abc"[..], 10));
        assert_eq!(half.take().unwrap().data, b"k");
        assert_eq!((half.next, half.held), (11, 0));
    }
}
