//! What JavaScript asks for too rarely for a row, or must have the answer to: by calls of its own.

use std::time::Duration;

use napi::Result;
use napi::bindgen_prelude::Buffer;
use napi_derive::napi;

use super::crossing::Crossing;
use super::outbox::Closing;
use super::records::LaneRef;
use super::route::{OpenOptions, RouteOptions, addresses};
use super::secure::TlsContext;
use crate::pool::{Ask, Cold, Export, Question};
use crate::{reply, runtime};

/// How long JavaScript waits for an answer that it cannot do without: the runtime may be slow to get the processor.
const LONG_PATIENCE: Duration = Duration::from_secs(5);

#[napi]
impl Crossing {
    /// Gives a route its number, and takes another one's away; `context` comes
    /// with `route.secure`.
    #[napi]
    pub fn introduce(
        &self,
        number: u32,
        route: RouteOptions,
        context: Option<&TlsContext>,
        forgotten: Option<u32>,
    ) -> Result<()> {
        let route = Box::new(route.parse(context)?);
        self.link.submit_cold(LaneRef { slot: 0, epoch: 0 }, Cold::Introduce { number, route, forgotten });
        Ok(())
    }

    /// Opens a lane whose addresses are known; others are opened by a row.
    #[napi]
    pub fn open_to(&self, slot: u32, epoch: u32, options: OpenOptions) -> Result<()> {
        self.link.submit_cold(LaneRef { slot, epoch }, Cold::Open(Box::new(options.parse()?)));
        Ok(())
    }

    /// Answers a request to resolve a name; without addresses, refuses.
    #[napi]
    pub fn resolved(&self, slot: u32, serial: u32, list: Option<Vec<String>>) -> Result<()> {
        let addresses = list.as_deref().map(addresses).transpose()?;
        self.link.submit_cold(LaneRef { slot, epoch: 0 }, Cold::Resolved { serial, addresses });
        Ok(())
    }

    /// Keying material of a lane's TLS connection. JavaScript waits for it; the
    /// thread never waits for JavaScript, but it may be late.
    #[napi]
    pub fn export_keying_material(
        &self,
        slot: u32,
        epoch: u32,
        length: u32,
        label: String,
        context: Option<Buffer>,
    ) -> Option<Buffer> {
        let (reply, answer) = reply::pair();
        let context = context.map(|context| context.to_vec());
        let export = Export { length: length as usize, label: label.into_bytes(), context, reply };
        self.link.submit_question(LaneRef { slot, epoch }, Cold::Export(export));
        answer.wait(LONG_PATIENCE).flatten().map(Buffer::from)
    }

    /// The row of a CLOSE, in a tick that may take back what it has submitted. Whether nothing of what it ends has left.
    #[napi]
    pub fn close(&self, head: i32, slot: i32, epoch: i32, reason: i32, account: i32) -> bool {
        let closing = self.link.submit_close([head, slot, epoch, reason, account]);
        self.state.bell.strike();
        closing == Closing::TookBack
    }

    /// What was known of a request when it was closed, by the number that came with the CLOSE. Nothing: it is not there, and
    /// will not be.
    #[napi]
    pub fn account(&self, number: u32) -> Option<String> {
        /// The runtime may be slow to get the processor. Without this JavaScript says what it knows itself.
        const PATIENCE: Duration = Duration::from_millis(250);
        let accounts = &self.link.accounts;
        accounts.take(number).or_else(|| {
            runtime::wake();
            accounts.wait_for(number, PATIENCE)
        })
    }

    /// Takes a request that waits back: an empty text. Or it has been sent, and the text has its facts. JavaScript
    /// must know which, so it has more patience than for what it only tells; nothing if that is at an end: then
    /// nothing has been done, and nothing will be.
    #[napi]
    pub fn withdraw(&self, slot: u32, epoch: u32) -> Option<String> {
        self.ask(LaneRef { slot, epoch }, Question::Withdraw)
    }

    /// Takes back a request that has begun early on an idle lane, if none of its `count` bytes has left.
    #[napi]
    pub fn take_back(&self, slot: u32, epoch: u32, count: u32) -> bool {
        self.link.take_back(LaneRef { slot, epoch }, count as usize)
    }

    /// The status of an agent. Without an answer it would seem to have done nothing.
    #[napi]
    pub fn stats(&self, agent: u32) -> Option<String> {
        self.ask(LaneRef { slot: 0, epoch: 0 }, Question::Stats { agent })
    }
}

impl Crossing {
    fn ask(&self, lane: LaneRef, question: Question) -> Option<String> {
        let (reply, answer) = reply::pair();
        self.link.submit_question(lane, Cold::Ask(Ask { question, reply }));
        answer.wait(LONG_PATIENCE)
    }
}
