//! What two sides say to each other: requests and responses of HTTP/1.x, the beginning of TLS, or
//! something else.
//!
//! ```text
//! Undecided ─► Http ─► Tunnel      by the first bytes; after CONNECT, or an upgrade
//!         └──► Tls, Opaque
//! ```
//!
//! Requests are matched with responses in order (RFC 9112 §9.3.2). Bodies are skipped by their framing.
//! The strict parsers of the server and the client read the heads. What they refuse is still listed if
//! it looks like a request or a response, but where the next one begins isn't known then.

mod requests;
mod responses;

use std::collections::VecDeque;

use super::hello::{self, Hello};
use super::rows::{Event, EventKind, Exchange, Room};
use super::sniff::{Sniffed, is_response, sniff};
use super::{Side, Timestamp};
use crate::http::client::{RequestKind, ResponseReader};
use crate::http::framing::BodyReader;

/// Most bytes of the events of a conversation.
const TRACE: usize = 4 * 1024 * 1024;
/// What an exchange costs beside its target, in bytes.
const OVERHEAD: usize = 64 + size_of::<Exchange>();
/// Bytes that stand for lost ones of a body.
const ZEROS: [u8; 16 * 1024] = [0; 16 * 1024];

/// What is spoken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Mode {
    Undecided,
    Http,
    /// After CONNECT or an upgrade.
    Tunnel,
    Tls,
    Opaque,
}

/// Where the reader of a direction is.
enum Reading<B> {
    Head,
    Body(B),
    /// Bytes were lost, so the next message is looked for.
    Lost,
    /// It isn't known where the next message begins.
    Unreadable,
}

/// A request that isn't answered.
struct Pending {
    /// The number of its exchange, if it is listed.
    row: Option<usize>,
    kind: RequestKind,
    /// When its last byte was captured. None if it isn't in the capture.
    sent: Option<Timestamp>,
}

/// A conversation.
pub(super) struct Dialogue {
    pub(super) mode: Mode,
    pub(super) exchanges: Vec<Exchange>,
    pub(super) server_name: Option<String>,
    /// It was captured from its beginning, so the first bytes tell what is spoken.
    from_beginning: bool,
    /// What happened, if somebody wants to know.
    pub(super) trace: Option<Vec<Event>>,
    traced: usize,
    requests: Reading<BodyReader>,
    /// An incomplete head; before it is decided what is spoken, all that the client sent.
    request: Vec<u8>,
    /// The length of the incomplete head when it was last parsed.
    parsed: usize,
    /// When its first byte came.
    request_at: Option<Timestamp>,
    responses: Reading<ResponseReader>,
    response: Vec<u8>,
    response_at: Option<Timestamp>,
    /// The body of the response lasts until the connection closes.
    until_close: bool,
    pending: VecDeque<Pending>,
}

impl Dialogue {
    /// A conversation that is captured from its beginning, or from somewhere in the middle.
    pub(super) fn new(from_beginning: bool, traced: bool) -> Self {
        Self {
            mode: Mode::Undecided,
            exchanges: Vec::new(),
            server_name: None,
            from_beginning,
            trace: traced.then(Vec::new),
            traced: 0,
            requests: Reading::Head,
            request: Vec::new(),
            parsed: 0,
            request_at: None,
            responses: if from_beginning { Reading::Head } else { Reading::Lost },
            response: Vec::new(),
            response_at: None,
            until_close: false,
            pending: VecDeque::new(),
        }
    }

    /// Adds an event, if somebody wants to know and there aren't too many.
    pub(super) fn note(&mut self, time: Timestamp, side: Side, kind: EventKind) {
        let Some(trace) = &mut self.trace else { return };
        self.traced += size_of::<Event>() + if let EventKind::Head(head) = &kind { head.len() } else { 0 };
        if self.traced <= TRACE {
            trace.push(Event { time, side, kind });
        }
    }

    /// Bytes of memory that it holds beside its rows.
    pub(super) fn memory(&self) -> usize {
        self.request.capacity() + self.response.capacity() + self.pending.capacity() * size_of::<Pending>()
    }

    /// Data of one side, in order.
    pub(super) fn data(&mut self, side: Side, data: &[u8], time: Timestamp, room: &mut Room) {
        match (self.mode, side) {
            (Mode::Undecided, Side::Client) => self.decide(data, time, room),
            (Mode::Undecided, Side::Server) => {
                if is_response(data) {
                    self.speak_http(time, room);
                    self.read_responses(data, time, room);
                } else if self.from_beginning {
                    self.mode = Mode::Opaque;
                }
            }
            (Mode::Http, Side::Client) => self.read_requests(data, time, room),
            (Mode::Http, Side::Server) => self.read_responses(data, time, room),
            (Mode::Tls, Side::Client) => self.read_hello(data),
            (Mode::Tunnel, Side::Server) => self.count(data.len(), data.len()),
            _ => {}
        }
        if matches!(self.mode, Mode::Tunnel | Mode::Tls | Mode::Opaque) {
            self.note(time, side, EventKind::Data(data.len() as u64));
        }
    }

    /// Decides what is spoken, by what the client has sent.
    fn decide(&mut self, data: &[u8], time: Timestamp, room: &mut Room) {
        self.request.extend_from_slice(data);
        self.request_at.get_or_insert(time);
        match sniff(&self.request) {
            Sniffed::Http => self.speak_http(time, room),
            Sniffed::Tls => {
                self.mode = Mode::Tls;
                self.read_hello(&[]);
            }
            Sniffed::Partial => {}
            Sniffed::Other => {
                self.forget_request();
                if self.from_beginning {
                    self.mode = Mode::Opaque;
                }
            }
        }
    }

    fn speak_http(&mut self, time: Timestamp, room: &mut Room) {
        self.mode = Mode::Http;
        let sent = std::mem::take(&mut self.request);
        self.read_requests(&sent, time, room);
    }

    fn read_hello(&mut self, data: &[u8]) {
        if self.server_name.is_some() || matches!(self.requests, Reading::Unreadable) {
            return;
        }
        self.request.extend_from_slice(data);
        match hello::read(&self.request) {
            Hello::Partial if self.request.len() <= hello::LONGEST => return,
            Hello::Name(name) => self.server_name = name,
            Hello::Partial | Hello::Other => {}
        }
        self.requests = Reading::Unreadable;
        self.request = Vec::new();
    }

    /// Bytes of one side aren't in the capture.
    pub(super) fn lost(&mut self, side: Side, count: u64, time: Timestamp) {
        self.note(time, side, EventKind::Lost(count));
        match (self.mode, side) {
            (Mode::Undecided, _) => self.forget_request(),
            (Mode::Tls, Side::Client) => self.requests = Reading::Unreadable,
            (Mode::Http, Side::Client) => match &mut self.requests {
                Reading::Unreadable => {}
                Reading::Body(body) if body.remaining().unwrap_or(0) >= count => {
                    skip(count, |zeros| body.read(zeros).is_ok());
                    if body.is_done() {
                        self.requests = Reading::Head;
                    }
                }
                _ => {
                    self.requests = Reading::Lost;
                    self.forget_request();
                }
            },
            (Mode::Http, Side::Server) => self.lose_response(count, time),
            (Mode::Tunnel, Side::Server) => self.count(count as usize, count as usize),
            _ => {}
        }
    }

    /// One side sends no more.
    pub(super) fn end(&mut self, side: Side, time: Timestamp) {
        if let (Mode::Http, Side::Server, Reading::Body(reader)) = (self.mode, side, &mut self.responses) {
            let complete = reader.end(&mut self.response).is_ok();
            self.end_response(time, complete);
            self.responses = Reading::Unreadable;
        }
        if let (Mode::Tunnel, Side::Server) = (self.mode, side)
            && let Some(row) = self.answered()
        {
            row.complete = true;
        }
    }
}

/// Has `read` take as many zeros.
fn skip(count: u64, mut read: impl FnMut(&[u8]) -> bool) {
    let mut left = count;
    while left > 0 {
        let part = &ZEROS[..ZEROS.len().min(usize::try_from(left).unwrap_or(usize::MAX))];
        if !read(part) {
            return;
        }
        left -= part.len() as u64;
    }
}
