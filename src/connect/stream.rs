//! An established connection, of whichever kind.

use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;

use super::tcp;
use super::tcp_info::{TcpInfo, tcp_info};

#[derive(Debug)]
pub enum Stream {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

impl Stream {
    pub fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            #[cfg(unix)]
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }

    pub fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            #[cfg(unix)]
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    /// Writes what the kernel takes right now.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_write(bytes),
            #[cfg(unix)]
            Self::Unix(stream) => stream.try_write(bytes),
        }
    }

    /// Whether an idle connection can still be used, by a look at the socket
    /// itself: what has arrived may not have been read yet. EOF, a byte that
    /// nobody asked for and an error all say no.
    pub fn is_quiet(&self) -> bool {
        let mut byte = [MaybeUninit::uninit(); 1];
        self.socket().peek(&mut byte).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// What the kernel knows of it; none for a Unix socket, and on systems that do not tell.
    pub fn tcp_info(&self) -> Option<TcpInfo> {
        if let Self::Tcp(_) = self { tcp_info(&self.socket()) } else { None }
    }

    /// Sends FIN.
    pub fn shutdown_write(&self) -> io::Result<()> {
        self.socket().shutdown(std::net::Shutdown::Write)
    }

    /// Lets the close that follows send RST.
    pub fn reset_on_close(&self) {
        // It only fails on a socket that is closed already, where there is nothing to reset.
        let _ = self.socket().set_linger(Some(Duration::ZERO));
    }

    pub fn set_no_delay(&self, on: bool) {
        if let Self::Tcp(stream) = self {
            // Node ignores the failure too: the peer may be gone.
            let _ = stream.set_nodelay(on);
        }
    }

    pub fn set_keep_alive(&self, delay: Option<Duration>) {
        if let Self::Tcp(_) = self {
            // As above.
            let _ = tcp::set_keep_alive(&self.socket(), delay);
        }
    }

    /// Lets the kernel end the connection when bytes stay unacknowledged for so long (TCP_USER_TIMEOUT,
    /// Linux). Keep-alive probes that are not answered for so long end it too.
    pub fn set_user_timeout(&self, limit: Option<Duration>) {
        #[cfg(target_os = "linux")]
        if let Self::Tcp(_) = self {
            // It fails on a socket that is closed only.
            let _ = self.socket().set_tcp_user_timeout(limit);
        }
        #[cfg(not(target_os = "linux"))]
        let _ = limit;
    }

    /// Local and peer address; none for a Unix socket.
    pub fn addresses(&self) -> Option<(SocketAddr, SocketAddr)> {
        match self {
            Self::Tcp(stream) => Some((stream.local_addr().ok()?, stream.peer_addr().ok()?)),
            #[cfg(unix)]
            Self::Unix(_) => None,
        }
    }

    fn socket(&self) -> SockRef<'_> {
        match self {
            Self::Tcp(stream) => SockRef::from(stream),
            #[cfg(unix)]
            Self::Unix(stream) => SockRef::from(stream),
        }
    }
}
