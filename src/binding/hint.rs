//! The server's hint, for JavaScript, which has the headers on the raw path.

use napi_derive::napi;

use crate::exchange::Hint;

/// What a `Keep-Alive` field says; what it does not say is missing.
#[napi(object)]
pub struct KeepAliveHint {
    /// In ms.
    pub timeout: Option<f64>,
    /// Requests that the connection takes after this one.
    pub max: Option<u32>,
}

/// Several fields are joined by commas.
#[napi]
// Its caller is JavaScript, and in unit tests there is none.
#[cfg_attr(test, allow(dead_code))]
pub fn parse_keep_alive(value: String) -> KeepAliveHint {
    let Hint { timeout, max } = Hint::parse(value.as_bytes());
    KeepAliveHint { timeout: timeout.map(|timeout| timeout.as_secs_f64() * 1000.0), max }
}
