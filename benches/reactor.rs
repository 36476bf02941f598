//! Slots and timers of the reactor with ten thousand connections.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use miod::reactor::{Armed, Handle, Slots, Tick, Timers};

const CONNECTIONS: usize = 10_000;

fn slots(c: &mut Criterion) {
    let mut slots: Slots<[u64; 10]> = Slots::default();
    let insert = |slots: &mut Slots<_>| {
        let handle = slots.reserve();
        slots.put(handle, [0; 10]);
        handle
    };
    let handles: Vec<Handle> = (0..CONNECTIONS).map(|_| insert(&mut slots)).collect();
    let mut at = 0;
    c.bench_function("slots: look one up among 10,000", |b| {
        b.iter(|| {
            at = (at + 7919) % CONNECTIONS;
            black_box(slots.get(handles[at]).is_some())
        });
    });
    c.bench_function("slots: insert and free one beside 10,000", |b| {
        b.iter(|| {
            let handle = insert(&mut slots);
            slots.free(handle)
        });
    });
}

fn timers(c: &mut Criterion) {
    let timeout = Duration::from_secs(60);
    let mut timers = Timers::default();
    let mut armed = vec![Armed::NONE; CONNECTIONS];
    let mut now = Tick::from_micros(0);
    for (index, armed) in armed.iter_mut().enumerate() {
        now = now.after(Duration::from_micros(100));
        timers.arm(index, armed, now.after(timeout));
    }
    let mut at = 0;
    c.bench_function("timers: postpone one deadline of 10,000", |b| {
        b.iter(|| {
            at = (at + 7919) % CONNECTIONS;
            timers.arm(at, &mut armed[at], now.after(2 * timeout));
        });
    });
    c.bench_function("timers: one expires and is armed again beside 10,000", |b| {
        b.iter(|| {
            now = now.after(Duration::from_millis(10));
            while let Some((index, _)) = timers.expired(now) {
                armed[index] = Armed::NONE;
                timers.arm(index, &mut armed[index], now.after(timeout));
            }
        });
    });
}

criterion_group!(benches, slots, timers);
criterion_main!(benches);
