//! `cargo +nightly fuzz run keep_alive_hint`; fuzz/README.md has the rest.
#![no_main]

use libfuzzer_sys::fuzz_target;

// The addon is a cdylib, which nothing can link against; the parser needs nothing of it.
#[path = "../../src/exchange/keep_alive_hint.rs"]
mod keep_alive_hint;

#[path = "../checks/keep_alive_hint.rs"]
mod check;

fuzz_target!(|value: &[u8]| check::check(value));
