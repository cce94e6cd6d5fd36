//! The server's hint: how long it keeps an idle connection, and for how many
//! requests more.
//!
//! `Keep-Alive: timeout=5, max=100` comes from RFC 2068 section 19.7.1.1 and
//! was never standardised beyond that, so servers write it in many ways. What
//! cannot be understood is no hint; of what is said twice the lesser holds.

use std::time::Duration;

/// What a response says of its connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hint {
    /// How long the server keeps an idle connection.
    pub timeout: Option<Duration>,
    /// Requests that it takes after this one.
    pub max: Option<u32>,
}

impl Hint {
    /// Reads a field value. Several fields of the name are joined by commas, as
    /// RFC 9110 section 5.3 has it.
    pub fn parse(value: &[u8]) -> Self {
        let mut hint = Self::default();
        for parameter in parameters(value) {
            let Some(equals) = parameter.iter().position(|&byte| byte == b'=') else { continue };
            let (name, value) = (parameter[..equals].trim_ascii(), unquote(&parameter[equals + 1..]));
            let Some(number) = number(value) else { continue };
            if name.eq_ignore_ascii_case(b"timeout") {
                let seconds = Duration::from_secs(number.into());
                hint.timeout = Some(hint.timeout.map_or(seconds, |other| other.min(seconds)));
            } else if name.eq_ignore_ascii_case(b"max") {
                hint.max = Some(hint.max.map_or(number, |other| other.min(number)));
            }
        }
        hint
    }
}

/// Separated by commas, by some servers by semicolons; not within quotes.
fn parameters(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut quoted = false;
    value.split(move |&byte| {
        quoted ^= byte == b'"';
        !quoted && matches!(byte, b',' | b';')
    })
}

fn unquote(value: &[u8]) -> &[u8] {
    let value = value.trim_ascii();
    value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).map_or(value, <[u8]>::trim_ascii)
}

/// A whole number, as large as it may be; of a fraction the whole part.
/// Nothing else, and nothing negative, is taken for one.
fn number(value: &[u8]) -> Option<u32> {
    let digits = value.split(|&byte| byte == b'.').next()?;
    let rest = value.get(digits.len() + 1..).unwrap_or_default();
    if digits.is_empty() || !digits.iter().chain(rest).all(u8::is_ascii_digit) {
        return None;
    }
    let add = |sum: u32, byte: &u8| sum.saturating_mul(10).saturating_add(u32::from(byte - b'0'));
    Some(digits.iter().fold(0, add))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::keep_alive_hint_check::check;
    use super::*;

    fn parsed(text: &str) -> (Option<u64>, Option<u32>) {
        let Hint { timeout, max } = Hint::parse(text.as_bytes());
        (timeout.map(|timeout| timeout.as_secs()), max)
    }

    #[test]
    fn every_form_that_servers_send() {
        for (text, expected) in [
            ("timeout=5", (Some(5), None)),
            ("timeout=5, max=100", (Some(5), Some(100))),
            ("max=100, timeout=5", (Some(5), Some(100))),
            ("max=100,timeout=5", (Some(5), Some(100))),
            ("max=100; timeout=5", (Some(5), Some(100))),
            ("TIMEOUT=5, Max=7", (Some(5), Some(7))),
            (" timeout = 5 ", (Some(5), None)),
            ("timeout=\"5\"", (Some(5), None)),
            ("timeout=\" 5 \", max=\"1\"", (Some(5), Some(1))),
            ("timeout=0", (Some(0), None)),
            ("timeout=5, max=0", (Some(5), Some(0))),
            ("timeout=007", (Some(7), None)),
            ("timeout=4.9", (Some(4), None)),
            ("timeout=5,", (Some(5), None)),
            (",,timeout=5", (Some(5), None)),
            ("other, x=\"timeout=1, max=2\", timeout=5", (Some(5), None)),
        ] {
            assert_eq!(parsed(text), expected, "{text}");
        }
    }

    #[test]
    fn of_several_the_least_holds() {
        assert_eq!(parsed("timeout=5, timeout=3, timeout=9"), (Some(3), None));
        assert_eq!(parsed("timeout=5, max=3, max=2, timeout=7"), (Some(5), Some(2)));
        assert_eq!(parsed("timeout=x, timeout=3"), (Some(3), None));
    }

    #[test]
    fn what_is_absurd_is_no_hint_and_what_is_huge_is_the_largest() {
        for text in [
            "",
            "timeout",
            "timeout=",
            "timeout=-1",
            "timeout=+1",
            "timeout=1e3",
            "timeout=x",
            "timeout=5s",
            "timeout=\"5",
            "timeout=5\"",
            "timeout=5 6",
            "timeout=.5",
            "timeout=1.x",
            "timeout=NaN",
            "timeout=Infinity",
            "timeout==5",
            "mytimeout=5",
            "timeouts=5",
            "5",
            "=5",
        ] {
            assert_eq!(parsed(text), (None, None), "{text}");
        }
        assert_eq!(
            parsed("timeout=99999999999999999999, max=4294967296"),
            (Some(u32::MAX.into()), Some(u32::MAX))
        );
    }

    proptest! {
        #[test]
        fn any_bytes(value in proptest::collection::vec(any::<u8>(), 0..200)) {
            check(&value);
        }

        #[test]
        fn anything_like_a_hint(value in "[tTmM\"=,; .0-9-]{0,12}(timeout|MAX)[\"=,; .0-9-]{0,12}") {
            check(value.as_bytes());
        }

        #[test]
        fn what_is_written_is_read(
            timeout in proptest::option::of(any::<u32>()),
            max in proptest::option::of(any::<u32>()),
            swap: bool,
            quote: bool,
            separator in "(, ?| ; | ,\t)",
        ) {
            let write = |name: &str, number: Option<u32>| {
                let quote = if quote { "\"" } else { "" };
                number.map(|number| format!("{name}={quote}{number}{quote}"))
            };
            let mut parts = vec![write("timeout", timeout), write("max", max)];
            if swap {
                parts.reverse();
            }
            let text = parts.into_iter().flatten().collect::<Vec<_>>().join(&separator);
            prop_assert_eq!(Hint::parse(text.as_bytes()), Hint { timeout: timeout.map(|seconds| Duration::from_secs(seconds.into())), max });
        }
    }
}
