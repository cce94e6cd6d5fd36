//! A TCP socket with everything set that has to be set before the first byte.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::TcpSocket;

use super::destination::TcpTarget;

/// What failed before there was a connect(2).
pub enum Unmade {
    /// The address could not be bound.
    Bind(io::Error, SocketAddr),
    Socket(io::Error),
}

/// As libuv, which makes a socket when it is first asked for something: to be bound, or else to connect. So where there
/// is no descriptor left the one that is asked for fails.
pub fn socket(target: &TcpTarget, peer: IpAddr) -> Result<TcpSocket, Unmade> {
    let any: IpAddr =
        if peer.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let local = SocketAddr::new(target.local_address.unwrap_or(any), target.local_port);
    let is_bound = target.local_address.is_some() || target.local_port != 0;
    let make = || -> io::Result<Socket> {
        if local.is_ipv4() != peer.is_ipv4() {
            // Of this the systems have errors of many kinds; libuv has one.
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let domain = if peer.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
        let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        if is_bound {
            // As libuv does: a port in TIME_WAIT can be bound again.
            #[cfg(unix)]
            socket.set_reuse_address(true)?;
            socket.bind(&local.into())?;
        }
        socket.set_tcp_nodelay(target.no_delay)?;
        if let Some(delay) = target.keep_alive {
            set_keep_alive(&SockRef::from(&socket), Some(delay))?;
        }
        Ok(socket)
    };
    let socket =
        make().map_err(|error| if is_bound { Unmade::Bind(error, local) } else { Unmade::Socket(error) })?;
    Ok(TcpSocket::from_std_stream(socket.into()))
}

/// Keep-alive as libuv sets it: after `delay` a probe each second, ten of
/// them. A delay under a second leaves the system's own.
pub fn set_keep_alive(socket: &SockRef<'_>, delay: Option<Duration>) -> io::Result<()> {
    let Some(delay) = delay else { return socket.set_keepalive(false) };
    socket.set_keepalive(true)?;
    if delay.as_secs() == 0 {
        return Ok(());
    }
    let keep_alive = TcpKeepalive::new().with_time(Duration::from_secs(delay.as_secs()));
    #[cfg(any(target_os = "linux", target_os = "macos", windows))]
    let keep_alive = keep_alive.with_interval(Duration::from_secs(1));
    #[cfg(any(target_os = "linux", target_os = "macos"))]
    let keep_alive = keep_alive.with_retries(10);
    socket.set_tcp_keepalive(&keep_alive)
}
