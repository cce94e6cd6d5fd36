//! Addresses that a `lookup` function in JavaScript has given, kept for a
//! short while if the program wants that (`dnsCacheTtl`): a retry then needs no
//! JavaScript, which may be blocked.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use super::clock::Uptime;
use crate::connect::SharedDestination;

/// Destinations whose addresses are kept.
const BOUND: usize = 1000;

/// Answers by destination, and so by the function that gave them.
#[derive(Default)]
pub struct Answers {
    by_destination: HashMap<SharedDestination, (Uptime, Vec<IpAddr>)>,
}

impl Answers {
    pub fn keep(
        &mut self,
        destination: &SharedDestination,
        ttl: Duration,
        addresses: &[IpAddr],
        now: Uptime,
    ) {
        if self.by_destination.len() >= BOUND && !self.by_destination.contains_key(destination) {
            let soonest = self.by_destination.iter().min_by_key(|(_, (until, _))| *until);
            if let Some(soonest) = soonest.map(|(destination, _)| destination.clone()) {
                self.by_destination.remove(&soonest);
            }
        }
        self.by_destination.insert(destination.clone(), (now.plus(ttl), addresses.to_vec()));
    }

    pub fn get(&mut self, destination: &SharedDestination, now: Uptime) -> Option<Vec<IpAddr>> {
        let (until, addresses) = self.by_destination.get(destination)?;
        if now < *until {
            return Some(addresses.clone());
        }
        self.by_destination.remove(destination);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::super::clock::uptime;
    use super::*;

    #[test]
    fn answers_are_kept_for_a_while_and_not_too_many() {
        let (start, ttl) = (uptime(), Duration::from_secs(5));
        let address = [IpAddr::from([10, 0, 0, 1])];
        let mut answers = Answers::default();
        let destination = |agent| crate::connect::Destination::for_test(agent).into();
        answers.keep(&destination(1), ttl, &address, start);
        assert_eq!(answers.get(&destination(1), start.plus(ttl / 2)).as_deref(), Some(&address[..]));
        assert_eq!(answers.get(&destination(2), start), None);
        assert_eq!(answers.get(&destination(1), start.plus(ttl)), None);
        assert!(answers.by_destination.is_empty());
        for agent in 0..BOUND as u32 * 2 {
            answers.keep(&destination(agent), ttl, &address, start.plus(Duration::from_millis(agent.into())));
        }
        assert_eq!(answers.by_destination.len(), BOUND);
        assert_eq!(answers.get(&destination(0), start), None);
        assert!(answers.get(&destination(BOUND as u32 * 2 - 1), start).is_some());
    }
}
