//! HTTP/1.1 on a connection: a sequence of exchanges, each a request and its response
//! (RFC 9112 §9).
//!
//! ```text
//!  connection                    exchange (one request)
//!  ──────────                    ─────────────────────────────────────────────────────
//!  read ─▶ parse head ─▶ resolve ─▶ policy ─▶ handler ─▶ respond ─▶ body ─▶ access log
//!             │             once       │          │
//!             ▼                        │          └ files, application, upstream, fixed response
//!           body                       └ maintenance, overload, password, expectations
//! ```
//!
//! | File | Does |
//! |---|---|
//! | `connection` | reads heads and bodies in time, begins exchanges and continues them, decides what follows |
//! | `body` | reads the body of a request: into memory, for an application, or to discard it |
//! | `persistence` | whether the connection goes on: one rule for both directions |
//! | `resolve` | finds host, path, realm, handler and client of a request, once |
//! | `exchange` | the facts about a request, and the connection as the steps see it |
//! | `policy` | the rules that hold for every handler |
//! | `local_only`, `https` | the rules of a host that answers only to this machine, and of plain text at HTTPS |
//! | `dispatch` | the steps in their order, also for a request that has waited |
//! | `files`, `application`, `fixed`, `gateway`, `forward`, `admin` | the handlers |
//! | `asking`, `received` | what a gateway asks an upstream for, and the fields of its response |
//! | `lookup`, `stored` | what the cache has for a request, and how that is sent |
//! | `respond`, `error_page`, `rejects` | write responses; the only place where heads are begun |
//! | `waiting`, `sending`, `sending_stored`, `watching`, `proxied`, `tunnel` | an exchange of more than one turn |
//! | `request_content` | the content of a request on its way to an upstream |
//! | `jobs` | starts a job for an exchange, which waits for it |
//! | `body_writer` | frames and counts a body that takes more than one turn |
//! | `tapped` | what a tap is told about exchanges |
//! | `state`, `step` | the states of a connection, and the result of a step |
//! | `access_log`, `census`, `counts`, `notices` | what is counted and logged |
//! | `hosts`, `host`, `tree`, `routes`, `rules` | what is served under which name and path, and by which rules |
//! | `shared` | what all connections share |

mod access_log;
mod admin;
mod application;
mod asking;
mod body;
mod body_writer;
mod census;
mod choices;
mod coded_file;
mod coding;
mod connection;
mod counts;
mod dispatch;
mod encoders;
mod error_page;
mod exchange;
mod files;
mod fixed;
mod forward;
mod gateway;
mod host;
mod hosts;
mod https;
mod jobs;
mod local_only;
mod lookup;
mod notices;
mod persistence;
mod policy;
mod proxied;
mod received;
mod rejects;
mod request_content;
mod resolve;
mod respond;
mod routes;
mod rules;
mod sending;
mod sending_stored;
mod shared;
mod state;
mod step;
mod stored;
mod tapped;
mod tree;
mod tunnel;
mod waiting;
mod watching;

pub use admin::page::Page;
pub use census::Census;
pub use connection::Http;
pub(super) use connection::audit;
pub use counts::HostCounts;
pub use fixed::{FixedResponse, Redirect};
pub use host::Host;
pub use hosts::Hosts;
pub use local_only::{DEMONSTRATION, LocalOnly};
pub use routes::{RouteHandler, Routes};
pub use rules::Rules;
pub use shared::{HostsId, Limits, Operation, Shared};
pub use tree::Tree;
pub(super) use watching::notify;

#[cfg(test)]
mod tests;
