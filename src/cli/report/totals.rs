//! The totals of a report, and what is wrong in a capture, in lines for people.

use crate::capture::{Problems, Report};

/// The totals, in lines.
pub(super) fn totals(report: &Report) -> Vec<String> {
    let totals = report.totals();
    let mut lines = vec![format!("connections: {}, at most {} at the same time", totals.connections, totals.parallel)];
    let mut requests = format!("requests: {}", totals.requests);
    if let Some(mean) = totals.requests_per_connection() {
        requests += &format!(", {mean:.1} per connection that has any");
    }
    lines.push(requests);
    if !totals.statuses.is_empty() {
        let statuses: Vec<_> = totals.statuses.iter().map(|(status, count)| format!("{status}: {count}")).collect();
        lines.push(format!("statuses: {}", statuses.join(", ")));
    }
    if totals.flows > 0 {
        lines.push(format!("flows of datagrams: {}", totals.flows));
    }
    if totals.problems != Problems::default() {
        lines.push(problems(totals.problems));
    }
    lines
}

/// What is wrong in a stream, or in all of them, in a line.
pub(super) fn problems(problems: Problems) -> String {
    let Problems { retransmitted, reordered, lost } = problems;
    format!("segments retransmitted: {retransmitted}, reordered: {reordered}, lost: {lost}")
}
