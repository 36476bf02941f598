//! The responses of a server: each is of the oldest request that has none.

use super::{Dialogue, Mode, Pending, Reading, skip};
use crate::capture::rows::{EventKind, Exchange, Room};
use crate::capture::sniff::{is_response, status_line};
use crate::capture::{Side, Timestamp};
use crate::http::FieldLines;
use crate::http::client::{Body, RequestKind, ResponseReader};
use crate::limits;

impl Dialogue {
    /// The exchange whose response is read.
    pub(super) fn answered(&mut self) -> Option<&mut Exchange> {
        self.exchanges.get_mut(self.pending.front()?.row?)
    }

    /// Counts bytes of the response, and those of them that are content.
    pub(super) fn count(&mut self, bytes: usize, content: usize) {
        if let Some(row) = self.answered() {
            row.bytes += bytes as u64;
            row.body_bytes += content as u64;
        }
    }

    pub(super) fn read_responses(&mut self, mut data: &[u8], time: Timestamp, room: &mut Room) {
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

    pub(super) fn end_response(&mut self, time: Timestamp, complete: bool) {
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

    /// Bytes of a response aren't in the capture.
    pub(super) fn lose_response(&mut self, count: u64, time: Timestamp) {
        let is_body = matches!(&self.responses, Reading::Body(reader) if !reader.awaits_head());
        match &mut self.responses {
            Reading::Unreadable => {}
            Reading::Body(reader) if is_body && (self.until_close || reader.remaining() >= Some(count.max(1))) => {
                skip(count, |zeros| reader.read(zeros).is_ok());
                let done = reader.is_done();
                self.count(count as usize, count as usize);
                if done {
                    self.end_response(time, true);
                }
            }
            _ => {
                if is_body {
                    self.end_response(time, false);
                }
                self.responses = Reading::Lost;
                self.response = Vec::new();
                self.response_at = None;
            }
        }
    }
}
