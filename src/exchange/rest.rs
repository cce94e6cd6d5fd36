//! The rest of a body whose head was plain: where the data stands in what comes, and what a parser would have to be
//! given to read on from there.

use super::chunked::{Chunked, Step};
use super::syntax::is_blank;

/// Pieces of a body that are looked at in what one read has brought. To hand over more of them costs more than to
/// parse them again.
const MAX_SPANS: usize = 256;

/// What of a body has not come yet, one byte at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    Chunked(Chunked),
    Length(u64),
}

/// Where the data stands in some bytes of a body. One of these serves all reads, so that none of them allocates: what
/// reads a body begins it anew.
#[derive(Debug, Default)]
pub struct Spans(Vec<(u32, u32)>);

/// What some bytes of a body are, as [`Piece::write`] lays it out for JavaScript.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// What is left behind them; None: nothing, the last byte was the last of the body. The data is in [`Spans`].
    Clear(Option<Rest>),
    /// They are the last of the body, and more, which is not only line breaks. To JavaScript that is unclear.
    Surplus,
    /// It is for Node's parser to say, of these and of all that follow.
    Unclear,
}

/// Flags of what JavaScript gets, as in `lib/response/plain-body.js`: the body is complete.
const COMPLETE: u16 = 1;
/// It is for Node's parser.
const UNCLEAR: u16 = 2;

/// Where a reader is in a body, as `lib/response/body-place.js` takes it: what the next byte belongs to, how many digits of a
/// size have come, and the number that has to be known there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    kind: u8,
    digits: u8,
    number: u64,
}

impl Rest {
    /// A chunked body of which nothing has come.
    pub const CHUNKS: Self = Self::Chunked(Chunked::START);

    /// What `bytes` are, from `from` on, and in `spans` where the data is, if they are clear. If a rest is left it is
    /// what reads on.
    pub fn read(self, bytes: &[u8], from: usize, spans: &mut Spans) -> Piece {
        spans.0.clear();
        match self {
            Self::Chunked(state) => read_chunks(state, bytes, from, spans),
            Self::Length(left) => read_counted(left, bytes, from, spans),
        }
    }

    /// To bring a parser there is JavaScript's, and seldom wanted: so this is not said in text.
    pub fn place(self) -> Place {
        let (kind, digits, number) = match self {
            Self::Length(left) => (1, 0, left),
            Self::Chunked(Chunked::Size { size, digits }) => (2, digits as u8, size),
            Self::Chunked(Chunked::SizeLf { size }) => (3, 0, size),
            Self::Chunked(Chunked::Data { left }) => (4, 0, left),
            Self::Chunked(Chunked::DataCr) => (5, 0, 0),
            Self::Chunked(Chunked::DataLf) => (6, 0, 0),
            Self::Chunked(Chunked::LastCr) => (7, 0, 0),
            Self::Chunked(Chunked::LastLf) => (8, 0, 0),
        };
        Place { kind, digits, number }
    }
}

impl Place {
    /// Nothing is left of the body.
    const NONE: Self = Self { kind: 0, digits: 0, number: 0 };

    /// That of what is left.
    pub fn of(rest: Option<Rest>) -> Self {
        rest.map_or(Self::NONE, Rest::place)
    }

    /// Appends it in 10 bytes, a number with its low byte first.
    pub fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[self.kind, self.digits]);
        out.extend_from_slice(&self.number.to_le_bytes());
    }
}

fn read_chunks(mut state: Chunked, bytes: &[u8], from: usize, spans: &mut Spans) -> Piece {
    let mut at = from;
    while at < bytes.len() {
        let (taken, step) = state.read(&bytes[at..]);
        let is_data = matches!(state, Chunked::Data { .. });
        if is_data && !spans.push(at, at + taken) {
            return Piece::Unclear;
        }
        at += taken;
        state = match step {
            Step::Within(next) => next,
            Step::Complete if at == bytes.len() => return Piece::Clear(None),
            Step::Complete => return Piece::followed_by(&bytes[at..]),
            Step::Unclear => return Piece::Unclear,
        };
    }
    Piece::Clear(Some(Rest::Chunked(state)))
}

fn read_counted(left: u64, bytes: &[u8], from: usize, spans: &mut Spans) -> Piece {
    let here = &bytes[from..];
    let Some(left) = left.checked_sub(here.len() as u64) else {
        return Piece::followed_by(&here[left as usize..]);
    };
    if !spans.push(from, bytes.len()) {
        return Piece::Unclear;
    }
    Piece::Clear((left > 0).then_some(Rest::Length(left)))
}

impl Spans {
    /// Whether there is room for another one.
    fn push(&mut self, start: usize, end: usize) -> bool {
        let (Ok(start), Ok(end)) = (u32::try_from(start), u32::try_from(end)) else { return false };
        let has_room = self.0.len() < MAX_SPANS;
        if has_room {
            self.0.push((start, end));
        }
        has_room
    }

    /// Appends them as 32-bit integers, the low byte first: where each piece begins and ends.
    pub fn write(&self, out: &mut Vec<u8>) {
        for (start, end) in &self.0 {
            out.extend_from_slice(&start.to_le_bytes());
            out.extend_from_slice(&end.to_le_bytes());
        }
    }
}

impl Piece {
    /// The last of a body, behind which these bytes stand.
    fn followed_by(more: &[u8]) -> Self {
        if is_blank(more) { Self::Unclear } else { Self::Surplus }
    }

    /// What is left of the body, and to be read here.
    pub const fn rest(self) -> Option<Rest> {
        match self {
            Self::Clear(rest) => rest,
            Self::Surplus | Self::Unclear => None,
        }
    }

    /// Appends flags, as a 16-bit integer with its low byte first, [`Place::write`] of what is left, and
    /// [`Spans::write`] of those that it was read with.
    pub fn write(self, spans: &Spans, out: &mut Vec<u8>) {
        let flags = match self {
            Self::Clear(None) => COMPLETE,
            Self::Clear(Some(_)) => 0,
            Self::Surplus | Self::Unclear => UNCLEAR,
        };
        out.extend_from_slice(&flags.to_le_bytes());
        Place::of(self.rest()).write(out);
        if let Self::Clear(_) = self {
            spans.write(out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = b"5\r\nhello\r\n0A\r\n0123456789\r\n0\r\n\r\n";

    fn clear(rest: Rest, bytes: &[u8]) -> (Vec<u8>, Option<Rest>) {
        let mut spans = Spans::default();
        let Piece::Clear(rest) = rest.read(bytes, 0, &mut spans) else { panic!("{}", bytes.escape_ascii()) };
        let data = spans.0.iter().flat_map(|&(start, end)| &bytes[start as usize..end as usize]);
        (data.copied().collect(), rest)
    }

    fn written(rest: Rest, bytes: &[u8]) -> Vec<u8> {
        let (mut out, mut spans) = (Vec::new(), Spans::default());
        rest.read(bytes, 0, &mut spans).write(&spans, &mut out);
        out
    }

    /// A body of the two kinds, and its data.
    fn bodies() -> [(Rest, &'static [u8], &'static [u8]); 2] {
        [(Rest::CHUNKS, BODY, b"hello0123456789"), (Rest::Length(BODY.len() as u64), BODY, BODY)]
    }

    #[test]
    fn the_data_is_found_wherever_the_body_is_cut() {
        for (body, bytes, expected) in bodies() {
            for first in 0..bytes.len() {
                for second in first..bytes.len() {
                    let mut left = Some(body);
                    let mut found = Vec::new();
                    for piece in [&bytes[..first], &bytes[first..second], &bytes[second..]] {
                        let (data, rest) = clear(left.unwrap(), piece);
                        found.extend(data);
                        left = rest;
                    }
                    assert_eq!((&found[..], left), (expected, None));
                }
            }
        }
    }

    /// What JavaScript makes of them is in `__test__/plain-body.test.js`.
    #[test]
    fn no_two_places_are_told_alike() {
        let rests =
            |body: Rest, bytes: &'static [u8]| (0..bytes.len()).map(move |end| clear(body, &bytes[..end]).1);
        let mut seen = Vec::<(Vec<u8>, Rest)>::new();
        for (body, bytes, _) in bodies() {
            for rest in rests(body, bytes) {
                let mut place = Vec::new();
                Place::of(rest).write(&mut place);
                assert_eq!((place.len(), place[0] > 0), (10, true));
                let alike = seen.iter().find(|(other, _)| *other == place);
                assert!(alike.is_none_or(|&(_, other)| Some(other) == rest), "{rest:?} {alike:?}");
                seen.push((place, rest.unwrap()));
            }
        }
    }

    #[test]
    fn what_is_unclear_is_left_to_node_from_there_on() {
        for (start, rest) in [("5\r\nhel", "lo\r\n0;x\r\n\r\n"), ("0\r\n", "X: y\r\n\r\n"), ("5", " \r\n")] {
            let (_, left) = clear(Rest::CHUNKS, start.as_bytes());
            assert_eq!(left.unwrap().read(rest.as_bytes(), 0, &mut Spans::default()), Piece::Unclear);
        }
        let many = "1\r\nx\r\n".repeat(MAX_SPANS + 1);
        assert_eq!(Rest::CHUNKS.read(many.as_bytes(), 0, &mut Spans::default()), Piece::Unclear);
    }

    #[test]
    fn what_comes_behind_the_end_is_more_than_the_body() {
        for (body, bytes, _) in bodies() {
            let (_, rest) = clear(body, &bytes[..bytes.len() - 1]);
            for (rest, from) in [(body, 0), (rest.unwrap(), bytes.len() - 1)] {
                for (more, found) in
                    [("H", Piece::Surplus), ("\r\nH", Piece::Surplus), ("\r\n", Piece::Unclear)]
                {
                    let more = [&bytes[from..], more.as_bytes()].concat();
                    assert_eq!(rest.read(&more, 0, &mut Spans::default()), found);
                }
            }
        }
    }

    #[test]
    fn javascript_gets_flags_the_place_behind_and_the_spans() {
        let (_, rest) = clear(Rest::CHUNKS, b"5\r\nhel");
        let none = [0; 10];
        let expected = [&[1, 0], &none[..], &[0, 0, 0, 0, 2, 0, 0, 0]].concat();
        assert_eq!(written(rest.unwrap(), b"lo\r\n0\r\n\r\n"), expected);
        let expected = [0, 0, 1, 0, 0x03, 0x01, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0];
        assert_eq!(written(Rest::Length(0x105), b"he"), expected);
        let expected = [&[0, 0, 2, 3, 0x0a], &[0; 7][..]].concat();
        assert_eq!(written(Rest::CHUNKS, b"00a"), expected);
        assert_eq!(written(Rest::Length(1), b"he"), [&[2, 0], &none[..]].concat());
    }

    #[test]
    fn spans_are_those_of_the_last_read() {
        let mut spans = Spans::default();
        Rest::CHUNKS.read(b"1\r\nx\r\n1\r\ny", 0, &mut spans);
        assert_eq!(spans.0, [(3, 4), (9, 10)]);
        Rest::Length(2).read(b"ab", 0, &mut spans);
        assert_eq!(spans.0, [(0, 2)]);
    }
}
