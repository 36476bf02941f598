//! A simulation of the gateway: clients, the HTTP service, and the origins behind it.
//!
//! ```text
//!  client ⇄ connection ◀── messages ──▶ connection ⇄ origin
//!                   └── cache, jobs ──┘
//! ```
//!
//! A seed decides what is asked and answered, how all bytes are cut and when they move, and what goes
//! wrong: connections that are refused, lost, silent, or closed while they are idle, answers that are cut
//! or garbage, clients that leave or vanish, jumps of the clock, and a shutdown. In half of all worlds
//! nothing goes wrong; there each request must be answered as the origin meant it.
//!
//! - No request gets the response to another one, and content is whole, or visibly cut.
//! - What is not idempotent is sent at most once.
//! - No more content than a window is under way, and when nothing moves, all room was announced. Then the
//!   clock goes to the next deadline, until all connections are closed; nothing is left of them.
//! - What comes from the cache is one version of one variant, whole, and as fresh as its head says; what
//!   was cut or is private is never sent to others, and what was changed since not to those who know it.
//!
//! | File | Is |
//! |---|---|
//! | `world` | what all share |
//! | `network` | all connections, and what passes between them |
//! | `connection` | a connection, and who is at its other end |
//! | `client`, `requests` | a client, and what it may receive |
//! | `origin`, `received`, `answers`, `script` | an origin, the requests it receives, and what it answers |
//! | `resources` | what may be stored |
//! | `texts` | all content |
//! | `exhaustive` | faults at each place where they can happen |
//! | `jobs` | jobs of the cache, whose connections close |
//!
//! `PROXY_SIMULATION_SEED=7 cargo test simulation::proxy -- --nocapture` prints the events of one seed;
//! `PROXY_SIMULATION_SEEDS=0..100000` tries others than usual.

mod answers;
mod client;
mod connection;
mod exhaustive;
mod jobs;
mod network;
mod origin;
mod received;
mod requests;
mod resources;
mod script;
mod texts;
mod world;

use std::collections::BTreeMap;
use std::time::Duration;

use super::cases::write_chunks;
use super::{Dice, response};
use crate::files::scratch::Scratch;
use crate::reactor::BUFFER;
use client::{Client, Close};
use connection::Party;
use network::Network;
use texts::Texts;
use world::World;

/// How many seeds a run of the tests tries.
const SEEDS: u64 = 3_000;

/// Runs one seed. Returns how often what happened.
fn simulate(seed: u64, files: &Scratch, texts: &Texts, verbose: bool) -> BTreeMap<String, u32> {
    let world = World::new(seed, files, texts, verbose);
    let mut network = Network::new(world);
    let clients = 1 + network.world.dice.below(5);
    for number in 0..clients {
        let client = Client::draw(number, &mut network.world);
        network.open(client);
    }
    for _ in 0..network.world.dice.amount(600) {
        if network.connections.is_empty() {
            break;
        }
        step(&mut network);
    }
    network.world.log(|| "now all do what they can".to_owned());
    finish(&mut network);
    network.world.check_end();
    network.world.figures.into_iter().collect()
}

/// One random event.
fn step(network: &mut Network<'_>) {
    network.world.step += 1;
    let place = network.world.dice.below(network.connections.len());
    let connection = &mut network.connections[place];
    let (handle, world) = (connection.handle, &mut network.world);
    let amount = world.dice.amount(BUFFER);
    match world.dice.below(200) {
        0..50 => {
            if connection.feed(amount, world) {
                network.turn(handle);
            }
        }
        50..100 => {
            if connection.take(amount, world) {
                network.end_if_over(handle);
            }
        }
        100..130 => _ = connection.think(world),
        130..170 => _ = turn_queued(network),
        170..176 => _ = network.run_jobs(),
        176..182 => _ = network.deliver_result(),
        182..190 => {
            let micros = world.dice.below(50_000) as u64;
            world.pass(Duration::from_micros(micros));
            network.wake();
        }
        _ => disturb(network, place),
    }
    if !network.world.dice.one_in(4) {
        turn_queued(network);
    }
    refuse(network);
    network.audit();
}

/// Gives all a turn that have news.
fn turn_queued(network: &mut Network<'_>) -> bool {
    let handles: Vec<_> = network
        .connections
        .iter()
        .filter(|connection| connection.is_queued)
        .map(|connection| connection.handle)
        .collect();
    handles.iter().for_each(|handle| network.turn(*handle));
    !handles.is_empty()
}

/// Something unusual.
fn disturb(network: &mut Network<'_>, place: usize) {
    let connection = &mut network.connections[place];
    let (handle, world) = (connection.handle, &mut network.world);
    let rough = world.is_rough;
    match world.dice.below(16) {
        0..4 => {
            let most = world.dice.pick(&[1_000, 3_000, 10_000, if rough { 100_000 } else { 10_000 }]);
            let millis = world.dice.below(most) as u64;
            world.pass(Duration::from_millis(millis));
            if !world.dice.one_in(4) {
                network.wake();
            }
        }
        4..6 => {
            if let Party::Client(client) = &mut connection.party {
                client.stop(&mut world.dice);
            }
        }
        6 | 7 if matches!(connection.party, Party::Client(_)) => {
            world.fault("a client is gone");
            connection.peer.gone = true;
            connection.is_queued = true;
            if world.dice.one_in(2) {
                network.close(handle, Close::Reset, Some(std::io::ErrorKind::ConnectionReset));
            } else {
                network.turn(handle);
            }
        }
        8 if rough && world.dice.one_in(4) => connection.vanish(world),
        9..13 if rough => {
            if let Party::Origin(origin) = &mut connection.party {
                origin.close_idle(world);
            }
        }
        13 if rough && world.dice.one_in(8) => {
            world.fault("the server shuts down");
            world.draining = true;
            network.connections.iter_mut().for_each(|connection| connection.is_queued = true);
        }
        _ => {}
    }
}

/// Closes the connections that are refused.
fn refuse(network: &mut Network<'_>) {
    while let Some(handle) = network.connections.iter().find(|one| one.is_refused()).map(|one| one.handle) {
        network.close(handle, Close::Reset, Some(std::io::ErrorKind::ConnectionRefused));
    }
}

/// All do what they can now. False if that is nothing.
fn round(network: &mut Network<'_>) -> bool {
    network.world.step += 1;
    let mut moved = turn_queued(network);
    for handle in network.handles() {
        let find = |network: &Network<'_>| network.connections.iter().position(|one| one.handle == handle);
        let Some(place) = find(network) else { continue };
        let connection = &mut network.connections[place];
        moved |= connection.take(usize::MAX, &mut network.world)
            | connection.think(&mut network.world)
            | connection.feed(BUFFER, &mut network.world);
        network.end_if_over(handle);
    }
    refuse(network);
    moved |= network.run_jobs();
    moved |= network.deliver_result();
    network.audit();
    moved
}

/// All do what they can, until all connections are closed and the jobs of the cache are done.
fn finish(network: &mut Network<'_>) {
    for count in 0.. {
        assert!(count < 20_000, "it never ends");
        if !round(network) {
            if network.connections.is_empty() {
                return;
            }
            network.check_quiet();
            let next = network.connections.iter().filter_map(|connection| connection.deadline()).min();
            let next = next.expect("a connection waits for something that never comes");
            network.world.now = network.world.now.max(next);
            network.world.log(|| "nothing moves: the clock goes to the next deadline".to_owned());
            network.wake();
        }
    }
}

/// Prints its number if the test fails.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("to repeat it: PROXY_SIMULATION_SEED={} cargo test simulation::proxy -- --nocapture", self.0);
        }
    }
}

#[test]
fn responses_are_those_of_the_origins_and_nothing_is_left() {
    let (files, texts) = (Scratch::new(), Texts::new());
    if let Ok(seed) = std::env::var("PROXY_SIMULATION_SEED") {
        simulate(seed.parse().expect("a number"), &files, &texts, true);
        return;
    }
    let range = std::env::var("PROXY_SIMULATION_SEEDS").ok();
    let range = range.map_or(0..SEEDS, |range| {
        let (from, to) = range.split_once("..").expect("a range");
        from.parse().expect("a number")..to.parse().expect("a number")
    });
    let mut figures = BTreeMap::new();
    for seed in range {
        let guard = Seed(seed);
        for (what, count) in simulate(seed, &files, &texts, false) {
            *figures.entry(what).or_insert(0) += count;
        }
        drop(guard);
    }
    println!("{figures:#?}");
    // All of this must occur.
    for what in [
        "200 HIT", "200 MISS", "206 HIT", "304 HIT", "416 HIT", "404 none", "204 none", "101 none", "own 502",
        "own 504",
    ] {
        assert!(figures.get(what).is_some_and(|count: &u32| *count > 3), "{what} is too rare: {figures:#?}");
    }
}
