//! What a connection has read, on its way to JavaScript: whose it is, what it is, and how it crosses.

use std::mem;

use tokio::time::Instant;

use super::Pool;
use super::connection::{ConnectionId, says_timeout};
use super::lane::LossReport;
use super::status::add;
use crate::binding::records::{event, event_flag};
use crate::block::Block;
use crate::error::CloseReason;
use crate::exchange::{Piece, Plain, is_blank};

/// What one read brings is handed over as it is, without a copy, from so many bytes on. Below, to make JavaScript a
/// buffer of memory that is not its own costs more than to copy.
const LEND_MIN: usize = 32 * 1024;

/// What some bytes of a response are.
#[allow(clippy::large_enum_variant, reason = "it lasts for one read, on the stack")]
enum Reading {
    /// Node's parser has to say.
    Bytes,
    /// Its beginning.
    Response(Plain),
    /// More of its body.
    Body(Piece),
}

impl Pool {
    /// Hands over what was read. Whether the connection goes on.
    pub(super) fn connection_read(&mut self, id: ConnectionId, block: &mut Block) -> bool {
        let count = block.len();
        let Some(connection) = self.connections.get_mut(id) else { return false };
        let slot = connection.lane;
        let lane = self.lanes.get(slot as usize).and_then(Option::as_ref);
        let is_reused = connection.served > 0 && lane.is_some_and(|lane| lane.http);
        let is_unsent = is_reused && lane.is_some_and(|lane| !lane.sent);
        if connection.parked.is_some() || is_unsent {
            // A forged response that waits for the next request, or a 408: it
            // must never be an answer to anything.
            if says_timeout(block) {
                connection.note_close(Instant::now());
            }
            if connection.parked.is_some() {
                self.lose_parked(id, CloseReason::UnexpectedData);
            } else {
                self.reselect(id, CloseReason::UnexpectedData);
            }
            return false;
        }
        // The kernel may have taken it, and its ciphertext not even that; or it may be behind a body there that the server
        // has answered and does not read: the server has nothing that it could answer.
        let may_be_unreached =
            connection.tally.may_be_behind() || !connection.out.is_empty() || connection.stream.is_blocked();
        if is_reused && connection.received == 0 && may_be_unreached && connection.is_unreached() {
            self.lose_to_unasked(id);
            return false;
        }
        connection.last_read = Instant::now();
        connection.tally.read();
        if !connection.is_confirmed {
            connection.note_peer(true, connection.window_closed);
        }
        connection.doubted = false;
        let is_first = connection.received == 0;
        connection.received += count as u64;
        connection.window.read(count as u32);
        let reused = connection.served > 0;
        if let Some(idle) = connection.tally.idle_before().filter(|_| is_first && reused) {
            connection.closes.outlive(idle);
        }
        let had_surplus = connection.has_surplus;
        connection.has_surplus |= connection.is_answered && !is_blank(block);
        let Some(lane) = self.lane(slot) else { return false };
        if is_first && lane.retried {
            add(&lane.counts.saved);
        }
        // What has been answered will not be sent again.
        lane.replay.forget();
        let parse = lane.limits.parse;
        let is_head = lane.is_head().filter(|_| is_first && parse);
        let reading = self.read_plainly(id, block, is_head);
        let is_over = self.follow(id, block, is_first, parse && matches!(reading, Reading::Bytes));
        if !had_surplus && self.connections.get(id).is_some_and(|connection| connection.has_surplus) {
            self.report(event::SURPLUS, self.lane_ref(slot), 0, &[]);
        }
        self.hand_over(slot, block, &reading);
        if is_over {
            self.exchange_over(id);
        }
        if let Some(connection) = self.connections.get(id)
            && connection.reads_no_more()
            && let Some(error) = &connection.write_error
        {
            let report = LossReport::of(error, "write");
            self.report_loss(id, slot, report);
        }
        true
    }

    /// What the bytes are, if they can be read in one way only; `spans` then has where the data is. `is_head`: they are the first of an answer that may be
    /// read here, to a HEAD or not.
    fn read_plainly(&mut self, id: ConnectionId, bytes: &[u8], is_head: Option<bool>) -> Reading {
        let Some(connection) = self.connections.get_mut(id) else { return Reading::Bytes };
        if let Some(rest) = connection.rest {
            let piece = rest.read(bytes, 0, &mut self.spans);
            connection.rest = piece.rest();
            connection.is_answered = matches!(piece, Piece::Clear(None));
            connection.has_surplus |= matches!(piece, Piece::Surplus);
            return Reading::Body(piece);
        }
        let Some(plain) = is_head.and_then(|is_head| Plain::read(bytes, is_head, &mut self.spans)) else {
            return Reading::Bytes;
        };
        connection.rest = plain.rest();
        connection.is_answered = plain.rest().is_none();
        Reading::Response(plain)
    }

    /// Bytes for JavaScript: many in the block itself, which then is another one, few in the batch. There stands, too,
    /// what they are, and always the head that was read: what a program gets of a body is to have memory of its own.
    fn hand_over(&mut self, slot: u32, block: &mut Block, reading: &Reading) {
        let (lane, count) = (self.lane_ref(slot), block.len());
        let is_lent = count >= LEND_MIN;
        if !is_lent {
            self.batch.bytes.extend_from_slice(block);
        }
        let before = self.batch.bytes.len();
        let code = match reading {
            Reading::Bytes => event::DATA,
            Reading::Response(plain) => {
                if is_lent {
                    self.batch.bytes.extend_from_slice(&block[..plain.head_len()]);
                    block.drop_front(plain.head_len());
                }
                plain.write(&self.spans, &mut self.batch.bytes);
                event::RESPONSE
            }
            Reading::Body(piece) => {
                piece.write(&self.spans, &mut self.batch.bytes);
                event::BODY
            }
        };
        let parts = self.batch.bytes.len() - before;
        if is_lent {
            self.batch.blocks.push_back(mem::replace(block, Block::new()));
            self.batch.push_row(code | event_flag::OWN_BUFFER << 8, lane, count as i32, parts);
        } else {
            self.batch.push_row(code, lane, count as i32, count + parts);
        }
        self.flush_soon();
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use tokio::task::LocalSet;

    use super::super::Limits;
    use super::super::lane::State;
    use super::super::out_queue::OutQueue;
    use super::super::test_pool::{LIMITS, TestPool, all_of};
    use super::*;
    use crate::binding::blob::Blob;
    use crate::binding::records::{op, op_flag};
    use crate::block::BLOCK_SIZE;
    #[cfg(target_os = "linux")]
    use crate::connect::Stream;

    /// The kernel has taken the first bytes of a request, behind many of the one before that the server has not read.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn what_comes_before_the_server_has_a_byte_of_the_request_is_no_answer_to_it() {
        const DONE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        let run = async {
            let mut test = TestPool::new(LIMITS);
            let mut server = test.open(0).await;
            // Or it would grow as the server reads.
            socket2::SockRef::from(&server).set_recv_buffer_size(64 << 10).unwrap();
            let write = |test: &mut TestPool, epoch| {
                // More than the kernel takes.
                test.submit(|submission| {
                    for _ in 0..(16 << 20) / BLOCK_SIZE {
                        let len = BLOCK_SIZE as i32;
                        submission.rows.extend([op::WRITE | op_flag::BLOB << 8, 0, epoch, 0, len]);
                        submission.blobs.push(Blob::Copied(Block::of(&[b'.'; BLOCK_SIZE])));
                    }
                });
            };
            write(&mut test, 1);
            server.write_all(DONE).unwrap();
            test.until(|test| test.received == DONE.len() as i32).await;
            let id = test.pool.borrow_mut().lane(0).and_then(|lane| lane.connection()).unwrap();
            test.pool.borrow_mut().connections.get_mut(id).unwrap().out = OutQueue::default();
            test.received = 0;
            let lease = [op::LEASE | op_flag::HTTP << 8, 0, 2, DONE.len() as i32, 0];
            test.submit(|submission| submission.rows.extend(lease));
            write(&mut test, 2);
            server.set_nonblocking(true).unwrap();
            let mut room = vec![0; 64 << 10];
            while !test.pool.borrow_mut().lane(0).unwrap().sent {
                let _ = server.read(&mut room);
                tokio::task::yield_now().await;
            }
            assert!(test.pool.borrow().connections.get(id).unwrap().is_unreached());
            server.write_all(DONE).unwrap();
            let is_failed = |test: &TestPool| {
                test.batch.rows.chunks(5).any(|row| (row[0], row[3]) == (event::ERROR, -libc::ECONNRESET))
            };
            test.until(|test| test.received > 0 || is_failed(test)).await;
            assert_eq!(test.received, 0);
            assert!(test.pool.borrow().stats(1).contains("closes.unexpected-data\t1\n"));
        };
        LocalSet::new().run_until(run).await;
    }

    /// The kernel has all of a request, behind a body that the server has answered and has no room for.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn nor_is_what_comes_while_it_waits_in_the_kernel_for_the_body_before() {
        const DONE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        const BODY: usize = 300 << 10;
        let run = async {
            for is_read in [false, true] {
                let mut test = TestPool::new(LIMITS);
                let mut server = test.open(0).await;
                socket2::SockRef::from(&server).set_recv_buffer_size(16 << 10).unwrap();
                let id = test.pool.borrow_mut().lane(0).and_then(|lane| lane.connection()).unwrap();
                if let Stream::Tcp(socket) = &test.pool.borrow().connections.get(id).unwrap().stream {
                    socket2::SockRef::from(socket).set_send_buffer_size(1 << 20).unwrap();
                }
                test.submit(|submission| {
                    submission.rows.extend([op::WRITE, 0, 1, 0, BODY as i32]);
                    submission.bytes.extend([b'.'; BODY]);
                });
                server.write_all(DONE).unwrap();
                test.until(|test| test.received == DONE.len() as i32).await;
                test.submit(|submission| {
                    submission.rows.extend([op::LEASE | op_flag::HTTP << 8, 0, 2, DONE.len() as i32, 0]);
                    submission.rows.extend([op::WRITE, 0, 2, 0, 7]);
                    submission.bytes.extend(b"request");
                });
                assert!(test.pool.borrow().connections.get(id).unwrap().has_written());
                if is_read {
                    let read = move || {
                        server.read_exact(&mut vec![0; BODY + 7]).unwrap();
                        server
                    };
                    server = tokio::task::spawn_blocking(read).await.unwrap();
                } else {
                    assert!(test.pool.borrow().connections.get(id).unwrap().is_unreached());
                }
                server.write_all(DONE).unwrap();
                let is_failed = |test: &TestPool| {
                    test.batch.rows.chunks(5).any(|row| (row[0], row[3]) == (event::ERROR, -libc::ECONNRESET))
                };
                let before = test.received;
                test.until(|test| test.received > before || is_failed(test)).await;
                assert_eq!(test.received > before, is_read);
            }
        };
        LocalSet::new().run_until(run).await;
    }

    #[tokio::test]
    async fn a_connection_with_bytes_behind_its_response_is_closed_for_them() {
        const WHOLE: [&str; 4] = [
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            "HTTP/1.1 204 No Content\r\n\r\n",
            // None that is plain.
            "HTTP/1.1 200 OK \r\nContent-Length: 0\r\n\r\n",
        ];
        let run = async {
            for text in WHOLE {
                // Where the reads are cut: in the head, in the middle, before the last byte, behind it.
                for cut in [0, 10, text.len() - 3, text.len() - 1, text.len()] {
                    for more in ["H", WHOLE[0]] {
                        let mut test = TestPool::new(Limits { queues: false, ..LIMITS });
                        let (id, mut server) = test.reuse(0).await;
                        test.submit(|submission| {
                            submission.rows.extend([op::WRITE, 0, 2, 0, 1]);
                            submission.bytes.push(b'x');
                        });
                        let whole = [text, more].concat();
                        let mut sent = 0;
                        for piece in [&whole[..cut], &whole[cut..]] {
                            server.write_all(piece.as_bytes()).unwrap();
                            sent += piece.len() as i32;
                            test.until(|test| test.received == sent).await;
                            let is_told = test.batch.rows.chunks(5).any(|row| row[0] == event::SURPLUS);
                            assert_eq!(is_told, sent as usize == whole.len(), "{cut} {text:?}");
                        }
                        test.submit(|submission| submission.rows.extend([op::PARK, 0, 2, 60_000, sent]));
                        let mut pool = test.pool.borrow_mut();
                        assert!(pool.connections.get(id).is_none());
                        assert_eq!(pool.lane(0).unwrap().lost, Some(CloseReason::UnexpectedData));
                    }
                }
            }
        };
        LocalSet::new().run_until(run).await;
    }

    /// Requests whose first byte cannot leave, behind what the one before owes or without that, and an end or a byte of
    /// the server's meanwhile: in the same turn as there is room, or before.
    #[tokio::test]
    async fn what_comes_before_a_request_could_leave_is_neither_its_answer_nor_its_loss() {
        const FORGED: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged";
        let acts: [fn(&mut std::net::TcpStream); 3] = [
            |server| server.write_all(FORGED).unwrap(),
            |server| server.shutdown(std::net::Shutdown::Write).unwrap(),
            |server| {
                socket2::SockRef::from(&*server).set_linger(Some(std::time::Duration::ZERO)).unwrap();
                *server = std::net::TcpListener::bind("127.0.0.1:0")
                    .and_then(|listener| std::net::TcpStream::connect(listener.local_addr()?))
                    .unwrap();
            },
        ];
        let run = async {
            for (act, has_room) in acts.iter().flat_map(|act| [(act, false), (act, true)]) {
                for owed in [&b""[..], b"rest"] {
                    let what = format!("{} {has_room}", owed.escape_ascii());
                    let mut test = TestPool::new(LIMITS);
                    let (id, mut server) = test.reuse(0).await;
                    test.clog(id);
                    test.pool.borrow_mut().connections.get_mut(id).unwrap().out.push(owed);
                    test.submit(|submission| {
                        submission.rows.extend([op::LEASE | op_flag::HTTP << 8, 0, 3, 0, 100]);
                        submission.rows.extend([op::WRITE, 0, 3, 0, 7]);
                        submission.bytes.extend(b"request");
                    });
                    if has_room {
                        TestPool::unclog(&mut server);
                    }
                    act(&mut server);
                    let is_lost = |test: &TestPool| {
                        let mut pool = test.pool.borrow_mut();
                        matches!(pool.lane(0).unwrap().state, State::Failed)
                            || test.batch.rows.chunks(5).any(|row| row[0] == event::END)
                    };
                    let is_gone = |test: &TestPool| test.pool.borrow().connections.get(id).is_none();
                    test.until(|test| test.received > 0 || is_lost(test) || is_gone(test)).await;
                    assert_eq!((test.received, is_lost(&test)), (0, false), "{what}");
                    let mut other = test.accept().await;
                    let is_sent = |test: &TestPool| test.pool.borrow_mut().lane(0).unwrap().sent;
                    test.until(is_sent).await;
                    assert_eq!(all_of(&mut other), b"request", "{what}");
                }
            }
        };
        LocalSet::new().run_until(run).await;
    }

    /// What JavaScript counts it counts modulo 2^32.
    #[tokio::test]
    async fn a_response_has_one_beginning_however_long_it_is() {
        const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\n\r\n";
        const LIKE_A_RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        let run = async {
            let mut test = TestPool::new(LIMITS);
            let mut server = test.open(0).await;
            test.submit(|submission| {
                submission.rows.extend([op::LEASE | op_flag::HTTP << 8, 0, 2, 0, 0]);
                submission.rows.extend([op::WRITE, 0, 2, 0, 1]);
                submission.bytes.push(b'x');
            });
            let mut sent = 0;
            for piece in [HEAD, b"hello", LIKE_A_RESPONSE] {
                server.write_all(piece).unwrap();
                sent += piece.len() as i32;
                test.until(|test| test.received == sent).await;
                let events: Vec<_> = test.batch.rows.chunks(5).map(|row| row[0]).collect();
                assert_eq!(events, [event::DATA], "{}", piece.escape_ascii());
                let mut pool = test.pool.borrow_mut();
                let id = pool.lane(0).and_then(|lane| lane.connection()).unwrap();
                let connection = pool.connections.get_mut(id).unwrap();
                assert!(connection.framing.is_none(), "where it ends is not known");
                if piece == HEAD {
                    connection.received = (u32::MAX - 4).into();
                }
            }
        };
        LocalSet::new().run_until(run).await;
    }
}
