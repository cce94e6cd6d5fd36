//! What holds for any bytes that may begin a plain response: they are taken apart exactly if they can be read
//! in one way, as `reference.rs` reads them. Then nothing that they begin with is read in another way, and nothing
//! that has more than they lack is taken for a response.

use super::plain::Plain;
use super::reference::{Head, number, trim};

/// Bytes of a head, and headers, that are looked at.
const MAX_HEAD: usize = 4096;
const MAX_FIELDS: usize = 48;

/// A longer response is cut at so many places only.
const CUTS: usize = 300;

pub fn check(bytes: &[u8]) {
    for is_head in [false, true] {
        check_answer(bytes, is_head);
    }
}

fn check_answer(bytes: &[u8], is_head: bool) {
    let read = |bytes: &[u8]| parts(bytes, is_head).map(|parts| parts.missing);
    let plain = parts(bytes, is_head);
    assert_eq!(plain, reference(bytes, is_head), "{is_head} {}", bytes.escape_ascii());
    let Some(Parts { keep_alive, body, missing, .. }) = plain else { return };
    // The first bytes of it alone lack as many more, or are left to Node.
    for at in 0..bytes.len().min(CUTS) {
        let end = at * bytes.len() / bytes.len().min(CUTS);
        let left = bytes.len() - end;
        let expected = (keep_alive && left <= body.len()).then_some(missing + left as u64);
        assert_eq!(read(&bytes[..end]), expected, "{}", bytes[..end].escape_ascii());
    }
    for suffix in ["\r", "\n", " ", "\0", "0", "H", "\r\n", "\r\n\r\n", "0\r\n\r\n"] {
        let more = [bytes, suffix.as_bytes()].concat();
        assert_eq!(read(&more), missing.checked_sub(suffix.len() as u64), "{}", more.escape_ascii());
    }
    let twice = [bytes, bytes].concat();
    assert_eq!(read(&twice), missing.checked_sub(bytes.len() as u64), "{}", bytes.escape_ascii());
}

/// A response, as JavaScript gets it.
#[derive(Debug, PartialEq, Eq)]
struct Parts<'a> {
    status: u16,
    keep_alive: bool,
    reason: &'a [u8],
    fields: Vec<(&'a [u8], &'a [u8])>,
    body: &'a [u8],
    missing: u64,
}

/// Reads what [`Plain::write`] lays out, as `lib/plain-response.js` does.
fn parts(bytes: &[u8], is_head: bool) -> Option<Parts<'_>> {
    let plain = Plain::read(bytes, is_head)?;
    let mut out = b"before".to_vec();
    let written = plain.write(&mut out);
    let out = out.strip_prefix(b"before").expect("what stood there stays");
    assert_eq!(out.len(), written);
    let numbers: Vec<usize> =
        out.chunks(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]).into()).collect();
    let [status, flags, head_len, reason_start, reason_end, m0, m1, m2, m3, ref fields @ ..] = numbers[..]
    else {
        panic!("{} numbers", numbers.len());
    };
    assert_eq!(flags & !1, if is_head { 2 } else { 0 });
    // JavaScript cuts all of these out of the head.
    let head = &bytes[..head_len];
    let (fields, rest) = fields.as_chunks::<4>();
    assert!(rest.is_empty());
    Some(Parts {
        status: status as u16,
        keep_alive: flags & 1 == 1,
        reason: &head[reason_start..reason_end],
        fields: fields.iter().map(|&[a, b, c, d]| (&head[a..b], &head[c..d])).collect(),
        body: &bytes[head_len..],
        missing: [m3, m2, m1, m0].iter().fold(0, |sum, &part| sum << 16 | part as u64),
    })
}

fn reference(bytes: &[u8], is_head: bool) -> Option<Parts<'_>> {
    let head = Head::read(bytes)?;
    let unusual = ["transfer-encoding", "upgrade", "trailer", "proxy-connection"];
    let is_small = head.len <= MAX_HEAD && head.fields.len() <= MAX_FIELDS;
    let odd = ["content-length", "connection"];
    if !is_small || odd.iter().any(|name| head.has_tab_behind(name)) {
        return None;
    }
    if unusual.iter().any(|name| head.has(name)) || trim(head.reason) != head.reason {
        return None;
    }
    let body = &bytes[head.len..];
    let length = match head.values("content-length")[..] {
        [] => None,
        [value] => Some(number(value, 15)?),
        _ => return None,
    };
    let length = match (head.status, length) {
        (..200, _) | (204, Some(1..)) => return None,
        (204 | 304, _) => 0,
        (_, None) => return None,
        (_, Some(_)) if is_head => 0,
        (_, Some(length)) => length,
    };
    let keep_alive = head.keep_alive()?;
    let missing = length.checked_sub(body.len() as u64)?;
    let (status, reason, fields) = (head.status, head.reason, head.fields);
    (keep_alive || missing == 0).then_some(Parts { status, keep_alive, reason, fields, body, missing })
}

#[cfg(test)]
#[test]
fn the_corpus() {
    crate::corpus::each("plain", 60, check);
}
