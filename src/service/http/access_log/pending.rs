//! A response that is sent over several turns: what its line needs of the request is kept.

use std::net::IpAddr;

use super::{Details, RequestSummary, ResponseSummary, write};
use crate::reactor::Tick;
use crate::service::http::Cx;

/// An absent text. No text can be the same, since fields have no control characters.
const ABSENT: &[u8] = b"\0";

/// The line of a response that is sent over several turns, written when it ends.
pub(in crate::service::http) struct PendingEntry {
    /// The texts of the [`RequestSummary`], separated by a line feed: only the last can
    /// contain one.
    texts: Box<[u8]>,
    client: Option<IpAddr>,
    /// The last of the texts is a user name.
    named: bool,
    /// Details other than texts.
    details: Option<Details<'static>>,
    began: Tick,
    response: ResponseSummary,
}

impl PendingEntry {
    /// The line for a response to a request that began at `began`.
    pub(in crate::service::http) fn new(request: &RequestSummary<'_>, response: ResponseSummary, began: Tick) -> Self {
        let RequestSummary { line, client, user, referer, agent, details } = request;
        let host = details.and_then(|details| details.host);
        let request_id = details.and_then(|details| details.request_id);
        let details = details.map(|details| Details { host: None, request_id: None, ..details });
        let [referer, agent, host, id] = [*referer, *agent, host, request_id].map(|text| text.unwrap_or(ABSENT));
        let name = user.as_deref().unwrap_or_default().as_bytes();
        let texts = [*line, referer, agent, host, id, name].join(&b'\n').into_boxed_slice();
        Self { texts, client: *client, named: user.is_some(), details, began, response }
    }

    /// Bytes of memory.
    pub(in crate::service::http) fn memory(&self) -> usize {
        size_of::<Self>() + self.texts.len()
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
        let mut texts = self.texts.splitn(6, |&byte| byte == b'\n');
        let line = texts.next().unwrap_or_default();
        let [referer, agent, host, request_id] = [(); 4].map(|()| texts.next().filter(|&text| text != ABSENT));
        let user = texts.next().filter(|_| self.named).map(String::from_utf8_lossy);
        let details = self.details.map(|details| Details { host, request_id, ..details });
        write(&RequestSummary { line, client: self.client, user, referer, agent, details }, &self.response, cx);
    }
}
