//! The task of each connection: it writes what waits and reads what comes, for as long as there is a connection; and
//! how that comes to its end.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};

use super::Pool;
use super::connection::{Connection, ConnectionId, Fin};
use super::lingering::close_after_writing;
use crate::binding::records::{LaneRef, event};
use crate::block::{BLOCK_SIZE, Block};
use crate::error::CloseReason;

/// Writes of one connection in a row before the others get their turn.
const WRITES_PER_TURN: u32 = 8;

/// Reads of one connection in a row before the others get their turn.
const READS_PER_TURN: u32 = 4;

impl Pool {
    /// The task of a connection. It ends with the connection. Not an `async fn`, which would keep what it is given once
    /// more beside what it awaits: with the two words of this one, all of tokio's task is 128 bytes, else 256.
    pub(super) fn serve(pool: Weak<RefCell<Self>>, id: ConnectionId) -> impl Future<Output = ()> {
        poll_fn(move |cx| {
            let Some(pool) = pool.upgrade() else { return Poll::Ready(()) };
            let polled = Self::attempt(&pool, |pool| pool.poll_connection(id, cx));
            polled.unwrap_or_else(|| {
                Self::fail_connection(&pool, id);
                Poll::Ready(())
            })
        })
    }

    fn poll_connection(&mut self, id: ConnectionId, cx: &mut Context<'_>) -> Poll<()> {
        let Some(connection) = self.connections.get_mut(id) else { return Poll::Ready(()) };
        match &mut connection.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        if !connection.has_written() {
            self.poll_write(id, cx);
        }
        self.poll_read(id, cx);
        if self.connections.get(id).is_some() { Poll::Pending } else { Poll::Ready(()) }
    }

    fn poll_write(&mut self, id: ConnectionId, cx: &mut Context<'_>) {
        for _ in 0..WRITES_PER_TURN {
            if !self.may_begin(id) {
                return;
            }
            let Some(connection) = self.connections.get_mut(id) else { return };
            if connection.write_error.is_some() {
                return;
            }
            let slot = connection.lane;
            let Some(piece) = connection.out.front() else {
                if connection.fin == Fin::Wanted {
                    // A peer that is gone needs no FIN; reading shows what became of it.
                    if connection.stream.poll_shutdown(cx).is_ready() {
                        connection.fin = Fin::Sent;
                        self.report(event::FINISHED, self.lane_ref(slot), 0, &[]);
                    }
                } else {
                    match connection.stream.poll_flush(cx) {
                        Poll::Pending => {}
                        Poll::Ready(Ok(())) => {
                            self.begin_idleness(id);
                            self.report_written(id, slot);
                        }
                        Poll::Ready(Err(error)) => self.write_failed(id, error),
                    }
                }
                return;
            };
            let written = match connection.out.pair() {
                Some(pair) => connection.stream.poll_write_pair(cx, pair),
                None => connection.stream.poll_write(cx, piece),
            };
            match written {
                Poll::Pending => return,
                Poll::Ready(Ok(count)) => {
                    connection.out.advance(count);
                    connection.tally.drained(count);
                    self.wrote(id);
                    self.report_written(id, slot);
                }
                Poll::Ready(Err(error)) => {
                    self.write_failed(id, error);
                    return;
                }
            }
        }
        cx.waker().wake_by_ref();
    }

    /// What was asked about and is in the kernel. The last of it may be encrypted, and wait for that.
    pub(super) fn report_written(&mut self, id: ConnectionId, slot: u32) {
        let reached = |connection: &mut Connection| {
            let is_there = !connection.out.is_empty() || !connection.stream.is_blocked();
            is_there.then(|| connection.out.reached()).flatten()
        };
        while let Some((epoch, bytes)) = self.connections.get_mut(id).and_then(reached) {
            let lane = LaneRef { slot, epoch };
            self.report(event::WRITTEN, lane, bytes.cast_signed(), &[]);
        }
    }

    /// What was asked about will not be written. While nobody reads what would tell why, nobody is to wait for it.
    fn report_unwritable(&mut self, id: ConnectionId) {
        let Some(slot) = self.connections.get(id).map(|connection| connection.lane) else { return };
        let lane = self.lane_ref(slot);
        let Some(connection) = self.connections.get_mut(id) else { return };
        let bytes = connection.out.give_up(lane.epoch);
        if bytes > 0 {
            self.report(event::WRITTEN, lane, bytes.cast_signed(), &[]);
        }
    }

    /// The read side is never left unwatched, except while JavaScript has not
    /// caught up with what was read: so an idle connection that ends or speaks
    /// is gone at once, whatever JavaScript is doing.
    fn poll_read(&mut self, id: ConnectionId, cx: &mut Context<'_>) {
        let mut block = Block::new();
        for _ in 0..READS_PER_TURN {
            let Some(connection) = self.connections.get_mut(id) else { return };
            let room = BLOCK_SIZE.min(connection.window.room_or_stall() as usize);
            if connection.ended || room == 0 {
                if connection.write_error.is_some() {
                    self.report_unwritable(id);
                }
                return;
            }
            match block.fill(room, |buf| connection.stream.poll_read(cx, buf)) {
                Poll::Pending => return,
                Poll::Ready(Ok(())) if block.is_empty() => {
                    connection.ended = true;
                    self.connection_ended(id);
                    return;
                }
                Poll::Ready(Ok(())) => {
                    if !self.connection_read(id, &mut block) {
                        return;
                    }
                }
                Poll::Ready(Err(error)) => {
                    self.connection_failed(id, &error, "read");
                    return;
                }
            }
        }
        cx.waker().wake_by_ref();
    }

    pub(super) fn spawn_task(&self, id: ConnectionId) {
        tokio::task::spawn_local(Self::serve(Weak::clone(&self.me), id));
    }

    /// A strong reference for a task that must outlive this call.
    pub(super) fn handle(&self) -> Option<Rc<RefCell<Self>>> {
        self.me.upgrade()
    }

    /// Closes a connection, behind what it owes, and takes it out of everything that knows of it.
    pub(super) fn drop_connection(&mut self, id: ConnectionId, reason: CloseReason) {
        let Some(mut connection) = self.connections.remove(id) else { return };
        let reason = connection.who_closed(reason);
        if let Some(lane) = self.lane(connection.lane) {
            lane.lost = Some(reason);
        }
        if connection.is_doubtful() {
            // A FIN would wait in the kernel for an acknowledgement that does not come.
            connection.stream.reset_on_close();
        }
        connection.log_close(reason);
        connection.counts.closed(&connection, reason);
        if connection.parked.is_some() {
            self.idle.remove(&connection.destination, id);
        }
        connection.wake();
        self.deadlines.remove(id, connection.entry);
        if connection.owes() && !connection.is_doubtful() {
            close_after_writing(connection);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use tokio::task::LocalSet;

    use super::super::test_pool::{LIMITS, TestPool};
    use super::*;
    use crate::binding::batch::Batch;

    #[tokio::test]
    async fn nobody_waits_for_what_will_not_be_written_while_nobody_reads() {
        let test = async {
            let mut test = TestPool::new(LIMITS);
            let (id, _peer) = test.reuse(0).await;
            let mut pool = test.pool.borrow_mut();
            let connection = pool.connections.get_mut(id).unwrap();
            connection.out.push(b"rest");
            connection.out.mark(2, 4);
            connection.write_error = Some(io::ErrorKind::BrokenPipe.into());
            let mut look = |room: u32| {
                pool.connections.get_mut(id).unwrap().window.resize(room);
                pool.poll_read(id, &mut Context::from_waker(std::task::Waker::noop()));
                pool.flush();
                let mut batch = Batch::new();
                test.link.take_batch(&mut batch);
                batch.rows
            };
            assert_eq!(look(1), [], "what comes tells why");
            assert_eq!(look(0), [event::WRITTEN, 0, 2, 4, 0]);
            assert_eq!(look(0), []);
        };
        LocalSet::new().run_until(test).await;
    }

    #[test]
    fn a_task_holds_two_words() {
        let task = Pool::serve(Weak::new(), ConnectionId(0));
        assert_eq!(size_of_val(&task), 2 * size_of::<usize>());
    }
}
