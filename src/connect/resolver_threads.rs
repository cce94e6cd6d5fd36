//! The threads that getaddrinfo(3) blocks: few, started as they are needed, and ended when they have had nothing to do
//! for a while. tokio has such threads too, but panics where the system has none to give.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// A name that hangs must not hold up the others.
const MAX_THREADS: usize = 16;
const IDLE_LIMIT: Duration = Duration::from_secs(10);

pub type Job = Box<dyn FnOnce() + Send>;

pub struct Threads {
    state: Mutex<State>,
    added: Condvar,
}

struct State {
    jobs: VecDeque<Job>,
    threads: usize,
    /// Those that wait for a job.
    idle: usize,
}

impl Threads {
    pub const fn new() -> Self {
        Self {
            state: Mutex::new(State { jobs: VecDeque::new(), threads: 0, idle: 0 }),
            added: Condvar::new(),
        }
    }

    /// Runs the job on one of the threads, perhaps later. Fails where there is none and none can be started. Dropped,
    /// and not run, is a job only then.
    pub fn run(&'static self, job: Job) -> io::Result<()> {
        self.run_with(job, |work| thread::Builder::new().name("offloop-dns".to_owned()).spawn(work).map(drop))
    }

    fn run_with(
        &'static self,
        job: Job,
        spawn: impl FnOnce(Box<dyn FnOnce() + Send>) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut state = self.lock();
        // Each job that waits has an idle one that is about to take it.
        if state.idle <= state.jobs.len() && state.threads < MAX_THREADS {
            match spawn(Box::new(|| self.work())) {
                Ok(()) => state.threads += 1,
                Err(error) if state.threads == 0 => return Err(error),
                // Those that there are come to it.
                Err(_) => {}
            }
        }
        state.jobs.push_back(job);
        self.added.notify_one();
        Ok(())
    }

    fn work(&self) {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                drop(state);
                // A panic has been printed, and costs this job.
                let _ = catch_unwind(AssertUnwindSafe(job));
                state = self.lock();
                continue;
            }
            state.idle += 1;
            let waited = self.added.wait_timeout_while(state, IDLE_LIMIT, |state| state.jobs.is_empty());
            let (woken, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            state = woken;
            state.idle -= 1;
            if timeout.timed_out() && state.jobs.is_empty() {
                state.threads -= 1;
                return;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn threads() -> &'static Threads {
        Box::leak(Box::new(Threads::new()))
    }

    fn none(_: Box<dyn FnOnce() + Send>) -> io::Result<()> {
        Err(io::ErrorKind::WouldBlock.into())
    }

    #[test]
    fn a_thread_that_hangs_holds_up_nobody() {
        let threads = threads();
        let (end, ended) = mpsc::channel::<()>();
        let hang = move || {
            let _ = ended.recv();
        };
        threads.run(Box::new(hang)).unwrap();
        let (done, is_done) = mpsc::channel();
        for number in 0..100 {
            let done = done.clone();
            threads.run(Box::new(move || done.send(number).unwrap())).unwrap();
        }
        let mut numbers: Vec<i32> = is_done.iter().take(100).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..100).collect::<Vec<_>>());
        assert!(threads.lock().threads <= MAX_THREADS);
        drop(end);
    }

    #[test]
    fn without_any_thread_the_job_is_refused_and_else_it_waits() {
        let threads = threads();
        let (done, is_done) = mpsc::channel();
        let job = || {
            let done = done.clone();
            Box::new(move || done.send(thread::current().id()).unwrap())
        };
        assert!(threads.run_with(job(), none).is_err());
        threads.run(job()).unwrap();
        let first = is_done.recv().unwrap();
        for _ in 0..3 {
            threads.run_with(job(), none).unwrap();
        }
        assert!(is_done.iter().take(3).all(|thread| thread == first));
        drop(done);
        assert!(is_done.recv().is_err(), "the one that was refused has run");
    }
}
