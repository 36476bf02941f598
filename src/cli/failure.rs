//! Why a server or a tool doesn't run: what the system said, put into a sentence that helps.
//!
//! The exit codes are those of sysexits.h where it has one; service managers tell
//! by them whether another try makes sense.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

use super::holder::{self, holder};
use super::nearest::nearest;
use crate::client;
use crate::durable::OpenError;
use crate::http::client::Fault;
use crate::reactor::Endpoint;
use crate::server;
use crate::text::reason::reason;

/// It failed while running.
pub const RUNTIME: u8 = 1;
/// The command line is wrong.
pub const USAGE: u8 = 2;
/// An address to listen at is in use (`EX_UNAVAILABLE`).
pub const IN_USE: u8 = 69;
/// The system forbids it (`EX_NOPERM`).
pub const PERMISSION: u8 = 77;
/// What the configuration names isn't there, or makes no sense (`EX_CONFIG`).
pub const CONFIGURATION: u8 = 78;

// What a client tool adds, with curl's numbers, which scripts know already.

/// No address is known for the name.
pub const UNKNOWN_NAME: u8 = 6;
/// Nobody can be connected to.
pub const NO_CONNECTION: u8 = 7;
/// The answer isn't HTTP, or leaves its end in doubt.
pub const MALFORMED: u8 = 8;
/// The answer was cut off.
pub const TRUNCATED: u8 = 18;
/// The answer is an error.
pub const ERROR_STATUS: u8 = 22;
/// The output can't be written.
pub const WRITE: u8 = 23;
/// What is to be sent can't be read.
pub const READ: u8 = 26;
/// It took too long.
pub const TIMED_OUT: u8 = 28;
/// The server doesn't send the rest of a file alone.
pub const RESUME: u8 = 33;
/// There are too many redirects.
pub const REDIRECTS: u8 = 47;
/// The server closed without an answer.
pub const NO_ANSWER: u8 = 52;
/// The connection broke.
pub const BROKEN: u8 = 56;

/// The end of a server that isn't a good one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// What the process exits with.
    pub code: u8,
    /// A sentence for the operator.
    pub message: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl From<server::Failure> for Failure {
    fn from(failure: server::Failure) -> Self {
        match failure {
            server::Failure::Bind(endpoint, error) => Self::bind(&endpoint, &error),
            server::Failure::BindDatagrams(address, error) => Self::bind_datagrams(address, &error),
            server::Failure::Root(path, error) => Self::root(&path, &error),
            server::Failure::Store(error) => Self::store(&error),
            server::Failure::Config(message) => Self::configuration(message),
            server::Failure::Io(error) => Self::runtime("go on", &error),
        }
    }
}

impl From<client::ToolError> for Failure {
    fn from(failed: client::ToolError) -> Self {
        use client::ClientError as F;
        let code = match &failed.error {
            F::Name(_) => UNKNOWN_NAME,
            F::Connect(_, error) if error.kind() == io::ErrorKind::TimedOut => TIMED_OUT,
            F::Connect(..) => NO_CONNECTION,
            F::TimedOut(..) => TIMED_OUT,
            F::Lost(_) => BROKEN,
            F::Response(Fault::Unanswered) => NO_ANSWER,
            F::Response(Fault::Truncated) => TRUNCATED,
            F::Response(Fault::Malformed(_)) => MALFORMED,
            F::Status(_) => ERROR_STATUS,
            F::Redirects(_) => REDIRECTS,
            F::Resume(_) => RESUME,
            F::Output(..) => WRITE,
            F::Input(..) => READ,
            F::Send(..) | F::Request(_) | F::Redirect(..) | F::Io(_) => RUNTIME,
        };
        Self { code, message: failed.to_string() }
    }
}

impl Failure {
    /// What was asked for can't be.
    pub fn configuration(message: impl Into<String>) -> Self {
        Self { code: CONFIGURATION, message: message.into() }
    }

    /// The system refused something while we ran, or began to: `what` can't be done.
    pub fn runtime(what: &str, error: &io::Error) -> Self {
        let code = if error.kind() == io::ErrorKind::PermissionDenied { PERMISSION } else { RUNTIME };
        Self { code, message: format!("can't {what}: {}", reason(error)) }
    }

    /// Nobody can listen at `endpoint`.
    pub fn bind(endpoint: &Endpoint, error: &io::Error) -> Self {
        let (code, hint) = match (endpoint, error.kind()) {
            (Endpoint::Tcp(address), io::ErrorKind::AddrInUse) => (IN_USE, taken(holder::TCP, *address)),
            (Endpoint::Unix(_), io::ErrorKind::AddrInUse) => {
                (IN_USE, "somebody listens there, or it is no socket".to_owned())
            }
            (Endpoint::Tcp(address), io::ErrorKind::PermissionDenied) if address.port() < 1024 => {
                let hint = "ports below 1024 need root or, on Linux, the capability CAP_NET_BIND_SERVICE; try -p 8080";
                (PERMISSION, hint.to_owned())
            }
            (_, io::ErrorKind::PermissionDenied) => (PERMISSION, reason(error)),
            (_, io::ErrorKind::AddrNotAvailable) => (CONFIGURATION, "this machine has no such address".to_owned()),
            (Endpoint::Unix(path), io::ErrorKind::NotFound) => {
                let parent = path.parent().unwrap_or(path);
                (CONFIGURATION, format!("there is no directory {}", parent.display()))
            }
            (_, io::ErrorKind::InvalidInput) => (CONFIGURATION, reason(error)),
            _ => (RUNTIME, reason(error)),
        };
        Self { code, message: format!("can't listen at {endpoint}: {hint}") }
    }

    /// Nobody can receive datagrams at `address`.
    pub fn bind_datagrams(address: SocketAddr, error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::AddrInUse {
            let message = format!("can't listen at {address}: {}", taken(holder::UDP, address));
            return Self { code: IN_USE, message };
        }
        Self::bind(&Endpoint::Tcp(address), error)
    }

    /// The root can't be opened.
    pub fn root(path: &Path, error: &io::Error) -> Self {
        let (code, hint) = match error.kind() {
            io::ErrorKind::NotFound => match sibling(path) {
                Some(near) => (CONFIGURATION, format!("there is no such directory; did you mean {near}?")),
                None => (CONFIGURATION, "there is no such directory".to_owned()),
            },
            io::ErrorKind::NotADirectory => (CONFIGURATION, "that is no directory".to_owned()),
            io::ErrorKind::PermissionDenied => (PERMISSION, "this user may not read it".to_owned()),
            _ => (RUNTIME, reason(error)),
        };
        Self { code, message: format!("can't serve {}: {hint}", path.display()) }
    }

    /// A store can't be opened.
    pub fn store(error: &OpenError) -> Self {
        let code = match error.error.kind() {
            io::ErrorKind::ResourceBusy => IN_USE,
            io::ErrorKind::PermissionDenied => PERMISSION,
            io::ErrorKind::InvalidData | io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => CONFIGURATION,
            _ => RUNTIME,
        };
        let hint = if error.error.raw_os_error().is_some() { reason(&error.error) } else { error.to_string() };
        Self { code, message: format!("can't open the store {}: {hint}", error.path.display()) }
    }

    /// The access log can't be opened.
    pub fn access_log(path: &Path, error: &io::Error) -> Self {
        let code = match error.kind() {
            io::ErrorKind::PermissionDenied => PERMISSION,
            _ => CONFIGURATION,
        };
        Self { code, message: format!("can't open the access log {}: {}", path.display(), reason(error)) }
    }
}

fn taken(kind: holder::Kind, address: SocketAddr) -> String {
    let by = holder(kind, address.port()).map(|holder| format!(" by {holder}")).unwrap_or_default();
    format!("the port is in use{by}; try -p 0 for a free one")
}

/// A directory beside `path` with almost its name.
pub(super) fn sibling(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let entries = parent.read_dir().ok()?.filter_map(Result::ok).filter(|entry| entry.path().is_dir());
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
    fn what_can_go_wrong_with_listening() {
        let unix = Endpoint::Unix(PathBuf::from("/none/such/socket"));
        for (endpoint, errno, code, hint) in [
            (tcp("127.0.0.1:80"), Errno::ACCESS, PERMISSION, "ports below 1024"),
            (tcp("127.0.0.1:8080"), Errno::ACCESS, PERMISSION, "permission denied"),
            (tcp("192.0.2.1:80"), Errno::ADDRNOTAVAIL, CONFIGURATION, "no such address"),
            (tcp("[::1]:80"), Errno::MFILE, RUNTIME, "too many open files"),
            (unix.clone(), Errno::ADDRINUSE, IN_USE, "somebody listens there"),
            (unix.clone(), Errno::NOENT, CONFIGURATION, "there is no directory /none/such"),
            (unix, Errno::ACCESS, PERMISSION, "permission denied"),
        ] {
            let failure = Failure::bind(&endpoint, &errno.into());
            assert_eq!(failure.code, code, "{failure}");
            assert!(failure.message.contains(hint) && failure.message.contains(&endpoint.to_string()), "{failure}");
            assert!(!failure.message.contains("os error"), "{failure}");
        }
    }

    #[test]
    fn a_port_that_is_taken() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let failure = Failure::bind(&Endpoint::Tcp(address), &Errno::ADDRINUSE.into());
        assert_eq!(failure.code, IN_USE);
        assert!(failure.message.contains("-p 0"), "{failure}");
        #[cfg(target_os = "linux")]
        assert!(failure.message.contains(&format!("(process {})", std::process::id())), "{failure}");
    }

    #[test]
    fn a_root_that_is_not_there() {
        let parent = std::env::temp_dir().join(format!("miod-failure-{}", std::process::id()));
        fs::create_dir_all(parent.join("public")).unwrap();
        fs::write(parent.join("pubic"), "no directory").unwrap();
        let fail = |name: &str, errno: Errno| Failure::root(&parent.join(name), &errno.into());
        let near = fail("pulbic", Errno::NOENT);
        assert_eq!(near.code, CONFIGURATION);
        assert!(near.message.ends_with(&format!("did you mean {}?", parent.join("public").display())), "{near}");
        assert!(fail("elsewhere", Errno::NOENT).message.ends_with("there is no such directory"));
        assert!(fail("pubic", Errno::NOTDIR).message.ends_with("that is no directory"));
        assert_eq!(fail("public", Errno::ACCESS).code, PERMISSION);
        fs::remove_dir_all(&parent).unwrap();
    }

    #[test]
    fn other_failures() {
        let log = Failure::access_log(Path::new("/none/log"), &Errno::NOENT.into());
        assert_eq!(
            (log.code, log.message.as_str()),
            (CONFIGURATION, "can't open the access log /none/log: no such file or directory")
        );
        assert_eq!(Failure::runtime("poll", &Errno::NOMEM.into()).code, RUNTIME);
        assert_eq!(Failure::runtime("poll", &io::Error::other("odd")).message, "can't poll: odd");
    }
}
