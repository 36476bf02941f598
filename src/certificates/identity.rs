//! What a server or a client shows of itself: a chain of certificates and the key of the first.
//!
//! The files are those that every other server takes: PEM, the own certificate first, then
//! those of the authorities between it and the root. The key may be in the same file.

use std::fmt;
use std::path::{Path, PathBuf};

use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::der::{Reader, tag};
use super::error::{CertificateError, Problem};
use super::pem::{Block, blocks};
use super::storage;
use super::x509::Facts;

/// The files of an identity.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct PemFiles {
    /// The file with the certificates.
    pub certificate: PathBuf,
    /// The file with the key; if `None`, it is in the same file.
    pub key: Option<PathBuf>,
}

impl PemFiles {
    /// Takes `CERT.pem` or `CERT.pem,KEY.pem`.
    ///
    /// # Errors
    /// A hint: what a right value looks like.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (certificate, key) = match text.split_once(',') {
            Some((certificate, key)) => (certificate, Some(key)),
            None => (text, None),
        };
        if certificate.is_empty() || key.is_some_and(|key| key.is_empty() || key.contains(',')) {
            return Err("give CERT.pem or CERT.pem,KEY.pem".to_owned());
        }
        Ok(Self { certificate: certificate.into(), key: key.map(PathBuf::from) })
    }

    /// Reads the files. If all users may read the key, that is logged.
    ///
    /// # Errors
    /// A file can't be read, or what it should have isn't in it.
    pub fn load(&self) -> Result<Identity, CertificateError> {
        let (content, readable) = storage::read(&self.certificate)?;
        let (chain, facts) = certificates(&self.certificate, &content)?;
        let (path, content, readable) = match &self.key {
            None => (&self.certificate, content, readable),
            Some(path) => {
                let (content, readable) = storage::read(path)?;
                (path, content, readable)
            }
        };
        let key = key(path, &content)?;
        if readable {
            log::warn!("all users may read the private key in {}: chmod o-r", path.display());
        }
        Ok(Identity { chain, key, facts })
    }
}

impl fmt::Display for PemFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.certificate.display().fmt(f)?;
        self.key.as_ref().map_or(Ok(()), |key| write!(f, ",{}", key.display()))
    }
}

/// A chain of certificates and the key of the first.
#[derive(Debug)]
pub struct Identity {
    /// The own certificate, then those of the authorities above it.
    pub chain: Vec<CertificateDer<'static>>,
    /// The key of the own certificate.
    pub key: PrivateKeyDer<'static>,
    /// What the own certificate says.
    pub facts: Facts,
}

impl Identity {
    /// The seconds from `now` to the end of its validity; negative if it has ended.
    pub fn remaining(&self, now_unix: i64) -> i64 {
        self.facts.not_after.saturating_sub(now_unix)
    }
}

/// Reads a file of certificates of authorities.
///
/// # Errors
/// The file can't be read, has no certificate, or one that can't be read.
pub fn load_authorities(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let (content, _) = storage::read(path)?;
    Ok(certificates(path, &content)?.0)
}

/// All certificates of a file, and what the first says.
fn certificates(path: &Path, content: &[u8]) -> Result<(Vec<CertificateDer<'static>>, Facts), CertificateError> {
    let wrong = |problem| CertificateError::new(path, problem);
    let blocks = pem_blocks(path, content)?;
    let mut chain = Vec::new();
    let mut first = None;
    for block in blocks.iter().filter(|block| block.label == b"CERTIFICATE") {
        let der = CertificateDer::from_pem_slice(block.text).map_err(|_| wrong(damaged(block)))?;
        let number = chain.len() + 1;
        let facts = Facts::read(&der).map_err(|error| wrong(Problem::Malformed(number, error)))?;
        first.get_or_insert(facts);
        chain.push(der);
    }
    let is_request = blocks.iter().any(|block| block.label.ends_with(b"CERTIFICATE REQUEST"));
    let missing = if is_request { Problem::Request } else { Problem::NoCertificate };
    Ok((chain, first.ok_or_else(|| wrong(missing))?))
}

/// The first key of a file that isn't encrypted.
fn key(path: &Path, content: &[u8]) -> Result<PrivateKeyDer<'static>, CertificateError> {
    let wrong = |problem| CertificateError::new(path, problem);
    let blocks = pem_blocks(path, content)?;
    let is_key = |block: &&Block<'_>| {
        matches!(block.label, b"PRIVATE KEY" | b"RSA PRIVATE KEY" | b"EC PRIVATE KEY") && !block.is_encrypted()
    };
    let Some(block) = blocks.iter().find(is_key) else {
        let encrypted = blocks.iter().any(Block::is_encrypted);
        return Err(wrong(if encrypted { Problem::EncryptedKey } else { Problem::NoKey }));
    };
    let key = PrivateKeyDer::from_pem_slice(block.text).map_err(|_| wrong(damaged(block)))?;
    let is_der = Reader(key.secret_der()).enter(tag::SEQUENCE).is_some();
    if is_der { Ok(key) } else { Err(wrong(damaged(block))) }
}

fn damaged(block: &Block<'_>) -> Problem {
    Problem::Block(String::from_utf8_lossy(block.label).into_owned())
}

/// The blocks of a file, which has one at least.
fn pem_blocks<'a>(path: &Path, content: &'a [u8]) -> Result<Vec<Block<'a>>, CertificateError> {
    let blocks = blocks(content);
    if blocks.is_empty() {
        return Err(CertificateError::new(path, openssl_command(content).map_or(Problem::NotPem, Problem::Der)));
    }
    Ok(blocks)
}

/// The command of openssl that makes PEM of a file in DER.
fn openssl_command(content: &[u8]) -> Option<&'static str> {
    if Facts::read(content).is_ok() {
        return Some("x509 -inform der");
    }
    let mut parts = Reader(content).enter(tag::SEQUENCE)?;
    match parts.next()? {
        // The version of PKCS#12; a key has 0 or 1.
        version if version.tag == tag::INTEGER && version.content == [3] => Some("pkcs12 -nodes"),
        version if version.tag == tag::INTEGER => Some("pkey -inform der"),
        // A signature: PKCS#7.
        version if version.tag == tag::OID => Some("pkcs7 -inform der -print_certs"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificates::pem::encode;
    use crate::files::scratch::Scratch;
    use proptest::prelude::*;
    use rcgen::{CertificateParams, KeyPair};

    const RSA: &str = include_str!("../../tests/certificates/rsa.pem");
    const RSA_KEY: &str = include_str!("../../tests/certificates/rsa-key.pem");
    const EC_KEY: &str = include_str!("../../tests/certificates/ec-key.pem");
    const ENCRYPTED: &str = include_str!("../../tests/certificates/encrypted.pem");
    const ENCRYPTED_OLD: &str = include_str!("../../tests/certificates/encrypted-old.pem");
    const REQUEST: &str = include_str!("../../tests/certificates/request.pem");

    fn self_signed(names: &[&str]) -> (Vec<u8>, Vec<u8>) {
        let key = KeyPair::generate().unwrap();
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let certificate = CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
        (certificate.der().to_vec(), key.serialize_der())
    }

    /// Loads one file with this content.
    fn load(content: impl AsRef<[u8]>) -> Result<Identity, String> {
        let scratch = Scratch::new();
        let path = scratch.at("x.pem");
        std::fs::write(&path, content).unwrap();
        let files = PemFiles { certificate: path.clone(), key: None };
        files.load().map_err(|error| error.to_string().replace(path.to_str().unwrap(), "x.pem"))
    }

    #[test]
    fn files_are_named_with_a_comma() {
        for (text, certificate, key) in
            [("a.pem", "a.pem", None), ("a b.pem,/k/c.pem", "a b.pem", Some("/k/c.pem")), ("./-,-", "./-", Some("-"))]
        {
            let files = PemFiles::parse(text).unwrap();
            assert_eq!(files, PemFiles { certificate: certificate.into(), key: key.map(PathBuf::from) });
            assert_eq!(files.to_string(), text);
        }
        for text in ["", ",", "a,", ",a", "a,b,c"] {
            assert_eq!(PemFiles::parse(text).unwrap_err(), "give CERT.pem or CERT.pem,KEY.pem");
        }
    }

    #[test]
    fn all_forms_of_keys_are_read() {
        let pkcs8 = encode("PRIVATE KEY", &self_signed(&["a"]).1);
        assert!(matches!(load(RSA.to_owned() + RSA_KEY).unwrap().key, PrivateKeyDer::Pkcs1(_)));
        assert!(matches!(load(RSA.to_owned() + EC_KEY).unwrap().key, PrivateKeyDer::Sec1(_)));
        assert!(matches!(load(pkcs8.clone() + RSA).unwrap().key, PrivateKeyDer::Pkcs8(_)));
        // The first key that can be read.
        assert!(matches!(load([ENCRYPTED_OLD, ENCRYPTED, RSA, &pkcs8].concat()).unwrap().key, PrivateKeyDer::Pkcs8(_)));
    }

    #[test]
    fn editors_and_other_systems_leave_files_readable() {
        let other = encode("CERTIFICATE", &self_signed(&["b"]).0);
        let plain = ["Bag Attributes\n", RSA, "\n\ntext\n", &other, EC_KEY, "\nend"].concat();
        let expected = load(&plain).unwrap();
        assert_eq!((expected.chain.len(), expected.facts.common_name.as_deref()), (2, Some("rsa.example.org")));
        for text in [
            plain.replace('\n', "\r\n"),
            plain.replace('\n', "\r"),
            format!("\u{feff}{plain}"),
            format!("\u{feff}{}", &plain["Bag Attributes\n".len()..]),
            plain.replace("-----\n", "----- \n"),
            plain.trim_end_matches("\n\nend").to_owned(),
        ] {
            let found = load(&text).unwrap();
            assert_eq!(
                (found.chain, found.key, found.facts),
                (expected.chain.clone(), expected.key.clone_key(), expected.facts.clone())
            );
        }
    }

    #[test]
    fn an_error_says_what_is_in_the_file() {
        let (der, key) = self_signed(&["a"]);
        let cut = &RSA[..RSA.len() / 2];
        let odd = encode("CERTIFICATE", b"no DER");
        let pkcs12 = b"\x30\x05\x02\x01\x03\x30\x00";
        let pkcs7 = b"\x30\x02\x06\x00";
        for (content, expected) in [
            (&b""[..], "x.pem is empty"),
            (b"hello\n", "x.pem isn't PEM: no line begins with -----BEGIN"),
            (b"\x30\x03\x04\x01\x00", "x.pem isn't PEM: no line begins with -----BEGIN"),
            (&der, "x.pem is DER, not PEM: convert it with `openssl x509 -inform der -in x.pem -out NEW.pem`"),
            (&key, "x.pem is DER, not PEM: convert it with `openssl pkey -inform der -in x.pem -out NEW.pem`"),
            (pkcs12, "x.pem is DER, not PEM: convert it with `openssl pkcs12 -nodes -in x.pem -out NEW.pem`"),
            (
                pkcs7,
                "x.pem is DER, not PEM: convert it with `openssl pkcs7 -inform der -print_certs -in x.pem -out NEW.pem`",
            ),
            (RSA_KEY.as_bytes(), "x.pem has no certificate"),
            (
                [REQUEST, EC_KEY].concat().as_bytes(),
                "x.pem has a certificate request, not a certificate: give the one that the authority made from it",
            ),
            (
                REQUEST.replace("CERTIFICATE REQ", "NEW CERTIFICATE REQ").as_bytes(),
                "x.pem has a certificate request, not a certificate: give the one that the authority made from it",
            ),
            (RSA.as_bytes(), "x.pem has no private key; give CERT.pem,KEY.pem if it is in another file"),
            (
                [RSA, ENCRYPTED].concat().as_bytes(),
                "the private key in x.pem is encrypted: decrypt it with `openssl pkey -in x.pem -out NEW.pem`",
            ),
            (
                [RSA, ENCRYPTED_OLD].concat().as_bytes(),
                "the private key in x.pem is encrypted: decrypt it with `openssl pkey -in x.pem -out NEW.pem`",
            ),
            (cut.as_bytes(), "x.pem is damaged: its block CERTIFICATE isn't PEM or has no end"),
            ([cut, RSA].concat().as_bytes(), "x.pem is damaged: its block CERTIFICATE isn't PEM or has no end"),
            (RSA.replace('M', "!").as_bytes(), "x.pem is damaged: its block CERTIFICATE isn't PEM or has no end"),
            (
                [RSA, &encode("PRIVATE KEY", b"")].concat().as_bytes(),
                "x.pem is damaged: its block PRIVATE KEY isn't PEM or has no end",
            ),
            (
                [RSA, &odd, RSA_KEY].concat().as_bytes(),
                "certificate 2 in x.pem can't be used: it isn't DER, or it is cut off",
            ),
        ] {
            assert_eq!(load(content).unwrap_err(), expected);
        }
    }

    #[test]
    fn only_files_of_a_sane_size_are_read() {
        let scratch = Scratch::new();
        scratch.directory("directory");
        scratch.fifo("fifo");
        scratch.link("loop", "loop");
        let large = std::fs::File::create(scratch.at("large")).unwrap();
        large.set_len(crate::limits::CERTIFICATE_FILE + 1).unwrap();
        for (name, expected) in [
            ("none", " can't be read: no such file or directory"),
            ("loop", " can't be read: too many levels of symbolic links"),
            ("directory", " is a directory, not a file"),
            ("fifo", " is a FIFO, not a file"),
            ("large", " has more than 1048576 bytes"),
        ] {
            let path = scratch.at(name);
            let error = load_authorities(&path).unwrap_err().to_string();
            assert_eq!(error, format!("{}{expected}", path.display()));
        }
        assert_eq!(
            load_authorities(Path::new("/dev/null")).unwrap_err().to_string(),
            "/dev/null is a device, not a file"
        );
        large.set_len(crate::limits::CERTIFICATE_FILE).unwrap();
        let error = load_authorities(&scratch.at("large")).unwrap_err();
        assert!(error.to_string().contains("isn't PEM"), "{error}");
    }

    #[test]
    fn the_key_may_be_in_another_file() {
        let scratch = Scratch::new();
        scratch.file("cert.pem", RSA);
        scratch.file("key.pem", RSA_KEY);
        let files = |key: &str| PemFiles { certificate: scratch.at("cert.pem"), key: Some(scratch.at(key)) };
        assert!(matches!(files("key.pem").load().unwrap().key, PrivateKeyDer::Pkcs1(_)));
        // An error names the file that it is about.
        let error = files("cert.pem").load().unwrap_err().to_string();
        assert!(error.contains("cert.pem has no private key"), "{error}");
        assert!(files("none").load().unwrap_err().to_string().contains("none can't be read"));
    }

    #[test]
    fn authorities_are_all_certificates_of_a_file() {
        let scratch = Scratch::new();
        scratch.file("all.pem", &[RSA, REQUEST, RSA].concat());
        assert_eq!(load_authorities(&scratch.at("all.pem")).unwrap().len(), 2);
    }

    #[test]
    fn the_time_that_remains_is_exact() {
        let identity = load([RSA, RSA_KEY].concat()).unwrap();
        let end = identity.facts.not_after;
        assert_eq!((identity.remaining(end - 7), identity.remaining(end + 7)), (7, -7));
        assert_eq!(identity.remaining(i64::MIN), i64::MAX);
    }

    proptest! {
        #[test]
        fn a_changed_file_is_read_or_refused(
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
            length in any::<prop::sample::Index>(),
        ) {
            let mut content = [RSA, REQUEST, ENCRYPTED_OLD, EC_KEY, ENCRYPTED].concat().into_bytes();
            for (index, byte) in changes {
                let at = index.index(content.len());
                content[at] = byte;
            }
            for content in [&content[..], &content[..length.index(content.len())]] {
                for error in [certificates(Path::new("x"), content).err(), key(Path::new("x"), content).err()] {
                    prop_assert!(error.is_none_or(|error| error.to_string().contains('x')));
                }
            }
        }
    }
}
