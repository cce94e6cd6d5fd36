//! Certificates for unit tests, made and signed when they are asked for.

use std::str::FromStr;
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use x509_cert::certificate::{Certificate, TbsCertificate, Version};
use x509_cert::der::asn1::{Any, BitString, Ia5String, ObjectIdentifier, OctetString, UtcTime};
use x509_cert::der::oid::AssociatedOid;
use x509_cert::der::{Encode, flagset::FlagSet};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage, KeyUsages, SubjectAltName};
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use x509_cert::time::{Time, Validity};

/// The present, in seconds. All certificates are in date then, unless they say otherwise.
pub const NOW: u64 = 1_800_000_000;
pub const DAY: u64 = 24 * 60 * 60;

const ECDSA_WITH_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const PRIME256V1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");

/// Who is named by certificates, or signs them.
pub struct Party {
    name: Name,
    key: EcdsaKeyPair,
}

impl Party {
    pub fn new(name: &str) -> Self {
        Self {
            name: Name::from_str(&format!("CN={name}")).unwrap(),
            key: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap(),
        }
    }

    /// The private key, for a server.
    pub fn key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.to_pkcs8v1().unwrap().as_ref().to_vec()).into()
    }

    /// With the key of this one, and another name.
    pub fn renamed(self, name: &str) -> Self {
        Self { name: Name::from_str(&format!("CN={name}")).unwrap(), ..self }
    }
}

/// A certificate that is not signed yet.
pub struct Draft {
    version: Version,
    not_before: u64,
    not_after: u64,
    extensions: Vec<Extension>,
}

impl Draft {
    pub const fn bare() -> Self {
        Self { version: Version::V3, not_before: NOW - DAY, not_after: NOW + DAY, extensions: Vec::new() }
    }

    pub fn version_1() -> Self {
        Self { version: Version::V1, ..Self::bare() }
    }

    /// For the server `a.test`.
    pub fn leaf() -> Self {
        let name = GeneralName::DnsName(Ia5String::new("a.test").unwrap());
        Self::bare().usage(KeyUsages::DigitalSignature).with(&SubjectAltName(vec![name]))
    }

    pub fn authority(path_len: Option<u8>) -> Self {
        let constraints = BasicConstraints { ca: true, path_len_constraint: path_len };
        Self::bare().usage(KeyUsages::KeyCertSign).with(&constraints)
    }

    pub fn usage(self, usage: impl Into<FlagSet<KeyUsages>>) -> Self {
        self.with(&KeyUsage(usage.into()))
    }

    pub fn with<E: AssociatedOid + Encode>(self, value: &E) -> Self {
        self.with_extension(E::OID, false, value.to_der().unwrap())
    }

    pub fn with_extension(mut self, extn_id: ObjectIdentifier, critical: bool, value: Vec<u8>) -> Self {
        let extn_value = OctetString::new(value).unwrap();
        self.extensions.push(Extension { extn_id, critical, extn_value });
        self
    }

    pub const fn valid(mut self, not_before: u64, not_after: u64) -> Self {
        (self.not_before, self.not_after) = (not_before, not_after);
        self
    }

    pub fn sign(self, subject: &Party, issuer: &Party) -> CertificateDer<'static> {
        let algorithm = AlgorithmIdentifierOwned { oid: ECDSA_WITH_SHA256, parameters: None };
        let time =
            |seconds| Time::UtcTime(UtcTime::from_unix_duration(Duration::from_secs(seconds)).unwrap());
        let tbs_certificate = TbsCertificate {
            version: self.version,
            serial_number: SerialNumber::new(&[1]).unwrap(),
            signature: algorithm.clone(),
            issuer: issuer.name.clone(),
            validity: Validity { not_before: time(self.not_before), not_after: time(self.not_after) },
            subject: subject.name.clone(),
            subject_public_key_info: SubjectPublicKeyInfoOwned {
                algorithm: AlgorithmIdentifierOwned {
                    oid: EC_PUBLIC_KEY,
                    parameters: Some(Any::encode_from(&PRIME256V1).unwrap()),
                },
                subject_public_key: BitString::from_bytes(subject.key.public_key().as_ref()).unwrap(),
            },
            issuer_unique_id: None,
            subject_unique_id: None,
            extensions: (!self.extensions.is_empty()).then_some(self.extensions),
        };
        let content = tbs_certificate.to_der().unwrap();
        let signature = issuer.key.sign(&SystemRandom::new(), &content).unwrap();
        let certificate = Certificate {
            tbs_certificate,
            signature_algorithm: algorithm,
            signature: BitString::from_bytes(signature.as_ref()).unwrap(),
        };
        CertificateDer::from(certificate.to_der().unwrap())
    }

    pub fn sign_itself(self, party: &Party) -> CertificateDer<'static> {
        self.sign(party, party)
    }
}
