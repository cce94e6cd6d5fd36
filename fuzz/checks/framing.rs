//! What holds for any bytes of a response, however they are cut: the end is found exactly where `reference.rs`
//! and the rules below, which see all bytes at once, find it, and there is no second one.

use super::framing::{End, Framing, Progress};
use super::reference::{Head, end_of_head, number, read_chunks};

/// A head that is longer, or has more fields, is not read.
const MAX_HEAD: usize = 16 * 1024;
const MAX_FIELDS: usize = 100;

const MAX_DIGITS: usize = 15;

pub fn check(bytes: &[u8]) {
    for bodiless in [false, true] {
        check_cuts(bytes, bodiless);
    }
}

/// The ends of a message, by cuts of every kind, are one and the same, and it is where it has to be.
fn check_cuts(bytes: &[u8], bodiless: bool) {
    let expected = reference(bytes, bodiless);
    let whole = Framing::new(bodiless).push(bytes);
    assert_eq!(Reading::of(whole), expected, "{bodiless} {}", bytes.escape_ascii());
    if let Progress::Complete(End { keep_alive, .. }) = whole {
        assert_eq!(Head::read(bytes).and_then(|head| head.keep_alive()), Some(keep_alive));
    }

    // Byte by byte: complete at the end of a message and nowhere else, and never again after that.
    let mut framing = Framing::new(bodiless);
    let mut settled = None;
    for (index, byte) in bytes.iter().enumerate() {
        let progress = framing.push(&[*byte]);
        assert_eq!(progress, framing.progress());
        match settled {
            Some((end, Progress::Complete(_))) => {
                assert_eq!(progress, behind(&bytes[end..=index]), "{index} {}", bytes.escape_ascii());
            }
            Some(_) => assert_eq!(progress, Progress::Unclear, "{index} {}", bytes.escape_ascii()),
            None if progress == Progress::Incomplete => {}
            None => settled = Some((index + 1, progress)),
        }
    }
    if !bytes.is_empty() {
        assert_eq!(framing.progress(), whole, "{}", bytes.escape_ascii());
    }
    if let Some((end, Progress::Complete(_))) = settled {
        assert_eq!(reference(&bytes[..end], bodiless), Reading::Complete);
    }

    // In pieces of any length, which are drawn from the bytes themselves.
    let mut seed = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    for most in [3, 17, 200, 5000] {
        let mut framing = Framing::new(bodiless);
        let mut rest = bytes;
        while !rest.is_empty() {
            seed = seed.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            let (piece, left) = rest.split_at(rest.len().min((seed >> 33) as usize % (most + 1)));
            framing.push(piece);
            rest = left;
        }
        assert_eq!(framing.progress(), whole, "{}", bytes.escape_ascii());
    }

    // What comes behind an end belongs to nothing.
    if let Progress::Complete(_) = whole {
        for more in [&b"\r"[..], b"\n", b"0", b"H", b"\0", bytes] {
            let mut framing = Framing::new(bodiless);
            framing.push(bytes);
            assert_eq!(framing.push(more), behind(more));
            assert_eq!(Framing::new(bodiless).push(&[bytes, more].concat()), behind(more));
        }
    }
}

/// What these bytes are behind the end of a response: of no concern, if they are but line breaks.
fn behind(bytes: &[u8]) -> Progress {
    let is_blank = bytes.iter().all(|byte| b"\r\n".contains(byte));
    if is_blank { Progress::Unclear } else { Progress::Surplus }
}

/// [`Progress`] without what the head says.
#[derive(Debug, PartialEq, Eq)]
enum Reading {
    Complete,
    Incomplete,
    Surplus,
    Unclear,
}

impl Reading {
    fn of(progress: Progress) -> Self {
        match progress {
            Progress::Complete(_) => Self::Complete,
            Progress::Incomplete => Self::Incomplete,
            Progress::Surplus => Self::Surplus,
            Progress::Unclear => Self::Unclear,
        }
    }
}

fn reference(bytes: &[u8], bodiless: bool) -> Reading {
    match end_of_head(&bytes[..bytes.len().min(MAX_HEAD)]) {
        None if bytes.len() < MAX_HEAD => Reading::Incomplete,
        None => Reading::Unclear,
        Some(_) => read(bytes, bodiless).unwrap_or(Reading::Unclear),
    }
}

/// Of bytes that begin with a whole head; None if they can be read in more than one way.
fn read(bytes: &[u8], bodiless: bool) -> Option<Reading> {
    let head = Head::read(bytes)?;
    let unusual = ["upgrade", "trailer", "proxy-connection"];
    if head.status < 200
        || head.fields.len() > MAX_FIELDS
        || unusual.iter().any(|name| head.has(name))
        // White space to some parsers, and a part of the value to others.
        || bytes[..head.len].contains(&b'\t')
    {
        return None;
    }
    head.keep_alive()?;
    let length = match head.values("content-length")[..] {
        [] => None,
        [value] => Some(number(value, MAX_DIGITS)?),
        _ => return None,
    };
    let is_chunked = match head.values("transfer-encoding")[..] {
        [] => false,
        [value] if value.eq_ignore_ascii_case(b"chunked") => true,
        _ => return None,
    };
    let body = &bytes[head.len..];
    match (length, is_chunked) {
        (Some(_), true) => None,
        _ if bodiless => Some(exactly(body, 0)),
        (Some(1..), _) | (_, true) if matches!(head.status, 204 | 304) => None,
        _ if matches!(head.status, 204 | 304) => Some(exactly(body, 0)),
        (None, true) => {
            let (_, behind) = read_chunks(body)?;
            Some(behind.map_or(Reading::Incomplete, |behind| exactly(behind, 0)))
        }
        (Some(length), false) => Some(exactly(body, length)),
        (None, false) => None,
    }
}

/// Whether there are as many bytes as have to be.
fn exactly(body: &[u8], length: u64) -> Reading {
    match (body.len() as u64).cmp(&length) {
        std::cmp::Ordering::Less => Reading::Incomplete,
        std::cmp::Ordering::Equal => Reading::Complete,
        std::cmp::Ordering::Greater => Reading::of(behind(&body[length as usize..])),
    }
}

#[cfg(test)]
#[test]
fn the_corpus() {
    crate::corpus::each("framing", 60, check);
}
