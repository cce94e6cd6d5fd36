//! Whether what was read begins a plain response, where its parts are, and how much of its body is still to come.
//!
//! Only what can be read in one way is plain. Anything else, odd, followed by
//! something, or without a whole head, is left to Node's own parser: it judges,
//! with its own errors, and no byte has been taken from it.

use httparse::{EMPTY_HEADER, Response, Status};

use super::syntax::{has_plain_lines, parse_length};

/// A longer head is not looked at: to read it here would save little of what it costs.
const MAX_HEAD: usize = 4096;

const MAX_HEADERS: usize = 48;

/// Flags of what JavaScript gets, as in `lib/plain-response.js`: the connection is kept.
const KEEP_ALIVE: u16 = 1;
/// The answer to a HEAD.
const IS_HEAD: u16 = 2;

/// The parts of a response, as [`Plain::write`] lays them out for JavaScript.
#[derive(Debug, PartialEq, Eq)]
pub struct Plain {
    status: u16,
    keep_alive: bool,
    /// It is the answer to a HEAD.
    is_head: bool,
    head_len: u16,
    reason: Span,
    /// Bytes of the body that have not come yet.
    missing: u64,
    headers: [(Span, Span); MAX_HEADERS],
    header_count: usize,
}

/// Where a part begins and ends.
type Span = (u16, u16);

impl Plain {
    /// Reads a response whose head has arrived whole, and nothing behind its body. `is_head`: it answers a HEAD.
    pub fn read(bytes: &[u8], is_head: bool) -> Option<Self> {
        let mut headers = [EMPTY_HEADER; MAX_HEADERS];
        let mut response = Response::new(&mut headers);
        let Ok(Status::Complete(head_len)) = response.parse(bytes) else { return None };
        if head_len > MAX_HEAD || response.version != Some(1) || !has_plain_lines(&bytes[..head_len]) {
            return None;
        }
        let status = response.code.filter(|status| (200..=999).contains(status))?;
        let framing = Framing::of(&bytes[..head_len], response.headers)?;
        let length = match (status, framing.length) {
            (204, None | Some(0)) | (304, _) => 0,
            (204, Some(_)) => return None,
            (_, Some(_)) if is_head => 0,
            (_, Some(length)) => length,
            // A body would last until the connection ends; and of the answer to a HEAD Node takes that for granted.
            (_, None) => return None,
        };
        let missing = length.checked_sub((bytes.len() - head_len) as u64)?;
        // Behind the last byte on such a connection parsers differ in what they bear with.
        if missing > 0 && !framing.keep_alive {
            return None;
        }
        let span = |part: &[u8]| span_in(bytes, part);
        let mut spans = [((0, 0), (0, 0)); MAX_HEADERS];
        for (place, header) in spans.iter_mut().zip(response.headers.iter()) {
            *place = (span(header.name.as_bytes())?, span(header.value)?);
        }
        Some(Self {
            status,
            keep_alive: framing.keep_alive,
            is_head,
            head_len: u16::try_from(head_len).ok()?,
            reason: span(reason(bytes)?)?,
            missing,
            headers: spans,
            header_count: response.headers.len(),
        })
    }

    /// Appends the parts, as 16-bit integers, the low byte first: the status, flags ([`KEEP_ALIVE`] and the like),
    /// the length of the head, the reason phrase, what is missing (four, the low one first), and each header.
    /// Returns the number of bytes.
    pub fn write(&self, out: &mut Vec<u8>) -> usize {
        let before = out.len();
        let mut push = |number: u16| out.extend_from_slice(&number.to_le_bytes());
        let flags = if self.keep_alive { KEEP_ALIVE } else { 0 } | if self.is_head { IS_HEAD } else { 0 };
        for number in [self.status, flags, self.head_len, self.reason.0, self.reason.1] {
            push(number);
        }
        for part in 0..4 {
            push((self.missing >> (16 * part)) as u16);
        }
        for (name, value) in &self.headers[..self.header_count] {
            for number in [name.0, name.1, value.0, value.1] {
                push(number);
            }
        }
        out.len() - before
    }
}

/// What the headers say of the end of the message and of the connection.
struct Framing {
    length: Option<u64>,
    keep_alive: bool,
}

impl Framing {
    /// None if they say it in more than one way, or anything unusual.
    fn of(head: &[u8], headers: &[httparse::Header<'_>]) -> Option<Self> {
        let mut framing = Self { length: None, keep_alive: true };
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
                17 if is("transfer-encoding") => return None,
                7 if is("upgrade") || is("trailer") => return None,
                16 if is("proxy-connection") => return None,
                _ => {}
            }
        }
        Some(framing)
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
        Plain::read(bytes, false)
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
        assert_eq!(plain.write(&mut out), 2 * (9 + 4 * 4));
        assert_eq!(out[..5], [9, 404_u16.to_le_bytes()[0], 1, 1, 0]);
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
        assert!(read(b"HTTP/1.1 304 \r\nContent-Length: 1\r\n\r\n").is_some_and(|plain| plain.missing == 0));
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
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
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
            let missing = read(&whole[..end]).map(|plain| plain.missing);
            let left = whole.len() - end;
            assert_eq!(missing, (left <= 4).then_some(left as u64), "{end}");
        }
        let plain = read(b"HTTP/1.1 200 OK\r\nContent-Length: 123456789012345\r\n\r\n").unwrap();
        let mut out = Vec::new();
        plain.write(&mut out);
        assert_eq!(out[10..18], 123_456_789_012_345_u64.to_le_bytes());
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
        let plain = Plain::read(head, true).unwrap();
        assert_eq!((plain.missing, plain.is_head), (0, true));
        assert_eq!(Plain::read(&[head, &b"body"[..]].concat(), true), None);
        assert_eq!(Plain::read(b"HTTP/1.1 200 OK\r\n\r\n", true), None);
        assert!(Plain::read(b"HTTP/1.1 304 \r\n\r\n", true).is_some());
    }
}
