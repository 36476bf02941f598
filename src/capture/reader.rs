//! Reads captures: pcap (draft-ietf-opsawg-pcap) and pcapng, of which the first four bytes tell.
//!
//! ```text
//! pcap   = header, *record        record = seconds, fraction, captured, original, bytes
//! ```
//!
//! A pcap file is in the byte order of the machine that wrote it, with times in microseconds or
//! nanoseconds: so there are four magic numbers, and two more for a format with longer records that
//! some systems wrote ("modified"). [`sections`](super::sections) reads pcapng.

use std::io::Read;

use super::pcapng::block;
use super::sections::Sections;
use super::source::{ByteOrder, CaptureError, Source};
use super::{NANOS, Timestamp};

/// The magic number of a pcap file with times in microseconds.
const MICRO: u32 = 0xa1b2_c3d4;
/// With times in nanoseconds.
const NANO: u32 = 0xa1b2_3c4d;
/// With longer headers of records.
const MODIFIED: u32 = 0xa1b2_cd34;

/// A packet as it was captured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Captured<'a> {
    /// When.
    pub time: Timestamp,
    /// What it begins with: a link type.
    pub link: u32,
    /// Its bytes, perhaps without the last ones.
    pub data: &'a [u8],
}

/// A capture that is being read.
pub struct Reader<R> {
    source: Source<R>,
    format: Format,
    /// The bytes of the last packet.
    data: Vec<u8>,
}

enum Format {
    Pcap(Pcap),
    Pcapng(Sections),
}

impl<R: Read> Reader<R> {
    /// Begins to read.
    ///
    /// # Errors
    /// If it isn't a capture.
    pub fn new(input: R) -> Result<Self, CaptureError> {
        let mut source = Source::new(input);
        if !source.begin()? {
            return Err(source.malformed("the file is empty"));
        }
        let magic = source.array::<4>()?;
        let format = if u32::from_le_bytes(magic) == block::SECTION {
            Format::Pcapng(Sections::begin(&mut source)?)
        } else {
            Format::Pcap(Pcap::begin(magic, &mut source)?)
        };
        Ok(Self { source, format, data: Vec::new() })
    }

    /// The next packet; none at the end of the file.
    ///
    /// # Errors
    /// If the file is damaged, or can't be read further.
    pub fn next_packet(&mut self) -> Result<Option<Captured<'_>>, CaptureError> {
        let found = match &mut self.format {
            Format::Pcap(pcap) => pcap.next(&mut self.source, &mut self.data)?,
            Format::Pcapng(sections) => sections.next(&mut self.source, &mut self.data)?,
        };
        Ok(found.map(|(time, link)| Captured { time, link, data: &self.data }))
    }
}

/// The format pcap.
struct Pcap {
    order: ByteOrder,
    /// Nanoseconds in the unit of times.
    unit: i64,
    /// Bytes of a record's header beyond the usual ones.
    further: u64,
    link: u32,
}

impl Pcap {
    /// Reads the header after its magic number.
    fn begin<R: Read>(magic: [u8; 4], source: &mut Source<R>) -> Result<Self, CaptureError> {
        let find = |order: ByteOrder| match order.u32(magic) {
            MICRO => Some((order, 1_000, 0)),
            NANO => Some((order, 1, 0)),
            MODIFIED => Some((order, 1_000, 8)),
            _ => None,
        };
        let Some((order, unit, further)) = find(ByteOrder::Little).or_else(|| find(ByteOrder::Big)) else {
            return Err(source.malformed(match magic {
                [0x1f, 0x8b, ..] => "the file is compressed; decompress it with gunzip",
                [0x28, 0xb5, 0x2f, 0xfd] => "the file is compressed; decompress it with unzstd",
                _ => "the file is neither pcap nor pcapng",
            }));
        };
        let header = source.array::<20>()?;
        // The upper bits tell about check sequences after the packets.
        let [_, _, _, _, link] = order.words(&header);
        Ok(Self { order, unit, further, link: link & 0xffff })
    }

    fn next<R: Read>(
        &self,
        source: &mut Source<R>,
        data: &mut Vec<u8>,
    ) -> Result<Option<(Timestamp, u32)>, CaptureError> {
        if !source.begin()? {
            return Ok(None);
        }
        let header = source.array::<16>()?;
        let [seconds, fraction, captured, _] = self.order.words(&header);
        let length = source.check_length(captured)?;
        source.skip(self.further)?;
        source.fill(length, data)?;
        let time = i64::from(seconds) * NANOS + i64::from(fraction) * self.unit;
        Ok(Some((Timestamp(time), self.link)))
    }
}
