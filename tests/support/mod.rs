//! What the tests with real sockets share: the real binary on a port of the
//! system's choosing, a root of its own, and a client that says exactly what it
//! is told to. Everything is bounded in time, and what is started is ended.

#![allow(dead_code, unreachable_pub)] // each test file uses its own part of it

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Longer than anything that works takes, shorter than anybody's patience.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A directory with what a test makes in it; removed when dropped.
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
        let long_ago = std::time::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        std::fs::File::options().write(true).open(self.at(name)).unwrap().set_modified(long_ago).unwrap();
        self
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The real binary, serving.
pub struct Server {
    child: Child,
    address: SocketAddr,
    /// Its first line.
    pub banner: String,
}

impl Server {
    /// Serves `root` with further arguments.
    pub fn start(root: &Root, arguments: &[&str]) -> Self {
        let mut command = miod();
        command.arg("serve").arg(root.path()).args(["-p", "0"]).args(arguments);
        Self::run(command)
    }

    /// Runs a command that says where it listens in its first line.
    pub fn run(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let stdout = child.stdout.take().unwrap();
        let (send, line) = mpsc::channel();
        std::thread::spawn(move || {
            let mut reader = BufReader::new(stdout);
            let mut banner = String::new();
            let _ = reader.read_line(&mut banner);
            let _ = send.send(banner);
            // Whatever it says later is read, so that it never blocks on us.
            let _ = std::io::copy(&mut reader, &mut std::io::sink());
        });
        let banner = line.recv_timeout(PATIENCE).expect("a banner");
        let address = address_in(&banner).unwrap_or_else(|| panic!("no address in {banner:?}"));
        Self { child, address, banner }
    }

    /// Where it listens first.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by name: TERM, USR2.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").arg(format!("-{name}")).arg(self.pid().to_string()).status().unwrap();
        assert!(status.success());
    }

    /// Waits until it has ended.
    pub fn wait(&mut self) -> ExitStatus {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(begin.elapsed() < PATIENCE, "it doesn't end");
            std::thread::yield_now();
        }
    }

    pub fn connect(&self) -> Client {
        Client::connect(self.address)
    }

    /// One request on a connection of its own, which it closes; the whole answer.
    pub fn ask(&self, request: impl AsRef<[u8]>) -> Answer {
        let mut client = self.connect();
        client.send(request);
        client.answer()
    }

    /// A GET on a connection of its own.
    pub fn get(&self, path: &str) -> Answer {
        self.ask(get(path))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The command under test, with none of the caller's settings.
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
    banner.split([' ', '\n']).find_map(|word| word.trim_start_matches("http://").trim_end_matches('/').parse().ok())
}

/// A GET request for a path.
pub fn get(path: &str) -> String {
    get_with(path, "")
}

/// A GET request with further lines, each with its CRLF.
pub fn get_with(path: &str, lines: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n")
}

/// A client that says exactly what it is told to.
pub struct Client {
    pub stream: TcpStream,
    /// Received and not yet taken for an answer.
    buffer: Vec<u8>,
}

impl Client {
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: Vec::new() }
    }

    pub fn send(&mut self, octets: impl AsRef<[u8]>) {
        self.stream.write_all(octets.as_ref()).unwrap();
    }

    /// Sends no more.
    pub fn end(&mut self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// The next answer to a request that wasn't HEAD; interim ones are answers too.
    pub fn answer(&mut self) -> Answer {
        self.answer_to("GET")
    }

    /// The next answer, to a request with this method.
    pub fn answer_to(&mut self, method: &str) -> Answer {
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            assert!(self.read(), "no whole head: {:?}", String::from_utf8_lossy(&self.buffer));
        };
        let head = String::from_utf8(self.buffer.drain(..end).collect()).unwrap();
        let mut answer = Answer { status: head[9..12].parse().unwrap(), head, body: Vec::new() };
        if method == "HEAD" || answer.status < 200 || matches!(answer.status, 204 | 304) {
            return answer;
        }
        if answer.field("transfer-encoding") == Some("chunked") {
            loop {
                let line = self.line();
                let size = usize::from_str_radix(&line, 16).unwrap_or_else(|_| panic!("no chunk size: {line:?}"));
                let chunk = self.take(size);
                answer.body.extend(chunk);
                assert_eq!(self.line(), "");
                if size == 0 {
                    return answer;
                }
            }
        }
        match answer.field("content-length") {
            Some(length) => answer.body = self.take(length.parse().unwrap()),
            None => {
                while self.read() {}
                answer.body = std::mem::take(&mut self.buffer);
            }
        }
        answer
    }

    /// Everything until the server closes.
    pub fn rest(&mut self) -> Vec<u8> {
        while self.read() {}
        std::mem::take(&mut self.buffer)
    }

    /// Whether the server has closed, with nothing more to say. Waits for it.
    pub fn is_closed(&mut self) -> bool {
        !self.read() && self.buffer.is_empty()
    }

    /// Exactly so many octets.
    pub fn take(&mut self, count: usize) -> Vec<u8> {
        while self.buffer.len() < count {
            assert!(self.read(), "ended after {} of {count} octets", self.buffer.len());
        }
        self.buffer.drain(..count).collect()
    }

    fn line(&mut self) -> String {
        loop {
            if let Some(at) = self.buffer.windows(2).position(|window| window == b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..at + 2).collect();
                return String::from_utf8(line[..at].to_vec()).unwrap();
            }
            assert!(self.read(), "no whole line");
        }
    }

    /// Reads some more; false at the end.
    fn read(&mut self) -> bool {
        let mut some = vec![0; 64 * 1024];
        loop {
            match self.stream.read(&mut some) {
                Ok(0) => return false,
                Ok(count) => {
                    self.buffer.extend_from_slice(&some[..count]);
                    return true;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => panic!("the server reset the connection"),
                Err(error) => panic!("{error} after {:?}", String::from_utf8_lossy(&self.buffer)),
            }
        }
    }
}

/// An answer, its transfer coding taken off.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// Status line and fields, with the empty line.
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    /// The value of the first field of that name.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (field, value) = line.split_once(':')?;
            field.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Whether `condition` comes true before patience ends; asks again and again.
pub fn eventually(mut condition: impl FnMut() -> bool) -> bool {
    let begin = Instant::now();
    while begin.elapsed() < PATIENCE {
        if condition() {
            return true;
        }
        std::thread::yield_now();
    }
    false
}
