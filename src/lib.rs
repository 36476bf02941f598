//! miod: a small, fast HTTP/1.1 daemon on one non-blocking poll loop.
//!
//! **A reactor owns every socket; protocols are pure state machines over two byte queues and a reading of the clock;
//! nothing else is allowed to wait.** This page is the map, and each file begins with the theory of what is in it.
//!
//! # Layers
//! ```text
//!   main.rs ── cli/                            arguments, help, banner, exit codes
//!                │
//!        server/    client/                    builds and runs servers; tools that ask
//!          │  (config/, logging/, console/, trust)
//!       service/  http/, proxy/, udp/, echo    the protocols that serve, and ask upstreams
//!   ┌──────┼────────────┐
//!  app/  files/  auth/  │                      web applications; static files; passwords
//!   └ session/ cache/ │ │  mailbox/ tap/─capture/   sessions; responses; mail; packets. None has sockets
//!     └────┬────┴────┴──┴───┐
//!   http/ smtp/ text/ compression/   reactor/   durable/ certificates/
//!          bytes ⇄ meaning      sockets ⇄ bytes   records and identities ⇄ disk
//! ```
//!
//! Arrows go down only. The last row imports nothing of ours but the leaves `metrics`, `panics` and
//! `text`; all may read [`limits`]. `tests/architecture.rs` checks these directions.
//!
//! Programs that use the library have [`app`], [`http`], [`reactor`], [`server`], [`config`]
//! and [`limits`]; see [`manual::library`]. All other modules may change at any time.
//!
//! # Vocabulary
//! | Noun | Is | Owns |
//! |---|---|---|
//! | [`Reactor`](reactor::Reactor) | the loop | poll, slots, run queues, timers, the lent buffers, the clock, the helper threads |
//! | [`Handle`](reactor::Handle) | the name of a connection or a datagram socket: number and generation | nothing |
//! | Slot | what a handle names | a transport and a protocol |
//! | Transport | the plumbing of a slot | the socket, TLS, latched readiness, leftover bytes |
//! | [`Protocol`](reactor::Protocol) | the state machine on a transport | its own state |
//! | [`Want`](reactor::Want) | what a protocol wants now, computed with every call | nothing |
//! | [`Work`](reactor::Work) | what a turn or a pass may still do | a count |
//! | Message, Outcome | what one connection sends another; what comes of a job | its content |
//! | [`JobClass`](reactor::JobClass) | what kind of blocking work a job is | a queue and a thread |
//! | [`Host`](service::http::Host) | what is served under one or more names | files, applications, realms, policies |
//! | Exchange | one request and its response ([`service::http`]) | what was found out about the request |
//! | [`Policy`](http::response::Policy) | what a host or route adds to each response | prebuilt field lines |
//! | Application (`app/boundary.rs`) | an application as the server calls it | the application, its watchers |
//! | Guard (`auth/guard.rs`) | the protected paths | the users of each |
//! | [`Session`](app::Session) | the values that are stored for one client | its values |
//! | Representation | a file as it is sent ([`files::representation`]) | one prebuilt block |
//! | [`Upstream`](service::proxy::Upstream) | a server that is asked for responses | its idle connections, its failures |
//! | Tunnel | an exchange whose bytes pass unchanged ([`service::proxy`]) | bytes that the other end has no room for |
//! | Stored response ([`cache`]) | a response of an upstream that may be sent again | its head, and its content or a file |
//!
//! # The life of a request
//! 1. `accept4` gives a socket. On Linux accept is deferred until bytes are there, so it
//!    is read at once, before it is ever registered (`reactor/mod.rs`, `reactor/pump.rs`).
//! 2. The reactor reads into its one input buffer and calls
//!    [`Protocol::advance`](reactor::Protocol::advance).
//! 3. [`http::head::parse`] takes the head apart, in place and strictly; how the body is
//!    framed is decided once, as a type ([`http::framing`]).
//! 4. `service/http/resolve.rs` makes the exchange: host, decoded path, realm, handler and
//!    client, each found once. `policy.rs` decides whether it may pass.
//! 5. A file asked for before is a look-up in a hash table and a copy of a prebuilt block; a new
//!    one is opened by `openat2`, which proves that it lies below the root. An application is
//!    called through `app/boundary.rs`. [`ResponseHead`](http::response::ResponseHead) writes heads.
//!    What an upstream answers is looked up in the cache, or else asked for by a connection of its
//!    own (`service/proxy/mod.rs`): the two connections send each other messages.
//! 6. All responses leave in one `send`. What the peer doesn't take is kept by the
//!    connection; otherwise it owns no buffer. `persistence.rs` decides what comes next.
//!
//! So a request costs a read, a write and a share in an `epoll_wait`. Over TLS `reactor/tls/`
//! opens and seals between the socket and the buffers; no protocol notices.
//! # Invariants
//! 1. `http` and `reactor` don't know each other. Only `reactor/tls/` knows rustls.
//! 2. Nothing under `http`, `text`, `app`, `session`, `mailbox` reads the clock or has a socket; the
//!    clock is read in `reactor/clock.rs` alone: at the beginning and the end of a pass, and for a tap.
//! 3. Stream sockets are connected, read, written and shut down in `reactor/socket.rs`
//!    alone; datagrams in `reactor/datagram_socket.rs`, but for those to a service manager in
//!    `service/notify.rs`. (`cli/blocking.rs` runs no loop: it asks a server and waits.)
//! 4. A socket has one slot, a slot one protocol; no protocol holds another, only its handle.
//! 5. `advance` is idempotent, and follows every change. So no protocol can forget to wait for something.
//! 6. Nothing waits without a deadline. A message to a connection that is gone comes back.
//! 7. Every queue, buffer, table and loop has a limit in [`limits`] or beside it.
//! 8. An idle connection owns no buffer; its whole state is its slot. Every byte that a
//!    busy one holds anywhere counts against `--max-memory`.
//! 9. A pass over the loop ends after a bounded amount of work. What can't be cut into
//!    pieces (reading a directory, hashing a password) is a job for a helper thread.
//! 10. Network input can't panic. All calls of application code are in `app/boundary.rs`,
//!     each is caught, and a broken answer is a 500.
//! 11. A response that fails while it is written is taken back whole, if nothing was sent; else the connection closes.
//! 12. The only unsafe code is in `reactor/sys.rs`. Cells are in `service/{http,mailbox,proxy}`, `server/state.rs`,
//!     `app/boundary.rs`, `cache`, `mailbox` and session stores, each borrowed for one call. No global but the logger.
//! # Where to start reading
//! `reactor/mod.rs` (the loop), `reactor/protocol.rs` (the contract), `reactor/pump.rs`
//! (one turn), then `service/echo.rs` (a protocol on one page), `service/http/mod.rs` (the
//! exchange), `files/representation.rs` (a response), `service/proxy/mod.rs` (upstreams).
//!
//! # Choices that could have been others
//! - **A host is shared by `Rc` and has cells inside.** An exchange keeps its host, so a
//!   reload can replace the table of hosts at any moment. Numbers into a table went stale.
//! - **A connection is taken out of its slot for its turn**, so that `connect` can reserve
//!   a slot and return its handle at once. It costs two moves of some 80 bytes.
//! - **A socket stays unread while its exchange is busy.** A client that closes while an
//!   application works for it is noticed when the response is sent.
//! - **A body is read before it is answered, wanted or not**, up to a limit: a malformed
//!   one is found, and the next request begins where it must. Only an application that
//!   receives it in pieces is called before; if it does not, the connection closes.
//! - **`sendfile` blocks while the medium is read**, for one read of 128 KiB at most.
//! - **Directories without an index are 404**, not 403: what isn't listed looks absent.
//! - **Trailers are dropped, and a repeated Content-Length is refused**: only smugglers need either.

pub mod app;
mod auth;
#[doc(hidden)] // for tests
pub mod cache;
#[doc(hidden)] // for tests
pub mod capture;
#[doc(hidden)] // for tests
pub mod certificates;
mod cli;
mod client;
#[doc(hidden)] // for tests
pub mod compression;
pub mod config;
mod console;
mod durable;
#[doc(hidden)] // for tests and benches
pub mod files;
pub mod http;
pub mod limits;
mod logging;
mod mailbox;
pub mod manual;
mod metrics;
mod names;
mod panics;
mod probe;
mod random;
pub mod reactor;
pub mod server;
#[doc(hidden)] // for tests and benches
pub mod service;
mod session;
#[cfg(test)]
mod simulation;
mod smtp;
mod tap;
#[cfg(test)]
mod testing;
mod text;
mod trust;

#[doc(hidden)] // for main.rs
pub use cli::main;
