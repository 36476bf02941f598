//! Jobs of the cache outlive the connections that began them: who waits for the same is served at once.

use super::client::{Client, Close};
use super::network::Network;
use super::requests::Case;
use super::script::{Script, Then};
use super::texts::{LONGEST, Texts};
use super::world::World;
use super::{Dice, finish, round};
use crate::cache::{Limits, Store};
use crate::files::scratch::Scratch;
use crate::reactor::{BUFFER, Handle};

/// In memory there is one large response at most.
const LIMITS: Limits = Limits { memory: 1 << 20, disk: 64 << 20, entries: 100, object: 8 << 20, files: 1 };

/// A client sends a request for a resource, which is read. Returns its connection.
fn ask(network: &mut Network<'_>, id: u64, uri: usize) -> Handle {
    network.world.step += 1;
    let case = Case::resource(id, uri, &mut network.world);
    network.open(Client::asking(vec![case], &network.world));
    let connection = network.connections.last_mut().expect("it was just opened");
    let handle = connection.handle;
    assert!(connection.feed(BUFFER, &mut network.world));
    network.turn(handle);
    handle
}

fn hits(network: &Network<'_>) -> u32 {
    network.world.figures.get("200 HIT").copied().unwrap_or(0)
}

/// Three ask for a response that is on the disk alone, and one of them goes, before the read has `begun` or after.
fn lose(number: usize, begun: bool) {
    let (files, texts) = (Scratch::new(), Texts::new());
    let store = Store::open(&files.at("cache"), LIMITS).expect("a store");
    let mut network = Network::new(World::with(Dice::new(1), Some(store), &texts));
    for uri in 0..2 {
        let script = || Script { is_chunked: false, length: LONGEST, bytes: usize::MAX, then: Then::Close };
        network.world.scripts = [script(), script()].into();
        ask(&mut network, uri as u64 + 1, uri);
        finish(&mut network);
    }
    let readers = [3, 4, 5].map(|id| ask(&mut network, id, 0));
    if begun {
        network.run_jobs();
    }
    let lost = network.connections.iter_mut().find(|connection| connection.handle == readers[number]);
    lost.expect("it waits").peer.gone = true;
    network.close(readers[number], Close::Reset, Some(std::io::ErrorKind::ConnectionReset));
    let (now, count, answers) = (network.world.now, hits(&network), network.world.given.len());
    while round(&mut network) {}
    assert_eq!(hits(&network), count + 2, "two are there");
    assert_eq!(
        (network.world.now, network.world.given.len()),
        (now, answers),
        "no time passes, the origin isn't asked"
    );
    finish(&mut network);
    network.world.check_end();
}

#[test]
fn who_waits_for_the_disk_is_served_at_once_though_who_began_to_read_is_gone() {
    for number in 0..3 {
        for begun in [false, true] {
            lose(number, begun);
        }
    }
}
