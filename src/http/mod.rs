//! HTTP/1.1 (RFC 9110, RFC 9112) as pure functions and state machines over bytes: without
//! sockets, files or clocks.

pub mod address_blocks;
pub mod alternatives;
pub mod basic;
pub mod cache_control;
pub mod caching;
pub mod chunked;
pub mod client;
pub mod compressible;
pub mod compressing;
pub mod conditional;
pub mod content_coding;
pub mod cookie;
pub mod cors;
pub mod date;
pub mod event_stream;
pub mod fields;
pub mod form;
pub mod forwarded;
pub mod framing;
pub mod grammar;
pub mod head;
pub mod header_section;
pub mod host_names;
pub mod language;
pub mod media_type;
pub mod negotiate;
pub mod origin;
pub mod prefix_map;
pub mod proxying;
pub mod range;
pub mod rate;
pub mod redirect;
pub mod response;
pub mod status;
pub mod target;
pub mod uri;

pub use fields::Fields;
pub use header_section::FieldLines;
pub use status::{Reject, Status};
