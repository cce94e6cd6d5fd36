//! `cargo +nightly fuzz run framing`; fuzz/README.md has the rest.
#![no_main]

use libfuzzer_sys::fuzz_target;

// The addon is a cdylib, which nothing can link against; the framing needs little of it.
#[path = "../../src/exchange/framing.rs"]
mod framing;
#[path = "../../src/exchange/keep_alive_hint.rs"]
mod keep_alive_hint;

#[path = "../../src/exchange/chunked.rs"]
#[allow(dead_code, reason = "others have more use for it")]
mod chunked;

#[path = "../../src/exchange/syntax.rs"]
#[allow(dead_code, reason = "others have more use for it")]
mod syntax;

#[path = "../checks/framing.rs"]
mod check;
#[path = "../checks/reference.rs"]
#[allow(dead_code, reason = "others have more use for it")]
mod reference;

use keep_alive_hint::Hint;

fuzz_target!(|bytes: &[u8]| check::check(bytes));
