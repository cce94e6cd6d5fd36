//! How much of a response may be on its way between the kernel and the program.
//!
//! A connection reads no further than its window while the program takes
//! nothing: then TCP slows the server down. The windows of an agent share a
//! bound, so that a thousand responses that nobody reads do not hold a thousand
//! windows. Whatever the others hold, a connection may hold [`GUARANTEED`]: a
//! program that collects one response never waits for another that it has paused.

use std::cell::Cell;
use std::rc::Rc;

/// Bytes that a connection may read ahead when its agent has reached its bound. JavaScript reports what it has
/// consumed at the latest when it is so much (`REPORT_CONSUMED` in `lib/lane/read-window.js`), or both sides would wait.
const GUARANTEED: u32 = 64 * 1024;

/// What the connections of one agent have read and its program has not taken.
#[derive(Debug, Default)]
pub struct Buffered {
    bytes: Cell<u64>,
    limit: Cell<u64>,
}

impl Buffered {
    pub fn set_limit(&self, limit: u64) {
        self.limit.set(limit);
    }

    /// Bytes that may still be added.
    pub fn room(&self) -> u64 {
        self.limit.get().saturating_sub(self.bytes.get())
    }

    pub fn add(&self, count: u32) {
        self.bytes.set(self.bytes.get() + u64::from(count));
    }

    pub fn remove(&self, count: u32) {
        self.bytes.set(self.bytes.get() - u64::from(count));
    }
}

/// The window of one connection.
#[derive(Debug)]
pub struct ReadWindow {
    size: u32,
    unread: u32,
    agents: Rc<Buffered>,
    stalled: bool,
}

impl ReadWindow {
    pub const fn new(size: u32, agents: Rc<Buffered>) -> Self {
        Self { size, unread: 0, agents, stalled: false }
    }

    /// Bytes that may be read now.
    pub fn room(&self) -> u32 {
        let own = self.size.min(GUARANTEED).saturating_sub(self.unread);
        let shared = u32::try_from(self.agents.room()).unwrap_or(u32::MAX);
        self.size.saturating_sub(self.unread).min(own.max(shared))
    }

    /// The same for the task of the connection, which stops reading if there is none. What opens the window says
    /// so: that is what the program takes of this response. Room that others make is not told of. It would only be
    /// filled ahead of a program that is not reading.
    pub fn room_or_stall(&mut self) -> u32 {
        let room = self.room();
        self.stalled = room == 0;
        room
    }

    pub fn read(&mut self, count: u32) {
        self.unread += count;
        self.agents.add(count);
    }

    /// JavaScript has consumed some. Whether the task is to read again.
    #[must_use]
    pub fn consumed(&mut self, count: u32) -> bool {
        // What comes late, after the end of an exchange, was counted with that.
        let count = count.min(self.unread);
        self.unread -= count;
        self.agents.remove(count);
        self.stalled && self.room() > 0
    }

    /// An exchange is over, or another one begins: nothing is unread. Whether the task is to read again.
    #[must_use]
    pub fn clear(&mut self) -> bool {
        self.consumed(self.unread)
    }

    /// As [`ReadWindow::clear`], of what JavaScript has not been able to take: it is counted until that is dropped.
    pub fn set_aside(&mut self) -> Unread {
        let agents = Rc::clone(&self.agents);
        let count = std::mem::take(&mut self.unread);
        self.stalled = false;
        Unread { count, agents }
    }

    pub fn resize(&mut self, size: u32) {
        self.size = size;
    }
}

/// What was read in an exchange that is over, and waits for JavaScript.
#[derive(Debug)]
pub struct Unread {
    count: u32,
    agents: Rc<Buffered>,
}

impl Drop for Unread {
    fn drop(&mut self) {
        self.agents.remove(self.count);
    }
}

impl Drop for ReadWindow {
    fn drop(&mut self) {
        self.agents.remove(self.unread);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: u32 = 1024;

    fn windows<const N: usize>(size: u32, limit: u64) -> (Rc<Buffered>, [ReadWindow; N]) {
        let agents = Rc::new(Buffered::default());
        agents.set_limit(limit);
        let windows = std::array::from_fn(|_| ReadWindow::new(size, Rc::clone(&agents)));
        (agents, windows)
    }

    #[test]
    fn a_window_is_full_until_the_program_takes_some() {
        let (_, [mut window]) = windows(256 * KIB, u64::MAX);
        assert_eq!(window.room_or_stall(), 256 * KIB);
        window.read(256 * KIB);
        assert_eq!(window.room_or_stall(), 0);
        assert!(window.consumed(100));
        assert_eq!(window.room_or_stall(), 100);
        assert!(!window.consumed(100));
    }

    #[test]
    fn beyond_the_bound_each_has_what_is_guaranteed_and_no_more() {
        let (agents, [mut first, mut second, mut third]) = windows(256 * KIB, u64::from(300 * KIB));
        first.read(first.room());
        assert_eq!(second.room(), GUARANTEED);
        second.read(30 * KIB);
        assert_eq!(second.room(), 34 * KIB);
        second.read(34 * KIB);
        assert_eq!((agents.room(), second.room(), third.room()), (0, 0, GUARANTEED));
        third.read(GUARANTEED);
        assert!(!third.clear());
        drop(first);
        assert_eq!(second.room(), 192 * KIB);
    }

    #[test]
    fn a_task_that_has_stalled_is_told_although_others_made_the_room() {
        let (_, [mut first, mut second]) = windows(256 * KIB, u64::from(256 * KIB));
        first.read(256 * KIB);
        second.read(GUARANTEED);
        assert_eq!(second.room_or_stall(), 0);
        assert!(!first.clear());
        assert!(second.consumed(1));
    }

    #[test]
    fn what_is_consumed_late_is_counted_once() {
        let (agents, [mut window]) = windows(KIB, 10_000);
        window.read(100);
        assert!(!window.clear());
        assert!(!window.consumed(100));
        assert_eq!((agents.room(), window.room()), (10_000, KIB));
    }

    #[test]
    fn what_is_set_aside_counts_until_it_is_dropped() {
        let (agents, [mut window]) = windows(KIB, 1000);
        window.read(900);
        let unread = window.set_aside();
        assert_eq!((agents.room(), window.room()), (100, KIB));
        assert!(!window.consumed(900));
        assert_eq!(agents.room(), 100);
        drop(unread);
        assert_eq!(agents.room(), 1000);
    }

    #[test]
    fn a_window_of_one_byte_opens_again() {
        let (_, [mut window]) = windows(1, 0);
        assert_eq!(window.room_or_stall(), 1);
        window.read(1);
        assert_eq!(window.room_or_stall(), 0);
        assert!(window.clear());
        assert_eq!(window.room_or_stall(), 1);
    }
}
