//! Whether what was read begins a plain response, where its parts are, and how much of its body is still to come.
//!
//! Only what can be read in one way is plain. Anything else, odd, followed by
//! something, or without a whole head, is left to Node's own parser: it judges,
//! with its own errors, and no byte has been taken from it.

use httparse::{EMPTY_HEADER, Response, Status};

use super::rest::{Piece, Place, Rest, Spans};
use super::syntax::{has_plain_lines, parse_length};

/// A longer head is not looked at: to read it here would save little of what it costs.
const MAX_HEAD: usize = 4096;

const MAX_HEADERS: usize = 48;

/// Flags of what JavaScript gets, as in `lib/response/plain-response.js`: the connection is kept.
const KEEP_ALIVE: u16 = 1;
/// The answer to a HEAD.
const IS_HEAD: u16 = 2;
const CHUNKED: u16 = 4;

/// The parts of a response, as [`Plain::write`] lays them out for JavaScript.
#[derive(Debug, PartialEq, Eq)]
pub struct Plain {
    status: u16,
    keep_alive: bool,
    /// It is the answer to a HEAD.
    is_head: bool,
    head_len: u16,
    reason: Span,
    /// Where the data of its body stands is told in [`Spans`]; else it is all that stands behind the head.
    is_chunked: bool,
    /// What of the body is still to come.
    rest: Option<Rest>,
    headers: [(Span, Span); MAX_HEADERS],
    header_count: usize,
}

/// Where a part begins and ends.
type Span = (u16, u16);

impl Plain {
    /// Reads a response whose head has arrived whole, and nothing behind its body. `is_head`: it answers a HEAD.
    /// `spans`: for what is there of a chunked body.
    pub fn read(bytes: &[u8], is_head: bool, spans: &mut Spans) -> Option<Self> {
        let mut headers = [EMPTY_HEADER; MAX_HEADERS];
        let mut response = Response::new(&mut headers);
        let Ok(Status::Complete(head_len)) = response.parse(bytes) else { return None };
        if head_len > MAX_HEAD || response.version != Some(1) || !has_plain_lines(&bytes[..head_len]) {
            return None;
        }
        let status = response.code.filter(|status| (200..=999).contains(status))?;
        let framing = Framing::of(&bytes[..head_len], response.headers)?;
        let (is_chunked, rest) = framing.body(bytes, head_len, status, is_head, spans)?;
        // Behind the last byte on such a connection parsers differ in what they bear with.
        if !framing.keep_alive && rest.is_some() {
            return None;
        }
        let span = |part: &[u8]| span_in(bytes, part);
        let mut places = [((0, 0), (0, 0)); MAX_HEADERS];
        for (place, header) in places.iter_mut().zip(response.headers.iter()) {
            *place = (span(header.name.as_bytes())?, span(header.value)?);
        }
        Some(Self {
            status,
            keep_alive: framing.keep_alive,
            is_head,
            head_len: u16::try_from(head_len).ok()?,
            reason: span(reason(bytes)?)?,
            is_chunked,
            rest,
            headers: places,
            header_count: response.headers.len(),
        })
    }

    /// Bytes of the head.
    pub const fn head_len(&self) -> usize {
        self.head_len as usize
    }

    /// What of the body is still to come.
    pub const fn rest(&self) -> Option<Rest> {
        self.rest
    }

    /// Appends the parts: where the body is ([`Place::write`]) as far as it has come, and as 16-bit integers, the low
    /// byte first, the status, flags ([`KEEP_ALIVE`] and the like), the length of the head, the reason phrase, the
    /// number of headers, and each of them. Behind these where the data of a chunked body is ([`Spans::write`]):
    /// `spans` are those that it was read with.
    pub fn write(&self, spans: &Spans, out: &mut Vec<u8>) {
        let flags = [(KEEP_ALIVE, self.keep_alive), (IS_HEAD, self.is_head), (CHUNKED, self.is_chunked)];
        let flags = flags.iter().filter(|(_, is_set)| *is_set).fold(0, |sum, (flag, _)| sum | flag);
        Place::of(self.rest).write(out);
        let mut push = |number: u16| out.extend_from_slice(&number.to_le_bytes());
        for number in [self.status, flags, self.head_len, self.reason.0, self.reason.1] {
            push(number);
        }
        push(self.header_count as u16);
        for (name, value) in &self.headers[..self.header_count] {
            for number in [name.0, name.1, value.0, value.1] {
                push(number);
            }
        }
        if self.is_chunked {
            spans.write(out);
        }
    }
}

/// What the headers say of the end of the message and of the connection.
struct Framing {
    length: Option<u64>,
    is_chunked: bool,
    keep_alive: bool,
}

impl Framing {
    /// None if they say it in more than one way, or anything unusual.
    fn of(head: &[u8], headers: &[httparse::Header<'_>]) -> Option<Self> {
        let mut framing = Self { length: None, is_chunked: false, keep_alive: true };
        let mut has_connection = false;
        for header in headers {
            let is = |name: &str| header.name.eq_ignore_ascii_case(name);
            match header.name.len() {
                14 if is("content-length") => {
                    let length = parse_length(untabbed(head, header.value)?)?;
                    if framing.length.is_some() {
                        return None;
                    }
                    framing.length = Some(length);
                }
                10 if is("connection") => {
                    let value = untabbed(head, header.value)?;
                    let keep_alive = value.eq_ignore_ascii_case(b"keep-alive");
                    if has_connection || !keep_alive && !value.eq_ignore_ascii_case(b"close") {
                        return None;
                    }
                    has_connection = true;
                    framing.keep_alive = keep_alive;
                }
                17 if is("transfer-encoding") => {
                    let value = untabbed(head, header.value)?;
                    if framing.is_chunked || !value.eq_ignore_ascii_case(b"chunked") {
                        return None;
                    }
                    framing.is_chunked = true;
                }
                7 if is("upgrade") || is("trailer") => return None,
                16 if is("proxy-connection") => return None,
                _ => {}
            }
        }
        Some(framing)
    }

    /// Whether `spans` have what is there of the body in `bytes`, from `from` on, and what they lack; None if they have
    /// more than the body.
    fn body(
        &self,
        bytes: &[u8],
        from: usize,
        status: u16,
        is_head: bool,
        spans: &mut Spans,
    ) -> Option<(bool, Option<Rest>)> {
        if self.is_chunked {
            if self.length.is_some() || status == 204 || status == 304 {
                return None;
            }
            if is_head {
                return (bytes.len() == from).then_some((false, None));
            }
            return match Rest::CHUNKS.read(bytes, from, spans) {
                Piece::Clear(rest) => Some((true, rest)),
                Piece::Surplus | Piece::Unclear => None,
            };
        }
        let length = match (status, self.length) {
            (204, None | Some(0)) | (304, _) => 0,
            (204, Some(_)) => return None,
            (_, Some(_)) if is_head => 0,
            (_, Some(length)) => length,
            // A body would last until the connection ends; and of the answer to a HEAD Node takes that for granted.
            (_, None) => return None,
        };
        let left = length.checked_sub((bytes.len() - from) as u64)?;
        Some((false, (left > 0).then_some(Rest::Length(left))))
    }
}

/// The reason phrase: the parser drops one that is not ASCII, Node does not.
fn reason(bytes: &[u8]) -> Option<&[u8]> {
    let line = bytes.strip_prefix(b"HTTP/1.1 ")?.get(3..)?;
    let rest = &line[..line.iter().position(|&byte| byte == b'\r')?];
    let reason = if rest.is_empty() { rest } else { rest.strip_prefix(b" ")? };
    (reason.trim_ascii().len() == reason.len()).then_some(reason)
}

/// The value of a header, unless a tab stands behind it: the parser of Node 20 takes that for a part of some values.
fn untabbed<'a>(head: &[u8], value: &'a [u8]) -> Option<&'a [u8]> {
    let (_, end) = span_in(head, value)?;
    let mut behind = head[end.into()..].iter().take_while(|&&byte| byte != b'\r');
    behind.all(|&byte| byte != b'\t').then_some(value)
}

/// Where `part`, which is a part of `whole`, stands in it. An empty one may stand anywhere.
fn span_in(whole: &[u8], part: &[u8]) -> Option<Span> {
    let start = if part.is_empty() { 0 } else { part.as_ptr().addr().checked_sub(whole.as_ptr().addr())? };
    Some((u16::try_from(start).ok()?, u16::try_from(start + part.len()).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Option<Plain> {
        Plain::read(bytes, false, &mut Spans::default())
    }

    fn text(bytes: &[u8], (start, end): Span) -> String {
        String::from_utf8_lossy(&bytes[start as usize..end as usize]).into_owned()
    }

    fn headers(bytes: &[u8], plain: &Plain) -> Vec<String> {
        plain.headers[..plain.header_count]
            .iter()
            .map(|(name, value)| format!("{}={}", text(bytes, *name), text(bytes, *value)))
            .collect()
    }

    #[test]
    fn a_plain_response_is_taken_apart() {
        let bytes =
            b"HTTP/1.1 404 Not Found\r\nServer:x\r\ncontent-LENGTH: 5 \r\nEmpty:\r\nX: a\tb  \r\n\r\nhello";
        let plain = read(bytes).unwrap();
        assert_eq!((plain.status, plain.keep_alive, plain.head_len as usize), (404, true, bytes.len() - 5));
        assert_eq!(text(bytes, plain.reason), "Not Found");
        assert_eq!(headers(bytes, &plain), ["Server=x", "content-LENGTH=5", "Empty=", "X=a\tb"]);
        let mut out = vec![9];
        plain.write(&Spans::default(), &mut out);
        assert_eq!(out.len() - 1, 10 + 2 * (6 + 4 * 4));
        assert_eq!(out[..11], [9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(out[11..15], [404_u16.to_le_bytes()[0], 1, 1, 0]);
    }

    #[test]
    fn the_connection_is_kept_unless_the_server_closes_it() {
        for (header, keep_alive) in
            [("", true), ("Connection: Keep-Alive\r\n", true), ("connection: close\r\n", false)]
        {
            let bytes = format!("HTTP/1.1 200 OK\r\n{header}Content-Length: 0\r\n\r\n");
            assert_eq!(read(bytes.as_bytes()).unwrap().keep_alive, keep_alive);
        }
    }

    #[test]
    fn a_response_that_never_has_a_body_needs_no_length() {
        for status in [204, 304] {
            let bytes = format!("HTTP/1.1 {status} \r\n\r\n");
            assert!(read(bytes.as_bytes()).is_some());
            let bytes = format!("HTTP/1.1 {status} \r\nContent-Length: 1\r\n\r\nx");
            assert!(read(bytes.as_bytes()).is_none());
        }
        // What the length is of is not sent with a 304. Of a 204 there is nothing that it could be of.
        assert!(
            read(b"HTTP/1.1 304 \r\nContent-Length: 1\r\n\r\n").is_some_and(|plain| plain.rest.is_none())
        );
        assert!(read(b"HTTP/1.1 204 \r\nContent-Length: 1\r\n\r\n").is_none());
    }

    #[test]
    fn anything_else_is_left_to_node() {
        for odd in [
            "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 100 Continue\r\n\r\n",
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 0\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\n",
            "\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nx",
            "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\nx",
            "HTTP/1.1 200 OK\r\nContent-Length: 1,1\r\n\r\nx",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nx",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\t\r\n\r\nx",
            "HTTP/1.1 200 OK\r\nContent-Length: 1 \t \r\n\r\nx",
            "HTTP/1.1 200 OK\r\nConnection: close\t\r\nContent-Length: 1\r\n\r\nx",
            "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nx",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0;x\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\t\r\n\r\n0\r\n\r\n",
            "HTTP/1.1 304 \r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nConnection: keep-alive, x\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nConnection: close\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nUpgrade: h2c\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 99 OK\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 200  OK\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 200 OK \r\nContent-Length: 0\r\n\r\n",
            "ICY 200 OK\r\nContent-Length: 0\r\n\r\n",
            "",
        ] {
            assert_eq!(read(odd.as_bytes()), None, "{odd:?}");
        }
        let many = "X: y\r\n".repeat(MAX_HEADERS);
        assert!(read(format!("HTTP/1.1 200 OK\r\n{many}Content-Length: 0\r\n\r\n").as_bytes()).is_none());
    }

    #[test]
    fn what_is_missing_of_a_body_is_counted() {
        let whole = b"HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 4\r\n\r\nbody";
        for end in 0..=whole.len() {
            let rest = read(&whole[..end]).map(|plain| plain.rest);
            let left = whole.len() - end;
            let expected = (left <= 4).then(|| (left > 0).then_some(Rest::Length(left as u64)));
            assert_eq!(rest, expected, "{end}");
        }
        let plain = read(b"HTTP/1.1 200 OK\r\nContent-Length: 123456789012345\r\n\r\n").unwrap();
        let mut out = Vec::new();
        plain.write(&Spans::default(), &mut out);
        let mut place = Vec::new();
        Rest::Length(123_456_789_012_345).place().write(&mut place);
        assert!(out.starts_with(&place));
    }

    #[test]
    fn a_body_that_the_connection_ends_behind_comes_whole_or_is_left_to_node() {
        let whole = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbody";
        assert!(read(whole).is_some());
        for end in 0..whole.len() {
            assert_eq!(read(&whole[..end]), None, "{end}");
        }
    }

    #[test]
    fn the_answer_to_a_head_is_its_head() {
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n";
        let read = |bytes: &[u8]| Plain::read(bytes, true, &mut Spans::default());
        let plain = read(head).unwrap();
        assert_eq!((plain.rest, plain.is_head), (None, true));
        assert_eq!(read(&[head, &b"body"[..]].concat()), None);
        assert_eq!(read(b"HTTP/1.1 200 OK\r\n\r\n"), None);
        assert!(read(b"HTTP/1.1 304 \r\n\r\n").is_some());
        let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert!(read(chunked).is_some_and(|plain| plain.rest.is_none()));
        assert_eq!(read(&[&chunked[..], b"0\r\n\r\n"].concat()), None);
    }

    #[test]
    fn the_data_of_chunks_is_told_of() {
        let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n";
        let whole = [&head[..], b"2\r\nok\r\n0\r\n\r\n"].concat();
        for end in 0..=whole.len() {
            let plain = read(&whole[..end]);
            assert_eq!(plain.is_some(), end >= head.len(), "{end}");
            assert_eq!(plain.is_some_and(|plain| plain.rest.is_none()), end == whole.len(), "{end}");
        }
        let (mut out, mut spans) = (Vec::new(), Spans::default());
        Plain::read(&whole, false, &mut spans).unwrap().write(&spans, &mut out);
        let from = head.len() as u8 + 3;
        assert_eq!(out[12..14], [5, 0]);
        assert_eq!(out[30..], [from, 0, 0, 0, from + 2, 0, 0, 0]);
    }
}
