//! The request-target and its path: see `miod_fuzz::target`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    miod_fuzz::target(data);
});
