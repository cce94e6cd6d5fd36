//! What was known of requests that JavaScript has ended, at the moment of their end. JavaScript goes on meanwhile, and
//! takes it when it makes an error of it: mostly it is there by then.

use std::collections::HashMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

#[derive(Default)]
pub struct Accounts {
    /// By JavaScript's numbers. None: it has given up waiting.
    given: Mutex<HashMap<u32, Option<String>>>,
    changed: Condvar,
}

impl Accounts {
    pub fn give(&self, number: u32, facts: String) {
        let mut given = self.lock();
        if given.remove(&number).is_none() {
            given.insert(number, Some(facts));
            drop(given);
            self.changed.notify_one();
        }
    }

    /// None: it is not there yet.
    pub fn take(&self, number: u32) -> Option<String> {
        self.lock().remove(&number).flatten()
    }

    /// As [`Accounts::take`], but waits for so long. None: nobody will ever hear of it.
    pub fn wait_for(&self, number: u32, patience: Duration) -> Option<String> {
        let is_missing = |given: &mut HashMap<_, _>| !given.contains_key(&number);
        let waited = self.changed.wait_timeout_while(self.lock(), patience, is_missing);
        let (mut given, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let facts = given.remove(&number).flatten();
        if facts.is_none() {
            given.insert(number, None);
        }
        facts
    }

    /// It is whole between any two calls.
    fn lock(&self) -> MutexGuard<'_, HashMap<u32, Option<String>>> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn each_is_taken_once_by_its_number() {
        let accounts = Accounts::default();
        accounts.give(1, "first".into());
        accounts.give(2, "second".into());
        assert_eq!(accounts.take(2).as_deref(), Some("second"));
        assert_eq!(accounts.wait_for(1, Duration::ZERO).as_deref(), Some("first"));
        assert_eq!((accounts.take(1), accounts.take(2)), (None, None));
        assert!(accounts.lock().is_empty());
    }

    #[test]
    fn who_waits_has_what_is_given_then_and_not_what_is_anothers() {
        let accounts = Arc::new(Accounts::default());
        let asker = {
            let accounts = Arc::clone(&accounts);
            thread::spawn(move || accounts.wait_for(2, LONG))
        };
        accounts.give(1, "another's".into());
        accounts.give(2, "its".into());
        assert_eq!(asker.join().unwrap().as_deref(), Some("its"));
    }

    #[test]
    fn nothing_is_kept_for_who_has_given_up() {
        let accounts = Accounts::default();
        assert_eq!(accounts.wait_for(1, Duration::ZERO), None);
        accounts.give(1, "late".into());
        assert!(accounts.lock().is_empty());
    }
}
