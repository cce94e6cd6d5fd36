//! Deadlines of idle connections.
//!
//! A connection is parked and taken up again with each request, mostly long
//! before its limit. So an entry of the timer queue is not removed when a
//! connection is taken up: it fires once, finds that the deadline has moved,
//! and is set anew only if the connection is idle then. In steady state a
//! request costs no work here, and an idle pool wakes for real deadlines only.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::time::{DelayQueue, delay_queue};

use super::connection::ConnectionId;

#[derive(Default)]
pub struct Deadlines {
    queue: DelayQueue<ConnectionId>,
}

/// The entry of one connection.
#[derive(Debug)]
pub struct Entry {
    key: delay_queue::Key,
    at: Instant,
}

impl Deadlines {
    /// Sees to it that the queue speaks up no later than `deadline`.
    pub fn arm(&mut self, connection: ConnectionId, entry: &mut Option<Entry>, deadline: Instant) {
        match entry {
            Some(entry) if entry.at <= deadline => {}
            Some(entry) => {
                self.queue.reset_at(&entry.key, deadline);
                entry.at = deadline;
            }
            None => *entry = Some(Entry { key: self.queue.insert_at(connection, deadline), at: deadline }),
        }
    }

    pub fn remove(&mut self, entry: Option<Entry>) {
        if let Some(entry) = entry {
            self.queue.remove(&entry.key);
        }
    }

    /// The next connection whose entry has fired; the entry is gone then.
    pub fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<Option<ConnectionId>> {
        self.queue.poll_expired(cx).map(|expired| expired.map(delay_queue::Expired::into_inner))
    }
}

/// A maximum age of its own for each connection, up to a tenth below the one
/// that was asked for: connections that were opened together must not all be
/// opened anew together.
pub fn jittered(ttl: Duration) -> Duration {
    // The keys of each new hasher are other ones, which is as much chance as is needed here.
    let chance = RandomState::new().build_hasher().finish() as u32;
    ttl - ttl.mul_f64(f64::from(chance) / f64::from(u32::MAX) / 10.0)
}

/// The moment at which an idle connection has to be closed.
///
/// The idle clock starts with the last byte that came, not when JavaScript got
/// to it; the age counts from the connect.
pub fn deadline(
    last_byte: Instant,
    limit: Option<Duration>,
    opened: Instant,
    ttl: Option<Duration>,
) -> Option<Instant> {
    let idle = limit.map(|limit| last_byte + limit);
    let age = ttl.map(|ttl| opened + ttl);
    match (idle, age) {
        (Some(idle), Some(age)) => Some(idle.min(age)),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    #[test]
    fn ages_differ_and_none_is_longer_than_asked_for() {
        let ttl = Duration::from_secs(1000);
        let ages: Vec<Duration> = (0..200).map(|_| jittered(ttl)).collect();
        let (least, most) = (*ages.iter().min().unwrap(), *ages.iter().max().unwrap());
        assert!(least >= ttl * 9 / 10 && most <= ttl, "{least:?} {most:?}");
        // 200 equal chances leave none of these gaps in any run that a human sees.
        assert!(least < ttl * 93 / 100 && most > ttl * 97 / 100, "{least:?} {most:?}");
        assert_eq!(jittered(Duration::ZERO), Duration::ZERO);
    }

    #[test]
    fn the_nearer_limit_holds() {
        let start = Instant::now();
        let ms = Duration::from_millis;
        assert_eq!(deadline(start, None, start, None), None);
        assert_eq!(deadline(start + ms(10), Some(ms(5)), start, None), Some(start + ms(15)));
        assert_eq!(deadline(start, None, start, Some(ms(7))), Some(start + ms(7)));
        assert_eq!(deadline(start + ms(10), Some(ms(5)), start, Some(ms(12))), Some(start + ms(12)));
        assert_eq!(deadline(start + ms(10), Some(ms(5)), start, Some(ms(99))), Some(start + ms(15)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_later_deadline_leaves_the_entry_and_an_earlier_one_moves_it() {
        let start = Instant::now();
        let mut deadlines = Deadlines::default();
        let mut entry = None;
        let id = ConnectionId(1);
        deadlines.arm(id, &mut entry, start + Duration::from_secs(10));
        deadlines.arm(id, &mut entry, start + Duration::from_secs(20));
        assert_eq!(entry.as_ref().unwrap().at, start + Duration::from_secs(10));
        deadlines.arm(id, &mut entry, start + Duration::from_secs(5));
        assert_eq!(poll_fn(|cx| deadlines.poll_expired(cx)).await, Some(id));
        assert!(start.elapsed() >= Duration::from_secs(5) && start.elapsed() < Duration::from_secs(6));
        assert_eq!(poll_fn(|cx| deadlines.poll_expired(cx)).await, None);
    }
}
