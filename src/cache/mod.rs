//! The store of an HTTP cache: in memory, and in a directory if it has one.
//!
//! ```text
//!            key ─► find ─► load ──► Response ──► readers: memory, or a stretch of a file
//!                    │       │ ▲
//!  index: all entries┘       │ │ from the disk                  begin ─► append … ─► end
//!  (150 bytes each)          ▼ │                                 │ readers join    │
//!                   next_job ─► DiskJob ─► collect ◄─ operations ┴─────────────────┘
//! ```
//!
//! It knows which responses there are, not whether they may be used: that is decided by
//! [`http::caching`](crate::http::caching). It is for one thread, and none of its calls waits. What
//! needs the disk becomes a [`DiskJob`]: the owner of the store runs it on another thread, and then
//! calls [`collect`](Store::collect). So after each call there are three things to do:
//!
//! 1. wake all that [`next_wake`](Store::next_wake) returns;
//! 2. run what [`next_job`](Store::next_job) returns, if it does;
//! 3. call [`collect`](Store::collect) when a job is over, and begin again.
//!
//! There is one job at a time, so operations are done in their order, whatever threads run them. A
//! job that is dropped instead of run, or panics, gives its operations back. When a job's end is
//! noticed late, only loads and producers wait.
//!
//! What holds at any moment, also after the process was killed:
//!
//! - An entry is found when its body is whole, and never with a body or a head that isn't its own:
//!   files appear when they are whole, and checksums are compared when they are read; of a large
//!   body at its first use after a start.
//! - Whatever is wrong with a file or the disk is a miss. What can't be written isn't kept in memory
//!   either, so a restart changes nothing.
//! - A response that was removed, purged, or replaced isn't found from then on. If the process is
//!   killed before the job that removes its file, or that job fails, it is found after a restart.
//! - Nothing grows without a limit: entries, bytes in memory and on the disk, variants of a URI,
//!   bytes that wait for the disk, and all who wait.
//!
//! Where to read on: `store.rs` (look-ups), `storing.rs` (how a response is stored), `queue.rs`,
//! `job.rs`, `outcomes.rs` (the disk), `format.rs` and `disk.rs` (the files), `index.rs`, `eviction.rs`.

mod checksum;
mod disk;
mod eviction;
#[cfg(test)]
mod faults;
mod filling;
mod format;
mod index;
mod inspect;
mod job;
mod key;
mod memory;
mod outcomes;
mod purge;
mod queue;
mod read;
mod response;
mod store;
mod storing;
mod walk;

pub use disk::OpenError;
pub use filling::{Appended, New};
pub use format::INLINE;
pub use index::{EntryId, Found};
pub use inspect::{Directory, Listed, Problem};
pub use job::DiskJob;
pub use key::Key;
pub use purge::{NotHttp, Purge, uri};
pub use response::{FillingId, Part, Response, State};
pub use store::{Figures, Limits, Load, PurgeId, Store};

#[cfg(test)]
mod tests;
