//! Responses that are read while they grow.

use super::*;

#[test]
fn readers_see_each_byte_at_once_and_the_end() {
    let files = Scratch::new();
    for mut store in [Store::in_memory(limits()).unwrap(), open(&files)] {
        for length in [10, 300_000] {
            let uri = format!("http://a/{length}");
            let whole = content(1, length);
            let id = begin(&mut store, item(&uri, 1, length), Some(length as u64)).unwrap();
            let key = store.key(uri.as_bytes());
            assert_eq!(store.filling(key, &request(None).fields()), Some(id));
            assert_eq!(find(&store, &uri, None), Found::Nothing, "it isn't whole");
            let reader = Rc::clone(store.growing(id).unwrap());
            assert_eq!(
                (reader.length(), reader.state(), body(&reader).len()),
                (Some(length as u64), State::Growing, 0)
            );
            store.wait(&reader, 1);
            store.wait(&reader, 2);
            for (number, piece) in whole.chunks(length / 3).enumerate() {
                store.append(id, piece);
                assert_eq!(wakes(&mut store), if number == 0 { vec![1, 2] } else { vec![] });
                let end = (number + 1) * (length / 3);
                assert_eq!(body(&reader), whole[..end.min(length)]);
                run(&mut store);
                assert_eq!(body(&reader), whole[..end.min(length)], "also from the file");
            }
            store.wait(&reader, 3);
            store.end(id).unwrap();
            assert_eq!((wakes(&mut store), reader.state()), (vec![3], State::Whole));
            assert_eq!((body(&reader), store.filling(key, &request(None).fields())), (whole.clone(), None));
            run(&mut store);
            assert_eq!(body(&reader), whole);
            store.remove_uri(key);
            run(&mut store);
            assert_eq!(body(&reader), whole, "who reads goes on");
        }
        assert_eq!(store.figures().growing, 0);
    }
}

#[test]
fn a_response_that_fails_leaves_nothing() {
    let files = Scratch::new();
    for mut store in [Store::in_memory(limits()).unwrap(), open(&files)] {
        for length in [10, 300_000] {
            for runs in [false, true] {
                let id = begin(&mut store, item("http://a/", 1, length), None).unwrap();
                let reader = Rc::clone(store.growing(id).unwrap());
                store.append(id, &content(1, length));
                if runs {
                    run(&mut store);
                }
                store.wait(&reader, 1);
                store.fail(id);
                assert_eq!((wakes(&mut store), reader.state(), body(&reader).len()), (vec![1], State::Failed, 0));
                assert!(store.end(id).is_none() && store.append(id, b"x") == Appended::Failed);
                // One that ends before its length is cut.
                let id = begin(&mut store, item("http://a/", 1, length), Some(length as u64 + 1)).unwrap();
                store.append(id, &content(1, length));
                assert!(store.end(id).is_none());
                // One that goes on after it.
                let id = begin(&mut store, item("http://a/", 1, length), Some(length as u64 - 1)).unwrap();
                assert_eq!(store.append(id, &content(1, length)), Appended::Failed);
                run(&mut store);
                assert_eq!((find(&store, "http://a/", None), store.figures().memory), (Found::Nothing, 0));
            }
        }
    }
    assert_eq!(stored_files(&files).len(), 0);
}

#[test]
fn what_is_purged_while_it_grows_gets_no_entry_but_can_be_read() {
    let files = Scratch::new();
    for mut store in [Store::in_memory(limits()).unwrap(), open(&files)] {
        for length in [10, 300_000] {
            for by_purge in [false, true] {
                let id = begin(&mut store, item("http://a/", 1, length), None).unwrap();
                let reader = Rc::clone(store.growing(id).unwrap());
                let (first, second) =
                    (content(1, length)[..length / 2].to_vec(), content(1, length)[length / 2..].to_vec());
                store.append(id, &first);
                run(&mut store);
                let key = store.key(b"http://a/");
                match by_purge {
                    true => _ = store.purge(&Purge::Tag(b"all".to_vec()), None).unwrap(),
                    false => store.remove_uri(key),
                }
                assert_eq!(store.filling(key, &request(None).fields()), None, "nobody joins");
                assert_eq!(store.append(id, &second), Appended::Room);
                assert!(store.end(id).is_none());
                run(&mut store);
                assert_eq!((reader.state(), body(&reader)), (State::Whole, content(1, length)));
                assert_eq!(find(&store, "http://a/", None), Found::Nothing);
            }
        }
    }
    assert_eq!(stored_files(&files).len(), 0);
}

#[test]
fn however_many_wait_all_are_woken_and_those_who_have_gone_take_no_room() {
    let mut store = Store::in_memory(limits()).unwrap();
    let id = begin(&mut store, item("http://a/", 1, 10), Some(10)).unwrap();
    let reader = Rc::clone(store.growing(id).unwrap());
    let readers: Vec<_> = (0..3000).map(|_| Rc::clone(&reader)).collect();
    (0..3000).for_each(|waiter| store.wait(&reader, waiter));
    assert!(wakes(&mut store).is_empty(), "nobody is woken for nothing while all read");
    store.append(id, b"x");
    assert_eq!(wakes(&mut store), (0..3000).collect::<Vec<_>>());
    drop(readers);
    let mut woken = 0;
    for waiter in 0..100_000 {
        store.wait(&reader, waiter);
        woken += wakes(&mut store).len();
        assert!(waiter as usize - woken < 1024, "{waiter}");
    }
    store.append(id, b"x");
    assert_eq!(woken + wakes(&mut store).len(), 100_000);
}

#[test]
fn a_producer_that_is_faster_than_the_disk_pauses() {
    let files = Scratch::new();
    let mut store = open(&files);
    run(&mut store);
    let id = begin(&mut store, item("http://a/", 1, 0), None).unwrap();
    let piece = content(1, 64 * 1024);
    let count = (1..100).find(|_| store.append(id, &piece) == Appended::Full).unwrap();
    assert_eq!(count, 17, "a MiB may wait");
    assert!(wakes(&mut store).is_empty());
    run(&mut store);
    assert_eq!(wakes(&mut store), [99]);
    assert_eq!(store.append(id, &piece), Appended::Room);
    assert!(store.figures().memory < MIB);
    // One that doesn't pause is given up.
    let count = (1..100).find(|_| store.append(id, &piece) == Appended::Failed).unwrap();
    assert!(count < 70, "{count}");
    run(&mut store);
    assert_eq!((stored_files(&files).len(), store.figures().memory), (0, 0));
}

#[test]
fn what_grows_has_half_of_the_memory() {
    let mut store = Store::in_memory(Limits { memory: 2 * MIB, ..limits() }).unwrap();
    put(&mut store, item("http://kept/", 1, 1000)).unwrap();
    let mut growing = Vec::new();
    while let Some(id) = begin(&mut store, item("http://a/", 1, 0), Some(200_000)) {
        store.append(id, &content(1, 100_000));
        growing.push(id);
    }
    assert_eq!((growing.len(), store.figures().refused), (5, 1), "what they need is reserved");
    assert!(get(&mut store, "http://kept/", None).is_some());
    growing.into_iter().for_each(|id| store.fail(id));
    assert!(begin(&mut store, item("http://a/", 1, 0), Some(200_000)).is_some());
}
