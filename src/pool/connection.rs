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
use super::idle_limit;
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

/// Until when a connection may be idle.
#[derive(Clone, Copy, Debug)]
pub struct IdleLimit {
    /// Of the time without a byte, and not of the age.
    limit: Option<Duration>,
    pub deadline: Option<Instant>,
    /// The same moment on a clock that runs on while the machine sleeps.
    wall_deadline: Option<clock::Uptime>,
    /// The deadline is that of the maximum age.
    by_age: bool,
}

impl IdleLimit {
    /// Why the connection is closed then.
    pub const fn reason(&self) -> CloseReason {
        if self.by_age { CloseReason::Ttl } else { CloseReason::IdleTimeout }
    }

    fn has_passed(&self, now: Instant) -> bool {
        self.deadline.is_some_and(|deadline| now >= deadline)
            || self.wall_deadline.is_some_and(|deadline| clock::uptime() >= deadline)
    }
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
            framing: None,
            rest: None,
            is_answered: false,
            finished_in: None,
            entry: None,
            waker: None,
        }
    }

    /// How long it may be idle: by this side's limit, `own`, by what the server says, and by what was learned of it.
    pub fn idle_limit(&mut self, own: Option<Duration>, hint: Option<Duration>, now: Instant) -> IdleLimit {
        let limit = [own, self.servers_limit(hint, now)].into_iter().flatten().min();
        self.until(limit, now)
    }

    fn until(&self, limit: Option<Duration>, now: Instant) -> IdleLimit {
        let since = self.idle_since();
        let by_limit = limit.map(|limit| since + limit);
        let by_age = self.ttl.map(|ttl| now + ttl.saturating_sub(self.age()));
        let deadline = [by_limit, by_age].into_iter().flatten().min();
        let wall_deadline = deadline.map(|deadline| clock::uptime().plus(deadline - now));
        IdleLimit { limit, deadline, wall_deadline, by_age: deadline != by_limit }
    }

    fn age(&self) -> Duration {
        clock::uptime().since(self.opened_at)
    }

    /// When the last byte came, or left that had to wait for the kernel.
    fn idle_since(&self) -> Instant {
        self.last_read.max(self.tally.progress())
    }

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

    /// Nothing that has not left leaves of the present request.
    pub fn hold_back(&mut self) {
        self.out = self.take_owed();
    }

    /// The request that it has had is over: what is on its way of that is owed.
    pub fn end_exchange(&mut self) {
        if self.parked.is_none() {
            self.tally.begin(self.out.len(), self.stream.wire_bytes(), Duration::ZERO);
        }
    }

    /// All that it owed has left: it is idle from now on, if no request has it.
    pub fn begin_idleness(&mut self, now: Instant) {
        self.tally.advance(now);
        self.parked = self.parked.map(|parked| self.until(parked.limit, now));
        self.unused = self.unused.map(|unused| self.until(unused.limit, now));
    }

    /// Requests that the server takes once this exchange is over, by its word in it (`max`) and in those before.
    pub fn requests_left_after(&self, max: Option<u32>) -> Option<u32> {
        let left = self.requests_left.map(|left| left.saturating_sub(1));
        [left, max].into_iter().flatten().min()
    }

    /// Why it has been kept for long enough, if it has.
    pub fn expired(&self, now: Instant) -> Option<CloseReason> {
        if self.owes() {
            return None;
        }
        if self.ttl.is_some_and(|ttl| self.age() >= ttl) {
            return Some(CloseReason::Ttl);
        }
        let limit = self.parked.or(self.unused)?;
        limit.has_passed(now).then(|| limit.reason())
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

    /// Why it has been idle for too long, if it is or was until now: by the clock, or by what is known of its peer.
    pub fn outlasted(&mut self, now: Instant) -> Option<CloseReason> {
        if self.is_doubtful() {
            return Some(CloseReason::DeadPeer);
        }
        let is_idle = self.parked.or(self.unused).is_some();
        self.expired(now).or_else(|| (is_idle && self.is_overdue(now)).then_some(CloseReason::IdleTimeout))
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

    /// The limit of being idle that the server sets, by its hint and by what it did to other connections.
    pub fn servers_limit(&mut self, hint: Option<Duration>, now: Instant) -> Option<Duration> {
        let learned = self.closes.limit(now);
        if hint.is_none() && learned.is_none() {
            return None;
        }
        let round_trip = self.round_trip(now);
        let hint = hint.map(|hint| idle_limit::hinted(hint, round_trip));
        let learned = learned.map(|age| idle_limit::learned(age, round_trip));
        [hint, learned].into_iter().flatten().min()
    }

    /// Whether it has been idle for longer than what was learned of its server since it was parked.
    pub fn is_overdue(&mut self, now: Instant) -> bool {
        let idle = now - self.idle_since();
        !self.owes() && self.servers_limit(None, now).is_some_and(|limit| idle >= limit)
    }

    /// The round trip as the kernel has measured it; asked for now and then, since it costs a system call.
    fn round_trip(&mut self, now: Instant) -> Option<RoundTrip> {
        const FRESH: Duration = Duration::from_secs(1);
        match self.round_trip {
            Some((at, round_trip)) if now - at < FRESH => round_trip,
            _ => {
                let round_trip = self.stream.tcp_info().and_then(|info| info.round_trip);
                self.round_trip = Some((now, round_trip));
                round_trip
            }
        }
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

    /// Lets its task look at it again.
    pub fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }

    pub fn log_open(&self) {
        let (local, peer) = self.stream.addresses().unzip();
        debug!(connection = %self.id, to = %self.destination.target, ?local, ?peer, "connected");
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
mod tests {
    use std::io::Write;
    use std::net::{Shutdown, TcpListener};

    use super::super::read_window::Buffered;
    use super::super::watch::tests::in_vain;
    use super::*;

    /// A connection that serves its second request and was idle for `idle` before, and its peer.
    async fn reused(idle: Duration) -> (Connection, std::net::TcpStream) {
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
