//! What holds for any bytes that may begin a plain response: they are taken apart exactly if they can be read
//! in one way, as `reference.rs` reads them. Then nothing that they begin with is read in another way, and nothing
//! that has more than they lack is taken for a response.

use super::plain::Plain;
use super::reference::{Head, chunks, number, trim};
use super::rest::{Piece, Rest, Spans};

/// Bytes of a head, and headers, that are looked at.
const MAX_HEAD: usize = 4096;
const MAX_FIELDS: usize = 48;
/// Pieces of a chunked body.
const MAX_SPANS: usize = 256;

/// Bytes that say where a body is.
const PLACE: usize = 10;

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
        let Some(mut part) = agreed(&bytes[..end], is_head) else { continue };
        let rest = Plain::read(&bytes[..end], is_head, &mut Spans::default()).and_then(|plain| plain.rest());
        let (data, left) = piece(rest.expect("it lacks bytes"), &bytes[end..]);
        part.data.extend(data);
        assert_eq!(Body { left, ..part }, body, "{end} {}", bytes.escape_ascii());
    }
    for suffix in ["\r", "\n", " ", "\0", "0", "H", "\r\n", "\r\n\r\n", "0\r\n\r\n"] {
        agreed(&[bytes, suffix.as_bytes()].concat(), is_head);
    }
    agreed(&[bytes, bytes].concat(), is_head);
}

/// The body, as both readings have it.
fn agreed(bytes: &[u8], is_head: bool) -> Option<Body> {
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
    body: Body,
}

#[derive(Debug, PartialEq, Eq)]
struct Body {
    data: Vec<u8>,
    left: Left,
}

/// What is still to come.
#[derive(Debug, PartialEq, Eq)]
pub enum Left {
    Bytes(u64),
    /// Of a chunked body, and more is not known.
    Chunks,
}

const NOTHING: Left = Left::Bytes(0);

/// Reads what [`Plain::write`] lays out, as `lib/response/plain-response.js` does.
fn parts(bytes: &[u8], is_head: bool) -> Option<Parts<'_>> {
    let mut spans = Spans::default();
    let plain = Plain::read(bytes, is_head, &mut spans)?;
    let mut out = b"before".to_vec();
    plain.write(&spans, &mut out);
    let out = out.strip_prefix(b"before").expect("what stood there stays");
    let (place, rest) = out.split_at(PLACE);
    let (heading, rest) = rest.split_at(12);
    let [status, flags, head_len, reason_start, reason_end, count] = numbers(heading)[..] else {
        panic!("{heading:?}");
    };
    // JavaScript cuts all of these out of the head.
    let head = &bytes[..head_len];
    let (fields, spans) = rest.split_at(8 * count);
    let fields = numbers(fields);
    let (fields, _) = fields.as_chunks::<4>();
    assert_eq!(flags & 2 != 0, is_head);
    let is_chunked = flags & 4 != 0;
    assert!(is_chunked || spans.is_empty());
    let data = if is_chunked { data(bytes, spans) } else { bytes[head_len..].to_vec() };
    let body = Body { data, left: left(plain.rest(), place) };
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
pub fn data(bytes: &[u8], spans: &[u8]) -> Vec<u8> {
    let (spans, rest) = spans.as_chunks::<8>();
    assert!(rest.is_empty());
    let place = |[a, b, c, d]: [u8; 4]| u32::from_le_bytes([a, b, c, d]) as usize;
    let span = |&[a, b, c, d, e, f, g, h]: &[u8; 8]| &bytes[place([a, b, c, d])..place([e, f, g, h])];
    spans.iter().flat_map(|bytes| span(bytes).to_vec()).collect()
}

/// Reads on in a body, of which it is known that it is clear, as `lib/response/plain-body.js` does: the data, and what is left.
fn piece(rest: Rest, bytes: &[u8]) -> (Vec<u8>, Left) {
    let (mut out, mut spans) = (Vec::new(), Spans::default());
    let piece = rest.read(bytes, 0, &mut spans);
    piece.write(&spans, &mut out);
    let (flags, rest) = out.split_at(2);
    assert_eq!(flags, [u8::from(piece.rest().is_none()), 0]);
    let (place, spans) = rest.split_at(PLACE);
    (data(bytes, spans), left(piece.rest(), place))
}

/// What is left, if this is the place, which leads to where the body is.
pub fn left(rest: Option<Rest>, place: &[u8]) -> Left {
    let (kind, digits, number) = (place[0], place[1].into(), &place[2..]);
    let number = u64::from_le_bytes(number.try_into().expect("8 bytes"));
    let Some(rest) = rest else {
        assert_eq!((kind, digits, number), (0, 0, 0));
        return NOTHING;
    };
    // As `lib/response/body-place.js` has them.
    let prefix = match kind {
        1 => {
            assert_eq!(rest, Rest::Length(number));
            return Left::Bytes(number);
        }
        2 if digits == 0 => String::new(),
        2 => format!("{number:0digits$x}"),
        3 => format!("{number:x}\r"),
        4 => format!("{number:x}\r\n"),
        5 => String::from("1\r\nx"),
        6 => String::from("1\r\nx\r"),
        7 => String::from("0\r\n"),
        8 => String::from("0\r\n\r"),
        _ => panic!("{place:?}"),
    };
    let again = Rest::CHUNKS.read(prefix.as_bytes(), 0, &mut Spans::default());
    assert!(matches!(again, Piece::Clear(Some(again)) if again == rest), "{prefix:?} {rest:?}");
    Left::Chunks
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
            let left = if is_head || is_complete { NOTHING } else { Left::Chunks };
            Body { data: spans.concat(), left }
        }
        ([], []) if never_has_body && body.is_empty() => Body { data: Vec::new(), left: NOTHING },
        ([value], []) => {
            let length = match (number(value, 15)?, head.status) {
                (1.., 204) => return None,
                (_, 204 | 304) => 0,
                _ if is_head => 0,
                (length, _) => length,
            };
            Body { data: body.to_vec(), left: Left::Bytes(length.checked_sub(body.len() as u64)?) }
        }
        _ => return None,
    };
    let keep_alive = head.keep_alive()?;
    let (status, reason, fields) = (head.status, head.reason, head.fields);
    (keep_alive || body.left == NOTHING).then_some(Parts { status, keep_alive, reason, fields, body })
}

#[cfg(test)]
#[test]
fn the_corpus() {
    crate::corpus::each("plain", 60, check);
}
