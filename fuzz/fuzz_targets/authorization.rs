//! The target `authorization`: see the module of that name.
#![no_main]
libfuzzer_sys::fuzz_target!(|input: &[u8]| stowage_fuzz::authorization::check(input));
