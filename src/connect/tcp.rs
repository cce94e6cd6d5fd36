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

/// The address of a socket that is not bound, to connect to `peer`.
pub const fn any_beside(peer: IpAddr) -> IpAddr {
    if peer.is_ipv4() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) }
}

/// As libuv, which makes a socket when it is first asked for something: to be bound, or else to connect. So where there
/// is no descriptor left the one that is asked for fails.
pub fn socket(target: &TcpTarget, peer: IpAddr) -> Result<TcpSocket, Unmade> {
    let local = SocketAddr::new(target.local_address.unwrap_or(any_beside(peer)), target.local_port);
    let is_bound = target.is_bound();
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
            // A delay that the system does not take leaves its own, as with Node, and is no reason not to connect.
            drop(set_keep_alive(&SockRef::from(&socket), Some(Probes::after(delay))));
        }
        Ok(socket)
    };
    let socket =
        make().map_err(|error| if is_bound { Unmade::Bind(error, local) } else { Unmade::Socket(error) })?;
    Ok(TcpSocket::from_std_stream(socket.into()))
}

/// Keep-alive probes: the first after `delay` without a byte, then one each `interval`, `count` of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probes {
    pub delay: Duration,
    pub interval: Duration,
    pub count: u32,
}

impl Probes {
    /// As libuv sets them.
    pub const fn after(delay: Duration) -> Self {
        Self { delay, interval: Duration::from_secs(1), count: 10 }
    }
}

/// None: no probes. As libuv does, whole seconds; where one of the three is zero, all are left as they are.
pub fn set_keep_alive(socket: &SockRef<'_>, probes: Option<Probes>) -> io::Result<()> {
    let Some(Probes { delay, interval, count }) = probes else { return socket.set_keepalive(false) };
    let (delay, interval) = (delay.as_secs(), interval.as_secs());
    if delay == 0 || interval == 0 || count == 0 {
        return socket.set_keepalive(true);
    }
    let keep_alive = TcpKeepalive::new().with_time(Duration::from_secs(delay));
    #[cfg(any(target_os = "linux", target_os = "macos", windows))]
    let keep_alive = keep_alive.with_interval(Duration::from_secs(interval));
    #[cfg(any(target_os = "linux", target_os = "macos"))]
    let keep_alive = keep_alive.with_retries(count);
    socket.set_tcp_keepalive(&keep_alive)
}

/// What routers are told of each packet (DSCP): a field that IPv4 and IPv6 name differently.
pub fn set_type_of_service(socket: &SockRef<'_>, value: u8) -> io::Result<()> {
    let is_v4 = socket.local_addr()?.is_ipv4();
    #[cfg(unix)]
    if !is_v4 {
        return socket.set_tclass_v6(value.into());
    }
    if is_v4 { socket.set_tos_v4(value.into()) } else { Ok(()) }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn probes_are_set_whole_or_not_at_all() {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let set = |delay, interval, count| {
            let (delay, interval) = (Duration::from_secs(delay), Duration::from_secs(interval));
            set_keep_alive(&SockRef::from(&socket), Some(Probes { delay, interval, count })).unwrap();
            let time = |time: io::Result<Duration>| time.unwrap().as_secs();
            let is_on = socket.keepalive().unwrap();
            (
                is_on,
                time(socket.tcp_keepalive_time()),
                time(socket.tcp_keepalive_interval()),
                socket.tcp_keepalive_retries().unwrap(),
            )
        };
        assert_eq!(set(40, 3, 4), (true, 40, 3, 4));
        for (delay, interval, count) in [(0, 5, 5), (5, 0, 5), (5, 5, 0)] {
            assert_eq!(set(delay, interval, count), (true, 40, 3, 4));
        }
        set_keep_alive(&SockRef::from(&socket), None).unwrap();
        assert!(!socket.keepalive().unwrap());
    }

    #[test]
    fn the_type_of_service_has_a_name_in_each_family() {
        for domain in [Domain::IPV4, Domain::IPV6] {
            let Ok(socket) = Socket::new(domain, Type::STREAM, None) else { continue };
            set_type_of_service(&SockRef::from(&socket), 16).unwrap();
            let found = if domain == Domain::IPV4 { socket.tos_v4() } else { socket.tclass_v6() };
            assert_eq!(found.unwrap(), 16);
        }
    }
}
