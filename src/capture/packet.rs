//! What is in a packet: the layers below IP, IP, and TCP or UDP.
//!
//! ```text
//! link type ─► IP packet ─► (fragments) ─► segment of TCP, datagram of UDP
//! ```
//!
//! `etherparse` takes IP and what is above apart. A capture may have the beginning of each packet only;
//! then the headers say how long it was. Checksums aren't looked at: machines that leave them to their
//! network card capture wrong ones.

use std::net::{IpAddr, SocketAddr};

use etherparse::{IpFragOffset, Ipv6ExtensionSlice, LaxIpSlice, TcpSlice, UdpSlice};

/// The number of TCP in an IP header.
const TCP: u8 = 6;
/// The number of UDP.
const UDP: u8 = 17;

/// A packet of IP.
#[derive(Debug)]
pub(super) struct IpPacket<'a> {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    /// What is in it.
    pub(super) protocol: u8,
    pub(super) payload: &'a [u8],
    /// Bytes of the payload that weren't captured.
    pub(super) missing: usize,
    /// It is a piece of a packet.
    pub(super) fragment: Option<Fragment>,
}

/// Which piece of which packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fragment {
    pub(super) identification: u32,
    pub(super) offset: IpFragOffset,
    pub(super) more: bool,
}

/// What carries data.
#[derive(Debug)]
pub(super) enum Transport<'a> {
    Tcp(Segment<'a>),
    Udp(Datagram),
}

/// A segment of TCP.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment<'a> {
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
    pub(super) sequence: u32,
    pub(super) acknowledged: Option<u32>,
    pub(super) syn: bool,
    pub(super) fin: bool,
    pub(super) rst: bool,
    pub(super) payload: &'a [u8],
    /// The length of the payload, captured or not.
    pub(super) length: usize,
}

/// A datagram of UDP.
#[derive(Clone, Copy, Debug)]
pub(super) struct Datagram {
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
    /// The length of the payload, captured or not.
    pub(super) length: usize,
}

/// The IP packet in a packet of this link type. None if there is none, or the link type is unknown.
pub(super) fn ip(link: u32, data: &[u8]) -> Option<IpPacket<'_>> {
    parse_ip(match link {
        // BSD loopback: an address family in some byte order. The version of IP says the same.
        0 | 108 => data.get(4..)?,
        // Ethernet.
        1 => ether(data.get(12..)?)?,
        // Raw IP, also by the numbers that systems use themselves.
        12 | 14 | 101 | 228 | 229 => data,
        // Linux cooked: the type of what follows is at the end, or at the beginning.
        113 => ether(data.get(14..)?)?,
        276 => typed([*data.first()?, *data.get(1)?], data.get(20..)?)?,
        _ => return None,
    })
}

/// Whether packets of a link type can be read.
pub(super) const fn is_known(link: u32) -> bool {
    matches!(link, 0 | 1 | 12 | 14 | 101 | 108 | 113 | 228 | 229 | 276)
}

/// What is behind a type of Ethernet (RFC 9542), and the type.
fn ether(bytes: &[u8]) -> Option<&[u8]> {
    let (kind, rest) = bytes.split_first_chunk::<2>()?;
    typed(*kind, rest)
}

/// The IP packet in something of this type of Ethernet; tags of VLANs are skipped.
fn typed(mut kind: [u8; 2], mut rest: &[u8]) -> Option<&[u8]> {
    loop {
        match kind {
            [0x08, 0x00] | [0x86, 0xdd] => return Some(rest),
            [0x81, 0x00] | [0x88, 0xa8] | [0x91, 0x00] => {
                let ([_, _, a, b], inner) = rest.split_first_chunk::<4>()?;
                (kind, rest) = ([*a, *b], inner);
            }
            _ => return None,
        }
    }
}

fn parse_ip(data: &[u8]) -> Option<IpPacket<'_>> {
    let (ip, stopped) = LaxIpSlice::from_slice(data).ok()?;
    // Behind extension headers that are cut off there is nothing to find, and their iterator must not be
    // used: it takes them for whole.
    if stopped.is_some() {
        return None;
    }
    let (length, fragment) = match &ip {
        LaxIpSlice::Ipv4(ip) => {
            let header = ip.header();
            let fragment = header.is_fragmenting_payload().then(|| Fragment {
                identification: header.identification().into(),
                offset: header.fragments_offset(),
                more: header.more_fragments(),
            });
            (usize::from(header.total_len()), fragment)
        }
        LaxIpSlice::Ipv6(ip) => {
            let fragment = ip.extensions().clone().into_iter().find_map(|extension| match extension {
                Ipv6ExtensionSlice::Fragment(header) if header.is_fragmenting_payload() => Some(Fragment {
                    identification: header.identification(),
                    offset: header.fragment_offset(),
                    more: header.more_fragments(),
                }),
                _ => None,
            });
            let length = match ip.header().payload_length() {
                // The length isn't there yet, because the network card cuts it into packets.
                0 => data.len(),
                length => 40 + usize::from(length),
            };
            (length, fragment)
        }
    };
    let payload = ip.payload();
    Some(IpPacket {
        source: ip.source_addr(),
        destination: ip.destination_addr(),
        protocol: payload.ip_number.0,
        payload: payload.payload,
        missing: length.saturating_sub(data.len()),
        fragment,
    })
}

/// What a whole IP packet carries. None if it is neither TCP nor UDP, or its header isn't there.
pub(super) fn transport(
    (source, destination): (IpAddr, IpAddr),
    protocol: u8,
    payload: &[u8],
    missing: usize,
) -> Option<Transport<'_>> {
    match protocol {
        TCP => {
            let tcp = TcpSlice::from_slice(payload).ok()?;
            Some(Transport::Tcp(Segment {
                source: SocketAddr::new(source, tcp.source_port()),
                destination: SocketAddr::new(destination, tcp.destination_port()),
                sequence: tcp.sequence_number(),
                acknowledged: tcp.ack().then(|| tcp.acknowledgment_number()),
                syn: tcp.syn(),
                fin: tcp.fin(),
                rst: tcp.rst(),
                payload: tcp.payload(),
                length: tcp.payload().len() + missing,
            }))
        }
        UDP => {
            let udp = UdpSlice::from_slice_lax(payload).ok()?;
            Some(Transport::Udp(Datagram {
                source: SocketAddr::new(source, udp.source_port()),
                destination: SocketAddr::new(destination, udp.destination_port()),
                length: usize::from(udp.length()).saturating_sub(8).max(udp.payload().len()),
            }))
        }
        _ => None,
    }
}
