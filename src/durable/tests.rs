//! Stores on a real disk.

use super::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

const CAPACITY: usize = 64 * 1024;

/// A directory that doesn't exist yet; it is removed when this is dropped.
struct TempDir(PathBuf);

impl TempDir {
    fn new() -> Self {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        Self(std::env::temp_dir().join(format!("miod-durable-{}-{number}", std::process::id())))
    }

    fn open(&self) -> Result<Store, OpenError> {
        Store::open(&self.0.join("below"), "test", CAPACITY)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn put(key: &str, value: &str, expires: Option<i64>) -> Change {
    Change::Put(key.as_bytes().into(), Record { value: value.as_bytes().into(), expires })
}

fn remove(key: &str) -> Change {
    Change::Remove(key.as_bytes().into())
}

/// Writes, and waits for the commit.
fn write(store: &mut Store, changes: Vec<Change>, now: i64) -> Result<bool, WriteError> {
    match store.write(changes, now)? {
        Written::Now(was) => Ok(was),
        Written::Later(commit) => commit.wait(),
    }
}

fn get(store: &mut Store, key: &str, now: i64) -> Option<String> {
    store.get(key.as_bytes(), now).map(|record| String::from_utf8(record.value.to_vec()).unwrap())
}

#[test]
fn written_records_survive_reopening() {
    let dir = TempDir::new();
    let mut store = dir.open().unwrap();
    assert_eq!(write(&mut store, vec![put("a", "1", None), put("b", "2", Some(10))], 0), Ok(false));
    assert_eq!(write(&mut store, vec![put("a", "3", None)], 0), Ok(true));
    assert_eq!(write(&mut store, vec![put("c", "4", None)], 0), Ok(false));
    assert_eq!(write(&mut store, vec![remove("c")], 0), Ok(true));
    assert_eq!(write(&mut store, vec![remove("c")], 0), Ok(false));
    for _ in 0..2 {
        let all: Vec<_> = store.range(.., 0).map(|(key, record)| (key.to_vec(), record.value.to_vec())).collect();
        assert_eq!(all, [(b"a".to_vec(), b"3".to_vec()), (b"b".to_vec(), b"2".to_vec())]);
        drop(store);
        store = dir.open().unwrap();
    }
    assert_eq!(get(&mut store, "b", 9).as_deref(), Some("2"));
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(dir.0.join("below")), mode(dir.0.join("below/test.redb"))), (0o700, 0o600));
}

#[test]
fn a_record_is_visible_only_when_it_is_on_disk() {
    let dir = TempDir::new();
    let mut store = dir.open().unwrap();
    let Ok(Written::Later(commit)) = store.write(vec![put("a", "1", None)], 0) else { panic!() };
    assert_eq!(get(&mut store, "a", 0), None);
    let latest = |store: &mut Store| store.latest(b"a", 0).map(|record| record.value.to_vec());
    assert_eq!((latest(&mut store), commit.outcome()), (Some(b"1".to_vec()), None));
    commit.clone().wait().unwrap();
    assert_eq!((get(&mut store, "a", 0).as_deref(), commit.outcome()), (Some("1"), Some(Ok(false))));
    assert_eq!((latest(&mut store), store.pending.len()), (Some(b"1".to_vec()), 0));
    let Ok(Written::Later(commit)) = store.write(vec![remove("a")], 0) else { panic!() };
    assert_eq!((latest(&mut store), get(&mut store, "a", 0).as_deref()), (None, Some("1")));
    drop(commit);
}

#[test]
fn an_expired_record_leaves_memory_at_once_and_the_disk_with_the_next_batch() {
    let dir = TempDir::new();
    let mut store = dir.open().unwrap();
    write(&mut store, vec![put("a", "1", Some(10)), put("b", "2", Some(10))], 0).unwrap();
    assert_eq!((get(&mut store, "a", 9).is_some(), get(&mut store, "a", 10)), (true, None));
    assert_eq!(store.bytes(), 0);
    // The key gets a new record before the expired row is removed from the disk.
    let Ok(Written::Later(again)) = store.write(vec![put("a", "3", Some(30))], 11) else { panic!() };
    assert_eq!(again.wait(), Ok(false));
    assert_eq!(get(&mut store, "a", 12).as_deref(), Some("3"));
    drop(store);
    let mut store = dir.open().unwrap();
    assert_eq!((get(&mut store, "a", 0).as_deref(), get(&mut store, "b", 0)), (Some("3"), None));
}

#[test]
fn the_capacity_is_a_limit() {
    let dir = TempDir::new();
    for mut store in [Store::in_memory(CAPACITY), dir.open().unwrap()] {
        let half = "x".repeat(CAPACITY / 2);
        write(&mut store, vec![put("a", &half, Some(10))], 0).unwrap();
        assert_eq!(write(&mut store, vec![put("b", &half, None)], 0), Err(WriteError::Full));
        assert_eq!(get(&mut store, "b", 0), None);
        // A replaced record makes room.
        assert_eq!(write(&mut store, vec![put("a", &half, Some(10))], 0), Ok(true));
        // An expired record makes room.
        assert_eq!(write(&mut store, vec![put("b", &half, None)], 10), Ok(false));
        assert_eq!(write(&mut store, vec![remove("b")], 10), Ok(true));
        get(&mut store, "b", 10);
        assert_eq!(store.bytes(), 0);
    }
    // Pending writes count.
    let mut store = TempDir::new().open().unwrap();
    let half = "x".repeat(CAPACITY / 2);
    let first = store.write(vec![put("a", &half, None)], 0);
    assert!(matches!(store.write(vec![put("b", &half, None)], 0), Err(WriteError::Full)));
    drop(first);
}

#[test]
fn a_dropped_store_has_committed_everything_and_can_be_opened_again() {
    let dir = TempDir::new();
    let mut store = dir.open().unwrap();
    let Ok(Written::Later(commit)) = store.write(vec![put("a", "1", None)], 0) else { panic!() };
    drop(store);
    let mut store = dir.open().expect("a pending write keeps no lock");
    assert_eq!((get(&mut store, "a", 0).as_deref(), commit.wait()), (Some("1"), Ok(false)));
}

#[test]
fn a_store_is_opened_once_and_damage_is_reported() {
    let dir = TempDir::new();
    let store = dir.open().unwrap();
    let message = |dir: &TempDir| dir.open().err().expect("it opens").to_string();
    assert_eq!(message(&dir), "another process has it open");
    drop(store);
    let file = dir.0.join("below/test.redb");
    for content in [&b""[..], b"no store", &[0; 100], &[0xff; 100_000]] {
        fs::write(&file, content).unwrap();
        assert!(message(&dir).starts_with("this is no store of miod"), "{}", message(&dir));
        let copied = Store::copy(&dir.0.join("below"), "test").err().expect("it is copied");
        assert_eq!(copied.error.kind(), std::io::ErrorKind::InvalidData);
        assert_eq!(fs::read(&file).unwrap(), content, "it is left as it is");
    }
    fs::write(&file, "").unwrap();
    assert!(message(&dir).contains("the file is empty; if it is removed"), "{}", message(&dir));
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    assert!(message(&dir).contains("directory"), "{}", message(&dir));
}

#[test]
fn a_copy_is_consistent_during_writes() {
    let dir = TempDir::new();
    let mut store = dir.open().unwrap();
    let copy = || Store::copy(&dir.0.join("below"), "test");
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let first = "x".repeat(1000);
    // Both keys are always changed together.
    write(&mut store, vec![put("a", &first, None), put("b", &first, None)], 0).unwrap();
    let writer = std::thread::spawn(move || {
        let mut round = 0;
        while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
            round += 1;
            let value = format!("{round}").repeat(1000);
            write(&mut store, vec![put("a", &value, None), put("b", &value, None)], 0).unwrap();
            // redb reuses freed space.
            write(&mut store, vec![put(&(round % 7).to_string(), &value, None)], 0).unwrap();
        }
        round
    });
    for _ in 0..20 {
        let mut copy = copy().unwrap();
        assert!(get(&mut copy, "a", 0).is_some() && get(&mut copy, "a", 0) == get(&mut copy, "b", 0));
    }
    drop(stop);
    assert!(writer.join().unwrap() > 0);
    assert!(Store::copy(&dir.0, "none").is_err_and(|error| error.error.kind() == std::io::ErrorKind::NotFound));
}

#[test]
fn a_damaged_store_never_panics() {
    let dir = TempDir::new();
    let mut store = dir.open().unwrap();
    for key in 0..100 {
        write(&mut store, vec![put(&key.to_string(), &"value ".repeat(40), None)], 0).unwrap();
    }
    drop(store);
    let file = dir.0.join("below/test.redb");
    let whole = fs::read(&file).unwrap();
    let ends = [1, 8, 64, 100, 319, 320, 4095, 4096, 5000, whole.len() / 2, whole.len() - 4096, whole.len() - 1];
    for end in ends {
        fs::write(&file, &whole[..end]).unwrap();
        let copied = Store::copy(&dir.0.join("below"), "test").map(|mut store| store.range(.., 0).count());
        let opened = dir.open().map(|mut store| store.range(.., 0).count());
        for (how, result) in [("copied", copied), ("opened", opened)] {
            match result {
                // What is missing wasn't used.
                Ok(count) => assert_eq!(count, 100, "{how}, cut at {end}"),
                Err(error) => assert_eq!(error.error.kind(), std::io::ErrorKind::InvalidData, "{how}, cut at {end}"),
            }
        }
    }
    for at in (0..whole.len()).step_by(whole.len() / 61) {
        let mut damaged = whole.clone();
        damaged[at..(at + 64).min(whole.len())].fill(0xa5);
        fs::write(&file, damaged).unwrap();
        // The damage is detected, or it hit unused bytes.
        if let Ok(mut store) = dir.open() {
            assert_eq!(
                store.range(.., 0).filter(|(_, record)| *record.value == *"value ".repeat(40).as_bytes()).count(),
                100
            );
        }
    }
}
