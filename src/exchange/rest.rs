//! The rest of a body whose head was plain: where the data stands in what comes, and what a parser would have to be
//! given to read on from there.

use super::chunked::{Chunked, Step};

/// Pieces of a body that are looked at in what one read has brought. To hand over more of them costs more than to
/// parse them again.
const MAX_SPANS: usize = 256;

/// What of a body has not come yet, one byte at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    Chunked(Chunked),
    Length(u64),
}

/// Where the data stands in some bytes of a body.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Data {
    pub spans: Vec<(u32, u32)>,
}

/// What some bytes of a body are, as [`Piece::write`] lays it out for JavaScript.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    /// What is left behind them; None: nothing, the last byte was the last of the body.
    Clear(Data, Option<Rest>),
    /// It is for Node's parser to say, of these and of all that follow.
    Unclear,
}

/// Flags of what JavaScript gets, as in `lib/plain-body.js`: the body is complete.
const COMPLETE: u16 = 1;
/// It is for Node's parser.
const UNCLEAR: u16 = 2;

impl Rest {
    /// A chunked body of which nothing has come.
    pub const CHUNKS: Self = Self::Chunked(Chunked::START);

    /// What `bytes` are, from `from` on. If a rest is left it is what reads on.
    pub fn read(self, bytes: &[u8], from: usize) -> Piece {
        let clear = match self {
            Self::Chunked(state) => read_chunks(state, bytes, from),
            Self::Length(left) => read_counted(left, bytes, from),
        };
        clear.map_or(Piece::Unclear, |(data, rest)| Piece::Clear(data, rest))
    }

    /// Behind this, which may stand in any head, a parser is where the body is.
    pub fn place(self) -> String {
        match self {
            Self::Chunked(state) => format!("Transfer-Encoding: chunked\r\n\r\n{}", state.prefix()),
            Self::Length(left) => format!("Content-Length: {left}\r\n\r\n"),
        }
    }
}

fn read_chunks(mut state: Chunked, bytes: &[u8], from: usize) -> Option<(Data, Option<Rest>)> {
    let mut data = Data::default();
    let mut at = from;
    while at < bytes.len() {
        let (taken, step) = state.read(&bytes[at..]);
        if matches!(state, Chunked::Data { .. }) {
            if data.spans.len() == MAX_SPANS {
                return None;
            }
            data.push(at, at + taken)?;
        }
        at += taken;
        state = match step {
            Step::Within(next) => next,
            Step::Complete if at == bytes.len() => return Some((data, None)),
            Step::Complete | Step::Unclear => return None,
        };
    }
    Some((data, Some(Rest::Chunked(state))))
}

fn read_counted(left: u64, bytes: &[u8], from: usize) -> Option<(Data, Option<Rest>)> {
    let left = left.checked_sub((bytes.len() - from) as u64)?;
    let mut data = Data::default();
    data.push(from, bytes.len())?;
    Some((data, (left > 0).then_some(Rest::Length(left))))
}

impl Data {
    fn push(&mut self, start: usize, end: usize) -> Option<()> {
        self.spans.push((u32::try_from(start).ok()?, u32::try_from(end).ok()?));
        Some(())
    }

    /// Appends them as 32-bit integers, the low byte first: where each piece begins and ends.
    pub fn write(&self, out: &mut Vec<u8>) {
        for (start, end) in &self.spans {
            out.extend_from_slice(&start.to_le_bytes());
            out.extend_from_slice(&end.to_le_bytes());
        }
    }
}

impl Piece {
    /// What is left of the body, and to be read here.
    pub const fn rest(&self) -> Option<Rest> {
        match self {
            Self::Clear(_, rest) => *rest,
            Self::Unclear => None,
        }
    }

    /// Appends flags and the length of what follows them, as 16-bit integers, the low byte first: the place behind
    /// these bytes ([`Rest::place`]), if there is a rest. Behind it [`Data::write`].
    pub fn write(&self, out: &mut Vec<u8>) {
        let flags = match self {
            Self::Clear(_, None) => COMPLETE,
            Self::Clear(_, Some(_)) => 0,
            Self::Unclear => UNCLEAR,
        };
        let place = self.rest().map(Rest::place).unwrap_or_default();
        out.extend_from_slice(&flags.to_le_bytes());
        out.extend_from_slice(&(place.len() as u16).to_le_bytes());
        out.extend_from_slice(place.as_bytes());
        if let Self::Clear(data, _) = self {
            data.write(out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = b"5\r\nhello\r\n0A\r\n0123456789\r\n0\r\n\r\n";

    fn clear(rest: Rest, bytes: &[u8]) -> (Vec<u8>, Option<Rest>) {
        let Piece::Clear(data, rest) = rest.read(bytes, 0) else { panic!("{}", bytes.escape_ascii()) };
        (
            data.spans
                .iter()
                .flat_map(|&(start, end)| &bytes[start as usize..end as usize])
                .copied()
                .collect(),
            rest,
        )
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

    #[test]
    fn a_place_leads_to_where_the_body_is() {
        for end in 0..BODY.len() {
            let (_, rest) = clear(Rest::CHUNKS, &BODY[..end]);
            let place = rest.unwrap().place();
            let prefix = place.strip_prefix("Transfer-Encoding: chunked\r\n\r\n").unwrap();
            assert_eq!(clear(Rest::CHUNKS, prefix.as_bytes()).1, rest, "{end}");
        }
        let (_, rest) = clear(Rest::Length(12), b"hello");
        assert_eq!(rest.unwrap().place(), "Content-Length: 7\r\n\r\n");
    }

    #[test]
    fn what_is_unclear_is_left_to_node_from_there_on() {
        for (start, rest) in
            [("5\r\nhel", "lo\r\n0;x\r\n\r\n"), ("0\r\n", "X: y\r\n\r\n"), ("0\r\n\r", "\nx"), ("5", " \r\n")]
        {
            let (_, left) = clear(Rest::CHUNKS, start.as_bytes());
            assert_eq!(left.unwrap().read(rest.as_bytes(), 0), Piece::Unclear);
        }
        assert_eq!(Rest::Length(2).read(b"ok!", 0), Piece::Unclear);
        let many = "1\r\nx\r\n".repeat(MAX_SPANS + 1);
        assert_eq!(Rest::CHUNKS.read(many.as_bytes(), 0), Piece::Unclear);
    }

    #[test]
    fn javascript_gets_flags_the_place_behind_and_the_spans() {
        let written = |rest: Rest, bytes: &[u8]| {
            let mut out = Vec::new();
            rest.read(bytes, 0).write(&mut out);
            out
        };
        let (_, rest) = clear(Rest::CHUNKS, b"5\r\nhel");
        assert_eq!(written(rest.unwrap(), b"lo\r\n0\r\n\r\n"), [1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0]);
        let place = b"Content-Length: 3\r\n\r\n";
        let expected = [&[0, 0, 21, 0], &place[..], &[0, 0, 0, 0, 2, 0, 0, 0]].concat();
        assert_eq!(written(Rest::Length(5), b"he"), expected);
        assert_eq!(written(Rest::Length(1), b"he"), [2, 0, 0, 0]);
    }
}
