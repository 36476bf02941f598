//! Checks the seeds of the fuzzer without the fuzzer. Seeds named `good-…` must be accepted,
//! those named `bad-…` must be refused.

use std::fs;
use std::path::Path;

#[path = "fuzz/properties.rs"]
pub mod properties;

fn replay(target: &str, accepts: fn(&[u8]) -> bool) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target);
    let (mut good, mut bad) = (0, 0);
    for entry in fs::read_dir(folder).expect("the corpus is there") {
        let path = entry.expect("the corpus can be listed").path();
        let data = fs::read(&path).expect("a seed can be read");
        let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
        let accepted = accepts(&data);
        if name.starts_with("good-") {
            good += 1;
            assert!(accepted, "{target}/{name} is refused");
        } else if name.starts_with("bad-") {
            bad += 1;
            assert!(!accepted, "{target}/{name} is accepted");
        }
    }
    assert!(good > 3 && bad > 3, "the corpus of {target} is incomplete");
}

#[test]
fn capture() {
    replay("capture", properties::capture);
}

#[test]
fn chunked() {
    replay("chunked", properties::chunked);
}

#[test]
fn config() {
    replay("config", properties::config);
}

#[test]
fn config_value() {
    replay("config_value", properties::config_value);
}

/// Bytes of one seed are replaced by others, or by a piece of another seed, again and again. The
/// properties hold for the results, too.
#[test]
fn mutated_configurations() {
    let mut state = 1_u64;
    let mut below = |most: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % most.max(1)
    };
    for (target, check) in
        [("config", properties::config as fn(&[u8]) -> bool), ("config_value", properties::config_value)]
    {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target);
        let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        let seeds: Vec<_> = paths.iter().map(|path| fs::read(path).unwrap()).collect();
        for seed in &seeds {
            let mut data = seed.clone();
            for round in 0..60 {
                if round % 12 == 0 {
                    data.clone_from(seed);
                }
                // The name of a value stays.
                let first =
                    if target == "config" { 0 } else { seed.iter().position(|byte| *byte == b'\n').unwrap() + 1 };
                let from = first + below(data.len() - first);
                let to = (from + below(4)).min(data.len());
                let other = &seeds[below(seeds.len())];
                let at = below(other.len());
                let piece = match below(3) {
                    0 => vec![[b'"', b'\n', b'[', b'*', b'$', b'/', 0, 0xc3, b'9'][below(9)]],
                    1 => Vec::new(),
                    _ => other[at..(at + 1 + below(20)).min(other.len())].to_vec(),
                };
                data.splice(from..to, piece);
                check(&data);
            }
        }
    }
}

#[test]
fn head() {
    replay("head", properties::head);
}

#[test]
fn range() {
    replay("range", properties::range);
}

#[test]
fn response() {
    replay("response", properties::response);
}

#[test]
fn target() {
    replay("target", properties::target);
}
