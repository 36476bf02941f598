//! Who may pass: a step before a request goes where it goes.
//!
//! A path under protection ([`Guard`](crate::auth::Guard)) needs credentials. What
//! must be found out about them is a job, for which the exchange waits in a phase
//! of its own; then it goes on as if nothing had been.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::phase::{Checking, Phase};
use super::{Cx, Http, Out, Step};
use crate::auth::guard::{Access, Refusal};
use crate::auth::{Check, Checked};
use crate::http::Lines;
use crate::http::head::{self, RequestHead};
use crate::http::{Reject, Status, basic, cache_control};
use crate::limits;
use crate::reactor::{Io, Want};
use crate::service::Message;

impl Http {
    /// Whether a request may pass. If not, it is answered, or waits until that is
    /// known.
    #[inline]
    pub(super) fn admit(
        &mut self,
        head: &RequestHead<'_>,
        body: &[u8],
        persistent: bool,
        out: &mut Out<'_, '_>,
        cx: &mut Cx<'_>,
    ) -> bool {
        match cx.shared.http.realm(self.kind, &head.target) {
            None => true,
            Some(realm) => self.admit_into(realm, head, body, persistent, out, cx),
        }
    }

    fn admit_into(
        &mut self,
        realm: usize,
        head: &RequestHead<'_>,
        body: &[u8],
        persistent: bool,
        out: &mut Out<'_, '_>,
        cx: &mut Cx<'_>,
    ) -> bool {
        let http = &mut cx.shared.http;
        let from = http.proxies.client(out.ends.peer().map(|peer| peer.ip()), &head.fields);
        match http.guard.check(realm, &head.fields, from, cx.time.now.as_secs()) {
            Access::Allowed => return true,
            Access::Ask(check) => self.find_out(realm, check, head, body, persistent, cx),
            Access::Refused(refusal) => self.turn_away(&refusal, head, persistent, out, cx),
        }
        false
    }

    /// Has a check made, and waits.
    fn find_out(
        &mut self,
        realm: usize,
        check: Check,
        head: &RequestHead<'_>,
        body: &[u8],
        persistent: bool,
        cx: &mut Cx<'_>,
    ) {
        let ticket = self.requests;
        cx.run(move || {
            let checked = catch_unwind(AssertUnwindSafe(|| check.run()));
            Message::Checked { ticket, checked: checked.ok() }
        });
        let checking = Checking {
            head: head.raw.to_vec(),
            body: body.into(),
            realm,
            persistent,
            deadline: cx.time.now.after(limits::JOB_TIMEOUT),
            checked: None,
        };
        self.enter(Phase::Checking(Box::new(checking)), cx);
    }

    /// A check of this connection is made; nothing came of it if it panicked.
    pub fn deliver_check(&mut self, ticket: u32, checked: Option<Checked>) {
        if let Phase::Checking(checking) = &mut self.phase
            && ticket == self.requests
        {
            checking.checked = Some(checked);
        }
    }

    /// Waits for a check.
    pub(super) fn checking(&mut self, io: &mut Io<'_>, cx: &mut Cx<'_>) -> Step {
        let Phase::Checking(checking) = &self.phase else { return Step::Again };
        if checking.checked.is_none() && cx.time.now < checking.deadline {
            return Step::Wait(Want::NOTHING.by(checking.deadline));
        }
        let Phase::Checking(checking) = self.take_phase(cx) else { return Step::Again };
        let mut lines = Lines::default();
        let head = head::parse_again(&checking.head, &mut lines);
        let mut out = Out::new(io.output, io.ends);
        let admitted = match checking.checked {
            Some(Some(checked)) => cx.shared.http.guard.settle(checking.realm, &checked, cx.time.now.as_secs()),
            // It panicked, or took too long.
            Some(None) | None => Err(Refusal::Busy),
        };
        let persistent = checking.persistent && !cx.draining;
        match admitted {
            Ok(()) => self.serve(&head, &checking.body, persistent, &mut out, cx),
            Err(refusal) => self.turn_away(&refusal, &head, persistent, &mut out, cx),
        }
        Step::Again
    }

    /// Answers a request that may not pass.
    fn turn_away(
        &mut self,
        refusal: &Refusal,
        head: &RequestHead<'_>,
        persistent: bool,
        out: &mut Out<'_, '_>,
        cx: &mut Cx<'_>,
    ) {
        let (status, why, lines) = match refusal {
            Refusal::Unauthorized(challenge) => {
                let why = "a name and a password are needed here, and they must be right";
                (Status::UNAUTHORIZED, why, [b"WWW-Authenticate: ", &**challenge, b"\r\n"].concat())
            }
            Refusal::Closed => (Status::FORBIDDEN, "these pages are closed: no password file opens them", Vec::new()),
            Refusal::TooMany(wait) => {
                let lines = format!("Retry-After: {wait}\r\n").into_bytes();
                (Status::TOO_MANY_REQUESTS, "there were too many wrong passwords", lines)
            }
            Refusal::Busy => (Status::SERVICE_UNAVAILABLE, "too many passwords are being checked", Vec::new()),
        };
        self.refuse_with(head, Reject::new(status, why), &lines, persistent, out, cx);
    }
}

impl Http {
    /// Keeps the answer that was begun in `out` away from shared caches, if it is to a
    /// request for what is under protection.
    #[inline]
    pub(super) fn seal(&self, head: &RequestHead<'_>, out: &mut Out<'_, '_>, cx: &mut Cx<'_>) {
        if cx.shared.http.realm(self.kind, &head.target).is_some() {
            out.protected = true;
            let edit = cache_control::keep_private(&out.output.buffer()[out.start..]);
            if let Some((range, text)) = edit {
                out.output.replace(out.start + range.start..out.start + range.end, &text);
            }
        }
    }

    /// Whether a request can't pass whatever its body is, so that nobody needs that.
    pub(super) fn lacks_credentials(&self, head: &RequestHead<'_>, cx: &mut Cx<'_>) -> bool {
        cx.shared.http.realm(self.kind, &head.target).is_some() && basic::credentials(&head.fields).is_none()
    }
}
