//! One request on one connection: how its response is read, what is kept of it so that it can be sent
//! again, when it may be, and what the server says of its connection.

mod chunked;
mod framing;
#[cfg(test)]
#[path = "../../fuzz/checks/framing.rs"]
mod framing_check;
mod keep_alive_hint;
#[cfg(test)]
#[path = "../../fuzz/checks/keep_alive_hint.rs"]
mod keep_alive_hint_check;
mod plain;
#[cfg(test)]
#[path = "../../fuzz/checks/plain.rs"]
mod plain_check;
#[cfg(test)]
#[path = "../../fuzz/checks/reads.rs"]
mod reads_check;
#[cfg(test)]
#[path = "../../fuzz/checks/reference.rs"]
mod reference;
mod replay;
mod rest;
mod syntax;
mod verdict;

pub use framing::{Framing, Progress};
pub use keep_alive_hint::Hint;
pub use plain::Plain;
pub use replay::Replay;
pub use rest::{Piece, Rest, Spans};
pub use syntax::is_blank;
pub use verdict::{Evidence, FRESH, Facts, Loss, NO_CONNECTION, Rule, Verdict, judge, why_not};
