//! TLS off the loop, with Node as the judge.
//!
//! rustls is stricter than OpenSSL in places and more permissive in others, and
//! what a user of `https.Agent` expects is OpenSSL's answer. So this module
//! accepts only what both accept ([`Judge`]); whatever it is not sure of is
//! refused, and JavaScript asks Node's own TLS (docs/tls.md).

mod anchors;
mod certificate;
#[cfg(test)]
#[path = "../../fuzz/checks/certificate.rs"]
mod certificate_check;
mod context;
mod handshake;
mod judge;
mod secured;
mod sessions;
mod stream;
#[cfg(test)]
mod test_certificates;
#[cfg(test)]
mod test_server;

pub use anchors::TrustAnchors;
pub use context::{Context, ContextOptions, Secure};
pub use handshake::{Config, HandshakeError, KeyLines, handshake};
pub use secured::Secured;
pub use sessions::SessionStores;
pub use stream::TlsStream;
