//! The memory of a typed array that both sides work on.

use std::{ptr, slice};

use napi::{Result, check_status, sys};

/// JavaScript keeps it alive: the functions that call, and the one that is called, work on it themselves.
#[derive(Clone, Copy)]
pub struct SharedArray<T> {
    data: *mut T,
    len: usize,
}

impl<T> SharedArray<T> {
    pub fn of(env: sys::napi_env, array: sys::napi_value) -> Result<Self> {
        let (mut len, mut data) = (0, ptr::null_mut());
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
        }
        Ok(Self { data: data.cast(), len })
    }

    /// # Safety
    /// On the JavaScript thread, while JavaScript does not run, and with a function alive that works on the array.
    pub unsafe fn get(&self, len: usize) -> Option<&[T]> {
        // SAFETY: the array is alive and of this length; the caller keeps JavaScript from writing to it.
        (len <= self.len).then(|| unsafe { slice::from_raw_parts(self.data, len) })
    }

    /// # Safety
    /// As [`SharedArray::get`], and no other slice of this array is in use.
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn get_mut(&self) -> &mut [T] {
        // SAFETY: as above.
        unsafe { slice::from_raw_parts_mut(self.data, self.len) }
    }
}
