//! A request on a warm connection allocates nothing, from what JavaScript submits to what it is handed.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use tokio::task::LocalSet;

use super::lane::Limits;
use super::test_pool::{LIMITS, TestPool};
use crate::allocations;
use crate::binding::blob::Blob;
use crate::binding::loans::Lent;
use crate::binding::records::{op, op_flag};
use crate::block::{BLOCK_SIZE, Block};

/// What a request is made of besides its head.
#[derive(Clone, Copy)]
enum Upload<'a> {
    Nothing,
    Copied(&'a [u8]),
    Lent(&'a [u8]),
}

/// Which way the exchanges go.
#[derive(Clone, Copy, Debug)]
struct Way {
    /// Others may wait for the lane.
    queues: bool,
    /// Plain responses are read here.
    parse: bool,
    /// Each request has waited for the lane, which moves to where it did.
    waits: bool,
}

const PLAIN: Way = Way { queues: false, parse: true, waits: false };
const QUEUES: Way = Way { queues: true, ..PLAIN };
const WAYS: [Way; 4] = [PLAIN, QUEUES, Way { parse: false, ..PLAIN }, Way { waits: true, ..QUEUES }];

/// One lane and its server.
struct Harness {
    test: TestPool,
    server: TcpStream,
    way: Way,
    slot: i32,
    epoch: i32,
    room: Box<[u8]>,
}

impl Harness {
    async fn new(way: Way) -> Self {
        let mut test = TestPool::new(Limits { parse: way.parse, queues: way.queues, ..LIMITS });
        let server = test.open(0).await;
        Self { test, server, way, slot: 0, epoch: 1, room: vec![0; 1 << 20].into() }
    }

    /// One request, its response in these pieces, of which each is read by itself, and back to the pool.
    async fn exchange(&mut self, flags: i32, upload: Upload<'_>, response: &[&[u8]]) {
        const HEAD: &[u8] = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n";
        let before = self.test.received;
        self.epoch += 1;
        let (epoch, way, from) = (self.epoch, self.way, self.slot);
        self.slot ^= i32::from(way.waits);
        let slot = self.slot;
        let body = match upload {
            Upload::Nothing => &[],
            Upload::Copied(bytes) | Upload::Lent(bytes) => bytes,
        };
        let blob = match upload {
            Upload::Nothing => None,
            Upload::Copied(bytes) => Some(Blob::Copied(Block::of(bytes))),
            Upload::Lent(bytes) => {
                let loans = Arc::clone(&self.test.link.loans);
                Some(Blob::Lent(Lent::new(bytes.as_ptr(), bytes.len(), 1, loans)))
            }
        };
        (self.test.received, self.test.written) = (0, 0);
        self.test.submit(|submission| {
            let len = HEAD.len() as i32;
            if way.waits {
                submission.rows.extend([op::WAIT | flags << 8, slot, epoch, 7, len]);
                submission.rows.extend([op::ATTACH, slot, epoch, from, before]);
            } else {
                submission.rows.extend([op::LEASE | op_flag::HTTP << 8, slot, epoch, before, 64 << 10]);
                submission.rows.extend([op::WRITE | flags << 8, slot, epoch, len, len]);
            }
            submission.bytes.extend(HEAD);
            if let Some(blob) = blob {
                let len = body.len() as i32;
                submission.rows.extend([op::WRITE | (flags | op_flag::BLOB) << 8, slot, epoch, len, len]);
                submission.blobs.push(blob);
            }
        });
        let mut left = HEAD.len() + body.len();
        while left > 0 {
            // What the kernel has no room for leaves as the server reads.
            tokio::task::yield_now().await;
            self.server.set_nonblocking(true).unwrap();
            left -= self.server.read(&mut self.room).unwrap_or(0);
        }
        self.server.set_nonblocking(false).unwrap();
        let mut sent = 0;
        for piece in response {
            self.server.write_all(piece).unwrap();
            sent += piece.len() as i32;
            self.test.until(|test| test.received == sent).await;
            self.test.submit(|submission| {
                submission.rows.extend([op::CONSUMED, slot, epoch, piece.len() as i32, 0]);
            });
        }
        // The head of one that has waited is asked about only where the process would wait for it.
        let written = body.len() as i32 + if way.waits { 0 } else { HEAD.len() as i32 };
        self.test.until(|test| test.written == written).await;
        self.test.submit(|submission| submission.rows.extend([op::PARK, slot, epoch, 60_000, sent]));
    }
}

/// How often a warm connection's exchange allocates.
fn counted(way: Way, flags: i32, upload: Upload<'_>, response: &[&[u8]]) -> u64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(LocalSet::new().run_until(async {
        let mut harness = Harness::new(way).await;
        // As many batches are under way at most, and how much comes in one is a matter of time.
        for _ in 0..3 {
            let TestPool { batch, link, .. } = &mut harness.test;
            batch.rows.reserve(1 << 10);
            batch.bytes.reserve(1 << 18);
            batch.blocks.reserve(1 << 5);
            link.take_batch(batch);
            harness.exchange(flags, upload, response).await;
        }
        for _ in 0..20 {
            harness.exchange(flags, upload, response).await;
        }
        let before = allocations::count();
        for _ in 0..20 {
            harness.exchange(flags, upload, response).await;
        }
        allocations::count() - before
    }))
}

#[test]
fn a_request_allocates_nothing() {
    const WHOLE: &[u8] = b"HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 2\r\n\r\nok";
    for way in WAYS {
        for flags in [0, op_flag::REPLAYABLE, op_flag::REPLAYABLE | op_flag::EARLY] {
            assert_eq!(counted(way, flags, Upload::Nothing, &[WHOLE]), 0, "{way:?} {flags}");
        }
    }
}

#[test]
fn a_body_allocates_nothing() {
    let large = [b'x'; BLOCK_SIZE / 2];
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 4 + large.len() * 2);
    let counted_body = [head.as_bytes(), b"ab", b"cd", &large, &large];
    let chunk = format!("{:x}\r\n", large.len());
    let chunks = [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
        &b"2\r\nok\r\n2\r\n"[..],
        b"ok\r\n",
        chunk.as_bytes(),
        &large,
        b"\r\n",
        b"0\r\n\r\n",
    ];
    for way in WAYS {
        assert_eq!(counted(way, 0, Upload::Nothing, &counted_body), 0, "{way:?}");
        assert_eq!(counted(way, 0, Upload::Nothing, &chunks), 0, "{way:?}");
    }
}

#[test]
fn an_upload_allocates_nothing() {
    const DONE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let bytes = vec![b'x'; 4 << 20];
    assert_eq!(counted(PLAIN, 0, Upload::Copied(&bytes[..BLOCK_SIZE]), &[DONE]), 0);
    #[cfg(unix)]
    assert_eq!(counted(PLAIN, 0, Upload::Lent(&bytes), &[DONE]), 0);
}
