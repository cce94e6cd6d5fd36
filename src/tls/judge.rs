//! Whether the chain of a server is accepted. Node's answer is OpenSSL's, so a
//! chain passes here only if webpki finds a path and OpenSSL would have nothing
//! to say against it either. Everything else is refused and left to Node.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{
    CertificateDer, ServerName, SignatureVerificationAlgorithm, SubjectPublicKeyInfoDer, UnixTime,
};
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};
use webpki::{EndEntityCert, KeyUsage, RawPublicKeyEntity, VerifiedPath};

use super::anchors::TrustAnchors;
use super::certificate::{Facts, Signed};

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
