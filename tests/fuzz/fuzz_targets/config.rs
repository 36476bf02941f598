//! The configuration file: see `miod_fuzz::config`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    miod_fuzz::config(data);
});
