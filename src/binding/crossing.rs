//! One environment's half of the crossing: what both threads share of it, and the four typed arrays that JavaScript
//! made once: rows and bytes out, rows and bytes in. They are touched on the JavaScript thread only, and only by
//! [`submit`] and [`deliver_pending`].

use std::cell::{Cell, RefCell};
use std::ffi::c_void;
use std::ptr;
use std::sync::Arc;

use napi::bindgen_prelude::{Function, Object};
use napi::{Env, JsValue, Result, check_status, sys};
use napi_derive::napi;

use super::bell::Bell;
use super::blob::Blob;
use super::deliver::{Delivery, deliver_pending, on_wake};
use super::link::Link;
use super::shared_array::SharedArray;
use super::submit::submit;
use super::waker::{Sleeper, Waker, waker_of};
use crate::runtime;

/// What the JavaScript thread of one environment needs for both calls.
pub struct State {
    pub link: Arc<Link>,
    pub rows_out: SharedArray<i32>,
    pub bytes_out: SharedArray<u8>,
    pub rows_in: SharedArray<i32>,
    pub bytes_in: SharedArray<u8>,
    pub deliver: sys::napi_ref,
    pub delivery: RefCell<Delivery>,
    pub bell: Bell,
    /// The large writes of the submission that is being made; empty between two.
    pub blobs: RefCell<Vec<Blob>>,
    /// Whether JavaScript may be given the memory of blocks (deliver.rs says where not).
    pub lends: bool,
    /// A batch is being handled.
    pub delivering: Cell<bool>,
}

/// One environment's half of the crossing.
#[napi]
pub struct Crossing {
    pub(super) link: Arc<Link>,
    state: *const State,
    waker: Waker,
}

#[napi]
impl Crossing {
    /// `rowsOut`, `bytesOut`: what `submit` reads. `rowsIn`, `bytesIn`: what
    /// `deliver(count, buffers, begins)` finds filled. `deliver(-1)` goes on after
    /// a handler threw, and with what it has left for a later turn of its loop,
    /// which it says by returning true. `begins`: this is the first call of a turn. `resource`: what async_hooks
    /// know all this by. `lends`: large pieces may come in memory that is not V8's.
    #[napi(constructor)]
    #[allow(clippy::too_many_arguments, reason = "it is called once, by the other half of this")]
    pub fn new(
        env: Env,
        rows_out: Object<'_>,
        bytes_out: Object<'_>,
        rows_in: Object<'_>,
        bytes_in: Object<'_>,
        deliver: Function<'_>,
        resource: Object<'_>,
        lends: bool,
    ) -> Result<Self> {
        let raw = env.raw();
        let link = Arc::new(Link::new());
        let mut reference = ptr::null_mut();
        // SAFETY: env and the function are valid during this call. The environment deletes the reference.
        check_status!(unsafe { sys::napi_create_reference(raw, deliver.raw(), 1, &raw mut reference) })?;
        let state = Box::into_raw(Box::new(State {
            link: Arc::clone(&link),
            rows_out: SharedArray::of(raw, rows_out.raw())?,
            bytes_out: SharedArray::of(raw, bytes_out.raw())?,
            rows_in: SharedArray::of(raw, rows_in.raw())?,
            bytes_in: SharedArray::of(raw, bytes_in.raw())?,
            deliver: reference,
            delivery: RefCell::new(Delivery::new()),
            bell: Bell::new(&link),
            blobs: RefCell::new(Vec::new()),
            lends,
            delivering: Cell::new(false),
        }));
        // SAFETY: the state lives until `end`.
        let waker =
            unsafe { waker_of(raw, Sleeper { context: state.cast(), run: on_wake, end }, resource.raw()) };
        let waker = waker.inspect_err(|_| {
            // SAFETY: nobody has it but this function.
            drop(unsafe { Box::from_raw(state) });
        })?;
        link.set_waker(waker.share());
        runtime::attach(&link);
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

    /// What follows in this tick of JavaScript's is submitted without a wake
    /// each, as within a batch.
    #[napi]
    pub fn open_tick(&self) {
        // SAFETY: called by JavaScript, so the environment and with it the state are there.
        let state = unsafe { &*self.state };
        state.bell.hush_behind_first();
    }

    /// The tick has ended.
    #[napi]
    pub fn close_tick(&self) {
        // SAFETY: as above.
        unsafe { &*self.state }.bell.unhush();
    }

    /// Hands over now what waits to be handed over. Not from within a batch: a handler would be served the rest of it
    /// out of turn.
    #[napi]
    pub fn drain(&self, env: Env) {
        // SAFETY: called by JavaScript, so the environment and with it the state is there.
        let state = unsafe { &*self.state };
        if !state.delivering.get() {
            deliver_pending(env.raw(), state);
        }
    }

    /// Goes on with what `deliver` has left for this turn of the loop.
    #[napi]
    pub fn resume(&self, env: Env) {
        // SAFETY: as above.
        deliver_pending(env.raw(), unsafe { &*self.state });
    }

    /// Takes back what was lent by this number: from here on nothing of it is sent.
    #[napi]
    pub fn revoke(&self, number: u32) {
        self.link.loans.revoke(number);
    }

    /// Whether something is in flight that the process has to wait for.
    #[napi]
    pub fn set_active(&self, env: Env, active: bool) {
        // SAFETY: called by JavaScript, so the environment has not ended.
        unsafe { self.waker.hold(env.raw(), active) };
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
