//! What the system says about sockets, and addresses that nobody else gets in the meantime.
//!
//! A port that was free a moment ago may be anybody's now. So an address at which nobody is to listen is held by a
//! socket ([`Deaf`], [`DeafDatagrams`]), and a port for a server that must name one is one that the system
//! gives to nobody else ([`free_port`]).

use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};

use socket2::{Domain, Socket, Type};

/// An address at which connections are refused as long as this exists: its socket is bound, and doesn't listen.
pub struct Deaf {
    pub address: SocketAddr,
    _socket: Socket,
}

impl Deaf {
    pub fn new() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        Self { address: socket.local_addr().unwrap().as_socket().unwrap(), _socket: socket }
    }
}

/// An address at which datagrams are refused as long as this exists: its socket is for another peer.
pub struct DeafDatagrams {
    pub address: SocketAddr,
    socket: UdpSocket,
}

impl DeafDatagrams {
    pub fn new() -> Self {
        // A socket gives a port that it didn't name up with its peer.
        let address = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let socket = UdpSocket::bind(address).unwrap();
        // Nobody sends from there.
        socket.connect("127.0.0.1:9").unwrap();
        Self { address, socket }
    }

    /// Receives from now on.
    pub fn listen(self) -> UdpSocket {
        rustix::net::connect_unspec(&self.socket).unwrap();
        self.socket.set_read_timeout(Some(super::TIMEOUT)).unwrap();
        self.socket
    }
}

/// A free port for a server that can't let the system choose one. A connection to it that this side has closed first
/// is in TIME-WAIT for a minute (RFC 9293 §3.6): meanwhile the system gives the port to nobody who doesn't name it.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut client = TcpStream::connect(address).unwrap();
    drop(listener.accept().unwrap());
    assert_eq!(super::uninterrupted(|| client.read(&mut [0])).unwrap(), 0);
    address.port()
}

/// Whether somebody listens at this port of 127.0.0.1. To connect would be no test: while nobody
/// listens, a socket whose own port is the same one gets a connection to itself.
pub fn listens(address: SocketAddr) -> bool {
    let wanted = format!(" 0100007F:{:04X} 00000000:0000 0A ", address.port());
    table().contains(&wanted)
}

/// How many bytes of this connection the peer, on this machine, hasn't read yet. None if it has no socket for it.
pub fn unread(stream: &TcpStream) -> Option<u64> {
    let [own, peer] = [stream.local_addr(), stream.peer_addr()].map(|address| in_table(address.unwrap()));
    let table = table();
    // Each end has a line: its address, the other one, and the state; then the bytes to be acknowledged and to be read.
    let queues = |from: &str, to: &str| {
        let (_, rest) = table.split_once(&format!(" {from} {to} 01 "))?;
        let (sent, received) = rest.split_once(' ')?.0.split_once(':')?;
        Some([sent, received].map(|count| u64::from_str_radix(count, 16).unwrap()))
    };
    Some(queues(&own, &peer)?[0] + queues(&peer, &own)?[1])
}

fn table() -> String {
    std::fs::read_to_string("/proc/net/tcp").unwrap()
}

fn in_table(address: SocketAddr) -> String {
    let SocketAddr::V4(address) = address else { panic!("{address} is in another table") };
    format!("{:08X}:{:04X}", u32::from_ne_bytes(address.ip().octets()), address.port())
}
