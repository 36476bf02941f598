//! The command lines of tools that are no servers: each has a table of options of its
//! own, from which parsing and help both come. They have no variables in the
//! environment: what they do is said anew each time.

use std::ffi::OsString;

use lexopt::Arg;

use super::UsageError;
use super::help::row;
use super::nearest::nearest;
use super::options::Value;

/// One option of a tool whose settings are a `D`.
pub(super) struct Opt<D> {
    pub(super) long: &'static str,
    pub(super) short: Option<char>,
    pub(super) value: Value,
    pub(super) help: &'static str,
    pub(super) apply: fn(&mut D, &str) -> Result<(), String>,
}

/// A tool.
pub(super) struct Tool<D: 'static> {
    pub(super) name: &'static str,
    /// What it does, and how it is called.
    pub(super) usage: &'static str,
    pub(super) options: &'static [Opt<D>],
    /// Whatever else is to be known, and examples.
    pub(super) more: &'static str,
}

/// What a command line of a tool says.
pub(super) enum Said<D> {
    /// To do that, with these arguments.
    Do(D, Vec<String>),
    /// To tell what it can do.
    Help(String),
    /// To tell the version.
    Version,
}

impl<D: Default> Tool<D> {
    /// Reads the arguments behind the tool's name.
    pub(super) fn parse(&self, arguments: impl IntoIterator<Item = OsString>) -> Result<Said<D>, UsageError> {
        let mut parser = lexopt::Parser::from_args(arguments);
        let (mut draft, mut places) = (D::default(), Vec::new());
        let utf8 = |text: OsString| text.into_string().map_err(|text| UsageError(format!("{text:?} is not UTF-8")));
        while let Some(argument) = parser.next().map_err(|error| UsageError(error.to_string()))? {
            let option = match argument {
                Arg::Value(place) => {
                    places.push(utf8(place)?);
                    continue;
                }
                Arg::Long("help") | Arg::Short('h') => return Ok(Said::Help(self.help())),
                Arg::Long("version") | Arg::Short('V') => return Ok(Said::Version),
                Arg::Long(long) => {
                    let found = self.options.iter().find(|option| option.long == long);
                    found.ok_or_else(|| self.no_such_option(long))?
                }
                Arg::Short(short) => {
                    let found = self.options.iter().find(|option| option.short == Some(short));
                    found.ok_or_else(|| UsageError(format!("{} has no option -{short}", self.name)))?
                }
            };
            let value = match option.value {
                Value::None => String::new(),
                Value::Required(name) | Value::Optional(name) => {
                    let value = parser.value();
                    utf8(value.map_err(|_| UsageError(format!("--{} needs a value: {name}", option.long)))?)?
                }
            };
            (option.apply)(&mut draft, &value)
                .map_err(|hint| UsageError(format!("--{}={value}: {hint}", option.long)))?;
        }
        Ok(Said::Do(draft, places))
    }

    fn no_such_option(&self, long: &str) -> UsageError {
        let sentence = format!("{} has no option --{long}", self.name);
        UsageError(match nearest(long, self.options.iter().map(|option| option.long)) {
            Some(name) => format!("{sentence}; did you mean --{name}?"),
            None => sentence,
        })
    }

    fn help(&self) -> String {
        let mut text = format!("{}\nOptions:\n", self.usage);
        for option in self.options {
            row(&mut text, option.short, option.long, option.value, option.help);
        }
        row(&mut text, Some('h'), "help", Value::None, "tell this");
        row(&mut text, Some('V'), "version", Value::None, "tell the version");
        text + "\n" + self.more
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Command, parse};
    use std::ffi::OsString;

    fn run(arguments: &[&str]) -> Result<Command, super::UsageError> {
        parse(arguments.iter().map(OsString::from), |_| None)
    }

    #[test]
    fn mistakes_are_told() {
        for (arguments, hint) in [
            (&["connect", "--upd", "a", "1"][..], "connect has no option --upd; did you mean --udp?"),
            (&["get", "-Z"], "get has no option -Z"),
            (&["get", "--repeat"], "--repeat needs a value"),
            (&["get", "--repeat", "0", "http://a/"], "at least 1"),
            (&["get"], "give a URL, or HOST PORT FILE"),
            (&["get", "a", "b"], "give a URL, or HOST PORT FILE"),
            (&["connect", "a"], "give HOST PORT"),
            (&["connect", "a", "x"], "port"),
        ] {
            let error = run(arguments).expect_err("wrong").0;
            assert!(error.contains(hint), "{arguments:?}: {error}");
        }
    }

    #[test]
    fn help_has_every_option_and_fits() {
        for tool in ["connect", "get"] {
            let Ok(Command::Help(text)) = run(&[tool, "--help"]) else { panic!("no help") };
            assert!(text.contains("Examples:") && text.lines().all(|line| line.len() <= 100), "{text}");
            assert!(matches!(run(&[tool, "-V"]), Ok(Command::Version)));
        }
    }
}
