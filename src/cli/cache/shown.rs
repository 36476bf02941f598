//! `miod cache list`, `show` and `check`: what is in the directory of a cache.
//!
//! What is stored came from other servers. So what goes to a terminal has no control characters, and
//! a body goes there only if it is text.

use std::fmt::Write as _;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::Path;

use serde_json::{Value, json};

use super::super::error::{CommandError, RUNTIME};
use super::super::output::{plain, written};
use super::super::print_error;
use crate::cache::{Directory, Listed, Problem};
use crate::http::caching::variant;
use crate::reactor::Time;
use crate::text::io_error::describe;
use crate::text::json::to_string;
use crate::text::size;

/// The longest body that a terminal is sent, in bytes.
const LONGEST: u64 = 1024 * 1024;

fn open(path: &Path) -> Result<Directory, CommandError> {
    Directory::open(path).map_err(|error| CommandError::cache(&error))
}

/// Reads all entries. `each` is called with each that is fine. Returns the others.
fn read(path: &Path, checks: bool, mut each: impl FnMut(&Listed)) -> Result<Vec<Problem>, CommandError> {
    let mut problems = Vec::new();
    let entries = open(path)?.entries(checks, |entry| match entry {
        Ok(entry) => each(&entry),
        Err(problem) => problems.push(problem),
    });
    entries.map_err(|error| CommandError::runtime(&format!("read {}", path.display()), &error))?;
    Ok(problems)
}

fn explain(problem: &Problem) -> String {
    format!("{}: {}", problem.file, describe(&problem.error))
}

// ---- list

#[derive(Default)]
struct Totals {
    entries: u64,
    bytes: u64,
    fresh: u64,
}

/// Prints a line for each entry.
pub(super) fn list(path: &Path, as_json: bool) -> Result<(), CommandError> {
    let (now, mut totals) = (Time::wall(), Totals::default());
    let mut out = BufWriter::new(io::stdout().lock());
    let mut output = Ok(());
    let problems = read(path, false, |entry| {
        totals.entries += 1;
        totals.bytes += entry.body;
        totals.fresh += u64::from(entry.freshness.is_fresh(now));
        if output.is_ok() {
            let line = if as_json { to_string(&object(entry, now)) } else { line(entry, now) };
            output = writeln!(out, "{line}");
        }
    })?;
    problems.iter().for_each(|problem| print_error(explain(problem)));
    if !as_json {
        let Totals { entries, bytes, fresh } = totals;
        output =
            output.and_then(|()| writeln!(out, "{entries} responses, {fresh} of them fresh; {}", size::shown(bytes)));
    }
    written(output.and_then(|()| out.flush()))
}

/// Status, length, age, freshness, URI, and the fields that select it among others.
fn line(entry: &Listed, now: i64) -> String {
    let status = entry.status().map_or_else(|| "-".to_owned(), |status| status.to_string());
    let (age, remaining) = (i64::from(entry.freshness.age(now)), entry.freshness.remaining(now));
    let fresh = match (entry.freshness.is_fresh(now), remaining) {
        (true, _) => format!("fresh {}", span(remaining)),
        (false, ..=0) => format!("stale {}", span(-remaining)),
        // It is fresh for nobody: it must be validated at each use.
        (false, _) => "no-cache".to_owned(),
    };
    let mut line = format!("{status:>3} {:>10} {:>4}  {fresh:<9}  {}", entry.body, span(age), plain(&entry.uri));
    if !entry.names.is_empty() {
        // Writing to a string can't fail.
        let _ = write!(line, "  by {}", plain(&entry.names));
    }
    line
}

fn object(entry: &Listed, now: i64) -> Value {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let vary: Vec<String> = variant::read_key(&entry.names, &entry.key).iter().map(|(name, _)| text(name)).collect();
    json!({
        "uri": text(&entry.uri),
        "status": entry.status(),
        "size": entry.body,
        "age": entry.freshness.age(now),
        "fresh": entry.freshness.is_fresh(now),
        "fresh_for": entry.freshness.remaining(now),
        "vary": vary,
    })
}

/// A time in seconds, in its largest unit.
fn span(seconds: i64) -> String {
    match seconds {
        ..=119 => format!("{seconds}s"),
        120..=7_199 => format!("{}m", seconds / 60),
        7_200..=172_799 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

// ---- show

/// Prints what is stored for a URI: each head, and its body.
pub(super) fn show(path: &Path, uri: &[u8], only_head: bool) -> Result<(), CommandError> {
    let directory = open(path)?;
    let found = directory.find(uri).map_err(|error| CommandError::runtime("read the directory", &error))?;
    let mut entries = Vec::new();
    let mut damaged = None;
    for entry in found {
        match entry {
            Ok(entry) => entries.push(entry),
            // A server has removed it meanwhile.
            Err(problem) if problem.error.kind() == io::ErrorKind::NotFound => {}
            Err(problem) => damaged = Some(explain(&problem)),
        }
    }
    entries.sort_unstable_by(|a, b| a.key.cmp(&b.key));
    let stdout = io::stdout();
    let is_terminal = stdout.is_terminal();
    let mut out = BufWriter::new(stdout.lock());
    for (number, entry) in entries.iter().enumerate() {
        let outcome = (|| {
            if entries.len() > 1 {
                let gap = if number > 0 { "\n" } else { "" };
                writeln!(out, "{gap}==> {} <==", selection(entry))?;
            }
            write_head(&entry.head, is_terminal, &mut out)?;
            if !only_head {
                write_body(&directory, entry, is_terminal, &mut out)?;
            }
            out.flush()
        })();
        written(outcome)?;
    }
    match damaged {
        Some(message) => Err(CommandError::new(RUNTIME, message)),
        None if entries.is_empty() => Err(CommandError::new(RUNTIME, format!("nothing is stored for {}", plain(uri)))),
        None => Ok(()),
    }
}

/// What requests have in the fields of Vary that this entry is for.
fn selection(entry: &Listed) -> String {
    let fields = variant::read_key(&entry.names, &entry.key);
    let fields: Vec<String> = fields
        .iter()
        .map(|(name, value)| match value {
            Some(value) => format!("{}: {}", plain(name), plain(value)),
            None => format!("no {}", plain(name)),
        })
        .collect();
    if fields.is_empty() { "any request".to_owned() } else { fields.join(", ") }
}

fn write_head(head: &[u8], is_terminal: bool, out: &mut impl Write) -> io::Result<()> {
    if !is_terminal {
        return out.write_all(head);
    }
    let mut lines = head.split_inclusive(|&byte| byte == b'\n');
    lines.try_for_each(|line| writeln!(out, "{}", plain(line.trim_ascii_end())))
}

fn write_body(directory: &Directory, entry: &Listed, is_terminal: bool, out: &mut impl Write) -> io::Result<()> {
    if !is_terminal {
        return directory.write_body(entry, out);
    }
    let mut bytes = Vec::new();
    if entry.body <= LONGEST {
        directory.write_body(entry, &mut bytes)?;
    }
    if bytes.len() as u64 == entry.body && is_text(&bytes) {
        return out.write_all(&bytes);
    }
    out.flush()?;
    print_error(format!("the body ({}) isn't sent to a terminal: it isn't text, or too long", size::shown(entry.body)));
    Ok(())
}

/// Whether a terminal shows these bytes as they are.
fn is_text(bytes: &[u8]) -> bool {
    let is_shown = |char: char| !char.is_control() || matches!(char, '\t' | '\n' | '\r');
    std::str::from_utf8(bytes).is_ok_and(|text| text.chars().all(is_shown))
}

// ---- check

/// Reads everything, and says what is damaged.
pub(super) fn check(path: &Path) -> Result<(), CommandError> {
    let (mut entries, mut bytes) = (0_u64, 0_u64);
    let problems = read(path, true, |entry| {
        entries += 1;
        bytes += entry.body;
    })?;
    let mut text: String = problems.iter().map(|problem| explain(problem) + "\n").collect();
    let _ = writeln!(text, "{entries} responses are as they were stored; {}", size::shown(bytes));
    super::super::print(&text);
    match problems.len() {
        0 => Ok(()),
        count => Err(CommandError::new(RUNTIME, format!("damaged: {count}; a server takes them for not stored"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminals_get_text_only() {
        assert!(is_text("a\tb\r\n\u{e4}\u{20ac}".as_bytes()) && is_text(b""));
        for bytes in [&b"a\x1b[2J"[..], b"\0", b"\xff", "\u{9b}2J".as_bytes()] {
            assert!(!is_text(bytes), "{bytes:?}");
        }
        assert_eq!(plain(b"a\x1b \xe4"), "a\\x1b \\xe4");
        let mut out = Vec::new();
        write_head(b"HTTP/1.1 200 \r\nX: \xe4\r\n\r\n", true, &mut out).unwrap();
        assert_eq!(out, b"HTTP/1.1 200\nX: \\xe4\n\n");
    }

    #[test]
    fn times_have_one_unit() {
        for (seconds, expected) in [
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (7_199, "119m"),
            (7_200, "2h"),
            (172_799, "47h"),
            (172_800, "2d"),
            (1 << 31, "24855d"),
        ] {
            assert_eq!(span(seconds), expected);
        }
    }
}
