//! Connections that the reactor asks for, on real sockets: how they come to be,
//! how they fail, and that neither needs special care.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::sync::mpsc::channel;
use std::time::Duration;

use miod::reactor::{
    Accepted, Closer, Context, Ending, Endpoint, Ends, Finish, Handle, Io, Listener, NoDatagrams, Options, Protocol,
    Reactor, Tick, Until, Want,
};

/// Nothing here takes that long unless it is broken.
const LIMIT: Duration = Duration::from_secs(20);

/// Runs a reactor in a thread of its own until it ends; what was told in it.
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

/// Says something, half-closes, and tells what it heard and how that ended.
struct Client {
    say: &'static str,
    patience: Duration,
    deadline: Option<Tick>,
    heard: String,
    redials: u32,
    /// Ends only when it is told to.
    stays: bool,
}

impl Client {
    fn new(say: &'static str) -> Self {
        Self { say, patience: LIMIT, deadline: None, heard: String::new(), redials: 0, stays: false }
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
            cx.shared.push(format!("begins, established: {}", io.established));
            io.output.write(self.say.as_bytes());
        }
        let deadline = *self.deadline.get_or_insert(cx.time.now.after(self.patience));
        self.heard += std::str::from_utf8(io.input.bytes()).unwrap();
        io.input.consume(io.input.bytes().len());
        if cx.draining || deadline <= cx.time.now {
            return Want::finish(if io.established { Finish::Linger } else { Finish::Abort });
        }
        if io.ended {
            return Want::finish(Finish::Close);
        }
        let finish = if self.stays { Finish::No } else { Finish::HalfClose };
        Want { finish, ..Want::READ.by(deadline) }
    }

    fn closed(&mut self, ending: Ending, ends: Ends<'_>, cx: &mut Context<'_, Self>) {
        let error = ending.error.map(|error| error.kind());
        cx.shared.push(format!("heard {:?}, unsent {}, {error:?}", self.heard, ending.unsent));
        if self.redials > 0
            && let Some(peer) = ends.peer()
        {
            let again = Client { redials: self.redials - 1, ..Client::new(self.say) };
            cx.connect(Endpoint::Tcp(peer), again);
        }
    }
}

/// Answers one connection in upper case after its end of input.
fn shout(mut stream: impl Read + Write) {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    stream.write_all(text.to_uppercase().as_bytes()).unwrap();
}

fn dial(endpoint: Endpoint, client: Client) -> Vec<String> {
    run(Options::default(), Until::Idle, |reactor| _ = reactor.connect(endpoint, client))
}

#[test]
fn what_is_written_before_the_connection_is_there_waits_for_it() {
    let expected = ["begins, established: false", "heard \"HELLO\", unsent 0, None"];
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let Ok(listener) = TcpListener::bind(address) else { continue };
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || shout(listener.accept().unwrap().0));
        assert_eq!(dial(Endpoint::Tcp(address), Client::new("hello")), expected);
        server.join().unwrap();
    }
    let path = std::env::temp_dir().join(format!("miod-outbound-{}", std::process::id()));
    let listener = UnixListener::bind(&path).unwrap();
    let server = std::thread::spawn(move || shout(listener.accept().unwrap().0));
    assert_eq!(dial(Endpoint::Unix(path.clone()), Client::new("hello")), expected);
    server.join().unwrap();
    std::fs::remove_file(path).unwrap();
}

/// An address where nobody listens, as of a moment ago.
fn deserted() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn a_failure_tells_why_and_what_was_left() {
    assert_eq!(
        dial(Endpoint::Tcp(deserted()), Client::new("hello")),
        ["begins, established: false", "heard \"\", unsent 5, Some(ConnectionRefused)"]
    );
    // One that needs no waiting.
    let nowhere = std::env::temp_dir().join("miod-no-such-socket");
    assert_eq!(dial(Endpoint::Unix(nowhere), Client::new("hello")), ["heard \"\", unsent 0, Some(NotFound)"]);
}

#[cfg(target_os = "linux")] // which lets a connection wait when the backlog is full
#[test]
fn a_deadline_of_the_protocol_ends_the_attempt() {
    let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    listener.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    let _first = TcpStream::connect(address).unwrap();
    let hasty = Client { patience: Duration::from_millis(30), ..Client::new("hello") };
    assert_eq!(dial(Endpoint::Tcp(address), hasty), ["begins, established: false", "heard \"\", unsent 5, None"]);
}

#[test]
fn there_is_a_bound_and_it_is_said() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || shout(listener.accept().unwrap().0));
    let options = Options { connections: 1, reserve: 0, ..Options::default() };
    let told = run(options, Until::Idle, move |reactor| {
        reactor.connect(Endpoint::Tcp(address), Client::new("first"));
        reactor.connect(Endpoint::Tcp(address), Client::new("second"));
    });
    server.join().unwrap();
    assert_eq!(
        told,
        ["heard \"\", unsent 0, Some(Other)", "begins, established: false", "heard \"FIRST\", unsent 0, None"]
    );
}

#[test]
fn who_tries_again_at_once_does_not_stop_the_loop() {
    let options = Options { connections: 0, reserve: 0, ..Options::default() };
    let told = run(options, Until::Idle, |reactor| {
        reactor.connect(Endpoint::Tcp(deserted()), Client { redials: 100, ..Client::new("") });
    });
    assert_eq!(told, ["heard \"\", unsent 0, Some(Other)"].repeat(101));
}

#[test]
fn a_shut_down_reaches_them_too() {
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
    let told = run(Options::default(), Until::Closed, move |reactor| {
        reactor.connect(Endpoint::Tcp(address), Client { stays: true, ..Client::new("hello") });
        give.send(reactor.closer()).unwrap();
    });
    server.join().unwrap();
    assert_eq!(told, ["begins, established: false", "heard \"\", unsent 0, None"]);
}

/// One side of a relay: what it reads the other writes.
struct Side {
    /// Where to connect to; none for the side that was connected to.
    to: Option<SocketAddr>,
    other: Handle,
    waits: Vec<u8>,
    over: bool,
}

enum News {
    Bytes(Vec<u8>),
    Over,
}

impl Protocol for Side {
    type Shared = Vec<String>;
    type Listener = SocketAddr;
    type Message = News;
    type Outcome = ();
    type Datagrams = NoDatagrams;

    fn open(accepted: &Accepted<'_, SocketAddr>, cx: &mut Context<'_, Self>) -> Option<Self> {
        let to = accepted.listener;
        let far = Side { to: Some(to), other: cx.handle, waits: Vec::new(), over: false };
        let far = cx.connect(Endpoint::Tcp(to), far);
        Some(Side { to: None, other: far, waits: Vec::new(), over: false })
    }

    fn deliver(&mut self, news: News) {
        match news {
            News::Bytes(bytes) => self.waits.extend(bytes),
            News::Over => self.over = true,
        }
    }

    fn advance(&mut self, io: &mut Io<'_>, cx: &mut Context<'_, Self>) -> Want {
        io.output.write(&std::mem::take(&mut self.waits));
        let other = self.other;
        if !io.input.is_empty() {
            cx.send(other, News::Bytes(io.input.bytes().to_vec()));
            io.input.consume(io.input.bytes().len());
        }
        if io.ended {
            cx.send(other, News::Over);
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
    let server = std::thread::spawn(move || shout(server.accept().unwrap().0));
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
    // One connection accepted; the other one isn't counted.
    let mut told = run::<Side>(Options::default(), Until::Connections(1), move |reactor| {
        reactor.listen(relay, ([127, 0, 0, 1], far_port).into()).unwrap();
    });
    told.sort();
    assert_eq!(told, ["far: false", "far: true"]);
    client.join().unwrap();
    server.join().unwrap();
}

#[test]
fn a_peer_that_resets_is_told_of() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.read_exact(&mut [0; 5]).unwrap();
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    });
    let told = dial(Endpoint::Tcp(address), Client { stays: true, ..Client::new("hello") });
    server.join().unwrap();
    let reset = format!("heard \"\", unsent 0, {:?}", Some(ErrorKind::ConnectionReset));
    assert_eq!(told, ["begins, established: false", &reset]);
}
