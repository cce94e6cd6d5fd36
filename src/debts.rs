//! What the end of the process waits for. A program has been told of some bytes that they are written, and the kernel has
//! no room for them yet: what the kernel has it sends when the process is gone, but what is here would be lost.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

static DEBTS: Debts = Debts::new();

struct Debts {
    count: Mutex<usize>,
    settled: Condvar,
}

impl Debts {
    const fn new() -> Self {
        Self { count: Mutex::new(0), settled: Condvar::new() }
    }

    fn count(&self) -> MutexGuard<'_, usize> {
        self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self, patience: Duration) {
        drop(self.settled.wait_timeout_while(self.count(), patience, |count| *count > 0));
    }
}

/// Something that is owed, until this is dropped.
pub struct Debt(&'static Debts);

impl Debt {
    pub fn new() -> Self {
        Self::of(&DEBTS)
    }

    fn of(debts: &'static Debts) -> Self {
        *debts.count() += 1;
        Self(debts)
    }
}

impl Drop for Debt {
    fn drop(&mut self) {
        let mut count = self.0.count();
        *count -= 1;
        if *count == 0 {
            self.0.settled.notify_all();
        }
    }
}

/// Blocks until nothing is owed, or for as long as may be waited for that: nobody is there any more who would hear a
/// signal.
pub fn wait_until_settled() {
    const PATIENCE: Duration = Duration::from_secs(20);
    DEBTS.wait(PATIENCE);
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    #[test]
    fn all_of_it_is_waited_for() {
        let debts: &'static Debts = Box::leak(Box::new(Debts::new()));
        debts.wait(Duration::MAX);
        let (first, second) = (Debt::of(debts), Debt::of(debts));
        let (tell, told) = mpsc::channel();
        let waiting = thread::spawn(move || {
            debts.wait(Duration::MAX);
            tell.send("settled").unwrap();
        });
        drop(first);
        assert_eq!(told.try_recv(), Err(mpsc::TryRecvError::Empty));
        drop(second);
        assert_eq!(told.recv(), Ok("settled"));
        waiting.join().unwrap();

        let _debt = Debt::of(debts);
        debts.wait(Duration::ZERO);
    }
}
