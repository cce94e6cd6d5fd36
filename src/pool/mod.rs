//! The pool of one JavaScript environment: its lanes, its connections, and
//! which lane has which connection.
//!
//! All of it is one value that only the runtime's thread touches. `requests`
//! applies what JavaScript asks for (how a lane has a connection is in `leasing`,
//! what goes out on it in `writing`), the tasks of `connections` what the network
//! does: what has come goes by `responses`, what has ended by `losses`. All of
//! them leave reports in a batch that goes to JavaScript at the end of the turn.

mod answers;
mod ask;
mod blocked;
mod clock;
mod connecting;
mod connection;
mod connections;
mod deadlines;
mod facts;
mod faults;
mod histogram;
mod idle;
mod idle_limit;
mod idleness;
mod lane;
mod learned;
mod leasing;
mod lingering;
mod liveness;
mod losses;
mod out_queue;
mod passing_on;
mod quiet;
mod read_window;
mod recent;
mod requests;
mod responses;
mod routes;
mod status;
#[cfg(test)]
mod steady_state;
#[cfg(test)]
mod test_pool;
mod waiting;
mod watch;
mod writing;

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::future::poll_fn;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Poll, Waker};

use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::Instant;

pub use ask::{Ask, Question};
pub use lane::Limits;
pub use requests::{Cold, Export, Open};
pub use routes::Route;

use crate::binding::batch::Batch;
use crate::binding::link::Link;
use crate::binding::records::{LaneRef, event};
use crate::connect::SharedDestination;
use crate::error::CloseReason;
use crate::exchange::Spans;
use crate::tls::SessionStores;
use answers::Answers;
use blocked::Finished;
use connection::{Connection, ConnectionId, Connections};
use deadlines::Deadlines;
use idle::IdleSet;
use lane::{Lane, State};
use learned::Learned;
use liveness::ProbeLookup;
use quiet::QuietAsked;
use read_window::Buffered;
use routes::Routes;
use status::Status;
use waiting::Waiting;

pub struct Pool {
    me: Weak<RefCell<Pool>>,
    link: Arc<Link>,
    lanes: Vec<Option<Lane>>,
    connections: Connections,
    idle: IdleSet,
    learned: Learned,
    /// By agent, for as long as it has lanes.
    buffered: HashMap<u32, Weak<Buffered>>,
    status: Status,
    answers: Answers,
    /// Connections with bytes on their way, and what wakes the task that looks at them.
    watched: Vec<ConnectionId>,
    watch_begins: Rc<Notify>,
    /// Destinations of suspects: when a probe has last connected, and to which one is on its way.
    heard_by_probe: HashMap<SharedDestination, Instant>,
    probing: HashSet<SharedDestination>,
    /// By serial: probes for which JavaScript resolves the name.
    probe_lookups: HashMap<u32, ProbeLookup>,
    sessions: SessionStores,
    routes: Routes,
    deadlines: Deadlines,
    waiting: Waiting,
    quiet_asked: Vec<QuietAsked>,
    finished: Finished,
    /// The number of the batch that is being gathered; the first is 1.
    delivery: u64,
    /// Connections that are written to when the rows of the tick are applied.
    early: Vec<ConnectionId>,
    /// Of the body that was read last.
    spans: Spans,
    batch: Batch,
    flush_waker: Option<Waker>,
    flush_due: bool,
    /// Names connects, so that an answer that is late can be told.
    serial: u32,
    tasks: Vec<AbortHandle>,
}

impl Pool {
    /// Makes the pool and the tasks that serve it.
    pub fn start(link: Arc<Link>) -> Rc<RefCell<Self>> {
        let pool = Rc::new_cyclic(|me| {
            RefCell::new(Self {
                me: Weak::clone(me),
                link,
                lanes: Vec::new(),
                connections: Connections::default(),
                idle: IdleSet::default(),
                learned: Learned::default(),
                buffered: HashMap::new(),
                status: Status::default(),
                answers: Answers::default(),
                watched: Vec::new(),
                watch_begins: Rc::new(Notify::new()),
                heard_by_probe: HashMap::new(),
                probing: HashSet::new(),
                probe_lookups: HashMap::new(),
                sessions: SessionStores::default(),
                routes: Routes::default(),
                deadlines: Deadlines::default(),
                waiting: Waiting::default(),
                quiet_asked: Vec::new(),
                finished: Finished::default(),
                delivery: 1,
                early: Vec::new(),
                spans: Spans::default(),
                batch: Batch::new(),
                flush_waker: None,
                flush_due: false,
                serial: 0,
                tasks: Vec::new(),
            })
        });
        let flusher = tokio::task::spawn_local(Self::flusher(Rc::clone(&pool)));
        let watch = tokio::task::spawn_local(Self::deadline_watch(Rc::clone(&pool)));
        let liveness = tokio::task::spawn_local(Self::liveness_watch(Rc::clone(&pool)));
        let blocked = tokio::task::spawn_local(Self::blocked_watch(Rc::clone(&pool)));
        pool.borrow_mut().tasks = vec![
            flusher.abort_handle(),
            watch.abort_handle(),
            liveness.abort_handle(),
            blocked.abort_handle(),
        ];
        pool
    }

    /// The environment is gone: everything ends at once.
    pub fn end(&mut self) {
        for slot in 0..self.lanes.len() as u32 {
            self.close_lane(slot, false, CloseReason::AgentDestroyed);
        }
        for task in self.tasks.drain(..) {
            task.abort();
        }
    }

    /// Hands the batch over at the end of the turn. The waker puts it behind
    /// all tasks that are ready now, so that what they report goes along.
    async fn flusher(pool: Rc<RefCell<Self>>) {
        poll_fn::<(), _>(|cx| {
            Self::attempt_or_break(&pool, |pool| {
                pool.flush_waker = Some(cx.waker().clone());
                pool.flush();
            });
            crate::runtime::look();
            Poll::Pending
        })
        .await;
    }

    async fn deadline_watch(pool: Rc<RefCell<Self>>) {
        poll_fn::<(), _>(|cx| {
            let looked = Self::attempt_or_break(&pool, |pool| {
                while let Poll::Ready(id) = pool.deadlines.poll_expired(cx) {
                    pool.deadline_fired(id);
                }
            });
            if looked.is_none() {
                cx.waker().wake_by_ref();
            }
            Poll::Pending
        })
        .await;
    }

    fn flush(&mut self) {
        self.flush_due = false;
        self.link.loans.take_returned(|number| {
            let nobody = LaneRef { slot: u32::MAX, epoch: 0 };
            self.batch.push(event::RETURNED, nobody, number.cast_signed(), &[]);
        });
        if !self.batch.is_empty() {
            self.link.deliver(&mut self.batch, self.delivery);
            self.delivery += 1;
            self.batch.clear();
        }
    }

    fn report(&mut self, head: i32, lane: LaneRef, arg: i32, text: &[u8]) {
        self.batch.push(head, lane, arg, text);
        self.flush_soon();
    }

    pub fn flush_soon(&mut self) {
        if !self.flush_due {
            self.flush_due = true;
            if let Some(waker) = &self.flush_waker {
                waker.wake_by_ref();
            }
        }
    }

    /// What the connections of an agent share.
    fn buffered(&mut self, agent: u32, limit: u64) -> Rc<Buffered> {
        let known = self.buffered.get(&agent).and_then(Weak::upgrade);
        let buffered = known.unwrap_or_else(|| {
            self.buffered.retain(|_, buffered| buffered.strong_count() > 0);
            let buffered = Rc::new(Buffered::default());
            self.buffered.insert(agent, Rc::downgrade(&buffered));
            buffered
        });
        buffered.set_limit(limit);
        buffered
    }

    fn lane(&mut self, slot: u32) -> Option<&mut Lane> {
        self.lanes.get_mut(slot as usize)?.as_mut()
    }

    fn put_lane(&mut self, slot: u32, lane: Lane) {
        let at = slot as usize;
        if self.lanes.len() <= at {
            self.lanes.resize_with(at + 1, || None);
        }
        self.lanes[at] = Some(lane);
    }

    fn lane_ref(&self, slot: u32) -> LaneRef {
        let lane = self.lanes.get(slot as usize).and_then(Option::as_ref);
        LaneRef { slot, epoch: lane.map_or(0, |lane| lane.epoch) }
    }

    pub(super) fn set_state(&mut self, slot: u32, state: State) {
        if let Some(lane) = self.lane(slot) {
            lane.state = state;
        }
    }
}
