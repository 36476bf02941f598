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
fn chunked() {
    replay("chunked", properties::chunked);
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
