//! Applications: from a request to an answer.
//!
//! An [`App`] is two plain methods. Most applications answer at once
//! ([`Answer::Now`]). One that needs a blocking call hands it over as a [`Job`]
//! ([`Answer::Later`]) and is called again, by [`App::resume`], with what came of
//! it: no closures over the connection, no futures. A body that is made over time
//! is a [`Source`], which is pulled when there is room for more. A stream of events
//! without an end is [`Answer::Watch`]: the application keeps the events, the
//! exchange a number ([`App::events`]).
//!
//! An application sees no socket and reads no clock: a [`Visit`] tells the time,
//! who asks, and which request of which connection it is. If it panics, its
//! visitor gets a 500 and everybody else notices nothing.
//!
//! ```
//! use miod::app::{Answer, App, Request, Response, Visit};
//! use miod::http::Status;
//!
//! struct Hello;
//!
//! impl App for Hello {
//!     fn handle(&mut self, _request: &Request<'_>, visit: &mut Visit<'_>) -> Answer {
//!         Answer::now(Response::new(Status::OK).text(format!("Hello, request {}!\n", visit.request_number)))
//!     }
//! }
//! ```

pub(crate) mod board;
mod body;
pub(crate) mod boundary;
#[doc(hidden)] // for benches
pub mod catalogue;
mod counter;
pub(crate) mod kv;
mod lab;
mod login;
mod page;
pub(crate) mod quiz;
mod response;
mod routes;
mod sink;
#[cfg(test)]
mod testing;

use std::any::Any;
use std::net::IpAddr;

pub use response::{Body, Pull, Response, Source};
pub use routes::Routes;
pub use sink::{BodyMode, Push, Sink};

pub use crate::session::Session;

use crate::http::head::{Method, RequestHead};
use crate::http::{Reject, form};
use crate::reactor::{Ends, Handle, JobClass, Time};

/// A web application.
pub trait App {
    /// What it serves at `path`, the decoded path behind its prefix. Others are
    /// answered with 405 before it is asked.
    fn methods(&self, _path: &[u8]) -> Methods {
        Methods::Only(&[Method::Get, Method::Head])
    }

    /// Whether it reads the visitor's session. Then it is lent one with each visit,
    /// no cache keeps its answers, and what other sites make a browser send it by
    /// methods that change something is refused.
    fn reads_session(&self) -> bool {
        false
    }

    /// How it gets the content of a request with this method for `path`, the decoded path
    /// behind its prefix.
    fn body_mode(&self, _method: Method, _path: &[u8]) -> BodyMode {
        BodyMode::Collect
    }

    /// Answers a request; to HEAD as to GET, the body is left out on the way.
    fn handle(&mut self, request: &Request<'_>, visit: &mut Visit<'_>) -> Answer;

    /// Answers a request whose job is done, or whose content is received. An application
    /// that never answers [`Answer::Later`] or [`Answer::Receive`] is never called here. The session is loaded again for it, so
    /// that nothing is lost which others changed meanwhile; so what an application
    /// changes in its session it must change in the call that answers
    /// [`Answer::Now`].
    fn resume(&mut self, _request: &Request<'_>, _visit: &mut Visit<'_>, _done: Outcome) -> Answer {
        unreachable!("resumed without a job")
    }

    /// Appends to a stream of events ([`event_stream`](crate::http::event_stream))
    /// what happened after event number `seen`, up to about `room` bytes, and tells
    /// the number of the last event that is in the stream now. Nothing appended: the
    /// watcher has all there is, and is asked for again after [`Visit::news`].
    ///
    /// How much a slow watcher can miss is what the application keeps; who asks for
    /// what is gone is best told to start again. An application that never answers
    /// [`Answer::Watch`] is never called here.
    fn events(&mut self, _seen: u64, _out: &mut Vec<u8>, _room: usize) -> u64 {
        unreachable!("watched without events")
    }
}

/// The methods that an application serves. OPTIONS is answered for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Methods {
    /// These.
    Only(&'static [Method]),
    /// Whatever comes, unknown ones included (but for TRACE and CONNECT).
    Any,
}

impl Methods {
    /// Whether a method is one of them.
    pub fn allow(self, method: Method) -> bool {
        match self {
            Self::Only(methods) => methods.contains(&method),
            Self::Any => !matches!(method, Method::Connect | Method::Trace),
        }
    }
}

/// A request, whole, with its body.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// Its head.
    pub head: &'a RequestHead<'a>,
    /// Its content; the transfer coding is taken off. Empty if it goes to a [`Sink`].
    pub body: &'a [u8],
    /// The prefix that the application is mounted at, without a slash at its end.
    pub mount: &'a str,
    /// The decoded path behind the prefix: empty, or it begins with a slash.
    pub path: &'a [u8],
}

impl<'a> Request<'a> {
    /// Where the application is mounted, as the path of a page.
    pub fn here(&self) -> &'a str {
        if self.mount.is_empty() { "/" } else { self.mount }
    }

    /// The first value of `name` in the query string, decoded.
    pub fn query(&self, name: &str) -> Option<String> {
        form::value(self.head.target.query?, name)
    }
}

/// What an application may know about the moment and the visitor.
pub struct Visit<'a> {
    /// This turn's time.
    pub time: Time,
    /// The connection's number.
    pub connection: Handle,
    /// The request's number on its connection, from 1.
    pub request_number: u32,
    /// The addresses of the connection.
    pub ends: Ends<'a>,
    /// The client's address: the peer's, or what a trusted proxy says; none on a
    /// unix-domain socket.
    pub client: Option<IpAddr>,
    /// It came by TLS to a trusted proxy.
    pub secure: bool,
    /// For the application to set: there is news for those who watch its events.
    pub news: bool,
    /// The visitor's session, if the application [reads it](App::reads_session).
    pub session: Option<&'a mut Session>,
}

impl Visit<'_> {
    /// The visitor's session. What is changed in it is kept before the answer goes.
    ///
    /// # Panics
    /// If the application doesn't say that it [reads it](App::reads_session).
    pub fn session(&mut self) -> &mut Session {
        self.session.as_mut().expect("an application that reads sessions says so")
    }
}

/// What becomes of a request.
pub enum Answer {
    /// This response.
    Now(Response),
    /// This job runs on the helper thread of its class, then the application is asked
    /// again.
    Later(JobClass, Job),
    /// The content of the request goes to this sink, and what the sink makes of it to
    /// [`App::resume`]. Only where [`App::body_mode`] says [`BodyMode::Stream`], and once.
    Receive(Box<dyn Sink>),
    /// A stream of the application's events, without an end: those after this number,
    /// and then each when it happens.
    Watch(u64),
    /// The request can't be served. The answer is made as for any other error, and
    /// the session stays as it was.
    Refused(Reject),
}

impl Answer {
    /// This response.
    pub fn now(response: Response) -> Self {
        Self::Now(response)
    }

    /// The content of the request goes to `sink`.
    pub fn receive(sink: impl Sink + 'static) -> Self {
        Self::Receive(Box::new(sink))
    }

    /// What comes of `job` goes to [`App::resume`]; other visitors are served
    /// meanwhile. It has [`JOB_TIMEOUT`](crate::limits::JOB_TIMEOUT), then the visitor gets 503.
    pub fn later<T: Any + Send>(class: JobClass, job: impl FnOnce() -> T + Send + 'static) -> Self {
        Self::Later(class, Box::new(move || Box::new(job())))
    }
}

/// What may block.
pub type Job = Box<dyn FnOnce() -> Outcome + Send>;

/// What came of a job; `downcast` tells what it is.
pub type Outcome = Box<dyn Any + Send>;
