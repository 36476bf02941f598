//! The exchange of a connection to an upstream: what it writes, and how its response is read.
//!
//! ```text
//! Piece, End ─▶ the coding of the content ─▶ output
//! input ─▶ head ─┬─ interim, final ─▶ Interim, Head ─┐
//!                ├─ 101 ────────────▶ Tunnel         │
//!                └─ ambiguous ──────▶ a failure      ▼
//!                                         content ─▶ Piece, as far as there is room
//!                                                 └▶ the store, if the response grows there
//! ```

use std::rc::Rc;
use std::time::Duration;

use super::storing::Growing;
use super::{
    Answer, Ask, BESIDE, Content, ExchangeId, FromUpstream, InFlight, Kept, Owed, Room, Storing, Taken, ToUpstream,
    TunnelEnd, Upstream,
};
use crate::http::chunked::{CHUNK_END, LAST_CHUNK, begin_chunk};
use crate::http::client::{Body, HttpError, RequestKind, ResponseHead, ResponseReader};
use crate::http::framing::parse_length;
use crate::http::proxying::{UpstreamFailure, UpstreamTimeouts, response_fields, upgrade_fields};
use crate::http::response::Length;
use crate::http::{FieldLines, Status};
use crate::reactor::{Io, Pace, Tick, Want};
use crate::service::{Cx, Message};

/// The exchange that a connection has.
pub(super) struct Exchange {
    pub(super) id: ExchangeId,
    /// Bytes pass unchanged.
    pub(super) tunnel: Option<TunnelEnd>,
    /// Its response is being stored.
    pub(super) growing: Option<Box<Growing>>,
    reader: ResponseReader,
    content: Content,
    /// All of the request was written.
    is_asked: bool,
    /// Content that was written.
    owed: Owed,
    /// Bytes of the response that the exchange has room for.
    room: Room,
    /// When something was received or sent last.
    progress: Tick,
    /// How fast content comes while there is room for it.
    pace: Option<Pace>,
    /// How the response is stored.
    storing: Option<Box<Storing>>,
}

impl Exchange {
    /// Sends a request.
    pub(super) fn ask(id: ExchangeId, ask: Ask, io: &mut Io<'_>, cx: &Cx<'_>) -> Self {
        let Ask { head, content, kind, storing } = ask;
        io.output.write(&head);
        Self { storing, ..Self::new(id, kind, content, cx) }
    }

    /// Sends no request: bytes pass unchanged at once.
    pub(super) fn connect(id: ExchangeId, cx: &mut Cx<'_>) -> Self {
        let this = Self::new(id, RequestKind::Tunnel, Content::None, cx);
        this.tell(FromUpstream::Tunnel(Status::OK, FieldLines::default()), cx);
        Self { tunnel: Some(TunnelEnd::new(cx.time.now)), ..this }
    }

    fn new(id: ExchangeId, kind: RequestKind, content: Content, cx: &Cx<'_>) -> Self {
        Self {
            id,
            tunnel: None,
            growing: None,
            reader: ResponseReader::new(kind),
            content,
            is_asked: content == Content::None,
            owed: Owed::default(),
            room: Room::whole(cx.window()),
            progress: cx.time.now,
            pace: None,
            storing: None,
        }
    }

    fn tell(&self, what: FromUpstream, cx: &mut Cx<'_>) {
        send(self.id, what, cx);
    }

    /// At most so many bytes of the response may be on their way to the client's side from now on.
    pub(super) fn set_window(&mut self, window: usize) {
        self.room.set_window(window);
    }

    /// Takes note of the room that the client's side has.
    pub(super) fn give_room(&mut self, taken: Taken, now: Tick) {
        self.room.give(taken);
        self.progress = now;
    }

    /// Acts on what the client's side says. Returns false if that cancels it.
    pub(super) fn hear(&mut self, message: ToUpstream, io: &mut Io<'_>, now: Tick) -> bool {
        match message {
            ToUpstream::Ask(_) | ToUpstream::Connect => return true,
            ToUpstream::Room(taken) => self.give_room(taken, now),
            ToUpstream::Piece(bytes) => {
                self.owed.add(bytes.len());
                if self.content == Content::Chunked {
                    begin_chunk(bytes.len() as u64, io.output.buffer());
                    io.output.share(bytes);
                    io.output.write(CHUNK_END);
                } else {
                    io.output.share(bytes);
                }
            }
            ToUpstream::End => {
                if self.content == Content::Chunked {
                    io.output.write(LAST_CHUNK);
                }
                self.is_asked = true;
            }
            // What is being stored has other readers, or will have.
            ToUpstream::Cancel => return self.is_read_in_store(),
        }
        self.progress = now;
        true
    }

    /// Tells the client's side that its content is on its way.
    pub(super) fn announce_room(&mut self, io: &Io<'_>, cx: &mut Cx<'_>) {
        if let Some(taken) = self.owed.announce(io.output) {
            self.tell(FromUpstream::Room(taken), cx);
        }
    }

    /// Reads a head or content, as far as there is room for it. Returns whether there was any.
    ///
    /// # Errors
    /// If the response can't be passed on.
    pub(super) fn read(
        &mut self,
        upstream: &Rc<Upstream>,
        io: &mut Io<'_>,
        cx: &mut Cx<'_>,
    ) -> Result<bool, UpstreamFailure> {
        let consumed = match self.reader.awaits_head() {
            true => self.read_head(upstream, io, cx)?,
            false => self.read_content(upstream.timeouts().idle, io, cx)?,
        };
        if consumed > 0 {
            self.progress = cx.time.now;
            io.input.consume(consumed);
        }
        Ok(consumed > 0)
    }

    /// Reads the next head. Returns the bytes consumed.
    fn read_head(
        &mut self,
        upstream: &Rc<Upstream>,
        io: &mut Io<'_>,
        cx: &mut Cx<'_>,
    ) -> Result<usize, UpstreamFailure> {
        if io.input.is_empty() {
            return Ok(0);
        }
        let mut lines = FieldLines::default();
        let head = match self.reader.head(io.input.bytes_mut(), &mut lines) {
            Ok(Some(head)) => head,
            Ok(None) => return Ok(0),
            Err(error) => return Err(failure_of(error)),
        };
        let (length, status) = (head.length, head.status);
        if status == Status::REQUEST_TIMEOUT {
            // It may have been sent before the request came, which is then answered, too.
            self.is_asked = false;
        }
        // In these two Upgrade is about the request, and not about the connection alone.
        let is_about_upgrade = matches!(status, Status::SWITCHING_PROTOCOLS | Status::UPGRADE_REQUIRED);
        let further = is_about_upgrade.then(|| upgrade_fields(head.fields)).into_iter().flatten();
        let fields = FieldLines::of(response_fields(head.fields).chain(further));
        let answer = match head.body {
            Body::Tunnel if status == Status::SWITCHING_PROTOCOLS => {
                self.tunnel = Some(TunnelEnd::new(cx.time.now));
                FromUpstream::Tunnel(status, fields)
            }
            // A 2xx to a CONNECT that wasn't for a proxy.
            Body::Tunnel => return Err(UpstreamFailure::Malformed("a tunnel where none was asked for")),
            _ if head.is_interim() => FromUpstream::Interim(status, fields),
            _ => {
                let kept = self.storing.as_ref().map_or(Kept::No, |storing| storing.head(&head, cx.handle, cx.time));
                if let (Kept::Growing(filling, _) | Kept::Copying(filling), Some(storing)) = (&kept, &self.storing) {
                    // Nobody is passed on what is asked for beside a response.
                    let is_copy = matches!(kept, Kept::Copying(_)) && self.id.request != BESIDE;
                    let in_flight = (!is_copy).then(|| InFlight::begin(upstream));
                    self.growing = Some(Box::new(Growing::new(storing, *filling, head.body, in_flight)));
                } else if self.id.request == BESIDE && head.body != Body::Absent {
                    // Nobody wants it.
                    return Err(UpstreamFailure::Closed);
                }
                FromUpstream::Head(Box::new(Answer { status, fields, length: length_of(&head), kept }))
            }
        };
        send(self.id, answer, cx);
        Ok(length)
    }

    /// Reads content. Returns the bytes consumed.
    fn read_content(&mut self, idle: Duration, io: &Io<'_>, cx: &mut Cx<'_>) -> Result<usize, UpstreamFailure> {
        let room = match &self.growing {
            Some(growing) if growing.is_paused => 0,
            Some(growing) if !growing.is_copy => usize::MAX,
            _ => self.room.bytes(),
        };
        if room == 0 {
            // The side without room sets the pace.
            self.pace = None;
        }
        let input = io.input.bytes();
        let input = &input[..input.len().min(room)];
        if input.is_empty() {
            return Ok(0);
        }
        let progress = self.reader.read(input).map_err(failure_of)?;
        let content = &input[progress.content.clone()];
        if !content.is_empty() {
            self.note_pace(content.len(), idle, cx.time.now);
            cx.work.spend_bytes(content.len());
            if let Some(growing) = &mut self.growing {
                let is_wanted = growing.append(content);
                if !growing.is_copy {
                    // Readers see in the store that it failed.
                    return if is_wanted { Ok(progress.consumed) } else { Err(UpstreamFailure::Closed) };
                }
                if !is_wanted {
                    // The client gets it all the same.
                    self.growing = None;
                }
            }
            self.room.sent(content.len());
            send(self.id, FromUpstream::Piece(io.input.share(progress.content)), cx);
        }
        Ok(progress.consumed)
    }

    /// Takes note of how fast content comes, if its length is known. Where it isn't, it may be made while
    /// it is sent, like Server-Sent Events, and come as seldom as something happens.
    fn note_pace(&mut self, bytes: usize, idle: Duration, now: Tick) {
        if self.reader.remaining().is_some() {
            // It begins with the first content: how long that takes is bounded by the time-out alone.
            self.pace.get_or_insert_with(|| Pace::start(now)).moved(now, bytes as u64, idle);
        }
    }

    /// Whether the clients read the response in the store, and not from here.
    pub(super) fn is_read_in_store(&self) -> bool {
        self.growing.as_ref().is_some_and(|growing| !growing.is_copy)
    }

    /// Whether the response was read.
    pub(super) fn is_read(&self) -> bool {
        !self.reader.awaits_head() && self.reader.is_done()
    }

    /// The upstream has closed its side. Returns whether the response is complete by that; else content
    /// is left that there is no room for.
    ///
    /// # Errors
    /// If the response is cut.
    pub(super) fn end_of_input(&mut self, io: &mut Io<'_>) -> Result<bool, UpstreamFailure> {
        if !self.reader.awaits_head() && !io.input.is_empty() {
            return Ok(false);
        }
        // Over TLS a missing close_notify may have cut the response.
        if io.truncated && self.reader.remaining().is_none() {
            return Err(UpstreamFailure::Closed);
        }
        match self.reader.end(io.input.bytes_mut()) {
            Ok(()) => Ok(true),
            Err(error) => Err(failure_of(error)),
        }
    }

    /// The response is complete. Returns whether another request may follow.
    pub(super) fn end(mut self, io: &Io<'_>, cx: &mut Cx<'_>) -> bool {
        let is_passed_on = !self.is_read_in_store();
        if let Some(growing) = self.growing.take() {
            growing.end(true, self.id, cx);
        }
        if is_passed_on {
            self.tell(FromUpstream::End, cx);
        }
        // An upstream that responds before it has the whole request doesn't want the rest.
        self.reader.is_persistent() && self.is_asked && !io.ended && io.input.is_empty()
    }

    /// Until when the upstream is waited for. None if that waits for the client's side, which gives up
    /// a client that takes nothing.
    pub(super) fn deadline(&self, timeouts: UpstreamTimeouts) -> Option<Tick> {
        match self.reader.awaits_head() {
            true => Some(self.progress.after(timeouts.response)),
            false if !self.is_read_in_store() && self.room.bytes() == 0 => None,
            false if self.pace.is_some_and(|pace| pace.is_too_slow()) => Some(self.progress),
            false => Some(self.progress.after(timeouts.idle)),
        }
    }

    /// What is wanted of the upstream, unless the store has no room for it.
    pub(super) fn want(&self) -> Want {
        match &self.growing {
            // It wakes the connection when it has.
            Some(growing) if growing.is_paused => Want::NOTHING,
            _ if self.reader.awaits_head() || self.is_read_in_store() => Want::READ,
            _ => self.room.want(),
        }
    }
}

/// Why a response can't be read.
pub(super) fn failure_of(error: HttpError) -> UpstreamFailure {
    match error {
        HttpError::Malformed(why) => UpstreamFailure::Malformed(why),
        HttpError::TooLarge(_) => UpstreamFailure::TooLarge,
        HttpError::NoResponse | HttpError::Truncated => UpstreamFailure::Closed,
    }
}

/// The length of the content; for HEAD that of the content that GET would get.
fn length_of(head: &ResponseHead<'_>) -> Length {
    match head.body {
        Body::Length(bytes) => Length::Known(bytes),
        Body::Chunked | Body::UntilClose | Body::Tunnel => Length::Unknown,
        Body::Absent => {
            let told = head.fields.get("content-length").and_then(parse_length);
            // Without a field GET would get content up to the end of the connection.
            told.map_or(Length::Unknown, Length::Known)
        }
    }
}

/// Sends a message to an exchange.
pub(super) fn send(to: ExchangeId, what: FromUpstream, cx: &mut Cx<'_>) {
    cx.send(to.client, Message::FromUpstream(cx.handle, to, what));
}
