//! What the looks at one connection show of its peer, by the kernel's account
//! and the clock alone.
//!
//! Only an acknowledgement of bytes that were outstanding says that bytes of
//! ours arrive. That something comes from the peer does not: a flow may be dead
//! in one direction, and then the peer, which gets no acknowledgements, sends
//! its last words again and again. The exception is a peer that may have no
//! room: it answers, and takes nothing.

use std::time::Duration;

use tokio::time::Instant;

use crate::connect::TcpInfo;

/// How often is looked at a connection that may be suspect.
pub const ALERT: Duration = Duration::from_millis(20);
/// The least time that the acknowledgement of a segment may take: receivers
/// delay it, some by as much as this.
const DELAYED_ACK: Duration = Duration::from_millis(200);
/// How many probes of a closed window have to stay unanswered: receivers answer these at limited rates.
const PROBES: u8 = 3;

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
    /// It is suspected, its bytes were sent again, and of no other connection was heard in between.
    SentAgain,
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

    /// Since when nothing more has been acknowledged.
    pub const fn since(&self) -> Instant {
        self.since
    }

    /// Whether it has been looked at.
    pub const fn is_seen(&self) -> bool {
        self.seen.is_some()
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
        if self.seen.is_none() && info.timeouts == 0 && now - self.since >= limit {
            // The process was stopped, say. What was written first may have arrived long ago, and this be younger.
            self.since = now;
        }
        // What has run out of time by the first look, which may be late, was sent again before it.
        let at_first = info.retransmitted.saturating_sub(u32::from(info.timeouts > 0));
        let (acked, sent_again) = *self.seen.get_or_insert((info.acked, at_first));
        let full = info.may_be_full();
        let answered = full && self.silent.is_some_and(|silent| info.last_ack + ALERT < now - silent);
        // A peer that takes nothing is asked now and then, at ever longer intervals.
        let slow = info.window_closed && info.probes == 0;
        if info.acked > acked || answered || slow {
            let suspect = self.suspect;
            *self = Self { seen: Some((info.acked, info.retransmitted)), ..Self::new(now) };
            return if suspect { Finding::Cleared } else { Finding::Waiting };
        }
        let asked = !info.window_closed || info.probes >= PROBES;
        let silence = if full { info.last_ack.min(now - self.since) } else { now - self.since };
        if asked && silence >= limit {
            return Finding::GivenUp;
        }
        let again = info.retransmitted > sent_again;
        if again {
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
        if self.suspect && again && self.refuted.is_none() { Finding::SentAgain } else { Finding::Waiting }
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::connect::RoundTrip;

    const LIMIT: Duration = Duration::from_secs(20);

    /// When a segment to a near peer is sent again, by Linux.
    const SENT_AGAIN: [u64; 7] = [204, 410, 820, 1640, 3280, 6560, 13_120];

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// A connection whose peer does not answer since `start`.
    struct Silent {
        watch: Watch,
        start: Instant,
        info: TcpInfo,
        /// When something comes from the peer that acknowledges nothing.
        speaks: &'static [u64],
    }

    /// The watch of a connection whose bytes were sent again in vain.
    pub fn in_vain() -> Watch {
        let mut peer = Silent::new();
        peer.look(100..=400, None);
        peer.watch
    }

    impl Silent {
        fn new() -> Self {
            let start = Instant::now();
            let info = TcpInfo {
                closed: false,
                acked: 1000,
                outstanding: true,
                window_closed: false,
                window: Some(65_536),
                probes: 0,
                retransmitted: 0,
                timeouts: 0,
                last_ack: ms(0),
                round_trip: Some(RoundTrip { smoothed: ms(2), variance: ms(1) }),
            };
            Self { watch: Watch::new(start), start, info, speaks: &[] }
        }

        /// Looks every 20 ms from one moment to another; what was found, and when.
        fn look(&mut self, times: std::ops::RangeInclusive<u64>, heard: Option<u64>) -> Vec<(u64, Finding)> {
            times
                .step_by(20)
                .filter_map(|at| {
                    self.info.retransmitted =
                        SENT_AGAIN.iter().filter(|&&moment| moment <= at).count() as u32;
                    self.info.timeouts = self.info.retransmitted as u8;
                    let spoke = self.speaks.iter().rfind(|&&moment| moment <= at).copied();
                    self.info.last_ack = ms(at - spoke.unwrap_or_default());
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
        let moments = [420, 820, 1640, 3280, 6560, 13_120];
        let mut expected = vec![(240, Finding::Suspect)];
        expected.extend(moments.map(|at| (at, Finding::SentAgain)));
        expected.push((20_000, Finding::GivenUp));
        assert_eq!(found, expected);
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
        let found = peer.look(100..=5000, Some(150));
        assert!(found.iter().all(|(_, finding)| *finding != Finding::Proved), "{found:?}");
    }

    #[test]
    fn what_the_peer_sends_again_is_no_acknowledgement() {
        // Its last words were lost, or what acknowledges them: it repeats them at intervals like ours, before and
        // after each of ours.
        for speaks in [&[190, 395, 805, 1620, 3250], &[230, 435, 850, 1680, 3310]] {
            let mut peer = Silent::new();
            peer.speaks = speaks;
            let found = peer.look(100..=5000, Some(250));
            assert_eq!(found, [(240, Finding::Suspect), (620, Finding::Proved)]);
        }
        let mut peer = Silent::new();
        peer.speaks = &[1000, 4000, 9000, 19_000];
        let found = peer.look(100..=20_000, None);
        assert_eq!(found.last(), Some(&(20_000, Finding::GivenUp)));
    }

    #[test]
    fn a_peer_that_has_no_room_answers_without_taking_anything() {
        // With the window shut after they were sent, the bytes themselves are the probes.
        for window in [Some(0), None] {
            let mut peer = Silent::new();
            peer.info.window = window;
            peer.speaks = &[205, 411, 821, 1641, 3281, 6561, 13_121];
            let found = peer.look(100..=25_000, Some(250));
            let is_dead = |finding: Finding| matches!(finding, Finding::Proved | Finding::GivenUp);
            assert!(!found.iter().any(|&(_, finding)| is_dead(finding)), "{found:?}");
        }
    }

    #[test]
    fn a_first_look_that_is_late_sees_what_was_sent_again_before() {
        let mut peer = Silent::new();
        let found = peer.look(300..=5000, Some(350));
        assert_eq!(found, [(320, Finding::Suspect), (620, Finding::Proved)]);
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
    fn what_a_first_look_finds_after_the_limit_may_be_young() {
        let mut peer = Silent::new();
        let now = peer.start + LIMIT * 2;
        assert_eq!(peer.watch.look(&peer.info, None, LIMIT, now), Finding::Waiting);
        assert_eq!(peer.watch.look(&peer.info, None, LIMIT, now + LIMIT), Finding::GivenUp);

        let mut peer = Silent::new();
        peer.info.timeouts = 7;
        assert_eq!(peer.watch.look(&peer.info, None, LIMIT, now), Finding::GivenUp);
    }

    #[test]
    fn a_long_way_is_not_suspect_before_an_answer_can_be_there() {
        let mut peer = Silent::new();
        peer.info.round_trip = Some(RoundTrip { smoothed: ms(300), variance: ms(20) });
        let found = peer.look(100..=800, None);
        assert_eq!(found, [(520, Finding::Suspect)]);
    }
}
