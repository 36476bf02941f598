//! What a proxy does to the heads of the messages that it passes on (RFC 9110 §7.6).
//!
//! A head is never copied whole. It was parsed, and is written anew: what is for one connection
//! only stays behind, the framing is that of the new connection, and what the next server should
//! know about the client is added.
//!
//! | File | Does |
//! |---|---|
//! | `hops` | which fields are for one connection only |
//! | `request` | the head of a request to an upstream |
//! | `response` | the field lines of an upstream's response |
//! | `failure` | what a client is told if the upstream fails |

mod failure;
mod hops;
mod request;
mod response;

pub use failure::UpstreamFailure;
pub use hops::HopFields;
pub use request::{ForwardedRequest, HostChoice, Sender};
pub use response::{has_passed_here, response_fields};
