//! What is found, loaded, replaced, removed, and what leaves.

use super::*;

/// The same in memory, on disk, and on disk after a restart.
fn everywhere(test: impl Fn(&mut TestStore, &mut dyn FnMut(&mut TestStore))) {
    test(&mut Store::in_memory(limits()).unwrap(), &mut |_| {});
    let files = Scratch::new();
    test(&mut open(&files), &mut run);
    let files = Scratch::new();
    test(&mut open(&files), &mut |store| {
        run(store);
        let other = Scratch::new();
        // The lock is given up before the directory is opened again.
        drop(std::mem::replace(store, open(&other)));
        *store = open(&files);
        run(store);
    });
}

#[test]
fn a_response_is_found_by_its_uri_and_variant() {
    everywhere(|store, settle| {
        for length in [0, 1, 1000, 64 * 1024, 64 * 1024 + 1, 300_000] {
            let uri = format!("http://a/{length}");
            put(store, item(&uri, 1, length)).unwrap();
            settle(store);
            assert_eq!(get(store, &uri, None), Some((1, 1, length)));
            assert_eq!(get(store, &uri, Some("x")).map(|found| found.2), Some(length), "nothing varies");
            assert_eq!(find(store, &format!("{uri}/"), None), Found::Nothing);
        }
        for (version, value) in [(2, "x"), (3, "y")] {
            put(store, Item { vary: Some(value), ..item("http://b/", version, 10) }).unwrap();
            settle(store);
        }
        assert_eq!(get(store, "http://b/", Some("x")), Some((2, 2, 10)));
        assert_eq!(get(store, "http://b/", Some("y")), Some((3, 3, 10)));
        assert_eq!(find(store, "http://b/", Some("z")), Found::OtherVariants);
        assert_eq!(find(store, "http://b/", None), Found::OtherVariants);
        // The origin varies no more. Of two that match the most recent counts, whenever stored.
        put(store, item("http://b/", 4, 20)).unwrap();
        settle(store);
        assert_eq!(get(store, "http://b/", Some("x")), Some((4, 4, 20)));
        put(store, Item { vary: Some("x"), ..item("http://b/", 3, 30) }).unwrap();
        settle(store);
        assert_eq!(get(store, "http://b/", Some("x")), Some((4, 4, 20)));
    });
}

#[test]
fn a_response_replaces_the_one_of_the_same_variant() {
    everywhere(|store, settle| {
        for (version, length) in [(1, 10), (2, 200_000), (3, 300_000), (4, 5)] {
            let id = put(store, item("http://a/", version, length)).unwrap();
            settle(store);
            let Found::Entry(found) = find(store, "http://a/", None) else { panic!() };
            assert_eq!(get(store, "http://a/", None), Some((version, version, length)));
            assert_eq!(store.figures().entries, 1);
            store.remove(id);
            store.remove(found);
            assert!(store.freshness(found).is_none() && load(store, found, "http://a/").is_none());
            let again = put(store, item("http://a/", version, length)).unwrap();
            assert!(again != found && store.freshness(found).is_none(), "an old identifier finds nothing new");
            settle(store);
        }
    });
    let files = Scratch::new();
    let mut store = open(&files);
    put(&mut store, item("http://a/", 1, 200_000)).unwrap();
    run(&mut store);
    assert_eq!(stored_files(&files).len(), 2);
    put(&mut store, item("http://a/", 2, 2)).unwrap();
    run(&mut store);
    assert_eq!(stored_files(&files).len(), 1, "the large body of the old one is removed");
    let Found::Entry(id) = find(&store, "http://a/", None) else { panic!() };
    store.remove(id);
    run(&mut store);
    assert_eq!(stored_files(&files).len(), 0);
}

#[test]
fn an_update_replaces_the_head_and_keeps_the_body() {
    everywhere(|store, settle| {
        for length in [0, 10, 200_000] {
            let uri = format!("http://a/{length}");
            put(store, item(&uri, 1, length)).unwrap();
            // Also before it is on the disk.
            for version in [2, 3] {
                let Found::Entry(id) = find(store, &uri, None) else { panic!() };
                let old = load(store, id, &uri).unwrap();
                let new = store.update(id, &old, &head(version), freshness(version)).unwrap();
                assert_eq!((**new.head() == *head(version), body(&new)), (true, content(1, length)));
                assert_eq!((store.freshness(id), **old.head() == *head(1)), (Some(freshness(version)), version == 2));
                settle(store);
                let expected = if length == 0 { version } else { 1 };
                assert_eq!(get(store, &uri, None), Some((version, expected, length)));
            }
        }
        let uri = "http://gone/";
        let id = put(store, item(uri, 1, 10)).unwrap();
        let old = load(store, id, uri).unwrap();
        store.remove(id);
        assert!(store.update(id, &old, &head(2), freshness(2)).is_none());
    });
}

#[test]
fn removals_and_purges_leave_nothing_behind() {
    everywhere(|store, settle| {
        for (version, uri) in ["http://a/1", "http://a/2", "http://b/1", "http://b/2"].into_iter().enumerate() {
            for vary in [None, Some("x")] {
                put(store, Item { vary, ..item(uri, version as i64, 100) }).unwrap();
            }
            settle(store);
        }
        store.remove_uri(store.key(b"http://a/1"));
        settle(store);
        assert_eq!((find(store, "http://a/1", Some("x")), store.figures().entries), (Found::Nothing, 6));
        let mut purge = |store: &mut TestStore, what: Purge| {
            let id = store.purge(&what, Some(5)).unwrap();
            run(store);
            assert!(wakes(store).contains(&5));
            let removed = store.purged(id).unwrap();
            assert_eq!(store.purged(id), None);
            settle(store);
            (removed, store.figures().entries)
        };
        assert_eq!(purge(store, Purge::Prefix(b"http://b/2".to_vec())), (2, 4));
        assert_eq!(purge(store, Purge::Prefix(b"http://c/".to_vec())), (0, 4));
        assert_eq!(purge(store, Purge::Uri(b"http://b/".to_vec())), (0, 4));
        assert_eq!(purge(store, Purge::Tag(b"even-1".to_vec())), (2, 2));
        assert_eq!((find(store, "http://a/2", None), get(store, "http://b/1", None).is_some()), (Found::Nothing, true));
        put(store, item("http://b/1/", 1, 100)).unwrap();
        assert_eq!(purge(store, Purge::Uri(b"http://b/1".to_vec())), (2, 1));
        put(store, item("http://b/1", 1, 100)).unwrap();
        assert_eq!(purge(store, Purge::All), (2, 0));
    });
}

#[test]
fn loads_of_one_entry_share_a_read_and_each_waiter_is_woken() {
    let files = Scratch::new();
    let mut store = open(&files);
    put(&mut store, item("http://a/", 1, 100)).unwrap();
    run(&mut store);
    let mut store = reopen(store, &files);
    let Found::Entry(id) = find(&store, "http://a/", None) else { panic!() };
    for waiter in [1, 2, 3] {
        assert!(matches!(store.load(id, b"http://a/", waiter), Load::Pending));
    }
    let job = store.next_job().unwrap();
    assert!(store.next_job().is_none(), "one job at a time");
    job.run();
    assert!(store.is_idle() == store.next_job().is_some());
    store.collect(0);
    assert_eq!((wakes(&mut store), store.next_job().is_none()), (vec![1, 2, 3], true));
    for waiter in [1, 2, 3] {
        assert!(matches!(store.load(id, b"http://a/", waiter), Load::Ready(_)));
    }
    assert!(matches!(store.load(id, b"http://b/", 1), Load::Gone), "a key that isn't of this URI");
    assert_eq!((store.figures().disk_hits, store.figures().memory_hits), (3, 1));
    // An entry that is removed meanwhile is no hit.
    let mut store = reopen(store, &files);
    let Found::Entry(id) = find(&store, "http://a/", None) else { panic!() };
    assert!(matches!(store.load(id, b"http://a/", 4), Load::Pending));
    let job = store.next_job().unwrap();
    store.remove(id);
    job.run();
    store.collect(0);
    assert_eq!(wakes(&mut store), [4]);
    assert!(matches!(store.load(id, b"http://a/", 4), Load::Gone));
    run(&mut store);
    assert_eq!(stored_files(&files).len(), 0);
}

#[test]
fn a_load_that_an_update_overtakes_brings_no_old_head() {
    let files = Scratch::new();
    let mut store = open(&files);
    put(&mut store, item("http://a/", 1, 3_000_000)).unwrap();
    run(&mut store);
    let mut store = reopen(store, &files);
    let Found::Entry(id) = find(&store, "http://a/", None) else { panic!() };
    let old = load(&mut store, id, "http://a/").unwrap();
    wakes(&mut store);
    // It is evicted, and verified again, in several jobs.
    store.index.get_mut(id).unwrap().is_verified = false;
    let resident = std::mem::replace(&mut store.index.get_mut(id).unwrap().resident, eviction::NONE);
    store.residents.remove(resident);
    assert!(matches!(store.load(id, b"http://a/", 1), Load::Pending));
    for _ in 0..2 {
        store.next_job().unwrap().run();
        store.collect(0);
    }
    assert!(wakes(&mut store).is_empty());
    store.update(id, &old, &head(2), freshness(2)).unwrap();
    while wakes(&mut store).is_empty() {
        store.next_job().unwrap().run();
        store.collect(0);
    }
    assert_eq!(get(&mut store, "http://a/", None), Some((2, 1, 3_000_000)));
    let mut store = reopen(store, &files);
    assert_eq!(get(&mut store, "http://a/", None), Some((2, 1, 3_000_000)));
}

#[test]
fn a_job_that_nobody_runs_is_done_by_the_next() {
    let files = Scratch::new();
    let mut store = open(&files);
    let id = put(&mut store, item("http://a/", 1, 200_000)).unwrap();
    for _ in 0..3 {
        drop(store.next_job().unwrap());
        store.collect(0);
    }
    run(&mut store);
    let mut store = reopen(store, &files);
    assert_eq!(get(&mut store, "http://a/", None), Some((1, 1, 200_000)));
    assert!(store.freshness(id).is_none() || store.figures().entries == 1);
}

#[test]
fn a_scan_of_the_site_does_not_flush_what_is_hot() {
    let files = Scratch::new();
    let small = Limits { memory: MIB, disk: MIB, ..limits() };
    for mut store in [Store::in_memory(small).unwrap(), open_with(&files, small)] {
        let hot: Vec<_> = (0..50).map(|number| format!("http://hot/{number}")).collect();
        for _ in 0..4 {
            for uri in &hot {
                if get(&mut store, uri, None).is_none() {
                    put(&mut store, item(uri, 1, 3000)).unwrap();
                }
                run(&mut store);
            }
        }
        // Ten times what there is room for.
        for number in 0..3000 {
            put(&mut store, item(&format!("http://once/{number}"), 1, 3000)).unwrap();
            run(&mut store);
        }
        let left = hot.iter().filter(|uri| get(&mut store, uri, None).is_some()).count();
        let figures = store.figures();
        assert_eq!(left, hot.len(), "{figures:?}");
        assert!(figures.memory <= MIB && figures.disk <= MIB && figures.evictions > 2500, "{figures:?}");
        if figures.disk > 0 {
            assert_eq!(stored_files(&files).len(), figures.entries);
        }
    }
}

#[test]
fn there_are_limits_for_entries_variants_and_bodies() {
    let few = Limits { entries: 10, ..limits() };
    let files = Scratch::new();
    for mut store in [Store::in_memory(few).unwrap(), open_with(&files, few)] {
        for number in 0..30 {
            put(&mut store, item(&format!("http://a/{number}"), 1, 10)).unwrap();
            run(&mut store);
            assert!(store.figures().entries <= 10);
        }
    }
    assert_eq!(stored_files(&files).len(), 10);
    let mut store = Store::in_memory(limits()).unwrap();
    for number in 0..200 {
        put(&mut store, Item { vary: Some(&number.to_string()), ..item("http://a/", number, 10) }).unwrap();
    }
    assert_eq!(store.figures().entries, index::VARIANTS);
    assert_eq!(
        (get(&mut store, "http://a/", Some("0")), find(&store, "http://a/", Some("199")) != Found::Nothing),
        (None, true)
    );
    assert!(get(&mut store, "http://a/", Some("199")).is_some());
    let limit = store.object_limit();
    assert_eq!(limit, MIB, "an eighth of the memory");
    assert!(begin(&mut store, item("http://b/", 1, 0), Some(limit + 1)).is_none());
    assert!(put(&mut store, item("http://b/", 1, limit as usize)).is_some());
    assert!(put(&mut store, item("http://b/", 2, limit as usize + 1)).is_none());
    assert_eq!(get(&mut store, "http://b/", None), Some((1, 1, limit as usize)));
}

#[test]
fn an_entry_of_the_index_takes_150_bytes_at_most() {
    for vary in [false, true] {
        let mut index = index::Index::new();
        let secret = key::Secret::new().unwrap();
        let text: &[u8] = if vary { b"accept-encoding,accept-language" } else { b"" };
        for number in 0..70_000_u32 {
            let names = index.names(text).unwrap();
            let name = key::Name { key: secret.key(&number.to_le_bytes()), variant: 1 };
            let (freshness, meta, body) = (freshness(1), 100, 100);
            index.insert(index::NewEntry { name, names, freshness, meta, body, is_verified: true }, false);
            // It evicts, so that there is a table of what left.
            if number % 7 == 0 {
                let id = index.evict(100).unwrap();
                index.remove(id);
            }
            if number > 5000 {
                assert!(index.memory() <= 150 * index.len(), "{} for {}", index.memory(), index.len());
            }
        }
        assert!(index.len() > 50_000);
    }
}
