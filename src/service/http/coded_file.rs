//! Sends a file to a client that accepts it in none of its forms, but in a coding that is made here.
//!
//! It is compressed as it is sent, like content of an application. So nobody waits until a form is made,
//! and what isn't kept in memory or isn't worth compressing can be sent, too. Its entity-tag is weak
//! then, its length isn't known before, and it has no ranges.

use std::borrow::Cow;

use super::coding::Coding;
use super::exchange::{Exchange, Turn};
use super::respond::{self, begin, complete, refuse, refuse_with};
use super::sending::{Content, Sending};
use super::state::{Progress, State};
use crate::app::Body;
use crate::files::{PRECONDITION_FAILED, PlainContent, PlainFile};
use crate::http::Status;
use crate::http::caching::is_sent_with_304;
use crate::http::compressing::{Traits, VARY, weak};
use crate::http::conditional::{Evaluation, Validators, evaluate};
use crate::http::response::{BodyForm, Length, written_fields};

/// Sends the file in a coding.
pub(super) fn respond(exchange: &Exchange<'_>, file: PlainFile, turn: &mut Turn<'_, '_>) -> Progress {
    turn.cache = Some(file.cache);
    let traits = Traits::of(Status::OK, written_fields(&file.lines));
    let decide = |traits| Coding::decide(exchange, traits, Length::Known(file.size));
    let coding = decide(traits);
    if let Some(reject) = coding.refusal() {
        return refuse_with(exchange, reject, VARY, turn);
    }
    match preconditions(exchange, &file, turn) {
        Evaluation::Proceed => {}
        Evaluation::NotModified => {
            let status = Status::NOT_MODIFIED;
            let fields = written_fields(&file.lines).filter(|(name, _)| is_sent_with_304(name));
            let coding = decide(traits.answered(status));
            let fields = coding.fields(fields.map(|(name, value)| (name, Cow::from(value))));
            let (_, persistent) = begin(exchange, status, fields, Length::Unknown, turn);
            return complete(exchange, status, 0, persistent, turn);
        }
        Evaluation::Failed => return refuse(exchange, PRECONDITION_FAILED, turn),
    }
    let mut coding = coding.in_pieces(turn);
    if let Some(reject) = coding.refusal() {
        return refuse_with(exchange, reject, VARY, turn);
    }
    let coder = coding.coder.take();
    let length = coding.length(Length::Known(file.size));
    let fields = coding.fields(written_fields(&file.lines).map(|(name, value)| (name, Cow::from(value))));
    let (form, persistent) = begin(exchange, Status::OK, fields, length, turn);
    if form == BodyForm::Absent {
        return complete(exchange, Status::OK, 0, persistent, turn);
    }
    let content = match file.content {
        PlainContent::Memory(bytes) => Content::Made(Body::Bytes(bytes.into())),
        PlainContent::File(slice) => Content::File(slice),
    };
    let body = respond::begin_body(exchange, Status::OK, form, turn).with(coder);
    Progress::Pending(State::Sending(Box::new(Sending { content, written: 0, persistent, body })))
}

/// The preconditions of the request, for the file as it is sent.
fn preconditions(exchange: &Exchange<'_>, file: &PlainFile, turn: &Turn<'_, '_>) -> Evaluation {
    let own = written_fields(&file.lines).find(|(name, _)| name.eq_ignore_ascii_case(b"etag"));
    let etag = own.map(|(_, value)| weak(Cow::from(value))).unwrap_or_default();
    let validators = Validators { etag: &etag, modified: file.modified };
    evaluate(true, &exchange.head.fields, Some(&validators), turn.cx.time.unix_seconds)
}
