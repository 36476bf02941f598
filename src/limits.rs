//! All limits of the program, each with its reason.
//!
//! A limit that concerns operators is also an option of the command line; the constant is
//! its default. Sizes are in bytes unless stated otherwise.

use std::time::Duration;

/// Longest request-target (RFC 9112 §3 recommends at least 8,000); longer is 414.
pub const TARGET: usize = 8_192;
/// Longest head, request line and fields together; longer is 431. Browsers stay below 16 KiB; a
/// proxy may add as much again.
pub const HEAD: usize = 32 * 1024;
/// Most field lines in one head; more is 431.
pub const FIELDS: usize = 128;
/// Largest header section that is remembered, to recognise it when it comes again. Those of
/// browsers have 400 to 900 bytes.
pub const REMEMBERED_SECTION: usize = 1_024;
/// Header sections that are remembered: as many as clients are usually active at once.
pub const REMEMBERED_SECTIONS: usize = 64;
/// Largest request body by default; larger is 413.
pub const BODY: u64 = 1024 * 1024;
/// Largest form, or JSON object of fields: they are parsed on the loop, and no built-in
/// application needs a tenth of it.
pub const FORM: usize = 64 * 1024;
/// An unwanted request body is read and discarded up to this size, so that the connection
/// persists. If it is larger, the connection closes after the response.
pub const DISCARDED_BODY: u64 = 64 * 1024;

/// Longest chunk extension. No known client sends any; 256 is generous.
pub const CHUNK_EXTENSION: usize = 256;
/// All extensions of one body together: limits what an attacker can make the server parse
/// without content.
pub const CHUNK_EXTENSIONS_TOTAL: usize = 16 * 1024;

/// Most interim responses (1xx) that a client reads before the final one. A server sends a 100,
/// perhaps a few 103; with endless ones the response would never begin.
pub const INTERIM: u8 = 16;

/// Longest line of a reply of a mail server, its CR LF included. RFC 5321 §4.5.3.1.5 allows 512 bytes;
/// some servers send more.
pub const REPLY_LINE: usize = 2_048;
/// Longest reply of a mail server: a long list of what it offers has a tenth of it.
pub const REPLY: usize = 64 * 1024;
/// Longest command line of a mail client, its CR LF included (RFC 5321 §4.5.3.1.4). Parameters of
/// extensions may make it longer.
pub const COMMAND_LINE: usize = 512;
/// Longest line with which a mail client logs in (RFC 4954 §4).
pub const AUTH_LINE: usize = 12_288;
/// Longest line of a message that a mail server takes, its CR LF included (RFC 5321 §4.5.3.1.6).
pub const TEXT_LINE: usize = 1_000;
/// Most recipients of a message that a mail server takes (RFC 5321 §4.5.3.1.8 asks for at least 100).
pub const MAILBOX_RECIPIENTS: usize = 100;
/// How long a mail client may say nothing (RFC 5321 §4.5.3.2.7).
pub const MAIL_SILENCE: Duration = Duration::from_secs(300);
/// Largest message that a mail server takes by default.
pub const MAILBOX_MESSAGE: u64 = 10 * 1024 * 1024;
/// Most bytes of messages that wait to be written to disk, but for a single larger one: they stay in memory also
/// when their clients are gone.
pub const MAILBOX_WRITING: usize = 64 * 1024 * 1024;
/// Errors of a mail client, since its last message, after which its connection ends.
pub const MAIL_ERRORS: u8 = 20;
/// Most recipients of a message: servers accept at least 100 (RFC 5321 §4.5.3.1.8).
pub const RECIPIENTS: usize = 1_000;
/// Most bytes of a message, and of the files that it is made of: it is in memory as a whole, and
/// few servers accept a third of it.
pub const MESSAGE: u64 = 64 * 1024 * 1024;

/// Most messages in a mailbox; beyond it the oldest go. A page that lists more is of no use.
pub const MAILBOX_MESSAGES: usize = 1_000;
/// Most bytes of all messages in a mailbox, with their envelopes; beyond it the oldest go.
pub const MAILBOX_BYTES: u64 = 256 * 1024 * 1024;
/// Most events of a mailbox that are kept for those who follow it. Whoever missed more starts again.
pub const MAILBOX_EVENTS: usize = 1_000;

/// Most redirects in a row that a client follows: five are a bad site, more are a loop.
pub const REDIRECTS: usize = 20;

/// Most members of Accept and of Accept-Language that count. Browsers send ten at most; each is
/// compared with each representation.
pub const PREFERENCES: usize = 64;
/// Most representations of one resource. With its preferences, a request for one makes
/// [`PREFERENCES`] times as many comparisons.
pub const REPRESENTATIONS: usize = 64;
/// Most entries of a directory in which representations are looked for: a helper thread reads them
/// within a tenth of a second.
pub const NAMES: usize = 50_000;
/// Most directories whose names are kept for that.
pub const NAMED_DIRECTORIES: usize = 64;
/// What these names may take; those of a single larger directory are kept all the same.
pub const NAMES_MEMORY: usize = 8 * 1024 * 1024;
/// Most languages in an operator's order.
pub const LANGUAGES: usize = 64;

/// Most parts of a `multipart/byteranges` response. A PDF reader asks for a few, an attacker
/// for thousands.
pub const RANGE_PARTS: usize = 16;

/// Largest file of certificates or keys. All authorities that browsers trust have a quarter of it.
pub const CERTIFICATE_FILE: u64 = 1024 * 1024;

/// Longest path below a root; the kernel's limit is 4,096 with the NUL.
pub const PATH: usize = 4_095;
/// How often opening a file is retried after a race with a rename (EAGAIN) or a signal (EINTR).
/// Each retry needs another coincidence to fail.
pub const OPEN_RETRIES: usize = 16;
/// Most watched directories. A site rarely has more. Each costs about 1 KiB of kernel memory,
/// and a user has as few as 8,192 for all programs.
pub const WATCHES: usize = 4_096;
/// Most reads of change events in one turn, 8 KiB each: a program that writes without pause
/// must not starve the connections.
pub const WATCH_READS: usize = 16;
/// Most entries on one page of a listing: about one MiB of memory, and of content.
pub const LISTING_ENTRIES: usize = 10_000;
/// Most entries of a directory that is listed: a helper thread reads all of them for each page,
/// within one or two seconds.
pub const DIRECTORY_ENTRIES: usize = 1_000_000;

/// Most requests that wait for another one for the same URI.
pub const CACHE_WAITERS: usize = 1_024;

/// Most URIs of which it is known that requests for them need not wait for each other, and for how
/// long that holds.
pub const CACHE_UNSHARED: usize = 4_096;
/// See [`CACHE_UNSHARED`].
pub const CACHE_UNSHARED_FOR: Duration = Duration::from_secs(60);

/// How long a request waits for another one, or for the disk, before it is sent on its own.
pub const CACHE_WAIT: Duration = Duration::from_secs(5);

/// Bytes of the proxies' cache on the disk and in memory, by default.
pub const CACHE_DISK: u64 = 1024 * 1024 * 1024;
/// See [`CACHE_DISK`].
pub const CACHE_MEMORY: u64 = 32 * 1024 * 1024;
/// Most entries of it; each takes 150 bytes of memory, and a file.
pub const CACHE_ENTRIES: usize = 200_000;
/// The largest response in it, in bytes.
pub const CACHE_OBJECT: u64 = 128 * 1024 * 1024;
/// Most files of it that are open while nobody reads them.
pub const CACHE_FILES: u64 = 64;

/// How long a validation of a stored response that nobody waits for may take, before there is another one.
pub const CACHE_VALIDATE_AGAIN: Duration = Duration::from_secs(5);

/// How long an operator's request waits until what it removes from the cache is removed.
pub const CACHE_PURGE: Duration = Duration::from_secs(30);

/// How much of a response that is being stored may be missing when its last reader goes away, in bytes:
/// more isn't asked from the origin for nobody.
pub const CACHE_UNREAD: u64 = 1024 * 1024;

/// Most origins that a forward proxy keeps.
pub const ORIGINS: usize = 1_024;

/// From accept, or from the first byte of a later request, to the end of the head.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two requests of a persistent connection.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest time without a byte of an expected body.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(20);
/// Longest time in which the peer acknowledges no byte of a response, up to six times as long
/// after a large piece (`reactor/send_progress.rs`).
pub const SEND_TIMEOUT: Duration = Duration::from_secs(20);
/// How long input is read and discarded after the last response, so that a reset doesn't
/// destroy it.
pub const LINGER: Duration = Duration::from_secs(2);
/// Lowest rate of a body or a response in bytes per second, after [`RATE_GRACE`]: a slower one
/// is an attack or a dead connection.
pub const MIN_RATE: u64 = 100;
/// How long a transfer may take before [`MIN_RATE`] applies.
pub const RATE_GRACE: Duration = Duration::from_secs(5);
/// A client that receives events gets a heartbeat after this time at the earliest, and
/// [`HEARTBEAT_SPREAD`] later at most. It shows dead connections and keeps proxies from closing
/// the connection; the spread avoids that ten thousand connections that opened together are due
/// at once.
pub const HEARTBEAT: Duration = Duration::from_secs(15);
/// See [`HEARTBEAT`].
pub const HEARTBEAT_SPREAD: Duration = Duration::from_secs(10);
/// Most responses that are compressed at the same time while they are made; each takes 384 KiB for gzip, or
/// 768 KiB for zstd.
pub const ENCODERS: usize = 64;
/// The largest content in memory that is compressed at once, in bytes: half a millisecond.
pub const CODED_AT_ONCE: usize = 64 * 1024;
/// Connections beyond the limit that are accepted only to get a 503.
pub const CONNECTION_RESERVE: usize = 32;
/// How long an upstream may take to accept a connection.
pub const UPSTREAM_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an upstream may take until the head of its response, and between two pieces of it.
pub const UPSTREAM_TIMEOUT: Duration = Duration::from_secs(60);
/// Most requests that wait for the upstreams of one route, because each has as many as it should have.
pub const UPSTREAM_QUEUE: usize = 1_024;
/// How long a request waits for that, before its client gets a 503.
pub const UPSTREAM_QUEUE_TIMEOUT: Duration = Duration::from_secs(5);
/// The time between two checks of an upstream.
pub const UPSTREAM_CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// So many checks in a row must fail until an upstream isn't asked: one may be lost.
pub const UPSTREAM_CHECKS: usize = 2;
/// Largest weight of an upstream.
pub const UPSTREAM_WEIGHT: u64 = 1_000;
/// How long the addresses of an upstream's name are used before they are looked up again. The system
/// doesn't tell how long they are good for.
pub const ADDRESSES_FRESH: Duration = Duration::from_secs(30);
/// After this time a look-up that brought no result is tried again.
pub const LOOK_UP_AGAIN: Duration = Duration::from_secs(5);
/// How long an attempt to connect to an upstream may take before another one begins beside it, to
/// its next address (RFC 8305 §8).
pub const CONNECTION_ATTEMPT: Duration = Duration::from_millis(250);
/// Most idle connections to one upstream: each is a descriptor on both sides.
pub const UPSTREAM_IDLE_CONNECTIONS: usize = 128;
/// How long an idle connection to an upstream is kept: less than servers usually do, so that seldom
/// a request meets a connection that is just being closed.
pub const UPSTREAM_IDLE: Duration = Duration::from_secs(30);
/// Most requests on one connection to an upstream. So what a server keeps for a connection is freed
/// now and then, and the load finds its way to servers that were added.
pub const UPSTREAM_REQUESTS: u32 = 1_000;
/// How long no byte may move in a tunnel: longer than the heartbeats of usual protocols.
pub const TUNNEL_TIMEOUT: Duration = Duration::from_secs(600);
/// Hosts whose requests are counted apart from those of others.
pub const COUNTED_HOSTS: usize = 1_000;
/// Connections beyond the limit that are kept for those who operate the process.
pub const OPERATOR_CONNECTIONS: usize = 8;
/// How long a shutdown waits for requests in flight.
pub const DRAIN_GRACE: Duration = Duration::from_secs(10);
/// How long an application's job may take before its client gets a 503.
pub const JOB_TIMEOUT: Duration = Duration::from_secs(30);
/// The cache of small files by default: a site's frequent files, on a machine with 256 MiB.
pub const CACHE: usize = 32 * 1024 * 1024;
/// Most paths that are remembered as missing: enough for a browser's mistakes, not for a
/// scanner's list.
pub const MISSING: usize = 4_096;
/// Most descriptors of large files that stay open for the next request.
pub const OPEN_FILES: usize = 512;
/// What connections, the cache and sessions may take together by default: enough for two
/// thousand of the slowest clients, on a machine with 512 MiB.
pub const MEMORY: usize = 256 * 1024 * 1024;
/// What a key-value store may take by default: it is all in memory, and loaded within a second.
pub const KV_STORE: usize = 64 * 1024 * 1024;
/// Longest path that is remembered as missing: with [`MISSING`] they take two and a half MiB.
pub const MISSING_PATH: usize = 512;
/// A session that was not used for this time expires.
pub const SESSION_IDLE: Duration = Duration::from_secs(30 * 60);
/// A session expires at this age, even if it is used.
pub const SESSION_MAX_AGE: Duration = Duration::from_secs(24 * 60 * 60);
/// Largest values of one session: a score and a name need a hundredth of it.
pub const SESSION: usize = 16 * 1024;
/// Most sessions in memory: about 10 MiB of small ones.
pub const SESSIONS: usize = 100_000;
/// What all sessions in memory may take; never more than an eighth of [`MEMORY`], or of the
/// configured value.
pub const SESSIONS_SIZE: usize = 32 * 1024 * 1024;
/// Cookies with the session's name that are tried in one request. One is usual; a second one
/// may come from a longer path or a parent domain.
pub const SESSION_COOKIES: usize = 4;
/// How long a remote session store may take to reply.
pub const SESSION_STORE_TIMEOUT: Duration = Duration::from_millis(500);
/// Most pending operations to a remote session store, in bytes.
pub const SESSION_STORE_QUEUE: usize = 8 * 1024 * 1024;
/// Most keys in a key file: the one that signs, and earlier ones whose cookies are still valid.
pub const KEYS: usize = 16;

/// Largest password file: ten thousand users.
pub const PASSWORD_FILE: u64 = 1024 * 1024;
/// Most verified passwords that are remembered, 48 bytes each.
pub const VERIFIED: usize = 1_024;
/// For how many seconds a verified password is remembered.
pub const VERIFIED_FOR: u64 = 300;
/// Most password checks at once. Each takes 50 ms to two seconds on the one helper thread, and
/// later checks must not wait long.
pub const CHECKS: usize = 16;
/// Most password checks at once from one address.
pub const CHECKS_PER_ADDRESS: usize = 4;
/// Most addresses and names whose failures are counted, 24 bytes each.
pub const FAILURE_ROWS: usize = 8_192;

/// What waits for the thread of a tap, in bytes: what a fast server sends in some hundredths of a second.
pub const TAP_QUEUE: usize = 32 * 1024 * 1024;

/// How long the end of the process waits for the file of a tap to be written.
pub const TAP_PATIENCE: Duration = Duration::from_secs(10);

/// Most pending password hashes: at 50 ms each, the last one is done within a second.
pub const HASHING_JOBS: usize = 16;
/// Most pending durable writes: one commit serves all that are pending.
pub const COMMIT_JOBS: usize = 4_096;
/// Most pending reads of directories or files.
pub const FILE_JOBS: usize = 64;
/// Most files that wait to be compressed. Beyond it they are sent as they are.
pub const COMPRESSION_JOBS: usize = 64;
/// The largest file that is compressed, in bytes: it takes up to half a second.
pub const COMPRESSED_FILE: u64 = 16 * 1024 * 1024;
/// Most pending name resolutions.
pub const NAME_JOBS: usize = 64;
/// Most pending jobs of each kind for what all connections share, beside those of connections. Who begins them
/// has few: the cache has one at a time.
pub const SHARED_JOBS: usize = 4;
/// Most threads that resolve names: one slow name must not hold up all others.
pub const NAME_THREADS: usize = 4;
/// Most listings of directories that are shared for a second.
pub const LISTINGS: usize = 16;
/// What these listings may take; a single larger one is stored all the same.
pub const LISTINGS_MEMORY: usize = 8 * 1024 * 1024;
