//! What holds for any bytes that may begin a plain response: they are taken apart exactly if they can be read
//! in one way, as `reference.rs` reads them. Then nothing that they begin with is read in another way, and nothing
//! that has more than they lack is taken for a response.

use super::chunked::Chunks;
use super::plain::Plain;
use super::reference::{Head, chunks, number, trim};

/// Bytes of a head, and headers, that are looked at.
const MAX_HEAD: usize = 4096;
const MAX_FIELDS: usize = 48;
/// Pieces of a chunked body.
const MAX_SPANS: usize = 256;

/// A longer response is cut at so many places only.
const CUTS: usize = 60;

pub fn check(bytes: &[u8]) {
    for is_head in [false, true] {
        check_answer(bytes, is_head);
    }
}

fn check_answer(bytes: &[u8], is_head: bool) {
    let Some(body) = agreed(bytes, is_head) else { return };
    let ends = (0..bytes.len().min(CUTS)).map(|at| at * bytes.len() / bytes.len().min(CUTS));
    for end in ends {
        // The first bytes of it alone lack as many more, or are left to Node.
        match (agreed(&bytes[..end], is_head), &body) {
            (Some(Body::Length { data, missing }), Body::Length { data: all, missing: lacks }) => {
                assert!(all.starts_with(data));
                assert_eq!(missing - lacks, (all.len() - data.len()) as u64);
            }
            (
                Some(Body::Chunked { mut data, is_complete }),
                Body::Chunked { data: all, is_complete: ends },
            ) => {
                assert!(!is_complete);
                let mut rest = Plain::read(&bytes[..end], is_head).and_then(|plain| plain.chunks()).unwrap();
                let (more, is_last) = piece(&mut rest, &bytes[end..]);
                data.extend(more);
                assert_eq!((data, is_last), (all.clone(), *ends));
            }
            (None, _) => {}
            _ => panic!("{}", bytes.escape_ascii()),
        }
    }
    for suffix in ["\r", "\n", " ", "\0", "0", "H", "\r\n", "\r\n\r\n", "0\r\n\r\n"] {
        agreed(&[bytes, suffix.as_bytes()].concat(), is_head);
    }
    agreed(&[bytes, bytes].concat(), is_head);
}

/// The body, as both readings have it.
fn agreed(bytes: &[u8], is_head: bool) -> Option<Body<'_>> {
    let parts = parts(bytes, is_head);
    assert_eq!(parts, reference(bytes, is_head), "{is_head} {}", bytes.escape_ascii());
    parts.map(|parts| parts.body)
}

/// A response, as JavaScript gets it.
#[derive(Debug, PartialEq, Eq)]
struct Parts<'a> {
    status: u16,
    keep_alive: bool,
    reason: &'a [u8],
    fields: Vec<(&'a [u8], &'a [u8])>,
    body: Body<'a>,
}

#[derive(Debug, PartialEq, Eq)]
enum Body<'a> {
    Length { data: &'a [u8], missing: u64 },
    Chunked { data: Vec<u8>, is_complete: bool },
}

/// Reads what [`Plain::write`] lays out, as `lib/plain-response.js` does.
fn parts(bytes: &[u8], is_head: bool) -> Option<Parts<'_>> {
    let plain = Plain::read(bytes, is_head)?;
    let mut out = b"before".to_vec();
    plain.write(&mut out);
    let out = out.strip_prefix(b"before").expect("what stood there stays");
    let (heading, rest) = out.split_at(20);
    let [status, flags, head_len, reason_start, reason_end, m0, m1, m2, m3, count] = numbers(heading)[..]
    else {
        panic!("{heading:?}");
    };
    // JavaScript cuts all of these out of the head.
    let head = &bytes[..head_len];
    let (fields, spans) = rest.split_at(8 * count);
    let fields = numbers(fields);
    let (fields, _) = fields.as_chunks::<4>();
    let missing = [m3, m2, m1, m0].iter().fold(0, |sum, &part| sum << 16 | part as u64);
    assert_eq!(flags & 2 != 0, is_head);
    let is_partial = flags & 8 != 0;
    let body = if flags & 4 == 0 {
        assert_eq!((is_partial, spans), (missing > 0, &[][..]));
        Body::Length { data: &bytes[head_len..], missing }
    } else {
        assert_eq!(missing, 0);
        assert_eq!(plain.chunks().is_some(), is_partial);
        Body::Chunked { data: data(bytes, spans), is_complete: !is_partial }
    };
    Some(Parts {
        status: status as u16,
        keep_alive: flags & 1 != 0,
        reason: &head[reason_start..reason_end],
        fields: fields.iter().map(|&[a, b, c, d]| (&head[a..b], &head[c..d])).collect(),
        body,
    })
}

fn numbers(bytes: &[u8]) -> Vec<usize> {
    bytes.chunks(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]).into()).collect()
}

/// The data of `bytes`, of which the places stand in `spans`.
fn data(bytes: &[u8], spans: &[u8]) -> Vec<u8> {
    let (spans, rest) = spans.as_chunks::<8>();
    assert!(rest.is_empty());
    let place = |[a, b, c, d]: [u8; 4]| u32::from_le_bytes([a, b, c, d]) as usize;
    let span = |&[a, b, c, d, e, f, g, h]: &[u8; 8]| &bytes[place([a, b, c, d])..place([e, f, g, h])];
    spans.iter().flat_map(|bytes| span(bytes).to_vec()).collect()
}

/// Reads on in a chunked body, of which it is known that it is clear, as `lib/plain-chunks.js` does: the data, and
/// whether it is complete. What is said of where the body was leads there.
fn piece(rest: &mut Chunks, bytes: &[u8]) -> (Vec<u8>, bool) {
    let before = *rest;
    let mut out = Vec::new();
    let piece = rest.read(bytes);
    piece.write(&mut out);
    let (heading, spans) = out.split_at(4);
    let [flags, prefix] = numbers(heading)[..] else { panic!("{heading:?}") };
    assert!(flags <= 1 && piece.is_last() == (flags == 1));
    let (prefix, spans) = spans.split_at(prefix);
    assert_eq!(Chunks::begin(prefix, 0).and_then(|(_, rest)| rest), Some(before));
    (data(bytes, spans), flags == 1)
}

fn reference(bytes: &[u8], is_head: bool) -> Option<Parts<'_>> {
    let head = Head::read(bytes)?;
    let unusual = ["upgrade", "trailer", "proxy-connection"];
    let is_small = head.len <= MAX_HEAD && head.fields.len() <= MAX_FIELDS;
    let odd = ["content-length", "connection", "transfer-encoding"];
    if !is_small || odd.iter().any(|name| head.has_tab_behind(name)) {
        return None;
    }
    if unusual.iter().any(|name| head.has(name)) || trim(head.reason) != head.reason || head.status < 200 {
        return None;
    }
    let body = &bytes[head.len..];
    let never_has_body = matches!(head.status, 204 | 304);
    let body = match (&head.values("content-length")[..], &head.values("transfer-encoding")[..]) {
        ([], [coding]) if coding.eq_ignore_ascii_case(b"chunked") && !never_has_body => {
            if is_head && !body.is_empty() {
                return None;
            }
            let (spans, is_complete) = chunks(body)?;
            if spans.len() > MAX_SPANS {
                return None;
            }
            if is_head {
                Body::Length { data: body, missing: 0 }
            } else {
                Body::Chunked { data: spans.concat(), is_complete }
            }
        }
        ([], []) if never_has_body && body.is_empty() => Body::Length { data: body, missing: 0 },
        ([value], []) => {
            let length = match (number(value, 15)?, head.status) {
                (1.., 204) => return None,
                (_, 204 | 304) => 0,
                _ if is_head => 0,
                (length, _) => length,
            };
            Body::Length { data: body, missing: length.checked_sub(body.len() as u64)? }
        }
        _ => return None,
    };
    let keep_alive = head.keep_alive()?;
    let is_whole = matches!(body, Body::Length { missing: 0, .. } | Body::Chunked { is_complete: true, .. });
    let (status, reason, fields) = (head.status, head.reason, head.fields);
    (keep_alive || is_whole).then_some(Parts { status, keep_alive, reason, fields, body })
}

#[cfg(test)]
#[test]
fn the_corpus() {
    crate::corpus::each("plain", 60, check);
}
