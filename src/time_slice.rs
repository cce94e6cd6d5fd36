//! How long the kernel lets this thread run while others wait for its
//! processor.
//!
//! JavaScript's thread is woken by what this one has done, and mostly sleeps
//! while there is much to do here: a burst of handshakes, say. Where both want
//! the same processor it would have to wait for the end of the slice, some
//! milliseconds in which no timer of the program runs. Linux (6.12 and later)
//! lets a thread that wakes go before one that has asked for longer slices
//! than its own. So this one asks for longer ones. Its share of the processors
//! and its priority stay what they are; older kernels take no notice.

#[cfg(target_os = "linux")]
mod linux {
    use std::io;
    use std::time::Duration;

    /// More than the default of any machine, which is at most 2.8 ms.
    pub const SLICE: Duration = Duration::from_millis(5);

    /// Of the calling thread.
    pub fn attributes() -> io::Result<libc::sched_attr> {
        // SAFETY: it is plain numbers, for which zero is a value.
        let mut attributes: libc::sched_attr = unsafe { std::mem::zeroed() };
        // SAFETY: the place is valid and has the size that is given.
        let status = unsafe {
            libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attributes, size_of::<libc::sched_attr>(), 0)
        };
        if status == 0 { Ok(attributes) } else { Err(io::Error::last_os_error()) }
    }

    pub fn set(attributes: &libc::sched_attr) -> io::Result<()> {
        // SAFETY: the structure is valid, and has its size in it.
        let status = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, std::ptr::from_ref(attributes), 0) };
        if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

/// Lengthens the slices of the calling thread, where that can be done.
pub fn lengthen() {
    #[cfg(target_os = "linux")]
    if let Ok(mut attributes) = linux::attributes() {
        // Who runs the process under another policy has thought of more than this.
        if attributes.sched_policy == libc::SCHED_OTHER as u32 {
            attributes.sched_runtime = linux::SLICE.as_nanos() as u64;
            // A sandbox may forbid it; then it stays as it is.
            let _ = linux::set(&attributes);
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_thread_gets_longer_slices_where_the_kernel_has_them() {
        let before = linux::attributes().expect("any Linux tells them");
        std::thread::spawn(move || {
            lengthen();
            let after = linux::attributes().expect("any Linux tells them");
            // Kernels that know nothing of it say 0.
            if before.sched_runtime != 0 {
                assert_eq!(u128::from(after.sched_runtime), linux::SLICE.as_nanos());
            }
            assert_eq!(after.sched_policy, before.sched_policy);
            assert_eq!(after.sched_nice, before.sched_nice);
        })
        .join()
        .expect("the thread ends well");
        assert_eq!(
            linux::attributes().expect("as before").sched_runtime,
            before.sched_runtime,
            "another thread's"
        );
    }
}
