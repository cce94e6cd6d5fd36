//! What holds for any rows of the crossing, well formed or not, and for what is beside them: each is applied
//! as it stands up to the first that is not well formed, with bytes that were submitted and no others, and
//! what is read of a row is all that was written into it.

use super::batch::Batch;
use super::records::{EVENT_WIDTH, LaneRef, OP_WIDTH, has_block, op, op_flag};
use super::submission::{Malformed, Op, Opening, Payload, Submission, When};
use crate::block::Block;
use crate::error::CloseReason;

pub fn check(input: &[u8]) {
    let whole = submission(input);
    let (applied, end) = drain(copy(&whole));
    let (expected, is_whole) = well_formed(&whole);
    assert_eq!(applied.rows, whole.rows[..expected * OP_WIDTH]);
    assert_eq!(end.is_ok(), is_whole);
    // The bytes of the rows that were applied, each once and in order.
    assert!(whole.bytes.starts_with(&applied.bytes));
    assert!(whole.blobs.starts_with(&applied.blobs));
    assert!(whole.cold.starts_with(&applied.cold));
    if is_whole {
        check_fronts(&whole, &applied);
        check_questions(&whole);
    }
    check_batches(&whole);
}

/// Takes an input apart: how many blobs, cold requests and rows there are, the rows, the lengths of the blobs,
/// and bytes.
fn submission(input: &[u8]) -> Submission<u8, Vec<u8>> {
    let mut submission = Submission::new();
    let mut rest = input;
    let mut take = |count: usize| {
        let (taken, left) = rest.split_at(count.min(rest.len()));
        rest = left;
        taken
    };
    let &[blobs, cold, rows] = take(3) else { return submission };
    let numbers = take(usize::from(rows % 32) * OP_WIDTH * 4).as_chunks::<4>().0;
    submission.rows.extend(numbers.iter().map(|bytes| i32::from_le_bytes(*bytes)));
    for length in take(usize::from(blobs % 4)).to_vec() {
        submission.blobs.push(take(length.into()).to_vec());
    }
    submission.cold.extend((0..cold % 4).map(Some));
    submission.bytes.extend(take(input.len()));
    submission
}

fn copy(Submission { rows, bytes, blobs, cold }: &Submission<u8, Vec<u8>>) -> Submission<u8, Vec<u8>> {
    Submission { rows: rows.clone(), bytes: bytes.clone(), blobs: blobs.clone(), cold: cold.clone() }
}

/// Applies a submission, and writes down again what was applied.
fn drain(mut submission: Submission<u8, Vec<u8>>) -> (Submission<u8, Vec<u8>>, Result<(), Malformed>) {
    let rows = submission.rows.clone();
    let mut applied = Submission::new();
    let end = submission.drain(|slot, epoch, request, cold| {
        // Of a row's integers that nobody looks at, what stands there.
        let row = &rows[applied.rows.len()..][..OP_WIDTH];
        write(&mut applied, row, slot, epoch, request, cold);
    });
    assert!(submission.blobs.is_empty());
    (applied, end)
}

fn write(
    out: &mut Submission<u8, Vec<u8>>,
    row: &[i32],
    slot: u32,
    epoch: u32,
    request: Op<'_, Vec<u8>>,
    cold: &mut [Option<u8>],
) {
    let flag = |flag: i32, is_set: bool| if is_set { flag } else { 0 };
    let number = |number: u32| number.cast_signed();
    // A number that may be missing is written in many ways; this is the one that stood there.
    let limit = |limit: Option<u32>, given: i32| match limit {
        Some(limit) => number(limit),
        None => {
            assert!(given < 0);
            given
        }
    };
    let (known, code, flags, arg, len) = match request {
        Op::Cold { index } => {
            assert_eq!(index, out.rows.chunks(OP_WIDTH).filter(|row| row[0] & 0xff == op::COLD).count());
            // Rust writes these itself, one for each. One without is nobody's.
            if let Some(request) = cold.get_mut(index) {
                assert!(request.is_some());
                out.cold.push(*request);
            }
            (0, op::COLD, 0, row[3], row[4])
        }
        Op::Open(Opening {
            route,
            resolver,
            guard_lookup,
            guard_attempt,
            guard_connect,
            guard_secure,
            keylog,
        }) => {
            let flags = flag(op_flag::GUARD_LOOKUP, guard_lookup)
                | flag(op_flag::GUARD_ATTEMPT, guard_attempt)
                | flag(op_flag::GUARD_CONNECT, guard_connect)
                | flag(op_flag::GUARD_SECURE, guard_secure)
                | flag(op_flag::KEYLOG, keylog);
            (0b1_1111, op::OPEN, flags, number(route), number(resolver))
        }
        Op::Lease { http, received, max_replay } => {
            (op_flag::HTTP, op::LEASE, flag(op_flag::HTTP, http), number(received), number(max_replay))
        }
        Op::Write { bytes, leave, when, notify } => {
            let blob = matches!(bytes, Payload::Blob(_));
            let len = match bytes {
                Payload::Blob(bytes) => {
                    out.blobs.push(bytes);
                    row[4]
                }
                Payload::Inline(bytes) => {
                    out.bytes.extend(bytes);
                    bytes.len() as i32
                }
            };
            let flags = flag(op_flag::BLOB, blob)
                | flag(op_flag::REPLAYABLE, leave.replayable)
                | flag(op_flag::UNACKNOWLEDGED, leave.unacknowledged)
                | flag(op_flag::EARLY, when == When::WithTick);
            (0b1111, op::WRITE, flags, number(notify), len)
        }
        Op::Wait { queue, bytes, leave, last } => {
            out.bytes.extend(bytes);
            let known = op_flag::REPLAYABLE | op_flag::UNACKNOWLEDGED | op_flag::LAST;
            let flags = flag(op_flag::REPLAYABLE, leave.replayable)
                | flag(op_flag::UNACKNOWLEDGED, leave.unacknowledged)
                | flag(op_flag::LAST, last);
            (known, op::WAIT, flags, number(queue), bytes.len() as i32)
        }
        Op::Attach { from, received } => (0, op::ATTACH, 0, number(from), number(received)),
        Op::Yield { queue } => (0, op::YIELD, 0, number(queue), row[4]),
        Op::Shutdown => (0, op::SHUTDOWN, 0, row[3], row[4]),
        Op::Park { limit_ms, received } => (0, op::PARK, 0, limit(limit_ms, row[3]), number(received)),
        Op::Close { reset, over, reason, account } => {
            let flags = flag(op_flag::RESET, reset) | flag(op_flag::OVER, over);
            (op_flag::RESET | op_flag::OVER, op::CLOSE, flags, reason as i32, number(account))
        }
        Op::Consumed { bytes } => (0, op::CONSUMED, 0, number(bytes), row[4]),
        Op::Proceed { attempt } => (0, op::PROCEED, 0, number(attempt), row[4]),
        Op::Refuse => (0, op::REFUSE, 0, row[3], row[4]),
        Op::Gate => (0, op::GATE, 0, row[3], row[4]),
        Op::NoDelay(on) => {
            assert_eq!(on, row[3] != 0);
            (0, op::NO_DELAY, 0, row[3], row[4])
        }
        Op::KeepAlive { delay, interval, count } => {
            (0, op::KEEP_ALIVE, 0, limit(delay, row[3]), number(interval << 8 | count))
        }
        Op::TypeOfService(value) => (0, op::TYPE_OF_SERVICE, 0, value.into(), row[4]),
        Op::AskQuiet { question } => (0, op::ASK_QUIET, 0, question, row[4]),
        Op::Waited { ms } => (0, op::WAITED, 0, number(ms), row[4]),
        Op::Hint { timeout_ms, max } => (0, op::HINT, 0, limit(timeout_ms, row[3]), limit(max, row[4])),
    };
    let unknown = row[0] & !0xff & !(known << 8);
    out.rows.extend([code | flags << 8 | unknown, number(slot), number(epoch), arg, len]);
}

/// How many rows there are before the first that is not well formed, and whether there is none such.
fn well_formed(submission: &Submission<u8, Vec<u8>>) -> (usize, bool) {
    let rows = submission.rows.chunks_exact(OP_WIDTH);
    let (mut bytes, mut blobs) = (submission.bytes.len() as i64, submission.blobs.len());
    for (index, row) in rows.clone().enumerate() {
        let is_blob = row[0] >> 8 & op_flag::BLOB != 0;
        let is_well_formed = match row[0] & 0xff {
            op::WRITE if is_blob => blobs > 0,
            op::WRITE | op::WAIT => (0..=bytes).contains(&row[4].into()),
            op::CLOSE => (1..=CloseReason::ALL.len() as i32).contains(&row[3]),
            op::TYPE_OF_SERVICE => (0..=0xff).contains(&row[3]),
            code => (op::COLD..=op::YIELD).contains(&code) || [op::REFUSE, op::GATE].contains(&code),
        };
        if !is_well_formed {
            return (index, false);
        }
        match row[0] & 0xff {
            op::WRITE if is_blob => blobs -= 1,
            op::WRITE | op::WAIT => bytes -= i64::from(row[4]),
            _ => {}
        }
    }
    (rows.len(), true)
}

fn is_blob(row: &[i32]) -> bool {
    row[0] & 0xff == op::WRITE && row[0] >> 8 & op_flag::BLOB != 0
}

/// How many of the bytes beside are those of this row, which is well formed.
fn inline(row: &[i32]) -> usize {
    match row[0] & 0xff {
        op::WAIT | op::WRITE if !is_blob(row) => row[4].unsigned_abs() as usize,
        _ => 0,
    }
}

/// From which row on no blob is spoken of.
fn behind_blobs(submission: &Submission<u8, Vec<u8>>) -> usize {
    submission.rows.chunks_exact(OP_WIDTH).rposition(is_blob).map_or(0, |at| at + 1)
}

/// Behind its last blob a submission may be parted anywhere: both parts together are the whole.
fn check_fronts(whole: &Submission<u8, Vec<u8>>, applied: &Submission<u8, Vec<u8>>) {
    let rows: Vec<_> = whole.rows.chunks_exact(OP_WIDTH).collect();
    for count in behind_blobs(whole)..=rows.len() {
        let bytes = rows[..count].iter().map(|row| inline(row)).sum();
        let (mut rest, mut front) = (copy(whole), Submission::new());
        rest.move_front(count * OP_WIDTH, bytes, &mut front);
        let ((mut front, first), (mut rest, second)) = (drain(front), drain(rest));
        assert_eq!((first, second), (Ok(()), Ok(())));
        front.rows.append(&mut rest.rows);
        front.bytes.append(&mut rest.bytes);
        front.blobs.append(&mut rest.blobs);
        front.cold.append(&mut rest.cold);
        assert_eq!((front.rows, front.bytes), (applied.rows.clone(), applied.bytes.clone()));
        assert_eq!((front.blobs, front.cold), (applied.blobs.clone(), applied.cold.clone()));
    }
}

/// Cold requests that are put among the rows, in whatever order, are each met at their own row.
fn check_questions(whole: &Submission<u8, Vec<u8>>) {
    let mut asked = Submission { cold: Vec::new(), ..copy(whole) };
    asked.rows = whole
        .rows
        .chunks_exact(OP_WIDTH)
        .filter(|row| row[0] & 0xff != op::COLD)
        .flatten()
        .copied()
        .collect();
    asked.push_cold(0, 0, 0);
    for number in 1..4 {
        let rows = asked.rows.len() / OP_WIDTH;
        let at = [0, rows / 2, rows][(number as usize + whole.bytes.len()) % 3];
        asked.insert_cold(at * OP_WIDTH, number, 0, number as u8);
    }
    let mut met = 0;
    let end = asked.drain(|slot, _, request, cold| {
        if let Op::Cold { index } = request {
            assert_eq!(cold[index].take().map(u32::from), Some(slot));
            met += 1;
        }
    });
    assert_eq!((met, end), (4, Ok(())));
}

/// The same rows as reports of two batches: put together, each still has its own text, or its own block.
fn check_batches(submission: &Submission<u8, Vec<u8>>) {
    let reports: Vec<_> = submission
        .rows
        .chunks_exact(OP_WIDTH)
        .map(|row| {
            let lane = LaneRef { slot: row[1].cast_unsigned(), epoch: row[2].cast_unsigned() };
            let text = &submission.bytes[..submission.bytes.len().min(row[4].unsigned_abs() as usize % 64)];
            (row[0], lane, row[3], text)
        })
        .collect();
    // In `cargo test` another test of the process counts the blocks that are kept.
    let has_block = |head| !cfg!(test) && has_block(head);
    for middle in [0, reports.len() / 2, reports.len()] {
        let (mut first, mut second) = (Batch::new(), Batch::new());
        for (index, &(head, lane, arg, text)) in reports.iter().enumerate() {
            let batch = if index < middle { &mut first } else { &mut second };
            if has_block(head) {
                batch.blocks.push_back(Block::of(text));
                batch.push_row(head, lane, arg, 0);
            } else {
                batch.push(head, lane, arg, text);
            }
        }
        first.append(&mut second);
        assert!(second.is_empty() && second.bytes.is_empty() && second.blocks.is_empty());
        let mut blocks = first.blocks.iter();
        let mut bytes = &first.bytes[..];
        let rows = first.rows.chunks_exact(EVENT_WIDTH);
        assert_eq!(rows.len(), reports.len());
        for (row, &(head, lane, arg, text)) in rows.zip(&reports) {
            let inline = if has_block(head) { &[][..] } else { text };
            let expected =
                [head, lane.slot.cast_signed(), lane.epoch.cast_signed(), arg, inline.len() as i32];
            assert_eq!(row, expected);
            if has_block(head) {
                assert_eq!(blocks.next().map(|block| &block[..]), Some(text));
            }
            assert!(bytes.starts_with(inline));
            bytes = &bytes[inline.len()..];
        }
        assert!(bytes.is_empty() && blocks.next().is_none());
        first.clear();
        assert!(first.is_empty() && first.bytes.is_empty() && first.blocks.is_empty());
    }
}

#[cfg(test)]
#[test]
fn the_corpus() {
    crate::corpus::each("records", 20, check);
}
