//! Thousands of random operations, against a plain model: what is found is the latest that was
//! stored, or nothing.

use super::*;
use crate::random::SplitMix64;
use std::collections::HashMap;

const LENGTHS: [usize; 7] = [0, 1, 700, 20_000, 64 * 1024, 64 * 1024 + 1, 150_000];
const VARIES: [Option<&str>; 3] = [None, Some("x"), Some("y")];

/// The latest version of each response, if it wasn't removed: of the head, of the body, and its
/// length.
type Model = HashMap<(usize, Option<&'static str>), (i64, i64, usize)>;

fn uri(number: usize) -> String {
    // Those with Vary and those without have different URIs, so that one entry matches at most.
    format!("http://{}/{number}", number % 3)
}

fn vary(number: usize, random: &mut SplitMix64) -> Option<&'static str> {
    if number.is_multiple_of(2) { None } else { VARIES[1 + random.below(2)] }
}

struct Run {
    store: TestStore,
    model: Model,
    random: SplitMix64,
    version: i64,
    hits: usize,
}

impl Run {
    fn step(&mut self) {
        let number = self.random.below(40);
        let vary = vary(number, &mut self.random);
        let uri = uri(number);
        self.version += 1;
        let version = self.version;
        match self.random.below(20) {
            0..7 => {
                let length = self.random.pick(&LENGTHS);
                let piece = 1 + self.random.below(100_000);
                if let Some(id) = begin(&mut self.store, Item { vary, ..item(&uri, version, length) }, None) {
                    let mut fails = self.random.one_in(8);
                    for piece in content(version, length).chunks(piece) {
                        fails |= self.store.append(id, piece) == Appended::Failed;
                        self.some_jobs();
                    }
                    if fails {
                        self.store.fail(id);
                    } else if self.store.end(id).is_some() {
                        self.model.insert((number, vary), (version, version, length));
                        return;
                    }
                }
                // What was to be replaced is removed by the caller, who may not know it yet.
                if let Found::Entry(id) = find(&self.store, &uri, vary) {
                    self.store.remove(id);
                    self.model.remove(&(number, vary));
                }
            }
            7 => {
                self.store.remove_uri(self.store.key(uri.as_bytes()));
                self.model.retain(|(other, _), _| *other != number);
            }
            8 if self.random.one_in(4) => {
                let prefix = format!("http://{}/", number % 3);
                self.store.purge(&Purge::Prefix(prefix.into()), None).unwrap();
                run(&mut self.store);
                self.model.retain(|(other, _), _| other % 3 != number % 3);
            }
            9 if self.random.one_in(4) => {
                self.store.purge(&Purge::Tag(format!("even-{}", version % 2).into()), None).unwrap();
                run(&mut self.store);
                self.model.retain(|_, (head, ..)| *head % 2 != version % 2);
            }
            10 | 11 => {
                if let Found::Entry(id) = find(&self.store, &uri, vary)
                    && let Some(old) = load(&mut self.store, id, &uri)
                {
                    self.store.update(id, &old, &head(version), freshness(version)).unwrap();
                    let known = self.model.get_mut(&(number, vary));
                    let known = known.unwrap_or_else(|| panic!("{number} {vary:?} was removed"));
                    let of_body = if known.2 == 0 { version } else { known.1 };
                    *known = (version, of_body, known.2);
                }
            }
            12..18 => self.check(number, vary),
            _ => self.some_jobs(),
        }
    }

    fn some_jobs(&mut self) {
        for _ in 0..self.random.below(3) {
            if let Some(job) = self.store.next_job() {
                if self.random.one_in(10) {
                    drop(job);
                } else {
                    job.run();
                }
                self.store.collect(0);
            }
        }
    }

    fn check(&mut self, number: usize, vary: Option<&'static str>) {
        if let Some(found) = get(&mut self.store, &uri(number), vary) {
            let expected = self.model.get(&(number, vary));
            assert_eq!(Some(&found), expected, "{number} {vary:?}");
            self.hits += 1;
        }
    }

    fn check_all(&mut self) {
        for number in 0..40 {
            let varies = if number % 2 == 0 { &VARIES[..1] } else { &VARIES[1..] };
            varies.iter().for_each(|vary| self.check(number, *vary));
        }
        let figures = self.store.figures();
        let limits = self.store.limits;
        assert!(figures.memory <= limits.memory + MIB && figures.entries <= limits.entries, "{figures:?}");
        assert!(figures.disk <= limits.disk && figures.growing == 0, "{figures:?}");
    }
}

fn start(store: TestStore, seed: u64) -> Run {
    Run { store, model: Model::new(), random: SplitMix64::new(seed), version: 0, hits: 0 }
}

#[test]
fn in_memory() {
    for seed in 0..4 {
        let memory = if seed % 2 == 0 { 8 * MIB } else { MIB };
        let mut life = start(Store::in_memory(Limits { memory, ..limits() }).unwrap(), seed);
        (0..1500).for_each(|_| life.step());
        life.check_all();
        assert!(life.hits > 100, "{}", life.hits);
    }
}

#[test]
fn in_a_directory() {
    for seed in 0..4 {
        let files = Scratch::new();
        let (memory, disk) = if seed % 2 == 0 { (8 * MIB, 64 * MIB) } else { (MIB, 2 * MIB) };
        let limits = Limits { memory, disk, ..limits() };
        let mut life = start(open_with(&files, limits), seed);
        for _ in 0..5 {
            (0..200).for_each(|_| life.step());
            run(&mut life.store);
            life.check_all();
            run(&mut life.store);
            let figures = life.store.figures();
            let heads = stored_files(&files).iter().filter(|path| path.extension().is_none()).count();
            assert_eq!(
                (heads, stored_files(&files).iter().any(|path| path.extension().is_some_and(|e| e == "tmp"))),
                (figures.entries, false)
            );
            // The scan goes on during the next steps.
            let Run { store, model, random, version, hits } = life;
            drop(store);
            life = Run { store: open_with(&files, limits), model, random, version, hits };
        }
        assert!(life.hits > 100, "{}", life.hits);
    }
}
