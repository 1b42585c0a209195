#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| homing::proxy::fuzzing::check(data));
