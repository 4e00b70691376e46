#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| linkspan::fuzzing::trace(data));
