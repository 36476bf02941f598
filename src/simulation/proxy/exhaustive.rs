//! Two faults at each place where they can happen: an origin that is lost within its answer, and a disk
//! that fails. The client then gets an error or content that is visibly cut, the next one all.

use super::client::Client;
use super::network::Network;
use super::requests::Case;
use super::script::{Script, Then};
use super::texts::{LONGEST, Texts};
use super::world::World;
use super::{Dice, finish};
use crate::cache::{Limits, Store};
use crate::files::scratch::Scratch;

const LIMITS: Limits = Limits { memory: 16 << 20, disk: 64 << 20, entries: 100, object: 8 << 20, files: 4 };

/// A client asks for a resource, until all connections are closed.
fn ask(network: &mut Network<'_>, id: u64, uri: usize) {
    network.world.step += 1;
    let case = Case::resource(id, uri, &mut network.world);
    let client = Client::asking(vec![case], &network.world);
    network.open(client);
    finish(network);
    network.world.check_end();
}

/// The number of responses to GET that were 200 and whole.
fn whole(network: &Network<'_>) -> u32 {
    let count = |what: &str| network.world.figures.get(what).copied().unwrap_or(0);
    count("200 HIT") + count("200 MISS") + count("200 none") - count("cut responses with a head")
}

#[test]
fn an_origin_that_is_lost_after_any_byte_of_its_answer_harms_no_other() {
    let texts = Texts::new();
    let mut lost = 0;
    for (is_chunked, then, is_cached) in [false, true]
        .into_iter()
        .flat_map(|a| [Then::Close, Then::Reset].into_iter().flat_map(move |b| [(a, b, false), (a, b, true)]))
    {
        for bytes in 0.. {
            let store = is_cached.then(|| Store::in_memory(LIMITS).expect("a store"));
            let mut network = Network::new(World::with(Dice::new(bytes as u64), store, &texts));
            let script = |bytes| Script { is_chunked, length: 60, bytes, then };
            // There may be two upstreams.
            network.world.scripts.extend([script(bytes), script(bytes), script(usize::MAX)]);
            ask(&mut network, 1, 0);
            let is_whole = network.world.given[0].is_whole;
            network.world.scripts.drain(..network.world.scripts.len() - 1);
            let before = whole(&network);
            assert_eq!(before, u32::from(is_whole), "after {bytes} bytes");
            ask(&mut network, 2, 0);
            assert_eq!(whole(&network), before + 1, "after {bytes} bytes");
            let hits = network.world.figures.get("200 HIT").copied().unwrap_or(0);
            assert_eq!(hits, u32::from(is_whole && is_cached), "after {bytes} bytes");
            if is_whole {
                break;
            }
            lost += 1;
        }
    }
    assert!(lost > 8 * 150, "{lost}");
}

#[test]
fn a_disk_that_fails_at_any_operation_harms_no_later_response() {
    let (texts, files) = (Texts::new(), Scratch::new());
    for count in [1, 3, 0] {
        for from in 0.. {
            let directory = files.at(&format!("{count}-{from}"));
            let mut store = Store::open(&directory, LIMITS).expect("a store");
            while let Some(job) = store.next_job() {
                job.run();
                store.collect(0);
            }
            let mut network = Network::new(World::with(Dice::new(from), Some(store), &texts));
            let script = |length| Script { is_chunked: false, length, bytes: usize::MAX, then: Then::Close };
            let cache = network.world.cache.clone().expect("a cache");
            let begin = cache.store.borrow().disk_steps();
            cache.store.borrow().fail_disk(from, count);
            network.world.fault("the disk fails");
            network.world.fault = u64::MAX;
            for (id, (uri, length)) in [(0, LONGEST), (1, 1_000), (0, LONGEST), (1, 1_000)].into_iter().enumerate() {
                network.world.scripts = [script(length), script(length)].into();
                ask(&mut network, id as u64 + 1, uri);
            }
            let is_over = cache.store.borrow().disk_steps() - begin <= from;
            cache.store.borrow().heal_disk();
            network.world.fault = 0;
            for (id, (uri, length)) in [(0, LONGEST), (1, 1_000), (0, LONGEST), (1, 1_000)].into_iter().enumerate() {
                network.world.scripts = [script(length), script(length)].into();
                let before = whole(&network);
                ask(&mut network, id as u64 + 5, uri);
                assert_eq!(whole(&network), before + 1, "{count} from operation {from}");
            }
            drop((network, cache));
            std::fs::remove_dir_all(&directory).expect("the directory of the cache");
            if is_over {
                assert!(from > 10, "{from}");
                break;
            }
        }
    }
}
