//! Requests that wait for a lane, and go on while JavaScript blocks.
//!
//! Node's agent has the queue: when a response ends, it gives the lane to the
//! next request. That needs JavaScript. So JavaScript hands over here what its
//! queue begins with, and says which lanes serve it. When such a lane's exchange
//! is over and JavaScript is blocked (`blocked`), the connection passes on
//! (`passing_on`).
//!
//! Nothing is taken for granted of what Node will do. A request is answered from
//! its own slot, whichever lane it is given, or none.

use std::collections::{HashMap, VecDeque};

use super::Pool;
use super::facts::UNKNOWN;
use super::lane::State;
use super::out_queue::OutQueue;
use crate::binding::records::LaneRef;
use crate::binding::submission::{Leave, Payload, When};
use crate::error::CloseReason;

/// The memory of so many requests is kept for the next ones, of no more bytes each.
const MAX_SPARE: usize = 64;
const MAX_SPARE_SIZE: usize = 4096;

/// What has been handed over of JavaScript's queues.
#[derive(Default)]
pub struct Waiting {
    requests: HashMap<u32, Request>,
    /// In the order of JavaScript's.
    queues: HashMap<u32, VecDeque<LaneRef>>,
    /// Taken back before they came, until JavaScript closes them: its question goes before what its tick has sent
    /// early, and that may come while JavaScript does not get the processor to say more.
    withdrawn: Vec<LaneRef>,
    /// The memory of those that have gone, for the next ones.
    spare: Vec<Vec<u8>>,
    spare_queue: VecDeque<LaneRef>,
}

pub struct Request {
    epoch: u32,
    pub bytes: Vec<u8>,
    pub leave: Leave,
    queue: u32,
    /// The connection serves no other behind it.
    last: bool,
}

impl Waiting {
    pub fn add(&mut self, waiting: LaneRef, queue: u32, bytes: &[u8], leave: Leave, last: bool) {
        if self.is_refused(waiting) {
            return;
        }
        let LaneRef { slot, epoch } = waiting;
        let mut kept = self.spare.pop().unwrap_or_default();
        kept.extend_from_slice(bytes);
        self.requests.insert(slot, Request { epoch, bytes: kept, leave, queue, last });
        let spare = &mut self.spare_queue;
        self.queues.entry(queue).or_insert_with(|| std::mem::take(spare)).push_back(waiting);
    }

    /// Takes a request out, if it is there.
    pub fn take(&mut self, waiting: LaneRef) -> Option<Request> {
        self.requests.get(&waiting.slot).filter(|request| request.epoch == waiting.epoch)?;
        let request = self.requests.remove(&waiting.slot)?;
        let queue = self.queues.get_mut(&request.queue)?;
        if queue.front() == Some(&waiting) {
            queue.pop_front();
        } else {
            queue.retain(|other| *other != waiting);
        }
        if queue.is_empty() {
            self.spare_queue = self.queues.remove(&request.queue).unwrap_or_default();
        }
        Some(request)
    }

    /// It is not needed any more.
    pub fn forget(&mut self, request: Request) {
        let mut bytes = request.bytes;
        if bytes.capacity() <= MAX_SPARE_SIZE && self.spare.len() < MAX_SPARE {
            // It may be a secret.
            bytes.fill(0);
            bytes.clear();
            self.spare.push(bytes);
        }
    }

    /// Takes a request out for good. Whether it was there.
    pub fn discard(&mut self, waiting: LaneRef) -> bool {
        self.take(waiting).map(|request| self.forget(request)).is_some()
    }

    /// It has not come yet. When it does it does not wait.
    pub fn refuse(&mut self, waiting: LaneRef) {
        self.withdrawn.push(waiting);
    }

    pub fn is_refused(&self, waiting: LaneRef) -> bool {
        self.withdrawn.contains(&waiting)
    }

    /// JavaScript gives a request up, and speaks no more of it.
    pub fn close(&mut self, waiting: LaneRef) {
        self.withdrawn.retain(|other| *other != waiting);
        self.discard(waiting);
    }

    pub fn has_next(&self, queue: u32) -> bool {
        self.queues.contains_key(&queue)
    }

    pub fn next(&mut self, queue: u32) -> Option<(LaneRef, Request)> {
        let first = *self.queues.get(&queue)?.front()?;
        Some((first, self.take(first)?))
    }
}

impl Request {
    /// The queue that the connection serves behind it.
    pub fn next(&self) -> Option<u32> {
        (!self.last).then_some(self.queue)
    }
}

impl Pool {
    /// A request is handed over.
    pub(super) fn wait(&mut self, waiting: LaneRef, queue: u32, bytes: &[u8], leave: Leave, last: bool) {
        self.waiting.add(waiting, queue, bytes, leave, last);
        // A connection may have been ready for it before it came.
        self.finished.begin_looking();
    }

    /// Node has given a lane to a request that waits here, or has been sent from here. The lane, whose slot was
    /// `from`, is in this one from now on.
    pub(super) fn attach(&mut self, slot: u32, epoch: u32, from: u32, received: u32) {
        let waiting = LaneRef { slot, epoch };
        let Some(request) = self.waiting.take(waiting) else {
            // It has a connection of its own, or had one.
            self.give_in_return(slot, from, received);
            self.close_lane(from, false, CloseReason::NotKept);
            return;
        };
        let Some(mut lane) = self.lanes.get_mut(from as usize).and_then(Option::take) else { return };
        match std::mem::replace(&mut lane.state, State::Lost) {
            State::Bound(id) => {
                if let Some(connection) = self.connections.get_mut(id) {
                    connection.lane = slot;
                    lane.state = State::Bound(id);
                }
            }
            State::Connecting { task, .. } => task.abort(),
            State::Gated(id, _) => self.drop_connection(id, CloseReason::NotKept),
            State::Resolving { .. } | State::Unpassed(_) | State::Lost | State::Refused | State::Failed => {}
        }
        lane.pending = OutQueue::default();
        lane.fin_wanted = false;
        self.put_lane(slot, lane);
        self.take_up(waiting, false, true, received, request.bytes.len() as u32);
        if let Some(lane) = self.lane(slot) {
            lane.queue = request.next();
        }
        // A listener for 'socket' may still destroy it in this tick.
        self.write(slot, Payload::Inline(&request.bytes), request.leave, When::WithTick, 0);
        self.waiting.forget(request);
    }

    /// Takes a request back: nothing. Or it has been sent, and these are its facts.
    pub(super) fn withdraw(&mut self, slot: u32, epoch: u32) -> Option<String> {
        let waiting = LaneRef { slot, epoch };
        if self.waiting.discard(waiting) {
            return None;
        }
        let lane = self.lanes.get(slot as usize).and_then(Option::as_ref);
        let Some(lane) = lane.filter(|lane| lane.epoch == epoch) else {
            self.waiting.refuse(waiting);
            return None;
        };
        Some(self.facts_of(lane).unwrap_or_else(|| String::from(UNKNOWN)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::task::LocalSet;

    use super::super::test_pool::{LIMITS, TestPool};
    use super::super::{Ask, Question};
    use super::*;
    use crate::binding::link::Link;
    use crate::binding::records::op;
    use crate::reply;

    const LEAVE: Leave = Leave { replayable: true, unacknowledged: false };

    fn waiting(slots: &[u32]) -> Waiting {
        let mut waiting = Waiting::default();
        for &slot in slots {
            waiting.add(LaneRef { slot, epoch: 1 }, 7, &[slot as u8], LEAVE, false);
        }
        waiting
    }

    fn slots(waiting: &mut Waiting, queue: u32) -> Vec<u32> {
        std::iter::from_fn(|| waiting.next(queue)).map(|(next, _)| next.slot).collect()
    }

    #[test]
    fn requests_leave_a_queue_in_the_order_in_which_they_came() {
        let mut waiting = waiting(&[3, 1, 2]);
        waiting.add(LaneRef { slot: 9, epoch: 4 }, 8, b"x", LEAVE, true);
        assert_eq!(slots(&mut waiting, 7), [3, 1, 2]);
        let (next, request) = waiting.next(8).unwrap();
        assert_eq!(
            (next, request.bytes.as_slice(), request.next()),
            (LaneRef { slot: 9, epoch: 4 }, &b"x"[..], None)
        );
        assert!(waiting.requests.is_empty() && waiting.queues.is_empty());
    }

    #[test]
    fn what_is_taken_back_is_gone_and_nothing_is_kept_of_it() {
        let mut waiting = waiting(&[3, 1, 2]);
        assert!(waiting.take(LaneRef { slot: 1, epoch: 2 }).is_none());
        assert!(waiting.take(LaneRef { slot: 1, epoch: 1 }).is_some());
        assert!(waiting.take(LaneRef { slot: 1, epoch: 1 }).is_none());
        // The slot may be given away again.
        waiting.add(LaneRef { slot: 1, epoch: 2 }, 7, b"", LEAVE, false);
        assert_eq!(slots(&mut waiting, 7), [3, 2, 1]);
        assert!(waiting.requests.is_empty() && waiting.queues.is_empty());
    }

    #[test]
    fn what_is_taken_back_before_it_comes_does_not_wait() {
        let mut waiting = waiting(&[3]);
        let early = LaneRef { slot: 1, epoch: 4 };
        waiting.refuse(early);
        waiting.add(early, 7, b"x", LEAVE, false);
        waiting.close(early);
        assert_eq!(slots(&mut waiting, 7), [3]);
        assert!(!waiting.is_refused(early));
    }

    #[tokio::test]
    async fn what_a_lane_had_for_a_connection_to_come_is_not_sent_for_a_request_that_gets_it() {
        let test = async {
            let mut test = TestPool::new(LIMITS);
            let (lost, _) = test.reuse(0).await;
            test.pool.borrow_mut().drop_connection(lost, CloseReason::PeerClosedIdle);
            test.pool.borrow_mut().set_state(0, State::Lost);
            test.submit(|submission| {
                submission.rows.extend([op::WRITE, 0, 2, 0, 3]);
                submission.bytes.extend(b"old");
                submission.rows.extend([op::WAIT, 5, 1, 7, 7]);
                submission.bytes.extend(b"request");
                submission.rows.extend([op::ATTACH, 5, 1, 0, 0]);
            });
            let mut pool = test.pool.borrow_mut();
            assert_eq!(pool.lane(5).unwrap().pending.len(), 7);
        };
        LocalSet::new().run_until(test).await;
    }

    #[tokio::test]
    async fn what_is_taken_back_when_nobody_waits_to_hear_so_stays() {
        let test = async {
            let pool = Pool::start(Arc::new(Link::new()));
            let mut pool = pool.borrow_mut();
            pool.waiting = waiting(&[3, 1]);
            // One that waits, and one that has yet to come.
            for slot in [3, 8] {
                let (reply, answer) = reply::pair();
                assert_eq!(answer.wait(Duration::ZERO), None);
                pool.answer(slot, 1, Ask { question: Question::Withdraw, reply });
            }
            pool.waiting.add(LaneRef { slot: 8, epoch: 1 }, 7, b"", LEAVE, false);
            assert_eq!(slots(&mut pool.waiting, 7), [3, 1, 8]);

            pool.waiting = waiting(&[3, 1]);
            let (reply, answer) = reply::pair();
            pool.answer(3, 1, Ask { question: Question::Withdraw, reply });
            assert_eq!(answer.wait(Duration::ZERO).as_deref(), Some(""));
            assert_eq!(slots(&mut pool.waiting, 7), [1]);
        };
        LocalSet::new().run_until(test).await;
    }
}
