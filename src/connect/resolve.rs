//! The system's resolver, off the loop: getaddrinfo(3) on a thread that may
//! hang for as long as it likes without holding anything else up.

use std::io;
use std::net::IpAddr;

use tokio::sync::oneshot;

use super::destination::{Order, TcpTarget};
use super::resolver_threads::{Job, Threads};

static THREADS: Threads = Threads::new();

pub enum Unresolved {
    /// libuv's number for getaddrinfo's error.
    Name(i32),
    /// The system has no thread for it.
    NoThread,
}

/// Addresses in the order in which Node would give them.
pub async fn resolve(target: &TcpTarget) -> Result<Vec<IpAddr>, Unresolved> {
    let (host, family, hints) = (target.host.clone(), target.family, target.hints);
    let (job, resolved) = while_wanted(move || getaddrinfo(&host, family, hints));
    THREADS.run(job).map_err(|_| Unresolved::NoThread)?;
    let resolved = resolved.await.unwrap_or(Err(EAI_CANCELED));
    let mut addresses = resolved.map_err(Unresolved::Name)?;
    sort(&mut addresses, target.order);
    Ok(addresses)
}

/// A job, and what it comes to. It does nothing if nobody waits for that any more: while a name server does not
/// answer, lookups that were given up would pile up before those that are wanted, and hold them up for minutes.
fn while_wanted<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> (Job, oneshot::Receiver<T>) {
    let (sender, receiver) = oneshot::channel();
    let job = move || {
        if !sender.is_closed() {
            let _ = sender.send(work());
        }
    };
    (Box::new(job), receiver)
}

fn sort(addresses: &mut [IpAddr], order: Order) {
    match order {
        Order::Verbatim => {}
        // Stable sorts: the resolver's order (RFC 6724) stays within a family.
        Order::Ipv4First => addresses.sort_by_key(IpAddr::is_ipv6),
        Order::Ipv6First => addresses.sort_by_key(IpAddr::is_ipv4),
    }
}

const EAI_CANCELED: i32 = -3003;
const EAI_NODATA: i32 = -3007;
const EAI_NONAME: i32 = -3008;

#[cfg(unix)]
fn getaddrinfo(host: &str, family: u8, flags: i32) -> Result<Vec<IpAddr>, i32> {
    use std::ffi::CString;
    use std::ptr;

    let host = CString::new(host).map_err(|_| EAI_NONAME)?;
    // SAFETY: addrinfo is plain data, for which all zeroes is a valid value.
    let mut hints: libc::addrinfo = unsafe { std::mem::zeroed() };
    hints.ai_flags = flags;
    hints.ai_socktype = libc::SOCK_STREAM;
    hints.ai_family = match family {
        4 => libc::AF_INET,
        6 => libc::AF_INET6,
        _ => libc::AF_UNSPEC,
    };
    let mut list: *mut libc::addrinfo = ptr::null_mut();
    // SAFETY: host is NUL-terminated, hints is initialised, and list is a valid place for the result.
    let status = unsafe { libc::getaddrinfo(host.as_ptr(), ptr::null(), &raw const hints, &raw mut list) };
    if status != 0 {
        return Err(uv_eai(status));
    }
    let mut addresses = Vec::new();
    let mut next = list;
    // SAFETY: getaddrinfo succeeded, so the list is well formed and each ai_addr has the type
    // that its ai_family names; it is freed once, after the last look at it.
    unsafe {
        while let Some(entry) = next.as_ref() {
            match entry.ai_family {
                libc::AF_INET => {
                    let address = entry.ai_addr.cast::<libc::sockaddr_in>().read_unaligned();
                    addresses.push(IpAddr::from(address.sin_addr.s_addr.to_ne_bytes()));
                }
                libc::AF_INET6 => {
                    let address = entry.ai_addr.cast::<libc::sockaddr_in6>().read_unaligned();
                    addresses.push(IpAddr::from(address.sin6_addr.s6_addr));
                }
                _ => {}
            }
            next = entry.ai_next;
        }
        libc::freeaddrinfo(list);
    }
    if addresses.is_empty() { Err(EAI_NODATA) } else { Ok(addresses) }
}

/// libuv numbers getaddrinfo's errors by itself; the systems do not agree on them.
#[cfg(unix)]
fn uv_eai(status: i32) -> i32 {
    match status {
        libc::EAI_AGAIN => -3001,
        libc::EAI_BADFLAGS => -3002,
        libc::EAI_FAIL => -3004,
        libc::EAI_FAMILY => -3005,
        libc::EAI_MEMORY => -3006,
        libc::EAI_NODATA => EAI_NODATA,
        libc::EAI_OVERFLOW => -3009,
        libc::EAI_SERVICE => -3010,
        libc::EAI_SOCKTYPE => -3011,
        libc::EAI_SYSTEM => io::Error::last_os_error().raw_os_error().map_or(-3004, |errno| -errno),
        _ => EAI_NONAME,
    }
}

#[cfg(windows)]
fn getaddrinfo(host: &str, family: u8, _flags: i32) -> Result<Vec<IpAddr>, i32> {
    use std::net::ToSocketAddrs;

    let resolved = (host, 0).to_socket_addrs().map_err(|error: io::Error| match error.raw_os_error() {
        Some(11002) => -3001, // WSATRY_AGAIN
        Some(11003) => -3004, // WSANO_RECOVERY
        _ => EAI_NONAME,
    })?;
    let wanted = |address: &IpAddr| match family {
        4 => address.is_ipv4(),
        6 => address.is_ipv6(),
        _ => true,
    };
    let addresses: Vec<IpAddr> = resolved.map(|address| address.ip()).filter(wanted).collect();
    if addresses.is_empty() { Err(EAI_NODATA) } else { Ok(addresses) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn resolves_localhost_in_the_order_asked_for() {
        let mut target = TcpTarget::for_test("localhost", 80);
        target.family = 4;
        let addresses = resolve(&target).await.ok().unwrap();
        assert!(addresses.iter().all(|address| address.is_ipv4() && address.is_loopback()), "{addresses:?}");
    }

    #[test]
    fn a_lookup_that_was_given_up_is_not_begun() {
        let (looked, lookups) = std::sync::mpsc::channel();
        let look = |name: &'static str| {
            let looked = looked.clone();
            while_wanted(move || looked.send(name).unwrap())
        };
        let (given_up, answer) = look("given up");
        drop(answer);
        let (wanted, mut answer) = look("wanted");
        given_up();
        wanted();
        assert_eq!(answer.try_recv(), Ok(()));
        drop(looked);
        assert_eq!(lookups.iter().collect::<Vec<_>>(), ["wanted"]);
    }

    #[test]
    fn a_name_that_no_resolver_takes_is_not_found() {
        assert_eq!(getaddrinfo("a\0b", 0, 0), Err(EAI_NONAME));
    }

    #[test]
    fn families_are_sorted_and_else_left_alone() {
        let parse = |list: &[&str]| list.iter().map(|text| text.parse().unwrap()).collect::<Vec<IpAddr>>();
        let given = parse(&["::1", "10.0.0.2", "::2", "10.0.0.1"]);
        let sorted = |order| {
            let mut addresses = given.clone();
            sort(&mut addresses, order);
            addresses
        };
        assert_eq!(sorted(Order::Verbatim), given);
        assert_eq!(sorted(Order::Ipv4First), parse(&["10.0.0.2", "10.0.0.1", "::1", "::2"]));
        assert_eq!(sorted(Order::Ipv6First), parse(&["::1", "::2", "10.0.0.2", "10.0.0.1"]));
    }
}
