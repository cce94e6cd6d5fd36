//! How a lane comes to a connection and lets go of it: a request takes up the one that is parked under it, or
//! another one where that is of no use any more; between two requests it is parked, for as long as it may be.

use std::time::Duration;

use tokio::time::Instant;

use super::Pool;
use super::clock;
use super::connection::{ConnectionId, Fin, Parked};
use super::deadlines;
use super::lane::{Cause, State, accepts};
use super::status::add;
use crate::binding::records::{event, rebound};
use crate::error::CloseReason;
use crate::exchange::Verdict;

impl Pool {
    /// A new request begins on the lane: on its connection if that is alive,
    /// else the first write chooses another one.
    pub(super) fn lease(&mut self, slot: u32, epoch: u32, http: bool, received: u32, max_replay: u32) {
        let Some(lane) = self.lane(slot) else { return };
        lane.begin(epoch, http, max_replay as usize);
        add(&lane.counts.requests);
        let read_ahead = lane.limits.read_ahead;
        if let State::Failed = lane.state {
            // The report of the failure will find another request on the lane, and be dropped.
            lane.state = State::Lost;
        }
        let Some(id) = lane.connection() else { return };
        let Some(connection) = self.connections.get_mut(id) else { return };

        let now = Instant::now();
        let reason = if !connection.is_read_up_to(received) {
            // Bytes are on their way to JavaScript that belong to no request.
            Some(CloseReason::UnexpectedData)
        } else if connection.ended || connection.write_error.is_some() {
            Some(CloseReason::PeerClosedIdle)
        } else if connection.is_doubtful() {
            Some(CloseReason::DeadPeer)
        } else if connection.is_expired(now) || connection.is_overdue(now) {
            Some(CloseReason::IdleTimeout)
        } else {
            None
        };
        let was_parked = connection.parked.take().is_some();
        connection.begin_exchange(now);
        connection.window.resize(read_ahead);
        if connection.window.clear() {
            connection.wake();
        }
        if was_parked {
            let destination = connection.destination.clone();
            self.idle.remove(&destination, id);
        }
        if let Some(reason) = reason {
            self.drop_connection(id, reason);
            self.set_state(slot, State::Lost);
        }
    }

    /// The connection may not serve the request that is on it, of which nothing has left: that goes to another one,
    /// whatever its method, as soon as it is written.
    pub(super) fn reselect(&mut self, id: ConnectionId, reason: CloseReason) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        let slot = connection.lane;
        let (unsent, is_ending) = (connection.take_unsent(), connection.fin != Fin::None);
        self.drop_connection(id, reason);
        let Some(lane) = self.lane(slot) else { return };
        lane.state = State::Lost;
        lane.loss = None;
        lane.fin_wanted |= is_ending;
        if !unsent.is_empty() {
            lane.pending = unsent;
            self.select(slot);
        }
    }

    /// Finds a connection for a request of which nothing has been sent: the
    /// idle one that was used last, or a new one.
    pub(super) fn select(&mut self, slot: u32) {
        let Some(lane) = self.lane(slot) else { return };
        lane.counts.retried(Verdict::Select.rule());
        let destination = lane.destination.clone();
        let read_ahead = lane.limits.read_ahead;
        let pin = lane.pin.clone();
        if destination.secure.is_some() && pin.is_none() {
            // JavaScript has not seen a handshake on this lane.
            self.start_connect(slot, Cause::First, None);
            return;
        }
        let now = Instant::now();
        loop {
            let connections = &self.connections;
            let is_fit = |id| {
                let secured = connections.get(id).and_then(|connection| connection.secured.as_deref());
                accepts(pin.as_deref(), secured)
            };
            let Some(id) = self.idle.take(&destination, is_fit) else { break };
            let Some(connection) = self.connections.get_mut(id) else { continue };
            let addresses = connection.address_text();
            let unusable = if connection.is_overdue(now) {
                Some(CloseReason::IdleTimeout)
            } else {
                connection.last_look(now)
            };
            let owner = connection.lane;
            let from = self.lane_ref(owner);
            self.set_state(owner, State::Lost);
            if let Some(reason) = unusable {
                self.drop_connection(id, reason);
                self.report(event::CLOSED, from, reason as i32, &[]);
                continue;
            }
            self.report(event::CLOSED, from, CloseReason::Taken as i32, &[]);
            let Some(connection) = self.connections.get_mut(id) else { return };
            connection.lane = slot;
            connection.parked = None;
            connection.begin_exchange(now);
            connection.window.resize(read_ahead);
            connection.wake();
            self.set_state(slot, State::Bound(id));
            self.report_secured(slot, id, 0);
            self.report_rebound(slot, 0, rebound::IDLE, &addresses);
            self.bind_pending(slot, id);
            self.write_out(id);
            return;
        }
        self.start_connect(slot, Cause::Fresh, None);
    }

    pub(super) fn park(&mut self, slot: u32, limit_ms: Option<u32>, received: u32) {
        let Some(lane) = self.lane(slot) else { return };
        lane.replay.forget();
        let destination = lane.destination.clone();
        let id = match lane.state {
            State::Bound(id) => id,
            State::Lost => {
                // Its connection may serve a request that has another lane now.
                let reason =
                    if lane.passed_on.is_some() { CloseReason::Taken } else { CloseReason::PeerClosedIdle };
                self.report(event::CLOSED, self.lane_ref(slot), reason as i32, &[]);
                return;
            }
            _ => {
                lane.park_wanted = Some(limit_ms);
                return;
            }
        };
        let hint = lane.hint;
        let Some(connection) = self.connections.get_mut(id) else { return };
        let now = Instant::now();
        let own = limit_ms.map(|ms| Duration::from_millis(ms.into()));
        let servers = connection.servers_limit(hint.timeout, now);
        let limit = [own, servers].into_iter().flatten().min();
        if connection.served == 0 {
            // The first request waited for the connection. The next ones do not, and need no memory for that.
            connection.out.shrink();
        }
        if connection.parked.is_none() {
            let left = connection.requests_left.map(|left| left.saturating_sub(1));
            connection.requests_left = [left, hint.max].into_iter().flatten().min();
        }
        let idle_deadline = deadlines::deadline(connection.last_read, limit, connection.opened, None);
        let deadline = deadlines::deadline(connection.last_read, limit, connection.opened, connection.ttl);
        let by_age = deadline != idle_deadline;
        let reason = if !connection.is_read_up_to(received) {
            Some(CloseReason::UnexpectedData)
        } else if connection.ended || connection.write_error.is_some() || connection.fin != Fin::None {
            Some(CloseReason::PeerClosedIdle)
        } else if connection.requests_left == Some(0) {
            Some(CloseReason::NotKept)
        } else if deadline.is_some_and(|deadline| deadline <= now) {
            Some(if by_age { CloseReason::Ttl } else { CloseReason::IdleTimeout })
        } else {
            None
        };
        if let Some(reason) = reason {
            self.drop_connection(id, reason);
            self.set_state(slot, State::Lost);
            self.report(event::CLOSED, self.lane_ref(slot), reason as i32, &[]);
            return;
        }
        let was_parked = connection.parked.is_some();
        let wall_deadline = deadline.map(|deadline| clock::uptime().plus(deadline - now));
        connection.parked = Some(Parked { deadline, wall_deadline, by_age });
        if let Some(deadline) = deadline {
            self.deadlines.arm(id, &mut connection.entry, deadline);
        }
        if connection.window.clear() {
            // Its task does not look at the socket while JavaScript has not caught up.
            connection.wake();
        }
        if !was_parked {
            self.idle.insert(&destination, id);
        }
    }
}
