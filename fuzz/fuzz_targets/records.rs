//! `cargo +nightly fuzz run records`; fuzz/README.md has the rest.
#![no_main]

use libfuzzer_sys::fuzz_target;

// The addon is a cdylib, which nothing can link against; the records need little of it.
#[path = "../../src/block.rs"]
#[allow(dead_code, reason = "the addon has more use for it")]
mod block;
#[path = "../../src/error.rs"]
#[allow(dead_code, reason = "the addon has more use for it")]
mod error;
#[path = "../../src/binding/batch.rs"]
#[allow(dead_code, reason = "the addon has more use for it")]
mod batch;
#[path = "../../src/binding/records.rs"]
#[allow(dead_code, reason = "the addon has more use for it")]
mod records;
#[path = "../../src/binding/submission.rs"]
#[allow(dead_code, reason = "the addon has more use for it")]
mod submission;

#[path = "../checks/records.rs"]
mod check;

fuzz_target!(|bytes: &[u8]| check::check(bytes));
