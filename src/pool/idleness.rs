//! How long a connection has been idle, and whether that is too long: by the limits of this side and of the server, and by
//! its age.

use std::time::Duration;

use tokio::time::Instant;

use super::clock;
use super::connection::Connection;
use super::idle_limit;
use crate::connect::RoundTrip;
use crate::error::CloseReason;

/// Until when a connection may be idle.
#[derive(Clone, Copy, Debug)]
pub struct IdleLimit {
    /// Of the time without a byte, and not of the age.
    limit: Option<Duration>,
    pub deadline: Option<Instant>,
    /// The same moment on a clock that runs on while the machine sleeps.
    wall_deadline: Option<clock::Uptime>,
    /// The deadline is that of the maximum age.
    by_age: bool,
}

impl IdleLimit {
    /// Why the connection is closed then.
    pub const fn reason(&self) -> CloseReason {
        if self.by_age { CloseReason::Ttl } else { CloseReason::IdleTimeout }
    }

    fn has_passed(&self, now: Instant, uptime: clock::Uptime) -> bool {
        self.deadline.is_some_and(|deadline| now >= deadline)
            || self.wall_deadline.is_some_and(|deadline| uptime >= deadline)
    }
}

impl Connection {
    /// How long it may be idle: by this side's limit, `own`, by what the server says, and by what was learned of it.
    pub fn idle_limit(&mut self, own: Option<Duration>, hint: Option<Duration>, now: Instant) -> IdleLimit {
        let limit = [own, self.servers_limit(hint, now)].into_iter().flatten().min();
        self.until(limit, now)
    }

    fn until(&self, limit: Option<Duration>, now: Instant) -> IdleLimit {
        let uptime = clock::uptime();
        let by_limit = limit.map(|limit| self.idle_since() + limit);
        let by_age = self.ttl.map(|ttl| now + ttl.saturating_sub(uptime.since(self.opened_at)));
        let deadline = [by_limit, by_age].into_iter().flatten().min();
        let wall_deadline = deadline.map(|deadline| uptime.plus(deadline - now));
        IdleLimit { limit, deadline, wall_deadline, by_age: deadline != by_limit }
    }

    /// When the last byte came, or left that had to wait for the kernel.
    pub fn idle_since(&self) -> Instant {
        self.last_read.max(self.tally.progress())
    }

    /// When the last byte came or left.
    pub fn quiet_since(&self) -> Instant {
        self.idle_since().max(self.tally.last_write())
    }

    /// All that it owed has left: it is idle from now on, if no request has it.
    pub fn begin_idleness(&mut self, now: Instant) {
        self.tally.advance(now);
        self.parked = self.parked.map(|parked| self.until(parked.limit, now));
        self.unused = self.unused.map(|unused| self.until(unused.limit, now));
    }

    /// Why it has been kept for long enough, if it has.
    pub fn expired(&self, now: Instant) -> Option<CloseReason> {
        if self.owes() {
            return None;
        }
        let uptime = clock::uptime();
        if self.ttl.is_some_and(|ttl| uptime.since(self.opened_at) >= ttl) {
            return Some(CloseReason::Ttl);
        }
        let limit = self.parked.or(self.unused)?;
        limit.has_passed(now, uptime).then(|| limit.reason())
    }

    /// Why it has been idle for too long, if it is or was until now: by the clock, or by what is known of its peer.
    pub fn outlasted(&mut self, now: Instant) -> Option<CloseReason> {
        if self.is_doubtful() {
            return Some(CloseReason::DeadPeer);
        }
        let is_idle = self.parked.or(self.unused).is_some();
        self.expired(now).or_else(|| (is_idle && self.is_overdue(now)).then_some(CloseReason::IdleTimeout))
    }

    /// The limit of being idle that the server sets, by its hint and by what it did to other connections.
    pub fn servers_limit(&mut self, hint: Option<Duration>, now: Instant) -> Option<Duration> {
        let learned = self.closes.limit(now);
        if hint.is_none() && learned.is_none() {
            return None;
        }
        let round_trip = self.round_trip(now);
        let hint = hint.map(|hint| idle_limit::hinted(hint, round_trip));
        let learned = learned.map(|age| idle_limit::learned(age, round_trip));
        [hint, learned].into_iter().flatten().min()
    }

    /// Whether it has been idle for longer than what was learned of its server since it was parked.
    fn is_overdue(&mut self, now: Instant) -> bool {
        let idle = now - self.idle_since();
        !self.owes() && self.servers_limit(None, now).is_some_and(|limit| idle >= limit)
    }

    /// The round trip as the kernel has measured it; asked for now and then, since it costs a system call.
    fn round_trip(&mut self, now: Instant) -> Option<RoundTrip> {
        const FRESH: Duration = Duration::from_secs(1);
        match self.round_trip {
            Some((at, round_trip)) if now - at < FRESH => round_trip,
            _ => {
                let round_trip = self.stream.tcp_info().and_then(|info| info.round_trip);
                self.round_trip = Some((now, round_trip));
                round_trip
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::connection::tests::reused;
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test]
    async fn the_limit_holds_while_the_machine_sleeps() {
        let (mut connection, _peer) = reused(SECOND).await;
        let now = Instant::now();
        let mut limit = connection.idle_limit(Some(SECOND * 3600), None, now);
        for is_expired in [false, true] {
            for is_parked in [true, false] {
                connection.parked = is_parked.then_some(limit);
                connection.unused = (!is_parked).then_some(limit);
                assert_eq!(connection.expired(now).is_some(), is_expired);
            }
            limit.wall_deadline = limit.wall_deadline.map(|at| at.before_sleep_of(SECOND * 3600));
        }
    }

    #[tokio::test]
    async fn the_time_begins_when_what_is_owed_has_left() {
        let (mut connection, _peer) = reused(SECOND * 10).await;
        let limit = connection.idle_limit(Some(SECOND * 15), None, Instant::now());
        connection.parked = Some(limit);
        connection.unused = Some(limit);
        let now = Instant::now();
        connection.begin_idleness(now);
        let deadlines = [connection.parked, connection.unused].map(|limit| limit.unwrap().deadline);
        assert_eq!(deadlines, [Some(now + SECOND * 15); 2]);
    }

    #[tokio::test]
    async fn what_was_learned_of_the_server_holds_for_who_is_idle_and_owes_nothing() {
        let (mut connection, _peer) = reused(SECOND * 10).await;
        let now = Instant::now();
        for event in (1..=3).rev() {
            connection.closes.note(SECOND * 5, now - SECOND * event);
        }
        assert_eq!(connection.outlasted(now), None);
        connection.parked = Some(connection.until(None, now));
        assert_eq!(connection.outlasted(now), Some(CloseReason::IdleTimeout));
        connection.out.push(b"the rest of a body");
        assert_eq!(connection.outlasted(now), None);
        connection.doubted = true;
        assert_eq!(connection.outlasted(now), Some(CloseReason::DeadPeer));
    }

    #[tokio::test]
    async fn the_nearer_limit_holds() {
        const IDLE: Duration = Duration::from_secs(10);
        let s = |seconds| Some(Duration::from_secs(seconds));
        let (mut connection, _peer) = reused(IDLE).await;
        let now = Instant::now();
        let by_limit = connection.last_read + Duration::from_secs(15);
        for (ttl, own, reason) in [
            (None, None, None),
            (None, s(15), Some(CloseReason::IdleTimeout)),
            (s(99), s(15), Some(CloseReason::IdleTimeout)),
            (s(1), s(15), Some(CloseReason::Ttl)),
            (s(99), None, Some(CloseReason::Ttl)),
        ] {
            connection.ttl = ttl;
            let limit = connection.idle_limit(own, None, now);
            assert_eq!(limit.deadline.map(|_| limit.reason()), reason, "{ttl:?} {own:?}");
            let is_by_limit = reason == Some(CloseReason::IdleTimeout);
            assert_eq!(limit.deadline == Some(by_limit), is_by_limit, "{ttl:?} {own:?}");
            assert_eq!(limit.has_passed(by_limit, clock::uptime()), reason.is_some() && own.is_some());
        }
    }
}
