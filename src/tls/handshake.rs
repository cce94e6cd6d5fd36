//! The handshake, as a part of connecting: over when the server's certificate
//! is accepted and all that we had to send has been taken by the kernel.

use std::fmt;
use std::fmt::Write;
use std::future::poll_fn;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, KeyLog};

use super::context::Secure;
use super::judge::Judge;
use super::secured::Secured;
use super::stream::{TlsFailure, TlsStream};
use crate::connect::Stream;

/// Of a destination: [`super::SessionStores::config`] has it.
pub type Config = (Arc<ClientConfig>, Arc<Judge>);

/// Why there is no TLS connection.
#[derive(Debug)]
pub enum HandshakeError {
    /// The server closed the connection.
    Ended,
    Io(io::Error),
    /// rustls and the server could not agree, or the certificate was not
    /// accepted. It is Node's turn (docs/tls.md).
    Refused,
}

/// The lines of a connection for the event 'keylog'.
#[derive(Clone, Default)]
pub struct KeyLines(Arc<Mutex<String>>);

impl KeyLines {
    /// What has come since the last call.
    pub fn take(&self) -> String {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl KeyLog for KeyLines {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.push_str(label);
        for bytes in [client_random, secret] {
            lines.push(' ');
            for byte in bytes {
                // Writing to a string does not fail.
                let _ = write!(lines, "{byte:02x}");
            }
        }
        lines.push('\n');
    }
}

/// These are secrets.
impl fmt::Debug for KeyLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyLines")
    }
}

pub async fn handshake(
    socket: Stream,
    secure: &Secure,
    (config, judge): Config,
    key_lines: Option<KeyLines>,
) -> Result<(TlsStream, Secured), HandshakeError> {
    let config = match key_lines {
        None => config,
        Some(lines) => {
            let mut config = (*config).clone();
            config.key_log = Arc::new(lines);
            Arc::new(config)
        }
    };
    // Without SNI the name is for nothing but rustls's store, which is one destination's.
    let name =
        secure.sni.clone().unwrap_or_else(|| ServerName::IpAddress(std::net::Ipv4Addr::LOCALHOST.into()));
    let connection = ClientConnection::new(config, name).map_err(|_| HandshakeError::Refused)?;
    let mut stream = TlsStream::new(socket, connection);
    poll_fn(|cx| stream.poll_handshake(cx)).await.map_err(|failure| match failure {
        TlsFailure::Ended => HandshakeError::Ended,
        TlsFailure::Io(error) => HandshakeError::Io(error),
        TlsFailure::Tls => HandshakeError::Refused,
    })?;
    let secured = Secured::of(stream.connection(), &judge).ok_or(HandshakeError::Refused)?;
    Ok((stream, secured))
}
