//! A TLS server for unit tests, and the options of a client that trusts it.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::ServerName;

use super::anchors::TrustAnchors;
use super::context::{Context, ContextOptions, Secure};
use super::test_certificates::{Draft, Party};

/// A server for `a.test`, and the client's options that trust it.
pub fn server(max_sessions: u32) -> (Arc<ServerConfig>, Secure) {
    let party = Party::new("Server");
    // Whatever the clock of the machine says.
    let certificate = Draft::leaf().valid(0, 2_000_000_000).sign_itself(&party);
    let server = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], party.key())
        .unwrap();
    (Arc::new(server), secure_with(vec![certificate.to_vec()], max_sessions))
}

/// The options of a client that trusts nobody.
pub fn secure(max_sessions: u32) -> Secure {
    secure_with(Vec::new(), max_sessions)
}

fn secure_with(anchors: Vec<Vec<u8>>, max_sessions: u32) -> Secure {
    let options = ContextOptions {
        tls12: true,
        tls13: true,
        suites: vec!["TLS13_AES_256_GCM_SHA384".to_owned()],
        groups: vec!["X25519".to_owned()],
        alpn: Vec::new(),
        reject: true,
        certificates: Vec::new(),
        anchors: Arc::new(TrustAnchors::new(anchors, true)),
    };
    Secure {
        context: Context::of(options, None).unwrap(),
        sni: None,
        identity: ServerName::try_from("a.test").unwrap(),
        check: 0,
        max_sessions,
    }
}
