//! A simulation: clients and the HTTP service, joined by links in memory.
//!
//! A seed decides what the clients request, how their bytes are cut, how much of the
//! responses they take, and when. It decides which faults there are: half-closes, resets,
//! peers that vanish, jumps of the clock, and jobs that are late, lost, or find their queue
//! full. It also decides the store of the sessions (in memory, on disk, or remote with a
//! client that loses its connection), the events, reloads, and a shutdown. After each step no buffer
//! is over its limit, nothing waits without a deadline, and the counts are right. Each
//! request is answered in order and correctly, or there is a reason why not.
//!
//! | File | Is |
//! |---|---|
//! | `cases` | the requests, each with the response that is expected |
//! | `client` | a client, which checks what it receives |
//! | `fixtures` | what the requests and the service agree on |
//! | `link` | a connection of the service, and what may happen on it |
//! | `mail` | another simulation: of a mail client and a mail server |
//! | `proxy` | another simulation: of the gateway, with origins behind it |
//! | `reload` | configurations, which take each other's place |
//! | `store` | a remote store of sessions that speaks RESP |
//! | `world` | the state that all links share |
//!
//! `SIMULATION_SEED=7 cargo test simulation -- --nocapture` prints the events of one seed.

mod cases;
mod client;
mod fixtures;
mod link;
mod mail;
mod proxy;
mod reload;
#[path = "../../tests/support/response.rs"]
#[allow(dead_code, unreachable_pub)] // the tests with real sockets use all of it
mod response;
mod store;
mod world;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::files::scratch::Scratch;
use crate::random::SplitMix64;
use crate::reactor::BUFFER;
use crate::service::testing;
use cases::{HUGE, huge};
use client::Client;
use link::Link;
use world::World;

/// How many seeds a run of the tests tries.
const SEEDS: u64 = 360;

/// The source of all random decisions.
type Dice = SplitMix64;

impl Dice {
    /// A random number from 1 to `most`, often a small one.
    fn amount(&mut self, most: usize) -> usize {
        let scale = self.pick(&[3, 50, 1_000, 20_000, usize::MAX]);
        1 + self.below(most.min(scale))
    }
}

/// Runs one seed. Returns how often each status was received.
fn simulate(seed: u64, files: &Scratch, huge: &str, verbose: bool) -> BTreeMap<u16, u32> {
    let mut dice = Dice::new(seed);
    let mut world = World::new(&mut dice, seed, files, huge, verbose);
    let mut links: Vec<Link> = Vec::new();
    for number in 0..1 + dice.below(3) {
        let overloaded = dice.one_in(30);
        let client = Client::draw(&mut dice, &world, overloaded);
        links.push(Link::open(number, client, dice.one_in(20), &mut world));
    }
    for _ in 0..dice.amount(400) {
        if links.is_empty() {
            break;
        }
        step(&mut dice, &mut links, &mut world);
        // In most worlds the store keeps up, in some it doesn't.
        if dice.below(10) < 2 + (seed % 8) as usize {
            world.store_step(&mut dice);
            deliver_messages(&mut links, &mut world);
        }
        close_finished(&mut links, &mut world);
    }
    world.log(|| "now all clients do all that they can".to_owned());
    finish(&mut links, &mut world);
    world.check_end();
    world.statuses
}

/// One random event.
fn step(dice: &mut Dice, links: &mut Vec<Link>, world: &mut World<'_>) {
    if world.reloads && dice.one_in(8) {
        return world.reload();
    }
    let index = dice.below(links.len());
    let link = &mut links[index];
    match dice.below(200) {
        0..=69 => _ = link.send(dice.amount(BUFFER), world),
        70..=139 => _ = link.take(dice.amount(BUFFER), world),
        140..=154 => _ = link.run_jobs(world, || dice.one_in(8)),
        155..=164 => _ = link.deliver(world),
        165..=169 => _ = deliver_messages(links, world),
        170..=192 => {
            let micros = match dice.below(40) {
                0 => dice.below(100_000_000),
                1..=4 => dice.below(10_000_000),
                _ => dice.below(300_000),
            };
            world.now = world.now.after(Duration::from_micros(micros as u64));
            // Sometimes another event comes before the deadlines.
            if !dice.one_in(4) {
                wake(links, world);
            }
        }
        193..=195 => link.client.stop_within(dice),
        196 => links.swap_remove(index).close(true, world),
        197 if dice.one_in(3) => {
            world.log(|| "the server shuts down".to_owned());
            world.draining = true;
            links.iter_mut().for_each(|link| link.settle(world));
        }
        198 if dice.one_in(3) => {
            world.lose_store(dice.below(5));
            deliver_messages(links, world);
        }
        199 => link.vanish(world),
        _ => {}
    }
}

/// All clients send and take what they can, until all links are closed.
fn finish(links: &mut Vec<Link>, world: &mut World<'_>) {
    for round in 0.. {
        assert!(round < 20_000, "it never ends");
        let mut moved = false;
        for link in &mut *links {
            moved |= link.take(usize::MAX, world)
                || link.send(BUFFER, world)
                || link.run_jobs(world, || false)
                || link.deliver(world);
        }
        moved |= deliver_messages(links, world);
        moved |= world.store_finish();
        moved |= deliver_messages(links, world);
        close_finished(links, world);
        if links.is_empty() {
            return;
        }
        if !moved && links.iter().all(|link| link.client.watches() && !link.vanished) {
            let last = testing::last_event(&mut world.shared);
            for link in &*links {
                assert_eq!(link.client.last_event(), Some(last), "link {} lacks an event", link.number);
            }
            world.log(|| "only watchers are left, and the server shuts down".to_owned());
            world.draining = true;
            links.iter_mut().for_each(|link| link.settle(world));
        } else if !moved {
            let next = links.iter().filter_map(Link::deadline).chain(world.store_deadline()).min();
            world.now = world.now.max(next.expect("a link waits for something that never comes"));
            wake(links, world);
        }
    }
}

/// Wakes the links and the store if their deadlines have passed.
fn wake(links: &mut [Link], world: &mut World<'_>) {
    links.iter_mut().for_each(|link| link.wake(world));
    world.wake_store();
    deliver_messages(links, world);
}

/// Delivers all messages; false if there are none.
fn deliver_messages(links: &mut [Link], world: &mut World<'_>) -> bool {
    let messages = world.take_messages();
    let moved = !messages.is_empty();
    for (to, message) in messages {
        match links.iter_mut().find(|link| Link::handle_of(link.number) == to) {
            Some(link) => link.message(message),
            None => world.deliver_to_store(to, message),
        }
    }
    moved
}

fn close_finished(links: &mut Vec<Link>, world: &mut World<'_>) {
    while let Some(index) = links.iter().position(Link::is_over) {
        let link = links.swap_remove(index);
        let gone = link.vanished;
        link.close(gone, world);
    }
    // A vanished peer doesn't take its output. The reactor closes such connections.
    while let Some(index) = links.iter().position(|link| link.send_timed_out(world.now)) {
        links.swap_remove(index).close(true, world);
    }
    world.audit(links.iter().map(|link| &link.service));
}

#[test]
fn requests_are_answered_in_order_or_there_is_a_reason() {
    /// Prints its number if the test fails.
    struct Seed(u64);
    impl Drop for Seed {
        fn drop(&mut self) {
            if std::thread::panicking() {
                println!("to repeat it: SIMULATION_SEED={} cargo test simulation -- --nocapture", self.0);
            }
        }
    }
    let files = testing::files();
    let huge = huge();
    assert_eq!(huge.len(), HUGE);
    testing::old_file(&files, "huge.bin", &huge);
    files.directory("private");
    testing::old_file(&files, "private/index.html", "<p>private");
    if let Ok(seed) = std::env::var("SIMULATION_SEED") {
        simulate(seed.parse().expect("a number"), &files, &huge, true);
        return;
    }
    let mut received = BTreeMap::new();
    for seed in 0..SEEDS {
        let guard = Seed(seed);
        for (status, count) in simulate(seed, &files, &huge, false) {
            *received.entry(status).or_default() += count;
        }
        drop(guard);
    }
    println!("responses: {received:?}");
    // All statuses must occur.
    for status in [100, 200, 201, 204, 206, 304, 400, 401, 404, 405, 408, 413, 416, 417, 500, 501, 503] {
        assert!(received.get(&status).is_some_and(|count: &u32| *count > 3), "{status} is too rare: {received:?}");
    }
}
