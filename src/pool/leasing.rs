//! How a lane comes to a connection and lets go of it: a request takes up the one that is parked under it, or
//! another one where that is of no use any more; between two requests it is parked, for as long as it may be.

use std::time::Duration;

use tokio::time::Instant;

use super::Pool;
use super::connection::{Connection, ConnectionId, Fin};
use super::lane::{Cause, State, accepts};
use super::status::add;
use crate::binding::records::{LaneRef, event, rebound};
use crate::error::CloseReason;
use crate::exchange::Verdict;

impl Pool {
    /// A new request begins on the lane.
    pub(super) fn lease(&mut self, request: LaneRef, http: bool, received: u32, max_replay: u32) {
        // A lane that JavaScript does not know to be connected keeps its epoch: what is reported of that connect is this
        // request's, too.
        let is_told = self.lane(request.slot).is_some_and(|lane| lane.epoch == request.epoch);
        self.take_up(request, is_told, http, received, max_replay);
    }

    /// A request goes out on the connection of its lane if that is alive, else the first write chooses another one.
    /// `is_told`: what is reported of the lane's connect is told to this request.
    pub(super) fn take_up(
        &mut self,
        LaneRef { slot, epoch }: LaneRef,
        is_told: bool,
        http: bool,
        received: u32,
        max_replay: u32,
    ) {
        let Some(lane) = self.lane(slot) else { return };
        let hint = lane.hint;
        lane.begin(epoch, http, max_replay as usize);
        add(&lane.counts.requests);
        let read_ahead = lane.limits.read_ahead;
        // Where a listener of the lane's guards each connect another connection may not be had: this one is as good.
        let may_exchange = !lane.guards.by_listener();
        if matches!(lane.state, State::Failed) && !is_told {
            // The report of the failure will find another request on the lane, and be dropped.
            lane.state = State::Lost;
        }
        let Some(id) = lane.connection() else { return };
        let Some(connection) = self.connections.get_mut(id) else { return };

        if is_told && connection.parked.is_none() {
            // It is this one's first as well, and an end that has come will be told to this one.
            connection.window.resize(read_ahead);
            return;
        }
        let now = Instant::now();
        if connection.parked.is_none() {
            // It had waited for the lane.
            connection.requests_left = connection.requests_left_after(hint.max);
            connection.unused = Some(connection.idle_limit(None, hint.timeout, now));
        }
        let reason = if connection.has_unasked(received) {
            Some(CloseReason::UnexpectedData)
        } else if connection.ended || connection.write_error.is_some() {
            Some(CloseReason::PeerClosedIdle)
        } else if connection.requests_left == Some(0) {
            Some(CloseReason::NotKept)
        } else {
            connection.outlasted(now)
        };
        let (was_parked, is_untold) = (connection.parked.is_some(), connection.is_untold);
        connection.begin_exchange(now);
        if !may_exchange {
            connection.unused = None;
        }
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
        } else if is_untold {
            let addresses = self.connections.get(id).map(Connection::address_text).unwrap_or_default();
            self.report_exchange(slot, id, &addresses);
        }
    }

    /// Tells JavaScript that the lane has the idle connection of another one.
    fn report_exchange(&mut self, slot: u32, id: ConnectionId, addresses: &str) {
        self.report_secured(slot, id, 0);
        self.report_rebound(slot, 0, rebound::IDLE, addresses);
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
                let connection = connections.get(id);
                let secured = connection.and_then(|connection| connection.secured.as_deref());
                accepts(pin.as_deref(), secured) && !connection.is_some_and(Connection::owes)
            };
            let Some(id) = self.idle.take(&destination, is_fit) else { break };
            let Some(connection) = self.connections.get_mut(id) else { continue };
            let addresses = connection.address_text();
            let unusable = connection.last_look(now);
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
            connection.change_lane(slot);
            connection.begin_exchange(now);
            connection.window.resize(read_ahead);
            connection.wake();
            self.set_state(slot, State::Bound(id));
            self.report_exchange(slot, id, &addresses);
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
        // Its response may have come long before the end of its request, since which it is idle.
        if connection.parked.is_none() && connection.tally.ends_with_write() {
            connection.tally.advance(now);
        }
        let limit = connection.idle_limit(own, hint.timeout, now);
        if connection.served == 0 {
            // The first request waited for the connection. The next ones do not, and need no memory for that.
            connection.out.shrink();
        }
        if connection.parked.is_none() {
            connection.requests_left = connection.requests_left_after(hint.max);
        }
        let was_parked = connection.parked.replace(limit).is_some();
        let reason = if connection.has_unasked(received) {
            Some(CloseReason::UnexpectedData)
        } else if connection.ended || connection.write_error.is_some() || connection.fin != Fin::None {
            Some(CloseReason::PeerClosedIdle)
        } else if connection.requests_left == Some(0) {
            Some(CloseReason::NotKept)
        } else {
            connection.expired(now)
        };
        if let Some(reason) = reason {
            self.drop_connection(id, reason);
            self.set_state(slot, State::Lost);
            self.report(event::CLOSED, self.lane_ref(slot), reason as i32, &[]);
            return;
        }
        if let Some(deadline) = limit.deadline {
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

#[cfg(test)]
mod tests {
    use std::io::Read;

    use tokio::task::LocalSet;

    use super::super::test_pool::{LIMITS, TestPool};
    use super::*;
    use crate::binding::blob::Blob;
    use crate::binding::records::{op, op_flag};
    use crate::binding::submission::Submission;
    use crate::connect::Stream;
    use crate::pool::Cold;

    const PARK: [i32; 5] = [op::PARK, 0, 2, 60_000, 0];
    const HINT: [i32; 5] = [op::HINT, 0, 2, 60_000, -1];
    const LEASE: [i32; 5] = [op::LEASE | op_flag::HTTP << 8, 0, 3, 0, 100];
    const WRITE: [i32; 5] = [op::WRITE, 0, 3, 0, 7];

    /// How many connections were closed for this reason.
    fn closes(test: &TestPool, reason: CloseReason) -> usize {
        let stats = test.pool.borrow().stats(1);
        stats.lines().filter(|line| *line == format!("closes.{}\t1", reason.name())).count()
    }

    #[tokio::test]
    async fn a_connection_is_idle_since_the_end_of_its_request_if_that_comes_behind_the_response() {
        let run = async {
            for is_behind in [false, true] {
                let mut test = TestPool::new(LIMITS);
                let (id, _server) = test.reuse(0).await;
                let write = |submission: &mut Submission<Cold, Blob>| {
                    submission.rows.extend([op::WRITE, 0, 2, 0, 7]);
                    submission.bytes.extend(b"request");
                };
                test.submit(write);
                {
                    let mut pool = test.pool.borrow_mut();
                    let connection = pool.connections.get_mut(id).unwrap();
                    // It was answered two minutes ago.
                    connection.last_read = Instant::now() - Duration::from_secs(120);
                    connection.tally.advance(connection.last_read);
                    connection.tally.read();
                }
                if is_behind {
                    test.submit(write);
                }
                test.submit(|submission| submission.rows.extend(PARK));
                assert_eq!(closes(&test, CloseReason::IdleTimeout), usize::from(!is_behind));
            }
        };
        LocalSet::new().run_until(run).await;
    }

    #[tokio::test]
    async fn the_limit_of_an_idle_connection_holds_until_the_first_byte_has_left() {
        let run = async {
            // One that was idle, or had waited for a request that waited for it.
            for (before, is_blocked) in [(PARK, false), (PARK, true), (HINT, false), (HINT, true)] {
                let mut test = TestPool::new(LIMITS);
                let (id, mut server) = test.reuse(0).await;
                test.submit(|submission| submission.rows.extend([before, LEASE].concat()));
                let pass = |test: &TestPool| {
                    let mut pool = test.pool.borrow_mut();
                    let connection = pool.connections.get_mut(id).unwrap();
                    connection.unused.as_mut().unwrap().deadline = Some(Instant::now());
                };
                let write = |test: &mut TestPool| {
                    test.submit(|submission| {
                        submission.rows.extend(WRITE);
                        submission.bytes.extend(b"request");
                    });
                };
                if is_blocked {
                    test.clog(id);
                    write(&mut test);
                    pass(&test);
                    TestPool::unclog(&mut server);
                } else {
                    pass(&test);
                    write(&mut test);
                }
                let is_sent = |test: &TestPool| test.pool.borrow_mut().lane(0).is_some_and(|lane| lane.sent);
                test.until(is_sent).await;
                assert_eq!(closes(&test, CloseReason::IdleTimeout), 1, "{is_blocked}");
                let mut request = [0; 8];
                assert_eq!(test.accept().await.read(&mut request).unwrap(), 7);

                // While its answer is waited for it is not idle.
                let mut pool = test.pool.borrow_mut();
                let id = pool.lane(0).and_then(|lane| lane.connection()).unwrap();
                assert!(pool.connections.get(id).unwrap().unused.is_none());
            }
        };
        LocalSet::new().run_until(run).await;
    }

    #[tokio::test]
    async fn it_does_not_where_another_connection_may_not_be_had() {
        let run = async {
            let mut test = TestPool::new(LIMITS);
            let (id, _server) = test.reuse(0).await;
            test.pool.borrow_mut().lane(0).unwrap().guards.connect = true;
            test.submit(|submission| submission.rows.extend([PARK, LEASE].concat()));
            assert!(test.pool.borrow().connections.get(id).unwrap().unused.is_none());
        };
        LocalSet::new().run_until(run).await;
    }

    /// Whether Nagle's algorithm is off, probes are sent, and which type of service it has.
    fn options_of(test: &TestPool, id: ConnectionId) -> (bool, bool, u32) {
        let pool = test.pool.borrow();
        let Stream::Tcp(socket) = &pool.connections.get(id).unwrap().stream else { unreachable!() };
        let keep_alive = socket2::SockRef::from(socket).keepalive().unwrap();
        (socket.nodelay().unwrap(), keep_alive, socket2::SockRef::from(socket).tos_v4().unwrap())
    }

    #[tokio::test]
    async fn its_age_is_counted_while_the_machine_sleeps() {
        const HOUR: Duration = Duration::from_secs(3600);
        let run = async {
            // While it is idle, and while it serves a request.
            for is_parked in [true, false] {
                let mut test = TestPool::new(LIMITS);
                let (id, _server) = test.reuse(0).await;
                if is_parked {
                    test.submit(|submission| submission.rows.extend(PARK));
                }
                {
                    let mut pool = test.pool.borrow_mut();
                    let connection = pool.connections.get_mut(id).unwrap();
                    connection.ttl = Some(HOUR);
                    connection.opened_at = connection.opened_at.before_sleep_of(HOUR);
                }
                let row = if is_parked { LEASE } else { PARK };
                test.submit(|submission| submission.rows.extend(row));
                assert_eq!(closes(&test, CloseReason::Ttl), 1, "{is_parked}");
            }
        };
        LocalSet::new().run_until(run).await;
    }

    #[tokio::test]
    async fn options_that_a_program_sets_on_a_lane_do_not_go_to_another_with_its_connection() {
        const DEFAULTS: (bool, bool, u32) = (true, true, 0);
        let run = async {
            for is_passed_on in [false, true] {
                let mut test = TestPool::new(LIMITS);
                let (lost, _) = test.reuse(0).await;
                let (id, mut server) = test.reuse(1).await;
                assert_eq!(options_of(&test, id), DEFAULTS);
                test.submit(|submission| {
                    submission.rows.extend([op::NO_DELAY, 1, 2, 0, 0]);
                    submission.rows.extend([op::KEEP_ALIVE, 1, 2, -1, 0]);
                    submission.rows.extend([op::TYPE_OF_SERVICE, 1, 2, 16, 0]);
                });
                assert_eq!(options_of(&test, id), (false, false, 16));
                if is_passed_on {
                    test.submit(|submission| {
                        submission.rows.extend([op::YIELD, 1, 2, 7, 0]);
                        submission.rows.extend([op::WRITE, 1, 2, 0, 18]);
                        submission.rows.extend([op::WAIT, 5, 1, 7, 18]);
                        submission.bytes.extend(b"GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n");
                    });
                    const DONE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
                    std::io::Write::write_all(&mut server, DONE).unwrap();
                    test.until(|test| test.received == DONE.len() as i32).await;
                    test.pool.borrow_mut().pass_on(id);
                } else {
                    test.submit(|submission| submission.rows.extend([op::PARK, 1, 2, 60_000, 0]));
                    let mut pool = test.pool.borrow_mut();
                    pool.drop_connection(lost, CloseReason::PeerClosedIdle);
                    pool.set_state(0, State::Lost);
                    pool.select(0);
                }
                let to = if is_passed_on { 5 } else { 0 };
                assert_eq!(test.pool.borrow().connections.get(id).unwrap().lane, to);
                assert_eq!(options_of(&test, id), DEFAULTS, "{is_passed_on}");
            }
        };
        LocalSet::new().run_until(run).await;
    }

    #[tokio::test]
    async fn a_request_that_will_be_told_of_a_failed_connect_is_not_sent_elsewhere() {
        let run = async {
            for (epoch, is_told) in [(2, true), (3, false)] {
                let mut test = TestPool::new(LIMITS);
                let (lost, _) = test.reuse(0).await;
                test.pool.borrow_mut().drop_connection(lost, CloseReason::ConnectFailed);
                test.pool.borrow_mut().set_state(0, State::Failed);
                test.submit(|submission| {
                    submission.rows.extend([op::LEASE | op_flag::HTTP << 8, 0, epoch, 0, 100]);
                    submission.rows.extend([op::WRITE, 0, epoch, 0, 7]);
                    submission.bytes.extend(b"request");
                });
                let is_failed = matches!(test.pool.borrow_mut().lane(0).unwrap().state, State::Failed);
                assert_eq!(is_failed, is_told);
            }
        };
        LocalSet::new().run_until(run).await;
    }

    #[tokio::test]
    async fn a_request_that_gets_a_lane_which_is_not_known_to_be_connected_has_a_fresh_connection() {
        let run = async {
            for is_told in [true, false] {
                let mut test = TestPool::new(LIMITS);
                let _server = test.open(0).await;
                let epoch = if is_told { 1 } else { 2 };
                test.submit(|submission| {
                    submission.rows.extend([op::LEASE | op_flag::HTTP << 8, 0, epoch, 0, 100]);
                    submission.rows.extend([op::WRITE | op_flag::REPLAYABLE << 8, 0, epoch, 0, 7]);
                    submission.bytes.extend(b"request");
                });
                let mut pool = test.pool.borrow_mut();
                let id = pool.lane(0).and_then(|lane| lane.connection()).unwrap();
                let facts = pool.connections.get(id).unwrap().facts(Instant::now());
                assert!(facts.starts_with(&format!("reused\t{}", !is_told)), "{facts}");
                pool.connection_ended(id);
                let is_sent_again = matches!(pool.lane(0).unwrap().state, State::Connecting { .. });
                assert_eq!(is_sent_again, !is_told);
            }
        };
        LocalSet::new().run_until(run).await;
    }

    #[tokio::test]
    async fn a_request_that_waited_takes_the_connection_up_whatever_its_epoch() {
        let run = async {
            for epoch in [1, 2, 3] {
                let mut test = TestPool::new(LIMITS);
                let (id, _server) = test.reuse(0).await;
                test.submit(|submission| {
                    submission.rows.extend([op::WAIT, 5, epoch, 7, 7]);
                    submission.bytes.extend(b"request");
                    submission.rows.extend([op::ATTACH, 5, epoch, 0, 0]);
                });
                let mut pool = test.pool.borrow_mut();
                let connection = pool.connections.get(id).unwrap();
                assert_eq!((connection.lane, connection.served), (5, 2), "{epoch}");
                // Others wait behind it.
                assert_eq!(pool.lane(5).unwrap().queue, Some(7));
            }
        };
        LocalSet::new().run_until(run).await;
    }

    #[tokio::test]
    async fn a_connection_that_is_too_old_is_closed_for_its_age() {
        let run = async {
            let mut test = TestPool::new(LIMITS);
            let (id, _server) = test.reuse(0).await;
            test.submit(|submission| submission.rows.extend(PARK));
            test.pool.borrow_mut().connections.get_mut(id).unwrap().ttl = Some(Duration::ZERO);
            test.submit(|submission| submission.rows.extend(LEASE));
            assert_eq!(closes(&test, CloseReason::Ttl), 1);
        };
        LocalSet::new().run_until(run).await;
    }
}
