//! What a connection leads to, and how it was made: the pool key.

use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::net::IpAddr;
use std::ops::Deref;
#[cfg(unix)]
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::LazyLock;
use std::time::Duration;

use super::tcp::Probes;
use crate::tls::Secure;

/// Everything that makes two connections not interchangeable. Compared whole;
/// a hash only finds the candidates.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Destination {
    /// The agent that owns the connection: `agent.destroy()` must end it.
    pub agent: u32,
    pub target: Target,
    /// TLS; none for a connection in the clear.
    pub secure: Option<Secure>,
    /// The function in JavaScript that resolves names or guards connects for
    /// this destination; 0 for none.
    pub resolver: u32,
    pub connect_timeout: Option<Duration>,
    /// How long bytes may stay unacknowledged before the connection is given up.
    pub dead_peer: Option<Duration>,
    /// The age at which a connection is no longer used, at most.
    pub ttl: Option<Duration>,
}

/// A destination as it stands in tables. Each exchange looks it up, and its text is long: it is hashed once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedDestination(Rc<Hashed>);

#[derive(Debug, PartialEq, Eq)]
struct Hashed {
    hash: u64,
    destination: Destination,
}

impl From<Destination> for SharedDestination {
    fn from(destination: Destination) -> Self {
        static STATE: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        Self(Rc::new(Hashed { hash: STATE.hash_one(&destination), destination }))
    }
}

impl Deref for SharedDestination {
    type Target = Destination;

    fn deref(&self) -> &Destination {
        &self.0.destination
    }
}

impl Hash for SharedDestination {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0.hash);
    }
}

/// How long Linux tries to connect where nothing answers (`tcp_syn_retries`).
const CONNECT_PATIENCE: Duration = Duration::from_secs(127);

impl Destination {
    /// After how much idle time the first keep-alive probe is sent where the program asks for `asked`; less than a second
    /// leaves that to the system. A probe behind the user timeout would have to be answered at once: to the kernel, all
    /// of the idle time has gone unanswered then.
    pub fn probe_delay(&self, asked: Duration) -> Duration {
        let Some(limit) = self.dead_peer else { return asked };
        let most = (limit / 2).max(Duration::from_secs(1));
        if asked.as_secs() == 0 { most } else { asked.min(most) }
    }

    /// The keep-alive probes of a connection whose program has set no others. A peer that dies while its answer is waited
    /// for shows by them only.
    pub fn probes(&self) -> Option<Probes> {
        let Target::Tcp(target) = &self.target else { return None };
        let delay = match self.dead_peer {
            Some(_) => self.probe_delay(target.keep_alive.unwrap_or_default()),
            None => target.keep_alive?,
        };
        Some(Probes::after(delay))
    }

    /// How long a connection may be silent, where it may be `limit` otherwise, that nobody knows to stand on the peer's
    /// side: as long as it may take to connect.
    pub fn connect_patience(&self, limit: Duration) -> Duration {
        limit.max(self.connect_timeout.unwrap_or(CONNECT_PATIENCE))
    }
}

impl SharedDestination {
    /// Whether both are one, and not only equal.
    #[cfg(test)]
    pub fn is_one_with(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    Tcp(TcpTarget),
    #[cfg(unix)]
    Unix(PathBuf),
}

/// The origin, for logs and the status.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(TcpTarget { host, port, .. }) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp(TcpTarget { host, port, .. }) => write!(f, "{host}:{port}"),
            #[cfg(unix)]
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TcpTarget {
    pub host: String,
    pub port: u16,
    /// 4 or 6; 0 for both.
    pub family: u8,
    /// getaddrinfo's flags.
    pub hints: i32,
    pub order: Order,
    /// Only the first address is tried (`autoSelectFamily: false`).
    pub first_only: bool,
    /// How long an attempt runs before the next one starts beside it.
    pub attempt_delay: Duration,
    pub local_address: Option<IpAddr>,
    /// 0 for any.
    pub local_port: u16,
    pub no_delay: bool,
    /// TCP keep-alive, and after how much idle time its first probe is sent.
    pub keep_alive: Option<Duration>,
}

/// The order of resolved addresses, as `dns.getDefaultResultOrder()` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    Ipv4First,
    Ipv6First,
    Verbatim,
}

impl TcpTarget {
    /// Whether the socket is bound before it connects.
    pub const fn is_bound(&self) -> bool {
        self.local_address.is_some() || self.local_port != 0
    }
}

#[cfg(test)]
impl Destination {
    pub fn for_test(agent: u32) -> Self {
        Self {
            agent,
            target: Target::Tcp(TcpTarget::for_test("127.0.0.1", 80)),
            secure: None,
            resolver: 0,
            connect_timeout: None,
            dead_peer: None,
            ttl: None,
        }
    }
}

#[cfg(test)]
impl TcpTarget {
    pub fn for_test(host: &str, port: u16) -> Self {
        Self {
            host: host.to_owned(),
            port,
            family: 0,
            hints: 0,
            order: Order::Verbatim,
            first_only: false,
            attempt_delay: Duration::from_millis(250),
            local_address: None,
            local_port: 0,
            no_delay: true,
            keep_alive: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_has_time_to_be_answered_before_the_user_timeout() {
        let secs = Duration::from_secs;
        let mut destination = Destination::for_test(1);
        assert_eq!(destination.probe_delay(secs(60)), secs(60));
        assert_eq!(destination.probe_delay(Duration::ZERO), Duration::ZERO);
        destination.dead_peer = Some(secs(20));
        assert_eq!(destination.probe_delay(secs(60)), secs(10));
        assert_eq!(destination.probe_delay(secs(3)), secs(3));
        assert_eq!(destination.probe_delay(Duration::ZERO), secs(10), "the system's own is two hours");
        destination.dead_peer = Some(secs(1));
        assert_eq!(destination.probe_delay(secs(3)), secs(1), "the kernel counts in seconds");
    }
}
