//! The command lines of the servers: `serve`, `kv`, `echo` and `upper`.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::arguments::{Arguments, Info, no_more};
use super::error::{CommandError, CommandErrors};
use super::server_help::{server_help, table};
use super::{Command, TOOLS, UsageError, environment, error, settings};
use crate::config::file::{self, FileSettings};
use crate::config::layers::Layers;
use crate::config::options::{DEMONSTRATION_MARK, Draft, foreign, server_options};
use crate::config::setting::{Origin, Setting};
use crate::config::{Apps, Config, Demonstration, Host, ServerCommand, Source};
use crate::text::io_error::describe;
use crate::text::suggest::nearest;

/// What the command line and the environment say about a server. Its configuration file is read
/// each time that the configuration is loaded.
#[derive(Debug)]
pub struct ServerPlan {
    command: ServerCommand,
    arguments: Vec<Setting>,
    variables: Vec<Setting>,
    file: Option<PathBuf>,
}

impl ServerPlan {
    /// The configuration, with the present content of the file.
    ///
    /// # Errors
    /// All mistakes in the file, or what is missing for an option.
    pub fn load(&self) -> Result<Config, CommandErrors> {
        let file = match &self.file {
            Some(path) => read(path, self.command)?,
            None => FileSettings::default(),
        };
        let wrong = |message| CommandErrors::from(CommandError::configuration(message));
        let layers = self.layers(file);
        let mut config = build(&layers).map_err(wrong)?;
        config.process.shown = settings::settings(&layers, &config);
        Ok(config)
    }

    fn layers(&self, file: FileSettings) -> Layers {
        let (arguments, variables) = (self.arguments.clone(), self.variables.clone());
        Layers { command: self.command, arguments, variables, file }
    }
}

/// Parses a command line that names no tool.
pub(super) fn parse(
    arguments: impl IntoIterator<Item = OsString>,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<Command, UsageError> {
    // The command may follow its options.
    let all: Vec<_> = server_options().collect();
    let mut arguments = Arguments::split(&all, foreign::sentence, arguments)?;
    let named = arguments.positional.first().and_then(named);
    if named.is_some() {
        arguments.positional.remove(0);
    }
    let command = named.unwrap_or(ServerCommand::Serve);
    match arguments.info {
        Some(Info::Help) => return Ok(Command::Help(server_help(command))),
        Some(Info::Version) => return Ok(Command::Version),
        None => {}
    }
    if let Some((option, _)) = arguments.given.iter().find(|(option, _)| !option.belongs_to(command)) {
        return Err(UsageError(format!("{} has no option --{}", command.name(), option.long)));
    }
    let mut draft = Draft::at(command.default_port());
    let is_given = |name: &str| arguments.given.iter().any(|(option, _)| option.variable() == name);
    let variable = |name: &str| variable(name).filter(|_| !is_given(name));
    let variables = environment::settings(&table(command), variable, &mut draft)?;
    arguments.apply(&mut draft)?;
    let setting = |(option, value)| Setting { option, values: vec![value], origin: Origin::Argument };
    let mut given: Vec<_> = arguments.given.into_iter().map(setting).collect();
    let mut positional = &arguments.positional[..];
    if let (ServerCommand::Serve, Some((root, rest))) = (command, positional.split_first()) {
        positional = rest;
        if named.is_none() && is_mistyped(Path::new(root)) {
            return Err(UsageError(unknown_word(Path::new(root))));
        }
        given.push(root_argument(root, &given)?);
    }
    no_more(positional)?;
    let plan = ServerPlan { command, arguments: given, variables, file: draft.command.config };
    if plan.file.is_none() {
        build(&plan.layers(FileSettings::default())).map_err(UsageError)?;
    }
    Ok(Command::Server(plan))
}

/// The argument ROOT, which is the option `--root`.
fn root_argument(root: &OsString, given: &[Setting]) -> Result<Setting, UsageError> {
    let option = server_options().find(|option| option.long == "root").expect("the option exists");
    if given.iter().any(|setting| setting.option.long == option.long) {
        return Err(UsageError("the root is given twice, by --root and as an argument".to_owned()));
    }
    let value = root.to_str().ok_or_else(|| UsageError(format!("the root {root:?} is not UTF-8")))?;
    Ok(Setting { option, values: vec![value.to_owned()], origin: Origin::Argument })
}

fn named(word: &OsString) -> Option<ServerCommand> {
    ServerCommand::ALL.into_iter().find(|command| word == command.name())
}

/// Makes the configuration.
///
/// # Errors
/// What is missing for an option.
fn build(layers: &Layers) -> Result<Config, String> {
    let mut draft = layers.draft()?;
    if layers.command == ServerCommand::Serve && layers.find("root").is_none() && layers.file.hosts.is_empty() {
        let root = default_root();
        draft.host.demonstration = demonstration_of(&draft.host, &root);
        draft.host.root = Some(root);
    }
    let hosts = layers.hosts()?;
    draft.check(&hosts)?;
    Ok(draft.build(layers.command, hosts))
}

/// Reads a configuration file for a command.
///
/// # Errors
/// If it can't be read, or all mistakes in it.
fn read(path: &Path, command: ServerCommand) -> Result<FileSettings, CommandErrors> {
    let unreadable = |why: String| {
        let message = format!("can't read the configuration file {}: {why}", path.display());
        CommandErrors::from(CommandError::configuration(message))
    };
    let mut content = Vec::new();
    let read = File::open(path).and_then(|file| file.take(file::LARGEST + 1).read_to_end(&mut content));
    match read {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let hint = error::sibling_file(path).map(|near| format!("; did you mean {near}?")).unwrap_or_default();
            return Err(unreadable(format!("no such file{hint}")));
        }
        Err(error) => return Err(unreadable(describe(&error))),
        Ok(length) if length as u64 > file::LARGEST => return Err(unreadable("it is too large".to_owned())),
        Ok(_) => {}
    }
    let text = String::from_utf8(content).map_err(|error| {
        let line = error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
        unreadable(format!("line {} is not UTF-8", line + 1))
    })?;
    let (settings, mistakes) = file::parse(&Arc::new(Source::new(path, text)), command);
    match mistakes.is_empty() {
        true => Ok(settings),
        false => Err(CommandErrors(mistakes.into_iter().map(CommandError::from).collect())),
    }
}

/// The root if none is given.
pub(super) fn default_root() -> PathBuf {
    PathBuf::from(if Path::new("public").is_dir() { "public" } else { "." })
}

/// Whether a site without a given root is the demonstration. It is, if its default root has
/// the mark and no option chooses applications or users.
fn demonstration_of(host: &Host, root: &Path) -> Demonstration {
    let asks =
        host.apps != Apps::Usual || host.users.is_some() || host.routes.iter().any(|route| route.app().is_some());
    match host.demonstration {
        Demonstration::Off if !asks && root.join(DEMONSTRATION_MARK).exists() => Demonstration::IfLocal,
        chosen => chosen,
    }
}

/// Whether the root was probably meant as a command: it is a plain word, and no such path
/// exists.
fn is_mistyped(root: &Path) -> bool {
    let is_word =
        root.to_str().is_some_and(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    is_word && !root.exists()
}

fn unknown_word(root: &Path) -> String {
    let word = root.to_string_lossy();
    let names = ServerCommand::ALL.map(ServerCommand::name).into_iter().chain(TOOLS.map(|(name, _)| name));
    let near = nearest(&word, names).map(str::to_owned).or_else(|| error::sibling(root));
    let hint = near.map(|name| format!("; did you mean {name}?")).unwrap_or_default();
    format!("unknown command or directory {word}{hint}")
}

#[cfg(test)]
mod tests;
