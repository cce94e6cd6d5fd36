//! TLS sessions, for each destination by itself. A session that was begun
//! under other options, or for another server, is never offered.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::NamedGroup;
use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;

use super::context::Secure;
use super::handshake::Config;
use crate::connect::Destination;

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
    by_destination: HashMap<Rc<Destination>, Entry>,
    clock: u64,
}

struct Entry {
    config: Config,
    sessions: Arc<Sessions>,
    used: u64,
}

impl SessionStores {
    /// The configuration for a connection to this destination.
    pub fn config(&mut self, destination: &Rc<Destination>, secure: &Secure) -> Config {
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
        self.by_destination.insert(Rc::clone(destination), entry);
        config
    }

    /// Drops the one that was used least recently if there are as many as there may be.
    fn make_room(&mut self, counts: impl Fn(&Destination) -> bool, max: usize) {
        let of_kind = || self.by_destination.iter().filter(|(destination, _)| counts(destination));
        if of_kind().count() < max {
            return;
        }
        let oldest = of_kind().min_by_key(|(_, entry)| entry.used).map(|(oldest, _)| Rc::clone(oldest));
        if let Some(oldest) = oldest {
            self.by_destination.remove(&oldest);
        }
    }

    /// A connection to it has failed: the next one is not to resume.
    pub fn forget(&mut self, destination: &Destination) {
        if let Some(entry) = self.by_destination.get(destination) {
            entry.sessions.forget();
        }
    }
}
