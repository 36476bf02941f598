//! Content codings of responses: whether a response gets one, and what makes it.
//!
//! The decision is a function of the head ([`compressing`]). Content that is small and all there is
//! compressed at once, so that its length is known; other content piece by piece, if there is an
//! encoder left.

use std::borrow::Cow;

use super::encoders::{Coder, cost};
use super::exchange::{Exchange, Turn};
use super::rejects::BUSY;
use crate::compression::{self, compress};
use crate::http::compressible::CompressionRules;
use crate::http::compressing::{self, Change, Decision, Traits};
use crate::http::content_coding::CodingChoice;
use crate::http::head::{Method, RequestHead};
use crate::http::response::Length;
use crate::http::{Reject, Status};

/// Nothing that the client accepts can be sent.
const NOT_ACCEPTABLE: Reject = Reject::new(Status::NOT_ACCEPTABLE, "no content coding of this response is acceptable");

/// How the content of a response is sent.
pub(super) struct Coding<'a> {
    decision: Decision,
    traits: Traits<'a>,
    rules: &'a CompressionRules,
    request: &'a RequestHead<'a>,
    /// The content comes in pieces, and this codes them.
    pub(super) coder: Option<Box<Coder>>,
    /// There is no encoder left for it.
    lacks_encoder: bool,
}

impl<'a> Coding<'a> {
    /// Decides about a response of this length.
    pub(super) fn decide(exchange: &'a Exchange<'a>, traits: Traits<'a>, length: Length) -> Self {
        let (rules, request) = (&*exchange.rules().rules.compression, exchange.head);
        let decision = compressing::decide(rules, request, &traits, length);
        Self { decision, traits, rules, request, coder: None, lacks_encoder: false }
    }

    /// For content that comes in pieces: it is sent as it is if there is no encoder left.
    pub(super) fn in_pieces(mut self, turn: &Turn<'_, '_>) -> Self {
        if self.is_coded() && self.request.method != Method::Head {
            let encoders = &turn.cx.shared.http.encoders;
            self.coder = self.coding().and_then(|coding| encoders.take(coding, self.rules.level));
            self.lacks_encoder = self.coder.is_none();
            if self.lacks_encoder {
                let accepts = self.request.codings.accepts_identity();
                self.decision.choice = if accepts { CodingChoice::Identity } else { CodingChoice::NotAcceptable };
            }
        }
        self
    }

    /// The error that the client gets in place of a response that it refuses: 406, or 503 if it would
    /// accept it in a coding for which there is no encoder left. A request that may have changed something
    /// gets its response, acceptable or not; so do errors.
    pub(super) fn refusal(&self) -> Option<Reject> {
        let is_safe = matches!(self.request.method, Method::Get | Method::Head);
        let is_refused = self.decision.choice == CodingChoice::NotAcceptable && is_safe && self.traits.is_success();
        is_refused.then_some(if self.lacks_encoder { BUSY } else { NOT_ACCEPTABLE })
    }

    /// Whether the content gets a coding.
    fn is_coded(&self) -> bool {
        self.decision.coding().is_some()
    }

    /// The coding that the content gets.
    fn coding(&self) -> Option<compression::Coding> {
        self.decision.coding().and_then(|coding| compression::Coding::of_name(coding.name()))
    }

    /// Compresses content that is all there; none if it is sent as it is.
    pub(super) fn at_once(&self, content: &[u8], turn: &mut Turn<'_, '_>) -> Option<Vec<u8>> {
        let coded = compress(self.coding()?, content, self.rules.level);
        turn.cx.work.spend(cost(self.rules.level, content.len()));
        turn.cx.shared.http.counts.coded(content.len(), coded.len());
        Some(coded)
    }

    /// The length of the content as it is sent.
    pub(super) fn length(&self, length: Length) -> Length {
        if self.is_coded() { Length::Unknown } else { length }
    }

    /// What changes in the head of a response that isn't a 304.
    pub(super) fn change(&self) -> Change {
        self.decision.change(&self.traits)
    }

    /// The fields as they are sent.
    pub(super) fn fields<'f>(
        &self,
        fields: impl Iterator<Item = (&'f [u8], Cow<'f, [u8]>)>,
    ) -> impl Iterator<Item = (&'f [u8], Cow<'f, [u8]>)>
    where
        'a: 'f,
    {
        compressing::rewrite(self.decision, self.traits, self.request, fields)
    }
}
