//! What JavaScript has submitted, until the runtime takes it, and which of it may still be taken back. JavaScript may
//! submit in the middle of a tick, and in the same tick end what it has asked for: a request that is destroyed at once
//! is not to be sent. So the rows at the end may be revocable, until the tick has ended or has lasted for too long
//! ([`super::link`] knows when).
//!
//! Among revocable rows the order never changes: a row may speak of several lanes. What ends a request that begins there
//! stays behind it, and what ends another one goes before them all, and is applied at once.

use std::mem;

use super::records::{LaneRef, OP_WIDTH, op, op_flag};
use super::submission::{Submission, inline_len};

pub struct Outbox<C, B> {
    submission: Submission<C, B>,
    revocable: Option<Revocable>,
}

/// What has become of a CLOSE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    /// It goes before what may be taken back, and is applied at once.
    Sent,
    /// What it ends begins among the revocable rows. It takes that back: nothing of it has left, nor will.
    TookBack,
}

/// Where the revocable rows begin: how much stands before them.
#[derive(Clone, Copy, Debug, Default)]
struct Revocable {
    rows: usize,
    bytes: usize,
}

impl<C, B> Outbox<C, B> {
    pub const fn new() -> Self {
        Self { submission: Submission::new(), revocable: None }
    }

    pub const fn is_revocable(&self) -> bool {
        self.revocable.is_some()
    }

    /// All stays. Whether there was anything to be told so.
    pub const fn settle(&mut self) -> bool {
        self.revocable.take().is_some()
    }

    /// Adds what will stay, where all before it does. Whether that is anything.
    pub fn submit(&mut self, add: impl FnOnce(&mut Submission<C, B>)) -> bool {
        debug_assert!(!self.is_revocable(), "it would stand among what may be taken back");
        let before = self.submission.rows.len();
        add(&mut self.submission);
        self.submission.rows.len() > before
    }

    /// Adds what may be taken back. The bytes of all these rows are inline.
    pub fn submit_revocable(&mut self, add: impl FnOnce(&mut Submission<C, B>)) {
        let Submission { rows, bytes, .. } = &self.submission;
        self.revocable.get_or_insert(Revocable { rows: rows.len(), bytes: bytes.len() });
        add(&mut self.submission);
    }

    /// Goes behind what may be taken back, and does not change that.
    pub fn submit_cold(&mut self, lane: LaneRef, request: C) {
        self.submission.push_cold(lane.slot, lane.epoch, request);
    }

    /// Goes before what may be taken back.
    pub fn submit_question(&mut self, lane: LaneRef, question: C) {
        let at = self.settled_rows();
        self.submission.insert_cold(at, lane.slot, lane.epoch, question);
        self.move_on();
    }

    /// The row of a CLOSE. Where it goes before the revocable rows, what is its own among them finds no lane; where it takes
    /// back, nobody asks for an account.
    pub fn submit_close(&mut self, mut row: [i32; OP_WIDTH]) -> Closing {
        let at = self.settled_rows();
        let own = |other: &&[i32]| other[1..3] == row[1..3];
        let begins = |other: &[i32]| matches!(other[0] & 0xff, op::OPEN | op::COLD | op::LEASE | op::WAIT);
        if !self.submission.rows[at..].chunks_exact(OP_WIDTH).filter(own).any(begins) {
            self.submission.rows.splice(at..at, row);
            self.move_on();
            return Closing::Sent;
        }
        for own in self.submission.rows[at..].chunks_exact_mut(OP_WIDTH).filter(|other| own(&&**other)) {
            match own[0] & 0xff {
                // A write without a lane is nobody's. What waits, another row may pass a connection on to.
                op::WAIT => (own[0], own[3]) = (op::WRITE, 0),
                op::WRITE => own[0] |= op_flag::EARLY << 8,
                _ => {}
            }
        }
        row[4] = 0;
        self.submission.rows.extend(row);
        Closing::TookBack
    }

    /// Takes out all that speaks of a request that is about to begin on an idle lane, if it begins among the revocable rows
    /// and all its `count` bytes stand there, and none of its rows is a cold one. Whether that was so.
    pub fn take_back(&mut self, request: LaneRef, count: usize) -> bool {
        let Some(Revocable { rows, bytes }) = self.revocable else { return false };
        let Submission { rows: all_rows, bytes: all_bytes, .. } = &mut self.submission;
        let is_its =
            |row: &[i32]| row[1] == request.slot.cast_signed() && row[2] == request.epoch.cast_signed();
        let own = || all_rows[rows..].chunks_exact(OP_WIDTH).filter(|row| is_its(row));
        let has = |code| own().any(|row| row[0] & 0xff == code);
        if !has(op::LEASE) || has(op::COLD) || own().map(inline_len).sum::<usize>() != count {
            return false;
        }
        let (mut kept_rows, mut kept_bytes, mut at) = (Vec::new(), Vec::new(), bytes);
        for row in all_rows[rows..].chunks_exact(OP_WIDTH) {
            let end = at + inline_len(row);
            if !is_its(row) {
                kept_rows.extend_from_slice(row);
                kept_bytes.extend_from_slice(&all_bytes[at..end]);
            }
            at = end;
        }
        all_rows.splice(rows.., kept_rows);
        all_bytes.splice(bytes.., kept_bytes);
        true
    }

    /// Moves what may not be taken back into an empty submission.
    pub fn take_settled(&mut self, empty: &mut Submission<C, B>) {
        match &mut self.revocable {
            Some(revocable) => {
                let Revocable { rows, bytes } = mem::take(revocable);
                self.submission.move_front(rows, bytes, empty);
            }
            None => mem::swap(&mut self.submission, empty),
        }
    }

    /// How many integers stand before what may be taken back.
    fn settled_rows(&self) -> usize {
        self.revocable.map_or(self.submission.rows.len(), |revocable| revocable.rows)
    }

    /// A row without bytes has come before what may be taken back.
    fn move_on(&mut self) {
        if let Some(revocable) = &mut self.revocable {
            revocable.rows += OP_WIDTH;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Rows = Vec<[i32; OP_WIDTH]>;

    fn outbox(settled: &[[i32; OP_WIDTH]], revocable: &[[i32; OP_WIDTH]]) -> Outbox<&'static str, Vec<u8>> {
        let mut outbox = Outbox::new();
        let add = |rows: &[[i32; OP_WIDTH]]| {
            let rows = rows.to_vec();
            move |submission: &mut Submission<&'static str, Vec<u8>>| {
                for row in rows {
                    submission.rows.extend(row);
                    submission.bytes.extend((0..inline_len(&row)).map(|_| row[1].to_le_bytes()[0]));
                }
            }
        };
        outbox.submit(add(settled));
        outbox.submit_revocable(add(revocable));
        outbox
    }

    /// What the runtime finds now, and what it finds with the end of the tick; rows, and bytes.
    fn found(outbox: &mut Outbox<&'static str, Vec<u8>>) -> [(Rows, Vec<u8>); 2] {
        let mut find = || {
            let mut taken = Submission::new();
            outbox.take_settled(&mut taken);
            outbox.settle();
            (taken.rows.as_chunks().0.to_vec(), taken.bytes)
        };
        [find(), find()]
    }

    const fn close(slot: i32) -> [i32; OP_WIDTH] {
        [op::CLOSE, slot, 1, 7, 9]
    }

    const fn write(slot: i32, epoch: i32, length: i32) -> [i32; OP_WIDTH] {
        [op::WRITE, slot, epoch, 0, length]
    }

    #[test]
    fn a_request_is_taken_back_whole_or_not_at_all() {
        let lease = [op::LEASE | op_flag::HTTP << 8, 3, 7, 100, 200];
        let settled = [write(3, 6, 2)];
        let mut outbox = outbox(&settled, &[write(1, 1, 1), lease]);
        outbox.submit_cold(LaneRef { slot: 3, epoch: 6 }, "ask");
        outbox.submit_revocable(|submission| {
            submission.rows.extend([write(3, 7, 2), write(1, 1, 1), write(3, 7, 1)].as_flattened());
            submission.bytes.extend(b"abcd");
        });
        let request = LaneRef { slot: 3, epoch: 7 };
        assert!(!outbox.take_back(request, 4), "a part has left");
        assert!(!outbox.take_back(LaneRef { slot: 3, epoch: 6 }, 0), "it began before");
        assert!(outbox.take_back(request, 3));
        assert!(!outbox.take_back(request, 3));
        let ask = [op::COLD, 3, 6, 0, 0];
        assert_eq!(
            found(&mut outbox),
            [(settled.to_vec(), vec![3, 3]), (vec![write(1, 1, 1), ask, write(1, 1, 1)], vec![1, b'c'])]
        );

        outbox.submit_revocable(|submission| submission.rows.extend(lease));
        outbox.submit_cold(request, "ask");
        assert!(!outbox.take_back(request, 0), "who asks would be forgotten");
        outbox.settle();
        assert!(!outbox.take_back(request, 0), "the tick has ended");
    }

    #[test]
    fn a_close_goes_before_what_may_be_taken_back() {
        let settled = [[op::LEASE, 3, 1, 0, 0], write(3, 1, 1)];
        let revocable = [[op::ATTACH, 2, 1, 5, 0], write(3, 1, 2), [op::LEASE, 4, 1, 0, 0], write(4, 1, 1)];
        let mut outbox = outbox(&settled, &revocable);
        for slot in [1, 2, 3] {
            assert_eq!(outbox.submit_close(close(slot)), Closing::Sent);
        }
        let [now, then] = found(&mut outbox);
        assert_eq!(now, ([&settled[..], &[close(1), close(2), close(3)]].concat(), vec![3]));
        assert_eq!(then, (revocable.to_vec(), vec![3, 3, 4]));
    }

    #[test]
    fn a_close_takes_back_what_begins_where_that_is_possible() {
        for begin in [op::OPEN, op::COLD, op::LEASE, op::WAIT] {
            let others = [write(3, 1, 1), [op::LEASE, 4, 1, 0, 0], write(4, 1, 1)];
            let own = [[begin, 2, 1, 5, 0], [op::ATTACH, 2, 1, 5, 0], write(2, 1, 1)];
            let mut outbox = outbox(&[], &[&own[..], &others].concat());
            assert_eq!(outbox.submit_close(close(2)), Closing::TookBack);
            let begun = if begin == op::WAIT { write(2, 1, 0) } else { own[0] };
            let early = [op::WRITE | op_flag::EARLY << 8, 2, 1, 0, 1];
            let unasked = [op::CLOSE, 2, 1, 7, 0];
            let then = [&[begun, own[1], early][..], &others, &[unasked]].concat();
            assert_eq!(found(&mut outbox), [(vec![], vec![]), (then, vec![2, 3, 4])]);
        }
    }

    #[test]
    fn where_nothing_may_be_taken_back_a_close_comes_last() {
        let mut outbox = outbox(&[[op::LEASE, 2, 1, 0, 0]], &[]);
        assert!(outbox.settle());
        assert_eq!(outbox.submit_close(close(2)), Closing::Sent);
        let [(now, _), _] = found(&mut outbox);
        assert_eq!(now, [[op::LEASE, 2, 1, 0, 0], close(2)]);
    }
}
