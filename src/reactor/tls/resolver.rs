//! The certificates of a server, and which one a client gets.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::InconsistentKeys;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::failure::TlsSettingsError;
use super::provider;

/// A certificate with its key.
#[derive(Debug)]
pub struct TlsIdentity {
    /// The certificate, and those between it and the authority.
    pub chain: Vec<CertificateDer<'static>>,
    /// The key of the first one.
    pub key: PrivateKeyDer<'static>,
    /// The names that it is for: `example.org`, `*.example.org`, in lower case.
    pub names: Vec<String>,
}

/// Chooses the certificate for the name that a client asks for.
#[derive(Debug)]
pub(super) struct Resolver {
    identities: Vec<(Vec<String>, Arc<CertifiedKey>)>,
    /// The first certificate with a name, by that name.
    by_name: HashMap<String, usize>,
    /// The name that the client asked for whose hello was processed last. The unbuffered
    /// interface doesn't tell it, so the connection takes it from here at once.
    asked: Mutex<Option<Box<str>>>,
}

impl Resolver {
    pub(super) fn new(identities: Vec<TlsIdentity>) -> Result<Self, TlsSettingsError> {
        let provider = provider();
        let mut certified = Vec::new();
        for (number, TlsIdentity { chain, key, names }) in identities.into_iter().enumerate() {
            let unusable = |error: rustls::Error| TlsSettingsError::Unusable(number, error.to_string());
            let key = CertifiedKey::from_der(chain, key, &provider).map_err(|error| match error {
                rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => TlsSettingsError::KeyMismatch(number),
                other => unusable(other),
            })?;
            certified.push((names, Arc::new(key)));
        }
        if certified.is_empty() {
            return Err(TlsSettingsError::NoCertificate);
        }
        Ok(Self { by_name: by_name(&certified), identities: certified, asked: Mutex::new(None) })
    }

    /// The name of the hello that was processed last, once.
    pub(super) fn take_asked(&self) -> Option<Box<str>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The number of the first certificate that is for a name.
    fn find(&self, name: &str) -> Option<usize> {
        find(&self.by_name, name)
    }

    /// See [`TlsAcceptor::is_for`](super::TlsAcceptor::is_for).
    pub(super) fn is_for(&self, asked: Option<&str>, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        let given = asked.and_then(|asked| self.find(asked)).unwrap_or_default();
        let is_good = self.identities.get(given).is_some_and(|(names, _)| is_for(names, &host));
        is_good || (asked.is_none() && self.find(&host).is_none())
    }
}

/// The number of the first certificate with a name, by that name.
fn by_name<T>(identities: &[(Vec<String>, T)]) -> HashMap<String, usize> {
    let mut all = HashMap::new();
    for (number, (names, _)) in identities.iter().enumerate() {
        for name in names {
            all.entry(name.clone()).or_insert(number);
        }
    }
    all
}

/// The first certificate that is for a name: by the name itself, or by its wildcard.
fn find(by_name: &HashMap<String, usize>, name: &str) -> Option<usize> {
    let wildcard = name.split_once('.').filter(|(label, _)| !label.is_empty());
    let wildcard = wildcard.and_then(|(_, parent)| by_name.get(&format!("*.{parent}")));
    by_name.get(name).filter(|_| !name.starts_with("*.")).into_iter().chain(wildcard).min().copied()
}

fn is_for(names: &[String], name: &str) -> bool {
    names.iter().any(|pattern| is_certified(pattern, name))
}

/// Whether a name of a certificate is for the name that a client asks for. A wildcard is for one
/// label (RFC 9525 §6.3). Both are in lower case.
pub fn is_certified(pattern: &str, name: &str) -> bool {
    match pattern.strip_prefix("*.") {
        Some(parent) => name.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest == parent),
        None => pattern == name,
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().map(str::to_ascii_lowercase);
        let found = name.as_ref().and_then(|name| self.find(name)).unwrap_or_default();
        let key = self.identities.get(found).map(|(_, key)| Arc::clone(key));
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = name.map(String::into_boxed_str);
        key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_finds_what_the_list_has_first() {
        let names = |names: &[&str]| (names.iter().map(ToString::to_string).collect::<Vec<_>>(), ());
        let all = [names(&["a.org", "b.a.org"]), names(&["*.a.org", "*"]), names(&["b.a.org", "c.a.org", "a.org"])];
        let table = by_name(&all);
        for name in ["a.org", "b.a.org", "c.a.org", "x.a.org", "x.b.a.org", ".a.org", "*.a.org", "org", "", "*"] {
            let expected = all.iter().position(|(names, ())| is_for(names, name));
            assert_eq!(find(&table, name), expected, "{name}");
        }
    }

    #[test]
    fn names_are_matched_as_clients_do() {
        for (pattern, name, expected) in [
            ("example.org", "example.org", true),
            ("example.org", "a.example.org", false),
            ("example.org", "", false),
            ("*.example.org", "a.example.org", true),
            ("*.example.org", "example.org", false),
            ("*.example.org", ".example.org", false),
            ("*.example.org", "a.b.example.org", false),
            ("*.example.org", "aexample.org", false),
            ("*", "org", false),
        ] {
            assert_eq!(is_certified(pattern, name), expected, "{pattern} {name}");
        }
    }
}
