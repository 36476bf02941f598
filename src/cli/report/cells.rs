//! A row for each request, in the columns that CSV and Markdown have.
//!
//! A stream without requests has one row. Its method is then what is spoken, its target the name that a
//! TLS client asked for, and its bytes are those that the server sent.

use std::io::{self, Write};

use super::totals::totals;
use crate::capture::{Closer, Exchange, Protocol, Report, Side, Stream, Timestamp};
use crate::http::date;

/// The columns.
const COLUMNS: [&str; 14] = [
    "stream",
    "client",
    "client_port",
    "server",
    "server_port",
    "start",
    "method",
    "target",
    "status",
    "bytes",
    "ttfb",
    "persistent",
    "pipelined",
    "closed_by",
];

/// The name of what is spoken.
pub(super) const fn protocol(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Http => "HTTP",
        Protocol::Tls => "TLS",
        Protocol::Tcp => "TCP",
        Protocol::Udp => "UDP",
    }
}

/// Who ended a connection.
pub(super) const fn closed_by(closer: Closer) -> &'static str {
    match closer {
        Closer::Closed(Side::Client) => "client",
        Closer::Closed(Side::Server) => "server",
        Closer::Reset(Side::Client) => "reset by client",
        Closer::Reset(Side::Server) => "reset by server",
    }
}

/// A time like `2026-11-21T07:15:00.250000Z`, as in the access log.
pub(super) fn time(time: Timestamp) -> String {
    let (seconds, nanos) = time.parts();
    let mut text = Vec::new();
    date::write_rfc3339(seconds, &mut text);
    text.pop();
    format!("{}.{:06}Z", String::from_utf8_lossy(&text), nanos / 1_000)
}

/// A span of nanoseconds, in seconds.
pub(super) fn seconds(nanos: i64) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let micros = nanos.unsigned_abs() / 1_000;
    format!("{sign}{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

fn row(stream: &Stream, request: Option<&Exchange>) -> Vec<String> {
    let yes = |is: bool| if is { "yes" } else { "no" }.to_owned();
    let udp = if stream.protocol == Protocol::Udp { "udp" } else { "" };
    let ours = [
        format!("{udp}{}", stream.number),
        stream.client.ip().to_string(),
        stream.client.port().to_string(),
        stream.server.ip().to_string(),
        stream.server.port().to_string(),
    ];
    let theirs = match request {
        Some(request) => [
            time(request.start),
            request.method.clone().unwrap_or_default(),
            request.target.clone(),
            request.status.map(|status| status.to_string()).unwrap_or_default(),
            request.bytes.to_string(),
            request.ttfb.map(seconds).unwrap_or_default(),
            yes(request.persistent),
            yes(request.pipelined),
        ],
        None => [
            time(stream.start),
            protocol(stream.protocol).to_owned(),
            stream.server_name.clone().unwrap_or_default(),
            String::new(),
            stream.bytes.server.to_string(),
            String::new(),
            String::new(),
            String::new(),
        ],
    };
    let closed = stream.closed_by.map(closed_by).unwrap_or_default().to_owned();
    ours.into_iter().chain(theirs).chain([closed]).collect()
}

/// The rows of all streams.
fn rows(report: &Report) -> impl Iterator<Item = Vec<String>> {
    report.streams.iter().flat_map(|stream| {
        let alone = stream.requests.is_empty().then(|| row(stream, None));
        alone.into_iter().chain(stream.requests.iter().map(|request| row(stream, Some(request))))
    })
}

/// Comma-separated values (RFC 4180, with lines that end in LF).
pub(super) fn write_csv(report: &Report, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{}", COLUMNS.join(","))?;
    rows(report).try_for_each(|row| {
        let cells: Vec<_> = row.iter().map(|cell| quoted(cell)).collect();
        writeln!(out, "{}", cells.join(","))
    })
}

fn quoted(cell: &str) -> String {
    match cell.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", cell.replace('"', "\"\"")),
        false => cell.to_owned(),
    }
}

/// A table for Markdown, and the totals below it.
pub(super) fn write_markdown(report: &Report, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "| {} |", COLUMNS.join(" | "))?;
    writeln!(out, "|{}", "---|".repeat(COLUMNS.len()))?;
    rows(report).try_for_each(|row| {
        // A backslash and a bar would end the cell or change what comes after.
        let cells: Vec<_> = row.iter().map(|cell| cell.replace('\\', "\\\\").replace('|', "\\|")).collect();
        writeln!(out, "| {} |", cells.join(" | "))
    })?;
    writeln!(out)?;
    totals(report).iter().try_for_each(|line| writeln!(out, "- {line}"))
}
