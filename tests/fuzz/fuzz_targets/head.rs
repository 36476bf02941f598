//! The head of a request: see `miod_fuzz::head`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    miod_fuzz::head(data);
});
