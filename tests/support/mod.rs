//! Shared by the tests with real sockets: the real binary on a free port, a temporary root,
//! and a client that sends any bytes. Every wait has a timeout, and every process is ended.

#![allow(dead_code, unreachable_pub)] // each test file uses only a part of it

pub mod browser;
pub mod gzip;
pub mod in_process;
pub mod redis;
pub mod reload;
pub mod response;
pub mod site;
pub mod sockets;
pub mod tcpdump;
pub mod terminal;
pub mod tshark;
pub mod upstreams;

pub use response::Response;

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant, SystemTime};

/// The limit of every wait.
pub const TIMEOUT: Duration = Duration::from_secs(20);

/// A directory for the files of a test. It is removed when dropped.
pub struct Root(PathBuf);

impl Root {
    pub fn new() -> Self {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("miod-test-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file, with the directories above it.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> &Self {
        let path = self.at(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
        self
    }

    /// Writes a file that was last modified long ago, so that its entity-tag is strong.
    pub fn old_file(&self, name: &str, content: impl AsRef<[u8]>) -> &Self {
        self.file(name, content);
        self.set_modified(name, std::time::UNIX_EPOCH + Duration::from_secs(LONG_AGO))
    }

    /// Sets when a file was last modified.
    pub fn set_modified(&self, name: &str, when: SystemTime) -> &Self {
        std::fs::File::options().write(true).open(self.at(name)).unwrap().set_modified(when).unwrap();
        self
    }

    /// Makes a directory, with those above it.
    pub fn directory(&self, name: &str) -> &Self {
        std::fs::create_dir_all(self.at(name)).unwrap();
        self
    }

    /// Makes a symbolic link.
    pub fn link(&self, name: &str, to: impl AsRef<Path>) -> &Self {
        std::os::unix::fs::symlink(to, self.at(name)).unwrap();
        self
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The modification time of old files, in Unix seconds and as in a header field.
pub const LONG_AGO: u64 = 1_700_000_000;
pub const LONG_AGO_DATE: &str = "Tue, 14 Nov 2023 22:13:20 GMT";

/// Bytes that differ when they are shifted by the size of a buffer.
pub fn pattern(count: usize) -> Vec<u8> {
    // The period is a prime, so no buffer size is a multiple of it. Repeating it is fast.
    let period: Vec<u8> = (0..65_537_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let mut bytes = Vec::with_capacity(count + period.len());
    while bytes.len() < count {
        bytes.extend_from_slice(&period);
    }
    bytes.truncate(count);
    bytes
}

/// A running server.
pub struct Server {
    child: Child,
    address: SocketAddr,
    /// The first line of its output.
    pub banner: String,
    output: Arc<Captured>,
    errors: Arc<Captured>,
    /// Its root, if the test doesn't own it.
    root: Option<Root>,
}

/// The output of a process so far.
#[derive(Default)]
struct Captured {
    bytes: Mutex<Vec<u8>>,
    is_whole: AtomicBool,
}

impl Captured {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().unwrap()).into_owned()
    }
}

/// Reads all output of a process, so that the process never blocks.
fn capture(mut from: impl Read + Send + 'static, captured: Arc<Captured>) {
    std::thread::spawn(move || {
        let mut some = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = from.read(&mut some) {
            captured.bytes.lock().unwrap().extend_from_slice(&some[..count]);
        }
        captured.is_whole.store(true, Ordering::SeqCst);
    });
}

impl Server {
    /// Serves `root` with further arguments.
    pub fn start(root: &Root, arguments: &[&str]) -> Self {
        let mut command = miod();
        command.arg("serve").arg(root.path()).args(["-p", "0"]).args(arguments);
        Self::run(command)
    }

    /// As [`start`](Self::start), but the server owns the root.
    pub fn start_with(root: Root, arguments: &[&str]) -> Self {
        let mut server = Self::start(&root, arguments);
        server.root = Some(root);
        server
    }

    /// Runs a command that prints its address in the first line.
    pub fn run(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (output, errors) = (Arc::<Captured>::default(), Arc::<Captured>::default());
        capture(child.stderr.take().unwrap(), Arc::clone(&errors));
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let (send, line) = mpsc::channel();
        let rest = Arc::clone(&output);
        std::thread::spawn(move || {
            let mut banner = String::new();
            let _ = stdout.read_line(&mut banner);
            let _ = send.send(banner);
            capture(stdout, rest);
        });
        let banner = line.recv_timeout(TIMEOUT).expect("a banner");
        let address = address_in(&banner);
        // From here on, dropping the server ends the process.
        let mut server = Self { child, address: ([0, 0, 0, 0], 0).into(), banner, output, errors, root: None };
        server.address = address.unwrap_or_else(|| panic!("no address in {:?}", server.banner));
        server
    }

    /// Standard output after the banner.
    pub fn output(&self) -> String {
        self.output.text()
    }

    /// Standard error.
    pub fn errors(&self) -> String {
        self.errors.text()
    }

    /// The processor time that it has used, in seconds.
    pub fn cpu(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        // The name may contain any character. utime and stime are fields 14 and 15, in hundredths.
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
    }

    /// Its anonymous resident memory in bytes.
    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() * 1024
    }

    /// The first address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address of the service for operators.
    pub fn operators(&self) -> SocketAddr {
        let url = self.banner.split_once("for operators on http://");
        let (_, url) = url.unwrap_or_else(|| panic!("no service for operators: {}", self.banner));
        url.split('/').next().unwrap().parse().unwrap()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by name: TERM, USR2.
    pub fn signal(&self, name: &str) {
        kill(name, self.pid());
    }

    /// Stops it, and waits until it has: it may still run when the signal is sent.
    pub fn stop(&self) {
        self.signal("STOP");
        let is_stopped = || {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
            stat.rsplit_once(") ").unwrap().1.starts_with('T')
        };
        assert!(eventually(is_stopped), "it doesn't stop");
    }

    /// Waits until it has ended, and all of its output is there.
    pub fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        let has_ended = eventually(|| {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        assert!(has_ended, "it doesn't end");
        // What it has written last may still be in a pipe.
        let all = [&self.output, &self.errors];
        assert!(eventually(|| all.iter().all(|one| one.is_whole.load(Ordering::SeqCst))), "its output doesn't end");
        status.unwrap()
    }

    pub fn connect(&self) -> Client {
        Client::connect(self.address)
    }

    /// Sends a request on its own connection. Returns the response.
    pub fn exchange(&self, request: impl AsRef<[u8]>) -> Response {
        let mut client = self.connect();
        client.send(request);
        client.response()
    }

    /// A HEAD on a connection of its own.
    pub fn head(&self, path: &str) -> Response {
        let mut client = self.connect();
        client.send(head_with(path, "Connection: close\r\n"));
        let response = client.response_to("HEAD");
        assert!(client.is_closed(), "bytes follow a response to HEAD");
        response
    }

    /// A GET with further lines on a connection of its own.
    pub fn get_with(&self, path: &str, lines: &str) -> Response {
        self.exchange(get_with(path, lines))
    }

    /// A GET on a connection of its own.
    pub fn get(&self, path: &str) -> Response {
        self.exchange(get(path))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("output of the server: {}{}", self.output(), self.errors());
        }
    }
}

/// A process that is ended when dropped.
pub struct Ended(pub Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Sends a signal by name to a process that the test has started.
pub fn kill(name: &str, pid: u32) {
    let status = Command::new("kill").arg(format!("-{name}")).arg(pid.to_string()).status().unwrap();
    assert!(status.success());
}

/// Raises the limit of file descriptors of this process to its maximum.
pub fn raise_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
}

/// The command under test, without settings from the environment.
pub fn miod() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_miod"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("MIOD_") || name == "RUST_LOG" {
            command.env_remove(name);
        }
    }
    command
}

fn address_in(banner: &str) -> Option<SocketAddr> {
    banner.split([' ', '\n']).find_map(|word| {
        word.trim_start_matches("http://").trim_start_matches("https://").trim_end_matches(['/', ',']).parse().ok()
    })
}

/// A GET request for a path.
pub fn get(path: &str) -> String {
    get_with(path, "")
}

/// A HEAD request for a path, with further lines, each with its CRLF.
pub fn head_with(path: &str, lines: &str) -> String {
    format!("HEAD {path} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n")
}

/// A GET request with further lines, each with its CRLF.
pub fn get_with(path: &str, lines: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n")
}

/// A client that sends any bytes.
pub struct Client {
    pub stream: TcpStream,
    /// Received bytes that no response has taken yet.
    buffer: Vec<u8>,
}

impl Client {
    pub fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect_timeout(&address, TIMEOUT).unwrap())
    }

    /// Uses an existing connection.
    pub fn over(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        stream.set_write_timeout(Some(TIMEOUT)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: Vec::new() }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    /// Waits until the server has read all that was sent.
    pub fn until_read(&self) {
        assert!(eventually(|| sockets::unread(&self.stream) == Some(0)), "it isn't read");
    }

    /// Waits until something has come, and leaves it there.
    pub fn until_begun(&self) {
        assert_eq!(uninterrupted(|| self.stream.peek(&mut [0])).unwrap(), 1, "the server has closed");
    }

    /// Closes the sending side.
    pub fn end(&mut self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// The next response to a request other than HEAD. Interim responses count.
    pub fn response(&mut self) -> Response {
        self.response_to("GET")
    }

    /// The next response, to a request with this method.
    pub fn response_to(&mut self, method: &str) -> Response {
        let mut ended = false;
        loop {
            if let Some(response) = Response::parse(&self.buffer, method, ended) {
                self.buffer.drain(..response.length);
                return response;
            }
            assert!(!ended, "no complete response: {:?}", String::from_utf8_lossy(&self.buffer));
            ended = !self.read();
        }
    }

    /// Receives exactly `count` bytes in pieces, with a pause before each.
    pub fn take_slowly(&mut self, count: usize, piece: usize, pause: Duration) -> Vec<u8> {
        let mut bytes = Vec::new();
        while bytes.len() < count {
            // Nothing is written to it, so this is a pause.
            let (never, _writer) = std::io::pipe().unwrap();
            wait_for(&never, pause);
            bytes.extend(self.take(piece.min(count - bytes.len())));
        }
        bytes
    }

    /// Everything until the server closes.
    pub fn rest(&mut self) -> Vec<u8> {
        while self.read() {}
        std::mem::take(&mut self.buffer)
    }

    /// Everything until the server closes or resets the connection, and whether
    /// it was a reset.
    pub fn rest_or_reset(&mut self) -> (Vec<u8>, bool) {
        loop {
            match self.try_read() {
                Ok(0) => return (std::mem::take(&mut self.buffer), false),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                    return (std::mem::take(&mut self.buffer), true);
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Whether nothing arrives within `time`.
    pub fn is_silent_for(&mut self, time: Duration) -> bool {
        self.stream.set_read_timeout(Some(time)).unwrap();
        let silent = self.buffer.is_empty()
            && matches!(self.try_read(), Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut));
        self.stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        silent
    }

    /// Waits until the server closes. Returns whether no bytes were left.
    pub fn is_closed(&mut self) -> bool {
        !self.read() && self.buffer.is_empty()
    }

    /// Receives exactly `count` bytes.
    pub fn take(&mut self, count: usize) -> Vec<u8> {
        while self.buffer.len() < count {
            assert!(self.read(), "ended after {} of {count} bytes", self.buffer.len());
        }
        self.buffer.drain(..count).collect()
    }

    /// Reads more bytes. Returns false at EOF.
    fn read(&mut self) -> bool {
        match self.try_read() {
            Ok(count) => count > 0,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => panic!("the server reset the connection"),
            Err(error) => panic!("{error} after {:?}", String::from_utf8_lossy(&self.buffer)),
        }
    }

    fn try_read(&mut self) -> std::io::Result<usize> {
        let mut some = vec![0; 64 * 1024];
        let count = uninterrupted(|| self.stream.read(&mut some))?;
        self.buffer.extend_from_slice(&some[..count]);
        Ok(count)
    }
}

/// Repeats a call that was interrupted. On a socket with a timeout, a process that was stopped and continues
/// interrupts each.
pub fn uninterrupted<T>(mut call: impl FnMut() -> std::io::Result<T>) -> std::io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Waits for input, at most for `most`.
fn wait_for(from: &impl std::os::fd::AsFd, most: Duration) {
    use rustix::event::{PollFd, PollFlags, poll};
    let _ = poll(&mut [PollFd::new(from, PollFlags::IN)], Some(&most.try_into().unwrap()));
}

/// Checks `condition` repeatedly until it is true or the time is up.
pub fn eventually(mut condition: impl FnMut() -> bool) -> bool {
    let begin = Instant::now();
    while begin.elapsed() < TIMEOUT {
        if condition() {
            return true;
        }
        std::thread::yield_now();
    }
    false
}

/// The lines of a log without the one that is being written.
pub fn whole_lines(log: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')).map(str::to_owned).collect()
}

/// The lines of a log, as soon as there are `count`: a line comes after the response. There are no more.
pub fn await_lines(log: &Path, count: usize) -> Vec<String> {
    let mut lines = Vec::new();
    eventually(|| {
        lines = whole_lines(log);
        lines.len() >= count
    });
    assert_eq!(lines.len(), count, "{lines:#?}");
    lines
}

/// The last line of a log that contains `what`, as soon as there is one: it comes after the response.
pub fn await_line(log: &Path, what: &str) -> String {
    let mut line = None;
    let is_there = eventually(|| {
        line = whole_lines(log).into_iter().rfind(|line| line.contains(what));
        line.is_some()
    });
    assert!(is_there, "no {what:?} in {:#?}", whole_lines(log));
    line.unwrap()
}

/// A client with a small receive buffer.
pub fn with_small_buffer(address: SocketAddr) -> Client {
    let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(128 * 1024).unwrap();
    socket.connect(&address.into()).unwrap();
    Client::over(socket.into())
}

/// A name that doesn't exist. Its label is too long, so no name server is asked.
pub const UNKNOWN: &str = "a-name-of-more-letters-than-a-label-can-have-which-are-sixty-three.invalid";

/// The result of a command that has ended.
#[derive(Debug)]
pub struct Outcome {
    pub code: Option<i32>,
    pub out: Vec<u8>,
    pub errors: String,
}

impl Outcome {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.out).into_owned()
    }
}

/// Runs a command with `input` until it ends.
pub fn run_to_end(command: &mut Command, input: &[u8]) -> Outcome {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut stdin, input) = (child.stdin.take().unwrap(), input.to_vec());
    // The command may end before it has read everything.
    std::thread::spawn(move || drop(stdin.write_all(&input)));
    let read = |mut from: Box<dyn Read + Send>| {
        std::thread::spawn(move || {
            let mut captured = Vec::new();
            from.read_to_end(&mut captured).unwrap();
            captured
        })
    };
    let (out, errors) = (read(Box::new(child.stdout.take().unwrap())), read(Box::new(child.stderr.take().unwrap())));
    let mut child = Ended(child);
    let mut status = None;
    assert!(
        eventually(|| {
            status = child.0.try_wait().unwrap();
            status.is_some()
        }),
        "it doesn't end"
    );
    Outcome {
        code: status.unwrap().code(),
        out: out.join().unwrap(),
        errors: String::from_utf8_lossy(&errors.join().unwrap()).into_owned(),
    }
}

/// A server that runs a script on each connection, also against the protocol.
pub struct Script {
    pub address: SocketAddr,
    over: Arc<AtomicBool>,
}

impl Script {
    /// Calls `act` for each connection with its number, from 0. The connection is closed
    /// when it returns.
    pub fn start(act: impl Fn(usize, &mut TcpStream) + Send + 'static) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&over);
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                if ended.load(Ordering::SeqCst) {
                    break;
                }
                let mut stream = stream.unwrap();
                stream.set_read_timeout(Some(TIMEOUT)).unwrap();
                stream.set_nodelay(true).unwrap();
                act(number, &mut stream);
            }
        });
        Self { address, over }
    }

    /// As [`start`](Self::start), with a thread for each connection.
    pub fn parallel(act: impl Fn(usize, &mut TcpStream) + Send + Sync + 'static) -> Self {
        let act = Arc::new(act);
        Self::start(move |number, stream| {
            let (act, mut stream) = (Arc::clone(&act), stream.try_clone().unwrap());
            std::thread::spawn(move || act(number, &mut stream));
        })
    }

    /// Answers each request without content on a connection with what `answer` makes of its head.
    pub fn answering<A: AsRef<[u8]>>(answer: impl Fn(&str) -> A + Send + Sync + 'static) -> Self {
        Self::counting(answer).0
    }

    /// The same, and counts the connections.
    pub fn counting<A: AsRef<[u8]>>(answer: impl Fn(&str) -> A + Send + Sync + 'static) -> (Self, Arc<AtomicUsize>) {
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        let script = Self::parallel(move |_, stream| {
            counted.fetch_add(1, Ordering::SeqCst);
            loop {
                let head = read_head(stream);
                if head.is_empty() || stream.write_all(answer(&head).as_ref()).is_err() {
                    return;
                }
            }
        });
        (script, connections)
    }

    /// Each connection gets these bytes after its first request, and is then closed.
    pub fn responding(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        Self::start(move |_, stream| {
            read_head(stream);
            let _ = stream.write_all(&bytes);
        })
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

/// Reads a request to the end of its head, or to the end of the connection.
pub fn read_head(stream: &mut TcpStream) -> String {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && stream.read_exact(&mut byte).is_ok() {
        head.push(byte[0]);
    }
    String::from_utf8_lossy(&head).into_owned()
}
