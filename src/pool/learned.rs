//! Idle limits that servers do not announce, learned from the ages at which
//! they closed idle connections on us.
//!
//! One close says little: a server restarts, an operator intervenes, a
//! connection is one too many. So several closes have to agree on an age.
//! Connections that go down at the same moment are one event, and if their
//! ages differ it was no limit that ended them. What was learned is forgotten
//! after a while, since a server's configuration changes and a connection
//! that we close before the limit never shows that it has risen.
//!
//! Under load connections are idle for some tens of milliseconds, and whatever
//! closes them, at such ages: these agree without a limit. So closes at ages
//! that are too short for one count among those that do not agree, and what is
//! less than any usual limit is none if a connection has outlived it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use super::recent::Recent;
use crate::connect::{Destination, Target};

/// Origins that are remembered, besides those with connections.
const ORIGINS: usize = 1000;
/// Closes that are remembered of one origin.
const EVENTS: usize = 8;
/// As many of them have to agree, and at least half of those remembered.
const AGREEING: usize = 3;
/// Closes within this time of each other are one event.
const SAME_MOMENT: Duration = Duration::from_millis(20);
/// Ages that differ by less, or by less than a tenth, agree: timers are late on a busy machine.
const SAME_AGE: Duration = Duration::from_millis(10);
/// A connection that is closed sooner was not closed for being idle.
const LEAST_AGE: Duration = Duration::from_millis(20);
/// No limit is shorter: it would be of no use. What is closed sooner speaks against one.
const LEAST_LIMIT: Duration = Duration::from_millis(50);
/// Servers' own limits are seconds; shorter ones are set by hand. Longer ones may be that of one server of several
/// behind an address, so what outlives them may be another's.
const USUAL_LEAST: Duration = Duration::from_secs(1);
/// After this time without a confirmation a close is forgotten.
const MEMORY: Duration = Duration::from_secs(10 * 60);

/// What was learned, by origin.
pub struct Learned {
    by_origin: Recent<Origin, Closes>,
}

impl Default for Learned {
    fn default() -> Self {
        Self { by_origin: Recent::new(ORIGINS) }
    }
}

/// Who closes connections: what they lead to, whatever the agent and its options.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Origin {
    Tcp(String, u16),
    #[cfg(unix)]
    Unix(std::path::PathBuf),
}

/// The closes of one origin. Its connections hold it, so that none has to
/// look it up when it is parked.
#[derive(Default)]
pub struct Closes(RefCell<VecDeque<Event>>);

/// Connections that were closed at the same moment.
#[derive(Clone, Copy)]
struct Event {
    at: Instant,
    least: Duration,
    greatest: Duration,
    /// A connection has served a request after it was idle for much longer.
    is_outlived: bool,
}

impl Learned {
    /// What is known of the origin of a destination, and will be.
    pub fn of(&mut self, destination: &Destination) -> Rc<Closes> {
        let origin = match &destination.target {
            Target::Tcp(target) => Origin::Tcp(target.host.to_ascii_lowercase(), target.port),
            #[cfg(unix)]
            Target::Unix(path) => Origin::Unix(path.clone()),
        };
        self.by_origin.of(origin, Closes::default)
    }
}

impl Closes {
    /// The server has closed a connection that was idle for so long.
    pub fn note(&self, age: Duration, now: Instant) {
        if age < LEAST_AGE {
            return;
        }
        let mut events = self.0.borrow_mut();
        match events.back_mut() {
            Some(last) if now - last.at <= SAME_MOMENT => {
                last.least = last.least.min(age);
                last.greatest = last.greatest.max(age);
            }
            _ => {
                if events.len() == EVENTS {
                    events.pop_front();
                }
                events.push_back(Event { at: now, least: age, greatest: age, is_outlived: false });
            }
        }
    }

    /// The server has answered on a connection that was idle for so long.
    pub fn outlive(&self, age: Duration) {
        for event in self.0.borrow_mut().iter_mut() {
            // On a busy machine timers are late, the server's and ours.
            event.is_outlived |= age > event.greatest * 2;
        }
    }

    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    /// The age at which this server closes idle connections, if enough closes say the same.
    pub fn limit(&self, now: Instant) -> Option<Duration> {
        let mut events = self.0.borrow_mut();
        while events.front().is_some_and(|oldest| now - oldest.at > MEMORY) {
            events.pop_front();
        }
        if events.len() < AGREEING {
            return None;
        }
        // Of a restart nothing is learned, but it does not speak against a limit either.
        let events = events.iter().filter(|event| agree(event.least, event.greatest));
        let needed = AGREEING.max(events.clone().count().div_ceil(2));
        let mut ages: Vec<Duration> =
            events.filter(|event| event.may_be_limit()).map(|event| event.least).collect();
        ages.sort_unstable();
        // The least age that enough others share: to close too early costs a connection, too late a request.
        ages.windows(needed).find(|ages| agree(ages[0], ages[needed - 1])).map(|ages| ages[0])
    }
}

impl Event {
    fn may_be_limit(&self) -> bool {
        self.least >= USUAL_LEAST || self.least >= LEAST_LIMIT && !self.is_outlived
    }
}

fn agree(least: Duration, greatest: Duration) -> bool {
    greatest - least <= SAME_AGE.max(least / 10)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Notes closes given as (moment, age) in ms, and asks at the moment of the last one.
    fn limit(closes: &[(u64, u64)]) -> Option<u64> {
        let start = Instant::now();
        let known = Closes::default();
        for &(at, age) in closes {
            known.note(ms(age), start + ms(at));
        }
        let end = closes.last().map_or(0, |&(at, _)| at);
        known.limit(start + ms(end)).map(|limit| limit.as_millis() as u64)
    }

    #[test]
    fn several_closes_at_the_same_age_are_a_limit() {
        assert_eq!(limit(&[]), None);
        assert_eq!(limit(&[(0, 100), (200, 101)]), None);
        assert_eq!(limit(&[(0, 100), (200, 101), (400, 103)]), Some(100));
        assert_eq!(limit(&[(0, 5100), (9000, 5000), (18_000, 5060)]), Some(5000));
    }

    #[test]
    fn closes_at_any_age_are_none() {
        assert_eq!(limit(&[(0, 100), (500, 900), (1500, 400), (3000, 2000), (4000, 700)]), None);
    }

    #[test]
    fn one_that_differs_changes_nothing() {
        assert_eq!(limit(&[(0, 100), (200, 102), (300, 45), (400, 101), (900, 3000)]), Some(100));
    }

    #[test]
    fn a_restart_is_no_limit() {
        let restart = |at: u64| (0..10).map(move |i| (at + i, 150 + 140 * i));
        let closes: Vec<_> = restart(0).chain(restart(10_000)).chain(restart(20_000)).collect();
        assert_eq!(limit(&closes), None);
        // Nor is one restart that happens to end many of the same age: that is a single event.
        let batch: Vec<_> = (0..10).map(|i| (i, 400)).collect();
        assert_eq!(limit(&batch), None);
    }

    #[test]
    fn closes_at_random_under_load_are_no_limit() {
        // Idle for 60 ms at most, so that nothing outlives what comes near.
        let closes = [(0, 31), (100, 55), (300, 22), (500, 58), (600, 40), (800, 52), (900, 28), (1000, 46)];
        assert_eq!(limit(&closes), None);
        assert_eq!(limit(&[(0, 21), (100, 25), (200, 28), (300, 30)]), None);
    }

    #[test]
    fn a_short_limit_that_was_outlived_is_none() {
        let learned = |limit: u64, survivor: u64| {
            let (start, known) = (Instant::now(), Closes::default());
            for second in 0..3 {
                known.note(ms(limit), start + Duration::from_secs(second));
            }
            known.outlive(ms(survivor));
            known.limit(start + Duration::from_secs(3)).is_some()
        };
        assert!(learned(100, 90));
        assert!(learned(100, 200));
        assert!(!learned(100, 201));
        assert!(!learned(900, 2000));
        // Another server's behind the same address.
        assert!(learned(5000, 30_000));
    }

    #[test]
    fn a_limit_may_be_set_after_it_was_outlived() {
        let (start, known) = (Instant::now(), Closes::default());
        known.note(ms(100), start);
        known.outlive(ms(300));
        for second in 1..4 {
            known.note(ms(100), start + Duration::from_secs(second));
        }
        assert_eq!(known.limit(start + Duration::from_secs(3)), Some(ms(100)));
    }

    #[test]
    fn connections_that_were_parked_together_are_closed_together() {
        let batch = |at: u64| (0..10).map(move |i| (at + i / 4, 100 + i / 4));
        let closes: Vec<_> = batch(0).chain(batch(500)).chain(batch(1000)).collect();
        assert_eq!(limit(&closes), Some(100));
    }

    #[test]
    fn a_limit_that_has_changed_is_learned_anew() {
        let older = (0..8).map(|i| (i * 1000, 500));
        let newer = (8..16).map(|i| (i * 1000, 200));
        let closes: Vec<_> = older.chain(newer).collect();
        assert_eq!(limit(&closes[..8]), Some(500));
        assert_eq!(limit(&closes), Some(200));
    }

    #[test]
    fn it_is_forgotten_in_time() {
        let start = Instant::now();
        let known = Closes::default();
        for second in 0..3 {
            known.note(ms(100), start + Duration::from_secs(second));
        }
        assert_eq!(known.limit(start + MEMORY), Some(ms(100)));
        assert_eq!(known.limit(start + MEMORY + Duration::from_secs(1)), None);
        assert!(known.0.borrow().len() < 3);
    }

    #[test]
    fn the_table_is_bounded_and_keeps_what_is_asked_for() {
        let mut learned = Learned::default();
        let destination = |number: usize| {
            let mut destination = Destination::for_test(1);
            if let Target::Tcp(target) = &mut destination.target {
                target.host = format!("host-{number}");
            }
            destination
        };
        let first = learned.of(&destination(0));
        for number in 1..ORIGINS * 2 {
            learned.of(&destination(number));
            assert!(Rc::ptr_eq(&first, &learned.of(&destination(0))));
        }
        assert_eq!(learned.by_origin.iter().count(), ORIGINS);
    }

    #[test]
    fn agents_share_what_is_known_of_an_origin() {
        let mut learned = Learned::default();
        let one = learned.of(&Destination::for_test(1));
        assert!(Rc::ptr_eq(&one, &learned.of(&Destination::for_test(2))));
    }

    proptest! {
        /// Whatever happens, a limit is an age that was seen, and enough closes are near it.
        #[test]
        fn a_limit_was_seen(gaps in proptest::collection::vec((0_u64..5000, 0_u64..5000), 0..40)) {
            let mut at = 0;
            let closes: Vec<_> = gaps.iter().map(|&(gap, age)| { at += gap; (at, age) }).collect();
            if let Some(limit) = limit(&closes) {
                let tolerance = (limit / 10).max(10);
                let near = closes.iter().filter(|(_, age)| (limit..=limit + tolerance).contains(age)).count();
                prop_assert!(near >= AGREEING);
            }
        }
    }
}
