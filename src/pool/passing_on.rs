//! How a connection passes on to a request that waits, without JavaScript: the end of each response is looked for, and
//! the lane keeps what was read of its own. The request gets a lane of its own here, in its own slot, which
//! JavaScript's lane moves into when Node gives it the request (`waiting`).

use tokio::time::Instant;
use tracing::debug;

use super::Pool;
use super::connection::ConnectionId;
use super::lane::{PassedOn, State, accepts};
use super::status::add;
use crate::binding::records::{LaneRef, event};
use crate::binding::submission::{Payload, When};
use crate::error::CloseReason;
use crate::exchange::{Framing, Hint, Progress};

impl Pool {
    /// Reads on in the response of which these bytes have come, if a queue waits for its end, or may, or if it
    /// `is_odd`: nobody else here sees where it ends. Whether it is over, and a queue waits for that.
    pub(super) fn follow(&mut self, id: ConnectionId, bytes: &[u8], is_first: bool, is_odd: bool) -> bool {
        let Some(connection) = self.connections.get_mut(id) else { return false };
        let lane = self.lanes.get(connection.lane as usize).and_then(Option::as_ref);
        let Some(lane) = lane else { return false };
        if is_first
            && (is_odd || lane.queue.is_some() || lane.limits.queues)
            && let Some(is_head) = lane.is_head()
        {
            connection.framing = Some(Framing::new(is_head));
        }
        let Some(framing) = &mut connection.framing else { return false };
        connection.finished_in = None;
        match framing.push(bytes) {
            Progress::Complete(_) => {
                connection.is_answered = true;
                connection.finished_in = Some(self.delivery);
            }
            Progress::Incomplete => {}
            Progress::Surplus => {
                connection.has_surplus = true;
                connection.framing = None;
            }
            Progress::Unclear => connection.framing = None,
        }
        connection.finished_in.is_some() && lane.queue.is_some()
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
    pub(super) fn pass_on(&mut self, id: ConnectionId) {
        // An idle one is for any lane that needs one, and not in the hands of this one's queue.
        let Some(connection) = self.connections.get_mut(id).filter(|one| one.parked.is_none()) else {
            return;
        };
        let from = connection.lane;
        let Some(lane) = self.lanes.get_mut(from as usize).and_then(Option::as_mut) else { return };
        let (Some(queue), State::Bound(_)) = (lane.queue, &lane.state) else { return };
        let Some(Progress::Complete(end)) = connection.framing.as_ref().map(Framing::progress) else {
            return;
        };
        let Hint { timeout, max } = end.hint;
        let left = connection.requests_left_after(max);
        let now = Instant::now();
        let may_serve = end.keep_alive
            && left != Some(0)
            && connection.out.is_empty()
            && !connection.stream.is_blocked()
            && lane.buffered.room() > 0;
        if !may_serve {
            return;
        }
        if !self.waiting.has_next(queue) {
            self.finished.add(id);
            return;
        }
        // The next request may come long after the end of this exchange.
        connection.unused = Some(connection.idle_limit(None, timeout, now));
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
        let (received, unread) = (connection.received, connection.window.set_aside());
        lane.passed_on = Some(PassedOn { facts, received, _unread: unread });
        let origin = LaneRef { slot: from, epoch: lane.epoch };
        successor.origin = Some(origin);
        connection.change_lane(to.slot);
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
        self.put_out(to.slot, payload, When::Now, 0);
        self.waiting.forget(request);
    }

    /// The lane in `from` has come for a request in `slot` that was sent on another one's connection, and has one itself:
    /// that other lane has lost its own, and is about to be given a request, too. So it has this one, parked, and
    /// JavaScript hears of that with the request. `received`: bytes that JavaScript has got of the exchange that is over.
    pub(super) fn give_in_return(&mut self, slot: u32, from: u32, received: u32) {
        let Some(origin) = self.lane(slot).and_then(|lane| lane.origin) else { return };
        let Some(&State::Bound(id)) = self.lane(from).map(|lane| &lane.state) else { return };
        let Some(connection) = self.connections.get(id) else { return };
        let Some(lane) = self.lanes.get(origin.slot as usize).and_then(Option::as_ref) else { return };
        let Some(before) = lane.passed_on.as_ref().filter(|_| lane.epoch == origin.epoch) else { return };
        let may_have_another = matches!(lane.state, State::Lost) && !lane.guards.by_listener();
        let is_fit = lane.destination == connection.destination
            && accepts(lane.pin.as_deref(), connection.secured.as_deref());
        if !may_have_another || !is_fit {
            return;
        }
        let received_before = before.received;
        // It may be of no use, and is closed then.
        self.park(from, None, received);
        self.set_state(from, State::Lost);
        let Some(connection) = self.connections.get_mut(id) else { return };
        connection.change_lane(origin.slot);
        connection.received = received_before;
        connection.is_untold = true;
        let Some(lane) = self.lane(origin.slot) else { return };
        (lane.state, lane.lost) = (State::Bound(id), Some(CloseReason::Taken));
        debug!(connection = %id, lane = origin.slot, "parked under the lane whose own has passed on");
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::task::LocalSet;

    use super::super::facts::Tally;
    use super::super::test_pool::{LIMITS, TestPool};
    use super::*;
    use crate::allocations;
    use crate::binding::records::op;
    use crate::binding::submission::Leave;

    const LEAVE: Leave = Leave { replayable: true, unacknowledged: false };

    #[tokio::test]
    async fn the_system_is_not_asked_about_a_connection_that_nobody_waits_for() {
        let test = async {
            let mut test = TestPool::new(LIMITS);
            let (id, _peer) = test.reuse(0).await;
            let mut pool = test.pool.borrow_mut();
            let mut framing = Framing::new(false);
            framing.push(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            pool.connections.get_mut(id).unwrap().framing = Some(framing);
            pool.lane(0).unwrap().queue = Some(7);
            pool.pass_on(id);
            assert_eq!(pool.finished.connections, [id]);
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

    #[tokio::test]
    async fn a_connection_that_serves_no_other_request_is_not_passed_on() {
        let test = async {
            for (header, is_behind, is_passed_on) in [
                ("Keep-Alive: timeout=60, max=5", false, true),
                ("Keep-Alive: max=0", false, false),
                ("Keep-Alive: timeout=0", false, false),
                ("Connection: close", false, false),
                ("Keep-Alive: timeout=60, max=5", true, false),
            ] {
                let mut test = TestPool::new(LIMITS);
                let (id, _peer) = test.reuse(0).await;
                let mut pool = test.pool.borrow_mut();
                let mut framing = Framing::new(false);
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{header}\r\n\r\n");
                framing.push(head.as_bytes());
                let connection = pool.connections.get_mut(id).unwrap();
                connection.framing = Some(framing);
                if is_behind {
                    connection.out.push(b"the rest of a body");
                }
                pool.lane(0).unwrap().queue = Some(7);
                pool.waiting.add(LaneRef { slot: 1, epoch: 1 }, 7, b"next", LEAVE, false);
                pool.pass_on(id);
                let connection = pool.connections.get(id).unwrap();
                assert_eq!(connection.lane, u32::from(is_passed_on), "{header}");
                assert_eq!(connection.requests_left, is_passed_on.then_some(5));
            }
        };
        LocalSet::new().run_until(test).await;
    }

    #[tokio::test]
    async fn a_lane_whose_connection_has_passed_on_has_that_of_the_one_that_comes_if_it_may() {
        let test = async {
            for (received, is_guarded, is_another, is_given) in [
                (0, false, false, true),
                // More has come than JavaScript has read.
                (1, false, false, false),
                // A listener has a say in each connect.
                (0, true, false, false),
                // Another request has that lane.
                (0, false, true, false),
            ] {
                let mut test = TestPool::new(LIMITS);
                let (passed, _peer) = test.reuse(0).await;
                let (id, _other_peer) = test.reuse(1).await;
                {
                    let mut pool = test.pool.borrow_mut();
                    let mut framing = Framing::new(false);
                    framing.push(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
                    let connection = pool.connections.get_mut(passed).unwrap();
                    (connection.framing, connection.received) = (Some(framing), 38);
                    pool.connections.get_mut(id).unwrap().received = received;
                    pool.lane(0).unwrap().queue = Some(7);
                    pool.waiting.add(LaneRef { slot: 5, epoch: 1 }, 7, b"next", LEAVE, false);
                    pool.pass_on(passed);
                    assert_eq!(pool.connections.get(passed).unwrap().lane, 5);
                    let lane = pool.lane(0).unwrap();
                    lane.guards.connect = is_guarded;
                    lane.epoch += u32::from(is_another);
                }
                test.submit(|submission| submission.rows.extend([op::ATTACH, 5, 1, 1, 0]));
                let mut pool = test.pool.borrow_mut();
                let given = pool.connections.get(id);
                assert_eq!(given.map(|connection| connection.lane), is_given.then_some(0));
                assert!(given.is_none_or(|connection| connection.parked.is_some() && connection.is_untold));
                assert_eq!(pool.lane(0).unwrap().connection(), is_given.then_some(id));
                if is_given {
                    // What is told of the exchange that is over is not of this connection.
                    let told = pool.facts_of(pool.lanes[0].as_ref().unwrap()).unwrap();
                    assert!(told.contains("bytesRead\t38"), "{told}");
                    // It is idle, and for any lane that needs one.
                    let mut framing = Framing::new(false);
                    framing.push(b"HTTP/1.1 204 No Content\r\n\r\n");
                    pool.connections.get_mut(id).unwrap().framing = Some(framing);
                    pool.waiting.add(LaneRef { slot: 6, epoch: 1 }, 7, b"next", LEAVE, false);
                    pool.yield_to(0, 7);
                    pool.pass_on(id);
                    assert_eq!(pool.connections.get(id).unwrap().lane, 0);
                    pool.lease(LaneRef { slot: 0, epoch: 3 }, true, 38, 100);
                    let connection = pool.connections.get(id).unwrap();
                    assert!(connection.parked.is_none() && !connection.is_untold);
                }
            }
        };
        LocalSet::new().run_until(test).await;
    }

    #[tokio::test]
    async fn a_request_that_comes_when_the_servers_limit_has_passed_is_not_for_the_connection() {
        let test = async {
            for (idle, is_passed_on) in [(0, true), (59, false)] {
                let mut test = TestPool::new(LIMITS);
                let (id, _peer) = test.reuse(0).await;
                let mut pool = test.pool.borrow_mut();
                let mut framing = Framing::new(false);
                framing.push(b"HTTP/1.1 200 OK\r\nKeep-Alive: timeout=60\r\nContent-Length: 0\r\n\r\n");
                let connection = pool.connections.get_mut(id).unwrap();
                connection.framing = Some(framing);
                connection.last_read = Instant::now() - Duration::from_secs(idle);
                connection.tally = Tally::new(connection.last_read);
                pool.lane(0).unwrap().queue = Some(7);
                pool.waiting.add(LaneRef { slot: 1, epoch: 1 }, 7, b"next", LEAVE, false);
                pool.pass_on(id);
                let connection = pool.connections.get(id).unwrap();
                assert_eq!(connection.lane, u32::from(is_passed_on), "{idle}");
            }
        };
        LocalSet::new().run_until(test).await;
    }
}
