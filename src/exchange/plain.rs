//! Whether what was read is one whole plain response, and where its parts are.
//!
//! Only what can be read in one way is plain. Anything else, odd, incomplete or
//! followed by something, is left to Node's own parser: it judges, with its
//! own errors, and no byte has been taken from it.

use httparse::{EMPTY_HEADER, Response, Status};

use super::syntax::{has_plain_lines, parse_length};

/// A longer head is not looked at: to read it here would save little of what it costs.
const MAX_HEAD: usize = 4096;

const MAX_HEADERS: usize = 48;

/// The parts of a response, as [`Plain::write`] lays them out for JavaScript.
#[derive(Debug, PartialEq, Eq)]
pub struct Plain {
    status: u16,
    keep_alive: bool,
    head_len: u16,
    reason: Span,
    headers: [(Span, Span); MAX_HEADERS],
    header_count: usize,
}

/// Where a part begins and ends.
type Span = (u16, u16);

impl Plain {
    /// Reads a response that has arrived whole, and nothing behind it.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let mut headers = [EMPTY_HEADER; MAX_HEADERS];
        let mut response = Response::new(&mut headers);
        let Ok(Status::Complete(head_len)) = response.parse(bytes) else { return None };
        if head_len > MAX_HEAD || response.version != Some(1) || !has_plain_lines(&bytes[..head_len]) {
            return None;
        }
        let status = response.code.filter(|status| (200..=999).contains(status))?;
        let framing = Framing::of(&bytes[..head_len], response.headers)?;
        let length = framing.length.unwrap_or(0);
        // Without a length a body would last until the connection ends, where there may be one.
        let is_bodiless = status == 204 || status == 304;
        if is_bodiless && length > 0 || !is_bodiless && framing.length.is_none() {
            return None;
        }
        if bytes.len() != head_len.checked_add(length)? {
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
            head_len: u16::try_from(head_len).ok()?,
            reason: span(reason(bytes)?)?,
            headers: spans,
            header_count: response.headers.len(),
        })
    }

    /// Appends the parts, as 16-bit integers in the order of the machine: the status, whether
    /// the connection is kept, the length of the head, the reason phrase, and each header.
    /// Returns the number of bytes.
    pub fn write(&self, out: &mut Vec<u8>) -> usize {
        let before = out.len();
        let mut push = |number: u16| out.extend_from_slice(&number.to_le_bytes());
        for number in [self.status, self.keep_alive.into(), self.head_len, self.reason.0, self.reason.1] {
            push(number);
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
    length: Option<usize>,
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
                    let length = usize::try_from(parse_length(untabbed(head, header.value)?)?).ok()?;
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
        let plain = Plain::read(bytes).unwrap();
        assert_eq!((plain.status, plain.keep_alive, plain.head_len as usize), (404, true, bytes.len() - 5));
        assert_eq!(text(bytes, plain.reason), "Not Found");
        assert_eq!(headers(bytes, &plain), ["Server=x", "content-LENGTH=5", "Empty=", "X=a\tb"]);
        let mut out = vec![9];
        assert_eq!(plain.write(&mut out), 2 * (5 + 4 * 4));
        assert_eq!(out[..5], [9, 404_u16.to_le_bytes()[0], 1, 1, 0]);
    }

    #[test]
    fn the_connection_is_kept_unless_the_server_closes_it() {
        for (header, keep_alive) in
            [("", true), ("Connection: Keep-Alive\r\n", true), ("connection: close\r\n", false)]
        {
            let bytes = format!("HTTP/1.1 200 OK\r\n{header}Content-Length: 0\r\n\r\n");
            assert_eq!(Plain::read(bytes.as_bytes()).unwrap().keep_alive, keep_alive);
        }
    }

    #[test]
    fn a_response_that_never_has_a_body_needs_no_length() {
        for status in [204, 304] {
            let bytes = format!("HTTP/1.1 {status} \r\n\r\n");
            assert!(Plain::read(bytes.as_bytes()).is_some());
            let bytes = format!("HTTP/1.1 {status} \r\nContent-Length: 1\r\n\r\nx");
            assert!(Plain::read(bytes.as_bytes()).is_none());
        }
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
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nx",
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
            assert_eq!(Plain::read(odd.as_bytes()), None, "{odd:?}");
        }
        let many = "X: y\r\n".repeat(MAX_HEADERS);
        assert!(
            Plain::read(format!("HTTP/1.1 200 OK\r\n{many}Content-Length: 0\r\n\r\n").as_bytes()).is_none()
        );
    }

    #[test]
    fn every_part_of_a_response_alone_is_none() {
        let whole = b"HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 4\r\n\r\nbody";
        assert!(Plain::read(whole).is_some());
        for end in 0..whole.len() {
            assert_eq!(Plain::read(&whole[..end]), None, "{end}");
        }
    }
}
