//! What is told of a connection with the loss of a request: `err.reason` and
//! `err.connection`.

use std::fmt::{Display, Write};
use std::time::Duration;

use tokio::time::Instant;

use super::Pool;
use super::connection::{Connection, ConnectionId};
use super::lane::Lane;
use crate::binding::records::LaneRef;
use crate::connect::SYN;
use crate::error::CloseReason;
use crate::exchange::{Evidence, FRESH, Loss, why_not};

/// What fits a segment on any way (RFC 9293, section 3.7.1) the peer's kernel gets as a whole, so that an answer to it
/// acknowledges all of it.
const SEGMENT: u64 = 512;

/// Of a request of which nothing was sent; and of one of which nobody can say.
pub const NOTHING_LEFT: &str = "bytesWritten\t0\nbytesRead\t0";
pub const UNKNOWN: &str = "bytesRead\t0";

/// What is counted of a connection while it works.
#[derive(Clone, Copy, Debug)]
pub struct Tally {
    /// Bytes that the kernel has taken.
    written: u64,
    /// Those of them that belong to earlier exchanges.
    written_before: u64,
    /// The same as the kernel counts them, which over TLS sees other bytes.
    acked_before: u64,
    /// Those of the last of these exchanges.
    of_last: u64,
    /// How long it was idle before the present exchange.
    idle_before: Option<Duration>,
    /// When the kernel last took bytes, and when bytes that had to wait for it.
    last_write: Instant,
    progress: Instant,
    /// What had been written when something was last read.
    written_by_last_read: u64,
}

impl Tally {
    pub fn new(now: Instant) -> Self {
        Self {
            written: 0,
            written_before: 0,
            acked_before: 0,
            of_last: 0,
            idle_before: None,
            last_write: now,
            progress: now,
            written_by_last_read: 0,
        }
    }

    /// Another request begins, while `queued` bytes of the one before still wait. `wire`: what has been
    /// written below TLS, if there is any.
    pub fn begin(&mut self, queued: u64, wire: Option<u64>, idle: Duration) {
        let before = std::mem::replace(&mut self.written_before, self.written + queued);
        self.of_last = self.written_before - before;
        self.acked_before = wire.unwrap_or(self.written_before);
        self.idle_before = Some(idle);
    }

    pub const fn idle_before(&self) -> Option<Duration> {
        self.idle_before
    }

    /// Whether the kernel has taken a byte of the present exchange.
    pub const fn has_begun(&self) -> bool {
        self.written > self.written_before
    }

    /// Whether some of the exchange before may not have reached the peer's kernel, although that was answered.
    pub const fn may_be_behind(&self) -> bool {
        self.of_last > SEGMENT
    }

    /// Bytes of earlier exchanges that still wait.
    pub const fn owed(&self) -> u64 {
        self.written_before.saturating_sub(self.written)
    }

    pub fn wrote(&mut self, count: usize) {
        self.written += count as u64;
        self.last_write = Instant::now();
    }

    /// As [`Tally::wrote`], of bytes that had to wait.
    pub fn drained(&mut self, count: usize) {
        self.wrote(count);
        self.advance(self.last_write);
    }

    pub const fn read(&mut self) {
        self.written_by_last_read = self.written;
    }

    /// Whether the last byte went, and did not come.
    pub const fn ends_with_write(&self) -> bool {
        self.written > self.written_by_last_read
    }

    pub const fn advance(&mut self, now: Instant) {
        self.progress = now;
    }

    pub const fn progress(&self) -> Instant {
        self.progress
    }

    pub const fn last_write(&self) -> Instant {
        self.last_write
    }

    fn of_exchange(&self, bytes: u64) -> u64 {
        bytes.saturating_sub(self.written_before)
    }
}

impl Pool {
    /// The facts of a loss.
    pub(super) fn lost_facts(&self, id: ConnectionId, reason: CloseReason) -> String {
        let Some(connection) = self.connections.get(id) else { return String::new() };
        let reason = connection.who_closed(reason) as i32;
        format!("reason\t{reason}\n{}", connection.facts(Instant::now()))
    }

    /// The same, and why the request is not sent again.
    pub(super) fn loss_facts(&self, id: ConnectionId, slot: u32, reason: CloseReason) -> String {
        let Some(connection) = self.connections.get(id) else { return String::new() };
        // A lane's first request is not told of as such, and has a fresh connection.
        let loss = match reason {
            CloseReason::DeadPeer => Loss::DeadPeer,
            CloseReason::PeerFin => Loss::Ended,
            _ => Loss::Reset,
        };
        let retry = self.verdict_facts(slot, connection, loss).map_or(FRESH, why_not);
        format!("{}\nretry\t{retry}", self.lost_facts(id, reason))
    }

    /// What is known of a request that JavaScript ends.
    pub(super) fn account_of(&self, request: LaneRef) -> String {
        let lane = self.lanes.get(request.slot as usize).and_then(Option::as_ref);
        let lane = lane.filter(|lane| lane.epoch == request.epoch);
        let known = lane.and_then(|lane| self.facts_of(lane));
        known.unwrap_or_else(|| {
            String::from(if lane.is_some_and(|lane| lane.sent) { UNKNOWN } else { NOTHING_LEFT })
        })
    }

    /// The facts of a lane's connection, or of the one that it had, if that is the one on which its request was sent.
    pub(super) fn facts_of(&self, lane: &Lane) -> Option<String> {
        let id = lane.connection().filter(|_| lane.sent || !lane.retried);
        let connection = id.and_then(|id| self.connections.get(id));
        let passed_on = lane.passed_on.as_ref().map(|passed_on| passed_on.facts.clone());
        let present = || connection.map(|connection| connection.facts(Instant::now()));
        let known = passed_on.or_else(present).or_else(|| lane.loss.clone());
        // JavaScript may end it before it hears that it was sent again.
        if lane.retried && lane.sent { known.map(|facts| format!("{facts}\nattempts\t2")) } else { known }
    }
}

impl Connection {
    /// Whether the peer's kernel has got a byte of the present request. Nothing is known as long as it has
    /// not acknowledged what was written before.
    pub fn evidence(&self) -> Evidence {
        match self.stream.tcp_info().map(|info| info.acked.saturating_sub(SYN)) {
            Some(acked) if acked > self.tally.acked_before => Evidence::Acknowledged,
            Some(acked) if acked == self.tally.acked_before => Evidence::Unacknowledged,
            _ => Evidence::Unknown,
        }
    }

    /// Whether the peer's kernel has not got a byte of the present request, beyond doubt: what is read of the peer was
    /// sent with an acknowledgement of all that it had by then.
    pub fn is_unreached(&self) -> bool {
        let before = self.tally.acked_before;
        // Over TLS that is not known while bytes from before wait. And not every kernel counts.
        let is_unreached = |acked: u64| acked >= SYN && acked - SYN <= before;
        before < u64::MAX && self.stream.tcp_info().is_some_and(|info| is_unreached(info.acked))
    }

    /// Bytes of the present request that the peer's kernel has acknowledged, by what it has on this connection. Not over
    /// TLS, where the kernel counts other bytes than we do.
    fn acknowledged_of(&self, acked: u64) -> u64 {
        // Our FIN counts as a byte, too.
        self.tally.of_exchange(acked.saturating_sub(SYN).min(self.tally.written))
    }

    /// The server's FIN acknowledges all that it had received before. If that
    /// is nothing of the request, it had decided to close before the request came.
    pub fn who_closed(&self, reason: CloseReason) -> CloseReason {
        let crossed = reason == CloseReason::PeerFin && self.served > 0 && self.received == 0;
        let is_unreached = || !self.tally.has_begun() || self.is_unreached();
        if crossed && is_unreached() { CloseReason::PeerClosedIdle } else { reason }
    }

    /// Rows of a name and a value; the names are those of `ConnectionFacts` in
    /// index.d.ts, and times are in ms.
    pub fn facts(&self, now: Instant) -> String {
        let mut text = String::new();
        let mut row = |name: &str, value: &dyn Display| {
            let separator = if text.is_empty() { "" } else { "\n" };
            // Writing to a string does not fail.
            let _ = write!(text, "{separator}{name}\t{value}");
        };
        row("reused", &(self.served > 0));
        row("age", &(now - self.opened).as_millis());
        if let Some(idle) = self.tally.idle_before {
            row("idle", &idle.as_millis());
        }
        row("served", &self.served);
        row("bytesWritten", &self.tally.of_exchange(self.tally.written));
        row("bytesRead", &self.received);
        if let Some(info) = self.stream.tcp_info() {
            if self.secured.is_none() {
                row("bytesAcknowledged", &self.acknowledged_of(info.acked));
            }
            if let Some(round_trip) = info.round_trip {
                row("roundTrip", &format_args!("{:.3}", round_trip.smoothed.as_secs_f64() * 1000.0));
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_tally_counts_the_present_exchange() {
        let mut tally = Tally::new(Instant::now());
        tally.wrote(10);
        assert_eq!(tally.of_exchange(tally.written), 10);
        tally.begin(3, None, Duration::from_secs(1));
        assert_eq!(tally.of_exchange(tally.written), 0);
        assert_eq!((tally.owed(), tally.has_begun()), (3, false));
        // The rest of the request before, then this one.
        tally.drained(3);
        assert_eq!(tally.of_exchange(tally.written), 0);
        assert_eq!((tally.owed(), tally.has_begun()), (0, false));
        tally.wrote(5);
        assert_eq!(tally.of_exchange(tally.written), 5);
        assert_eq!((tally.owed(), tally.has_begun()), (0, true));
    }
}
