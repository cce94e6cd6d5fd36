//! `submit`, which JavaScript calls once per tick, in raw N-API: what stands in the out arrays goes to the runtime.

use std::sync::Arc;
use std::{ptr, slice};

use napi::sys;

use super::blob::Blob;
use super::crossing::State;
use super::link::Link;
use super::loans::Lent;
use super::records::OP_WIDTH;
use super::submission::Submission;
use crate::block::Block;
use crate::pool::Cold;

/// `submit(rows, bytes, blobs?, settled?)`. With the last the tick may take the rows back, until a call says that
/// it has ended: one without it, or one in which it is true.
///
/// # Safety
/// Called by JavaScript, as a function whose data is the [`State`] of its environment.
pub unsafe extern "C" fn submit(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
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
        if news {
            state.bell.strike();
        }
    }
    ptr::null_mut()
}

/// Large writes come beside the rows: a view and a number for each. One without a number (-1) may be changed or
/// detached by JavaScript as soon as this call is over, so it is copied here; it is no longer than a block, or this ends
/// the process. The others JavaScript keeps until they are returned by their number.
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
        let bytes = unsafe { slice::from_raw_parts(data.cast::<u8>(), len) };
        Blob::Copied(Block::of(bytes))
    })
}
