//! A TCP protocol in a few lines: start, data, end.
//!
//! [`Protocol`] is the whole contract. Many a protocol needs less: it answers
//! what comes as it comes. That is a [`Conversation`], and [`Talk`] makes a
//! protocol of it.
//!
//! ```
//! use miod::reactor::{Conversation, Endpoint, Listener, Next, Options, Output, Reactor, Talk, Until};
//! use std::io::{Read, Write};
//! use std::net::{SocketAddr, TcpStream};
//!
//! struct Shout;
//!
//! impl Conversation for Shout {
//!     fn start(peer: Option<SocketAddr>) -> Option<Self> {
//!         peer.is_some_and(|peer| peer.ip().is_loopback()).then_some(Shout)
//!     }
//!     fn data(&mut self, data: &[u8], output: &mut Output) -> Next {
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
//!     stream.shutdown(std::net::Shutdown::Write)?;
//!     let mut answer = String::new();
//!     stream.read_to_string(&mut answer)?;
//!     Ok(answer)
//! });
//! reactor.run(Until::Connections(1))?;
//! assert_eq!(client.join().unwrap()?, "HELLO");
//! # Ok(())
//! # }
//! ```

use std::convert::Infallible;
use std::net::SocketAddr;

use super::buffers::Output;
use super::datagram::NoDatagrams;
use super::protocol::{Accepted, Context, Io, Protocol, Want};

/// What a conversation does after some data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// Goes on.
    Continue,
    /// Ends when all output is sent.
    Close,
}

/// A protocol that answers what comes as it comes.
pub trait Conversation: Sized + 'static {
    /// A connection was made; `peer` is none on a unix-domain socket. None
    /// refuses it before anything is read.
    fn start(peer: Option<SocketAddr>) -> Option<Self>;

    /// Some bytes came, cut wherever the network cut them. Not called while
    /// the peer doesn't take the output.
    fn data(&mut self, data: &[u8], output: &mut Output) -> Next;

    /// The peer has sent all it will; what is in the output still goes out.
    fn end(&mut self, _output: &mut Output) {}
}

/// The protocol that a conversation is.
pub struct Talk<C> {
    conversation: C,
    over: bool,
}

impl<C: Conversation> Protocol for Talk<C> {
    type Shared = ();
    type Listener = ();
    type Message = Infallible;
    type Outcome = Infallible;
    type Datagrams = NoDatagrams;

    fn open(accepted: &Accepted<'_, ()>, _cx: &mut Context<'_, Self>) -> Option<Self> {
        if accepted.overloaded {
            return None;
        }
        Some(Self { conversation: C::start(accepted.ends.peer())?, over: false })
    }

    fn advance(&mut self, io: &mut Io<'_>, cx: &mut Context<'_, Self>) -> Want {
        while !self.over && !io.input.is_empty() && io.output.room() > 0 {
            let data = io.input.bytes();
            self.over = self.conversation.data(data, io.output) == Next::Close;
            let count = data.len();
            io.input.consume(count);
        }
        if !self.over && io.ended && io.input.is_empty() {
            self.conversation.end(io.output);
            self.over = true;
        }
        if self.over || cx.draining {
            return Want::over(io.ended);
        }
        Want { read: io.input.is_empty() && io.output.room() > 0, ..Want::NOTHING }
    }
}
