//! The sending half of an exchange: from an answer to octets in the output, at
//! once or as there is room, and what comes after it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::access::{self, Asked, Exchanged};
use super::phase::{Phase, Sending};
use super::{Cx, Http, Out, Step};
use crate::app::{Body, Pull, Response};
use crate::http::Status;
use crate::http::chunked::{LAST_CHUNK, encode_chunk};
use crate::http::head::{Method, RequestHead};
use crate::http::response::{self, Form, Length, Manner};
use crate::reactor::{Finish, Io, Want};

impl Http {
    /// Sends what an application, or we ourselves, answer.
    pub(super) fn send(
        &mut self,
        response: Response,
        head: &RequestHead<'_>,
        persistent: bool,
        out: &mut Out<'_, '_>,
        cx: &mut Cx<'_>,
    ) {
        let status = response.status;
        let manner = Manner { minor: head.minor, head_only: head.method == Method::Head, persistent };
        let length = match &response.body {
            // RFC 9110 §15.3.6: a 205 has no content.
            _ if status == Status::RESET_CONTENT => Length::Known(0),
            Body::Bytes(bytes) => Length::Known(bytes.len() as u64),
            Body::Source(_) => Length::Unknown,
        };
        let buffer = out.output.buffer();
        response::begin(buffer, status, &cx.shared.http.stamp);
        for (name, value) in &response.fields {
            response::field(buffer, name, value.as_bytes());
        }
        let (form, persistent) = response::end(buffer, manner, status, length);
        if form == Form::Absent || length == Length::Known(0) {
            self.finish(head, status, 0, persistent, out, cx);
            return;
        }
        if let Body::Bytes(bytes) = &response.body
            && bytes.len() <= out.output.room()
        {
            out.output.write(bytes);
            let octets = bytes.len() as u64;
            self.finish(head, status, octets, persistent, out, cx);
            return;
        }
        self.seal(head, out, cx);
        let exchanged = self.exchanged(head, status, 0, out, cx);
        let sending = Sending { body: response.body, chunked: form == Form::Chunked, sent: 0, persistent, exchanged };
        self.enter(Phase::Sending(Box::new(sending)), cx);
    }

    /// Sends on, as there is room.
    pub(super) fn sending(&mut self, io: &mut Io<'_>, cx: &mut Cx<'_>) -> Step {
        let Phase::Sending(sending) = &mut self.phase else { return Step::Again };
        let whole = loop {
            let room = io.output.room();
            if room == 0 {
                return Step::Wait(Want::NOTHING);
            }
            let (before, sent) = (io.output.buffer().len(), sending.sent);
            let next = match &mut sending.body {
                Body::Bytes(bytes) => {
                    let rest = &bytes[sending.sent as usize..];
                    let count = rest.len().min(room);
                    io.output.write(&rest[..count]);
                    sending.sent += count as u64;
                    Some(if count == rest.len() { Pull::End } else { Pull::More })
                }
                Body::Source(source) => {
                    let mut content = std::mem::take(&mut cx.shared.http.scratch);
                    let pulled = catch_unwind(AssertUnwindSafe(|| source.pull(&mut content, room, cx.time.now)));
                    sending.sent += content.len() as u64;
                    if sending.chunked {
                        encode_chunk(&content, io.output.buffer());
                    } else {
                        io.output.write(&content);
                    }
                    content.clear();
                    cx.shared.http.scratch = content;
                    pulled.ok()
                }
            };
            if sending.chunked && next == Some(Pull::End) {
                io.output.write(LAST_CHUNK);
            }
            if let Some(exchanged) = &mut sending.exchanged {
                exchanged.add(sending.sent - sent, (io.output.buffer().len() - before) as u64);
            }
            match next {
                Some(Pull::More) => {}
                Some(Pull::Wait(until)) => return Step::Wait(Want::NOTHING.by(until)),
                Some(Pull::End) => break true,
                None => {
                    log::error!("#{}.{} the application panicked in its answer", cx.handle.number(), self.requests);
                    // The body gets no end, so the client knows that it isn't whole.
                    break false;
                }
            }
        };
        let persistent = sending.persistent && whole && !cx.draining;
        // Where only the end of the connection ends the content, a proper end would
        // make a part look like the whole.
        let abort = !whole && !sending.chunked;
        if let Some(mut exchanged) = sending.exchanged.take() {
            exchanged.end(0, cx);
        }
        if abort {
            self.enter(Phase::Closing(Finish::Abort), cx);
        } else {
            self.proceed(persistent, cx);
        }
        Step::Again
    }

    /// Waits until a file is gone. Not until what stands behind it is gone too
    /// (the end of a multipart answer): there is room again before, so nobody
    /// would call once more.
    pub(super) fn sending_file(&mut self, io: &mut Io<'_>, cx: &mut Cx<'_>) -> Step {
        let Phase::SendingFile { persistent, exchanged } = &mut self.phase else { return Step::Again };
        if io.output.has_file() {
            return Step::Wait(Want::NOTHING);
        }
        let persistent = *persistent && !cx.draining;
        if let Some(mut exchanged) = exchanged.take() {
            exchanged.end(0, cx);
        }
        self.proceed(persistent, cx);
        Step::Again
    }

    /// The answer is in the output: what comes next.
    #[inline]
    pub(super) fn finish(
        &mut self,
        head: &RequestHead<'_>,
        status: Status,
        body: u64,
        persistent: bool,
        out: &mut Out<'_, '_>,
        cx: &mut Cx<'_>,
    ) {
        self.seal(head, out, cx);
        if out.output.has_file() {
            let exchanged = self.exchanged(head, status, body, out, cx);
            self.enter(Phase::SendingFile { persistent, exchanged }, cx);
            return;
        }
        if cx.shared.http.access.enabled {
            let account = out.account(status, body, self.requests);
            let asked = Asked::new(access::request_line(head), head.fields, &account, &cx.shared.http.proxies);
            access::write(&asked, &account, cx);
        }
        match &mut self.phase {
            // The usual case: from one request to the next.
            Phase::Idle { since } if persistent => *since = cx.time.now,
            _ => self.proceed(persistent, cx),
        }
    }

    /// What the log has to know when the answer has gone, if there is a log.
    pub(super) fn exchanged(
        &self,
        head: &RequestHead<'_>,
        status: Status,
        body: u64,
        out: &Out<'_, '_>,
        cx: &Cx<'_>,
    ) -> Option<Box<Exchanged>> {
        let http = &cx.shared.http;
        http.access.enabled.then(|| {
            let account = out.account(status, body, self.requests);
            let asked = Asked::new(access::request_line(head), head.fields, &account, &http.proxies);
            Box::new(Exchanged::begin(&asked, account, cx.time.now))
        })
    }

    /// The answer is given: waits for the next request, or closes.
    pub(super) fn proceed(&mut self, persistent: bool, cx: &mut Cx<'_>) {
        let next = match (persistent, self.more) {
            (true, _) => Phase::Idle { since: cx.time.now },
            (false, false) => Phase::Closing(Finish::Close),
            (false, true) => Phase::Closing(Finish::Linger),
        };
        self.enter(next, cx);
    }
}
