//! The manual: one module for each chapter.
//!
//! The text of a chapter is a file in `src/manual/`, which can be read there as well.
//! Its Rust examples are documentation tests. `tests/readme.rs` runs its commands.
//!
//! The chapters link to each other by reference: `[the options][options]`. Each file
//! ends with the definitions for a reader of the file, `[options]: options.md`. The
//! definitions in `links.md` are for this documentation. They come first, so they take
//! precedence (CommonMark §4.7).

#[doc = include_str!("manual/links.md")]
#[doc = include_str!("manual/tour.md")]
pub mod tour {}

#[doc = include_str!("manual/links.md")]
#[doc = include_str!("manual/files.md")]
pub mod files {}

#[doc = include_str!("manual/links.md")]
#[doc = include_str!("manual/compression.md")]
pub mod compression {}

#[doc = include_str!("manual/links.md")]
#[doc = include_str!("manual/options.md")]
pub mod options {}

#[doc = include_str!("manual/links.md")]
#[doc = include_str!("manual/configuration.md")]
pub mod configuration {}

#[doc = include_str!("manual/links.md")]
#[doc = include_str!("manual/https.md")]
pub mod https {}

#[doc = include_str!("manual/links.md")]
#[doc = include_str!("manual/sessions.md")]
pub mod sessions {}

#[doc = include_str!("manual/links.md")]
#[doc = include_str!("manual/kv.md")]
pub mod kv {}

#[doc = include_str!("manual/links.md")]
#[doc = include_str!("manual/laboratory.md")]
pub mod laboratory {}

#[doc = include_str!("manual/links.md")]
#[doc = include_str!("manual/library.md")]
pub mod library {}

#[doc = include_str!("manual/links.md")]
#[doc = include_str!("manual/operating.md")]
pub mod operating {}

#[doc = include_str!("manual/links.md")]
#[doc = include_str!("manual/deploying.md")]
pub mod deploying {}

#[doc = include_str!("manual/links.md")]
#[doc = include_str!("manual/proxies.md")]
pub mod proxies {}

#[doc = include_str!("manual/links.md")]
#[doc = include_str!("manual/mail.md")]
pub mod mail {}

#[doc = include_str!("manual/links.md")]
#[doc = include_str!("manual/captures.md")]
pub mod captures {}
