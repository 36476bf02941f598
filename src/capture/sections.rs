//! Reads captures in the format pcapng: sections with interfaces and packets, each in a block.
//!
//! A section has a byte order of its own. An interface has a link type and a unit of times of its own. A
//! packet names its interface by its number in the section. Blocks that don't matter here are skipped.

use std::io::Read;

use super::pcapng::{BYTE_ORDER, block, option};
use super::source::{ByteOrder, CaptureError, Source};
use super::{NANOS, Timestamp};

/// Most interfaces of a section: a machine has fewer.
const INTERFACES: usize = 4_096;
/// Bytes of a block beside its body: its type, and its length twice.
const AROUND: u64 = 12;

/// An interface of the section.
#[derive(Clone, Copy, Debug)]
struct Interface {
    link: u32,
    /// The most bytes of a packet that are captured; 0 for all.
    snaplen: u32,
    /// The units of its times in a second.
    units: u64,
    /// What is added to its times, in seconds.
    offset: i64,
}

impl Interface {
    /// The time that a number means.
    fn time(&self, number: u64) -> Timestamp {
        let nanos = i128::from(number) * i128::from(NANOS) / i128::from(self.units.max(1));
        let nanos = nanos + i128::from(self.offset) * i128::from(NANOS);
        Timestamp(i64::try_from(nanos).unwrap_or(if nanos < 0 { i64::MIN } else { i64::MAX }))
    }
}

/// The units in a second of `if_tsresol`: a power of ten, or of two if the upper bit is set. Units that
/// are too small for 64 bits are taken for the smallest ones.
fn units(resolution: u8) -> u64 {
    let (base, exponent) = if resolution & 0x80 == 0 { (10_u64, resolution) } else { (2, resolution & 0x7f) };
    base.checked_pow(exponent.into()).unwrap_or(u64::MAX)
}

/// The byte order of a section, by its first number.
fn byte_order(magic: [u8; 4]) -> Option<ByteOrder> {
    [ByteOrder::Little, ByteOrder::Big].into_iter().find(|order| order.u32(magic) == BYTE_ORDER)
}

/// The section that is being read.
pub(super) struct Sections {
    order: ByteOrder,
    interfaces: Vec<Interface>,
    /// The time of the last packet: simple packets have none.
    last: Timestamp,
}

impl Sections {
    /// Reads the header of the first section, after its type.
    pub(super) fn begin<R: Read>(source: &mut Source<R>) -> Result<Self, CaptureError> {
        let mut this = Self { order: ByteOrder::Little, interfaces: Vec::new(), last: Timestamp::default() };
        this.section(source)?;
        Ok(this)
    }

    /// Reads the header of a section, after its type.
    fn section<R: Read>(&mut self, source: &mut Source<R>) -> Result<(), CaptureError> {
        let length = source.array::<4>()?;
        let Some(order) = byte_order(source.array()?) else {
            return Err(source.malformed("a section has no byte order"));
        };
        self.order = order;
        let mut block = Block::begin(order.u32(length), source)?;
        block.left = block.left.saturating_sub(4);
        let version = order.u16(block.take(source)?);
        if version != 1 {
            return Err(source.malformed("a section has an unknown version"));
        }
        self.interfaces.clear();
        block.end(order, source)
    }

    /// The time and link type of the next packet, whose bytes go to `data`; none at the end of the file.
    pub(super) fn next<R: Read>(
        &mut self,
        source: &mut Source<R>,
        data: &mut Vec<u8>,
    ) -> Result<Option<(Timestamp, u32)>, CaptureError> {
        while source.begin()? {
            let kind = source.array::<4>()?;
            // The type of a section is the same in both byte orders.
            if u32::from_le_bytes(kind) == block::SECTION {
                self.section(source)?;
                continue;
            }
            let length = source.array::<4>()?;
            let mut block = Block::begin(self.order.u32(length), source)?;
            let packet = match self.order.u32(kind) {
                block::INTERFACE => {
                    self.interface(&mut block, source)?;
                    None
                }
                kind @ (block::PACKET | block::PACKET_OBSOLETE) => Some(self.packet(kind, &mut block, source, data)?),
                block::PACKET_SIMPLE => Some(self.simple(&mut block, source, data)?),
                _ => None,
            };
            block.end(self.order, source)?;
            if let Some((time, link)) = packet {
                self.last = time;
                return Ok(Some((time, link)));
            }
        }
        Ok(None)
    }

    fn interface<R: Read>(&mut self, block: &mut Block, source: &mut Source<R>) -> Result<(), CaptureError> {
        if self.interfaces.len() == INTERFACES {
            return Err(source.malformed("a section has more than 4,096 interfaces"));
        }
        let [a, b, _, _] = block.take(source)?;
        let snaplen = self.order.u32(block.take(source)?);
        let link = self.order.u16([a, b]).into();
        let mut interface = Interface { link, snaplen, units: 1_000_000, offset: 0 };
        while block.left >= 4 {
            let [a, b, c, d] = block.take(source)?;
            let (kind, length) = (self.order.u16([a, b]), self.order.u16([c, d]));
            match (kind, length) {
                (option::END, _) => break,
                (option::INTERFACE_RESOLUTION, 1) => {
                    let [resolution, _, _, _] = block.take(source)?;
                    interface.units = units(resolution);
                }
                (option::INTERFACE_OFFSET, 8) => interface.offset = self.order.i64(block.take(source)?),
                _ => block.skip(u64::from(length).next_multiple_of(4), source)?,
            }
        }
        self.interfaces.push(interface);
        Ok(())
    }

    fn packet<R: Read>(
        &self,
        kind: u32,
        block: &mut Block,
        source: &mut Source<R>,
        data: &mut Vec<u8>,
    ) -> Result<(Timestamp, u32), CaptureError> {
        let header: [u8; 20] = block.take(source)?;
        let [number, upper, lower, captured, _] = self.order.words(&header);
        let number = match kind {
            // Beside it is the number of dropped packets.
            block::PACKET_OBSOLETE => self.order.u16([header[0], header[1]]).into(),
            _ => number,
        };
        let interface = self.of_number(number as usize, source)?;
        block.fill(captured, source, data)?;
        Ok((interface.time(u64::from(upper) << 32 | u64::from(lower)), interface.link))
    }

    /// A packet without a time, of the first interface.
    fn simple<R: Read>(
        &self,
        block: &mut Block,
        source: &mut Source<R>,
        data: &mut Vec<u8>,
    ) -> Result<(Timestamp, u32), CaptureError> {
        let original = self.order.u32(block.take(source)?);
        let interface = self.of_number(0, source)?;
        let most = if interface.snaplen == 0 { u32::MAX } else { interface.snaplen };
        block.fill(original.min(most), source, data)?;
        Ok((self.last, interface.link))
    }

    fn of_number<R: Read>(&self, number: usize, source: &Source<R>) -> Result<Interface, CaptureError> {
        self.interfaces.get(number).copied().ok_or_else(|| source.malformed("a packet is of an unknown interface"))
    }
}

/// A block that is being read.
struct Block {
    length: u32,
    /// Bytes of its body that are not yet read.
    left: u64,
}

impl Block {
    fn begin<R: Read>(length: u32, source: &Source<R>) -> Result<Self, CaptureError> {
        match u64::from(length).checked_sub(AROUND) {
            Some(left) if length.is_multiple_of(4) => Ok(Self { length, left }),
            _ => Err(source.malformed("a block has an impossible length")),
        }
    }

    fn use_up<R: Read>(&mut self, count: u64, source: &Source<R>) -> Result<(), CaptureError> {
        self.left =
            self.left.checked_sub(count).ok_or_else(|| source.malformed("a block is shorter than what is in it"))?;
        Ok(())
    }

    fn take<const N: usize, R: Read>(&mut self, source: &mut Source<R>) -> Result<[u8; N], CaptureError> {
        self.use_up(N as u64, source)?;
        source.array()
    }

    fn skip<R: Read>(&mut self, count: u64, source: &mut Source<R>) -> Result<(), CaptureError> {
        self.use_up(count, source)?;
        source.skip(count)
    }

    fn fill<R: Read>(&mut self, count: u32, source: &mut Source<R>, data: &mut Vec<u8>) -> Result<(), CaptureError> {
        let length = source.check_length(count)?;
        self.use_up(count.into(), source)?;
        source.fill(length, data)
    }

    /// Skips the rest. The length at the end must be that at the beginning.
    fn end<R: Read>(self, order: ByteOrder, source: &mut Source<R>) -> Result<(), CaptureError> {
        source.skip(self.left)?;
        match order.u32(source.array()?) == self.length {
            true => Ok(()),
            false => Err(source.malformed("a block has two lengths")),
        }
    }
}
