//! The bytes of a request, kept until they can no longer be needed again.

use std::fmt;

/// The request so far, up to a bound. A request that outgrows the bound is
/// forgotten as a whole: a part of it could not be sent again.
///
/// What is in here may be a secret (`Authorization`, a body), so it is dropped
/// at the first byte of the response or at the end of the exchange, and never
/// printed.
pub struct Replay {
    bytes: Vec<u8>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// The exchange can not be repeated; nothing is kept.
    Off,
    Keeping,
    /// The request outgrew the bound.
    Overflown,
}

impl Replay {
    pub const fn new() -> Self {
        Self { bytes: Vec::new(), state: State::Off }
    }

    /// Begins to keep the bytes of a request.
    pub fn start(&mut self) {
        self.forget();
        self.state = State::Keeping;
    }

    pub fn push(&mut self, bytes: &[u8], limit: usize) {
        if self.state != State::Keeping {
            return;
        }
        if self.bytes.len() + bytes.len() > limit {
            self.bytes = Vec::new();
            self.state = State::Overflown;
        } else {
            self.bytes.extend_from_slice(bytes);
        }
    }

    /// Takes note of bytes that cannot be kept.
    pub fn skip(&mut self) {
        if self.state == State::Keeping {
            self.bytes = Vec::new();
            self.state = State::Overflown;
        }
    }

    /// The whole request so far, if all of it is here.
    pub fn whole(&self) -> Option<&[u8]> {
        (self.state == State::Keeping).then_some(self.bytes.as_slice())
    }

    /// Drops what is kept. The memory of a small request serves the next one,
    /// so the bytes are overwritten rather than only forgotten.
    pub fn forget(&mut self) {
        self.bytes.fill(0);
        self.bytes.clear();
        if self.bytes.capacity() > 4096 {
            self.bytes = Vec::new();
        }
        self.state = State::Off;
    }
}

impl fmt::Debug for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Replay({} bytes)", self.bytes.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_a_request_up_to_its_bound() {
        let mut replay = Replay::new();
        replay.start();
        replay.push(b"GET / ", 10);
        replay.push(b"1234", 10);
        assert_eq!(replay.whole(), Some(&b"GET / 1234"[..]));
        replay.push(b"5", 10);
        assert_eq!(replay.whole(), None);
        replay.push(b"6", 10);
        assert_eq!(replay.whole(), None);
    }

    #[test]
    fn is_not_whole_once_something_was_left_out() {
        let mut replay = Replay::new();
        replay.start();
        replay.push(b"GET /", 10);
        replay.skip();
        replay.push(b"6", 10);
        assert_eq!(replay.whole(), None);
    }

    #[test]
    fn keeps_nothing_before_start_and_after_forget() {
        let mut replay = Replay::new();
        replay.push(b"secret", 10);
        assert_eq!(replay.whole(), None);
        replay.start();
        replay.push(b"secret", 10);
        replay.forget();
        assert_eq!(replay.whole(), None);
    }

    #[test]
    fn debug_output_has_no_bytes_of_the_request() {
        let mut replay = Replay::new();
        replay.start();
        replay.push(b"secret", 10);
        assert_eq!(format!("{replay:?}"), "Replay(6 bytes)");
    }
}
