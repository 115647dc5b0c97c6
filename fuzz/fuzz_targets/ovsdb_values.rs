#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tombolo_tests_fuzz::run("ovsdb_values", data));
