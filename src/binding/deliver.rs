//! How a batch is handed to JavaScript, in raw N-API: it is put into the in arrays, and `deliver` is called for as
//! much as they hold.

use std::ffi::c_void;
use std::{ptr, slice};

use napi::sys;

use super::batch::Batch;
use super::crossing::State;
use super::records::{EVENT_WIDTH, event_flag, has_block, is_binary};
use crate::block::Block;

/// Larger pieces get a buffer of their own, smaller ones go through the shared one.
const INLINE_MAX: usize = 4096;

/// The batch that is being handed over.
pub struct Delivery {
    /// Swapped with the link's, so that neither side allocates in steady state.
    batch: Batch,
    /// The first row that has not been put into the in arrays, and its bytes.
    row: usize,
    offset: usize,
    /// JavaScript has left the rest of what stands in the in arrays for a later turn of its loop.
    paused: bool,
}

impl Delivery {
    pub const fn new() -> Self {
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

/// Hands all that has come to JavaScript, on its thread.
///
/// # Safety
/// The context is the state of the environment, which has not ended.
pub unsafe fn on_wake(env: sys::napi_env, context: *mut c_void) {
    // SAFETY: the environment has not ended, so its state is there.
    deliver_pending(env, unsafe { &*context.cast::<State>() });
}

/// The same, for who has the state: the event loop calls. A handler may let the loop turn (an addon that waits for
/// something so), and this comes from within the call of a batch then. It goes on with the batch, and with what comes:
/// the handler may be waiting for that, and no wake but this one is on its way. Where JavaScript is in the batch it
/// knows itself, and the call outside goes on from there. So nothing of the delivery is held during a call.
pub fn deliver_pending(env: sys::napi_env, state: &State) {
    let mut deliver = ptr::null_mut();
    // SAFETY: the reference was made in this environment.
    unsafe { sys::napi_get_reference_value(env, state.deliver, &raw mut deliver) };
    // It is garbage, since it expected nothing, and what has come is nobody's.
    if deliver.is_null() {
        return;
    }
    let is_within = state.delivering.replace(true);
    state.bell.hush();
    let mut begins = true;
    let mut outcome = Outcome::Done;
    if state.delivery.borrow().paused || is_within {
        outcome = call(env, deliver, REST, ptr::null_mut(), begins);
        begins = false;
    }
    let mut taken = false;
    while outcome == Outcome::Done {
        let (rows, buffers) = {
            let mut delivery = state.delivery.borrow_mut();
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
            fill(env, state, &mut delivery)
        };
        outcome = call(env, deliver, rows as i32, buffers, begins);
        begins = false;
    }
    let mut delivery = state.delivery.borrow_mut();
    delivery.paused = outcome == Outcome::Paused;
    if outcome == Outcome::Gone {
        delivery.clear();
    }
    drop(delivery);
    state.bell.unhush();
    state.delivering.set(is_within);
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
        let is_bytes = is_binary(row[0]);
        // Text goes in whatever its length, as long as there is room for it in an empty array.
        let large = len > if is_bytes { INLINE_MAX } else { bytes_in.len() };
        if at + EVENT_WIDTH > rows_in.len() || (!large && used + len > bytes_in.len()) {
            break;
        }
        rows_in[at..at + EVENT_WIDTH].copy_from_slice(row);
        let bytes = &bytes[*offset..*offset + len];
        let own = if large {
            let flag = if is_bytes { event_flag::OWN_BUFFER } else { event_flag::OWN_TEXT };
            rows_in[at] |= flag << 8;
            rows_in[at + 4] = 0;
            Some(copied_buffer(env, bytes))
        } else {
            bytes_in[used..used + len].copy_from_slice(bytes);
            used += len;
            let block = has_block(row[0]).then(|| blocks.pop_front()).flatten();
            block
                .map(|block| if state.is_main { lent_buffer(env, block) } else { copied_buffer(env, &block) })
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
///
/// And a copy in a worker. A program may transfer the memory, away from the buffer that it was made for, to another
/// thread. At an environment's end Node gives back all that was made in it, wherever the memory is by then. So only an
/// environment may be given it that ends last of all that can have it, as the main one does: it stops its workers before
/// it gives back.
fn lent_buffer(env: sys::napi_env, block: Block) -> sys::napi_value {
    let (mut buffer, len, data) = (ptr::null_mut(), block.len(), block.as_ptr().cast_mut());
    let memory = block.into_raw();
    // SAFETY: the memory is JavaScript's alone until take_back.
    let status = unsafe {
        sys::napi_create_external_buffer(
            env,
            len,
            data.cast(),
            Some(take_back),
            memory.cast(),
            &raw mut buffer,
        )
    };
    if status == sys::Status::napi_ok {
        return buffer;
    }
    // SAFETY: it was not taken, and the bytes are where they were.
    unsafe {
        let buffer = copied_buffer(env, slice::from_raw_parts(data, len));
        drop(Block::from_raw(memory));
        buffer
    }
}

unsafe extern "C" fn take_back(_env: sys::napi_env, _data: *mut c_void, memory: *mut c_void) {
    // SAFETY: lent_buffer gave it, and this is called once: when no buffer has it, on whichever thread, or at the end of
    // the main environment, when no thread is left that could look into one.
    drop(unsafe { Block::from_raw(memory.cast()) });
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
