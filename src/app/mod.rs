//! Web applications: from a request to an answer.
//!
//! An [`App`] is a few plain methods. Most applications answer at once
//! ([`Answer::Now`]). An application that needs a blocking call returns it as a [`Job`]
//! ([`Answer::Later`]), and is called again with the result ([`App::resume`]). So there are
//! no closures over the connection, and no futures. A response body that is made over
//! time is a [`Source`], which is pulled when there is room for more. A large request body
//! goes piece by piece to a [`Sink`] ([`Answer::Receive`]). A stream of events without an
//! end is [`Answer::Watch`]: the application stores the events, and the exchange only the
//! number of the last one that was sent ([`App::events`]).
//!
//! An application has no socket and reads no clock. A [`Call`] has the time, the client's
//! address, and the numbers of connection and request. If an application panics, its client
//! gets a 500, and all other requests go on.
//!
//! ```
//! use miod::app::{Answer, App, Call, Request, Response};
//! use miod::http::Status;
//!
//! struct Hello;
//!
//! impl App for Hello {
//!     fn handle(&mut self, _request: &Request<'_>, call: &mut Call<'_>) -> Answer {
//!         Answer::now(Response::new(Status::OK).text(format!("Hello, request {}!\n", call.request_number)))
//!     }
//! }
//! ```

pub(crate) mod board;
pub(crate) mod boundary;
#[doc(hidden)] // for benches
pub mod catalogue;
mod counter;
mod form_fields;
pub(crate) mod kv;
mod lab;
mod login;
pub(crate) mod mailbox;
mod page;
mod ports;
pub(crate) mod quiz;
mod response;
mod sink;
mod source;
#[cfg(test)]
mod testing;

use std::any::Any;
use std::net::IpAddr;

pub use form_fields::FormFields;
pub use page::escape_html;
pub use ports::Ports;
pub use response::{Body, Response};
pub use sink::{BodyMode, Push, Sink};
pub use source::{Pull, Source};

pub use crate::session::Session;

use crate::certificates::x509;
use crate::http::head::{Method, RequestHead};
use crate::http::{Reject, form};
use crate::reactor::{Ends, Handle, JobClass, Time, TlsFacts};

/// A web application.
pub trait App {
    /// The methods that it serves at `path`, the decoded path behind its prefix. A request
    /// with another method gets 405, and the application isn't called.
    fn methods(&self, _path: &[u8]) -> Methods {
        Methods::Only(&[Method::Get, Method::Head])
    }

    /// Whether it reads the client's session. Then each [`Call`] has one, no cache stores its
    /// responses, and requests that another site caused are refused, unless their method is
    /// GET or HEAD.
    fn reads_session(&self) -> bool {
        false
    }

    /// How it gets the content of a request with this method for `path`, the decoded path
    /// behind its prefix.
    fn body_mode(&self, _method: Method, _path: &[u8]) -> BodyMode {
        BodyMode::Collect
    }

    /// Answers a request. HEAD is answered as GET is; the server leaves the body out.
    fn handle(&mut self, request: &Request<'_>, call: &mut Call<'_>) -> Answer;

    /// Answers a request whose job is done, or whose content is received. An application
    /// that never answers [`Answer::Later`] or [`Answer::Receive`] is never called here. The
    /// session is loaded again, with the changes of other requests. So an application must
    /// change its session in the call that answers [`Answer::Now`].
    fn resume(&mut self, _request: &Request<'_>, _call: &mut Call<'_>, _done: Outcome) -> Answer {
        unreachable!("resumed without a job")
    }

    /// Appends to a stream of events ([`event_stream`](crate::http::event_stream))
    /// the events after number `seen`, up to about `room` bytes. Returns the number of the
    /// last event that is now in the stream. If nothing is appended, the client has all
    /// events; this is called again after [`Call::news`].
    ///
    /// The application decides how many events it stores for slow clients. A client that
    /// has missed some that are gone should start again. An application that never answers
    /// [`Answer::Watch`] is never called here.
    fn events(&mut self, _seen: u64, _out: &mut Vec<u8>, _room: usize) -> u64 {
        unreachable!("watched without events")
    }

    /// What those who operate the server may want to know about it: names and values that go up
    /// and down, like `("records", 7)`. They are in the figures of the service for operators.
    fn figures(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }
}

/// The methods that an application serves. The server answers OPTIONS.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Methods {
    /// These methods.
    Only(&'static [Method]),
    /// All methods, unknown ones included, except TRACE and CONNECT.
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

/// A request with its body.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// Its head.
    pub head: &'a RequestHead<'a>,
    /// Its content; its codings are taken off, transfer coding and gzip. The fields of the head still
    /// say how it came. Empty if it goes to a [`Sink`].
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

/// One call of an application: the time, the client, and the client's session.
pub struct Call<'a> {
    /// The time.
    pub time: Time,
    /// The connection.
    pub connection: Handle,
    /// The request's number on its connection, from 1.
    pub request_number: u32,
    /// The addresses of the connection.
    pub ends: Ends<'a>,
    /// The client's address: the peer's, or the one that a trusted proxy reports. None on a
    /// unix-domain socket.
    pub client: Option<IpAddr>,
    /// The client used TLS: to this server, or to a trusted proxy.
    pub secure: bool,
    /// The ports of the web server. None is known if the client comes through a trusted proxy,
    /// which has ports of its own.
    pub ports: Ports,
    /// To be set by the application when there are new events for its watchers.
    pub news: bool,
    /// The client's session, if the application [reads it](App::reads_session).
    pub session: Option<&'a mut Session>,
}

impl Call<'_> {
    /// What the TLS handshake of this connection has agreed on; none in plain text. Behind a proxy
    /// this isn't the client's connection: see [`secure`](Self::secure).
    pub fn tls(&self) -> Option<&TlsFacts> {
        self.ends.security().facts()
    }

    /// The subject of the certificate that the peer has proved to own, like `CN=alice,O=Example`
    /// (RFC 4514). It is text of one line.
    pub fn certificate_subject(&self) -> Option<String> {
        x509::subject(self.tls()?.certificate.as_deref()?)
    }

    /// The client's session. Changes are saved before the response is sent.
    ///
    /// # Panics
    /// If [`App::reads_session`] is false.
    pub fn session(&mut self) -> &mut Session {
        self.session.as_mut().expect("App::reads_session is true")
    }
}

/// The answer of an application to a request.
pub enum Answer {
    /// A response.
    Now(Response),
    /// A job, which runs on the helper thread of its class. Then the application is called
    /// again.
    Later(JobClass, Job),
    /// A sink, which gets the content of the request. Its result goes to [`App::resume`].
    /// Allowed only where [`App::body_mode`] says [`BodyMode::Stream`], and once.
    Receive(Box<dyn Sink>),
    /// A stream of the application's events without an end: those after this number, and
    /// then each new one.
    Watch(u64),
    /// An error. The server makes the response, and the session isn't changed.
    Refused(Reject),
}

impl Answer {
    /// A response.
    pub fn now(response: Response) -> Self {
        Self::Now(response)
    }

    /// A sink, which gets the content of the request.
    pub fn receive(sink: impl Sink + 'static) -> Self {
        Self::Receive(Box::new(sink))
    }

    /// A job, whose result goes to [`App::resume`]. Other requests are served meanwhile. After
    /// [`JOB_TIMEOUT`](crate::limits::JOB_TIMEOUT) the client gets 503.
    pub fn later<T: Any + Send>(class: JobClass, job: impl FnOnce() -> T + Send + 'static) -> Self {
        Self::Later(class, Box::new(move || Box::new(job())))
    }
}

/// A function that may block.
pub type Job = Box<dyn FnOnce() -> Outcome + Send>;

/// The result of a job. `downcast` gives it its type back.
pub type Outcome = Box<dyn Any + Send>;
