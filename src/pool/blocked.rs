//! Whether JavaScript is blocked, which is looked at only while a connection could pass on to a request that waits.
//!
//! A connection passes on only while the end of its exchange still waits for
//! JavaScript: once JavaScript has taken that, it may have other plans with the
//! lane (it may have paused the response). It may take it in the very moment in
//! which the connection passes on. Then the request goes on as one that was sent,
//! and has its lane a little later.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::Pool;
use super::connection::ConnectionId;

/// For so long JavaScript has computed without taking what waits for it, when it is called blocked.
const BUSY: Duration = Duration::from_millis(3);
/// How often it is looked at.
const PAUSE: Duration = Duration::from_millis(3);
/// JavaScript may be blocked without computing, and a thread that waits for a processor may look like that.
const MAX_PATIENCE: Duration = Duration::from_millis(100);

/// Connections whose exchange is over, and whose lane serves a queue, until JavaScript has taken the end of it.
#[derive(Default)]
pub struct Finished {
    pub connections: Vec<ConnectionId>,
    begins: Rc<Notify>,
    /// JavaScript was found to be blocked when this was the last delivery that it had taken.
    blocked_at: Option<u64>,
}

/// One look at JavaScript.
struct Look {
    taken: u64,
    at: Instant,
    computed: Option<Duration>,
}

impl Finished {
    pub fn add(&mut self, id: ConnectionId) {
        if !self.connections.contains(&id) {
            self.connections.push(id);
        }
    }

    /// One of them may pass on now.
    pub fn begin_looking(&self) {
        if !self.connections.is_empty() {
            self.begins.notify_one();
        }
    }
}

impl Look {
    /// Whether JavaScript has computed since then, or slept for too long.
    fn is_overdue(&self, now: Instant, computed: Option<Duration>) -> bool {
        let is_busy = match (self.computed, computed) {
            (Some(before), Some(after)) => after.saturating_sub(before) >= BUSY,
            _ => true,
        };
        now - self.at >= if is_busy { BUSY } else { MAX_PATIENCE }
    }
}

impl Pool {
    /// The task that looks whether JavaScript is blocked, while a connection could pass on.
    pub(super) async fn blocked_watch(pool: Rc<RefCell<Self>>) {
        let begins = Rc::clone(&pool.borrow().finished.begins);
        loop {
            begins.notified().await;
            let mut look = None;
            while Self::attempt_or_break(&pool, |pool| pool.look_for_block(&mut look)) == Some(true) {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// Whether to look again.
    fn look_for_block(&mut self, look: &mut Option<Look>) -> bool {
        let taken = self.link.taken();
        let connections = &self.connections;
        self.finished.connections.retain(|&id| {
            connections.get(id).is_some_and(|one| one.finished_in.is_some_and(|delivery| delivery > taken))
        });
        if self.finished.connections.is_empty() {
            return false;
        }
        if self.finished.blocked_at != Some(taken) {
            let (now, computed) = (Instant::now(), self.link.computed());
            match look {
                Some(look) if look.taken == taken => {
                    if !look.is_overdue(now, computed) {
                        return true;
                    }
                }
                _ => {
                    *look = Some(Look { taken, at: now, computed });
                    return true;
                }
            }
            self.finished.blocked_at = Some(taken);
        }
        // What these are answered passes on at once.
        for id in std::mem::take(&mut self.finished.connections) {
            self.pass_on(id);
        }
        false
    }

    /// The connection may pass on, now or when JavaScript is found to be blocked.
    pub(super) fn exchange_over(&mut self, id: ConnectionId) {
        if self.finished.blocked_at == Some(self.link.taken()) {
            self.pass_on(id);
        } else {
            self.finished.add(id);
            self.finished.begin_looking();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn javascript_that_computes_is_busy_and_one_that_waits_for_a_processor_is_not() {
        let start = Instant::now();
        let ms = Duration::from_millis;
        let look = Look { taken: 1, at: start, computed: Some(ms(500)) };
        for (wall, computed, overdue) in [
            (2, Some(503), false),
            (3, Some(502), false),
            (3, Some(503), true),
            (99, Some(502), false),
            (100, Some(500), true),
            (2, None, false),
            (3, None, true),
        ] {
            assert_eq!(look.is_overdue(start + ms(wall), computed.map(ms)), overdue, "{wall} {computed:?}");
        }
    }
}
