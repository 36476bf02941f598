//! Packets that could have carried a conversation.
//!
//! A program sees the bytes of its connections, but no packets. For a capture these are invented: a
//! handshake, a segment for each piece of data, the end as it was. Addresses, ports, data and their order
//! are real. Sequence numbers and checksums are right, so that Wireshark follows the streams. There are
//! no segments without data in between, no retransmissions, and the windows are as large as can be.
//!
//! ```text
//! TcpConversation ── open, data, close, reset ──► header + payload, header + payload, ...
//! ```
//!
//! A packet is passed on as two parts, its headers and its payload, so that no data is copied here.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use etherparse::checksum::Sum16BitWords;

use super::{Both, Side};

/// A packet: what receives it gets its headers, and its payload.
pub trait Emit: FnMut(&[u8], &[u8]) {}
impl<F: FnMut(&[u8], &[u8])> Emit for F {}

/// The longest packet in bytes: a length in an IPv4 header has 16 bits.
const LONGEST: usize = 65_535;
const TCP: u8 = 6;
const UDP: u8 = 17;
const TCP_HEADER: usize = 20;
const UDP_HEADER: usize = 8;
/// The hops that a packet may take; it takes none.
const HOPS: u8 = 64;

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const PSH: u8 = 0x08;
const ACK: u8 = 0x10;

/// What both sides offer when they open: the largest segment, and windows that are scaled by 2^14.
const OFFERS: [u8; 8] = [2, 4, 0xff, 0xd7, 1, 3, 3, 14];

/// A TCP connection, and what its next segments look like.
#[derive(Clone, Debug)]
pub struct TcpConversation {
    addresses: Both<SocketAddr>,
    /// The sequence number of the next byte of each side.
    next: Both<u32>,
    /// The sides that have sent their FIN.
    closed: Both<bool>,
}

impl TcpConversation {
    /// A conversation between these addresses. `isn` are the initial sequence numbers.
    pub fn new(client: SocketAddr, server: SocketAddr, isn: Both<u32>) -> Self {
        let (client, server) = same_version(client, server);
        Self { addresses: Both { client, server }, next: isn, closed: Both::default() }
    }

    /// The handshake: SYN, SYN and ACK, ACK.
    pub fn open(&mut self, emit: &mut impl Emit) {
        self.ask(emit);
        self.accept(emit);
    }

    /// The beginning of the handshake: SYN.
    pub fn ask(&mut self, emit: &mut impl Emit) {
        self.send(Side::Client, SYN, &[], emit);
        self.advance(Side::Client, 1);
    }

    /// The rest of the handshake: SYN and ACK, ACK.
    pub fn accept(&mut self, emit: &mut impl Emit) {
        self.send(Side::Server, SYN | ACK, &[], emit);
        self.advance(Side::Server, 1);
        self.send(Side::Client, ACK, &[], emit);
    }

    /// Data that one side sends, in as many segments as it needs.
    pub fn data(&mut self, from: Side, data: &[u8], emit: &mut impl Emit) {
        for piece in data.chunks(LONGEST - ip_header(self.addresses.of(from).ip()) - TCP_HEADER) {
            self.send(from, PSH | ACK, piece, emit);
            self.advance(from, piece.len() as u32);
        }
    }

    /// Data that isn't there: `count` bytes that one side sent are missing.
    pub fn skip(&mut self, from: Side, count: usize) {
        self.advance(from, count as u32);
    }

    /// One side sends no more. The FIN of the second one is acknowledged.
    pub fn close(&mut self, from: Side, emit: &mut impl Emit) {
        self.end(from, emit);
        if *self.closed.of(from.other()) {
            self.acknowledge(from.other(), emit);
        }
    }

    /// One side sends no more: FIN.
    pub fn end(&mut self, from: Side, emit: &mut impl Emit) {
        self.send(from, FIN | ACK, &[], emit);
        self.advance(from, 1);
        *self.closed.of_mut(from) = true;
    }

    /// One side acknowledges all that came: ACK.
    pub fn acknowledge(&self, from: Side, emit: &mut impl Emit) {
        self.send(from, ACK, &[], emit);
    }

    /// Whether a side has sent its FIN.
    pub const fn has_ended(&self, side: Side) -> bool {
        *self.closed.of(side)
    }

    /// One side resets the connection.
    pub fn reset(&mut self, from: Side, emit: &mut impl Emit) {
        self.send(from, RST | ACK, &[], emit);
    }

    fn advance(&mut self, side: Side, count: u32) {
        let next = self.next.of_mut(side);
        *next = next.wrapping_add(count);
    }

    fn send(&self, from: Side, flags: u8, payload: &[u8], emit: &mut impl Emit) {
        let (source, destination) = (*self.addresses.of(from), *self.addresses.of(from.other()));
        let options = if flags & SYN != 0 { &OFFERS[..] } else { &[] };
        let mut header = Header::new();
        let acknowledged = if flags & ACK != 0 { *self.next.of(from.other()) } else { 0 };
        let length = TCP_HEADER + options.len();
        header.ip(source.ip(), destination.ip(), TCP, length + payload.len());
        let begin = header.length;
        header.push(&source.port().to_be_bytes());
        header.push(&destination.port().to_be_bytes());
        header.push(&self.next.of(from).to_be_bytes());
        header.push(&acknowledged.to_be_bytes());
        header.push(&[(length << 2) as u8, flags]);
        header.push(&u16::MAX.to_be_bytes());
        // The checksum, and the urgent pointer.
        header.push(&[0; 4]);
        header.push(options);
        let sum = sum(source.ip(), destination.ip(), TCP, &header.bytes[begin..header.length], payload);
        header.bytes[begin + 16..begin + 18].copy_from_slice(&sum.ones_complement().to_ne_bytes());
        emit(&header.bytes[..header.length], payload);
    }
}

/// A datagram of UDP. What is longer than a datagram can be is cut off.
pub fn datagram(from: SocketAddr, to: SocketAddr, payload: &[u8], emit: &mut impl Emit) {
    let (source, destination) = same_version(from, to);
    let longest = LONGEST - ip_header(source.ip()) - UDP_HEADER;
    let payload = &payload[..payload.len().min(longest)];
    let length = UDP_HEADER + payload.len();
    let mut header = Header::new();
    header.ip(source.ip(), destination.ip(), UDP, length);
    let begin = header.length;
    header.push(&source.port().to_be_bytes());
    header.push(&destination.port().to_be_bytes());
    header.push(&(length as u16).to_be_bytes());
    header.push(&[0; 2]);
    let sum = sum(source.ip(), destination.ip(), UDP, &header.bytes[begin..header.length], payload);
    // Zero would mean that there is none (RFC 768).
    let sum = sum.to_ones_complement_with_no_zero();
    header.bytes[begin + 6..begin + 8].copy_from_slice(&sum.to_ne_bytes());
    emit(&header.bytes[..header.length], payload);
}

/// Two addresses of one version of IP. An IPv4 address in an IPv6 one is taken out of it, if both are.
fn same_version(one: SocketAddr, other: SocketAddr) -> (SocketAddr, SocketAddr) {
    let with = |address: SocketAddr, ip| SocketAddr::new(ip, address.port());
    match (one.ip().to_canonical(), other.ip().to_canonical()) {
        (a, b) if a.is_ipv4() == b.is_ipv4() => (with(one, a), with(other, b)),
        (a, b) => (with(one, as_ipv6(a).into()), with(other, as_ipv6(b).into())),
    }
}

fn as_ipv6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

const fn ip_header(address: IpAddr) -> usize {
    if address.is_ipv4() { 20 } else { 40 }
}

/// Headers that are being written.
struct Header {
    bytes: [u8; 72],
    length: usize,
}

impl Header {
    const fn new() -> Self {
        Self { bytes: [0; 72], length: 0 }
    }

    /// Appends at most 68 bytes in all: IPv6, TCP and its options.
    fn push(&mut self, bytes: &[u8]) {
        self.bytes[self.length..self.length + bytes.len()].copy_from_slice(bytes);
        self.length += bytes.len();
    }

    /// An IP header before `length` bytes.
    fn ip(&mut self, source: IpAddr, destination: IpAddr, protocol: u8, length: usize) {
        match (source, destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                self.push(&[0x45, 0]);
                self.push(&((20 + length) as u16).to_be_bytes());
                // No identification, since it is never fragmented (RFC 6864).
                self.push(&[0, 0, 0x40, 0, HOPS, protocol, 0, 0]);
                self.push(&source.octets());
                self.push(&destination.octets());
                let sum = Sum16BitWords::new().add_slice(&self.bytes[..20]).ones_complement();
                self.bytes[10..12].copy_from_slice(&sum.to_ne_bytes());
            }
            (source, destination) => {
                self.push(&[0x60, 0, 0, 0]);
                self.push(&(length as u16).to_be_bytes());
                self.push(&[protocol, HOPS]);
                self.push(&as_ipv6(source).octets());
                self.push(&as_ipv6(destination).octets());
            }
        }
    }
}

/// The sum of a TCP segment or a datagram, over the pseudo-header too (RFC 9293 §3.1, RFC 8200 §8.1). Its
/// complement is the checksum, in the order of bytes in which the sum was taken: that of this machine.
fn sum(source: IpAddr, destination: IpAddr, protocol: u8, header: &[u8], payload: &[u8]) -> Sum16BitWords {
    let length = (header.len() + payload.len()) as u32;
    let addresses = [source, destination].into_iter().fold(Sum16BitWords::new(), |mut sum, address| match address {
        IpAddr::V4(address) => sum.add_4bytes(address.octets()),
        IpAddr::V6(address) => sum.add_16bytes(address.octets()),
    });
    // A header has an even length.
    addresses.add_2bytes([0, protocol]).add_4bytes(length.to_be_bytes()).add_slice(header).add_slice(payload)
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::{IpSlice, TcpSlice, UdpSlice};

    /// What etherparse finds in a packet whose checksums it finds right.
    fn check(header: &[u8], payload: &[u8]) -> String {
        let packet = [header, payload].concat();
        let ip = IpSlice::from_slice(&packet).expect("a whole packet");
        let body = ip.payload();
        assert_eq!(body.payload.len() + header.len() + payload.len() - body.payload.len(), packet.len());
        if let Some(v4) = ip.ipv4() {
            assert_eq!(v4.header().header_checksum(), v4.header().to_header().calc_header_checksum());
        }
        let octets = |address: IpAddr| match address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        let (source, destination) = (octets(ip.source_addr()), octets(ip.destination_addr()));
        let v4 = |bytes: &[u8]| <[u8; 4]>::try_from(bytes).unwrap();
        let v6 = |bytes: &[u8]| <[u8; 16]>::try_from(bytes).unwrap();
        if let Ok(tcp) = TcpSlice::from_slice(body.payload).and_then(|tcp| match u8::from(body.ip_number) {
            TCP => Ok(tcp),
            _ => TcpSlice::from_slice(&[]),
        }) {
            let sum = if source.len() == 4 {
                tcp.calc_checksum_ipv4(v4(&source), v4(&destination)).unwrap()
            } else {
                tcp.calc_checksum_ipv6(v6(&source), v6(&destination)).unwrap()
            };
            assert_eq!(tcp.checksum(), sum);
            let mut flags = String::new();
            for (is_set, name) in [(tcp.syn(), 'S'), (tcp.fin(), 'F'), (tcp.rst(), 'R'), (tcp.ack(), '.')] {
                flags.extend(is_set.then_some(name));
            }
            let (seq, ack) = (tcp.sequence_number(), tcp.acknowledgment_number());
            return format!("{} {flags} {seq} {ack} {}", tcp.source_port(), tcp.payload().len());
        }
        let udp = UdpSlice::from_slice(body.payload).unwrap();
        let sum = if source.len() == 4 {
            udp.to_header().calc_checksum_ipv4_raw(v4(&source), v4(&destination), udp.payload()).unwrap()
        } else {
            udp.to_header().calc_checksum_ipv6_raw(v6(&source), v6(&destination), udp.payload()).unwrap()
        };
        assert_eq!(udp.checksum(), sum);
        format!("{} {}", udp.source_port(), udp.payload().len())
    }

    fn conversation(client: &str, server: &str) -> Vec<String> {
        let isn = Both { client: u32::MAX - 1, server: 7 };
        let mut tcp = TcpConversation::new(client.parse().unwrap(), server.parse().unwrap(), isn);
        let mut packets = Vec::new();
        let mut emit = |header: &[u8], payload: &[u8]| packets.push(check(header, payload));
        tcp.open(&mut emit);
        tcp.data(Side::Client, b"odd", &mut emit);
        tcp.data(Side::Client, b"", &mut emit);
        tcp.data(Side::Server, &vec![0xff; 70_000], &mut emit);
        tcp.close(Side::Server, &mut emit);
        tcp.close(Side::Client, &mut emit);
        tcp.reset(Side::Server, &mut emit);
        packets
    }

    #[test]
    fn a_connection_has_right_numbers_and_checksums() {
        let max = u32::MAX;
        for (client, server, longest) in [("127.0.0.1:9", "127.0.0.1:80", 65_495_u32), ("[::1]:9", "[::1]:80", 65_475)]
        {
            let expected = [
                format!("9 S {} 0 0", max - 1),
                format!("80 S. 7 {max} 0"),
                format!("9 . {max} 8 0"),
                format!("9 . {max} 8 3"),
                format!("80 . 8 2 {longest}"),
                format!("80 . {} 2 {}", 8 + longest, 70_000 - longest),
                "80 F. 70008 2 0".to_owned(),
                "9 F. 2 70009 0".to_owned(),
                "80 . 70009 3 0".to_owned(),
                "80 R. 70009 3 0".to_owned(),
            ];
            assert_eq!(conversation(client, server), expected);
        }
        // A socket for both versions names IPv4 addresses so.
        assert_eq!(
            conversation("[::ffff:127.0.0.1]:9", "[::ffff:127.0.0.1]:80"),
            conversation("127.0.0.1:9", "127.0.0.1:80")
        );
        assert_eq!(conversation("127.0.0.1:9", "[::1]:80").len(), 10);
    }

    #[test]
    fn datagrams_have_right_lengths_and_checksums() {
        for (from, to, longest) in [("192.0.2.1:53", "198.51.100.2:9", 65_507), ("[2001:db8::1]:53", "[::1]:9", 65_487)]
        {
            for length in [0, 1, 2, 3, 1_000, 70_000] {
                let mut found = Vec::new();
                let data = vec![0xa5; length];
                datagram(from.parse().unwrap(), to.parse().unwrap(), &data, &mut |header: &[u8], payload: &[u8]| {
                    found.push(check(header, payload));
                });
                assert_eq!(found, [format!("53 {}", length.min(longest))]);
            }
        }
        // This one has the sum zero, which is sent as its complement.
        let any: SocketAddr = "0.0.0.0:0".parse().unwrap();
        let payload = (!(u16::from(UDP) + 2 * 10)).to_be_bytes();
        datagram(any, any, &payload, &mut |header: &[u8], _: &[u8]| assert_eq!(header[26..28], [0xff, 0xff]));
    }
}
