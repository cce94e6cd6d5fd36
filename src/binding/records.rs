//! The records of the crossing: fixed-width rows of 32-bit integers, with the
//! bytes that belong to them in a buffer beside.
//!
//! JavaScript's side of the same tables is `lib/crossing/records.js`; a test holds the
//! two against each other. A row names a lane by its slot and its epoch. The
//! epoch goes up each time the slot gets a new request or a new lane, so a row
//! that is late by the time it is read can be told and dropped.

/// Integers in a row from JavaScript: `op | flags << 8, slot, epoch, arg, len`.
pub const OP_WIDTH: usize = 5;

/// Integers in a row to JavaScript: `event | flags << 8, slot, epoch, arg, len`.
pub const EVENT_WIDTH: usize = 5;

/// A lane as both sides name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneRef {
    pub slot: u32,
    pub epoch: u32,
}

/// Requests from JavaScript.
pub mod op {
    /// A cold request that came by its own call; `arg` is its index.
    pub const COLD: i32 = 0;
    /// A request begins on the lane; `arg` is what JavaScript has read so far, `len` how much of the request
    /// is kept at most.
    pub const LEASE: i32 = 1;
    /// Bytes to send; `arg` asks for [`super::event::WRITTEN`] when not 0.
    pub const WRITE: i32 = 2;
    /// No more bytes will be sent: FIN after what is queued.
    pub const SHUTDOWN: i32 = 3;
    /// The lane is idle; `arg` is its limit in ms (-1: none), `len` what JavaScript has read.
    pub const PARK: i32 = 4;
    /// The lane is gone; `arg` is the [`crate::error::CloseReason`], `len` the number by which JavaScript asks for what is
    /// known of its request by then (0: it does not).
    pub const CLOSE: i32 = 5;
    /// JavaScript has consumed `arg` bytes.
    pub const CONSUMED: i32 = 6;
    /// A guard in JavaScript has let the lane pass; `arg` names the attempt.
    pub const PROCEED: i32 = 7;
    /// `arg` is 1 or 0.
    pub const NO_DELAY: i32 = 8;
    /// `arg` is the initial delay in seconds, or -1 for off; `len` has the count of probes in its lowest byte, and their
    /// interval in seconds above.
    pub const KEEP_ALIVE: i32 = 9;
    /// What the server says of the connection before it is parked, or given to a request that waits: it keeps it idle
    /// for `arg` ms, and takes `len` requests more (-1: it does not say).
    pub const HINT: i32 = 10;
    /// A lane connects; `arg` is the number of its route, `len` that of what has a say in JavaScript.
    pub const OPEN: i32 = 12;
    /// A request waits for a lane in the queue `arg`; the `len` bytes are all of it. The slot is for it alone.
    pub const WAIT: i32 = 13;
    /// The request that waits in this slot gets the lane whose slot was `arg`, and the lane this slot. JavaScript has
    /// read `len` bytes on the lane.
    pub const ATTACH: i32 = 14;
    /// The request on the lane is whole. When its response is, the queue `arg` may have the connection.
    pub const YIELD: i32 = 15;
    /// `arg` is the byte of IP that is named so.
    pub const TYPE_OF_SERVICE: i32 = 16;
    /// A guard has not let the TLS connection pass; or the answer to TLS_REFUSED.
    pub const REFUSE: i32 = 20;
    /// Somebody listens for the end of the handshake, and may have a say.
    pub const GATE: i32 = 21;
    /// The request on the lane had waited `arg` ms for it.
    pub const WAITED: i32 = 11;
    /// A timer of the lane has run out: asks for [`super::event::QUIET`]. `arg` is the number of the question.
    pub const ASK_QUIET: i32 = 17;
}

/// Flags of requests, each with its own.
pub mod op_flag {
    /// WRITE: the bytes are the next blob, not in the byte buffer.
    pub const BLOB: i32 = 1;
    /// WRITE, WAIT: the request may be sent again by rules R4 and R6.
    pub const REPLAYABLE: i32 = 2;
    /// A CLOSE in the same tick takes the bytes back.
    pub const EARLY: i32 = 4;
    /// WRITE, WAIT: the request may be sent again by rule R5.
    pub const UNACKNOWLEDGED: i32 = 8;
    /// WAIT: the connection is not kept for others after it.
    pub const LAST: i32 = 16;
    /// LEASE: the lane belongs to a `ClientRequest`, so a connection that dies
    /// before the first byte can be exchanged for another one.
    pub const HTTP: i32 = 1;
    /// CLOSE: with RST.
    pub const RESET: i32 = 1;
    /// CLOSE: what was written belongs to no request that is under way, and still leaves.
    pub const OVER: i32 = 2;
    /// OPEN: JavaScript has a say before each attempt.
    pub const GUARD_ATTEMPT: i32 = 1;
    /// OPEN: before the first byte, over TLS before the handshake.
    pub const GUARD_CONNECT: i32 = 2;
    /// OPEN: when the handshake is over.
    pub const GUARD_SECURE: i32 = 4;
    /// OPEN: somebody listens to 'keylog'.
    pub const KEYLOG: i32 = 8;
    /// OPEN: when the addresses are known, by a listener.
    pub const GUARD_LOOKUP: i32 = 16;
}

/// Reports to JavaScript.
pub mod event {
    /// Bytes of the peer.
    pub const DATA: i32 = 1;
    /// The peer's FIN; the text has the facts ([`crate::pool`]'s `facts`).
    pub const END: i32 = 2;
    /// The connection failed; `arg` is the errno. The text has its syscall, and the facts in further rows. 0 for a bug
    /// of ours: the text then begins with what has happened.
    pub const ERROR: i32 = 3;
    /// The lane's first connection stands; the text has the addresses.
    pub const CONNECTED: i32 = 4;
    /// Another connection is under the lane; `arg` says why ([`super::rebound`]), and in the bits from 8 on
    /// the [`crate::error::CloseReason`] of the one before. The text has its
    /// addresses, and the facts of the one before in further rows if a request was lost with it.
    pub const REBOUND: i32 = 5;
    /// The idle lane has lost its connection; `arg` is the [`crate::error::CloseReason`].
    pub const CLOSED: i32 = 6;
    /// `arg` bytes more have left for the kernel.
    pub const WRITTEN: i32 = 7;
    /// The FIN that SHUTDOWN asked for has been sent.
    pub const FINISHED: i32 = 8;
    /// A name was resolved: rows of `family TAB address`, or `arg` is the errno.
    pub const LOOKUP: i32 = 9;
    /// An attempt at `address TAB port TAB family` begins; `arg` names it if it waits for PROCEED.
    pub const ATTEMPT: i32 = 10;
    /// An attempt failed: `address TAB port TAB family TAB syscall …`, `arg` is the errno.
    pub const ATTEMPT_FAILED: i32 = 11;
    /// The next attempt starts since this one takes long.
    pub const ATTEMPT_TIMEOUT: i32 = 12;
    /// No connection: rows of `errno TAB syscall TAB address TAB port`, and `TAB local TAB is_given` where
    /// Node names that.
    pub const CONNECT_FAILED: i32 = 13;
    /// JavaScript has to resolve the name for another connection of this lane.
    pub const RESOLVE: i32 = 14;
    /// The connection is dead, and its request can go nowhere else: its place may be given away.
    pub const DEAD: i32 = 15;
    /// `arg` bytes of the peer that begin a plain response, and behind them (or behind its head, with
    /// [`super::event_flag::OWN_BUFFER`]) where its parts are ([`crate::exchange::Plain`]). What is missing of its
    /// body comes as [`BODY`], up to the first bytes that are for Node's parser.
    pub const RESPONSE: i32 = 16;
    /// The request that waits in this slot has been sent, on the connection of the lane with the slot `arg`. The text
    /// has that lane's epoch, and in a second row the addresses.
    pub const AHEAD: i32 = 17;
    /// The buffer that JavaScript has lent as number `arg` is not used any more. Of no lane: the slot is -1.
    pub const RETURNED: i32 = 18;
    /// `arg` bytes of the body that a [`RESPONSE`] has begun, and behind them (or alone, with
    /// [`super::event_flag::OWN_BUFFER`]) what they are ([`crate::exchange::Piece`]).
    pub const BODY: i32 = 19;
    /// A bug of ours, of which the text says more: what is under way has ended, or has never come. Of no lane, as
    /// RETURNED.
    pub const BROKEN: i32 = 20;
    /// What comes next is more than the response: the connection is not for another request.
    pub const SURPLUS: i32 = 21;
    /// JavaScript has to resolve the name for a connect beside that of the lane, which shows whether one can be had.
    pub const PROBE: i32 = 22;
    /// Nothing has gone either way for `arg` ms on the lane's connection, if it has one (-1: it has not). What came before
    /// is reported before. The text is the number of the question ([`super::op::ASK_QUIET`]).
    pub const QUIET: i32 = 23;
    /// A TLS connection comes under the lane: [`crate::tls::Secured::report`].
    pub const SECURED: i32 = 30;
    /// Lines for 'keylog'.
    pub const KEY_LINES: i32 = 31;
    /// The connection was lost in the handshake; `arg` is the errno, 0 for an end.
    pub const HANDSHAKE_FAILED: i32 = 32;
    /// Bytes of the request that are handed back after TLS_REFUSED.
    pub const UNSENT: i32 = 33;
    /// rustls refuses: Node's own TLS has to say. JavaScript answers with REFUSE. `arg` is 1 if the request was
    /// sent once already.
    pub const TLS_REFUSED: i32 = 34;
    /// The TLS connection failed; `arg` is the number of the server's alert, or 0 and the text says how.
    pub const TLS_ERROR: i32 = 35;
    /// All that JavaScript has written before its REFUSE is handed back.
    pub const HANDED_BACK: i32 = 36;
}

/// Whether a report comes with one of the batch's blocks.
pub const fn has_block(head: i32) -> bool {
    matches!(head & 0xff, event::DATA | event::RESPONSE | event::BODY)
        && head >> 8 & event_flag::OWN_BUFFER != 0
}

/// Whether the bytes of a report are bytes to JavaScript too, and not text.
pub const fn is_binary(event: i32) -> bool {
    matches!(event & 0xff, event::DATA | event::SECURED | event::UNSENT)
}

/// Flags of events.
pub mod event_flag {
    /// DATA, SECURED, UNSENT: the bytes are the next of the buffers beside. RESPONSE, BODY: those of the body are.
    pub const OWN_BUFFER: i32 = 1;
    /// Of any report with text: it is the next of the buffers beside, as it is longer than the byte buffer.
    pub const OWN_TEXT: i32 = 4;
    /// CONNECTED, REBOUND: nothing is written before PROCEED. That of a CONNECTED has its `arg`.
    pub const GATED: i32 = 1;
    /// CONNECT_FAILED: several addresses were there to try.
    pub const AGGREGATE: i32 = 1;
    /// SECURED: nothing is written before PROCEED.
    pub const SECURED_GATED: i32 = 2;
}

/// Why a lane got another connection, the lowest bits of the `arg` of [`event::REBOUND`].
pub mod rebound {
    /// Found dead before the first byte: another idle connection (rule R2).
    pub const IDLE: i32 = 0;
    /// Found dead before the first byte, or the first write was refused whole:
    /// a fresh connection (rules R2, R3).
    pub const FRESH: i32 = 1;
    /// The request was sent again on a fresh connection (rule R4).
    pub const RETRY: i32 = 2;
}
