//! A request on a warm connection allocates nothing, from what JavaScript submits to what it is handed.

use std::cell::RefCell;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::LocalSet;

use super::lane::Limits;
use super::{Cold, Open, Pool, Route};
use crate::allocations;
use crate::binding::batch::Batch;
use crate::binding::blob::Blob;
use crate::binding::link::Link;
use crate::binding::loans::Lent;
use crate::binding::records::{LaneRef, event, op, op_flag};
use crate::binding::submission::{Opening, Submission};
use crate::block::{BLOCK_SIZE, Block};
use crate::connect::{Destination, Target, TcpTarget};

/// What a request is made of besides its head.
#[derive(Clone, Copy)]
enum Upload<'a> {
    Nothing,
    Copied(&'a [u8]),
    Lent(&'a [u8]),
}

/// Which way the exchanges go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    /// Others may wait for the lane.
    queues: bool,
    /// Plain responses are read here.
    parse: bool,
    /// Each request has waited for the lane, which moves to where it did.
    waits: bool,
}

const PLAIN: Way = Way { queues: false, parse: true, waits: false };
pub(super) const QUEUES: Way = Way { queues: true, ..PLAIN };
const WAYS: [Way; 4] = [PLAIN, QUEUES, Way { parse: false, ..PLAIN }, Way { waits: true, ..QUEUES }];

/// One lane, its server, and the two ends of the crossing that are JavaScript's and the runtime's.
pub(super) struct Harness {
    link: Arc<Link>,
    pub(super) pool: Rc<RefCell<Pool>>,
    submission: Submission<Cold, Blob>,
    pub(super) batch: Batch,
    pub(super) server: TcpStream,
    way: Way,
    slot: i32,
    epoch: i32,
    /// Bytes that JavaScript was handed in this exchange, and bytes of records that it was told are written.
    pub(super) received: i32,
    written: i32,
    room: Box<[u8]>,
}

impl Harness {
    pub(super) async fn new(way: Way) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let link = Arc::new(Link::new());
        let pool = Pool::start(Arc::clone(&link));
        let limits = Limits {
            read_ahead: 1 << 20,
            max_buffered: 1 << 30,
            max_replay: 64 << 10,
            answers: None,
            parse: way.parse,
            queues: way.queues,
        };
        let target = Target::Tcp(TcpTarget::for_test("127.0.0.1", address.port()));
        let dead_peer = Some(Duration::from_secs(20));
        let destination = Destination { target, dead_peer, ..Destination::for_test(1) };
        let lane = LaneRef { slot: 0, epoch: 1 };
        let route = Box::new(Route { destination, limits });
        link.submit_cold(lane, Cold::Introduce { number: 1, route, forgotten: None });
        let how = Opening::new(0, 1, 0);
        let addresses = Some(vec![address.ip()]);
        link.submit_cold(lane, Cold::Open(Box::new(Open { how, addresses, answers: None })));
        let server = tokio::task::spawn_blocking(move || listener.accept().unwrap().0);
        let mut submission = Submission::new();
        link.take_submission(&mut submission);
        pool.borrow_mut().apply(&mut submission).unwrap();
        let server = server.await.unwrap();
        server.set_nodelay(true).unwrap();
        let (epoch, room) = (1, vec![0; 1 << 20].into());
        let mut harness = Self {
            link,
            pool,
            submission: Submission::new(),
            batch: Batch::new(),
            server,
            way,
            slot: 0,
            epoch,
            received: 0,
            written: 0,
            room,
        };
        harness.until(|harness| harness.batch.rows.chunks(5).any(|row| row[0] == event::CONNECTED)).await;
        harness
    }

    /// What the crossing and the dispatcher do with what JavaScript has gathered in a tick.
    pub(super) fn submit(&mut self, add: impl FnOnce(&mut Submission<Cold, Blob>)) {
        assert!(self.link.submit(add));
        self.link.take_submission(&mut self.submission);
        self.pool.borrow_mut().apply(&mut self.submission).unwrap();
        self.submission.clear();
    }

    /// Takes what comes, as JavaScript does, until `is_enough` has seen it.
    pub(super) async fn until(&mut self, is_enough: impl Fn(&Self) -> bool) {
        loop {
            self.batch.clear();
            self.link.take_batch(&mut self.batch);
            for row in self.batch.rows.chunks(5) {
                match row[0] & 0xff {
                    event::RESPONSE | event::BODY | event::DATA => self.received += row[3],
                    event::WRITTEN => self.written += row[3],
                    _ => {}
                }
            }
            if is_enough(self) {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    /// One request, its response in these pieces, of which each is read by itself, and back to the pool.
    async fn exchange(&mut self, flags: i32, upload: Upload<'_>, response: &[&[u8]]) {
        const HEAD: &[u8] = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n";
        let before = self.received;
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
                let loans = Arc::clone(&self.link.loans);
                Some(Blob::Lent(Lent::new(bytes.as_ptr(), bytes.len(), 1, loans)))
            }
        };
        (self.received, self.written) = (0, 0);
        self.submit(|submission| {
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
            self.until(|harness| harness.received == sent).await;
            self.submit(|submission| {
                submission.rows.extend([op::CONSUMED, slot, epoch, piece.len() as i32, 0]);
            });
        }
        // The head of one that has waited is asked about only where the process would wait for it.
        let written = body.len() as i32 + if way.waits { 0 } else { HEAD.len() as i32 };
        self.until(|harness| harness.written == written).await;
        self.submit(|submission| submission.rows.extend([op::PARK, slot, epoch, 60_000, sent]));
    }
}

/// How often a warm connection's exchange allocates.
fn counted(way: Way, flags: i32, upload: Upload<'_>, response: &[&[u8]]) -> u64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(LocalSet::new().run_until(async {
        let mut harness = Harness::new(way).await;
        // As many batches are under way at most, and how much comes in one is a matter of time.
        for _ in 0..3 {
            harness.batch.rows.reserve(1 << 10);
            harness.batch.bytes.reserve(1 << 18);
            harness.batch.blocks.reserve(1 << 5);
            harness.link.take_batch(&mut harness.batch);
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
