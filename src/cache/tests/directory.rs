//! The directory: who may have it, what is in it after a start, and damaged files.

use super::*;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

fn refusal(files: &Scratch) -> (ErrorKind, String) {
    let error = Store::<u32>::open(&files.at("cache"), limits()).err().expect("it opens");
    (error.error.kind(), error.to_string())
}

#[test]
fn a_directory_has_one_store() {
    let files = Scratch::new();
    let store = open(&files);
    // A lock is one of the open file, so it is the same for two processes.
    assert_eq!(refusal(&files), (ErrorKind::ResourceBusy, "another process uses it as its cache".to_owned()));
    assert!(Directory::open(&files.at("cache")).is_ok(), "it may be read");
    assert!(Directory::open_to_change(&files.at("cache")).is_err());
    drop(store);
    let store = open(&files);
    let mode = |path: &str| fs::metadata(files.at(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("cache"), mode("cache/miod-cache")), (0o700, 0o600));
    drop(store);
    // Another directory has other names.
    let other = Scratch::new();
    assert_ne!(open(&files).key(b"http://a/"), open(&other).key(b"http://a/"));
}

#[test]
fn what_is_no_cache_is_left_alone() {
    let files = Scratch::new();
    files.directory("cache");
    files.file("cache/letter", "dear");
    let (kind, message) = refusal(&files);
    assert_eq!(kind, ErrorKind::DirectoryNotEmpty);
    assert!(message.contains("\"letter\"") && message.contains("isn't the directory of a cache"), "{message}");
    assert_eq!(fs::read_dir(files.at("cache")).unwrap().count(), 1);
    assert!(Directory::open(&files.at("cache")).is_err() && Directory::open(&files.at("none")).is_err());
    assert!(!files.at("none").exists());
    fs::remove_file(files.at("cache/letter")).unwrap();
    // The top of a file system, and what a process left that ended while it began.
    files.directory("cache/lost+found");
    files.file("cache/miod-cache.new", "miod ca");
    drop(open(&files));
    // What is put there later is left alone as well.
    files.file("cache/letter", "dear");
    files.directory("cache/00");
    files.file("cache/00/letter", "dear");
    let store = open(&files);
    drop(reopen(store, &files));
    assert!(files.at("cache/letter").exists() && files.at("cache/00/letter").exists());
    for marker in ["", "miod cache 1\n", "miod cache 2\n0000", "miod cache 1\nxyz\n"] {
        files.file("cache/miod-cache", marker);
        assert_eq!(refusal(&files).0, ErrorKind::InvalidData, "{marker}");
    }
    let files = Scratch::new();
    files.file("cache", "dear");
    assert!(Store::<u32>::open(&files.at("cache"), limits()).is_err());
}

#[test]
fn serving_does_not_wait_for_the_scan() {
    let files = Scratch::new();
    let mut store = open(&files);
    let uris: Vec<_> = (0..300).map(|number| format!("http://a/{number}")).collect();
    for uri in &uris {
        put(&mut store, item(uri, 1, 10)).unwrap();
        run(&mut store);
    }
    drop(store);
    let mut store = open(&files);
    // Not known yet: a miss. It is stored again, removed, purged, while the scan goes on.
    assert!(store.figures().scanning && find(&store, &uris[0], None) == Found::Nothing);
    put(&mut store, item(&uris[0], 2, 20)).unwrap();
    store.remove_uri(store.key(uris[1].as_bytes()));
    let job = store.next_job().unwrap();
    let mut steps = 1;
    // While a step is under way.
    store.remove_uri(store.key(uris[2].as_bytes()));
    put(&mut store, item(&uris[3], 2, 20)).unwrap();
    job.run();
    store.collect(0);
    while let Some(job) = store.next_job() {
        let before = store.figures().entries;
        store.remove_uri(store.key(uris[4].as_bytes()));
        job.run();
        store.collect(0);
        assert!(store.figures().entries <= before + walk::STEP, "a step is small");
        steps += 1;
        assert!(steps < 100);
    }
    assert!(steps > 4 && !store.figures().scanning);
    for _ in 0..2 {
        assert_eq!(store.figures().entries, uris.len() - 3);
        for (number, uri) in uris.iter().enumerate() {
            let expected = match number {
                0 | 3 => Some((2, 2, 20)),
                1 | 2 | 4 => None,
                _ => Some((1, 1, 10)),
            };
            assert_eq!(get(&mut store, uri, None), expected, "{uri}");
        }
        store = reopen(store, &files);
    }
}

#[test]
fn what_is_removed_during_a_step_of_the_scan_is_not_found() {
    let files = Scratch::new();
    let mut store = open(&files);
    let uris: Vec<_> = (0..100).map(|number| format!("http://a/{number}")).collect();
    for uri in &uris {
        put(&mut store, item(uri, 1, 10)).unwrap();
        run(&mut store);
    }
    drop(store);
    let mut store = open(&files);
    let job = store.next_job().unwrap();
    uris.iter().for_each(|uri| store.remove_uri(store.key(uri.as_bytes())));
    job.run();
    store.collect(0);
    assert!(uris.iter().all(|uri| find(&store, uri, None) == Found::Nothing));
    run(&mut store);
    assert_eq!((store.figures().entries, stored_files(&files).len()), (0, 0));
}

#[test]
fn the_scan_cleans_up() {
    let files = Scratch::new();
    let mut store = open(&files);
    for (uri, length) in [("http://a/", 10), ("http://b/", 100_000), ("http://c/", 100_000)] {
        put(&mut store, item(uri, 1, length)).unwrap();
    }
    // A process that ends leaves what it was writing.
    let id = begin(&mut store, item("http://d/", 1, 0), None).unwrap();
    store.append(id, &content(1, 100_000));
    run(&mut store);
    assert_eq!(stored_files(&files).len(), 6);
    let body_of = |store: &TestStore, uri: &str| {
        let name = key::Name { key: store.key(uri.as_bytes()), variant: store.secret.variant(b"", b"") };
        format!("cache/{:02x}/{}.body", name.key.directory(), name.text())
    };
    let (b, c) = (body_of(&store, "http://b/"), body_of(&store, "http://c/"));
    fs::remove_file(files.at(&b)).unwrap();
    fs::remove_file(files.at(c.strip_suffix(".body").unwrap())).unwrap();
    let mut store = reopen(store, &files);
    assert_eq!((stored_files(&files).len(), store.figures().entries), (1, 1));
    assert!(get(&mut store, "http://a/", None).is_some() && get(&mut store, "http://b/", None).is_none());
    // The name of one entry, the content of another.
    put(&mut store, item("http://e/", 1, 10)).unwrap();
    run(&mut store);
    let [one, other] = &stored_files(&files)[..] else { panic!() };
    fs::copy(one, other).unwrap();
    let store = reopen(store, &files);
    assert_eq!(store.figures().entries, 1);
}

/// Whatever is done to a file, the entry is as it was or a miss, and the store goes on.
#[test]
fn damage_is_a_miss() {
    for length in [100, 70_000] {
        let files = Scratch::new();
        let mut store = open(&files);
        put(&mut store, item("http://a/", 1, length)).unwrap();
        run(&mut store);
        drop(store);
        for path in stored_files(&files) {
            let whole = fs::read(&path).unwrap();
            let step = (whole.len() / 200).max(1);
            let cuts = (0..whole.len()).step_by(step).map(|at| whole[..at].to_vec());
            let flips = (0..whole.len()).step_by(step).map(|at| {
                let mut bytes = whole.clone();
                bytes[at] ^= 1 << (at % 8);
                bytes
            });
            let longer = [&whole[..], b"x"].concat();
            for damaged in cuts.chain(flips).chain([longer, vec![0; whole.len()]]) {
                let others: Vec<_> =
                    stored_files(&files).into_iter().map(|path| (fs::read(&path).unwrap(), path)).collect();
                fs::write(&path, &damaged).unwrap();
                let mut store = open(&files);
                run(&mut store);
                assert_eq!(get(&mut store, "http://a/", None), None, "{} of {}", damaged.len(), path.display());
                run(&mut store);
                assert_eq!(stored_files(&files).len(), 0, "it is removed");
                drop(store);
                for (bytes, path) in others {
                    fs::write(path, bytes).unwrap();
                }
            }
        }
        let mut store = open(&files);
        run(&mut store);
        assert_eq!(get(&mut store, "http://a/", None), Some((1, 1, length)), "undamaged it is found");
    }
}

#[test]
fn a_file_that_is_damaged_or_gone_while_the_store_is_open_is_a_miss() {
    let files = Scratch::new();
    let mut store = open(&files);
    for (damages, length) in [(true, 10), (false, 10), (false, 100_000)] {
        put(&mut store, item("http://a/", 1, length)).unwrap();
        run(&mut store);
        store = reopen(store, &files);
        for path in stored_files(&files) {
            if damages {
                fs::write(&path, "damaged").unwrap();
            } else {
                fs::remove_file(&path).unwrap();
            }
        }
        let errors = store.figures().errors;
        assert_eq!(get(&mut store, "http://a/", None), None);
        assert_eq!((find(&store, "http://a/", None), store.figures().errors), (Found::Nothing, errors + 1));
        run(&mut store);
        assert_eq!(stored_files(&files).len(), 0);
    }
}

#[test]
fn tools_see_entries_without_a_server_and_beside_one() {
    let files = Scratch::new();
    let mut store = open(&files);
    for (version, uri, length) in [(1, "http://a/", 10), (2, "http://b/", 100_000)] {
        put(&mut store, item(uri, version, length)).unwrap();
    }
    run(&mut store);
    let list = |checks| {
        let (mut found, mut problems) = (Vec::new(), 0);
        let directory = Directory::open(&files.at("cache")).unwrap();
        directory
            .entries(checks, |entry| match entry {
                Ok(entry) => found.push((String::from_utf8(entry.uri.clone()).unwrap(), entry.status(), entry.body)),
                Err(_) => problems += 1,
            })
            .unwrap();
        found.sort();
        (found, problems)
    };
    let all = vec![("http://a/".to_owned(), Some(200), 10), ("http://b/".to_owned(), Some(200), 100_000)];
    assert_eq!((list(false), list(true)), ((all.clone(), 0), (all, 0)));
    let directory = Directory::open(&files.at("cache")).unwrap();
    // A file is replaced after it was opened, or the other one of an entry before.
    for operation in 1..=2 {
        directory.disk.faults.fail(operation, 1);
        assert!(matches!(&directory.find(b"http://b/").unwrap()[..], [Ok(_)]), "operation {operation}");
    }
    let entries = directory.find(b"http://b/").unwrap();
    let [Ok(entry)] = &entries[..] else { panic!() };
    let mut bytes = Vec::new();
    directory.write_body(entry, &mut bytes).unwrap();
    assert_eq!((bytes, &entry.head, entry.freshness), (content(2, 100_000), &head(2), freshness(2)));
    assert!(directory.find(b"http://c/").unwrap().is_empty());
    assert_eq!(directory.remove(&Purge::All).unwrap_err().kind(), ErrorKind::ReadOnlyFilesystem);
    drop(store);
    let damaged = stored_files(&files).into_iter().find(|path| path.to_str().unwrap().ends_with(".body")).unwrap();
    fs::write(damaged, content(3, 100_000)).unwrap();
    assert_eq!((list(false).1, list(true).1), (0, 1));
    let directory = Directory::open_to_change(&files.at("cache")).unwrap();
    assert_eq!(directory.remove(&Purge::Uri(b"http://a".to_vec())).unwrap(), 0);
    assert_eq!(directory.remove(&Purge::Uri(b"http://a/".to_vec())).unwrap(), 1);
    assert_eq!(directory.remove(&Purge::All).unwrap(), 1);
    assert_eq!(stored_files(&files).len(), 0);
}

#[test]
fn what_waits_for_the_disk_is_written_before_the_end() {
    let files = Scratch::new();
    let mut store = open(&files);
    let uris: Vec<_> = (0..60).map(|number| format!("http://a/{number}")).collect();
    for uri in &uris {
        put(&mut store, item(uri, 1, 10)).unwrap();
    }
    // Another thread has a job, and more wait for it.
    let job = store.next_job().unwrap();
    let thread = std::thread::spawn(|| job.run());
    store.finish(Duration::from_secs(20), 0);
    thread.join().unwrap();
    assert!(store.is_idle());
    drop(store);
    let mut store = open(&files);
    run(&mut store);
    assert!(uris.iter().all(|uri| get(&mut store, uri, None) == Some((1, 1, 10))));
    // One that doesn't end isn't waited for.
    put(&mut store, item(&uris[0], 2, 20)).unwrap();
    let job = store.next_job().unwrap();
    store.finish(Duration::from_millis(1), 0);
    assert!(!store.is_idle());
    drop(job);
    store.finish(Duration::from_secs(20), 0);
    assert!(store.is_idle());
}
