//! offloop's native half: connections that live on a thread of their own.
//!
//! `binding` is the crossing between JavaScript and this crate, `runtime` the
//! thread, `pool` what it keeps, `connect` how a connection comes to be, `tls`
//! what is between its socket and the request, and `exchange` the rules for
//! one request on one connection. `block` is the memory of
//! large pieces, `debts` is what the process's end waits for, `error` has the closed list of reasons,
//! `log` writes down what happens, `reply` is how a question of JavaScript's is
//! answered, `time_slice` is the thread's word to the scheduler.

#[cfg(test)]
mod allocations;
mod binding;
mod block;
mod connect;
#[cfg(test)]
#[path = "../fuzz/checks/corpus.rs"]
mod corpus;
mod debts;
mod error;
mod exchange;
mod log;
mod pin;
mod pool;
mod reply;
mod runtime;
mod time_slice;
mod tls;
