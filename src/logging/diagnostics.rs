//! Diagnostics as lines: for people, as JSON, and for the journal of systemd.
//!
//! ```text
//! 2026-11-21T07:15:00Z INFO  miod::server message
//! {"time":"2026-11-21T07:15:00.250000Z","level":"info","target":"miod::server","message":"message"}
//! <6>INFO  miod::server message
//! ```
//!
//! If standard error is the journal, a line begins with its priority (sd-daemon(3)) and has no
//! time, since the journal has its own. Every diagnostic is one line: a line feed in a message
//! would begin a line without a priority, or one that somebody else wrote.

use std::ffi::OsStr;
use std::io::Write;
use std::os::fd::AsFd;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use log::{Level, Record};
use rustix::fs::fstat;

use super::DiagnosticFormat;
use super::json::push_json_string;
use crate::http::date;

/// How diagnostics are written.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Style {
    pub(super) format: DiagnosticFormat,
    /// They go to the journal.
    pub(super) journal: bool,
}

impl Style {
    /// A record as a line, with its line end. `now` is the time since 1970.
    pub(super) fn line(self, record: &Record<'_>, now: Duration) -> Vec<u8> {
        let mut out = Vec::with_capacity(128);
        if self.journal {
            let _ = write!(out, "<{}>", priority(record.level()));
        }
        match self.format {
            DiagnosticFormat::Text => self.push_text(record, now, &mut out),
            DiagnosticFormat::Json => self.push_json(record, now, &mut out),
        }
        out.push(b'\n');
        out
    }

    // Writing to a vector can't fail.

    fn push_text(self, record: &Record<'_>, now: Duration, out: &mut Vec<u8>) {
        if !self.journal {
            date::write_rfc3339(seconds(now), out);
            out.push(b' ');
        }
        let _ = write!(out, "{:<5} {} ", record.level(), record.target());
        for c in record.args().to_string().chars() {
            let _ = match c.is_control() {
                true => write!(out, "\\x{:02x}", u32::from(c)),
                false => write!(out, "{c}"),
            };
        }
    }

    fn push_json(self, record: &Record<'_>, now: Duration, out: &mut Vec<u8>) {
        out.push(b'{');
        if !self.journal {
            out.extend_from_slice(b"\"time\":\"");
            date::write_rfc3339(seconds(now), out);
            // The fraction comes before the Z.
            out.pop();
            let _ = write!(out, ".{:06}Z\",", now.subsec_micros());
        }
        let level = record.level().as_str().to_ascii_lowercase();
        let message = record.args().to_string();
        let [target, message] = [record.target(), &message];
        for (name, text) in [("\"level\":", &*level), (",\"target\":", target), (",\"message\":", message)] {
            out.extend_from_slice(name.as_bytes());
            push_json_string(out, text.as_bytes());
        }
        out.push(b'}');
    }
}

/// The time since 1970; zero before.
pub(super) fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn seconds(now: Duration) -> i64 {
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}

/// The priority of syslog(3).
fn priority(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}

/// Whether a descriptor is the stream to the journal that the variable `JOURNAL_STREAM` names by
/// device and inode (systemd.exec(5)). A process that was started with another output has the
/// variable too.
pub(super) fn is_journal(fd: impl AsFd, variable: Option<&OsStr>) -> bool {
    let named = variable.and_then(OsStr::to_str).and_then(|text| text.split_once(':'));
    let numbers = named.and_then(|(device, inode)| Some((device.parse().ok()?, inode.parse().ok()?)));
    fstat(fd).is_ok_and(|stat| numbers == Some((stat.st_dev, stat.st_ino)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(format: DiagnosticFormat, journal: bool, level: Level, message: &str) -> String {
        let args = format_args!("{message}");
        let record = Record::builder().target("miod::x").level(level).args(args).build();
        String::from_utf8(Style { format, journal }.line(&record, Duration::from_micros(1_795_245_300_000_012)))
            .unwrap()
    }

    #[test]
    fn each_style_has_its_form() {
        let (text, json) = (DiagnosticFormat::Text, DiagnosticFormat::Json);
        assert_eq!(line(text, false, Level::Info, "a \"b\""), "2026-11-21T07:15:00Z INFO  miod::x a \"b\"\n");
        assert_eq!(line(text, true, Level::Warn, "a"), "<4>WARN  miod::x a\n");
        assert_eq!(
            line(json, false, Level::Error, "a \"b\""),
            r#"{"time":"2026-11-21T07:15:00.000012Z","level":"error","target":"miod::x","message":"a \"b\""}"#
                .to_owned()
                + "\n"
        );
        let journal = line(json, true, Level::Trace, "a");
        assert_eq!(journal, "<7>{\"level\":\"trace\",\"target\":\"miod::x\",\"message\":\"a\"}\n");
        for (level, expected) in [(Level::Error, "<3>"), (Level::Info, "<6>"), (Level::Debug, "<7>")] {
            assert!(line(text, true, level, "").starts_with(expected));
        }
    }

    #[test]
    fn a_diagnostic_is_one_line_whatever_its_message() {
        let message: String = ('\0'..='\u{ff}').chain(['\u{2028}']).collect();
        for journal in [false, true] {
            let text = line(DiagnosticFormat::Text, journal, Level::Info, &message);
            assert!(!text.trim_end_matches('\n').contains(char::is_control), "{text:?}");
            assert!(text.contains("\\x00\\x01") && text.contains("\\x0a") && text.contains("\u{e4}"), "{text:?}");
            let json = line(DiagnosticFormat::Json, journal, Level::Info, &message);
            let object = json.strip_prefix("<6>").unwrap_or(&json);
            let object: serde_json::Value = serde_json::from_str(object).unwrap();
            assert_eq!(object["message"], message);
            assert_eq!(json.matches('\n').count(), 1);
        }
    }

    #[test]
    fn the_journal_is_named_by_device_and_inode() {
        let (_reader, writer) = std::io::pipe().unwrap();
        let stat = fstat(&writer).unwrap();
        let is = |text: Option<String>| is_journal(&writer, text.as_deref().map(OsStr::new));
        assert!(is(Some(format!("{}:{}", stat.st_dev, stat.st_ino))));
        for other in ["", ":", "1", "x:y", &format!("{}:{}", stat.st_dev, stat.st_ino + 1)] {
            assert!(!is(Some(other.to_owned())), "{other}");
        }
        assert!(!is(None));
    }
}
