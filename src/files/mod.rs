//! Static files: from a path to an open descriptor that provably lies below
//! the root, notice of changes, and directory listings.

pub mod listing;
pub mod resolve;
#[cfg(test)]
mod scratch;
pub mod watch;
