//! When the runtime is woken for what JavaScript submits.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Instant;

use super::link::Link;
use crate::runtime;

/// On the thread of the environment.
pub struct Bell {
    link: Arc<Link>,
    mode: Cell<Mode>,
}

#[derive(Clone, Copy)]
enum Mode {
    /// At once.
    Free,
    /// In a batch, or a tick that submits many times: once per interval, if the runtime looks by itself
    /// meanwhile. `since`: the last time, or when this began; `due`: it has not been woken for all.
    Hushed { since: Instant, due: bool },
}

impl Bell {
    pub fn new(link: &Arc<Link>) -> Self {
        Self { link: Arc::clone(link), mode: Cell::new(Mode::Free) }
    }

    /// Something has been submitted. Behind the submission: a runtime that no longer looks by itself then has
    /// seen it.
    pub fn strike(&self) {
        let mut mode = self.mode.get();
        if mode.strike() {
            runtime::wake();
        }
        self.mode.set(mode);
    }

    /// JavaScript submits many times from here on: the runtime is woken seldom, and looks by itself.
    pub fn hush(&self) {
        self.hush_since(Instant::now());
    }

    /// The same, but for the first: it is for who computes on behind it, and has to be seen now to be sent soon.
    pub fn hush_behind_first(&self) {
        self.hush_since(Instant::now() - runtime::WAKE_INTERVAL);
    }

    fn hush_since(&self, since: Instant) {
        self.link.set_hushed(true);
        // A batch may be handled within a batch: what the one outside is due stays so.
        let due = matches!(self.mode.get(), Mode::Hushed { due: true, .. });
        self.mode.set(Mode::Hushed { since, due });
    }

    /// Back to a wake for each submission, and one for what has had none.
    pub fn unhush(&self) {
        self.link.set_hushed(false);
        if let Mode::Hushed { due: true, .. } = self.mode.replace(Mode::Free) {
            runtime::wake();
        }
    }
}

impl Mode {
    /// Notes a submission, and says whether to wake it.
    fn strike(&mut self) -> bool {
        let Self::Hushed { since, due } = self else { return true };
        let now = Instant::now();
        *due = runtime::is_patrolling() && now - *since < runtime::WAKE_INTERVAL;
        if !*due {
            *since = now;
        }
        !*due
    }
}
