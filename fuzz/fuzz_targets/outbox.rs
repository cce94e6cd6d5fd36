//! `cargo +nightly fuzz run outbox`; fuzz/README.md has the rest.
#![no_main]

use libfuzzer_sys::fuzz_target;

// The addon is a cdylib, which nothing can link against; the outbox needs little of it.
#[path = "../../src/error.rs"]
#[allow(dead_code, reason = "the addon has more use for it")]
mod error;
#[path = "../../src/binding/outbox.rs"]
#[allow(dead_code, reason = "the addon has more use for it")]
mod outbox;
#[path = "../../src/binding/records.rs"]
#[allow(dead_code, reason = "the addon has more use for it")]
mod records;
#[path = "../../src/binding/submission.rs"]
#[allow(dead_code, reason = "the addon has more use for it")]
mod submission;

#[path = "../checks/outbox.rs"]
mod check;

fuzz_target!(|bytes: &[u8]| check::check(bytes));
