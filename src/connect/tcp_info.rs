//! What the kernel knows of a TCP connection (`TCP_INFO`, Linux). Other systems
//! give none of it: there nothing is measured and nothing is proven, and
//! everything else works.

use std::time::Duration;

use socket2::SockRef;

/// The round trip as TCP has measured it (RFC 6298).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoundTrip {
    pub smoothed: Duration,
    pub variance: Duration,
}

/// A look at one connection.
#[derive(Clone, Copy, Debug)]
pub struct TcpInfo {
    /// Bytes of ours that the peer has acknowledged since the beginning, SYN and FIN included.
    pub acked: u64,
    /// None before anything was measured.
    pub round_trip: Option<RoundTrip>,
}

#[cfg(target_os = "linux")]
pub fn tcp_info(socket: &SockRef<'_>) -> Option<TcpInfo> {
    use std::mem::{MaybeUninit, size_of};
    use std::os::fd::AsRawFd;

    let mut info = MaybeUninit::<RawInfo>::zeroed();
    let mut length = size_of::<RawInfo>() as libc::socklen_t;
    // SAFETY: the place is valid for `length` bytes, of which the kernel writes at most as many. Every
    // bit pattern is a value of RawInfo, and what an older kernel leaves out stays zero.
    let (status, info) = unsafe {
        let place = info.as_mut_ptr().cast();
        let status =
            libc::getsockopt(socket.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_INFO, place, &raw mut length);
        (status, info.assume_init())
    };
    if status != 0 {
        return None;
    }
    let micros = |micros: u32| Duration::from_micros(micros.into());
    Some(TcpInfo {
        acked: info.bytes_acked,
        round_trip: (info.rtt > 0)
            .then(|| RoundTrip { smoothed: micros(info.rtt), variance: micros(info.rttvar) }),
    })
}

#[cfg(not(target_os = "linux"))]
pub fn tcp_info(_socket: &SockRef<'_>) -> Option<TcpInfo> {
    None
}

/// The beginning of the kernel's `struct tcp_info` (uapi/linux/tcp.h), whose layout is never changed, only
/// continued. libc has it for some C libraries only.
#[cfg(target_os = "linux")]
#[repr(C)]
struct RawInfo {
    _state_to_app_limited: [u8; 8],
    _rto_to_rcv_ssthresh: [u32; 15],
    rtt: u32,
    rttvar: u32,
    _snd_ssthresh_to_total_retrans: [u32; 7],
    _pacing_rate_and_max: [u64; 2],
    bytes_acked: u64,
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn the_layout_is_the_kernels() {
        use std::mem::offset_of;
        assert_eq!(offset_of!(RawInfo, rtt), 68);
        assert_eq!(offset_of!(RawInfo, bytes_acked), 120);
    }

    #[test]
    fn a_connection_has_a_round_trip_and_acknowledged_bytes() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        let look = |client: &TcpStream| tcp_info(&SockRef::from(client)).unwrap();

        let before = look(&client).acked;
        client.write_all(b"12345").unwrap();
        server.read_exact(&mut [0; 5]).unwrap();
        // The answer carries the acknowledgement.
        server.write_all(b"6").unwrap();
        client.read_exact(&mut [0; 1]).unwrap();
        assert_eq!(look(&client).acked - before, 5);
        assert!(look(&client).round_trip.is_some_and(|trip| trip.smoothed < Duration::from_secs(1)));
    }
}
