//! What a bug of ours costs: a panic one request, or, where what it leaves cannot be told, those of one environment.
//! Never a request that hangs: whatever JavaScript waits for is ended with an error that says so. A panic is printed by
//! Rust, to stderr.

use std::cell::RefCell;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

use tracing::error;

use super::Pool;
use super::connection::ConnectionId;
use super::lane::{LossReport, State};
use super::requests::Cold;
use crate::binding::blob::Blob;
use crate::binding::records::{LaneRef, event};
use crate::binding::submission::{Malformed, Submission};
use crate::error::CloseReason;

const PANICKED: &str = "its native thread panicked";
const DISAGREE: &str = "its two halves disagree about the records between them";

/// Does what the future does; none if that panics.
pub async fn caught<T>(work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    poll_fn(|cx| {
        let polled = catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx)));
        polled.map_or(Poll::Ready(None), |polled| polled.map(Some))
    })
    .await
}

impl Pool {
    /// Does a part of the work; none if that panics, and then who waits for it has to be told.
    pub fn attempt<T>(pool: &RefCell<Self>, work: impl FnOnce(&mut Self) -> T) -> Option<T> {
        catch_unwind(AssertUnwindSafe(|| work(&mut pool.borrow_mut()))).ok()
    }

    /// The same for work that is not for one request.
    pub(super) fn attempt_or_break<T>(pool: &RefCell<Self>, work: impl FnOnce(&mut Self) -> T) -> Option<T> {
        let done = Self::attempt(pool, work);
        if done.is_none() {
            Self::break_off(pool, PANICKED);
        }
        done
    }

    /// Applies the rows of a tick. If that goes wrong the rest of them is lost, and with it nobody knows what.
    pub fn apply_or_break(pool: &RefCell<Self>, submission: &mut Submission<Cold, Blob>) {
        let why = match Self::attempt(pool, |pool| pool.apply(submission)) {
            Some(Ok(())) => return,
            Some(Err(Malformed)) => DISAGREE,
            None => PANICKED,
        };
        Self::attempt(pool, |pool| {
            pool.early.clear();
            // JavaScript tells a route once.
            for cold in submission.cold.drain(..).flatten() {
                if let Cold::Introduce { number, route, forgotten } = cold {
                    pool.routes.introduce(number, *route, forgotten);
                }
            }
        });
        Self::break_off(pool, why);
    }

    /// Ends all that is under way. JavaScript hears of it first: it ends all that it has, before it has anything new.
    /// What is known of each request stays here until JavaScript closes it, and is asked for.
    fn break_off(pool: &RefCell<Self>, why: &'static str) {
        error!(why, "a bug: all requests of this environment fail");
        let lanes = Self::attempt(pool, |pool| {
            pool.report(event::BROKEN, LaneRef { slot: u32::MAX, epoch: 0 }, 0, why.as_bytes());
            pool.lanes.len()
        });
        for slot in 0..lanes.unwrap_or_default() as u32 {
            Self::attempt(pool, |pool| pool.fail_lane(slot));
        }
    }

    /// The work on a connection has panicked.
    pub(super) fn fail_connection(pool: &RefCell<Self>, id: ConnectionId) {
        error!(connection = %id, "a bug: the work on it panicked");
        Self::attempt_or_break(pool, |pool| {
            if pool.connections.get(id).is_some() {
                pool.end_faulty(id);
                return;
            }
            // It was on its way out.
            let has_it = |lane: &Option<super::lane::Lane>| {
                lane.as_ref().is_some_and(|lane| lane.connection() == Some(id))
            };
            if let Some(slot) = pool.lanes.iter().position(has_it) {
                pool.fail_lane(slot as u32);
            }
        });
    }

    /// Ends what the lane is in the middle of, and tells JavaScript.
    pub(super) fn fail_lane(&mut self, slot: u32) {
        let Some(lane) = self.lane(slot) else { return };
        if let Some(id) = lane.connection()
            && self.connections.get(id).is_some()
        {
            self.end_faulty(id);
            return;
        }
        let Some(lane) = self.lane(slot) else { return };
        match &lane.state {
            State::Connecting { task, .. } => task.abort(),
            // JavaScript has been told something else already, and is about to act.
            State::Failed | State::Refused => return,
            State::Resolving { .. }
            | State::Gated(..)
            | State::Unpassed(_)
            | State::Bound(_)
            | State::Lost => {}
        }
        lane.state = State::Failed;
        let facts = format!("reason\t{}", CloseReason::InternalError as i32);
        lane.loss = Some(facts.clone());
        self.tell_loss(slot, LossReport::Bug, &facts);
    }

    fn end_faulty(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get(id) else { return };
        let (slot, is_parked) = (connection.lane, connection.parked.is_some());
        if is_parked {
            self.lose_parked(id, CloseReason::InternalError);
        } else {
            self.report_loss(id, slot, LossReport::Bug);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, RawWaker, RawWakerVTable, Waker};

    use tokio::task::LocalSet;

    use super::super::test_pool::{LIMITS, TestPool};
    use super::*;
    use crate::binding::records::{event, op};
    use crate::pool::Route;

    /// What the pool reports of itself next: head, slot, epoch and argument of each row.
    async fn reports(test: &mut TestPool, until: i32) -> Vec<[i32; 4]> {
        test.until(|test| test.batch.rows.chunks(5).any(|row| row[0] == until)).await;
        test.batch.rows.chunks(5).map(|row| [row[0], row[1], row[2], row[3]]).collect()
    }

    #[tokio::test]
    async fn a_panic_of_a_future_is_no_more_than_its_result() {
        assert_eq!(caught(async { 1 }).await, Some(1));
        let panics = async {
            tokio::task::yield_now().await;
            panic!("as if by a bug");
        };
        assert_eq!(caught(panics).await, None::<()>);
    }

    /// A waker that panics as soon as it is kept: what is polled with it does.
    fn panicking() -> Waker {
        const TABLE: RawWakerVTable =
            RawWakerVTable::new(|_| panic!("as if by a bug"), |_| {}, |_| {}, |_| {});
        // SAFETY: the functions do nothing with the data.
        unsafe { Waker::from_raw(RawWaker::new(std::ptr::null(), &TABLE)) }
    }

    #[tokio::test]
    async fn a_panic_of_a_connection_costs_its_request_alone() {
        let run = async {
            let mut test = TestPool::new(LIMITS);
            let (id, _server) = test.reuse(0).await;
            let (_, _other) = test.reuse(1).await;
            test.pool.borrow_mut().connections.get_mut(id).unwrap().waker = None;
            let task = Pool::serve(std::rc::Rc::downgrade(&test.pool), id);
            let waker = panicking();
            assert!(Pin::new(&mut Box::pin(task)).poll(&mut Context::from_waker(&waker)).is_ready());
            assert_eq!(reports(&mut test, event::ERROR).await, [[event::ERROR, 0, 2, 0]]);
            let text = String::from_utf8(test.batch.bytes.clone()).unwrap();
            assert!(text.contains("panicked\nreason\t22\n"), "{text}");
            let mut pool = test.pool.borrow_mut();
            assert!(pool.connections.get(id).is_none());
            assert!(pool.lane(1).and_then(|lane| lane.connection()).is_some());
        };
        LocalSet::new().run_until(run).await;
    }

    #[tokio::test]
    async fn a_panic_of_what_serves_all_ends_all() {
        let run = async {
            let mut test = TestPool::new(LIMITS);
            let (id, _server) = test.reuse(0).await;
            assert_eq!(Pool::attempt_or_break(&test.pool, |_| panic!("as if by a bug")), None::<()>);
            let broken = [[event::BROKEN, -1, 0, 0], [event::ERROR, 0, 2, 0]];
            assert_eq!(reports(&mut test, event::BROKEN).await, broken);
            assert!(test.pool.borrow().connections.get(id).is_none());
        };
        LocalSet::new().run_until(run).await;
    }

    #[tokio::test]
    async fn rows_that_make_no_sense_end_all_but_what_was_told_of_routes() {
        let run = async {
            let mut test = TestPool::new(LIMITS);
            let (_, _server) = test.reuse(0).await;
            let mut submission = Submission::new();
            submission.rows.extend([0x7f, 0, 0, 0, 0]);
            let (destination, limits) = test.pool.borrow().routes.find(1, 0).unwrap();
            let route = Box::new(Route { destination: (*destination).clone(), limits });
            submission.push_cold(0, 0, Cold::Introduce { number: 7, route, forgotten: None });
            submission.rows.extend([op::OPEN, 1, 1, 7, 0]);
            Pool::apply_or_break(&test.pool, &mut submission);
            assert!(reports(&mut test, event::BROKEN).await.contains(&[event::BROKEN, -1, 0, 0]));
            assert!(test.pool.borrow().routes.find(7, 0).is_some());
            assert!(test.pool.borrow_mut().lane(1).is_none());
        };
        LocalSet::new().run_until(run).await;
    }

    #[tokio::test]
    async fn a_lane_whose_connect_panicked_is_told() {
        let run = async {
            let mut test = TestPool::new(LIMITS);
            test.submit(|submission| submission.rows.extend([op::OPEN, 0, 1, 1, 0]));
            test.pool.borrow_mut().fail_lane(0);
            assert!(reports(&mut test, event::ERROR).await.contains(&[event::ERROR, 0, 1, 0]));
        };
        LocalSet::new().run_until(run).await;
    }

    #[tokio::test]
    async fn a_route_that_nobody_knows_is_an_error() {
        let run = async {
            let mut test = TestPool::new(LIMITS);
            test.submit(|submission| submission.rows.extend([op::OPEN, 0, 1, 99, 0]));
            assert_eq!(reports(&mut test, event::ERROR).await, [[event::ERROR, 0, 1, 0]]);
        };
        LocalSet::new().run_until(run).await;
    }
}
