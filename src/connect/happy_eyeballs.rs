//! Happy eyeballs (RFC 8305): addresses of both families in turn, the next
//! attempt beside the running ones when they take long, the first to connect
//! wins. Node gives an attempt up when the next one starts; here a slow first
//! address can still win.

use std::future::{Future, poll_fn};
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::task::Poll;

use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

use super::destination::TcpTarget;
use super::tcp::{self, Unmade};
use super::{ConnectError, Endpoint, Failure, Local, Progress, failed};

/// Addresses with the families alternating, beginning with the first one's
/// (RFC 8305 section 4); each address once.
pub fn interleave(addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    let first_is_v6 = addresses.first().is_some_and(IpAddr::is_ipv6);
    let mut unique = Vec::with_capacity(addresses.len());
    for address in addresses {
        if !unique.contains(&address) {
            unique.push(address);
        }
    }
    let (first, second): (Vec<_>, Vec<_>) =
        unique.into_iter().partition(|address| address.is_ipv6() == first_is_v6);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut order = Vec::new();
    loop {
        let (one, other) = (first.next(), second.next());
        if one.is_none() && other.is_none() {
            return order;
        }
        order.extend(one);
        order.extend(other);
    }
}

pub async fn connect<P: Progress>(
    target: &TcpTarget,
    addresses: Vec<IpAddr>,
    progress: &P,
) -> Result<TcpStream, ConnectError> {
    let aggregate = addresses.len() > 1;
    let mut waiting = addresses.into_iter();
    let mut running: JoinSet<Result<TcpStream, Failure>> = JoinSet::new();
    let mut failures = Vec::new();

    while let Some(address) = waiting.next() {
        let endpoint = Endpoint {
            address: address.to_string(),
            port: target.port,
            family: if address.is_ipv4() { 4 } else { 6 },
        };
        progress.attempt(&endpoint).await;
        running.spawn_local(attempt(target.clone(), SocketAddr::new(address, target.port), endpoint.clone()));

        let mut patience = pin!(tokio::time::sleep(target.attempt_delay));
        let last = waiting.len() == 0;
        loop {
            let ended = tokio::select! {
                ended = running.join_next() => ended,
                () = &mut patience, if !last => {
                    progress.attempt_timeout(&endpoint);
                    break;
                }
            };
            match ended {
                Some(Ok(Ok(stream))) => return Ok(stream),
                Some(Ok(Err(failure))) => {
                    progress.attempt_failed(&failure);
                    failures.push(failure);
                    // A failure is no reason to wait (RFC 8305 section 5).
                    if !last {
                        break;
                    }
                }
                // An attempt is never cancelled while it is awaited here.
                Some(Err(_)) => return Err(ConnectError::Panicked),
                None => break,
            }
        }
    }
    Err(ConnectError::Attempts { failures, aggregate })
}

async fn attempt(target: TcpTarget, address: SocketAddr, endpoint: Endpoint) -> Result<TcpStream, Failure> {
    let socket = match tcp::socket(&target, address.ip()) {
        Ok(socket) => socket,
        Err(Unmade::Bind(error, local)) => {
            let bound =
                Endpoint { address: local.ip().to_string(), port: local.port(), family: endpoint.family };
            return Err(failed(bound, "bind", &error, None));
        }
        Err(Unmade::Socket(error)) => {
            return Err(failed(endpoint, "connect", &error, Some(Local::NoSocket)));
        }
    };
    // Node names the local address of a connect that fails if both halves were given. Of one that the system refuses at
    // once it names what the socket has. libuv puts off a refusal by the peer, which may be there as soon.
    let own = own_address(&target, &socket, address);
    let mut connecting = pin!(socket.connect(address));
    let at_once = poll_fn(|cx| Poll::Ready(connecting.as_mut().poll(cx))).await;
    let (ended, local) = match at_once {
        Poll::Ready(Err(error)) if error.kind() != ErrorKind::ConnectionRefused => {
            (Err(error), Some(Local::Own(own)))
        }
        Poll::Ready(ended) => (ended, given_address(&target)),
        Poll::Pending => (connecting.await, given_address(&target)),
    };
    ended.map_err(|error| failed(endpoint, "connect", &error, local))
}

fn given_address(target: &TcpTarget) -> Option<Local> {
    let address = target.local_address.filter(|_| target.local_port != 0)?;
    Some(Local::Given(SocketAddr::new(address, target.local_port)))
}

fn own_address(target: &TcpTarget, socket: &TcpSocket, peer: SocketAddr) -> SocketAddr {
    // The system is asked only for what it may have chosen.
    let bound = target.is_bound().then(|| socket.local_addr().ok()).flatten();
    bound.unwrap_or_else(|| SocketAddr::new(tcp::any_beside(peer.ip()), 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connect::Stream;
    use crate::tls::KeyLines;
    use std::cell::RefCell;
    use tokio::net::{TcpListener, TcpSocket};
    use tokio::task::LocalSet;

    #[derive(Default)]
    struct Seen(RefCell<Vec<String>>);

    impl Progress for Seen {
        fn lookup(&self, _: Result<&[IpAddr], i32>) {}
        async fn attempt(&self, endpoint: &Endpoint) {
            self.0.borrow_mut().push(format!("attempt {}", endpoint.address));
        }
        fn attempt_failed(&self, failure: &Failure) {
            self.0.borrow_mut().push(format!("failed {} {}", failure.endpoint.address, failure.syscall));
        }
        fn attempt_timeout(&self, endpoint: &Endpoint) {
            self.0.borrow_mut().push(format!("timeout {}", endpoint.address));
        }
        async fn connected(&self, _: &Stream) {}
        fn key_lines(&self, _: &KeyLines) {}
    }

    fn addresses(list: &[&str]) -> Vec<IpAddr> {
        list.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn families_alternate_and_nothing_is_tried_twice() {
        let given = addresses(&["::1", "::1", "::2", "10.0.0.1", "::3", "10.0.0.1"]);
        assert_eq!(interleave(given), addresses(&["::1", "10.0.0.1", "::2", "::3"]));
        assert_eq!(interleave(vec![]), addresses(&[]));
    }

    /// Holds an address at which nobody listens. A port that is nobody's may be another test's a moment later.
    fn unheard(ip: [u8; 4], port: u16) -> (TcpSocket, u16) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((ip, port).into()).unwrap();
        let port = socket.local_addr().unwrap().port();
        (socket, port)
    }

    #[tokio::test]
    async fn a_refused_address_gives_way_to_the_next() {
        let (_unheard, port) = unheard([127, 0, 0, 1], 0);
        let _listener = TcpListener::bind(("127.0.0.2", port)).await.unwrap();
        let target = TcpTarget::for_test("test", port);
        let seen = Seen::default();
        let list = addresses(&["127.0.0.1", "127.0.0.2"]);
        let stream = LocalSet::new().run_until(connect(&target, list, &seen)).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap().ip().to_string(), "127.0.0.2");
        assert_eq!(*seen.0.borrow(), ["attempt 127.0.0.1", "failed 127.0.0.1 connect", "attempt 127.0.0.2"]);
    }

    #[tokio::test]
    async fn when_all_fail_each_failure_is_there() {
        let (_first, port) = unheard([127, 0, 0, 1], 0);
        let (_second, _) = unheard([127, 0, 0, 2], port);
        let target = TcpTarget::for_test("test", port);
        let seen = Seen::default();
        let list = addresses(&["127.0.0.1", "127.0.0.2"]);
        let error = LocalSet::new().run_until(connect(&target, list, &seen)).await.unwrap_err();
        let ConnectError::Attempts { failures, aggregate } = error else { panic!("{error:?}") };
        assert!(aggregate);
        assert_eq!(failures.len(), 2);
    }
}
