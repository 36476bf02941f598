//! `miod report`: the connections and requests in a capture.
//!
//! ```text
//! file ─► capture::read ─► Report ─► table, Markdown, CSV, JSON, or one conversation
//! ```
//!
//! What is in a capture came from a network, so what is printed has no control characters.

mod cells;
mod conversation;
mod json;
mod table;
mod totals;

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use super::arguments::Tool;
use super::error::{CommandError, DAMAGED, RUNTIME};
use super::output::written;
use super::{Command, UsageError, print_error};
use crate::capture::{self, CaptureError, Damage, Filter, Report, StatusFilter};
use crate::config::options::{Draft, Opt, Setter, Value};
use crate::config::values;

/// What to print of which capture.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReportPlan {
    /// The capture; none for standard input.
    file: Option<PathBuf>,
    filter: Filter,
    format: Format,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Format {
    #[default]
    Table,
    Markdown,
    Csv,
    Json,
}

/// The options.
#[derive(Default)]
pub(super) struct ReportDraft {
    filter: Filter,
    format: Option<Format>,
}

impl ReportDraft {
    fn set_format(&mut self, format: Format) -> Result<(), String> {
        match self.format.replace(format) {
            Some(other) if other != format => Err("give one of --md, --csv and --json".to_owned()),
            _ => Ok(()),
        }
    }
}

pub(super) const TOOL: Tool<ReportDraft> = Tool {
    usage: "miod report lists the connections in a capture of packets, and their requests.

Usage: miod report [OPTIONS] FILE

FILE is a capture of tcpdump or Wireshark (pcap or pcapng), or - for standard input. A connection
has the number that Wireshark gives it as tcp.stream. HTTP/1.x is recognised on any port. A
connection of TLS is listed with the name that the client asked for, a flow of datagrams with its
bytes.
",
    options: &[
        Opt {
            long: "md",
            help: "print a table for Markdown",
            set: Setter::Command(|draft, _| draft.set_format(Format::Markdown)),
            ..Opt::DEFAULT
        },
        Opt {
            long: "csv",
            help: "print comma-separated values: a line for each request",
            set: Setter::Command(|draft, _| draft.set_format(Format::Csv)),
            ..Opt::DEFAULT
        },
        Opt {
            long: "json",
            help: "print an object: streams with their requests and problems, and totals",
            set: Setter::Command(|draft, _| draft.set_format(Format::Json)),
            ..Opt::DEFAULT
        },
        Opt {
            long: "stream",
            value: Value::Required("N"),
            help: "only this connection, from 0; as a table, all that was said",
            set: Setter::Command(|draft, text| {
                draft.filter.stream = Some(text.parse().map_err(|_| "give a number, from 0".to_owned())?);
                Ok(())
            }),
            ..Opt::DEFAULT
        },
        Opt {
            long: "host",
            value: Value::Required("ADDR"),
            help: "only connections of this address",
            set: Setter::Command(|draft, text| {
                let address = text.parse().map_err(|_| "give an IP address".to_owned())?;
                draft.filter.host = Some(address);
                Ok(())
            }),
            ..Opt::DEFAULT
        },
        Opt {
            long: "port",
            value: Value::Required("PORT"),
            help: "only connections with this port",
            set: Setter::Command(|draft, text| {
                draft.filter.port = Some(values::remote_port(text)?);
                Ok(())
            }),
            ..Opt::DEFAULT
        },
        Opt {
            long: "status",
            value: Value::Required("CODE"),
            help: "only requests with this status, like 404 or 4xx",
            set: Setter::Command(|draft, text| {
                draft.filter.status = Some(status(text)?);
                Ok(())
            }),
            ..Opt::DEFAULT
        },
    ],
    tap: &[],
    defaults: Draft::default,
    more: "Exit codes: 0; 1 the file can't be read, or has no such stream; 2 usage error; 65 the capture is
damaged, or cut off: what could be read is printed.

Examples:
  tcpdump -i lo -w capture.pcap port 8080
  miod report capture.pcap
  miod report --stream 0 capture.pcap
  miod report --csv --status 4xx capture.pcap
",
};

fn status(text: &str) -> Result<StatusFilter, String> {
    let number = |text: &str| text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
    match text.strip_suffix("xx") {
        Some(class) => number(class).filter(|class| (1..=5).contains(class)).map(StatusFilter::Class),
        None => number(text).filter(|status| (100..600).contains(status)).map(StatusFilter::One),
    }
    .ok_or_else(|| "give a status like 404, or 4xx".to_owned())
}

pub(super) fn parse(arguments: Vec<OsString>) -> Result<Command, UsageError> {
    TOOL.parse(arguments, |Draft { command: draft, .. }, words| match words.as_slice() {
        [file] => Ok(Command::Report(ReportPlan {
            file: (file != "-").then(|| file.into()),
            filter: draft.filter,
            format: draft.format.unwrap_or_default(),
        })),
        _ => Err(UsageError("give the FILE of a capture, or - for standard input".to_owned())),
    })
}

impl ReportPlan {
    /// Prints the report to standard output.
    ///
    /// # Errors
    /// If the file can't be read or is damaged, or there is no such stream.
    pub fn run(&self) -> Result<(), CommandError> {
        let (report, outcome) = match &self.file {
            Some(path) => capture::read(open(path)?, &self.filter),
            None => capture::read(io::stdin().lock(), &self.filter),
        };
        let mut out = BufWriter::new(io::stdout().lock());
        written(self.write(&report, &mut out).and_then(|()| out.flush()))?;
        drop(out);
        warnings(&report).iter().for_each(print_error);
        let name = self.file.as_deref().unwrap_or(Path::new("-")).display();
        match (outcome, self.filter.stream) {
            (Err(CaptureError { offset, damage: Damage::Io(error) }), _) => {
                Err(CommandError::runtime(&format!("read {name} at offset {offset}"), &error))
            }
            (Err(error), _) => Err(CommandError::new(DAMAGED, format!("{name}: {error}"))),
            (Ok(()), Some(number)) if report.streams.is_empty() => {
                Err(CommandError::new(RUNTIME, format!("{name} has no such stream: {number}")))
            }
            (Ok(()), _) => Ok(()),
        }
    }

    fn write(&self, report: &Report, out: &mut impl Write) -> io::Result<()> {
        match (self.format, self.filter.stream) {
            (Format::Table, Some(_)) => report.streams.iter().try_for_each(|stream| conversation::write(stream, out)),
            (Format::Table, None) => table::write(report, out),
            (Format::Markdown, _) => cells::write_markdown(report, out),
            (Format::Csv, _) => cells::write_csv(report, out),
            (Format::Json, _) => json::write(report, out),
        }
    }
}

fn open(path: &Path) -> Result<impl Read, CommandError> {
    File::open(path).map_err(|error| CommandError::runtime(&format!("open {}", path.display()), &error))
}

/// What the rows don't tell.
fn warnings(report: &Report) -> Vec<String> {
    let mut warnings = Vec::new();
    for (link, count) in &report.unread.links {
        warnings.push(format!("packets that aren't read, because their link type {link} is unknown: {count}"));
    }
    if report.unread.fragments > 0 {
        warnings.push(format!("fragments of packets that aren't whole: {}", report.unread.fragments));
    }
    if report.unlisted > 0 {
        warnings.push("the capture has too many connections and requests to list all".to_owned());
    }
    warnings
}
