//! What the network does: bytes, ends, failures and deadlines of connections.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::mem;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;
use tracing::info;

use super::Pool;
use super::connection::{Connection, ConnectionId, Fin, says_timeout};
use super::lane::{Cause, LossReport, State};
use super::status::add;
use crate::binding::records::{event, event_flag};
use crate::block::{BLOCK_SIZE, Block};
use crate::error::CloseReason;
use crate::exchange::{Loss, Piece, Plain, Verdict};

/// What one read brings is handed over as it is, without a copy, from so many bytes on. Below, to make JavaScript a
/// buffer of memory that is not its own costs more than to copy.
const LEND_MIN: usize = 32 * 1024;

/// Writes of one connection in a row before the others get their turn.
const WRITES_PER_TURN: u32 = 8;

/// Reads of one connection in a row before the others get their turn.
const READS_PER_TURN: u32 = 4;

/// What some bytes of a response are.
#[allow(clippy::large_enum_variant, reason = "it lasts for one read, on the stack")]
enum Reading {
    /// Node's parser has to say.
    Bytes,
    /// Its beginning.
    Response(Plain),
    /// More of its body.
    Body(Piece),
}

impl Pool {
    /// The task of a connection. It ends with the connection.
    pub(super) async fn serve(pool: Weak<RefCell<Self>>, id: ConnectionId) {
        poll_fn(|cx| {
            pool.upgrade().map_or(Poll::Ready(()), |pool| pool.borrow_mut().poll_connection(id, cx))
        })
        .await;
    }

    fn poll_connection(&mut self, id: ConnectionId, cx: &mut Context<'_>) -> Poll<()> {
        let Some(connection) = self.connections.get_mut(id) else { return Poll::Ready(()) };
        match &mut connection.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        self.poll_write(id, cx);
        self.poll_read(id, cx);
        if self.connections.get(id).is_some() { Poll::Pending } else { Poll::Ready(()) }
    }

    fn poll_write(&mut self, id: ConnectionId, cx: &mut Context<'_>) {
        for _ in 0..WRITES_PER_TURN {
            let Some(connection) = self.connections.get_mut(id) else { return };
            if connection.write_error.is_some() {
                return;
            }
            let slot = connection.lane;
            let Some(piece) = connection.out.front() else {
                if connection.fin == Fin::Wanted {
                    // A peer that is gone needs no FIN; reading shows what became of it.
                    if connection.stream.poll_shutdown(cx).is_ready() {
                        connection.fin = Fin::Sent;
                        self.report(event::FINISHED, self.lane_ref(slot), 0, &[]);
                    }
                } else if let Poll::Ready(Err(error)) = connection.stream.poll_flush(cx) {
                    self.write_failed(id, error);
                }
                return;
            };
            match connection.stream.poll_write(cx, piece) {
                Poll::Pending => return,
                Poll::Ready(Ok(count)) => {
                    connection.out.advance(count);
                    connection.tally.drained(count);
                    self.wrote(id);
                    self.report_written(id, slot);
                }
                Poll::Ready(Err(error)) => {
                    self.write_failed(id, error);
                    return;
                }
            }
        }
        cx.waker().wake_by_ref();
    }

    pub(super) fn report_written(&mut self, id: ConnectionId, slot: u32) {
        while let Some((epoch, bytes)) =
            self.connections.get_mut(id).and_then(|connection| connection.out.reached())
        {
            let lane = crate::binding::records::LaneRef { slot, epoch };
            self.report(event::WRITTEN, lane, bytes.cast_signed(), &[]);
        }
    }

    /// The read side is never left unwatched, except while JavaScript has not
    /// caught up with what was read: so an idle connection that ends or speaks
    /// is gone at once, whatever JavaScript is doing.
    fn poll_read(&mut self, id: ConnectionId, cx: &mut Context<'_>) {
        let mut block = Block::new();
        for _ in 0..READS_PER_TURN {
            let Some(connection) = self.connections.get_mut(id) else { return };
            let room = BLOCK_SIZE.min(connection.window.room_or_stall() as usize);
            if connection.ended || room == 0 {
                return;
            }
            match block.fill(room, |buf| connection.stream.poll_read(cx, buf)) {
                Poll::Pending => return,
                Poll::Ready(Ok(())) if block.is_empty() => {
                    connection.ended = true;
                    self.connection_ended(id);
                    return;
                }
                Poll::Ready(Ok(())) => {
                    if !self.connection_read(id, &mut block) {
                        return;
                    }
                }
                Poll::Ready(Err(error)) => {
                    self.connection_failed(id, &error, "read");
                    return;
                }
            }
        }
        cx.waker().wake_by_ref();
    }

    /// Hands over what was read. Whether the connection goes on.
    fn connection_read(&mut self, id: ConnectionId, block: &mut Block) -> bool {
        let count = block.len();
        let Some(connection) = self.connections.get_mut(id) else { return false };
        let slot = connection.lane;
        if connection.parked.is_some() {
            // A forged response that waits for the next request, or a 408: it
            // must never be an answer to anything.
            if says_timeout(block) {
                connection.note_close(Instant::now());
            }
            self.lose_parked(id, CloseReason::UnexpectedData);
            return false;
        }
        connection.last_read = Instant::now();
        connection.doubted = false;
        let is_first = connection.received == 0;
        connection.received = connection.received.wrapping_add(count as u32);
        connection.window.read(count as u32);
        let reused = connection.served > 0;
        if let Some(idle) = connection.tally.idle_before().filter(|_| is_first && reused) {
            connection.closes.outlive(idle);
        }
        let drained = connection.out.is_empty();
        let Some(lane) = self.lane(slot) else { return false };
        if lane.http && reused && !lane.sent && drained {
            // An answer to a request of which nothing has been sent.
            self.drop_connection(id, CloseReason::UnexpectedData);
            self.set_state(slot, State::Lost);
            return false;
        }
        if is_first && lane.retried {
            add(&lane.counts.saved);
        }
        // What has been answered will not be sent again.
        lane.replay.forget();
        let is_head = lane.is_head.filter(|_| is_first && lane.limits.parse);
        let reading = self.read_plainly(id, block, is_head);
        let is_over = self.follow(id, block, is_first);
        self.hand_over(slot, block, &reading);
        if is_over {
            self.exchange_over(id);
        }
        if let Some(connection) = self.connections.get(id)
            && connection.reads_no_more()
            && let Some(error) = &connection.write_error
        {
            let report = LossReport::of(error, "write");
            self.report_loss(id, slot, report);
        }
        true
    }

    /// What the bytes are, if they can be read in one way only; `spans` then has where the data is. `is_head`: they are the first of an answer that may be
    /// read here, to a HEAD or not.
    fn read_plainly(&mut self, id: ConnectionId, bytes: &[u8], is_head: Option<bool>) -> Reading {
        let Some(connection) = self.connections.get_mut(id) else { return Reading::Bytes };
        if let Some(rest) = connection.rest {
            let piece = rest.read(bytes, 0, &mut self.spans);
            connection.rest = piece.rest();
            return Reading::Body(piece);
        }
        let Some(plain) = is_head.and_then(|is_head| Plain::read(bytes, is_head, &mut self.spans)) else {
            return Reading::Bytes;
        };
        connection.rest = plain.rest();
        Reading::Response(plain)
    }

    /// Bytes for JavaScript: many in the block itself, which then is another one, few in the batch. There stands, too,
    /// what they are.
    fn hand_over(&mut self, slot: u32, block: &mut Block, reading: &Reading) {
        let (lane, count) = (self.lane_ref(slot), block.len());
        let is_lent = count >= LEND_MIN;
        if !is_lent {
            self.batch.bytes.extend_from_slice(block);
        }
        let before = self.batch.bytes.len();
        let code = match reading {
            Reading::Bytes => event::DATA,
            Reading::Response(plain) => {
                plain.write(&self.spans, &mut self.batch.bytes);
                event::RESPONSE
            }
            Reading::Body(piece) => {
                piece.write(&self.spans, &mut self.batch.bytes);
                event::BODY
            }
        };
        let parts = self.batch.bytes.len() - before;
        if is_lent {
            self.batch.blocks.push_back(mem::replace(block, Block::new()));
            self.batch.push_row(code | event_flag::OWN_BUFFER << 8, lane, count as i32, parts);
        } else {
            self.batch.push_row(code, lane, count as i32, count + parts);
        }
        self.flush_soon();
    }

    fn connection_ended(&mut self, id: ConnectionId) {
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

    fn connection_failed(&mut self, id: ConnectionId, error: &io::Error, syscall: &'static str) {
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
        let Some(connection) = self.connections.get(id) else { return };
        let loss = if dead { Loss::DeadPeer } else { Loss::Reset };
        match self.verdict(slot, connection, loss) {
            Verdict::Report => self.report_loss(id, slot, report),
            verdict => self.replace(id, slot, verdict, report),
        }
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
        lane.pending = super::out_queue::OutQueue::default();
        lane.pending.push(whole);
        lane.retried = true;
        lane.state = State::Refused;
        lane.replay.forget();
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
        // What was lent is not there any more. The peer waits for the rest, so it will not say anything.
        let is_ours = error.raw_os_error() == Some(libc::EFAULT);
        connection.write_error = Some(error);
        let Some(connection) = self.connections.get(id) else { return };
        if connection.parked.is_none()
            && self.verdict(slot, connection, Loss::WriteRefused) == Verdict::SendFresh
        {
            self.replace(id, slot, Verdict::SendFresh, report);
        } else if connection.awaiting_reset {
            // That is how a reset shows here; the verdict is about to be spoken.
        } else if connection.reads_no_more() || is_ours {
            self.report_loss(id, slot, report);
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
                if pool.borrow_mut().look_for_reset(id, start.elapsed() >= PATIENCE) {
                    return;
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
        let loss = self.retry_facts(id, report.reason(), verdict);
        let (rule, reason) = (verdict.rule(), report.reason().name());
        info!(connection = %id, rule, reason, "the request goes to another connection");
        let Some(mut connection) = self.connections.remove(id) else { return };
        connection.log_close(report.reason());
        connection.counts.closed(&connection, report.reason());
        if verdict != Verdict::Select {
            connection.counts.retried(verdict.rule());
        }
        connection.wake();
        self.deadlines.remove(id, connection.entry.take());
        let Some(lane) = self.lane(slot) else { return };
        let epoch = lane.epoch;
        lane.state = State::Lost;
        lane.loss = matches!(verdict, Verdict::SendFresh | Verdict::Retry(_)).then_some(loss);
        lane.lost = Some(report.reason());
        lane.fin_wanted |= connection.fin != Fin::None;
        match verdict {
            // Nothing was sent, and perhaps nothing was written yet.
            Verdict::Select if connection.out.is_empty() => {}
            Verdict::Select => {
                lane.pending = std::mem::take(&mut connection.out);
                self.select(slot);
            }
            Verdict::SendFresh => {
                lane.pending = std::mem::take(&mut connection.out);
                self.start_connect(slot, Cause::Fresh, None);
            }
            Verdict::Retry(_) => {
                lane.retried = true;
                lane.sent = false;
                lane.sent_at = None;
                lane.pending = super::out_queue::OutQueue::default();
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
            Verdict::Await | Verdict::Report => {}
        }
    }

    /// JavaScript is told. After EOF the connection stays for what is still to
    /// be written; after an error it is of no use.
    pub(super) fn report_loss(&mut self, id: ConnectionId, slot: u32, report: LossReport) {
        let facts = self.loss_facts(id, slot, report.reason());
        if !matches!(report, LossReport::End) {
            self.drop_connection(id, report.reason());
            self.set_state(slot, State::Failed);
        }
        self.tell_loss(slot, report, &facts);
    }

    /// As above, of a connection that is gone already.
    pub(super) fn report_to(&mut self, slot: u32, report: LossReport) {
        let facts = self.lane(slot).and_then(|lane| lane.loss.take()).unwrap_or_default();
        self.tell_loss(slot, report, &facts);
    }

    pub(super) fn tell_loss(&mut self, slot: u32, report: LossReport, facts: &str) {
        let lane = self.lane_ref(slot);
        match report {
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
        let Some(parked) = connection.parked else { return };
        let Some(deadline) = parked.deadline else { return };
        if Instant::now() < deadline {
            self.deadlines.arm(id, &mut connection.entry, deadline);
            return;
        }
        self.lose_parked(id, if parked.by_age { CloseReason::Ttl } else { CloseReason::IdleTimeout });
    }

    pub(super) fn spawn_task(&self, id: ConnectionId) {
        tokio::task::spawn_local(Self::serve(Weak::clone(&self.me), id));
    }

    /// A strong reference for a task that must outlive this call.
    pub(super) fn handle(&self) -> Option<Rc<RefCell<Self>>> {
        self.me.upgrade()
    }
}
