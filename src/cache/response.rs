//! A response that readers share, also while it still grows.
//!
//! ```text
//! body   ├── in the file ──┤── in memory, in chunks ──┤
//!        0            in_file                    available
//! ```
//!
//! A small body is in memory whole. A large one goes to a file, if there is a directory, and
//! only what isn't written yet is in memory. So a reader at any place has its bytes at once: from
//! memory, or as a stretch of the file. All chunks but the last are full, so the place of a byte
//! is a division.

use std::cell::{Cell, OnceCell, Ref, RefCell};
use std::collections::VecDeque;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;

use super::format::INLINE;
use crate::http::Status;
use crate::http::caching::Freshness;
use crate::http::compressing::Traits;
use crate::http::response::{field_lines, written_fields};
use crate::reactor::{Bytes, FileSlice};

/// The size of a chunk in bytes.
pub(super) const CHUNK: usize = INLINE as usize;

/// A response that is being stored.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct FillingId(pub(super) u64);

/// How far a response is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// More bytes come.
    Growing,
    /// All bytes are there.
    Whole,
    /// It ended before its end, or can't be kept. Nothing of it can be read any more.
    Failed,
}

/// Bytes of a body.
pub enum Part<'a> {
    /// In memory.
    Memory(Bytes),
    /// In memory, and more follow in the same place. Don't keep it: the body can't grow meanwhile.
    Growing(Ref<'a, [u8]>),
    /// In a file.
    File(FileSlice),
}

/// A stored response.
pub struct Response {
    pub(super) uri: Rc<[u8]>,
    pub(super) head: Rc<[u8]>,
    pub(super) freshness: Freshness,
    pub(super) body: Rc<Body>,
    /// What decides about content codings, and where in the head the value of Content-Type is.
    traits: OnceCell<(Traits<'static>, Range<usize>)>,
    has_urls: OnceCell<bool>,
}

/// Its body. After an update of the head two responses have the same.
pub(super) struct Body {
    expected: Option<u64>,
    pub(super) filling: Option<FillingId>,
    state: Cell<State>,
    bytes: RefCell<Content>,
    /// What it will need in memory, in bytes, as far as that is known.
    reserved: u64,
    held: Held,
}

#[derive(Default)]
struct Content {
    file: Option<Rc<OwnedFd>>,
    in_file: u64,
    available: u64,
    chunks: VecDeque<Arc<Vec<u8>>>,
    /// How many chunks went to the disk, from the first one.
    sealed: usize,
}

/// What responses hold that can't be evicted: those that grow or are being written.
#[derive(Clone, Default)]
pub(super) struct Meter(Rc<Cell<u64>>);

impl Meter {
    /// In bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.0.get()
    }
}

/// The share of one response in a meter.
struct Held {
    meter: Meter,
    bytes: Cell<u64>,
}

impl Held {
    fn set(&self, bytes: u64) {
        let before = self.bytes.replace(bytes);
        self.meter.0.set(self.meter.0.get() - before + bytes);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.set(0);
    }
}

impl Response {
    /// A response with this body, which may be one that others have.
    pub(super) fn new(
        uri: impl Into<Rc<[u8]>>,
        head: impl Into<Rc<[u8]>>,
        freshness: Freshness,
        body: Rc<Body>,
    ) -> Rc<Self> {
        let (traits, has_urls) = Default::default();
        Rc::new(Self { uri: uri.into(), head: head.into(), freshness, body, traits, has_urls })
    }

    /// The URI.
    pub fn uri(&self) -> &[u8] {
        &self.uri
    }

    /// The stored head, for [`parse`](crate::http::client::parse).
    pub fn head(&self) -> &Rc<[u8]> {
        &self.head
    }

    /// Its status. It is always there: the head was parsed when it was stored.
    pub fn status(&self) -> Option<Status> {
        let digits = self.head.get(b"HTTP/1.1 ".len()..)?.get(..3)?;
        std::str::from_utf8(digits).ok()?.parse().ok().map(Status)
    }

    /// Its field lines.
    pub fn lines(&self) -> &[u8] {
        field_lines(&self.head)
    }

    /// What decides about content codings. It is found out once.
    pub fn traits(&self) -> Traits<'_> {
        let (traits, at) = self.traits.get_or_init(|| {
            let traits = Traits::of(self.status().unwrap_or(Status(0)), written_fields(self.lines()));
            let at = traits.content_type().map(|value| {
                let begin = value.as_ptr() as usize - self.head.as_ptr() as usize;
                begin..begin + value.len()
            });
            (traits.with_content_type(None), at.unwrap_or_default())
        });
        traits.with_content_type(self.head.get(at.clone()).filter(|value| !value.is_empty()))
    }

    /// Whether a field may have a URL with a host. It is found out once.
    pub fn has_urls(&self) -> bool {
        *self.has_urls.get_or_init(|| memchr::memmem::find(&self.head, b"//").is_some())
    }

    /// Its freshness.
    pub fn freshness(&self) -> &Freshness {
        &self.freshness
    }

    /// How many bytes the body will have, if that is known.
    pub fn length(&self) -> Option<u64> {
        match self.state() {
            State::Whole => Some(self.available()),
            State::Growing | State::Failed => self.body.expected,
        }
    }

    /// How many bytes of the body are there.
    pub fn available(&self) -> u64 {
        self.body.bytes.borrow().available
    }

    /// How far it is.
    pub fn state(&self) -> State {
        self.body.state.get()
    }

    /// Bytes of the body from `offset` on, as many as there are in one piece; none if there are
    /// none there now.
    pub fn read(&self, offset: u64) -> Option<Part<'_>> {
        self.body.read(offset)
    }

    /// What it takes in memory, in bytes.
    pub(super) fn memory(&self) -> u64 {
        /// The allocations of the parts, as the allocator rounds them up.
        const PARTS: usize = size_of::<Response>() + size_of::<Body>() + 5 * 16 + 2 * 24;
        let chunks = &self.body.bytes.borrow().chunks;
        let body: usize = chunks.iter().map(|chunk| chunk.capacity()).sum();
        (PARTS + self.uri.len() + self.head.len() + body) as u64
    }

    /// Whether its body is in a file.
    pub(super) fn has_file(&self) -> bool {
        self.body.bytes.borrow().file.is_some()
    }
}

impl Body {
    /// The body of a response that begins. `expected` is its length in bytes, if it is known;
    /// `reserved` is what it will need in memory at first.
    pub(super) fn growing(filling: FillingId, expected: Option<u64>, reserved: u64, meter: &Meter) -> Self {
        let held = Held { meter: meter.clone(), bytes: Cell::new(0) };
        held.set(reserved);
        let state = Cell::new(State::Growing);
        Self { expected, filling: Some(filling), state, bytes: RefCell::default(), reserved, held }
    }

    fn whole(bytes: Content) -> Self {
        let held = Held { meter: Meter::default(), bytes: Cell::new(0) };
        let state = Cell::new(State::Whole);
        Self { expected: Some(bytes.available), filling: None, state, bytes: RefCell::new(bytes), reserved: 0, held }
    }

    /// A small body.
    pub(super) fn in_memory(bytes: Vec<u8>) -> Self {
        let available = bytes.len() as u64;
        let chunks = VecDeque::from_iter((available > 0).then(|| Arc::new(bytes)));
        Self::whole(Content { available, chunks, ..Content::default() })
    }

    /// A large body in a file.
    pub(super) fn in_file(file: OwnedFd, length: u64) -> Self {
        Self::whole(Content { file: Some(Rc::new(file)), in_file: length, available: length, ..Content::default() })
    }

    pub(super) fn expected(&self) -> Option<u64> {
        self.expected
    }

    fn read(&self, offset: u64) -> Option<Part<'_>> {
        let bytes = self.bytes.borrow();
        if self.state.get() == State::Failed || offset >= bytes.available {
            return None;
        }
        if let Some(file) = bytes.file.as_ref().filter(|_| offset < bytes.in_file) {
            return Some(Part::File(FileSlice { file: Rc::clone(file), offset, length: bytes.in_file - offset }));
        }
        let place = usize::try_from(offset.checked_sub(bytes.in_file)?).ok()?;
        let (number, start) = (place / CHUNK, place % CHUNK);
        let chunk = bytes.chunks.get(number)?;
        if chunk.len() == CHUNK || self.state.get() == State::Whole {
            return Some(Part::Memory(Bytes::stored(Arc::clone(chunk), start)));
        }
        Ref::filter_map(bytes, |bytes| bytes.chunks.get(number)?.get(start..)).ok().map(Part::Growing)
    }

    /// Appends bytes.
    pub(super) fn append(&self, mut new: &[u8]) {
        let bytes = &mut *self.bytes.borrow_mut();
        while !new.is_empty() {
            if bytes.chunks.back().is_none_or(|chunk| chunk.len() >= CHUNK) {
                // The first chunk of an unknown length grows; one that has filled it fills more.
                let first = self.expected.unwrap_or(new.len() as u64);
                let size = if bytes.available == 0 { first.min(CHUNK as u64) as usize } else { CHUNK };
                bytes.chunks.push_back(Arc::new(Vec::with_capacity(size)));
            }
            // Only full chunks are shared, and the last when all is whole.
            let Some(last) = bytes.chunks.back_mut().and_then(Arc::get_mut) else { return };
            let (taken, rest) = new.split_at(new.len().min(CHUNK - last.len()));
            last.extend_from_slice(taken);
            bytes.available += taken.len() as u64;
            new = rest;
        }
        self.measure(bytes);
    }

    fn measure(&self, bytes: &Content) {
        let reserved = if self.state.get() == State::Growing { self.reserved } else { 0 };
        let used = bytes.chunks.iter().map(|chunk| chunk.capacity() as u64).sum();
        self.held.set(reserved.max(used));
    }

    /// How many more bytes of memory it needs for `count` more bytes, if none of it goes to a file.
    pub(super) fn needs(&self, count: usize) -> u64 {
        (self.unwritten() + count as u64).saturating_sub(self.held.bytes.get())
    }

    /// The next full chunk that is to be written to the disk. If the body is `whole`, also the
    /// last one, which needn't be full.
    pub(super) fn seal(&self, whole: bool) -> Option<Arc<Vec<u8>>> {
        let mut bytes = self.bytes.borrow_mut();
        let chunk = bytes.chunks.get(bytes.sealed).filter(|chunk| whole || chunk.len() == CHUNK).cloned()?;
        bytes.sealed += 1;
        Some(chunk)
    }

    /// The disk has the first `length` bytes; `file` is given the first time.
    pub(super) fn written(&self, file: Option<OwnedFd>, length: u64) {
        let bytes = &mut *self.bytes.borrow_mut();
        if let Some(file) = file {
            bytes.file = Some(Rc::new(file));
        }
        while bytes.in_file < length
            && bytes.file.is_some()
            && let Some(chunk) = bytes.chunks.pop_front()
        {
            bytes.in_file += chunk.len() as u64;
            bytes.sealed = bytes.sealed.saturating_sub(1);
        }
        self.measure(bytes);
    }

    /// How many bytes aren't written yet.
    pub(super) fn unwritten(&self) -> u64 {
        let bytes = self.bytes.borrow();
        bytes.available - bytes.in_file
    }

    /// All bytes are there.
    pub(super) fn finish(&self) {
        self.state.set(State::Whole);
        let bytes = &mut *self.bytes.borrow_mut();
        if let Some(last) = bytes.chunks.back_mut().and_then(Arc::get_mut) {
            last.shrink_to_fit();
        }
        self.measure(bytes);
    }

    /// It is given up.
    pub(super) fn fail(&self) {
        self.state.set(State::Failed);
        let bytes = &mut *self.bytes.borrow_mut();
        bytes.chunks.clear();
        bytes.file = None;
        self.measure(bytes);
    }

    /// It can be evicted from now on.
    pub(super) fn release(&self) {
        self.held.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(body: &Body, offset: u64) -> Option<Vec<u8>> {
        match body.read(offset)? {
            Part::Memory(bytes) => Some(bytes.to_vec()),
            Part::Growing(bytes) => Some(bytes.to_vec()),
            Part::File(slice) => Some(format!("file {}+{}", slice.offset, slice.length).into()),
        }
    }

    #[test]
    fn bytes_are_read_while_the_body_grows_and_moves_to_a_file() {
        let meter = Meter::default();
        let body = Body::growing(FillingId(1), None, 0, &meter);
        assert!(text(&body, 0).is_none() && body.seal(false).is_none());
        body.append(b"ab");
        body.append(b"c");
        assert_eq!((text(&body, 1).as_deref(), text(&body, 3)), (Some(&b"bc"[..]), None));
        body.append(&vec![b'x'; 2 * CHUNK]);
        let place = CHUNK as u64;
        assert_eq!(text(&body, place - 1).as_deref(), Some(&b"x"[..]), "chunks are read one by one");
        assert_eq!((body.unwritten(), meter.bytes()), (2 * place + 3, 3 * place));
        assert!(body.seal(false).is_some_and(|chunk| chunk.starts_with(b"abcx")));
        body.written(Some(std::fs::File::open("/dev/null").unwrap().into()), place);
        assert_eq!(text(&body, 5), Some(format!("file 5+{}", place - 5).into()));
        assert_eq!(text(&body, place).map(|bytes| bytes.len()), Some(CHUNK));
        assert!(body.seal(false).is_some() && body.seal(false).is_none());
        body.finish();
        assert!(body.seal(true).is_some_and(|chunk| chunk.len() == 3) && body.seal(true).is_none());
        assert_eq!(meter.bytes(), place + 3, "nothing is held that isn't used");
        body.written(None, 2 * place + 3);
        assert_eq!((text(&body, 0), meter.bytes()), (Some(format!("file 0+{}", 2 * place + 3).into()), 0));
        drop(body);
        assert_eq!(meter.bytes(), 0);
    }

    #[test]
    fn what_is_complete_is_read_without_a_copy() {
        let body = Body::growing(FillingId(1), None, 0, &Meter::default());
        body.append(&vec![b'x'; CHUNK + 1]);
        let place = |offset| match body.read(offset) {
            Some(Part::Memory(bytes)) => Some(bytes.as_ptr()),
            _ => None,
        };
        let (first, second) = (place(0), place(1));
        assert_eq!((first.is_some(), first.map(|first| first.wrapping_add(1))), (true, second));
        assert!(matches!(body.read(CHUNK as u64), Some(Part::Growing(bytes)) if bytes[..] == *b"x"));
        // What a reader holds stays when the response is given up.
        let Some(Part::Memory(held)) = body.read(0) else { panic!("a full chunk is shared") };
        body.append(b"y");
        body.finish();
        assert!(place(CHUNK as u64).is_some());
        body.fail();
        assert!(body.read(0).is_none() && held.iter().all(|byte| *byte == b'x'));
    }

    #[test]
    fn nothing_of_a_failed_body_can_be_read() {
        let meter = Meter::default();
        let body = Body::growing(FillingId(1), Some(7), 7, &meter);
        assert_eq!((meter.bytes(), body.needs(7), body.needs(9)), (7, 0, 2));
        body.append(b"ab");
        assert_eq!((meter.bytes(), body.needs(5)), (7, 0));
        body.fail();
        assert_eq!((text(&body, 0), body.state.get(), meter.bytes()), (None, State::Failed, 0));
        body.append(b"ab");
        drop(body);
        assert_eq!(meter.bytes(), 0);
    }

    #[test]
    fn a_stored_body_is_whole() {
        let body = Body::in_memory(b"abc".to_vec());
        assert_eq!((text(&body, 0).as_deref(), text(&body, 3)), (Some(&b"abc"[..]), None));
        assert!(text(&Body::in_memory(Vec::new()), 0).is_none());
        let body = Body::in_file(std::fs::File::open("/dev/null").unwrap().into(), 9);
        assert_eq!(text(&body, 2).as_deref(), Some(&b"file 2+7"[..]));
    }
}
