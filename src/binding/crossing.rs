//! One environment's half of the crossing: what both threads share of it, and the four typed arrays that JavaScript
//! made once: rows and bytes out, rows and bytes in. They are touched on the JavaScript thread only, and only by
//! [`submit`] and [`deliver_pending`].
//!
//! A process may load the package's JavaScript many times (test runners do, for each file of tests), so what a program
//! has let go of must be garbage. Of all that is JavaScript's there is one reference, to `deliver`, and that is a weak
//! one unless something is under way of which it may have to hear.

use std::cell::{Cell, RefCell};
use std::ffi::c_void;
use std::ptr;
use std::rc::Rc;
use std::sync::Arc;

use napi::bindgen_prelude::{Function, Object, ObjectFinalize};
use napi::{Env, JsValue, Result, check_status, sys};
use napi_derive::napi;

use super::bell::Bell;
use super::blob::Blob;
use super::deliver::{Delivery, deliver_pending, on_wake};
use super::link::Link;
use super::shared_array::SharedArray;
use super::submit::submit;
use super::waker::{Sleeper, Waker, waker_of};
use crate::{debts, runtime};

/// What the JavaScript thread of one environment needs for both calls.
pub struct State {
    pub link: Arc<Link>,
    pub rows_out: SharedArray<i32>,
    pub bytes_out: SharedArray<u8>,
    pub rows_in: SharedArray<i32>,
    pub bytes_in: SharedArray<u8>,
    /// Weak unless [`Crossing::set_expecting`] has said otherwise.
    pub deliver: sys::napi_ref,
    pub delivery: RefCell<Delivery>,
    pub bell: Bell,
    /// The large writes of the submission that is being made; empty between two.
    pub blobs: RefCell<Vec<Blob>>,
    /// It ends last of all, and the process with it. JavaScript may be given the memory of blocks (deliver.rs says why
    /// not elsewhere).
    pub is_main: bool,
    /// A batch is being handled.
    pub delivering: Cell<bool>,
}

/// One environment's half of the crossing.
#[napi(custom_finalize)]
pub struct Crossing {
    pub(super) link: Arc<Link>,
    pub(super) state: Rc<State>,
    waker: Waker,
    /// Whether the process waits for it.
    active: Rc<Cell<bool>>,
}

#[napi]
impl Crossing {
    /// `rowsOut`, `bytesOut`: what `submit` reads. `rowsIn`, `bytesIn`: what
    /// `deliver(count, buffers, begins)` finds filled. `deliver(-1)` goes on after
    /// a handler threw, and with what it has left for a later turn of its loop,
    /// which it says by returning true. `begins`: this is the first call of a turn. `isMain`: the environment is that
    /// of the main thread.
    #[napi(constructor)]
    pub fn new(
        env: Env,
        rows_out: Object<'_>,
        bytes_out: Object<'_>,
        rows_in: Object<'_>,
        bytes_in: Object<'_>,
        deliver: Function<'_>,
        is_main: bool,
    ) -> Result<Self> {
        let raw = env.raw();
        let link = Arc::new(Link::new());
        let active = Rc::new(Cell::new(false));
        let resource = resource(&env, &active)?;
        let mut reference = ptr::null_mut();
        // SAFETY: env and the function are valid during this call.
        check_status!(unsafe { sys::napi_create_reference(raw, deliver.raw(), 0, &raw mut reference) })?;
        let state = Rc::new(State {
            link: Arc::clone(&link),
            rows_out: SharedArray::of(raw, rows_out.raw())?,
            bytes_out: SharedArray::of(raw, bytes_out.raw())?,
            rows_in: SharedArray::of(raw, rows_in.raw())?,
            bytes_in: SharedArray::of(raw, bytes_in.raw())?,
            deliver: reference,
            delivery: RefCell::new(Delivery::new()),
            bell: Bell::new(&link),
            blobs: RefCell::new(Vec::new()),
            is_main,
            delivering: Cell::new(false),
        });
        let context = Rc::into_raw(Rc::clone(&state));
        // SAFETY: the state lives until `end` at least.
        let waker = unsafe {
            waker_of(raw, Sleeper { context: context.cast_mut().cast(), run: on_wake, end }, resource.raw())
        };
        let waker = waker.inspect_err(|_| {
            // SAFETY: nobody else has it.
            drop(unsafe { Rc::from_raw(context) });
        })?;
        link.set_waker(waker.share());
        runtime::attach(&link);
        Ok(Self { link, state, waker, active })
    }

    /// The function `submit(rows, bytes, blobs?, settled?)`: sends what stands in the out arrays.
    #[napi]
    pub fn submit_function<'env>(&self, env: &'env Env) -> Result<Function<'env, (), ()>> {
        let name = c"submit";
        let mut function = ptr::null_mut();
        let state = Rc::into_raw(Rc::clone(&self.state)).cast_mut().cast();
        // SAFETY: env is valid; the state is the function's until forget.
        unsafe {
            check_status!(sys::napi_create_function(
                env.raw(),
                name.as_ptr(),
                name.to_bytes().len() as isize,
                Some(submit),
                state,
                &raw mut function,
            ))?;
            check_status!(sys::napi_add_finalizer(
                env.raw(),
                function,
                state,
                Some(forget),
                ptr::null_mut(),
                ptr::null_mut(),
            ))?;
            napi::bindgen_prelude::FromNapiValue::from_napi_value(env.raw(), function)
        }
    }

    /// What follows in this tick of JavaScript's is submitted without a wake
    /// each, as within a batch.
    #[napi]
    pub fn open_tick(&self) {
        self.state.bell.hush_behind_first();
    }

    /// The tick has ended.
    #[napi]
    pub fn close_tick(&self) {
        self.state.bell.unhush();
    }

    /// Hands over now what waits to be handed over. Not from within a batch: a handler would be served the rest of it
    /// out of turn.
    #[napi]
    pub fn drain(&self, env: Env) {
        if !self.state.delivering.get() {
            deliver_pending(env.raw(), &self.state);
        }
    }

    /// Goes on with what `deliver` has left for this turn of the loop.
    #[napi]
    pub fn resume(&self, env: Env) {
        deliver_pending(env.raw(), &self.state);
    }

    /// Takes back what was lent by this number: from here on nothing of it is sent.
    #[napi]
    pub fn revoke(&self, number: u32) {
        self.link.loans.revoke(number);
    }

    /// Whether something is in flight that the process has to wait for.
    #[napi]
    pub fn set_active(&self, env: Env, active: bool) {
        self.active.set(active);
        // SAFETY: called by JavaScript, so the environment has not ended.
        unsafe { self.waker.hold(env.raw(), active) };
    }

    /// Whether there may be something to deliver: JavaScript keeps what is to get it until then.
    #[napi]
    pub fn set_expecting(&self, env: Env, expecting: bool) {
        // SAFETY: the reference is there until `end`.
        unsafe {
            if expecting {
                sys::napi_reference_ref(env.raw(), self.state.deliver, ptr::null_mut());
            } else {
                sys::napi_reference_unref(env.raw(), self.state.deliver, ptr::null_mut());
            }
        }
    }
}

impl ObjectFinalize for Crossing {
    /// JavaScript has forgotten it. It ends as at the end of the environment, which may have come before.
    fn finalize(self, env: Env) -> Result<()> {
        if let Some(waker) = self.link.sever() {
            // SAFETY: on the thread of the environment, and it was there, so `end` has not been called.
            unsafe { waker.close(env.raw()) };
        }
        Ok(())
    }
}

/// What async hooks know the crossing by: as a handle of Node's, it says whether the process waits for it. It lives as
/// long as the waker, so it knows nothing else.
fn resource<'env>(env: &'env Env, active: &Rc<Cell<bool>>) -> Result<Object<'env>> {
    let active = Rc::clone(active);
    let mut resource = Object::new(env)?;
    resource
        .set("hasRef", env.create_function_from_closure::<(), _, _>("hasRef", move |_| Ok(active.get()))?)?;
    Ok(resource)
}

/// The environment's end, or that of its crossing: from here on no thread calls into it.
///
/// # Safety
/// The context is the waker's own share of the state, and this is the last call with it.
unsafe fn end(env: sys::napi_env, context: *mut c_void) {
    // SAFETY: it is what `new` gave to the waker.
    let state = unsafe { Rc::from_raw(context.cast::<State>().cast_const()) };
    // If not, JavaScript has forgotten it, and goes on.
    let is_environments = state.link.sever().is_some();
    runtime::detach(&state.link);
    // SAFETY: nothing is delivered any more.
    unsafe { sys::napi_delete_reference(env, state.deliver) };
    if is_environments && state.is_main {
        debts::wait_until_settled();
    }
}

/// JavaScript has forgotten the function `submit`.
unsafe extern "C" fn forget(_env: sys::napi_env, state: *mut c_void, _hint: *mut c_void) {
    // SAFETY: it is what `submit_function` gave.
    drop(unsafe { Rc::from_raw(state.cast::<State>().cast_const()) });
}
