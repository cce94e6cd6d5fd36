//! Memory for large pieces of bodies, used again and again.
//!
//! A fresh piece of this size comes from the kernel: each of its pages is a
//! fault, and zeroed, and all of it is unmapped again when it is freed. That
//! costs more than to copy the bytes. So pieces that are no longer used are
//! kept for the next reads, on whichever thread these happen, and given back
//! to the system when nobody has wanted one for a while. One stays: small
//! responses need no other, and no timer runs for it.

use std::fmt;
use std::mem::{self, MaybeUninit};
use std::ops::Deref;
use std::ptr;
use std::slice;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::ReadBuf;
use tokio::sync::Notify;

/// Bytes of each. At 64 KiB JavaScript handles twice as many pieces for the same body; larger ones are seldom
/// filled by one read.
pub const BLOCK_SIZE: usize = 128 * 1024;

/// How many are kept at most: 32 MiB. JavaScript's collector gives them back by the dozen.
const MAX_SPARE: usize = 256;

/// For how long none has been wanted when those that are kept go.
const PATIENCE: Duration = Duration::from_secs(2);

/// Goes up with each block that is wanted.
static WANTED: AtomicU32 = AtomicU32::new(0);

/// More than one is kept: there is something to keep an eye on.
static KEPT: Notify = Notify::const_new();

/// Not written before it is used: to fill it with zeroes costs as much as a part of what is read into it.
type Memory = Box<[MaybeUninit<u8>]>;

/// Up to [`BLOCK_SIZE`] bytes.
pub struct Block {
    memory: Memory,
    /// So many bytes have been written.
    len: usize,
    /// So many of them have been taken off the front.
    start: usize,
}

impl Block {
    /// An empty one.
    pub fn new() -> Self {
        WANTED.fetch_add(1, Ordering::Relaxed);
        let spare = spare().pop();
        Self { memory: spare.unwrap_or_else(|| Box::new_uninit_slice(BLOCK_SIZE)), len: 0, start: 0 }
    }

    /// With these bytes, of which there are no more than fit.
    pub fn of(bytes: &[u8]) -> Self {
        let mut block = Self::new();
        block.fill(bytes.len(), |buf| buf.put_slice(bytes));
        block
    }

    /// Has `read` write up to `most` bytes, in the place of those that it has.
    pub fn fill<R>(&mut self, most: usize, read: impl FnOnce(&mut ReadBuf<'_>) -> R) -> R {
        let mut buf = ReadBuf::uninit(&mut self.memory[..most]);
        let result = read(&mut buf);
        let (filled, len) = (buf.filled().as_ptr(), buf.filled().len());
        assert!(ptr::eq(filled, self.memory.as_ptr().cast()), "another buffer");
        (self.start, self.len) = (0, len);
        result
    }

    /// Takes so many bytes off the front, of which there are more.
    pub fn drop_front(&mut self, count: usize) {
        assert!(count < self.len - self.start, "some are left");
        self.start += count;
    }

    /// All of its memory, which [`Block::from_raw`] makes a block of again. Its bytes stay where they are.
    pub fn into_raw(mut self) -> *mut u8 {
        Box::into_raw(mem::take(&mut self.memory)).cast()
    }

    /// # Safety
    /// `memory` comes from [`Block::into_raw`], and nobody uses it or will give it here again.
    pub unsafe fn from_raw(memory: *mut u8) -> Self {
        let memory = ptr::slice_from_raw_parts_mut(memory.cast(), BLOCK_SIZE);
        // SAFETY: as the caller promises; all blocks are of this size.
        Self { memory: unsafe { Box::from_raw(memory) }, len: 0, start: 0 }
    }
}

impl Deref for Block {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: so many bytes have been written.
        unsafe {
            slice::from_raw_parts(self.memory[self.start..self.len].as_ptr().cast(), self.len - self.start)
        }
    }
}

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        let memory = mem::take(&mut self.memory);
        // Handed over by into_raw.
        if memory.is_empty() {
            return;
        }
        let mut spare = spare();
        if spare.len() < MAX_SPARE {
            spare.push(memory);
            let is_second = spare.len() == 2;
            drop(spare);
            if is_second {
                KEPT.notify_one();
            }
        }
    }
}

/// The task that gives back what is not wanted. It sleeps for as long as no more than one is kept.
pub async fn give_back_unwanted() {
    loop {
        KEPT.notified().await;
        // They may have been wanted, or given back, since it was told of them.
        while spare().len() > 1 {
            let before = WANTED.load(Ordering::Relaxed);
            tokio::time::sleep(PATIENCE).await;
            if WANTED.load(Ordering::Relaxed) == before {
                let unwanted = take_unwanted();
                drop(unwanted);
            }
        }
    }
}

/// All but one. They are freed when nobody has to wait for the lock.
fn take_unwanted() -> Vec<Memory> {
    let mut spare = spare();
    let stays = spare.len().min(1);
    spare.split_off(stays)
}

/// A panic elsewhere leaves it whole.
fn spare() -> MutexGuard<'static, Vec<Memory>> {
    kept().lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(not(test))]
fn kept() -> &'static Mutex<Vec<Memory>> {
    static SPARE: Mutex<Vec<Memory>> = Mutex::new(Vec::new());
    &SPARE
}

/// Tests run beside each other, and count what is kept and what is allocated: each thread has its own.
#[cfg(test)]
fn kept() -> &'static Mutex<Vec<Memory>> {
    thread_local! {
        static SPARE: &'static Mutex<Vec<Memory>> = Box::leak(Box::default());
    }
    SPARE.with(|spare| *spare)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_used_again_until_none_is_wanted() {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let task = tokio::spawn(give_back_unwanted());
            let mut block = Block::of(b"abc");
            assert_eq!(&*block, b"abc");
            let place = block.as_ptr();
            block.drop_front(2);
            assert_eq!(&*block, b"c");
            drop(block);
            let again = Block::new();
            assert_eq!((again.as_ptr(), again.len()), (place, 0));

            let raw = again.into_raw();
            assert_eq!(spare().len(), 0);
            // SAFETY: from into_raw, once.
            drop(unsafe { Block::from_raw(raw) });
            assert_eq!(spare().len(), 1);

            let many: Vec<_> = (0..=MAX_SPARE).map(|_| Block::new()).collect();
            drop(many);
            assert_eq!(spare().len(), MAX_SPARE);
            for _ in 0..3 {
                tokio::time::sleep(PATIENCE / 2).await;
                drop(Block::new());
                assert_eq!(spare().len(), MAX_SPARE);
            }
            tokio::time::sleep(PATIENCE * 3).await;
            assert_eq!(spare().len(), 1);
            task.abort();
        });
    }
}
