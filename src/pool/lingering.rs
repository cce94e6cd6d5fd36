//! What a connection owes of requests that are over: bytes that JavaScript has been told are written, and that the kernel
//! has not taken. With `http.Agent` the kernel has what is written, and sends it after a close. Here it is sent before.

use std::future::poll_fn;
use std::io;
use std::task::Poll;
use std::time::Duration;

use tokio::task::spawn_local;
use tokio::time::timeout;

use super::connection::Connection;
use super::out_queue::OutQueue;
use crate::block::{BLOCK_SIZE, Block};
use crate::connect::{Piece, Stream};
use crate::debts::Debt;

/// How long one that is given up waits for the peer to take some of it, where there is no limit for dead peers.
const PATIENCE: Duration = Duration::from_secs(20);

impl Connection {
    /// Whether bytes of requests that are over wait for the kernel: until they have left the connection is neither idle,
    /// nor another request's, nor closed. The response to a long upload may come before all of that has left.
    pub fn owes(&self) -> bool {
        self.write_error.is_none() && self.is_behind()
    }

    fn is_behind(&self) -> bool {
        let is_owed = self.parked.is_some() || !self.tally.has_begun();
        is_owed && (self.owed() > 0 || self.stream.is_blocked())
    }

    fn owed(&self) -> u64 {
        let waiting = self.out.len();
        if self.parked.is_some() { waiting } else { self.tally.owed().min(waiting) }
    }

    /// Takes those bytes out.
    pub fn take_owed(&mut self) -> OutQueue {
        let owed = self.owed();
        let rest = self.out.split_off(owed);
        std::mem::replace(&mut self.out, rest)
    }

    /// The request that it has had is over: what is on its way of that is owed.
    pub fn end_exchange(&mut self) {
        self.tally.begin(self.out.len(), self.stream.wire_bytes(), Duration::ZERO);
    }

    /// Whether bytes of the present request wait, and none has left.
    pub fn is_about_to_begin(&self) -> bool {
        !self.tally.has_begun() && self.out.len() > self.tally.owed()
    }

    /// Takes out what waits of the present request, of which none has left.
    pub fn take_unsent(&mut self) -> OutQueue {
        let owed = self.owed();
        self.out.split_off(owed)
    }
}

/// Closes a connection when what it owes has left. The end of the process waits for that: with `http.Agent` the request
/// would not be over yet.
pub fn close_after_writing(mut connection: Connection) {
    let patience = connection.destination.dead_peer.unwrap_or(PATIENCE);
    let out = connection.take_owed();
    let debt = Debt::new();
    spawn_local(async move {
        let mut stream = connection.stream;
        let written = write_rest(&mut stream, out, patience).await;
        drop(debt);
        if written.is_err() {
            // The kernel would keep what it has, for a peer that does not come back.
            stream.reset_on_close();
        } else {
            // Where something has come that is not read, a close would take back what has not been acknowledged.
            let _ = timeout(patience, read_rest(&mut stream)).await;
        }
    });
}

/// An error: the peer has not taken anything for so long, or does not any more.
async fn write_rest(stream: &mut Stream, mut out: OutQueue, patience: Duration) -> io::Result<()> {
    loop {
        let step = poll_fn(|cx| match out.front() {
            Some(piece @ Piece::Bytes(_)) => stream.poll_write(cx, piece),
            // What is lent is its owner's again.
            Some(Piece::Lent(..)) => Poll::Ready(Err(io::ErrorKind::Unsupported.into())),
            None => stream.poll_flush(cx).map_ok(|()| 0),
        });
        match timeout(patience, step).await?? {
            0 => return poll_fn(|cx| stream.poll_shutdown(cx)).await,
            count => out.advance(count),
        }
    }
}

/// Until its end.
async fn read_rest(stream: &mut Stream) {
    let mut block = Block::new();
    loop {
        let read = poll_fn(|cx| block.fill(BLOCK_SIZE, |buf| stream.poll_read(cx, buf))).await;
        if read.is_err() || block.is_empty() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::TcpStream;

    use tokio::task::LocalSet;
    use tokio::time::Instant;

    use super::super::connection::ConnectionId;
    use super::super::test_pool::{LIMITS, TestPool};
    use super::*;
    use crate::binding::records::{event, op, op_flag};
    use crate::error::CloseReason;

    const PARK: [i32; 5] = [op::PARK, 0, 2, 60_000, 0];
    const LEASE: [i32; 5] = [op::LEASE | op_flag::HTTP << 8, 0, 3, 0, 100];
    const REST: &[u8] = b"the rest of the body";

    fn close(epoch: i32, flags: i32) -> [i32; 5] {
        [op::CLOSE | flags << 8, 0, epoch, CloseReason::AgentDestroyed as i32, 0]
    }

    /// A request of epoch 2 that is over, but for the rest of its body, for which the kernel has no room.
    async fn owing() -> (TestPool, ConnectionId, TcpStream) {
        let mut test = TestPool::new(LIMITS);
        let (id, server) = test.reuse(0).await;
        write(&mut test, 2, b"head");
        test.clog(id);
        write(&mut test, 2, REST);
        assert_eq!(test.pool.borrow().connections.get(id).unwrap().out.len(), REST.len() as u64);
        (test, id, server)
    }

    fn write(test: &mut TestPool, epoch: i32, bytes: &[u8]) {
        test.submit(|submission| {
            submission.rows.extend([op::WRITE, 0, epoch, 0, bytes.len() as i32]);
            submission.bytes.extend(bytes);
        });
    }

    /// What the server gets until the connection ends, without what has clogged it.
    async fn all_until_end(server: TcpStream) -> Vec<u8> {
        let read = move || {
            let (mut server, mut all) = (server, Vec::new());
            server.set_nonblocking(false).unwrap();
            let _ = server.read_to_end(&mut all);
            all.retain(|&byte| byte != b'.');
            all
        };
        tokio::task::spawn_blocking(read).await.unwrap()
    }

    #[tokio::test]
    async fn what_was_written_for_a_request_that_is_over_leaves_before_a_close() {
        let run = async {
            // Idle; taken up by another request, of which nothing has left; not parked, since it is not kept.
            let ends: [(&[[i32; 5]], [i32; 5]); 3] = [
                (&[PARK], close(2, op_flag::OVER)),
                (&[PARK, LEASE], close(3, 0)),
                (&[], close(2, op_flag::OVER)),
            ];
            for (rows, close) in ends {
                let (mut test, id, server) = owing().await;
                if !rows.is_empty() {
                    test.submit(|submission| submission.rows.extend(rows.concat()));
                }
                if rows.len() == 2 {
                    write(&mut test, 3, b"request");
                }
                test.submit(|submission| submission.rows.extend(close));
                assert!(test.pool.borrow().connections.get(id).is_none());
                assert_eq!(all_until_end(server).await, [b"head", REST].concat(), "{rows:?}");
            }
        };
        LocalSet::new().run_until(run).await;
    }

    #[tokio::test]
    async fn a_peer_that_takes_nothing_of_it_is_not_waited_for_without_end() {
        let run = async {
            let (mut test, _, mut server) = owing().await;
            test.submit(|submission| submission.rows.extend(close(2, op_flag::OVER)));
            tokio::time::pause();
            tokio::time::sleep(PATIENCE * 2).await;
            // And the kernel keeps nothing for it.
            server.set_nonblocking(false).unwrap();
            let error = server.read_to_end(&mut Vec::new()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        };
        LocalSet::new().run_until(run).await;
    }

    #[tokio::test]
    async fn of_a_request_that_is_not_over_or_reset_nothing_leaves_behind_a_close() {
        let run = async {
            for flags in [0, op_flag::RESET] {
                let (mut test, _, server) = owing().await;
                test.submit(|submission| submission.rows.extend(close(2, flags)));
                let all = all_until_end(server).await;
                assert!(!all.ends_with(REST), "{flags}");
            }
        };
        LocalSet::new().run_until(run).await;
    }

    #[tokio::test]
    async fn it_leaves_where_the_next_request_has_to_go_elsewhere() {
        let run = async {
            let (mut test, id, mut server) = owing().await;
            test.submit(|submission| submission.rows.extend([PARK, LEASE].concat()));
            write(&mut test, 3, b"request");
            // What comes before a byte of that has left is no answer to it.
            std::io::Write::write_all(&mut server, b"HTTP/1.1 408 Request Timeout\r\n\r\n").unwrap();
            test.until(|test| test.pool.borrow().connections.get(id).is_none()).await;
            let mut other = test.accept().await;
            test.until(|test| test.pool.borrow_mut().lane(0).unwrap().sent).await;
            assert_eq!(super::super::test_pool::all_of(&mut other), b"request");
            assert_eq!(all_until_end(server).await, [b"head", REST].concat());
        };
        LocalSet::new().run_until(run).await;
    }

    #[tokio::test]
    async fn until_it_has_left_a_connection_is_neither_idle_nor_another_requests() {
        let run = async {
            let (mut test, id, mut server) = owing().await;
            test.submit(|submission| submission.rows.extend(PARK));
            let pass = |test: &TestPool| {
                let mut pool = test.pool.borrow_mut();
                let connection = pool.connections.get_mut(id).unwrap();
                connection.ttl = Some(Duration::ZERO);
                connection.parked.as_mut().unwrap().deadline = Some(Instant::now());
                pool.deadline_fired(id);
            };
            pass(&test);
            let _second = test.open(1).await;
            test.submit(|submission| {
                submission.rows.extend([op::LEASE | op_flag::HTTP << 8, 1, 2, 0, 100]);
            });
            {
                let mut pool = test.pool.borrow_mut();
                let lost = pool.lane(1).and_then(|lane| lane.connection()).unwrap();
                pool.drop_connection(lost, CloseReason::PeerClosedIdle);
                pool.lane(1).unwrap().state = super::super::lane::State::Lost;
                pool.select(1);
                assert_eq!(pool.connections.get(id).unwrap().lane, 0);
            }
            TestPool::unclog(&mut server);
            // Its time begins, and is up at once.
            let is_told = |test: &TestPool| {
                test.batch
                    .rows
                    .chunks(5)
                    .any(|row| row[..4] == [event::CLOSED, 0, 2, CloseReason::Ttl as i32])
            };
            test.until(is_told).await;
            assert!(test.pool.borrow().connections.get(id).is_none());
            assert_eq!(all_until_end(server).await, REST, "behind what was read of it already");
        };
        LocalSet::new().run_until(run).await;
    }
}
