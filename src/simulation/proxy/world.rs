//! What all parties share: the state of the service, the clock, what was asked and answered, and the
//! moments at which something went wrong.

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use super::Dice;
use super::resources::Resources;
use super::script::Script;
use super::texts::Texts;
use crate::cache::{Limits, Store};
use crate::files::scratch::Scratch;
use crate::http::caching::Settings;
use crate::http::proxying::{Server, UpstreamTimeouts};
use crate::logging::Log;
use crate::reactor::{Endpoint, Handle, TestContext, Tick, Time};
use crate::service::http::{self, Host, RouteHandler};
use crate::service::proxy::{Addresses, Cache, CacheRules, Proxy, Upstream};
use crate::service::{Service, Shared};

/// The Unix second of the beginning.
const BEGIN: i64 = 1_800_000_000;
/// The longest step of the clock that can't be the reason of a timeout.
const SHORT: Duration = Duration::from_millis(50);

/// What a client has asked for.
pub(super) struct Asked {
    /// The length of its content.
    pub(super) length: usize,
    /// It may be sent twice.
    pub(super) is_idempotent: bool,
    /// How often an origin got it.
    pub(super) attempts: u32,
    /// How many bytes its client sends through the tunnel.
    pub(super) tunnel: usize,
    /// What the client got is not known, since it has gone.
    pub(super) is_left: bool,
}

/// What an origin has answered.
pub(super) struct Given {
    /// The request that it answered.
    pub(super) request: u64,
    pub(super) status: u16,
    /// The content of a response to GET.
    pub(super) tag: u64,
    pub(super) length: usize,
    /// The part of it that is sent.
    pub(super) part: std::ops::Range<usize>,
    /// It didn't wait for the content of the request.
    pub(super) is_early: bool,
    /// All of it is sent.
    pub(super) is_whole: bool,
    /// The resource and its variant, if it is one that may be stored.
    pub(super) resource: Option<(usize, usize)>,
    /// For how long it is fresh, and may be used then, in seconds.
    pub(super) lifetime: i64,
    pub(super) grace: i64,
    /// Of a tunnel: the origin ends first.
    pub(super) ends_first: bool,
    /// It isn't for others.
    pub(super) is_private: bool,
    /// The moment.
    pub(super) second: i64,
    pub(super) step: u64,
    /// When the connection was closed, if the answer wasn't whole.
    pub(super) lost: Option<u64>,
    /// How many clients got it.
    pub(super) receivers: u32,
    /// Of a change of a resource: another one that its fields name.
    pub(super) also: Option<usize>,
    /// Since when it isn't stored any more: a client knows of a change.
    pub(super) invalid: Option<u64>,
}

pub(super) struct World<'t> {
    pub(super) dice: Dice,
    pub(super) shared: Shared,
    pub(super) context: TestContext<Service>,
    pub(super) now: Tick,
    /// How many events there were.
    pub(super) step: u64,
    pub(super) draining: bool,
    pub(super) texts: &'t Texts,
    pub(super) upstreams: Vec<Rc<Upstream>>,
    pub(super) cache: Option<Rc<Cache>>,
    /// For how many seconds the cache uses what is stale if an origin fails.
    pub(super) stale_if_error: u32,
    pub(super) resources: Resources,
    pub(super) asked: HashMap<u64, Asked>,
    pub(super) given: Vec<Given>,
    /// What the origins answer next; then they answer what they like.
    pub(super) scripts: VecDeque<Script>,
    /// Something may go wrong.
    pub(super) is_rough: bool,
    /// Upstreams have few requests at the same time.
    is_limited: bool,
    /// The last event that may be the reason for an error.
    pub(super) fault: u64,
    verbose: bool,
    /// How often something happened.
    pub(super) figures: HashMap<String, u32>,
}

impl<'t> World<'t> {
    /// The world of a seed.
    pub(super) fn new(seed: u64, files: &Scratch, texts: &'t Texts, verbose: bool) -> Self {
        let mut dice = Dice::new(seed);
        let is_rough = dice.one_in(2);
        let store = match dice.below(8) {
            0 => Some(Store::open(&files.at(&format!("cache-{seed}")), limits(&mut dice)).expect("a store")),
            1..5 => Some(Store::in_memory(limits(&mut dice)).expect("a store")),
            _ => None,
        };
        Self { is_rough, verbose, ..Self::with(dice, store, texts) }
    }

    /// A world in which nothing goes wrong, with a cache that has this store.
    pub(super) fn with(mut dice: Dice, store: Option<Store<Handle>>, texts: &'t Texts) -> Self {
        let upstreams: Vec<_> = (0..1 + dice.below(2)).map(|number| upstream(&mut dice, number)).collect();
        let stale_if_error = dice.pick(&[0, 0, 30]);
        let cache = store.map(|store| Rc::new(Cache::new(store)));
        let rules = cache.as_ref().map(|cache| {
            let settings = Settings { gateway: dice.one_in(2), stale_if_error, ..Settings::default() };
            let (cache, none) = (Rc::clone(cache), Vec::new);
            Rc::new(CacheRules { cache, settings, bypass_fields: none(), bypass_cookies: none() })
        });
        let max_in_flight = dice.pick(&[1, 2, usize::MAX]);
        let proxy = Proxy::new(upstreams.clone(), "miod-x".to_owned());
        let proxy = Proxy { max_in_flight, cache: rules, ..proxy };
        let mut host = Host::default();
        host.routes.set("/up", RouteHandler::Proxy(Rc::new(proxy))).expect("a prefix");
        let mut shared = Shared::new(http::Shared::new(http::Limits::default(), host), Log::default());
        shared.http.cache = cache.clone();
        Self {
            dice,
            shared,
            context: TestContext::default(),
            now: Tick::default(),
            step: 1,
            draining: false,
            texts,
            upstreams,
            cache,
            stale_if_error,
            resources: Resources::default(),
            asked: HashMap::new(),
            given: Vec::new(),
            scripts: VecDeque::new(),
            is_rough: false,
            is_limited: max_in_flight < usize::MAX,
            fault: 0,
            verbose: false,
            figures: HashMap::new(),
        }
    }

    pub(super) fn second(&self) -> i64 {
        BEGIN + (self.now.as_micros() / 1_000_000) as i64
    }

    pub(super) fn time(&self) -> Time {
        Time { now: self.now, unix_seconds: self.second(), unix_micros: 0 }
    }

    /// Something goes wrong now.
    pub(super) fn fault(&mut self, what: &str) {
        self.log(|| format!("FAULT: {what}"));
        self.count(what);
        self.fault = self.fault.max(self.step);
    }

    /// Something goes wrong from now on: requests may wait for others that aren't answered.
    pub(super) fn lasting_fault(&mut self, what: &str) {
        self.fault(what);
        if self.is_limited {
            self.fault = u64::MAX;
        }
    }

    pub(super) fn count(&mut self, what: &str) {
        *self.figures.entry(what.to_owned()).or_default() += 1;
    }

    /// Time goes on.
    pub(super) fn pass(&mut self, time: Duration) {
        self.now = self.now.after(time);
        if time > SHORT {
            self.fault("time");
        }
    }

    /// An origin gets a request.
    pub(super) fn ask(&mut self, id: u64) -> &Asked {
        let asked = self.asked.get_mut(&id).expect("a request that a client has sent");
        asked.attempts += 1;
        let most = if asked.is_idempotent { 8 } else { 1 };
        assert!(asked.attempts <= most, "request {id:x} was sent {} times", asked.attempts);
        asked
    }

    pub(super) fn log(&self, what: impl FnOnce() -> String) {
        if self.verbose {
            println!("{:>6} {:>12} {}", self.step, self.now.as_micros(), what());
        }
    }

    /// A client knows that resources were changed: what was stored before isn't sent any more.
    pub(super) fn invalidate(&mut self, changed: [Option<usize>; 2]) {
        let is_changed = |given: &&mut Given| {
            let uri = given.resource.map(|(uri, _)| uri);
            given.receivers > 0 && uri.is_some() && changed.contains(&uri)
        };
        self.given.iter_mut().filter(is_changed).for_each(|given| given.invalid = Some(self.step));
    }

    /// All connections are closed: nothing is left of them.
    pub(super) fn check_end(&self) {
        for upstream in &self.upstreams {
            assert_eq!(upstream.take_idle(), None, "a connection that is gone is idle");
            assert_eq!(upstream.in_flight(), 0, "requests of {} are under way", upstream.url);
        }
        assert_eq!(self.context.taken(), 0, "a slot is taken");
        if let Some(cache) = &self.cache {
            assert!(cache.is_quiet(), "somebody waits in the cache");
            assert!(cache.store.borrow().is_idle(), "a job is lost");
            assert_eq!(cache.figures().growing, 0, "a response is being stored");
            assert!(cache.store.borrow().is_settled(), "the memory of responses that are over is counted");
        }
    }
}

fn limits(dice: &mut Dice) -> Limits {
    let (memory, entries) = (dice.pick(&[1 << 20, 2 << 20, 16 << 20]), dice.pick(&[3, 1_000]));
    Limits { memory, disk: dice.pick(&[2 << 20, 64 << 20]), entries, object: 1 << 20, files: 4 }
}

fn upstream(dice: &mut Dice, number: usize) -> Rc<Upstream> {
    let name = format!("origin-{number}");
    let addresses = match dice.below(4) {
        0 => Addresses::known("localhost", 80, [1, 2].map(|n| ([127, 0, 0, n], 80).into()).to_vec()),
        _ => Addresses::at(Endpoint::Unix(name.as_str().into())),
    };
    let upstream = Upstream::new(
        name.clone(),
        Server::new(false, name.as_bytes()).unwrap(),
        addresses,
        None,
        UpstreamTimeouts::default(),
    );
    Rc::new(upstream.with_weight(dice.pick(&[1, 3])))
}
