//! The laboratory: small applications that show a client what it did, and that
//! make the server do what one wants to look at.
//!
//! They are made of what every application is made of, so each is an example
//! too. Usually `NAME` is mounted at `/lab/NAME`.

mod badge;
mod cookies;
mod digest;
mod echo;
mod hello;
mod inspect;
mod number;
mod panic;
mod status;
mod stream;
mod track;
mod wish;

pub(super) use badge::Badge;
pub(super) use cookies::Cookies;
pub(super) use digest::Digest;
pub(super) use echo::Echo;
pub(super) use hello::Hello;
pub(super) use inspect::Inspect;
pub(super) use panic::Panic;
pub(super) use status::StatusCode;
pub(super) use stream::Stream;
pub(super) use track::Track;
