//! Captures that are made here, and read again.

mod connections;
mod formats;
mod links;
mod messages;
mod random;

use super::pcapng::{self, Resolution};
use super::segments::TcpConversation;
use super::*;
use crate::random::SplitMix64;

/// What happens on a connection.
#[derive(Clone, Debug)]
pub(super) enum Act {
    Open,
    Client(Vec<u8>),
    Server(Vec<u8>),
    Close(Side),
    Reset(Side),
}

pub(super) fn client(text: &str) -> Act {
    Act::Client(text.as_bytes().to_vec())
}

pub(super) fn server(text: &str) -> Act {
    Act::Server(text.as_bytes().to_vec())
}

pub(super) const CLIENT: &str = "192.0.2.1:50000";
pub(super) const SERVER: &str = "198.51.100.2:80";
pub(super) const ISN: Both<u32> = Both { client: 1_000, server: u32::MAX - 5 };

/// The packets of a connection, with segments of at most `size` bytes.
pub(super) fn packets_of(ends: [&str; 2], isn: Both<u32>, size: usize, acts: &[Act]) -> Vec<Vec<u8>> {
    let [client, server] = ends.map(|end| end.parse().unwrap());
    let mut tcp = TcpConversation::new(client, server, isn);
    let mut packets = Vec::new();
    let emit = &mut |header: &[u8], payload: &[u8]| packets.push([header, payload].concat());
    for act in acts {
        match act {
            Act::Open => tcp.open(emit),
            Act::Client(data) => data.chunks(size).for_each(|piece| tcp.data(Side::Client, piece, emit)),
            Act::Server(data) => data.chunks(size).for_each(|piece| tcp.data(Side::Server, piece, emit)),
            Act::Close(side) => tcp.close(*side, emit),
            Act::Reset(side) => tcp.reset(*side, emit),
        }
    }
    packets
}

/// The packets of a connection, in segments of usual size.
pub(super) fn packets(acts: &[Act]) -> Vec<Vec<u8>> {
    packets_of([CLIENT, SERVER], ISN, 1_460, acts)
}

/// A capture with a packet each 0.1 ms.
pub(super) fn capture(packets: &[Vec<u8>]) -> Vec<u8> {
    timed(&packets.iter().enumerate().map(|(at, packet)| (at as i64 * 100_000, packet.clone())).collect::<Vec<_>>())
}

/// A capture with packets at these nanoseconds.
pub(super) fn timed(packets: &[(i64, Vec<u8>)]) -> Vec<u8> {
    let mut out = Vec::new();
    pcapng::section(&mut out, "test");
    pcapng::interface(&mut out, "test0", Resolution::Nano);
    for (time, packet) in packets {
        pcapng::packet(&mut out, Resolution::Nano, Timestamp(*time), &[packet], None);
    }
    out
}

pub(super) fn report(file: &[u8]) -> Report {
    let (report, outcome) = read(file, &Filter::default());
    outcome.unwrap();
    report
}

/// The streams, in lines.
pub(super) fn lines(report: &Report) -> Vec<String> {
    let mut lines = Vec::new();
    for stream in &report.streams {
        let Problems { retransmitted, reordered, lost } = stream.problems;
        lines.push(format!(
            "{:?} {} {} {} {:?} {retransmitted}/{reordered}/{lost}",
            stream.protocol,
            stream.number,
            stream.client.port(),
            stream.server.port(),
            stream.closed_by,
        ));
        lines.extend(stream.requests.iter().map(request));
    }
    lines
}

/// A request, in a line.
pub(super) fn request(request: &Exchange) -> String {
    let mut line = format!(
        "{} {} {} {} {}",
        request.method.as_deref().unwrap_or("?"),
        request.target,
        request.status.unwrap_or(0),
        request.bytes,
        request.body_bytes
    );
    for (is, word) in
        [(request.persistent, " persistent"), (request.pipelined, " pipelined"), (!request.complete, " incomplete")]
    {
        line += if is { word } else { "" };
    }
    line
}

/// The requests of the first stream, in lines.
pub(super) fn requests(acts: &[Act]) -> Vec<String> {
    report(&capture(&packets(acts))).streams[0].requests.iter().map(request).collect()
}

/// Puts items into any order.
pub(super) fn shuffle<T>(items: &mut [T], random: &mut SplitMix64) {
    for at in (1..items.len()).rev() {
        items.swap(at, random.below(at + 1));
    }
}

pub(super) const GET: &str = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n";
pub(super) const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
