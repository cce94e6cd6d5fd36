//! Requests that wait for a lane, and go on while JavaScript blocks.
//!
//! Node's agent has the queue: when a response ends, it gives the lane to the
//! next request. That needs JavaScript. So JavaScript hands over here what its
//! queue begins with, and says which lanes serve it. When such a lane's exchange
//! is over and JavaScript is blocked, the connection passes on: the lane keeps
//! what was read, and the request that waits gets a lane of its own here, in its
//! own slot, which JavaScript's lane moves into when Node gives it the request.
//!
//! Nothing is taken for granted of what Node will do. A request is answered from
//! its own slot, whichever lane it is given, or none. A connection passes on only
//! while the end of its exchange still waits for JavaScript: once JavaScript has
//! taken that, it may have other plans with the lane (it may have paused the
//! response). It may take it in the very moment in which the connection passes on.
//! Then the request goes on as one that was sent, and has its lane a little later.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::debug;

use super::Pool;
use super::connection::ConnectionId;
use super::lane::{Lane, PassedOn, State};
use super::status::add;
use crate::binding::records::{LaneRef, event};
use crate::binding::submission::{Leave, Payload};
use crate::error::CloseReason;
use crate::exchange::{Framing, Hint, Progress};

/// For so long JavaScript has computed without taking what waits for it, when it is called blocked.
const BUSY: Duration = Duration::from_millis(3);
/// How often it is looked at.
const PAUSE: Duration = Duration::from_millis(3);
/// JavaScript may be blocked without computing, and a thread that waits for a processor may look like that.
const MAX_PATIENCE: Duration = Duration::from_millis(100);

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
    /// Connections whose exchange is over, and whose lane serves a queue.
    finished: Vec<ConnectionId>,
    begins: Rc<Notify>,
    /// The memory of those that have gone, for the next ones.
    spare: Vec<Vec<u8>>,
    spare_queue: VecDeque<LaneRef>,
    /// JavaScript was found to be blocked when this was the last delivery that it had taken.
    blocked_at: Option<u64>,
}

pub struct Request {
    epoch: u32,
    bytes: Vec<u8>,
    leave: Leave,
    queue: u32,
    /// The connection serves no other behind it.
    last: bool,
}

/// One look at JavaScript.
struct Look {
    taken: u64,
    at: Instant,
    computed: Option<Duration>,
}

impl Waiting {
    pub fn add(&mut self, waiting: LaneRef, queue: u32, bytes: &[u8], leave: Leave, last: bool) {
        if self.withdrawn.contains(&waiting) {
            return;
        }
        let LaneRef { slot, epoch } = waiting;
        let mut kept = self.spare.pop().unwrap_or_default();
        kept.extend_from_slice(bytes);
        self.requests.insert(slot, Request { epoch, bytes: kept, leave, queue, last });
        let spare = &mut self.spare_queue;
        self.queues.entry(queue).or_insert_with(|| std::mem::take(spare)).push_back(waiting);
        // A connection may have been ready for it before it came.
        if !self.finished.is_empty() {
            self.begins.notify_one();
        }
    }

    /// The connection may pass on.
    fn finish(&mut self, id: ConnectionId) {
        if !self.finished.contains(&id) {
            self.finished.push(id);
        }
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

    /// JavaScript gives a request up. Whether it has not been sent.
    pub fn close(&mut self, waiting: LaneRef) -> bool {
        let before = self.withdrawn.len();
        self.withdrawn.retain(|other| *other != waiting);
        let taken = self.take(waiting).map(|request| self.forget(request));
        self.withdrawn.len() < before || taken.is_some()
    }

    fn has_next(&self, queue: u32) -> bool {
        self.queues.contains_key(&queue)
    }

    fn next(&mut self, queue: u32) -> Option<(LaneRef, Request)> {
        let first = *self.queues.get(&queue)?.front()?;
        Some((first, self.take(first)?))
    }
}

impl Request {
    /// The queue that the connection serves behind it.
    fn next(&self) -> Option<u32> {
        (!self.last).then_some(self.queue)
    }
}

impl Look {
    /// Whether JavaScript has computed since then, or slept for too long.
    fn is_overdue(&self, now: Instant, computed: Option<Duration>) -> bool {
        let is_busy = match (self.computed, computed) {
            (Some(before), Some(after)) => after.saturating_sub(before) >= BUSY,
            _ => true,
        };
        now - self.at >= if is_busy { BUSY } else { MAX_PATIENCE }
    }
}

impl Pool {
    /// The task that looks whether JavaScript is blocked, while a connection could pass on.
    pub(super) async fn waiting_watch(pool: Rc<RefCell<Self>>) {
        let begins = Rc::clone(&pool.borrow().waiting.begins);
        loop {
            begins.notified().await;
            let mut look = None;
            while pool.borrow_mut().look_for_block(&mut look) {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// Whether to look again.
    fn look_for_block(&mut self, look: &mut Option<Look>) -> bool {
        let taken = self.link.taken();
        let connections = &self.connections;
        self.waiting.finished.retain(|&id| {
            connections.get(id).is_some_and(|one| one.finished_in.is_some_and(|delivery| delivery > taken))
        });
        if self.waiting.finished.is_empty() {
            return false;
        }
        if self.waiting.blocked_at != Some(taken) {
            let (now, computed) = (Instant::now(), self.link.computed());
            match look {
                Some(look) if look.taken == taken => {
                    if !look.is_overdue(now, computed) {
                        return true;
                    }
                }
                _ => {
                    *look = Some(Look { taken, at: now, computed });
                    return true;
                }
            }
            self.waiting.blocked_at = Some(taken);
        }
        // What these are answered passes on at once.
        for id in std::mem::take(&mut self.waiting.finished) {
            self.pass_on(id);
        }
        false
    }

    /// Reads on in the response of which these bytes have come. Whether it is over, and a queue waits for that.
    pub(super) fn follow(&mut self, id: ConnectionId, bytes: &[u8], is_first: bool) -> bool {
        let Some(connection) = self.connections.get_mut(id) else { return false };
        let lane = self.lanes.get(connection.lane as usize).and_then(Option::as_ref);
        let Some(lane) = lane else { return false };
        if is_first
            && (lane.queue.is_some() || lane.limits.queues)
            && let Some(is_head) = lane.is_head
        {
            connection.framing = Some(Framing::new(is_head));
        }
        let Some(framing) = &mut connection.framing else { return false };
        connection.finished_in = None;
        match framing.push(bytes) {
            Progress::Complete(_) => connection.finished_in = Some(self.delivery),
            Progress::Incomplete => {}
            Progress::Unclear => connection.framing = None,
        }
        connection.finished_in.is_some() && lane.queue.is_some()
    }

    /// The connection may pass on, now or when JavaScript is found to be blocked.
    pub(super) fn exchange_over(&mut self, id: ConnectionId) {
        if self.waiting.blocked_at == Some(self.link.taken()) {
            self.pass_on(id);
        } else {
            self.waiting.finish(id);
            self.waiting.begins.notify_one();
        }
    }

    /// The request on the lane is whole.
    pub(super) fn yield_to(&mut self, slot: u32, queue: u32) {
        let Some(lane) = self.lane(slot) else { return };
        lane.queue = Some(queue);
        let Some(id) = lane.connection() else { return };
        if self.connections.get(id).is_some_and(|connection| connection.finished_in.is_some()) {
            self.exchange_over(id);
        }
    }

    /// Gives the connection to the next request that waits, if both messages are over and it may serve another.
    fn pass_on(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        let from = connection.lane;
        let Some(lane) = self.lanes.get_mut(from as usize).and_then(Option::as_mut) else { return };
        let (Some(queue), State::Bound(_)) = (lane.queue, &lane.state) else { return };
        let Some(Progress::Complete(end)) = connection.framing.as_ref().map(Framing::progress) else {
            return;
        };
        let Hint { timeout, max } = end.hint;
        let left = connection.requests_left.map(|left| left.saturating_sub(1));
        let left = [left, max].into_iter().flatten().min();
        let now = Instant::now();
        let may_serve = end.keep_alive
            && left != Some(0)
            && timeout != Some(Duration::ZERO)
            && connection.out.is_empty()
            && lane.pending.is_empty()
            && lane.buffered.room() > 0
            && !connection.is_overdue(now);
        if !may_serve {
            return;
        }
        if !self.waiting.has_next(queue) {
            self.waiting.finish(id);
            return;
        }
        // System calls, which would be between the last look and the write.
        let (facts, addresses) = (connection.facts(now), connection.address_text());
        if connection.last_look(now).is_some() {
            return;
        }
        let Some((to, request)) = self.waiting.next(queue) else { return };

        let mut successor = lane.successor(to.epoch, request.bytes.len());
        successor.queue = request.next();
        successor.allow(request.leave);
        successor.keep(request.leave);
        successor.state = State::Bound(id);
        lane.state = State::Lost;
        lane.queue = None;
        lane.replay.forget();
        lane.passed_on = Some(PassedOn { facts, _unread: connection.window.set_aside() });
        let origin = LaneRef { slot: from, epoch: lane.epoch };
        connection.lane = to.slot;
        connection.requests_left = left;
        connection.begin_exchange(now);
        connection.wake();
        add(&successor.counts.requests);
        add(&successor.counts.ahead);
        debug!(connection = %id, lane = to.slot, "passed on to a request that waits");
        self.put_lane(to.slot, successor);
        let text = format!("{}\n{addresses}", origin.epoch);
        self.report(event::AHEAD, to, origin.slot.cast_signed(), text.as_bytes());
        self.report_secured(to.slot, id, 0);
        let payload = Payload::Inline(&request.bytes);
        self.keep_output(to.slot, &payload);
        self.put_out(to.slot, payload, false, 0);
        self.waiting.forget(request);
    }

    /// Node has given a lane to a request that waits here, or has been sent from here. The lane, whose slot was
    /// `from`, is in this one from now on.
    pub(super) fn attach(&mut self, slot: u32, epoch: u32, from: u32, received: u32) {
        let Some(request) = self.waiting.take(LaneRef { slot, epoch }) else {
            // It has a connection of its own, or had one: what the lane had is in nobody's hands.
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
        lane.pending = super::out_queue::OutQueue::default();
        lane.fin_wanted = false;
        self.put_lane(slot, lane);
        self.lease(slot, epoch, true, received, request.bytes.len() as u32);
        if let Some(lane) = self.lane(slot) {
            lane.queue = request.next();
        }
        // A listener for 'socket' may still destroy it in this tick.
        self.write(slot, Payload::Inline(&request.bytes), request.leave, true, 0);
        self.waiting.forget(request);
    }

    /// Takes a request back: nothing. Or it has been sent, and these are its facts.
    pub(super) fn withdraw(&mut self, slot: u32, epoch: u32) -> Option<String> {
        let waiting = LaneRef { slot, epoch };
        if let Some(request) = self.waiting.take(waiting) {
            self.waiting.forget(request);
            return None;
        }
        let lane = self.lanes.get(slot as usize).and_then(Option::as_ref);
        let Some(lane) = lane.filter(|lane| lane.epoch == epoch) else {
            self.waiting.withdrawn.push(waiting);
            return None;
        };
        Some(self.facts_of(lane).unwrap_or_else(|| String::from("bytesRead\t0")))
    }

    /// The facts of a lane's connection, or of the one that it had, if that is the one on which its request was sent.
    pub(super) fn facts_of(&self, lane: &Lane) -> Option<String> {
        let id = lane.connection().filter(|_| lane.sent || !lane.retried);
        let connection = id.and_then(|id| self.connections.get(id));
        let passed_on = || lane.passed_on.as_ref().map(|passed_on| passed_on.facts.clone());
        let lost = || lane.loss.clone();
        connection.map(|connection| connection.facts(Instant::now())).or_else(passed_on).or_else(lost)
    }

    pub(super) fn put_lane(&mut self, slot: u32, lane: Lane) {
        let at = slot as usize;
        if self.lanes.len() <= at {
            self.lanes.resize_with(at + 1, || None);
        }
        self.lanes[at] = Some(lane);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::task::LocalSet;

    use super::super::writing::tests::with_lane;
    use super::super::{Ask, Question};
    use super::*;
    use crate::allocations;
    use crate::binding::link::Link;
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
        waiting.withdrawn.push(early);
        waiting.add(early, 7, b"x", LEAVE, false);
        assert!(waiting.close(early));
        assert_eq!(slots(&mut waiting, 7), [3]);
        assert!(!waiting.close(early) && waiting.withdrawn.is_empty());
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

    #[tokio::test]
    async fn the_system_is_not_asked_about_a_connection_that_nobody_waits_for() {
        let test = async {
            let pool = Pool::start(Arc::new(Link::new()));
            let (id, _peer) = with_lane(&pool, 0).await;
            let mut pool = pool.borrow_mut();
            let mut framing = Framing::new(false);
            framing.push(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            pool.connections.get_mut(id).unwrap().framing = Some(framing);
            let lane = pool.lane(0).unwrap();
            lane.queue = Some(7);
            lane.buffered.set_limit(1);
            pool.pass_on(id);
            assert_eq!(pool.waiting.finished, [id]);
            // What it would be told of the connection is text.
            let before = allocations::count();
            pool.pass_on(id);
            assert_eq!(allocations::count(), before);

            pool.waiting.add(LaneRef { slot: 1, epoch: 1 }, 7, b"next", LEAVE, false);
            pool.pass_on(id);
            assert_eq!(pool.connections.get(id).unwrap().lane, 1);
        };
        LocalSet::new().run_until(test).await;
    }

    #[test]
    fn javascript_that_computes_is_busy_and_one_that_waits_for_a_processor_is_not() {
        let start = Instant::now();
        let ms = Duration::from_millis;
        let look = Look { taken: 1, at: start, computed: Some(ms(500)) };
        for (wall, computed, overdue) in [
            (2, Some(503), false),
            (3, Some(502), false),
            (3, Some(503), true),
            (99, Some(502), false),
            (100, Some(500), true),
            (2, None, false),
            (3, None, true),
        ] {
            assert_eq!(look.is_overdue(start + ms(wall), computed.map(ms)), overdue, "{wall} {computed:?}");
        }
    }
}
