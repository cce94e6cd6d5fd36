//! Bytes that the kernel has not taken yet, and the marks at which JavaScript
//! wants to hear that it has.

use std::collections::VecDeque;

use crate::binding::blob::Blob;
use crate::connect::Piece;

#[derive(Default)]
pub struct OutQueue {
    chunks: VecDeque<Chunk>,
    /// Bytes of the first chunk that are gone already.
    head: usize,
    pushed: u64,
    flushed: u64,
    marks: VecDeque<Mark>,
    /// The memory of the last small writes that have left, for the next ones.
    spare: Vec<u8>,
}

enum Chunk {
    /// Small writes, together.
    Gathered(Vec<u8>),
    Blob(Blob),
}

struct Mark {
    position: u64,
    epoch: u32,
    bytes: u32,
}

/// Small writes are gathered into chunks of this size.
const GATHER: usize = 16 * 1024;

/// No more memory is kept for them.
const MAX_SPARE: usize = 4096;

impl OutQueue {
    /// Gives back the memory that nothing waits in.
    pub fn shrink(&mut self) {
        self.chunks.shrink_to_fit();
        self.marks.shrink_to_fit();
        self.spare = Vec::new();
    }

    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Whether nothing waits to leave or to be reported.
    pub fn is_idle(&self) -> bool {
        self.chunks.is_empty() && self.marks.is_empty()
    }

    /// Bytes that wait.
    pub fn len(&self) -> u64 {
        self.pushed - self.flushed
    }

    /// The next bytes to write.
    pub fn front(&self) -> Option<Piece<'_>> {
        self.chunks.front().map(|chunk| match chunk {
            Chunk::Gathered(bytes) => Piece::Bytes(&bytes[self.head..]),
            Chunk::Blob(blob) => blob.piece(self.head),
        })
    }

    /// The same and what is behind them, for one write of both. None if a part of that is lent.
    pub fn pair(&self) -> Option<[&[u8]; 2]> {
        let behind = self.chunks.get(1).map(|chunk| match chunk {
            Chunk::Gathered(bytes) => Piece::Bytes(bytes),
            Chunk::Blob(blob) => blob.piece(0),
        });
        match (self.front(), behind) {
            (Some(Piece::Bytes(front)), Some(Piece::Bytes(behind))) => Some([front, behind]),
            _ => None,
        }
    }

    pub fn push(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.pushed += bytes.len() as u64;
        match self.chunks.back_mut() {
            Some(Chunk::Gathered(last)) if last.len() + bytes.len() <= GATHER => {
                last.extend_from_slice(bytes);
            }
            _ => {
                let mut chunk = std::mem::take(&mut self.spare);
                chunk.extend_from_slice(bytes);
                self.chunks.push_back(Chunk::Gathered(chunk));
            }
        }
    }

    /// Takes a large write, of which the first `from` bytes have left already: then nothing was queued.
    pub fn push_blob(&mut self, blob: Blob, from: usize) {
        debug_assert!(from == 0 || self.chunks.is_empty());
        if from >= blob.len() {
            return;
        }
        self.pushed += (blob.len() - from) as u64;
        if self.chunks.is_empty() {
            self.head = from;
        }
        self.chunks.push_back(Chunk::Blob(blob));
    }

    /// Asks for a report of `bytes` when all that is queued now has left.
    pub fn mark(&mut self, epoch: u32, bytes: u32) {
        self.marks.push_back(Mark { position: self.pushed, epoch, bytes });
    }

    /// The kernel took `count` bytes of what is in front.
    pub fn advance(&mut self, count: usize) {
        self.flushed += count as u64;
        self.head += count;
        while let Some(len) = self.chunks.front().map(Chunk::len).filter(|len| self.head >= *len) {
            self.head -= len;
            // An upload gives its memory back as it goes; the queue's own is small.
            if let Some(Chunk::Gathered(mut bytes)) = self.chunks.pop_front()
                && bytes.capacity() <= MAX_SPARE
            {
                // It may be a secret, and stays for as long as the connection.
                bytes.fill(0);
                bytes.clear();
                self.spare = bytes;
            }
        }
    }

    /// The next mark that has been reached: its epoch and its bytes.
    pub fn reached(&mut self) -> Option<(u32, u32)> {
        self.marks.front().filter(|mark| mark.position <= self.flushed)?;
        let mark = self.marks.pop_front()?;
        Some((mark.epoch, mark.bytes))
    }

    /// The bytes of all marks of `epoch` that have not been reached.
    pub fn outstanding(&self, epoch: u32) -> u32 {
        self.marks.iter().filter(|mark| mark.epoch == epoch).map(|mark| mark.bytes).sum()
    }

    /// The same, of which no report will be asked any more.
    pub fn give_up(&mut self, epoch: u32) -> u32 {
        let bytes = self.outstanding(epoch);
        self.marks.retain(|mark| mark.epoch != epoch);
        bytes
    }

    /// Leaves the first `count` bytes, and returns what is behind them, each with its marks.
    pub fn split_off(&mut self, count: u64) -> Self {
        if self.len() <= count {
            return Self::default();
        }
        let mut at = self.head + count as usize;
        let mut whole = 0;
        while let Some(len) = self.chunks.get(whole).map(Chunk::len).filter(|&len| at >= len) {
            at -= len;
            whole += 1;
        }
        let position = self.flushed + count;
        let mut rest = Self { chunks: self.chunks.split_off(whole), head: at, ..Self::default() };
        rest.pushed = self.pushed - position;
        self.pushed = position;
        let is_behind = |mark: &Mark| mark.position > position;
        let first = self.marks.iter().position(is_behind).unwrap_or(self.marks.len());
        rest.marks = self.marks.split_off(first);
        for mark in &mut rest.marks {
            mark.position -= position;
        }
        if self.is_empty() && at == self.head {
            self.head = 0;
        } else if at > 0 {
            // Small writes are gathered, of one request behind those of another.
            self.chunks.extend(rest.chunks.front().and_then(|chunk| chunk.until(at)));
        }
        rest
    }

    /// Moves everything of `other` to the end of this queue.
    pub fn append(&mut self, other: &mut Self) {
        let mut other = std::mem::take(other);
        let base = self.pushed.wrapping_sub(other.flushed);
        self.pushed += other.pushed - other.flushed;
        if self.chunks.is_empty() {
            self.head = other.head;
        } else if other.head > 0
            && let Some(first) = other.chunks.front_mut()
        {
            first.cut(other.head);
        }
        self.chunks.append(&mut other.chunks);
        for mut mark in other.marks {
            mark.position = base.wrapping_add(mark.position);
            self.marks.push_back(mark);
        }
    }
}

impl Chunk {
    fn len(&self) -> usize {
        match self {
            Self::Gathered(bytes) => bytes.len(),
            Self::Blob(blob) => blob.len(),
        }
    }

    /// A copy of the first `count` bytes; none of what is lent.
    fn until(&self, count: usize) -> Option<Self> {
        match self {
            Self::Gathered(bytes) => Some(Self::Gathered(bytes[..count].to_vec())),
            Self::Blob(Blob::Copied(block)) => Some(Self::Gathered(block[..count].to_vec())),
            Self::Blob(Blob::Lent(_)) => None,
        }
    }

    /// Leaves out the first `count` bytes.
    fn cut(&mut self, count: usize) {
        match self {
            Self::Gathered(bytes) => drop(bytes.drain(..count)),
            Self::Blob(Blob::Copied(block)) => *self = Self::Gathered(block[count..].to_vec()),
            Self::Blob(Blob::Lent(lent)) => lent.skip(count),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::binding::loans::{Lent, Loans};
    use crate::block::Block;

    fn blob(bytes: &[u8]) -> Blob {
        let block = Block::of(bytes);
        Blob::Copied(block)
    }

    fn drain(queue: &mut OutQueue, mut count: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while count > 0 {
            let Some(Piece::Bytes(front)) = queue.front() else { break };
            let take = front.len().min(count);
            bytes.extend_from_slice(&front[..take]);
            queue.advance(take);
            count -= take;
        }
        bytes
    }

    #[test]
    fn bytes_leave_in_the_order_they_came() {
        let mut queue = OutQueue::default();
        queue.push(b"ab");
        queue.push(b"cd");
        queue.push_blob(blob(b"efg"), 0);
        queue.push_blob(blob(b"hhh"), 0);
        queue.push(b"i");
        assert_eq!(drain(&mut queue, 3), b"abc");
        assert_eq!(drain(&mut queue, 99), b"defghhhi");
        assert!(queue.is_empty());
        queue.push_blob(blob(b"12345"), 4);
        assert_eq!(drain(&mut queue, 99), b"5");
    }

    #[test]
    fn what_is_taken_of_two_is_taken_of_the_first_before_the_second() {
        for count in 0..=7 {
            let mut queue = OutQueue::default();
            queue.push(b"abc");
            assert_eq!(queue.pair(), None);
            queue.push_blob(blob(b"defg"), 0);
            assert_eq!(queue.pair(), Some([&b"abc"[..], b"defg"]));
            queue.advance(count);
            assert_eq!(queue.len(), 7 - count as u64);
            assert_eq!(queue.pair().is_some(), count < 3);
            assert_eq!(drain(&mut queue, 99), b"abcdefg"[count..]);
            assert!(queue.is_empty());
        }
        let mut queue = OutQueue::default();
        queue.push(b"abc");
        queue.push_blob(Blob::Lent(Lent::new(std::ptr::null(), 9, 1, Arc::new(Loans::new()))), 0);
        assert_eq!(queue.pair(), None, "it is the kernel's to read");
    }

    #[test]
    fn a_mark_is_reached_with_the_last_byte_before_it() {
        let mut queue = OutQueue::default();
        queue.push(b"abcd");
        queue.mark(7, 4);
        queue.push(b"ef");
        queue.mark(8, 2);
        drain(&mut queue, 3);
        assert_eq!(queue.reached(), None);
        assert_eq!(queue.outstanding(7), 4);
        drain(&mut queue, 1);
        assert_eq!(queue.reached(), Some((7, 4)));
        assert_eq!(queue.reached(), None);
        drain(&mut queue, 2);
        assert_eq!(queue.reached(), Some((8, 2)));
    }

    #[test]
    fn an_appended_queue_keeps_its_marks_in_place() {
        let (mut first, mut second) = (OutQueue::default(), OutQueue::default());
        first.push(b"ab");
        drain(&mut first, 1);
        second.push_blob(blob(b"..cdef"), 2);
        second.mark(1, 4);
        drain(&mut second, 1);
        second.push(b"g");
        first.append(&mut second);
        assert!(second.is_empty());
        assert_eq!(drain(&mut first, 4), b"bdef");
        assert_eq!(first.reached(), Some((1, 4)));
        assert_eq!(drain(&mut first, 9), b"g");
    }

    #[test]
    fn what_is_split_off_begins_where_the_rest_ends() {
        let whole = b"abcdefghi";
        for sent in 0..whole.len() {
            for count in 0..=whole.len() - sent {
                let mut queue = OutQueue::default();
                queue.push(b"abc");
                queue.mark(1, 3);
                queue.push_blob(blob(b"de"), 0);
                queue.push(b"fghi");
                queue.mark(2, 6);
                queue.advance(sent.min(3));
                queue.advance(sent.saturating_sub(3).min(2));
                queue.advance(sent.saturating_sub(5));
                let at = sent + count;
                let mut rest = queue.split_off(count as u64);
                assert_eq!((queue.len(), rest.len()), (count as u64, (whole.len() - at) as u64));
                assert_eq!(queue.is_empty(), count == 0);
                // More may be written to either.
                queue.push(b"!");
                rest.push(b"?");
                assert_eq!(drain(&mut queue, 99), [&whole[sent..at], b"!"].concat());
                assert_eq!(drain(&mut rest, 99), [&whole[at..], b"?"].concat());
                let reached =
                    |queue: &mut OutQueue| std::iter::from_fn(|| queue.reached()).collect::<Vec<_>>();
                let [first, second] = [(1, 3), (2, 6)];
                let behind = if at < 3 { vec![first, second] } else { vec![second] };
                let behind = if at < 9 { behind } else { vec![] };
                assert_eq!(reached(&mut rest), behind, "{sent} {count}");
                let before = [first, second].into_iter().filter(|mark| !behind.contains(mark));
                assert_eq!(reached(&mut queue), before.collect::<Vec<_>>(), "{sent} {count}");
            }
        }
    }

    #[test]
    fn memory_that_is_used_again_has_nothing_of_what_stood_there() {
        let mut queue = OutQueue::default();
        queue.push(b"secret");
        let place = queue.chunks.front().map(|chunk| match chunk {
            Chunk::Gathered(bytes) => bytes.as_ptr(),
            Chunk::Blob(_) => panic!("gathered"),
        });
        assert_eq!(drain(&mut queue, 99), b"secret");
        assert_eq!((Some(queue.spare.as_ptr()), queue.spare.len()), (place, 0));
        // SAFETY: six bytes of it have been written, and are there still.
        unsafe { queue.spare.set_len(6) };
        assert_eq!(queue.spare, [0; 6]);
        queue.spare.clear();
        queue.push(b"ab");
        assert_eq!(drain(&mut queue, 99), b"ab");
        queue.push(&[1; MAX_SPARE + 1]);
        drain(&mut queue, usize::MAX);
        assert!(queue.spare.capacity() <= MAX_SPARE);
    }

    #[test]
    fn what_is_lent_is_returned_when_it_has_left() {
        let loans = Arc::new(Loans::new());
        let lent = |number| Blob::Lent(Lent::new(std::ptr::null(), 10, number, Arc::clone(&loans)));
        let place = |queue: &OutQueue| match queue.front() {
            Some(Piece::Lent(lent, from)) => lent.read_by(from, |data, len| Ok((data.addr(), len))).unwrap(),
            _ => panic!("nothing lent in front"),
        };
        let (mut first, mut second) = (OutQueue::default(), OutQueue::default());
        second.push_blob(lent(1), 3);
        second.push_blob(lent(2), 0);
        assert_eq!(place(&second), (3, 7));
        second.advance(2);
        first.push(b"ab");
        first.append(&mut second);
        assert_eq!((drain(&mut first, 2), first.len()), (b"ab".to_vec(), 15));
        assert_eq!(place(&first), (5, 5));
        first.advance(5);
        let returned = || {
            let mut numbers = Vec::new();
            loans.take_returned(|number| numbers.push(number));
            numbers
        };
        assert_eq!(returned(), [1]);
        assert_eq!(place(&first), (0, 10));
        drop(first);
        assert_eq!(returned(), [2]);
    }

    #[test]
    fn shrinking_gives_back_all_memory_but_that_of_what_waits() {
        let mut queue = OutQueue::default();
        queue.push(b"gone");
        queue.mark(1, 4);
        queue.advance(4);
        assert_eq!(queue.reached(), Some((1, 4)));
        queue.shrink();
        assert_eq!((queue.chunks.capacity(), queue.marks.capacity(), queue.spare.capacity()), (0, 0, 0));
        queue.push(b"waits");
        queue.mark(2, 5);
        queue.shrink();
        assert!(matches!(queue.front(), Some(Piece::Bytes(b"waits"))));
        queue.advance(5);
        assert_eq!(queue.reached(), Some((2, 5)));
    }
}
