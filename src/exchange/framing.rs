//! Where a response ends, as its bytes come.
//!
//! Who gives a connection to another request before JavaScript has seen the end
//! of the response must know that end without a doubt: what follows would be
//! the answer to somebody else. So this says `Complete` only of what every
//! parser reads alike: HTTP/1.1, CRLF everywhere, one `Content-Length` in
//! digits or one `Transfer-Encoding: chunked` without extensions and trailers.
//! Of anything else it says `Unclear`, for the rest of the exchange, and Node's
//! parser has to find the end. It keeps nothing of a body. What comes behind an
//! end that is known is nobody's (`Surplus`).

use httparse::{EMPTY_HEADER, Response, Status};

use super::Hint;
use super::chunked::{Chunked, Step};
use super::syntax::{has_plain_lines, is_blank, parse_length};

/// A longer head is left to Node, whose own limit is the same unless it was raised.
const MAX_HEAD: usize = 16 * 1024;

const MAX_HEADERS: usize = 100;

/// How far one response has come.
#[derive(Debug)]
pub struct Framing {
    state: State,
    /// The beginning of a head that has not come whole.
    head: Vec<u8>,
    /// The request was a HEAD: whatever the head says, no body follows.
    bodiless: bool,
    end: End,
}

/// What a response says of what comes after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// Whether the server takes another request on the connection.
    pub keep_alive: bool,
    /// For how long, and how many.
    pub hint: Hint,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The last byte given was the last of the response.
    Complete(End),
    Incomplete,
    /// More has come than the response, and not only line breaks.
    Surplus,
    /// It cannot be said, and will not be; or line breaks have come behind the response.
    Unclear,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Head,
    /// Bytes of the body that are still to come; more than 0.
    Length(u64),
    Chunked(Chunked),
    Complete,
    /// Line breaks have come behind it.
    Blank,
    Surplus,
    Unclear,
}

impl Framing {
    /// `bodiless`: the response is the answer to a HEAD.
    pub const fn new(bodiless: bool) -> Self {
        let end = End { keep_alive: false, hint: Hint { timeout: None, max: None } };
        Self { state: State::Head, head: Vec::new(), bodiless, end }
    }

    /// Takes the next bytes of the connection.
    pub fn push(&mut self, bytes: &[u8]) -> Progress {
        let mut rest = bytes;
        while !rest.is_empty() {
            let taken = match self.state {
                State::Head => self.read_head(rest),
                State::Length(left) => {
                    let taken = rest.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    let left = left - taken as u64;
                    self.state = if left == 0 { State::Complete } else { State::Length(left) };
                    taken
                }
                State::Chunked(chunked) => {
                    let (taken, step) = chunked.read(rest);
                    self.state = match step {
                        Step::Within(next) => State::Chunked(next),
                        Step::Complete => State::Complete,
                        Step::Unclear => State::Unclear,
                    };
                    taken
                }
                // A byte behind the end belongs to nothing.
                State::Complete | State::Blank => {
                    self.state = if is_blank(rest) { State::Blank } else { State::Surplus };
                    break;
                }
                State::Surplus | State::Unclear => break,
            };
            rest = &rest[taken..];
        }
        self.progress()
    }

    pub const fn progress(&self) -> Progress {
        match self.state {
            State::Complete => Progress::Complete(self.end),
            State::Surplus => Progress::Surplus,
            State::Blank | State::Unclear => Progress::Unclear,
            _ => Progress::Incomplete,
        }
    }

    /// Reads on in the head; how many of the bytes belong to it.
    fn read_head(&mut self, bytes: &[u8]) -> usize {
        const END: &[u8] = b"\r\n\r\n";
        let before = self.head.len();
        let look_from = before.saturating_sub(END.len() - 1);
        // Mostly all of it is here at once.
        let whole = if before == 0 {
            bytes
        } else {
            self.head.extend_from_slice(bytes);
            &self.head
        };
        let end = whole[look_from..].windows(END.len()).position(|window| window == END);
        let Some(end) = end.map(|at| look_from + at + END.len()).filter(|&end| end <= MAX_HEAD) else {
            if whole.len() >= MAX_HEAD {
                self.state = State::Unclear;
                self.head = Vec::new();
            } else if before == 0 {
                self.head.extend_from_slice(bytes);
            }
            return bytes.len();
        };
        let read = read_head(&whole[..end], self.bodiless);
        self.head = Vec::new();
        let (state, end_of_message) = read.unwrap_or((State::Unclear, self.end));
        (self.state, self.end) = (state, end_of_message);
        end - before
    }
}

/// What a whole head says; None if it says it in more than one way, or anything unusual.
fn read_head(head: &[u8], bodiless: bool) -> Option<(State, End)> {
    let mut headers = [EMPTY_HEADER; MAX_HEADERS];
    let mut response = Response::new(&mut headers);
    let Ok(Status::Complete(length)) = response.parse(head) else { return None };
    // The parser skips empty lines before the first. Around a value a tab is white space to it, and a part of some
    // values to Node 20's.
    let is_plain = head.starts_with(b"HTTP/1.1 ") && length == head.len() && has_plain_lines(head);
    let is_plain = is_plain && !head.contains(&b'\t');
    if !is_plain {
        return None;
    }
    // One of 1xx is followed by another head.
    let status = response.code.filter(|status| (200..=999).contains(status))?;
    let (mut length, mut is_chunked, mut connection) = (None, false, None);
    let mut hint = Hint::default();
    for header in response.headers.iter() {
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        if is("content-length") {
            if length.replace(parse_length(header.value)?).is_some() {
                return None;
            }
        } else if is("transfer-encoding") {
            if is_chunked || !header.value.eq_ignore_ascii_case(b"chunked") {
                return None;
            }
            is_chunked = true;
        } else if is("connection") {
            let keep_alive = header.value.eq_ignore_ascii_case(b"keep-alive");
            let is_known = keep_alive || header.value.eq_ignore_ascii_case(b"close");
            if !is_known || connection.replace(keep_alive).is_some() {
                return None;
            }
        } else if is("keep-alive") {
            let Hint { timeout, max } = Hint::parse(header.value);
            hint.timeout = [hint.timeout, timeout].into_iter().flatten().min();
            hint.max = [hint.max, max].into_iter().flatten().min();
        } else if is("upgrade") || is("trailer") || is("proxy-connection") {
            return None;
        }
    }
    let never_has_body = status == 204 || status == 304;
    let state = match (length, is_chunked) {
        (Some(_), true) => return None,
        _ if bodiless => State::Complete,
        (Some(0) | None, false) if never_has_body => State::Complete,
        _ if never_has_body => return None,
        (None, true) => State::Chunked(Chunked::START),
        (Some(0), false) => State::Complete,
        (Some(length), false) => State::Length(length),
        // It lasts until the connection ends.
        (None, false) => return None,
    };
    Some((state, End { keep_alive: connection.unwrap_or(true), hint }))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn complete(text: &[u8], bodiless: bool) -> Option<End> {
        match Framing::new(bodiless).push(text) {
            Progress::Complete(end) => Some(end),
            _ => None,
        }
    }

    fn progress(text: &str) -> Progress {
        Framing::new(false).push(text.as_bytes())
    }

    #[test]
    fn the_end_of_what_is_plain_is_known() {
        for text in [
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nX: y\r\n\r\nhello",
            "HTTP/1.1 404 \r\nContent-Length: 1\r\n\r\nx",
            "HTTP/1.1 204 No Content\r\n\r\n",
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0a\r\n0123456789\r\n000\r\n\r\n",
        ] {
            let end = complete(text.as_bytes(), false).unwrap_or_else(|| panic!("{text:?}"));
            assert!(end.keep_alive);
            assert_eq!(progress(&format!("{text}x")), Progress::Surplus, "{text:?}");
            let mut framing = Framing::new(false);
            framing.push(text.as_bytes());
            // Some servers send that, and no parser minds.
            assert_eq!(framing.push(b"\r\n"), Progress::Unclear, "{text:?}");
            assert_eq!(framing.push(b"H"), Progress::Surplus, "{text:?}");
            assert_eq!(framing.progress(), Progress::Surplus);
            for end in 0..text.len() {
                assert_eq!(progress(&text[..end]), Progress::Incomplete, "{:?}", &text[..end]);
            }
        }
    }

    #[test]
    fn the_answer_to_a_head_ends_with_its_head() {
        for body in ["Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n", ""] {
            let text = format!("HTTP/1.1 200 OK\r\n{body}\r\n");
            assert!(complete(text.as_bytes(), true).is_some(), "{text:?}");
            assert!(complete(text.as_bytes(), false).is_none(), "{text:?}");
        }
    }

    #[test]
    fn what_the_server_says_of_the_connection_is_told() {
        for (headers, keep_alive, hint) in [
            ("", true, (None, None)),
            ("Connection: Keep-Alive\r\n", true, (None, None)),
            ("connection: CLOSE\r\n", false, (None, None)),
            ("Keep-Alive: timeout=5, max=3\r\n", true, (Some(5), Some(3))),
            ("Keep-Alive: timeout=5\r\nKeep-Alive: timeout=2, max=0\r\n", true, (Some(2), Some(0))),
        ] {
            let text = format!("HTTP/1.1 200 OK\r\n{headers}Content-Length: 0\r\n\r\n");
            let end = complete(text.as_bytes(), false).unwrap();
            let expected = Hint { timeout: hint.0.map(Duration::from_secs), max: hint.1 };
            assert_eq!(end, End { keep_alive, hint: expected }, "{headers:?}");
        }
    }

    #[test]
    fn anything_else_has_no_end_that_is_sure() {
        for head in [
            "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n",
            "HTTP/1.1 100 Continue\r\n",
            "HTTP/1.1 102 Processing\r\nContent-Length: 0\r\n",
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n",
            "HTTP/1.1 200 OK\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 0\n",
            "HTTP/1.1 200 OK\nContent-Length: 0\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1,1\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 0x1\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 0\t\r\n",
            "HTTP/1.1 200 OK\r\nConnection: close\t \r\nContent-Length: 0\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1 1\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551616\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length:\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length : 0\r\n",
            "HTTP/1.1 200 OK\r\n Content-Length: 0\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nContent-Length: 0\r\n",
            "HTTP/1.1 200 OK\r\nTrailer: x\r\nTransfer-Encoding: chunked\r\n",
            "HTTP/1.1 204 No Content\r\nContent-Length: 1\r\n",
            "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n",
            "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n",
            "HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 0\r\n",
            "HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n",
            "HTTP/1.1 200 OK\r\nConnection: keep-alive, x\r\nContent-Length: 0\r\n",
            "HTTP/1.1 200 OK\r\nConnection: close\r\nConnection: close\r\nContent-Length: 0\r\n",
            "HTTP/1.1 200 OK\r\nProxy-Connection: close\r\nContent-Length: 0\r\n",
            "HTTP/1.1 200 OK\r\nUpgrade: h2c\r\nContent-Length: 0\r\n",
            "\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n",
            "ICY 200 OK\r\nContent-Length: 0\r\n",
        ] {
            assert_eq!(complete(format!("{head}\r\n").as_bytes(), false), None, "{head:?}");
            // Nor does what follows make it clear, which would be read as a part of it.
            let mut framing = Framing::new(false);
            framing.push(format!("{head}\r\n").as_bytes());
            assert_eq!(framing.push(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), Progress::Unclear);
        }
    }

    #[test]
    fn chunks_that_parsers_read_in_many_ways_have_no_end() {
        for body in [
            "5;x=y\r\nhello\r\n0\r\n\r\n",
            "5 \r\nhello\r\n0\r\n\r\n",
            " 5\r\nhello\r\n0\r\n\r\n",
            "5\nhello\r\n0\r\n\r\n",
            "5\rhello\r\n0\r\n\r\n",
            "5\r\nhello0\r\n\r\n",
            "5\r\nhello\n0\r\n\r\n",
            "5\r\nhelloX\r\n0\r\n\r\n",
            "-5\r\nhello\r\n0\r\n\r\n",
            "0x5\r\nhello\r\n0\r\n\r\n",
            "\r\nhello\r\n0\r\n\r\n",
            "5\r\nhello\r\n0\r\nX: y\r\n\r\n",
            "5\r\nhello\r\n0\r\n\n",
            "0000000000000001\r\nh\r\n0\r\n\r\n",
            "fffffffffffffffff\r\nh",
        ] {
            let text = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
            assert_eq!(progress(&text), Progress::Unclear, "{body:?}");
        }
    }

    #[test]
    fn a_head_without_an_end_is_not_kept_for_ever() {
        let mut framing = Framing::new(false);
        framing.push(b"HTTP/1.1 200 OK\r\nX: ");
        while framing.push(&[b'x'; 1000]) == Progress::Incomplete {
            assert!(framing.head.len() <= MAX_HEAD);
        }
        assert_eq!(framing.push(b"\r\nContent-Length: 0\r\n\r\n"), Progress::Unclear);
        for first in [&[][..], b"HTTP/1.1 200 OK\r\nX: "] {
            let mut framing = Framing::new(false);
            framing.push(first);
            assert_eq!(framing.push(&[b'x'; MAX_HEAD]), Progress::Unclear);
            assert_eq!(framing.head.capacity(), 0, "nothing reads it");
        }
    }

    /// The same, of a whole message at once, by another way: how long it is; None if that cannot be said.
    fn length_of(message: &[u8]) -> Option<usize> {
        let mut headers = [EMPTY_HEADER; MAX_HEADERS];
        let mut response = Response::new(&mut headers);
        let Ok(Status::Complete(head)) = response.parse(message) else { return None };
        let value = |name: &str| {
            let mut found = response.headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name));
            found.next().map(|header| header.value)
        };
        if let Some(length) = value("content-length") {
            return Some(head + str::from_utf8(length).ok()?.parse::<usize>().ok()?);
        }
        let mut at = head;
        loop {
            let Ok(Status::Complete((start, size))) = httparse::parse_chunk_size(&message[at..]) else {
                return None;
            };
            at += start + usize::try_from(size).ok()? + 2;
            if size == 0 {
                return Some(at);
            }
        }
    }

    fn chunk() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(any::<u8>(), 1..40)
    }

    fn message() -> impl Strategy<Value = Vec<u8>> {
        let headers = prop::collection::vec("[A-Za-z-]{1,12}: [ -~]{0,20}\r\n", 0..4);
        let chunks = prop::collection::vec((chunk(), "0{0,3}", any::<bool>()), 0..6);
        (headers, chunks, any::<bool>(), any::<bool>()).prop_map(|(headers, chunks, is_chunked, last)| {
            let mut text = b"HTTP/1.1 200 OK\r\n".to_vec();
            let framing = if is_chunked {
                "Transfer-Encoding: chunked\r\n".to_owned()
            } else {
                let length: usize = chunks.iter().map(|(chunk, ..)| chunk.len()).sum();
                format!("Content-Length: {length}\r\n")
            };
            if !last {
                text.extend(framing.as_bytes());
            }
            // Those that have a meaning of their own are tested above.
            for header in headers.iter().filter(|header| header.as_bytes()[0].is_ascii_uppercase()) {
                text.extend(b"X-");
                text.extend(header.as_bytes());
            }
            if last {
                text.extend(framing.as_bytes());
            }
            text.extend(b"\r\n");
            for (chunk, zeros, upper) in &chunks {
                if is_chunked {
                    let size = format!("{zeros}{:x}\r\n", chunk.len());
                    text.extend(if *upper { size.to_uppercase() } else { size }.as_bytes());
                }
                text.extend(chunk);
                if is_chunked {
                    text.extend(b"\r\n");
                }
            }
            if is_chunked {
                text.extend(b"0\r\n\r\n");
            }
            text
        })
    }

    proptest! {
        /// However the bytes are cut, the end is where it is, and nowhere else.
        #[test]
        fn pieces_make_no_difference(
            text in message(),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
            more in chunk(),
        ) {
            prop_assert_eq!(length_of(&text), Some(text.len()));
            let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len())).collect();
            places.extend([0, text.len()]);
            places.sort_unstable();
            let mut framing = Framing::new(false);
            for place in places.windows(2) {
                let progress = framing.push(&text[place[0]..place[1]]);
                let is_whole = place[1] == text.len();
                prop_assert_eq!(matches!(progress, Progress::Complete(_)), is_whole);
                prop_assert_eq!(progress == Progress::Incomplete, !is_whole);
            }
            let behind = if is_blank(&more) { Progress::Unclear } else { Progress::Surplus };
            prop_assert_eq!(framing.push(&more), behind);
            let mut both = text.clone();
            both.extend(&more);
            prop_assert_eq!(Framing::new(false).push(&both), behind);
        }

        /// What is complete after some bytes is complete by the other reading too, at the same place.
        #[test]
        fn no_two_readings(
            text in message(),
            at in any::<prop::sample::Index>(),
            byte in prop::sample::select(b"\r\n:;, 0159aAfFxX\0\x80-+".to_vec()),
            insert in any::<bool>(),
        ) {
            let mut text = text;
            let at = at.index(text.len());
            if insert { text.insert(at, byte) } else { text[at] = byte }
            let mut framing = Framing::new(false);
            for end in 1..=text.len() {
                if let Progress::Complete(_) = framing.push(&text[end - 1..end]) {
                    prop_assert_eq!(length_of(&text), Some(end));
                }
            }
        }

        #[test]
        fn any_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut framing = Framing::new(false);
            framing.push(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            framing.push(&bytes);
            Framing::new(true).push(&bytes);
        }
    }
}
