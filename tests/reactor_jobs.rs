//! Shared jobs of the reactor, on real sockets: they belong to no connection, so they end whatever becomes of those.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use miod::reactor::{
    Accepted, Context, Ending, Endpoint, Ends, Finish, Handle, Io, JobClass, JobResult, Listener, NoDatagrams, Options,
    Protocol, Reactor, Until, Want,
};

/// The limit of every wait.
const LIMIT: Duration = Duration::from_secs(20);

/// A connection whose client sends one byte: `j` begins two shared jobs, `w` waits for both.
#[derive(Default)]
struct Client {
    is_waiting: bool,
    is_told: bool,
}

struct Shared {
    /// The first job waits for a word.
    go: Option<Receiver<()>>,
    /// A connection that began jobs has closed.
    closed: Sender<()>,
    waiters: Vec<Handle>,
    ended: Vec<u32>,
}

impl Protocol for Client {
    type Shared = Shared;
    type Listener = ();
    type Message = ();
    type Outcome = u32;
    type Datagrams = NoDatagrams;

    fn open(_: &Accepted<'_, ()>, _: &mut Context<'_, Self>) -> Option<Self> {
        Some(Self::default())
    }

    fn deliver(&mut self, (): ()) {
        self.is_told = true;
    }

    fn shared_job_ended(result: JobResult<u32>, cx: &mut Context<'_, Self>) {
        assert_eq!(cx.handle, Handle::NONE);
        cx.shared.ended.push(result.expect("no job panics"));
        if cx.shared.ended.len() == 2 {
            for waiter in std::mem::take(&mut cx.shared.waiters) {
                cx.send(waiter, ());
            }
            if cx.connections() == 0 {
                cx.quit();
            }
        }
    }

    fn advance(&mut self, io: &mut Io<'_>, cx: &mut Context<'_, Self>) -> Want {
        match io.input.bytes() {
            b"j" => {
                let go = cx.shared.go.take().expect("one client begins jobs");
                cx.run_shared(JobClass::Files, move || u32::from(go.recv().is_ok())).unwrap();
                cx.run_shared(JobClass::Files, || 2).unwrap();
                io.output.write(b"j");
            }
            b"w" => {
                cx.shared.waiters.push(cx.handle);
                self.is_waiting = true;
                io.output.write(b"w");
            }
            _ => {}
        }
        io.input.consume(io.input.bytes().len());
        if self.is_told {
            io.output.write(b"t");
            return Want::finish(Finish::Close);
        }
        if io.ended { Want::finish(Finish::Close) } else { Want::READ }
    }

    fn closed(&mut self, _: Ending, _: Ends<'_>, cx: &mut Context<'_, Self>) {
        if !self.is_waiting {
            cx.shared.closed.send(()).unwrap();
        }
    }
}

/// A reactor in its thread: where it listens, what has the first job go on, what tells that the client that began
/// the jobs is gone, and the results when the reactor has ended.
fn start(until: Until) -> (SocketAddr, Sender<()>, Receiver<()>, Receiver<Vec<u32>>) {
    let (go, goes) = channel();
    let (closed, is_closed) = channel();
    let (finish, finished) = channel();
    let listener = Listener::bind_greeting(&Endpoint::Tcp("127.0.0.1:0".parse().unwrap())).unwrap();
    let address = listener.address().unwrap();
    std::thread::spawn(move || {
        let shared = Shared { go: Some(goes), closed, waiters: Vec::new(), ended: Vec::new() };
        let mut reactor = Reactor::<Client>::new(shared, Options::default()).unwrap();
        reactor.listen(listener, ()).unwrap();
        reactor.run(until).unwrap();
        finish.send(std::mem::take(&mut reactor.shared().ended)).unwrap();
    });
    (address, go, is_closed, finished)
}

/// A client that has sent this byte, and knows that it was received.
fn client(address: SocketAddr, byte: u8) -> TcpStream {
    let mut stream = TcpStream::connect_timeout(&address, LIMIT).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream.write_all(&[byte]).unwrap();
    let mut echo = [0];
    stream.read_exact(&mut echo).unwrap();
    assert_eq!(echo, [byte]);
    stream
}

#[test]
fn shared_jobs_end_when_all_connections_are_closed() {
    let (address, go, is_closed, finished) = start(Until::Closed);
    client(address, b'j').shutdown(Shutdown::Both).unwrap();
    is_closed.recv_timeout(LIMIT).expect("the connection closes");
    // One has begun, the other one waits.
    go.send(()).unwrap();
    assert_eq!(finished.recv_timeout(LIMIT).expect("the jobs end"), [1, 2]);
}

#[test]
fn who_waits_for_a_shared_job_is_told_though_who_began_it_is_gone() {
    let (address, go, is_closed, finished) = start(Until::Connections(2));
    let mut waiter = client(address, b'w');
    client(address, b'j').shutdown(Shutdown::Both).unwrap();
    is_closed.recv_timeout(LIMIT).expect("the connection closes");
    go.send(()).unwrap();
    let mut told = Vec::new();
    waiter.read_to_end(&mut told).expect("it is told");
    assert_eq!(told, b"t");
    assert_eq!(finished.recv_timeout(LIMIT).expect("the reactor ends"), [1, 2]);
}
