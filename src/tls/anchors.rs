//! The certificates that are trusted by themselves: Node's roots, or those of
//! the option `ca`.

use std::collections::HashMap;

use rustls::pki_types::{CertificateDer, Der, TrustAnchor};

use super::certificate::Facts;

/// Anchors as OpenSSL uses them: with their dates and their limits, which
/// webpki does not look at.
#[derive(Debug)]
pub struct TrustAnchors {
    entries: Vec<Entry>,
    by_subject: HashMap<String, usize>,
    /// Given by the option `ca`. Then each of them counts: where OpenSSL
    /// would have taken one that has expired, the answer is not ours to give.
    explicit: bool,
    /// Each certificate is one that has issued itself and could be read.
    complete: bool,
}

#[derive(Debug)]
pub struct Entry {
    pub der: CertificateDer<'static>,
    pub facts: Facts,
    anchor: TrustAnchor<'static>,
}

impl TrustAnchors {
    /// What cannot be used is left out. That makes us refuse more, never less.
    pub fn new(certificates: Vec<Vec<u8>>, explicit: bool) -> Self {
        let count = certificates.len();
        let entries: Vec<Entry> = certificates.into_iter().filter_map(Entry::new).collect();
        let by_subject =
            entries.iter().enumerate().map(|(at, entry)| (entry.facts.subject.clone(), at)).collect();
        Self { complete: entries.len() == count, entries, by_subject, explicit }
    }

    pub const fn is_complete(&self) -> bool {
        self.complete
    }

    /// Whether a chain can be judged against these anchors now.
    pub fn are_certain(&self, now: u64) -> bool {
        !self.explicit || self.entries.iter().all(|entry| entry.facts.is_in_date(now))
    }

    /// Those that may have issued something, now.
    pub fn usable(&self, now: u64) -> Vec<TrustAnchor<'_>> {
        self.entries
            .iter()
            .filter(|entry| entry.facts.is_in_date(now) && entry.facts.may_issue(0))
            .map(|entry| borrowed(&entry.anchor))
            .collect()
    }

    /// The certificate behind an anchor of [`TrustAnchors::usable`].
    pub fn find(&self, anchor: &TrustAnchor<'_>) -> Option<&Entry> {
        self.entries.iter().find(|entry| {
            entry.anchor.subject == anchor.subject
                && entry.anchor.subject_public_key_info == anchor.subject_public_key_info
        })
    }

    pub fn has_subject(&self, subject: &str) -> bool {
        self.by_subject.contains_key(subject)
    }

    pub fn issuer_of(&self, facts: &Facts) -> Option<&Entry> {
        self.by_subject.get(&facts.issuer).map(|&at| &self.entries[at])
    }

    pub fn contains(&self, certificate: &CertificateDer<'_>) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.der == *certificate)
    }
}

impl PartialEq for TrustAnchors {
    fn eq(&self, other: &Self) -> bool {
        self.explicit == other.explicit
            && self.entries.len() == other.entries.len()
            && self.entries.iter().zip(&other.entries).all(|(one, other)| one.der == other.der)
    }
}

impl Entry {
    fn new(der: Vec<u8>) -> Option<Self> {
        let der = CertificateDer::from(der);
        let facts = Facts::of(&der).ok().filter(Facts::is_self_issued)?;
        let anchor = webpki::anchor_from_trusted_cert(&der).ok()?.to_owned();
        Some(Self { facts, anchor, der })
    }
}

fn borrowed<'a>(anchor: &'a TrustAnchor<'static>) -> TrustAnchor<'a> {
    TrustAnchor {
        subject: Der::from_slice(&anchor.subject),
        subject_public_key_info: Der::from_slice(&anchor.subject_public_key_info),
        name_constraints: anchor.name_constraints.as_ref().map(|der| Der::from_slice(der)),
    }
}
