//! The text of `--help`, made from the tables of options.

use std::fmt::Write;

use crate::config::options::{Draft, Opt, Value};

/// Where the second column begins.
const COLUMN: usize = 34;
/// Where lines end.
pub(super) const WIDTH: usize = 100;

/// Appends the rows of `--help` and `--version`.
pub(super) fn info_rows(text: &mut String) {
    columns(text, "  -h, --help", "print this help");
    columns(text, "  -V, --version", "print the version");
}

/// The row of an option.
pub(super) fn row<D>(text: &mut String, option: &Opt<D>, defaults: &Draft<D>) {
    let short = option.short.map_or("    ".to_owned(), |short| format!("-{short}, "));
    let value = match option.value {
        Value::None => String::new(),
        Value::Required(name) => format!(" {name}"),
        Value::Optional(name) => format!("[={name}]"),
    };
    let mut help = option.help.to_owned();
    if option.repeatable && option.value != Value::None {
        help += "; repeatable";
    }
    let default = (option.default)(defaults);
    if !default.is_empty() {
        help += &format!(" (default: {default})");
    }
    columns(text, &format!("  {short}--{}{value}", option.long), &help);
}

/// Appends two columns; the second is wrapped.
fn columns(text: &mut String, first: &str, second: &str) {
    let mut line = first.to_owned();
    line += if line.len() < COLUMN { "" } else { " " };
    let _ = write!(line, "{:1$}", "", COLUMN.saturating_sub(line.len()));
    for (at, word) in second.split(' ').enumerate() {
        if line.len() + 1 + word.len() > WIDTH {
            *text += line.trim_end();
            *text += "\n";
            line = " ".repeat(COLUMN);
        } else if at > 0 {
            line += " ";
        }
        line += word;
    }
    *text += &line;
    *text += "\n";
}
