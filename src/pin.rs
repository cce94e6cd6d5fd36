//! Keeps the library mapped for good. Node unmaps an addon with the last
//! worker thread that loaded it, but our thread still runs its code then.
//!
//! On Linux the linker has done it already (`-z nodelete`, in build.rs).

/// Called once, before the thread starts.
#[cfg(not(any(windows, target_os = "macos")))]
pub const fn pin() {}

#[cfg(target_os = "macos")]
pub fn pin() {
    use std::mem::MaybeUninit;

    let mut info = MaybeUninit::<libc::Dl_info>::uninit();
    // SAFETY: the address is one of this library's, so dladdr fills info, and its file name is a
    // C string of the loader's. The handle is never closed: that is the point.
    unsafe {
        if libc::dladdr(pin as *const libc::c_void, info.as_mut_ptr()) != 0 {
            libc::dlopen(info.assume_init().dli_fname, libc::RTLD_LAZY | libc::RTLD_NODELETE);
        }
    }
}

#[cfg(windows)]
pub fn pin() {
    use std::ffi::c_void;

    const FROM_ADDRESS: u32 = 0x4;
    const PIN: u32 = 0x1;

    #[link(name = "kernel32")]
    unsafe extern "system" {
        fn GetModuleHandleExW(flags: u32, address: *const c_void, module: *mut *mut c_void) -> i32;
    }

    let mut module = std::ptr::null_mut();
    // SAFETY: with FROM_ADDRESS the second argument is any address in the module, and module is a
    // valid place for the result.
    unsafe { GetModuleHandleExW(FROM_ADDRESS | PIN, pin as *const c_void, &raw mut module) };
}
