//! The target `tokens`: see the module of that name.
#![no_main]
libfuzzer_sys::fuzz_target!(|input: &[u8]| stowage_fuzz::tokens::check(input));
