//! How much a thread has computed, asked from another thread. It tells a thread
//! that computes on from one that waits for a processor.

use std::time::{Duration, Instant};

/// The CPU time of one thread, where the system can tell it (Linux).
#[derive(Clone, Copy)]
pub struct CpuClock {
    #[cfg(target_os = "linux")]
    id: Option<libc::clockid_t>,
}

impl CpuClock {
    #[cfg(target_os = "linux")]
    pub fn of_this_thread() -> Self {
        let mut id = 0;
        // SAFETY: the place is valid, and the thread is this one.
        let status = unsafe { libc::pthread_getcpuclockid(libc::pthread_self(), &raw mut id) };
        Self { id: (status == 0).then_some(id) }
    }

    #[cfg(not(target_os = "linux"))]
    pub fn of_this_thread() -> Self {
        Self {}
    }

    /// None where it cannot be told, and once the thread has ended.
    #[cfg(target_os = "linux")]
    pub fn now(self) -> Option<Duration> {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the place is valid; the clock of a thread that is gone is an error.
        let status = unsafe { libc::clock_gettime(self.id?, &raw mut time) };
        let seconds = u64::try_from(time.tv_sec).ok().filter(|_| status == 0)?;
        Some(Duration::new(seconds, u32::try_from(time.tv_nsec).ok()?))
    }

    #[cfg(not(target_os = "linux"))]
    pub fn now(self) -> Option<Duration> {
        None
    }
}

/// What a [`CpuClock`] has shown. To read that of another thread is a system call, which is dear where it is done for
/// each request.
#[derive(Default)]
pub struct Readings {
    last: Option<(Instant, Duration)>,
}

/// How old a reading may be that is as good as one of now.
const MAX_AGE: Duration = Duration::from_micros(200);

impl Readings {
    /// What has been computed by now.
    pub fn exact(&mut self, now: Instant, read: impl FnOnce() -> Option<Duration>) -> Option<Duration> {
        let computed = read()?;
        self.last = Some((now, computed));
        Some(computed)
    }

    /// What has been computed by now, if the thread has done nothing else since it was last read.
    pub fn at_most(&self, now: Instant) -> Option<Duration> {
        self.last.map(|(at, computed)| computed + (now - at))
    }

    /// What has been computed by now, or up to [`MAX_AGE`] less.
    pub fn recent(&mut self, now: Instant, read: impl FnOnce() -> Option<Duration>) -> Option<Duration> {
        match self.last {
            Some((at, computed)) if now - at <= MAX_AGE => Some(computed),
            _ => self.exact(now, read),
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_reading_serves_until_it_is_old() {
        let (start, us) = (Instant::now(), Duration::from_micros);
        let mut readings = Readings::default();
        let mut recent = |at, read| readings.recent(start + us(at), || read);
        assert_eq!(recent(0, None), None);
        assert_eq!(recent(10, Some(us(70))), Some(us(70)));
        assert_eq!(recent(210, None), Some(us(70)));
        assert_eq!(recent(211, Some(us(80))), Some(us(80)));
        assert_eq!(readings.exact(start + us(220), || Some(us(89))), Some(us(89)));
        assert_eq!(readings.recent(start + us(420), || None), Some(us(89)));
        assert_eq!(readings.at_most(start + us(2020)), Some(us(1889)));
    }

    #[test]
    fn it_goes_on_while_the_thread_computes() {
        let clock = CpuClock::of_this_thread();
        let start = clock.now().unwrap();
        while clock.now().unwrap() < start + Duration::from_millis(2) {
            std::hint::black_box(start);
        }
    }

    #[test]
    fn it_stands_still_while_the_thread_sleeps() {
        let (ask, asked) = std::sync::mpsc::channel();
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            ask.send(CpuClock::of_this_thread()).unwrap();
            ended.recv().unwrap_err();
        });
        let clock = asked.recv().unwrap();
        std::thread::sleep(Duration::from_millis(5));
        let start = clock.now().unwrap();
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!(clock.now().unwrap(), start);
        drop(end);
        thread.join().unwrap();
    }
}
