//! Why a command failed: an exit code, and a sentence that helps.
//!
//! Servers use the exit codes of sysexits.h where it has one, so that a service manager
//! knows whether a restart makes sense.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

use super::port_owner::{self, port_owner};
use crate::cache;
use crate::client;
use crate::config::{Mistake, Position};
use crate::durable::OpenError;
use crate::http::client::HttpError;
use crate::reactor::{Endpoint, TlsFailure};
use crate::server;
use crate::smtp::client::Failure;
use crate::text::io_error::describe;
use crate::text::suggest::nearest;

/// An error while running.
pub const RUNTIME: u8 = 1;
/// The command line is wrong.
pub const USAGE: u8 = 2;
/// The input is damaged (`EX_DATAERR`).
pub const DAMAGED: u8 = 65;
/// An address to listen at is in use (`EX_UNAVAILABLE`).
pub const IN_USE: u8 = 69;
/// The system forbids it (`EX_NOPERM`).
pub const PERMISSION: u8 = 77;
/// The configuration is wrong, or names a file that doesn't exist (`EX_CONFIG`).
pub const CONFIGURATION: u8 = 78;

// Exit codes of client tools have curl's numbers, which scripts know.

/// A mail server refuses a message.
pub const REFUSED: u8 = 5;
/// Unknown host name.
pub const UNKNOWN_NAME: u8 = 6;
/// Connection refused or unreachable.
pub const NO_CONNECTION: u8 = 7;
/// Malformed response.
pub const MALFORMED: u8 = 8;
/// Truncated response.
pub const TRUNCATED: u8 = 18;
/// A 4xx or 5xx response, with `--fail`.
pub const ERROR_STATUS: u8 = 22;
/// The output can't be written.
pub const WRITE: u8 = 23;
/// The input can't be read.
pub const READ: u8 = 26;
/// Timeout.
pub const TIMED_OUT: u8 = 28;
/// The download can't be resumed.
pub const RESUME: u8 = 33;
/// The TLS handshake failed.
pub const HANDSHAKE: u8 = 35;
/// The server's certificate isn't trusted.
pub const UNTRUSTED: u8 = 60;
/// The file of trusted authorities can't be used.
pub const AUTHORITIES: u8 = 77;
/// Too many redirects.
pub const REDIRECTS: u8 = 47;
/// Empty response.
pub const NO_ANSWER: u8 = 52;
/// STARTTLS isn't offered.
pub const NO_TLS: u8 = 64;
/// Login denied, or not offered.
pub const LOGIN: u8 = 67;
/// Connection lost.
pub const BROKEN: u8 = 56;

/// The failure of a command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CommandError {
    /// The exit code.
    pub code: u8,
    /// A sentence for the operator.
    pub message: String,
    /// The lines of the configuration file that it is about.
    pub excerpt: Option<String>,
}

impl From<Mistake> for CommandError {
    fn from(Mistake { position, message }: Mistake) -> Self {
        Self::configuration(message).at(&position)
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for CommandError {}

/// All that made a command fail.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CommandErrors(pub Vec<CommandError>);

impl CommandErrors {
    /// The exit code: that of the configuration if any error is in the configuration,
    /// because then a restart makes no sense. Otherwise the code of the first error.
    pub fn code(&self) -> u8 {
        let mut codes = self.0.iter().map(|error| error.code);
        if codes.clone().any(|code| code == CONFIGURATION) {
            return CONFIGURATION;
        }
        codes.next().unwrap_or(RUNTIME)
    }
}

impl From<CommandError> for CommandErrors {
    fn from(error: CommandError) -> Self {
        Self(vec![error])
    }
}

impl From<client::ToolError> for CommandErrors {
    fn from(error: client::ToolError) -> Self {
        CommandError::from(error).into()
    }
}

impl From<server::ServerError> for CommandErrors {
    fn from(error: server::ServerError) -> Self {
        use server::ServerError as E;
        let error = match error {
            E::Bind(endpoint, error) => CommandError::bind(&endpoint, &error),
            E::BindDatagrams(address, error) => CommandError::bind_datagrams(address, &error),
            E::Root(path, error) => CommandError::root(&path, &error),
            E::AccessLog(path, error) => CommandError::access_log(&path, &error),
            E::Store(error) => CommandError::store(&error),
            E::Config(message) => CommandError::configuration(message),
            E::At(position, error) => {
                return Self(Self::from(*error).0.into_iter().map(|error| error.at(&position)).collect());
            }
            E::Io(error) => CommandError::runtime("continue", &error),
            E::Several(errors) => return Self(errors.into_iter().flat_map(|error| Self::from(error).0).collect()),
        };
        error.into()
    }
}

impl From<client::ToolError> for CommandError {
    fn from(error: client::ToolError) -> Self {
        use client::ClientError as E;
        let code = match &error.error {
            E::Name(_) => UNKNOWN_NAME,
            E::Connect(_, error) if error.kind() == io::ErrorKind::TimedOut => TIMED_OUT,
            E::Connect(..) => NO_CONNECTION,
            E::TimedOut(..) | E::Unanswered { .. } | E::NoReply(..) => TIMED_OUT,
            E::Mail(failure) => match failure {
                Failure::Refused(..) | Failure::Lacks(_) => REFUSED,
                Failure::Unexpected(..) | Failure::Malformed(..) | Failure::Unasked(_) | Failure::Injected => MALFORMED,
                Failure::NoTls(_) => NO_TLS,
                Failure::Login(_) => LOGIN,
                Failure::Closed(_) => BROKEN,
            },
            E::Lost(_) | E::Broken(..) => BROKEN,
            E::Tls(TlsFailure::Untrusted(_)) => UNTRUSTED,
            E::Tls(_) => HANDSHAKE,
            E::Authorities(_) => AUTHORITIES,
            E::Setting(_) => CONFIGURATION,
            E::Response(HttpError::NoResponse) => NO_ANSWER,
            E::Response(HttpError::Truncated) => TRUNCATED,
            E::Response(HttpError::Malformed(_) | HttpError::TooLarge(_)) => MALFORMED,
            E::Status(_) => ERROR_STATUS,
            E::Redirects(_) => REDIRECTS,
            E::Resume(_) => RESUME,
            E::Output(..) => WRITE,
            E::Input(..) => READ,
            E::Send(..) | E::Request(_) | E::Redirect(..) | E::Partial(..) | E::Io(_) => RUNTIME,
        };
        Self::new(code, error.to_string())
    }
}

impl CommandError {
    /// An error with this exit code.
    pub(super) fn new(code: u8, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), excerpt: None }
    }

    /// An error that has to do with this place in the configuration file.
    pub fn at(self, position: &Position) -> Self {
        let message = format!("{position}: {}", self.message);
        Self { message, excerpt: Some(position.excerpt()), ..self }
    }

    /// The configuration is wrong.
    pub fn configuration(message: impl Into<String>) -> Self {
        Self::new(CONFIGURATION, message)
    }

    /// The system refused `what`.
    pub fn runtime(what: &str, error: &io::Error) -> Self {
        let code = if error.kind() == io::ErrorKind::PermissionDenied { PERMISSION } else { RUNTIME };
        Self::new(code, format!("can't {what}: {}", describe(error)))
    }

    /// The server can't listen at `endpoint`.
    pub fn bind(endpoint: &Endpoint, error: &io::Error) -> Self {
        let (code, hint) = match (endpoint, error.kind()) {
            (Endpoint::Tcp(address), io::ErrorKind::AddrInUse) => (IN_USE, in_use(port_owner::TCP, *address)),
            (Endpoint::Unix(_), io::ErrorKind::AddrInUse) => {
                (IN_USE, "the socket is in use, or the file isn't a socket".to_owned())
            }
            (Endpoint::Tcp(address), io::ErrorKind::PermissionDenied) if address.port() < 1024 => {
                let hint = "ports below 1024 need root or, on Linux, the capability CAP_NET_BIND_SERVICE; try -p 8080";
                (PERMISSION, hint.to_owned())
            }
            (_, io::ErrorKind::PermissionDenied) => (PERMISSION, describe(error)),
            (_, io::ErrorKind::AddrNotAvailable) => (CONFIGURATION, "this machine has no such address".to_owned()),
            (Endpoint::Unix(path), io::ErrorKind::NotFound) => {
                let parent = path.parent().unwrap_or(path);
                (CONFIGURATION, format!("no such directory: {}", parent.display()))
            }
            (_, io::ErrorKind::InvalidInput) => (CONFIGURATION, describe(error)),
            _ => (RUNTIME, describe(error)),
        };
        Self::new(code, format!("can't listen at {endpoint}: {hint}"))
    }

    /// `address` can't receive datagrams.
    pub fn bind_datagrams(address: SocketAddr, error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::AddrInUse {
            let message = format!("can't listen at {address}: {}", in_use(port_owner::UDP, address));
            return Self::new(IN_USE, message);
        }
        Self::bind(&Endpoint::Tcp(address), error)
    }

    /// The root can't be opened.
    pub fn root(path: &Path, error: &io::Error) -> Self {
        let (code, hint) = match error.kind() {
            io::ErrorKind::NotFound => match sibling(path) {
                Some(near) => (CONFIGURATION, format!("no such directory; did you mean {near}?")),
                None => (CONFIGURATION, "no such directory".to_owned()),
            },
            io::ErrorKind::NotADirectory => {
                (CONFIGURATION, "neither a directory nor a file that may be served".to_owned())
            }
            io::ErrorKind::PermissionDenied => (PERMISSION, "permission denied".to_owned()),
            _ => (RUNTIME, describe(error)),
        };
        Self::new(code, format!("can't serve {}: {hint}", path.display()))
    }

    /// A store can't be opened.
    pub fn store(error: &OpenError) -> Self {
        let code = match error.error.kind() {
            io::ErrorKind::ResourceBusy => IN_USE,
            io::ErrorKind::PermissionDenied => PERMISSION,
            io::ErrorKind::InvalidData | io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => CONFIGURATION,
            _ => RUNTIME,
        };
        let hint = if error.error.raw_os_error().is_some() { describe(&error.error) } else { error.to_string() };
        Self::new(code, format!("can't open the store {}: {hint}", error.path.display()))
    }

    /// The directory of a cache can't be used.
    pub fn cache(error: &cache::OpenError) -> Self {
        let code = match error.error.kind() {
            io::ErrorKind::ResourceBusy => IN_USE,
            io::ErrorKind::PermissionDenied => PERMISSION,
            _ => RUNTIME,
        };
        let hint = if error.error.raw_os_error().is_some() { describe(&error.error) } else { error.to_string() };
        Self::new(code, format!("can't open the cache {}: {hint}", error.path.display()))
    }

    /// The access log can't be opened.
    pub fn access_log(path: &Path, error: &io::Error) -> Self {
        let code = match error.kind() {
            io::ErrorKind::PermissionDenied => PERMISSION,
            _ => CONFIGURATION,
        };
        Self::new(code, format!("can't open the access log {}: {}", path.display(), describe(error)))
    }
}

fn in_use(sockets: port_owner::SocketTables, address: SocketAddr) -> String {
    let by = port_owner(sockets, address.port()).map(|owner| format!(" by {owner}")).unwrap_or_default();
    format!("port in use{by}; try -p 0 for a free port")
}

/// A directory next to `path` with a similar name.
pub(super) fn sibling(path: &Path) -> Option<String> {
    near(path, Path::is_dir)
}

/// A file next to `path` with a similar name.
pub(super) fn sibling_file(path: &Path) -> Option<String> {
    near(path, Path::is_file)
}

/// An entry of the same directory with a similar name, of those that are `wanted`.
fn near(path: &Path, wanted: fn(&Path) -> bool) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let entries = parent.read_dir().ok()?.filter_map(Result::ok).filter(|entry| wanted(&entry.path()));
    let names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    let near = nearest(name, names.iter().map(String::as_str))?;
    Some(path.with_file_name(near).display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::Errno;
    use std::fs;
    use std::net::TcpListener;
    use std::path::PathBuf;

    fn tcp(text: &str) -> Endpoint {
        Endpoint::Tcp(text.parse().unwrap())
    }

    #[test]
    fn errors_of_listening_have_a_code_and_a_hint() {
        let unix = Endpoint::Unix(PathBuf::from("/none/such/socket"));
        for (endpoint, errno, code, hint) in [
            (tcp("127.0.0.1:80"), Errno::ACCESS, PERMISSION, "ports below 1024"),
            (tcp("127.0.0.1:8080"), Errno::ACCESS, PERMISSION, "permission denied"),
            (tcp("192.0.2.1:80"), Errno::ADDRNOTAVAIL, CONFIGURATION, "no such address"),
            (tcp("[::1]:80"), Errno::MFILE, RUNTIME, "too many open files"),
            (unix.clone(), Errno::ADDRINUSE, IN_USE, "in use"),
            (unix.clone(), Errno::NOENT, CONFIGURATION, "no such directory: /none/such"),
            (unix, Errno::ACCESS, PERMISSION, "permission denied"),
        ] {
            let failure = CommandError::bind(&endpoint, &errno.into());
            assert_eq!(failure.code, code, "{failure}");
            assert!(failure.message.contains(hint) && failure.message.contains(&endpoint.to_string()), "{failure}");
            assert!(!failure.message.contains("os error"), "{failure}");
        }
    }

    #[test]
    fn a_port_in_use_names_its_owner() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let failure = CommandError::bind(&Endpoint::Tcp(address), &Errno::ADDRINUSE.into());
        assert_eq!(failure.code, IN_USE);
        assert!(failure.message.contains("-p 0"), "{failure}");
        #[cfg(target_os = "linux")]
        assert!(failure.message.contains(&format!("(process {})", std::process::id())), "{failure}");
    }

    #[test]
    fn an_absent_root_is_reported_with_a_suggestion() {
        let parent = std::env::temp_dir().join(format!("miod-failure-{}", std::process::id()));
        fs::create_dir_all(parent.join("public")).unwrap();
        fs::write(parent.join("pubic"), "no directory").unwrap();
        let fail = |name: &str, errno: Errno| CommandError::root(&parent.join(name), &errno.into());
        let near = fail("pulbic", Errno::NOENT);
        assert_eq!(near.code, CONFIGURATION);
        assert!(near.message.ends_with(&format!("did you mean {}?", parent.join("public").display())), "{near}");
        assert!(fail("elsewhere", Errno::NOENT).message.ends_with("no such directory"));
        assert!(fail("pubic", Errno::NOTDIR).message.ends_with("a file that may be served"));
        assert_eq!(fail("public", Errno::ACCESS).code, PERMISSION);
        fs::remove_dir_all(&parent).unwrap();
    }

    #[test]
    fn several_errors_have_one_exit_code() {
        let code = |codes: &[u8]| {
            let error = |&code: &u8| CommandError::new(code, "");
            CommandErrors(codes.iter().map(error).collect()).code()
        };
        assert_eq!(code(&[IN_USE, PERMISSION]), IN_USE);
        assert_eq!(code(&[IN_USE, CONFIGURATION]), CONFIGURATION);
        let nested = server::ServerError::Several(vec![
            server::ServerError::Config("one".to_owned()),
            server::ServerError::Several(vec![server::ServerError::Io(io::ErrorKind::PermissionDenied.into())]),
        ]);
        let all = CommandErrors::from(nested).0;
        assert_eq!(all.iter().map(|error| error.code).collect::<Vec<_>>(), [CONFIGURATION, PERMISSION]);
    }

    #[test]
    fn other_errors_have_their_codes() {
        let log = CommandError::access_log(Path::new("/none/log"), &Errno::NOENT.into());
        assert_eq!(
            (log.code, log.message.as_str()),
            (CONFIGURATION, "can't open the access log /none/log: no such file or directory")
        );
        assert_eq!(CommandError::runtime("poll", &Errno::NOMEM.into()).code, RUNTIME);
        assert_eq!(CommandError::runtime("poll", &io::Error::other("odd")).message, "can't poll: odd");
    }
}
