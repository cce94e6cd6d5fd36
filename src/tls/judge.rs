//! Whether the chain of a server is accepted. Node's answer is OpenSSL's, so a
//! chain passes here only if webpki finds a path and OpenSSL would have nothing
//! to say against it either. Everything else is refused and left to Node.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{
    CertificateDer, ServerName, SignatureVerificationAlgorithm, SubjectPublicKeyInfoDer, UnixTime,
};
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};
use webpki::{EndEntityCert, KeyUsage, RawPublicKeyEntity, VerifiedPath};

use super::anchors::TrustAnchors;
use super::certificate::{Facts, Signed};
use super::secured::Certificates;

/// Judges the chains of one destination.
#[derive(Debug)]
pub struct Judge {
    pub anchors: Arc<TrustAnchors>,
    pub algorithms: WebPkiSupportedAlgorithms,
    /// Whom the certificate has to name; none if a function in JavaScript checks that.
    pub identity: Option<ServerName<'static>>,
    /// `rejectUnauthorized`. Without it a chain that is not accepted serves too,
    /// as long as Node's reason for that is known.
    pub reject: bool,
    /// What the server has shown last, as long as a connection to it is open.
    pub shown: Mutex<Weak<Certificates>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Trusted,
    /// Trusted, but perhaps for another name; Node's check of it is in JavaScript.
    WrongName,
    /// Everything is right but that nobody vouches for it.
    Untrusted(Flaw),
    /// Node has to say.
    Unsure,
}

/// Node's code for a chain that nobody vouches for (`verifyError` in OpenSSL).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    SelfSignedLeaf,
    UnknownIssuer,
    SelfSignedInChain,
    IncompleteChain,
}

impl Flaw {
    pub const fn code(self) -> &'static str {
        match self {
            Self::SelfSignedLeaf => "DEPTH_ZERO_SELF_SIGNED_CERT",
            Self::UnknownIssuer => "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
            Self::SelfSignedInChain => "SELF_SIGNED_CERT_IN_CHAIN",
            Self::IncompleteChain => "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
        }
    }
}

impl Judge {
    /// The same certificates, as one of the other connections has them if it does.
    pub fn shared(&self, certificates: Certificates) -> Arc<Certificates> {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shown) = shown.upgrade().filter(|shown| **shown == certificates) {
            return shown;
        }
        let certificates = Arc::new(certificates);
        *shown = Arc::downgrade(&certificates);
        certificates
    }

    pub fn judge(&self, leaf: &CertificateDer<'_>, others: &[CertificateDer<'_>], now: UnixTime) -> Verdict {
        self.chain(leaf, others, now).unwrap_or(Verdict::Unsure)
    }

    /// None where something is too unusual to be judged here.
    fn chain(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Option<Verdict> {
        let seconds = now.as_secs();
        let facts = Facts::of(leaf).ok()?;
        if !facts.is_in_date(seconds) || !facts.may_serve() || !self.anchors.are_certain(seconds) {
            return None;
        }
        let end_entity = EndEntityCert::try_from(leaf).ok().filter(|_| !facts.is_v1);
        if end_entity.is_none() && !facts.is_v1 {
            return None;
        }
        let is_trusted = if self.anchors.contains(leaf).is_some() {
            // A leaf that is its own anchor: there is no path to look for, and webpki knows of no such.
            facts.is_self_issued()
        } else if let Some(end_entity) = &end_entity {
            let check = |path: &VerifiedPath<'_>| self.agrees(&facts, path);
            self.has_path(end_entity, &self.anchors.usable(seconds), others, now, &check)
        } else {
            self.is_issued_by_anchor(&facts, leaf, seconds)
        };
        if !is_trusted {
            return (!self.reject).then(|| self.diagnose(&facts, end_entity.as_ref(), leaf, others, now))?;
        }
        Some(if self.is_named_by(leaf) { Verdict::Trusted } else { Verdict::WrongName })
    }

    /// Whether it is a certificate for the server by webpki's rules. Node has
    /// more: a name in the subject alone will do.
    pub fn is_named_by(&self, leaf: &CertificateDer<'_>) -> bool {
        let Some(identity) = &self.identity else { return true };
        EndEntityCert::try_from(leaf)
            .is_ok_and(|leaf| leaf.verify_is_valid_for_subject_name(identity).is_ok())
    }

    /// For a leaf of version 1, which webpki does not read.
    fn is_issued_by_anchor(&self, facts: &Facts, leaf: &CertificateDer<'_>, now: u64) -> bool {
        let Some(issuer) = self.anchors.issuer_of(facts) else { return false };
        let Some((signed, by)) = Signed::of(leaf).zip(Signed::of(&issuer.der)) else { return false };
        let Ok(key) = RawPublicKeyEntity::try_from(&by.public_key) else { return false };
        issuer.facts.is_in_date(now)
            && issuer.facts.may_issue(0)
            && self.algorithms.all.iter().any(|algorithm| {
                algorithm.signature_alg_id().as_ref() == signed.algorithm.as_slice()
                    && key.verify_signature(*algorithm, &signed.content, &signed.signature).is_ok()
            })
    }

    fn has_path(
        &self,
        leaf: &EndEntityCert<'_>,
        anchors: &[rustls::pki_types::TrustAnchor<'_>],
        others: &[CertificateDer<'_>],
        now: UnixTime,
        check: &dyn Fn(&VerifiedPath<'_>) -> Result<(), webpki::Error>,
    ) -> bool {
        leaf.verify_for_usage(
            self.algorithms.all,
            anchors,
            others,
            now,
            KeyUsage::server_auth(),
            None,
            Some(check),
        )
        .is_ok()
    }

    /// What OpenSSL would look at in a path that webpki has found.
    fn agrees(&self, leaf: &Facts, path: &VerifiedPath<'_>) -> Result<(), webpki::Error> {
        let anchor = self.anchors.find(path.anchor()).ok_or(webpki::Error::UnknownIssuer)?;
        agrees(leaf, path, &anchor.facts)
    }

    /// Why nobody vouches for the chain, if nothing else is wrong with it.
    fn diagnose(
        &self,
        leaf: &Facts,
        end_entity: Option<&EndEntityCert<'_>>,
        der: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Option<Verdict> {
        if leaf.is_self_issued() {
            // OpenSSL would find an anchor of the same name, and have more to say.
            let is_unknown = !self.anchors.has_subject(&leaf.subject);
            return is_unknown.then_some(Verdict::Untrusted(Flaw::SelfSignedLeaf));
        }
        let mut chain: Vec<(&CertificateDer<'_>, Facts)> = Vec::new();
        loop {
            let top = chain.last().map_or(leaf, |(_, facts)| facts);
            if self.anchors.has_subject(&top.issuer) {
                return None;
            }
            if !chain.is_empty() && top.is_self_issued() {
                break;
            }
            let next = others.iter().filter(|other| **other != *der).find_map(|other| {
                let facts = Facts::of(other).ok()?;
                let is_new = chain.iter().all(|(known, _)| *known != other);
                (is_new && facts.subject == top.issuer && top.names_key_of(&facts)).then_some((other, facts))
            });
            match next {
                Some(next) => chain.push(next),
                None => break,
            }
        }
        let Some((top, facts)) = chain.last() else {
            let is_other = |der| Facts::of(der).is_ok_and(|facts| facts.subject != leaf.issuer);
            let is_alone = others.iter().all(|other| is_other(other));
            return is_alone.then_some(Verdict::Untrusted(Flaw::UnknownIssuer));
        };
        // With the topmost as the anchor all the rest must be in order.
        let anchors = [webpki::anchor_from_trusted_cert(top).ok()?];
        let check = |path: &VerifiedPath<'_>| agrees(leaf, path, facts);
        if !facts.is_in_date(now.as_secs()) || !self.has_path(end_entity?, &anchors, others, now, &check) {
            return None;
        }
        let flaw = if facts.is_self_issued() { Flaw::SelfSignedInChain } else { Flaw::IncompleteChain };
        Some(Verdict::Untrusted(flaw))
    }
}

fn agrees(leaf: &Facts, path: &VerifiedPath<'_>, anchor: &Facts) -> Result<(), webpki::Error> {
    let doubtful = || webpki::Error::UnknownIssuer;
    let mut below = leaf.clone();
    let mut count = 0;
    for certificate in path.intermediate_certificates() {
        let facts = Facts::of(&certificate.der()).map_err(|_| doubtful())?;
        if !facts.may_issue(count) || !below.names_key_of(&facts) {
            return Err(doubtful());
        }
        below = facts;
        count += 1;
    }
    if anchor.may_issue(count) && below.names_key_of(anchor) { Ok(()) } else { Err(doubtful()) }
}

impl ServerCertVerifier for Judge {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let accepted = match self.judge(end_entity, intermediates, now) {
            // Of the name JavaScript is asked once the handshake is over.
            Verdict::Trusted | Verdict::WrongName => true,
            Verdict::Untrusted(_) => !self.reject,
            Verdict::Unsure => false,
        };
        if accepted {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let Some(key) = v1_key(cert) else {
            return rustls::crypto::verify_tls12_signature(message, cert, dss, &self.algorithms);
        };
        let key = RawPublicKeyEntity::try_from(&key).map_err(|_| bad_signature())?;
        let (_, algorithms) = self
            .algorithms
            .mapping
            .iter()
            .find(|(scheme, _)| *scheme == dss.scheme)
            .ok_or_else(bad_signature)?;
        let is_valid = |algorithm: &&dyn SignatureVerificationAlgorithm| {
            key.verify_signature(*algorithm, message, dss.signature()).is_ok()
        };
        if algorithms.iter().any(is_valid) {
            Ok(HandshakeSignatureValid::assertion())
        } else {
            Err(bad_signature())
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        match v1_key(cert) {
            Some(key) => verify_tls13_signature_with_raw_key(message, &key, dss, &self.algorithms),
            None => rustls::crypto::verify_tls13_signature(message, cert, dss, &self.algorithms),
        }
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// The key of a certificate of version 1, which webpki does not read.
fn v1_key(certificate: &CertificateDer<'_>) -> Option<SubjectPublicKeyInfoDer<'static>> {
    EndEntityCert::try_from(certificate).err()?;
    Facts::of(certificate).ok().filter(|facts| facts.is_v1)?;
    Signed::of(certificate).map(|signed| signed.public_key)
}

fn bad_signature() -> Error {
    Error::InvalidCertificate(CertificateError::BadSignature)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustls::crypto::aws_lc_rs::default_provider;
    use x509_cert::der::asn1::OctetString;
    use x509_cert::ext::pkix::{AuthorityKeyIdentifier, ExtendedKeyUsage, SubjectKeyIdentifier};

    use super::super::test_certificates::{DAY, Draft, NOW, Party};
    use super::*;

    /// Judges for a client that trusts these and wants `a.test`.
    fn judge(anchors: &[&CertificateDer<'_>], reject: bool) -> Judge {
        let ders = anchors.iter().map(|der| der.to_vec()).collect();
        Judge {
            anchors: Arc::new(TrustAnchors::new(ders, true)),
            algorithms: default_provider().signature_verification_algorithms,
            identity: Some(ServerName::try_from("a.test").unwrap()),
            reject,
            shown: Mutex::default(),
        }
    }

    #[test]
    fn connections_have_the_same_certificates_together() {
        let judge = judge(&[], true);
        let [one, other] = [1, 2].map(|byte| CertificateDer::from(vec![byte; 3]));
        let shown = |chain: &[&CertificateDer<'_>]| judge.shared(Certificates::new(chain.iter().copied()));
        let first = shown(&[&one, &other]);
        assert!(Arc::ptr_eq(&first, &shown(&[&one, &other])));
        for chain in [&[&one][..], &[&other, &one], &[]] {
            assert!(!Arc::ptr_eq(&first, &shown(chain)));
        }
        let last = Arc::downgrade(&shown(&[&one]));
        assert!(last.upgrade().is_none(), "only connections keep them");
    }

    /// What a strict judge says, and one without `rejectUnauthorized`.
    fn verdicts(
        anchors: &[&CertificateDer<'_>],
        leaf: &CertificateDer<'_>,
        others: &[&CertificateDer<'_>],
    ) -> (Verdict, Verdict) {
        let now = UnixTime::since_unix_epoch(Duration::from_secs(NOW));
        let others: Vec<_> = others.iter().map(|&der| der.clone()).collect();
        let ask = |reject| judge(anchors, reject).judge(leaf, &others, now);
        (ask(true), ask(false))
    }

    const TRUSTED: (Verdict, Verdict) = (Verdict::Trusted, Verdict::Trusted);
    const UNSURE: (Verdict, Verdict) = (Verdict::Unsure, Verdict::Unsure);

    fn untrusted(flaw: Flaw) -> (Verdict, Verdict) {
        (Verdict::Unsure, Verdict::Untrusted(flaw))
    }

    struct Chain {
        root: CertificateDer<'static>,
        middle: CertificateDer<'static>,
        leaf: CertificateDer<'static>,
    }

    /// A chain whose certificates are as these drafts say.
    fn chain(root: Draft, middle: Draft, leaf: Draft) -> Chain {
        let [top, between, server] = ["Root", "Middle", "Server"].map(Party::new);
        Chain {
            root: root.sign_itself(&top),
            middle: middle.sign(&between, &top),
            leaf: leaf.sign(&server, &between),
        }
    }

    fn ordinary() -> Chain {
        chain(Draft::authority(None), Draft::authority(None), Draft::leaf())
    }

    #[test]
    fn a_chain_to_an_anchor_is_trusted() {
        let Chain { root, middle, leaf } = ordinary();
        assert_eq!(verdicts(&[&root], &leaf, &[&middle]), TRUSTED);
        assert_eq!(verdicts(&[&root], &leaf, &[&middle, &root]), TRUSTED);
    }

    #[test]
    fn a_chain_for_another_name_is_left_to_nodes_check() {
        let [top, server] = ["Root", "Server"].map(Party::new);
        let root = Draft::authority(None).sign_itself(&top);
        let leaf = Draft::bare().sign(&server, &top);
        assert_eq!(verdicts(&[&root], &leaf, &[]), (Verdict::WrongName, Verdict::WrongName));
    }

    #[test]
    fn without_an_anchor_it_is_said_what_is_missing() {
        let Chain { root, middle, leaf } = ordinary();
        let alien = ordinary().root;
        // An anchor of the same name is there: OpenSSL would say more than that.
        assert_eq!(verdicts(&[&alien], &leaf, &[&middle, &root]), UNSURE);
        let alien = Draft::authority(None).sign_itself(&Party::new("Alien"));
        assert_eq!(verdicts(&[&alien], &leaf, &[]), untrusted(Flaw::UnknownIssuer));
        assert_eq!(verdicts(&[&alien], &leaf, &[&middle]), untrusted(Flaw::IncompleteChain));
        assert_eq!(verdicts(&[&alien], &leaf, &[&middle, &root]), untrusted(Flaw::SelfSignedInChain));
        let own = Draft::leaf().sign_itself(&Party::new("Own"));
        assert_eq!(verdicts(&[&alien], &own, &[]), untrusted(Flaw::SelfSignedLeaf));
    }

    #[test]
    fn a_leaf_that_is_its_own_anchor_is_trusted() {
        let own = Draft::leaf().sign_itself(&Party::new("Own"));
        assert_eq!(verdicts(&[&own], &own, &[]), TRUSTED);
    }

    #[test]
    fn what_openssl_would_refuse_is_nodes_to_refuse() {
        let old = |draft: Draft| draft.valid(NOW - 2 * DAY, NOW - DAY);
        let future = |draft: Draft| draft.valid(NOW + DAY, NOW + 2 * DAY);
        let authority = || Draft::authority(None);
        let for_clients = ExtendedKeyUsage(vec!["1.3.6.1.5.5.7.3.2".parse().unwrap()]);
        let cases = [
            ("an old leaf", authority(), authority(), old(Draft::leaf())),
            ("a leaf of the future", authority(), authority(), future(Draft::leaf())),
            ("an old intermediate", authority(), old(authority()), Draft::leaf()),
            ("an old root", old(authority()), authority(), Draft::leaf()),
            ("a leaf for clients", authority(), authority(), Draft::leaf().with(&for_clients)),
            ("an intermediate for clients", authority(), authority().with(&for_clients), Draft::leaf()),
            ("an intermediate that is none", authority(), Draft::leaf(), Draft::leaf()),
            ("a root with no room below it", Draft::authority(Some(0)), authority(), Draft::leaf()),
        ];
        for (what, root, middle, leaf) in cases {
            let Chain { root, middle, leaf } = chain(root, middle, leaf);
            let (strict, _) = verdicts(&[&root], &leaf, &[&middle]);
            assert_eq!(strict, Verdict::Unsure, "{what}");
        }
    }

    #[test]
    fn a_path_whose_key_identifiers_do_not_fit_is_no_path() {
        let key = |bytes: &[u8]| OctetString::new(bytes).unwrap();
        let named = |id: &[u8]| AuthorityKeyIdentifier {
            key_identifier: Some(key(id)),
            ..AuthorityKeyIdentifier::default()
        };
        let middle = || Draft::authority(None).with(&SubjectKeyIdentifier(key(b"one")));
        for (id, expected) in [(b"one".as_slice(), Verdict::Trusted), (b"other", Verdict::Unsure)] {
            let Chain { root, middle, leaf } =
                chain(Draft::authority(None), middle(), Draft::leaf().with(&named(id)));
            assert_eq!(verdicts(&[&root], &leaf, &[&middle]).0, expected);
        }
    }

    #[test]
    fn a_signature_of_another_key_is_none() {
        let [top, between, server] = ["Root", "Middle", "Server"].map(Party::new);
        let root = Draft::authority(None).sign_itself(&top);
        let middle = Draft::authority(None).sign(&between, &top);
        let impostor = Party::new("Impostor").renamed("Middle");
        let leaf = Draft::leaf().sign(&server, &impostor);
        assert_eq!(verdicts(&[&root], &leaf, &[&middle]).0, Verdict::Unsure);
    }

    #[test]
    fn a_leaf_of_version_1_is_trusted_if_an_anchor_has_signed_it() {
        let [top, server] = ["Root", "Server"].map(Party::new);
        let root = Draft::authority(None).sign_itself(&top);
        let leaf = Draft::version_1().sign(&server, &top);
        // It has no alternative names: the one in its subject is for Node to look at.
        assert_eq!(verdicts(&[&root], &leaf, &[]).0, Verdict::WrongName);
        let forged = Draft::version_1().sign(&server, &Party::new("Root"));
        assert_eq!(verdicts(&[&root], &forged, &[]).0, Verdict::Unsure);
    }
}
