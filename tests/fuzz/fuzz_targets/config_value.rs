//! Values of the configuration with a grammar: see `miod_fuzz::config_value`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    miod_fuzz::config_value(data);
});
