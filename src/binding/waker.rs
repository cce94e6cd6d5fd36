//! How the runtime wakes JavaScript: libuv's own `uv_async_send`, the one call
//! of its that other threads may make.
//!
//! N-API's threadsafe function does the same behind a queue and a lock. It
//! holds the lock while it wakes the loop, and JavaScript, which is awake
//! within microseconds, often runs into it, which costs both threads another
//! way through the kernel. So it is used only where the process has no libuv to
//! be found.

use std::alloc::{self, Layout};
use std::ffi::{c_int, c_void};
use std::ptr;

use napi::{Result, check_status, sys};

/// The name that async_hooks know.
fn name(env: sys::napi_env) -> Result<sys::napi_value> {
    const NAME: &std::ffi::CStr = c"offloop";
    let mut name = ptr::null_mut();
    // SAFETY: the place is valid, and the text has this length.
    check_status!(unsafe {
        sys::napi_create_string_latin1(env, NAME.as_ptr(), NAME.count_bytes() as isize, &raw mut name)
    })?;
    Ok(name)
}

/// What belongs to one environment and is woken, on its thread.
#[derive(Clone, Copy)]
pub struct Sleeper {
    pub context: *mut c_void,
    /// Called after a wake, within a callback scope; several wakes may be one call.
    ///
    /// SAFETY: it may rely on the context, on the thread of the environment.
    pub run: unsafe fn(env: sys::napi_env, context: *mut c_void),
    /// Called at the environment's end, or when the waker is closed before that: nothing is run any more. From then on
    /// nobody may wake it.
    ///
    /// SAFETY: it is called once, and may free the context.
    pub end: unsafe fn(env: sys::napi_env, context: *mut c_void),
}

/// Wakes one environment, from any thread, until its end or [`Waker::close`].
pub enum Waker {
    Loop { uv: &'static Uv, handle: *mut c_void },
    Function(sys::napi_threadsafe_function),
}

// SAFETY: both calls may be made from any thread; that there is still something to be woken is for the owner to see to.
unsafe impl Send for Waker {}

impl Waker {
    /// Wakes it soon. Wakes that come before it has run are one.
    ///
    /// # Safety
    /// `Sleeper::end` has not been called.
    pub unsafe fn wake(&self) {
        match self {
            // SAFETY: the handle lives until then.
            Self::Loop { uv, handle } => unsafe {
                (uv.async_send)(*handle);
            },
            // SAFETY: so does the function. Its queue has no bound, so the call does not block; it fails only
            // when the environment is ending.
            Self::Function(function) => unsafe {
                sys::napi_call_threadsafe_function(
                    *function,
                    ptr::null_mut(),
                    sys::ThreadsafeFunctionCallMode::nonblocking,
                );
            },
        }
    }

    /// Whether the process waits for it, on the thread of the environment.
    ///
    /// # Safety
    /// As [`Waker::wake`].
    pub unsafe fn hold(&self, env: sys::napi_env, on: bool) {
        // SAFETY: as there.
        unsafe {
            match (self, on) {
                (Self::Loop { uv, handle }, true) => (uv.reference)(*handle),
                (Self::Loop { uv, handle }, false) => (uv.unreference)(*handle),
                (Self::Function(function), true) => {
                    sys::napi_ref_threadsafe_function(env, *function);
                }
                (Self::Function(function), false) => {
                    sys::napi_unref_threadsafe_function(env, *function);
                }
            }
        }
    }

    /// The end, on the thread of the environment.
    ///
    /// # Safety
    /// As [`Waker::wake`].
    pub unsafe fn close(self, env: sys::napi_env) {
        // SAFETY: as there.
        unsafe {
            match self {
                Self::Loop { handle, .. } => close_handle(handle),
                Self::Function(function) => close_function(env, function),
            }
        }
    }

    /// A second one for the same; the first goes to another thread.
    pub const fn share(&self) -> Self {
        match self {
            Self::Loop { uv, handle } => Self::Loop { uv, handle: *handle },
            Self::Function(function) => Self::Function(*function),
        }
    }
}

/// Makes the waker of an environment, on its thread. The process does not wait for it at first. `resource`: the object
/// that async_hooks know it by, kept until the end.
///
/// # Safety
/// The sleeper's context is valid until its `end`, and `resource` is an object.
pub unsafe fn waker_of(env: sys::napi_env, sleeper: Sleeper, resource: sys::napi_value) -> Result<Waker> {
    // SAFETY: as here.
    unsafe {
        match Uv::find() {
            Some(uv) => on_loop(env, uv, sleeper, resource),
            None => by_function(env, sleeper, resource),
        }
    }
}

/// What is used of libuv. It promises that none of this changes within version 1.
pub struct Uv {
    handle_size: unsafe extern "C" fn(c_int) -> usize,
    set_data: unsafe extern "C" fn(*mut c_void, *mut c_void),
    get_data: unsafe extern "C" fn(*const c_void) -> *mut c_void,
    async_init: unsafe extern "C" fn(*mut c_void, *mut c_void, OnHandle) -> c_int,
    async_send: unsafe extern "C" fn(*mut c_void) -> c_int,
    reference: unsafe extern "C" fn(*mut c_void),
    unreference: unsafe extern "C" fn(*mut c_void),
    is_closing: unsafe extern "C" fn(*const c_void) -> c_int,
    close: unsafe extern "C" fn(*mut c_void, OnHandle),
}

type OnHandle = unsafe extern "C" fn(*mut c_void);

/// `UV_ASYNC` of `uv_handle_type`.
const ASYNC: c_int = 1;
/// As of `malloc`, which is what libuv's handles are made for.
const ALIGN: usize = 16;

impl Uv {
    /// The libuv of this process, if it lets others use it, as Node does.
    #[cfg(unix)]
    fn find() -> Option<&'static Self> {
        static FOUND: std::sync::OnceLock<Option<Uv>> = std::sync::OnceLock::new();
        FOUND.get_or_init(Self::look).as_ref()
    }

    #[cfg(not(unix))]
    const fn find() -> Option<&'static Self> {
        None
    }

    /// Of a handle that there is.
    fn of_handle() -> &'static Self {
        Self::find().expect("the handle was made with it")
    }

    #[cfg(unix)]
    fn look() -> Option<Self> {
        /// A function of the process.
        ///
        /// # Safety
        /// The function, if it is there, has this type.
        unsafe fn function<F: Copy>(name: &std::ffi::CStr) -> Option<F> {
            const { assert!(size_of::<F>() == size_of::<*mut c_void>()) };
            // SAFETY: the name is a C string.
            let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
            // SAFETY: of the same size, and of this type as the caller says.
            (!found.is_null()).then(|| unsafe { std::mem::transmute_copy(&found) })
        }
        // SAFETY: the types are those of libuv's documentation.
        unsafe {
            let version: unsafe extern "C" fn() -> u32 = function(c"uv_version")?;
            if version() >> 16 != 1 {
                return None;
            }
            Some(Self {
                handle_size: function(c"uv_handle_size")?,
                set_data: function(c"uv_handle_set_data")?,
                get_data: function(c"uv_handle_get_data")?,
                async_init: function(c"uv_async_init")?,
                async_send: function(c"uv_async_send")?,
                reference: function(c"uv_ref")?,
                unreference: function(c"uv_unref")?,
                is_closing: function(c"uv_is_closing")?,
                close: function(c"uv_close")?,
            })
        }
    }
}

/// What a handle of libuv's has as its data.
struct OnLoop {
    env: sys::napi_env,
    sleeper: Sleeper,
    /// In which async context it runs, and the object that stands for that.
    async_context: sys::napi_async_context,
    resource: sys::napi_ref,
    /// Holds the environment's end until the handle is closed.
    hook: sys::napi_async_cleanup_hook_handle,
    memory: Layout,
}

/// # Safety
/// As [`waker_of`].
unsafe fn on_loop(
    env: sys::napi_env,
    uv: &'static Uv,
    sleeper: Sleeper,
    object: sys::napi_value,
) -> Result<Waker> {
    let name = name(env)?;
    let mut uv_loop = ptr::null_mut();
    let (mut async_context, mut resource) = (ptr::null_mut(), ptr::null_mut());
    // SAFETY: all places are valid.
    unsafe {
        check_status!(sys::napi_get_uv_event_loop(env, &raw mut uv_loop))?;
        check_status!(sys::napi_create_reference(env, object, 1, &raw mut resource))?;
        check_status!(sys::napi_async_init(env, object, name, &raw mut async_context))?;
    }
    // SAFETY: the type of the handle is one of libuv's.
    let size = unsafe { (uv.handle_size)(ASYNC) };
    let memory = Layout::from_size_align(size, ALIGN).expect("a handle has some hundred bytes");
    // SAFETY: the size is not zero, and libuv fills what it asked for. It fails where the process can open no more files.
    let handle = unsafe {
        let handle = alloc::alloc(memory).cast::<c_void>();
        if handle.is_null() {
            alloc::handle_alloc_error(memory);
        }
        if (uv.async_init)(uv_loop.cast(), handle, on_wake) != 0 {
            alloc::dealloc(handle.cast(), memory);
            sys::napi_async_destroy(env, async_context);
            sys::napi_delete_reference(env, resource);
            return Err(napi::Error::from_reason("libuv has no room for another handle"));
        }
        handle
    };
    let hook = ptr::null_mut();
    let on_loop = Box::into_raw(Box::new(OnLoop { env, sleeper, async_context, resource, hook, memory }));
    // SAFETY: the handle is one of libuv's, and both live until it is closed, behind the hook.
    unsafe {
        (uv.set_data)(handle, on_loop.cast());
        (uv.unreference)(handle);
        check_status!(sys::napi_add_async_cleanup_hook(
            env,
            Some(on_end),
            handle.cast(),
            &raw mut (*on_loop).hook
        ))?;
    }
    Ok(Waker::Loop { uv, handle })
}

/// In the loop of the environment.
unsafe extern "C" fn on_wake(handle: *mut c_void) {
    let uv = Uv::of_handle();
    // SAFETY: the handle is not closed, so the rest is there. All is done in a handle scope and a callback scope of
    // its own, as what libuv calls has none. Where a scope is refused the environment is ending.
    unsafe {
        let on_loop = &*(uv.get_data)(handle).cast::<OnLoop>();
        let env = on_loop.env;
        let (mut handles, mut callback, mut resource) = (ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
        if sys::napi_open_handle_scope(env, &raw mut handles) != sys::Status::napi_ok {
            return;
        }
        sys::napi_get_reference_value(env, on_loop.resource, &raw mut resource);
        let status = sys::napi_open_callback_scope(env, resource, on_loop.async_context, &raw mut callback);
        if status == sys::Status::napi_ok {
            (on_loop.sleeper.run)(env, on_loop.sleeper.context);
            sys::napi_close_callback_scope(env, callback);
        }
        sys::napi_close_handle_scope(env, handles);
    }
}

/// # Safety
/// The handle is one of [`on_loop`], on its thread, and this is called once.
unsafe fn close_handle(handle: *mut c_void) {
    let uv = Uv::of_handle();
    // SAFETY: the handle is not closed, so the rest is there.
    unsafe {
        let on_loop = &*(uv.get_data)(handle).cast::<OnLoop>();
        (on_loop.sleeper.end)(on_loop.env, on_loop.sleeper.context);
        sys::napi_async_destroy(on_loop.env, on_loop.async_context);
        sys::napi_delete_reference(on_loop.env, on_loop.resource);
        (uv.close)(handle, on_closed);
    }
}

/// The environment's end; it goes on when the handle is closed, which may be under way.
unsafe extern "C" fn on_end(_hook: sys::napi_async_cleanup_hook_handle, handle: *mut c_void) {
    // SAFETY: the hook is removed when the handle is closed, so it is there.
    unsafe {
        if (Uv::of_handle().is_closing)(handle) == 0 {
            close_handle(handle);
        }
    }
}

unsafe extern "C" fn on_closed(handle: *mut c_void) {
    let uv = Uv::of_handle();
    // SAFETY: libuv has done with the handle, and nobody else has it since `Sleeper::end`.
    unsafe {
        let on_loop = Box::from_raw((uv.get_data)(handle).cast::<OnLoop>());
        alloc::dealloc(handle.cast(), on_loop.memory);
        sys::napi_remove_async_cleanup_hook(on_loop.hook);
    }
}

/// What a threadsafe function has as its context.
struct Called {
    env: sys::napi_env,
    sleeper: Sleeper,
}

/// # Safety
/// As [`waker_of`].
unsafe fn by_function(env: sys::napi_env, sleeper: Sleeper, resource: sys::napi_value) -> Result<Waker> {
    let name = name(env)?;
    let mut function = ptr::null_mut();
    let called = Box::into_raw(Box::new(Called { env, sleeper }));
    // SAFETY: all places are valid. The queue has no bound, since at most one call waits in it. The hook is added
    // after the function was made, so it runs before that one's own end.
    unsafe {
        check_status!(sys::napi_create_threadsafe_function(
            env,
            ptr::null_mut(),
            resource,
            name,
            0,
            1,
            ptr::null_mut(),
            None,
            called.cast(),
            Some(on_call),
            &raw mut function,
        ))?;
        check_status!(sys::napi_unref_threadsafe_function(env, function))?;
        check_status!(sys::napi_add_env_cleanup_hook(env, Some(on_environments_end), called.cast()))?;
    }
    Ok(Waker::Function(function))
}

unsafe extern "C" fn on_call(
    env: sys::napi_env,
    _function: sys::napi_value,
    called: *mut c_void,
    _data: *mut c_void,
) {
    // Without it the environment is ending, or the function is, and the rest may be gone already.
    if !env.is_null() {
        // SAFETY: neither is, so the rest is there.
        unsafe {
            let Sleeper { context, run, .. } = (*called.cast::<Called>()).sleeper;
            run(env, context);
        }
    }
}

/// # Safety
/// The function is one of [`by_function`], on its thread, and this is called once.
unsafe fn close_function(env: sys::napi_env, function: sys::napi_threadsafe_function) {
    let mut called = ptr::null_mut();
    // SAFETY: the function is there, and has what it was given. What waits in its queue is called without an environment.
    unsafe {
        sys::napi_get_threadsafe_function_context(function, &raw mut called);
        sys::napi_remove_env_cleanup_hook(env, Some(on_environments_end), called);
        sys::napi_release_threadsafe_function(function, sys::ThreadsafeFunctionReleaseMode::abort);
        on_environments_end(called);
    }
}

unsafe extern "C" fn on_environments_end(called: *mut c_void) {
    // SAFETY: it is the one that was given, and this is called once, last of all its users.
    unsafe {
        let Called { env, sleeper } = *Box::from_raw(called.cast::<Called>());
        (sleeper.end)(env, sleeper.context);
    }
}
