//! Whether a request whose connection was lost may be sent on another one.
//!
//! A pure function of the facts, after RFC 9110 section 9.2.2 (idempotent
//! methods) and RFC 9112 section 9.3.1 (retrying requests). "Sent" means that
//! the kernel accepted a byte.

/// What is known at the moment of the loss.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// The connection had served another request before.
    pub reused: bool,
    /// The kernel had accepted a byte of the request.
    pub sent: bool,
    /// A byte of the response had come.
    pub answered: bool,
    /// The caller allows this request to be sent twice (an idempotent method,
    /// or an `Idempotency-Key`, and no `retry: false`).
    pub replayable: bool,
    /// The caller allows it where the server has not got a byte of it
    /// (`retry: { unacknowledged: true }`).
    pub unacknowledged: bool,
    /// The whole request so far is in the replay buffer.
    pub kept: bool,
    /// The request was sent again once already.
    pub retried: bool,
    pub loss: Loss,
    pub evidence: Evidence,
}

/// How the connection was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Bytes stay unacknowledged, or probes unanswered.
    DeadPeer,
    /// The server's FIN, after everything that it had sent.
    Ended,
    /// The server's FIN, and then its RST.
    EndedThenReset,
    /// A reset, or any other failure of an established connection.
    Reset,
    /// The first write was refused, no byte of it accepted.
    WriteRefused,
}

/// What the peer's kernel has acknowledged of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// A byte of it, at least.
    Acknowledged,
    /// No byte of it, and all that was sent before it.
    Unacknowledged,
    /// This system does not tell, or not of this connection.
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Rule R2: nothing was sent, so which connection is used is still open.
    Select,
    /// Rule R3: the first write was refused whole; once more, on a fresh connection.
    SendFresh,
    /// Sent and unanswered; once more, on a fresh connection.
    Retry(Rule),
    /// A reset that may follow decides.
    Await,
    /// The loss is the caller's to handle.
    Report,
}

/// Why a request that was sent may be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// To repeat it does no harm.
    R4,
    /// The server had closed before it got a byte, and refused what came after.
    R5,
    /// The peer is dead, and to repeat it does no harm.
    R6,
}

impl Verdict {
    /// The rule that decided, as docs/architecture.md numbers them.
    pub const fn rule(self) -> &'static str {
        match self {
            Self::Select => "R2",
            Self::SendFresh => "R3",
            Self::Retry(Rule::R4) => "R4",
            Self::Retry(Rule::R5) => "R5",
            Self::Retry(Rule::R6) => "R6",
            Self::Await | Self::Report => "",
        }
    }
}

pub fn judge(facts: Facts) -> Verdict {
    // A connection that fails on its first request is no race with an idle
    // limit: the next one would fail alike (one failed connection, one error).
    if !facts.reused || facts.answered {
        return Verdict::Report;
    }
    if !facts.sent {
        return match facts.loss {
            Loss::WriteRefused if facts.retried => Verdict::Report,
            Loss::WriteRefused => Verdict::SendFresh,
            _ => Verdict::Select,
        };
    }
    if facts.retried || !facts.kept {
        return Verdict::Report;
    }
    let unheard = facts.evidence == Evidence::Unacknowledged;
    match facts.loss {
        Loss::DeadPeer if facts.replayable && unheard => Verdict::Retry(Rule::R6),
        _ if facts.replayable => Verdict::Retry(Rule::R4),
        // The FIN carries an acknowledgement of all that the server had got, so
        // it had decided to close. What it did with the bytes that came after
        // shows by the reset: there was nobody left to read them.
        Loss::Ended if facts.unacknowledged && unheard => Verdict::Await,
        Loss::EndedThenReset if facts.unacknowledged && unheard => Verdict::Retry(Rule::R5),
        _ => Verdict::Report,
    }
}

/// Why nothing is done for a request whose connection was a fresh one.
pub const FRESH: &str = "not sent again: the connection was a fresh one";
/// Or for one that was to be sent again.
pub const NO_CONNECTION: &str = "not sent again: another connection could not be had";

/// Why a request whose connection was lost is not sent again, for the error
/// that its caller gets.
pub const fn why_not(facts: Facts) -> &'static str {
    if facts.answered {
        "not sent again: the response had begun"
    } else if facts.retried {
        "not sent again: it had been already"
    } else if !facts.reused {
        FRESH
    } else if !facts.sent {
        NO_CONNECTION
    } else if !facts.replayable && !facts.unacknowledged {
        "not sent again: sent, and the caller does not allow to repeat it"
    } else if !facts.kept {
        "not sent again: sent, and longer than maxReplayBytes"
    } else if facts.replayable {
        NO_CONNECTION
    } else {
        match (facts.evidence, facts.loss) {
            (Evidence::Acknowledged, _) => "not sent again: the server's system has acknowledged bytes of it",
            (Evidence::Unknown, _) => "not sent again: no evidence on this system of what the server has got",
            (Evidence::Unacknowledged, Loss::Ended) => {
                "not sent again: no reset followed, so the server may have read it"
            }
            (Evidence::Unacknowledged, Loss::EndedThenReset) => NO_CONNECTION,
            (Evidence::Unacknowledged, _) => {
                "not sent again: that nothing is acknowledged is no proof by itself"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LOSSES: [Loss; 5] =
        [Loss::DeadPeer, Loss::Ended, Loss::EndedThenReset, Loss::Reset, Loss::WriteRefused];
    const EVIDENCE: [Evidence; 3] = [Evidence::Acknowledged, Evidence::Unacknowledged, Evidence::Unknown];

    fn all() -> impl Iterator<Item = Facts> {
        (0..128_u32).flat_map(|bits| {
            let bit = move |n: u32| bits >> n & 1 == 1;
            LOSSES.into_iter().flat_map(move |loss| {
                EVIDENCE.into_iter().map(move |evidence| Facts {
                    reused: bit(0),
                    sent: bit(1),
                    answered: bit(2),
                    replayable: bit(3),
                    unacknowledged: bit(4),
                    kept: bit(5),
                    retried: bit(6),
                    loss,
                    evidence,
                })
            })
        })
    }

    /// The rules once more, in the words of the table in docs/architecture.md: the first row that fits.
    fn table(f: Facts) -> Verdict {
        use Evidence::Unacknowledged;
        use Verdict::{Await, Report, Retry, Select, SendFresh};
        let again = f.sent && f.kept && !f.retried;
        let rows: [(bool, Verdict); 9] = [
            (!f.reused, Report),
            (f.answered, Report),
            (!f.sent && f.loss != Loss::WriteRefused, Select),
            (!f.sent && !f.retried, SendFresh),
            (
                again && f.replayable && f.loss == Loss::DeadPeer && f.evidence == Unacknowledged,
                Retry(Rule::R6),
            ),
            (again && f.replayable, Retry(Rule::R4)),
            (again && f.unacknowledged && f.evidence == Unacknowledged && f.loss == Loss::Ended, Await),
            (
                again && f.unacknowledged && f.evidence == Unacknowledged && f.loss == Loss::EndedThenReset,
                Retry(Rule::R5),
            ),
            (true, Report),
        ];
        rows.into_iter().find(|(fits, _)| *fits).unwrap().1
    }

    #[test]
    fn every_combination() {
        let mut seen = Vec::new();
        for facts in all() {
            let verdict = judge(facts);
            assert_eq!(verdict, table(facts), "{facts:?}");
            if !seen.contains(&verdict) {
                seen.push(verdict);
            }
        }
        // Each verdict can be come to.
        assert_eq!(seen.len(), 7, "{seen:?}");
    }

    /// What must never be, whatever the rules are.
    #[test]
    fn nothing_is_sent_twice_without_leave() {
        for facts in all() {
            let verdict = judge(facts);
            let again = matches!(verdict, Verdict::Retry(_));
            assert!(!(again && facts.answered), "after a response byte: {facts:?}");
            assert!(!(again && facts.retried), "a second time: {facts:?}");
            assert!(!again || facts.reused, "on a fresh connection: {facts:?}");
            assert!(
                !(again && !facts.replayable && !facts.unacknowledged),
                "against the caller's word: {facts:?}"
            );
            if again && !facts.replayable {
                assert_eq!(facts.evidence, Evidence::Unacknowledged, "without evidence: {facts:?}");
                assert_eq!(facts.loss, Loss::EndedThenReset, "without evidence: {facts:?}");
            }
            if matches!(verdict, Verdict::Select | Verdict::SendFresh) {
                assert!(!facts.sent, "as if it had not been sent: {facts:?}");
            }
        }
    }

    proptest! {
        /// Less leave, less evidence, or more done already never makes a retry of what was none.
        #[test]
        fn verdicts_are_monotone(
            [reused, sent, answered, replayable] in any::<[bool; 4]>(),
            [unacknowledged, kept, retried] in any::<[bool; 3]>(),
            loss in proptest::sample::select(&LOSSES[..]),
            evidence in proptest::sample::select(&EVIDENCE[..]),
        ) {
            let facts = Facts {
                reused, sent, answered, replayable, unacknowledged, kept, retried, loss, evidence,
            };
            let retries = |facts| matches!(judge(facts), Verdict::Retry(_));
            for less in [
                Facts { reused: false, ..facts },
                Facts { answered: true, ..facts },
                Facts { replayable: false, ..facts },
                Facts { unacknowledged: false, ..facts },
                Facts { kept: false, ..facts },
                Facts { retried: true, ..facts },
                Facts { evidence: Evidence::Unknown, ..facts },
                Facts { evidence: Evidence::Acknowledged, ..facts },
            ] {
                prop_assert!(retries(facts) || !retries(less), "{:?} {:?}", facts, less);
            }
        }
    }
}
