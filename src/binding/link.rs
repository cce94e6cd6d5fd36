//! What the two threads of an environment share: one queue each way, and how
//! each wakes the other.

use std::mem;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::accounts::Accounts;
use super::batch::Batch;
use super::blob::Blob;
use super::cpu_clock::{CpuClock, Readings};
use super::loans::Loans;
use super::outbox::{Closing, Outbox};
use super::records::{LaneRef, OP_WIDTH};
use super::submission::Submission;
use super::waker::Waker;
use crate::pool::Cold;
use crate::runtime;

/// The link between one JavaScript environment and the runtime.
pub struct Link {
    to_runtime: Mutex<ToRuntime>,
    to_javascript: Mutex<Inbox>,
    /// The number of the last delivery that JavaScript has taken.
    taken: AtomicU64,
    /// Buffers of the environment that are written from.
    pub loans: Arc<Loans>,
    pub accounts: Accounts,
    /// A wake is on its way to JavaScript, which will take all there is.
    wake_pending: AtomicBool,
    hushed: AtomicBool,
    /// Of the thread that JavaScript runs on.
    javascript: CpuClock,
    /// None once the environment is going down. The lock is held during a
    /// call, so none can be under way after the end.
    waker: Mutex<Option<Waker>>,
}

/// What waits for the runtime, and how long what may be taken back has waited. It does until the tick has ended, unless
/// JavaScript computes on.
struct ToRuntime {
    outbox: Outbox<Cold, Blob>,
    early: Early,
    /// How many ticks with such rows have ended, or have computed on.
    ended: u32,
    readings: Readings,
}

impl ToRuntime {
    /// The tick has ended, or computes on: all stays. Whether there was anything to be told so.
    fn settle(&mut self) -> bool {
        let was_revocable = self.outbox.settle();
        self.ended = self.ended.saturating_add(u32::from(was_revocable));
        self.early = Early::default();
        was_revocable
    }
}

/// What waits for JavaScript.
struct Inbox {
    batch: Batch,
    /// The number of the delivery that came last.
    delivery: u64,
}

/// The rows that may be taken back.
#[derive(Default)]
struct Early {
    /// When the last of them was submitted.
    last: Option<Instant>,
    /// When the runtime saw the first of them, and what JavaScript had computed shortly before.
    seen: Option<(Instant, Option<Duration>)>,
}

/// How long rows wait for the end of the tick.
struct Patience {
    /// For so long JavaScript has to have computed without another word, if it can
    /// be told: a thread that waits for a processor says nothing about the tick.
    busy: Duration,
    /// The least. Most ticks are shorter, and what is not is longer by far.
    least: Duration,
    /// And the most: JavaScript may be blocked without computing.
    most: Duration,
}

/// With the steps of the runtime's timers the least is 3 to 4 ms.
const PATIENCE: Patience = Patience {
    busy: Duration::from_micros(2500),
    least: Duration::from_micros(2500),
    most: Duration::from_millis(15),
};
/// In the first ticks of an environment much of what runs is compiled on the way,
/// and takes some ms, though its program does not compute. They are few: a program that sends
/// a handful of requests and computes is as much in a hurry as one that sends thousands.
const AT_FIRST: Patience = Patience {
    busy: Duration::from_millis(5),
    least: Duration::from_millis(5),
    most: Duration::from_millis(30),
};
const FIRST_TICKS: u32 = 5;

impl Early {
    /// How long JavaScript may still be in this tick, at least, before it has been for too long.
    fn grace(
        &mut self,
        patience: &Patience,
        now: Instant,
        readings: &mut Readings,
        read: impl Fn() -> Option<Duration>,
    ) -> Duration {
        let (seen, before) = *self.seen.get_or_insert_with(|| (now, readings.recent(now, &read)));
        let last = self.last.unwrap_or(seen).max(seen);
        let left = |computed: Option<Duration>| {
            // At least so much of it since the last of them.
            let computed = match (before, computed) {
                (Some(before), Some(after)) => after.saturating_sub(before).saturating_sub(last - seen),
                _ => patience.busy,
            };
            let to_be_busy =
                patience.busy.saturating_sub(computed).max(patience.least.saturating_sub(now - last));
            to_be_busy.min(patience.most.saturating_sub(now - seen))
        };
        let at_least = left(readings.at_most(now));
        if at_least.is_zero() { left(readings.exact(now, &read)) } else { at_least }
    }
}

/// What [`Link::take_submission`] has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    pub any: bool,
    /// Something was left for the end of JavaScript's tick, or until this has passed.
    pub left: Option<Duration>,
}

impl Link {
    /// On the thread of the environment.
    pub fn new() -> Self {
        Self {
            to_runtime: Mutex::new(ToRuntime {
                outbox: Outbox::new(),
                early: Early::default(),
                ended: 0,
                readings: Readings::default(),
            }),
            to_javascript: Mutex::new(Inbox { batch: Batch::new(), delivery: 0 }),
            taken: AtomicU64::new(0),
            loans: Arc::new(Loans::new()),
            accounts: Accounts::default(),
            wake_pending: AtomicBool::new(false),
            hushed: AtomicBool::new(false),
            javascript: CpuClock::of_this_thread(),
            waker: Mutex::new(None),
        }
    }

    /// From JavaScript: adds to what the runtime finds next, and says that
    /// nothing of it will be taken back. Whether there is anything new for it.
    pub fn submit(&self, add: impl FnOnce(&mut Submission<Cold, Blob>)) -> bool {
        let mut to_runtime = lock(&self.to_runtime);
        let was_revocable = to_runtime.settle();
        let has_grown = to_runtime.outbox.submit(add);
        was_revocable || has_grown
    }

    /// As [`Link::submit`], in the middle of a tick that may take it back. `settled`: what an
    /// earlier tick has submitted so will stay.
    pub fn submit_early(&self, settled: bool, add: impl FnOnce(&mut Submission<Cold, Blob>)) {
        let mut to_runtime = lock(&self.to_runtime);
        if settled {
            to_runtime.settle();
        }
        to_runtime.early.last = Some(Instant::now());
        to_runtime.outbox.submit_revocable(add);
    }

    /// Takes a request back whose beginning and `count` bytes are all among that. If not, nothing is changed.
    pub fn take_back(&self, request: LaneRef, count: usize) -> bool {
        lock(&self.to_runtime).outbox.take_back(request, count)
    }

    /// Goes behind what may still be taken back, and does not change that.
    pub fn submit_cold(&self, lane: LaneRef, request: Cold) {
        {
            let mut to_runtime = lock(&self.to_runtime);
            to_runtime.outbox.submit_cold(lane, request);
            to_runtime.early.last = Some(Instant::now());
        }
        runtime::wake();
    }

    /// Goes before what may still be taken back: JavaScript waits for the answer in the middle of its tick,
    /// and what it learns must not be outdated by what it takes back then.
    pub fn submit_question(&self, lane: LaneRef, question: Cold) {
        {
            let mut to_runtime = lock(&self.to_runtime);
            to_runtime.outbox.submit_question(lane, question);
            to_runtime.early = Early::default();
        }
        runtime::wake();
    }

    /// A CLOSE in a tick that may take back what it has submitted.
    pub fn submit_close(&self, row: [i32; OP_WIDTH]) -> Closing {
        lock(&self.to_runtime).outbox.submit_close(row)
    }

    /// JavaScript may submit without waking the runtime, which then looks by
    /// itself (`PATROL` there).
    pub fn set_hushed(&self, on: bool) {
        self.hushed.store(on, Ordering::Release);
    }

    pub fn is_hushed(&self) -> bool {
        self.hushed.load(Ordering::Acquire)
    }

    /// To the runtime: moves what is there, and may be used, into an empty submission.
    pub fn take_submission(&self, empty: &mut Submission<Cold, Blob>) -> Taken {
        let mut to_runtime = lock(&self.to_runtime);
        let ToRuntime { outbox, early, ended, readings } = &mut *to_runtime;
        if outbox.is_revocable() {
            let patience = if *ended < FIRST_TICKS { &AT_FIRST } else { &PATIENCE };
            let grace = early.grace(patience, Instant::now(), readings, || self.javascript.now());
            if !grace.is_zero() {
                outbox.take_settled(empty);
                return Taken { any: !empty.is_empty(), left: Some(grace) };
            }
        }
        // A tick that computes on is one of the first as much as one that ends.
        to_runtime.settle();
        to_runtime.outbox.take_settled(empty);
        Taken { any: !empty.is_empty(), left: None }
    }

    /// From the runtime: hands a batch over and wakes JavaScript if it has not
    /// been woken already. What JavaScript submits for it is looked for. Deliveries are numbered from 1.
    pub fn deliver(&self, batch: &mut Batch, number: u64) {
        self.set_hushed(true);
        runtime::patrol();
        {
            let mut inbox = lock(&self.to_javascript);
            inbox.batch.append(batch);
            inbox.delivery = number;
        }
        if self.wake_pending.swap(true, Ordering::AcqRel) {
            return;
        }
        if let Some(waker) = &*lock(&self.waker) {
            // SAFETY: it stands in `waker` until the end.
            unsafe { waker.wake() };
        }
    }

    /// To JavaScript: exchanges what is there for an empty batch.
    pub fn take_batch(&self, spare: &mut Batch) {
        self.wake_pending.store(false, Ordering::Release);
        let mut inbox = lock(&self.to_javascript);
        mem::swap(&mut inbox.batch, spare);
        self.taken.store(inbox.delivery, Ordering::Release);
    }

    /// The number of the last delivery that JavaScript has taken, 0 before the first.
    pub fn taken(&self) -> u64 {
        self.taken.load(Ordering::Acquire)
    }

    /// What JavaScript has computed so far, where that can be told.
    pub fn computed(&self) -> Option<Duration> {
        self.javascript.now()
    }

    pub fn set_waker(&self, waker: Waker) {
        *lock(&self.waker) = Some(waker);
    }

    /// After this no native thread calls into the environment, or reads its memory. The waker, if it was there yet.
    pub fn sever(&self) -> Option<Waker> {
        let waker = lock(&self.waker).take();
        self.loans.revoke_all();
        waker
    }
}

/// A panic elsewhere leaves both queues whole: they are only swapped and appended to.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn rows_wait_until_javascript_has_computed_since_the_last_of_them() {
        let start = Instant::now();
        let ms = |ms: f64| Duration::from_secs_f64(ms / 1e3);
        // When the last row came, when it is looked at, what was computed by then, and for how long it waits yet.
        for (last, at, computed, grace) in [
            (0.0, 0.0, Some(0.0), 2.5),
            (0.0, 2.0, Some(2.0), 0.5),
            (0.0, 2.5, Some(2.5), 0.0),
            (0.0, 3.0, Some(1.0), 1.5),
            (2.0, 3.0, Some(3.0), 1.5),
            (2.0, 4.5, Some(4.5), 0.0),
            // It may have been computed before the last one.
            (2.0, 5.0, Some(3.0), 1.5),
            (0.0, 14.0, Some(0.0), 1.0),
            (14.0, 15.0, Some(0.0), 0.0),
            (0.0, 2.0, None, 0.5),
            (0.0, 2.5, None, 0.0),
        ] {
            let (mut early, mut readings) = (Early::default(), Readings::default());
            early.grace(&PATIENCE, start, &mut readings, || computed.map(|_| ms(100.0)));
            early.last = Some(start + ms(last));
            let read = || computed.map(|computed| ms(100.0 + computed));
            let waits = early.grace(&PATIENCE, start + ms(at), &mut readings, read);
            assert_eq!(waits, ms(grace), "last {last}, at {at}, computed {computed:?}");
        }
    }

    #[test]
    fn the_clock_is_read_once_for_many_ticks_that_end_soon() {
        let (start, us) = (Instant::now(), Duration::from_micros);
        let (mut readings, reads) = (Readings::default(), Cell::new(0));
        let mut look = |early: &mut Early, at| {
            let read = || {
                reads.set(reads.get() + 1);
                Some(us(at))
            };
            early.grace(&PATIENCE, start + us(at), &mut readings, read)
        };
        // Each is looked at three times.
        for tick in 0..10 {
            let mut early = Early::default();
            for at in [0, 5, 15] {
                assert!(look(&mut early, tick * 20 + at) > us(2400));
            }
        }
        assert_eq!(reads.get(), 1);
        // One that computes on, and what it does from then on.
        let mut early = Early::default();
        for (at, waits, reads_then) in [(200, 2500, 1), (2000, 700, 1), (2700, 0, 2)] {
            assert_eq!((look(&mut early, at), reads.get()), (us(waits), reads_then), "{at}");
        }
    }

    #[test]
    fn the_first_ticks_of_an_environment_may_take_longer() {
        let link = Link::new();
        let mut taken = Submission::new();
        let row = |submission: &mut Submission<Cold, Blob>| submission.rows.extend([0; OP_WIDTH]);
        let mut left = |link: &Link| {
            link.submit_early(false, row);
            link.take_submission(&mut taken).left
        };
        assert!(left(&link).is_some_and(|left| left > PATIENCE.least));
        for _ in 0..FIRST_TICKS {
            link.submit_early(false, row);
            assert!(link.submit(|_| {}), "the tick has ended, and the runtime is to see it");
        }
        assert!(left(&link).is_some_and(|left| left <= PATIENCE.least));
    }

    #[test]
    fn ticks_that_compute_on_are_among_the_first() {
        let link = Link::new();
        let mut taken = Submission::new();
        let row = |submission: &mut Submission<Cold, Blob>| submission.rows.extend([0; OP_WIDTH]);
        for _ in 0..FIRST_TICKS {
            link.submit_early(false, row);
            let before = Instant::now().checked_sub(AT_FIRST.most).expect("the machine has run for longer");
            let seen = Some((before, None));
            lock(&link.to_runtime).early = Early { last: Some(before), seen };
            assert_eq!(link.take_submission(&mut taken).left, None);
        }
        link.submit_early(false, row);
        let left = link.take_submission(&mut taken).left;
        assert!(left.is_some_and(|left| left <= PATIENCE.least));
    }
}
