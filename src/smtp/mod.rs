//! SMTP (RFC 5321) without sockets and clocks: what client and server say to each other, as
//! bytes and their meaning.
//!
//! ```text
//!            ┌──────────── Client ────────────┐
//! input ───▶ │ ReplyReader ─▶ step ─▶ Command │ ───▶ output
//!            └────────────────────────────────┘
//! message ──▶ canonical (CR LF) ──▶ Stuffer ──────────▶ output      the other way: Unstuffer
//! ```
//!
//! - [`reply`]: replies with their codes, of one line or several (§4.2), and the enhanced status
//!   codes in them (RFC 3463).
//! - [`extensions`]: what a server offers in its reply to EHLO.
//! - [`address`]: addresses as they stand in MAIL and RCPT, and with the names of people.
//! - [`lines`]: a message as it is on the wire, where each line ends with CR LF.
//! - [`dots`]: the dots that keep a line of a message from being its end (§4.5.2).
//! - [`client`], [`server`]: the two sides of the dialogue.
//!
//! Bytes of the peer are kept as they came, and escaped when they are shown.

pub mod address;
pub mod client;
pub mod dots;
pub mod extensions;
pub mod lines;
pub mod reply;
pub mod server;
