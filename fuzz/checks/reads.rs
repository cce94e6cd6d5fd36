//! What holds for any bytes of a connection, however many reads bring them: the two that read the same response, the
//! one for JavaScript and the one for requests that wait, never contradict each other. And the one for JavaScript has
//! after each read the data, and what is left, that `reference.rs` finds in all that has come, or from then on nothing.

use super::framing::{End, Framing, Progress};
use super::plain::Plain;
use super::plain_check::{Left, data, left};
use super::reference::{chunks, end_of_head};
use super::rest::{Piece, Rest, Spans};

/// Pieces of a chunked body that one read may have.
const MAX_SPANS: usize = 256;

/// Bytes that say where a body is.
const PLACE: usize = 10;

/// More bytes do not come in more reads than these, or some more.
const READS: usize = 200;

pub fn check(bytes: &[u8]) {
    let Some(head) = end_of_head(bytes) else { return };
    let mut seed = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut draw = |most: usize| {
        seed = seed.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        1 + (seed >> 33) as usize % most
    };
    for is_head in [false, true] {
        for most in [1, 4, 40, 400, 5000] {
            let most = most.max(bytes.len() / READS);
            // In a shorter one there is no head, and so nothing that is read here.
            let first = head + (draw(most) - 1).min(bytes.len() - head);
            let mut reads = vec![&bytes[..first]];
            let mut rest = &bytes[first..];
            while !rest.is_empty() {
                let (read, behind) = rest.split_at(draw(most).min(rest.len()));
                reads.push(read);
                rest = behind;
            }
            check_reads(head, &reads, is_head);
        }
    }
}

fn check_reads(head: usize, reads: &[&[u8]], is_head: bool) {
    let (mut framing, mut spans) = (Framing::new(is_head), Spans::default());
    let Some(plain) = Plain::read(reads[0], is_head, &mut spans) else { return };
    let Body { mut found, keep_alive, is_chunked } = Body::of(&plain, &spans, reads[0], head);
    agree(framing.push(reads[0]), plain.rest(), keep_alive);
    let length = match plain.rest() {
        Some(Rest::Length(left)) => found.len() as u64 + left,
        _ => found.len() as u64,
    };
    // The data of a body, and whether it is complete, if it is clear.
    let reference = |so_far: &[u8]| match is_chunked {
        true => chunks(so_far).map(|(spans, is_complete)| (spans.concat(), is_complete)),
        false => (so_far.len() as u64 <= length).then(|| (so_far.to_vec(), so_far.len() as u64 == length)),
    };
    let mut so_far = reads[0][head..].to_vec();
    let mut rest = plain.rest();
    for read in &reads[1..] {
        let progress = framing.push(read);
        let Some(before) = rest else {
            // Whatever comes behind the last byte, this connection is not for another request.
            assert!(matches!(progress, Progress::Surplus | Progress::Unclear));
            return;
        };
        so_far.extend(*read);
        let piece = before.read(read, 0, &mut spans);
        let mut out = Vec::new();
        piece.write(&spans, &mut out);
        let (flags, out) = out.split_at(2);
        let (place, places) = out.split_at(PLACE);
        let Piece::Clear(now) = piece else {
            assert_eq!((flags, place, places), (&[2, 0][..], &[0; PLACE][..], &[][..]));
            let is_long = is_chunked && pieces(&so_far, read.len()) > MAX_SPANS;
            assert!(reference(&so_far).is_none() || is_long, "{}", so_far.escape_ascii());
            // Of some that are plain the other does not say where they end.
            match piece {
                Piece::Surplus => assert!(matches!(progress, Progress::Surplus | Progress::Unclear)),
                _ => assert!(progress == Progress::Unclear || is_long),
            }
            return;
        };
        found.extend(data(read, places));
        let is_complete = now.is_none();
        assert_eq!(flags, [u8::from(is_complete), 0]);
        assert_eq!(Some((found.clone(), is_complete)), reference(&so_far), "{}", so_far.escape_ascii());
        match left(now, place) {
            Left::Bytes(left) => {
                assert!(if is_chunked { is_complete } else { left == length - so_far.len() as u64 })
            }
            Left::Chunks => assert!(is_chunked && !is_complete),
        }
        agree(progress, now, keep_alive);
        rest = now;
    }
}

/// How many pieces of a chunked body stand in the last bytes of it, in so many.
fn pieces(so_far: &[u8], last: usize) -> usize {
    let (spans, _) = chunks(so_far).unwrap_or_default();
    let before = so_far[..so_far.len() - last].as_ptr_range().end;
    spans.iter().filter(|span| span.as_ptr_range().end > before).count()
}

/// A body's beginning, and what JavaScript is told of the response.
struct Body {
    found: Vec<u8>,
    keep_alive: bool,
    is_chunked: bool,
}

impl Body {
    fn of(plain: &Plain, spans: &Spans, bytes: &[u8], head: usize) -> Self {
        let mut out = Vec::new();
        plain.write(spans, &mut out);
        let number = |index: usize| u16::from_le_bytes([out[PLACE + 2 * index], out[PLACE + 2 * index + 1]]);
        let (flags, fields) = (number(1), usize::from(number(5)));
        assert_eq!(usize::from(number(2)), head);
        let is_chunked = flags & 4 != 0;
        let found = match is_chunked {
            true => data(bytes, &out[PLACE + 2 * (6 + 4 * fields)..]),
            false => bytes[head..].to_vec(),
        };
        Self { found, keep_alive: flags & 1 != 0, is_chunked }
    }
}

/// Where the response ends by the one reading it ends by the other, and the connection is kept by both or by none. Of
/// some that are plain the other does not say where they end.
fn agree(framing: Progress, rest: Option<Rest>, keep_alive: bool) {
    match framing {
        Progress::Complete(End { keep_alive: its, .. }) => assert_eq!((rest, keep_alive), (None, its)),
        Progress::Incomplete => assert!(rest.is_some()),
        Progress::Surplus => panic!("nothing is behind it"),
        Progress::Unclear => {}
    }
}

#[cfg(test)]
#[test]
fn the_corpus() {
    crate::corpus::each("reads", 17, check);
    // What is whole for the other targets is a connection's bytes too.
    crate::corpus::each("plain", 60, check);
    crate::corpus::each("framing", 60, check);
}
