//! A datagram socket: how it is made, and the only place that receives and sends
//! datagrams.
//!
//! Datagrams that the system doesn't take wait in a bounded queue. Beyond its limit the
//! oldest is lost, as datagrams may be. Errors go to the protocol and end nothing: most
//! report that an earlier datagram didn't arrive.
//!
//! The poll reports room for more only while something waits for it. Room comes with each
//! datagram that leaves, and would wake the loop once more for each response. (For a
//! connection that is far rarer, so it is registered once and for all.)

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;

use mio::event::Event;
use mio::net::UdpSocket;
use mio::{Interest, Registry, Token};
use rustix::io::Errno;
use rustix::net::RecvFlags;
use socket2::{Domain, SockAddr, Type};

use super::input::Input;
use super::outbox::Outbox;
use super::tap::{LentTap, TapEvent};

/// Most datagrams, and bytes of them, that wait until the system takes them: what
/// it takes again after the usual send buffer was full.
const WAITING: usize = 256;
const WAITING_BYTES: usize = 512 * 1024;

/// The receive buffer that is asked for. What comes while it is full is lost, and a burst
/// is longer than the usual buffer. The system may give less.
const RECEIVE_BUFFER: usize = 1 << 20;

/// A datagram socket: what is latched about it, and what it wasn't yet given.
pub struct DatagramSocket {
    socket: UdpSocket,
    address: SocketAddr,
    connected: bool,
    /// There may be a datagram to receive.
    pub(super) readable: bool,
    writable: bool,
    /// The poll reports when it is writable again.
    awaits_room: bool,
    waiting: VecDeque<(SocketAddr, Box<[u8]>)>,
    waiting_bytes: usize,
}

impl DatagramSocket {
    /// Opens one at `bind` (port 0 is any free one), which sends to and receives from
    /// `peer` alone, if there is one.
    ///
    /// # Errors
    /// What the system says: the address is in use, not ours, not allowed.
    pub fn open(bind: SocketAddr, peer: Option<SocketAddr>) -> io::Result<Self> {
        let socket = socket2::Socket::new(Domain::for_address(bind), Type::DGRAM.nonblocking(), None)?;
        if bind.is_ipv6() {
            // IPv4 has a socket of its own.
            socket.set_only_v6(true)?;
        }
        if socket.recv_buffer_size()? < RECEIVE_BUFFER {
            // Any buffer will do.
            let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
        }
        socket.bind(&SockAddr::from(bind))?;
        if let Some(peer) = peer {
            socket.connect(&SockAddr::from(peer))?;
        }
        let socket = UdpSocket::from_std(socket.into());
        Ok(Self {
            address: socket.local_addr()?,
            socket,
            connected: peer.is_some(),
            readable: false,
            writable: true,
            awaits_room: false,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
        })
    }

    /// The address that it got.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Has the poll report its events under `token`.
    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut self.socket, token, Interest::READABLE)
    }

    /// Whether no datagram waits to be sent.
    pub(super) fn is_flushed(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Takes note of an event.
    pub(super) fn latch(&mut self, event: &Event) {
        // An error is found by the next call, whichever it is.
        self.readable |= event.is_readable() || event.is_read_closed() || event.is_error();
        self.writable |= event.is_writable() || event.is_write_closed() || event.is_error();
    }

    /// Has the poll report room for more if something waits for it, and else not any longer.
    pub(super) fn await_room(&mut self, registry: &Registry, token: Token) {
        if self.awaits_room != self.writable {
            return;
        }
        let room = Interest::READABLE | Interest::WRITABLE;
        let interest = if self.writable { Interest::READABLE } else { room };
        match registry.reregister(&mut self.socket, token, interest) {
            Ok(()) => self.awaits_room = !self.writable,
            Err(error) => {
                // What waits leaves with what is sent next.
                log::error!("a datagram socket isn't watched for room: {error}");
                self.writable = true;
            }
        }
    }

    /// Receives one datagram, if there is one, into the empty input. Returns its sender.
    pub(super) fn receive(&mut self, input: &mut Input, tap: &mut LentTap) -> io::Result<Option<SocketAddr>> {
        loop {
            let space = input.space();
            return match self.socket.try_io(|| Ok(rustix::net::recvfrom(&self.socket, space, RecvFlags::empty())?)) {
                Ok((_, _, from)) => {
                    let from = from.ok_or(Errno::AFNOSUPPORT)?.try_into()?;
                    if let Some(tap) = tap {
                        tap.here(TapEvent::Datagram { from, to: self.address, bytes: input.bytes() });
                    }
                    Ok(Some(from))
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.readable = false;
                    Ok(None)
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Err(error),
            };
        }
    }

    /// Goes on as if the system had just refused a datagram for lack of room.
    #[cfg(test)]
    pub(super) fn pretend_full(&mut self) {
        self.writable = false;
    }

    fn send_one(&self, to: SocketAddr, datagram: &[u8], tap: &mut LentTap) -> io::Result<()> {
        loop {
            let sent = if self.connected { self.socket.send(datagram) } else { self.socket.send_to(datagram, to) };
            match sent {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(_) => {
                    if let Some(tap) = tap {
                        tap.here(TapEvent::Datagram { from: self.address, to, bytes: datagram });
                    }
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Sends a datagram if the system takes it now; false if it doesn't.
    fn send(
        &mut self,
        to: SocketAddr,
        datagram: &[u8],
        tap: &mut LentTap,
        failed: &mut dyn FnMut(io::Error, Option<SocketAddr>),
    ) -> bool {
        if !self.writable {
            return false;
        }
        let mut sent = self.send_one(to, datagram, tap);
        if let Err(error) = &sent
            && error.kind() == io::ErrorKind::ConnectionRefused
        {
            // That is what became of an earlier one; this one wasn't tried.
            failed(io::ErrorKind::ConnectionRefused.into(), None);
            sent = self.send_one(to, datagram, tap);
        }
        match sent {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.writable = false;
                false
            }
            Err(error) => {
                failed(error, Some(to));
                true
            }
        }
    }

    /// Sends what waits, and then what is in `out`; what the system doesn't take waits.
    pub(super) fn flush(
        &mut self,
        out: &mut Outbox,
        tap: &mut LentTap,
        failed: &mut dyn FnMut(io::Error, Option<SocketAddr>),
    ) {
        while self.writable
            && let Some((to, datagram)) = self.waiting.pop_front()
        {
            if self.send(to, &datagram, tap, failed) {
                self.waiting_bytes -= datagram.len();
            } else {
                self.waiting.push_front((to, datagram));
            }
        }
        for (to, datagram) in out.iter() {
            if !self.send(to, datagram, tap, failed) {
                self.waiting_bytes += datagram.len();
                self.waiting.push_back((to, datagram.into()));
            }
        }
        while (self.waiting.len() > WAITING || self.waiting_bytes > WAITING_BYTES)
            && let Some((to, datagram)) = self.waiting.pop_front()
        {
            self.waiting_bytes -= datagram.len();
            failed(io::ErrorKind::WouldBlock.into(), Some(to));
        }
        out.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port() -> DatagramSocket {
        DatagramSocket::open("127.0.0.1:0".parse().unwrap(), None).unwrap()
    }

    #[test]
    fn a_larger_receive_buffer_than_usual_is_asked_for() {
        let usual = socket2::Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap().recv_buffer_size().unwrap();
        let ours = socket2::SockRef::from(&port().socket).recv_buffer_size().unwrap();
        assert!(ours > usual || usual >= RECEIVE_BUFFER, "{ours}, usually {usual}");
    }

    #[test]
    fn what_the_system_does_not_take_waits_and_the_oldest_is_lost() {
        let receiver = port();
        let to = receiver.socket.local_addr().unwrap();
        let mut sender = port();
        let mut out = Outbox::default();
        // As after a WouldBlock.
        sender.writable = false;
        let mut lost = 0;
        for number in 0..WAITING as u16 + 3 {
            out.send(to, &number.to_be_bytes());
            sender.flush(&mut out, &mut None, &mut |error, of| {
                assert_eq!((error.kind(), of), (io::ErrorKind::WouldBlock, Some(to)));
                lost += 1;
            });
        }
        assert_eq!((lost, sender.waiting.len(), sender.waiting_bytes), (3, WAITING, 2 * WAITING));
        out.send(to, &[b'x'; 60_000]);
        out.send(to, &[b'x'; 60_000]);
        sender.flush(&mut out, &mut None, &mut |_, _| lost += 1);
        assert_eq!((lost, sender.waiting.len()), (5, WAITING));
        // The rest leaves in its order.
        sender.writable = true;
        while sender.waiting.len() > 2 {
            let (to, datagram) = sender.waiting.pop_front().unwrap();
            assert!(sender.send(to, &datagram, &mut None, &mut |_, _| unreachable!("it is sent")));
            let mut buffer = [0; 2];
            assert_eq!(receiver.socket.recv(&mut buffer).unwrap(), 2);
            assert_eq!(buffer, datagram[..]);
        }
    }

    #[test]
    fn large_datagrams_are_bounded_by_their_bytes() {
        let mut sender = port();
        let to = sender.socket.local_addr().unwrap();
        sender.writable = false;
        let mut out = Outbox::default();
        for _ in 0..20 {
            out.send(to, &[b'x'; 60_000]);
        }
        let mut lost = 0;
        sender.flush(&mut out, &mut None, &mut |_, _| lost += 1);
        assert!(sender.waiting_bytes <= WAITING_BYTES);
        assert_eq!((sender.waiting.len(), lost), (8, 12));
    }
}
