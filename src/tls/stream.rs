//! A TLS connection over a socket.
//!
//! rustls knows nothing of sockets: ciphertext is carried to and fro here, so
//! that a small request is one write(2), and that a look at an idle connection
//! ([`TlsStream::peek`]) needs no task.

use std::cell::RefCell;
use std::io::{self, BufRead, IoSlice, Write};
use std::mem::MaybeUninit;
use std::task::{Context, Poll, ready};

use rustls::client::ClientConnectionData;
use rustls::{ClientConnection, ConnectionCommon};
use tokio::io::ReadBuf;
use tracing::debug;

use crate::connect::Stream;

/// The most ciphertext that is taken from the socket at once: two whole records.
const READ_SIZE: usize = 33 * 1024;

/// The most plaintext that is encrypted at once: four whole records, and a fifth for the head before so much.
const WRITE_SIZE: usize = 80 * 1024;

/// How often the socket is asked for more in a row where nothing comes of it: a server may send session tickets and key
/// updates for as long as it likes, and the thread has other connections.
const ROUNDS: u32 = 4;

thread_local! {
    /// For ciphertext on its way from a socket to rustls, which is copied there at once.
    static INBOUND: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_SIZE].into());
}

pub struct TlsStream {
    socket: Stream,
    tls: ClientConnection,
    /// Decrypted, and not asked for yet.
    plain: Vec<u8>,
    /// A TLS error, to be told once what came before it has been read.
    error: Option<rustls::Error>,
    notified: bool,
    /// Nothing is written any more.
    abandoned: bool,
    /// Ciphertext that the kernel has taken.
    sent: u64,
}

/// How a TLS connection ends that should not.
#[derive(Debug)]
pub enum TlsFailure {
    Ended,
    Io(io::Error),
    Tls,
}

impl TlsStream {
    pub fn new(socket: Stream, mut tls: ClientConnection) -> Self {
        // What may be buffered is bounded by WRITE_SIZE.
        tls.set_buffer_limit(None);
        Self { socket, tls, plain: Vec::new(), error: None, notified: false, abandoned: false, sent: 0 }
    }

    pub const fn socket(&self) -> &Stream {
        &self.socket
    }

    pub fn connection(&self) -> &ConnectionCommon<ClientConnectionData> {
        &self.tls
    }

    pub fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TlsFailure>> {
        loop {
            ready!(self.poll_flush(cx)).map_err(TlsFailure::Io)?;
            if !self.tls.is_handshaking() {
                return Poll::Ready(Ok(()));
            }
            let count = ready!(self.poll_receive(cx)).map_err(TlsFailure::Io)?;
            if let Some(error) = &self.error {
                debug!(%error, "rustls refuses");
                // The alert may help the server's operator; the failure is told either way.
                let _ = self.flush();
                return Poll::Ready(Err(TlsFailure::Tls));
            }
            if count == 0 {
                return Poll::Ready(Err(TlsFailure::Ended));
            }
        }
    }

    /// Reads plaintext. A FIN without `close_notify` is an end like any other,
    /// as it is for Node: HTTP knows by its framing whether something is missing.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut is_answering = false;
        for _ in 0..ROUNDS {
            self.take_plain(buf);
            if !buf.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            if let Some(error) = &self.error {
                return Poll::Ready(Err(tls_error(error.clone())));
            }
            if self.has_ended() {
                return Poll::Ready(Ok(()));
            }
            if is_answering {
                // To a key update, say: nothing is to be read of what has come. Else a request that waits for the kernel
                // would leave for a server that has spoken, or ended, before. It goes with the next write at the latest.
                let _ = self.flush();
            }
            if self.poll_receive(cx)?.is_pending() {
                // It is empty, and most connections wait for long.
                self.plain = Vec::new();
                return Poll::Pending;
            }
            is_answering = true;
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn has_ended(&mut self) -> bool {
        // No bytes and no WouldBlock: `close_notify`, or an end without one.
        self.tls
            .reader()
            .fill_buf()
            .map_or_else(|error| error.kind() != io::ErrorKind::WouldBlock, <[u8]>::is_empty)
    }

    fn take_plain(&mut self, buf: &mut ReadBuf<'_>) {
        let count = self.plain.len().min(buf.remaining());
        buf.put_slice(&self.plain[..count]);
        self.plain.drain(..count);
        while buf.remaining() > 0 {
            let mut reader = self.tls.reader();
            let Ok(bytes) = reader.fill_buf() else { return };
            let count = bytes.len().min(buf.remaining());
            if count == 0 {
                return;
            }
            buf.put_slice(&bytes[..count]);
            reader.consume(count);
        }
    }

    /// Takes ciphertext from the socket. 0 for its end.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        INBOUND.with_borrow_mut(|bytes| {
            let mut buf = ReadBuf::new(bytes);
            ready!(self.socket.poll_read(cx, &mut buf))?;
            let count = buf.filled().len();
            self.decrypt(buf.filled());
            Poll::Ready(Ok(count))
        })
    }

    /// Empty bytes are the end.
    fn decrypt(&mut self, mut bytes: &[u8]) {
        loop {
            let Ok(taken) = self.tls.read_tls(&mut bytes) else {
                // Its buffer is full. Without these bytes nothing that follows would make sense.
                self.error.get_or_insert_with(|| rustls::Error::General("more than fits".to_owned()));
                return;
            };
            if let Err(error) = self.tls.process_new_packets() {
                self.error.get_or_insert(error);
                return;
            }
            if bytes.is_empty() || taken == 0 {
                return;
            }
            // rustls stops reading when it has a record's worth of plaintext.
            self.gather();
        }
    }

    /// Takes over what rustls has decrypted.
    fn gather(&mut self) {
        let mut reader = self.tls.reader();
        while let Ok(chunk) = reader.fill_buf() {
            if chunk.is_empty() {
                break;
            }
            self.plain.extend_from_slice(chunk);
            let count = chunk.len();
            reader.consume(count);
        }
    }

    /// Encrypts and writes what the kernel takes right now. Once encrypted,
    /// bytes count as written: they cannot be taken back.
    pub fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.try_write_pair([bytes, &[]])
    }

    /// Two pieces, in the same records.
    pub fn try_write_pair(&mut self, pair: [&[u8]; 2]) -> io::Result<usize> {
        self.flush()?;
        let count = self.encrypt(pair)?;
        self.settle(count)
    }

    pub fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_pair(cx, [bytes, &[]])
    }

    pub fn poll_write_pair(&mut self, cx: &mut Context<'_>, pair: [&[u8]; 2]) -> Poll<io::Result<usize>> {
        ready!(self.poll_flush(cx))?;
        let count = self.encrypt(pair)?;
        // What stays behind has its waker by poll_flush, which the task calls when it has nothing to write.
        Poll::Ready(self.settle(count))
    }

    fn encrypt(&mut self, [first, next]: [&[u8]; 2]) -> io::Result<usize> {
        let first = &first[..first.len().min(WRITE_SIZE)];
        let next = &next[..next.len().min(WRITE_SIZE - first.len())];
        if next.is_empty() {
            return self.tls.writer().write(first);
        }
        self.tls.writer().write_vectored(&[IoSlice::new(first), IoSlice::new(next)])
    }

    /// Sends what was encrypted. An error is that of this write only if the
    /// kernel has taken nothing of it; else the next write meets it. Whoever is
    /// told of an error may send the same bytes elsewhere, so they never leave here.
    fn settle(&mut self, count: usize) -> io::Result<usize> {
        let mut taken = 0;
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut Outbound(&self.socket)) {
                Ok(sent) => taken += sent as u64,
                Err(error) if taken > 0 || error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => {
                    self.abandon();
                    return Err(error);
                }
            }
        }
        self.sent += taken;
        Ok(count)
    }

    /// Whether ciphertext waits for the kernel.
    pub fn is_blocked(&self) -> bool {
        self.tls.wants_write()
    }

    /// Ciphertext so far; more than will ever be while some of it waits, whose length rustls does not tell.
    pub fn wire_bytes(&self) -> u64 {
        if self.is_blocked() { u64::MAX } else { self.sent }
    }

    fn flush(&mut self) -> io::Result<()> {
        while self.tls.wants_write() {
            if self.abandoned {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            self.sent += self.tls.write_tls(&mut Outbound(&self.socket))? as u64;
        }
        Ok(())
    }

    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            match self.flush() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.socket.poll_write_ready(cx))?;
                }
                other => return Poll::Ready(other),
            }
        }
    }

    /// Sends `close_notify` behind all that was written, then FIN.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.notify_close();
        ready!(self.poll_flush(cx))?;
        self.socket.shutdown_write()?;
        Poll::Ready(Ok(()))
    }

    fn notify_close(&mut self) {
        if !self.notified {
            self.notified = true;
            self.tls.send_close_notify();
        }
    }

    /// Writes nothing from here on, also not at the end: neither what was encrypted and waits for the kernel, nor
    /// `close_notify`. What of a request has not left does not leave.
    pub const fn abandon(&mut self) {
        self.abandoned = true;
    }

    pub fn reset_on_close(&mut self) {
        self.abandon();
        self.socket.reset_on_close();
    }

    /// A look at what there is to be read, as [`Stream::peek`]. What the kernel has is decrypted for that: of session
    /// tickets and key updates nothing is to be read, `close_notify` is the end, and an alert an error. Where there are too
    /// many of them it is an error of the kind `Other`.
    pub fn peek(&mut self) -> io::Result<&[u8]> {
        let mut bytes = [const { MaybeUninit::uninit() }; 4096];
        for _ in 0..ROUNDS {
            self.gather();
            if !self.plain.is_empty() {
                return Ok(&self.plain);
            }
            if let Some(error) = &self.error {
                return Err(tls_error(error.clone()));
            }
            if self.has_ended() {
                return Ok(&[]);
            }
            match self.socket.receive(&mut bytes) {
                Ok(received) => self.decrypt(received),
                Err(error) => {
                    if error.kind() == io::ErrorKind::WouldBlock {
                        // An answer to a key update, say.
                        self.flush()?;
                    }
                    return Err(error);
                }
            }
        }
        Err(io::Error::other("records without end"))
    }

    /// Keying material for another protocol (RFC 5705).
    pub fn export(&self, length: usize, label: &[u8], context: Option<&[u8]>) -> Option<Vec<u8>> {
        self.tls.export_keying_material(vec![0; length], label, context).ok()
    }
}

/// The server hears that this is the end and no truncation, if the kernel takes it.
impl Drop for TlsStream {
    fn drop(&mut self) {
        if !self.abandoned {
            self.notify_close();
            let _ = self.flush();
        }
    }
}

/// The socket as rustls writes to it.
struct Outbound<'a>(&'a Stream);

impl Write for Outbound<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write_raw(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, bytes: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_raw(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn tls_error(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::io::Read;
    use std::net::{Shutdown, TcpListener};
    use std::sync::Arc;
    use std::thread;

    use rustls::pki_types::ServerName;
    use rustls::{ServerConnection, StreamOwned};

    use super::super::test_server::server;
    use super::*;

    type Peer = StreamOwned<ServerConnection, std::net::TcpStream>;

    /// A connection on which the server has done something after the handshake; it stays open with the second.
    async fn after(act: impl FnOnce(&mut Peer) + Send + 'static) -> (TlsStream, Peer) {
        behind_tickets(2, act).await
    }

    /// The same, behind so many session tickets.
    async fn behind_tickets(
        tickets: usize,
        act: impl FnOnce(&mut Peer) + Send + 'static,
    ) -> (TlsStream, Peer) {
        let (mut config, secure) = server(0);
        Arc::make_mut(&mut config).send_tls13_tickets = tickets;
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let peer = thread::spawn(move || {
            let socket = listener.accept().unwrap().0;
            socket.set_nodelay(true).unwrap();
            let mut peer = StreamOwned::new(ServerConnection::new(config).unwrap(), socket);
            while peer.conn.is_handshaking() {
                peer.conn.complete_io(&mut peer.sock).unwrap();
            }
            act(&mut peer);
            peer
        });
        let (config, _) = secure.context.config(&secure, None);
        let tls = ClientConnection::new(Arc::new(config), ServerName::try_from("a.test").unwrap()).unwrap();
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        // All that the server sends fits.
        socket.set_recv_buffer_size(1 << 20).unwrap();
        let socket = socket.connect(address).await.unwrap();
        let mut stream = TlsStream::new(Stream::Tcp(socket), tls);
        poll_fn(|cx| stream.poll_handshake(cx)).await.unwrap();
        (stream, peer.join().unwrap())
    }

    /// What a look finds when the network has delivered it.
    async fn found(stream: &mut TlsStream) -> io::Result<&[u8]> {
        let is_quiet = |stream: &mut TlsStream| {
            stream.peek().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
        };
        while is_quiet(stream) {
            tokio::task::yield_now().await;
        }
        stream.peek()
    }

    #[tokio::test]
    async fn a_look_finds_what_a_read_would() {
        // Nothing but session tickets and new keys.
        let (mut stream, _peer) = after(|peer| {
            peer.conn.refresh_traffic_keys().unwrap();
            peer.flush().unwrap();
        })
        .await;
        assert_eq!(stream.peek().unwrap_err().kind(), io::ErrorKind::WouldBlock);

        let (mut stream, _peer) = after(|peer| peer.write_all(b"HTTP/1.1 408 ").unwrap()).await;
        for _ in 0..2 {
            assert_eq!(found(&mut stream).await.unwrap(), b"HTTP/1.1 408 ");
        }
        let mut bytes = [0; 20];
        let mut read = ReadBuf::new(&mut bytes);
        poll_fn(|cx| stream.poll_read(cx, &mut read)).await.unwrap();
        assert_eq!(read.filled(), b"HTTP/1.1 408 ");

        let (mut stream, _peer) = after(|peer| {
            peer.conn.send_close_notify();
            peer.flush().unwrap();
        })
        .await;
        assert!(found(&mut stream).await.unwrap().is_empty());

        let (mut stream, _peer) = after(|peer| peer.sock.shutdown(Shutdown::Write).unwrap()).await;
        assert!(found(&mut stream).await.unwrap().is_empty());

        let (mut stream, _peer) = after(|peer| peer.sock.write_all(b"no record at all").unwrap()).await;
        assert_eq!(found(&mut stream).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[tokio::test]
    async fn a_look_gives_up_on_a_server_that_sends_tickets_for_ever() {
        // More than fit into all rounds.
        let (mut stream, _peer) = behind_tickets(500, |_| {}).await;
        assert_eq!(found(&mut stream).await.unwrap_err().kind(), io::ErrorKind::Other);
    }

    #[tokio::test]
    async fn what_rustls_has_no_room_for_is_an_error_and_not_lost() {
        // It puts them into few messages, which do not fit.
        let (mut stream, _peer) = behind_tickets(2000, |_| {}).await;
        let mut bytes = [0; 20];
        let mut read = ReadBuf::new(&mut bytes);
        let error = poll_fn(|cx| stream.poll_read(cx, &mut read)).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }

    #[tokio::test]
    async fn a_connection_that_waits_keeps_no_room_for_what_was_read() {
        let (mut stream, _peer) = after(|peer| peer.write_all(&[1; 30_000]).unwrap()).await;
        let mut bytes = [0; 40_000];
        let mut read = ReadBuf::new(&mut bytes);
        let mut largest = 0;
        let mut left = 30_000;
        while left > 0 {
            read.clear();
            poll_fn(|cx| stream.poll_read(cx, &mut read)).await.unwrap();
            largest = largest.max(stream.plain.capacity());
            left -= read.filled().len();
        }
        assert!(largest > 0, "more than rustls keeps has come at once");
        let mut read = ReadBuf::new(&mut bytes);
        let now = poll_fn(|cx| Poll::Ready(stream.poll_read(cx, &mut read))).await;
        assert!(now.is_pending());
        assert_eq!(stream.plain.capacity(), 0);
    }

    /// A connection of which nothing is unread: its close is no reset.
    async fn after_nothing() -> (TlsStream, Peer) {
        let (mut stream, peer) = behind_tickets(0, |_| {}).await;
        assert_eq!(stream.peek().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        (stream, peer)
    }

    /// What the server's kernel gets until the end, after what it has got.
    fn raw_rest(peer: &mut Peer) -> usize {
        peer.sock.read_to_end(&mut Vec::new()).unwrap()
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn what_the_kernel_has_refused_is_never_sent() {
        use std::os::fd::AsRawFd;

        let (mut stream, mut peer) = after_nothing().await;
        let Stream::Tcp(socket) = &stream.socket else { panic!("TCP") };
        let (fd, null) = (socket.as_raw_fd(), std::fs::File::open("/dev/null").unwrap());
        // SAFETY: all three are open, and the socket is back in its place before anything else has it.
        unsafe {
            let saved = libc::dup(fd);
            libc::dup2(null.as_raw_fd(), fd);
            assert!(stream.try_write(b"request").is_err());
            libc::dup2(saved, fd);
            libc::close(saved);
        }
        assert!(stream.try_write(b"request").is_err(), "it would be behind what is not to be sent");
        drop(stream);
        assert_eq!(raw_rest(&mut peer), 0);
    }

    /// Ciphertext waits for the kernel, which has room again by the time at which the server has spoken, or ended.
    #[tokio::test]
    async fn what_waits_does_not_leave_behind_what_is_to_be_read() {
        let acts: [fn(&mut Peer); 2] = [
            |peer| peer.write_all(b"x").unwrap(),
            |peer| {
                peer.conn.send_close_notify();
                peer.flush().unwrap();
            },
        ];
        for act in acts {
            let (mut stream, mut peer) = after(|_| {}).await;
            // Session tickets, and the kernel has to say when there is room.
            assert!(peek_is_quiet(&mut stream));
            while !stream.is_blocked() {
                stream.try_write(&[0; 1 << 14]).unwrap();
            }
            act(&mut peer);
            peer.sock.set_nonblocking(true).unwrap();
            let mut bytes = vec![0; 1 << 16];
            while stream
                .socket()
                .poll_write_ready(&mut Context::from_waker(std::task::Waker::noop()))
                .is_pending()
            {
                let _ = peer.sock.read(&mut bytes);
                tokio::task::yield_now().await;
            }
            let mut buf = ReadBuf::new(&mut bytes);
            poll_fn(|cx| stream.poll_read(cx, &mut buf)).await.unwrap();
            assert!(stream.is_blocked());
        }
    }

    fn peek_is_quiet(stream: &mut TlsStream) -> bool {
        loop {
            match stream.peek() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == io::ErrorKind::Other => {}
                _ => return false,
            }
        }
    }

    #[tokio::test]
    async fn what_waits_for_the_kernel_is_not_sent_when_it_is_abandoned() {
        for is_abandoned in [false, true] {
            let (mut stream, mut peer) = after_nothing().await;
            let before = stream.sent;
            while !stream.is_blocked() {
                stream.try_write(&[1; WRITE_SIZE]).unwrap();
            }
            let taken = stream.sent - before;
            io::copy(&mut (&mut peer.sock).take(taken), &mut io::sink()).unwrap();
            // There is room again, and the runtime knows.
            poll_fn(|cx| stream.socket.poll_write_ready(cx)).await.unwrap();
            if is_abandoned {
                stream.abandon();
            }
            drop(stream);
            assert_eq!(raw_rest(&mut peer) == 0, is_abandoned);
        }
    }
}
