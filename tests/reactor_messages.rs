//! In which order connections that were sent messages have their turns.

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::channel;

use miod::reactor::{
    Accepted, Closer, Context, Endpoint, Finish, Handle, Io, Listener, NoDatagrams, Options, Protocol, Reactor, Until,
    Want,
};
use support::TIMEOUT;

/// A connection whose client sends one byte: `s` and `l` receive a small and a large message when there is a
/// client that sends `m`, which sends the small one first. They answer with the number of their turn.
#[derive(Default)]
struct Client {
    is_told: bool,
}

#[derive(Default)]
struct Shared {
    receivers: Vec<(Handle, usize)>,
    turns: u8,
}

impl Protocol for Client {
    type Shared = Shared;
    type Listener = ();
    type Message = usize;
    type Outcome = ();
    type Datagrams = NoDatagrams;

    fn open(_: &Accepted<'_, ()>, _: &mut Context<'_, Self>) -> Option<Self> {
        Some(Self::default())
    }

    fn deliver(&mut self, _: usize) {
        self.is_told = true;
    }

    fn memory_of(message: &usize) -> usize {
        *message
    }

    fn advance(&mut self, io: &mut Io<'_>, cx: &mut Context<'_, Self>) -> Want {
        let received = io.input.bytes().first().copied();
        io.input.consume(io.input.bytes().len());
        match received {
            Some(b's') => cx.shared.receivers.push((cx.handle, 100)),
            Some(b'l') => cx.shared.receivers.push((cx.handle, 100_000)),
            Some(b'm') => {
                for (receiver, size) in std::mem::take(&mut cx.shared.receivers) {
                    cx.send(receiver, size);
                }
            }
            _ => {}
        }
        io.output.buffer().extend(received);
        if std::mem::take(&mut self.is_told) {
            cx.shared.turns += 1;
            io.output.write(&[cx.shared.turns]);
        }
        if io.ended || cx.draining { Want::finish(Finish::Close) } else { Want::READ }
    }
}

fn serve() -> (SocketAddr, Closer) {
    let (ready, started) = channel();
    std::thread::spawn(move || {
        let listener = Listener::bind_greeting(&Endpoint::Tcp("127.0.0.1:0".parse().unwrap())).unwrap();
        let address = listener.address().unwrap();
        let mut reactor = Reactor::<Client>::new(Shared::default(), Options::default()).unwrap();
        reactor.listen(listener, ()).unwrap();
        ready.send((address, reactor.closer())).unwrap();
        reactor.run(Until::Closed).unwrap();
    });
    started.recv_timeout(TIMEOUT).unwrap()
}

/// A client whose byte was received.
fn client(address: SocketAddr, byte: u8) -> TcpStream {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    stream.write_all(&[byte]).unwrap();
    assert_eq!(next(&mut stream), byte);
    stream
}

fn next(stream: &mut TcpStream) -> u8 {
    let mut byte = [0];
    stream.read_exact(&mut byte).unwrap();
    byte[0]
}

#[test]
fn who_was_sent_a_large_piece_has_its_turn_before_who_was_sent_little() {
    let (address, closer) = serve();
    let mut receivers = [b's', b's', b'l', b's', b'l'].map(|byte| client(address, byte));
    let _sender = client(address, b'm');
    let turns: Vec<_> = receivers.iter_mut().map(next).collect();
    closer.close();
    assert_eq!(turns, [3, 4, 1, 5, 2]);
}
