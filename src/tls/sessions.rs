//! TLS sessions, for each destination by itself. A session that was begun
//! under other options, or for another server, is never offered.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::NamedGroup;
use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;

use super::context::Secure;
use super::handshake::Config;
use crate::connect::{Destination, SharedDestination};

/// Tickets of TLS 1.3 that are kept. Each is used once; a server sends two with each handshake.
const MAX_TICKETS: usize = 8;

/// Of all agents of an environment, those of an agent that is gone included.
const MAX_STORES: usize = 1024;

/// What is kept of one destination.
#[derive(Default)]
pub struct Sessions(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    group: Option<NamedGroup>,
    tls12: Option<Tls12ClientSessionValue>,
    tickets: VecDeque<Tls13ClientSessionValue>,
}

impl Sessions {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// After an error the next connection begins anew.
    fn forget(&self) {
        let mut kept = self.kept();
        kept.tls12 = None;
        kept.tickets.clear();
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sessions")
    }
}

/// A store belongs to one destination, so the server's name says nothing more.
impl ClientSessionStore for Sessions {
    fn set_kx_hint(&self, _: ServerName<'static>, group: NamedGroup) {
        self.kept().group = Some(group);
    }

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        self.kept().group
    }

    fn set_tls12_session(&self, _: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.kept().tls12 = Some(value);
    }

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.kept().tls12.clone()
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {
        self.kept().tls12 = None;
    }

    fn insert_tls13_ticket(&self, _: ServerName<'static>, value: Tls13ClientSessionValue) {
        let mut kept = self.kept();
        if kept.tickets.len() == MAX_TICKETS {
            kept.tickets.pop_front();
        }
        kept.tickets.push_back(value);
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.kept().tickets.pop_back()
    }
}

/// The configurations of the destinations that were used last, each with its
/// sessions. No more of an agent than its `maxCachedSessions`.
#[derive(Default)]
pub struct SessionStores {
    by_destination: HashMap<SharedDestination, Entry>,
    clock: u64,
}

struct Entry {
    config: Config,
    sessions: Arc<Sessions>,
    used: u64,
}

impl SessionStores {
    /// The configuration for a connection to this destination.
    pub fn config(&mut self, destination: &SharedDestination, secure: &Secure) -> Config {
        if secure.max_sessions == 0 {
            let (config, judge) = secure.context.config(secure, None);
            return (Arc::new(config), judge);
        }
        self.clock += 1;
        if let Some(entry) = self.by_destination.get_mut(destination) {
            entry.used = self.clock;
            return entry.config.clone();
        }
        self.make_room(|other| other.agent == destination.agent, secure.max_sessions as usize);
        self.make_room(|_| true, MAX_STORES);
        let sessions = Arc::new(Sessions::default());
        let (config, judge) = secure.context.config(secure, Some(&sessions));
        let config = (Arc::new(config), judge);
        let entry = Entry { config: config.clone(), sessions, used: self.clock };
        self.by_destination.insert(destination.clone(), entry);
        config
    }

    /// Drops the one that was used least recently if there are as many as there may be.
    fn make_room(&mut self, counts: impl Fn(&Destination) -> bool, max: usize) {
        let of_kind = || self.by_destination.iter().filter(|(destination, _)| counts(destination));
        if of_kind().count() < max {
            return;
        }
        let oldest = of_kind().min_by_key(|(_, entry)| entry.used).map(|(oldest, _)| oldest.clone());
        if let Some(oldest) = oldest {
            self.by_destination.remove(&oldest);
        }
    }

    /// A connection to it has failed: the next one is not to resume.
    pub fn forget(&mut self, destination: &SharedDestination) {
        if let Some(entry) = self.by_destination.get(destination) {
            entry.sessions.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    use rustls::{ClientConnection, HandshakeKind, ServerConfig, ServerConnection};

    use super::super::test_server::{secure, server};
    use super::*;

    fn destination(agent: u32, port: u16, secure: &Secure) -> SharedDestination {
        let mut destination = Destination { secure: Some(secure.clone()), ..Destination::for_test(agent) };
        destination.target = crate::connect::Target::Tcp(crate::connect::TcpTarget::for_test("a.test", port));
        destination.into()
    }

    /// Whether the next connection to a destination may resume what was agreed on before.
    fn is_same(stores: &mut SessionStores, destination: &SharedDestination, before: &Config) -> bool {
        let secure = destination.secure.clone().unwrap();
        Arc::ptr_eq(&stores.config(destination, &secure).0, &before.0)
    }

    #[test]
    fn a_destination_keeps_its_sessions_and_shares_them_with_no_other() {
        let (mut stores, secure) = (SessionStores::default(), secure(10));
        let (here, there, alien) =
            (destination(1, 1, &secure), destination(1, 2, &secure), destination(2, 1, &secure));
        let config = stores.config(&here, &secure);
        assert!(is_same(&mut stores, &destination(1, 1, &secure), &config));
        assert!(!is_same(&mut stores, &there, &config));
        assert!(!is_same(&mut stores, &alien, &config));
    }

    #[test]
    fn no_more_destinations_of_an_agent_than_it_allows_and_the_latest_stay() {
        let (mut stores, secure) = (SessionStores::default(), secure(2));
        let [first, second, third] = [1, 2, 3].map(|port| destination(1, port, &secure));
        let other = destination(2, 1, &secure);
        let of_other = stores.config(&other, &secure);
        let [of_first, of_second] = [&first, &second].map(|destination| stores.config(destination, &secure));
        assert!(is_same(&mut stores, &first, &of_first));
        stores.config(&third, &secure);
        assert!(is_same(&mut stores, &first, &of_first));
        assert!(is_same(&mut stores, &other, &of_other));
        assert!(!is_same(&mut stores, &second, &of_second));
    }

    #[test]
    fn without_sessions_nothing_is_kept() {
        let (mut stores, secure) = (SessionStores::default(), secure(0));
        let here = destination(1, 1, &secure);
        let config = stores.config(&here, &secure);
        assert!(!is_same(&mut stores, &here, &config));
        assert!(stores.by_destination.is_empty());
    }

    /// Connects, and says whether a session was resumed.
    fn resumes((config, _): &Config, server: &Arc<ServerConfig>) -> bool {
        let name = ServerName::try_from("a.test").unwrap();
        let mut client = ClientConnection::new(Arc::clone(config), name).unwrap();
        let mut server = ServerConnection::new(Arc::clone(server)).unwrap();
        // The server's tickets come behind its part of the handshake.
        while client.wants_write() || server.wants_write() {
            let mut wire = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut wire).unwrap();
            }
            server.read_tls(&mut wire.as_slice()).unwrap();
            server.process_new_packets().unwrap();
            wire.clear();
            while server.wants_write() {
                server.write_tls(&mut wire).unwrap();
            }
            client.read_tls(&mut wire.as_slice()).unwrap();
            client.process_new_packets().unwrap();
        }
        client.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    #[test]
    fn sessions_are_resumed_until_an_error_comes_between() {
        let (server, secure) = server(10);
        let mut stores = SessionStores::default();
        let here = destination(1, 1, &secure);
        let config = stores.config(&here, &secure);
        assert!(!resumes(&config, &server));
        assert!(resumes(&config, &server));
        assert!(resumes(&stores.config(&here, &secure), &server));
        let there = destination(1, 2, &secure);
        assert!(!resumes(&stores.config(&there, &secure), &server), "of another destination");
        stores.forget(&here);
        assert!(!resumes(&config, &server));
        assert!(resumes(&config, &server));
    }

    #[test]
    fn nothing_is_resumed_where_no_sessions_are_kept() {
        let (server, secure) = server(0);
        let mut stores = SessionStores::default();
        let here = destination(1, 1, &secure);
        for _ in 0..2 {
            assert!(!resumes(&stores.config(&here, &secure), &server));
        }
    }
}
