//! The hot part of the crossing, in raw N-API: `submit`, which JavaScript
//! calls once per tick, and the callback that hands a batch to JavaScript.
//!
//! Both sides work on four typed arrays that JavaScript made once: rows and
//! bytes out, rows and bytes in. They are touched on the JavaScript thread
//! only, and only inside these two functions.

use std::cell::{Cell, RefCell};
use std::ffi::c_void;
use std::ptr;
use std::slice;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use napi::bindgen_prelude::{Buffer, Function, Object};
use napi::{Env, JsValue, Result, check_status, sys};
use napi_derive::napi;

use super::blob::Blob;
use super::link::Link;
use super::loans::Lent;
use super::records::{Batch, EVENT_WIDTH, LaneRef, OP_WIDTH, Submission, event_flag, has_block, is_binary};
use super::route::{OpenOptions, RouteOptions, addresses};
use super::secure::TlsContext;
use super::waker::{Sleeper, Waker, waker_of};
use crate::block::{BLOCK_SIZE, Block};
use crate::pool::{Ask, Cold, Export, Question};
use crate::runtime;

/// Larger pieces get a buffer of their own, smaller ones go through the shared one.
const INLINE_MAX: usize = 4096;

/// What the JavaScript thread of one environment needs for both calls.
struct State {
    link: Arc<Link>,
    rows_out: Slab<i32>,
    bytes_out: Slab<u8>,
    rows_in: Slab<i32>,
    bytes_in: Slab<u8>,
    deliver: sys::napi_ref,
    delivery: RefCell<Delivery>,
    bell: Cell<Bell>,
    /// The large writes of the submission that is being made; empty between two.
    blobs: RefCell<Vec<Blob>>,
    /// A batch is being handled; another one then waits.
    delivering: Cell<bool>,
}

/// When the runtime is woken for a submission.
#[derive(Clone, Copy)]
enum Bell {
    /// At once.
    Free,
    /// In a batch, or a tick that submits many times: once per interval, if the runtime looks by itself
    /// meanwhile. `since`: the last time, or when this began; `due`: it has not been woken for all.
    Hushed { since: Instant, due: bool },
}

impl Bell {
    /// Notes a submission, and says whether to wake it.
    fn strike(&mut self) -> bool {
        let Self::Hushed { since, due } = self else { return true };
        let now = Instant::now();
        *due = runtime::is_patrolling() && now - *since < runtime::WAKE_INTERVAL;
        if !*due {
            *since = now;
        }
        !*due
    }
}

/// The batch that is being handed over.
struct Delivery {
    /// Swapped with the link's, so that neither side allocates in steady state.
    batch: Batch,
    /// The first row that has not been put into the in arrays, and its bytes.
    row: usize,
    offset: usize,
    /// JavaScript has left the rest of what stands in the in arrays for a later turn of its loop.
    paused: bool,
}

impl Delivery {
    const fn new() -> Self {
        Self { batch: Batch::new(), row: 0, offset: 0, paused: false }
    }

    fn has_more(&self) -> bool {
        self.row < self.batch.rows.len()
    }

    fn clear(&mut self) {
        self.batch.clear();
        (self.row, self.offset) = (0, 0);
    }
}

/// How a call of `deliver` has ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Done,
    Paused,
    /// JavaScript can no longer run.
    Gone,
}

/// In the place of a number of rows: `deliver` goes on with those that it has.
const REST: i32 = -1;

/// The memory of a typed array that the environment keeps alive.
#[derive(Clone, Copy)]
struct Slab<T> {
    data: *mut T,
    len: usize,
}

/// One environment's half of the crossing.
#[napi]
pub struct Crossing {
    link: Arc<Link>,
    state: *const State,
    waker: Waker,
}

#[napi]
impl Crossing {
    /// `rowsOut`, `bytesOut`: what `submit` reads. `rowsIn`, `bytesIn`: what
    /// `deliver(count, buffers, begins)` finds filled. `deliver(-1)` goes on after
    /// a handler threw, and with what it has left for a later turn of its loop,
    /// which it says by returning true. `begins`: this is the first call of a turn.
    #[napi(constructor)]
    pub fn new(
        env: Env,
        rows_out: Object<'_>,
        bytes_out: Object<'_>,
        rows_in: Object<'_>,
        bytes_in: Object<'_>,
        deliver: Function<'_>,
    ) -> Result<Self> {
        let raw = env.raw();
        let link = Arc::new(Link::new());
        let mut reference = ptr::null_mut();
        // SAFETY: env and the function are valid during this call. The environment deletes the reference.
        check_status!(unsafe { sys::napi_create_reference(raw, deliver.raw(), 1, &raw mut reference) })?;
        let state = Box::into_raw(Box::new(State {
            link: Arc::clone(&link),
            rows_out: Slab::of(raw, rows_out.raw())?,
            bytes_out: Slab::of(raw, bytes_out.raw())?,
            rows_in: Slab::of(raw, rows_in.raw())?,
            bytes_in: Slab::of(raw, bytes_in.raw())?,
            deliver: reference,
            delivery: RefCell::new(Delivery::new()),
            bell: Cell::new(Bell::Free),
            blobs: RefCell::new(Vec::new()),
            delivering: Cell::new(false),
        }));
        // SAFETY: the state lives until `end`.
        let waker = unsafe { waker_of(raw, Sleeper { context: state.cast(), run: on_wake, end }) }?;
        link.set_waker(waker.share());
        runtime::attach(&link)
            .map_err(|error| napi::Error::from_reason(format!("the thread of offloop: {error}")))?;
        Ok(Self { link, state, waker })
    }

    /// The function `submit(rows, bytes, blobs?, settled?)`: sends what stands in the out arrays.
    #[napi]
    pub fn submit_function<'env>(&self, env: &'env Env) -> Result<Function<'env, (), ()>> {
        let name = c"submit";
        let mut function = ptr::null_mut();
        // SAFETY: env is valid; state lives until the environment's end, after which no JavaScript runs.
        unsafe {
            check_status!(sys::napi_create_function(
                env.raw(),
                name.as_ptr(),
                name.to_bytes().len() as isize,
                Some(submit),
                self.state.cast_mut().cast(),
                &raw mut function,
            ))?;
            napi::bindgen_prelude::FromNapiValue::from_napi_value(env.raw(), function)
        }
    }

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
        const PATIENCE: Duration = Duration::from_secs(5);
        let (reply, answer) = mpsc::sync_channel(1);
        let context = context.map(|context| context.to_vec());
        let export = Export { length: length as usize, label: label.into_bytes(), context, reply };
        self.link.submit_question(LaneRef { slot, epoch }, Cold::Export(export));
        answer.recv_timeout(PATIENCE).ok().flatten().map(Buffer::from)
    }

    /// Answers a request to resolve a name; without addresses, refuses.
    #[napi]
    pub fn resolved(&self, slot: u32, serial: u32, list: Option<Vec<String>>) -> Result<()> {
        let addresses = list.as_deref().map(addresses).transpose()?;
        self.link.submit_cold(LaneRef { slot, epoch: 0 }, Cold::Resolved { serial, addresses });
        Ok(())
    }

    /// What follows in this tick of JavaScript's is submitted without a wake
    /// each, as within a batch.
    #[napi]
    pub fn open_tick(&self) {
        // SAFETY: called by JavaScript, so the environment and with it the state are there.
        let state = unsafe { &*self.state };
        state.hush();
        // The first is for who computes on behind it: it has to be seen now to be sent soon.
        state.bell.set(Bell::Hushed { since: Instant::now() - runtime::WAKE_INTERVAL, due: false });
    }

    /// The tick has ended.
    #[napi]
    pub fn close_tick(&self) {
        // SAFETY: as above.
        unsafe { &*self.state }.unhush();
    }

    /// The facts of a lane's connection; empty if there is none for this request, nothing without an answer.
    #[napi]
    pub fn facts(&self, slot: u32, epoch: u32) -> Option<String> {
        self.ask(LaneRef { slot, epoch }, Question::Facts)
    }

    /// Takes a request that waits back: an empty text. Or it has been sent, and the text has its facts. JavaScript
    /// must know which, so it has more patience than for what it only tells; nothing if that is at an end.
    #[napi]
    pub fn withdraw(&self, slot: u32, epoch: u32) -> Option<String> {
        const PATIENCE: Duration = Duration::from_secs(5);
        self.answer(LaneRef { slot, epoch }, Question::Withdraw, PATIENCE)
    }

    /// Takes back a request that has begun early on an idle lane, if none of its `count` bytes has left.
    #[napi]
    pub fn take_back(&self, slot: u32, epoch: u32, count: u32) -> bool {
        self.link.take_back(LaneRef { slot, epoch }, count as usize)
    }

    /// The status of an agent.
    #[napi]
    pub fn stats(&self, agent: u32) -> Option<String> {
        self.ask(LaneRef { slot: 0, epoch: 0 }, Question::Stats { agent })
    }

    /// For how many ms nothing has gone either way on a lane's connection.
    #[napi]
    pub fn quiet(&self, slot: u32, epoch: u32) -> Option<f64> {
        self.ask(LaneRef { slot, epoch }, Question::Quiet)?.parse().ok()
    }

    /// Hands over now what waits to be handed over. Not from within a batch.
    #[napi]
    pub fn drain(&self, env: Env) {
        // SAFETY: called by JavaScript, so the environment and with it the state is there.
        deliver_pending(env.raw(), unsafe { &*self.state });
    }

    /// Whether something is in flight that the process has to wait for.
    #[napi]
    pub fn set_active(&self, env: Env, active: bool) {
        // SAFETY: called by JavaScript, so the environment has not ended.
        unsafe { self.waker.hold(env.raw(), active) };
    }
}

impl State {
    /// JavaScript submits many times from here on: the runtime is woken seldom, and looks by itself.
    fn hush(&self) {
        self.link.set_hushed(true);
        self.bell.set(Bell::Hushed { since: Instant::now(), due: false });
    }

    /// Back to a wake for each submission, and one for what has had none.
    fn unhush(&self) {
        self.link.set_hushed(false);
        if let Bell::Hushed { due: true, .. } = self.bell.replace(Bell::Free) {
            runtime::wake();
        }
    }
}

impl Crossing {
    /// Asks the runtime and waits. It may be slow to get the processor, and
    /// without an answer JavaScript says what it knows itself.
    fn ask(&self, lane: LaneRef, question: Question) -> Option<String> {
        const PATIENCE: Duration = Duration::from_millis(250);
        self.answer(lane, question, PATIENCE)
    }

    fn answer(&self, lane: LaneRef, question: Question, patience: Duration) -> Option<String> {
        let (reply, answer) = mpsc::sync_channel(1);
        self.link.submit_question(lane, Cold::Ask(Ask { question, reply }));
        answer.recv_timeout(patience).ok()
    }
}

impl<T> Slab<T> {
    /// The typed array is kept alive by a reference that the environment deletes at its end.
    fn of(env: sys::napi_env, array: sys::napi_value) -> Result<Self> {
        let (mut len, mut data, mut reference) = (0, ptr::null_mut(), ptr::null_mut());
        // SAFETY: all places are valid, and N-API checks that the value is a typed array.
        unsafe {
            check_status!(sys::napi_get_typedarray_info(
                env,
                array,
                ptr::null_mut(),
                &raw mut len,
                &raw mut data,
                ptr::null_mut(),
                ptr::null_mut(),
            ))?;
            check_status!(sys::napi_create_reference(env, array, 1, &raw mut reference))?;
        }
        Ok(Self { data: data.cast(), len })
    }

    /// # Safety
    /// On the JavaScript thread, while JavaScript does not run.
    unsafe fn get(&self, len: usize) -> Option<&[T]> {
        // SAFETY: the array is alive and of this length; the caller keeps JavaScript from writing to it.
        (len <= self.len).then(|| unsafe { slice::from_raw_parts(self.data, len) })
    }

    /// # Safety
    /// As [`Slab::get`], and no other slice of this slab is in use.
    #[allow(clippy::mut_from_ref)]
    unsafe fn get_mut(&self) -> &mut [T] {
        // SAFETY: as above.
        unsafe { slice::from_raw_parts_mut(self.data, self.len) }
    }
}

/// The environment's end: from here on no thread calls into it.
///
/// # Safety
/// The context is the state of the environment, and this is the last call for it.
unsafe fn end(context: *mut c_void) {
    // SAFETY: it is the state of this environment, and this is called once, after all that use it.
    let state = unsafe { Box::from_raw(context.cast::<State>()) };
    state.link.sever();
    runtime::detach(&state.link);
}

/// `submit(rows, bytes, blobs?, settled?)`. With the last the tick may take the rows back, until a call says that
/// it has ended: one without it, or one in which it is true.
unsafe extern "C" fn submit(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let mut args = [ptr::null_mut(); 4];
    let (mut argc, mut data) = (args.len(), ptr::null_mut());
    // SAFETY: the places are valid for four arguments, and data is the state given at creation.
    let (state, rows, bytes) = unsafe {
        sys::napi_get_cb_info(env, info, &raw mut argc, args.as_mut_ptr(), ptr::null_mut(), &raw mut data);
        let (mut rows, mut bytes) = (0, 0);
        sys::napi_get_value_uint32(env, args[0], &raw mut rows);
        sys::napi_get_value_uint32(env, args[1], &raw mut bytes);
        (&*data.cast::<State>(), rows as usize, bytes as usize)
    };
    let early = argc == args.len();
    let mut settled = false;
    if early {
        // SAFETY: as above; N-API checks that it is a boolean.
        unsafe { sys::napi_get_value_bool(env, args[3], &raw mut settled) };
    }
    // Before anything is locked: it may be much that is copied.
    let mut large = state.blobs.borrow_mut();
    if argc == 3 {
        large.extend(blobs(env, args[2], &state.link));
    }
    // SAFETY: on the JavaScript thread, which is in here.
    let (rows, bytes) = unsafe { (state.rows_out.get(rows * OP_WIDTH), state.bytes_out.get(bytes)) };
    if let (Some(rows), Some(bytes)) = (rows, bytes) {
        let add = |submission: &mut Submission<Cold, Blob>| {
            submission.rows.extend_from_slice(rows);
            submission.bytes.extend_from_slice(bytes);
            submission.blobs.append(&mut large);
        };
        let news = if early {
            state.link.submit_early(settled, add);
            true
        } else {
            state.link.submit(add)
        };
        // Behind the submission: a runtime that no longer looks by itself then has seen it.
        let mut bell = state.bell.get();
        if news && bell.strike() {
            runtime::wake();
        }
        state.bell.set(bell);
    }
    ptr::null_mut()
}

/// Large writes come beside the rows: a view and a number for each. One without a number (-1) may be changed or
/// detached by JavaScript as soon as this call is over, so it is copied here; it is no longer than a block. The others
/// JavaScript keeps until they are returned by their number.
fn blobs(env: sys::napi_env, list: sys::napi_value, link: &Link) -> impl Iterator<Item = Blob> {
    let mut count = 0;
    // SAFETY: N-API checks that the value is an array.
    if unsafe { sys::napi_get_array_length(env, list, &raw mut count) } != sys::Status::napi_ok {
        count = 0;
    }
    (0..count / 2).map(move |index| {
        let (mut view, mut value, mut number) = (ptr::null_mut(), ptr::null_mut(), -1);
        let (mut data, mut len) = (ptr::null_mut(), 0);
        // SAFETY: the places are valid; N-API checks that the values are of these types.
        unsafe {
            sys::napi_get_element(env, list, 2 * index, &raw mut view);
            sys::napi_get_element(env, list, 2 * index + 1, &raw mut value);
            sys::napi_get_value_int32(env, value, &raw mut number);
            sys::napi_get_buffer_info(env, view, &raw mut data, &raw mut len);
        }
        if let Ok(number) = u32::try_from(number) {
            return Blob::Lent(Lent::new(data.cast(), len, number, Arc::clone(&link.loans)));
        }
        if len == 0 {
            return Blob::Copied(Block::new());
        }
        // SAFETY: the view has so many bytes, and they are read before JavaScript runs again.
        let bytes = unsafe { slice::from_raw_parts(data.cast::<u8>(), len.min(BLOCK_SIZE)) };
        Blob::Copied(Block::of(bytes))
    })
}

/// Hands all that has come to JavaScript, on its thread.
///
/// # Safety
/// The context is the state of the environment, which has not ended.
unsafe fn on_wake(env: sys::napi_env, context: *mut c_void) {
    // SAFETY: the environment has not ended, so its state is there.
    deliver_pending(env, unsafe { &*context.cast::<State>() });
}

fn deliver_pending(env: sys::napi_env, state: &State) {
    // A handler of a batch would be served the rest of it out of turn.
    if state.delivering.replace(true) {
        return;
    }
    let mut delivery = state.delivery.borrow_mut();
    state.hush();
    let mut deliver = ptr::null_mut();
    // SAFETY: the reference was made in this environment.
    unsafe { sys::napi_get_reference_value(env, state.deliver, &raw mut deliver) };
    let mut begins = true;
    let mut outcome = Outcome::Done;
    if delivery.paused {
        outcome = call(env, deliver, REST, ptr::null_mut(), begins);
        begins = false;
    }
    let mut taken = false;
    while outcome == Outcome::Done {
        if !delivery.has_more() {
            delivery.clear();
            // What comes from here on has a wake of its own.
            if taken {
                break;
            }
            taken = true;
            state.link.take_batch(&mut delivery.batch);
            continue;
        }
        let (rows, buffers) = fill(env, state, &mut delivery);
        outcome = call(env, deliver, rows as i32, buffers, begins);
        begins = false;
    }
    delivery.paused = outcome == Outcome::Paused;
    if outcome == Outcome::Gone {
        delivery.clear();
    }
    drop(delivery);
    state.unhush();
    state.delivering.set(false);
}

/// Fills the in arrays with what is next. How many rows went in, and
/// the array of buffers for what is too large.
fn fill(env: sys::napi_env, state: &State, delivery: &mut Delivery) -> (usize, sys::napi_value) {
    // SAFETY: on the JavaScript thread, which waits for this function; each is taken once.
    let (rows_in, bytes_in) = unsafe { (state.rows_in.get_mut(), state.bytes_in.get_mut()) };
    let Delivery { batch: Batch { rows: reports, bytes, blocks }, row: from, offset, .. } = delivery;
    let (mut used, mut rows) = (0, 0);
    let (mut buffers, mut count): (sys::napi_value, u32) = (ptr::null_mut(), 0);
    for row in reports[*from..].chunks_exact(EVENT_WIDTH) {
        let at = rows * EVENT_WIDTH;
        let len = row[4] as usize;
        let large = len > INLINE_MAX && is_binary(row[0]);
        if at + EVENT_WIDTH > rows_in.len() || (!large && used + len > bytes_in.len()) {
            break;
        }
        rows_in[at..at + EVENT_WIDTH].copy_from_slice(row);
        let bytes = &bytes[*offset..*offset + len];
        let own = if large {
            rows_in[at] |= event_flag::OWN_BUFFER << 8;
            rows_in[at + 4] = 0;
            Some(copied_buffer(env, bytes))
        } else {
            bytes_in[used..used + len].copy_from_slice(bytes);
            used += len;
            has_block(row[0]).then(|| blocks.pop_front()).flatten().map(|block| lent_buffer(env, block))
        };
        if let Some(buffer) = own {
            // SAFETY: the place is valid, the values are of this callback's handle scope.
            unsafe {
                if buffers.is_null() {
                    sys::napi_create_array(env, &raw mut buffers);
                }
                sys::napi_set_element(env, buffers, count, buffer);
            }
            count += 1;
        }
        *offset += len;
        rows += 1;
    }
    *from += rows * EVENT_WIDTH;
    (rows, buffers)
}

fn copied_buffer(env: sys::napi_env, bytes: &[u8]) -> sys::napi_value {
    let mut buffer = ptr::null_mut();
    // SAFETY: the place is valid and the bytes are copied at once.
    unsafe {
        sys::napi_create_buffer_copy(
            env,
            bytes.len(),
            bytes.as_ptr().cast(),
            ptr::null_mut(),
            &raw mut buffer,
        );
    }
    buffer
}

/// A buffer over a block's memory, which comes back when JavaScript has forgotten the buffer. V8 counts it among its
/// external memory by itself. Where a buffer must not have such memory (Electron), a copy.
fn lent_buffer(env: sys::napi_env, block: Block) -> sys::napi_value {
    let (mut buffer, len) = (ptr::null_mut(), block.len());
    let memory = block.into_raw();
    // SAFETY: the memory is the buffer's alone until take_back.
    let status = unsafe {
        sys::napi_create_external_buffer(
            env,
            len,
            memory.cast(),
            Some(take_back),
            ptr::null_mut(),
            &raw mut buffer,
        )
    };
    if status == sys::Status::napi_ok {
        return buffer;
    }
    // SAFETY: it was not taken.
    let block = unsafe { Block::from_raw(memory, len) };
    copied_buffer(env, &block)
}

unsafe extern "C" fn take_back(_env: sys::napi_env, memory: *mut c_void, _hint: *mut c_void) {
    // SAFETY: lent_buffer gave it, and this is called once, when no buffer has it.
    drop(unsafe { Block::from_raw(memory.cast(), 0) });
}

/// Calls `deliver`, and again after each handler that threw: what it threw is
/// an uncaught exception of that handler, and costs the other rows nothing.
fn call(
    env: sys::napi_env,
    deliver: sys::napi_value,
    mut count: i32,
    buffers: sys::napi_value,
    mut begins: bool,
) -> Outcome {
    // Each call handles a row at least, so it comes to an end.
    loop {
        let (mut receiver, mut number, mut first) = (ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
        let (mut result, mut paused) = (ptr::null_mut(), false);
        // SAFETY: all values belong to the handle scope that N-API opened for this callback.
        let status = unsafe {
            sys::napi_get_undefined(env, &raw mut receiver);
            sys::napi_create_int32(env, count, &raw mut number);
            sys::napi_get_boolean(env, begins, &raw mut first);
            let args = [number, if buffers.is_null() { receiver } else { buffers }, first];
            sys::napi_call_function(env, receiver, deliver, args.len(), args.as_ptr(), &raw mut result)
        };
        if status == sys::Status::napi_ok {
            // SAFETY: as above; N-API checks that it is a boolean.
            unsafe { sys::napi_get_value_bool(env, result, &raw mut paused) };
            return if paused { Outcome::Paused } else { Outcome::Done };
        }
        if status != sys::Status::napi_pending_exception {
            return Outcome::Gone;
        }
        // SAFETY: an exception is pending, and is handed to process 'uncaughtException'.
        unsafe {
            let mut exception = ptr::null_mut();
            sys::napi_get_and_clear_last_exception(env, &raw mut exception);
            if sys::napi_fatal_exception(env, exception) != sys::Status::napi_ok {
                return Outcome::Gone;
            }
        }
        (count, begins) = (REST, false);
    }
}
