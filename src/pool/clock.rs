//! A clock that runs on while the machine sleeps. A laptop that was closed for
//! an hour must not believe that its connections have been idle for a second.

use std::time::Duration;

/// Time since some fixed moment, suspension included where the system can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Uptime(Duration);

impl Uptime {
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration))
    }

    /// How long ago `earlier` was.
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// The machine has slept for so long since then.
    #[cfg(test)]
    pub fn before_sleep_of(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(duration))
    }
}

#[cfg(target_os = "linux")]
pub fn uptime() -> Uptime {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: now is a valid place for the result, and CLOCK_BOOTTIME exists since Linux 2.6.39.
    unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut now) };
    Uptime(Duration::new(now.tv_sec.cast_unsigned(), now.tv_nsec as u32))
}

/// The monotonic clock counts suspension on Windows, and on macOS the idle
/// watch sees the dead connection when the machine wakes.
#[cfg(not(target_os = "linux"))]
pub fn uptime() -> Uptime {
    use std::sync::OnceLock;
    use std::time::Instant;

    static START: OnceLock<Instant> = OnceLock::new();
    Uptime(START.get_or_init(Instant::now).elapsed())
}
