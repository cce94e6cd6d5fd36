//! Whether a timer of JavaScript's that has run out is right: in its loop timers come before what the network has
//! brought, so it asks for how long the connection has been quiet. Timers mostly run out in numbers, and all that were
//! asked about in a tick are answered in one batch, behind what has come before.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use super::Pool;
use crate::binding::records::{LaneRef, event};

/// Says of a lane that it has no connection.
const NO_CONNECTION: i32 = -1;

/// One question; its number is JavaScript's.
pub struct QuietAsked {
    lane: LaneRef,
    question: i32,
}

impl Pool {
    /// Of the lane as it is now.
    pub(super) fn ask_quiet(&mut self, lane: LaneRef, question: i32) {
        self.quiet_asked.push(QuietAsked { lane, question });
        if self.quiet_asked.len() == 1
            && let Some(pool) = self.handle()
        {
            tokio::task::spawn_local(Self::answer_quiet(pool));
        }
    }

    async fn answer_quiet(pool: Rc<RefCell<Self>>) {
        let asked = std::mem::take(&mut pool.borrow_mut().quiet_asked);
        // Connections whose bytes the kernel has already have their turn first.
        for _ in 0..2 {
            tokio::task::yield_now().await;
        }
        Self::attempt_or_break(&pool, |pool| {
            let now = Instant::now();
            for QuietAsked { lane, question } in asked {
                pool.tell_quiet(lane, question, now);
            }
        });
    }

    fn tell_quiet(&mut self, lane: LaneRef, question: i32, now: Instant) {
        // Another request has the lane: nobody asks any more.
        if self.lane_ref(lane.slot) != lane {
            return;
        }
        let id = self.lane(lane.slot).and_then(|lane| lane.connection());
        let quiet =
            id.and_then(|id| self.connections.get(id)).map(|connection| now - connection.quiet_since());
        self.report(
            event::QUIET,
            lane,
            quiet.map_or(NO_CONNECTION, whole_ms),
            question.to_string().as_bytes(),
        );
    }
}

/// Rounded up: a request leaves some microseconds after JavaScript has written it and set its timer.
fn whole_ms(time: Duration) -> i32 {
    i32::try_from(time.as_micros().div_ceil(1000)).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use tokio::task::LocalSet;

    use super::super::facts::Tally;
    use super::super::lane::State;
    use super::super::test_pool::{LIMITS, TestPool};
    use super::*;
    use crate::binding::records::{EVENT_WIDTH, op};
    use crate::error::CloseReason;

    const LONG: Duration = Duration::from_secs(5);

    #[tokio::test]
    async fn all_that_were_asked_about_are_answered_in_one_batch_behind_what_has_come() {
        let test = async {
            let mut test = TestPool::new(LIMITS);
            let (spoke, mut peer) = test.reuse(0).await;
            let (silent, _peer) = test.reuse(1).await;
            let (written, _peer) = test.reuse(4).await;
            for id in [spoke, silent, written] {
                let mut pool = test.pool.borrow_mut();
                let connection = pool.connections.get_mut(id).unwrap();
                let before = Instant::now() - LONG;
                connection.last_read = before;
                connection.tally = Tally::new(before);
            }
            test.submit(|held| {
                held.rows.extend([op::WRITE, 0, 2, 0, 7, op::WRITE, 4, 2, 0, 7]);
                held.bytes.extend(b"requestrequest");
            });
            // One that is lost, and one that is gone by then.
            test.reuse(2).await;
            test.reuse(3).await;
            test.pool.borrow_mut().set_state(2, State::Lost);

            peer.write_all(b"HTTP/1.1 200 OK\r\n").unwrap();
            test.submit(|held| {
                for slot in 0..5 {
                    held.rows.extend([op::ASK_QUIET, slot, 2, 70 + slot, 0]);
                }
                held.rows.extend([op::CLOSE, 3, 2, CloseReason::Aborted as i32, 0]);
            });
            test.until(|test| test.batch.rows.chunks(EVENT_WIDTH).any(|row| row[0] == event::QUIET)).await;
            let rows: Vec<_> =
                test.batch.rows.chunks(EVENT_WIDTH).map(|row| (row[0], row[1], row[3])).collect();
            let long = i32::try_from(LONG.as_millis()).unwrap();
            assert!(
                matches!(rows[..], [
                    (event::QUIET, 0, moved),
                    (event::QUIET, 1, quiet),
                    (event::QUIET, 2, NO_CONNECTION),
                    (event::QUIET, 4, left),
                ] if moved < long && quiet >= long && left < long),
                "{rows:?}"
            );
            assert_eq!(test.batch.bytes, b"70717274");
            assert!(test.received > 0, "what has come is handed over before");
        };
        LocalSet::new().run_until(test).await;
    }
}
