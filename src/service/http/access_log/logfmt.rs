//! logfmt: pairs of `name=value` with spaces between them. A value that isn't one word is a JSON
//! string, which readers of logfmt know.
//!
//! ```text
//! time=2026-11-21T07:15:00.250000Z client=127.0.0.1 status=200 total_time=0.000000 user_agent="a b"
//! ```

use super::Entry;
use super::structured::{self, Facts, Moment};
use crate::logging::push_json_string;

/// Writes a line.
pub(super) fn write(entry: &Entry<'_>, moment: &mut Moment, out: &mut Vec<u8>) {
    structured::write(entry, moment, &mut Pairs { out, is_empty: true });
    out.push(b'\n');
}

/// The pairs of a line.
struct Pairs<'o> {
    out: &'o mut Vec<u8>,
    is_empty: bool,
}

impl Pairs<'_> {
    fn name(&mut self, name: &'static str) {
        if !std::mem::take(&mut self.is_empty) {
            self.out.push(b' ');
        }
        self.out.extend_from_slice(name.as_bytes());
        self.out.push(b'=');
    }
}

impl Facts for Pairs<'_> {
    fn text(&mut self, name: &'static str, text: &[u8]) {
        self.name(name);
        if is_word(text) { self.out.extend_from_slice(text) } else { push_json_string(self.out, text) }
    }

    fn plain(&mut self, name: &'static str, write: impl FnOnce(&mut Vec<u8>)) {
        self.name(name);
        write(self.out);
    }

    fn number(&mut self, name: &'static str, write: impl FnOnce(&mut Vec<u8>)) {
        self.plain(name, write);
    }

    fn written(&mut self) -> &mut Vec<u8> {
        self.out
    }
}

/// Whether a value needs no quotation marks.
fn is_word(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|byte| matches!(byte, b'!'..=b'~') && !matches!(byte, b'"' | b'\\' | b'='))
}
