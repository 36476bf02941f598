//! The content coding gzip (RFC 1952): making it, and reading it.
//!
//! ```text
//! content ─ piece by piece ─▶ Encoder ─▶ a member of gzip        (responses, files)
//! members of gzip ─ piece by piece ─▶ Decoder ─▶ content         (requests)
//! ```
//!
//! Both are pure: bytes go in, bytes come out, and what they hold has a fixed size. It is the only
//! coding that is made here. Each client knows it, and on pages of usual size no other one makes
//! less of them in the same time; files that an operator has compressed with more effort are sent
//! as they are.

mod decoder;
mod encoder;

pub use decoder::{Broken, Decoder};
pub use encoder::{Encoder, compress};
