//! miod: a small, fast HTTP/1.1 daemon on one non-blocking poll loop.
//!
//! In one sentence: **a reactor that owns every socket; protocols that are pure
//! state machines over two octet queues and a reading of the clock; and nothing
//! else is allowed to wait.**
//!
//! This page is the map. Files begin with the theory of what is in them.
//!
//! # Layers
//!
//! ```text
//!         main.rs ── cli/                      arguments, help, banner, exit codes
//!              │
//!      server.rs, datagrams.rs                 the composition roots: bind, build, run
//!              │        (config.rs, logging/)
//!              │
//!          service/    http/, echo, upper, udp/ the protocols that serve, and
//!          client/     connect, get            those that ask: the layer that knows both sides
//!      ┌───────┼───────────┐
//!    app/    files/  auth/ │                   pages; static files; passwords. No sockets
//!      ├── session/   │    │                   what is remembered of visitors. No sockets
//!      └───┬───┴───┬──┴────┤
//!        http/   text/  reactor/   durable/
//!   octets ⇄ meaning    sockets ⇄ octets    records ⇄ disk
//! ```
//!
//! Arrows go down only. [`http`] and [`text`] import nothing of ours, [`reactor`]
//! and [`durable`] import nothing of ours; they meet in [`service`] and in [`client`],
//! which don't know each other. [`limits`], every bound with its reason, may be read by
//! all; [`random`] is chance from a seed. `tests/architecture.rs` holds these directions.
//!
//! # Vocabulary
//!
//! | Noun | Is | Owns |
//! |---|---|---|
//! | [`Reactor`](reactor::Reactor) | the loop | poll, slots, run queue, timers, the lent buffers, the clock |
//! | [`Handle`](reactor::Handle) | the name of a connection or a datagram socket: number and generation | nothing |
//! | Slot | what a handle names | a transport and a protocol |
//! | Transport | a slot's plumbing | the socket, latched readiness, what is left over |
//! | [`Protocol`](reactor::Protocol) | the state machine that lives on a transport | its own state |
//! | [`DatagramProtocol`](reactor::DatagramProtocol) | the state machine that lives on a datagram socket | its own state |
//! | [`Want`](reactor::Want) | what a protocol wishes now, anew with every call | nothing |
//! | [`Input`](reactor::Input), [`Output`](reactor::Output), [`Outbox`](reactor::Outbox) | the octets lent to a protocol during its turn | |
//! | Shared | what all protocols share, lent with each call | site, applications, limits |
//! | Carrier | the protocol on the connection to a remote store of sessions ([`service::carrier`]) | what it asked and awaits |
//! | Exchange | one request and its answer ([`service::http`]) | its phase |
//! | [`Guard`](auth::Guard) | the protected paths | the users of each, and what is known of them |
//! | [`Session`](session::Session) | what is remembered of a visitor, lent to an application | its values |
//! | [`Sessions`](session::Sessions) | all of them | where they are kept |
//! | [`Ticket`](session::pending::Ticket) | a question to a store that answers later | nothing |
//! | Watcher | an exchange that sends an application's events as they happen | the number of the last |
//! | [`AnswerReader`](http::client::AnswerReader) | one answer as a client reads it | where it ends |
//! | Representation | a file as it is answered ([`files::representation`]) | one prebuilt block |
//!
//! # The life of a request
//!
//! 1. `accept4` gives a socket. On Linux accept is deferred until octets are there,
//!    so it is read at once, before it is ever registered
//!    (`reactor/mod.rs`, `reactor/pump.rs`).
//! 2. The reactor reads into its one input buffer and calls
//!    [`Protocol::advance`](reactor::Protocol::advance); [`service::Service`] passes
//!    it on to the exchange.
//! 3. [`http::head::parse`] takes the head apart, in place and strictly; how the body
//!    ends is decided once, as a type ([`http::framing`]). Field lines that say what they
//!    said in the request before are recognised by their octets ([`http::section`]).
//! 4. The path finds an application ([`app::Routes`]) or a file ([`files::Site`]). A
//!    file asked for before is one look-up in a hash table; a new one is opened by
//!    `openat2`, which proves that it lies below the root.
//!    An application that reads sessions is lent the visitor's, loaded before and saved
//!    after if something changed (`service/http/visit.rs`).
//! 5. The answer is one copy of the prebuilt block into the output, the date written
//!    over. A larger file is a head in the output and a stretch of its descriptor.
//!    Whether more pipelined requests follow: back to 3, as long as there is room.
//! 6. All answers leave in one `send`. What the peer doesn't take is kept by the
//!    connection; otherwise it owns no buffer. The exchange is idle.
//!
//! So a request costs one read, one write, and a share in one `epoll_wait`.
//!
//! # Invariants
//!
//! 1. `http` and `reactor` don't know each other.
//! 2. Nothing under `http`, `text`, `app`, `session` reads the clock or has a socket; the
//!    clock is read in `reactor/clock.rs` alone, once a turn. System calls are made by
//!    none of them but for chance (identifiers) and, at the start, the file of keys.
//! 3. Stream sockets are connected, read, written and shut down in `reactor/transport.rs`
//!    alone; datagrams are received and sent in `reactor/datagram.rs` alone. (The command
//!    `miod sessions` runs no loop: it asks a store and waits.)
//! 4. A socket has one slot, a slot one protocol; no protocol holds another, only its
//!    handle.
//! 5. `advance` is idempotent; every change is followed by an `advance`, every
//!    `advance` by reading and sending under its want. No protocol says "wake me
//!    when writable", so none can forget to.
//! 6. No park without a deadline, no ticket left unanswered.
//! 7. Every queue, buffer, table and loop has a bound in [`limits`] or beside it.
//! 8. An idle connection owns no buffer; its whole state is its slot.
//! 9. The next head isn't parsed before the answer to the last is on its way.
//! 10. Network input can't panic; an application's panic becomes a 500 and the loop lives.
//! 11. No `unsafe`, no interior mutability in the core, no global but the logger.
//!
//! Absent on purpose: threads (but one helper for jobs that block, started with the
//! first), an async runtime, `dyn` per connection, reference counts on connections,
//! interest bits that must be set again, cancel tokens, a second copy of any body.
//!
//! # Where to start reading
//!
//! `reactor/mod.rs` (the loop), `reactor/protocol.rs` (the contract),
//! `reactor/pump.rs` (one turn), `reactor/datagram.rs` (its counterpart without
//! connections), then `service/echo.rs` (a protocol on one page),
//! `service/http/mod.rs` (the exchange), `files/representation.rs` (an answer).
//!
//! # A server of one's own
//!
//! [`reactor::Conversation`] makes a TCP protocol of a few lines, and
//! [`reactor::DatagramProtocol`] one of UDP; [`app::App`] is a
//! web application; [`service`] with [`server`] is the whole daemon. The [`manual`]
//! has examples.
//!
//! # Choices that could have been others
//!
//! - **Sockets that are readable stay unread while their exchange is busy.** A client
//!   that closes while an application works for it is noticed when the answer is sent.
//! - **Watchers of events own none**: the application keeps the last few for all, and is
//!   asked for what came after a number. So one costs some 200 octets, and a slow one as much.
//! - **A body is read before it is answered, wanted or not**, up to a bound: a
//!   malformed one is found out, and the next request begins where it must.
//! - **Files are sent by `sendfile`, which blocks while the medium is read.** One turn
//!   asks for 128 KiB at most, so a cold file holds the loop for one read of that size;
//!   the kernel reads ahead meanwhile. A connection amid a file takes its turns from the
//!   run queue, one between two looks at the poll, so small requests overtake.
//! - **What runs at the start lies side by side in the binary** (`src/build/near.ld`, which
//!   Cargo has the linker read): the system maps pages by the sixteen, and so most of the
//!   binary would be resident for the few that are used.
//! - **No pool of buffers**: what connections keep is allocated when a peer is slow and
//!   freed when it isn't. After 8,000 busy connections the process was 1.3 MiB larger than
//!   at its start; a pool would have to be better than that.
//! - **Paths that cross symbolic links aren't cached**: where they lead isn't watched,
//!   and an answer must never be older than the file.
//! - **Directories without an index are 404**, not 403: what isn't listed isn't told.
//! - **Sessions are timed by the wall clock**, in seconds: signed cookies and stores
//!   outlive the process, whose own clock begins at zero. Who sets the clock ahead ends
//!   sessions.
//! - **`session` knows `reactor`, for three words**: the time, as `app` and `files` do,
//!   and the handle of who waits for a store.
//! - **A session in memory is its JSON text**, parsed for each visit: a tree of values
//!   would take ten times the memory, and parsing costs less than a system call.
//! - **What an application changes in its session before a job isn't kept**: the session
//!   is loaded anew when the job is done, so that nothing is lost which others changed
//!   meanwhile, and there is one place where it is saved.
//! - **Requests from other sites are told by what browsers say of them**, Origin and
//!   Sec-Fetch-Site, not by tokens in forms: that holds for every application that reads
//!   sessions, and none can forget it.
//! - **Trailers are read and dropped**, and a repeated Content-Length is refused even if
//!   both say the same: no client needs either, and smugglers do.

pub mod app;
pub mod auth;
pub mod cli;
pub mod client;
pub mod config;
pub mod datagrams;
pub mod durable;
pub mod files;
pub mod http;
pub mod limits;
pub mod logging;
pub mod manual;
pub mod random;
pub mod reactor;
pub mod server;
pub mod service;
pub mod session;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod testing;
pub mod text;
