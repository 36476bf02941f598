//! The command line: what an operator writes, as plain data.
//!
//! ```text
//! arguments, environment ─► parse ─► Command ─► main
//!                             │
//!                     the table of options ─► help
//! ```
//!
//! Values come from three places: the defaults of [`Config`], variables of the
//! environment (`MIOD_IDLE_TIMEOUT`), and options (`--idle-timeout`), and the
//! later beats the earlier. Nothing is read here but what [`parse`] is given, and
//! the resolver for names to listen at; so tests need no process.
//!
//! Around it: [`banner`] tells what a server does once it runs, [`failure`] why
//! it doesn't.

pub mod banner;
mod connect;
pub mod datagrams;
pub mod failure;
mod get;
mod help;
mod holder;
mod nearest;
mod options;
pub mod passwd;
mod prompt;
pub mod sessions;
mod tool;
mod values;

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use lexopt::Arg;

use crate::client;
use crate::config::{self, Config, LineConfig};
use crate::logging::Settings;
use crate::reactor::Endpoint;
use datagrams::DatagramOptions;
use nearest::nearest;
use options::{Draft, FLAGS, Flag, Value};

/// What to do.
#[derive(Debug)]
pub enum Command {
    /// Serve files and applications over HTTP.
    Serve(ServeOptions),
    /// Serve keys and values over HTTP.
    Kv(ServeOptions),
    /// Look into a store of sessions.
    Sessions(sessions::Task),
    /// Send every octet back.
    Echo(LineOptions),
    /// Send every line back in upper case.
    Upper(LineOptions),
    /// Do something with datagrams.
    Datagrams(DatagramOptions),
    /// Talk to a service.
    Connect(client::connect::ConnectPlan),
    /// Ask an HTTP server.
    Get(client::get::GetRequest),
    /// Write a password file.
    Passwd(passwd::Options),
    /// Tell this.
    Help(String),
    /// Tell the version.
    Version,
}

/// The options of `serve` and `kv`.
#[derive(Debug)]
pub struct ServeOptions {
    /// Those of the server.
    pub config: Config,
    /// Those of logging.
    pub logging: Settings,
}

/// The options of `echo` and `upper`.
#[derive(Debug)]
pub struct LineOptions {
    /// Those of the server.
    pub config: LineConfig,
    /// Those of logging.
    pub logging: Settings,
}

/// What is wrong with the command line: a sentence, and what may have been meant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UsageError(pub String);

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (miod --help tells more)", self.0)
    }
}

impl std::error::Error for UsageError {}

/// The commands by name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Name {
    Serve,
    Kv,
    Echo,
    Upper,
}

impl Name {
    const ALL: [Name; 4] = [Name::Serve, Name::Kv, Name::Echo, Name::Upper];

    fn as_str(self) -> &'static str {
        match self {
            Self::Serve => "serve",
            Self::Kv => "kv",
            Self::Echo => "echo",
            Self::Upper => "upper",
        }
    }

    fn default_port(self) -> u16 {
        match self {
            Self::Serve => config::HTTP_PORT,
            Self::Kv => config::KV_PORT,
            Self::Echo => config::ECHO_PORT,
            Self::Upper => config::UPPER_PORT,
        }
    }
}

/// The tools that are no servers; their names come first.
type ParseTool = fn(Vec<OsString>) -> Result<Command, UsageError>;
const TOOLS: [(&str, ParseTool); 7] = [
    ("sessions", |all| sessions::parse(all)),
    ("passwd", |all| passwd::parse(all)),
    ("connect", |all| connect::parse(all)),
    ("get", |all| get::parse(all)),
    ("udp", datagrams::parse_udp),
    ("ping", datagrams::parse_ping),
    ("heartbeat", datagrams::parse_heartbeat),
];

/// Reads the arguments, without the program's name, and the environment, by
/// `variable`.
///
/// # Errors
/// If that isn't a command line of ours.
pub fn parse(
    arguments: impl IntoIterator<Item = OsString>,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<Command, UsageError> {
    let mut arguments = arguments.into_iter().peekable();
    let tool = TOOLS.iter().find(|(name, _)| arguments.peek().is_some_and(|first| first == name));
    if let Some((_, parse)) = tool {
        return parse(arguments.skip(1).collect());
    }
    let (given, places) = split(arguments)?;
    let mut places = places.into_iter().peekable();
    let command = places.next_if(|place| command_named(place).is_some()).and_then(|place| command_named(&place));
    let (named, command) = (command.is_some(), command.unwrap_or(Name::Serve));
    if given.iter().any(|(flag, _)| flag.long == "help") {
        return Ok(Command::Help(help::help(command)));
    }
    if given.iter().any(|(flag, _)| flag.long == "version") {
        return Ok(Command::Version);
    }

    let mut draft = Draft::default();
    from_environment(&mut draft, command, &given, variable)?;
    for (flag, value) in &given {
        if !flag.commands.contains(&command) {
            return Err(UsageError(format!("{} has no option --{}", command.as_str(), flag.long)));
        }
        (flag.apply)(&mut draft, value).map_err(|hint| UsageError(format!("--{}={value}: {hint}", flag.long)))?;
    }
    if let Some(root) = places.next_if(|_| command == Name::Serve) {
        let root = PathBuf::from(root);
        if !named && is_mistyped(&root) {
            return Err(UsageError(no_such_command(&root)));
        }
        draft.config.root = root;
    } else if command == Name::Serve {
        draft.config.root = default_root();
    }
    if let Some(extra) = places.next() {
        return Err(UsageError(format!("{extra:?} is one argument too many")));
    }
    finish(draft, command)
}

/// The options that are given, with their values, and the other arguments.
type Split = (Vec<(&'static Flag, String)>, Vec<OsString>);

fn split(arguments: impl IntoIterator<Item = OsString>) -> Result<Split, UsageError> {
    let mut parser = lexopt::Parser::from_args(arguments);
    let (mut given, mut places) = (Vec::new(), Vec::new());
    while let Some(argument) = parser.next().map_err(|error| UsageError(error.to_string()))? {
        let flag = match argument {
            Arg::Value(place) => {
                places.push(place);
                continue;
            }
            Arg::Long(long) => FLAGS.iter().find(|flag| flag.long == long).ok_or_else(|| no_such_option(long))?,
            Arg::Short(short) => FLAGS
                .iter()
                .find(|flag| flag.short == Some(short))
                .ok_or_else(|| UsageError(format!("there is no option -{short}")))?,
        };
        let value = match flag.value {
            Value::None => None,
            Value::Required(name) => {
                Some(parser.value().map_err(|_| UsageError(format!("--{} needs a value: {name}", flag.long)))?)
            }
            Value::Optional(_) => parser.optional_value(),
        };
        let text = value.unwrap_or_default().into_string();
        let text = text.map_err(|text| UsageError(format!("--{}: {text:?} is not UTF-8", flag.long)))?;
        given.push((flag, text));
    }
    Ok((given, places))
}

/// Applies the variables of those options that aren't given.
fn from_environment(
    draft: &mut Draft,
    command: Name,
    given: &[(&Flag, String)],
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<(), UsageError> {
    for flag in FLAGS.iter().filter(|flag| flag.in_environment && flag.commands.contains(&command)) {
        let name = flag.variable();
        let is_given = given.iter().any(|(other, _)| other.long == flag.long);
        let Some(value) = variable(&name).filter(|_| !is_given) else { continue };
        let value = value.to_str().ok_or_else(|| UsageError(format!("{name}: {value:?} is not UTF-8")))?;
        let wrong = |hint: String| UsageError(format!("{name}={value}: {hint}"));
        match flag.value {
            Value::None => {
                if values::switch(value).map_err(wrong)? {
                    (flag.apply)(draft, "").map_err(wrong)?;
                }
            }
            // The empty variable is as good as none.
            _ if value.is_empty() => {}
            // A switch, or names.
            Value::Optional(_) => match values::switch(value) {
                Ok(true) => (flag.apply)(draft, "").map_err(wrong)?,
                Ok(false) => {}
                Err(_) => (flag.apply)(draft, value).map_err(wrong)?,
            },
            Value::Required(_) if flag.repeatable => {
                for part in values::names(value) {
                    (flag.apply)(draft, &part).map_err(wrong)?;
                }
            }
            Value::Required(_) => (flag.apply)(draft, value).map_err(wrong)?,
        }
    }
    Ok(())
}

fn finish(draft: Draft, command: Name) -> Result<Command, UsageError> {
    let Draft { mut config, logging, binds, port, delay, chaos } = draft;
    config.port = port.unwrap_or(command.default_port());
    let mut endpoints: Vec<Endpoint> = Vec::new();
    for bind in &binds {
        let found =
            values::endpoints(bind, config.port).map_err(|hint| UsageError(format!("--bind={bind}: {hint}")))?;
        for endpoint in found {
            if !endpoints.contains(&endpoint) {
                endpoints.push(endpoint);
            }
        }
    }
    config.endpoints = endpoints;
    let line = |config: Config| LineConfig {
        endpoints: config.endpoints,
        port: config.port,
        send_timeout: config.send_timeout,
        max_connections: config.max_connections,
        max_memory: config.max_memory,
        delay,
        chaos,
    };
    Ok(match command {
        Name::Serve => Command::Serve(ServeOptions { config, logging }),
        Name::Kv => Command::Kv(ServeOptions { config, logging }),
        Name::Echo => Command::Echo(LineOptions { config: line(config), logging }),
        Name::Upper => Command::Upper(LineOptions { config: line(config), logging }),
    })
}

fn command_named(place: &OsString) -> Option<Name> {
    Name::ALL.into_iter().find(|name| place == name.as_str())
}

/// The root if none is given.
fn default_root() -> PathBuf {
    PathBuf::from(if Path::new("public").is_dir() { "public" } else { "." })
}

/// A bare word that is no directory was probably meant as a command.
fn is_mistyped(root: &Path) -> bool {
    let is_word = root.to_str().is_some_and(|text| !text.is_empty() && text.bytes().all(|o| o.is_ascii_alphanumeric()));
    is_word && !root.exists()
}

fn no_such_command(root: &Path) -> String {
    let word = root.to_string_lossy();
    let sentence = format!("there is neither a command nor a directory {word}");
    let names = Name::ALL.map(Name::as_str).into_iter().chain(TOOLS.map(|(name, _)| name));
    match nearest(&word, names).map(str::to_owned).or_else(|| failure::sibling(root)) {
        Some(name) => format!("{sentence}; did you mean {name}?"),
        None => sentence,
    }
}

fn no_such_option(long: &str) -> UsageError {
    let sentence = format!("there is no option --{long}");
    UsageError(match nearest(long, FLAGS.iter().map(|flag| flag.long)) {
        Some(name) => format!("{sentence}; did you mean --{name}?"),
        None => sentence,
    })
}

/// Writes to standard output. That nobody reads it is no failure of ours, so
/// errors count for nothing; `println!` would panic.
pub fn say(text: &str) {
    let mut stdout = io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// Writes `miod: sentence` to standard error, if it can.
pub fn complain(sentence: impl fmt::Display) {
    // What was given may hold what a terminal obeys, or an end of line.
    let line = sentence.to_string().replace(char::is_control, "\u{fffd}");
    let _ = writeln!(io::stderr(), "miod: {line}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Apps, SessionStore};
    use crate::files::resolve::Symlinks;
    use crate::http::forwarded::Proxies;
    use crate::logging::AccessLog;
    use crate::session::record::Lifetime;
    use std::time::Duration;

    fn run(arguments: &str, variables: &[(&str, &str)]) -> Result<Command, UsageError> {
        let variable = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| OsString::from(value));
        parse(arguments.split_whitespace().map(OsString::from), variable)
    }

    fn serve(arguments: &str, variables: &[(&str, &str)]) -> ServeOptions {
        match run(arguments, variables) {
            Ok(Command::Serve(options)) => options,
            other => panic!("{arguments}: {other:?}"),
        }
    }

    fn wrong(arguments: &str, variables: &[(&str, &str)]) -> String {
        run(arguments, variables).expect_err(arguments).0
    }

    fn at(endpoints: &[Endpoint]) -> Vec<String> {
        endpoints.iter().map(Endpoint::to_string).collect()
    }

    #[test]
    fn nothing_means_serve_with_the_defaults() {
        let ServeOptions { config, logging } = serve("", &[]);
        let expected = Config { root: default_root(), ..Config::default() };
        assert_eq!(format!("{config:?}"), format!("{expected:?}"));
        assert_eq!(logging, Settings::default());
    }

    #[test]
    fn every_option_arrives() {
        let ServeOptions { config, logging } = serve(
            "serve -b 0.0.0.0 --bind=[::1]:81 -b unix:/tmp/s -p 9000 --listing --symlinks none --cache-control max-age=60 \
             --cache-size 2M --max-memory 9M --etag-inode --media-type x=text/x --media-type=y=text/y --spa index.html \
             --header-timeout 1 --idle-timeout 2.5 --body-timeout 3 --send-timeout 4 --body-limit 5K \
             --max-connections 6 --max-per-address 7 --auth /a=b=c --auth /d=e --users f --trusted-proxy 10.0.0.0/8 \
             --trusted-proxy unix --no-server-header --access-log /tmp/log --app /a=lab \
             --apps=one,two --quiz /q.json --kv 127.0.0.1 --data /tmp/d --token t --capacity 1M \
             --sessions cookie --session-key /tmp/key --session-cookie sid --session-idle 5m \
             --session-max 7d -vv -q /srv",
            &[],
        );
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        let mut trusted_proxies = Proxies::default();
        trusted_proxies.add("10.0.0.0/8").and_then(|()| trusted_proxies.add("unix")).unwrap();
        let expected = Config {
            root: PathBuf::from("/srv"),
            endpoints: config.endpoints.clone(),
            port: 9000,
            listing: true,
            symlinks: Symlinks::None,
            cache_control: "max-age=60".to_owned(),
            cache_size: 2 << 20,
            max_memory: 9 << 20,
            etag_inode: true,
            media_types: vec![pair("x", "text/x"), pair("y", "text/y")],
            spa: Some("index.html".to_owned()),
            header_timeout: Duration::from_secs(1),
            idle_timeout: Duration::from_millis(2500),
            body_timeout: Duration::from_secs(3),
            send_timeout: Duration::from_secs(4),
            body_limit: 5120,
            max_connections: Some(6),
            max_per_address: Some(7),
            auth: vec![("/a".to_owned(), "b=c".into()), ("/d".to_owned(), "e".into())],
            users: Some("f".into()),
            trusted_proxies,
            server_field: false,
            apps: Apps::Only(vec!["one".to_owned(), "two".to_owned()]),
            quiz: Some(PathBuf::from("/q.json")),
            mounts: vec![pair("/a", "lab")],
            kv: vec![Endpoint::Tcp(([127, 0, 0, 1], config::KV_PORT).into())],
            token: Some("t".to_owned()),
            capacity: 1 << 20,
            data: Some(PathBuf::from("/tmp/d")),
            sessions: SessionStore::Cookie,
            session_key: Some(PathBuf::from("/tmp/key")),
            session_cookie: "sid".to_owned(),
            session_lifetime: Lifetime { idle: Duration::from_secs(300), most: Duration::from_secs(604_800) },
        };
        assert_eq!(format!("{config:?}"), format!("{expected:?}"));
        assert_eq!(at(&config.endpoints), ["0.0.0.0:9000", "[::1]:81", "unix:/tmp/s"]);
        assert_eq!(logging, Settings { verbosity: 1, access: AccessLog::File(PathBuf::from("/tmp/log")) });
        assert_eq!(serve("--access-log - -qq", &[]).logging, Settings { verbosity: -2, access: AccessLog::Stdout });
    }

    #[test]
    fn applications() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        for (arguments, variables, expected) in [
            ("", &[][..], Apps::IfLocal),
            ("--apps", &[], Apps::AllBut(names(&[]))),
            ("--no-apps", &[], Apps::Only(names(&[]))),
            ("--no-apps=a,b", &[], Apps::AllBut(names(&["a", "b"]))),
            ("", &[("MIOD_APPS", "1")], Apps::AllBut(names(&[]))),
            ("", &[("MIOD_APPS", "0")], Apps::IfLocal),
            ("", &[("MIOD_APPS", "a,b")], Apps::Only(names(&["a", "b"]))),
            ("", &[("MIOD_NO_APPS", "yes")], Apps::Only(names(&[]))),
            ("--apps=c", &[("MIOD_NO_APPS", "a")], Apps::Only(names(&["c"]))),
        ] {
            assert_eq!(serve(arguments, variables).config.apps, expected, "{arguments} {variables:?}");
        }
    }

    #[test]
    fn options_beat_variables_and_variables_beat_defaults() {
        let variables = [
            ("MIOD_IDLE_TIMEOUT", "7"),
            ("MIOD_BIND", "127.0.0.1,::1"),
            ("MIOD_PORT", "81"),
            ("MIOD_LISTING", "true"),
            ("MIOD_ETAG_INODE", "0"),
            ("MIOD_SPA", ""),
        ];
        let config = serve("", &variables).config;
        assert_eq!(config.idle_timeout, Duration::from_secs(7));
        assert_eq!(at(&config.endpoints), ["127.0.0.1:81", "[::1]:81"]);
        assert_eq!((config.listing, config.etag_inode, config.spa), (true, false, None));
        let config = serve("--idle-timeout 8 -b 127.0.0.2", &variables).config;
        assert_eq!(config.idle_timeout, Duration::from_secs(8));
        assert_eq!(at(&config.endpoints), ["127.0.0.2:81"]);
        assert_eq!(
            wrong("", &[("MIOD_IDLE_TIMEOUT", "x")]),
            "MIOD_IDLE_TIMEOUT=x: give seconds of at least 0.001, like 10 or 2.5"
        );
    }

    #[test]
    fn echo_and_upper() {
        let variables = [("MIOD_MAX_CONNECTIONS", "9"), ("MIOD_LISTING", "perhaps")];
        let Ok(Command::Echo(echo)) = run("-v echo --send-timeout 1", &variables) else { panic!("no echo") };
        assert_eq!((echo.config.port, echo.config.max_connections, echo.logging.verbosity), (5555, Some(9), 1));
        assert_eq!(echo.config.send_timeout, Duration::from_secs(1));
        assert!(echo.config.endpoints.is_empty());
        let Ok(Command::Upper(upper)) = run("upper -p0", &[]) else { panic!("no upper") };
        assert_eq!(upper.config.port, 0);
        let Ok(Command::Upper(upper)) = run("upper", &[]) else { panic!("no upper") };
        assert_eq!(upper.config.port, 12_000);
        assert_eq!(wrong("echo --listing", &[]), "echo has no option --listing");
        assert_eq!(wrong("echo site", &[]), "\"site\" is one argument too many");
    }

    #[test]
    fn help_and_version() {
        assert!(matches!(run("--help", &[]), Ok(Command::Help(text)) if text.contains("Examples")));
        assert!(matches!(run("echo -h", &[]), Ok(Command::Help(text)) if text.contains("5555")));
        assert!(matches!(run("upper -V", &[]), Ok(Command::Version)));
    }

    #[test]
    fn mistakes_get_a_hint() {
        for (arguments, expected) in [
            ("--listng", "there is no option --listng; did you mean --listing?"),
            ("--frobnicate", "there is no option --frobnicate"),
            ("-x", "there is no option -x"),
            ("ehco", "there is neither a command nor a directory ehco; did you mean echo?"),
            ("tets", "there is neither a command nor a directory tets; did you mean tests?"),
            ("frobnicate", "there is neither a command nor a directory frobnicate"),
            ("--port", "--port needs a value: PORT"),
            ("--port 99999", "--port=99999: give a port from 0 to 65535; 0 is any free one"),
            ("--bind 8080", "--bind=8080: give an address, like 127.0.0.1 or 0.0.0.0; a port alone is --port 8080"),
            ("--symlinks all", "--symlinks=all: give inside or none"),
            ("--spa ../x", "--spa=../x: give a path relative to the root, like index.html"),
            (
                "--sessions disk",
                "--sessions=disk: give memory, cookie, file:DIR, http://HOST:PORT/ or redis://[:PASS@]HOST:PORT/DB",
            ),
            ("--session-cookie a;b", "--session-cookie=a;b: the name of a cookie is letters, digits and a few signs"),
            ("--session-cookie __Host-a", "--session-cookie=__Host-a: a cookie of this name must be Secure"),
            ("--session-max 0", "--session-max=0: give whole seconds, like 90, or 30m, 12h or 7d"),
            ("--app lab=lab", "--app=lab=lab: give a path that begins with a slash, like /lab=lab"),
            ("--auth /a", "--auth=/a: give two parts with an equals sign between"),
            ("--auth a=b", "--auth=a=b: give a path that begins with a slash, like /private=FILE"),
            ("--trusted-proxy a", "--trusted-proxy=a: give an address or a block of them, like 10.0.0.0/8 or ::1"),
            ("paswd", "there is neither a command nor a directory paswd; did you mean passwd?"),
            ("--media-type x", "--media-type=x: give two parts with an equals sign between"),
            ("/a /b", "\"/b\" is one argument too many"),
        ] {
            assert_eq!(wrong(arguments, &[]), expected, "{arguments}");
        }
        assert!(wrong("--listing=yes", &[]).contains("listing"));
        assert!(wrong("--media-type .x=text/x", &[]).contains("without the dot"));
    }

    #[test]
    fn a_directory_may_be_named_like_a_command() {
        assert_eq!(serve("./echo", &[]).config.root, PathBuf::from("./echo"));
        assert_eq!(serve("serve echo", &[]).config.root, PathBuf::from("echo"));
    }
}
