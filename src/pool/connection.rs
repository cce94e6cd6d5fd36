//! A connection: the stream, what is still to be written to it, and what is
//! known of it.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::Waker;
use std::time::Duration;

use slab::Slab;
use tokio::time::Instant;
use tracing::debug;

use super::clock;
use super::connecting::address_text;
use super::deadlines;
use super::facts::Tally;
use super::idleness::IdleLimit;
use super::learned::Closes;
use super::out_queue::OutQueue;
use super::read_window::ReadWindow;
use super::status::{Counts, add};
use super::watch::Watch;
use crate::connect::{RoundTrip, SharedDestination, Stream, Target};
use crate::error::CloseReason;
use crate::exchange::{Framing, Rest};
use crate::tls::Secured;

/// Names one connection for good: the index of its place and a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0 as u32, self.0 >> 32)
    }
}

pub struct Connection {
    pub id: ConnectionId,
    pub stream: Stream,
    /// What is known of its TLS, if it has any.
    pub secured: Option<Rc<Secured>>,
    pub destination: SharedDestination,
    /// The slot of the lane that has it; a connection always has one.
    pub lane: u32,
    /// The address of the peer; none for a Unix socket.
    pub peer: Option<SocketAddr>,
    /// Whether bytes on their way are acknowledged.
    pub watch: Option<Watch>,
    /// The peer does not read.
    pub window_closed: bool,
    /// The program of its lane has set options of the socket.
    pub has_own_options: bool,
    /// It is known to stand on the peer's side, too.
    pub is_confirmed: bool,
    /// It is idle, and another connection to its address is suspect.
    pub doubted: bool,
    /// What is known of the idle limit of its server.
    pub closes: Rc<Closes>,
    /// The round trip, and when it was asked for.
    pub round_trip: Option<(Instant, Option<RoundTrip>)>,
    /// Set while it is idle: by when it has to be closed.
    pub parked: Option<IdleLimit>,
    /// The same of one that a request has taken up, until the first byte of that has left.
    pub unused: Option<IdleLimit>,
    pub opened: Instant,
    /// The same on a clock that runs on while the machine sleeps: so old is it to who limits its age.
    pub opened_at: clock::Uptime,
    /// The age at which it takes no further request.
    pub ttl: Option<Duration>,
    pub last_read: Instant,
    /// Requests that the server takes on it after the present one, by its own word.
    pub requests_left: Option<u32>,
    /// Requests it has served before the present one.
    pub served: u32,
    pub tally: Tally,
    pub counts: Rc<Counts>,
    pub out: OutQueue,
    /// `out` has what waits for the next write of the same request, and nothing before it.
    pub gathers: bool,
    /// EOF came, and the verdict waits for whether a reset follows.
    pub awaiting_reset: bool,
    /// Send FIN when `out` is empty.
    pub fin: Fin,
    /// The write side is broken; what the peer has sent before is still read.
    pub write_error: Option<io::Error>,
    /// EOF has been read.
    pub ended: bool,
    /// Bytes that may still go to JavaScript before it has consumed some.
    pub window: ReadWindow,
    /// Bytes given to JavaScript in the present exchange.
    pub received: u64,
    /// More has come than the response, as far as its end is known here: no other request may have it.
    pub has_surplus: bool,
    /// JavaScript has not heard that its lane has it.
    pub is_untold: bool,
    /// Where the response ends, if that is asked for.
    pub framing: Option<Framing>,
    /// What is to come of the body that is being read, if its head was plain.
    pub rest: Option<Rest>,
    /// The last byte of the response has come, beyond doubt.
    pub is_answered: bool,
    /// The delivery that has the response's last byte (see [`crate::binding::link`]).
    pub finished_in: Option<u64>,
    pub entry: Option<deadlines::Entry>,
    pub waker: Option<Waker>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fin {
    None,
    Wanted,
    Sent,
}

impl Connection {
    /// One that stands since `now`, before its first request. Its name it gets from [`Connections::insert`].
    pub fn new(
        stream: Stream,
        destination: SharedDestination,
        closes: Rc<Closes>,
        counts: Rc<Counts>,
        window: ReadWindow,
        now: Instant,
    ) -> Self {
        Self {
            id: ConnectionId(0),
            peer: stream.addresses().map(|(_, peer)| peer),
            stream,
            secured: None,
            destination,
            lane: 0,
            watch: None,
            window_closed: false,
            has_own_options: false,
            is_confirmed: false,
            doubted: false,
            closes,
            round_trip: None,
            parked: None,
            unused: None,
            opened: now,
            opened_at: clock::uptime(),
            ttl: None,
            last_read: now,
            requests_left: None,
            served: 0,
            tally: Tally::new(now),
            counts,
            out: OutQueue::default(),
            gathers: false,
            awaiting_reset: false,
            fin: Fin::None,
            write_error: None,
            ended: false,
            window,
            received: 0,
            has_surplus: false,
            is_untold: false,
            framing: None,
            rest: None,
            is_answered: false,
            finished_in: None,
            entry: None,
            waker: None,
        }
    }

    /// Requests that the server takes once this exchange is over, by its word in it (`max`) and in those before.
    pub fn requests_left_after(&self, max: Option<u32>) -> Option<u32> {
        let left = self.requests_left.map(|left| left.saturating_sub(1));
        [left, max].into_iter().flatten().min()
    }

    /// Whether bytes have come that no request had asked for: such as JavaScript, which counts what it has read of the
    /// exchange modulo 2^32, has not got yet.
    pub const fn has_unasked(&self, received: u32) -> bool {
        self.has_surplus || self.received as u32 != received
    }

    /// Sets what a program may set on a socket. It holds as long as the same lane has the connection.
    pub fn set_options(&mut self, set: impl FnOnce(&Stream)) {
        set(&self.stream);
        self.has_own_options = true;
    }

    /// Another lane has it: with the options of its destination, until that one's program sets others.
    pub fn change_lane(&mut self, slot: u32) {
        self.lane = slot;
        if !std::mem::take(&mut self.has_own_options) {
            return;
        }
        if let Target::Tcp(target) = &self.destination.target {
            self.stream.set_no_delay(target.no_delay);
            self.stream.set_keep_alive(self.destination.probes());
            self.stream.set_type_of_service(0);
        }
    }

    /// Another request takes it.
    pub fn begin_exchange(&mut self, now: Instant) {
        let idle = now - self.idle_since();
        self.tally.begin(self.out.len(), self.stream.wire_bytes(), idle);
        self.served += 1;
        add(&self.counts.reuses);
        self.unused = self.parked.take().or(self.unused);
        self.received = 0;
        self.is_untold = false;
        self.framing = None;
        self.rest = None;
        self.is_answered = false;
        self.finished_in = None;
        debug!(connection = %self.id, served = self.served, ?idle, "reused");
    }

    /// Why no other request may be written to it, by all that is known and a last look at the socket; none if one may.
    /// A request that is written next to that look can meet the server's end only if the two cross on the wire, or
    /// within the microseconds between two system calls.
    pub fn last_look(&mut self, now: Instant) -> Option<CloseReason> {
        self.objection(now).or_else(|| self.look_at_socket(now))
    }

    /// The same by what is known, without a look.
    pub fn objection(&mut self, now: Instant) -> Option<CloseReason> {
        self.outlasted(now).or_else(|| (self.fin != Fin::None).then_some(CloseReason::NotKept))
    }

    /// The look alone. What it shows of the idle limit of the server is learned.
    pub fn look_at_socket(&mut self, now: Instant) -> Option<CloseReason> {
        let mut bytes = [const { MaybeUninit::uninit() }; TIMEOUT_STATUS];
        let (reason, is_close) = if self.ended || self.write_error.is_some() {
            (CloseReason::PeerClosedIdle, true)
        } else {
            match self.stream.peek(&mut bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                Err(error) if error.kind() == io::ErrorKind::TimedOut => (CloseReason::DeadPeer, false),
                Err(error) if error.kind() == io::ErrorKind::Other => (CloseReason::UnexpectedData, false),
                Err(_) => (CloseReason::PeerReset, true),
                Ok([]) => (CloseReason::PeerClosedIdle, true),
                Ok(bytes) => (CloseReason::UnexpectedData, says_timeout(bytes)),
            }
        };
        if is_close {
            self.note_close(now);
        }
        Some(reason)
    }

    /// What is known of the peer. The kernel's own limit of silence (TCP_USER_TIMEOUT, tcp(7)) is set accordingly: it
    /// does not know of the time that a connect may take, and it counts against a peer that answers the probes of its
    /// closed window, but does not read, so that it would end an upload that is only slow.
    pub fn note_peer(&mut self, is_confirmed: bool, window_closed: bool) {
        let is_limited = |connection: &Self| connection.is_confirmed && !connection.window_closed;
        let was_limited = is_limited(self);
        self.is_confirmed |= is_confirmed;
        self.window_closed = window_closed;
        let is_limited = is_limited(self);
        if is_limited != was_limited && self.destination.dead_peer.is_some() {
            self.stream.set_user_timeout(self.destination.dead_peer.filter(|_| is_limited));
        }
    }

    /// When it was last heard of as one on which bytes arrive both ways. While its own are sent again in vain, what is
    /// read of it shows one way only.
    pub fn heard(&self) -> Instant {
        let silent = self.watch.is_some_and(|watch| watch.silent().is_some());
        if silent { self.opened } else { self.opened.max(self.last_read) }
    }

    /// Whether the peer may be dead, by this connection's own bytes or by those of others.
    pub fn is_doubtful(&self) -> bool {
        self.doubted || self.watch.is_some_and(|watch| watch.is_suspect())
    }

    /// The server closed it before it got a byte of a request, as far as can be said: how long it was idle then.
    pub fn note_close(&self, now: Instant) {
        let ours = self.is_doubtful() || self.expired(now).is_some();
        if !ours && !self.owes() && (self.served > 0 || self.parked.is_some()) {
            self.closes.note(now - self.idle_since(), now);
        }
    }

    /// Whether reading is over, or waits for JavaScript.
    pub fn reads_no_more(&self) -> bool {
        self.ended || self.window.room() == 0
    }

    /// Whether all that was to be written is in the kernel, and has been told of.
    pub fn has_written(&self) -> bool {
        self.out.is_idle() && self.fin != Fin::Wanted && !self.stream.is_blocked()
    }

    /// Whether JavaScript has ended its side, and nothing of it waits but that end.
    pub fn is_over(&self) -> bool {
        self.fin != Fin::None && self.out.is_idle()
    }

    /// Lets its task look at it again.
    pub fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }

    pub fn log_open(&self) {
        debug!(
            connection = %self.id,
            to = %self.destination.target,
            local = ?self.stream.addresses().map(|(local, _)| local),
            peer = ?self.peer,
            "connected"
        );
    }

    pub fn log_close(&self, reason: CloseReason) {
        debug!(
            connection = %self.id,
            reason = reason.name(),
            age = ?self.opened.elapsed(),
            served = self.served,
            "closed"
        );
    }

    /// `local address, port, peer address, port, family`, or nothing for a Unix socket.
    pub fn address_text(&self) -> String {
        address_text(&self.stream)
    }
}

/// How far a response has to be read for its status.
const TIMEOUT_STATUS: usize = 12;

/// Whether what came on an idle connection begins a 408, which says what a FIN would.
pub fn says_timeout(bytes: &[u8]) -> bool {
    bytes.get(8..TIMEOUT_STATUS) == Some(b" 408")
}

/// All connections of an environment.
#[derive(Default)]
pub struct Connections {
    slab: Slab<Connection>,
    generation: u32,
    /// In an outage each that is suspect asks for the others to its address.
    by_peer: BTreeSet<(SocketAddr, ConnectionId)>,
}

impl Connections {
    pub fn insert(&mut self, connection: Connection) -> ConnectionId {
        let entry = self.slab.vacant_entry();
        let id = ConnectionId(u64::from(self.generation) << 32 | entry.key() as u64);
        self.generation = self.generation.wrapping_add(1);
        self.by_peer.extend(connection.peer.map(|peer| (peer, id)));
        entry.insert(Connection { id, ..connection });
        id
    }

    /// Those to an address; none for a Unix socket.
    pub fn to(&self, peer: Option<SocketAddr>) -> Vec<ConnectionId> {
        let range = peer.map(|peer| (peer, ConnectionId(0))..=(peer, ConnectionId(u64::MAX)));
        range.into_iter().flat_map(|range| self.by_peer.range(range)).map(|&(_, id)| id).collect()
    }

    pub fn get(&self, id: ConnectionId) -> Option<&Connection> {
        self.slab.get(id.0 as u32 as usize).filter(|connection| connection.id == id)
    }

    pub fn get_mut(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.slab.get_mut(id.0 as u32 as usize).filter(|connection| connection.id == id)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Connection> {
        self.slab.iter().map(|(_, connection)| connection)
    }

    pub fn remove(&mut self, id: ConnectionId) -> Option<Connection> {
        let peer = self.get(id)?.peer;
        if let Some(peer) = peer {
            self.by_peer.remove(&(peer, id));
        }
        self.slab.try_remove(id.0 as u32 as usize)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Write;
    use std::net::{Shutdown, TcpListener};

    use super::super::read_window::Buffered;
    use super::super::watch::tests::in_vain;
    use super::*;

    /// A connection that serves its second request and was idle for `idle` before, and its peer.
    pub async fn reused(idle: Duration) -> (Connection, std::net::TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let peer = listener.accept().unwrap().0;
        let window = ReadWindow::new(1, Rc::new(Buffered::default()));
        let destination = crate::connect::Destination::for_test(1).into();
        let stream = Stream::Tcp(socket);
        let opened = Instant::now() - idle;
        let connection = Connection::new(stream, destination, Rc::default(), Rc::default(), window, opened);
        let connection = Connection { served: 1, ..connection };
        (connection, peer)
    }

    /// What a last look finds after the server has done this, and whether the close was counted as one of idleness.
    async fn found(act: impl FnOnce(&mut std::net::TcpStream)) -> (Option<CloseReason>, bool) {
        let (mut connection, mut peer) = reused(Duration::from_secs(5)).await;
        act(&mut peer);
        let Stream::Tcp(socket) = &connection.stream else { unreachable!() };
        socket.readable().await.unwrap();
        let reason = connection.last_look(Instant::now());
        (reason, !connection.closes.is_empty())
    }

    #[tokio::test]
    async fn what_is_read_while_its_own_bytes_are_lost_is_no_news_of_it() {
        let (mut connection, _peer) = reused(Duration::from_secs(5)).await;
        connection.last_read = Instant::now();
        assert_eq!(connection.heard(), connection.last_read);
        connection.watch = Some(in_vain());
        assert_eq!(connection.heard(), connection.opened);
    }

    #[tokio::test]
    async fn those_to_an_address_are_found_for_as_long_as_they_are_there() {
        let mut connections = Connections::default();
        let address = |port| Some(SocketAddr::from(([127, 0, 0, 1], port)));
        let mut ids = Vec::new();
        for peer in [address(1), address(2), address(1), None] {
            let (connection, _) = reused(Duration::ZERO).await;
            ids.push(connections.insert(Connection { peer, ..connection }));
        }
        assert_eq!(connections.to(address(1)), [ids[0], ids[2]]);
        assert_eq!(connections.to(None), []);
        connections.remove(ids[0]);
        assert_eq!((connections.to(address(1)), connections.to(address(2))), (vec![ids[2]], vec![ids[1]]));
    }

    #[tokio::test]
    async fn the_last_look_tells_an_end_from_a_byte() {
        let (mut quiet, _peer) = reused(Duration::from_secs(5)).await;
        assert_eq!(quiet.last_look(Instant::now()), None);
        let spoke = |text: &'static [u8]| move |peer: &mut std::net::TcpStream| peer.write_all(text).unwrap();
        assert_eq!(found(spoke(b"H")).await, (Some(CloseReason::UnexpectedData), false));
        assert_eq!(found(spoke(b"HTTP/1.1 200 OK")).await, (Some(CloseReason::UnexpectedData), false));
        assert_eq!(found(spoke(b"HTTP/1.1 408 Request")).await, (Some(CloseReason::UnexpectedData), true));
        let ended = |peer: &mut std::net::TcpStream| peer.shutdown(Shutdown::Write).unwrap();
        assert_eq!(found(ended).await, (Some(CloseReason::PeerClosedIdle), true));
        let reset = |peer: &mut std::net::TcpStream| {
            socket2::SockRef::from(&*peer).set_linger(Some(Duration::ZERO)).unwrap();
            *peer = std::net::TcpListener::bind("127.0.0.1:0")
                .and_then(|listener| std::net::TcpStream::connect(listener.local_addr()?))
                .unwrap();
        };
        assert_eq!(found(reset).await, (Some(CloseReason::PeerReset), true));
    }
}
