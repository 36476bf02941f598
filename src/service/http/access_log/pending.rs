//! A response that is sent over several turns: what its line needs of the request is kept.

use std::net::IpAddr;

use super::{Details, Phases, RequestSummary, ResponseSummary, write};
use crate::files::CacheResult;
use crate::logging::HostLog;
use crate::reactor::Tick;
use crate::service::Cx;

/// An absent text. No text can be the same, since fields have no control characters.
const ABSENT: &[u8] = b"\0";

/// What of the [`Details`] is no text. In a box, since the other formats don't have it.
#[derive(Clone, Copy)]
struct Facts {
    secure: bool,
    cache: Option<CacheResult>,
    phases: Phases,
}

/// The line of a response that is sent over several turns, written when it ends.
pub(in crate::service::http) struct PendingEntry {
    /// Where it is written, if the host has a log of its own.
    log: Option<HostLog>,
    /// The texts of the [`RequestSummary`], separated by a line feed: only the last can
    /// contain one.
    texts: Box<[u8]>,
    client: Option<IpAddr>,
    /// The last of the texts is a user name.
    named: bool,
    /// What of the [`Details`] is no text, if there are any.
    details: Option<Box<Facts>>,
    began: Tick,
    response: ResponseSummary,
}

impl PendingEntry {
    /// The line for a response to a request that began at `began`.
    pub(in crate::service::http) fn new(
        log: Option<HostLog>,
        request: &RequestSummary<'_>,
        response: ResponseSummary,
        began: Tick,
    ) -> Self {
        let RequestSummary { line, client, user, referer, agent, details } = request;
        // Without details their texts are empty.
        let [host, id, version, cipher, route, upstream] = details.map_or([Some(&b""[..]); 6], |details| {
            let tls = details.tls.map(|texts| texts.map(str::as_bytes));
            let [version, cipher] = [0, 1].map(|at| tls.map(|texts| texts[at]));
            [details.host, details.request_id, version, cipher, details.route, details.upstream]
        });
        let user_name = user.as_deref().unwrap_or_default().as_bytes();
        let texts = [Some(*line), *referer, *agent, host, id, version, cipher, route, upstream, Some(user_name)];
        let texts = texts.map(|text| text.unwrap_or(ABSENT)).join(&b'\n').into_boxed_slice();
        let details = details.map(|&Details { secure, cache, phases, .. }| Box::new(Facts { secure, cache, phases }));
        Self { log, texts, client: *client, named: user.is_some(), details, began, response }
    }

    /// Bytes of memory.
    pub(in crate::service::http) fn memory(&self) -> usize {
        size_of::<Self>() + self.texts.len() + self.details.as_ref().map_or(0, |_| size_of::<Facts>())
    }

    /// Counts bytes that were added to the response: of the body, and in total.
    pub(in crate::service::http) fn add(&mut self, body: u64, bytes: u64) {
        self.response.body += body;
        self.response.bytes += bytes;
    }

    /// The response ended, `unsent` bytes short.
    pub(in crate::service::http) fn end(&mut self, unsent: u64, cx: &mut Cx<'_>) {
        self.response.body = self.response.body.saturating_sub(unsent);
        self.response.bytes = self.response.bytes.saturating_sub(unsent);
        self.response.duration = cx.time.now.since(self.began);
        let mut texts = self.texts.splitn(10, |&byte| byte == b'\n');
        let line = texts.next().unwrap_or_default();
        let [referer, agent, host, request_id, version, cipher, route, upstream] =
            [(); 8].map(|()| texts.next().filter(|&text| text != ABSENT));
        let user = texts.next().filter(|_| self.named).map(String::from_utf8_lossy);
        let text = |text: Option<_>| std::str::from_utf8(text?).ok();
        let tls = text(version).zip(text(cipher)).map(<[_; 2]>::from);
        let details = self.details.as_deref().map(|&Facts { secure, cache, phases }| {
            let phases = Phases { send: Some(self.response.duration.saturating_sub(phases.wait)), ..phases };
            Details { host, request_id, secure, tls, route, cache, upstream, phases }
        });
        let details = details.as_ref();
        let request = RequestSummary { line, client: self.client, user, referer, agent, details };
        write(self.log.as_ref(), &request, &self.response, cx);
    }
}
