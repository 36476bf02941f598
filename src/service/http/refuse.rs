//! Errors as answers: the site's own page for them, or ours.

use super::access::{self, Asked};
use super::{Cx, Http, Out};
use crate::http::head::{Method, RequestHead};
use crate::http::response::Manner;
use crate::http::{Fields, Reject, Status, negotiate};
use crate::service::Kind;

impl Http {
    /// Answers with an error.
    pub(super) fn refuse(
        &mut self,
        head: &RequestHead<'_>,
        reject: Reject,
        persistent: bool,
        out: &mut Out<'_, '_>,
        cx: &mut Cx<'_>,
    ) {
        self.refuse_with(head, reject, b"", persistent, out, cx);
    }

    /// Answers with an error and further field lines.
    pub(super) fn refuse_with(
        &mut self,
        head: &RequestHead<'_>,
        reject: Reject,
        lines: &[u8],
        persistent: bool,
        out: &mut Out<'_, '_>,
        cx: &mut Cx<'_>,
    ) {
        let manner = Manner { minor: head.minor, head_only: head.method == Method::Head, persistent };
        let html = !head.present.accept || negotiate::accepts_html(&head.fields);
        let body = self.write_error(reject, lines, html, manner, out, cx);
        self.finish(head, reject.status, body, persistent, out, cx);
    }

    /// Answers what couldn't be understood, and closes.
    pub(super) fn refuse_unparsed(&mut self, input: &[u8], reject: Reject, out: &mut Out<'_, '_>, cx: &mut Cx<'_>) {
        // As far as it can be understood: no content in answer to HEAD.
        let head_only = input.strip_prefix(b"\r\n").unwrap_or(input).starts_with(b"HEAD ");
        let manner = Manner { minor: 1, head_only, persistent: false };
        let body = self.write_error(reject, b"", true, manner, out, cx);
        if cx.shared.http.access.enabled {
            let account = out.account(reject.status, body, self.requests);
            let asked = Asked::new(access::first_line(input), Fields::default(), &account, &cx.shared.http.proxies);
            access::write(&asked, &account, cx);
        }
        self.more = true;
        self.proceed(false, cx);
    }

    /// Writes an error: the site's own page for it, or ours. Says how long its body is.
    pub(super) fn write_error(
        &self,
        reject: Reject,
        lines: &[u8],
        html: bool,
        manner: Manner,
        out: &mut Out<'_, '_>,
        cx: &mut Cx<'_>,
    ) -> u64 {
        /// Long enough for a peak to pass, short enough to be waited for.
        const RETRY_AFTER: &[u8] = b"Retry-After: 5\r\n";
        let http = &mut cx.shared.http;
        let lines = if reject.status == Status::SERVICE_UNAVAILABLE { RETRY_AFTER } else { lines };
        if let (true, Some(site)) = (html && self.kind == Kind::Http, &mut http.site) {
            let page = site.serve_error(reject.status, lines, manner, &http.stamp, cx.time.now, out.output);
            if let Some(answered) = page {
                return answered.body;
            }
        }
        let page = http.errors.get(reject, html, &http.stamp);
        page.write(out.output.buffer(), lines, manner, &http.stamp, (cx.handle.number(), self.requests))
    }
}
