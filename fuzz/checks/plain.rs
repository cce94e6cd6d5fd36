//! What holds for any bytes that may be a plain response: they are taken apart exactly if they can be read
//! in one way, as `reference.rs` reads them; and then nothing that they begin with, and nothing that they
//! are the beginning of, is taken for a response too.

use super::plain::Plain;
use super::reference::{Head, number, trim};

/// Bytes of a head, and headers, that are looked at.
const MAX_HEAD: usize = 4096;
const MAX_FIELDS: usize = 48;

/// A longer response is cut at so many places only.
const CUTS: usize = 300;

pub fn check(bytes: &[u8]) {
    let plain = parts(bytes);
    assert_eq!(plain, reference(bytes), "{}", bytes.escape_ascii());
    if plain.is_none() {
        return;
    }
    for at in 0..bytes.len().min(CUTS) {
        let end = at * bytes.len() / bytes.len().min(CUTS);
        assert_eq!(parts(&bytes[..end]), None, "{}", bytes[..end].escape_ascii());
    }
    for suffix in ["\r", "\n", " ", "\0", "0", "H", "\r\n", "\r\n\r\n", "0\r\n\r\n"] {
        assert_eq!(parts(&[bytes, suffix.as_bytes()].concat()), None, "{}", bytes.escape_ascii());
    }
    assert_eq!(parts(&[bytes, bytes].concat()), None, "{}", bytes.escape_ascii());
}

/// A response, as JavaScript gets it.
#[derive(Debug, PartialEq, Eq)]
struct Parts<'a> {
    status: u16,
    keep_alive: bool,
    reason: &'a [u8],
    fields: Vec<(&'a [u8], &'a [u8])>,
    body: &'a [u8],
}

/// Reads what [`Plain::write`] lays out, as `lib/plain-response.js` does.
fn parts(bytes: &[u8]) -> Option<Parts<'_>> {
    let plain = Plain::read(bytes)?;
    let mut out = b"before".to_vec();
    let written = plain.write(&mut out);
    let out = out.strip_prefix(b"before").expect("what stood there stays");
    assert_eq!(out.len(), written);
    let numbers: Vec<usize> =
        out.chunks(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]).into()).collect();
    let [status, keep_alive, head_len, reason_start, reason_end, ref fields @ ..] = numbers[..] else {
        panic!("{} numbers", numbers.len());
    };
    // JavaScript cuts all of these out of the head.
    let head = &bytes[..head_len];
    let (fields, rest) = fields.as_chunks::<4>();
    assert!(rest.is_empty());
    Some(Parts {
        status: status as u16,
        keep_alive: match keep_alive {
            0 => false,
            1 => true,
            _ => panic!("{keep_alive}"),
        },
        reason: &head[reason_start..reason_end],
        fields: fields.iter().map(|&[a, b, c, d]| (&head[a..b], &head[c..d])).collect(),
        body: &bytes[head_len..],
    })
}

fn reference(bytes: &[u8]) -> Option<Parts<'_>> {
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
    let ends = match (head.status, length) {
        (..200, _) => false,
        (204 | 304, None | Some(0)) => body.is_empty(),
        (204 | 304, Some(_)) | (_, None) => false,
        (_, Some(length)) => body.len() as u64 == length,
    };
    let keep_alive = head.keep_alive()?;
    ends.then_some(Parts { status: head.status, keep_alive, reason: head.reason, fields: head.fields, body })
}

#[cfg(test)]
#[test]
fn the_corpus() {
    crate::corpus::each("plain", 60, check);
}
