//! Datagram sockets of the reactor, on the loopback.

mod support;

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use miod::reactor::{
    Accepted, Closer, Context, DatagramProtocol, Io, JobClass, JobId, JobResult, NoStreams, Options, Outbox, Protocol,
    Reactor, Stay, Tick, Time, Until, Want,
};
use support::sockets::DeafDatagrams;
use support::uninterrupted;

/// The limit of every wait.
const LIMIT: Duration = Duration::from_secs(20);

fn local(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A reactor in its own thread, with one datagram socket.
struct Server {
    address: SocketAddr,
    closer: Closer,
    finished: Receiver<io::Result<()>>,
}

impl Server {
    /// Opens the socket, calls `first` with its address, and then runs.
    fn start<P: Protocol<Shared = ()>>(
        bind: &str,
        peer: Option<SocketAddr>,
        until: Until,
        make: impl FnOnce() -> P::Datagrams + Send + 'static,
        first: impl FnOnce(SocketAddr) + Send + 'static,
    ) -> Self {
        let (started, start) = channel();
        let (finish, finished) = channel();
        let bind = local(bind);
        std::thread::spawn(move || {
            let mut reactor = Reactor::<P>::new((), Options::default()).unwrap();
            let address = reactor.datagrams(bind, peer, make()).unwrap();
            first(address);
            started.send((address, reactor.closer())).unwrap();
            let _ = finish.send(reactor.run(until));
        });
        let (address, closer) = start.recv_timeout(LIMIT).expect("the reactor starts");
        Self { address, closer, finished }
    }

    fn finish(self) {
        self.finished.recv_timeout(LIMIT).expect("the reactor ends").expect("the reactor runs");
    }

    fn close(self) {
        self.closer.close();
        self.finish();
    }
}

fn client(bind: &str) -> UdpSocket {
    let socket = UdpSocket::bind(bind).unwrap();
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    socket
}

fn received(socket: &UdpSocket) -> Vec<u8> {
    let mut buffer = vec![0; 65_536];
    let count = uninterrupted(|| socket.recv(&mut buffer)).unwrap();
    buffer.truncate(count);
    buffer
}

/// Sends each datagram back.
struct Echo;

impl<S: Protocol<Datagrams = Self>> DatagramProtocol<S> for Echo {
    fn received(&mut self, datagram: &[u8], from: SocketAddr, out: &mut Outbox, _: &mut Context<'_, S>) {
        out.send(from, datagram);
    }
}

/// Like [`NoStreams`], for a protocol that is generic over the streams.
struct Alone;

impl Protocol for Alone {
    type Shared = ();
    type Listener = ();
    type Message = ();
    type Outcome = ();
    type Datagrams = Echo;

    fn open(_: &Accepted<'_, ()>, _: &mut Context<'_, Self>) -> Option<Self> {
        None
    }

    fn advance(&mut self, _: &mut Io<'_>, _: &mut Context<'_, Self>) -> Want {
        unreachable!("there are no connections")
    }
}

fn echo(bind: &str, first: impl FnOnce(SocketAddr) + Send + 'static) -> Server {
    Server::start::<Alone>(bind, None, Until::Closed, || Echo, first)
}

#[test]
fn datagrams_of_every_size_are_echoed() {
    for bind in ["127.0.0.1:0", "[::1]:0"] {
        if UdpSocket::bind(bind).is_err() {
            continue; // this machine has no IPv6
        }
        let server = echo(bind, |_| ());
        let client = client(bind);
        client.connect(server.address).unwrap();
        for length in [0, 1, 9_000, 65_507] {
            let datagram: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
            client.send(&datagram).unwrap();
            assert!(received(&client) == datagram, "{length} bytes");
        }
        server.close();
    }
}

#[test]
fn a_waiting_batch_is_echoed_in_order() {
    // More than one turn takes, and no more than a receive buffer holds.
    let (send, clients) = channel();
    let server = echo("127.0.0.1:0", move |address| {
        let client = client("127.0.0.1:0");
        for number in 0..200_u32 {
            client.send_to(&number.to_be_bytes(), address).unwrap();
        }
        send.send(client).unwrap();
    });
    let client = clients.recv_timeout(LIMIT).unwrap();
    for number in 0..200_u32 {
        assert_eq!(received(&client), number.to_be_bytes());
    }
    server.close();
}

/// Counts the turns of the loop.
struct Counted;

static TURNS: AtomicUsize = AtomicUsize::new(0);

impl Protocol for Counted {
    type Shared = ();
    type Listener = ();
    type Message = ();
    type Outcome = ();
    type Datagrams = Echo;

    fn open(_: &Accepted<'_, ()>, _: &mut Context<'_, Self>) -> Option<Self> {
        None
    }

    fn advance(&mut self, _: &mut Io<'_>, _: &mut Context<'_, Self>) -> Want {
        unreachable!("there are no connections")
    }

    fn before_wait((): &mut (), _: Time, _: bool) -> Option<Duration> {
        TURNS.fetch_add(1, Ordering::Relaxed);
        None
    }
}

#[test]
fn a_sent_datagram_does_not_wake_the_loop() {
    let server = Server::start::<Counted>("127.0.0.1:0", None, Until::Closed, || Echo, |_| ());
    let client = client("127.0.0.1:0");
    for _ in 0..200 {
        client.send_to(b"hello", server.address).unwrap();
        assert_eq!(received(&client), b"hello");
    }
    server.close();
    // One for each datagram, and a few at the beginning and the end.
    let turns = TURNS.load(Ordering::Relaxed);
    assert!(turns <= 210, "{turns} turns for 200 datagrams");
}

/// Keeps the loop busy for ever: sends each datagram to the address that it contains.
struct Perpetual;

impl DatagramProtocol<NoStreams<Perpetual>> for Perpetual {
    fn received(&mut self, datagram: &[u8], _: SocketAddr, out: &mut Outbox, _: &mut Context<'_, NoStreams<Self>>) {
        out.send(local(std::str::from_utf8(datagram).unwrap()), datagram);
    }
}

#[test]
fn a_flood_does_not_block_the_loop() {
    let first = |address: SocketAddr| {
        let client = client("127.0.0.1:0");
        for _ in 0..100 {
            client.send_to(address.to_string().as_bytes(), address).unwrap();
        }
    };
    Server::start::<NoStreams<Perpetual>>("127.0.0.1:0", None, Until::Closed, || Perpetual, first).close();
}

/// The events of a [`Prober`].
#[derive(Debug, PartialEq)]
enum Report {
    Received(Vec<u8>),
    Failed(io::ErrorKind, Option<SocketAddr>),
    Errno(Option<i32>),
}

/// Sends a datagram to its peer every few milliseconds until it receives one.
struct Prober {
    peer: SocketAddr,
    what: Vec<u8>,
    report: Sender<Report>,
    next: Tick,
    done: bool,
}

impl DatagramProtocol<NoStreams<Prober>> for Prober {
    fn received(&mut self, datagram: &[u8], _: SocketAddr, _: &mut Outbox, _: &mut Context<'_, NoStreams<Self>>) {
        let _ = self.report.send(Report::Received(datagram.to_vec()));
        self.done = true;
    }

    fn advance(&mut self, out: &mut Outbox, cx: &mut Context<'_, NoStreams<Self>>) -> Stay {
        if self.done || cx.draining {
            return Stay::Over;
        }
        if self.next <= cx.time.now {
            out.send(self.peer, &self.what);
            self.next = cx.time.now.after(Duration::from_millis(5));
        }
        Stay::Until(self.next)
    }

    fn failed(&mut self, error: &io::Error, to: Option<SocketAddr>, _: &mut Context<'_, NoStreams<Self>>) {
        let _ = self.report.send(match to {
            Some(_) => Report::Errno(error.raw_os_error()),
            None => Report::Failed(error.kind(), to),
        });
    }
}

fn probe(peer: SocketAddr, what: &[u8]) -> (Server, Receiver<Report>) {
    let (report, reports) = channel();
    let prober = Prober { peer, what: what.to_vec(), report, next: Tick::default(), done: false };
    let server = Server::start::<NoStreams<Prober>>("127.0.0.1:0", Some(peer), Until::Idle, || prober, |_| ());
    (server, reports)
}

#[test]
fn an_unreachable_port_is_reported_and_ends_nothing() {
    let deaf = DeafDatagrams::new();
    let (server, reports) = probe(deaf.address, b"hello");
    for _ in 0..3 {
        assert_eq!(reports.recv_timeout(LIMIT).unwrap(), Report::Failed(io::ErrorKind::ConnectionRefused, None));
    }
    // Now a socket receives.
    let peer = deaf.listen();
    assert_eq!(received(&peer), b"hello");
    peer.send_to(b"yes", server.address).unwrap();
    let response =
        std::iter::from_fn(|| reports.recv_timeout(LIMIT).ok()).find(|report| matches!(report, Report::Received(_)));
    assert_eq!(response, Some(Report::Received(b"yes".to_vec())));
    // The socket has finished.
    server.finish();
}

#[test]
fn a_datagram_that_is_too_large_is_reported_and_not_sent() {
    let peer = client("127.0.0.1:0");
    let (server, reports) = probe(peer.local_addr().unwrap(), &[b'x'; 65_508]);
    for _ in 0..3 {
        let too_long = rustix::io::Errno::MSGSIZE.raw_os_error();
        assert_eq!(reports.recv_timeout(LIMIT).unwrap(), Report::Errno(Some(too_long)));
    }
    peer.send_to(b"thanks", server.address).unwrap();
    server.finish();
}

#[test]
fn a_connected_socket_receives_from_its_peer_only() {
    let peer = client("127.0.0.1:0");
    let (server, reports) = probe(peer.local_addr().unwrap(), b"hello");
    assert_eq!(received(&peer), b"hello");
    client("127.0.0.1:0").send_to(b"other", server.address).unwrap();
    peer.send_to(b"peer", server.address).unwrap();
    assert_eq!(reports.recv_timeout(LIMIT).unwrap(), Report::Received(b"peer".to_vec()));
    server.finish();
}

#[test]
fn shutdown_ends_a_socket_without_a_response() {
    let peer = client("127.0.0.1:0");
    let (server, _told) = probe(peer.local_addr().unwrap(), b"hello");
    assert_eq!(received(&peer), b"hello");
    server.close();
}

/// Reverses each datagram in the helper thread.
#[derive(Default)]
struct Thinker {
    done: Vec<(SocketAddr, Vec<u8>)>,
}

struct Thinking;

impl Protocol for Thinking {
    type Shared = ();
    type Listener = ();
    type Message = ();
    type Outcome = (SocketAddr, Vec<u8>);
    type Datagrams = Thinker;

    fn open(_: &Accepted<'_, ()>, _: &mut Context<'_, Self>) -> Option<Self> {
        None
    }

    fn advance(&mut self, _: &mut Io<'_>, _: &mut Context<'_, Self>) -> Want {
        unreachable!("there are no connections")
    }
}

impl DatagramProtocol<Thinking> for Thinker {
    fn received(&mut self, datagram: &[u8], from: SocketAddr, _: &mut Outbox, cx: &mut Context<'_, Thinking>) {
        let mut datagram = datagram.to_vec();
        let job = cx.run(JobClass::Files, move || {
            datagram.reverse();
            (from, datagram)
        });
        job.unwrap();
    }

    fn job_ended(&mut self, _: JobId, result: JobResult<(SocketAddr, Vec<u8>)>) {
        self.done.push(result.unwrap());
    }

    fn advance(&mut self, out: &mut Outbox, cx: &mut Context<'_, Thinking>) -> Stay {
        for (to, datagram) in self.done.drain(..) {
            out.send(to, &datagram);
        }
        if cx.draining { Stay::Over } else { Stay::Open }
    }
}

#[test]
fn jobs_and_messages_reach_their_socket() {
    let server = Server::start::<Thinking>("127.0.0.1:0", None, Until::Closed, Thinker::default, |_| ());
    let client = client("127.0.0.1:0");
    for _ in 0..3 {
        client.send_to(b"stressed", server.address).unwrap();
        assert_eq!(received(&client), b"desserts");
    }
    server.close();
}

#[test]
fn an_address_in_use_is_an_error() {
    let taken = client("127.0.0.1:0");
    let mut reactor = Reactor::<Alone>::new((), Options::default()).unwrap();
    let error = reactor.datagrams(taken.local_addr().unwrap(), None, Echo).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
}
