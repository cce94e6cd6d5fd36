//! Logs of what happens on the thread, written by it: so they show what
//! happened while JavaScript blocked. Nothing of a request is in them but how
//! long it is: no path, header or body.
//!
//! Without `OFFLOOP_LOG` there is no subscriber, and an event costs a look at
//! a static.

use std::io::{self, Write};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tracing_subscriber::EnvFilter;

/// Starts to log what `filter` lets pass (tracing-subscriber's directives, as
/// `debug` or `offloop=trace`). What is wrong with it comes back as text. Only
/// the first call in a process counts: worker threads come here too.
pub fn start(filter: &str) -> Result<(), String> {
    static STARTED: Once = Once::new();
    let mut result = Ok(());
    STARTED.call_once(|| result = subscribe(filter));
    result
}

fn subscribe(filter: &str) -> Result<(), String> {
    let filter = EnvFilter::builder().parse(filter).map_err(|error| error.to_string())?;
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| Stderr)
        // It would go to stderr too, with a panic if that fails.
        .log_internal_errors(false)
        .finish();
    tracing::subscriber::set_global_default(subscriber).map_err(|error| error.to_string())
}

/// stderr, which may be a pipe that nobody empties. The thread must not hang or
/// panic over a line that cannot be written: after a while it is dropped, and
/// so are those that follow until one can be.
struct Stderr;

const PATIENCE: Duration = Duration::from_millis(20);

static STUCK: AtomicBool = AtomicBool::new(false);

impl Write for Stderr {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let patience = if STUCK.load(Ordering::Relaxed) { Duration::ZERO } else { PATIENCE };
        let writable = is_writable(patience);
        STUCK.store(!writable, Ordering::Relaxed);
        if writable { io::stderr().write(line) } else { Ok(line.len()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether stderr takes a line (up to `PIPE_BUF` bytes) without blocking.
#[cfg(unix)]
fn is_writable(patience: Duration) -> bool {
    let mut stderr = libc::pollfd { fd: libc::STDERR_FILENO, events: libc::POLLOUT, revents: 0 };
    // SAFETY: one valid pollfd.
    unsafe { libc::poll(&raw mut stderr, 1, patience.as_millis() as libc::c_int) > 0 }
}

#[cfg(not(unix))]
fn is_writable(_patience: Duration) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_is_none_is_told() {
        assert!(subscribe("offloop=loud").is_err());
        assert!(subscribe("debug,[[").is_err());
    }
}
