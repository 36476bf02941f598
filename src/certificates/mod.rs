//! Certificates in files: reading them, telling about them, and making them.
//!
//! ```text
//!   CERT.pem, KEY.pem ──▶ identity ──▶ Identity: chain, key, facts ──▶ TLS (in the reactor)
//!                            ▲   └──── x509: what a certificate says
//!   --tls auto ──▶ authority ┘         an authority and a certificate of its own
//! ```
//!
//! An operator meets these files when something doesn't work, so every error is a sentence
//! that names the file, what is in it, and what to do. What TLS needs is passed on in the types
//! of `rustls-pki-types`. Whether a certificate is trusted, and whether its key can sign, is
//! found out there.
//!
//! All of this runs at the start and at a reload, never on the loop.

pub mod authority;
mod der;
mod error;
pub mod identity;
mod pem;
mod storage;
pub mod x509;

pub use authority::{Auto, prepare};
pub use error::CertificateError;
pub use identity::{Identity, PemFiles, load_authorities};
pub use x509::Facts;
