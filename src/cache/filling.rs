//! What there is of a response that is being stored.

use std::rc::Rc;
use std::sync::{Arc, Mutex};

use super::index::Names;
use super::job::Writer;
use super::key::{Key, Name};
use super::response::Response;
use crate::http::caching::Freshness;

/// What a response may have that isn't written yet, in bytes, before its producer has to pause.
pub(super) const BACKLOG: u64 = 1024 * 1024;

/// A response that is to be stored.
pub struct New<'a, W> {
    /// The key of its URI.
    pub key: Key,
    /// The URI.
    pub uri: &'a [u8],
    /// The names in its Vary, as [`write_names`](crate::http::caching::variant::write_names) writes them.
    pub names: &'a [u8],
    /// The key of its request among the variants, as
    /// [`write_key`](crate::http::caching::variant::write_key) writes it.
    pub variant_key: &'a [u8],
    /// The whole stored head.
    pub head: &'a [u8],
    /// Its freshness.
    pub freshness: Freshness,
    /// The length of the body in bytes, if it is known.
    pub length: Option<u64>,
    /// Who is woken when there is room again, or if the response can't be stored.
    pub producer: W,
}

/// What came of bytes that were appended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Appended {
    /// There may be more.
    Room,
    /// There should be no more before the producer is woken.
    Full,
    /// The response can't be stored.
    Failed,
}

/// A response that is being stored.
pub(super) struct Filling<W> {
    pub(super) name: Name,
    pub(super) names: Names,
    /// As in `names`.
    pub(super) names_text: Box<[u8]>,
    pub(super) response: Rc<Response>,
    /// What comes before the body in its file.
    pub(super) meta: Vec<u8>,
    pub(super) writer: Option<Arc<Mutex<Writer>>>,
    pub(super) producer: Option<W>,
    pub(super) is_paused: bool,
    pub(super) waiters: Vec<W>,
    /// It was purged, so it gets no entry.
    pub(super) is_doomed: bool,
}

impl<W> Filling<W> {
    /// Who waits for the producer's pause to end, if it may.
    pub(super) fn resume(&mut self) -> Option<W>
    where
        W: Clone,
    {
        let resumes = self.is_paused && self.response.body.unwritten() <= BACKLOG / 2;
        self.is_paused &= !resumes;
        if resumes { self.producer.clone() } else { None }
    }
}
