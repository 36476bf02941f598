//! The requests of a client: each begins an exchange.

use super::{Dialogue, OVERHEAD, Pending, Reading};
use crate::capture::rows::{EventKind, Exchange, Room};
use crate::capture::sniff::{Sniffed, request_line, sniff};
use crate::capture::{Side, Timestamp};
use crate::http::FieldLines;
use crate::http::client::RequestKind;
use crate::http::framing::BodyReader;
use crate::http::head;
use crate::limits;

impl Dialogue {
    pub(super) fn read_requests(&mut self, mut data: &[u8], time: Timestamp, room: &mut Room) {
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

    pub(super) fn forget_request(&mut self) {
        self.request = Vec::new();
        self.parsed = 0;
        self.request_at = None;
    }

    /// Lists an exchange, if there is room.
    pub(super) fn begin_exchange(
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
                // Responses that are lost may have come before.
                pipelined: !self.pending.is_empty() && !matches!(self.responses, Reading::Lost),
                complete: false,
            });
        }
    }

    /// The number of the exchange that was begun last, if it is listed.
    pub(super) fn last_row(&self, room: &Room) -> Option<usize> {
        if room.unlisted > 0 { None } else { self.exchanges.len().checked_sub(1) }
    }
}
