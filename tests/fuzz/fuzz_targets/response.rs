//! A response as a client reads it: see `miod_fuzz::response`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    miod_fuzz::response(data);
});
