//! What JavaScript asks for in a tick: rows, and what they speak of. They are decoded as they are applied.

use super::records::{OP_WIDTH, op, op_flag};
use crate::error::CloseReason;

/// A request from JavaScript, decoded.
#[derive(Debug)]
pub enum Op<'a, B> {
    Cold {
        index: usize,
    },
    Open(Opening),
    Lease {
        http: bool,
        received: u32,
        max_replay: u32,
    },
    Write {
        bytes: Payload<'a, B>,
        leave: Leave,
        when: When,
        notify: u32,
    },
    Shutdown,
    Park {
        limit_ms: Option<u32>,
        received: u32,
    },
    Close {
        reset: bool,
        /// What is on its way still leaves.
        over: bool,
        reason: CloseReason,
        /// JavaScript's number for what is known of the request by then; 0: it does not want that.
        account: u32,
    },
    Consumed {
        bytes: u32,
    },
    Proceed {
        attempt: u32,
    },
    Refuse,
    Gate,
    NoDelay(bool),
    /// In seconds; without a delay it is turned off.
    KeepAlive {
        delay: Option<u32>,
        interval: u32,
        count: u32,
    },
    TypeOfService(u8),
    Waited {
        ms: u32,
    },
    AskQuiet {
        question: i32,
    },
    Wait {
        queue: u32,
        bytes: &'a [u8],
        leave: Leave,
        last: bool,
    },
    Attach {
        from: u32,
        received: u32,
    },
    Yield {
        queue: u32,
    },
    Hint {
        timeout_ms: Option<u32>,
        max: Option<u32>,
    },
}

/// How a lane is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opening {
    /// The number of its route.
    pub route: u32,
    /// The number of what has a say in JavaScript in where it leads; 0 for nothing.
    pub resolver: u32,
    pub guard_lookup: bool,
    pub guard_attempt: bool,
    pub guard_connect: bool,
    pub guard_secure: bool,
    pub keylog: bool,
}

impl Opening {
    pub const fn new(flags: i32, route: u32, resolver: u32) -> Self {
        Self {
            route,
            resolver,
            guard_lookup: flags & op_flag::GUARD_LOOKUP != 0,
            guard_attempt: flags & op_flag::GUARD_ATTEMPT != 0,
            guard_connect: flags & op_flag::GUARD_CONNECT != 0,
            guard_secure: flags & op_flag::GUARD_SECURE != 0,
            keylog: flags & op_flag::KEYLOG != 0,
        }
    }
}

/// Bytes beside a row, where they are inline.
pub fn inline_len(row: &[i32]) -> usize {
    match row[0] & 0xff {
        op::WRITE if (row[0] >> 8) & op_flag::BLOB != 0 => 0,
        op::WAIT | op::WRITE => row[4].try_into().unwrap_or(0),
        _ => 0,
    }
}

/// When the caller allows a request to be sent twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leave {
    /// Rules R4 and R6.
    pub replayable: bool,
    /// Rule R5.
    pub unacknowledged: bool,
}

/// When the bytes of a write leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    Now,
    /// With the next row, which is a write of the same request: as a head does with its large body.
    WithNext,
    /// With the last row, unless one in between takes them back.
    WithTick,
}

/// Where the bytes of a write are: `B` is for the large ones.
#[derive(Debug)]
pub enum Payload<'a, B> {
    Inline(&'a [u8]),
    Blob(B),
}

/// One tick of JavaScript: rows, the bytes they speak of, and what is too
/// large or too rare for either.
#[derive(Debug, Default)]
pub struct Submission<C, B> {
    pub rows: Vec<i32>,
    pub bytes: Vec<u8>,
    pub blobs: Vec<B>,
    pub cold: Vec<Option<C>>,
}

impl<C, B> Submission<C, B> {
    pub const fn new() -> Self {
        Self { rows: Vec::new(), bytes: Vec::new(), blobs: Vec::new(), cold: Vec::new() }
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Keeps the capacity of the buffers that every tick needs.
    pub fn clear(&mut self) {
        self.rows.clear();
        self.bytes.clear();
        self.blobs.clear();
        self.cold.clear();
        // One large upload must not hold its memory for ever.
        if self.bytes.capacity() > 1 << 20 {
            self.bytes.shrink_to(1 << 18);
        }
    }

    /// Moves the first `rows` integers and `bytes` bytes to the end of `other`, which is empty. Behind
    /// them stands nothing but rows whose bytes are inline.
    pub fn move_front(&mut self, rows: usize, bytes: usize, other: &mut Self) {
        other.rows.extend(self.rows.drain(..rows));
        other.bytes.extend(self.bytes.drain(..bytes));
        other.blobs.append(&mut self.blobs);
        let cold = other.rows.chunks_exact(OP_WIDTH).filter(|row| row[0] & 0xff == op::COLD).count();
        other.cold.extend(self.cold.drain(..cold.min(self.cold.len())));
    }

    /// Adds a cold request in its place among the rows.
    pub fn push_cold(&mut self, slot: u32, epoch: u32, request: C) {
        self.cold.push(Some(request));
        self.rows.extend([op::COLD, slot.cast_signed(), epoch.cast_signed(), 0, 0]);
    }

    /// Adds one among the rows, behind the first `at` integers of them.
    pub fn insert_cold(&mut self, at: usize, slot: u32, epoch: u32, request: C) {
        let before = self.rows[..at].chunks_exact(OP_WIDTH).filter(|row| row[0] == op::COLD).count();
        self.cold.insert(before, Some(request));
        self.rows.splice(at..at, [op::COLD, slot.cast_signed(), epoch.cast_signed(), 0, 0]);
    }

    /// Calls `apply` for each row, in order. A row that is not well formed ends
    /// the walk: the two halves no longer speak of the same thing.
    pub fn drain(
        &mut self,
        mut apply: impl FnMut(u32, u32, Op<'_, B>, &mut Vec<Option<C>>),
    ) -> Result<(), Malformed> {
        let Self { rows, bytes, blobs, cold } = self;
        let (mut offset, mut next_cold) = (0, 0);
        let mut blobs = blobs.drain(..);
        let mut rows = rows.chunks_exact(OP_WIDTH).peekable();
        while let Some(row) = rows.next() {
            let (code, flags) = (row[0] & 0xff, row[0] >> 8);
            let (slot, epoch) = (row[1].cast_unsigned(), row[2].cast_unsigned());
            let (arg, len) = (row[3], row[4]);
            let leave = Leave {
                replayable: flags & op_flag::REPLAYABLE != 0,
                unacknowledged: flags & op_flag::UNACKNOWLEDGED != 0,
            };
            let mut inline = || {
                let end = offset + usize::try_from(len).map_err(|_| Malformed)?;
                let bytes = bytes.get(offset..end).ok_or(Malformed)?;
                offset = end;
                Ok(bytes)
            };
            let request = match code {
                op::COLD => {
                    next_cold += 1;
                    Op::Cold { index: next_cold - 1 }
                }
                op::OPEN => Op::Open(Opening::new(flags, arg.cast_unsigned(), len.cast_unsigned())),
                op::LEASE => Op::Lease {
                    http: flags & op_flag::HTTP != 0,
                    received: arg.cast_unsigned(),
                    max_replay: len.cast_unsigned(),
                },
                op::WRITE => {
                    let bytes = if flags & op_flag::BLOB != 0 {
                        Payload::Blob(blobs.next().ok_or(Malformed)?)
                    } else {
                        Payload::Inline(inline()?)
                    };
                    let goes_on = |next: &&[i32]| next[0] & 0xff == op::WRITE && next[1..3] == row[1..3];
                    let when = if flags & op_flag::EARLY != 0 {
                        When::WithTick
                    } else if rows.peek().is_some_and(goes_on) {
                        When::WithNext
                    } else {
                        When::Now
                    };
                    Op::Write { bytes, leave, when, notify: arg.cast_unsigned() }
                }
                op::SHUTDOWN => Op::Shutdown,
                op::PARK => Op::Park { limit_ms: u32::try_from(arg).ok(), received: len.cast_unsigned() },
                op::CLOSE => Op::Close {
                    reset: flags & op_flag::RESET != 0,
                    over: flags & op_flag::OVER != 0,
                    reason: CloseReason::from_number(arg).ok_or(Malformed)?,
                    account: len.cast_unsigned(),
                },
                op::CONSUMED => Op::Consumed { bytes: arg.cast_unsigned() },
                op::PROCEED => Op::Proceed { attempt: arg.cast_unsigned() },
                op::REFUSE => Op::Refuse,
                op::GATE => Op::Gate,
                op::NO_DELAY => Op::NoDelay(arg != 0),
                op::WAITED => Op::Waited { ms: arg.cast_unsigned() },
                op::ASK_QUIET => Op::AskQuiet { question: arg },
                op::WAIT => Op::Wait {
                    queue: arg.cast_unsigned(),
                    bytes: inline()?,
                    leave,
                    last: flags & op_flag::LAST != 0,
                },
                op::ATTACH => Op::Attach { from: arg.cast_unsigned(), received: len.cast_unsigned() },
                op::YIELD => Op::Yield { queue: arg.cast_unsigned() },
                op::KEEP_ALIVE => Op::KeepAlive {
                    delay: u32::try_from(arg).ok(),
                    interval: len.cast_unsigned() >> 8,
                    count: len.cast_unsigned() & 0xff,
                },
                op::TYPE_OF_SERVICE => Op::TypeOfService(u8::try_from(arg).map_err(|_| Malformed)?),
                op::HINT => Op::Hint { timeout_ms: u32::try_from(arg).ok(), max: u32::try_from(len).ok() },
                _ => return Err(Malformed),
            };
            apply(slot, epoch, request, cold);
        }
        Ok(())
    }
}

/// A row that no version of the JavaScript half writes.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed;

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(submission: &mut Submission<&'static str, Vec<u8>>) -> Vec<String> {
        let mut seen = Vec::new();
        submission
            .drain(|slot, epoch, request, cold| {
                let text = match request {
                    Op::Cold { index } => format!("cold {}", cold[index].take().unwrap()),
                    other => format!("{other:?}"),
                };
                seen.push(format!("{slot}/{epoch} {text}"));
            })
            .unwrap();
        seen
    }

    #[test]
    fn rows_come_out_in_the_order_they_were_written() {
        let mut submission = Submission::new();
        submission.rows.extend([op::CLOSE | op_flag::RESET << 8, 3, 7, 7, 0]);
        submission.push_cold(3, 8, "ask");
        let flags = op_flag::GUARD_CONNECT | op_flag::KEYLOG;
        submission.rows.extend([op::OPEN | flags << 8, 3, 8, 4, -1]);
        submission.rows.extend([
            op::WRITE | (op_flag::REPLAYABLE | op_flag::UNACKNOWLEDGED) << 8,
            3,
            8,
            5,
            2,
        ]);
        submission.rows.extend([op::WRITE, 3, 8, 0, 3]);
        submission.rows.extend([op::WRITE | op_flag::BLOB << 8, 3, 8, 0, 4]);
        submission.rows.extend([op::PARK, 3, 8, -1, 9]);
        submission.bytes.extend(b"abcde");
        submission.blobs.push(b"blob".to_vec());
        assert_eq!(
            rows(&mut submission),
            [
                "3/7 Close { reset: true, over: false, reason: Aborted, account: 0 }",
                "3/8 cold ask",
                "3/8 Open(Opening { route: 4, resolver: 4294967295, guard_lookup: false, guard_attempt: false, guard_connect: true, guard_secure: false, keylog: true })",
                "3/8 Write { bytes: Inline([97, 98]), leave: Leave { replayable: true, unacknowledged: true }, when: WithNext, notify: 5 }",
                "3/8 Write { bytes: Inline([99, 100, 101]), leave: Leave { replayable: false, unacknowledged: false }, when: WithNext, notify: 0 }",
                "3/8 Write { bytes: Blob([98, 108, 111, 98]), leave: Leave { replayable: false, unacknowledged: false }, when: Now, notify: 0 }",
                "3/8 Park { limit_ms: None, received: 9 }",
            ]
        );
    }

    #[test]
    fn a_write_leaves_with_the_next_if_that_goes_on_with_it() {
        let early = op::WRITE | op_flag::EARLY << 8;
        let blob = op::WRITE | op_flag::BLOB << 8;
        let whens = |rows: &[[i32; OP_WIDTH]]| {
            let mut submission = Submission::<(), _>::new();
            submission.rows.extend(rows.iter().flatten());
            submission.bytes.extend(b"abc");
            submission.blobs.extend([(), ()]);
            let mut whens = Vec::new();
            let note = |_, _, request: Op<'_, ()>, _: &mut Vec<_>| {
                if let Op::Write { when, .. } = request {
                    whens.push(when);
                }
            };
            submission.drain(note).unwrap();
            whens
        };
        use When::{Now, WithNext, WithTick};
        let (head, body, rest) = ([op::WRITE, 3, 7, 0, 1], [blob, 3, 7, 0, 9], [op::WRITE, 3, 7, 0, 2]);
        assert_eq!(whens(&[head, body]), [WithNext, Now]);
        assert_eq!(whens(&[head, body, body, rest]), [WithNext, WithNext, WithNext, Now]);
        for other in [[op::WRITE, 3, 8, 0, 1], [op::WRITE, 4, 7, 0, 1], [op::SHUTDOWN, 3, 7, 0, 0]] {
            assert_eq!(whens(&[head, other])[0], Now, "{other:?}");
        }
        assert_eq!(whens(&[[early, 3, 7, 0, 1], body])[0], WithTick);
    }

    #[test]
    fn the_front_is_moved_with_all_that_belongs_to_it() {
        let (mut submission, mut front) = (Submission::new(), Submission::new());
        submission.push_cold(1, 1, "first");
        submission.rows.extend([op::WRITE, 1, 1, 0, 2]);
        submission.bytes.extend(b"ab");
        let (length, bytes) = (submission.rows.len(), submission.bytes.len());
        submission.rows.extend([op::WRITE, 2, 1, 0, 1]);
        submission.bytes.extend(b"c");
        submission.push_cold(3, 1, "second");
        submission.move_front(length, bytes, &mut front);
        let (front, rest) = (rows(&mut front), rows(&mut submission));
        assert_eq!((front.len(), rest.len()), (2, 2));
        assert_eq!((front[0].as_str(), rest[1].as_str()), ("1/1 cold first", "3/1 cold second"));
        assert!(front[1].starts_with("1/1 Write { bytes: Inline([97, 98])"));
        assert!(rest[0].starts_with("2/1 Write { bytes: Inline([99])"));
    }

    #[test]
    fn a_row_that_speaks_of_bytes_that_are_not_there_ends_the_walk() {
        for row in [
            [op::WRITE, 1, 1, 0, 4],
            [op::WRITE, 1, 1, 0, -1],
            [op::WRITE | op_flag::BLOB << 8, 1, 1, 0, 1],
            [op::WAIT, 1, 1, 0, 4],
            [99, 1, 1, 0, 0],
            [op::CLOSE, 1, 1, 0, 0],
        ] {
            let mut submission = Submission::<(), Vec<u8>>::new();
            submission.rows.extend(row);
            submission.bytes.extend(b"abc");
            assert_eq!(submission.drain(|_, _, _, _| panic!("applied {row:?}")), Err(Malformed));
        }
    }

    #[test]
    fn a_request_that_waits_comes_with_its_bytes() {
        let mut submission = Submission::new();
        submission.rows.extend([op::WAIT | (op_flag::REPLAYABLE | op_flag::LAST) << 8, 5, 2, 7, 3]);
        submission.rows.extend([op::YIELD, 3, 8, 7, 0]);
        submission.rows.extend([op::ATTACH, 5, 2, 3, -1]);
        submission.rows.extend([op::WRITE, 5, 2, 0, 1]);
        submission.bytes.extend(b"abcd");
        assert_eq!(
            rows(&mut submission),
            [
                "5/2 Wait { queue: 7, bytes: [97, 98, 99], leave: Leave { replayable: true, unacknowledged: false }, last: true }",
                "3/8 Yield { queue: 7 }",
                "5/2 Attach { from: 3, received: 4294967295 }",
                "5/2 Write { bytes: Inline([100]), leave: Leave { replayable: false, unacknowledged: false }, when: Now, notify: 0 }",
            ]
        );
    }

    #[test]
    fn counters_keep_all_their_bits() {
        let mut submission = Submission::<(), Vec<u8>>::new();
        submission.rows.extend([op::LEASE | op_flag::HTTP << 8, -1, -2, u32::MAX.cast_signed(), -1]);
        submission
            .drain(|slot, epoch, request, _| {
                assert_eq!((slot, epoch), (u32::MAX, u32::MAX - 1));
                assert!(matches!(
                    request,
                    Op::Lease { http: true, received: u32::MAX, max_replay: u32::MAX }
                ));
            })
            .unwrap();
    }
}
