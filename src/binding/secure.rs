//! TLS options as JavaScript gives them. It has read the certificates and
//! sorted out what rustls cannot do; what is refused here is Node's too.

use std::sync::Arc;

use napi::bindgen_prelude::Buffer;
use napi::{Error, Result, Status};
use napi_derive::napi;
use rustls::pki_types::ServerName;
use zeroize::Zeroizing;

use crate::tls::{self, Context, ContextOptions, Secure};

/// Certificates that are trusted by themselves.
#[napi]
pub struct TrustAnchors {
    inner: Arc<tls::TrustAnchors>,
}

#[napi]
impl TrustAnchors {
    /// `certificates` are DER; `explicit`: they were given as the option `ca`.
    #[napi(constructor)]
    pub fn new(certificates: Vec<Buffer>, explicit: bool) -> Self {
        let certificates = certificates.iter().map(|der| der.to_vec()).collect();
        Self { inner: Arc::new(tls::TrustAnchors::new(certificates, explicit)) }
    }

    /// Whether all of them can be used.
    #[napi(getter)]
    pub fn complete(&self) -> bool {
        self.inner.is_complete()
    }
}

#[napi(object)]
pub struct TlsContextOptions {
    pub tls12: bool,
    pub tls13: bool,
    pub suites: Vec<String>,
    pub groups: Vec<String>,
    pub alpn: Vec<String>,
    pub reject_unauthorized: bool,
}

/// A set of TLS options.
#[napi]
pub struct TlsContext {
    inner: Arc<Context>,
}

#[napi]
impl TlsContext {
    /// `certificates`: the client's own, in DER, and its key in PKCS #8.
    #[napi(constructor)]
    pub fn new(
        options: TlsContextOptions,
        anchors: &TrustAnchors,
        certificates: Vec<Buffer>,
        key: Option<Buffer>,
    ) -> Result<Self> {
        let key = key.map(|key| Zeroizing::new(key.to_vec()));
        let options = ContextOptions {
            tls12: options.tls12,
            tls13: options.tls13,
            suites: options.suites,
            groups: options.groups,
            alpn: options.alpn.into_iter().map(String::into_bytes).collect(),
            reject: options.reject_unauthorized,
            certificates: certificates.iter().map(|der| der.to_vec()).collect(),
            anchors: Arc::clone(&anchors.inner),
        };
        let inner = Context::of(options, key).map_err(|error| Error::new(Status::InvalidArg, error))?;
        Ok(Self { inner })
    }
}

/// The TLS part of a route.
#[napi(object)]
pub struct SecureOptions {
    pub sni: Option<String>,
    pub identity: String,
    pub check: u32,
    pub max_sessions: u32,
}

impl SecureOptions {
    pub fn parse(&self, context: &TlsContext) -> Result<Secure> {
        Ok(Secure {
            context: Arc::clone(&context.inner),
            sni: self.sni.as_deref().map(name).transpose()?,
            identity: name(&self.identity)?,
            check: self.check,
            max_sessions: self.max_sessions,
        })
    }
}

/// Whether rustls takes it for the name of a server.
#[napi]
// Its caller is JavaScript, and in unit tests there is none.
#[cfg_attr(test, allow(dead_code))]
pub fn is_server_name(text: String) -> bool {
    name(&text).is_ok()
}

fn name(text: &str) -> Result<ServerName<'static>> {
    ServerName::try_from(text.to_owned())
        .map_err(|_| Error::new(Status::InvalidArg, format!("no name of a server: {text}")))
}
