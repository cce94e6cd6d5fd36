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
    /// The whole request so far is in the replay buffer.
    pub kept: bool,
    /// The request was sent again once already.
    pub retried: bool,
    pub loss: Loss,
}

/// How the connection was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// EOF, a reset, or any other failure of an established connection.
    Closed,
    /// The first write was refused, no byte of it accepted.
    WriteRefused,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Rule R2: nothing was sent, so which connection is used is still open.
    Select,
    /// Rule R3: the first write was refused whole; once more, on a fresh connection.
    SendFresh,
    /// Rule R4: sent, unanswered, and harmless to repeat; once more, on a fresh connection.
    Retry,
    /// The loss is the caller's to handle.
    Report,
}

impl Verdict {
    /// The rule that decided, as docs/architecture.md numbers them.
    pub const fn rule(self) -> &'static str {
        match self {
            Self::Select => "R2",
            Self::SendFresh => "R3",
            Self::Retry => "R4",
            Self::Report => "",
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
            Loss::Closed => Verdict::Select,
            Loss::WriteRefused if facts.retried => Verdict::Report,
            Loss::WriteRefused => Verdict::SendFresh,
        };
    }
    if facts.replayable && facts.kept && !facts.retried { Verdict::Retry } else { Verdict::Report }
}

/// Why nothing is done for a request whose connection was a fresh one.
pub const FRESH: &str = "not sent again: the connection was a fresh one";

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
        "not sent again: another connection could not be had"
    } else if !facts.replayable {
        "not sent again: sent, and the caller does not allow to repeat it"
    } else {
        "not sent again: sent, and longer than maxReplayBytes"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every combination of the facts, against the rules written out once more
    /// in the words of the table.
    #[test]
    fn every_combination() {
        for bits in 0..128_u32 {
            let bit = |n: u32| bits >> n & 1 == 1;
            let facts = Facts {
                reused: bit(0),
                sent: bit(1),
                answered: bit(2),
                replayable: bit(3),
                kept: bit(4),
                retried: bit(5),
                loss: if bit(6) { Loss::WriteRefused } else { Loss::Closed },
            };
            let verdict = judge(facts);
            if facts.answered {
                assert_eq!(verdict, Verdict::Report, "never after a response byte: {facts:?}");
            }
            if !facts.reused {
                assert_eq!(verdict, Verdict::Report, "never on a fresh connection: {facts:?}");
            }
            if facts.retried {
                assert!(!matches!(verdict, Verdict::Retry | Verdict::SendFresh), "at most once: {facts:?}");
            }
            match verdict {
                Verdict::Select => assert!(!facts.sent && facts.loss == Loss::Closed),
                Verdict::SendFresh => assert!(!facts.sent && facts.loss == Loss::WriteRefused),
                Verdict::Retry => assert!(facts.sent && facts.replayable && facts.kept),
                Verdict::Report => assert!(
                    !facts.reused
                        || facts.answered
                        || (facts.sent && (!facts.replayable || !facts.kept || facts.retried))
                        || (facts.loss == Loss::WriteRefused && facts.retried),
                    "reported without need: {facts:?}"
                ),
            }
        }
    }
}
