//! A pool for tests, with the two ends of the crossing that are JavaScript's: what is asked of it goes in by rows, what
//! it reports comes out in batches. Its lanes lead to the test.

use std::cell::RefCell;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::connection::ConnectionId;
use super::lane::Limits;
use super::{Cold, Open, Pool, Route};
use crate::binding::batch::Batch;
use crate::binding::blob::Blob;
use crate::binding::link::Link;
use crate::binding::records::{LaneRef, event, op, op_flag};
use crate::binding::submission::{Opening, Submission};
use crate::connect::{Destination, Piece, Target, TcpTarget};

pub const LIMITS: Limits = Limits {
    read_ahead: 1 << 20,
    max_buffered: 1 << 30,
    max_replay: 64 << 10,
    answers: None,
    parse: true,
    queues: true,
};

/// What has come for it so far.
pub fn all_of(peer: &mut TcpStream) -> Vec<u8> {
    let mut bytes = vec![0; 100];
    peer.set_nonblocking(true).unwrap();
    let count = peer.read(&mut bytes).unwrap();
    bytes.truncate(count);
    bytes
}

pub struct TestPool {
    pub link: Arc<Link>,
    pub pool: Rc<RefCell<Pool>>,
    submission: Submission<Cold, Blob>,
    pub batch: Batch,
    listener: Arc<TcpListener>,
    /// Bytes that JavaScript was handed, and bytes of records that it was told are written.
    pub received: i32,
    pub written: i32,
}

impl TestPool {
    /// The number of its only route.
    pub const ROUTE: u32 = 1;

    pub fn new(limits: Limits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let link = Arc::new(Link::new());
        let pool = Pool::start(Arc::clone(&link));
        let target = Target::Tcp(TcpTarget::for_test("127.0.0.1", address.port()));
        let dead_peer = Some(Duration::from_secs(20));
        let destination = Destination { target, dead_peer, ..Destination::for_test(1) };
        let route = Box::new(Route { destination, limits });
        let nobody = LaneRef { slot: 0, epoch: 0 };
        link.submit_cold(nobody, Cold::Introduce { number: Self::ROUTE, route, forgotten: None });
        Self {
            link,
            pool,
            submission: Submission::new(),
            batch: Batch::new(),
            listener: Arc::new(listener),
            received: 0,
            written: 0,
        }
    }

    /// A lane with a new connection, which is connected, and the other end of that. Its epoch is 1.
    pub async fn open(&mut self, slot: u32) -> TcpStream {
        let listener = Arc::clone(&self.listener);
        let addresses = Some(vec![listener.local_addr().unwrap().ip()]);
        let how = Opening::new(0, Self::ROUTE, 0);
        let open = Box::new(Open { how, addresses, answers: None });
        self.link.submit_cold(LaneRef { slot, epoch: 1 }, Cold::Open(open));
        self.apply();
        let server = tokio::task::spawn_blocking(move || listener.accept().unwrap().0).await.unwrap();
        server.set_nodelay(true).unwrap();
        let is_its = |row: &[i32]| row[0] == event::CONNECTED && row[1] == slot.cast_signed();
        self.until(|test| test.batch.rows.chunks(5).any(is_its)).await;
        server
    }

    /// The same for a request that is the second of its connection. Its epoch is 2.
    pub async fn reuse(&mut self, slot: u32) -> (ConnectionId, TcpStream) {
        let server = self.open(slot).await;
        let max_replay = 100;
        self.submit(|submission| {
            submission.rows.extend([op::LEASE | op_flag::HTTP << 8, slot.cast_signed(), 2, 0, max_replay]);
        });
        let id = self.pool.borrow_mut().lane(slot).and_then(|lane| lane.connection()).unwrap();
        (id, server)
    }

    /// Fills the kernel's buffers, so that nothing more leaves on the connection before its server reads.
    pub fn clog(&self, id: ConnectionId) {
        let mut pool = self.pool.borrow_mut();
        let stream = &mut pool.connections.get_mut(id).unwrap().stream;
        while stream.try_write(Piece::Bytes(&[b'.'; 1 << 16])).is_ok() {}
    }

    /// The server reads all of that.
    pub fn unclog(server: &mut TcpStream) {
        server.set_nonblocking(true).unwrap();
        while server.read(&mut [0; 1 << 16]).is_ok() {}
        server.set_nonblocking(false).unwrap();
    }

    /// The next connection, which does not wait for what there is to be read.
    pub async fn accept(&mut self) -> TcpStream {
        let listener = Arc::clone(&self.listener);
        let server = tokio::task::spawn_blocking(move || listener.accept().unwrap().0).await.unwrap();
        server.set_nonblocking(true).unwrap();
        server
    }

    /// What the crossing and the dispatcher do with what JavaScript has gathered in a tick.
    pub fn submit(&mut self, add: impl FnOnce(&mut Submission<Cold, Blob>)) {
        assert!(self.link.submit(add));
        self.apply();
    }

    fn apply(&mut self) {
        self.link.take_submission(&mut self.submission);
        self.pool.borrow_mut().apply(&mut self.submission).unwrap();
        self.submission.clear();
    }

    /// Takes what comes, as JavaScript does, until `is_enough` has seen it.
    pub async fn until(&mut self, is_enough: impl Fn(&Self) -> bool) {
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
}
