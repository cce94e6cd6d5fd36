//! An established connection, of whichever kind.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
#[cfg(unix)]
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;

use super::tcp::{self, Probes};
use super::tcp_info::{TcpInfo, tcp_info};
use crate::binding::loans::Lent;
use crate::tls::TlsStream;

/// What is to be written.
#[derive(Clone, Copy)]
pub enum Piece<'a> {
    Bytes(&'a [u8]),
    /// From that byte on. Never over TLS, which has to read the bytes itself, and on Unix only.
    Lent(&'a Lent, usize),
}

/// A peer that is gone is an error, and no signal. The others have it as an option of the socket, which is set when it is
/// made.
#[cfg(target_os = "linux")]
const SEND_FLAGS: libc::c_int = libc::MSG_NOSIGNAL;
#[cfg(not(target_os = "linux"))]
const SEND_FLAGS: libc::c_int = 0;

/// The most that one write takes of what is lent: the thread has other connections.
const LENT_PER_WRITE: usize = 1024 * 1024;

pub enum Stream {
    Tcp(TcpStream),
    /// Over one of the others, never over another TLS.
    Tls(Box<TlsStream>),
    #[cfg(unix)]
    Unix(UnixStream),
}

impl Stream {
    pub fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => stream.poll_read(cx, buf),
            #[cfg(unix)]
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }

    pub fn poll_write(&mut self, cx: &mut Context<'_>, piece: Piece<'_>) -> Poll<io::Result<usize>> {
        let bytes = match piece {
            Piece::Bytes(bytes) => bytes,
            Piece::Lent(..) => return self.poll_write_lent(cx, piece),
        };
        match self {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => stream.poll_write(cx, bytes),
            #[cfg(unix)]
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_lent(&mut self, cx: &mut Context<'_>, piece: Piece<'_>) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.poll_write_ready(cx))?;
            match self.try_write(piece) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }

    /// Writes what the kernel takes right now.
    pub fn try_write(&mut self, piece: Piece<'_>) -> io::Result<usize> {
        let bytes = match piece {
            Piece::Bytes(bytes) => bytes,
            Piece::Lent(lent, from) => return self.try_write_lent(lent, from),
        };
        match self {
            Self::Tcp(stream) => stream.try_write(bytes),
            Self::Tls(stream) => stream.try_write(bytes),
            #[cfg(unix)]
            Self::Unix(stream) => stream.try_write(bytes),
        }
    }

    /// Two pieces in one system call, as far as the kernel takes them right now.
    pub fn try_write_pair(&mut self, pair: [&[u8]; 2]) -> io::Result<usize> {
        match self {
            Self::Tls(stream) => stream.try_write_pair(pair),
            _ => self.try_write_raw(&pair.map(IoSlice::new)),
        }
    }

    pub fn poll_write_pair(&mut self, cx: &mut Context<'_>, pair: [&[u8]; 2]) -> Poll<io::Result<usize>> {
        if let Self::Tls(stream) = self {
            return stream.poll_write_pair(cx, pair);
        }
        loop {
            ready!(self.poll_write_ready(cx))?;
            match self.try_write_pair(pair) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }

    #[cfg(unix)]
    fn try_write_lent(&self, lent: &Lent, from: usize) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => {
                stream.try_io(Interest::WRITABLE, || lent.read_by(from, |data, len| send(stream, data, len)))
            }
            Self::Unix(stream) => {
                stream.try_io(Interest::WRITABLE, || lent.read_by(from, |data, len| send(stream, data, len)))
            }
            Self::Tls(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    #[cfg(not(unix))]
    fn try_write_lent(&self, _lent: &Lent, _from: usize) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Whether bytes that were written are still on their way to the kernel.
    pub fn is_blocked(&self) -> bool {
        matches!(self, Self::Tls(stream) if stream.is_blocked())
    }

    /// Bytes written so far below TLS; none without TLS.
    pub fn wire_bytes(&self) -> Option<u64> {
        match self {
            Self::Tls(stream) => Some(stream.wire_bytes()),
            _ => None,
        }
    }

    /// Waits for those bytes.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tls(stream) => stream.poll_flush(cx),
            _ => Poll::Ready(Ok(())),
        }
    }

    /// A look at what there is to be read, which leaves it there: `WouldBlock` for nothing, empty at the end. It goes
    /// to the socket itself, since what has arrived may not have been read yet. `bytes` is room for it. An error of the
    /// kind `Other`: something has come, but there is no getting to what is to be read.
    pub fn peek<'a>(&'a mut self, bytes: &'a mut [MaybeUninit<u8>]) -> io::Result<&'a [u8]> {
        if let Self::Tls(stream) = self {
            return stream.peek();
        }
        let count = self.socket().peek(bytes)?;
        // SAFETY: peek has written `count` bytes.
        Ok(unsafe { init(bytes, count) })
    }

    /// What the kernel knows of it; none for a Unix socket, and on systems that do not tell.
    pub fn tcp_info(&self) -> Option<TcpInfo> {
        match self {
            Self::Tcp(_) => tcp_info(&self.socket()),
            Self::Tls(stream) => stream.socket().tcp_info(),
            #[cfg(unix)]
            Self::Unix(_) => None,
        }
    }

    /// Sends FIN, over TLS `close_notify` before it.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tls(stream) => stream.poll_shutdown(cx),
            _ => Poll::Ready(self.shutdown_write()),
        }
    }

    /// Sends FIN.
    pub fn shutdown_write(&self) -> io::Result<()> {
        self.socket().shutdown(std::net::Shutdown::Write)
    }

    /// Sends no byte from here on that the kernel does not have yet. Without TLS none waits in here.
    pub const fn abandon(&mut self) {
        if let Self::Tls(stream) = self {
            stream.abandon();
        }
    }

    /// Lets the close that follows send RST.
    pub fn reset_on_close(&mut self) {
        if let Self::Tls(stream) = self {
            stream.reset_on_close();
            return;
        }
        // It only fails on a socket that is closed already, where there is nothing to reset.
        let _ = self.socket().set_linger(Some(Duration::ZERO));
    }

    pub fn set_no_delay(&self, on: bool) {
        match self {
            // Node ignores the failure too: the peer may be gone.
            Self::Tcp(stream) => drop(stream.set_nodelay(on)),
            Self::Tls(stream) => stream.socket().set_no_delay(on),
            #[cfg(unix)]
            Self::Unix(_) => {}
        }
    }

    pub fn set_keep_alive(&self, probes: Option<Probes>) {
        match self {
            // As above.
            Self::Tcp(_) => drop(tcp::set_keep_alive(&self.socket(), probes)),
            Self::Tls(stream) => stream.socket().set_keep_alive(probes),
            #[cfg(unix)]
            Self::Unix(_) => {}
        }
    }

    pub fn set_type_of_service(&self, value: u8) {
        match self {
            // As above.
            Self::Tcp(_) => drop(tcp::set_type_of_service(&self.socket(), value)),
            Self::Tls(stream) => stream.socket().set_type_of_service(value),
            #[cfg(unix)]
            Self::Unix(_) => {}
        }
    }

    /// Lets the kernel end the connection when bytes stay unacknowledged for so long (TCP_USER_TIMEOUT,
    /// Linux). Keep-alive probes that are not answered for so long end it too.
    pub fn set_user_timeout(&self, limit: Option<Duration>) {
        #[cfg(target_os = "linux")]
        match self {
            // It fails on a socket that is closed only.
            Self::Tcp(_) => drop(self.socket().set_tcp_user_timeout(limit)),
            Self::Tls(stream) => stream.socket().set_user_timeout(limit),
            Self::Unix(_) => {}
        }
        #[cfg(not(target_os = "linux"))]
        let _ = limit;
    }

    /// Local and peer address; none for a Unix socket.
    pub fn addresses(&self) -> Option<(SocketAddr, SocketAddr)> {
        match self {
            Self::Tcp(stream) => Some((stream.local_addr().ok()?, stream.peer_addr().ok()?)),
            Self::Tls(stream) => stream.socket().addresses(),
            #[cfg(unix)]
            Self::Unix(_) => None,
        }
    }

    fn socket(&self) -> SockRef<'_> {
        match self {
            Self::Tcp(stream) => SockRef::from(stream),
            Self::Tls(stream) => stream.socket().socket(),
            #[cfg(unix)]
            Self::Unix(stream) => SockRef::from(stream),
        }
    }

    /// Writes to the socket itself, below TLS.
    pub fn try_write_raw(&self, bytes: &[IoSlice<'_>]) -> io::Result<usize> {
        // Not writev(2), which may end the process by SIGPIPE.
        let send = || self.socket().send_vectored_with_flags(bytes, SEND_FLAGS);
        match self {
            Self::Tcp(stream) => stream.try_io(Interest::WRITABLE, send),
            Self::Tls(stream) => stream.socket().try_write_raw(bytes),
            #[cfg(unix)]
            Self::Unix(stream) => stream.try_io(Interest::WRITABLE, send),
        }
    }

    pub fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_write_ready(cx),
            Self::Tls(stream) => stream.socket().poll_write_ready(cx),
            #[cfg(unix)]
            Self::Unix(stream) => stream.poll_write_ready(cx),
        }
    }

    /// Takes what the kernel has, without a task and below TLS. Empty at the end.
    pub fn receive<'a>(&self, bytes: &'a mut [MaybeUninit<u8>]) -> io::Result<&'a [u8]> {
        let count = self.socket().recv(bytes)?;
        // SAFETY: recv has written `count` bytes.
        Ok(unsafe { init(bytes, count) })
    }
}

/// # Safety
///
/// The first `count` bytes have been written.
unsafe fn init(bytes: &[MaybeUninit<u8>], count: usize) -> &[u8] {
    // SAFETY: the caller has seen to it.
    unsafe { std::slice::from_raw_parts(bytes[..count].as_ptr().cast(), count) }
}

/// Of memory that need not be there.
#[cfg(unix)]
fn send(socket: &impl AsRawFd, data: *const u8, len: usize) -> io::Result<usize> {
    // SAFETY: only the kernel reads the memory, and it returns EFAULT where there is none.
    let count = unsafe { libc::send(socket.as_raw_fd(), data.cast(), len.min(LENT_PER_WRITE), SEND_FLAGS) };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}
