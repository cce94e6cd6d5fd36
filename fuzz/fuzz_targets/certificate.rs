//! `cargo +nightly fuzz run certificate`; fuzz/README.md has the rest.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../src/tls/certificate.rs"]
mod certificate;

#[path = "../checks/certificate.rs"]
mod check;

fuzz_target!(|der: &[u8]| check::check(der));
