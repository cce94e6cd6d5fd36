//! What JavaScript asks and waits for. The runtime never waits for anything
//! but its sockets, so an answer is there within microseconds; who asks still
//! bounds its patience.

use super::Pool;
use super::lane::State;
use super::out_queue::OutQueue;
use crate::binding::records::LaneRef;
use crate::reply::Reply;

pub struct Ask {
    pub question: Question,
    pub reply: Reply<String>,
}

pub enum Question {
    /// The facts of a lane's connection, for a request that JavaScript is about to end. To ask is a part of that end:
    /// from the answer on nothing leaves of the request, nor of one with its epoch.
    Facts,
    /// Takes a request that waits back, if it has not been sent: the answer is nothing then, and else
    /// its facts.
    Withdraw,
    /// The status of an agent; the lane of the question means nothing.
    Stats { agent: u32 },
}

impl Pool {
    pub(super) fn answer(&mut self, slot: u32, epoch: u32, ask: Ask) {
        match ask.question {
            Question::Facts => {
                // If they are not heard, nothing was held back for them either; the CLOSE does it.
                ask.reply.give(|| {
                    self.hold_back(slot, epoch);
                    let lane = self.lanes.get(slot as usize).and_then(Option::as_ref);
                    let lane = lane.filter(|lane| lane.epoch == epoch);
                    lane.and_then(|lane| self.facts_of(lane)).unwrap_or_default()
                });
            }
            // If it is not heard that the request was taken back, it stays.
            Question::Withdraw => ask.reply.give(|| self.withdraw(slot, epoch).unwrap_or_default()),
            Question::Stats { agent } => ask.reply.give(|| self.stats(agent)),
        }
    }

    /// What has not left of a request that JavaScript is about to end never does: its CLOSE may come later
    /// than the answer, which says what has left.
    fn hold_back(&mut self, slot: u32, epoch: u32) {
        let request = LaneRef { slot, epoch };
        let was_waiting = self.waiting.discard(request);
        // Rows of it that could still be taken back come later: with which it begins, on this lane or on one that opens
        // with it, or with which it writes while it connects.
        if !was_waiting && self.lane(slot).is_none_or(|lane| lane.epoch != epoch) {
            self.waiting.refuse(request);
        }
        let Some(lane) = self.lane(slot) else { return };
        lane.ended = Some(epoch);
        if lane.epoch != epoch {
            return;
        }
        lane.pending = OutQueue::default();
        // The server takes what comes next for the rest of what is held back.
        lane.queue = None;
        if let State::Connecting { task, .. } = &lane.state {
            task.abort();
            lane.state = State::Lost;
        } else if let State::Resolving { .. } = lane.state {
            lane.state = State::Lost;
        }
        let id = lane.connection();
        if let Some(connection) = id.and_then(|id| self.connections.get_mut(id)) {
            connection.hold_back();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::task::LocalSet;
    use tokio::time::Instant;

    use super::super::test_pool::{LIMITS, TestPool, all_of};
    use super::*;
    use crate::binding::records::{op, op_flag};
    use crate::binding::submission::{Leave, Payload, Submission, When};
    use crate::error::CloseReason;
    use crate::exchange::Framing;
    use crate::reply::pair;

    const LEAVE: Leave = Leave { replayable: false, unacknowledged: false };
    const REPEATABLE: Leave = Leave { replayable: true, ..LEAVE };

    /// The facts of a request that is about to be ended.
    fn told(pool: &mut Pool, slot: u32, epoch: u32) -> String {
        let (reply, answer) = pair();
        pool.answer(slot, epoch, Ask { question: Question::Facts, reply });
        answer.wait(Duration::ZERO).unwrap()
    }

    #[tokio::test]
    async fn what_comes_of_a_request_behind_its_facts_does_not_begin_and_is_not_written() {
        let test = async {
            for has_begun in [false, true] {
                let mut test = TestPool::new(LIMITS);
                let (id, mut peer) = test.reuse(0).await;
                let mut pool = test.pool.borrow_mut();
                if has_begun {
                    pool.lease(LaneRef { slot: 0, epoch: 3 }, true, 0, 100);
                }
                assert_eq!(told(&mut pool, 0, 3).contains("bytesWritten\t0"), has_begun);

                let mut held = Submission::new();
                if !has_begun {
                    held.rows.extend([op::LEASE | op_flag::HTTP << 8, 0, 3, 0, 100]);
                }
                held.rows.extend([op::WRITE, 0, 3, 0, 7]);
                held.bytes.extend(b"request");
                held.rows.extend([op::CLOSE, 0, 3, CloseReason::Aborted as i32, 0]);
                pool.apply(&mut held).unwrap();
                assert_eq!(all_of(&mut peer), b"", "nothing but the end");
                assert!(pool.connections.get(id).is_none() && pool.lane(0).is_none());
            }
        };
        LocalSet::new().run_until(test).await;
    }

    #[tokio::test]
    async fn a_lane_that_opens_behind_the_facts_of_its_request_connects_to_nothing() {
        let test = async {
            let mut test = TestPool::new(LIMITS);
            // In slot 0 there is none yet, in slot 1 one that JavaScript has left.
            let (_, _peer) = test.reuse(1).await;
            for (slot, epoch) in [(0, 1), (1, 3)] {
                assert_eq!(told(&mut test.pool.borrow_mut(), slot, epoch), "");
                let slot = slot.cast_signed();
                test.submit(|held| {
                    held.rows.extend([op::CLOSE, slot, 2, CloseReason::NotKept as i32, 0]);
                    held.rows.extend([op::OPEN, slot, epoch.cast_signed(), TestPool::ROUTE.cast_signed(), 0]);
                    held.rows.extend([op::WRITE, slot, epoch.cast_signed(), 0, 7]);
                    held.bytes.extend(b"request");
                });
                assert!(test.pool.borrow_mut().lane(slot.cast_unsigned()).is_none(), "of slot {slot}");
                test.submit(|held| {
                    held.rows.extend([op::CLOSE, slot, epoch.cast_signed(), CloseReason::Aborted as i32, 0]);
                    held.rows.extend([op::OPEN, slot, 4, TestPool::ROUTE.cast_signed(), 0]);
                });
                let mut pool = test.pool.borrow_mut();
                assert!(pool.lane(slot.cast_unsigned()).is_some(), "the next one does, in slot {slot}");
                assert!(!pool.waiting.is_refused(LaneRef { slot: slot.cast_unsigned(), epoch }));
            }
        };
        LocalSet::new().run_until(test).await;
    }

    #[tokio::test]
    async fn a_request_that_waited_and_comes_behind_its_facts_is_not_written() {
        let test = async {
            let mut test = TestPool::new(LIMITS);
            let (id, mut peer) = test.reuse(0).await;
            let mut pool = test.pool.borrow_mut();
            assert_eq!(told(&mut pool, 1, 1), "");

            let mut held = Submission::new();
            held.rows.extend([op::WAIT, 1, 1, 7, 7]);
            held.bytes.extend(b"request");
            held.rows.extend([op::ATTACH, 1, 1, 0, 0]);
            pool.apply(&mut held).unwrap();
            let mut held = Submission::new();
            held.rows.extend([op::CLOSE, 1, 1, CloseReason::Aborted as i32, 0]);
            // The slot is another one's by then.
            held.rows.extend([op::WAIT, 1, 2, 7, 5]);
            held.bytes.extend(b"other");
            pool.apply(&mut held).unwrap();
            assert_eq!(all_of(&mut peer), b"", "nothing but the end");
            assert!(pool.connections.get(id).is_none() && pool.lane(0).is_none());
            assert!(pool.waiting.take(LaneRef { slot: 1, epoch: 2 }).is_some());
        };
        LocalSet::new().run_until(test).await;
    }

    #[tokio::test]
    async fn what_has_not_left_when_its_facts_are_told_never_does() {
        let test = async {
            let mut test = TestPool::new(LIMITS);
            let (id, _peer) = test.reuse(0).await;
            let (lost, _) = test.reuse(1).await;
            let mut pool = test.pool.borrow_mut();
            pool.write(0, Payload::Inline(b"request"), LEAVE, When::WithTick, 0);
            pool.drop_connection(lost, CloseReason::PeerClosedIdle);
            pool.set_state(1, State::Lost);
            pool.write(1, Payload::Inline(b"request"), LEAVE, When::Now, 0);
            assert!(matches!(pool.lane(1).unwrap().state, State::Connecting { .. }));

            for (slot, written) in [(0, true), (1, false)] {
                assert_eq!(told(&mut pool, slot, 2).contains("bytesWritten\t0"), written);
            }
            pool.apply(&mut Submission::new()).unwrap();
            assert!(pool.connections.get(id).unwrap().facts(Instant::now()).contains("bytesWritten\t0\n"));
            let lane = pool.lane(1).unwrap();
            assert!(matches!(lane.state, State::Lost));
            assert!(lane.pending.is_empty());
        };
        LocalSet::new().run_until(test).await;
    }

    #[tokio::test]
    async fn nothing_follows_on_its_connection_when_the_rest_of_a_request_is_held_back() {
        let test = async {
            for is_told in [false, true] {
                let mut test = TestPool::new(LIMITS);
                let (id, _peer) = test.reuse(0).await;
                let mut pool = test.pool.borrow_mut();
                pool.write(0, Payload::Inline(b"a body"), LEAVE, When::Now, 0);
                pool.connections
                    .get_mut(id)
                    .unwrap()
                    .out
                    .push(b", of which the kernel does not have the rest");
                pool.yield_to(0, 7);
                pool.waiting.add(LaneRef { slot: 1, epoch: 1 }, 7, b"next", LEAVE, false);
                if is_told {
                    told(&mut pool, 0, 2);
                } else {
                    // As if it had left.
                    pool.connections.get_mut(id).unwrap().out = OutQueue::default();
                }
                // The server answers before it has read all.
                let mut framing = Framing::new(false);
                framing.push(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
                pool.connections.get_mut(id).unwrap().framing = Some(framing);
                pool.pass_on(id);
                assert_eq!(pool.connections.get(id).unwrap().lane, u32::from(!is_told));
            }
        };
        LocalSet::new().run_until(test).await;
    }

    #[tokio::test]
    async fn what_is_lost_behind_its_facts_is_not_sent_again() {
        let test = async {
            for is_told in [false, true] {
                let mut test = TestPool::new(LIMITS);
                let (id, _peer) = test.reuse(0).await;
                let mut pool = test.pool.borrow_mut();
                pool.write(0, Payload::Inline(b"request"), REPEATABLE, When::Now, 0);
                if is_told {
                    assert!(told(&mut pool, 0, 2).contains("bytesWritten\t7"));
                }
                pool.connection_ended(id);
                let is_repeated = matches!(pool.lane(0).unwrap().state, State::Connecting { .. });
                assert_eq!(is_repeated, !is_told);
            }
        };
        LocalSet::new().run_until(test).await;
    }

    #[tokio::test]
    async fn nothing_is_held_back_for_who_does_not_wait_for_the_facts() {
        let test = async {
            let mut test = TestPool::new(LIMITS);
            let (_, mut peer) = test.reuse(0).await;
            let mut pool = test.pool.borrow_mut();
            pool.write(0, Payload::Inline(b"request"), LEAVE, When::WithTick, 0);
            let (reply, answer) = pair();
            assert_eq!(answer.wait(Duration::ZERO), None);
            pool.answer(0, 2, Ask { question: Question::Facts, reply });
            pool.apply(&mut Submission::new()).unwrap();
            assert_eq!(all_of(&mut peer), b"request");
        };
        LocalSet::new().run_until(test).await;
    }
}
