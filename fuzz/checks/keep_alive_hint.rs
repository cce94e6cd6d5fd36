//! What holds for any `Keep-Alive` field value.

use super::keep_alive_hint::Hint;

pub fn check(value: &[u8]) {
    let hint = Hint::parse(value);
    assert_eq!(Hint::parse(&value.to_ascii_uppercase()), hint, "case has no meaning");
    if !value.contains(&b'=') {
        assert_eq!(hint, Hint::default());
    }
    // A field that is sent twice says the same, unless its quotes are open.
    if value.iter().filter(|&&byte| byte == b'"').count() % 2 == 0 {
        assert_eq!(Hint::parse(&[value, b", ", value].concat()), hint);
    }
}

#[cfg(test)]
#[test]
fn the_corpus() {
    crate::corpus::each("keep_alive_hint", 14, check);
}
