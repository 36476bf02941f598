//! The report as JSON: `{"streams": [...], "totals": {...}}`, with a stream in each line.
//!
//! What isn't known is null. Times are in UTC, spans in seconds.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde_json::{Value, json};

use super::cells::{closed_by, protocol, time};
use crate::capture::{Exchange, Problems, Report, Stream};
use crate::text::json::to_string;

pub(super) fn write(report: &Report, out: &mut impl Write) -> io::Result<()> {
    write!(out, "{{\"streams\":[")?;
    for (at, stream) in report.streams.iter().enumerate() {
        let separator = if at == 0 { "" } else { "," };
        write!(out, "{separator}\n{}", to_string(&object(stream)))?;
    }
    writeln!(out, "\n],\"totals\":{}}}", to_string(&totals(report)))
}

fn object(stream: &Stream) -> Value {
    json!({
        "stream": stream.number,
        "protocol": protocol(stream.protocol),
        "client": stream.client.ip(),
        "client_port": stream.client.port(),
        "server": stream.server.ip(),
        "server_port": stream.server.port(),
        "start": time(stream.start),
        "syn": stream.syn.map(time),
        "fin": stream.fin.map(time),
        "end": time(stream.end),
        "closed_by": stream.closed_by.map(closed_by),
        "sni": stream.server_name,
        "bytes_to_server": stream.bytes.client,
        "bytes_to_client": stream.bytes.server,
        "requests": stream.requests.iter().map(request).collect::<Vec<_>>(),
        "problems": problems(stream.problems),
    })
}

fn request(request: &Exchange) -> Value {
    json!({
        "start": time(request.start),
        "method": request.method,
        "target": request.target,
        "status": request.status,
        "bytes": request.bytes,
        "body_bytes": request.body_bytes,
        // In microseconds, like the other times.
        "ttfb": request.ttfb.map(|nanos| (nanos / 1_000) as f64 / 1e6),
        "persistent": request.persistent,
        "pipelined": request.pipelined,
        "complete": request.complete,
    })
}

fn problems(problems: Problems) -> Value {
    let Problems { retransmitted, reordered, lost } = problems;
    json!({ "retransmitted": retransmitted, "reordered": reordered, "lost": lost })
}

fn totals(report: &Report) -> Value {
    let totals = report.totals();
    let statuses: BTreeMap<_, _> = totals.statuses.iter().map(|(status, count)| (status.to_string(), *count)).collect();
    json!({
        "connections": totals.connections,
        "flows": totals.flows,
        "requests": totals.requests,
        "requests_per_connection": totals.requests_per_connection(),
        "parallel": totals.parallel,
        "statuses": statuses,
        "problems": problems(totals.problems),
    })
}
