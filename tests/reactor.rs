//! The reactor on real sockets: behaviour that tests in memory can't show.
//!
//! Each test runs a reactor in its own thread, on its own port. No test sleeps: the tests
//! wait for what they expect, and every wait has a limit.

mod support;

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use miod::reactor::{
    Accepted, Closer, Context, Conversation, Endpoint, FileSlice, Finish, Io, Listener, Next, NoDatagrams, Options,
    Output, Protocol, Reactor, Talk, TalkContext, Tick, Until, Want,
};
use support::uninterrupted;

/// The limit of every wait.
const LIMIT: Duration = Duration::from_secs(20);
const MIB: usize = 1024 * 1024;

/// A reactor in its thread.
struct Server {
    endpoint: Endpoint,
    closer: Closer,
    finished: Receiver<io::Result<()>>,
}

impl Server {
    fn start<P: Protocol<Shared = (), Listener = ()>>(endpoint: &Endpoint, deferred: bool, until: Until) -> Self {
        Self::start_after::<P>(endpoint, deferred, until, |_| ())
    }

    fn tcp<C: Conversation<Shared = ()>>(until: Until) -> Self {
        Self::start::<Talk<C>>(&any_port(), true, until)
    }

    /// Listens, calls `first`, and then runs.
    fn start_after<P: Protocol<Shared = (), Listener = ()>>(
        endpoint: &Endpoint,
        deferred: bool,
        until: Until,
        first: impl FnOnce(SocketAddr) + Send + 'static,
    ) -> Self {
        let (started, start) = channel();
        let (finish, finished) = channel();
        let endpoint = endpoint.clone();
        std::thread::spawn(move || {
            let bind = if deferred { Listener::bind } else { Listener::bind_greeting };
            let listener = bind(&endpoint).unwrap();
            let endpoint = listener.endpoint();
            if let Some(address) = listener.address() {
                first(address);
            }
            let mut reactor = Reactor::<P>::new((), Options::default()).unwrap();
            reactor.listen(listener, ()).unwrap();
            started.send((endpoint, reactor.closer())).unwrap();
            let result = reactor.run(until);
            // The listener is closed before the result is sent.
            drop(reactor);
            let _ = finish.send(result);
        });
        let (endpoint, closer) = start.recv_timeout(LIMIT).expect("the reactor starts");
        Self { endpoint, closer, finished }
    }

    fn address(&self) -> SocketAddr {
        match self.endpoint {
            Endpoint::Tcp(address) => address,
            Endpoint::Unix(_) => unreachable!("a TCP listener"),
        }
    }

    fn connect(&self) -> TcpStream {
        connect(self.address())
    }

    /// Waits until the reactor's run is over.
    fn finish(self) {
        match self.finished.recv_timeout(LIMIT) {
            Ok(result) => result.expect("the reactor runs"),
            Err(RecvTimeoutError::Timeout) => panic!("the reactor doesn't end"),
            Err(RecvTimeoutError::Disconnected) => panic!("the reactor panicked"),
        }
    }

    fn close(self) {
        self.closer.close();
        self.finish();
    }
}

fn any_port() -> Endpoint {
    Endpoint::Tcp("127.0.0.1:0".parse().unwrap())
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&address, LIMIT).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream.set_write_timeout(Some(LIMIT)).unwrap();
    stream
}

fn read_exactly(stream: &mut impl Read, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

fn read_to_end(stream: &mut impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    bytes
}

/// Bytes that differ when they are shifted by the size of a buffer.
fn pattern(count: usize) -> Vec<u8> {
    (0..count as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

/// Whether the connection ends without a byte, by EOF or by a reset.
fn is_over(stream: &mut impl Read) -> bool {
    match uninterrupted(|| stream.read(&mut [0])) {
        Ok(count) => count == 0,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

/// Sends back what it receives, and at the end the number of bytes.
#[derive(Default)]
struct Echo {
    total: usize,
}

impl Conversation for Echo {
    type Shared = ();
    type Message = ();

    fn open(_: Option<SocketAddr>, _: &mut TalkContext<'_, Self>) -> Option<Self> {
        Some(Self::default())
    }

    fn data(&mut self, data: &[u8], output: &mut Output, _: &mut TalkContext<'_, Self>) -> Next {
        self.total += data.len();
        output.write(data);
        Next::Continue
    }

    fn end(&mut self, output: &mut Output, _: &mut TalkContext<'_, Self>) {
        output.write(format!("|{}", self.total).as_bytes());
    }
}

/// Sends 8 MiB for every byte.
struct Flood;

const FLOOD: usize = 8 * MIB;

impl Conversation for Flood {
    type Shared = ();
    type Message = ();

    fn open(_: Option<SocketAddr>, _: &mut TalkContext<'_, Self>) -> Option<Self> {
        Some(Self)
    }

    fn data(&mut self, data: &[u8], output: &mut Output, _: &mut TalkContext<'_, Self>) -> Next {
        for _ in data {
            output.write(&pattern(FLOOD));
        }
        Next::Continue
    }
}

/// Sends one byte and receives it back.
fn round_trip(stream: &mut (impl Read + Write)) {
    stream.write_all(b"x").unwrap();
    assert_eq!(read_exactly(stream, 1), b"x");
}

#[test]
fn hundreds_of_clients_are_served_at_once() {
    for deferred in [false, true] {
        let server = Server::start::<Talk<Echo>>(&any_port(), deferred, Until::Closed);
        let mut clients: Vec<_> = (0..200).map(|_| server.connect()).collect();
        for round in 0..3 {
            for (number, client) in clients.iter_mut().enumerate() {
                client.write_all(format!("{round} {number:03}").as_bytes()).unwrap();
            }
            for (number, client) in clients.iter_mut().enumerate().rev() {
                assert_eq!(read_exactly(client, 5), format!("{round} {number:03}").as_bytes());
            }
        }
        // Half of them close; the others are not affected.
        let staying = clients.split_off(100);
        drop(clients);
        for mut client in staying {
            round_trip(&mut client);
        }
        server.close();
    }
}

#[test]
fn a_burst_of_connections_is_accepted_completely() {
    // 100 is more than the listener accepts in one turn.
    for count in [20, 100] {
        let (send, receive) = channel();
        let burst = move |address| {
            let clients: Vec<_> = (0..count).map(|_| connect(address)).collect();
            send.send(clients).unwrap();
        };
        let until = Until::Connections(count);
        let server = Server::start_after::<Talk<Echo>>(&any_port(), false, until, burst);
        for mut client in receive.recv_timeout(LIMIT).unwrap() {
            round_trip(&mut client);
        }
        server.finish();
    }
}

#[test]
fn a_long_stream_arrives_completely_and_in_order() {
    let server = Server::tcp::<Echo>(Until::Connections(1));
    let mut client = server.connect();
    let mut writer = client.try_clone().unwrap();
    let writing = std::thread::spawn(move || {
        writer.write_all(&pattern(MIB)).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    assert!(read_to_end(&mut client) == [&pattern(MIB)[..], b"|1048576"].concat());
    writing.join().unwrap();
    server.finish();
}

#[test]
fn a_slow_reader_gets_everything_and_delays_no_other() {
    let server = Server::tcp::<Flood>(Until::Closed);
    let mut slow = server.connect();
    slow.write_all(b"x").unwrap();
    // The output has started, so it now fills the buffers of both ends.
    let mut response = read_exactly(&mut slow, 1);
    let mut quick = server.connect();
    for _ in 0..3 {
        quick.write_all(b"x").unwrap();
        assert!(read_exactly(&mut quick, FLOOD) == pattern(FLOOD));
    }
    response.extend(read_exactly(&mut slow, FLOOD - 1));
    assert!(response == pattern(FLOOD));
    // Both connections still work.
    for client in [&mut slow, &mut quick] {
        client.write_all(b"x").unwrap();
        assert!(read_exactly(client, FLOOD) == pattern(FLOOD));
    }
    server.close();
}

#[test]
fn a_half_closed_client_gets_the_rest_of_the_output() {
    let server = Server::tcp::<Flood>(Until::Connections(1));
    let mut client = server.connect();
    client.write_all(b"xx").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert!(read_to_end(&mut client) == [pattern(FLOOD), pattern(FLOOD)].concat());
    server.finish();
}

/// Closes after its output, even if there is more input.
struct Farewell;

impl Conversation for Farewell {
    type Shared = ();
    type Message = ();

    fn open(_: Option<SocketAddr>, _: &mut TalkContext<'_, Self>) -> Option<Self> {
        Some(Self)
    }

    fn data(&mut self, _: &[u8], output: &mut Output, _: &mut TalkContext<'_, Self>) -> Next {
        output.write(&pattern(MIB));
        Next::Close
    }
}

#[test]
fn unread_input_does_not_lose_the_last_output() {
    let server = Server::tcp::<Farewell>(Until::Connections(1));
    let mut client = server.connect();
    client.write_all(&[b'x'; 200_000]).unwrap();
    assert!(read_to_end(&mut client) == pattern(MIB));
    drop(client);
    server.finish();
}

/// Sends bytes, a slice of a file, and bytes.
struct FromFile;

impl Conversation for FromFile {
    type Shared = ();
    type Message = ();

    fn open(_: Option<SocketAddr>, _: &mut TalkContext<'_, Self>) -> Option<Self> {
        Some(Self)
    }

    fn data(&mut self, _: &[u8], output: &mut Output, _: &mut TalkContext<'_, Self>) -> Next {
        let path = std::env::temp_dir().join(format!("miod-reactor-file-{}", std::process::id()));
        std::fs::write(&path, pattern(MIB)).unwrap();
        let file = Rc::new(std::fs::File::open(&path).unwrap().into());
        std::fs::remove_file(&path).unwrap();
        output.write(b"head");
        output.file(FileSlice { file, offset: 10, length: MIB as u64 - 20 });
        output.write(b"tail");
        Next::Close
    }
}

#[test]
fn a_file_is_sent_between_the_bytes_around_it() {
    let server = Server::tcp::<FromFile>(Until::Connections(1));
    let mut client = server.connect();
    client.write_all(b"x").unwrap();
    assert!(read_to_end(&mut client) == [b"head", &pattern(MIB)[10..MIB - 10], b"tail"].concat());
    server.finish();
}

/// The number of bytes that [`Guarded`] received.
static GUARDED_DATA: AtomicUsize = AtomicUsize::new(0);

/// Accepts connections from 127.0.0.1 only.
struct Guarded;

impl Conversation for Guarded {
    type Shared = ();
    type Message = ();

    fn open(peer: Option<SocketAddr>, _: &mut TalkContext<'_, Self>) -> Option<Self> {
        peer.is_some_and(|peer| peer.ip().to_string() == "127.0.0.1").then_some(Self)
    }

    fn data(&mut self, data: &[u8], output: &mut Output, _: &mut TalkContext<'_, Self>) -> Next {
        GUARDED_DATA.fetch_add(data.len(), Ordering::Relaxed);
        output.write(data);
        Next::Continue
    }
}

#[cfg(target_os = "linux")] // where every address of 127/8 is local
#[test]
fn a_peer_can_be_refused_before_anything_is_read() {
    let server = Server::start::<Talk<Guarded>>(&any_port(), false, Until::Connections(3));
    let other = |bytes: &[u8]| {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 2], 0)).into()).unwrap();
        socket.connect_timeout(&server.address().into(), LIMIT).unwrap();
        let mut stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        // It may already be refused.
        let _ = stream.write_all(bytes);
        stream
    };
    assert!(is_over(&mut other(b"")));
    assert!(is_over(&mut other(b"let me in")));
    assert_eq!(GUARDED_DATA.load(Ordering::Relaxed), 0);
    round_trip(&mut server.connect());
    server.finish();
    assert_eq!(GUARDED_DATA.load(Ordering::Relaxed), 1);
}

#[test]
fn runs_for_a_given_number_of_connections() {
    let server = Server::start::<Talk<Echo>>(&any_port(), false, Until::Connections(1));
    let mut first = server.connect();
    round_trip(&mut first);
    // The kernel completes this connection, but it is never accepted.
    let mut second = server.connect();
    second.write_all(b"x").unwrap();
    round_trip(&mut first);
    drop(first);
    server.finish();
    assert!(is_over(&mut second));
}

#[test]
fn can_be_closed_from_another_thread() {
    let server = Server::start::<Talk<Echo>>(&any_port(), false, Until::Closed);
    let (address, closer) = (server.address(), server.closer.clone());
    let mut idle = server.connect();
    round_trip(&mut idle);
    std::thread::spawn(move || closer.close()).join().unwrap();
    assert!(is_over(&mut idle));
    drop(idle);
    server.finish();
    let refused = TcpStream::connect_timeout(&address, LIMIT);
    assert_eq!(refused.err().map(|error| error.kind()), Some(ErrorKind::ConnectionRefused));
}

#[test]
fn serves_a_unix_domain_socket_and_removes_it() {
    let path = std::env::temp_dir().join(format!("miod-reactor-{}", std::process::id()));
    let server = Server::start::<Talk<Echo>>(&Endpoint::Unix(path.clone()), true, Until::Connections(2));
    let client = || {
        let stream = UnixStream::connect(&path).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream.set_write_timeout(Some(LIMIT)).unwrap();
        stream
    };
    let (mut one, mut other) = (client(), client());
    round_trip(&mut other);
    one.write_all(b"abc").unwrap();
    one.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_end(&mut one), b"abc|3");
    round_trip(&mut other);
    drop(other);
    server.finish();
    assert!(!path.exists());
}

#[test]
fn a_reset_ends_only_its_own_connection() {
    let reset = |stream: TcpStream| {
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
        drop(stream);
    };
    let server = Server::start::<Talk<Flood>>(&any_port(), false, Until::Connections(4));
    let mut other = server.connect();
    // A reset during the output, before it, and before any input.
    let mut taking = server.connect();
    taking.write_all(b"x").unwrap();
    read_exactly(&mut taking, 1);
    reset(taking);
    let mut waiting = server.connect();
    waiting.write_all(b"x").unwrap();
    reset(waiting);
    reset(server.connect());
    other.write_all(b"x").unwrap();
    assert!(read_exactly(&mut other, FLOOD) == pattern(FLOOD));
    drop(other);
    server.finish();
}

#[test]
fn a_silent_client_that_closes_is_removed() {
    for deferred in [false, true] {
        let server = Server::start::<Talk<Echo>>(&any_port(), deferred, Until::Connections(2));
        let mut half = server.connect();
        half.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_to_end(&mut half), b"|0");
        drop((half, server.connect()));
        server.finish();
    }
}

/// Echoes, and wants to be called at a time in the past.
struct PastDeadline;

impl Protocol for PastDeadline {
    type Shared = ();
    type Listener = ();
    type Message = ();
    type Outcome = ();
    type Datagrams = NoDatagrams;

    fn open(_: &Accepted<'_, ()>, _: &mut Context<'_, Self>) -> Option<Self> {
        Some(Self)
    }

    fn advance(&mut self, io: &mut Io<'_>, _: &mut Context<'_, Self>) -> Want {
        io.output.write(io.input.bytes());
        io.input.consume(io.input.bytes().len());
        if io.ended {
            return Want::finish(Finish::Close);
        }
        Want::READ.by(Tick::from_micros(0))
    }
}

#[test]
fn a_deadline_in_the_past_does_not_stop_the_loop() {
    let server = Server::start::<PastDeadline>(&any_port(), false, Until::Connections(2));
    let (mut one, mut other) = (server.connect(), server.connect());
    for _ in 0..3 {
        round_trip(&mut one);
        round_trip(&mut other);
    }
    drop((one, other));
    server.finish();
}

/// Sends for each byte the number of calls since the byte before.
#[derive(Default)]
struct Counting {
    calls: u8,
}

impl Protocol for Counting {
    type Shared = ();
    type Listener = ();
    type Message = ();
    type Outcome = ();
    type Datagrams = NoDatagrams;

    fn open(_: &Accepted<'_, ()>, _: &mut Context<'_, Self>) -> Option<Self> {
        Some(Self::default())
    }

    fn advance(&mut self, io: &mut Io<'_>, _: &mut Context<'_, Self>) -> Want {
        self.calls += 1;
        if !io.input.is_empty() {
            io.input.consume(1);
            io.output.write(&[std::mem::take(&mut self.calls)]);
        }
        if io.ended { Want::finish(Finish::Close) } else { Want::READ }
    }
}

#[test]
fn a_protocol_is_called_once_for_input_it_waits_for() {
    let server = Server::start::<Counting>(&any_port(), true, Until::Connections(1));
    let mut stream = server.connect();
    let calls: Vec<u8> = (0..10)
        .map(|_| {
            stream.write_all(b"?").unwrap();
            read_exactly(&mut stream, 1)[0]
        })
        .collect();
    assert_eq!(calls[0], 1);
    // The registration is a separate event, which may occur before the second byte.
    assert!(calls[2..].iter().all(|&calls| calls == 1), "{calls:?}");
    drop(stream);
    server.finish();
}

/// Wants to read only when it knows that there is input. Sends whether it wanted the input
/// that it got.
#[derive(Default)]
struct ReadsLate {
    wanted: bool,
}

impl Protocol for ReadsLate {
    type Shared = ();
    type Listener = ();
    type Message = ();
    type Outcome = ();
    type Datagrams = NoDatagrams;

    fn open(_: &Accepted<'_, ()>, _: &mut Context<'_, Self>) -> Option<Self> {
        Some(Self::default())
    }

    fn advance(&mut self, io: &mut Io<'_>, _: &mut Context<'_, Self>) -> Want {
        if io.ended {
            return Want::finish(Finish::Close);
        }
        if !io.input.is_empty() {
            io.input.consume(io.input.bytes().len());
            io.output.write(&[u8::from(self.wanted)]);
        }
        self.wanted = io.unread;
        if self.wanted { Want::READ } else { Want::NOTHING }
    }
}

#[test]
fn nothing_is_read_unless_the_protocol_wants_it() {
    let server = Server::start::<ReadsLate>(&any_port(), false, Until::Connections(1));
    let mut stream = server.connect();
    for _ in 0..3 {
        stream.write_all(b"hello").unwrap();
        assert_eq!(read_exactly(&mut stream, 1), [1]);
    }
    drop(stream);
    server.finish();
}
