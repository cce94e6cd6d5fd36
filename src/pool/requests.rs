//! What JavaScript asks for, row by row, in the order in which it asked. What leases and parks a lane is in `leasing`,
//! what writes in `writing`.

use std::net::IpAddr;
use std::time::Duration;

use tracing::error;

use super::Pool;
use super::ask::Ask;
use super::connection::Connection;
use super::lane::{Cause, Guards, Lane, State};
use super::out_queue::OutQueue;
use super::routes::Route;
use super::status::add;
use crate::binding::blob::Blob;
use crate::binding::records::{LaneRef, event};
use crate::binding::submission::{Malformed, Op, Opening, Submission};
use crate::connect::{Probes, Stream};
use crate::error::CloseReason;
use crate::exchange::Hint;
use crate::reply::Reply;

/// Requests that are too rare for a row.
pub enum Cold {
    /// A route gets a number; `forgotten` is no route's any more.
    Introduce {
        number: u32,
        route: Box<Route>,
        forgotten: Option<u32>,
    },
    Open(Box<Open>),
    /// The answer to [`event::RESOLVE`] or [`event::PROBE`]: the addresses, or
    /// none if JavaScript refuses or failed.
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
    pub reply: Reply<Option<Vec<u8>>>,
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
            let is_present = self.lane(slot).is_some_and(|lane| lane.epoch == epoch);
            match request {
                Op::Cold { index } => {
                    if let Some(request) = cold.get_mut(index).and_then(Option::take) {
                        self.apply_cold(slot, epoch, request);
                    }
                }
                Op::Open(how) => self.open(slot, epoch, Open { how, addresses: None, answers: None }),
                Op::Close { reset, over, reason, account } => {
                    if account != 0 {
                        self.link.accounts.give(account, self.account_of(LaneRef { slot, epoch }));
                    }
                    self.waiting.close(LaneRef { slot, epoch });
                    if over && is_present {
                        self.with_stream(slot, Connection::end_exchange);
                    }
                    if is_present {
                        self.close_lane(slot, reset, reason);
                    }
                }
                // With these a request begins.
                Op::Lease { http, received, max_replay } => {
                    self.lease(LaneRef { slot, epoch }, http, received, max_replay);
                }
                Op::Wait { queue, bytes, leave, last } => {
                    self.wait(LaneRef { slot, epoch }, queue, bytes, leave, last);
                }
                Op::Attach { from, received } => self.attach(slot, epoch, from, received),
                // The others speak of the one that the lane has now.
                _ if !is_present => {}
                Op::Yield { queue } => self.yield_to(slot, queue),
                Op::Write { bytes, leave, when, notify } => self.write(slot, bytes, leave, when, notify),
                Op::Shutdown => self.shutdown(slot),
                Op::Hint { timeout_ms, max } => {
                    if let Some(lane) = self.lane(slot) {
                        let timeout = timeout_ms.map(|ms| Duration::from_millis(ms.into()));
                        lane.hint = Hint { timeout, max };
                    }
                }
                Op::Park { limit_ms, received } => self.park(slot, limit_ms, received),
                Op::Waited { ms } => {
                    if let Some(lane) = self.lane(slot) {
                        lane.counts.wait.borrow_mut().record(Duration::from_millis(ms.into()));
                    }
                }
                Op::AskQuiet { question } => self.ask_quiet(LaneRef { slot, epoch }, question),
                Op::Consumed { bytes } => self.consumed(slot, bytes),
                Op::Proceed { attempt } => self.proceed(slot, attempt),
                Op::Refuse => self.refuse(slot),
                Op::Gate => {
                    if let Some(lane) = self.lane(slot) {
                        lane.guards.secure = true;
                    }
                }
                Op::NoDelay(on) => self.with_stream(slot, |connection| {
                    connection.set_options(|stream| stream.set_no_delay(on));
                }),
                Op::KeepAlive { delay, interval, count } => self.with_stream(slot, |connection| {
                    let secs = |secs: u32| Duration::from_secs(secs.into());
                    let probes = delay.map(|delay| Probes {
                        delay: connection.destination.probe_delay(secs(delay)),
                        interval: secs(interval),
                        count,
                    });
                    connection.set_options(|stream| stream.set_keep_alive(probes));
                }),
                Op::TypeOfService(value) => self.with_stream(slot, |connection| {
                    connection.set_options(|stream| stream.set_type_of_service(value));
                }),
            }
        })?;
        let mut early = std::mem::take(&mut self.early);
        for id in early.drain(..) {
            // The tick has not taken back what it has written early.
            self.write_out(id);
        }
        self.early = early;
        Ok(())
    }

    fn apply_cold(&mut self, slot: u32, epoch: u32, request: Cold) {
        match request {
            Cold::Introduce { number, route, forgotten } => self.routes.introduce(number, *route, forgotten),
            Cold::Open(open) => self.open(slot, epoch, *open),
            Cold::Resolved { serial, addresses } => self.resolved(slot, serial, addresses),
            Cold::Ask(ask) => self.answer(slot, epoch, ask),
            Cold::Export(export) => self.export(slot, epoch, export),
        }
    }

    fn open(&mut self, slot: u32, epoch: u32, open: Open) {
        // A slot is only given away again after its CLOSE, so this finds nothing.
        self.close_lane(slot, false, CloseReason::NotKept);
        let Opening { route, resolver, .. } = open.how;
        let Some((destination, mut limits)) = self.routes.find(route, resolver) else {
            error!(lane = slot, route, "a bug: no such route");
            let text = format!("it has no such route\nreason\t{}", CloseReason::InternalError as i32);
            self.report(event::ERROR, LaneRef { slot, epoch }, 0, text.as_bytes());
            return;
        };
        limits.answers = open.answers;
        let learned = &mut self.learned;
        let counts = self.status.of(&destination, || learned.of(&destination));
        add(&counts.requests);
        let buffered = self.buffered(destination.agent, limits.max_buffered);
        let guards = Guards {
            lookup: open.how.guard_lookup,
            attempt: open.how.guard_attempt,
            connect: open.how.guard_connect,
            secure: open.how.guard_secure,
        };
        let mut lane = Lane::new(epoch, destination, limits, guards, counts, buffered);
        lane.keylog = open.how.keylog;
        self.put_lane(slot, lane);
        self.start_connect(slot, Cause::First, open.addresses);
    }

    pub(super) fn close_lane(&mut self, slot: u32, reset: bool, reason: CloseReason) {
        let Some(lane) = self.lanes.get_mut(slot as usize).and_then(Option::take) else { return };
        match lane.state {
            State::Connecting { task, .. } => task.abort(),
            State::Bound(id) | State::Gated(id, _) => {
                if reset && let Some(connection) = self.connections.get_mut(id) {
                    connection.out = OutQueue::default();
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
            return;
        }
        if let State::Gated(id, _) = lane.state {
            self.look_at_unpassed(id, slot);
        }
        let Some(lane) = self.lane(slot) else { return };
        if let State::Gated(id, _) = lane.state {
            lane.state = State::Bound(id);
            self.bind_pending(slot, id);
        } else if let State::Unpassed(cause) = lane.state {
            // If a repetition cannot be had, the caller still sees the loss that led to it.
            let cause = if matches!(cause, Cause::Retry(_)) { cause } else { Cause::Fresh };
            self.start_connect(slot, cause, None);
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
        let connection = connection.filter(|connection| !connection.is_untold);
        let exported = connection.and_then(|connection| match &connection.stream {
            Stream::Tls(stream) => stream.export(export.length, &export.label, export.context.as_deref()),
            _ => None,
        });
        export.reply.give(|| exported);
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::LocalSet;

    use super::super::facts::NOTHING_LEFT;
    use super::super::test_pool::{LIMITS, TestPool, all_of};
    use crate::binding::records::{op, op_flag};
    use crate::error::CloseReason;

    /// The row that closes a lane in its second epoch, and asks for the account with this number.
    const fn close(slot: i32, number: i32) -> [i32; 5] {
        [op::CLOSE, slot, 2, CloseReason::Aborted as i32, number]
    }

    #[tokio::test]
    async fn a_request_that_is_closed_is_accounted_for_and_what_has_not_left_of_it_never_does() {
        let test = async {
            let mut test = TestPool::new(LIMITS);
            let (id, mut sent) = test.reuse(0).await;
            let (_, mut taken_back) = test.reuse(1).await;
            test.reuse(2).await;
            test.submit(|held| {
                for (slot, when) in [(0, 0), (1, op_flag::EARLY)] {
                    held.rows.extend([op::WRITE | when << 8, slot, 2, 0, 7]);
                    held.bytes.extend(b"request");
                }
                for (slot, number) in [(0, 10), (1, 11), (2, 0)] {
                    held.rows.extend(close(slot, number));
                }
                // None has this slot.
                held.rows.extend(close(5, 12));
            });
            let account = |number| test.link.accounts.take(number).unwrap_or_default();
            assert!(account(10).contains("bytesWritten\t7\n"));
            assert!(account(11).contains("bytesWritten\t0\n"));
            assert_eq!(account(12), NOTHING_LEFT);
            assert_eq!(test.link.accounts.take(0), None, "nobody has asked");
            assert!(test.pool.borrow_mut().connections.get(id).is_none());
            assert_eq!(all_of(&mut sent), b"request");
            assert_eq!(all_of(&mut taken_back), b"", "nothing but the end");
        };
        LocalSet::new().run_until(test).await;
    }

    #[tokio::test]
    async fn a_request_that_waits_is_closed_before_it_is_sent() {
        let test = async {
            let mut test = TestPool::new(LIMITS);
            test.submit(|held| {
                held.rows.extend([op::WAIT, 1, 2, 7, 7]);
                held.bytes.extend(b"request");
                held.rows.extend(close(1, 10));
            });
            assert_eq!(test.link.accounts.take(10).as_deref(), Some(NOTHING_LEFT));
            assert!(!test.pool.borrow_mut().waiting.has_next(7));
        };
        LocalSet::new().run_until(test).await;
    }
}
