//! Buffers of JavaScript's that are written from without a copy.
//!
//! JavaScript keeps a buffer that it has lent until Rust returns it, so its
//! memory is there for as long as it belongs to that buffer. But the program
//! may change it meanwhile, and may even transfer it, and then it is freed when
//! its new owner is done with it. So there is never a slice of it: only the
//! kernel reads it, which refuses what is not mapped. What is sent then is what
//! was there, as with Node's own sockets.
//!
//! It is its writer's again when the write's callback says so, also where that
//! says that the connection was destroyed: what the program does with it from
//! then on is nobody's to see. And the end of an environment frees all of its
//! memory. [`Loans::revoke`] and [`Loans::revoke_all`] wait until no kernel is
//! reading, and from then on none will.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::runtime;

/// What one environment has lent.
pub struct Loans {
    /// Whether what has this number may be read. The lock is held while it is.
    readable: Mutex<Vec<bool>>,
    /// The numbers of what JavaScript can have back.
    returned: Mutex<Vec<u32>>,
    any_returned: AtomicBool,
}

/// A buffer of JavaScript's. When this is dropped the buffer is returned.
pub struct Lent {
    data: *const u8,
    len: usize,
    number: u32,
    loans: Arc<Loans>,
}

// SAFETY: the memory is reached through `read_by` only, under the lock that whoever takes it back holds.
unsafe impl Send for Lent {}

impl Loans {
    pub const fn new() -> Self {
        Self {
            readable: Mutex::new(Vec::new()),
            returned: Mutex::new(Vec::new()),
            any_returned: AtomicBool::new(false),
        }
    }

    /// After this what was lent by this number is not read. It may have been returned, if JavaScript has yet to hear so.
    pub fn revoke(&self, number: u32) {
        if let Some(readable) = lock(&self.readable).get_mut(number as usize) {
            *readable = false;
        }
    }

    /// From the environment's end. After this none of its memory is read.
    pub fn revoke_all(&self) {
        lock(&self.readable).clear();
    }

    fn begin(&self, number: u32) {
        let (mut readable, index) = (lock(&self.readable), number as usize);
        if readable.len() <= index {
            readable.resize(index + 1, false);
        }
        readable[index] = true;
    }

    pub fn has_returned(&self) -> bool {
        self.any_returned.load(Ordering::Acquire)
    }

    /// Calls `take` with the number of each that was returned since the last call.
    pub fn take_returned(&self, take: impl FnMut(u32)) {
        if self.any_returned.swap(false, Ordering::AcqRel) {
            lock(&self.returned).drain(..).for_each(take);
        }
    }
}

impl Lent {
    /// `len` bytes from `data` on, which JavaScript knows by `number`.
    pub fn new(data: *const u8, len: usize, number: u32, loans: Arc<Loans>) -> Self {
        loans.begin(number);
        Self { data, len, number, loans }
    }

    pub const fn len(&self) -> usize {
        self.len
    }

    /// Leaves out the first `count` bytes.
    pub fn skip(&mut self, count: usize) {
        let count = count.min(self.len);
        self.data = self.data.wrapping_add(count);
        self.len -= count;
    }

    /// Lets a kernel read from the byte `from` on. The memory may be anything, and nothing: only a system call may
    /// be given it. Of what is taken back nothing can be read, for good: the end of its connection is on its way.
    pub fn read_by<T>(
        &self,
        from: usize,
        read: impl FnOnce(*const u8, usize) -> io::Result<T>,
    ) -> io::Result<T> {
        let readable = lock(&self.loans.readable);
        if !readable.get(self.number as usize).is_some_and(|&readable| readable) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let from = from.min(self.len);
        read(self.data.wrapping_add(from), self.len - from)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        lock(&self.loans.returned).push(self.number);
        self.loans.any_returned.store(true, Ordering::Release);
        // Whoever drops it: the dispatcher tells JavaScript.
        runtime::wake();
    }
}

impl fmt::Debug for Lent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lent({} bytes)", self.len)
    }
}

/// A panic elsewhere leaves both whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    fn returned(loans: &Loans) -> Vec<u32> {
        let mut numbers = Vec::new();
        loans.take_returned(|number| numbers.push(number));
        numbers
    }

    #[test]
    fn what_is_dropped_is_returned_once() {
        let loans = Arc::new(Loans::new());
        let bytes = [0; 10];
        let lent = |number| Lent::new(bytes.as_ptr(), bytes.len(), number, Arc::clone(&loans));
        let (first, second) = (lent(1), lent(2));
        assert!(!loans.has_returned());
        drop(second);
        assert!(loans.has_returned());
        assert_eq!(returned(&loans), [2]);
        assert_eq!(returned(&loans), []);
        drop(first);
        assert_eq!(returned(&loans), [1]);
    }

    #[test]
    fn what_is_read_is_what_is_left() {
        let bytes = [0; 10];
        let start = bytes.as_ptr().addr();
        let mut lent = Lent::new(bytes.as_ptr(), bytes.len(), 1, Arc::new(Loans::new()));
        let place =
            |lent: &Lent, from| lent.read_by(from, |data, len| Ok((data.addr() - start, len))).unwrap();
        assert_eq!(place(&lent, 3), (3, 7));
        lent.skip(4);
        assert_eq!((place(&lent, 3), lent.len()), ((7, 3), 6));
        assert_eq!(place(&lent, 99), (10, 0));
    }

    /// What takes back waits for who reads, and nobody reads after it.
    fn takes_back(take: impl FnOnce(&Loans)) {
        let loans = Arc::new(Loans::new());
        let lent = Lent::new(std::ptr::null(), 1, 1, Arc::clone(&loans));
        let (reading, is_reading) = mpsc::channel();
        let (end, has_ended) = mpsc::channel::<()>();
        let reader = thread::spawn(move || {
            let read = |_: *const u8, _| {
                reading.send(()).unwrap();
                // The end is under way by then, or waits soon: in no order may it come first.
                Ok(has_ended.recv_timeout(std::time::Duration::from_millis(50)).is_err())
            };
            let waited = lent.read_by(0, read).unwrap();
            (waited, lent)
        });
        is_reading.recv().unwrap();
        take(&loans);
        // The reader is gone by now.
        let _ = end.send(());
        let (waited, lent) = reader.join().unwrap();
        assert!(waited, "the end came while somebody was reading");
        let after = lent.read_by(0, |_, _| Ok(()));
        assert_eq!(after.unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn what_takes_back_waits_for_who_reads_and_nobody_reads_after_it() {
        takes_back(|loans| loans.revoke(1));
        takes_back(Loans::revoke_all);
    }

    #[test]
    fn what_is_taken_back_is_one_loan_and_not_its_number() {
        let loans = Arc::new(Loans::new());
        let lent = |number| Lent::new(std::ptr::null(), 1, number, Arc::clone(&loans));
        let is_read = |lent: &Lent| lent.read_by(0, |_, _| Ok(())).is_ok();
        let (first, second) = (lent(1), lent(2));
        loans.revoke(1);
        assert!(!is_read(&first) && is_read(&second));
        drop(first);
        loans.revoke(1);
        assert!(is_read(&lent(1)));
        loans.revoke(9);
        assert!(is_read(&second));
    }
}
