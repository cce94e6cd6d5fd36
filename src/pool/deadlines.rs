//! Deadlines of idle connections.
//!
//! A connection is parked and taken up again with each request, mostly long
//! before its limit. So its entry is not removed when it is taken up: the entry
//! comes due once, finds that the deadline has moved, and is set anew only if
//! the connection is idle then. In steady state a request costs no work here.
//!
//! One timer runs, for the earliest entry. A timer wheel would wake the thread
//! each time that an entry comes into a finer wheel, which with thousands of
//! idle connections is all the time; a tree wakes it when something is due.

use std::collections::BTreeSet;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use super::connection::ConnectionId;

#[derive(Default)]
pub struct Deadlines {
    queue: BTreeSet<(Instant, ConnectionId)>,
    timer: Option<Pin<Box<Sleep>>>,
    /// Of the task, while it waits for the timer.
    waker: Option<Waker>,
}

/// When the entry of one connection comes due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry(Instant);

impl Deadlines {
    /// Sees to it that the queue speaks up no later than `deadline`.
    pub fn arm(&mut self, connection: ConnectionId, entry: &mut Option<Entry>, deadline: Instant) {
        if entry.is_some_and(|Entry(at)| at <= deadline) {
            return;
        }
        self.remove(connection, entry.take());
        self.queue.insert((deadline, connection));
        *entry = Some(Entry(deadline));
        self.set_timer();
    }

    pub fn remove(&mut self, connection: ConnectionId, entry: Option<Entry>) {
        if let Some(Entry(at)) = entry {
            self.queue.remove(&(at, connection));
            self.set_timer();
        }
    }

    /// Lets the task see to the timer, if another entry is the earliest now.
    fn set_timer(&self) {
        let running = self.timer.as_ref().map(|timer| timer.deadline());
        if running != self.queue.first().map(|&(at, _)| at)
            && let Some(waker) = &self.waker
        {
            waker.wake_by_ref();
        }
    }

    /// The next connection whose entry has come due; the entry is gone then.
    pub fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<ConnectionId> {
        // Entries that are set until the task waits again need not wake it.
        self.waker = None;
        loop {
            let Some(&(at, connection)) = self.queue.first() else {
                self.timer = None;
                break;
            };
            if at <= Instant::now() {
                self.queue.pop_first();
                return Poll::Ready(connection);
            }
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(at)));
            if timer.deadline() != at {
                timer.as_mut().reset(at);
            }
            if timer.as_mut().poll(cx).is_pending() {
                break;
            }
        }
        self.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// A maximum age of its own for each connection, up to a tenth below the one
/// that was asked for: connections that were opened together must not all be
/// opened anew together.
pub fn jittered(ttl: Duration) -> Duration {
    // The keys of each new hasher are other ones, which is as much chance as is needed here.
    let chance = RandomState::new().build_hasher().finish() as u32;
    ttl - ttl.mul_f64(f64::from(chance) / f64::from(u32::MAX) / 10.0)
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::future::poll_fn;
    use std::rc::Rc;

    use tokio::task::LocalSet;

    use super::*;

    #[test]
    fn ages_differ_and_none_is_longer_than_asked_for() {
        let ttl = Duration::from_secs(1000);
        let ages: Vec<Duration> = (0..200).map(|_| jittered(ttl)).collect();
        let (least, most) = (*ages.iter().min().unwrap(), *ages.iter().max().unwrap());
        assert!(least >= ttl * 9 / 10 && most <= ttl, "{least:?} {most:?}");
        // 200 equal chances leave none of these gaps in any run that a human sees.
        assert!(least < ttl * 93 / 100 && most > ttl * 97 / 100, "{least:?} {most:?}");
        assert_eq!(jittered(Duration::ZERO), Duration::ZERO);
    }

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[tokio::test(start_paused = true)]
    async fn a_later_deadline_leaves_the_entry_and_an_earlier_one_moves_it() {
        let start = Instant::now();
        let mut deadlines = Deadlines::default();
        let mut entry = None;
        let id = ConnectionId(1);
        deadlines.arm(id, &mut entry, start + s(10));
        deadlines.arm(id, &mut entry, start + s(20));
        assert_eq!(entry, Some(Entry(start + s(10))));
        deadlines.arm(id, &mut entry, start + s(5));
        assert_eq!(poll_fn(|cx| deadlines.poll_expired(cx)).await, id);
        assert!(start.elapsed() >= s(5) && start.elapsed() < s(6));
        assert!(deadlines.queue.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn they_come_due_in_their_order_and_wake_for_nothing_else() {
        let start = Instant::now();
        let deadlines = Rc::new(RefCell::new(Deadlines::default()));
        let (seen, wakes) = (Rc::new(RefCell::new(Vec::new())), Rc::new(Cell::new(0)));
        let local = LocalSet::new();
        local.spawn_local({
            let (deadlines, seen, wakes) = (Rc::clone(&deadlines), Rc::clone(&seen), Rc::clone(&wakes));
            poll_fn::<(), _>(move |cx| {
                wakes.set(wakes.get() + 1);
                while let Poll::Ready(id) = deadlines.borrow_mut().poll_expired(cx) {
                    seen.borrow_mut().push((id.0, start.elapsed().as_secs()));
                }
                Poll::Pending
            })
        });
        let mut entries = [None; 4];
        let mut arm = |number: usize, at: u64| {
            let id = ConnectionId(number as u64);
            deadlines.borrow_mut().arm(id, &mut entries[number], start + s(at));
        };
        let until = |at| local.run_until(sleep_until(start + s(at)));
        until(1).await;
        assert_eq!(wakes.replace(0), 1);
        for (number, at) in [(0, 600), (1, 70), (2, 5000), (3, 70)] {
            arm(number, at);
        }
        until(2).await;
        assert_eq!(wakes.replace(0), 1, "one look for all of a tick");
        // As a connection is that is used now and then.
        for at in [650, 700] {
            arm(0, at);
        }
        until(69).await;
        assert_eq!(wakes.get(), 0);
        until(601).await;
        assert_eq!(*seen.borrow(), [(1, 70), (3, 70), (0, 600)]);
        assert_eq!(wakes.replace(0), 2);
        deadlines.borrow_mut().remove(ConnectionId(2), entries[2]);
        until(9000).await;
        assert_eq!((wakes.get(), seen.borrow().len()), (1, 3), "the timer of what is gone does not run on");
    }
}
