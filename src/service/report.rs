//! What a tool tells on standard output: lines that the state machines push, and
//! that are written between two turns, never by a machine itself.
//!
//! Standard output is the tool's purpose, so a reader that is slow slows it down,
//! as with any other tool; and one that is gone ends it, quietly.

use std::fmt;
use std::io::Write;

use crate::reactor::Closer;

/// The lines of a tool, until they are written.
#[derive(Default)]
pub struct Report {
    lines: Vec<u8>,
    to: Option<Box<dyn Write>>,
    /// What ends the tool when nobody reads any longer.
    closer: Option<Closer>,
}

impl Report {
    /// A report to `to`; `closer` ends whoever makes it if it can't be written.
    pub fn new(to: Box<dyn Write>, closer: Closer) -> Self {
        Self { lines: Vec::new(), to: Some(to), closer: Some(closer) }
    }

    /// Adds a line.
    pub fn line(&mut self, line: fmt::Arguments<'_>) {
        // Writing into memory succeeds.
        let _ = self.lines.write_fmt(line);
        self.lines.push(b'\n');
    }

    /// Writes what there is.
    pub fn write_out(&mut self) {
        if self.lines.is_empty() {
            return;
        }
        if let Some(to) = &mut self.to
            && to.write_all(&self.lines).and_then(|()| to.flush()).is_err()
        {
            self.to = None;
            if let Some(closer) = &self.closer {
                closer.close();
            }
        }
        self.lines.clear();
    }

    /// Takes the lines that aren't written; for tests.
    pub fn take(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.lines)).into_owned()
    }
}
