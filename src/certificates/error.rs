//! Why a file of certificates can't be used, as a sentence that names the file.

use std::path::{Path, PathBuf};
use std::{fmt, io};

use super::x509::Malformed;
use crate::limits;
use crate::text::io_error::describe;

/// Why a file of certificates or keys can't be used. It names the file, and what to do if that
/// is known.
#[derive(Debug)]
pub struct CertificateError {
    path: PathBuf,
    problem: Problem,
}

/// What is wrong with a file.
#[derive(Debug)]
pub(super) enum Problem {
    Unreadable(io::Error),
    Unwritable(io::Error),
    NoFile(&'static str),
    TooLarge,
    Empty,
    /// It is DER: the command of openssl that converts it.
    Der(&'static str),
    NotPem,
    /// A block that isn't PEM, and its label.
    Block(String),
    NoCertificate,
    Request,
    /// The number of a certificate in the file, from 1.
    Malformed(usize, Malformed),
    NoKey,
    EncryptedKey,
    /// The key isn't that of the certificate.
    OtherKey,
    /// A certificate can't be made; the reason.
    Failed(String),
}

impl CertificateError {
    pub(super) fn new(path: &Path, problem: Problem) -> Self {
        Self { path: path.to_owned(), problem }
    }

    /// Whether the file doesn't exist.
    pub(super) fn is_absent(&self) -> bool {
        matches!(&self.problem, Problem::Unreadable(error) if error.kind() == io::ErrorKind::NotFound)
    }

    /// Whether the file is there and was read, but is no good.
    pub(super) fn is_damage(&self) -> bool {
        !matches!(self.problem, Problem::Unreadable(_) | Problem::Unwritable(_) | Problem::NoFile(_))
    }
}

impl fmt::Display for CertificateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.problem {
            Problem::Unreadable(error) => write!(f, "{path} can't be read: {}", describe(error)),
            Problem::Unwritable(error) => write!(f, "{path} can't be written: {}", describe(error)),
            Problem::NoFile(kind) => write!(f, "{path} is {kind}, not a file"),
            Problem::TooLarge => write!(f, "{path} has more than {} bytes", limits::CERTIFICATE_FILE),
            Problem::Empty => write!(f, "{path} is empty"),
            Problem::Der(command) => {
                write!(f, "{path} is DER, not PEM: convert it with `openssl {command} -in {path} -out NEW.pem`")
            }
            Problem::NotPem => write!(f, "{path} isn't PEM: no line begins with -----BEGIN"),
            Problem::Block(label) => write!(f, "{path} is damaged: its block {label} isn't PEM or has no end"),
            Problem::NoCertificate => write!(f, "{path} has no certificate"),
            Problem::Request => write!(
                f,
                "{path} has a certificate request, not a certificate: give the one that the authority made from it"
            ),
            Problem::Malformed(number, error) => write!(f, "certificate {number} in {path} can't be used: {error}"),
            Problem::NoKey => write!(f, "{path} has no private key; give CERT.pem,KEY.pem if it is in another file"),
            Problem::EncryptedKey => write!(
                f,
                "the private key in {path} is encrypted: decrypt it with `openssl pkey -in {path} -out NEW.pem`"
            ),
            Problem::OtherKey => write!(f, "the private key in {path} isn't that of the certificate"),
            Problem::Failed(reason) => write!(f, "no certificate can be made for {path}: {reason}"),
        }
    }
}

impl std::error::Error for CertificateError {}
