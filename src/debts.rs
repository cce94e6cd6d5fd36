//! What the end of the process waits for. A program has been told of some bytes that they are written, and the kernel has
//! no room for them yet: what the kernel has it sends when the process is gone, but what is here would be lost.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

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

    fn wait(&self) {
        let mut count = self.count();
        while *count > 0 {
            count = self.settled.wait(count).unwrap_or_else(PoisonError::into_inner);
        }
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

/// Blocks until nothing is owed.
pub fn wait_until_settled() {
    DEBTS.wait();
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    #[test]
    fn all_of_it_is_waited_for() {
        let debts: &'static Debts = Box::leak(Box::new(Debts::new()));
        debts.wait();
        let (first, second) = (Debt::of(debts), Debt::of(debts));
        let (tell, told) = mpsc::channel();
        let waiting = thread::spawn(move || {
            debts.wait();
            tell.send("settled").unwrap();
        });
        drop(first);
        assert_eq!(told.try_recv(), Err(mpsc::TryRecvError::Empty));
        drop(second);
        assert_eq!(told.recv(), Ok("settled"));
        waiting.join().unwrap();
    }
}
