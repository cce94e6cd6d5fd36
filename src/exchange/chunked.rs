//! Where the data of a chunked body stands (RFC 9112 section 7.1), as its bytes come.
//!
//! Only what every parser reads alike: `size CRLF data CRLF` and so on, up to
//! `0 CRLF CRLF`. Extensions, trailers and anything odd are unclear, and Node's
//! parser has to read them.

use super::syntax::MAX_DIGITS;

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chunked {
    Size { size: u64, digits: u32 },
    SizeLf { size: u64 },
    Data { left: u64 },
    DataCr,
    DataLf,
    LastCr,
    LastLf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Within(Chunked),
    Complete,
    Unclear,
}

impl Chunked {
    pub const START: Self = Self::Size { size: 0, digits: 0 };

    /// Reads on from the first of `bytes`, of which there is one at least: how many were taken, and what comes next.
    pub fn read(self, bytes: &[u8]) -> (usize, Step) {
        if let Self::Data { left } = self {
            let taken = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let left = left - taken as u64;
            let next = if left == 0 { Self::DataCr } else { Self::Data { left } };
            return (taken, Step::Within(next));
        }
        let next = match (self, bytes[0]) {
            (Self::Size { size, digits }, byte) if byte.is_ascii_hexdigit() && digits < MAX_DIGITS => {
                let digit = (byte as char).to_digit(16).unwrap_or_default();
                Self::Size { size: size << 4 | u64::from(digit), digits: digits + 1 }
            }
            (Self::Size { size, digits: 1.. }, b'\r') => Self::SizeLf { size },
            (Self::SizeLf { size: 0 }, b'\n') => Self::LastCr,
            (Self::SizeLf { size }, b'\n') => Self::Data { left: size },
            (Self::DataCr, b'\r') => Self::DataLf,
            (Self::DataLf, b'\n') => Self::START,
            (Self::LastCr, b'\r') => Self::LastLf,
            (Self::LastLf, b'\n') => return (1, Step::Complete),
            _ => return (1, Step::Unclear),
        };
        (1, Step::Within(next))
    }

    /// The shortest beginning of a body behind which a reader is where this one is.
    fn prefix(self) -> String {
        match self {
            Self::Size { digits: 0, .. } => String::new(),
            Self::Size { size, digits } => format!("{size:0digits$x}", digits = digits as usize),
            Self::SizeLf { size } => format!("{size:x}\r"),
            Self::Data { left } => format!("{left:x}\r\n"),
            Self::DataCr => "1\r\nx".into(),
            Self::DataLf => "1\r\nx\r".into(),
            Self::LastCr => "0\r\n".into(),
            Self::LastLf => "0\r\n\r".into(),
        }
    }
}

/// Pieces of a body that are looked at in what one read has brought. To hand over more of them costs more than to
/// parse them again.
const MAX_SPANS: usize = 256;

/// A chunked body that has not come whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunks(Chunked);

/// What some bytes of a chunked body are, as [`Piece::write`] lays it out for JavaScript.
#[derive(Debug, PartialEq, Eq)]
pub struct Piece {
    /// Where the body was before them.
    before: Chunked,
    /// None: it is for Node's parser to say, of these and of all that follow.
    data: Option<Data>,
}

/// Where the data stands in some bytes.
#[derive(Debug, PartialEq, Eq)]
pub struct Data {
    pub spans: Vec<(u32, u32)>,
    /// The last byte was the last of the body.
    pub is_complete: bool,
}

/// Flags of what JavaScript gets, as in `lib/plain-chunks.js`: the body is complete.
const COMPLETE: u16 = 1;
/// It is for Node's parser.
const UNCLEAR: u16 = 2;

impl Chunks {
    /// Reads a body from its first byte on, which stands at `from`. None: it is for Node's parser. Without what is
    /// to be read next, it is complete.
    pub fn begin(bytes: &[u8], from: usize) -> Option<(Data, Option<Self>)> {
        let mut chunks = Self(Chunked::START);
        let data = chunks.take(bytes, from)?;
        let rest = (!data.is_complete).then_some(chunks);
        Some((data, rest))
    }

    /// Reads on. Behind a piece that ends the body, or is for Node's parser, this must not be used.
    pub fn read(&mut self, bytes: &[u8]) -> Piece {
        Piece { before: self.0, data: self.take(bytes, 0) }
    }

    fn take(&mut self, bytes: &[u8], from: usize) -> Option<Data> {
        let mut spans = Vec::new();
        let mut at = from;
        while at < bytes.len() {
            let (taken, step) = self.0.read(&bytes[at..]);
            if matches!(self.0, Chunked::Data { .. }) {
                if spans.len() == MAX_SPANS {
                    return None;
                }
                spans.push((u32::try_from(at).ok()?, u32::try_from(at + taken).ok()?));
            }
            at += taken;
            self.0 = match step {
                Step::Within(next) => next,
                Step::Complete if at == bytes.len() => return Some(Data { spans, is_complete: true }),
                Step::Complete | Step::Unclear => return None,
            };
        }
        Some(Data { spans, is_complete: false })
    }
}

impl Data {
    /// Appends them as 32-bit integers, the low byte first: where each piece begins and ends.
    pub fn write(&self, out: &mut Vec<u8>) {
        for (start, end) in &self.spans {
            out.extend_from_slice(&start.to_le_bytes());
            out.extend_from_slice(&end.to_le_bytes());
        }
    }
}

impl Piece {
    /// Whether more of the body is to come, and to be read here.
    pub fn is_last(&self) -> bool {
        self.data.as_ref().is_none_or(|data| data.is_complete)
    }

    /// Appends flags and the length of what follows them, as 16-bit integers, the low byte first: with what a body may
    /// begin for a reader to be where this piece begins. Behind it [`Data::write`].
    pub fn write(&self, out: &mut Vec<u8>) {
        let flags = match &self.data {
            None => UNCLEAR,
            Some(data) if data.is_complete => COMPLETE,
            Some(_) => 0,
        };
        let prefix = self.before.prefix();
        out.extend_from_slice(&flags.to_le_bytes());
        out.extend_from_slice(&(prefix.len() as u16).to_le_bytes());
        out.extend_from_slice(prefix.as_bytes());
        if let Some(data) = &self.data {
            data.write(out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = b"5\r\nhello\r\n0A\r\n0123456789\r\n0\r\n\r\n";

    fn data_of(bytes: &[u8], data: &Data) -> Vec<u8> {
        data.spans.iter().flat_map(|&(start, end)| &bytes[start as usize..end as usize]).copied().collect()
    }

    #[test]
    fn the_data_is_found_wherever_the_body_is_cut() {
        for first in 0..BODY.len() {
            for second in first..BODY.len() {
                let (data, rest) = Chunks::begin(&BODY[..first], 0).unwrap();
                let mut found = data_of(BODY, &data);
                let mut chunks = rest.unwrap();
                for (bytes, is_last) in [(&BODY[first..second], false), (&BODY[second..], true)] {
                    let piece = chunks.read(bytes);
                    assert_eq!(piece.is_last(), is_last);
                    found.extend(data_of(bytes, piece.data.as_ref().unwrap()));
                }
                assert_eq!(found, b"hello0123456789");
            }
        }
    }

    #[test]
    fn a_prefix_leads_to_where_the_body_is() {
        for end in 0..BODY.len() {
            let (_, rest) = Chunks::begin(&BODY[..end], 0).unwrap();
            let chunks = rest.unwrap();
            let (_, again) = Chunks::begin(chunks.0.prefix().as_bytes(), 0).unwrap();
            assert_eq!(again, Some(chunks), "{end}");
        }
    }

    #[test]
    fn what_is_unclear_is_left_to_node_from_there_on() {
        for (start, rest) in
            [("5\r\nhel", "lo\r\n0;x\r\n\r\n"), ("0\r\n", "X: y\r\n\r\n"), ("0\r\n\r", "\nx"), ("5", " \r\n")]
        {
            let mut chunks = Chunks::begin(start.as_bytes(), 0).unwrap().1.unwrap();
            let before = chunks.0;
            let piece = chunks.read(rest.as_bytes());
            assert_eq!(piece, Piece { before, data: None });
            assert!(piece.is_last());
        }
        let many = "1\r\nx\r\n".repeat(MAX_SPANS + 1);
        assert_eq!(Chunks::begin(many.as_bytes(), 0), None);
    }

    #[test]
    fn javascript_gets_flags_a_prefix_and_the_spans() {
        let mut chunks = Chunks::begin(b"5\r\nhel", 0).unwrap().1.unwrap();
        let mut out = Vec::new();
        chunks.read(b"lo\r\n0\r\n\r\n").write(&mut out);
        assert_eq!(out, [&[1, 0, 3, 0], &b"2\r\n"[..], &[0, 0, 0, 0, 2, 0, 0, 0]].concat());
    }
}
