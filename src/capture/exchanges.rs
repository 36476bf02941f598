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

use std::collections::VecDeque;

use super::hello::{self, Hello};
use super::rows::{Event, EventKind, Exchange, Room};
use super::sniff::{Sniffed, is_response, request_line, sniff, status_line};
use super::{Side, Timestamp};
use crate::http::FieldLines;
use crate::http::client::{Body, RequestKind, ResponseReader};
use crate::http::framing::BodyReader;
use crate::http::head;
use crate::limits;

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

    // ---- requests

    fn read_requests(&mut self, mut data: &[u8], time: Timestamp, room: &mut Room) {
        while !data.is_empty() {
            let taken = match &mut self.requests {
                Reading::Unreadable => return,
                Reading::Lost if matches!(sniff(data), Sniffed::Other) => return,
                Reading::Lost => {
                    self.requests = Reading::Head;
                    0
                }
                Reading::Head => self.read_request_head(data, time, room),
                Reading::Body(body) => {
                    let progress = body.read(data);
                    if let Some(last) = self.pending.back_mut() {
                        last.sent = Some(time);
                    }
                    match progress {
                        Ok(progress) => {
                            if progress.done {
                                self.requests = Reading::Head;
                            }
                            progress.consumed
                        }
                        Err(_) => {
                            self.requests = Reading::Unreadable;
                            return;
                        }
                    }
                }
            };
            data = data.get(taken..).unwrap_or_default();
        }
    }

    /// Reads as much of `data` as belongs to a head. Returns how much.
    fn read_request_head(&mut self, data: &[u8], time: Timestamp, room: &mut Room) -> usize {
        let before = self.request.len();
        let begins = *self.request_at.get_or_insert(time);
        // A whole head isn't copied.
        let joined;
        let input = if before == 0 {
            data
        } else {
            let most = (limits::HEAD + 4).saturating_sub(before).min(data.len());
            self.request.extend_from_slice(&data[..most]);
            if most > 0 && !head::is_worth_parsing(&self.request, self.parsed) {
                self.parsed = self.request.len();
                return most;
            }
            joined = std::mem::take(&mut self.request);
            &joined
        };
        let mut lines = FieldLines::default();
        match head::parse(input, &mut lines) {
            Ok(None) => {
                self.request = input[..input.len().min(limits::HEAD + 4)].to_vec();
                self.parsed = self.request.len();
                return self.request.len() - before;
            }
            Ok(Some(found)) => {
                let upgrade = found.fields.get("upgrade").is_some();
                let kind = match RequestKind::of(found.method_name) {
                    RequestKind::Content if upgrade => RequestKind::Upgrade,
                    kind => kind,
                };
                let target = found.raw_target.escape_ascii().to_string();
                self.begin_exchange(Some(found.method_name.to_owned()), target, found.persistent, begins, room);
                self.pending.extend([Pending { row: self.last_row(room), kind, sent: Some(time) }]);
                self.note(begins, Side::Client, EventKind::Head(found.raw.to_vec()));
                let body = BodyReader::new(found.framing);
                self.requests = if body.is_done() { Reading::Head } else { Reading::Body(body) };
                let taken = found.length.saturating_sub(before);
                self.forget_request();
                return taken;
            }
            Err(_) => {
                if let Some((method, target)) = request_line(input) {
                    let kind = RequestKind::of(&method);
                    self.begin_exchange(Some(method), target, false, begins, room);
                    self.pending.extend([Pending { row: self.last_row(room), kind, sent: Some(time) }]);
                }
                self.requests = Reading::Unreadable;
                self.forget_request();
            }
        }
        data.len()
    }

    fn forget_request(&mut self) {
        self.request = Vec::new();
        self.parsed = 0;
        self.request_at = None;
    }

    /// Lists an exchange, if there is room.
    fn begin_exchange(
        &mut self,
        method: Option<String>,
        target: String,
        persistent: bool,
        start: Timestamp,
        room: &mut Room,
    ) {
        if room.take(OVERHEAD + target.len()) {
            self.exchanges.push(Exchange {
                start,
                method,
                target,
                status: None,
                bytes: 0,
                body_bytes: 0,
                ttfb: None,
                persistent,
                pipelined: !self.pending.is_empty(),
                complete: false,
            });
        }
    }

    /// The number of the exchange that was begun last, if it is listed.
    fn last_row(&self, room: &Room) -> Option<usize> {
        if room.unlisted > 0 { None } else { self.exchanges.len().checked_sub(1) }
    }

    // ---- responses

    /// The exchange whose response is read.
    fn answered(&mut self) -> Option<&mut Exchange> {
        self.exchanges.get_mut(self.pending.front()?.row?)
    }

    /// Counts bytes of the response, and those of them that are content.
    fn count(&mut self, bytes: usize, content: usize) {
        if let Some(row) = self.answered() {
            row.bytes += bytes as u64;
            row.body_bytes += content as u64;
        }
    }

    fn read_responses(&mut self, mut data: &[u8], time: Timestamp, room: &mut Room) {
        while !data.is_empty() && self.mode == Mode::Http {
            let taken = match &mut self.responses {
                Reading::Unreadable => return,
                Reading::Lost if !is_response(data) => return,
                Reading::Lost => {
                    // All but the last request were answered by what was lost.
                    let answered = self.pending.len().saturating_sub(1);
                    self.pending.drain(..answered);
                    self.responses = Reading::Head;
                    0
                }
                Reading::Head => {
                    self.begin_response(time, room);
                    0
                }
                Reading::Body(reader) if reader.awaits_head() => self.read_response_head(data, time),
                Reading::Body(reader) => {
                    let Ok(progress) = reader.read(data) else {
                        self.responses = Reading::Unreadable;
                        return;
                    };
                    let done = progress.done;
                    self.count(progress.consumed, progress.content.len());
                    if done {
                        self.end_response(time, true);
                    } else if progress.consumed == 0 {
                        return;
                    }
                    progress.consumed
                }
            };
            data = data.get(taken..).unwrap_or_default();
        }
        if self.mode == Mode::Tunnel {
            self.count(data.len(), data.len());
        }
    }

    /// Begins to read the response to the oldest request.
    fn begin_response(&mut self, time: Timestamp, room: &mut Room) {
        if self.pending.is_empty() {
            self.begin_exchange(None, String::new(), true, time, room);
            let row = self.last_row(room);
            self.pending.push_back(Pending { row, kind: RequestKind::Content, sent: None });
        }
        let kind = self.pending.front().map(|pending| pending.kind).unwrap_or_default();
        self.responses = Reading::Body(ResponseReader::new(kind));
    }

    /// Reads as much of `data` as may belong to a head. Returns how much does.
    fn read_response_head(&mut self, data: &[u8], time: Timestamp) -> usize {
        let Reading::Body(reader) = &mut self.responses else { return 0 };
        let began = *self.response_at.get_or_insert(time);
        let before = self.response.len();
        let end = memchr::memmem::find(data, b"\r\n\r\n").map_or(data.len(), |at| at + 4);
        let most = (limits::HEAD + 4).saturating_sub(before).min(end);
        self.response.extend_from_slice(&data[..most]);
        let mut lines = FieldLines::default();
        let mut response = std::mem::take(&mut self.response);
        match reader.head(&mut response, &mut lines) {
            Ok(None) => {
                self.response = response;
                self.count(most, 0);
                most
            }
            Ok(Some(head)) => {
                let (status, length, body) = (head.status.0, head.length, head.body);
                let (raw, is_interim) = (head.raw.to_vec(), head.is_interim());
                let (done, persistent) = (reader.is_done(), reader.is_persistent());
                let taken = length.saturating_sub(before);
                self.until_close = matches!(body, Body::UntilClose);
                self.note(began, Side::Server, EventKind::Head(raw));
                self.count(taken, 0);
                self.response_at = None;
                if is_interim {
                    return taken;
                }
                self.set_status(status, persistent, began);
                if body == Body::Tunnel {
                    self.mode = Mode::Tunnel;
                } else if done {
                    self.end_response(time, true);
                }
                taken
            }
            Err(_) => {
                self.count(data.len(), 0);
                if let Some(status) = status_line(&response) {
                    self.set_status(status, false, began);
                }
                self.responses = Reading::Unreadable;
                data.len()
            }
        }
    }

    fn set_status(&mut self, status: u16, persistent: bool, began: Timestamp) {
        let sent = self.pending.front().and_then(|pending| pending.sent);
        if let Some(row) = self.answered() {
            row.status = Some(status);
            row.persistent &= persistent;
            row.ttfb = sent.map(|sent| began.since(sent).max(0));
        }
    }

    fn end_response(&mut self, time: Timestamp, complete: bool) {
        let content = self.answered().map(|row| {
            row.complete = complete;
            row.body_bytes
        });
        if let Some(content @ 1..) = content {
            self.note(time, Side::Server, EventKind::Content(content));
        }
        self.pending.pop_front();
        self.responses = Reading::Head;
        self.response = Vec::new();
        self.response_at = None;
        self.until_close = false;
    }

    // ---- gaps and ends

    /// Bytes of one side aren't in the capture.
    pub(super) fn lost(&mut self, side: Side, count: u64, time: Timestamp) {
        self.note(time, side, EventKind::Lost(count));
        match (self.mode, side) {
            (Mode::Undecided, _) => self.forget_request(),
            (Mode::Tls, Side::Client) => self.requests = Reading::Unreadable,
            (Mode::Http, Side::Client) => {
                let missing = match &self.requests {
                    Reading::Body(body) => body.remaining().unwrap_or(0),
                    _ => 0,
                };
                match &mut self.requests {
                    Reading::Unreadable => {}
                    Reading::Body(body) if missing >= count => {
                        skip(count, |zeros| body.read(zeros).is_ok());
                        if body.is_done() {
                            self.requests = Reading::Head;
                        }
                    }
                    _ => {
                        self.requests = Reading::Lost;
                        self.forget_request();
                    }
                }
            }
            (Mode::Http, Side::Server) => self.lose_response(count, time),
            (Mode::Tunnel, Side::Server) => self.count(count as usize, count as usize),
            _ => {}
        }
    }

    fn lose_response(&mut self, count: u64, time: Timestamp) {
        let is_body = matches!(&self.responses, Reading::Body(reader) if !reader.awaits_head());
        let is_unreadable = matches!(self.responses, Reading::Unreadable);
        let fits = match &self.responses {
            Reading::Body(reader) => is_body && (self.until_close || reader.remaining() >= Some(count.max(1))),
            _ => false,
        };
        if fits {
            let Reading::Body(reader) = &mut self.responses else { return };
            skip(count, |zeros| reader.read(zeros).is_ok());
            let done = reader.is_done();
            self.count(count as usize, count as usize);
            if done {
                self.end_response(time, true);
            }
        } else if !is_unreadable {
            if is_body {
                self.end_response(time, false);
            }
            self.responses = Reading::Lost;
            self.response = Vec::new();
            self.response_at = None;
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
