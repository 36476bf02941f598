//! Where packets go: to files, or to a ring in memory. And what a file begins and ends with.

use std::net::IpAddr;

use crate::capture::Timestamp;
use crate::capture::pcapng::{self, Resolution};
use crate::reactor::Handle;

/// The unit of the times.
const UNIT: Resolution = Resolution::Micro;

/// A packet: its headers and its payload.
pub(super) struct Packet<'a> {
    /// Its connection.
    pub(super) of: Handle,
    pub(super) time: Timestamp,
    pub(super) header: &'a [u8],
    pub(super) payload: &'a [u8],
    pub(super) comment: Option<&'a str>,
}

/// Where packets go.
pub(super) trait Store {
    /// A packet.
    fn packet(&mut self, packet: &Packet<'_>);

    /// Secrets of a connection. The packets that follow may need them.
    fn secrets(&mut self, of: Handle, lines: &[u8]);

    /// A name of an address.
    fn name(&mut self, address: IpAddr, name: &str);

    /// So many packets were dropped before they came here.
    fn lose(&mut self, packets: u64);

    /// No more packets of a connection will come.
    fn closed(&mut self, of: Handle);

    /// What the ring has is to be written.
    fn ask(&mut self);

    /// A batch is over.
    fn flush(&mut self);

    /// It is all over.
    fn finish(&mut self);
}

/// The packets that there were.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    /// The last time.
    pub(super) time: Timestamp,
    pub(super) received: u64,
    /// Of these, those that aren't written.
    pub(super) dropped: u64,
}

/// The beginning of a file.
pub(super) fn begin(out: &mut Vec<u8>, names: &[(IpAddr, String)]) {
    pcapng::section(out, concat!("miod ", env!("CARGO_PKG_VERSION")));
    pcapng::interface(out, "miod", UNIT);
    pcapng::names(out, names.iter().map(|(address, name)| (*address, name.as_str())));
}

/// A name that is known only after the beginning.
pub(super) fn name(out: &mut Vec<u8>, address: IpAddr, name: &str) {
    pcapng::names(out, [(address, name)]);
}

/// The block of a packet.
pub(super) fn packet(out: &mut Vec<u8>, packet: &Packet<'_>) {
    pcapng::packet(out, UNIT, packet.time, &[packet.header, packet.payload], packet.comment);
}

/// The end of a file.
pub(super) fn end(out: &mut Vec<u8>, counts: Counts) {
    pcapng::statistics(out, UNIT, counts.time, counts.received, counts.dropped);
}
