//! An answer for a thread that waits for it, but not for ever.
//!
//! A channel would do if answers were only told. Some are deeds: to take a
//! request back is one, and if nobody hears that it was done, the request is
//! lost between two sides of which each believes the other to have it. With a
//! channel that can happen: who waits may give up while the deed is done, or
//! when the answer is on its way. So here both happen under one lock. Either
//! who asked has the answer, or it was given up before, and nothing was done.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// For who answers. Dropped without an answer, there will be none.
pub struct Reply<T>(Arc<Shared<T>>);

/// For who asks.
pub struct Answer<T>(Arc<Shared<T>>);

struct Shared<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

enum State<T> {
    Awaited,
    Given(T),
    /// By either side; or the answer has been taken.
    Over,
}

/// Both ends of one.
pub fn pair<T>() -> (Reply<T>, Answer<T>) {
    let shared = Arc::new(Shared { state: Mutex::new(State::Awaited), changed: Condvar::new() });
    (Reply(Arc::clone(&shared)), Answer(shared))
}

impl<T> Reply<T> {
    /// Answers with what `make` returns, which is called only if the answer is still awaited, and then arrives. Who
    /// asked cannot give up meanwhile, so it must not wait for anything.
    pub fn give(self, make: impl FnOnce() -> T) {
        let mut state = self.0.lock();
        if matches!(*state, State::Awaited) {
            *state = State::Given(make());
        }
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        if matches!(*state, State::Awaited) {
            *state = State::Over;
        }
        drop(state);
        self.0.changed.notify_one();
    }
}

impl<T> Answer<T> {
    /// Waits for so long. None: there is no answer, and never will be.
    pub fn wait(self, patience: Duration) -> Option<T> {
        let is_awaited = |state: &mut State<T>| matches!(state, State::Awaited);
        let waited = self.0.changed.wait_timeout_while(self.0.lock(), patience, is_awaited);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        match std::mem::replace(&mut *state, State::Over) {
            State::Given(answer) => Some(answer),
            State::Awaited | State::Over => None,
        }
    }
}

impl<T> Shared<T> {
    /// A panic in `make` leaves it awaited, and the one who was to answer is gone.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::thread;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn who_waits_has_the_answer() {
        let (reply, answer) = pair();
        let asker = thread::spawn(move || answer.wait(LONG));
        reply.give(|| 7);
        assert_eq!(asker.join().unwrap(), Some(7));
    }

    #[test]
    fn who_has_given_up_misses_nothing() {
        let (reply, answer) = pair::<()>();
        assert_eq!(answer.wait(Duration::ZERO), None);
        reply.give(|| panic!("done for nobody"));
    }

    #[test]
    fn nobody_waits_for_one_who_is_gone() {
        let (reply, answer) = pair::<()>();
        let asker = thread::spawn(move || answer.wait(LONG));
        drop(reply);
        assert_eq!(asker.join().unwrap(), None);

        let (reply, answer) = pair::<()>();
        let broken = thread::spawn(move || reply.give(|| panic!("as if by a bug")));
        assert_eq!(answer.wait(LONG), None);
        assert!(broken.join().is_err());
    }

    #[test]
    fn both_sides_agree_whenever_the_one_gives_up() {
        let deeds = Arc::new(AtomicU32::new(0));
        let mut heard = 0;
        for round in 0..2000 {
            let (reply, answer) = pair();
            let counter = Arc::clone(&deeds);
            let runtime = thread::spawn(move || reply.give(|| counter.fetch_add(1, Ordering::Relaxed)));
            // About as long as it takes the other thread to begin.
            heard += u32::from(answer.wait(Duration::from_micros(round % 100)).is_some());
            runtime.join().unwrap();
            assert_eq!(deeds.load(Ordering::Relaxed), heard, "round {round}");
        }
    }
}
