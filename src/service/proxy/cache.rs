//! The cache of all proxies: the store, and what is being asked for to be stored.
//!
//! ```text
//! request ─▶ look-up ─┬─ stored ─────────────────────────────────▶ readers (service/http/cached)
//!                     ├─ being stored ─────────────────────────▶      "  , while it grows
//!                     ├─ being asked for: waits for that head ─┐
//!                     └─ else asks, for all that wait ─────────┴─▶ upstream ─▶ storing ─▶ readers
//! ```
//!
//! What is stored is written by the connection to the upstream ([`storing`](super::storing)), as fast
//! as the upstream sends it, and all clients read it, the first one too. So a slow client holds
//! up neither the others nor the upstream, and the response is stored whole if the client that
//! asked for it goes away.
//!
//! Jobs of the store are shared: they belong to no connection, so those who wait for them are woken whatever
//! becomes of the one that began them.
//!
//! Requests for the same URI are sent once: the others wait until the head of the response is
//! there. If it isn't stored, each of them is sent on its own, and so are further ones for a while.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use crate::cache::{Figures, Key, Store};
use crate::http::Fields;
use crate::http::caching::{Reason, Settings};
use crate::limits;
use crate::reactor::{Handle, JobClass, Tick, Time};
use crate::service::{Cx, Message, Outcome};

/// The cache of a process.
pub struct Cache {
    /// The stored responses.
    pub store: RefCell<Store<Handle>>,
    /// The requests whose response may be stored, and whose head hasn't come.
    fetches: RefCell<HashMap<Key, Fetches>>,
    /// Those who are to be woken.
    wakes: RefCell<Vec<Handle>>,
    /// URIs whose responses weren't stored, and until when nobody waits for another request for
    /// them.
    unshared: RefCell<HashMap<Key, Tick>>,
    /// URIs whose responses are validated beside being sent, and until when they aren't again.
    validations: RefCell<HashMap<Key, Tick>>,
    /// The requests that were looked up, by what came of it: see [`RESULTS`].
    requests: RefCell<[u64; RESULTS.len()]>,
}

/// What may come of a look-up: a stored response, one that is being stored for another request,
/// neither although the client wants nothing else, or why the request is sent.
const RESULTS: [&str; 9] = [
    "hit",
    "collapsed",
    "unavailable",
    Reason::Bypass.token(),
    Reason::Method.token(),
    Reason::UriMiss.token(),
    Reason::VaryMiss.token(),
    Reason::Request.token(),
    Reason::Stale.token(),
];

/// The requests for a URI whose head hasn't come.
#[derive(Default)]
struct Fetches {
    sent: usize,
    waiting: Vec<Handle>,
}

/// How a route uses the cache.
pub struct CacheRules {
    /// The cache.
    pub cache: Rc<Cache>,
    /// The choices that the RFCs leave.
    pub settings: Settings,
    /// Requests with one of these fields don't use it.
    pub bypass_fields: Vec<String>,
    /// Requests with one of these cookies don't use it.
    pub bypass_cookies: Vec<String>,
}

impl Cache {
    /// A cache with this store.
    pub fn new(store: Store<Handle>) -> Self {
        Self {
            store: RefCell::new(store),
            fetches: RefCell::default(),
            wakes: RefCell::default(),
            unshared: RefCell::default(),
            validations: RefCell::default(),
            requests: RefCell::default(),
        }
    }

    /// Counts a request that was looked up, by the name of its result.
    pub(crate) fn count(&self, result: &str) {
        let mut requests = self.requests.borrow_mut();
        let own = RESULTS.iter().zip(&mut *requests).find(|(own, _)| **own == result);
        own.into_iter().for_each(|(_, count)| *count += 1);
    }

    /// How many requests had each result.
    pub fn requests(&self) -> impl Iterator<Item = (&'static str, u64)> {
        RESULTS.into_iter().zip(*self.requests.borrow())
    }

    /// Whether a request for this URI, which is sent now, is the first whose head hasn't come. If
    /// it isn't, `waiter` is woken when a head has come. Nobody waits if earlier responses weren't
    /// stored.
    pub(crate) fn begin_fetch(self: &Rc<Self>, key: Key, waiter: Handle, now: Tick) -> Option<Fetching> {
        let is_unshared = self.unshared.borrow().get(&key).is_some_and(|until| *until > now);
        let mut fetches = self.fetches.borrow_mut();
        let fetch = fetches.entry(key).or_default();
        if fetch.sent > 0 && !is_unshared && fetch.waiting.len() < limits::CACHE_WAITERS {
            fetch.waiting.push(waiter);
            return None;
        }
        fetch.sent += 1;
        Some(Fetching { cache: Rc::clone(self), key })
    }

    /// As [`begin_fetch`](Self::begin_fetch), for a request that doesn't wait.
    pub(crate) fn fetch_alone(self: &Rc<Self>, key: Key) -> Fetching {
        self.fetches.borrow_mut().entry(key).or_default().sent += 1;
        Fetching { cache: Rc::clone(self), key }
    }

    /// The response for a URI wasn't stored: for a while requests for it don't wait for each other.
    pub(crate) fn note_unshared(&self, key: Key, now: Tick) {
        let mut unshared = self.unshared.borrow_mut();
        if unshared.len() >= limits::CACHE_UNSHARED {
            unshared.retain(|_, until| *until > now);
        }
        if unshared.len() < limits::CACHE_UNSHARED {
            unshared.insert(key, now.after(limits::CACHE_UNSHARED_FOR));
        }
    }

    /// Whether the response for this URI is to be validated now. For a while it isn't again, whatever
    /// comes of it.
    pub(crate) fn begin_validation(&self, key: Key, now: Tick) -> bool {
        let mut validations = self.validations.borrow_mut();
        if validations.len() >= limits::CACHE_UNSHARED {
            validations.retain(|_, until| *until > now);
        }
        let is_due = validations.get(&key).is_none_or(|until| *until <= now);
        let begins = is_due && validations.len() < limits::CACHE_UNSHARED;
        if begins {
            validations.insert(key, now.after(limits::CACHE_VALIDATE_AGAIN));
        }
        begins
    }

    /// Wakes those who wait, and has the jobs of the store done. To be called after each turn in which
    /// the cache may have been used.
    pub(crate) fn settle(&self, cx: &mut Cx<'_>) {
        let mut store = self.store.borrow_mut();
        while let Some(waiter) = store.next_wake() {
            cx.send(waiter, Message::Cache);
        }
        for waiter in self.wakes.borrow_mut().drain(..) {
            cx.send(waiter, Message::Cache);
        }
        let Some(job) = store.next_job() else { return };
        let run = move || {
            job.run();
            Outcome::Cache
        };
        if cx.run_shared(JobClass::Files, run).is_err() {
            // The system has no thread. The job has given its operations back, to be tried after the next turn.
            store.collect(cx.time.unix_seconds);
        }
    }

    /// The job of the store is over: wakes those who waited for it, and goes on.
    pub(crate) fn job_ended(&self, cx: &mut Cx<'_>) {
        self.store.borrow_mut().collect(cx.time.unix_seconds);
        self.settle(cx);
    }

    /// Writes what is stored and isn't written, because the process ends.
    pub(crate) fn finish(&self, time: Time) {
        self.store.borrow_mut().finish(limits::CACHE_WAIT, time.unix_seconds);
    }

    /// Whether nobody waits for anything.
    #[cfg(test)]
    pub(crate) fn is_quiet(&self) -> bool {
        self.fetches.borrow().is_empty() && self.wakes.borrow().is_empty()
    }

    /// What the store counts.
    pub fn figures(&self) -> Figures {
        self.store.borrow().figures()
    }
}

/// A request that was sent, and whose head hasn't come. Those who wait for it are woken when this is
/// dropped.
pub(crate) struct Fetching {
    cache: Rc<Cache>,
    key: Key,
}

impl Drop for Fetching {
    fn drop(&mut self) {
        let mut fetches = self.cache.fetches.borrow_mut();
        let Some(fetch) = fetches.get_mut(&self.key) else { return };
        fetch.sent -= 1;
        self.cache.wakes.borrow_mut().append(&mut fetch.waiting);
        if fetch.sent == 0 {
            fetches.remove(&self.key);
        }
    }
}

impl CacheRules {
    /// Whether a request doesn't use the cache at all.
    pub(crate) fn is_bypassed(&self, fields: &Fields<'_>) -> bool {
        let has_cookie = |name: &str| {
            let pairs = fields.all("cookie").flat_map(|line| line.split(|byte| *byte == b';'));
            pairs
                .filter_map(|pair| pair.split(|byte| *byte == b'=').next())
                .any(|own| own.trim_ascii() == name.as_bytes())
        };
        self.bypass_fields.iter().any(|name| fields.get(name).is_some())
            || self.bypass_cookies.iter().any(|name| has_cookie(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::Limits;
    use crate::files::scratch::Scratch;
    use crate::http::FieldLines;
    use crate::reactor::TestContext;
    use crate::service::{Service, testing};
    use std::time::Duration;

    fn cache() -> Rc<Cache> {
        let limits = Limits { memory: 1 << 20, disk: 0, entries: 10, object: 1 << 20, files: 1 };
        Rc::new(Cache::new(Store::in_memory(limits).unwrap()))
    }

    #[test]
    fn one_request_is_sent_and_the_others_wait_for_its_head() {
        let cache = cache();
        let key = cache.store.borrow().key(b"http://a/");
        let now = Tick::default();
        let [one, two, three] = [1, 2, 3].map(Handle::for_test);
        let first = cache.begin_fetch(key, one, now).unwrap();
        assert!(cache.begin_fetch(key, two, now).is_none() && cache.begin_fetch(key, three, now).is_none());
        let alone = cache.fetch_alone(key);
        drop(first);
        assert_eq!(*cache.wakes.borrow(), [two, three]);
        assert!(cache.begin_fetch(key, two, now).is_none(), "another one was sent");
        drop(alone);
        assert!(cache.fetches.borrow().is_empty());
        cache.note_unshared(key, now);
        let _first = cache.begin_fetch(key, one, now).unwrap();
        let _second = cache.begin_fetch(key, two, now).unwrap();
        let later = now.after(limits::CACHE_UNSHARED_FOR + Duration::from_secs(1));
        assert!(cache.begin_fetch(key, three, later).is_none());
    }

    #[test]
    fn a_job_that_finds_no_place_is_tried_again() {
        let files = Scratch::new();
        let limits = Limits { memory: 1 << 20, disk: 1 << 20, entries: 10, object: 1 << 20, files: 1 };
        let cache = Cache::new(Store::open(&files.at("cache"), limits).unwrap());
        let mut shared = testing::shared(&files);
        let mut context = TestContext::<Service>::default();
        let mut cx = context.context(&mut shared, Time::default(), false);
        while cx.run(JobClass::Files, || Outcome::Session).is_ok() {}
        while cx.run_shared(JobClass::Files, || Outcome::Session).is_ok() {}
        for _ in 0..3 {
            cache.settle(&mut cx);
        }
        assert!(context.run_jobs().iter().all(|(_, result)| matches!(result, Ok(Outcome::Session))));
        assert!(cache.figures().scanning);
        // Each step begins the next one.
        cache.settle(&mut context.context(&mut shared, Time::default(), false));
        for _ in 0..100 {
            for (_, result) in context.run_jobs() {
                assert!(matches!(result, Ok(Outcome::Cache)));
                cache.job_ended(&mut context.context(&mut shared, Time::default(), false));
            }
        }
        assert!(!cache.figures().scanning && cache.store.borrow().is_idle());
    }

    #[test]
    fn fields_and_cookies_bypass_the_cache() {
        let rules = CacheRules {
            cache: cache(),
            settings: Settings::default(),
            bypass_fields: vec!["x-preview".to_owned()],
            bypass_cookies: vec!["sid".to_owned()],
        };
        for (name, value, expected) in [
            ("X-Preview", "", true),
            ("Cookie", "a=b; sid=1", true),
            ("Cookie", "sid", true),
            ("Cookie", "a=sid; sid2=1", false),
            ("X", "x-preview", false),
        ] {
            let lines = FieldLines::of([(name, value.as_bytes())]);
            assert_eq!(rules.is_bypassed(&lines.fields()), expected, "{name}: {value}");
        }
    }
}
