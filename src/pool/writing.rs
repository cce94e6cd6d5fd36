//! The bytes of requests on their way to the kernel: which connection takes them, what of them is kept for a
//! repetition, and what has to be true when the first of them goes. What the kernel does not take at once the task of
//! the connection writes (`connections`).

use std::io;

use tokio::time::Instant;

use super::Pool;
use super::connection::{ConnectionId, Fin};
use super::lane::{LossReport, Method, State};
use crate::binding::blob::Blob;
use crate::binding::records::event;
use crate::binding::submission::{Leave, Payload, When};
use crate::connect::Piece;

impl Pool {
    pub(super) fn write(
        &mut self,
        slot: u32,
        payload: Payload<'_, Blob>,
        leave: Leave,
        when: When,
        notify: u32,
    ) {
        let must_look = self.begin_output(slot, leave);
        self.keep_output(slot, &payload);
        // Last of all: what the server does between the look and the write is not seen.
        if must_look {
            self.last_look(slot, when != When::Now);
        }
        self.put_out(slot, payload, when, notify);
    }

    /// What may have to be sent again is kept.
    pub(super) fn keep_output(&mut self, slot: u32, payload: &Payload<'_, Blob>) {
        let Some(lane) = self.lane(slot) else { return };
        lane.method.get_or_insert_with(|| match payload.piece() {
            Piece::Bytes(bytes) => Method::of(bytes),
            Piece::Lent(..) => Method::Other,
        });
        let limit = lane.max_replay;
        match payload.piece() {
            Piece::Bytes(bytes) => lane.replay.push(bytes, limit),
            // JavaScript lends what is longer than the limit.
            Piece::Lent(..) => lane.replay.skip(),
        }
    }

    /// To the connection, or to wait for one. Of a request whose connection has had its last look, if it needs one.
    pub(super) fn put_out(&mut self, slot: u32, payload: Payload<'_, Blob>, when: When, notify: u32) {
        let Some(lane) = self.lane(slot) else { return };
        let epoch = lane.epoch;
        match lane.state {
            State::Bound(id) => self.write_to(slot, id, payload, when, notify),
            State::Failed => {}
            _ => {
                match payload {
                    Payload::Inline(bytes) => lane.pending.push(bytes),
                    Payload::Blob(blob) => lane.pending.push_blob(blob, 0),
                }
                if notify > 0 {
                    lane.pending.mark(epoch, notify);
                }
            }
        }
    }

    /// The first write of a request says which repetitions are allowed. Whether its connection has to be looked at,
    /// or chosen.
    fn begin_output(&mut self, slot: u32, leave: Leave) -> bool {
        let Some(lane) = self.lane(slot) else { return false };
        if lane.sent || !lane.pending.is_empty() {
            return false;
        }
        let http = lane.http;
        lane.allow(leave);
        let must_look = match lane.state {
            State::Bound(id) => {
                let Some(connection) = self.connections.get_mut(id) else { return false };
                let is_reused = connection.served > 0;
                let may_ask_node = leave.replayable && connection.secured.is_some();
                if connection.is_about_to_begin() || !(if is_reused { http } else { may_ask_node }) {
                    return false;
                }
                // Behind what the request before owes it leaves later, and is preceded by a look then.
                is_reused && !connection.owes()
            }
            State::Lost => true,
            // Node's own TLS may have to ask again what a server has answered with an alert.
            _ if leave.replayable && lane.destination.secure.is_some() => false,
            _ => return false,
        };
        if let Some(lane) = self.lane(slot) {
            lane.keep(leave);
        }
        must_look
    }

    /// Rule R2: before the first byte of a request, a connection that was used before gets a last look, and another
    /// one takes its place if need be. `waits`: the socket is looked at when it leaves ([`Pool::may_begin`]).
    fn last_look(&mut self, slot: u32, waits: bool) {
        let Some(lane) = self.lane(slot) else { return };
        if let State::Bound(id) = lane.state {
            let Some(connection) = self.connections.get_mut(id) else { return };
            let now = Instant::now();
            let unusable = if waits { connection.objection(now) } else { connection.last_look(now) };
            let Some(reason) = unusable else { return };
            self.drop_connection(id, reason);
        }
        self.select(slot);
    }

    fn write_to(&mut self, slot: u32, id: ConnectionId, payload: Payload<'_, Blob>, when: When, notify: u32) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        // What was written before, and has waited for this.
        let is_gathered = std::mem::replace(&mut connection.gathers, false);
        let mut written = 0;
        let mut failure = None;
        // After a failure too, bytes and marks are queued: if the first write
        // was refused whole (rule R3) they go to the next connection, and if
        // the request is sent again (R4) the marks are reported.
        if when == When::WithTick {
            // A CLOSE among the rows that follow takes it back.
            self.early.push(id);
        } else if when == When::WithNext {
            connection.gathers =
                is_gathered || (connection.out.is_empty() && connection.write_error.is_none());
        // Nothing to write asks for the report alone: to the kernel it is a write, which can fail.
        } else if payload.len() > 0
            && connection.out.is_empty()
            && connection.write_error.is_none()
            && !connection.owes()
        {
            match connection.stream.try_write(payload.piece()) {
                Ok(count) => {
                    connection.tally.wrote(count);
                    written = count;
                    if connection.stream.is_blocked() {
                        connection.wake();
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => failure = Some(error),
            }
        }
        if written > 0 {
            self.wrote(id);
        }
        let whole = written == payload.len();
        let Some(connection) = self.connections.get_mut(id) else { return };
        if !whole {
            match payload {
                Payload::Inline(bytes) => connection.out.push(&bytes[written..]),
                Payload::Blob(blob) => connection.out.push_blob(blob, written),
            }
            if when == When::Now && !is_gathered {
                connection.wake();
            }
        }
        if notify > 0 {
            if whole && connection.out.is_empty() && !connection.stream.is_blocked() {
                self.report(event::WRITTEN, self.lane_ref(slot), notify.cast_signed(), &[]);
            } else {
                let epoch = self.lane_ref(slot).epoch;
                if let Some(connection) = self.connections.get_mut(id) {
                    connection.out.mark(epoch, notify);
                    if connection.write_error.is_some() {
                        connection.wake();
                    }
                }
            }
        }
        if let Some(error) = failure {
            self.write_failed(id, error);
        } else if is_gathered && when == When::Now {
            self.write_out(id);
        }
    }

    /// Rule R2, of a request whose first byte has had to wait: a look precedes it when it can leave, too. What has come
    /// by then is the answer to nothing that was sent. Whether the connection may have it; if not, another one gets it.
    pub(super) fn may_begin(&mut self, id: ConnectionId) -> bool {
        let Some(connection) = self.connections.get_mut(id) else { return false };
        let lane = self.lanes.get(connection.lane as usize).and_then(Option::as_ref);
        if connection.served == 0 || !connection.is_about_to_begin() || lane.is_none_or(|lane| !lane.http) {
            return true;
        }
        let now = Instant::now();
        let reason = connection.outlasted(now).or_else(|| connection.look_at_socket(now));
        let Some(reason) = reason else { return true };
        self.reselect(id, reason);
        false
    }

    /// Writes what the kernel takes now; the connection's task does the rest.
    pub(super) fn write_out(&mut self, id: ConnectionId) {
        if !self.may_begin(id) {
            return;
        }
        while let Some(connection) = self.connections.get_mut(id) {
            let Some(piece) = connection.out.front().filter(|_| connection.write_error.is_none()) else {
                if connection.stream.is_blocked() {
                    connection.wake();
                }
                return;
            };
            let slot = connection.lane;
            let written = match connection.out.pair() {
                Some(pair) => connection.stream.try_write_pair(pair),
                None => connection.stream.try_write(piece),
            };
            match written {
                Ok(count) => {
                    connection.out.advance(count);
                    connection.tally.drained(count);
                    self.wrote(id);
                    self.report_written(id, slot);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    connection.wake();
                    return;
                }
                Err(error) => {
                    self.write_failed(id, error);
                    return;
                }
            }
        }
    }

    pub(super) fn shutdown(&mut self, slot: u32) {
        let Some(lane) = self.lane(slot) else { return };
        // What waits for a guard has not been bound to the connection yet, and its FIN waits with it.
        if let State::Bound(id) = lane.state {
            if let Some(connection) = self.connections.get_mut(id)
                && connection.fin == Fin::None
            {
                connection.fin = Fin::Wanted;
                connection.wake();
            }
        } else if matches!(lane.state, State::Lost | State::Failed) {
            let is_untold = matches!(lane.state, State::Lost);
            self.report(event::FINISHED, self.lane_ref(slot), 0, &[]);
            if is_untold {
                // Nothing will be written with which another connection would be looked for.
                self.report_to(slot, LossReport::End);
            }
        } else {
            lane.fin_wanted = true;
        }
    }

    pub(super) fn mark_sent(&mut self, slot: u32) {
        if let Some(lane) = self.lane(slot) {
            lane.sent = true;
            lane.sent_at.get_or_insert_with(Instant::now);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Shutdown;

    use tokio::task::LocalSet;

    use super::super::test_pool::{LIMITS, TestPool, all_of};
    use super::*;
    use crate::binding::submission::Submission;
    use crate::block::Block;
    use crate::error::CloseReason;

    const LEAVE: Leave = Leave { replayable: false, unacknowledged: false };

    #[tokio::test]
    async fn what_leaves_with_the_tick_is_preceded_by_a_look_then() {
        let test = async {
            let mut test = TestPool::new(LIMITS);
            let (id, mut peer) = test.reuse(0).await;
            let mut pool = test.pool.borrow_mut();
            pool.write(0, Payload::Inline(b"request"), LEAVE, When::WithTick, 0);
            // Over the loopback interface the FIN has arrived when this returns.
            peer.shutdown(Shutdown::Write).unwrap();
            pool.apply(&mut Submission::new()).unwrap();
            assert_eq!(all_of(&mut peer), b"", "the server has closed, and gets nothing");
            assert!(pool.connections.get(id).is_none());
            let lane = pool.lane(0).unwrap();
            assert!(matches!(lane.state, State::Connecting { .. }));
            assert_eq!(lane.pending.len(), 7);
        };
        LocalSet::new().run_until(test).await;
    }

    #[tokio::test]
    async fn what_has_waited_is_written_next_to_the_look_at_its_new_connection() {
        let test = async {
            let mut test = TestPool::new(LIMITS);
            let (lost, _) = test.reuse(0).await;
            let (_, mut peer) = test.reuse(1).await;
            let mut pool = test.pool.borrow_mut();
            pool.park(1, None, 0);
            pool.drop_connection(lost, CloseReason::PeerClosedIdle);
            let lane = pool.lane(0).unwrap();
            lane.state = State::Lost;
            lane.pending.push(b"request");
            pool.select(0);
            assert_eq!(all_of(&mut peer), b"request");
        };
        LocalSet::new().run_until(test).await;
    }

    #[tokio::test]
    async fn a_head_leaves_with_its_large_body() {
        let test = async {
            let mut test = TestPool::new(LIMITS);
            let (id, mut peer) = test.reuse(0).await;
            let mut pool = test.pool.borrow_mut();
            pool.write(0, Payload::Inline(b"head"), LEAVE, When::WithNext, 4);
            assert_eq!(pool.connections.get(id).unwrap().out.len(), 4);
            pool.write(0, Payload::Blob(Blob::Copied(Block::of(b"body"))), LEAVE, When::Now, 4);
            assert_eq!(all_of(&mut peer), b"headbody");
            assert!(pool.connections.get(id).unwrap().has_written(), "and that is told");
        };
        LocalSet::new().run_until(test).await;
    }
}
