//! A second reading of a response head: the grammar of RFC 9112, line by line. It shares nothing with
//! what it is compared to, is slow, and takes nothing that the grammar does not have: neither obsolete
//! line folding nor a line that ends without CRLF. Nor does it take everything that the grammar has: what
//! says where a message ends must be read alike by all parsers, those that are wrong too.

pub struct Head<'a> {
    pub status: u16,
    pub reason: &'a [u8],
    pub fields: Vec<(&'a [u8], &'a [u8])>,
    /// The number of its bytes.
    pub len: usize,
    text: &'a [u8],
}

impl<'a> Head<'a> {
    /// Reads the head that `bytes` begin with.
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        let len = end_of_head(bytes)?;
        let text = &bytes[..len - 2];
        let mut lines = lines(text);
        let (status, reason) = status_line(lines.next()?)?;
        let fields = lines.map(field_line).collect::<Option<_>>()?;
        Some(Self { status, reason, fields, len, text })
    }

    /// The values of the fields of this name.
    pub fn values(&self, name: &str) -> Vec<&'a [u8]> {
        let named = |field: &&(&[u8], &[u8])| field.0.eq_ignore_ascii_case(name.as_bytes());
        self.fields.iter().filter(named).map(|(_, value)| *value).collect()
    }

    /// Whether a tab stands behind a value, which the parser of Node 20 takes for a part of it.
    pub fn has_tab_behind(&self, name: &str) -> bool {
        let mut lines = lines(self.text).skip(1).filter_map(|line| Some((line, field_line(line)?)));
        lines.any(|(line, (its, _))| {
            let behind = line.rsplit(|&byte| !matches!(byte, b' ' | b'\t')).next();
            its.eq_ignore_ascii_case(name.as_bytes()) && behind.is_some_and(|behind| behind.contains(&b'\t'))
        })
    }

    pub fn has(&self, name: &str) -> bool {
        !self.values(name).is_empty()
    }

    /// Whether the connection lasts; None if the head says it in more than one word.
    pub fn keep_alive(&self) -> Option<bool> {
        match self.values("connection")[..] {
            [] => Some(true),
            [value] if value.eq_ignore_ascii_case(b"keep-alive") => Some(true),
            [value] if value.eq_ignore_ascii_case(b"close") => Some(false),
            _ => None,
        }
    }
}

/// Behind the first empty line.
pub fn end_of_head(bytes: &[u8]) -> Option<usize> {
    (4..=bytes.len()).find(|&end| bytes[end - 4..end] == *b"\r\n\r\n")
}

/// Digits, and no more than `most` of them.
pub fn number(digits: &[u8], most: usize) -> Option<u64> {
    let is_number = (1..=most).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    if is_number { str::from_utf8(digits).ok()?.parse().ok() } else { None }
}

/// The lines of `text`, the last of which ends with CRLF too.
fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let end = (0..rest.len()).find(|&at| rest[at..].starts_with(b"\r\n"))?;
        let line = &rest[..end];
        rest = &rest[end + 2..];
        Some(line)
    })
}

/// `HTTP/1.1 200 OK`; servers leave out the space before a phrase that is empty.
fn status_line(line: &[u8]) -> Option<(u16, &[u8])> {
    let rest = line.strip_prefix(b"HTTP/1.1 ")?;
    let (digits, rest) = rest.split_at_checked(3)?;
    let status = number(digits, 3)?;
    let reason = if rest.is_empty() { rest } else { rest.strip_prefix(b" ")? };
    is_text(reason).then_some((status as u16, reason))
}

/// `name: value`, without the space around the value.
fn field_line(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = line.iter().position(|&byte| byte == b':')?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    let is_name = !name.is_empty() && name.iter().all(|byte| is_token(*byte));
    (is_name && is_text(value)).then(|| (name, trim(value)))
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Tabs, spaces, what is visible, and what is not ASCII: no control characters.
fn is_text(text: &[u8]) -> bool {
    text.iter().all(|&byte| byte == b'\t' || byte >= b' ' && byte != 0x7f)
}

pub fn trim(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

/// As [`read_chunks`], with nothing behind them: the data, and whether all of it is there.
pub fn chunks(body: &[u8]) -> Option<(Vec<&[u8]>, bool)> {
    let (spans, behind) = read_chunks(body)?;
    behind.is_none_or(<[u8]>::is_empty).then_some((spans, behind.is_some()))
}

/// The data, and what stands behind it if all of it is there.
type Chunks<'a> = (Vec<&'a [u8]>, Option<&'a [u8]>);

/// `size CRLF data CRLF` and so on, up to `0 CRLF CRLF`, with no extensions and no trailers.
pub fn read_chunks(body: &[u8]) -> Option<Chunks<'_>> {
    const MAX_DIGITS: usize = 15;
    let (mut rest, mut spans) = (body, Vec::new());
    loop {
        let digits = rest.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        if digits > MAX_DIGITS || digits == 0 && !rest.is_empty() {
            return None;
        }
        let size = rest[..digits].iter().fold(0, |size, &digit| {
            size * 16 + u64::from((digit as char).to_digit(16).expect("a hexadecimal digit"))
        });
        let Some(behind) = line_end(&rest[digits..])? else { return Some((spans, None)) };
        let (data, behind) = behind.split_at(usize::try_from(size).ok()?.min(behind.len()));
        if !data.is_empty() {
            spans.push(data);
        }
        if (data.len() as u64) < size {
            return Some((spans, None));
        }
        match (line_end(behind)?, size) {
            (None, _) => return Some((spans, None)),
            (Some(behind), 0) => return Some((spans, Some(behind))),
            (Some(behind), _) => rest = behind,
        }
    }
}

/// What stands behind the CRLF that has to be here: Some(None) if it has not come whole.
#[allow(clippy::option_option, reason = "the outer one is for what is no CRLF")]
fn line_end(bytes: &[u8]) -> Option<Option<&[u8]>> {
    match bytes {
        [b'\r', b'\n', rest @ ..] => Some(Some(rest)),
        [] | [b'\r'] => Some(None),
        _ => None,
    }
}
