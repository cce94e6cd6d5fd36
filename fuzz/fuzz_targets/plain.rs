//! `cargo +nightly fuzz run plain`; fuzz/README.md has the rest.
#![no_main]

use libfuzzer_sys::fuzz_target;

// The addon is a cdylib, which nothing can link against; the parser needs nothing of it.
#[path = "../../src/exchange/plain.rs"]
#[allow(dead_code, reason = "the addon has more use for it")]
mod plain;

#[path = "../../src/exchange/chunked.rs"]
#[allow(dead_code, reason = "others have more use for it")]
mod chunked;

#[path = "../../src/exchange/rest.rs"]
#[allow(dead_code, reason = "the addon has more use for it")]
mod rest;

#[path = "../../src/exchange/syntax.rs"]
#[allow(dead_code, reason = "others have more use for it")]
mod syntax;

#[path = "../checks/plain.rs"]
mod check;
#[path = "../checks/reference.rs"]
mod reference;

fuzz_target!(|bytes: &[u8]| check::check(bytes));
