//! A lane, as far as Rust knows it: what JavaScript calls the socket, and the
//! state of the request on it.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::connection::ConnectionId;
use super::out_queue::OutQueue;
use super::read_window::{Buffered, Unread};
use super::status::Counts;
use crate::binding::records::LaneRef;
use crate::binding::submission::Leave;
use crate::connect::SharedDestination;
use crate::error::{CloseReason, uv_errno};
use crate::exchange::{Hint, Replay};
use crate::tls::Secured;

pub struct Lane {
    /// Goes up with each request; what speaks of an older one is late.
    pub epoch: u32,
    pub destination: SharedDestination,
    pub limits: Limits,
    pub guards: Guards,
    pub state: State,
    /// A `ClientRequest` has it, so that nothing is lost when a connection is
    /// exchanged before the first byte. Not so for a raw socket.
    pub http: bool,
    /// A byte of this exchange has been accepted by a kernel. Those of the one before, whose body may still be on its
    /// way on the same connection, do not count.
    pub sent: bool,
    /// When the first byte of this exchange was.
    pub sent_at: Option<Instant>,
    /// What the server said of the connection in its response.
    pub hint: Hint,
    /// The caller allows the request to be sent twice.
    pub replayable: bool,
    /// The caller allows it where the server has not got a byte of it.
    pub unacknowledged: bool,
    /// Bytes of the present request that are kept, at most.
    pub max_replay: usize,
    /// The request was sent again already.
    pub retried: bool,
    pub replay: Replay,
    /// What was written while there was no connection.
    pub pending: OutQueue,
    /// FIN was asked for while there was no connection.
    pub fin_wanted: bool,
    /// PARK came while there was no connection: the limit in ms.
    pub park_wanted: Option<Option<u32>>,
    /// What is told of the connection that the request was lost with, until there is another (rules R3, R4).
    pub loss: Option<String>,
    /// Why its last connection is gone, until there is another.
    pub lost: Option<CloseReason>,
    pub counts: Rc<Counts>,
    /// What its agent's connections have read ahead.
    pub buffered: Rc<Buffered>,
    /// The queue that may have the connection when the exchange is over. The request is whole then.
    pub queue: Option<u32>,
    /// Unknown before the first byte of the request.
    pub method: Option<Method>,
    /// Set when a queue has got the connection: what is told of the exchange from then on.
    pub passed_on: Option<PassedOn>,
    /// Where the request's connection was, if it was passed on to it.
    pub origin: Option<LaneRef>,
    /// When the connect began that is under way, or was last.
    pub connecting_since: Instant,
    /// An attempt that waits for JavaScript.
    pub proceed: Option<oneshot::Sender<()>>,
    /// The TLS connection that JavaScript has seen: programs look at a
    /// certificate once and trust the lane from then on.
    pub pin: Option<Rc<Secured>>,
    /// Somebody listens for 'keylog'.
    pub keylog: bool,
    /// A connection of this request has ended before JavaScript let it pass.
    pub waited: bool,
}

/// What is asked for, as far as it decides where the answer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// What follows the head is the tunnel's.
    Connect,
    /// Nothing follows the head.
    Head,
    Other,
}

impl Method {
    /// Of a request that begins with these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        match bytes {
            [b'C', b'O', b'N', b'N', b'E', b'C', b'T', b' ', ..] => Self::Connect,
            [b'H', b'E', b'A', b'D', b' ', ..] => Self::Head,
            _ => Self::Other,
        }
    }
}

/// What is left of an exchange whose connection serves another one already.
#[derive(Debug)]
pub struct PassedOn {
    pub facts: String,
    /// Bytes given to JavaScript.
    pub received: u64,
    /// What JavaScript has not taken of it counts for as long.
    pub _unread: Unread,
}

#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes that may be read before JavaScript has consumed them.
    pub read_ahead: u32,
    /// The same for all connections of the agent together.
    pub max_buffered: u64,
    pub max_replay: usize,
    /// How long the addresses that JavaScript gave serve other connects.
    pub answers: Option<Duration>,
    /// Whether plain responses are taken apart here, and not by Node's parser.
    pub parse: bool,
    /// Requests may have to wait for a lane: the end of each response is looked for.
    pub queues: bool,
}

/// Where JavaScript has a say before a connection is used.
#[derive(Clone, Copy, Debug)]
pub struct Guards {
    /// By a listener that hears of the addresses.
    pub lookup: bool,
    /// Before each attempt at an address.
    pub attempt: bool,
    /// Before the first byte is written, over TLS before the handshake.
    pub connect: bool,
    /// When the handshake is over.
    pub secure: bool,
}

impl Guards {
    /// Whether listeners of the lane have a say in each connect. Once they are gone none is made any more.
    pub const fn by_listener(&self) -> bool {
        self.lookup || self.attempt || self.connect
    }
}

pub enum State {
    /// JavaScript resolves the name.
    Resolving {
        serial: u32,
        cause: Cause,
    },
    Connecting {
        serial: u32,
        cause: Cause,
        task: AbortHandle,
    },
    /// Connected; JavaScript has not let it pass yet.
    Gated(ConnectionId, Cause),
    /// The connection ended before JavaScript let it pass. Nothing was sent, so
    /// the next one will do as well; once.
    Unpassed(Cause),
    Bound(ConnectionId),
    /// The connection went before the first byte was written: the first write chooses another.
    Lost,
    /// rustls has refused; what JavaScript writes until it knows is handed back.
    Refused,
    /// JavaScript has been told of a failure and is about to close the lane.
    Failed,
}

/// Why a connection is made.
#[derive(Clone, Copy, Debug)]
pub enum Cause {
    /// The lane is new.
    First,
    /// Rules R2 and R3: nothing has been sent.
    Fresh,
    /// Rule R4. If it cannot be had, the caller sees the loss that led to it.
    Retry(LossReport),
}

/// How JavaScript is told that a connection was lost.
#[derive(Clone, Copy, Debug)]
pub enum LossReport {
    /// A bug of ours.
    Bug,
    End,
    Error {
        errno: i32,
        syscall: &'static str,
        reason: CloseReason,
    },
    /// `alert`: its number, if it was one of the server's.
    Tls {
        alert: u8,
        text: &'static str,
    },
}

impl LossReport {
    /// An error of the system, or one of TLS.
    pub fn of(error: &io::Error, syscall: &'static str) -> Self {
        if let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            let (alert, text) = match tls {
                rustls::Error::AlertReceived(alert) => (u8::from(*alert), ""),
                rustls::Error::DecryptError => (0, "decryption failed or bad record mac"),
                rustls::Error::InvalidMessage(_) => (0, "wrong version number"),
                _ => (0, "protocol error"),
            };
            return Self::Tls { alert, text };
        }
        let reason = match error.kind() {
            // A write is refused with EPIPE once the RST has been seen.
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset => {
                CloseReason::PeerReset
            }
            // The kernel gave up: retransmissions or probes were not answered.
            io::ErrorKind::TimedOut => CloseReason::DeadPeer,
            _ => CloseReason::NetworkError,
        };
        Self::Error { errno: uv_errno(error), syscall, reason }
    }

    pub const fn reason(self) -> CloseReason {
        match self {
            Self::Bug => CloseReason::InternalError,
            Self::End => CloseReason::PeerFin,
            Self::Error { reason, .. } => reason,
            Self::Tls { .. } => CloseReason::TlsFailed,
        }
    }
}

impl Lane {
    pub fn new(
        epoch: u32,
        destination: SharedDestination,
        limits: Limits,
        guards: Guards,
        counts: Rc<Counts>,
        buffered: Rc<Buffered>,
    ) -> Self {
        Self {
            epoch,
            destination,
            limits,
            guards,
            state: State::Lost,
            http: false,
            sent: false,
            sent_at: None,
            hint: Hint::default(),
            replayable: false,
            unacknowledged: false,
            max_replay: limits.max_replay,
            retried: false,
            replay: Replay::new(),
            pending: OutQueue::default(),
            fin_wanted: false,
            park_wanted: None,
            loss: None,
            lost: None,
            counts,
            buffered,
            queue: None,
            method: None,
            passed_on: None,
            origin: None,
            connecting_since: Instant::now(),
            proceed: None,
            pin: None,
            keylog: false,
            waited: false,
        }
    }

    /// A new request begins.
    pub fn begin(&mut self, epoch: u32, http: bool, max_replay: usize) {
        self.epoch = epoch;
        self.http = http;
        self.sent = false;
        self.sent_at = None;
        self.hint = Hint::default();
        self.replayable = false;
        self.unacknowledged = false;
        self.max_replay = max_replay;
        self.retried = false;
        self.waited = false;
        self.queue = None;
        self.method = None;
        self.passed_on = None;
        self.origin = None;
        self.loss = None;
        self.replay.forget();
        self.park_wanted = None;
    }

    /// A lane for a request that waits, to go on with the connection of this one.
    pub fn successor(&self, epoch: u32, max_replay: usize) -> Self {
        let (destination, counts) = (self.destination.clone(), Rc::clone(&self.counts));
        let mut lane =
            Self::new(epoch, destination, self.limits, self.guards, counts, Rc::clone(&self.buffered));
        lane.http = true;
        lane.max_replay = max_replay;
        lane.pin.clone_from(&self.pin);
        lane.keylog = self.keylog;
        lane
    }

    /// Which repetitions its caller allows. Only the first write says so, and a second one may come before any of it
    /// has left.
    pub fn allow(&mut self, leave: Leave) {
        self.replayable |= leave.replayable;
        self.unacknowledged |= leave.unacknowledged;
    }

    /// The first write comes: what may be repeated is kept.
    pub fn keep(&mut self, leave: Leave) {
        if leave.replayable || leave.unacknowledged {
            self.replay.start();
        }
    }

    /// Whether the request is a HEAD, if that is known and where its answer ends can be.
    pub fn is_head(&self) -> Option<bool> {
        self.method.filter(|&method| method != Method::Connect).map(|method| method == Method::Head)
    }

    pub fn connection(&self) -> Option<ConnectionId> {
        match self.state {
            State::Bound(id) | State::Gated(id, _) => Some(id),
            _ => None,
        }
    }
}

/// Whether a connection may come under a lane: any at first, and then those
/// whose certificate is the same to the byte.
pub fn accepts(pin: Option<&Secured>, secured: Option<&Secured>) -> bool {
    pin.is_none_or(|pin| secured.is_some_and(|secured| secured.is_same_server(pin)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_the_system_says_who_ended_the_connection() {
        let reason = |kind: io::ErrorKind| LossReport::of(&io::Error::from(kind), "read").reason();
        assert_eq!(reason(io::ErrorKind::ConnectionReset), CloseReason::PeerReset);
        assert_eq!(reason(io::ErrorKind::BrokenPipe), CloseReason::PeerReset);
        assert_eq!(reason(io::ErrorKind::TimedOut), CloseReason::DeadPeer);
        assert_eq!(reason(io::ErrorKind::HostUnreachable), CloseReason::NetworkError);
        assert_eq!(LossReport::End.reason(), CloseReason::PeerFin);
    }
}
