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

#[cfg(test)]
mod tests {
    use super::super::test_certificates::{DAY, Draft, NOW, Party};
    use super::*;

    fn anchors(certificates: &[&CertificateDer<'_>], explicit: bool) -> TrustAnchors {
        TrustAnchors::new(certificates.iter().map(|der| der.to_vec()).collect(), explicit)
    }

    #[test]
    fn only_what_has_issued_itself_is_an_anchor() {
        let (root, below) = (Party::new("Root"), Party::new("Below"));
        let own = Draft::authority(None).sign_itself(&root);
        let intermediate = Draft::authority(None).sign(&below, &root);
        assert!(anchors(&[&own], true).is_complete());
        let both = anchors(&[&own, &intermediate], true);
        assert!(!both.is_complete());
        assert_eq!(both.usable(NOW).len(), 1);
        assert!(both.contains(&own).is_some() && both.contains(&intermediate).is_none());
        assert!(!anchors(&[&CertificateDer::from(vec![1, 2, 3])], false).is_complete());
    }

    #[test]
    fn an_anchor_out_of_date_issues_nothing_and_makes_those_of_ca_uncertain() {
        let fresh = Draft::authority(None).sign_itself(&Party::new("Fresh"));
        let old = Draft::authority(None).valid(NOW - 2 * DAY, NOW - DAY).sign_itself(&Party::new("Old"));
        let (given, nodes) = (anchors(&[&fresh, &old], true), anchors(&[&fresh, &old], false));
        assert_eq!(given.usable(NOW).len(), 1);
        assert!(!given.are_certain(NOW) && nodes.are_certain(NOW));
        assert_eq!(given.usable(NOW - DAY).len(), 2);
        assert!(given.are_certain(NOW - DAY));
    }

    #[test]
    fn a_leaf_that_was_given_as_ca_has_issued_nothing_else() {
        let leaf = Draft::bare()
            .with(&x509_cert::ext::pkix::BasicConstraints { ca: false, path_len_constraint: None })
            .sign_itself(&Party::new("Leaf"));
        let anchors = anchors(&[&leaf], true);
        assert!(anchors.contains(&leaf).is_some());
        assert!(anchors.usable(NOW).is_empty());
    }

    #[test]
    fn anchors_of_one_name_are_told_apart_by_their_keys() {
        let (one, other) = (Party::new("Root"), Party::new("Root"));
        let ders = [&one, &other].map(|party| Draft::authority(None).sign_itself(party));
        let anchors = anchors(&[&ders[0], &ders[1]], true);
        for (usable, der) in anchors.usable(NOW).iter().zip(&ders) {
            assert_eq!(anchors.find(usable).unwrap().der, *der);
        }
        let below = Facts::of(&Draft::leaf().sign(&Party::new("Leaf"), &one)).unwrap();
        assert!(anchors.has_subject(&below.issuer) && !anchors.has_subject(&below.subject));
        assert!(anchors.issuer_of(&below).is_some());
    }

    #[test]
    fn sets_are_compared_whole() {
        let ders = ["One", "Two"].map(|name| Draft::authority(None).sign_itself(&Party::new(name)));
        let [one, two] = &ders;
        assert_eq!(anchors(&[one, two], true), anchors(&[one, two], true));
        assert_ne!(anchors(&[one, two], true), anchors(&[two, one], true));
        assert_ne!(anchors(&[one, two], true), anchors(&[one], true));
        assert_ne!(anchors(&[one], true), anchors(&[one], false));
    }
}
