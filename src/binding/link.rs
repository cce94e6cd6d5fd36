//! What the two threads of an environment share: one queue each way, and how
//! each wakes the other.

use std::mem;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use napi::sys;

use super::records::{Batch, LaneRef, Submission};
use crate::pool::Cold;
use crate::runtime;

/// The link between one JavaScript environment and the runtime.
pub struct Link {
    to_runtime: Mutex<Submission<Cold>>,
    to_javascript: Mutex<Batch>,
    /// A wake is on its way to JavaScript, which will take all there is.
    wake_pending: AtomicBool,
    delivering: AtomicBool,
    /// None once the environment is going down. The lock is held during a
    /// call, so none can be under way after the end.
    waker: Mutex<Option<JavaScriptWaker>>,
}

/// The threadsafe function that wakes JavaScript.
pub struct JavaScriptWaker(pub sys::napi_threadsafe_function);

// SAFETY: N-API allows calls of a threadsafe function from any thread; that it
// still exists is what `Link::waker` is there for.
unsafe impl Send for JavaScriptWaker {}

impl Link {
    pub const fn new() -> Self {
        Self {
            to_runtime: Mutex::new(Submission::new()),
            to_javascript: Mutex::new(Batch::new()),
            wake_pending: AtomicBool::new(false),
            delivering: AtomicBool::new(false),
            waker: Mutex::new(None),
        }
    }

    /// From JavaScript: adds to what the runtime finds next. Without `wake`
    /// it finds it on its next look.
    pub fn submit(&self, wake: bool, add: impl FnOnce(&mut Submission<Cold>)) {
        add(&mut lock(&self.to_runtime));
        if wake {
            runtime::wake();
        }
    }

    pub fn submit_cold(&self, lane: LaneRef, request: Cold) {
        self.submit(true, |submission| submission.push_cold(lane.slot, lane.epoch, request));
    }

    /// JavaScript handles a batch, and may submit without waking the runtime,
    /// which then looks by itself (`PATROL` there).
    pub fn set_delivering(&self, on: bool) {
        self.delivering.store(on, Ordering::Release);
    }

    pub fn is_delivering(&self) -> bool {
        self.delivering.load(Ordering::Acquire)
    }

    /// To the runtime: exchanges what is there for an empty submission.
    pub fn take_submission(&self, spare: &mut Submission<Cold>) -> bool {
        let mut submission = lock(&self.to_runtime);
        if submission.is_empty() {
            return false;
        }
        mem::swap(&mut *submission, spare);
        true
    }

    /// From the runtime: hands a batch over and wakes JavaScript if it has not
    /// been woken already.
    pub fn deliver(&self, batch: &mut Batch) {
        lock(&self.to_javascript).append(batch);
        if self.wake_pending.swap(true, Ordering::AcqRel) {
            return;
        }
        if let Some(waker) = &*lock(&self.waker) {
            // SAFETY: the function lives as long as it stands in `waker`. The queue is not
            // bounded, so the call does not block; it fails only when the environment is ending.
            unsafe {
                sys::napi_call_threadsafe_function(
                    waker.0,
                    ptr::null_mut(),
                    sys::ThreadsafeFunctionCallMode::nonblocking,
                )
            };
        }
    }

    /// To JavaScript: exchanges what is there for an empty batch.
    pub fn take_batch(&self, spare: &mut Batch) {
        self.wake_pending.store(false, Ordering::Release);
        mem::swap(&mut *lock(&self.to_javascript), spare);
    }

    pub fn set_waker(&self, waker: JavaScriptWaker) {
        *lock(&self.waker) = Some(waker);
    }

    /// After this no native thread calls into the environment.
    pub fn sever(&self) {
        lock(&self.waker).take();
    }
}

/// A panic elsewhere leaves both queues whole: they are only swapped and appended to.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
