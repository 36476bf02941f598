//! The table for people: a connection, and its requests below it.

use std::io::{self, Write};

use super::cells::{closed_by, protocol, seconds, time};
use super::totals::{problems, totals};
use crate::capture::{Closer, Exchange, Problems, Protocol, Report, Stream};

/// Writes the table and the totals.
pub(super) fn write(report: &Report, out: &mut impl Write) -> io::Result<()> {
    report.streams.iter().try_for_each(|stream| write_stream(stream, out))?;
    totals(report).iter().try_for_each(|line| writeln!(out, "{line}"))
}

fn write_stream(stream: &Stream, out: &mut impl Write) -> io::Result<()> {
    write_head(stream, out)?;
    if !stream.requests.is_empty() {
        writeln!(out, "      at (s)  status       bytes  first byte (s)  request")?;
    }
    for request in &stream.requests {
        writeln!(out, "{}", line(stream, request))?;
    }
    if stream.requests.is_empty() {
        let (sent, received) = (stream.bytes.client, stream.bytes.server);
        writeln!(out, "  {sent} bytes to the server, {received} to the client")?;
    }
    writeln!(out)
}

/// Number, addresses, beginning and end of a stream.
pub(super) fn write_head(stream: &Stream, out: &mut impl Write) -> io::Result<()> {
    let kind = if stream.protocol == Protocol::Udp { "flow" } else { "stream" };
    let name = stream.server_name.as_ref().map(|name| format!(" to {name}")).unwrap_or_default();
    let Stream { number, client, server, .. } = stream;
    writeln!(out, "{kind} {number}: {client} > {server}, {}{name}", protocol(stream.protocol))?;
    let begin = match stream.syn {
        Some(syn) => format!("SYN {}", time(syn)),
        None => format!("from {}", time(stream.start)),
    };
    let end = match (stream.fin, stream.closed_by) {
        (Some(fin), Some(closer)) => {
            let mark = if matches!(closer, Closer::Reset(_)) { "RST" } else { "FIN" };
            format!("{mark} after {} s, closed: {}", seconds(fin.since(stream.start)), closed_by(closer))
        }
        _ => format!("last packet after {} s", seconds(stream.end.since(stream.start))),
    };
    writeln!(out, "  {begin}, {end}")?;
    if stream.problems != Problems::default() {
        writeln!(out, "  {}", problems(stream.problems))?;
    }
    Ok(())
}

fn line(stream: &Stream, request: &Exchange) -> String {
    let at = seconds(request.start.since(stream.start));
    let status = request.status.map_or_else(|| "-".to_owned(), |status| status.to_string());
    let first = request.ttfb.map_or_else(|| "-".to_owned(), seconds);
    let method = request.method.as_deref().unwrap_or("(not captured)");
    let mut line = format!("{at:>12}  {status:>6}  {:>10}  {first:>14}  {method} {}", request.bytes, request.target);
    if request.pipelined {
        line += "  (pipelined)";
    }
    if !request.persistent {
        line += "  (not persistent)";
    }
    if !request.complete {
        line += "  (incomplete)";
    }
    line
}
