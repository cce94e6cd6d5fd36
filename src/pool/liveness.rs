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
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::info;

use super::Pool;
use super::connection::ConnectionId;
use super::lane::LossReport;
use crate::binding::records::event;
use crate::connect::{self, Endpoint, Failure, Progress, SharedDestination, Stream, TcpInfo};
use crate::error::{CloseReason, timed_out};
use crate::exchange::{Loss, Rule, Verdict};
use crate::tls::KeyLines;

/// How long written bytes are left alone, and how often they are looked at then.
const CALM: Duration = Duration::from_millis(100);
/// How often while something has been on its way for longer than that.
const ALERT: Duration = Duration::from_millis(20);
/// The least time that the acknowledgement of a segment may take: receivers
/// delay it, some by as much as this.
const DELAYED_ACK: Duration = Duration::from_millis(200);

/// How many probes of a closed window have to stay unanswered: receivers answer these at limited rates.
const PROBES: u8 = 3;
/// How long the success of a probe is of interest: longer than the pauses between retransmissions.
const PROBE_MEMORY: Duration = Duration::from_secs(60);

/// What the looks at one connection have shown, from when bytes were written
/// until all are acknowledged.
#[derive(Clone, Copy, Debug)]
pub struct Watch {
    /// Since when nothing more has been acknowledged.
    since: Instant,
    /// The first look: bytes acknowledged, and segments sent again, by then.
    seen: Option<(u64, u32)>,
    looked: Instant,
    /// When segments were first seen to have been sent again.
    silent: Option<Instant>,
    /// When the same was seen after another connection had been heard of.
    refuted: Option<Instant>,
    suspect: bool,
    proved: bool,
}

/// What a look has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Everything has arrived.
    Acknowledged,
    /// Nothing that would be worth a word.
    Waiting,
    /// It was suspected, and has been heard of.
    Cleared,
    /// It is suspected from now on.
    Suspect,
    /// It is dead: another connection works where this one does not.
    Proved,
    /// It has been silent for as long as is allowed.
    GivenUp,
}

impl Watch {
    pub fn new(now: Instant) -> Self {
        Self {
            since: now,
            seen: None,
            looked: now,
            silent: None,
            refuted: None,
            suspect: false,
            proved: false,
        }
    }

    /// When its bytes were first seen to have been sent again.
    pub const fn silent(&self) -> Option<Instant> {
        self.silent
    }

    pub const fn is_suspect(&self) -> bool {
        self.suspect
    }

    /// `heard`: when another connection to the same destination was last heard of.
    pub fn look(&mut self, info: &TcpInfo, heard: Option<Instant>, limit: Duration, now: Instant) -> Finding {
        if !info.outstanding {
            return Finding::Acknowledged;
        }
        let looked = std::mem::replace(&mut self.looked, now);
        let (acked, sent_again) = *self.seen.get_or_insert((info.acked, info.retransmitted));
        let answered = self.silent.is_some_and(|silent| info.last_ack + ALERT < now - silent);
        // A peer that takes nothing is asked now and then, at ever longer intervals.
        let slow = info.window_closed && info.probes == 0;
        if info.acked > acked || answered || slow {
            let suspect = self.suspect;
            *self = Self { seen: Some((info.acked, info.retransmitted)), ..Self::new(now) };
            return if suspect { Finding::Cleared } else { Finding::Waiting };
        }
        let asked = !info.window_closed || info.probes >= PROBES;
        if asked && (now - self.since).min(info.last_ack) >= limit {
            return Finding::GivenUp;
        }
        if info.retransmitted > sent_again {
            self.seen = Some((acked, info.retransmitted));
            self.silent.get_or_insert(now);
            if heard.is_some_and(|heard| self.silent.is_some_and(|silent| heard > silent) && heard <= looked)
            {
                self.refuted.get_or_insert(now);
            }
        }
        let round_trip = info.round_trip.map_or(Duration::ZERO, |trip| trip.smoothed);
        if !self.suspect && self.silent.is_some_and(|silent| now - silent >= round_trip) {
            self.suspect = true;
            return Finding::Suspect;
        }
        let patience = DELAYED_ACK.max(round_trip * 2);
        if self.suspect && !self.proved && self.refuted.is_some_and(|refuted| now - refuted >= patience) {
            self.proved = true;
            return Finding::Proved;
        }
        Finding::Waiting
    }
}

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

impl Pool {
    /// The kernel has taken bytes of a connection.
    pub(super) fn wrote(&mut self, id: ConnectionId) {
        let Some(slot) = self.connections.get(id).map(|connection| connection.lane) else { return };
        self.mark_sent(slot);
        let Some(connection) = self.connections.get_mut(id) else { return };
        if !cfg!(target_os = "linux") || connection.destination.dead_peer.is_none() {
            return;
        }
        match &mut connection.watch {
            // What was written before has been answered, and nobody has looked since.
            Some(watch) if watch.since < connection.last_read => *watch = Watch::new(Instant::now()),
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
                pause = pool.borrow_mut().look_at_all();
            }
        }
    }

    /// When to look again, if at all.
    fn look_at_all(&mut self) -> Option<Duration> {
        let now = Instant::now();
        let mut heard = Vec::new();
        let mut alert = false;
        let mut watched = std::mem::take(&mut self.watched);
        watched.retain(|&id| {
            let Some(connection) = self.connections.get(id) else { return false };
            let Some(watch) = connection.watch else { return false };
            let mut finding = Finding::Waiting;
            let answered = connection.last_read > watch.since && connection.out.is_empty();
            if answered && !connection.window_closed {
                // The kernel need not be asked. Under a steady load it never is.
                finding = Finding::Acknowledged;
            } else if watch.seen.is_some() || now - watch.since >= CALM {
                let heard = watch.silent().and_then(|_| self.last_heard(&connection.destination, &mut heard));
                finding = self.look_at(id, heard, now);
                alert = true;
            }
            self.found(id, finding);
            self.connections.get(id).is_some_and(|connection| connection.watch.is_some())
        });
        // What was found may have led to a write on another one.
        watched.append(&mut self.watched);
        self.watched = watched;
        self.heard_by_probe.retain(|_, heard| heard.is_none_or(|at| now - at < PROBE_MEMORY));
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

    /// When a connection to the destination was last heard of. Asked for all suspects of a look at once.
    fn last_heard(
        &self,
        destination: &SharedDestination,
        known: &mut Vec<(SharedDestination, Option<Instant>)>,
    ) -> Option<Instant> {
        if let Some((_, heard)) = known.iter().find(|(other, _)| other == destination) {
            return *heard;
        }
        let connections = self.connections.iter().filter(|connection| connection.destination == *destination);
        let by_connection = connections.map(|connection| connection.opened.max(connection.last_read)).max();
        let by_probe = self.heard_by_probe.get(destination).copied().flatten();
        let heard = by_connection.max(by_probe);
        known.push((destination.clone(), heard));
        heard
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
            Finding::Suspect => {
                let Some(watch) = connection.watch else { return };
                self.doubt(peer, watch.since);
                self.probe(id, destination, watch.silent.unwrap_or(watch.since));
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
        for connection in self.connections.iter_mut().filter(|connection| connection.peer == peer) {
            connection.doubted |= connection.parked.is_some() && connection.last_read < since;
        }
    }

    /// The address has been heard of.
    fn trust(&mut self, peer: Option<SocketAddr>) {
        for connection in self.connections.iter_mut().filter(|connection| connection.peer == peer) {
            connection.doubted = false;
        }
    }

    pub(super) fn close_doubted(&mut self, peer: Option<SocketAddr>) {
        let doubted =
            self.connections.iter().filter(|connection| connection.peer == peer && connection.doubted);
        let ids: Vec<ConnectionId> = doubted.map(|connection| connection.id).collect();
        for id in ids {
            self.lose_parked(id, CloseReason::DeadPeer);
        }
    }

    /// Sees whether a new connection can be had, unless that is known, or JavaScript has a say in it.
    fn probe(&mut self, id: ConnectionId, destination: SharedDestination, silent: Instant) {
        let Some(slot) = self.connections.get(id).map(|connection| connection.lane) else { return };
        let guarded = self.lane(slot).is_none_or(|lane| lane.guards.attempt || lane.guards.connect);
        let known =
            self.heard_by_probe.get(&destination).is_some_and(|heard| heard.is_none_or(|at| at > silent));
        if guarded || destination.resolver != 0 || known {
            return;
        }
        let Some(pool) = self.handle() else { return };
        self.heard_by_probe.insert(destination.clone(), None);
        tokio::task::spawn_local(async move {
            let limit = destination.dead_peer.unwrap_or_default();
            // Without TLS: that the peer's kernel answers is all there is to know.
            let connected =
                tokio::time::timeout(limit, connect::connect(&destination, None, None, &Unheard)).await;
            let heard = matches!(connected, Ok(Ok(_))).then(Instant::now);
            let mut pool = pool.borrow_mut();
            match heard {
                Some(_) => pool.heard_by_probe.insert(destination, heard),
                // The next suspect asks again.
                None => pool.heard_by_probe.remove(&destination),
            };
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
        let movable = matches!(verdict, Verdict::Retry(rule) if given_up || rule == Rule::R6);
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
    use super::*;
    use crate::connect::RoundTrip;

    const LIMIT: Duration = Duration::from_secs(20);

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// A connection whose peer does not answer since `start`.
    struct Silent {
        watch: Watch,
        start: Instant,
        info: TcpInfo,
    }

    impl Silent {
        fn new() -> Self {
            let start = Instant::now();
            let info = TcpInfo {
                closed: false,
                acked: 1000,
                outstanding: true,
                window_closed: false,
                probes: 0,
                retransmitted: 0,
                last_ack: ms(0),
                round_trip: Some(RoundTrip { smoothed: ms(2), variance: ms(1) }),
            };
            Self { watch: Watch::new(start), start, info }
        }

        /// Looks every 20 ms from one moment to another, with retransmissions at the moments that Linux
        /// chooses on a near peer; what was found, and when.
        fn look(&mut self, times: std::ops::RangeInclusive<u64>, heard: Option<u64>) -> Vec<(u64, Finding)> {
            times
                .step_by(20)
                .filter_map(|at| {
                    self.info.retransmitted =
                        [204, 410, 820, 1640, 3280].iter().filter(|&&moment| moment <= at).count() as u32;
                    self.info.last_ack = ms(at);
                    let heard = heard.filter(|&heard| heard <= at).map(|heard| self.start + ms(heard));
                    let finding = self.watch.look(&self.info, heard, LIMIT, self.start + ms(at));
                    (finding != Finding::Waiting).then_some((at, finding))
                })
                .collect()
        }
    }

    #[test]
    fn silence_alone_makes_a_suspect_and_is_given_up_in_the_end() {
        let mut peer = Silent::new();
        let found = peer.look(100..=20_000, None);
        assert_eq!(found, [(240, Finding::Suspect), (20_000, Finding::GivenUp)]);
    }

    #[test]
    fn another_connection_that_works_is_the_proof() {
        let mut peer = Silent::new();
        let found = peer.look(100..=5000, Some(250));
        assert_eq!(found, [(240, Finding::Suspect), (620, Finding::Proved)]);
    }

    #[test]
    fn what_was_heard_before_the_silence_proves_nothing() {
        let mut peer = Silent::new();
        assert_eq!(peer.look(100..=5000, Some(150)), [(240, Finding::Suspect)]);
    }

    #[test]
    fn an_acknowledgement_clears() {
        let mut peer = Silent::new();
        peer.look(100..=400, Some(250));
        peer.info.acked += 1;
        peer.info.last_ack = ms(0);
        let now = peer.start + ms(420);
        assert_eq!(peer.watch.look(&peer.info, None, LIMIT, now), Finding::Cleared);
        assert!(!peer.watch.is_suspect());
        peer.info.outstanding = false;
        assert_eq!(peer.watch.look(&peer.info, None, LIMIT, now), Finding::Acknowledged);
    }

    #[test]
    fn a_peer_that_answers_probes_is_alive() {
        let mut peer = Silent::new();
        peer.info.window_closed = true;
        for at in (1000..200_000).step_by(20) {
            // The kernel asks at intervals of up to two minutes, and here the answer takes a second.
            peer.info.last_ack = ms((at - 1000) % 60_000);
            peer.info.probes = u8::from(at % 60_000 < 1000);
            assert_eq!(peer.watch.look(&peer.info, None, LIMIT, peer.start + ms(at)), Finding::Waiting);
        }
        peer.info.probes = PROBES;
        let found = (200_000..300_000).step_by(20).find(|&at| {
            peer.info.last_ack = ms(at - 199_000);
            peer.watch.look(&peer.info, None, LIMIT, peer.start + ms(at)) == Finding::GivenUp
        });
        assert!(found.is_some_and(|at| (219_000..=221_000).contains(&at)), "{found:?}");
    }

    #[test]
    fn a_long_way_is_not_suspect_before_an_answer_can_be_there() {
        let mut peer = Silent::new();
        peer.info.round_trip = Some(RoundTrip { smoothed: ms(300), variance: ms(20) });
        let found = peer.look(100..=1000, None);
        assert_eq!(found, [(520, Finding::Suspect)]);
    }
}
