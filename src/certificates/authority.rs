//! `--tls auto`: an authority of this machine, and a server certificate signed by it.
//!
//! The authority is made once, and a user who trusts its certificate trusts all that it signs
//! from then on. So it is kept as long as it can be used. The server certificate is made
//! anew whenever it doesn't fit any more; clients don't notice.
//!
//! **Every state of the directory leads to a good one.** A lock lets one process at a time
//! look and change. Each file is replaced atomically, and keys come before their certificates. A
//! process that is killed between the two leaves a certificate that isn't of the key; the
//! next start finds that as it finds any other damage, and makes the pair anew. A new server
//! certificate takes over the key of a good pair, so that a process which reads both files
//! meanwhile gets two that fit.
//!
//! What is stored is checked as a client would: the signature by the authority's key. Key
//! identifiers are taken from the stored certificate of the authority, since another version of
//! `rcgen` may derive them otherwise.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType, SerialNumber,
};
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use rustls_pki_types::CertificateDer;

use super::error::{CertificateError, Problem};
use super::identity::{Identity, PemFiles};
use super::x509::{Certificate, Facts, iso_date};
use super::{pem, storage};

const DAY: i64 = 86_400;
/// Ten years with their leap days.
const AUTHORITY_LIFE: i64 = 3_652 * DAY;
/// Browsers refuse certificates that live longer than 397 or 398 days. The day before now, for
/// clocks that are late, is part of it.
const SERVER_LIFE: i64 = 396 * DAY;
/// A server certificate that ends sooner is made anew.
const RENEWAL: i64 = 30 * DAY;
/// Most characters of a common name (X.520).
const COMMON_NAME: usize = 64;
/// Longest DNS name.
const DNS_NAME: usize = 253;

/// The files of `--tls auto`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Auto {
    /// The server certificate and its key.
    pub files: PemFiles,
    /// The certificate of the authority, which clients must trust.
    pub authority: PathBuf,
    /// The SHA-256 of the certificate of the authority, like `AA:BB:…`.
    pub fingerprint: String,
}

/// Makes an authority and a server certificate in `directory`, or checks those that are there.
/// The certificate is for localhost, its addresses, and the given names and addresses.
///
/// # Errors
/// A name can't be in a certificate, or the directory or a file can't be used.
pub fn prepare(
    directory: &Path,
    names: &[String],
    addresses: &[IpAddr],
    now_unix: i64,
) -> Result<Auto, CertificateError> {
    let wanted = Wanted::new(names, addresses).map_err(|reason| failed(directory, reason))?;
    let _lock = storage::lock(directory)?;
    let authority = Authority::keep_or_make(directory, now_unix)?;
    let files = authority.keep_or_make_server(directory, &wanted, now_unix)?;
    Ok(Auto { files, authority: directory.join(AUTHORITY.certificate), fingerprint: authority.facts.fingerprint })
}

/// The names of two files that belong together.
struct Pair {
    certificate: &'static str,
    key: &'static str,
}

const AUTHORITY: Pair = Pair { certificate: "ca.pem", key: "ca-key.pem" };
const SERVER: Pair = Pair { certificate: "server.pem", key: "server-key.pem" };

impl Pair {
    fn files(&self, directory: &Path) -> PemFiles {
        PemFiles { certificate: directory.join(self.certificate), key: Some(directory.join(self.key)) }
    }

    /// The stored pair. `None` with a line in the log if there is none or if it is damaged. An
    /// error if it can't be read: it may be good.
    fn load(&self, directory: &Path) -> Result<Option<(Identity, KeyPair)>, CertificateError> {
        let files = self.files(directory);
        let loaded = files.load().and_then(|identity| {
            let own_key = own_key(&identity);
            let path = files.key.as_ref().unwrap_or(&files.certificate);
            Ok((identity, own_key.ok_or_else(|| CertificateError::new(path, Problem::OtherKey))?))
        });
        match loaded {
            Ok(pair) => Ok(Some(pair)),
            Err(error) if error.is_absent() => {
                log::info!("{} is made", directory.join(self.certificate).display());
                Ok(None)
            }
            Err(error) if error.is_damage() => {
                log::warn!("{error}; it is made anew");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn store(
        &self,
        directory: &Path,
        key: &KeyPair,
        is_new_key: bool,
        certificate: &[u8],
    ) -> Result<(), CertificateError> {
        if is_new_key {
            storage::replace(directory, self.key, &pem::encode("PRIVATE KEY", key.serialized_der()))?;
        }
        storage::replace(directory, self.certificate, &pem::encode("CERTIFICATE", certificate))
    }
}

/// The key, if it is that of the certificate.
fn own_key(identity: &Identity) -> Option<KeyPair> {
    let key = KeyPair::from_der_and_sign_algo(&identity.key, &PKCS_ECDSA_P256_SHA256).ok()?;
    let certificate = Certificate::read(identity.chain.first()?).ok()?;
    (certificate.public_key == key.public_key_raw()).then_some(key)
}

fn failed(path: &Path, reason: impl ToString) -> CertificateError {
    CertificateError::new(path, Problem::Failed(reason.to_string()))
}

/// An authority that can sign.
struct Authority {
    certificate: CertificateDer<'static>,
    facts: Facts,
    key: KeyPair,
}

impl Authority {
    fn keep_or_make(directory: &Path, now: i64) -> Result<Self, CertificateError> {
        let path = directory.join(AUTHORITY.certificate);
        if let Some((identity, key)) = AUTHORITY.load(directory)? {
            // If it begins later than now, the clock is wrong, not the authority.
            let ended = identity.remaining(now) < 0;
            let certificate = identity.chain.into_iter().next().ok_or_else(|| failed(&path, "it is empty"))?;
            let authority = Self { certificate, facts: identity.facts, key };
            if !ended && authority.has_signed(&authority.certificate) {
                return Ok(authority);
            }
            let reason = if ended { "has ended" } else { "is damaged" };
            log::warn!("the authority in {} {reason}; a new one is made, which clients must trust", path.display());
        }
        Self::make(directory, now)
    }

    fn make(directory: &Path, now: i64) -> Result<Self, CertificateError> {
        let path = directory.join(AUTHORITY.certificate);
        let key = KeyPair::generate().map_err(|error| failed(&path, error))?;
        let mut parameters = parameters(&authority_name(), now, now.saturating_add(AUTHORITY_LIFE));
        parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let made = serial().and_then(|serial| {
            parameters.serial_number = Some(serial);
            parameters.self_signed(&key).map_err(|error| error.to_string())
        });
        let certificate: CertificateDer<'static> = made.map_err(|error| failed(&path, error))?.into();
        let facts = Facts::read(&certificate).map_err(|error| failed(&path, error))?;
        // The old key may be that of an authority which wasn't made by miod.
        storage::set_aside(directory, AUTHORITY.key)?;
        storage::set_aside(directory, AUTHORITY.certificate)?;
        AUTHORITY.store(directory, &key, true, &certificate)?;
        log::info!("the new authority is {}, until {}", facts.subject, iso_date(facts.not_after));
        Ok(Self { certificate, facts, key })
    }

    /// Whether a certificate was signed with the authority's key, and names it as its issuer.
    fn has_signed(&self, der: &[u8]) -> bool {
        let (Ok(own), Ok(other)) = (Certificate::read(&self.certificate), Certificate::read(der)) else {
            return false;
        };
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, own.public_key);
        other.issuer == own.subject && key.verify(other.signed, other.signature).is_ok()
    }

    fn keep_or_make_server(&self, directory: &Path, wanted: &Wanted, now: i64) -> Result<PemFiles, CertificateError> {
        let path = directory.join(SERVER.certificate);
        let (key, is_new_key) = match SERVER.load(directory)? {
            Some((identity, key)) => match self.flaw(&identity, wanted, now) {
                None => return Ok(SERVER.files(directory)),
                Some(flaw) => {
                    log::info!("{} {flaw}; it is made anew", path.display());
                    (key, false)
                }
            },
            None => (KeyPair::generate().map_err(|error| failed(&path, error))?, true),
        };
        let certificate = self.sign(&key, wanted, now).map_err(|error| failed(&path, error))?;
        if !self.has_signed(&certificate) {
            // Its name has a form that miod doesn't write.
            return Err(failed(&path, "the authority in this directory wasn't made by miod"));
        }
        SERVER.store(directory, &key, is_new_key, &certificate)?;
        Ok(SERVER.files(directory))
    }

    /// Why a server certificate can't be used any more.
    fn flaw(&self, identity: &Identity, wanted: &Wanted, now: i64) -> Option<&'static str> {
        let facts = &identity.facts;
        let ends_soon = identity.remaining(now) < RENEWAL;
        // A new one can't end later than the authority.
        let can_last = self.facts.not_after > facts.not_after;
        if !identity.chain.first().is_some_and(|certificate| self.has_signed(certificate)) {
            Some("isn't signed by this authority")
        } else if facts.not_before > now {
            Some("isn't valid yet")
        } else if ends_soon && can_last {
            Some("ends soon")
        } else if !wanted.names.iter().all(|name| facts.dns_names.contains(name)) {
            Some("lacks a name")
        } else if !wanted.addresses.iter().all(|address| facts.addresses.contains(address)) {
            Some("lacks an address")
        } else {
            None
        }
    }

    fn sign(&self, key: &KeyPair, wanted: &Wanted, now: i64) -> Result<CertificateDer<'static>, String> {
        let own = Certificate::read(&self.certificate).map_err(|error| error.to_string())?;
        let mut issuer = CertificateParams::default();
        issuer.distinguished_name = rcgen::DistinguishedName::new();
        issuer.distinguished_name.push(DnType::CommonName, self.facts.common_name.as_deref().unwrap_or_default());
        let identifier = own.key_identifier.ok_or("the authority has no key identifier")?;
        issuer.key_identifier_method = KeyIdMethod::PreSpecified(identifier.to_vec());
        let issuer = Issuer::from_params(&issuer, &self.key);

        let end = now.saturating_add(SERVER_LIFE - DAY).min(self.facts.not_after);
        let mut parameters = parameters(wanted.common_name(), now, end);
        parameters.is_ca = IsCa::ExplicitNoCa;
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        parameters.use_authority_key_identifier_extension = true;
        parameters.serial_number = Some(serial()?);
        parameters.subject_alt_names = wanted.alternative_names()?;
        let certificate = parameters.signed_by(key, &issuer).map_err(|error| error.to_string())?;
        Ok(certificate.into())
    }
}

/// The parameters that all certificates have in common. They are valid from a day before now.
fn parameters(common_name: &str, now: i64, end: i64) -> CertificateParams {
    /// Times from 1970 to 9999, with four digits for the year.
    fn moment(unix_seconds: i64) -> time::OffsetDateTime {
        const LAST_SECOND: i64 = 253_402_300_799;
        let seconds = unix_seconds.clamp(0, LAST_SECOND).unsigned_abs();
        time::OffsetDateTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }
    let mut parameters = CertificateParams::default();
    parameters.not_before = moment(now.saturating_sub(DAY));
    parameters.not_after = moment(end);
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, common_name);
    parameters
}

/// A random serial number. It is positive, since its first bit isn't set, and has no zero in
/// front. Two certificates of one authority with the same number would be refused.
fn serial() -> Result<SerialNumber, String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| error.to_string())?;
    bytes[0] = bytes[0] & 0x3f | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

/// The names and addresses of a server certificate, each once.
struct Wanted {
    names: Vec<String>,
    addresses: Vec<IpAddr>,
}

impl Wanted {
    fn new(names: &[String], addresses: &[IpAddr]) -> Result<Self, String> {
        let mut wanted = Self {
            names: vec!["localhost".to_owned()],
            addresses: vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
        };
        let mut all_addresses = addresses.to_vec();
        for name in names {
            let plain = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
            match plain.parse() {
                Ok(address) => all_addresses.push(address),
                Err(_) if !is_dns_name(&plain) => return Err(format!("{name:?} is no DNS name")),
                Err(_) if wanted.names.contains(&plain) => {}
                Err(_) => wanted.names.push(plain),
            }
        }
        for address in all_addresses {
            // `0.0.0.0` is where a server listens, not where it is.
            if !address.is_unspecified() && !wanted.addresses.contains(&address) {
                wanted.addresses.push(address);
            }
        }
        Ok(wanted)
    }

    /// The first given name, if it is short enough.
    fn common_name(&self) -> &str {
        self.names.iter().skip(1).find(|name| name.len() <= COMMON_NAME).map_or("localhost", |name| name)
    }

    fn alternative_names(&self) -> Result<Vec<SanType>, String> {
        let names = self.names.iter().map(|name| {
            let name = Ia5String::try_from(name.as_str()).map_err(|error| error.to_string())?;
            Ok(SanType::DnsName(name))
        });
        names.chain(self.addresses.iter().map(|&address| Ok(SanType::IpAddress(address)))).collect()
    }
}

/// Whether it is a DNS name in lower case; its first label may be `*`.
fn is_dns_name(name: &str) -> bool {
    let is_label = |label: &str| {
        let valid = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
        (1..=63).contains(&label.len()) && label.bytes().all(valid)
    };
    name.len() <= DNS_NAME && name.strip_prefix("*.").unwrap_or(name).split('.').all(is_label)
}

/// The common name of a new authority, which tells people where it comes from.
fn authority_name() -> String {
    let user = std::env::var("USER").unwrap_or_else(|_| format!("user {}", rustix::process::getuid().as_raw()));
    bounded_name(&user, &rustix::system::uname().nodename().to_string_lossy())
}

fn bounded_name(user: &str, host: &str) -> String {
    let name = format!("miod local authority of {user}@{host}");
    let plain = |char: char| if matches!(char, ' '..='~') && char != '\\' { char } else { '?' };
    name.chars().take(COMMON_NAME).map(plain).collect::<String>().trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::scratch::Scratch;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    const NOW: i64 = 1_795_737_600;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    /// Prepares with no names and checks that the result is good.
    fn good(scratch: &Scratch, now: i64) -> (Auto, Identity) {
        good_with(scratch, &[], now)
    }

    fn good_with(scratch: &Scratch, wanted: &[&str], now: i64) -> (Auto, Identity) {
        let auto = prepare(&scratch.at("tls"), &names(wanted), &[], now).unwrap();
        let identity = auto.files.load().unwrap();
        assert!(own_key(&identity).is_some());
        let Facts { dns_names, addresses, .. } = &identity.facts;
        let all: Vec<_> = dns_names.iter().cloned().chain(addresses.iter().map(IpAddr::to_string)).collect();
        let is_for = |name: &str| all.contains(&name.trim_end_matches('.').to_ascii_lowercase());
        assert!(wanted.iter().chain(&["localhost", "127.0.0.1", "::1"]).all(|name| is_for(name)));
        let authority = super::super::load_authorities(&auto.authority).unwrap().remove(0);
        let facts = Facts::read(&authority).unwrap();
        assert_eq!(facts.fingerprint, auto.fingerprint);
        assert!(facts.not_after >= identity.facts.not_after && identity.facts.not_after >= now);
        let authority = Authority { certificate: authority, facts, key: KeyPair::generate().unwrap() };
        assert!(authority.has_signed(&identity.chain[0]) && authority.has_signed(&authority.certificate));
        (auto, identity)
    }

    #[test]
    fn what_is_made_is_kept() {
        let scratch = Scratch::new();
        let (auto, first) = good(&scratch, NOW);
        let (again, second) = good(&scratch, NOW + 300 * DAY);
        assert_eq!((auto, first.facts, first.key), (again, second.facts, second.key));
        let mode = |name: &str| fs::metadata(scratch.at(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode("tls"), 0o700);
        let mut files: Vec<_> =
            fs::read_dir(scratch.at("tls")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        files.sort();
        assert_eq!(files, ["ca-key.pem", "ca.pem", "lock", "server-key.pem", "server.pem"]);
        for file in files {
            assert_eq!(mode(&format!("tls/{}", file.display())), 0o600, "{file:?}");
        }
    }

    #[test]
    fn a_server_certificate_lives_a_year_and_is_made_anew_in_its_last_month() {
        let scratch = Scratch::new();
        let (auto, first) = good(&scratch, NOW);
        let facts = &first.facts;
        assert_eq!((facts.not_before, facts.not_after), (NOW - DAY, NOW + 395 * DAY));
        assert!(facts.not_after - facts.not_before < 397 * DAY);
        let (_, kept) = good(&scratch, NOW + 365 * DAY);
        assert_eq!(kept.facts, first.facts);
        let (again, second) = good(&scratch, NOW + 365 * DAY + 1);
        assert_eq!(second.facts.not_after, NOW + 760 * DAY + 1);
        // The authority and the key of the server stay.
        assert_eq!((again, second.key), (auto, first.key));
        // A clock that was wrong.
        assert_eq!(good(&scratch, NOW).1.facts.not_before, NOW - DAY);
    }

    #[test]
    fn a_missing_name_or_address_makes_a_new_server_certificate() {
        let scratch = Scratch::new();
        let (auto, first) = good(&scratch, NOW);
        let (_, second) = good_with(&scratch, &["Example.org.", "*.example.org", "LOCALHOST", "192.0.2.1"], NOW);
        assert_ne!(first.facts.fingerprint, second.facts.fingerprint);
        assert_eq!(second.facts.dns_names, ["localhost", "example.org", "*.example.org"]);
        assert_eq!(second.facts.common_name.as_deref(), Some("example.org"));
        // One that has more is kept.
        assert_eq!(good_with(&scratch, &["example.org"], NOW).1.facts, second.facts);
        let address: IpAddr = "2001:db8::1".parse().unwrap();
        let unspecified = Ipv4Addr::UNSPECIFIED.into();
        let last = prepare(&scratch.at("tls"), &[], &[address, unspecified, address], NOW).unwrap();
        assert_eq!(last, auto);
        let addresses = last.files.load().unwrap().facts.addresses;
        assert_eq!(addresses, [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into(), address]);
    }

    #[test]
    fn an_authority_lives_ten_years() {
        let scratch = Scratch::new();
        let (first, _) = good(&scratch, NOW);
        let end = NOW + AUTHORITY_LIFE;
        // No server certificate ends later than its authority, and the last isn't made again.
        let (auto, last) = good(&scratch, end - 10 * DAY);
        assert_eq!((&auto, last.facts.not_after), (&first, end));
        assert_eq!(good(&scratch, end - DAY).1.facts, last.facts);
        let (auto, _) = good(&scratch, end + 1);
        assert_ne!(auto.fingerprint, first.fingerprint);
        // A clock that is late doesn't replace the authority.
        assert_eq!(good(&scratch, NOW).0, auto);
    }

    #[test]
    fn extreme_times_are_no_danger() {
        for now in [0, -DAY, i64::MIN, i64::MAX, 253_402_300_799] {
            let scratch = Scratch::new();
            let _ = prepare(&scratch.at("tls"), &[], &[], now);
        }
    }

    #[test]
    fn every_damage_heals() {
        let files = ["ca.pem", "ca-key.pem", "server.pem", "server-key.pem"];
        let other = Scratch::new();
        good(&other, NOW);
        for file in files {
            let path = format!("tls/{file}");
            let good_content = fs::read_to_string(other.at(&path)).unwrap();
            let mut contents = vec![None, Some(String::new()), Some("?".to_owned()), Some(good_content.clone())];
            contents.push(Some(good_content[..good_content.len() / 2].to_owned()));
            for content in contents {
                let scratch = Scratch::new();
                let (before, _) = good(&scratch, NOW);
                match &content {
                    None => fs::remove_file(scratch.at(&path)).unwrap(),
                    Some(content) => scratch.file(&path, content),
                }
                // Left by a process that was killed while it wrote.
                scratch.file(&format!("{path}.new"), "half");
                let (after, identity) = good(&scratch, NOW);
                assert_eq!(before == after, file.starts_with("server"), "{file} {content:?}");
                assert_eq!(good(&scratch, NOW).1.facts, identity.facts);
            }
        }
    }

    #[test]
    fn a_changed_certificate_is_noticed_by_its_signature() {
        let scratch = Scratch::new();
        for (pair, name) in [(&SERVER, "server"), (&AUTHORITY, "authority")] {
            let (before, identity) = good(&scratch, NOW);
            let identity =
                if name == "server" { identity } else { AUTHORITY.files(&scratch.at("tls")).load().unwrap() };
            let mut der = identity.chain[0].to_vec();
            *der.last_mut().unwrap() ^= 1;
            scratch.file(&format!("tls/{}", pair.certificate), &pem::encode("CERTIFICATE", &der));
            let (after, _) = good(&scratch, NOW);
            assert_eq!(before == after, name == "server");
            assert_ne!(pair.files(&scratch.at("tls")).load().unwrap().chain[0], der[..].into());
        }
    }

    #[test]
    fn the_key_of_a_foreign_authority_is_set_aside() {
        let scratch = Scratch::new();
        scratch.directory("tls");
        scratch.file("tls/ca.pem", include_str!("../../tests/certificates/rsa.pem"));
        scratch.file("tls/ca-key.pem", include_str!("../../tests/certificates/rsa-key.pem"));
        good(&scratch, NOW);
        for name in ["rsa.pem", "rsa-key.pem"] {
            let kept = fs::read(scratch.at(&format!("tls/{}.old", name.replace("rsa", "ca")))).unwrap();
            assert_eq!(kept, fs::read(format!("tests/certificates/{name}")).unwrap());
        }
    }

    #[test]
    fn an_authority_with_another_form_of_name_is_refused() {
        let scratch = Scratch::new();
        scratch.directory("tls");
        let key = KeyPair::generate().unwrap();
        let mut parameters = parameters("own", NOW, NOW + DAY);
        parameters.distinguished_name.push(DnType::OrganizationName, "Example");
        parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let certificate = parameters.self_signed(&key).unwrap();
        AUTHORITY.store(&scratch.at("tls"), &key, true, certificate.der()).unwrap();
        let error = prepare(&scratch.at("tls"), &[], &[], NOW).unwrap_err().to_string();
        assert!(error.ends_with("the authority in this directory wasn't made by miod"), "{error}");
        assert!(!scratch.at("tls/server.pem").exists());
    }

    #[test]
    fn a_server_certificate_has_the_key_identifier_of_the_stored_authority() {
        let scratch = Scratch::new();
        scratch.directory("tls");
        let key = KeyPair::generate().unwrap();
        let mut parameters = parameters("own", NOW, NOW + DAY);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        parameters.key_identifier_method = KeyIdMethod::PreSpecified(b"0123456789".to_vec());
        let certificate = parameters.self_signed(&key).unwrap();
        AUTHORITY.store(&scratch.at("tls"), &key, true, certificate.der()).unwrap();
        let (_, identity) = good(&scratch, NOW);
        assert_eq!(identity.facts.issuer, "CN=own");
        assert!(identity.chain[0].windows(12).any(|part| part == b"\x80\x0a0123456789"));
    }

    #[test]
    fn what_cannot_be_read_is_not_replaced() {
        let scratch = Scratch::new();
        good(&scratch, NOW);
        fs::remove_file(scratch.at("tls/ca.pem")).unwrap();
        scratch.fifo("tls/ca.pem");
        let error = prepare(&scratch.at("tls"), &[], &[], NOW).unwrap_err().to_string();
        assert!(error.ends_with("ca.pem is a FIFO, not a file"), "{error}");
        scratch.file("file", "");
        let error = prepare(&scratch.at("file"), &[], &[], NOW).unwrap_err().to_string();
        assert!(error.ends_with("file can't be written: file exists"), "{error}");
        let error = prepare(&scratch.at("file/tls"), &[], &[], NOW).unwrap_err().to_string();
        assert!(error.ends_with("tls can't be written: not a directory"), "{error}");
    }

    #[test]
    fn processes_that_start_at_once_agree() {
        let scratch = Scratch::new();
        let directory = scratch.at("tls");
        let start = std::sync::Barrier::new(8);
        let results: Vec<_> = std::thread::scope(|scope| {
            let run = || {
                start.wait();
                let auto = prepare(&directory, &[], &[], NOW).unwrap();
                (auto.fingerprint.clone(), auto.files.load().unwrap().facts)
            };
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(run)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(results.iter().all(|result| *result == results[0]));
        good(&scratch, NOW);
    }

    #[test]
    fn only_dns_names_are_taken() {
        let long = "a".repeat(63);
        let longest = format!("{long}.{long}.{long}.{}", &long[..61]);
        for name in ["a", "a-b_c.example.org", "*.example.org", "xn--bcher-kva.example", &long, &longest] {
            assert!(Wanted::new(&names(&[name]), &[]).is_ok(), "{name}");
        }
        let (too_long, label) = (format!("{longest}a"), "a".repeat(64));
        for name in ["", ".", "a..b", "*", "a.*.b", "*a.b", "b\u{fc}cher.de", "a b", "a\n", &too_long, &label, "[::1]"]
        {
            let scratch = Scratch::new();
            let error = prepare(&scratch.at("tls"), &names(&[name]), &[], NOW).unwrap_err().to_string();
            assert!(error.ends_with(&format!("{name:?} is no DNS name")), "{error}");
            assert!(!scratch.at("tls").exists());
        }
        // A common name is shorter than a DNS name may be.
        let scratch = Scratch::new();
        let common_name = good_with(&scratch, &[&longest], NOW).1.facts.common_name;
        assert_eq!(common_name.as_deref(), Some("localhost"));
    }

    #[test]
    fn the_authority_tells_where_it_comes_from() {
        assert_eq!(bounded_name("alice", "server"), "miod local authority of alice@server");
        assert_eq!(bounded_name("\u{e9}\\\n", "b"), "miod local authority of ???@b");
        assert_eq!(bounded_name("alice", &"x".repeat(300)).len(), COMMON_NAME);
        let scratch = Scratch::new();
        good(&scratch, NOW);
        let identity = AUTHORITY.files(&scratch.at("tls")).load().unwrap();
        assert_eq!(identity.facts.common_name, Some(authority_name()));
        assert_eq!(identity.facts.subject, identity.facts.issuer);
    }
}
