//! What is in a capture: its streams, selected, and their totals.

use std::collections::BTreeMap;
use std::io::Read;
use std::net::IpAddr;

use super::reader::Reader;
use super::source::CaptureError;
use super::streams::{Streams, Unread};
use super::tcp::{Problems, Protocol, Stream};

/// What is in a capture.
pub struct Report {
    /// The streams, in the order of their first packets.
    pub streams: Vec<Stream>,
    /// Packets that are in no stream.
    pub unread: Unread,
    /// How many streams, requests or packets aren't listed, because there are too many for the memory.
    pub unlisted: u64,
}

/// Which streams and requests are wanted. The default wants all.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Filter {
    /// Only the connection with this number. Its events are kept.
    pub stream: Option<u32>,
    /// Only streams of a host with this address.
    pub host: Option<IpAddr>,
    /// Only streams with this port.
    pub port: Option<u16>,
    /// Only requests with such a status, and streams that have any.
    pub status: Option<StatusFilter>,
}

/// Which statuses are wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StatusFilter {
    /// This one.
    One(u16),
    /// All with this first digit.
    Class(u16),
}

impl StatusFilter {
    const fn wants(self, status: u16) -> bool {
        match self {
            Self::One(one) => status == one,
            Self::Class(class) => status / 100 == class,
        }
    }
}

/// The totals of what is selected.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Totals {
    /// TCP connections.
    pub connections: u64,
    /// Flows of datagrams.
    pub flows: u64,
    /// Requests.
    pub requests: u64,
    /// Connections with at least one request.
    pub http_connections: u64,
    /// The most connections that were open at one time.
    pub parallel: u64,
    /// How many responses have each status.
    pub statuses: BTreeMap<u16, u64>,
    /// All problems.
    pub problems: Problems,
}

impl Totals {
    /// The mean of the requests of a connection that has any.
    pub fn requests_per_connection(&self) -> Option<f64> {
        (self.http_connections > 0).then(|| self.requests as f64 / self.http_connections as f64)
    }
}

/// Reads a capture. What was read before an error is reported, too.
pub fn read(input: impl Read, filter: &Filter) -> (Report, Result<(), CaptureError>) {
    let mut streams = Streams::new(filter.stream);
    let outcome = Reader::new(input).and_then(|mut reader| {
        while let Some(packet) = reader.next_packet()? {
            streams.add(&packet);
        }
        Ok(())
    });
    streams.finish_all();
    let Streams { list, unread, room, .. } = streams;
    let mut report = Report { streams: list, unread, unlisted: room.unlisted };
    report.select(filter);
    (report, outcome)
}

impl Report {
    fn select(&mut self, filter: &Filter) {
        self.streams.retain_mut(|stream| {
            if let Some(wanted) = filter.status {
                stream.requests.retain(|request| request.status.is_some_and(|status| wanted.wants(status)));
            }
            let ends = [stream.client, stream.server];
            let is_tcp = stream.protocol != Protocol::Udp;
            filter.stream.is_none_or(|number| is_tcp && stream.number == number)
                && filter.host.is_none_or(|host| ends.iter().any(|end| end.ip() == host))
                && filter.port.is_none_or(|port| ends.iter().any(|end| end.port() == port))
                && (filter.status.is_none() || !stream.requests.is_empty())
        });
    }

    /// The totals.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for stream in &self.streams {
            if stream.protocol == Protocol::Udp {
                totals.flows += 1;
                continue;
            }
            totals.connections += 1;
            totals.requests += stream.requests.len() as u64;
            totals.http_connections += u64::from(!stream.requests.is_empty());
            for status in stream.requests.iter().filter_map(|request| request.status) {
                *totals.statuses.entry(status).or_default() += 1;
            }
            totals.problems.retransmitted += stream.problems.retransmitted;
            totals.problems.reordered += stream.problems.reordered;
            totals.problems.lost += stream.problems.lost;
        }
        totals.parallel = self.parallel();
        totals
    }

    /// The most connections that were open at one time. One whose end isn't in the capture stays open.
    fn parallel(&self) -> u64 {
        let tcp = || self.streams.iter().filter(|stream| stream.protocol != Protocol::Udp);
        let begins = tcp().map(|stream| (stream.start, 1));
        let ends = tcp().filter_map(|stream| stream.closed).map(|closed| (closed, -1));
        let mut changes: Vec<(_, i64)> = begins.chain(ends).collect();
        // One that ends when another begins isn't parallel to it.
        changes.sort_unstable();
        let mut open = 0;
        changes.into_iter().fold(0, |most: i64, (_, change)| {
            open += change;
            most.max(open)
        }) as u64
    }
}
