//! The Range field: see `miod_fuzz::range`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    miod_fuzz::range(data);
});
