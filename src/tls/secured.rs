//! What JavaScript is told of a TLS connection that stands.

use rustls::client::ClientConnectionData;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::{ConnectionCommon, HandshakeKind};

use super::certificate::Facts;
use super::judge::{Judge, Verdict};

/// The outcome of a handshake. It goes to JavaScript as it is (lib/lane/tls-lane.js
/// reads it), and stays with the connection for when another lane takes it.
pub struct Secured {
    /// A line of fields separated by tabs, then the certificates: the length
    /// of each in four bytes, least first, and its DER.
    pub report: Vec<u8>,
    /// The server's own certificate: what a lane is pinned to.
    pub leaf: CertificateDer<'static>,
    /// Whether the certificate is for this server is JavaScript's to say.
    pub is_unnamed: bool,
}

impl Secured {
    pub fn of(connection: &ConnectionCommon<ClientConnectionData>, judge: &Judge) -> Option<Self> {
        let chain = connection.peer_certificates()?;
        let (leaf, others) = chain.split_first()?;
        let resumed = connection.handshake_kind() == Some(HandshakeKind::Resumed);
        let verdict = match judge.reject {
            true if judge.is_named_by(leaf) => Verdict::Trusted,
            true => Verdict::WrongName,
            // Accepted in any case, so what is wrong with it has not been said yet. Of a session that
            // is resumed the server sends no chain; it is that of the first handshake.
            false => judge.judge(leaf, others, UnixTime::now()),
        };
        let flaw = match verdict {
            Verdict::Trusted => "",
            Verdict::WrongName => "name",
            Verdict::Untrusted(flaw) => flaw.code(),
            Verdict::Unsure => return None,
        };
        let fields = [
            format!("{:?}", connection.protocol_version()?),
            format!("{:?}", connection.negotiated_cipher_suite()?.suite()),
            connection
                .negotiated_key_exchange_group()
                .map_or_else(String::new, |group| format!("{:?}", group.name())),
            String::from_utf8_lossy(connection.alpn_protocol().unwrap_or_default()).into_owned(),
            u8::from(resumed).to_string(),
            flaw.to_owned(),
            chain.len().to_string(),
        ];
        let mut report = fields.join("\t").into_bytes();
        report.push(b'\n');
        // The root is not sent by the server, and a part of getPeerCertificate(true).
        let root = chain.last().and_then(|last| Facts::of(last).ok()).filter(|facts| !facts.is_self_issued());
        let root = root.and_then(|facts| judge.anchors.issuer_of(&facts)).map(|entry| &entry.der);
        for certificate in chain.iter().chain(root) {
            report.extend((certificate.len() as u32).to_le_bytes());
            report.extend_from_slice(certificate);
        }
        let is_unnamed = verdict == Verdict::WrongName;
        Some(Self { report, leaf: leaf.clone().into_owned(), is_unnamed })
    }
}
