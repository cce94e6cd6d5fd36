//! What one turn of the runtime has to say to JavaScript: rows, and what they speak of.

use std::collections::VecDeque;

use super::records::LaneRef;
use crate::block::Block;

/// The rows, and beside them the bytes and blocks of those that have some.
#[derive(Debug, Default)]
pub struct Batch {
    pub rows: Vec<i32>,
    pub bytes: Vec<u8>,
    /// What is too large to be copied, for the rows that [have a block](super::records::has_block).
    pub blocks: VecDeque<Block>,
}

impl Batch {
    pub const fn new() -> Self {
        Self { rows: Vec::new(), bytes: Vec::new(), blocks: VecDeque::new() }
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub fn clear(&mut self) {
        self.rows.clear();
        self.bytes.clear();
        self.blocks.clear();
        if self.bytes.capacity() > 1 << 20 {
            self.bytes.shrink_to(1 << 18);
        }
    }

    /// A row whose bytes are `text`.
    pub fn push(&mut self, head: i32, lane: LaneRef, arg: i32, text: &[u8]) {
        self.bytes.extend_from_slice(text);
        self.push_row(head, lane, arg, text.len());
    }

    /// A row whose `len` bytes have been put at the end of `bytes` already.
    pub fn push_row(&mut self, head: i32, lane: LaneRef, arg: i32, len: usize) {
        self.rows.extend([head, lane.slot.cast_signed(), lane.epoch.cast_signed(), arg, len as i32]);
    }

    /// Appends another batch, leaving that one empty.
    pub fn append(&mut self, other: &mut Self) {
        if self.is_empty() && self.bytes.is_empty() {
            std::mem::swap(self, other);
        } else {
            self.rows.append(&mut other.rows);
            self.bytes.append(&mut other.bytes);
            self.blocks.append(&mut other.blocks);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binding::records::event;

    #[test]
    fn appended_batches_keep_rows_and_bytes_in_step() {
        let lane = LaneRef { slot: 1, epoch: 2 };
        let (mut first, mut second) = (Batch::new(), Batch::new());
        first.push(event::DATA, lane, 0, b"one");
        second.push(event::DATA, lane, 0, b"three");
        first.append(&mut second);
        assert!(second.is_empty());
        assert_eq!(first.bytes, b"onethree");
        assert_eq!(first.rows, [1, 1, 2, 0, 3, 1, 1, 2, 0, 5]);
    }
}
