//! A stream socket: the system calls on it, and nothing of what they mean.

use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use mio::event::Source;
use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};
use rustix::buffer::Buffer;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags};

use super::endpoint::Endpoint;
use super::sys;

/// Bytes that may wait in the kernel before they are sent: a turn's share of a file.
const UNSENT: u32 = 128 * 1024;

/// A stream socket.
pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

macro_rules! each {
    ($socket:expr, $stream:ident => $body:expr) => {
        match $socket {
            Socket::Tcp($stream) => $body,
            Socket::Unix($stream) => $body,
        }
    };
}

impl Socket {
    /// Begins to connect; an event comes when that has succeeded or failed.
    pub(super) fn connect(to: &Endpoint) -> io::Result<Self> {
        match to {
            Endpoint::Tcp(address) => {
                let stream = TcpStream::connect(*address)?;
                stream.set_nodelay(true)?;
                report_progress(&stream);
                Ok(Self::Tcp(stream))
            }
            Endpoint::Unix(path) => UnixStream::connect(path).map(Self::Unix),
        }
    }

    /// Whether the connection is there, as mio prescribes to find out.
    pub(super) fn is_connected(&self) -> io::Result<bool> {
        each!(self, stream => {
            if let Some(error) = stream.take_error()? {
                return Err(error);
            }
            match stream.peer_addr() {
                Ok(_) => Ok(true),
                Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
                Err(error) if error.raw_os_error() == Some(Errno::INPROGRESS.raw_os_error()) => Ok(false),
                Err(error) => Err(error),
            }
        })
    }

    pub(super) fn receive(&self, space: impl Buffer<u8, Output = usize>) -> io::Result<usize> {
        each!(self, stream => stream.try_io(|| Ok(rustix::net::recv(stream, space, RecvFlags::empty())?.0)))
    }

    pub(super) fn send(&self, bytes: &[u8], more: bool) -> io::Result<usize> {
        each!(self, stream => stream.try_io(|| Ok(rustix::net::send(stream, bytes, flags(more))?)))
    }

    pub(super) fn send_parts(&self, parts: &[IoSlice<'_>], more: bool) -> io::Result<usize> {
        let nothing = &mut SendAncillaryBuffer::default();
        each!(self, stream => stream.try_io(|| Ok(rustix::net::sendmsg(stream, parts, nothing, flags(more))?)))
    }

    pub(super) fn sendfile(&self, file: BorrowedFd<'_>, mut offset: u64, count: usize) -> io::Result<usize> {
        each!(self, stream => stream.try_io(|| Ok(rustix::fs::sendfile(stream, file, Some(&mut offset), count)?)))
    }

    pub(super) fn shutdown_write(&self) -> io::Result<()> {
        each!(self, stream => stream.shutdown(Shutdown::Write))
    }

    /// Has the kernel keep a last segment that isn't full, for what follows; or send it now.
    pub(super) fn cork(&self, corked: bool) {
        #[cfg(target_os = "linux")]
        if let Self::Tcp(stream) = self {
            // It is a matter of speed alone.
            let _ = socket2::SockRef::from(stream).set_tcp_cork(corked);
        }
    }

    /// Makes the close a reset, so that the kernel drops what the peer doesn't take.
    pub(super) fn reset_on_close(&self) {
        let fd = each!(self, stream => stream.as_fd());
        // Fails for unix-domain sockets, which keep nothing after a close anyway.
        let _ = socket2::SockRef::from(&fd).set_linger(Some(Duration::ZERO));
    }

    /// Bytes that the peer has not acknowledged yet; none if the system can't tell.
    pub(super) fn unacknowledged(&self) -> Option<u64> {
        each!(self, stream => sys::unacknowledged(stream))
    }

    pub(super) fn local(&self) -> Option<SocketAddr> {
        match self {
            Socket::Tcp(stream) => stream.local_addr().ok(),
            Socket::Unix(_) => None,
        }
    }

    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        each!(self, stream => stream.register(registry, token, Interest::READABLE | Interest::WRITABLE))
    }
}

fn flags(more: bool) -> SendFlags {
    SendFlags::NOSIGNAL | if more { SendFlags::MORE } else { SendFlags::empty() }
}

/// Bounds what waits in the kernel unsent, so that a socket is writable again soon
/// after its peer has read a little. Without it that takes a third of a buffer of
/// some megabytes, and a peer that reads slowly looks like one that doesn't read.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn report_progress(socket: &impl AsFd) {
    // Without it the server is merely less patient.
    let _ = socket2::SockRef::from(socket).set_tcp_notsent_lowat(UNSENT);
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn report_progress(_: &impl AsFd) {}
