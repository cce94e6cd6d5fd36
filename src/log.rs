//! Logs of what happens on the thread, written by it: so they show what
//! happened while JavaScript blocked. Nothing of a request is in them but how
//! long it is: no path, header or body.
//!
//! Without `OFFLOOP_LOG` there is no subscriber, and an event costs a look at
//! a static.

use std::io::{self, Write};
use std::thread;
use std::time::{Duration, Instant};

use tracing_subscriber::EnvFilter;

/// Starts to log what `filter` lets pass (tracing-subscriber's directives, as
/// `debug` or `offloop=trace`). Only the first call in a process counts. What
/// is wrong with the filter comes back as text.
pub fn start(filter: &str) -> Result<(), String> {
    let filter = EnvFilter::builder().parse(filter).map_err(|error| error.to_string())?;
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| Stderr)
        // It would go to stderr too, with a panic if that fails.
        .log_internal_errors(false)
        .finish();
    // Another environment of the process may have started it already.
    let _ = tracing::subscriber::set_global_default(subscriber);
    Ok(())
}

/// stderr, which may be a pipe that nobody empties. The thread must not hang
/// or panic over a line that cannot be written: after a while it is dropped.
struct Stderr;

const PATIENCE: Duration = Duration::from_millis(20);

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let start = Instant::now();
        loop {
            match io::stderr().write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && start.elapsed() < PATIENCE => {
                    thread::sleep(Duration::from_millis(1));
                }
                result => return result,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_is_none_is_told() {
        assert!(start("offloop=loud").is_err());
        assert!(start("debug,[[").is_err());
    }
}
