//! A TCP protocol in a few methods: open, start, data, message, end, closed.
//!
//! [`Protocol`] is the whole contract. Many protocols need less: they answer what comes
//! as it comes, and perhaps send each other messages. That is a [`Conversation`], and
//! [`Talk`] makes a protocol of it.
//!
//! ```
//! use miod::reactor::{Conversation, Endpoint, Listener, Next, Options, Output, Reactor, Talk, TalkContext, Until};
//! use std::io::{Read, Write};
//! use std::net::{Shutdown, SocketAddr, TcpStream};
//!
//! struct Shout;
//!
//! impl Conversation for Shout {
//!     type Shared = ();
//!     type Message = ();
//!
//!     fn open(peer: Option<SocketAddr>, _: &mut TalkContext<'_, Self>) -> Option<Self> {
//!         peer.is_some_and(|peer| peer.ip().is_loopback()).then_some(Shout)
//!     }
//!     fn data(&mut self, data: &[u8], output: &mut Output, _: &mut TalkContext<'_, Self>) -> Next {
//!         output.write(&data.to_ascii_uppercase());
//!         Next::Continue
//!     }
//! }
//!
//! # fn main() -> std::io::Result<()> {
//! let mut reactor = Reactor::<Talk<Shout>>::new((), Options::default())?;
//! let listener = Listener::bind(&Endpoint::Tcp("127.0.0.1:0".parse().unwrap()))?;
//! let address = listener.address().unwrap();
//! reactor.listen(listener, ())?;
//! let client = std::thread::spawn(move || -> std::io::Result<String> {
//!     let mut stream = TcpStream::connect(address)?;
//!     stream.write_all(b"hello")?;
//!     stream.shutdown(Shutdown::Write)?;
//!     let mut answer = String::new();
//!     stream.read_to_string(&mut answer)?;
//!     Ok(answer)
//! });
//! reactor.run(Until::Connections(1))?;
//! assert_eq!(client.join().unwrap()?, "HELLO");
//! # Ok(())
//! # }
//! ```

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;

use super::buffers::Output;
use super::protocol::{Accepted, Context, Ending, Ends, Io, NoDatagrams, Protocol};
use super::want::{Finish, Want};

/// Most messages that wait for a peer that doesn't take its output. With more, the
/// connection is reset.
const MESSAGES: usize = 1_024;

/// What a conversation does next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// Goes on.
    Continue,
    /// Ends when all output is sent.
    Close,
}

/// The context of a conversation: what all share, the time, its own handle, and
/// [`send`](Context::send) for messages to others.
pub type TalkContext<'a, C> = Context<'a, Talk<C>>;

/// A protocol that answers what comes as it comes.
pub trait Conversation: Sized + 'static {
    /// What all conversations share.
    type Shared: 'static;
    /// What one conversation sends another; `()` if none does.
    type Message: 'static;

    /// A connection was made; `peer` is none on a unix-domain socket. None
    /// refuses it before anything is read.
    fn open(peer: Option<SocketAddr>, cx: &mut TalkContext<'_, Self>) -> Option<Self>;

    /// Greets the peer. A protocol that does needs
    /// [`Listener::bind_greeting`](super::Listener::bind_greeting): with
    /// [`Listener::bind`](super::Listener::bind) a connection is accepted when the peer
    /// has sent something.
    fn start(&mut self, _output: &mut Output, _cx: &mut TalkContext<'_, Self>) -> Next {
        Next::Continue
    }

    /// Some bytes came, cut wherever the network cut them. Not called while
    /// the peer doesn't take the output.
    fn data(&mut self, data: &[u8], output: &mut Output, cx: &mut TalkContext<'_, Self>) -> Next;

    /// Another conversation sent a message. Not called while the peer doesn't take the
    /// output; if 1,024 messages wait for that, the connection is reset.
    fn message(&mut self, _message: Self::Message, _output: &mut Output, _cx: &mut TalkContext<'_, Self>) -> Next {
        Next::Continue
    }

    /// The peer has sent all it will; what is in the output still goes out.
    fn end(&mut self, _output: &mut Output, _cx: &mut TalkContext<'_, Self>) {}

    /// The connection is over, in whatever way.
    fn closed(&mut self, _cx: &mut TalkContext<'_, Self>) {}
}

/// The protocol that a conversation is.
pub struct Talk<C: Conversation> {
    conversation: C,
    progress: Progress,
    /// Messages that came and weren't handed on yet.
    messages: VecDeque<C::Message>,
}

/// How far a conversation is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    New,
    Open,
    /// It ends when all output is sent.
    Over,
    /// Too many messages wait for the peer.
    Overrun,
}

impl<C: Conversation> Talk<C> {
    /// Hands the conversation what there is, in order and as far as there is room.
    fn hand_on(&mut self, io: &mut Io<'_>, cx: &mut Context<'_, Self>) -> Next {
        if self.progress == Progress::New {
            self.progress = Progress::Open;
            if self.conversation.start(io.output, cx) == Next::Close {
                return Next::Close;
            }
        }
        while io.output.room() > 0
            && let Some(message) = self.messages.pop_front()
        {
            if self.conversation.message(message, io.output, cx) == Next::Close {
                return Next::Close;
            }
        }
        while io.output.room() > 0 && !io.input.is_empty() {
            let data = io.input.bytes();
            let next = self.conversation.data(data, io.output, cx);
            let count = data.len();
            io.input.consume(count);
            if next == Next::Close {
                return Next::Close;
            }
        }
        if io.ended && io.input.is_empty() {
            self.conversation.end(io.output, cx);
            return Next::Close;
        }
        Next::Continue
    }
}

impl<C: Conversation> Protocol for Talk<C> {
    type Shared = C::Shared;
    type Listener = ();
    type Message = C::Message;
    type Outcome = Infallible;
    type Datagrams = NoDatagrams;

    fn open(accepted: &Accepted<'_, ()>, cx: &mut Context<'_, Self>) -> Option<Self> {
        if accepted.overloaded {
            return None;
        }
        let conversation = C::open(accepted.ends.peer(), cx)?;
        Some(Self { conversation, progress: Progress::New, messages: VecDeque::new() })
    }

    fn deliver(&mut self, message: C::Message) {
        if self.messages.len() == MESSAGES {
            self.progress = Progress::Overrun;
        }
        if matches!(self.progress, Progress::New | Progress::Open) {
            self.messages.push_back(message);
        }
    }

    fn advance(&mut self, io: &mut Io<'_>, cx: &mut Context<'_, Self>) -> Want {
        if self.progress == Progress::Overrun {
            return Want::finish(Finish::Abort);
        }
        if self.progress != Progress::Over && self.hand_on(io, cx) == Next::Close {
            self.progress = Progress::Over;
        }
        if self.progress == Progress::Over || cx.draining {
            return Want::over(io.ended);
        }
        Want { read: io.input.is_empty() && io.output.room() > 0, ..Want::NOTHING }
    }

    fn memory(&self) -> usize {
        self.messages.capacity() * size_of::<C::Message>()
    }

    fn closed(&mut self, _: Ending, _: Ends<'_>, cx: &mut Context<'_, Self>) {
        self.conversation.closed(cx);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Handle, Input, TestContext, Time};
    use super::*;

    /// Greets, repeats messages, and ends at the data "end".
    struct Repeats;

    impl Conversation for Repeats {
        /// How many were opened, and closed.
        type Shared = (usize, usize);
        type Message = &'static str;

        fn open(_: Option<SocketAddr>, cx: &mut TalkContext<'_, Self>) -> Option<Self> {
            cx.shared.0 += 1;
            Some(Self)
        }

        fn start(&mut self, output: &mut Output, _: &mut TalkContext<'_, Self>) -> Next {
            output.write(b"hello ");
            Next::Continue
        }

        fn data(&mut self, data: &[u8], _: &mut Output, _: &mut TalkContext<'_, Self>) -> Next {
            if data == b"end" { Next::Close } else { Next::Continue }
        }

        fn message(&mut self, message: &'static str, output: &mut Output, _: &mut TalkContext<'_, Self>) -> Next {
            output.write(message.as_bytes());
            Next::Continue
        }

        fn closed(&mut self, cx: &mut TalkContext<'_, Self>) {
            cx.shared.1 += 1;
        }
    }

    /// A conversation, its context and its bytes.
    struct Bench {
        talk: Talk<Repeats>,
        shared: (usize, usize),
        context: TestContext<Talk<Repeats>>,
        input: Input,
        output: Output,
    }

    impl Bench {
        fn new() -> Self {
            let mut shared = (0, 0);
            let mut context = TestContext::of(Handle::for_test(1));
            let local = "127.0.0.1:1".parse().unwrap();
            let accepted = Accepted {
                listener: (),
                ends: Ends::for_test("127.0.0.1:2".parse().unwrap(), &local),
                overloaded: false,
            };
            let talk = Talk::open(&accepted, &mut context.context(&mut shared, Time::default(), false)).unwrap();
            Self { talk, shared, context, input: Input::default(), output: Output::default() }
        }

        fn advance(&mut self) -> Want {
            let local = "127.0.0.1:1".parse().unwrap();
            let mut io = Io {
                input: &mut self.input,
                output: &mut self.output,
                ended: false,
                truncated: false,
                unread: false,
                gone: false,
                established: true,
                ends: Ends::for_test("127.0.0.1:2".parse().unwrap(), &local),
            };
            self.talk.advance(&mut io, &mut self.context.context(&mut self.shared, Time::default(), false))
        }
    }

    #[test]
    fn it_greets_once_and_hands_messages_on_in_order() {
        let mut bench = Bench::new();
        bench.talk.deliver("a");
        assert!(bench.advance().read);
        bench.talk.deliver("b");
        bench.talk.deliver("c");
        bench.advance();
        assert_eq!(bench.output.bytes(), b"hello abc");
        bench.input.extend(b"end");
        assert_eq!(bench.advance().finish, Finish::Linger);
        bench.talk.deliver("d");
        assert_eq!((bench.advance().finish, bench.output.bytes()), (Finish::Linger, &b"hello abc"[..]));
    }

    #[test]
    fn messages_wait_for_room_and_too_many_reset_the_connection() {
        let mut bench = Bench::new();
        bench.advance();
        let full = vec![b'x'; bench.output.room()];
        bench.output.write(&full);
        let before = bench.output.pending();
        for _ in 0..MESSAGES {
            bench.talk.deliver("message");
            assert_eq!(bench.advance().finish, Finish::No);
        }
        assert_eq!(bench.output.pending(), before);
        assert!(bench.talk.memory() >= MESSAGES * size_of::<&str>());
        bench.talk.deliver("one too many");
        assert_eq!(bench.advance().finish, Finish::Abort);
    }

    #[test]
    fn shared_state_is_told_of_the_beginning_and_the_end() {
        let mut bench = Bench::new();
        let local = "127.0.0.1:1".parse().unwrap();
        let ends = Ends::for_test("127.0.0.1:2".parse().unwrap(), &local);
        let mut cx = bench.context.context(&mut bench.shared, Time::default(), false);
        bench.talk.closed(Ending::PROPER, ends, &mut cx);
        assert_eq!(bench.shared, (1, 1));
    }
}
