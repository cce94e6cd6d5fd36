//! What the TLS options of an agent come to: one rustls configuration for each
//! distinct set of them, and the part that they have in the pool key.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use rustls::client::Resumption;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, SupportedProtocolVersion};
use zeroize::Zeroizing;

use super::anchors::TrustAnchors;
use super::judge::Judge;
use super::sessions::Sessions;

/// The options, as far as connections with different ones must not be
/// exchanged for each other. A private key belongs to the certificate beside
/// it, so it need not be compared, nor kept.
#[derive(Debug, PartialEq)]
pub struct ContextOptions {
    pub tls12: bool,
    pub tls13: bool,
    /// Names of rustls's, in the order of preference.
    pub suites: Vec<String>,
    /// As above.
    pub groups: Vec<String>,
    pub alpn: Vec<Vec<u8>>,
    pub reject: bool,
    /// The client's own certificate and its chain.
    pub certificates: Vec<Vec<u8>>,
    pub anchors: Arc<TrustAnchors>,
}

/// A set of options that rustls can do.
pub struct Context {
    options: ContextOptions,
    base: ClientConfig,
    provider: Arc<CryptoProvider>,
}

/// All contexts there are, so that the same options are the same context.
static CONTEXTS: Mutex<Vec<Weak<Context>>> = Mutex::new(Vec::new());

impl Context {
    /// The context of these options: one that is there already, or a new one.
    pub fn of(options: ContextOptions, key: Option<Zeroizing<Vec<u8>>>) -> Result<Arc<Self>, String> {
        let mut contexts = CONTEXTS.lock().unwrap_or_else(PoisonError::into_inner);
        contexts.retain(|context| context.strong_count() > 0);
        let known = contexts.iter().filter_map(Weak::upgrade).find(|context| context.options == options);
        if let Some(context) = known {
            return Ok(context);
        }
        let context = Arc::new(Self::new(options, key)?);
        contexts.push(Arc::downgrade(&context));
        Ok(context)
    }

    fn new(options: ContextOptions, key: Option<Zeroizing<Vec<u8>>>) -> Result<Self, String> {
        let provider = Arc::new(provider(&options)?);
        let mut versions: Vec<&'static SupportedProtocolVersion> = Vec::new();
        versions.extend(options.tls13.then_some(&TLS13));
        versions.extend(options.tls12.then_some(&TLS12));
        let judge: Arc<dyn ServerCertVerifier> = Arc::new(Judge {
            anchors: Arc::clone(&options.anchors),
            algorithms: provider.signature_verification_algorithms,
            identity: None,
            reject: true,
            shown: Mutex::default(),
        });
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&versions)
            .map_err(|error| error.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(judge);
        let mut base = match key {
            Some(key) => {
                let chain =
                    options.certificates.iter().map(|der| CertificateDer::from(der.clone())).collect();
                let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.as_slice()));
                let key = provider.key_provider.load_private_key(key.clone_key());
                let key = rustls::sign::CertifiedKey::new(chain, key.map_err(|error| error.to_string())?);
                key.keys_match().map_err(|error| error.to_string())?;
                builder.with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(key)))
            }
            None => builder.with_no_client_auth(),
        };
        base.alpn_protocols.clone_from(&options.alpn);
        base.resumption = Resumption::disabled();
        Ok(Self { options, base, provider })
    }

    /// The configuration of connections to one destination, and their judge.
    pub fn config(&self, secure: &Secure, sessions: Option<&Arc<Sessions>>) -> (ClientConfig, Arc<Judge>) {
        let judge = Arc::new(Judge {
            anchors: Arc::clone(&self.options.anchors),
            algorithms: self.provider.signature_verification_algorithms,
            identity: (secure.check == 0).then(|| secure.identity.clone()),
            reject: self.options.reject,
            shown: Mutex::default(),
        });
        let mut config = self.base.clone();
        config.enable_sni = secure.sni.is_some();
        config.dangerous().set_certificate_verifier(Arc::clone(&judge) as Arc<dyn ServerCertVerifier>);
        if let Some(sessions) = sessions {
            config.resumption = Resumption::store(Arc::clone(sessions) as Arc<_>);
        }
        (config, judge)
    }
}

fn provider(options: &ContextOptions) -> Result<CryptoProvider, String> {
    let mut provider = aws_lc_rs::default_provider();
    let suite = |name: &String| {
        let found = aws_lc_rs::ALL_CIPHER_SUITES.iter().find(|suite| format!("{:?}", suite.suite()) == *name);
        found.copied().ok_or_else(|| format!("no such cipher suite: {name}"))
    };
    let group = |name: &String| {
        let found = aws_lc_rs::ALL_KX_GROUPS.iter().find(|group| format!("{:?}", group.name()) == *name);
        found.copied().ok_or_else(|| format!("no such group: {name}"))
    };
    provider.cipher_suites = options.suites.iter().map(suite).collect::<Result<_, _>>()?;
    provider.kx_groups = options.groups.iter().map(group).collect::<Result<_, _>>()?;
    Ok(provider)
}

/// The private key is not printed, and nothing else is of interest.
impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Context")
    }
}

/// The TLS part of a destination. Two with different contexts, names or
/// identity checks are different destinations.
#[derive(Clone, Debug)]
pub struct Secure {
    pub context: Arc<Context>,
    /// The name that the server is told; none where Node would tell none.
    pub sni: Option<ServerName<'static>>,
    /// Whom the certificate has to name.
    pub identity: ServerName<'static>,
    /// The function in JavaScript that checks the identity; 0 for Node's own.
    pub check: u32,
    /// How many destinations of the agent keep their sessions.
    pub max_sessions: u32,
}

impl PartialEq for Secure {
    fn eq(&self, other: &Self) -> bool {
        // Options that are equal are the same context.
        Arc::ptr_eq(&self.context, &other.context)
            && self.sni == other.sni
            && self.identity == other.identity
            && self.check == other.check
            && self.max_sessions == other.max_sessions
    }
}

impl Eq for Secure {}

impl Hash for Secure {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.context).hash(state);
        self.sni.hash(state);
        self.check.hash(state);
    }
}
