//! Listening sockets: how they are made, and how connections are taken from them.
//!
//! What a listener sets is inherited by what it accepts, so a connection costs
//! one system call here: no delay (small answers go out at once), and on Linux a
//! deferred accept, by which the kernel hands a connection over when its first
//! bytes are there, so that it can be read at once. A connection that says
//! nothing stays in the kernel for about a second and comes then.
//!
//! A service manager may have made the socket. Then it is checked, since it can be anything,
//! and gets the same settings. The file of a unix-domain socket is the manager's.

use std::fs::{self, Permissions};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use mio::{Interest, Registry, Token};
use socket2::{Domain, SockAddr, Type};

use super::clock::Tick;
use super::endpoint::Endpoint;
use super::peer::Peer;
use super::socket::{Socket, report_progress};
use super::sys;
use super::tls::{TlsAcceptor, TlsConnection, TlsFailure};

/// Connections that the kernel may hold for us: a burst of a load generator.
const BACKLOG: i32 = 4096;

enum Accepting {
    Tcp(mio::net::TcpListener),
    Unix(mio::net::UnixListener, UnixName),
}

/// Where a unix-domain socket is.
enum UnixName {
    /// This process has made the file.
    Own(SocketFile),
    /// The socket is another process's: the path of its file, or `@` and an abstract name.
    Passed(PathBuf),
}

/// The file of a unix-domain socket. Another process may replace it: then it isn't ours any
/// more.
struct SocketFile {
    path: PathBuf,
    /// Its device and inode.
    identity: (u64, u64),
}

impl SocketFile {
    /// The file at `path`, which was just made.
    fn new(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), identity: Self::identity(path)? })
    }

    fn identity(path: &Path) -> io::Result<(u64, u64)> {
        let metadata = fs::symlink_metadata(path)?;
        Ok((metadata.dev(), metadata.ino()))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if Self::identity(&self.path).is_ok_and(|identity| identity == self.identity) {
            // If it is gone already, that is fine.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// A listening socket.
pub struct Listener {
    socket: Accepting,
    address: Option<SocketAddr>,
    deferred: bool,
    /// The socket was passed to this process, so others have it, too.
    passed: bool,
    tls: Option<TlsAcceptor>,
    apart: bool,
}

impl Listener {
    /// Listens at an endpoint, for a protocol in which the client speaks first: on Linux a
    /// connection is accepted when its first bytes are there. Port 0 is any free one.
    ///
    /// # Errors
    /// What the system says: the address is in use, not ours, not allowed.
    pub fn bind(endpoint: &Endpoint) -> io::Result<Self> {
        Self::open(endpoint, true, false)
    }

    /// As [`bind`](Self::bind), at an endpoint that other processes of the same user may have, too
    /// (`SO_REUSEPORT`): the kernel gives each a share of the connections. A path can't be shared.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    pub fn bind_shared(endpoint: &Endpoint) -> io::Result<Self> {
        Self::open(endpoint, true, true)
    }

    /// Listens at an endpoint, for a protocol in which the server speaks first.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    pub fn bind_greeting(endpoint: &Endpoint) -> io::Result<Self> {
        Self::open(endpoint, false, false)
    }

    fn new(socket: Accepting) -> Self {
        Self { socket, address: None, deferred: false, passed: false, tls: None, apart: false }
    }

    fn open(endpoint: &Endpoint, deferred: bool, shared: bool) -> io::Result<Self> {
        match endpoint {
            Endpoint::Tcp(address) => {
                let socket = socket2::Socket::new(Domain::for_address(*address), Type::STREAM.nonblocking(), None)?;
                if address.is_ipv6() {
                    // IPv4 has a listener of its own.
                    socket.set_only_v6(true)?;
                }
                socket.set_reuse_address(true)?;
                if shared {
                    socket.set_reuse_port(true)?;
                }
                socket.set_tcp_nodelay(true)?;
                socket.bind(&SockAddr::from(*address))?;
                let deferred = deferred && defer_accept(&socket);
                report_progress(&socket);
                socket.listen(BACKLOG)?;
                let listener = mio::net::TcpListener::from_std(socket.into());
                let address = listener.local_addr()?;
                Ok(Self { address: Some(address), deferred, ..Self::new(Accepting::Tcp(listener)) })
            }
            Endpoint::Unix(path) => {
                remove_stale(path)?;
                let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
                socket.bind(&SockAddr::unix(path)?)?;
                let file = SocketFile::new(path)?;
                fs::set_permissions(path, Permissions::from_mode(0o660))?;
                socket.listen(BACKLOG)?;
                let listener = mio::net::UnixListener::from_std(socket.into());
                Ok(Self::new(Accepting::Unix(listener, UnixName::Own(file))))
            }
        }
    }

    /// The listening socket that this process has got from the one that started it, under this
    /// number. It is for a protocol in which the client speaks first.
    ///
    /// # Errors
    /// If it isn't open, was opened by this process, or isn't a stream socket that listens.
    pub fn passed(descriptor: RawFd) -> io::Result<Self> {
        let socket = socket2::Socket::from(sys::inherited(descriptor)?);
        let domain = socket.domain().map_err(|error| match error.raw_os_error() {
            Some(libc::ENOTSOCK) => io::Error::other("it isn't a socket"),
            _ => error,
        })?;
        if socket.r#type()? != Type::STREAM {
            return Err(io::Error::other("it isn't a stream socket"));
        }
        if !socket.is_listener()? {
            return Err(io::Error::other("it doesn't listen"));
        }
        socket.set_nonblocking(true)?;
        if domain == Domain::UNIX {
            let name = UnixName::Passed(unix_name(&socket.local_addr()?));
            let listener = mio::net::UnixListener::from_std(OwnedFd::from(socket).into());
            return Ok(Self { passed: true, ..Self::new(Accepting::Unix(listener, name)) });
        }
        if domain != Domain::IPV4 && domain != Domain::IPV6 {
            return Err(io::Error::other("it is neither for TCP nor a unix-domain socket"));
        }
        // Without these it is merely slower. MPTCP, for example, lacks some of them.
        let _ = socket.set_tcp_nodelay(true);
        let deferred = defer_accept(&socket);
        report_progress(&socket);
        let listener = mio::net::TcpListener::from_std(socket.into());
        let address = Some(listener.local_addr()?);
        Ok(Self { address, deferred, passed: true, ..Self::new(Accepting::Tcp(listener)) })
    }

    /// Expects TLS from its connections.
    #[must_use]
    pub fn with_tls(self, acceptor: TlsAcceptor) -> Self {
        Self { tls: Some(acceptor), ..self }
    }

    /// Is for those who operate the process: it stays open during a shutdown, which doesn't wait
    /// for its connections, and has some connections beyond the limit for itself.
    #[must_use]
    pub fn apart(self) -> Self {
        Self { apart: true, ..self }
    }

    pub(super) fn set_apart(&mut self, apart: bool) {
        self.apart = apart;
    }

    /// Whether it is [apart](Self::apart).
    pub(super) fn is_apart(&self) -> bool {
        self.apart
    }

    /// Expects TLS from its further connections, or none.
    pub(super) fn set_tls(&mut self, acceptor: Option<TlsAcceptor>) {
        self.tls = acceptor;
    }

    /// Whether it expects TLS.
    pub fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// The TLS of a connection from it; none if it is for plain text.
    pub(super) fn tls(&self) -> Result<Option<TlsConnection>, TlsFailure> {
        self.tls.as_ref().map(TlsAcceptor::accept).transpose()
    }

    /// The address it listens at, with the port that was found; none if it is a
    /// unix-domain socket.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// The endpoint as it came out.
    pub fn endpoint(&self) -> Endpoint {
        match (&self.socket, self.address) {
            (Accepting::Unix(_, UnixName::Own(SocketFile { path, .. }) | UnixName::Passed(path)), _) => {
                Endpoint::Unix(path.clone())
            }
            (Accepting::Tcp(_), Some(address)) => Endpoint::Tcp(address),
            (Accepting::Tcp(_), None) => unreachable!("a TCP listener has an address"),
        }
    }

    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        match &mut self.socket {
            Accepting::Tcp(listener) => registry.register(listener, token, Interest::READABLE),
            Accepting::Unix(listener, _) => registry.register(listener, token, Interest::READABLE),
        }
    }

    /// Takes one connection. Its input is known to be there if accept is deferred.
    pub(super) fn accept(&self) -> io::Result<(Socket, Peer, bool)> {
        match &self.socket {
            Accepting::Tcp(listener) => {
                let (stream, peer) = listener.accept()?;
                Ok((Socket::Tcp(stream), Peer::new(Some(peer)), self.deferred))
            }
            Accepting::Unix(listener, _) => {
                let (stream, _) = listener.accept()?;
                Ok((Socket::Unix(stream), Peer::new(None), false))
            }
        }
    }
}

/// The name of a unix-domain socket. None is empty.
fn unix_name(address: &SockAddr) -> PathBuf {
    match (address.as_pathname(), address.as_abstract_namespace()) {
        (Some(path), _) => path.to_owned(),
        (None, Some(name)) => format!("@{}", String::from_utf8_lossy(name)).into(),
        (None, None) => PathBuf::new(),
    }
}

/// Removes the file of a socket at which no process listens, and nothing else.
fn remove_stale(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.file_type().is_socket() => {
            match std::os::unix::net::UnixStream::connect(path) {
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
                // A process listens, or it can't be known: bind will fail with "in use".
                _ => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn defer_accept(socket: &socket2::Socket) -> bool {
    // One second: the least there is. Without it the server is merely slower.
    sys::defer_accept(socket, 1).is_ok()
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn defer_accept(_: &socket2::Socket) -> bool {
    false
}

/// A listener with what the loop remembers of it.
pub(super) struct Listening<L> {
    pub(super) listener: Listener,
    /// What it says of its connections.
    pub(super) value: L,
    /// There may be connections to take.
    pub(super) latched: bool,
}

/// All listeners.
pub(super) struct Listeners<L> {
    /// By number; none was closed.
    all: Vec<Option<Listening<L>>>,
    /// Their addresses, which connections ask for after the listeners are closed.
    addresses: Vec<Option<SocketAddr>>,
    /// Out of descriptors: no attempt before this.
    pub(super) pause_until: Option<Tick>,
    /// That was said.
    pub(super) starved: bool,
}

impl<L> Default for Listeners<L> {
    fn default() -> Self {
        Self { all: Vec::new(), addresses: Vec::new(), pause_until: None, starved: false }
    }
}

impl<L> Listeners<L> {
    /// A number for a further listener: that of a closed one without connections (`is_used`
    /// tells), or else a new one.
    pub(super) fn free(&self, is_used: impl Fn(usize) -> bool) -> usize {
        let is_free = |(index, listening): &(usize, &Option<_>)| listening.is_none() && !is_used(*index);
        self.all.iter().enumerate().find(is_free).map_or(self.all.len(), |(index, _)| index)
    }

    /// Adds a listener under a [free](Self::free) number.
    pub(super) fn put(&mut self, index: usize, listener: Listener, value: L) {
        if index == self.all.len() {
            self.all.push(None);
            self.addresses.push(None);
        }
        self.addresses[index] = listener.address();
        // Connections may already wait.
        self.all[index] = Some(Listening { listener, value, latched: true });
    }

    /// Closes one; its socket in the file system is removed.
    pub(super) fn remove(&mut self, index: usize) {
        if let Some(listening) = self.all.get_mut(index) {
            *listening = None;
        }
    }

    pub(super) fn address(&self, index: u8) -> Option<&SocketAddr> {
        self.addresses.get(usize::from(index))?.as_ref()
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn get(&mut self, index: usize) -> Option<&mut Listening<L>> {
        self.all.get_mut(index)?.as_mut()
    }

    /// Whether there may be connections to take at a listener; of those [apart](Listener::apart),
    /// or of the others.
    pub(super) fn any_latched(&self, apart: bool) -> bool {
        self.all.iter().flatten().any(|listening| listening.latched && listening.listener.apart == apart)
    }

    /// Whether the listener with this number is [apart](Listener::apart).
    pub(super) fn is_apart(&self, index: u8) -> bool {
        let listening = self.all.get(usize::from(index)).and_then(Option::as_ref);
        listening.is_some_and(|listening| listening.listener.is_apart())
    }

    /// There may be connections to take at each whose socket is closed by closing it. What waits
    /// at a passed one is left to the process that has it, too, or that gets it next. Those
    /// [apart](Listener::apart) stay open.
    pub(super) fn latch_own(&mut self) {
        for listening in self.all.iter_mut().flatten() {
            listening.latched = listening.listener.apart || !listening.listener.passed;
        }
    }

    /// Closes them all, but for those [apart](Listener::apart); their sockets in the file system
    /// are removed.
    pub(super) fn close(&mut self) {
        for listening in &mut self.all {
            listening.take_if(|listening| !listening.listener.is_apart());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_free_port_and_says_which() {
        let listener = Listener::bind(&Endpoint::Tcp("127.0.0.1:0".parse().unwrap())).unwrap();
        assert_ne!(listener.address().unwrap().port(), 0);
        assert_eq!(listener.endpoint(), Endpoint::Tcp(listener.address().unwrap()));
        let again = Listener::bind(&listener.endpoint());
        assert_eq!(again.err().map(|error| error.kind()), Some(io::ErrorKind::AddrInUse));
    }

    #[test]
    fn a_stale_unix_socket_is_replaced_and_nothing_else_is() {
        let path = std::env::temp_dir().join(format!("miod-stale-{}", std::process::id()));
        let _ = fs::remove_file(&path);
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let listener = Listener::bind(&Endpoint::Unix(path.clone())).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        let second = Listener::bind(&Endpoint::Unix(path.clone()));
        assert_eq!(second.err().map(|error| error.kind()), Some(io::ErrorKind::AddrInUse));
        drop(listener);
        assert!(!path.exists());
        // A successor takes the path while the old process still runs.
        let old = Listener::bind(&Endpoint::Unix(path.clone())).unwrap();
        fs::remove_file(&path).unwrap();
        let new = Listener::bind(&Endpoint::Unix(path.clone())).unwrap();
        drop(old);
        assert!(path.exists(), "the socket of the successor stays");
        drop(new);
        assert!(!path.exists());
        fs::write(&path, "precious").unwrap();
        assert!(Listener::bind(&Endpoint::Unix(path.clone())).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"precious");
        fs::remove_file(&path).unwrap();
    }
}
