//! Phase Waiting: a purge of the cache, which the jobs of the store do.

use super::*;
use crate::cache;
use crate::service::http::{Page, RouteHandler};
use crate::service::proxy::Cache;

const PURGE: &str = "POST /cache/purge?all=1 HTTP/1.1\r\nHost: x\r\n\r\n";

/// A server whose cache has an empty directory.
fn bench(files: &Scratch) -> (Bench, Rc<Cache>) {
    let limits = cache::Limits { memory: 1 << 20, disk: 1 << 20, entries: 10, object: 1 << 20, files: 1 };
    let cache = Rc::new(Cache::new(cache::Store::open(&files.at("cache"), limits).unwrap()));
    let page = RouteHandler::Admin(Page::Purge);
    let mut bench = Bench::with_host(|host| host.routes.set(Page::Purge.path(), page).unwrap());
    bench.shared.http.cache = Some(Rc::clone(&cache));
    (bench, cache)
}

/// Does all that the store wants of its directory.
fn work(cache: &Cache) -> Vec<Handle> {
    let mut store = cache.store.borrow_mut();
    while let Some(job) = store.next_job() {
        job.run();
        store.collect(0);
    }
    std::iter::from_fn(|| store.next_wake()).collect()
}

#[test]
fn the_response_waits_for_the_end_of_a_purge() {
    let files = Scratch::new();
    let (mut bench, cache) = bench(&files);
    let (response, want) = bench.exchange(PURGE.to_owned() + &get("/"));
    assert_eq!((bench.phase(), &*response), ("Waiting", ""));
    assert_eq!(want, Want::NOTHING.by(Tick::default().after(limits::CACHE_PURGE)));
    assert_eq!(work(&cache), [Handle::for_test(1)], "it is woken");
    bench.settle();
    let responses = bench.responses();
    assert_eq!(statuses(&responses), [200, 200]);
    assert!(responses.contains("\r\n\r\n{\"removed\":0}\nHTTP/1.1"), "{responses}");
}

#[test]
fn a_long_purge_goes_on_after_the_response() {
    let files = Scratch::new();
    let (mut bench, cache) = bench(&files);
    bench.send(PURGE);
    bench.pass(limits::CACHE_PURGE);
    let response = bench.responses();
    assert_eq!(statuses(&response), [202]);
    assert!(body(&response).contains("goes on"), "{response}");
    // As many as may be under way.
    let another = || cache.store.borrow_mut().purge(&cache::Purge::All, None);
    let crowd = 1 + std::iter::from_fn(another).take(100).count();
    let (response, _) = bench.exchange(PURGE);
    assert_eq!((crowd, statuses(&response)), (16, vec![503]));
    work(&cache);
    bench.send(PURGE);
    work(&cache);
    bench.settle();
    assert_eq!(statuses(&bench.responses()), [200], "those that are over make room");
}
