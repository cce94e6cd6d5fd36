//! What holds for requests, in whatever order JavaScript asks for them and ends them, and whenever the runtime looks:
//! one that is ended sends nothing after the word on it, and nothing at all if that is that nothing has left; any other is
//! sent once and whole; and rows are applied in the order in which they were submitted. An input is taken for the choices
//! of a program, which does with lanes, slots and epochs what `lib/` does, and of a runtime that does with rows what
//! `src/pool` does.

use std::collections::{BTreeMap, BTreeSet};

use super::outbox::{Closing, Outbox};
use super::records::{LaneRef, OP_WIDTH, op, op_flag};
use super::submission::{Op, Payload, Submission, When};
use crate::error::CloseReason;

/// A piece of a request: its number, and which of its pieces it is.
const PIECE: usize = 3;

pub fn check(input: &[u8]) {
    let mut program = Program::new(input);
    while program.step().is_some() {}
    program.end();
}

/// What is beside a row that has none of its own.
enum Cold {
    Open(i32),
    Withdraw,
}

struct Program<'a> {
    choices: std::slice::Iter<'a, u8>,
    outbox: Outbox<Cold, Vec<u8>>,
    runtime: Runtime,
    /// The tick may take back what it submits from now on.
    is_revocable: bool,
    /// The first row that the runtime is not to find yet.
    not_before: Option<i32>,
    epochs: Vec<i32>,
    free: Vec<i32>,
    lanes: Vec<Lane>,
    waiting: Vec<(LaneRef, usize)>,
    /// The number of the last row; each has its own, but those that end something.
    last: i32,
    submitted: BTreeSet<i32>,
    /// The rows of requests that wait: one that is ended may come without.
    waits: BTreeMap<i32, usize>,
}

/// A lane as JavaScript knows it.
struct Lane {
    at: LaneRef,
    idle_epoch: u32,
    is_connected: bool,
    request: Option<usize>,
    /// Nothing more is written to it.
    is_whole: bool,
    /// The rows of its request, and how many bytes they have.
    rows: Vec<i32>,
    bytes: usize,
}

impl Lane {
    const fn at(at: LaneRef) -> Self {
        Self {
            at,
            idle_epoch: 0,
            is_connected: false,
            request: None,
            is_whole: false,
            rows: Vec::new(),
            bytes: 0,
        }
    }
}

#[derive(Default)]
struct Runtime {
    lanes: BTreeMap<u32, Connection>,
    waiting: Vec<(LaneRef, Vec<u8>)>,
    withdrawn: Vec<LaneRef>,
    requests: Vec<Request>,
    /// Which accounts are asked for, of which requests.
    asked: BTreeMap<u32, usize>,
    answer: Option<bool>,
    applied: BTreeSet<i32>,
}

#[derive(Default)]
struct Request {
    written: u8,
    left: u8,
    /// Nothing leaves any more.
    is_ended: bool,
}

#[derive(Default)]
struct Connection {
    epoch: u32,
    is_connected: bool,
    is_lost: bool,
    /// Has to wait: for the connection, for the end of the tick, or for the piece behind it.
    held: Vec<u8>,
    gathers: bool,
    yields: bool,
}

impl<'a> Program<'a> {
    fn new(input: &'a [u8]) -> Self {
        Self {
            choices: input.iter(),
            outbox: Outbox::new(),
            runtime: Runtime::default(),
            is_revocable: false,
            not_before: None,
            epochs: Vec::new(),
            free: Vec::new(),
            lanes: Vec::new(),
            waiting: Vec::new(),
            last: 0,
            submitted: BTreeSet::new(),
            waits: BTreeMap::new(),
        }
    }

    fn draw(&mut self, most: usize) -> Option<usize> {
        self.choices.next().map(|byte| usize::from(*byte) % most)
    }

    fn step(&mut self) -> Option<()> {
        match self.draw(20)? {
            0 | 1 => self.open()?,
            2..=4 => self.lease()?,
            5 => self.go_on()?,
            6 | 7 => self.hand_over()?,
            8 => self.allow_others()?,
            9 => self.attach()?,
            10 | 11 => self.destroy()?,
            12 => self.withdraw()?,
            13 => self.take_back()?,
            14 => self.finish()?,
            15 => self.end_tick(),
            16 => self.rest(),
            17 => self.is_revocable = true,
            18 => {
                let is_overdue = self.draw(3)? == 0;
                self.look(is_overdue);
            }
            _ => self.runtime.connect(),
        }
        Some(())
    }

    // ---- Rows.

    fn submit(&mut self, row: [i32; OP_WIDTH], bytes: &[u8]) {
        let add = |submission: &mut Submission<Cold, Vec<u8>>| {
            submission.rows.extend(row);
            submission.bytes.extend(bytes);
        };
        if !self.is_revocable {
            self.not_before = None;
            self.outbox.submit(add);
            return;
        }
        if row[0] & 0xff != op::CLOSE {
            self.not_before.get_or_insert(self.last);
        }
        self.outbox.submit_revocable(add);
    }

    fn number(&mut self) -> i32 {
        self.last += 1;
        self.submitted.insert(self.last);
        self.last
    }

    fn enter(&mut self) -> LaneRef {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.epochs.push(0);
            self.epochs.len() as i32 - 1
        });
        self.next_epoch(slot.cast_unsigned())
    }

    fn next_epoch(&mut self, slot: u32) -> LaneRef {
        let epoch = &mut self.epochs[slot as usize];
        *epoch += 1;
        LaneRef { slot, epoch: epoch.cast_unsigned() }
    }

    fn leave(&mut self, LaneRef { slot, .. }: LaneRef) {
        self.next_epoch(slot);
        self.free.push(slot.cast_signed());
    }

    /// A lane that fits, if there is one.
    fn choose(&mut self, fits: impl Fn(&Lane) -> bool) -> Option<Option<usize>> {
        let fit: Vec<_> = (0..self.lanes.len()).filter(|index| fits(&self.lanes[*index])).collect();
        let choice = self.draw(fit.len().max(1))?;
        Some(fit.get(choice).copied())
    }

    // ---- What requests do.

    fn open(&mut self) -> Option<()> {
        let is_cold = self.draw(3)? == 0;
        let (at, number) = (self.enter(), self.number());
        if is_cold {
            self.outbox.submit_cold(at, Cold::Open(number));
        } else {
            self.submit(row(op::OPEN, at, number, 0), &[]);
        }
        self.lanes.push(Lane::at(at));
        self.begin(self.lanes.len() - 1)
    }

    fn lease(&mut self) -> Option<()> {
        let Some(index) = self.choose(|lane| lane.request.is_none())? else { return Some(()) };
        let before = self.lanes[index].at;
        let at = if self.lanes[index].is_connected { self.next_epoch(before.slot) } else { before };
        let number = self.number();
        self.submit(row(op::LEASE | op_flag::HTTP << 8, at, number, 0), &[]);
        let lane = &mut self.lanes[index];
        (lane.at, lane.idle_epoch, lane.is_whole) = (at, before.epoch, false);
        (lane.rows, lane.bytes) = (vec![number], 0);
        self.begin(index)
    }

    fn begin(&mut self, index: usize) -> Option<()> {
        self.lanes[index].request = Some(self.runtime.requests.len());
        self.runtime.requests.push(Request::default());
        for _ in 0..self.draw(3)? {
            self.write(index)?;
        }
        Some(())
    }

    fn go_on(&mut self) -> Option<()> {
        let Some(index) = self.choose(|lane| lane.request.is_some() && !lane.is_whole)? else {
            return Some(());
        };
        self.write(index)
    }

    fn write(&mut self, index: usize) -> Option<()> {
        let Lane { at, is_connected, request, .. } = self.lanes[index];
        let Some(request) = request else { return Some(()) };
        let (kind, number) = (self.draw(8)?, self.number());
        let piece = self.runtime.piece(request);
        if kind == 0 {
            // A large one is submitted at once, with all before it.
            self.settle();
            self.outbox.submit(|submission| {
                submission.rows.extend(row(op::WRITE | op_flag::BLOB << 8, at, number, 3));
                submission.blobs.push(piece.to_vec());
            });
        } else {
            let early = if !is_connected || self.is_revocable && kind > 3 { op_flag::EARLY } else { 0 };
            self.submit(row(op::WRITE | early << 8, at, number, 3), &piece);
            self.lanes[index].bytes += PIECE;
        }
        self.lanes[index].rows.push(number);
        Some(())
    }

    fn hand_over(&mut self) -> Option<()> {
        let (at, request, number) = (self.enter(), self.runtime.requests.len(), self.number());
        self.runtime.requests.push(Request::default());
        let piece = self.runtime.piece(request);
        self.submit(row(op::WAIT, at, number, 3), &piece);
        self.waits.insert(number, request);
        self.waiting.push((at, request));
        Some(())
    }

    /// The request on a lane is whole: its connection may go to one that waits.
    fn allow_others(&mut self) -> Option<()> {
        let Some(index) = self.choose(|lane| lane.request.is_some() && lane.bytes > 0)? else {
            return Some(());
        };
        self.lanes[index].is_whole = true;
        let (at, number) = (self.lanes[index].at, self.number());
        self.submit(row(op::YIELD, at, number, 0), &[]);
        self.lanes[index].rows.push(number);
        Some(())
    }

    /// An idle lane is given to the first request that waits.
    fn attach(&mut self) -> Option<()> {
        let Some(index) = self.choose(|lane| lane.request.is_none() && lane.is_connected)? else {
            return Some(());
        };
        if self.waiting.is_empty() {
            return Some(());
        }
        let ((at, request), number) = (self.waiting.remove(0), self.number());
        let from = self.lanes[index].at;
        self.submit(row(op::ATTACH, at, from.slot.cast_signed(), number), &[]);
        self.leave(from);
        let lane = &mut self.lanes[index];
        (lane.at, lane.request, lane.is_whole, lane.bytes) = (at, Some(request), true, PIECE);
        lane.rows.clear();
        Some(())
    }

    // ---- How they end.

    fn destroy(&mut self) -> Option<()> {
        if self.draw(2)? == 0 && !self.waiting.is_empty() {
            let choice = self.draw(self.waiting.len())?;
            let (at, request) = self.waiting.remove(choice);
            self.close(at, request);
        } else if let Some(index) = self.choose(|lane| lane.request.is_some())? {
            let lane = self.lanes.remove(index);
            self.close(lane.at, lane.request.unwrap_or_default());
        }
        Some(())
    }

    /// Ends it now, and learns what has left of it, now or when the runtime looks.
    fn close(&mut self, at: LaneRef, request: usize) {
        let account = request as u32 + 1;
        let close = row(op::CLOSE, at, CloseReason::Aborted as i32, account.cast_signed());
        if self.is_revocable {
            match self.outbox.submit_close(close) {
                Closing::TookBack => self.runtime.end(request, 0),
                Closing::Sent => drop(self.runtime.asked.insert(account, request)),
            }
        } else {
            self.submit(close, &[]);
            self.runtime.asked.insert(account, request);
        }
        self.leave(at);
    }

    /// Takes one that waits back, if it has not been sent, and waits for the answer.
    fn withdraw(&mut self) -> Option<()> {
        let choice = self.draw(self.waiting.len().max(1))?;
        if self.waiting.is_empty() {
            return Some(());
        }
        let (at, request) = self.waiting.remove(choice);
        self.outbox.submit_question(at, Cold::Withdraw);
        self.look(false);
        if self.runtime.answer.take().expect("a question is answered now") {
            self.runtime.end(request, 0);
            self.submit(row(op::CLOSE, at, CloseReason::Aborted as i32, 0), &[]);
            self.leave(at);
        } else if self.draw(2)? == 0 {
            self.close(at, request);
        } else {
            // A lane that has nothing yet goes on with it.
            self.lanes.push(Lane { request: Some(request), is_whole: true, bytes: PIECE, ..Lane::at(at) });
        }
        Some(())
    }

    /// A request lets go of its lane before it has it.
    fn take_back(&mut self) -> Option<()> {
        let Some(index) = self.choose(|lane| lane.request.is_some() && lane.idle_epoch > 0)? else {
            return Some(());
        };
        let Lane { at, bytes, is_connected, .. } = self.lanes[index];
        let Some(request) = self.lanes[index].request else { return Some(()) };
        if is_connected && self.is_revocable && self.outbox.take_back(at, bytes) {
            let lane = &mut self.lanes[index];
            (lane.request, lane.at.epoch) = (None, lane.idle_epoch);
            self.epochs[at.slot as usize] -= 1;
            self.runtime.end(request, 0);
            for number in std::mem::take(&mut self.lanes[index].rows) {
                self.submitted.remove(&number);
            }
        } else {
            self.lanes.remove(index);
            self.close(at, request);
        }
        Some(())
    }

    /// It is over: the lane is idle, or is closed, with what is on its way.
    fn finish(&mut self) -> Option<()> {
        let requests = &self.runtime.requests;
        let is_over = |lane: &Lane| {
            lane.request.is_some_and(|request| {
                lane.is_connected && requests[request].left > 0 && !requests[request].is_ended
            })
        };
        let over: Vec<_> = (0..self.lanes.len()).filter(|index| is_over(&self.lanes[*index])).collect();
        let choice = self.draw(over.len().max(1))?;
        let Some(&index) = over.get(choice) else { return Some(()) };
        let (at, is_closed) = (self.lanes[index].at, self.draw(3)? == 0);
        if is_closed {
            self.lanes.remove(index);
            let close = row(op::CLOSE | op_flag::OVER << 8, at, CloseReason::NotKept as i32, 0);
            self.submit(close, &[]);
            self.leave(at);
        } else {
            let number = self.number();
            self.submit(row(op::PARK, at, -1, number), &[]);
            (self.lanes[index].request, self.lanes[index].idle_epoch) = (None, 0);
        }
        Some(())
    }

    // ---- Time.

    /// The tick takes nothing back any more.
    fn settle(&mut self) {
        (self.is_revocable, self.not_before) = (false, None);
        self.outbox.settle();
    }

    fn end_tick(&mut self) {
        self.settle();
        // JavaScript is told.
        for lane in &mut self.lanes {
            let connection = self.runtime.lanes.get(&lane.at.slot);
            lane.is_connected |= connection.is_some_and(|one| one.is_connected && one.epoch == lane.at.epoch);
        }
    }

    fn look(&mut self, is_overdue: bool) {
        let mut taken = Submission::new();
        if is_overdue {
            self.not_before = None;
            self.outbox.settle();
        }
        self.outbox.take_settled(&mut taken);
        self.runtime.apply(taken);
        assert!(self.runtime.asked.is_empty(), "who asks for an account has it now");
        let last = self.runtime.applied.last().copied();
        assert!(self.not_before.is_none_or(|first| last < Some(first)), "it may be taken back yet");
    }

    /// All that was asked for is done, and JavaScript is told.
    fn rest(&mut self) {
        self.end_tick();
        self.look(false);
        self.runtime.connect();
        self.end_tick();
    }

    fn end(&mut self) {
        self.rest();
        let requests = &self.runtime.requests;
        self.submitted.retain(|number| {
            let is_ended = self.waits.get(number).is_some_and(|request| requests[*request].is_ended);
            !is_ended || self.runtime.applied.contains(number)
        });
        assert_eq!(self.runtime.applied, self.submitted);
        let waits = |request| self.waiting.iter().any(|(_, other)| *other == request);
        for (number, Request { written, left, is_ended }) in self.runtime.requests.iter().enumerate() {
            assert!(*is_ended || left == written || waits(number), "{left} of {written} have left");
        }
        for (at, request) in &self.waiting {
            let still_waits = self.runtime.waiting.iter().any(|(waiting, _)| waiting == at);
            assert_eq!(still_waits, self.runtime.requests[*request].left == 0);
        }
    }
}

fn row(head: i32, at: LaneRef, arg: i32, len: i32) -> [i32; OP_WIDTH] {
    [head, at.slot.cast_signed(), at.epoch.cast_signed(), arg, len]
}

impl Runtime {
    /// The next piece of a request.
    fn piece(&mut self, request: usize) -> [u8; PIECE] {
        let [low, high] = (request as u16).to_le_bytes();
        let piece = [low, high, self.requests[request].written];
        self.requests[request].written += 1;
        piece
    }

    fn end(&mut self, request: usize, left: u8) {
        assert_eq!(self.requests[request].left, left);
        self.requests[request].is_ended = true;
    }

    fn send(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(PIECE) {
            let request = &mut self.requests[usize::from(u16::from_le_bytes([piece[0], piece[1]]))];
            assert!(!request.is_ended, "it leaves after its end");
            assert_eq!(request.left, piece[2], "once, and in order");
            request.left += 1;
        }
    }

    fn flush(&mut self, slot: u32) {
        let Some(lane) = self.lanes.get_mut(&slot).filter(|lane| lane.is_connected) else { return };
        lane.gathers = false;
        let held = std::mem::take(&mut lane.held);
        self.send(&held);
    }

    fn connect(&mut self) {
        let slots: Vec<_> = self.lanes.keys().copied().collect();
        for slot in slots {
            let lane = self.lanes.entry(slot).or_default();
            lane.is_connected |= !lane.is_lost;
            self.flush(slot);
        }
    }

    fn apply(&mut self, mut submission: Submission<Cold, Vec<u8>>) {
        let applied = submission.drain(|slot, epoch, request, cold| {
            let at = LaneRef { slot, epoch };
            let number = self.apply_row(at, request, cold);
            if number > 0 {
                assert!(self.applied.last().is_none_or(|last| *last < number), "in the order of submission");
                self.applied.insert(number);
            }
        });
        applied.unwrap();
        let slots: Vec<_> = self.lanes.keys().copied().collect();
        for slot in slots {
            self.flush(slot);
            self.pass_on(slot);
        }
    }

    /// The number of the row, if it has one.
    fn apply_row(&mut self, at: LaneRef, request: Op<'_, Vec<u8>>, cold: &mut [Option<Cold>]) -> i32 {
        let LaneRef { slot, epoch } = at;
        let is_present = self.lanes.get(&slot).is_some_and(|lane| lane.epoch == epoch);
        let number = match request {
            Op::Cold { index } => match cold[index].take() {
                Some(Cold::Open(number)) => {
                    self.open(at);
                    number.cast_unsigned()
                }
                _ => {
                    self.withdraw(at);
                    0
                }
            },
            Op::Open(opening) => {
                self.open(at);
                opening.route
            }
            Op::Close { over, account, .. } => {
                self.withdrawn.retain(|other| *other != at);
                self.waiting.retain(|(waiting, _)| *waiting != at);
                if over && is_present {
                    self.flush(slot);
                }
                if is_present {
                    self.lanes.remove(&slot);
                }
                if account > 0 {
                    let request = self.asked.remove(&account).expect("somebody has asked for it");
                    self.end(request, self.requests[request].left);
                }
                0
            }
            Op::Lease { received, .. } => {
                // What the request before has written leaves whatever comes.
                self.flush(slot);
                if let Some(lane) = self.lanes.get_mut(&slot) {
                    (lane.epoch, lane.yields) = (epoch, false);
                }
                received
            }
            Op::Wait { queue, bytes, .. } => {
                if !self.withdrawn.contains(&at) {
                    self.waiting.push((at, bytes.to_vec()));
                }
                queue
            }
            Op::Attach { from, received } => {
                self.attach(at, from);
                received
            }
            Op::Yield { queue } => {
                if is_present {
                    self.lanes.entry(slot).or_default().yields = true;
                    self.pass_on(slot);
                }
                queue
            }
            Op::Write { bytes, when, notify, .. } => {
                if is_present {
                    match bytes {
                        Payload::Inline(bytes) => self.write(slot, bytes, when),
                        Payload::Blob(blob) => self.write(slot, &blob, when),
                    }
                }
                notify
            }
            Op::Park { received, .. } => received,
            other => panic!("nobody has asked for {other:?}"),
        };
        number.cast_signed()
    }

    fn open(&mut self, LaneRef { slot, epoch }: LaneRef) {
        let before = self.lanes.insert(slot, Connection { epoch, ..Connection::default() });
        assert!(before.is_none(), "the slot is another's");
    }

    fn withdraw(&mut self, at: LaneRef) {
        let waits = self.waiting.iter().position(|(waiting, _)| *waiting == at);
        let is_sent = self.lanes.get(&at.slot).is_some_and(|lane| lane.epoch == at.epoch);
        match waits {
            Some(index) => drop(self.waiting.remove(index)),
            None if !is_sent => self.withdrawn.push(at),
            None => {}
        }
        self.answer = Some(!is_sent);
    }

    fn attach(&mut self, at: LaneRef, from: u32) {
        self.flush(from);
        let Some(mut lane) = self.lanes.remove(&from) else { return };
        let Some(index) = self.waiting.iter().position(|(waiting, _)| *waiting == at) else { return };
        let (_, bytes) = self.waiting.remove(index);
        (lane.epoch, lane.yields) = (at.epoch, false);
        self.lanes.insert(at.slot, lane);
        self.write(at.slot, &bytes, When::WithTick);
    }

    fn write(&mut self, slot: u32, bytes: &[u8], when: When) {
        let lane = self.lanes.entry(slot).or_default();
        if std::mem::take(&mut lane.is_lost) {
            // It gets another connection.
            lane.is_connected = false;
        }
        let leaves = lane.held.is_empty() || lane.gathers;
        lane.gathers = when == When::WithNext && leaves;
        lane.held.extend(bytes);
        if when == When::Now && leaves {
            self.flush(slot);
        }
    }

    /// The response has come, and the connection goes to the next that waits.
    fn pass_on(&mut self, slot: u32) {
        let Some(lane) = self.lanes.get_mut(&slot) else { return };
        if !(lane.yields && lane.is_connected && lane.held.is_empty()) || self.waiting.is_empty() {
            return;
        }
        (lane.yields, lane.is_connected, lane.is_lost) = (false, false, true);
        let (at, bytes) = self.waiting.remove(0);
        let next = Connection { epoch: at.epoch, is_connected: true, yields: true, ..Connection::default() };
        self.lanes.insert(at.slot, next);
        self.send(&bytes);
    }
}

#[cfg(test)]
#[test]
fn programs_at_random() {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    for length in (0..10_000).map(|number| 20 + number % 380) {
        let mut draw = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32).to_le_bytes()[0]
        };
        let input: Vec<u8> = (0..length).map(|_| draw()).collect();
        if let Err(panic) = std::panic::catch_unwind(|| check(&input)) {
            eprintln!("with {input:?}");
            std::panic::resume_unwind(panic);
        }
    }
}
