//! How much work the loop does between two polls. The tests count passes; `before_wait` is
//! called once in each.

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use std::sync::mpsc::channel;
use std::time::Duration;

use miod::reactor::{
    Accepted, Closer, Context, Endpoint, FileSlice, Finish, Handle, Io, Listener, NoDatagrams, Options, Protocol,
    Reactor, Time, Until, Want,
};
use support::{Root, TIMEOUT};

/// What the connections share: the number of the pass, and their log.
#[derive(Default)]
struct Log {
    pass: u64,
    /// The passes in which a heavy connection had a turn.
    heavy: Vec<u64>,
    sent: Option<u64>,
    delivered: Option<u64>,
    files: usize,
    watcher: Option<Handle>,
}

/// The received byte determines what the connection does.
struct Job;

impl Protocol for Job {
    type Shared = (Log, Option<Rc<std::os::fd::OwnedFd>>);
    type Listener = ();
    type Message = ();
    type Outcome = ();
    type Datagrams = NoDatagrams;

    fn open(_: &Accepted<'_, ()>, _: &mut Context<'_, Self>) -> Option<Self> {
        Some(Self)
    }

    fn advance(&mut self, io: &mut Io<'_>, cx: &mut Context<'_, Self>) -> Want {
        let (log, file) = &mut *cx.shared;
        let received = io.input.bytes().first().copied();
        io.input.consume(usize::from(received.is_some()));
        match received {
            // As much work as a turn may do.
            Some(b'h') => {
                log.heavy.push(log.pass);
                cx.work.spend(512);
                io.output.write(b"h");
            }
            Some(b'f') => {
                log.files += 1;
                let file = Rc::clone(file.as_ref().unwrap());
                io.output.file(FileSlice { file, offset: 0, length: 8 << 20 });
            }
            Some(b'w') => {
                log.watcher = Some(cx.handle);
                io.output.write(b"w");
            }
            Some(b'm') => {
                log.sent = Some(log.pass);
                let watcher = log.watcher.unwrap();
                cx.send(watcher, ());
                io.output.write(b"m");
            }
            None if log.watcher == Some(cx.handle) && log.sent.is_some() => {
                log.delivered.get_or_insert(log.pass);
            }
            _ => {}
        }
        if io.ended || cx.draining { Want::finish(Finish::Close) } else { Want::READ }
    }

    fn before_wait((log, _): &mut Self::Shared, _: Time, _: bool) -> Option<Duration> {
        log.pass += 1;
        None
    }
}

/// Runs `test` beside a loop. Returns the log of the loop.
fn run(file: Option<std::fs::File>, test: impl FnOnce(SocketAddr, &Closer)) -> Log {
    let (ready, started) = channel();
    let server = std::thread::spawn(move || {
        let listener = Listener::bind_greeting(&Endpoint::Tcp("127.0.0.1:0".parse().unwrap())).unwrap();
        let address = listener.address().unwrap();
        let file = file.map(|file| Rc::new(file.into()));
        let mut reactor = Reactor::<Job>::new((Log::default(), file), Options::default()).unwrap();
        reactor.listen(listener, ()).unwrap();
        ready.send((address, reactor.closer())).unwrap();
        reactor.run(Until::Closed).unwrap();
        std::mem::take(&mut reactor.shared().0)
    });
    let (address, closer) = started.recv_timeout(TIMEOUT).unwrap();
    test(address, &closer);
    closer.close();
    server.join().unwrap()
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    stream
}

fn send(stream: &mut TcpStream, byte: u8) {
    stream.write_all(&[byte]).unwrap();
}

fn receive(stream: &mut TcpStream, byte: u8) {
    let mut received = [0];
    stream.read_exact(&mut received).unwrap();
    assert_eq!(received, [byte]);
}

#[test]
fn a_pass_ends_after_a_bounded_amount_of_work() {
    let log = run(None, |address, _| {
        let mut streams: Vec<TcpStream> = (0..64).map(|_| connect(address)).collect();
        streams.iter_mut().for_each(|stream| send(stream, b'h'));
        streams.iter_mut().for_each(|stream| receive(stream, b'h'));
    });
    assert_eq!(log.heavy.len(), 64);
    let busiest = log.heavy.chunk_by(|a, b| a == b).map(<[u64]>::len).max().unwrap();
    // A pass has two phases of 512 units, and one turn takes a whole phase.
    assert!(busiest <= 2, "{busiest} turns of 512 units in one pass");
}

#[test]
fn a_message_is_delivered_in_the_next_pass_whatever_is_being_downloaded() {
    let root = Root::new();
    root.file("large", vec![b'x'; 8 << 20]);
    let log = run(Some(std::fs::File::open(root.at("large")).unwrap()), |address, _| {
        let mut watcher = connect(address);
        send(&mut watcher, b'w');
        receive(&mut watcher, b'w');
        // They have their turns in the bulk queue, one in each pass.
        let mut downloads: Vec<TcpStream> = (0..60).map(|_| connect(address)).collect();
        downloads.iter_mut().for_each(|stream| send(stream, b'f'));
        let mut some = vec![0; 64 * 1024];
        downloads.iter_mut().for_each(|stream| stream.read_exact(&mut some).unwrap());
        let mut sender = connect(address);
        send(&mut sender, b'm');
        receive(&mut sender, b'm');
        // The next pass has started by now.
        send(&mut sender, b'x');
        downloads.iter_mut().for_each(|stream| stream.read_exact(&mut some).unwrap());
    });
    assert_eq!(log.files, 60);
    let (sent, delivered) = (log.sent.unwrap(), log.delivered.expect("the message is delivered"));
    assert!(delivered - sent <= 1, "sent in pass {sent}, delivered in {delivered}");
}
