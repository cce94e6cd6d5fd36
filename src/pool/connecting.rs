//! From a lane without a connection to one that has it.

use std::cell::RefCell;
use std::net::IpAddr;
use std::rc::{Rc, Weak};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::debug;

use super::Pool;
use super::clock;
use super::connection::{Connection, ConnectionId, Fin};
use super::deadlines::jittered;
use super::faults::caught;
use super::lane::{Cause, LossReport, State, accepts};
use super::read_window::ReadWindow;
use super::status::add;
use crate::binding::records::{event, event_flag, rebound};
use crate::connect::{
    self, ConnectError, Connected, Destination, Endpoint, Failure, Local, Piece, Probes, Progress, Stream,
    Target, TlsSetup,
};
use crate::error::uv_errno;
use crate::tls::{HandshakeError, KeyLines};

/// Reports the progress of a connect to the lane that waits for it.
struct Reporter {
    pool: Rc<RefCell<Pool>>,
    slot: u32,
    serial: u32,
    /// The lane's own connect, or one that JavaScript guards: events are due.
    audible: bool,
    /// Each attempt waits for JavaScript.
    gated: bool,
    /// The handshake does.
    connect_gated: bool,
}

impl Reporter {
    fn report(&self, kind: i32, arg: i32, text: &str) {
        if self.audible {
            self.tell(kind, arg, text);
        }
    }

    fn tell(&self, kind: i32, arg: i32, text: &str) {
        let mut pool = self.pool.borrow_mut();
        if pool.awaits(self.slot, self.serial) {
            let lane = pool.lane_ref(self.slot);
            pool.report(kind, lane, arg, text.as_bytes());
        }
    }

    /// Reports, and waits for JavaScript to let it pass.
    async fn ask(&self, kind: i32, text: &str) {
        let (sender, passed) = oneshot::channel();
        if let Some(lane) = self.pool.borrow_mut().lane(self.slot) {
            lane.proceed = Some(sender);
        }
        self.tell(kind, self.serial.cast_signed(), text);
        if passed.await.is_err() {
            // The lane is gone, and this task is about to be aborted with it.
            std::future::pending::<()>().await;
        }
    }
}

impl Progress for Reporter {
    fn lookup(&self, result: Result<&[IpAddr], i32>) {
        match result {
            Ok(addresses) => {
                let rows: Vec<String> = addresses
                    .iter()
                    .map(|address| format!("{}\t{address}", if address.is_ipv4() { 4 } else { 6 }))
                    .collect();
                self.report(event::LOOKUP, 0, &rows.join("\n"));
            }
            Err(errno) => self.report(event::LOOKUP, errno, ""),
        }
    }

    async fn attempt(&self, endpoint: &Endpoint) {
        if !self.gated {
            self.report(event::ATTEMPT, 0, &endpoint_text(endpoint));
            return;
        }
        self.ask(event::ATTEMPT, &endpoint_text(endpoint)).await;
    }

    fn attempt_failed(&self, failure: &Failure) {
        let text = format!("{}\t{}", endpoint_text(&failure.endpoint), failure_text(failure));
        self.report(event::ATTEMPT_FAILED, failure.errno, &text);
    }

    fn attempt_timeout(&self, endpoint: &Endpoint) {
        self.report(event::ATTEMPT_TIMEOUT, 0, &endpoint_text(endpoint));
    }

    async fn connected(&self, socket: &Stream) {
        let addresses = address_text(socket);
        if self.connect_gated {
            self.ask(event::CONNECTED | event_flag::GATED << 8, &addresses).await;
        } else {
            self.report(event::CONNECTED, 0, &addresses);
        }
    }

    fn key_lines(&self, lines: &KeyLines) {
        let lines = lines.take();
        let mut pool = self.pool.borrow_mut();
        if !lines.is_empty() && pool.awaits(self.slot, self.serial) {
            let lane = pool.lane_ref(self.slot);
            pool.report(event::KEY_LINES, lane, 0, lines.as_bytes());
        }
    }
}

/// How long a repetition waits for its connection: nobody knows whether there is anything left to connect to, and the
/// request has failed already.
fn retry_limit(destination: &Destination, cause: Cause) -> Option<Duration> {
    destination.dead_peer.filter(|_| matches!(cause, Cause::Retry(_)))
}

fn endpoint_text(endpoint: &Endpoint) -> String {
    format!("{}\t{}\t{}", endpoint.address, endpoint.port, endpoint.family)
}

/// `local address, port, peer address, port, family`, or nothing for a Unix socket.
pub(super) fn address_text(stream: &Stream) -> String {
    stream.addresses().map_or_else(String::new, |(local, peer)| {
        let family = if peer.is_ipv4() { 4 } else { 6 };
        format!("{}\t{}\t{}\t{}\t{family}", local.ip(), local.port(), peer.ip(), peer.port())
    })
}

fn failure_text(failure: &Failure) -> String {
    let Endpoint { address, port, .. } = &failure.endpoint;
    let mut text = format!("{}\t{}\t{address}\t{port}", failure.errno, failure.syscall);
    if let Some(local) = &failure.local {
        let is_given = matches!(local, Local::Given(_));
        text += &format!("\t{local}\t{is_given}");
    }
    text
}

impl Pool {
    pub(super) fn start_connect(&mut self, slot: u32, cause: Cause, addresses: Option<Vec<IpAddr>>) {
        let serial = self.next_serial();
        let Some(lane) = self.lane(slot) else { return };
        let destination = lane.destination.clone();
        let (guards, keylog) = (lane.guards, lane.keylog);
        if addresses.is_none() {
            lane.connecting_since = Instant::now();
        }
        let answers = lane.limits.answers;
        let addresses = match (addresses, answers) {
            (Some(addresses), Some(ttl)) => {
                self.answers.keep(&destination, ttl, &addresses, clock::uptime());
                Some(addresses)
            }
            (None, Some(_)) => self.answers.get(&destination, clock::uptime()),
            (addresses, None) => addresses,
        };
        // JavaScript has a say in where this leads: it is asked each time.
        if destination.resolver != 0 && addresses.is_none() {
            self.ask_to_resolve(slot, serial, cause);
            return;
        }
        debug!(lane = slot, to = %destination.target, ?cause, "connecting");
        let retry_limit = retry_limit(&destination, cause);
        let Some(pool) = self.handle() else { return };
        let reporter = Reporter {
            pool,
            slot,
            serial,
            audible: matches!(cause, Cause::First) || guards.attempt,
            gated: guards.attempt,
            connect_gated: guards.connect,
        };
        let tls = destination.secure.as_ref().map(|secure| TlsSetup {
            config: self.sessions.config(&destination, secure),
            key_lines: keylog.then(KeyLines::default),
        });
        let task = tokio::task::spawn_local(async move {
            let work = async {
                let connected = caught(connect::connect(&destination, addresses, tls, &reporter)).await;
                connected.unwrap_or(Err(ConnectError::Panicked))
            };
            let result = match retry_limit {
                Some(limit) => tokio::time::timeout(limit, work)
                    .await
                    .unwrap_or_else(|_| Err(ConnectError::Attempts { failures: vec![], aggregate: false })),
                None => work.await,
            };
            let ended = Self::attempt(&reporter.pool, |pool| pool.connect_ended(slot, serial, result));
            if ended.is_none() {
                Self::attempt_or_break(&reporter.pool, |pool| pool.fail_lane(slot));
            }
        });
        self.set_state(slot, State::Connecting { serial, cause, task: task.abort_handle() });
    }

    /// Names what JavaScript is asked. It gets it as a signed number, of which 0 names nothing.
    pub(super) const fn next_serial(&mut self) -> u32 {
        self.serial = if self.serial == i32::MAX.cast_unsigned() { 1 } else { self.serial + 1 };
        self.serial
    }

    fn ask_to_resolve(&mut self, slot: u32, serial: u32, cause: Cause) {
        let Some(lane) = self.lane(slot) else { return };
        let limit = retry_limit(&lane.destination, cause);
        lane.state = State::Resolving { serial, cause };
        self.report(event::RESOLVE, self.lane_ref(slot), serial.cast_signed(), &[]);
        let Some(limit) = limit else { return };
        let pool = Weak::clone(&self.me);
        tokio::task::spawn_local(async move {
            tokio::time::sleep(limit).await;
            if let Some(pool) = pool.upgrade() {
                Self::attempt_or_break(&pool, |pool| pool.resolved(slot, serial, None));
            }
        });
    }

    /// JavaScript has resolved the name, or refuses.
    pub(super) fn resolved(&mut self, slot: u32, serial: u32, addresses: Option<Vec<IpAddr>>) {
        if let Some(lookup) = self.probe_lookups.remove(&serial) {
            lookup.answer(addresses);
            return;
        }
        let Some(lane) = self.lane(slot) else { return };
        let State::Resolving { serial: asked, cause } = lane.state else { return };
        if asked != serial {
            return;
        }
        match addresses {
            Some(addresses) => self.start_connect(slot, cause, Some(addresses)),
            None => self.connect_failed(
                slot,
                cause,
                &ConnectError::Attempts { failures: vec![], aggregate: false },
            ),
        }
    }

    fn awaits(&mut self, slot: u32, serial: u32) -> bool {
        let state = self.lane(slot).map(|lane| &lane.state);
        matches!(state, Some(State::Connecting { serial: awaited, .. }) if *awaited == serial)
    }

    fn connect_ended(&mut self, slot: u32, serial: u32, result: Result<Connected, ConnectError>) {
        if !self.awaits(slot, serial) {
            return;
        }
        let Some(State::Connecting { cause, .. }) = self.lane(slot).map(|lane| &lane.state) else { return };
        let cause = *cause;
        match result {
            Ok(connected) => self.connected(slot, cause, connected),
            // libuv has threads for that, if it has ever needed one.
            Err(ConnectError::NoResolver) => self.ask_to_resolve(slot, serial, cause),
            Err(error) => self.connect_failed(slot, cause, &error),
        }
    }

    fn connected(&mut self, slot: u32, cause: Cause, connected: Connected) {
        let Connected { stream, secured } = connected;
        let Some(lane) = self.lane(slot) else { return };
        if !accepts(lane.pin.as_deref(), secured.as_deref()) {
            add(&lane.counts.not_opened);
            self.connection_refused(slot, cause);
            return;
        }
        let destination = lane.destination.clone();
        let window = ReadWindow::new(lane.limits.read_ahead, Rc::clone(&lane.buffered));
        let is_tls = secured.is_some();
        let gated = match (&secured, &lane.pin) {
            (None, _) => lane.guards.connect,
            // The certificate is the one that was let pass. A function of the program's may still have changed its mind.
            (Some(_), Some(_)) => destination.secure.as_ref().is_some_and(|secure| secure.check != 0),
            (Some(secured), None) => lane.guards.secure || secured.is_unnamed,
        };
        lane.pin.clone_from(&secured);
        let now = Instant::now();
        let counts = Rc::clone(&lane.counts);
        add(&counts.opened);
        counts.connect.borrow_mut().record(now - lane.connecting_since);
        let closes = self.learned.of(&destination);
        let ttl = destination.ttl.map(jittered);
        if destination.dead_peer.is_some()
            && let Target::Tcp(target) = &destination.target
        {
            let probes = destination.probes();
            // As they were asked for they have been set already, with the socket.
            if probes != target.keep_alive.map(Probes::after) {
                stream.set_keep_alive(probes);
            }
        }
        let connection = Connection::new(stream, destination, closes, counts, window, now);
        let id = self.connections.insert(Connection { lane: slot, secured, ttl, ..connection });
        if let Some(connection) = self.connections.get(id) {
            connection.log_open();
        }
        self.set_state(slot, if gated { State::Gated(id, cause) } else { State::Bound(id) });
        if is_tls {
            let flags = if gated { event_flag::SECURED_GATED } else { 0 };
            self.report_secured(slot, id, flags);
        }
        let text = self.connections.get(id).map(Connection::address_text).unwrap_or_default();
        let flags = if gated && !is_tls { event_flag::GATED } else { 0 };
        let rebound = match cause {
            Cause::First => None,
            Cause::Fresh => Some(rebound::FRESH),
            Cause::Retry(_) => Some(rebound::RETRY),
        };
        if let Some(why) = rebound {
            self.report_rebound(slot, flags, why, &text);
        } else if !is_tls {
            self.report(event::CONNECTED | flags << 8, self.lane_ref(slot), 0, text.as_bytes());
        }
        if !gated {
            self.bind_pending(slot, id);
        }
        self.spawn_task(id);
    }

    /// Tells JavaScript that another connection is under the lane.
    pub(super) fn report_rebound(&mut self, slot: u32, flags: i32, why: i32, text: &str) {
        let lost = self.lane(slot).and_then(|lane| lane.lost.take()).map_or(0, |reason| reason as i32);
        self.report(event::REBOUND | flags << 8, self.lane_ref(slot), why | lost << 8, text.as_bytes());
    }

    /// Tells JavaScript about the TLS connection that comes under the lane.
    pub(super) fn report_secured(&mut self, slot: u32, id: ConnectionId, flags: i32) {
        let secured = self.connections.get(id).and_then(|connection| connection.secured.clone());
        if let Some(secured) = secured {
            self.report(event::SECURED | flags << 8, self.lane_ref(slot), 0, &secured.report());
        }
    }

    /// A connection that must not come under the lane. Of a lane that has had
    /// one, the request meets the loss that led to it.
    pub(super) fn connection_refused(&mut self, slot: u32, cause: Cause) {
        let Some(lane) = self.lane(slot) else { return };
        let destination = lane.destination.clone();
        self.sessions.forget(&destination);
        self.set_state(slot, State::Failed);
        match cause {
            Cause::First => {}
            Cause::Fresh => self.report_to(slot, LossReport::End),
            Cause::Retry(report) => self.report_to(slot, report),
        }
    }

    /// What was asked for before there was a connection happens now. The
    /// connection's task writes what is queued, at its first turn.
    pub(super) fn bind_pending(&mut self, slot: u32, id: ConnectionId) {
        let Some(lane) = self.lanes.get_mut(slot as usize).and_then(Option::as_mut) else { return };
        let Some(connection) = self.connections.get_mut(id) else { return };
        connection.out.append(&mut lane.pending);
        if lane.fin_wanted {
            connection.fin = Fin::Wanted;
        }
        connection.wake();
        if let Some(limit) = lane.park_wanted.take() {
            self.park(slot, limit, 0);
        }
    }

    fn connect_failed(&mut self, slot: u32, cause: Cause, error: &ConnectError) {
        debug!(lane = slot, ?error, "not connected");
        if let Some(lane) = self.lane(slot) {
            add(&lane.counts.not_opened);
        }
        if let ConnectError::Handshake(error) = error {
            self.handshake_failed(slot, cause, error);
            return;
        }
        if let (Cause::First | Cause::Fresh, ConnectError::Panicked) = (cause, error) {
            self.fail_lane(slot);
            return;
        }
        self.set_state(slot, State::Failed);
        let lane = self.lane_ref(slot);
        match (cause, error) {
            // What happened to the request is the loss; that another connection
            // could not be had either does not change it.
            (Cause::Retry(report), _) => self.report_to(slot, report),
            (_, ConnectError::Lookup(errno)) => {
                self.report(event::CONNECT_FAILED, lane, *errno, b"getaddrinfo");
            }
            (_, ConnectError::Attempts { failures, aggregate }) => {
                let rows: Vec<String> = failures.iter().map(failure_text).collect();
                let flags = if *aggregate { event_flag::AGGREGATE } else { 0 };
                self.report(event::CONNECT_FAILED | flags << 8, lane, 0, rows.join("\n").as_bytes());
            }
            // They have gone other ways.
            (_, ConnectError::Handshake(_) | ConnectError::NoResolver | ConnectError::Panicked) => {}
        }
    }

    fn handshake_failed(&mut self, slot: u32, cause: Cause, error: &HandshakeError) {
        if !matches!(cause, Cause::First) && matches!(error, HandshakeError::Refused) {
            self.connection_refused(slot, cause);
            return;
        }
        self.connection_refused(slot, Cause::First);
        let lane = self.lane_ref(slot);
        match (cause, error) {
            (Cause::Retry(report), _) => self.report_to(slot, report),
            (_, HandshakeError::Io(error)) => {
                self.report(event::HANDSHAKE_FAILED, lane, uv_errno(error), &[])
            }
            (_, HandshakeError::Ended) => self.report(event::HANDSHAKE_FAILED, lane, 0, &[]),
            (_, HandshakeError::Refused) => {
                self.set_state(slot, State::Refused);
                self.report(event::TLS_REFUSED, lane, 0, &[]);
            }
        }
    }

    /// Node's own TLS will send it. JavaScript has stopped writing to Rust.
    pub(super) fn hand_back(&mut self, slot: u32) {
        let Some(lane) = self.lane(slot) else { return };
        let mut pending = std::mem::take(&mut lane.pending);
        lane.replay.forget();
        // Nothing is lent to a lane over TLS.
        while let Some(Piece::Bytes(bytes)) = pending.front() {
            let count = bytes.len();
            let lane = self.lane_ref(slot);
            self.batch.push(event::UNSENT, lane, 0, bytes);
            pending.advance(count);
        }
        self.set_state(slot, State::Failed);
        self.report(event::HANDED_BACK, self.lane_ref(slot), 0, &[]);
    }
}
