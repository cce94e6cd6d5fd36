//! What JavaScript asks and waits for. The runtime never waits for anything
//! but its sockets, so an answer is there within microseconds; who asks still
//! bounds its patience.

use super::Pool;
use crate::reply::Reply;

pub struct Ask {
    pub question: Question,
    pub reply: Reply<String>,
}

pub enum Question {
    /// Takes a request that waits back, if it has not been sent: the answer is nothing then, and else
    /// its facts.
    Withdraw,
    /// The status of an agent; the lane of the question means nothing.
    Stats { agent: u32 },
}

impl Pool {
    pub(super) fn answer(&mut self, slot: u32, epoch: u32, ask: Ask) {
        match ask.question {
            // If it is not heard that the request was taken back, it stays.
            Question::Withdraw => ask.reply.give(|| self.withdraw(slot, epoch).unwrap_or_default()),
            Question::Stats { agent } => ask.reply.give(|| self.stats(agent)),
        }
    }
}
