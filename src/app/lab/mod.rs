//! The laboratory: small applications that show HTTP at work.
//!
//! They use the public interface only, so each is also an example. `NAME` is usually mounted
//! at `/lab/NAME`.

mod badge;
mod cookies;
mod digest;
mod echo;
mod facts;
mod format;
mod hello;
mod index;
mod inspect;
mod local;
mod login_only;
mod mixed;
mod negotiate;
mod number;
mod panic;
mod status;
mod stream;
mod tls;
mod track;

pub(super) use badge::Badge;
pub(super) use cookies::Cookies;
pub(super) use digest::Digest;
pub(super) use echo::Echo;
pub(super) use hello::Hello;
pub(super) use index::{Index, Part};
pub(super) use inspect::Inspect;
pub(super) use login_only::LoginOnly;
pub(super) use mixed::Mixed;
pub(super) use negotiate::Negotiate;
pub(super) use panic::Panic;
pub(super) use status::StatusCode;
pub(super) use stream::Stream;
pub(super) use tls::Tls;
pub(super) use track::Track;
