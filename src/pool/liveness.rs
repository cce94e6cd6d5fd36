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
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::info;

use super::Pool;
use super::connection::{Connection, ConnectionId};
use super::faults::caught;
use super::lane::LossReport;
use super::watch::{ALERT, Finding, Watch};
use crate::binding::records::event;
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
        if self.watched.is_empty() {
            return None;
        }
        Some(if alert { ALERT } else { CALM })
    }

    fn look_at(&mut self, id: ConnectionId, heard: Option<Instant>, now: Instant) -> Finding {
        let Some(connection) = self.connections.get_mut(id) else { return Finding::Acknowledged };
        let Some(limit) = connection.destination.dead_peer else { return Finding::Acknowledged };
        let Some(info) = connection.stream.tcp_info() else { return Finding::Acknowledged };
        // A peer that does not read answers the probes of its closed window, but the kernel's own limit
        // counts on (TCP_USER_TIMEOUT, tcp(7)), and would end an upload that is only slow.
        if info.window_closed != connection.window_closed {
            connection.window_closed = info.window_closed;
            connection.stream.set_user_timeout((!info.window_closed).then_some(limit));
        }
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
                if self.lane(slot).is_some_and(|lane| !(lane.guards.attempt || lane.guards.connect)) {
                    self.probe(destination, watch.silent().unwrap_or(watch.since()));
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

    /// Sees whether a new connection can be had, unless that is known, or JavaScript has a say in it.
    fn probe(&mut self, destination: SharedDestination, silent: Instant) {
        let known = self.heard_by_probe.get(&destination).is_some_and(|&heard| heard > silent);
        if destination.resolver != 0 || known {
            return;
        }
        let Some(pool) = self.handle() else { return };
        if !self.probing.insert(destination.clone()) {
            return;
        }
        tokio::task::spawn_local(async move {
            let limit = destination.dead_peer.unwrap_or_default();
            // Without TLS: that the peer's kernel answers is all there is to know.
            let connect = caught(connect::connect(&destination, None, None, &Unheard));
            let connected = tokio::time::timeout(limit, connect).await;
            let mut pool = pool.borrow_mut();
            pool.probing.remove(&destination);
            // If there was none to be had, the next retransmission of a suspect asks again.
            if matches!(connected, Ok(Some(Ok(_)))) {
                pool.heard_by_probe.insert(destination, Instant::now());
            }
        });
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

    use super::*;
    use crate::binding::link::Link;
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
                pool.borrow_mut().probe(destination.clone(), silent);
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
}
