//! What the readers of a response's head ask of its bytes before they trust their meaning.

/// Digits that a length may have: no overflow with so many.
pub const MAX_DIGITS: u32 = 15;

/// Digits and nothing else (RFC 9110 section 8.6).
pub fn parse_length(value: &[u8]) -> Option<u64> {
    let is_plain = !value.is_empty() && value.len() <= MAX_DIGITS as usize;
    if !is_plain || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(value.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')))
}

/// Whether every line ends with CRLF and neither of the two stands alone: parsers differ there.
pub fn has_plain_lines(head: &[u8]) -> bool {
    let mut after_cr = false;
    for &byte in head {
        if after_cr != (byte == b'\n') {
            return false;
        }
        after_cr = byte == b'\r';
    }
    !after_cr
}

/// Whether these are but line breaks. Some servers send one behind a body, and parsers skip it before the next response.
pub fn is_blank(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n'))
}
