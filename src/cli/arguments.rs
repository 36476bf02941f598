//! Parses arguments by a table of options, for all commands.
//!
//! ```text
//! arguments ──split──► given options, positional arguments, --help or --version
//!                          │
//!                        apply ──► Draft
//! ```
//!
//! Options and positional arguments may be mixed.

use std::ffi::OsString;

use lexopt::Arg;

use super::help;
use super::{Command, UsageError};
use crate::config::options::{Draft, Opt, Value};
use crate::text::suggest::did_you_mean;

/// What a command line requests instead of its command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Info {
    Help,
    Version,
}

/// A parsed command line.
pub(super) struct Arguments<D: 'static> {
    pub(super) given: Vec<(&'static Opt<D>, String)>,
    pub(super) positional: Vec<OsString>,
    pub(super) info: Option<Info>,
}

impl<D> Arguments<D> {
    /// Splits the arguments. After `--help` or `--version`, errors are ignored. `explain`
    /// returns a sentence about an option that isn't in the table.
    pub(super) fn split(
        table: &[&'static Opt<D>],
        explain: fn(&str) -> Option<&'static str>,
        arguments: impl IntoIterator<Item = OsString>,
    ) -> Result<Self, UsageError> {
        let mut parser = lexopt::Parser::from_args(arguments);
        let mut this = Self { given: Vec::new(), positional: Vec::new(), info: None };
        loop {
            match this.take(table, explain, &mut parser) {
                Ok(true) => {}
                Err(error) if this.info.is_none() => return Err(error),
                Ok(false) | Err(_) => return Ok(this),
            }
        }
    }

    /// Takes the next argument; false if there is none.
    fn take(
        &mut self,
        table: &[&'static Opt<D>],
        explain: fn(&str) -> Option<&'static str>,
        parser: &mut lexopt::Parser,
    ) -> Result<bool, UsageError> {
        let Some(argument) = parser.next().map_err(|error| UsageError(error.to_string()))? else { return Ok(false) };
        let option = match argument {
            Arg::Value(value) => {
                self.positional.push(value);
                return Ok(true);
            }
            Arg::Long("help") | Arg::Short('h') => {
                self.info.get_or_insert(Info::Help);
                return Ok(true);
            }
            Arg::Long("version") | Arg::Short('V') => {
                self.info.get_or_insert(Info::Version);
                return Ok(true);
            }
            Arg::Long(long) => *table
                .iter()
                .find(|option| option.long == long)
                .ok_or_else(|| unknown("--", long, explain, table.iter().map(|option| option.long)))?,
            Arg::Short(short) => *table
                .iter()
                .find(|option| option.short == Some(short))
                .ok_or_else(|| unknown("-", &short.to_string(), explain, []))?,
        };
        let value = match option.value {
            Value::None => None,
            Value::Required(name) => {
                Some(parser.value().map_err(|_| UsageError(format!("--{} needs a value: {name}", option.long)))?)
            }
            Value::Optional(_) => parser.optional_value(),
        };
        let text = value.unwrap_or_default().into_string();
        let text = text.map_err(|_| UsageError(format!("the value of --{} is not UTF-8", option.long)))?;
        self.given.push((option, text));
        Ok(true)
    }

    /// Sets the given options in their order.
    pub(super) fn apply(&self, draft: &mut Draft<D>) -> Result<(), UsageError> {
        for (option, value) in &self.given {
            let wrong = |hint| UsageError(format!("--{}{}: {hint}", option.long, option.shown(value)));
            option.apply(draft, value).map_err(wrong)?;
        }
        Ok(())
    }
}

/// The error for an option that isn't in the table; `known` are names that may be meant.
fn unknown<'a>(
    hyphens: &str,
    name: &str,
    explain: fn(&str) -> Option<&'static str>,
    known: impl IntoIterator<Item = &'a str>,
) -> UsageError {
    let hint = match explain(name) {
        Some(sentence) => format!(": {sentence}"),
        None => did_you_mean(hyphens, name, known),
    };
    UsageError(format!("unknown option {hyphens}{name}{hint}"))
}

/// A command that has its own table.
pub(super) struct Tool<D: 'static> {
    /// Its purpose and its synopsis.
    pub(super) usage: &'static str,
    pub(super) options: &'static [Opt<D>],
    /// Those that are about its sockets, if it has any.
    pub(super) tap: &'static [Opt<D>],
    /// The defaults.
    pub(super) defaults: fn() -> Draft<D>,
    /// The end of help: exit codes and examples.
    pub(super) more: &'static str,
}

impl<D> Tool<D> {
    /// Parses the arguments after the tool's name. `command` makes the command from the
    /// options and the positional arguments, unless help or the version is requested.
    pub(super) fn parse(
        &self,
        arguments: Vec<OsString>,
        command: impl FnOnce(Draft<D>, Vec<String>) -> Result<Command, UsageError>,
    ) -> Result<Command, UsageError> {
        let table: Vec<_> = self.all_options().collect();
        let arguments = Arguments::split(&table, |_| None, arguments)?;
        match arguments.info {
            Some(Info::Help) => return Ok(Command::Help(self.help())),
            Some(Info::Version) => return Ok(Command::Version),
            None => {}
        }
        let mut draft = (self.defaults)();
        arguments.apply(&mut draft)?;
        draft.process.tap.check().map_err(UsageError)?;
        let utf8 = |text: OsString| text.into_string().map_err(|text| UsageError(format!("{text:?} is not UTF-8")));
        let positional = arguments.positional.into_iter().map(utf8).collect::<Result<_, _>>()?;
        command(draft, positional)
    }

    /// All of its options.
    pub(super) fn all_options(&self) -> impl Iterator<Item = &'static Opt<D>> {
        self.options.iter().chain(self.tap)
    }

    /// The text of `--help`.
    pub(super) fn help(&self) -> String {
        let mut text = format!("{}\nOptions:\n", self.usage);
        let defaults = (self.defaults)();
        for option in self.all_options() {
            help::row(&mut text, option, &defaults);
        }
        help::info_rows(&mut text);
        text + "\n" + self.more
    }
}

/// Fails if arguments are left over.
pub(super) fn no_more(positional: &[impl AsRef<std::ffi::OsStr>]) -> Result<(), UsageError> {
    match positional.first() {
        Some(extra) => Err(UsageError(format!("unexpected argument {:?}", extra.as_ref()))),
        None => Ok(()),
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
    fn mistakes_are_reported_with_a_hint() {
        for (arguments, hint) in [
            (&["connect", "--upd", "a", "1"][..], "unknown option --upd; did you mean --udp?"),
            (&["get", "-Z"], "unknown option -Z"),
            (&["--header", "a: b"], "unknown option --header: routes of a configuration file"),
            (&["ping", "--gzip", "a"], "unknown option --gzip"),
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
    fn no_message_shows_a_secret() {
        let variable = |name: &str| {
            let value = match name {
                "MIOD_SESSIONS" => "redis://:s3cr/et@h/0",
                _ => return None,
            };
            Some(OsString::from(value))
        };
        let error = parse([] as [OsString; 0], variable).expect_err("no host").0;
        assert!(error.starts_with("MIOD_SESSIONS: give a valid HOST:PORT; write / in a password as %2F"), "{error}");
        for arguments in [
            &["--sessions", "redis://:s3cr/et@h/0"][..],
            &["kv", "--token", "s3cr et"],
            &["sessions", "dump", "redis://:s3cr/et@h/0"],
        ] {
            let error = run(arguments).expect_err("wrong").0;
            assert!(!error.contains("s3cr"), "{arguments:?}: {error}");
        }
        // Kubernetes describes a service named miod by such a variable.
        let port = |name: &str| (name == "MIOD_PORT").then(|| OsString::from("tcp://10.96.12.34:8080"));
        let Ok(Command::Server(plan)) = parse([] as [OsString; 0], port) else { panic!("it isn't a port") };
        assert_eq!(plan.load().unwrap().listeners[0].port, 8080);
    }

    #[test]
    fn help_and_version_are_commands_too() {
        for (words, flags) in [
            (&["help"][..], &["--help"][..]),
            (&["help", "get"], &["get", "--help"]),
            (&["help", "kv"], &["kv", "--help"]),
        ] {
            let (Ok(Command::Help(by_word)), Ok(Command::Help(by_flag))) = (run(words), run(flags)) else {
                panic!("no help")
            };
            assert_eq!(by_word, by_flag);
        }
        assert_eq!(run(&["help", "caching"]).err().unwrap().0, "there is no command caching");
        assert!(matches!(run(&["version"]), Ok(Command::Version)));
    }

    #[test]
    fn help_lists_the_options_and_fits_the_terminal() {
        for tool in ["connect", "get", "mail", "sessions", "cache", "report"] {
            let Ok(Command::Help(text)) = run(&[tool, "--help"]) else { panic!("no help") };
            assert!(text.contains("Examples:") && text.lines().all(|line| line.len() <= 100), "{text}");
            assert!(matches!(run(&[tool, "-V"]), Ok(Command::Version)));
            assert!(matches!(run(&[tool, "-V", "--wrong"]), Ok(Command::Version)), "an error after -V is ignored");
        }
    }
}
