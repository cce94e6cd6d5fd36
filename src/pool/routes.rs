//! Where lanes lead, by number. A program opens thousands of lanes with the same
//! options: JavaScript tells them once, and from then on a lane is opened by a row.

use std::collections::HashMap;

use super::lane::Limits;
use crate::connect::{Destination, SharedDestination};

/// What JavaScript's options of a lane come to.
pub struct Route {
    /// Its resolver is told when a lane is opened.
    pub destination: Destination,
    pub limits: Limits,
}

/// The routes of an environment. JavaScript gives the numbers, and bounds how many there are.
#[derive(Default)]
pub struct Routes {
    by_number: HashMap<u32, (SharedDestination, Limits)>,
}

impl Routes {
    pub fn introduce(&mut self, number: u32, route: Route, forgotten: Option<u32>) {
        if let Some(forgotten) = forgotten {
            self.by_number.remove(&forgotten);
        }
        self.by_number.insert(number, (route.destination.into(), route.limits));
    }

    pub fn find(&self, number: u32, resolver: u32) -> Option<(SharedDestination, Limits)> {
        let (destination, limits) = self.by_number.get(&number)?;
        if resolver == 0 {
            return Some((destination.clone(), *limits));
        }
        Some((Destination { resolver, ..Destination::clone(destination) }.into(), *limits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(agent: u32) -> Route {
        let limits = Limits {
            read_ahead: 1,
            max_buffered: 1,
            max_replay: 1,
            answers: None,
            parse: true,
            queues: false,
        };
        Route { destination: Destination::for_test(agent), limits }
    }

    #[test]
    fn a_number_leads_to_one_destination_until_it_is_forgotten() {
        let mut routes = Routes::default();
        routes.introduce(1, route(1), None);
        routes.introduce(2, route(2), None);
        let (first, _) = routes.find(1, 0).unwrap();
        assert!(first.is_one_with(&routes.find(1, 0).unwrap().0));
        routes.introduce(3, route(3), Some(1));
        assert!(routes.find(1, 0).is_none());
        assert_eq!(routes.find(2, 0).unwrap().0.agent, 2);
        assert_eq!(routes.find(3, 0).unwrap().0.agent, 3);
    }

    #[test]
    fn who_has_a_say_is_part_of_the_destination() {
        let mut routes = Routes::default();
        routes.introduce(1, route(1), None);
        let (free, _) = routes.find(1, 0).unwrap();
        let (asked, _) = routes.find(1, 7).unwrap();
        assert_ne!(free, asked);
        assert_eq!(asked, routes.find(1, 7).unwrap().0);
    }
}
