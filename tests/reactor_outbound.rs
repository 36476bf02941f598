//! Outbound connections of the reactor, on real sockets: how they are established, and how
//! they fail.

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::sync::mpsc::channel;
use std::time::Duration;

use miod::reactor::{
    Accepted, Closer, Context, Ending, Endpoint, Ends, Finish, Handle, Io, Listener, NoDatagrams, Options, Protocol,
    Reactor, Tick, Until, Want,
};
use support::sockets::Deaf;

/// The limit of every wait.
const LIMIT: Duration = Duration::from_secs(20);

/// Runs a reactor in its own thread until it ends. Returns the log.
fn run<P: Protocol<Shared = Vec<String>>>(
    options: Options,
    until: Until,
    begin: impl FnOnce(&mut Reactor<P>) + Send + 'static,
) -> Vec<String> {
    let (finish, finished) = channel();
    std::thread::spawn(move || {
        let mut reactor = Reactor::<P>::new(Vec::new(), options).unwrap();
        begin(&mut reactor);
        reactor.run(until).unwrap();
        let _ = finish.send(std::mem::take(reactor.shared()));
    });
    finished.recv_timeout(LIMIT).expect("the reactor ends")
}

/// Sends text, half-closes, and logs the received text and the error.
struct Client {
    send: &'static str,
    timeout: Duration,
    deadline: Option<Tick>,
    received: String,
    redials: u32,
    /// It doesn't half-close, and ends at shutdown.
    stays_open: bool,
}

impl Client {
    fn new(send: &'static str) -> Self {
        Self { send, timeout: LIMIT, deadline: None, received: String::new(), redials: 0, stays_open: false }
    }
}

impl Protocol for Client {
    type Shared = Vec<String>;
    type Listener = ();
    type Message = ();
    type Outcome = ();
    type Datagrams = NoDatagrams;

    fn open(_: &Accepted<'_, ()>, _: &mut Context<'_, Self>) -> Option<Self> {
        None
    }

    fn advance(&mut self, io: &mut Io<'_>, cx: &mut Context<'_, Self>) -> Want {
        if self.deadline.is_none() {
            cx.shared.push(format!("starts, established: {}", io.established));
            io.output.write(self.send.as_bytes());
        }
        let deadline = *self.deadline.get_or_insert(cx.time.now.after(self.timeout));
        self.received += std::str::from_utf8(io.input.bytes()).unwrap();
        io.input.consume(io.input.bytes().len());
        if cx.draining || deadline <= cx.time.now {
            return Want::finish(if io.established { Finish::Linger } else { Finish::Abort });
        }
        if io.ended {
            return Want::finish(Finish::Close);
        }
        let finish = if self.stays_open { Finish::No } else { Finish::HalfClose };
        Want { finish, ..Want::READ.by(deadline) }
    }

    fn closed(&mut self, ending: Ending, ends: Ends<'_>, cx: &mut Context<'_, Self>) {
        let error = ending.error.map(|error| error.kind());
        cx.shared.push(format!("received {:?}, unsent {}, {error:?}", self.received, ending.unsent));
        if self.redials > 0
            && let Some(peer) = ends.peer()
        {
            let again = Client { redials: self.redials - 1, ..Client::new(self.send) };
            cx.connect(Endpoint::Tcp(peer), again);
        }
    }
}

/// Sends the input back in upper case after EOF.
fn send_upper_case(mut stream: impl Read + Write) {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    stream.write_all(text.to_uppercase().as_bytes()).unwrap();
}

fn connect(endpoint: Endpoint, client: Client) -> Vec<String> {
    run(Options::default(), Until::Idle, |reactor| _ = reactor.connect(endpoint, client))
}

#[test]
fn output_waits_until_the_connection_is_established() {
    let expected = ["starts, established: false", "received \"HELLO\", unsent 0, None"];
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let Ok(listener) = TcpListener::bind(address) else { continue };
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || send_upper_case(listener.accept().unwrap().0));
        assert_eq!(connect(Endpoint::Tcp(address), Client::new("hello")), expected);
        server.join().unwrap();
    }
    let path = std::env::temp_dir().join(format!("miod-outbound-{}", std::process::id()));
    let listener = UnixListener::bind(&path).unwrap();
    let server = std::thread::spawn(move || send_upper_case(listener.accept().unwrap().0));
    assert_eq!(connect(Endpoint::Unix(path.clone()), Client::new("hello")), expected);
    server.join().unwrap();
    std::fs::remove_file(path).unwrap();
}

#[test]
fn a_failure_is_reported_with_its_error_and_the_unsent_bytes() {
    let nobody = Deaf::new();
    assert_eq!(
        connect(Endpoint::Tcp(nobody.address), Client::new("hello")),
        ["starts, established: false", "received \"\", unsent 5, Some(ConnectionRefused)"]
    );
    // A failure without a wait.
    let nowhere = std::env::temp_dir().join("miod-no-such-socket");
    assert_eq!(connect(Endpoint::Unix(nowhere), Client::new("hello")), ["received \"\", unsent 0, Some(NotFound)"]);
}

#[cfg(target_os = "linux")] // where a connection pending if the backlog is full
#[test]
fn a_deadline_of_the_protocol_ends_the_attempt() {
    let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    listener.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    let _first = TcpStream::connect(address).unwrap();
    let client = Client { timeout: Duration::from_millis(30), ..Client::new("hello") };
    assert_eq!(
        connect(Endpoint::Tcp(address), client),
        ["starts, established: false", "received \"\", unsent 5, None"]
    );
}

#[test]
fn the_number_of_connections_is_limited() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || send_upper_case(listener.accept().unwrap().0));
    let options = Options { connections: 1, reserve: 0, ..Options::default() };
    let log = run(options, Until::Idle, move |reactor| {
        reactor.connect(Endpoint::Tcp(address), Client::new("first"));
        reactor.connect(Endpoint::Tcp(address), Client::new("second"));
    });
    server.join().unwrap();
    assert_eq!(
        log,
        ["received \"\", unsent 0, Some(Other)", "starts, established: false", "received \"FIRST\", unsent 0, None"]
    );
}

#[test]
fn immediate_retries_do_not_block_the_loop() {
    let options = Options { connections: 0, reserve: 0, ..Options::default() };
    let nobody = Deaf::new();
    let address = nobody.address;
    let log = run(options, Until::Idle, move |reactor| {
        reactor.connect(Endpoint::Tcp(address), Client { redials: 100, ..Client::new("") });
    });
    assert_eq!(log, ["received \"\", unsent 0, Some(Other)"].repeat(101));
}

#[test]
fn shutdown_reaches_outbound_connections() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (give, given) = channel::<Closer>();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut hello = [0; 5];
        stream.read_exact(&mut hello).unwrap();
        given.recv_timeout(LIMIT).unwrap().close();
        assert_eq!(stream.read(&mut hello).unwrap(), 0);
    });
    let log = run(Options::default(), Until::Closed, move |reactor| {
        reactor.connect(Endpoint::Tcp(address), Client { stays_open: true, ..Client::new("hello") });
        give.send(reactor.closer()).unwrap();
    });
    server.join().unwrap();
    assert_eq!(log, ["starts, established: false", "received \"\", unsent 0, None"]);
}

/// One side of a relay. It sends its input to the other side.
struct Side {
    /// The address of an outbound side. `None` for the accepted side.
    to: Option<SocketAddr>,
    other: Handle,
    pending: Vec<u8>,
    over: bool,
}

enum Message {
    Bytes(Vec<u8>),
    Over,
}

impl Protocol for Side {
    type Shared = Vec<String>;
    type Listener = SocketAddr;
    type Message = Message;
    type Outcome = ();
    type Datagrams = NoDatagrams;

    fn open(accepted: &Accepted<'_, SocketAddr>, cx: &mut Context<'_, Self>) -> Option<Self> {
        let to = accepted.listener;
        let far = Side { to: Some(to), other: cx.handle, pending: Vec::new(), over: false };
        let far = cx.connect(Endpoint::Tcp(to), far);
        Some(Side { to: None, other: far, pending: Vec::new(), over: false })
    }

    fn deliver(&mut self, news: Message) {
        match news {
            Message::Bytes(bytes) => self.pending.extend(bytes),
            Message::Over => self.over = true,
        }
    }

    fn advance(&mut self, io: &mut Io<'_>, cx: &mut Context<'_, Self>) -> Want {
        io.output.write(&std::mem::take(&mut self.pending));
        let other = self.other;
        if !io.input.is_empty() {
            cx.send(other, Message::Bytes(io.input.bytes().to_vec()));
            io.input.consume(io.input.bytes().len());
        }
        if io.ended {
            cx.send(other, Message::Over);
        }
        let finish = match (self.over, io.ended) {
            (true, true) => Finish::Close,
            (true, false) => Finish::HalfClose,
            _ => Finish::No,
        };
        Want { finish, ..Want::READ }
    }

    fn closed(&mut self, ending: Ending, ends: Ends<'_>, cx: &mut Context<'_, Self>) {
        assert!(ending.error.is_none(), "{ending:?}");
        if let Some(to) = self.to {
            let local = ends.local().expect("an address of its own");
            assert!(ends.peer() == Some(to) && local.ip().is_loopback() && local != to, "{local}");
        }
        cx.shared.push(format!("far: {}", self.to.is_some()));
    }
}

#[test]
fn two_connections_are_joined_by_messages() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let far_port = server.local_addr().unwrap().port();
    let server = std::thread::spawn(move || send_upper_case(server.accept().unwrap().0));
    let relay = Listener::bind(&Endpoint::Tcp("127.0.0.1:0".parse().unwrap())).unwrap();
    let address = relay.address().unwrap();
    let client = std::thread::spawn(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let text = "through the relay ".repeat(50_000);
        let (mut writer, sent) = (stream.try_clone().unwrap(), text.clone());
        let writing = std::thread::spawn(move || {
            writer.write_all(sent.as_bytes()).unwrap();
            writer.shutdown(std::net::Shutdown::Write).unwrap();
        });
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        writing.join().unwrap();
        assert!(response == text.to_uppercase());
    });
    // Accepted connections count, outbound ones don't.
    let mut log = run::<Side>(Options::default(), Until::Connections(1), move |reactor| {
        reactor.listen(relay, ([127, 0, 0, 1], far_port).into()).unwrap();
    });
    log.sort();
    assert_eq!(log, ["far: false", "far: true"]);
    client.join().unwrap();
    server.join().unwrap();
}

#[test]
fn a_reset_by_the_peer_is_reported() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.read_exact(&mut [0; 5]).unwrap();
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    });
    let log = connect(Endpoint::Tcp(address), Client { stays_open: true, ..Client::new("hello") });
    server.join().unwrap();
    let reset = format!("received \"\", unsent 0, {:?}", Some(ErrorKind::ConnectionReset));
    assert_eq!(log, ["starts, established: false", &reset]);
}
