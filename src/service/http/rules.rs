//! The rules of a host or a route: what they add to responses, and which requests may pass.
//!
//! The rules of a route are complete: what it leaves open was taken from the route around it when
//! the host was built. So one look-up finds all rules of a request.

use std::rc::Rc;
use std::time::Duration;

use crate::http::address_blocks::AddressBlocks;
use crate::http::compressible::CompressionRules;
use crate::http::compressing;
use crate::http::cors::Cors;
use crate::http::rate::Rate;
use crate::http::response::{Policy, written_fields};
use crate::limits;

/// The rules of a host or a route.
pub struct Rules {
    /// Field lines of all responses.
    pub lines: Vec<u8>,
    /// Names of fields, in lower case, that handlers don't write.
    pub replaced: Vec<String>,
    /// The Cache-Control of files, in place of that of the host.
    pub cache_control: Option<String>,
    /// How long browsers that came by HTTPS shall use nothing else. In plain text the field is
    /// not allowed (RFC 6797 §7.2).
    pub hsts: Option<Duration>,
    /// Which pages of other origins may read responses.
    pub cors: Option<Cors>,
    /// The methods that are allowed, besides OPTIONS; none: those of the handler.
    pub methods: Option<Vec<String>>,
    /// Largest request body that an application gets, in bytes.
    pub body_limit: u64,
    /// The addresses of clients that are allowed; empty: all.
    pub allow: AddressBlocks,
    /// The addresses of clients that are refused, also if they are allowed.
    pub deny: AddressBlocks,
    /// Most requests of an address, and a number that tells this limit from others.
    pub rate: Option<(Rate, u64)>,
    /// Requests get a line in the access log.
    pub log: bool,
    /// How responses are compressed.
    pub compression: Rc<CompressionRules>,
}

impl Default for Rules {
    /// All requests may pass, and responses have the Server field.
    fn default() -> Self {
        Self {
            lines: b"Server: miod\r\n".to_vec(),
            replaced: Vec::new(),
            cache_control: None,
            hsts: None,
            cors: None,
            methods: None,
            body_limit: limits::BODY,
            allow: AddressBlocks::default(),
            deny: AddressBlocks::default(),
            rate: None,
            log: true,
            compression: Rc::default(),
        }
    }
}

/// Rules as exchanges use them.
pub(super) struct RuleSet {
    pub(super) rules: Rules,
    /// A rule may refuse requests or answer them.
    pub(super) may_answer: bool,
    /// The policies of public responses and of those behind a password, in plain text and over
    /// TLS.
    policies: [Policy; 4],
}

impl RuleSet {
    /// The rules with this number in their host.
    pub(super) fn new(number: u16, mut rules: Rules) -> Self {
        if forbids_transforms(&rules.lines) {
            rules.compression = Rc::default();
        }
        let hsts = rules.hsts.map(|span| format!("Strict-Transport-Security: max-age={}\r\n", span.as_secs()));
        let policy = |private: bool, secure: bool| Policy {
            id: 2 * number + u16::from(private),
            lines: rules.lines.as_slice().into(),
            further: hsts.as_deref().filter(|_| secure).unwrap_or_default().as_bytes().into(),
            private,
            replaced: rules.replaced.iter().map(|name| name.as_str().into()).collect(),
            cache_control: rules.cache_control.as_deref().map(Box::from),
            compression: Rc::clone(&rules.compression),
        };
        let policies = [policy(false, false), policy(true, false), policy(false, true), policy(true, true)];
        let may_answer = rules.rate.is_some()
            || rules.cors.is_some()
            || rules.methods.is_some()
            || !rules.allow.is_empty()
            || !rules.deny.is_empty();
        Self { rules, may_answer, policies }
    }

    /// The policy of a protected path, or of any other; over TLS, or not.
    pub(super) fn policy(&self, protected: bool, secure: bool) -> &Policy {
        &self.policies[usize::from(protected) + 2 * usize::from(secure)]
    }
}

/// Whether one of these field lines says that nobody may change the content.
fn forbids_transforms(lines: &[u8]) -> bool {
    let mut fields = written_fields(lines);
    fields.any(|(name, value)| name.eq_ignore_ascii_case(b"cache-control") && compressing::forbids_transforms(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_prebuilt_in_plain_text_is_used_over_tls() {
        let rules = || Rules { hsts: Some(Duration::from_secs(1)), ..Rules::default() };
        let [first, second] = [0, 1].map(|number| RuleSet::new(number, rules()));
        for protected in [false, true] {
            let [plain, secure] = [false, true].map(|secure| first.policy(protected, secure));
            assert_eq!((plain.id, &plain.lines, plain.private), (secure.id, &secure.lines, secure.private));
            assert_ne!(plain.further, secure.further);
            assert_ne!(plain.id, second.policy(protected, false).id);
        }
        assert_ne!(first.policy(false, true).id, first.policy(true, true).id);
    }
}
