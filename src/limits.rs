//! Every bound in the program, each with its reason.
//!
//! What an operator cares for is also an option of the command line; the
//! constants here are then its default. Sizes are bytes unless said otherwise.

use std::time::Duration;

/// Longest request-target (RFC 9112 §3 recommends at least 8,000); longer is 414.
pub const TARGET: usize = 8_192;
/// Longest head, request line and fields together; longer is 431. Browsers stay
/// below 16 KiB, and a proxy may add as much again.
pub const HEAD: usize = 32 * 1024;
/// Most field lines in one head; more is 431.
pub const FIELDS: usize = 128;
/// Longest header section that is kept to be recognised: those of browsers have 400
/// to 900 bytes.
pub const REMEMBERED_SECTION: usize = 1_024;
/// Header sections that are kept: as many as clients are heard at once on most days.
pub const REMEMBERED_SECTIONS: usize = 64;
/// Largest request body that is taken by default; larger is 413.
pub const BODY: u64 = 1024 * 1024;
/// Largest form, or JSON object of fields, in bytes: they are parsed on the loop, and none
/// of ours needs a tenth of it.
pub const FORM: usize = 64 * 1024;
/// An unwanted request body is read and dropped up to here to keep the
/// connection; beyond it the connection closes after the answer.
pub const DRAIN: u64 = 64 * 1024;

/// Longest single chunk extension. Nobody uses them; 256 is generous.
pub const CHUNK_EXTENSION: usize = 256;
/// All extensions of one body together: bounds the overhead an adversary can
/// make us parse for no data.
pub const CHUNK_EXTENSIONS_TOTAL: usize = 16 * 1024;

/// Most interim answers (1xx) before the final one that a client reads: a server sends
/// a 100, perhaps a few 103; endless ones would never let the answer begin.
pub const INTERIM: u8 = 16;

/// Most redirects in a row that a client follows: five are a bad site, more a loop.
pub const REDIRECTS: usize = 20;

/// Most parts of a `multipart/byteranges` answer; a PDF reader asks for a
/// handful, an attacker for thousands.
pub const RANGE_PARTS: usize = 16;

/// Longest path below a root; the kernel's own bound is 4,096 with the NUL.
pub const PATH: usize = 4_095;
/// How often an open that raced with a rename (EAGAIN) or a signal (EINTR) is
/// tried again; each try needs a new coincidence.
pub const OPEN_RETRIES: usize = 16;
/// Most watched directories. A site rarely has more, each costs about 1 KiB of
/// kernel memory, and an account has as few as 8,192 for all its programs.
pub const WATCHES: usize = 4_096;
/// Most reads of change events in one turn, 8 KiB each: a writer that never
/// stops must not keep us from the connections.
pub const WATCH_READS: usize = 16;
/// Most directory entries a listing looks at: about 10 ms of system calls.
pub const LISTING_ENTRIES: usize = 10_000;

/// From accept, or from the first byte of a later request, to the whole head.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two requests of a persistent connection.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// Without any byte of an expected body.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(20);
/// Without the peer taking any byte of an answer.
pub const SEND_TIMEOUT: Duration = Duration::from_secs(20);
/// Reading and discarding after the last answer, so that it isn't lost to a reset.
pub const LINGER: Duration = Duration::from_secs(2);
/// Least speed of a body or an answer in bytes per second, after
/// [`RATE_GRACE`]: slower is an attack or a dead line.
pub const MIN_RATE: u64 = 100;
/// How long a transfer may take before [`MIN_RATE`] is asked of it.
pub const RATE_GRACE: Duration = Duration::from_secs(5);
/// A watcher of events gets a sign of life after so long at the earliest, and so
/// much later at most: a dead one is noticed, proxies keep the connection, and
/// ten thousand that came together aren't all due at once.
pub const HEARTBEAT: Duration = Duration::from_secs(15);
/// See [`HEARTBEAT`].
pub const HEARTBEAT_SPREAD: Duration = Duration::from_secs(10);
/// Connections beyond the cap that are accepted only to be told that it is full.
pub const CONNECTION_RESERVE: usize = 32;
/// How long a shut-down waits for what is in flight.
pub const DRAIN_GRACE: Duration = Duration::from_secs(10);
/// How long an application's job may take before its visitor gets 503.
pub const JOB_TIMEOUT: Duration = Duration::from_secs(30);
/// Cache of small files by default: a site's hot set, on a machine of 256 MiB.
pub const CACHE: usize = 32 * 1024 * 1024;
/// Most paths remembered as missing: a browser's mistakes, not a scanner's list.
pub const MISSING: usize = 4_096;
/// Most descriptors of large files that are kept open for the next request.
pub const OPEN_FILES: usize = 512;
/// What connections, the cache and sessions may hold together by default: room for two
/// thousand of the worst readers, on a machine of 512 MiB.
pub const MEMORY: usize = 256 * 1024 * 1024;
/// What a store of keys and values may hold by default: it is all in memory, and loaded
/// within a second.
pub const STORE: usize = 64 * 1024 * 1024;
/// Longest path that is remembered as missing: with [`MISSING`] that is two MiB.
pub const MISSING_PATH: usize = 512;
/// A session that nobody has used so long is over.
pub const SESSION_IDLE: Duration = Duration::from_secs(30 * 60);
/// A session is over at this age, used or not.
pub const SESSION_MAX_AGE: Duration = Duration::from_secs(24 * 60 * 60);
/// Most of one session's values: a score and a name need a hundredth of it.
pub const SESSION: usize = 16 * 1024;
/// Most sessions in memory: about 10 MiB of small ones.
pub const SESSIONS: usize = 100_000;
/// Most that sessions in memory take in all; never more than an eighth of
/// [`MEMORY`], or of what is set in its place.
pub const SESSIONS_SIZE: usize = 32 * 1024 * 1024;
/// Cookies of the session's name that are looked at in one request. One is
/// usual; a second may be a neighbour's, of a longer path or a wider domain.
pub const SESSION_COOKIES: usize = 4;
/// How long a store of sessions that isn't in memory may take.
pub const STORE_TIMEOUT: Duration = Duration::from_millis(500);
/// Questions that wait for such a store to take them, in bytes.
pub const STORE_QUEUE: usize = 8 * 1024 * 1024;
/// Most keys in a key file: the one that signs, and those before it whose
/// cookies are still about.
pub const KEYS: usize = 16;

/// Largest password file: ten thousand users.
pub const PASSWORD_FILE: u64 = 1024 * 1024;
/// Most names and passwords that are remembered as right, 48 bytes each.
pub const VERIFIED: usize = 1_024;
/// For how many seconds they are: then a password costs a check again.
pub const VERIFIED_FOR: u64 = 300;
/// Most password checks at once, from 50 ms to two seconds each on the one helper
/// thread: what else waits for that must not wait long.
pub const CHECKS: usize = 16;
/// Most of them for one address.
pub const CHECKS_PER_ADDRESS: usize = 4;
/// Most addresses and names whose failures are counted, 24 bytes each.
pub const FAILURE_ROWS: usize = 8_192;

/// Most password hashes that wait: at 50 ms each, the last one still comes within a second.
pub const HASHING_JOBS: usize = 16;
/// Most durable writes that wait: one commit serves all that have gathered.
pub const COMMIT_JOBS: usize = 4_096;
/// Most directories, or files, that wait to be read.
pub const FILE_JOBS: usize = 64;
/// Most name look-ups that wait.
pub const NAME_JOBS: usize = 64;
/// Most listings of directories that are kept for a second.
pub const LISTINGS: usize = 16;
/// Bytes that these take; a single larger one is kept all the same.
pub const LISTINGS_MEMORY: usize = 8 * 1024 * 1024;
