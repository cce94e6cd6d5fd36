//! What JavaScript asks for, row by row, in the order in which it asked.

use std::io;
use std::net::IpAddr;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use tokio::time::Instant;
use tracing::error;

use super::Pool;
use super::ask::Ask;
use super::clock;
use super::connection::{Connection, ConnectionId, Fin, Parked};
use super::deadlines;
use super::lane::{Cause, Guards, Lane, State, accepts};
use super::routes::Route;
use super::status::add;
use crate::binding::blob::Blob;
use crate::binding::records::{LaneRef, event, rebound};
use crate::binding::submission::{Leave, Malformed, Op, Opening, Payload, Submission};
use crate::connect::{Piece, Stream};
use crate::error::CloseReason;
use crate::exchange::{Evidence, Facts, Hint, Loss, Verdict, judge};

/// Requests that are too rare for a row.
pub enum Cold {
    /// A route gets a number; `forgotten` is no route's any more.
    Introduce {
        number: u32,
        route: Box<Route>,
        forgotten: Option<u32>,
    },
    Open(Box<Open>),
    /// The answer to [`event::RESOLVE`]: the addresses, or none if JavaScript
    /// refuses or failed.
    Resolved {
        serial: u32,
        addresses: Option<Vec<IpAddr>>,
    },
    Ask(Ask),
    /// Keying material of the lane's TLS connection. Its caller waits.
    Export(Export),
}

pub struct Export {
    pub length: usize,
    pub label: Vec<u8>,
    pub context: Option<Vec<u8>>,
    pub reply: SyncSender<Option<Vec<u8>>>,
}

/// A new lane.
pub struct Open {
    pub how: Opening,
    /// Resolved in JavaScript already.
    pub addresses: Option<Vec<IpAddr>>,
    /// For how long these serve other connects.
    pub answers: Option<Duration>,
}

impl Pool {
    /// Applies all rows of one tick of JavaScript.
    pub fn apply(&mut self, submission: &mut Submission<Cold, Blob>) -> Result<(), Malformed> {
        submission.drain(|slot, epoch, request, cold| {
            if let Op::Cold { index } = request {
                match cold.get_mut(index).and_then(Option::take) {
                    Some(Cold::Introduce { number, route, forgotten }) => {
                        self.routes.introduce(number, *route, forgotten);
                    }
                    Some(Cold::Open(open)) => self.open(slot, epoch, *open),
                    Some(Cold::Resolved { serial, addresses }) => self.resolved(slot, serial, addresses),
                    Some(Cold::Ask(ask)) => self.answer(slot, epoch, ask),
                    Some(Cold::Export(export)) => self.export(slot, epoch, export),
                    None => {}
                }
                return;
            }
            if let Op::Open(how) = request {
                self.open(slot, epoch, Open { how, addresses: None, answers: None });
                return;
            }
            if let Op::Lease { http, received, max_replay } = request {
                self.lease(slot, epoch, http, received, max_replay);
                return;
            }
            match request {
                Op::Wait { queue, bytes, leave, last } => {
                    self.waiting.add(LaneRef { slot, epoch }, queue, bytes, leave, last);
                    return;
                }
                Op::Attach { from, received } => {
                    self.attach(slot, epoch, from, received);
                    return;
                }
                Op::Close { .. } if self.waiting.close(LaneRef { slot, epoch }) => return,
                _ => {}
            }
            // Anything else speaks of the request that the lane has now.
            if self.lane(slot).is_none_or(|lane| lane.epoch != epoch) {
                return;
            }
            match request {
                Op::Cold { .. }
                | Op::Open { .. }
                | Op::Lease { .. }
                | Op::Wait { .. }
                | Op::Attach { .. } => {}
                Op::Yield { queue } => self.yield_to(slot, queue),
                Op::Write { bytes, leave, early, notify } => self.write(slot, bytes, leave, early, notify),
                Op::Shutdown => self.shutdown(slot),
                Op::Hint { timeout_ms, max } => {
                    if let Some(lane) = self.lane(slot) {
                        let timeout = timeout_ms.map(|ms| Duration::from_millis(ms.into()));
                        lane.hint = Hint { timeout, max };
                    }
                }
                Op::Park { limit_ms, received } => self.park(slot, limit_ms, received),
                Op::Close { reset, reason } => self.close_lane(slot, reset, reason),
                Op::Waited { ms } => {
                    if let Some(lane) = self.lane(slot) {
                        lane.counts.wait.borrow_mut().record(Duration::from_millis(ms.into()));
                    }
                }
                Op::Consumed { bytes } => self.consumed(slot, bytes),
                Op::Proceed { attempt } => self.proceed(slot, attempt),
                Op::Refuse => self.refuse(slot),
                Op::Gate => {
                    if let Some(lane) = self.lane(slot) {
                        lane.guards.secure = true;
                    }
                }
                Op::NoDelay(on) => self.with_stream(slot, |connection| connection.stream.set_no_delay(on)),
                Op::KeepAlive(ms) => {
                    let delay = ms.map(|ms| Duration::from_millis(ms.into()));
                    self.with_stream(slot, |connection| connection.stream.set_keep_alive(delay));
                }
            }
        })?;
        let mut early = std::mem::take(&mut self.early);
        for id in early.drain(..) {
            self.send_early(id);
        }
        self.early = early;
        Ok(())
    }

    fn open(&mut self, slot: u32, epoch: u32, open: Open) {
        // A slot is only given away again after its CLOSE, so this finds nothing.
        self.close_lane(slot, false, CloseReason::NotKept);
        let Opening { route, resolver, .. } = open.how;
        let Some((destination, mut limits)) = self.routes.find(route, resolver) else {
            error!(lane = slot, route, "no such route");
            return;
        };
        limits.answers = open.answers;
        let learned = &mut self.learned;
        let counts = self.status.of(&destination, || learned.of(&destination));
        add(&counts.requests);
        let buffered = self.buffered(destination.agent, limits.max_buffered);
        let guards = Guards {
            attempt: open.how.guard_attempt,
            connect: open.how.guard_connect,
            secure: open.how.guard_secure,
        };
        let mut lane = Lane::new(epoch, destination, limits, guards, counts, buffered);
        lane.keylog = open.how.keylog;
        self.put_lane(slot, lane);
        self.start_connect(slot, Cause::First, open.addresses);
    }

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
        let reason = if connection.received != received {
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
        // Bytes of the request before are still on their way out: what is
        // written now goes behind them, and nobody can say of a loss which it hit.
        let sent = !connection.out.is_empty();
        if was_parked {
            let destination = connection.destination.clone();
            self.idle.remove(&destination, id);
        }
        if let Some(reason) = reason {
            self.drop_connection(id, reason);
            self.set_state(slot, State::Lost);
        } else if let Some(lane) = self.lane(slot) {
            lane.sent = sent;
        }
    }

    pub(super) fn write(
        &mut self,
        slot: u32,
        payload: Payload<'_, Blob>,
        leave: Leave,
        early: bool,
        notify: u32,
    ) {
        let must_look = self.begin_output(slot, leave);
        self.keep_output(slot, &payload);
        // Last of all: what the server does between the look and the write is not seen.
        if must_look {
            self.last_look(slot, early);
        }
        self.put_out(slot, payload, early, notify);
    }

    /// What may have to be sent again is kept.
    pub(super) fn keep_output(&mut self, slot: u32, payload: &Payload<'_, Blob>) {
        let Some(lane) = self.lane(slot) else { return };
        lane.is_head.get_or_insert_with(
            || matches!(payload.piece(), Piece::Bytes(bytes) if bytes.starts_with(b"HEAD ")),
        );
        let limit = lane.max_replay;
        match payload.piece() {
            Piece::Bytes(bytes) => lane.replay.push(bytes, limit),
            // JavaScript lends what is longer than the limit.
            Piece::Lent(..) => lane.replay.skip(),
        }
    }

    /// To the connection, or to wait for one. Of a request whose connection has had its last look, if it needs one.
    pub(super) fn put_out(&mut self, slot: u32, payload: Payload<'_, Blob>, early: bool, notify: u32) {
        let Some(lane) = self.lane(slot) else { return };
        let epoch = lane.epoch;
        match lane.state {
            State::Bound(id) => self.write_to(slot, id, payload, early, notify),
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
                if !connection.out.is_empty() || !(if is_reused { http } else { may_ask_node }) {
                    return false;
                }
                is_reused
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
    /// one takes its place if need be. `early`: the socket is looked at when the rows of the tick are applied.
    fn last_look(&mut self, slot: u32, early: bool) {
        let Some(lane) = self.lane(slot) else { return };
        if let State::Bound(id) = lane.state {
            let Some(connection) = self.connections.get_mut(id) else { return };
            let now = Instant::now();
            let unusable = if early { connection.objection(now) } else { connection.last_look(now) };
            let Some(reason) = unusable else { return };
            self.drop_connection(id, reason);
        }
        self.select(slot);
    }

    fn write_to(
        &mut self,
        slot: u32,
        id: ConnectionId,
        payload: Payload<'_, Blob>,
        early: bool,
        notify: u32,
    ) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        let mut written = 0;
        let mut failure = None;
        // After a failure too, bytes and marks are queued: if the first write
        // was refused whole (rule R3) they go to the next connection, and if
        // the request is sent again (R4) the marks are reported.
        if early {
            // A CLOSE among the rows that follow takes it back.
            self.early.push(id);
        } else if connection.out.is_empty() && connection.write_error.is_none() {
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
            if !early {
                connection.wake();
            }
        }
        if notify > 0 {
            if whole && connection.out.is_empty() {
                self.report(event::WRITTEN, self.lane_ref(slot), notify.cast_signed(), &[]);
            } else {
                let epoch = self.lane_ref(slot).epoch;
                if let Some(connection) = self.connections.get_mut(id) {
                    connection.out.mark(epoch, notify);
                }
            }
        }
        if let Some(error) = failure {
            self.write_failed(id, error);
        }
    }

    /// The tick has not taken back what it has written early.
    fn send_early(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        let slot = connection.lane;
        let lane = self.lanes.get_mut(slot as usize).and_then(Option::as_mut);
        if connection.served > 0
            && let Some(lane) = lane.filter(|lane| lane.http && !lane.sent)
            && let Some(reason) = connection.look_at_socket(Instant::now())
        {
            lane.pending = std::mem::take(&mut connection.out);
            lane.fin_wanted |= connection.fin != Fin::None;
            self.drop_connection(id, reason);
            self.select(slot);
        } else {
            self.write_out(id);
        }
    }

    /// Writes what the kernel takes now; the connection's task does the rest.
    fn write_out(&mut self, id: ConnectionId) {
        while let Some(connection) = self.connections.get_mut(id) {
            let Some(piece) = connection.out.front().filter(|_| connection.write_error.is_none()) else {
                return;
            };
            let slot = connection.lane;
            match connection.stream.try_write(piece) {
                Ok(count) => {
                    connection.out.advance(count);
                    connection.tally.wrote(count);
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

    fn shutdown(&mut self, slot: u32) {
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
            self.report(event::FINISHED, self.lane_ref(slot), 0, &[]);
        } else {
            lane.fin_wanted = true;
        }
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
        if connection.parked.is_none() {
            let left = connection.requests_left.map(|left| left.saturating_sub(1));
            connection.requests_left = [left, hint.max].into_iter().flatten().min();
        }
        let idle_deadline = deadlines::deadline(connection.last_read, limit, connection.opened, None);
        let deadline = deadlines::deadline(connection.last_read, limit, connection.opened, connection.ttl);
        let by_age = deadline != idle_deadline;
        let reason = if connection.received != received {
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

    pub(super) fn close_lane(&mut self, slot: u32, reset: bool, reason: CloseReason) {
        let Some(lane) = self.lanes.get_mut(slot as usize).and_then(Option::take) else { return };
        match lane.state {
            State::Connecting { task, .. } => task.abort(),
            State::Bound(id) | State::Gated(id, _) => {
                if reset && let Some(connection) = self.connections.get_mut(id) {
                    connection.stream.reset_on_close();
                }
                self.drop_connection(id, reason);
            }
            State::Resolving { .. } | State::Unpassed(_) | State::Lost | State::Refused | State::Failed => {}
        }
    }

    fn consumed(&mut self, slot: u32, bytes: u32) {
        self.with_stream(slot, |connection| {
            if connection.window.consumed(bytes) {
                connection.wake();
            }
        });
    }

    fn proceed(&mut self, slot: u32, attempt: u32) {
        let Some(lane) = self.lane(slot) else { return };
        if attempt > 0 {
            if let Some(sender) = lane.proceed.take() {
                // The attempt may have been given up meanwhile.
                let _ = sender.send(());
            }
        } else if let State::Gated(id, _) = lane.state {
            lane.state = State::Bound(id);
            self.bind_pending(slot, id);
        } else if let State::Unpassed(_) = lane.state {
            self.start_connect(slot, Cause::Fresh, None);
        }
    }

    /// The identity check in JavaScript has not let the connection pass.
    fn refuse(&mut self, slot: u32) {
        let Some(lane) = self.lane(slot) else { return };
        if let State::Gated(id, cause) = lane.state {
            self.drop_connection(id, CloseReason::TlsFailed);
            self.connection_refused(slot, cause);
        } else if let State::Unpassed(cause) = lane.state {
            self.connection_refused(slot, cause);
        } else if let State::Refused = lane.state {
            self.hand_back(slot);
        }
    }

    fn with_stream(&mut self, slot: u32, apply: impl FnOnce(&mut Connection)) {
        let Some(id) = self.lane(slot).and_then(|lane| lane.connection()) else { return };
        if let Some(connection) = self.connections.get_mut(id) {
            apply(connection);
        }
    }

    fn export(&mut self, slot: u32, epoch: u32, export: Export) {
        let lane = self.lane(slot).filter(|lane| lane.epoch == epoch);
        let connection = lane.and_then(|lane| lane.connection()).and_then(|id| self.connections.get(id));
        let exported = connection.and_then(|connection| match &connection.stream {
            Stream::Tls(stream) => stream.export(export.length, &export.label, export.context.as_deref()),
            _ => None,
        });
        // Who asked has stopped waiting, at worst.
        let _ = export.reply.try_send(exported);
    }

    pub(super) fn set_state(&mut self, slot: u32, state: State) {
        if let Some(lane) = self.lane(slot) {
            lane.state = state;
        }
    }

    pub(super) fn mark_sent(&mut self, slot: u32) {
        if let Some(lane) = self.lane(slot) {
            lane.sent = true;
            lane.sent_at.get_or_insert_with(Instant::now);
        }
    }

    /// Closes a connection and takes it out of everything that knows of it.
    pub(super) fn drop_connection(&mut self, id: ConnectionId, reason: CloseReason) {
        let Some(mut connection) = self.connections.remove(id) else { return };
        if let Some(lane) = self.lane(connection.lane) {
            lane.lost = Some(reason);
        }
        if connection.is_doubtful() {
            // A FIN would wait in the kernel for an acknowledgement that does not come.
            connection.stream.reset_on_close();
        }
        connection.log_close(reason);
        connection.counts.closed(&connection, reason);
        if connection.parked.is_some() {
            self.idle.remove(&connection.destination, id);
        }
        connection.wake();
        self.deadlines.remove(id, connection.entry);
    }

    /// The verdict on a lost connection that a request is on.
    pub(super) fn verdict(&self, slot: u32, connection: &Connection, loss: Loss) -> Verdict {
        self.verdict_facts(slot, connection, loss).map_or(Verdict::Report, judge)
    }

    /// None if the lane has no `ClientRequest`, of which a part could be repeated.
    pub(super) fn verdict_facts(&self, slot: u32, connection: &Connection, loss: Loss) -> Option<Facts> {
        let lane = self.lanes.get(slot as usize)?.as_ref().filter(|lane| lane.http)?;
        let mut facts = Facts {
            reused: connection.served > 0,
            sent: lane.sent,
            answered: connection.received > 0,
            replayable: lane.replayable,
            unacknowledged: lane.unacknowledged,
            kept: lane.replay.whole().is_some(),
            retried: lane.retried,
            loss,
            evidence: Evidence::Unknown,
        };
        if lane.unacknowledged || loss == Loss::DeadPeer {
            facts.evidence = connection.evidence();
        }
        Some(facts)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::io::Read;
    use std::net::{Shutdown, TcpStream};
    use std::rc::Rc;
    use std::sync::Arc;

    use tokio::task::LocalSet;

    use super::super::connection::tests::reused;
    use super::*;
    use crate::binding::link::Link;

    const LEAVE: Leave = Leave { replayable: false, unacknowledged: false };

    /// A pool whose lane `slot` has a reused connection, and the peer of that.
    async fn with_lane(pool: &Rc<RefCell<Pool>>, slot: u32) -> (ConnectionId, TcpStream) {
        let (mut connection, peer) = reused(Duration::from_secs(5)).await;
        let mut pool = pool.borrow_mut();
        connection.lane = slot;
        let limits = super::super::Limits {
            read_ahead: 1,
            max_buffered: 1,
            max_replay: 100,
            answers: None,
            parse: false,
            queues: false,
        };
        let guards = Guards { attempt: false, connect: false, secure: false };
        let (destination, counts) = (connection.destination.clone(), Rc::clone(&connection.counts));
        let mut lane = Lane::new(1, destination, limits, guards, counts, Rc::default());
        lane.http = true;
        let id = pool.connections.insert(|id| Connection { id, ..connection });
        lane.state = State::Bound(id);
        pool.put_lane(slot, lane);
        (id, peer)
    }

    fn all_of(peer: &mut TcpStream) -> Vec<u8> {
        let mut bytes = vec![0; 100];
        peer.set_nonblocking(true).unwrap();
        let count = peer.read(&mut bytes).unwrap();
        bytes.truncate(count);
        bytes
    }

    #[tokio::test]
    async fn what_leaves_with_the_tick_is_preceded_by_a_look_then() {
        let test = async {
            let pool = Pool::start(Arc::new(Link::new()));
            let (id, mut peer) = with_lane(&pool, 0).await;
            let mut pool = pool.borrow_mut();
            pool.write(0, Payload::Inline(b"request"), LEAVE, true, 0);
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
            let pool = Pool::start(Arc::new(Link::new()));
            let (lost, _) = with_lane(&pool, 0).await;
            let (_, mut peer) = with_lane(&pool, 1).await;
            let mut pool = pool.borrow_mut();
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
}
