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
    /// The connection is closed, by a reset of the peer or by giving up on it.
    pub closed: bool,
    /// Bytes of ours that the peer has acknowledged since the beginning, SYN and FIN included.
    pub acked: u64,
    /// Something that was sent, or that waits for being sent, is not acknowledged.
    pub outstanding: bool,
    /// The peer takes nothing more at present: bytes wait, and none is on its way.
    pub window_closed: bool,
    /// How many bytes the peer takes, by its last word; none if this kernel does not tell.
    pub window: Option<u32>,
    /// How often it has been asked since its last answer whether it takes something now.
    pub probes: u8,
    /// Since the last segment of the peer that acknowledged anything, if only what it had before.
    pub last_ack: Duration,
    /// Segments that were sent again, since the beginning.
    pub retransmitted: u32,
    /// How often in a row the time for an acknowledgement has run out.
    pub timeouts: u8,
    /// None before anything was measured.
    pub round_trip: Option<RoundTrip>,
}

/// It counts as a byte that is acknowledged.
pub const SYN: u64 = 1;

impl TcpInfo {
    /// Whether the peer has acknowledged more than that it was called. Until then the connection may stand on this side
    /// only: if a server's queue is full of connections that its program has yet to accept, its system drops the end
    /// of the next handshakes, and what is sent behind it, until there is room.
    pub const fn is_confirmed(&self) -> bool {
        self.acked > SYN
    }

    /// Whether the peer may have taken nothing because it has no room. Of such a one an acknowledgement of the
    /// old is an answer. Of one that has room it says that what is outstanding has not come.
    pub fn may_be_full(&self) -> bool {
        self.window_closed || self.window.is_none_or(|window| window == 0)
    }
}

#[cfg(target_os = "linux")]
pub fn tcp_info(socket: &SockRef<'_>) -> Option<TcpInfo> {
    use std::mem::{MaybeUninit, offset_of, size_of};
    use std::os::fd::AsRawFd;

    /// TCP_CLOSE of the kernel's `net/tcp_states.h`.
    const CLOSE: u8 = 7;

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
        closed: info.state == CLOSE,
        acked: info.bytes_acked,
        outstanding: info.unacked > 0 || info.notsent_bytes > 0,
        probes: info.probes,
        window_closed: info.unacked == 0 && info.notsent_bytes > 0,
        window: (length as usize >= offset_of!(RawInfo, snd_wnd) + size_of::<u32>()).then_some(info.snd_wnd),
        last_ack: Duration::from_millis(info.last_ack_recv.into()),
        retransmitted: info.total_retrans,
        timeouts: info.retransmits,
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
    state: u8,
    _ca_state: u8,
    retransmits: u8,
    probes: u8,
    _backoff_to_app_limited: [u8; 4],
    _rto_to_rcv_mss: [u32; 4],
    unacked: u32,
    _sacked_to_last_data_recv: [u32; 7],
    last_ack_recv: u32,
    _pmtu_and_rcv_ssthresh: [u32; 2],
    rtt: u32,
    rttvar: u32,
    _snd_ssthresh_to_rcv_space: [u32; 6],
    total_retrans: u32,
    _pacing_rate_and_max: [u64; 2],
    bytes_acked: u64,
    _bytes_received: u64,
    _segs_out_and_in: [u32; 2],
    notsent_bytes: u32,
    _min_rtt_to_data_segs_out: [u32; 3],
    _delivery_rate_to_sndbuf_limited: [u64; 4],
    _delivered_and_ce: [u32; 2],
    _bytes_sent_and_retrans: [u64; 2],
    _dsack_dups_to_rcv_ooopack: [u32; 3],
    snd_wnd: u32,
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn the_layout_is_the_kernels() {
        use std::mem::offset_of;
        assert_eq!(offset_of!(RawInfo, retransmits), 2);
        assert_eq!(offset_of!(RawInfo, probes), 3);
        assert_eq!(offset_of!(RawInfo, unacked), 24);
        assert_eq!(offset_of!(RawInfo, last_ack_recv), 56);
        assert_eq!(offset_of!(RawInfo, rtt), 68);
        assert_eq!(offset_of!(RawInfo, total_retrans), 100);
        assert_eq!(offset_of!(RawInfo, bytes_acked), 120);
        assert_eq!(offset_of!(RawInfo, notsent_bytes), 144);
        assert_eq!(offset_of!(RawInfo, snd_wnd), 228);
    }

    #[test]
    fn bytes_are_acknowledged_and_a_reset_closes() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        let look = |client: &TcpStream| tcp_info(&SockRef::from(client)).unwrap();

        let before = look(&client);
        // The SYN.
        assert_eq!(before.acked, 1);
        client.write_all(b"12345").unwrap();
        server.read_exact(&mut [0; 5]).unwrap();
        // The answer carries the acknowledgement.
        server.write_all(b"6").unwrap();
        client.read_exact(&mut [0; 1]).unwrap();
        let after = look(&client);
        assert_eq!(after.acked - before.acked, 5);
        assert!(!after.outstanding && !after.closed);
        assert_eq!(after.retransmitted, 0);
        // Every kernel but an old one tells; this one has room.
        assert!(after.window.is_none_or(|window| window > 5));
        assert!(after.round_trip.is_some_and(|trip| trip.smoothed < Duration::from_secs(1)));

        SockRef::from(&server).set_linger(Some(Duration::ZERO)).unwrap();
        drop(server);
        assert!(client.read(&mut [0; 1]).is_err());
        assert!(look(&client).closed);
    }
}
