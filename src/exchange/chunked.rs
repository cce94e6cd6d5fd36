//! What a chunked body consists of (RFC 9112 section 7.1), as its bytes come.
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
}
