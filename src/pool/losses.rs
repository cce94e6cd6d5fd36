//! The ends and failures of connections: which of them lead to another one, by the rules of
//! [`crate::exchange::Verdict`], and how JavaScript is told of the others.

use std::io;
use std::rc::Weak;
use std::time::Duration;

use tokio::time::Instant;
use tracing::info;

use super::Pool;
use super::connection::{Connection, ConnectionId, Fin};
use super::facts::NOTHING_LEFT;
use super::lane::{Cause, LossReport, State};
use super::out_queue::OutQueue;
use crate::binding::records::event;
use crate::error::{CloseReason, uv_errno};
use crate::exchange::{Evidence, Facts, Loss, NO_CONNECTION, Verdict, judge};

impl Pool {
    pub(super) fn connection_ended(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get(id) else { return };
        if connection.parked.is_some() {
            self.lose_parked(id, CloseReason::PeerClosedIdle);
            return;
        }
        let slot = connection.lane;
        self.note_crossing(slot, connection);
        if self.lost_unpassed(id, slot) {
            return;
        }
        let Some(connection) = self.connections.get(id) else { return };
        match self.verdict(slot, connection, Loss::Ended) {
            Verdict::Await => self.await_reset(id),
            Verdict::Report => {
                let error = connection.write_error.as_ref().map(|error| LossReport::of(error, "write"));
                self.report_loss(id, slot, error.unwrap_or(LossReport::End));
            }
            verdict => self.replace(id, slot, verdict, LossReport::End),
        }
    }

    pub(super) fn connection_failed(&mut self, id: ConnectionId, error: &io::Error, syscall: &'static str) {
        let Some(connection) = self.connections.get(id) else { return };
        let dead = error.kind() == io::ErrorKind::TimedOut;
        if dead {
            // The kernel has given it up; others that have been silent for as long are not better.
            let limit = connection.destination.dead_peer.unwrap_or_default();
            let (peer, parked) = (connection.peer, connection.parked.is_some());
            if let Some(since) = Instant::now().checked_sub(limit) {
                self.doubt(peer, since);
            }
            if parked {
                self.lose_parked(id, CloseReason::DeadPeer);
            }
            self.close_doubted(peer);
        }
        let Some(connection) = self.connections.get(id) else { return };
        if connection.parked.is_some() {
            self.lose_parked(id, CloseReason::PeerReset);
            return;
        }
        let slot = connection.lane;
        self.note_crossing(slot, connection);
        let report = LossReport::of(error, syscall);
        self.sessions.forget(&connection.destination);
        if self.lost_unpassed(id, slot) || self.lost_by_alert(id, slot, report) {
            return;
        }
        self.lose(id, slot, if dead { Loss::DeadPeer } else { Loss::Reset }, report);
    }

    /// By the verdict its request goes elsewhere, or JavaScript is told.
    fn lose(&mut self, id: ConnectionId, slot: u32, loss: Loss, report: LossReport) {
        let Some(connection) = self.connections.get(id) else { return };
        match self.verdict(slot, connection, loss) {
            Verdict::Report => self.report_loss(id, slot, report),
            verdict => self.replace(id, slot, verdict, report),
        }
    }

    /// Bytes have come that no request had asked for, while one was leaving, and the server's kernel had nothing of that.
    pub(super) fn lose_to_unasked(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        // What is still on its way must not arrive after its repetition.
        connection.stream.reset_on_close();
        let slot = connection.lane;
        let errno = uv_errno(&io::ErrorKind::ConnectionReset.into());
        let report = LossReport::Error { errno, syscall: "read", reason: CloseReason::UnexpectedData };
        self.lose(id, slot, Loss::Reset, report);
    }

    /// An end that comes within a round trip of a request was on its way before the server saw that: what it
    /// ended is an idle connection.
    fn note_crossing(&self, slot: u32, connection: &Connection) {
        const SLACK: Duration = Duration::from_millis(20);
        let Some(lane) = self.lanes.get(slot as usize).and_then(Option::as_ref) else { return };
        let now = Instant::now();
        if !lane.http || connection.served == 0 || connection.received > 0 {
            return;
        }
        let round_trip = connection.stream.tcp_info().and_then(|info| info.round_trip);
        let way = round_trip.map_or(Duration::ZERO, |trip| trip.smoothed * 2);
        if lane.sent_at.is_none_or(|sent| now - sent <= way + SLACK) {
            connection.note_close(now);
        }
    }

    /// Whether the connection went while JavaScript had yet to let it pass: it
    /// may be blocked for longer than a server waits for a request.
    fn lost_unpassed(&mut self, id: ConnectionId, slot: u32) -> bool {
        let Some(lane) = self.lane(slot) else { return false };
        let State::Gated(_, cause) = lane.state else { return false };
        if lane.pin.is_none() || lane.waited {
            return false;
        }
        lane.waited = true;
        lane.state = State::Unpassed(cause);
        self.drop_connection(id, CloseReason::PeerFin);
        true
    }

    /// The same just before it is let pass, of an end that its task has not come to read.
    pub(super) fn look_at_unpassed(&mut self, id: ConnectionId, slot: u32) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        let found = connection.look_at_socket(Instant::now());
        if found.is_some_and(|reason| reason != CloseReason::UnexpectedData) {
            self.lost_unpassed(id, slot);
        }
    }

    /// Whether the server answered a request with an alert, and Node's own TLS
    /// may ask again: it can renegotiate, for one. A request that may be sent
    /// twice only, and only by rule R4 but for the fresh connection: the next
    /// one will not fail alike.
    fn lost_by_alert(&mut self, id: ConnectionId, slot: u32, report: LossReport) -> bool {
        let LossReport::Tls { alert: 1.., .. } = report else { return false };
        let Some(connection) = self.connections.get(id) else { return false };
        let is_first = connection.served == 0 && connection.received == 0 && connection.parked.is_none();
        let Some(lane) = self.lane(slot) else { return false };
        let is_bound = matches!(lane.state, State::Bound(_));
        if !(is_first && is_bound && lane.sent && lane.replayable && !lane.retried) {
            return false;
        }
        let Some(whole) = lane.replay.whole() else { return false };
        lane.pending = OutQueue::default();
        lane.pending.push(whole);
        lane.retried = true;
        lane.state = State::Refused;
        lane.replay.forget();
        if let Some(connection) = self.connections.get_mut(id) {
            connection.stream.abandon();
        }
        self.drop_connection(id, CloseReason::TlsFailed);
        self.report(event::TLS_REFUSED, self.lane_ref(slot), 1, &[]);
        true
    }

    /// The write side is broken. The peer may have answered before it broke
    /// (an early 413), so reading goes on and tells how it ended; but not while
    /// JavaScript leaves the answer unread, which may be until the upload ends.
    pub(super) fn write_failed(&mut self, id: ConnectionId, error: io::Error) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        let slot = connection.lane;
        let report = LossReport::of(&error, "write");
        if connection.parked.is_some() {
            self.lose_parked(id, report.reason());
            return;
        }
        let is_ours = !ends_connection(&error);
        connection.write_error = Some(error);
        let Some(connection) = self.connections.get(id) else { return };
        if self.verdict(slot, connection, Loss::WriteRefused) == Verdict::SendFresh {
            // If the request has not been written yet, this was the rest of the one before.
            let is_written = connection.is_about_to_begin();
            let verdict = if is_written { Verdict::SendFresh } else { Verdict::Select };
            self.replace(id, slot, verdict, report);
        } else if connection.awaiting_reset {
            // That is how a reset shows here; the verdict is about to be spoken.
        } else if connection.reads_no_more() {
            self.report_loss(id, slot, report);
        } else if is_ours {
            // The peer waits for the rest, so it will not say anything.
            self.lose(id, slot, Loss::Reset, report);
        } else {
            connection.wake();
        }
    }

    /// Rule R5: an end came before a byte of the request was acknowledged. A
    /// server that is gone refuses the bytes that reach it after that; one that
    /// only half-closed takes them. The kernel shows which it was, but wakes
    /// nobody: after the end there is nothing to read. So it is asked, for as
    /// long as the bytes may need if they have to be sent again.
    fn await_reset(&mut self, id: ConnectionId) {
        const PATIENCE: Duration = Duration::from_secs(2);
        const LONGEST_PAUSE: Duration = Duration::from_millis(50);
        if let Some(connection) = self.connections.get_mut(id) {
            connection.awaiting_reset = true;
        }
        let pool = Weak::clone(&self.me);
        tokio::task::spawn_local(async move {
            let (start, mut pause) = (Instant::now(), Duration::from_millis(1));
            loop {
                tokio::time::sleep(pause).await;
                let Some(pool) = pool.upgrade() else { return };
                match Self::attempt(&pool, |pool| pool.look_for_reset(id, start.elapsed() >= PATIENCE)) {
                    Some(false) => {}
                    Some(true) => return,
                    None => return Self::fail_connection(&pool, id),
                }
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        });
    }

    /// Whether the question is settled; `enough`: if need be, without a reset.
    fn look_for_reset(&mut self, id: ConnectionId, enough: bool) -> bool {
        let Some(connection) = self.connections.get(id) else { return true };
        let slot = connection.lane;
        let reset = connection.stream.tcp_info().is_some_and(|info| info.closed);
        match self.verdict(slot, connection, if reset { Loss::EndedThenReset } else { Loss::Ended }) {
            Verdict::Await if !enough => return false,
            verdict @ Verdict::Retry(_) => self.replace(id, slot, verdict, LossReport::End),
            _ => self.report_loss(id, slot, LossReport::End),
        }
        true
    }

    /// The lane gets another connection, or none until it writes.
    pub(super) fn replace(&mut self, id: ConnectionId, slot: u32, verdict: Verdict, report: LossReport) {
        if verdict == Verdict::Select && self.connections.get(id).is_some_and(Connection::is_over) {
            // JavaScript will write nothing with which another one would be looked for, and waits for the end of this.
            self.report_loss(id, slot, report);
            return;
        }
        let Some(connection) = self.connections.get(id) else { return };
        let reason = connection.who_closed(report.reason());
        let rule = verdict.rule();
        info!(connection = %id, rule, reason = reason.name(), "the request goes to another connection");
        if verdict == Verdict::Select {
            self.reselect(id, reason);
            return;
        }
        let loss = self.lost_facts(id, reason);
        let Some(mut connection) = self.connections.remove(id) else { return };
        connection.log_close(reason);
        connection.counts.closed(&connection, reason);
        // What goes to another connection is not to leave on this one as well.
        connection.stream.abandon();
        connection.counts.retried(verdict.rule());
        connection.wake();
        self.deadlines.remove(id, connection.entry.take());
        let Some(lane) = self.lane(slot) else { return };
        let epoch = lane.epoch;
        lane.state = State::Lost;
        lane.loss = Some(loss);
        lane.lost = Some(reason);
        lane.fin_wanted |= connection.fin != Fin::None;
        match verdict {
            Verdict::SendFresh => {
                lane.pending = connection.take_unsent();
                self.start_connect(slot, Cause::Fresh, None);
            }
            Verdict::Retry(_) => {
                lane.retried = true;
                lane.sent = false;
                lane.sent_at = None;
                lane.pending = OutQueue::default();
                // All of it is in the replay buffer, which is bounded by itself.
                let outstanding = connection.out.outstanding(epoch);
                if let Some(bytes) = lane.replay.whole() {
                    lane.pending.push(bytes);
                }
                if outstanding > 0 {
                    self.report(event::WRITTEN, self.lane_ref(slot), outstanding.cast_signed(), &[]);
                }
                self.start_connect(slot, Cause::Retry(report), None);
            }
            Verdict::Select | Verdict::Await | Verdict::Report => {}
        }
    }

    /// JavaScript is told. After EOF the connection stays for what is still to
    /// be written; after an error it is of no use.
    pub(super) fn report_loss(&mut self, id: ConnectionId, slot: u32, report: LossReport) {
        let facts = self.loss_facts(id, slot, report.reason());
        if !matches!(report, LossReport::End) {
            self.drop_connection(id, report.reason());
            if let Some(lane) = self.lane(slot) {
                lane.state = State::Failed;
                lane.loss = Some(facts.clone());
            }
        }
        self.tell_loss(slot, report, &facts);
    }

    /// As above, of a connection that is gone already, and for which there is no other.
    pub(super) fn report_to(&mut self, slot: u32, report: LossReport) {
        let Some(lane) = self.lane(slot) else { return };
        let loss = lane.loss.clone().unwrap_or_else(|| {
            // It went while it was idle.
            let reason = lane.lost.unwrap_or(report.reason()) as i32;
            format!("reason\t{reason}\n{NOTHING_LEFT}")
        });
        self.tell_loss(slot, report, &format!("{loss}\nretry\t{NO_CONNECTION}"));
    }

    pub(super) fn tell_loss(&mut self, slot: u32, report: LossReport, facts: &str) {
        let lane = self.lane_ref(slot);
        match report {
            LossReport::Bug => {
                self.report(
                    event::ERROR,
                    lane,
                    0,
                    format!("the work on its connection panicked\n{facts}").as_bytes(),
                );
            }
            LossReport::End => self.report(event::END, lane, 0, facts.as_bytes()),
            LossReport::Error { errno, syscall, .. } => {
                self.report(event::ERROR, lane, errno, format!("{syscall}\n{facts}").as_bytes());
            }
            LossReport::Tls { alert, text } => {
                self.report(event::TLS_ERROR, lane, alert.into(), format!("{text}\n{facts}").as_bytes());
            }
        }
    }

    pub(super) fn lose_parked(&mut self, id: ConnectionId, reason: CloseReason) {
        let Some(connection) = self.connections.get(id) else { return };
        let slot = connection.lane;
        if matches!(reason, CloseReason::PeerClosedIdle | CloseReason::PeerReset) {
            connection.note_close(Instant::now());
        }
        self.drop_connection(id, reason);
        self.set_state(slot, State::Lost);
        self.report(event::CLOSED, self.lane_ref(slot), reason as i32, &[]);
    }

    pub(super) fn deadline_fired(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        connection.entry = None;
        let Some(parked) = connection.parked.filter(|_| !connection.owes()) else { return };
        let Some(deadline) = parked.deadline else { return };
        if Instant::now() < deadline {
            self.deadlines.arm(id, &mut connection.entry, deadline);
            return;
        }
        self.lose_parked(id, parked.reason());
    }

    /// If all has left that a connection without a request owed, its time begins.
    pub(super) fn begin_idleness(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        if connection.parked.or(connection.unused).is_none() || connection.owes() {
            return;
        }
        connection.begin_idleness(Instant::now());
        if let Some(deadline) = connection.parked.and_then(|parked| parked.deadline) {
            self.deadlines.arm(id, &mut connection.entry, deadline);
        }
    }

    /// The verdict on a lost connection that a request is on.
    pub(super) fn verdict(&self, slot: u32, connection: &Connection, loss: Loss) -> Verdict {
        self.verdict_facts(slot, connection, loss).map_or(Verdict::Report, judge)
    }

    /// None if the lane has no `ClientRequest`, of which a part could be repeated.
    pub(super) fn verdict_facts(&self, slot: u32, connection: &Connection, loss: Loss) -> Option<Facts> {
        let lane = self.lanes.get(slot as usize)?.as_ref();
        let lane = lane.filter(|lane| lane.http)?;
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

/// Whether a write that failed so has met the end of its connection, which a read will meet too. If not the failure is of
/// this side alone: it has no memory left, say, or what was lent is not there any more.
fn ends_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, TimedOut};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected | TimedOut)
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use tokio::task::LocalSet;

    use super::super::test_pool::{LIMITS, TestPool};
    use super::*;
    use crate::binding::batch::Batch;
    use crate::binding::records::op;
    use crate::binding::submission::{Leave, Payload, When};
    use crate::tls::Secured;

    /// What JavaScript is told when a write fails so, of a request of which a part has been sent, and whether its
    /// connection is gone.
    async fn after_a_write_fails(replayable: bool, error: io::Error) -> (Vec<i32>, bool) {
        let mut test = TestPool::new(LIMITS);
        let (id, _peer) = test.reuse(0).await;
        let mut pool = test.pool.borrow_mut();
        pool.write(0, Payload::Inline(b"part"), Leave { replayable, unacknowledged: false }, When::Now, 0);
        pool.write_failed(id, error);
        pool.flush();
        let mut batch = Batch::new();
        test.link.take_batch(&mut batch);
        (batch.rows.chunks(5).map(|row| row[0]).collect(), pool.connections.get(id).is_none())
    }

    #[tokio::test]
    async fn a_write_that_fails_on_this_side_waits_for_no_word_of_the_peer() {
        let test = async {
            for kind in [io::ErrorKind::OutOfMemory, io::ErrorKind::Other] {
                assert_eq!(after_a_write_fails(false, kind.into()).await, (vec![event::ERROR], true));
                assert_eq!(after_a_write_fails(true, kind.into()).await, (vec![], true), "it is sent again");
            }
        };
        LocalSet::new().run_until(test).await;
    }

    #[tokio::test]
    async fn a_write_that_meets_the_end_is_explained_by_what_is_read() {
        let test = async {
            let found = after_a_write_fails(false, io::ErrorKind::BrokenPipe.into()).await;
            assert_eq!(found, (vec![], false));
        };
        LocalSet::new().run_until(test).await;
    }

    #[tokio::test]
    async fn an_end_that_nobody_has_read_yet_is_seen_before_a_connection_is_let_pass() {
        let test = async {
            // Once: another one that ends so is this request's loss.
            for (ends, waited) in [(false, false), (true, false), (true, true)] {
                let is_lost = ends && !waited;
                let mut test = TestPool::new(LIMITS);
                let peer = test.open(0).await;
                {
                    let mut pool = test.pool.borrow_mut();
                    let lane = pool.lane(0).unwrap();
                    let id = lane.connection().unwrap();
                    lane.state = State::Gated(id, Cause::First);
                    lane.waited = waited;
                    lane.pin = Some(Rc::new(Secured::for_test()));
                    if ends {
                        drop(peer);
                        let connection = pool.connections.get_mut(id).unwrap();
                        while connection.look_at_socket(Instant::now()).is_none() {}
                    }
                }
                test.submit(|submission| submission.rows.extend([op::PROCEED, 0, 1, 0, 0]));
                let mut pool = test.pool.borrow_mut();
                let state = &pool.lane(0).unwrap().state;
                assert_eq!(matches!(state, State::Bound(_)), !is_lost);
                assert_eq!(matches!(state, State::Connecting { cause: Cause::Fresh, .. }), is_lost);
            }
        };
        LocalSet::new().run_until(test).await;
    }
}
