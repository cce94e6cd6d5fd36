//! What JavaScript asks and waits for. The runtime never waits for anything
//! but its sockets, so an answer is there within microseconds; who asks still
//! bounds its patience.

use std::cell::RefCell;
use std::rc::Rc;

use tokio::time::Instant;

use super::Pool;
use super::lane::State;
use super::out_queue::OutQueue;
use crate::binding::records::LaneRef;
use crate::reply::Reply;

pub struct Ask {
    pub question: Question,
    pub reply: Reply<String>,
}

pub enum Question {
    /// The facts of a lane's connection, for a request that JavaScript is about to end. To ask is a part of that end:
    /// from the answer on nothing leaves of the request, nor of one with its epoch.
    Facts,
    /// Takes a request that waits back, if it has not been sent: the answer is nothing then, and else
    /// its facts.
    Withdraw,
    /// The status of an agent; the lane of the question means nothing.
    Stats { agent: u32 },
    /// For how many ms nothing has gone either way on a lane's connection.
    /// What has come is in the batch that JavaScript can take by then.
    Quiet,
}

impl Pool {
    pub(super) fn answer(&mut self, slot: u32, epoch: u32, ask: Ask) {
        // An epoch that has passed means another request, of which nobody asks.
        let lane = self.lane(slot).filter(|lane| lane.epoch == epoch);
        let id = lane.and_then(|lane| lane.connection());
        match ask.question {
            Question::Facts => {
                // If they are not heard, nothing was held back for them either; the CLOSE does it.
                ask.reply.give(|| {
                    self.hold_back(slot, epoch);
                    let lane = self.lanes.get(slot as usize).and_then(Option::as_ref);
                    let lane = lane.filter(|lane| lane.epoch == epoch);
                    lane.and_then(|lane| self.facts_of(lane)).unwrap_or_default()
                });
            }
            // If it is not heard that the request was taken back, it stays.
            Question::Withdraw => ask.reply.give(|| self.withdraw(slot, epoch).unwrap_or_default()),
            Question::Stats { agent } => ask.reply.give(|| self.stats(agent)),
            Question::Quiet => {
                let Some(pool) = self.handle() else { return };
                tokio::task::spawn_local(Self::answer_quiet(pool, id, ask.reply));
            }
        }
    }

    /// What has not left of a request that JavaScript is about to end never does: its CLOSE may come later
    /// than the answer, which says what has left.
    fn hold_back(&mut self, slot: u32, epoch: u32) {
        let request = LaneRef { slot, epoch };
        let was_waiting = self.waiting.discard(request);
        // Rows of it that could still be taken back come later: with which it begins, on this lane or on one that opens
        // with it, or with which it writes while it connects.
        if !was_waiting && self.lane(slot).is_none_or(|lane| lane.epoch != epoch) {
            self.waiting.refuse(request);
        }
        let Some(lane) = self.lane(slot) else { return };
        lane.ended = Some(epoch);
        if lane.epoch != epoch {
            return;
        }
        lane.pending = OutQueue::default();
        if let State::Connecting { task, .. } = &lane.state {
            task.abort();
            lane.state = State::Lost;
        } else if let State::Resolving { .. } = lane.state {
            lane.state = State::Lost;
        }
        let id = lane.connection();
        if let Some(connection) = id.and_then(|id| self.connections.get_mut(id)) {
            connection.out = OutQueue::default();
        }
    }

    async fn answer_quiet(
        pool: Rc<RefCell<Self>>,
        id: Option<super::connection::ConnectionId>,
        reply: Reply<String>,
    ) {
        // Connections whose bytes the kernel has already have their turn first.
        for _ in 0..2 {
            tokio::task::yield_now().await;
        }
        let mut pool = pool.borrow_mut();
        pool.flush();
        let now = Instant::now();
        let quiet = id.and_then(|id| pool.connections.get(id)).map(|connection| connection.quiet(now));
        reply.give(|| quiet.map_or_else(String::new, |quiet| quiet.as_millis().to_string()));
    }
}
