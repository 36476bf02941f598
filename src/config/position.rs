//! Where in a configuration file something is written, and how a mistake there is shown.
//!
//! ```text
//! site.toml:3:1: unknown key liting; did you mean listing?
//!   liting = true
//!   ^^^^^^
//! ```

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

/// A configuration file.
#[derive(PartialEq, Eq, Debug)]
pub struct Source {
    /// Its path, as the operator wrote it.
    pub path: PathBuf,
    /// Its content.
    pub text: String,
    /// Where its lines end.
    line_ends: Vec<usize>,
}

impl Source {
    /// A file with this content.
    pub fn new(path: impl Into<PathBuf>, text: String) -> Self {
        let line_ends = text.match_indices('\n').map(|(at, _)| at).collect();
        Self { path: path.into(), text, line_ends }
    }
}

/// Some bytes of a configuration file.
#[derive(Clone, PartialEq, Eq)]
pub struct Position {
    source: Arc<Source>,
    bytes: Range<usize>,
}

impl Position {
    /// These bytes of a file.
    pub fn new(source: &Arc<Source>, bytes: Range<usize>) -> Self {
        let floor = |at: usize| {
            let at = at.min(source.text.len());
            (0..=at).rev().find(|at| source.text.is_char_boundary(*at)).unwrap_or_default()
        };
        let start = floor(bytes.start);
        Self { source: Arc::clone(source), bytes: start..floor(bytes.end).max(start) }
    }

    /// Where in the text it is, in bytes.
    pub fn bytes(&self) -> Range<usize> {
        self.bytes.clone()
    }

    /// The number of the line, from 1.
    pub fn line(&self) -> usize {
        self.source.line_ends.partition_point(|end| *end < self.bytes.start) + 1
    }

    /// The number of the character in its line, from 1.
    pub fn column(&self) -> usize {
        self.source.text[self.line_start()..self.bytes.start].chars().count() + 1
    }

    /// The file and the number of the line.
    pub fn line_only(&self) -> String {
        format!("{}:{}", self.source.path.display(), self.line())
    }

    /// The line, and below it a mark under the bytes.
    pub fn excerpt(&self) -> String {
        let line = self.source.text[self.line_start()..].lines().next().unwrap_or_default();
        let before = &self.source.text[self.line_start()..self.bytes.start];
        // A tab stays one, so that the mark is below the bytes whatever its width is.
        let indent: String = before.chars().map(|char| if char == '\t' { '\t' } else { ' ' }).collect();
        let marked = self.source.text[self.bytes.clone()].lines().next().unwrap_or_default().chars().count();
        format!("  {line}\n  {indent}{}", "^".repeat(marked.max(1)))
    }

    fn line_start(&self) -> usize {
        self.source.text[..self.bytes.start].rfind('\n').map_or(0, |at| at + 1)
    }
}

/// As editors and compilers write it: `FILE:LINE:COLUMN`.
impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.source.path.display(), self.line(), self.column())
    }
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A mistake in a configuration file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mistake {
    /// Where it is.
    pub position: Position,
    /// What is wrong, and what may have been meant.
    pub message: String,
}

/// Where the settings of a host or route are written: a key and its position. The key of the
/// table itself is empty.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Positions(Vec<(String, Position)>);

impl Positions {
    /// Notes where a key is.
    pub fn add(&mut self, key: &str, position: Position) {
        self.0.push((key.to_owned(), position));
    }

    /// Where a key is, or else the table that would have it. None if it is in no file.
    pub fn of(&self, key: &str) -> Option<&Position> {
        let find = |key: &str| self.0.iter().find(|(known, _)| known == key).map(|(_, position)| position);
        find(key).or_else(|| find(""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Arc<Source> {
        Arc::new(Source::new("a.toml", text.to_owned()))
    }

    #[test]
    fn a_position_shows_its_line_with_a_mark() {
        let source = source("one\n\té = \"ü\" # x\nthree");
        let at = source.text.find('"').unwrap();
        let position = Position::new(&source, at..at + 4);
        assert_eq!(position.to_string(), "a.toml:2:6");
        assert_eq!(position.excerpt(), "  \té = \"ü\" # x\n  \t    ^^^");
        let end = Position::new(&source, source.text.len()..usize::MAX);
        assert_eq!((end.to_string().as_str(), end.excerpt().as_str()), ("a.toml:3:6", "  three\n       ^"));
        let empty = Position::new(&self::source(""), 5..5);
        assert_eq!((empty.to_string().as_str(), empty.excerpt().as_str()), ("a.toml:1:1", "  \n  ^"));
        // A span that begins within a character or goes over line ends is cut.
        let inside = source.text.find('é').unwrap() + 1;
        assert_eq!(Position::new(&source, inside..at + 40).excerpt(), "  \té = \"ü\" # x\n  \t^^^^^^^^^^^");
    }

    #[test]
    fn a_key_that_is_not_written_is_where_its_table_is() {
        let source = source("a\nb\n");
        let mut positions = Positions::default();
        assert_eq!(positions.of("root"), None);
        positions.add("", Position::new(&source, 0..1));
        positions.add("root", Position::new(&source, 2..3));
        assert_eq!(positions.of("root").unwrap().line(), 2);
        assert_eq!(positions.of("users").unwrap().line(), 1);
    }
}
