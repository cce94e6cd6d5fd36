//! Errors as Node numbers them, and the closed list of reasons for a close.

use std::io;

/// Why a connection was closed, or a request failed: a closed list, with one
/// spelling each ([`CloseReason::name`]). `docs/errors.md` is its table for
/// users; the numbers are those of `lib/crossing/records.js`, and a test holds the four
/// lists against each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum CloseReason {
    /// The limit of an idle connection has passed.
    IdleTimeout = 1,
    /// The server closed the connection while it was idle.
    PeerClosedIdle = 2,
    /// The server reset the connection.
    PeerReset = 3,
    /// Another lane needed the connection.
    Taken = 4,
    /// The connection reached its maximum age.
    Ttl = 5,
    /// Bytes came that no request had asked for.
    UnexpectedData = 6,
    /// The program gave the request up.
    Aborted = 7,
    /// `agent.destroy()`.
    AgentDestroyed = 8,
    /// No address could be connected to.
    ConnectFailed = 9,
    /// Connecting took longer than `connectTimeout`, or than the system allows.
    ConnectTimeout = 10,
    /// Bytes stayed unacknowledged, or probes unanswered, for too long.
    DeadPeer = 11,
    /// What the server sent is no HTTP.
    InvalidResponse = 12,
    /// The name could not be resolved.
    LookupFailed = 13,
    /// The system reported another failure of the network.
    NetworkError = 14,
    /// This side closed it with no request on it: it was not to be kept.
    NotKept = 15,
    /// The server closed the connection with a request on it.
    PeerFin = 16,
    /// `maxQueuedRequests` were waiting already.
    QueueFull = 17,
    /// The request waited longer than `queueTimeout` for a socket.
    QueueTimeout = 18,
    /// The request's own timeout passed, and the program gave it up then.
    RequestTimeout = 19,
    /// As above, for the timeout of the agent or of the socket.
    SocketTimeout = 20,
    /// The TLS handshake or a check of the certificate failed.
    TlsFailed = 21,
    /// A bug of ours.
    InternalError = 22,
}

impl CloseReason {
    pub const ALL: [Self; 22] = [
        Self::IdleTimeout,
        Self::PeerClosedIdle,
        Self::PeerReset,
        Self::Taken,
        Self::Ttl,
        Self::UnexpectedData,
        Self::Aborted,
        Self::AgentDestroyed,
        Self::ConnectFailed,
        Self::ConnectTimeout,
        Self::DeadPeer,
        Self::InvalidResponse,
        Self::LookupFailed,
        Self::NetworkError,
        Self::NotKept,
        Self::PeerFin,
        Self::QueueFull,
        Self::QueueTimeout,
        Self::RequestTimeout,
        Self::SocketTimeout,
        Self::TlsFailed,
        Self::InternalError,
    ];

    /// As it stands on errors, in logs and in the status.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Aborted => "aborted",
            Self::AgentDestroyed => "agent-destroyed",
            Self::ConnectFailed => "connect-failed",
            Self::ConnectTimeout => "connect-timeout",
            Self::DeadPeer => "dead-peer",
            Self::IdleTimeout => "idle-timeout",
            Self::InternalError => "internal-error",
            Self::InvalidResponse => "invalid-response",
            Self::LookupFailed => "lookup-failed",
            Self::NetworkError => "network-error",
            Self::NotKept => "not-kept",
            Self::PeerClosedIdle => "peer-closed-idle",
            Self::PeerFin => "peer-fin",
            Self::PeerReset => "peer-reset",
            Self::QueueFull => "queue-full",
            Self::QueueTimeout => "queue-timeout",
            Self::RequestTimeout => "request-timeout",
            Self::SocketTimeout => "socket-timeout",
            Self::Taken => "taken",
            Self::TlsFailed => "tls-failed",
            Self::Ttl => "ttl",
            Self::UnexpectedData => "unexpected-data",
        }
    }

    /// The reason that JavaScript gives for closing a lane.
    pub fn from_number(number: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|&reason| reason as i32 == number)
    }
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
        io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof => libc::ECONNRESET,
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
    fn the_names_of_reasons_are_those_of_the_variants() {
        for reason in CloseReason::ALL {
            let mut name = String::new();
            for letter in format!("{reason:?}").chars() {
                if letter.is_uppercase() && !name.is_empty() {
                    name.push('-');
                }
                name.push(letter.to_ascii_lowercase());
            }
            assert_eq!(reason.name(), name);
            assert_eq!(CloseReason::from_number(reason as i32), Some(reason));
        }
        assert_eq!(CloseReason::from_number(0), None);
    }

    #[test]
    fn errors_have_libuvs_numbers() {
        assert_eq!(uv_errno(&io::Error::from_raw_os_error(libc::ECONNRESET)), -libc::ECONNRESET);
        assert_eq!(uv_errno(&timed_out()), -libc::ETIMEDOUT);
    }
}
