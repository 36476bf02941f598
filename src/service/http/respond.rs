//! Writes responses into the output. This is the only place that writes the heads of
//! responses of applications and of the server itself, and that counts and logs complete
//! responses.

use std::borrow::Cow;

use super::access_log::{self, Details, PendingEntry, RequestSummary, ResponseSummary};
use super::body_writer::BodyWriter;
use super::coding::Coding;
use super::exchange::{Exchange, Handler, Turn};
use super::notices;
use super::sending::{Content, Sending};
use super::state::{Progress, State};
use super::tapped;
use crate::app::{Body, Response};
use crate::files::Failure;
use crate::http::basic::Asker;
use crate::http::compressing::{Traits, VARY};
use crate::http::content_coding::AcceptedCodings;
use crate::http::response::{BodyForm, HeadContext, Length, RequestTraits, ResponseHead, Stamp};
use crate::http::{Fields, Reject, Status, negotiate};
use crate::limits;
use crate::reactor::Tick;

use super::host::Host;

/// Sends the response of an application, or of the server itself.
pub(super) fn send(exchange: &Exchange<'_>, response: Response, turn: &mut Turn<'_, '_>) -> Progress {
    let Response { status, fields, body: mut content, mixes_secrets } = response;
    let mut length = match &content {
        // RFC 9110 §15.3.6: a 205 has no content.
        _ if status == Status::RESET_CONTENT => Length::Known(0),
        Body::Bytes(bytes) => Length::Known(bytes.len() as u64),
        Body::Source(_) => Length::Unknown,
    };
    let traits = Traits::of(status, fields.iter().map(|(name, value)| (*name, value.as_bytes())));
    let traits = if mixes_secrets { traits.fixed() } else { traits };
    let is_small = matches!(&content, Body::Bytes(bytes) if bytes.len() <= limits::CODED_AT_ONCE);
    let coding = Coding::decide(exchange, traits, traits.whole(length));
    let mut coding = if is_small { coding } else { coding.in_pieces(turn) };
    if let Some(reject) = coding.refusal() {
        return refuse_with(exchange, reject, VARY, turn);
    }
    if let (true, Body::Bytes(bytes)) = (is_small, &mut content)
        && let Some(coded) = coding.at_once(bytes, turn)
    {
        length = Length::Known(coded.len() as u64);
        *bytes = coded.into();
    } else {
        length = coding.length(length);
    }
    let coder = coding.coder.take();
    let fields = coding.fields(fields.iter().map(|(name, value)| (name.as_bytes(), Cow::from(value.as_bytes()))));
    let (form, persistent) = begin(exchange, status, fields, length, turn);
    if form == BodyForm::Absent || length == Length::Known(0) {
        return complete(exchange, status, 0, persistent, turn);
    }
    if let Body::Bytes(bytes) = &content
        && coder.is_none()
        && bytes.len() <= turn.output.room()
    {
        turn.output.write(bytes);
        return complete(exchange, status, bytes.len() as u64, persistent, turn);
    }
    let body = begin_body(exchange, status, form, turn).with(coder);
    Progress::Pending(State::Sending(Box::new(Sending {
        content: Content::Made(content),
        written: 0,
        persistent,
        body,
    })))
}

/// Writes a head.
pub(super) fn begin(
    exchange: &Exchange<'_>,
    status: Status,
    fields: impl IntoIterator<Item = (impl AsRef<[u8]>, impl AsRef<[u8]>)>,
    length: Length,
    turn: &mut Turn<'_, '_>,
) -> (BodyForm, bool) {
    let context = exchange.context(&turn.cx.shared.http.stamp, turn.cx.draining);
    write_fields(turn.output.buffer(), status, fields, context).end(length)
}

/// Writes a head with another date than the present one.
pub(super) fn begin_at(
    exchange: &Exchange<'_>,
    status: Status,
    fields: impl IntoIterator<Item = (impl AsRef<[u8]>, impl AsRef<[u8]>)>,
    length: Length,
    stamp: &Stamp,
    turn: &mut Turn<'_, '_>,
) -> (BodyForm, bool) {
    let context = exchange.context(stamp, turn.cx.draining);
    write_fields(turn.output.buffer(), status, fields, context).end(length)
}

/// Writes a head but for its end.
fn write_fields<'o>(
    out: &'o mut Vec<u8>,
    status: Status,
    fields: impl IntoIterator<Item = (impl AsRef<[u8]>, impl AsRef<[u8]>)>,
    context: HeadContext<'o>,
) -> ResponseHead<'o> {
    let mut head = ResponseHead::begin(out, status, context);
    for (name, value) in fields {
        head.field(name, value.as_ref());
    }
    head
}

/// Counts a response whose head is in the output, and tells the tap of it.
fn count(exchange: &Exchange<'_>, status: Status, turn: &mut Turn<'_, '_>) {
    exchange.facts.host.counts.add(exchange.head.method, status);
    if turn.cx.is_tapped() {
        tapped::response(exchange, status, turn);
    }
}

/// Handles a response that is complete in the output, with `body` bytes of content: logs it, or
/// keeps the log line until its file is sent.
pub(super) fn complete(
    exchange: &Exchange<'_>,
    status: Status,
    body: u64,
    persistent: bool,
    turn: &mut Turn<'_, '_>,
) -> Progress {
    count(exchange, status, turn);
    turn.cx.shared.http.counts.sizes.add(body);
    if turn.output.has_file() {
        let entry = pending_entry(exchange, status, body, turn);
        return Progress::Pending(State::SendingFile { persistent, began: exchange.facts.began.into(), entry });
    }
    turn.cx.shared.http.counts.ended(exchange.facts.began, turn.cx.time.now);
    if is_logged(exchange, turn) {
        let details = details(exchange, turn);
        let (request, response) = summarize(exchange, status, body, details.as_ref(), turn);
        access_log::write(exchange.facts.host.access_log.as_ref(), &request, &response, turn.cx);
    }
    Progress::Complete { persistent }
}

/// Whether the access log gets a line for an exchange.
fn is_logged(exchange: &Exchange<'_>, turn: &Turn<'_, '_>) -> bool {
    let is_enabled = turn.cx.shared.http.access.enabled || exchange.facts.host.access_log.is_some();
    is_enabled && exchange.rules().rules.log
}

/// Writes the head after which the connection is a tunnel: nothing in it is about content, nor about
/// a next request (RFC 9110 §9.3.6). Returns what counts the bytes that follow.
pub(super) fn begin_tunnel(
    exchange: &Exchange<'_>,
    status: Status,
    fields: impl IntoIterator<Item = (impl AsRef<[u8]>, impl AsRef<[u8]>)>,
    stamp: &Stamp,
    turn: &mut Turn<'_, '_>,
) -> BodyWriter {
    let context = exchange.context(stamp, turn.cx.draining);
    write_fields(turn.output.buffer(), status, fields, context).end_at_tunnel();
    begin_body(exchange, status, BodyForm::UntilClose, turn)
}

/// Begins the body of a response that takes more than one turn.
pub(super) fn begin_body(
    exchange: &Exchange<'_>,
    status: Status,
    form: BodyForm,
    turn: &mut Turn<'_, '_>,
) -> BodyWriter {
    count(exchange, status, turn);
    let entry = pending_entry(exchange, status, 0, turn);
    BodyWriter::new(form, exchange.facts.began, entry)
}

/// The line of the access log for a response that is sent over several turns.
fn pending_entry(exchange: &Exchange<'_>, status: Status, body: u64, turn: &Turn<'_, '_>) -> Option<Box<PendingEntry>> {
    is_logged(exchange, turn).then(|| {
        let details = details(exchange, turn);
        let (request, response) = summarize(exchange, status, body, details.as_ref(), turn);
        let log = exchange.facts.host.access_log.clone();
        Box::new(PendingEntry::new(log, &request, response, exchange.facts.began))
    })
}

/// What only the formats with names say.
fn details<'e>(exchange: &'e Exchange<'_>, turn: &Turn<'e, '_>) -> Option<Details<'e>> {
    turn.cx.shared.log.format().is_structured().then(|| exchange.details(turn))
}

/// What the access log says about an exchange.
fn summarize<'e>(
    exchange: &'e Exchange<'_>,
    status: Status,
    body: u64,
    details: Option<&'e Details<'e>>,
    turn: &Turn<'_, '_>,
) -> (RequestSummary<'e>, ResponseSummary) {
    let asker = exchange.facts.realm.map(|_| exchange.facts.host.asker());
    let response = response_summary(status, body, asker, exchange.facts.began, turn);
    let line = access_log::request_line(exchange.head);
    let client = exchange.client(turn.ends);
    let fields = exchange.head.fields;
    (RequestSummary::new(line, fields, client, response.asker, certificate(turn), details), response)
}

/// The certificate that the client sent, in DER.
fn certificate<'t>(turn: &Turn<'t, '_>) -> Option<&'t [u8]> {
    turn.ends.security().facts()?.certificate.as_deref()
}

fn response_summary(
    status: Status,
    body: u64,
    asker: Option<Asker>,
    began: Tick,
    turn: &Turn<'_, '_>,
) -> ResponseSummary {
    ResponseSummary {
        status,
        body,
        bytes: turn.output.since(turn.start),
        duration: turn.cx.time.now.since(began),
        peer_port: turn.ends.peer().map(|peer| peer.port()),
        local: turn.ends.local(),
        request: turn.request,
        asker,
    }
}

/// Responds with an error.
pub(super) fn refuse(exchange: &Exchange<'_>, reject: Reject, turn: &mut Turn<'_, '_>) -> Progress {
    refuse_with(exchange, reject, b"", turn)
}

/// Responds with an error and further field lines.
pub(super) fn refuse_with(exchange: &Exchange<'_>, reject: Reject, lines: &[u8], turn: &mut Turn<'_, '_>) -> Progress {
    notices::refused(exchange, reject, turn);
    let head = exchange.head;
    let html = match head.present.accept {
        true if negotiate::prefers_html(&head.fields) => Html::Preferred,
        true if !negotiate::accepts_html(&head.fields) => Html::Refused,
        _ => Html::Accepted,
    };
    // The stamp is copied, since the rest is borrowed while the page of the host is written.
    let stamp = turn.cx.shared.http.stamp.clone();
    let context = exchange.context(&stamp, turn.cx.draining);
    let lines = [lines, varies(exchange)].concat();
    let form = ErrorForm { html, codings: head.codings };
    let body = write_error(&exchange.facts.host, reject, lines, form, context, turn);
    complete(exchange, reject.status, body, context.traits.persistent, turn)
}

/// The Vary field of an error. The responses of an application that reads sessions depend on the
/// cookie, also if a rule of the server refuses the request (RFC 9110 §12.5.5).
fn varies(exchange: &Exchange<'_>) -> &'static [u8] {
    match &exchange.facts.handler {
        Handler::App(app, _) if app.reads_session() == Ok(true) => b"Vary: Cookie\r\n",
        _ => b"",
    }
}

/// Responds to input of `host` that couldn't be parsed, and whose first byte was received at
/// `began`. The connection ends with this response.
pub(super) fn refuse_unparsed(host: &Host, input: &[u8], reject: Reject, began: Tick, turn: &mut Turn<'_, '_>) {
    notices::refused_unparsed(input, reject, turn);
    // If it looks like HEAD, the response has no content.
    let head_only = input.strip_prefix(b"\r\n").unwrap_or(input).starts_with(b"HEAD ");
    let traits = RequestTraits { minor: 1, head_only, persistent: false };
    let stamp = turn.cx.shared.http.stamp.clone();
    let policy = host.rules(0).policy(false, turn.ends.security().is_tls());
    let context = HeadContext { traits, stamp: &stamp, policy, further: &policy.further };
    let body = write_error(host, reject, Vec::new(), ErrorForm::default(), context, turn);
    turn.cx.shared.http.counts.malformed += 1;
    if turn.cx.is_tapped() {
        tapped::refusal(reject.status, turn.request, turn.cx);
    }
    if turn.cx.shared.http.access.enabled || host.access_log.is_some() {
        let response = response_summary(reject.status, body, None, began, turn);
        let fields = Fields::default();
        let peer = turn.ends.peer().map(|peer| peer.ip());
        let client = turn.cx.shared.http.proxies.client(peer, &fields);
        let line = access_log::first_line(input);
        let security = turn.ends.security();
        let details = Details::new(None, &fields, security.is_tls(), security, response.duration);
        let request = RequestSummary::new(line, fields, client, None, certificate(turn), Some(&details));
        access_log::write(host.access_log.as_ref(), &request, &response, turn.cx);
    }
}

/// What the client accepts as the page of an error.
#[derive(Clone, Copy, Default)]
struct ErrorForm {
    html: Html,
    codings: AcceptedCodings,
}

/// What the Accept field says about HTML.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Html {
    /// It is not acceptable.
    Refused,
    /// It is as good as plain text, as for curl.
    #[default]
    Accepted,
    /// It is preferred, as by a browser.
    Preferred,
}

/// Writes an error: the host's own page for it, or the built-in one. The built-in page is HTML
/// only for clients that prefer it: in a terminal, plain text is easier to read. Returns the
/// length of the body.
fn write_error(
    host: &Host,
    reject: Reject,
    mut lines: Vec<u8>,
    form: ErrorForm,
    context: HeadContext<'_>,
    turn: &mut Turn<'_, '_>,
) -> u64 {
    /// Long enough for a peak to pass, and short enough for a client to wait.
    const RETRY_AFTER: &[u8] = b"Retry-After: 5\r\n";
    if reject.status == Status::SERVICE_UNAVAILABLE {
        lines.extend_from_slice(RETRY_AFTER);
    }
    let number = (turn.cx.handle.number(), turn.request);
    let ErrorForm { html, codings } = form;
    if let (true, Some(files)) = (html != Html::Refused, &host.files) {
        let failure = Failure { status: reject.status, lines: &lines, number, codings };
        let answered = files.borrow_mut().serve_error(&failure, context, turn.cx.time.now, turn.output);
        files.begin_job(turn.cx);
        if let Some(answered) = answered {
            return answered.body;
        }
    }
    let mut errors = host.errors.borrow_mut();
    let page = errors.get(reject, html == Html::Preferred);
    page.write(turn.output.buffer(), &lines, context, number)
}
