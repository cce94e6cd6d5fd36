//! Errors as Node numbers them, and the closed list of reasons for a close.

use std::io;

/// Why an idle connection was closed. The numbers are those of `lib/records.js`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum CloseReason {
    /// The limit of an idle connection has passed.
    IdleTimeout = 1,
    /// The server closed the idle connection.
    PeerClosedIdle = 2,
    /// The server reset the idle connection.
    PeerReset = 3,
    /// Another lane needed the connection.
    Taken = 4,
    /// The connection reached its maximum age.
    Ttl = 5,
    /// Bytes came that no request had asked for.
    UnexpectedData = 6,
    /// This side closed it with no request on it: it was not to be kept.
    NotKept = 15,
}

/// libuv's number for an error of the system: the negative errno on Unix.
#[cfg(unix)]
pub fn uv_errno(error: &io::Error) -> i32 {
    error.raw_os_error().map_or_else(|| -from_kind(error.kind()), |errno| -errno)
}

/// libuv's number for an error of the system: its own constants on Windows.
#[cfg(windows)]
pub fn uv_errno(error: &io::Error) -> i32 {
    match error.kind() {
        io::ErrorKind::AddrInUse => -4091,
        io::ErrorKind::AddrNotAvailable => -4090,
        io::ErrorKind::BrokenPipe => -4047,
        io::ErrorKind::ConnectionAborted => -4079,
        io::ErrorKind::ConnectionRefused => -4078,
        io::ErrorKind::ConnectionReset => -4077,
        io::ErrorKind::HostUnreachable => -4073,
        io::ErrorKind::InvalidInput => -4071,
        io::ErrorKind::NetworkUnreachable => -4062,
        io::ErrorKind::NotConnected => -4053,
        io::ErrorKind::NotFound => -4058,
        io::ErrorKind::PermissionDenied => -4092,
        io::ErrorKind::TimedOut => -4039,
        _ => -4094, // UV_UNKNOWN
    }
}

/// The standard library gives some errors no number of the system.
#[cfg(unix)]
fn from_kind(kind: io::ErrorKind) -> i32 {
    match kind {
        io::ErrorKind::InvalidInput => libc::EINVAL,
        io::ErrorKind::TimedOut => libc::ETIMEDOUT,
        io::ErrorKind::UnexpectedEof => libc::ECONNRESET,
        io::ErrorKind::WriteZero | io::ErrorKind::BrokenPipe => libc::EPIPE,
        _ => libc::EIO,
    }
}

/// `ETIMEDOUT`, for a connect that took longer than `connectTimeout`.
pub fn timed_out() -> io::Error {
    io::Error::from(io::ErrorKind::TimedOut)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn errors_have_libuvs_numbers() {
        assert_eq!(uv_errno(&io::Error::from_raw_os_error(libc::ECONNRESET)), -libc::ECONNRESET);
        assert_eq!(uv_errno(&timed_out()), -libc::ETIMEDOUT);
    }
}
