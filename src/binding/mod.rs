//! The N-API surface. Everything cold is napi-rs; the two calls that every
//! request pays for, [`submit`] and [`deliver`], are raw N-API.

mod accounts;
pub mod batch;
mod bell;
pub mod blob;
mod calls;
mod cpu_clock;
pub mod crossing;
mod deliver;
pub mod hint;
pub mod link;
pub mod loans;
mod outbox;
#[cfg(test)]
#[path = "../../fuzz/checks/outbox.rs"]
mod outbox_check;
pub mod records;
#[cfg(test)]
#[path = "../../fuzz/checks/records.rs"]
mod records_check;
pub mod route;
pub mod secure;
mod shared_array;
pub mod submission;
mod submit;
mod waker;

use napi_derive::napi;

use crate::error::uv_errno;
use crate::{log, runtime};

/// The version of the crate, so that the loader can refuse a binary that
/// belongs to another release of the JavaScript half.
#[napi]
// Its caller is JavaScript, and in unit tests there is none.
#[cfg_attr(test, allow(dead_code))]
pub fn version() -> String {
    env!("CARGO_PKG_VERSION").to_owned()
}

/// Starts to log on stderr. What is wrong with the filter comes back as text.
#[napi]
#[cfg_attr(test, allow(dead_code))]
pub fn start_log(filter: String) -> Option<String> {
    log::start(&filter).err()
}

/// Starts the thread that all crossings lead to, unless it runs: before the first of them. 0, or libuv's number for what
/// the system has refused; the next call tries again.
#[napi]
#[cfg_attr(test, allow(dead_code))]
pub fn start_runtime() -> i32 {
    runtime::start().map_or_else(|error| uv_errno(&error), |()| 0)
}
