//! Dead peers: a switch fails, a host is gone, a balancer forgets a flow, and
//! neither FIN nor RST ever comes. What shows it is that bytes of ours are not
//! acknowledged, by the kernel's own account (`TCP_INFO`).
//!
//! Only connections with bytes on their way are looked at, and only from
//! [`CALM`] after they were written, so a request that is answered at once
//! costs a flag. With nothing on its way no timer runs.
//!
//! What is found comes in three steps. A *suspect* has sent its bytes again in
//! vain: neither it nor the idle connections to its address, until they are
//! heard of, get another request. That is selection, so a false alarm is
//! cheap. Its death is *proved* when a connection that is younger than the
//! silence works, and the suspect's bytes, sent once more after that, are not
//! acknowledged either: an outage of the network would have stopped both. Then
//! rule R6 moves the request, or its place is given away. Without proof the
//! connection is *given up* after `deadPeerTimeout`.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::info;

use super::Pool;
use super::clock;
use super::connection::{Connection, ConnectionId};
use super::faults::caught;
use super::lane::LossReport;
use super::watch::{ALERT, Finding, Watch};
use crate::binding::records::{LaneRef, event};
use crate::connect::{self, Endpoint, Failure, Progress, SharedDestination, Stream};
use crate::error::{CloseReason, timed_out};
use crate::exchange::{Loss, Rule, Verdict};
use crate::tls::KeyLines;

/// How long written bytes are left alone, and how often they are looked at then.
const CALM: Duration = Duration::from_millis(100);
/// How long the success of a probe is of interest: longer than the pauses between retransmissions.
const PROBE_MEMORY: Duration = Duration::from_secs(60);

/// A connect that is made to see whether one can be had, of which nobody hears.
struct Unheard;

impl Progress for Unheard {
    fn lookup(&self, _: Result<&[std::net::IpAddr], i32>) {}
    async fn attempt(&self, _: &Endpoint) {}
    fn attempt_failed(&self, _: &Failure) {}
    fn attempt_timeout(&self, _: &Endpoint) {}
    async fn connected(&self, _: &Stream) {}
    fn key_lines(&self, _: &KeyLines) {}
}

/// The addresses for a probe, where JavaScript has a say in them.
pub struct ProbeLookup {
    /// The lane that was asked. If it goes it may never answer.
    asked: LaneRef,
    addresses: oneshot::Sender<Option<Vec<IpAddr>>>,
}

impl ProbeLookup {
    pub fn answer(self, addresses: Option<Vec<IpAddr>>) {
        // The probe may have run out of time.
        let _ = self.addresses.send(addresses);
    }
}

/// When a connection to each destination was last heard of that gets through to it. Asked once in a look, for all
/// suspects: in an outage there may be thousands.
struct LastHeard {
    by_destination: HashMap<SharedDestination, Instant>,
}

impl Pool {
    /// The kernel has taken bytes of a connection.
    pub(super) fn wrote(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        if connection.tally.has_begun() {
            connection.unused = None;
            let slot = connection.lane;
            self.mark_sent(slot);
        } else {
            self.begin_idleness(id);
        }
        let Some(connection) = self.connections.get_mut(id) else { return };
        if !cfg!(target_os = "linux") || connection.destination.dead_peer.is_none() {
            return;
        }
        match &mut connection.watch {
            // What was written before has been answered, and nobody has looked since.
            Some(watch) if watch.since() < connection.last_read => *watch = Watch::new(Instant::now()),
            Some(_) => {}
            None => {
                connection.watch = Some(Watch::new(Instant::now()));
                if self.watched.is_empty() {
                    self.watch_begins.notify_one();
                }
                self.watched.push(id);
            }
        }
    }

    /// The task that looks, while there is something to look at.
    pub(super) async fn liveness_watch(pool: Rc<RefCell<Self>>) {
        let begins = Rc::clone(&pool.borrow().watch_begins);
        loop {
            begins.notified().await;
            let mut pause = Some(CALM);
            while let Some(time) = pause {
                tokio::time::sleep(time).await;
                pause = Self::attempt_or_break(&pool, Self::look_at_all).flatten();
            }
        }
    }

    /// When to look again, if at all.
    fn look_at_all(&mut self) -> Option<Duration> {
        let now = Instant::now();
        let mut heard = None;
        let mut alert = false;
        let mut watched = std::mem::take(&mut self.watched);
        watched.retain(|&id| {
            let Some(connection) = self.connections.get(id) else { return false };
            let Some(watch) = connection.watch else { return false };
            let mut finding = Finding::Waiting;
            let answered = connection.last_read > watch.since() && connection.out.is_empty();
            if answered && !connection.window_closed {
                // The kernel need not be asked. Under a steady load it never is.
                finding = Finding::Acknowledged;
            } else if watch.is_seen() || now - watch.since() >= CALM {
                let heard = watch.silent().and_then(|_| {
                    let heard = heard.get_or_insert_with(|| self.last_heard());
                    heard.by_destination.get(&connection.destination).copied()
                });
                finding = self.look_at(id, heard, now);
                alert = true;
            }
            self.found(id, finding);
            self.connections.get(id).is_some_and(|connection| connection.watch.is_some())
        });
        // What was found may have led to a write on another one.
        watched.append(&mut self.watched);
        self.watched = watched;
        self.heard_by_probe.retain(|_, heard| now - *heard < PROBE_MEMORY);
        self.forget_unanswered();
        if self.watched.is_empty() {
            return None;
        }
        Some(if alert { ALERT } else { CALM })
    }

    fn look_at(&mut self, id: ConnectionId, heard: Option<Instant>, now: Instant) -> Finding {
        let Some(connection) = self.connections.get_mut(id) else { return Finding::Acknowledged };
        let Some(limit) = connection.destination.dead_peer else { return Finding::Acknowledged };
        let Some(info) = connection.stream.tcp_info() else { return Finding::Acknowledged };
        connection.note_peer(info.is_confirmed(), info.window_closed);
        let limit =
            if connection.is_confirmed { limit } else { connection.destination.connect_patience(limit) };
        connection.watch.as_mut().map_or(Finding::Acknowledged, |watch| watch.look(&info, heard, limit, now))
    }

    fn last_heard(&self) -> LastHeard {
        let mut last = LastHeard { by_destination: self.heard_by_probe.clone() };
        for connection in self.connections.iter() {
            let heard = connection.heard();
            let last = last.by_destination.entry(connection.destination.clone()).or_insert(heard);
            *last = heard.max(*last);
        }
        last
    }

    fn found(&mut self, id: ConnectionId, finding: Finding) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        let (peer, destination) = (connection.peer, connection.destination.clone());
        if !matches!(finding, Finding::Waiting | Finding::Acknowledged) {
            info!(connection = %id, ?finding, to = %destination.target, "unacknowledged bytes");
        }
        match finding {
            Finding::Waiting => {}
            Finding::Acknowledged => {
                let was_suspect = connection.watch.take().is_some_and(|watch| watch.is_suspect());
                if was_suspect {
                    self.trust(peer);
                }
            }
            Finding::Cleared => self.trust(peer),
            Finding::Suspect | Finding::SentAgain => {
                let Some(watch) = connection.watch else { return };
                let slot = connection.lane;
                self.doubt(peer, watch.since());
                if self.lane(slot).is_some_and(|lane| !lane.guards.by_listener()) {
                    self.probe(slot, destination, watch.silent().unwrap_or(watch.since()));
                }
            }
            Finding::Proved => {
                self.close_doubted(peer);
                self.dead(id, false);
            }
            Finding::GivenUp => {
                self.close_doubted(peer);
                self.dead(id, true);
            }
        }
    }

    /// Idle connections to an address that has been silent `since` are not used before they are heard of.
    pub(super) fn doubt(&mut self, peer: Option<SocketAddr>, since: Instant) {
        self.each_to(peer, |connection| {
            connection.doubted |= connection.parked.is_some() && connection.last_read < since;
        });
    }

    /// The address has been heard of.
    fn trust(&mut self, peer: Option<SocketAddr>) {
        self.each_to(peer, |connection| connection.doubted = false);
    }

    fn each_to(&mut self, peer: Option<SocketAddr>, mut apply: impl FnMut(&mut Connection)) {
        for id in self.connections.to(peer) {
            if let Some(connection) = self.connections.get_mut(id) {
                apply(connection);
            }
        }
    }

    pub(super) fn close_doubted(&mut self, peer: Option<SocketAddr>) {
        for id in self.connections.to(peer) {
            if self.connections.get(id).is_some_and(|connection| connection.doubted) {
                self.lose_parked(id, CloseReason::DeadPeer);
            }
        }
    }

    /// Sees whether a new connection can be had, unless that is known. Where JavaScript has a say in where it leads, it
    /// is asked, by the lane of the suspect.
    fn probe(&mut self, slot: u32, destination: SharedDestination, silent: Instant) {
        let known = self.heard_by_probe.get(&destination).is_some_and(|&heard| heard > silent);
        if known {
            return;
        }
        let Some(pool) = self.handle() else { return };
        if !self.probing.insert(destination.clone()) {
            return;
        }
        let lookup = (destination.resolver != 0).then(|| self.resolve_for_probe(slot, &destination));
        tokio::task::spawn_local(async move {
            let limit = destination.dead_peer.unwrap_or_default();
            let work = async {
                let addresses = match lookup {
                    Some(lookup) => Some(lookup.await.ok().flatten()?),
                    None => None,
                };
                // Without TLS: that the peer's kernel answers is all there is to know.
                caught(connect::connect(&destination, addresses, None, &Unheard)).await?.ok()
            };
            let connected = tokio::time::timeout(limit, work).await;
            let mut pool = pool.borrow_mut();
            pool.probing.remove(&destination);
            // If there was none to be had, the next retransmission of a suspect asks again.
            if matches!(connected, Ok(Some(_))) {
                pool.heard_by_probe.insert(destination, Instant::now());
            }
        });
    }

    fn resolve_for_probe(
        &mut self,
        slot: u32,
        destination: &SharedDestination,
    ) -> oneshot::Receiver<Option<Vec<IpAddr>>> {
        let (addresses, resolved) = oneshot::channel();
        let asked = self.lane_ref(slot);
        let lookup = ProbeLookup { asked, addresses };
        let is_kept = self.lane(slot).is_some_and(|lane| lane.limits.answers.is_some());
        if is_kept && let Some(kept) = self.answers.get(destination, clock::uptime()) {
            lookup.answer(Some(kept));
        } else {
            let serial = self.next_serial();
            self.probe_lookups.insert(serial, lookup);
            self.report(event::PROBE, asked, serial.cast_signed(), &[]);
        }
        resolved
    }

    /// Probes do not wait for an answer that never comes: others may ask.
    fn forget_unanswered(&mut self) {
        let mut lookups = std::mem::take(&mut self.probe_lookups);
        lookups.retain(|_, lookup| {
            !lookup.addresses.is_closed() && self.lane_ref(lookup.asked.slot) == lookup.asked
        });
        self.probe_lookups = lookups;
    }

    /// A connection is dead. Its request goes elsewhere by rule R6; else it stays, out of the books, in case
    /// the peer is heard of after all, and `given_up` ends it.
    fn dead(&mut self, id: ConnectionId, given_up: bool) {
        let Some(connection) = self.connections.get(id) else { return };
        if connection.parked.is_some() {
            self.lose_parked(id, CloseReason::DeadPeer);
            return;
        }
        let slot = connection.lane;
        let report = LossReport::of(&timed_out(), "read");
        let verdict = self.verdict(slot, connection, Loss::DeadPeer);
        let movable = match verdict {
            Verdict::Retry(rule) => given_up || rule == Rule::R6,
            verdict => verdict == Verdict::Select,
        };
        // What is still on its way must not arrive after its repetition.
        if (movable || given_up)
            && let Some(connection) = self.connections.get_mut(id)
        {
            connection.stream.reset_on_close();
        }
        if movable {
            self.replace(id, slot, verdict, report);
        } else if given_up {
            self.report_loss(id, slot, report);
        } else {
            self.report(event::DEAD, self.lane_ref(slot), 0, &[]);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::sync::Arc;

    use tokio::task::LocalSet;

    use super::super::test_pool::{LIMITS, TestPool};
    use super::*;
    use crate::binding::link::Link;
    use crate::binding::records::op;
    use crate::connect::{Destination, Target, TcpTarget};

    #[tokio::test]
    async fn a_probe_that_was_refused_is_made_again() {
        let test = async {
            let pool = Pool::start(Arc::new(Link::new()));
            // Bound, and not listening: nobody else gets the port, and connects are refused.
            let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
            socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
            let port = socket.local_addr().unwrap().as_socket().unwrap().port();
            let destination = SharedDestination::from(Destination {
                target: Target::Tcp(TcpTarget::for_test("127.0.0.1", port)),
                dead_peer: Some(Duration::from_secs(20)),
                ..Destination::for_test(1)
            });
            let silent = Instant::now();
            let probe = async || {
                pool.borrow_mut().probe(0, destination.clone(), silent);
                let began = pool.borrow().probing.len();
                while !pool.borrow().probing.is_empty() {
                    tokio::task::yield_now().await;
                }
                (began, pool.borrow().heard_by_probe.get(&destination).copied())
            };
            assert_eq!(probe().await, (1, None));
            socket.listen(1).unwrap();
            let _listener = TcpListener::from(socket);
            let (began, heard) = probe().await;
            assert_eq!(began, 1);
            assert!(heard.is_some_and(|heard| heard > silent));
            assert_eq!(probe().await, (0, heard), "it is known");
        };
        LocalSet::new().run_until(test).await;
    }

    #[tokio::test]
    async fn a_probe_whose_lane_goes_does_not_keep_others_from_asking() {
        let run = async {
            let mut test = TestPool::new(LIMITS);
            let _servers = (test.open(0).await, test.open(1).await);
            let silent = Instant::now();
            let mut destination = Destination::clone(&test.pool.borrow_mut().lane(0).unwrap().destination);
            destination.resolver = 7;
            destination.dead_peer = Some(Duration::from_secs(3600));
            let destination = SharedDestination::from(destination);
            let ask = async |test: &mut TestPool, slot| {
                test.pool.borrow_mut().probe(slot, destination.clone(), silent);
                let is_asked = |row: &[i32]| row[0] == event::PROBE && row[1] == slot.cast_signed();
                test.until(|test| test.batch.rows.chunks(5).any(is_asked)).await;
                test.pool.borrow().serial
            };
            ask(&mut test, 0).await;
            test.submit(|submission| {
                submission.rows.extend([op::CLOSE, 0, 1, CloseReason::Aborted as i32, 0])
            });
            test.pool.borrow_mut().forget_unanswered();
            let ended = test.until(|test| test.pool.borrow().probing.is_empty());
            tokio::time::timeout(Duration::from_secs(10), ended).await.expect("it waits for the limit");
            assert_eq!(test.pool.borrow().heard_by_probe.get(&destination), None);

            let serial = ask(&mut test, 1).await;
            test.pool.borrow_mut().forget_unanswered();
            test.pool.borrow_mut().resolved(1, serial, Some(vec![[127, 0, 0, 1].into()]));
            test.until(|test| test.pool.borrow().probing.is_empty()).await;
            assert!(test.pool.borrow().heard_by_probe.contains_key(&destination));
            assert!(test.pool.borrow().probe_lookups.is_empty());
        };
        LocalSet::new().run_until(run).await;
    }
}
