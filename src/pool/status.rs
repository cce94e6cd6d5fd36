//! What `agent.stats()` tells: counters by agent and origin. They are counted
//! where things happen, on this thread, and read only when somebody asks.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt::Write;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use super::histogram::Histogram;
use super::lane::State;
use super::learned::Closes;
use super::recent::Recent;
use super::{Connection, Pool};
use crate::connect::Destination;
use crate::error::CloseReason;

/// Origins that are counted, besides those with connections.
const ORIGINS: usize = 1000;

/// The rules by which a request went to another connection (docs/architecture.md).
const RULES: [&str; 5] = ["R2", "R3", "R4", "R5", "R6"];

pub struct Status {
    by_origin: Recent<(u32, String), Counts>,
}

impl Default for Status {
    fn default() -> Self {
        Self { by_origin: Recent::new(ORIGINS) }
    }
}

/// The counters of one origin. Its lanes and connections hold them.
#[derive(Default)]
pub struct Counts {
    pub requests: Cell<u64>,
    pub reuses: Cell<u64>,
    /// Requests that were sent while they waited for a lane.
    pub ahead: Cell<u64>,
    pub opened: Cell<u64>,
    pub not_opened: Cell<u64>,
    /// Requests that were sent again and got an answer then.
    pub saved: Cell<u64>,
    retries: [Cell<u64>; RULES.len()],
    closes: [Cell<u64>; CloseReason::ALL.len()],
    pub connect: RefCell<Histogram>,
    pub wait: RefCell<Histogram>,
    round_trip: RefCell<Histogram>,
    learned: Rc<Closes>,
}

pub fn add(counter: &Cell<u64>) {
    counter.set(counter.get() + 1);
}

impl Status {
    pub fn of(&mut self, destination: &Destination, learned: impl FnOnce() -> Rc<Closes>) -> Rc<Counts> {
        let key = (destination.agent, destination.target.to_string());
        self.by_origin.of(key, || Counts { learned: learned(), ..Counts::default() })
    }
}

impl Counts {
    pub fn retried(&self, rule: &str) {
        if let Some(at) = RULES.iter().position(|&known| known == rule) {
            add(&self.retries[at]);
        }
    }

    pub fn closed(&self, connection: &Connection, reason: CloseReason) {
        add(&self.closes[reason as usize - 1]);
        self.round_trip.borrow_mut().record_some(connection.measured_round_trip());
    }
}

impl Pool {
    /// Rows of a name and a value; `origin` begins the next one. The names are
    /// those of `OriginStats` in index.d.ts, dots lead into objects, and
    /// histograms are five numbers.
    pub(super) fn stats(&self, agent: u32) -> String {
        let now = Instant::now();
        let mut text = String::new();
        // In one pass for all origins: JavaScript waits for this, and so do all connections.
        let mut open = self.open_now(agent);
        for ((owner, origin), counts) in self.status.by_origin.iter() {
            if *owner == agent {
                let open = open.remove(&Rc::as_ptr(counts)).unwrap_or_default();
                write_origin(&mut text, origin, counts, &open, now);
            }
        }
        text
    }

    /// By the address of the counters that they hold.
    fn open_now(&self, agent: u32) -> HashMap<*const Counts, OpenNow> {
        let mut open = HashMap::<_, OpenNow>::new();
        for connection in self.connections.iter().filter(|one| one.destination.agent == agent) {
            let open = open.entry(Rc::as_ptr(&connection.counts)).or_default();
            *if connection.parked.is_some() { &mut open.idle } else { &mut open.busy } += 1;
            open.round_trips.extend(connection.measured_round_trip());
        }
        for lane in self.lanes.iter().flatten() {
            if matches!(lane.state, State::Resolving { .. } | State::Connecting { .. }) {
                open.entry(Rc::as_ptr(&lane.counts)).or_default().connecting += 1;
            }
        }
        open
    }
}

/// What there is of an origin at the moment.
#[derive(Default)]
struct OpenNow {
    busy: u64,
    idle: u64,
    connecting: u64,
    round_trips: Vec<Duration>,
}

fn write_origin(text: &mut String, origin: &str, counts: &Counts, open: &OpenNow, now: Instant) {
    let mut round_trip = counts.round_trip.borrow().clone();
    for &measured in &open.round_trips {
        round_trip.record(measured);
    }
    let mut row = |name: &str, value: &dyn std::fmt::Display| {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{name}\t{value}");
    };
    row("origin", &origin);
    for (name, value) in [
        ("connections.busy", open.busy),
        ("connections.idle", open.idle),
        ("connections.connecting", open.connecting),
        ("opened", counts.opened.get()),
        ("notOpened", counts.not_opened.get()),
        ("requests", counts.requests.get()),
        ("reuses", counts.reuses.get()),
        ("ahead", counts.ahead.get()),
        ("saved", counts.saved.get()),
    ] {
        row(name, &value);
    }
    for (rule, count) in RULES.iter().zip(&counts.retries) {
        row(&format!("retries.{rule}"), &count.get());
    }
    for reason in CloseReason::ALL {
        let count = counts.closes[reason as usize - 1].get();
        if count > 0 {
            row(&format!("closes.{}", reason.name()), &count);
        }
    }
    if let Some(limit) = counts.learned.limit(now) {
        row("learnedLimit", &limit.as_millis());
    }
    row("connect", &counts.connect.borrow());
    row("wait", &counts.wait.borrow());
    row("roundTrip", &round_trip);
}

impl Connection {
    fn measured_round_trip(&self) -> Option<Duration> {
        Some(self.stream.tcp_info()?.round_trip?.smoothed)
    }
}
