//! The idle connections of one destination, the most recently parked last.

use std::collections::HashMap;

use super::connection::ConnectionId;
use crate::connect::SharedDestination;

/// Idle connections by destination. Destinations are compared whole: two that
/// differ in any option never share a connection.
#[derive(Default)]
pub struct IdleSet {
    by_destination: HashMap<SharedDestination, Vec<ConnectionId>>,
    /// The memory of lists that are empty: those of a busy pool are from time to time, at each request if it has one
    /// connection.
    spare: Vec<Vec<ConnectionId>>,
}

/// How much of it is kept.
const MAX_SPARE: usize = 64;

impl IdleSet {
    pub fn insert(&mut self, destination: &SharedDestination, connection: ConnectionId) {
        if let Some(list) = self.by_destination.get_mut(destination) {
            list.push(connection);
        } else {
            let mut list = self.spare.pop().unwrap_or_default();
            list.push(connection);
            self.by_destination.insert(destination.clone(), list);
        }
    }

    pub fn remove(&mut self, destination: &SharedDestination, connection: ConnectionId) {
        let Some(list) = self.by_destination.get_mut(destination) else { return };
        // From the end: the one that is taken is mostly the one parked last.
        if let Some(at) = list.iter().rposition(|&idle| idle == connection) {
            list.remove(at);
        }
        if list.is_empty() {
            self.forget(destination);
        }
    }

    /// Takes out the connection that was parked last, of those that are fit: it
    /// has the longest part of the server's idle limit before it.
    pub fn take(
        &mut self,
        destination: &SharedDestination,
        is_fit: impl Fn(ConnectionId) -> bool,
    ) -> Option<ConnectionId> {
        let list = self.by_destination.get_mut(destination)?;
        let at = list.iter().rposition(|&connection| is_fit(connection));
        let connection = at.map(|at| list.remove(at));
        if list.is_empty() {
            self.forget(destination);
        }
        connection
    }

    /// Its list is empty.
    fn forget(&mut self, destination: &SharedDestination) {
        let list = self.by_destination.remove(destination);
        if self.spare.len() < MAX_SPARE {
            self.spare.extend(list);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn destination(agent: u32) -> SharedDestination {
        crate::connect::Destination::for_test(agent).into()
    }

    #[test]
    fn gives_back_the_connection_parked_last() {
        let mut idle = IdleSet::default();
        let here = destination(1);
        idle.insert(&here, ConnectionId(1));
        idle.insert(&here, ConnectionId(2));
        idle.insert(&here, ConnectionId(3));
        idle.remove(&here, ConnectionId(3));
        assert_eq!(idle.take(&here, |_| true), Some(ConnectionId(2)));
        assert_eq!(idle.take(&here, |_| true), Some(ConnectionId(1)));
        assert_eq!(idle.take(&here, |_| true), None);
    }

    #[test]
    fn destinations_do_not_mix_and_leave_nothing_behind() {
        let mut idle = IdleSet::default();
        idle.insert(&destination(1), ConnectionId(1));
        assert_eq!(idle.take(&destination(2), |_| true), None);
        assert_eq!(idle.take(&destination(1), |_| true), Some(ConnectionId(1)));
        idle.insert(&destination(1), ConnectionId(1));
        idle.remove(&destination(1), ConnectionId(7));
        idle.remove(&destination(1), ConnectionId(1));
        assert!(idle.by_destination.is_empty());
        // What is used again is empty.
        idle.insert(&destination(2), ConnectionId(2));
        assert_eq!(idle.take(&destination(2), |_| true), Some(ConnectionId(2)));
        assert_eq!(idle.take(&destination(2), |_| true), None);
    }
}
