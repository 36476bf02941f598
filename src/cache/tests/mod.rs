//! Stores in memory and on a real disk. Jobs are run where the test says so.

use super::*;
use crate::files::scratch::Scratch;
use crate::http::FieldLines;
use crate::http::caching::{Freshness, variant};
use std::os::unix::fs::FileExt;
use std::rc::Rc;

mod directory;
mod entries;
mod faults;
mod growing;
mod random;

/// Who waits is a number.
type TestStore = Store<u32>;

const MIB: u64 = 1024 * 1024;

fn limits() -> Limits {
    Limits { memory: 8 * MIB, disk: 64 * MIB, entries: 10_000, object: 4 * MIB, files: 16 }
}

/// The freshness of a response that was received in this second.
fn freshness(received: i64) -> Freshness {
    let mut bytes = [0; Freshness::BYTES];
    bytes[..8].copy_from_slice(&received.to_le_bytes());
    bytes[8..16].copy_from_slice(&received.to_le_bytes());
    bytes[20..24].copy_from_slice(&600_u32.to_le_bytes());
    Freshness::from_bytes(&bytes).unwrap()
}

fn fields(lines: &[(&str, &str)]) -> FieldLines {
    FieldLines::of(lines.iter().map(|&(name, value)| (name, value.as_bytes())))
}

/// The content of a version of a response.
fn content(version: i64, length: usize) -> Vec<u8> {
    (0..length).map(|at| ((at * 31 + version as usize * 7 + at / 1000) % 251) as u8).collect()
}

fn head(version: i64) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nX-Version: {version}\r\nCache-Tag: even-{}, all\r\n\r\n", version % 2).into()
}

/// What is stored: a version for a URI, and the value of the one field in Vary, if there is any.
#[derive(Clone, Copy)]
struct Item<'a> {
    uri: &'a str,
    vary: Option<&'a str>,
    version: i64,
    length: usize,
}

fn item(uri: &str, version: i64, length: usize) -> Item<'_> {
    Item { uri, vary: None, version, length }
}

fn request(vary: Option<&str>) -> FieldLines {
    fields(vary.map(|value| ("X-Vary", value)).as_slice())
}

fn begin(store: &mut TestStore, item: Item<'_>, length: Option<u64>) -> Option<FillingId> {
    let names: &[u8] = if item.vary.is_some() { b"x-vary" } else { b"" };
    let mut variant_key = Vec::new();
    variant::write_key(names, &request(item.vary).fields(), &mut variant_key);
    store.begin(New {
        key: store.key(item.uri.as_bytes()),
        uri: item.uri.as_bytes(),
        names,
        variant_key: &variant_key,
        head: &head(item.version),
        freshness: freshness(item.version),
        length,
        producer: 99,
    })
}

/// Stores a response in pieces; doesn't run jobs.
fn store_pieces(store: &mut TestStore, item: Item<'_>, piece: usize) -> Option<EntryId> {
    let id = begin(store, item, None)?;
    for piece in content(item.version, item.length).chunks(piece) {
        if store.append(id, piece) == Appended::Failed {
            return None;
        }
    }
    store.end(id)
}

fn put(store: &mut TestStore, item: Item<'_>) -> Option<EntryId> {
    store_pieces(store, item, 50_000)
}

/// Runs jobs until there are none.
fn run(store: &mut TestStore) {
    while let Some(job) = store.next_job() {
        job.run();
        store.collect(0);
    }
}

/// The bytes of a body that are there.
fn body(response: &Response) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(part) = response.read(bytes.len() as u64) {
        match part {
            Part::Memory(part) => bytes.extend_from_slice(&part),
            Part::Growing(part) => bytes.extend_from_slice(&part),
            Part::File(slice) => {
                let file = std::fs::File::from(slice.file.try_clone().unwrap());
                let mut part = vec![0; slice.length as usize];
                file.read_exact_at(&mut part, slice.offset).unwrap();
                bytes.extend_from_slice(&part);
            }
        }
    }
    assert_eq!(bytes.len() as u64, if response.state() == State::Failed { 0 } else { response.available() });
    bytes
}

fn find(store: &TestStore, uri: &str, vary: Option<&str>) -> Found {
    store.find(store.key(uri.as_bytes()), &request(vary).fields())
}

/// Loads an entry, with all jobs that this needs.
fn load(store: &mut TestStore, id: EntryId, uri: &str) -> Option<Rc<Response>> {
    for _ in 0..2 {
        match store.load(id, uri.as_bytes(), 7) {
            Load::Ready(response) => return Some(response),
            Load::Gone => return None,
            Load::Pending => run(store),
        }
    }
    None
}

/// The versions of the head and of the body that a request gets, and the body's length.
fn get(store: &mut TestStore, uri: &str, vary: Option<&str>) -> Option<(i64, i64, usize)> {
    let Found::Entry(id) = find(store, uri, vary) else { return None };
    let response = load(store, id, uri)?;
    assert_eq!(response.uri(), uri.as_bytes());
    Some(versions(&response))
}

fn versions(response: &Response) -> (i64, i64, usize) {
    let text = std::str::from_utf8(response.head()).unwrap();
    let version: i64 = text.split("X-Version: ").nth(1).unwrap().split('\r').next().unwrap().parse().unwrap();
    assert_eq!(**response.head(), *head(version));
    assert_eq!((*response.freshness(), response.state()), (freshness(version), State::Whole));
    let bytes = body(response);
    // An update changes the head only.
    let begin = bytes.len().min(16);
    let is_of = |version: &i64| content(*version, begin) == bytes[..begin] && content(*version, bytes.len()) == bytes;
    let of_body = (0..=version).rev().find(is_of);
    (version, of_body.expect("the body is of no version"), bytes.len())
}

fn open(files: &Scratch) -> TestStore {
    open_with(files, limits())
}

fn open_with(files: &Scratch, limits: Limits) -> TestStore {
    Store::open(&files.at("cache"), limits).unwrap()
}

/// A new store in the same directory that knows all entries.
fn reopen(store: TestStore, files: &Scratch) -> TestStore {
    drop(store);
    let mut store = open(files);
    run(&mut store);
    assert!(!store.figures().scanning && store.is_idle());
    store
}

/// All files of entries, below the directory.
fn stored_files(files: &Scratch) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(files.at("cache")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    found.sort();
    found
}

/// Who is to be woken.
fn wakes(store: &mut TestStore) -> Vec<u32> {
    std::iter::from_fn(|| store.next_wake()).collect()
}
