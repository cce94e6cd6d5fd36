//! `cargo +nightly fuzz run keep_alive_hint`; fuzz/README.md has the rest.
#![no_main]

use libfuzzer_sys::fuzz_target;

// The addon is a cdylib, which nothing can link against; the parser needs nothing of it.
#[path = "../../src/exchange/keep_alive_hint.rs"]
mod keep_alive_hint;

use keep_alive_hint::Hint;

fuzz_target!(|value: &[u8]| {
    let hint = Hint::parse(value);
    assert_eq!(Hint::parse(&value.to_ascii_uppercase()), hint);
    if value.iter().filter(|&&byte| byte == b'"').count() % 2 == 0 {
        assert_eq!(Hint::parse(&[value, b", ", value].concat()), hint);
    }
});
