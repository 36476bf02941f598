//! The receiving half of an exchange: from octets to a request that is there with
//! its body.

use super::answer::Route;
use super::phase::{Collecting, Phase};
use super::{Cx, Http, Out, Step};
use crate::http::framing::{BodyReader, Framing};
use crate::http::head::{self, Expect, RequestHead, has_news};
use crate::http::{Lines, Reject, Status, response};
use crate::limits;
use crate::reactor::{Finish, Io, Pace, Want};

impl Http {
    /// Waits for a head and takes it apart.
    #[inline]
    pub(super) fn head(&mut self, io: &mut Io<'_>, cx: &mut Cx<'_>) -> Step {
        if io.input.is_empty() {
            return self.wait_for_head(0, io, cx);
        }
        if io.output.room() == 0 {
            return Step::Wait(Want::NOTHING);
        }
        if let Phase::Head { seen, .. } = self.phase
            && !has_news(io.input.bytes(), seen as usize)
            && !io.ended
        {
            return self.wait_for_head(io.input.bytes().len(), io, cx);
        }
        let Io { input, output, ends, .. } = io;
        let number = cx.handle.number();
        let mut lines = cx.shared.http.recent.take(number);
        let step = match head::parse(input.bytes(), &mut lines) {
            // Not moved: it is large.
            Ok(Some(ref head)) => {
                let length = head.length;
                self.requests = self.requests.wrapping_add(1);
                self.more = head.persistent;
                log::trace!("#{number}.{} {} {:?}", self.requests, head.method_name, head.raw_target.escape_ascii());
                let mut out = Out::new(output, *ends);
                self.begin(head, &mut out, cx);
                input.consume(length);
                Step::Again
            }
            Ok(None) => {
                let seen = input.bytes().len();
                self.wait_for_head(seen, io, cx)
            }
            Err(reject) => {
                self.requests = self.requests.wrapping_add(1);
                let mut out = Out::new(output, *ends);
                self.refuse_unparsed(input.bytes(), reject, &mut out, cx);
                Step::Again
            }
        };
        cx.shared.http.recent.put(number, lines);
        step
    }

    /// There is no whole head: `seen` octets of one.
    pub(super) fn wait_for_head(&mut self, seen: usize, io: &mut Io<'_>, cx: &mut Cx<'_>) -> Step {
        let limits = &cx.shared.http.limits;
        let deadline = match self.phase {
            Phase::Head { deadline, .. } => deadline,
            Phase::Idle { since } if seen == 0 => since.after(limits.idle_timeout),
            _ => cx.time.now.after(limits.header_timeout),
        };
        if io.ended || (seen == 0 && cx.draining && !io.unread) {
            self.enter(Phase::Closing(Finish::Close), cx);
            return Step::Again;
        }
        if cx.time.now >= deadline {
            if seen == 0 {
                self.enter(Phase::Closing(Finish::Close), cx);
            } else {
                self.requests = self.requests.wrapping_add(1);
                let reject = Reject::new(Status::REQUEST_TIMEOUT, "the head of the request came too slowly");
                let Io { input, output, ends, .. } = io;
                let mut out = Out::new(output, *ends);
                self.refuse_unparsed(input.bytes(), reject, &mut out, cx);
            }
            return Step::Again;
        }
        if seen > 0 {
            let next = Phase::Head { deadline, seen: seen as u32 };
            if matches!(self.phase, Phase::Head { .. }) {
                self.phase = next;
            } else {
                self.enter(next, cx);
            }
        }
        Step::Wait(Want::READ.by(deadline))
    }

    /// A head is whole: answers it, or makes ready for its body.
    #[inline]
    pub(super) fn begin(&mut self, head: &RequestHead<'_>, out: &mut Out<'_, '_>, cx: &mut Cx<'_>) {
        if head.framing == Framing::None {
            self.respond(head, b"", head.persistent, out, cx);
            return;
        }
        self.begin_body(head, out, cx);
    }

    pub(super) fn begin_body(&mut self, head: &RequestHead<'_>, out: &mut Out<'_, '_>, cx: &mut Cx<'_>) {
        let wanted = matches!(self.route(head, out.ends, cx), Route::App(_))
            && head.expect != Expect::Unknown
            && !self.lacks_credentials(head, cx);
        let limit = if wanted { cx.shared.http.limits.body } else { limits::DRAIN };
        if matches!(head.framing, Framing::Length(octets) if octets > limit) {
            self.more = true;
            if wanted {
                self.refuse(head, too_large(), false, out, cx);
            } else {
                self.respond(head, b"", false, out, cx);
            }
            return;
        }
        if head.expect != Expect::Nothing {
            if !wanted {
                // The client waits for a word before it sends its body, and gets
                // another one; whether the body still comes nobody knows.
                self.more = true;
                self.respond(head, b"", false, out, cx);
                return;
            }
            response::status_line(out.output.buffer(), Status::CONTINUE);
            out.output.write(b"\r\n");
        }
        let collecting = Collecting {
            head: head.raw.to_vec(),
            reader: BodyReader::new(head.framing),
            content: Vec::new(),
            read: 0,
            limit,
            wanted,
            pace: Pace::start(cx.time.now),
        };
        self.enter(Phase::Body(Box::new(collecting)), cx);
    }

    /// Reads a body.
    pub(super) fn body(&mut self, io: &mut Io<'_>, cx: &mut Cx<'_>) -> Step {
        let Phase::Body(collecting) = &mut self.phase else { return Step::Again };
        let timeout = cx.shared.http.limits.body_timeout;
        let failure = loop {
            if collecting.reader.is_done() {
                break None;
            }
            match collecting.reader.read(io.input.bytes()) {
                Err(reject) => break Some((reject, true)),
                Ok(progress) if progress.consumed == 0 => {
                    if io.ended {
                        break Some((Reject::bad_request("the body ended before its end"), true));
                    }
                    let deadline = collecting.pace.deadline(timeout);
                    if cx.time.now >= deadline {
                        let late = Reject::new(Status::REQUEST_TIMEOUT, "the body of the request came too slowly");
                        break Some((late, true));
                    }
                    return Step::Wait(Want::READ.by(deadline));
                }
                Ok(progress) => {
                    collecting.read += progress.content.len() as u64;
                    if collecting.read > collecting.limit {
                        break Some((too_large(), collecting.wanted));
                    }
                    if collecting.wanted {
                        collecting.content.extend_from_slice(&io.input.bytes()[progress.content]);
                    }
                    collecting.pace.moved(cx.time.now, progress.consumed as u64, timeout);
                    io.input.consume(progress.consumed);
                }
            }
        };
        let Phase::Body(collecting) = self.take_phase(cx) else { return Step::Again };
        let mut lines = Lines::default();
        let head = head::parse_again(&collecting.head, &mut lines);
        let mut out = Out::new(io.output, io.ends);
        self.more |= failure.is_some();
        match failure {
            None => self.respond(&head, &collecting.content, head.persistent, &mut out, cx),
            Some((reject, true)) => self.refuse(&head, reject, false, &mut out, cx),
            // Nobody wanted it, and it is too much to be read for nothing.
            Some((_, false)) => self.respond(&head, b"", false, &mut out, cx),
        }
        Step::Again
    }
}

fn too_large() -> Reject {
    Reject::new(Status::CONTENT_TOO_LARGE, "the body of the request is too large")
}
