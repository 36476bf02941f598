//! Reads one table of a configuration file: each key is taken once, and what is left over is
//! unknown.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::value::{self, Written};
use crate::config::options::{Draft, Opt, ServerDraft, foreign};
use crate::config::setting::{Origin, Setting};
use crate::config::{Mistake, Position, Positions, Source};
use crate::text::suggest::did_you_mean;

/// A key with its value.
struct Entry<'t> {
    /// The key as it is written.
    key: &'t str,
    span: Range<usize>,
    value: &'t Spanned<DeValue<'t>>,
}

impl Entry<'_> {
    /// The key with hyphens.
    fn name(&self) -> String {
        self.key.replace('_', "-")
    }
}

/// A table, as far as its keys aren't taken yet.
pub(super) struct Table<'t> {
    source: &'t Arc<Source>,
    /// Bytes of the file before the text that the spans count from.
    skipped: usize,
    entries: Vec<Entry<'t>>,
    /// Where the table is.
    span: Range<usize>,
    pub(super) mistakes: &'t mut Vec<Mistake>,
}

impl<'t> Table<'t> {
    /// A table of a file, at `span`.
    pub(super) fn new(
        source: &'t Arc<Source>,
        skipped: usize,
        table: &'t DeTable<'t>,
        span: Range<usize>,
        mistakes: &'t mut Vec<Mistake>,
    ) -> Self {
        let mut this = Self { source, skipped, entries: Vec::new(), span, mistakes };
        for (key, value) in table {
            this.entries.push(Entry { key: key.get_ref(), span: key.span(), value });
        }
        // In the order of the file.
        this.entries.sort_by_key(|entry| entry.span.start);
        this
    }

    /// Where some bytes are.
    pub(super) fn position(&self, span: &Range<usize>) -> Position {
        Position::new(self.source, span.start + self.skipped..span.end + self.skipped)
    }

    /// Where the table itself is.
    pub(super) fn own_position(&self) -> Position {
        self.position(&self.span)
    }

    /// Notes a mistake.
    pub(super) fn wrong(&mut self, span: &Range<usize>, message: impl Into<String>) {
        let position = self.position(span);
        self.mistakes.push(Mistake { position, message: message.into() });
    }

    /// Notes a mistake of the table itself.
    pub(super) fn wrong_here(&mut self, message: impl Into<String>) {
        let span = self.span.clone();
        self.wrong(&span, message);
    }

    /// The directory that relative paths are relative to.
    pub(super) fn directory(&self) -> &'t Path {
        self.source.path.parent().unwrap_or(Path::new(""))
    }

    /// Takes a key: where it is, and its value.
    pub(super) fn take(&mut self, key: &str) -> Option<(Range<usize>, &'t Spanned<DeValue<'t>>)> {
        let at = self.entries.iter().position(|entry| entry.name() == key)?;
        let Entry { span, value, .. } = self.entries.remove(at);
        if let Some(second) = self.entries.iter().position(|entry| entry.name() == key) {
            let span = self.entries.remove(second).span;
            self.wrong(&span, format!("{key} is given twice, with hyphens and with underscores"));
        }
        Some((span, value))
    }

    /// Takes all keys, as they are written: name, where it is, and value.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = (&'t str, Range<usize>, &'t DeValue<'t>)> + use<'t> {
        std::mem::take(&mut self.entries).into_iter().map(|entry| (entry.key, entry.span, entry.value.get_ref()))
    }

    /// Takes a key and parses its value by `read`, whose error is a hint. Its position is noted.
    pub(super) fn get<T>(
        &mut self,
        key: &str,
        positions: &mut Positions,
        read: impl FnOnce(&DeValue<'_>) -> Result<T, String>,
    ) -> Option<T> {
        let (span, value) = self.take(key)?;
        positions.add(key, self.position(&span));
        match read(value.get_ref()) {
            Ok(value) => Some(value),
            Err(hint) => {
                self.wrong(&value.span(), format!("{key}: {hint}"));
                None
            }
        }
    }

    /// Takes a key whose value is a table, and calls `read` with it.
    pub(super) fn table<T>(
        &mut self,
        key: &str,
        positions: &mut Positions,
        read: impl FnOnce(&mut Table<'_>) -> Option<T>,
    ) -> Option<T> {
        let (span, value) = self.take(key)?;
        positions.add(key, self.position(&span));
        let Some(table) = value.get_ref().as_table() else {
            self.wrong(&value.span(), format!("{key}: give a table, like {key} = {{ … }}"));
            return None;
        };
        read(&mut Table::new(self.source, self.skipped, table, span, self.mistakes))
    }

    /// The table that a value is, if it is one.
    pub(super) fn inner<'s>(&'s mut self, value: &'s Spanned<DeValue<'s>>) -> Option<Table<'s>> {
        let table = value.get_ref().as_table()?;
        Some(Table::new(self.source, self.skipped, table, value.span(), self.mistakes))
    }

    /// Takes a key whose value is an array of tables, and calls `read` with each.
    /// `name` is how it is written in a file.
    pub(super) fn tables(&mut self, key: &str, name: &str, mut read: impl FnMut(&mut Table<'_>)) {
        let Some((span, value)) = self.take(key) else { return };
        let Some(array) = value.get_ref().as_array().filter(|array| array.iter().all(|one| one.get_ref().is_table()))
        else {
            self.wrong(&span, format!("write [[{name}]] above the settings of each, with two brackets"));
            return;
        };
        for value in array {
            if let Some(mut table) = self.inner(value) {
                read(&mut table);
            }
        }
    }

    /// Takes the keys that are options. Each value is tried on `draft`.
    pub(super) fn settings(
        &mut self,
        options: impl Iterator<Item = &'static Opt<ServerDraft>>,
        draft: &mut Draft<ServerDraft>,
    ) -> Vec<Setting> {
        let mut settings = Vec::new();
        for option in options {
            let Some((span, value)) = self.take(option.long) else { continue };
            let mut values = Vec::new();
            match value::texts(option, value) {
                Err(Written { span, hint }) => self.wrong(&span, format!("{}: {hint}", option.long)),
                Ok(texts) => {
                    for (text, span) in texts {
                        let text = (option.relative)(&text, self.directory());
                        if let Err(hint) = option.apply(draft, &text) {
                            self.wrong(&span, format!("{}: {hint}", option.long));
                        }
                        values.push(text);
                    }
                }
            }
            settings.push(Setting { option, values, origin: Origin::File(self.position(&span)) });
        }
        settings
    }

    /// Reports all keys that weren't taken. `known` are the names that may be meant.
    pub(super) fn finish<'k>(&mut self, known: impl Iterator<Item = &'k str> + Clone) {
        for (key, span, _) in self.take_all() {
            let name = key.replace('_', "-");
            let hint = match foreign::sentence(&name) {
                Some(sentence) => format!(": {sentence}"),
                None => did_you_mean("", &name, known.clone()),
            };
            self.wrong(&span, format!("unknown key {name}{hint}"));
        }
    }
}
