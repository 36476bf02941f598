//! A process that ends between any two file operations, and a disk that is full.

use super::*;
use std::collections::BTreeSet;

const URIS: [&str; 2] = ["http://a/", "http://b/"];

/// Stores, replaces, updates and removes. `after` is told what may be found from then on, and run
/// after each change.
fn life(store: &mut TestStore, mut after: impl FnMut(&mut TestStore, &str, Option<(i64, i64, usize)>)) {
    let lengths = [10, 100_000, 70_000, 20, 200_000, 0];
    for (number, length) in lengths.into_iter().enumerate() {
        let uri = URIS[number % 2];
        let version = number as i64 * 10 + 1;
        let stored = put(store, item(uri, version, length)).is_some();
        after(store, uri, stored.then_some((version, version, length)));
        if let Found::Entry(id) = find(store, uri, None)
            && let Some(old) = load(store, id, uri)
        {
            let old_version = versions(&old).1;
            let updated = store.update(id, &old, &head(version + 1), freshness(version + 1)).is_some();
            let of_body = if old.available() == 0 { version + 1 } else { old_version };
            after(store, uri, updated.then_some((version + 1, of_body, old.available() as usize)));
        }
        if number == 3 {
            store.remove_uri(store.key(uri.as_bytes()));
            after(store, uri, None);
        }
    }
}

#[test]
fn a_process_that_ends_at_any_moment_leaves_whole_entries_or_none() {
    let mut operations = 0;
    for end in 0.. {
        let files = Scratch::new();
        let mut store = open(&files);
        run(&mut store);
        let steps = |store: &TestStore| {
            store.queue.as_ref().unwrap().disk().faults.steps.load(std::sync::atomic::Ordering::Relaxed)
        };
        let begin = steps(&store);
        store.queue.as_ref().unwrap().disk().faults.fail(end, 0);
        let mut possible = BTreeSet::new();
        life(&mut store, |store, uri, found| {
            possible.extend(found.map(|found| (uri.to_owned(), found)));
            run(store);
        });
        let is_whole = steps(&store) - begin <= end;
        // The rest of the process doesn't happen.
        let mut store = reopen(store, &files);
        for uri in URIS {
            if let Some(found) = get(&mut store, uri, None) {
                assert!(possible.contains(&(uri.to_owned(), found)), "{uri} {found:?} after {end} operations");
            }
            // The directory is as good as new.
            put(&mut store, item(uri, 500, 100_000)).unwrap();
            run(&mut store);
            assert_eq!(get(&mut store, uri, None), Some((500, 500, 100_000)), "{end}");
        }
        let mut store = reopen(store, &files);
        assert_eq!(store.figures().entries, 2);
        assert_eq!(stored_files(&files).len(), 4, "no other files are left");
        assert_eq!(get(&mut store, URIS[0], None), Some((500, 500, 100_000)));
        if is_whole {
            operations = end;
            break;
        }
    }
    assert!(operations > 60, "{operations}");
}

#[test]
fn a_full_disk_is_a_miss_and_the_store_goes_on() {
    let mut errors = 0;
    for (count, step) in [(1, 2), (4, 5)] {
        for begin in (0..70).step_by(step) {
            let files = Scratch::new();
            let mut store = open(&files);
            run(&mut store);
            store.queue.as_ref().unwrap().disk().faults.fail(begin, count);
            life(&mut store, |store, uri, expected| {
                run(store);
                // What isn't the latest is a miss.
                let found = get(store, uri, None);
                assert!(found.is_none() || found == expected, "{uri} {found:?} {expected:?} at {begin}+{count}");
            });
            errors += store.figures().errors;
            store.queue.as_ref().unwrap().disk().faults.heal();
            for uri in URIS {
                put(&mut store, item(uri, 500, 100_000)).unwrap();
                run(&mut store);
                assert_eq!(get(&mut store, uri, None), Some((500, 500, 100_000)), "at {begin}+{count}");
            }
            assert_eq!((store.figures().memory > 0, store.figures().growing), (true, 0));
            let store = reopen(store, &files);
            assert_eq!((store.figures().entries, stored_files(&files).len()), (2, 4));
        }
    }
    assert!(errors > 50, "{errors}");
}

#[test]
fn an_update_of_what_could_not_be_written_does_not_revive_what_it_replaced() {
    for length in [10, 100_000] {
        for (begin, count) in (0..16).flat_map(|begin| [(begin, 1), (begin, 2), (begin, 3)]) {
            let files = Scratch::new();
            let mut store = open(&files);
            put(&mut store, item(URIS[0], 1, length)).unwrap();
            run(&mut store);
            let id = put(&mut store, item(URIS[0], 2, length)).unwrap();
            let old = load(&mut store, id, URIS[0]).unwrap();
            store.update(id, &old, &head(3), freshness(3)).unwrap();
            drop(old);
            store.queue.as_ref().unwrap().disk().faults.fail(begin, count);
            run(&mut store);
            store.queue.as_ref().unwrap().disk().faults.heal();
            let found = get(&mut store, URIS[0], None);
            assert!(matches!(found, None | Some((3, 2, _))), "{found:?} at {begin}+{count}");
            // What can't be removed either may be found after a restart, but is never mixed.
            let mut store = reopen(store, &files);
            let found = get(&mut store, URIS[0], None);
            assert!(matches!(found, None | Some((1, 1, _) | (2, 2, _) | (3, 2, _))), "{found:?} at {begin}+{count}");
        }
    }
}

#[test]
fn who_reads_along_when_the_disk_is_full_can_end() {
    let files = Scratch::new();
    let mut store = open(&files);
    run(&mut store);
    let id = begin(&mut store, item("http://a/", 1, 0), None).unwrap();
    let reader = Rc::clone(store.growing(id).unwrap());
    store.append(id, &content(1, 100_000));
    run(&mut store);
    store.wait(&reader, 1);
    store.append(id, &content(1, 100_000));
    store.wait(&reader, 1);
    store.queue.as_ref().unwrap().disk().faults.fail(0, 0);
    run(&mut store);
    let woken = wakes(&mut store);
    assert!(woken.ends_with(&[99, 1]), "the producer and the reader: {woken:?}");
    assert_eq!((reader.state(), store.append(id, b"x"), store.figures().growing), (State::Failed, Appended::Failed, 0));
    // After the end of the response its readers have all of it in memory.
    store.queue.as_ref().unwrap().disk().faults.heal();
    let id = begin(&mut store, item("http://b/", 1, 0), None).unwrap();
    let reader = Rc::clone(store.growing(id).unwrap());
    store.append(id, &content(1, 200_000));
    store.end(id).unwrap();
    store.queue.as_ref().unwrap().disk().faults.fail(1, 0);
    run(&mut store);
    assert_eq!((reader.state(), body(&reader)), (State::Whole, content(1, 200_000)));
    assert_eq!(find(&store, "http://b/", None), Found::Nothing);
    drop(reader);
    assert_eq!(store.figures().memory, 0);
}

#[test]
fn on_a_full_disk_entries_leave() {
    let files = Scratch::new();
    let mut store = open(&files);
    for number in 0..200 {
        put(&mut store, item(&format!("http://a/{number}"), 1, 10)).unwrap();
        run(&mut store);
    }
    store.queue.as_ref().unwrap().disk().faults.fail(0, 1);
    put(&mut store, item("http://b/", 1, 10)).unwrap();
    run(&mut store);
    let entries = store.figures().entries;
    assert!((180..=190).contains(&entries) && stored_files(&files).len() == entries, "{entries}");
}
