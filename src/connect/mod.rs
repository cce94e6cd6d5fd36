//! From a destination to an established connection: resolve, try the
//! addresses (RFC 8305, in parallel), set the socket's options before the
//! first byte. Nothing in here needs JavaScript, except where a guard in
//! JavaScript has a say ([`Progress::attempt`]).

mod destination;
mod happy_eyeballs;
mod resolve;
mod resolver_threads;
mod stream;
mod tcp;
mod tcp_info;

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

pub use destination::{Destination, Order, SharedDestination, Target, TcpTarget};
pub use stream::{Piece, Stream};
pub use tcp::Probes;
pub use tcp_info::{RoundTrip, SYN, TcpInfo};

use resolve::Unresolved;

use crate::error::{timed_out, uv_errno};
use crate::tls::{self, HandshakeError, KeyLines, Secured};

/// Told what happens on the way, in the order in which Node reports it.
pub trait Progress {
    fn lookup(&self, result: Result<&[IpAddr], i32>);
    /// Before a connect(2). Resolves when the attempt may go on.
    fn attempt(&self, address: &Endpoint) -> impl Future<Output = ()>;
    fn attempt_failed(&self, failure: &Failure);
    fn attempt_timeout(&self, address: &Endpoint);
    /// The socket is connected, and the handshake begins. Resolves when it may.
    fn connected(&self, socket: &Stream) -> impl Future<Output = ()>;
    fn key_lines(&self, lines: &KeyLines);
}

/// One address that is tried.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// As Node would print it; the path of a Unix socket.
    pub address: String,
    /// 0 for a Unix socket.
    pub port: u16,
    /// 4, 6, or 0 for a Unix socket.
    pub family: u8,
}

/// One attempt that failed.
#[derive(Debug)]
pub struct Failure {
    pub errno: i32,
    pub syscall: &'static str,
    pub endpoint: Endpoint,
    pub local: Option<Local>,
}

/// What Node says of this side of a connect that failed.
#[derive(Debug)]
pub enum Local {
    /// Given by options, both halves.
    Given(SocketAddr),
    /// There was none: the socket could not be made.
    NoSocket,
    /// What the socket had when the system refused to connect it.
    Own(SocketAddr),
}

impl fmt::Display for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given(address) | Self::Own(address) => write!(f, "{}:{}", address.ip(), address.port()),
            Self::NoSocket => f.write_str("undefined:undefined"),
        }
    }
}

#[derive(Debug)]
pub enum ConnectError {
    /// The name did not resolve: libuv's number for getaddrinfo's answer.
    Lookup(i32),
    /// Every attempt failed. `aggregate`: there were several addresses.
    Attempts {
        failures: Vec<Failure>,
        aggregate: bool,
    },
    Handshake(HandshakeError),
    /// A bug: the work on it panicked.
    Panicked,
    /// The name has to be resolved elsewhere: the system has no thread for that here.
    NoResolver,
}

/// What a handshake needs beside the destination.
pub struct TlsSetup {
    pub config: tls::Config,
    /// Where somebody listens for them.
    pub key_lines: Option<KeyLines>,
}

/// A connection that stands.
pub struct Connected {
    pub stream: Stream,
    pub secured: Option<Rc<Secured>>,
}

/// Connects. `addresses` are given when JavaScript has resolved the name.
pub async fn connect<P: Progress>(
    destination: &Destination,
    addresses: Option<Vec<IpAddr>>,
    tls: Option<TlsSetup>,
    progress: &P,
) -> Result<Connected, ConnectError> {
    let work = async {
        let stream = match &destination.target {
            Target::Tcp(target) => tcp_connect(target, addresses, progress).await?,
            #[cfg(unix)]
            Target::Unix(path) => unix_connect(path, progress).await?,
        };
        let (Some(secure), Some(tls)) = (&destination.secure, tls) else {
            return Ok(Connected { stream, secured: None });
        };
        progress.connected(&stream).await;
        let ended = tls::handshake(stream, secure, tls.config, tls.key_lines.clone()).await;
        if let Some(lines) = &tls.key_lines {
            progress.key_lines(lines);
        }
        let (stream, secured) = ended.map_err(ConnectError::Handshake)?;
        Ok(Connected { stream: Stream::Tls(Box::new(stream)), secured: Some(Rc::new(secured)) })
    };
    let Some(limit) = destination.connect_timeout else { return work.await };
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
        let endpoint = match &destination.target {
            Target::Tcp(target) => Endpoint { address: target.host.clone(), port: target.port, family: 0 },
            #[cfg(unix)]
            Target::Unix(path) => Endpoint { address: path.display().to_string(), port: 0, family: 0 },
        };
        let errno = uv_errno(&timed_out());
        let failure = Failure { errno, syscall: "connect", endpoint, local: None };
        Err(ConnectError::Attempts { failures: vec![failure], aggregate: false })
    })
}

async fn tcp_connect<P: Progress>(
    target: &TcpTarget,
    addresses: Option<Vec<IpAddr>>,
    progress: &P,
) -> Result<Stream, ConnectError> {
    let addresses = if let Some(addresses) = addresses {
        addresses
    } else if let Ok(address) = target.host.parse::<IpAddr>() {
        vec![address]
    } else {
        let resolved = match resolve::resolve(target).await {
            Ok(addresses) => Ok(addresses),
            Err(Unresolved::Name(errno)) => Err(errno),
            Err(Unresolved::NoThread) => return Err(ConnectError::NoResolver),
        };
        progress.lookup(resolved.as_deref().map_err(|&errno| errno));
        let mut resolved = resolved.map_err(ConnectError::Lookup)?;
        if target.first_only {
            resolved.truncate(1);
        }
        resolved
    };
    let stream = happy_eyeballs::connect(target, happy_eyeballs::interleave(addresses), progress).await?;
    Ok(Stream::Tcp(stream))
}

#[cfg(unix)]
async fn unix_connect<P: Progress>(path: &std::path::Path, progress: &P) -> Result<Stream, ConnectError> {
    let endpoint = Endpoint { address: path.display().to_string(), port: 0, family: 0 };
    progress.attempt(&endpoint).await;
    match tokio::net::UnixStream::connect(path).await {
        Ok(stream) => Ok(Stream::Unix(stream)),
        Err(error) => {
            let failure = failed(endpoint, "connect", &error, None);
            progress.attempt_failed(&failure);
            Err(ConnectError::Attempts { failures: vec![failure], aggregate: false })
        }
    }
}

fn failed(endpoint: Endpoint, syscall: &'static str, error: &io::Error, local: Option<Local>) -> Failure {
    Failure { errno: uv_errno(error), syscall, endpoint, local }
}
