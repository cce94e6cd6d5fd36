//! `cargo +nightly fuzz run reads`; fuzz/README.md has the rest.
#![no_main]

use libfuzzer_sys::fuzz_target;

// The addon is a cdylib, which nothing can link against; the two readers need little of it.
#[path = "../../src/exchange/chunked.rs"]
mod chunked;
#[path = "../../src/exchange/framing.rs"]
mod framing;
#[path = "../../src/exchange/keep_alive_hint.rs"]
mod keep_alive_hint;
#[path = "../../src/exchange/plain.rs"]
mod plain;
#[path = "../../src/exchange/rest.rs"]
mod rest;
#[path = "../../src/exchange/syntax.rs"]
mod syntax;

#[path = "../checks/reads.rs"]
mod check;
#[path = "../checks/plain.rs"]
#[allow(dead_code, reason = "the target plain has more use for it")]
mod plain_check;
#[path = "../checks/reference.rs"]
mod reference;

use keep_alive_hint::Hint;

fuzz_target!(|bytes: &[u8]| check::check(bytes));
