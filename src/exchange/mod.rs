//! One request on one connection: what is kept of it so that it can be sent
//! again, and when it may be.

mod replay;
mod verdict;

pub use replay::Replay;
pub use verdict::{Facts, Loss, Verdict, judge};
