//! JSON: one object in each line (RFC 8259, printable ASCII).
//!
//! ```json
//! {"time":"2026-11-21T07:15:00.250000Z","client":"127.0.0.1","status":200,"total_time":0.000000}
//! ```

use super::Entry;
use super::structured::{self, Facts, Moment};
use crate::logging::push_json_string;

/// Writes a line.
pub(super) fn write(entry: &Entry<'_>, moment: &mut Moment, out: &mut Vec<u8>) {
    out.push(b'{');
    structured::write(entry, moment, &mut Object { out, is_empty: true });
    out.extend_from_slice(b"}\n");
}

/// The members of an object.
struct Object<'o> {
    out: &'o mut Vec<u8>,
    is_empty: bool,
}

impl Object<'_> {
    fn name(&mut self, name: &'static str) {
        if !std::mem::take(&mut self.is_empty) {
            self.out.push(b',');
        }
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }
}

impl Facts for Object<'_> {
    fn text(&mut self, name: &'static str, text: &[u8]) {
        self.name(name);
        push_json_string(self.out, text);
    }

    fn plain(&mut self, name: &'static str, write: impl FnOnce(&mut Vec<u8>)) {
        self.name(name);
        self.out.push(b'"');
        write(self.out);
        self.out.push(b'"');
    }

    fn number(&mut self, name: &'static str, write: impl FnOnce(&mut Vec<u8>)) {
        self.name(name);
        write(self.out);
    }

    fn written(&mut self) -> &mut Vec<u8> {
        self.out
    }
}
