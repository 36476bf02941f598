//! The state that all links share: the service's state, the clock, messages, and the store
//! of sessions.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use super::Dice;
use super::fixtures::{BODY, SESSIONS, session};
use super::reload;
use super::store::{Server, StoreLink};
use crate::app::kv::Kv;
use crate::auth::{Guard, Users};
use crate::durable;
use crate::files::scratch::Scratch;
use crate::reactor::{Handle, Protocol, TestContext, Tick, Time};
use crate::service::http::{Host, Rules};
use crate::service::session_store_client::{SessionStoreLink, StoredSessions};
use crate::service::{Message, Service, Shared, testing};
use crate::session::disk_store::{self, DiskStore};
use crate::session::memory::Memory;
use crate::session::pending::Pending;
use crate::session::record::{Lifetime, SessionRecord};
use crate::session::remote::{self, StoreUrl};
use crate::session::{Sessions, Store};

/// The Unix second of the beginning.
const BEGIN: i64 = 1_800_000_000;

pub(super) struct World<'a> {
    pub(super) shared: Shared,
    /// Configurations change.
    pub(super) reloads: bool,
    /// The number of the configuration in use.
    pub(super) configuration: u64,
    default_host: Rc<Host>,
    sessions: Rc<StoredSessions>,
    pub(super) now: Tick,
    pub(super) draining: bool,
    /// The content of `/huge.bin`.
    pub(super) huge: &'a str,
    /// Messages that aren't delivered yet.
    messages: Vec<(Handle, Message)>,
    verbose: bool,
    /// How often each status was received.
    pub(super) statuses: BTreeMap<u16, u32>,
    /// The counts that clients got from `/visits`: session and number.
    pub(super) visits: BTreeSet<(usize, u64)>,
    /// The remote store, if sessions are there.
    server: Server,
    /// The connection to the remote store.
    store: Option<StoreLink>,
    /// How many connections to the store there were.
    store_links: u32,
}

impl<'a> World<'a> {
    pub(super) fn new(dice: &mut Dice, seed: u64, files: &Scratch, huge: &'a str, verbose: bool) -> Self {
        let durable = dice.one_in(6);
        let mut server = Server::default();
        let sessions = sessions(dice.below(5), &files.at(&format!("sessions-{seed}")), &mut server);
        let mut shared = testing::shared_with(files, |host| {
            let users = "alice:$2y$04$MLhQcSVSXWZEBa76VTowc.Dn8tyrxSjlY.gu8AkQrojRxxZtcQUQW";
            host.set_rules(Rules { body_limit: BODY, ..Rules::default() });
            let mut guard = Guard::default();
            guard.protect("/private", Users::fixed(users).expect("a user")).expect("a prefix");
            host.guard = RefCell::new(guard);
            host.sessions = Rc::clone(&sessions);
            let on_disk = || durable::Store::open(&files.at(&format!("kv-{seed}")), "kv", 1 << 20).expect("a store");
            let store = if durable { on_disk() } else { durable::Store::in_memory(1 << 20) };
            for (prefix, store) in [("/kv", durable::Store::in_memory(1 << 20)), ("/durable", store)] {
                host.routes.mount(prefix, Box::new(Kv::new(store, None))).expect("a prefix");
            }
        });
        let default_host = Rc::clone(&shared.http.web.all()[0]);
        shared.http.web = reload::hosts(0, &default_host);
        let (statuses, visits) = (BTreeMap::new(), BTreeSet::new());
        Self {
            shared,
            reloads: dice.one_in(5),
            configuration: 0,
            default_host,
            sessions,
            now: Tick::default(),
            draining: false,
            huge,
            messages: Vec::new(),
            verbose,
            statuses,
            visits,
            server,
            store: None,
            store_links: 0,
        }
    }

    /// Another configuration takes the place of the present one.
    pub(super) fn reload(&mut self) {
        self.configuration += 1;
        self.log(|| format!("configuration {} is in use", self.configuration));
        let hosts = reload::hosts(self.configuration, &self.default_host);
        self.shared.http.web = hosts;
    }

    pub(super) fn time(&self) -> Time {
        let unix_seconds = BEGIN + (self.now.as_micros() / 1_000_000) as i64;
        Time { now: self.now, unix_seconds, unix_micros: 0 }
    }

    /// Whether requests that need a session may get 503.
    pub(super) fn store_may_fail(&self) -> bool {
        matches!(*self.sessions.sessions.store(), Store::Remote(_))
    }

    /// Takes the messages that a service sent, and the connections that it opens.
    pub(super) fn take_effects(&mut self, context: &mut TestContext<Service>) {
        self.messages.extend(context.sent());
        for (_, service) in context.connecting() {
            self.store_links += 1;
            self.log(|| "the service connects to the store".to_owned());
            assert!(self.store.is_none(), "a second connection to the store");
            self.store = Some(StoreLink::new(Handle::for_test(100 + self.store_links), service));
            self.settle_store();
        }
    }

    /// Takes all messages.
    pub(super) fn take_messages(&mut self) -> Vec<(Handle, Message)> {
        std::mem::take(&mut self.messages)
    }

    /// Delivers a message to the connection to the store, if it is for that.
    pub(super) fn deliver_to_store(&mut self, to: Handle, message: Message) {
        if let Some(store) = self.store.as_mut().filter(|store| store.handle == to) {
            store.deliver(message);
            self.settle_store();
        }
    }

    fn settle_store(&mut self) {
        let (time, draining) = (self.time(), self.draining);
        let Some(mut store) = self.store.take() else { return };
        store.settle(&mut self.shared, time, draining);
        self.messages.extend(store.context().sent());
        if store.is_over() {
            self.log(|| "the connection to the store closes".to_owned());
            let mut context = store.closed(&mut self.shared, time, draining);
            self.take_effects(&mut context);
        } else {
            self.store = Some(store);
        }
    }

    /// The store receives, executes and replies a little.
    pub(super) fn store_step(&mut self, dice: &mut Dice) {
        if let Some(store) = &mut self.store {
            store.step(&mut self.server, Some(dice));
            self.settle_store();
        }
    }

    /// The store does all that it can; false if that is nothing.
    pub(super) fn store_finish(&mut self) -> bool {
        let Some(store) = &mut self.store else { return false };
        let moved = store.step(&mut self.server, None);
        if moved {
            self.settle_store();
        }
        moved
    }

    /// The connection to the store is lost, after the store has executed some more commands.
    pub(super) fn lose_store(&mut self, executed: usize) {
        if let Some(store) = &mut self.store {
            store.lose(&mut self.server, executed);
            self.log(|| "the connection to the store is lost".to_owned());
            self.settle_store();
        }
    }

    pub(super) fn store_deadline(&self) -> Option<Tick> {
        self.store.as_ref()?.deadline()
    }

    /// Calls the client of the store if its deadline has come.
    pub(super) fn wake_store(&mut self) {
        if self.store_deadline().is_some_and(|deadline| deadline <= self.now) {
            self.settle_store();
        }
    }

    /// Compares all counts with the open connections.
    pub(super) fn audit<'s>(&self, mut open: impl Iterator<Item = &'s Service>) {
        Service::audit(&self.shared, &mut open);
    }

    /// All links are closed: nothing may be left.
    pub(super) fn check_end(&self) {
        if let Store::Remote(pending) = &*self.sessions.sessions.store() {
            assert!(pending.is_empty(), "a closed connection still waits for the store");
        }
    }

    pub(super) fn log(&self, what: impl FnOnce() -> String) {
        if self.verbose {
            println!("{:>12} {}", self.now.as_micros(), what());
        }
    }
}

/// All sessions, in a store of this kind.
fn sessions(kind: usize, directory: &std::path::Path, server: &mut Server) -> Rc<StoredSessions> {
    let record = SessionRecord::new(BEGIN);
    let far = Duration::from_secs(1 << 30);
    let lifetime = Lifetime { idle: far, max_age: far };
    let store = match kind {
        0 => {
            let mut store = durable::Store::open(directory, disk_store::NAME, 1 << 20).expect("a store");
            for id in (0..SESSIONS).map(session) {
                let key = id.to_string().into_bytes().into();
                let value = durable::Record { value: record.encode().into(), expires: None };
                let written = store.write(vec![durable::Change::Put(key, value)], 0).expect("room");
                let durable::Written::Later(commit) = written else { panic!("it is on disk") };
                commit.wait().expect("it is written");
            }
            Store::Disk(DiskStore::new(store))
        }
        1 | 2 => {
            server.0.extend((0..SESSIONS).map(session).map(|id| (remote::key(id).into_bytes(), record.encode())));
            Store::Remote(Pending::default())
        }
        _ => {
            let mut memory = Memory::default();
            (0..SESSIONS).map(session).for_each(|id| memory.save(id, &record, lifetime, record.created));
            Store::Memory(memory)
        }
    };
    let is_remote = matches!(store, Store::Remote(_));
    let sessions = Sessions::new(store, lifetime);
    let link = is_remote.then(|| {
        let url = StoreUrl::parse("redis://store").expect("a URL");
        SessionStoreLink::new(url, vec![([127, 0, 0, 1], 6379).into()], None, sessions.shared_store())
    });
    Rc::new(StoredSessions { sessions, link })
}
