//! What OpenSSL looks at in a certificate and webpki does not.

use rustls::pki_types::SubjectPublicKeyInfoDer;
use x509_cert::certificate::{Certificate, Version};
use x509_cert::der::asn1::{AnyRef, ObjectIdentifier};
use x509_cert::der::{Decode, Reader, SliceReader};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectKeyIdentifier,
};

/// id-kp-serverAuth (RFC 5280 section 4.2.1.12).
const SERVER_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.1");

/// Extensions that OpenSSL heeds, and webpki does not or not in the same way: Netscape's
/// older word for a certificate's purpose, name constraints, proxy certificates
/// (RFC 3820), and blocks of addresses and of autonomous systems (RFC 3779).
const BEYOND_WEBPKI: [ObjectIdentifier; 5] = [
    ObjectIdentifier::new_unwrap("2.16.840.1.113730.1.1"),
    ObjectIdentifier::new_unwrap("2.5.29.30"),
    ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.1.14"),
    ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.1.7"),
    ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.1.8"),
];

/// Extensions that may be critical: key usage, alternative names, basic
/// constraints, extended key usage. webpki does not look for others in an anchor.
const KNOWN_CRITICAL: [ObjectIdentifier; 4] = [
    ObjectIdentifier::new_unwrap("2.5.29.15"),
    ObjectIdentifier::new_unwrap("2.5.29.17"),
    ObjectIdentifier::new_unwrap("2.5.29.19"),
    ObjectIdentifier::new_unwrap("2.5.29.37"),
];

/// The facts about one certificate. Whatever is unusual enough to make them
/// doubtful is [`Doubtful`], and then Node judges.
#[derive(Clone, Debug)]
pub struct Facts {
    pub subject: String,
    pub issuer: String,
    pub not_before: u64,
    pub not_after: u64,
    /// Version 1, which knows of no extensions.
    pub is_v1: bool,
    /// `cA` and `pathLenConstraint`, if there are basic constraints.
    ca: Option<(bool, Option<u8>)>,
    key_usage: Option<KeyUsage>,
    /// An extended key usage that leaves TLS servers out.
    other_purpose: bool,
    serial: Vec<u8>,
    subject_key: Option<Vec<u8>>,
    authority_key: Option<AuthorityKeyIdentifier>,
}

/// Nothing certain can be said of this certificate.
#[derive(Debug)]
pub struct Doubtful;

impl Facts {
    pub fn of(der: &[u8]) -> Result<Self, Doubtful> {
        let certificate = Certificate::from_der(der).map_err(|_| Doubtful)?;
        let tbs = &certificate.tbs_certificate;
        let extensions = tbs.extensions.as_deref().unwrap_or_default();
        let is_twice =
            |at: usize| extensions[..at].iter().any(|other| other.extn_id == extensions[at].extn_id);
        let is_beyond = |extension: &Extension| {
            BEYOND_WEBPKI.contains(&extension.extn_id)
                || (extension.critical && !KNOWN_CRITICAL.contains(&extension.extn_id))
        };
        if (0..extensions.len()).any(is_twice) || extensions.iter().any(is_beyond) {
            return Err(Doubtful);
        }
        let purposes = tbs.get::<ExtendedKeyUsage>().map_err(|_| Doubtful)?;
        let ca = tbs.get::<BasicConstraints>().map_err(|_| Doubtful)?;
        let subject_key = tbs.get::<SubjectKeyIdentifier>().map_err(|_| Doubtful)?;
        Ok(Self {
            subject: name(&tbs.subject),
            issuer: name(&tbs.issuer),
            not_before: tbs.validity.not_before.to_unix_duration().as_secs(),
            not_after: tbs.validity.not_after.to_unix_duration().as_secs(),
            is_v1: tbs.version == Version::V1,
            ca: ca.map(|(_, constraints)| (constraints.ca, constraints.path_len_constraint)),
            key_usage: tbs.get::<KeyUsage>().map_err(|_| Doubtful)?.map(|(_, usage)| usage),
            other_purpose: purposes.is_some_and(|(_, purposes)| !purposes.0.contains(&SERVER_AUTH)),
            serial: tbs.serial_number.as_bytes().to_vec(),
            subject_key: subject_key.map(|(_, key)| key.0.as_bytes().to_vec()),
            authority_key: tbs.get::<AuthorityKeyIdentifier>().map_err(|_| Doubtful)?.map(|(_, key)| key),
        })
    }

    pub fn is_in_date(&self, now: u64) -> bool {
        (self.not_before..=self.not_after).contains(&now)
    }

    /// OpenSSL's purpose "sslserver" for a leaf.
    pub fn may_serve(&self) -> bool {
        !self.other_purpose
            && self.key_usage.is_none_or(|usage| {
                usage.digital_signature() || usage.key_encipherment() || usage.key_agreement()
            })
    }

    /// OpenSSL's purpose "sslserver" for what has issued `below` intermediates
    /// and a leaf.
    pub fn may_issue(&self, below: usize) -> bool {
        if self.is_v1 {
            return self.is_self_issued();
        }
        let Some((true, path_len)) = self.ca else { return false };
        !self.other_purpose
            && path_len.is_none_or(|limit| below <= usize::from(limit))
            && self.key_usage.is_none_or(|usage| usage.key_cert_sign())
    }

    pub fn is_self_issued(&self) -> bool {
        self.subject == self.issuer && self.names_key_of(self)
    }

    /// Whether the identifiers allow `issuer` to be the issuer. webpki does not
    /// look at them (RFC 5280 section 4.2.1.1).
    pub fn names_key_of(&self, issuer: &Self) -> bool {
        let Some(authority) = &self.authority_key else { return true };
        let is_key = match (&authority.key_identifier, &issuer.subject_key) {
            (Some(wanted), Some(key)) => wanted.as_bytes() == key.as_slice(),
            _ => true,
        };
        let is_serial = authority
            .authority_cert_serial_number
            .as_ref()
            .is_none_or(|serial| serial.as_bytes() == issuer.serial.as_slice());
        let is_name = authority.authority_cert_issuer.as_deref().is_none_or(|names| {
            names.iter().any(|one| matches!(one, GeneralName::DirectoryName(of) if name(of) == issuer.issuer))
        });
        is_key && is_serial && is_name
    }
}

/// Names are compared without regard to case and spacing, as OpenSSL does: so
/// that a name which is said to be absent is absent for OpenSSL too.
fn name(name: &x509_cert::name::Name) -> String {
    let text = name.to_string().to_lowercase();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What webpki does not read of a certificate of version 1.
pub struct Signed {
    pub content: Vec<u8>,
    pub algorithm: Vec<u8>,
    pub signature: Vec<u8>,
    pub public_key: SubjectPublicKeyInfoDer<'static>,
}

impl Signed {
    /// All of it as it stands there: what is not quite DER would be written in another way, and that is not what has
    /// been signed.
    pub fn of(der: &[u8]) -> Option<Self> {
        let certificate = Certificate::from_der(der).ok()?;
        let mut parts = parts_of(der).ok()?;
        let content = parts.tlv_bytes().ok()?;
        let algorithm = parts.tlv_bytes().ok()?;
        let mut fields = parts_of(content).ok()?;
        let first = fields.tlv_bytes().ok()?;
        // The serial number, or the version before it; then the algorithm, the issuer, the validity, and the subject.
        let others = if first.first() == Some(&VERSION) { 5 } else { 4 };
        for _ in 0..others {
            fields.tlv_bytes().ok()?;
        }
        Some(Self {
            content: content.to_vec(),
            // webpki names an algorithm by the contents of its sequence.
            algorithm: AnyRef::from_der(algorithm).ok()?.value().to_vec(),
            signature: certificate.signature.as_bytes()?.to_vec(),
            public_key: fields.tlv_bytes().ok()?.to_vec().into(),
        })
    }
}

/// The tag of a version, which may be missing.
const VERSION: u8 = 0xa0;

/// What a sequence consists of.
fn parts_of(sequence: &[u8]) -> x509_cert::der::Result<SliceReader<'_>> {
    SliceReader::new(AnyRef::from_der(sequence)?.value())
}

#[cfg(test)]
mod tests {
    use x509_cert::der::Encode;
    use x509_cert::der::asn1::{Null, OctetString};
    use x509_cert::der::flagset::FlagSet;
    use x509_cert::ext::pkix::KeyUsages;

    use super::super::test_certificates::{DAY, Draft, NOW, Party};
    use super::*;

    /// id-kp-clientAuth.
    const CLIENT_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.2");

    fn facts(draft: Draft) -> Facts {
        Facts::of(&draft.sign_itself(&Party::new("It"))).unwrap()
    }

    #[test]
    fn a_certificate_is_in_date_on_both_of_its_ends_and_no_second_longer() {
        let facts = facts(Draft::leaf().valid(NOW, NOW + DAY));
        assert!(facts.is_in_date(NOW) && facts.is_in_date(NOW + DAY));
        assert!(!facts.is_in_date(NOW - 1) && !facts.is_in_date(NOW + DAY + 1));
    }

    #[test]
    fn a_leaf_serves_if_none_of_its_usages_leaves_servers_out() {
        assert!(facts(Draft::bare()).may_serve());
        for usage in [KeyUsages::DigitalSignature, KeyUsages::KeyEncipherment, KeyUsages::KeyAgreement] {
            assert!(facts(Draft::bare().usage(usage)).may_serve());
        }
        assert!(!facts(Draft::bare().usage(KeyUsages::KeyCertSign)).may_serve());
        assert!(!facts(Draft::leaf().with(&ExtendedKeyUsage(vec![CLIENT_AUTH]))).may_serve());
        assert!(facts(Draft::leaf().with(&ExtendedKeyUsage(vec![CLIENT_AUTH, SERVER_AUTH]))).may_serve());
    }

    #[test]
    fn an_issuer_says_that_it_is_one_and_how_much_may_stand_below_it() {
        assert!(facts(Draft::authority(None)).may_issue(7));
        let short = facts(Draft::authority(Some(1)));
        assert!(short.may_issue(1) && !short.may_issue(2));
        assert!(!facts(Draft::leaf()).may_issue(0));
        let no_authority = BasicConstraints { ca: false, path_len_constraint: None };
        assert!(!facts(Draft::bare().with(&no_authority)).may_issue(0));
        let authority = BasicConstraints { ca: true, path_len_constraint: None };
        let usage = FlagSet::from(KeyUsages::CRLSign);
        assert!(!facts(Draft::bare().with(&authority).usage(usage)).may_issue(0));
        assert!(!facts(Draft::authority(None).with(&ExtendedKeyUsage(vec![CLIENT_AUTH]))).may_issue(0));
    }

    #[test]
    fn of_version_1_only_what_has_issued_itself_issues() {
        let (root, leaf) = (Party::new("Root"), Party::new("Leaf"));
        let facts = |subject, issuer| Facts::of(&Draft::version_1().sign(subject, issuer)).unwrap();
        assert!(facts(&root, &root).is_v1 && facts(&root, &root).may_issue(3));
        assert!(!facts(&leaf, &root).may_issue(0));
    }

    #[test]
    fn names_are_the_same_whatever_their_case_and_spacing() {
        let one = Party::new("An  Authority");
        let other = Party::new("an authority");
        let facts = Facts::of(&Draft::authority(None).sign(&one, &other)).unwrap();
        assert!(facts.is_self_issued());
    }

    #[test]
    fn an_identifier_of_the_issuers_key_has_to_be_that_of_the_issuer() {
        let key = |bytes: &[u8]| OctetString::new(bytes).unwrap();
        let issuer = |id: &[u8]| facts(Draft::authority(None).with(&SubjectKeyIdentifier(key(id))));
        let wanted =
            AuthorityKeyIdentifier { key_identifier: Some(key(b"one")), ..AuthorityKeyIdentifier::default() };
        let leaf = facts(Draft::leaf().with(&wanted));
        assert!(leaf.names_key_of(&issuer(b"one")) && !leaf.names_key_of(&issuer(b"other")));
        // An issuer without an identifier can be anyone's.
        assert!(leaf.names_key_of(&facts(Draft::authority(None))));
        assert!(facts(Draft::leaf()).names_key_of(&issuer(b"other")));
    }

    #[test]
    fn what_webpki_does_not_heed_makes_a_certificate_doubtful() {
        let unknown = ObjectIdentifier::new_unwrap("1.2.3.4");
        let null = || Null.to_der().unwrap();
        let sign = |draft: Draft| Facts::of(&draft.sign_itself(&Party::new("It")));
        assert!(sign(Draft::leaf().with_extension(unknown, false, null())).is_ok());
        assert!(sign(Draft::leaf().with_extension(unknown, true, null())).is_err());
        for beyond in BEYOND_WEBPKI {
            assert!(sign(Draft::leaf().with_extension(beyond, false, null())).is_err(), "{beyond}");
        }
        assert!(sign(Draft::leaf().usage(KeyUsages::DigitalSignature)).is_err(), "the same twice");
        assert!(Facts::of(b"no certificate").is_err());
    }
}
