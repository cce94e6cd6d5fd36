//! What JavaScript is told of a TLS connection that stands.

use std::sync::Arc;

use rustls::client::ClientConnectionData;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::{ConnectionCommon, HandshakeKind};

use super::certificate::Facts;
use super::judge::{Judge, Verdict};

/// The outcome of a handshake. It stays with the connection for when another lane takes it.
pub struct Secured {
    /// Fields separated by tabs.
    facts: Box<str>,
    certificates: Arc<Certificates>,
    /// Whether the certificate is for this server is JavaScript's to say.
    pub is_unnamed: bool,
}

/// What a server has shown of itself, from its own certificate upwards: the length of each in four bytes, least first, and
/// its DER. It is some KiB, so the connections to one destination have it together ([`Judge::shared`]).
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Certificates(Box<[u8]>);

impl Certificates {
    pub fn new<'a>(chain: impl Iterator<Item = &'a CertificateDer<'a>>) -> Self {
        let mut bytes = Vec::new();
        for certificate in chain {
            bytes.extend((certificate.len() as u32).to_le_bytes());
            bytes.extend_from_slice(certificate);
        }
        Self(bytes.into())
    }

    /// The server's own.
    fn leaf(&self) -> &[u8] {
        let Some((length, rest)) = self.0.split_first_chunk() else { return &[] };
        &rest[..u32::from_le_bytes(*length) as usize]
    }
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
        let facts = [
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
        // The root is not sent by the server, and a part of getPeerCertificate(true).
        let root = chain.last().and_then(|last| Facts::of(last).ok()).filter(|facts| !facts.is_self_issued());
        let root = root.and_then(|facts| judge.anchors.issuer_of(&facts)).map(|entry| &entry.der);
        let certificates = judge.shared(Certificates::new(chain.iter().chain(root)));
        let is_unnamed = verdict == Verdict::WrongName;
        Some(Self { facts: facts.join("\t").into(), certificates, is_unnamed })
    }

    /// For JavaScript (lib/tls/security.js reads it): the fields, a line feed, the certificates.
    pub fn report(&self) -> Vec<u8> {
        [self.facts.as_bytes(), &b"\n"[..], &self.certificates.0].concat()
    }

    /// Whether the server has shown the same certificate of its own.
    pub fn is_same_server(&self, other: &Self) -> bool {
        self.certificates.leaf() == other.certificates.leaf()
    }

    #[cfg(test)]
    pub fn for_test() -> Self {
        Self { facts: "".into(), certificates: Arc::default(), is_unnamed: false }
    }
}
