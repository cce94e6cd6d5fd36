//! What holds for any bytes that a server gives for a certificate.

use super::certificate::{Facts, Signed};

pub fn check(der: &[u8]) {
    let facts = Facts::of(der);
    let signed = Signed::of(der);
    if let Ok(facts) = &facts {
        // Whatever it says of itself can be asked.
        facts.may_serve();
        facts.may_issue(0);
        facts.may_issue(usize::MAX);
        assert!(!facts.is_self_issued() || facts.names_key_of(facts));
        if facts.is_in_date(u64::MAX) {
            assert_eq!(facts.not_after, u64::MAX);
        }
    }
    if facts.is_ok() || signed.is_some() {
        // All of the bytes are the certificate, and none of them is missing.
        let cut = &der[..der.len() - 1];
        assert!(Facts::of(cut).is_err() && Signed::of(cut).is_none());
        let more = [der, b"\0"].concat();
        assert!(Facts::of(&more).is_err() && Signed::of(&more).is_none());
    }
    if let Some(Signed { content, algorithm, signature, public_key }) = signed {
        // What is checked is what stands there, and not another writing of it.
        let stands = |part: &[u8]| part.is_empty() || der.windows(part.len()).any(|window| window == part);
        assert!(stands(&content) && stands(&algorithm) && stands(&signature) && stands(&public_key));
    }
}

#[cfg(test)]
#[test]
fn the_corpus() {
    crate::corpus::each("certificate", 10, check);
}
