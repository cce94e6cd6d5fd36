//! Where lanes lead, as JavaScript gives it. JavaScript has checked its options,
//! and raised Node's errors: what is refused here is a bug.

use std::net::IpAddr;
use std::time::Duration;

use napi::{Error, Result, Status};
use napi_derive::napi;

use super::secure::{SecureOptions, TlsContext};
use super::submission::Opening;
use crate::connect::{Destination, Order, Target, TcpTarget};
use crate::pool::{Limits, Open, Route};

/// Times are in milliseconds; where a time is missing, there is no limit.
#[napi(object)]
pub struct RouteOptions {
    pub agent: u32,
    pub path: Option<String>,
    pub host: String,
    pub port: u32,
    pub family: u32,
    pub hints: i32,
    pub order: String,
    pub first_only: bool,
    pub attempt_delay: u32,
    pub local_address: Option<String>,
    pub local_port: u32,
    pub no_delay: bool,
    pub keep_alive: Option<u32>,
    pub connect_timeout: Option<u32>,
    pub dead_peer: Option<u32>,
    pub ttl: Option<u32>,
    pub read_ahead: u32,
    /// A whole number, or infinity.
    pub max_buffered: f64,
    pub parse: bool,
    pub queues: bool,
    pub max_replay: u32,
    pub secure: Option<SecureOptions>,
}

impl RouteOptions {
    /// `context` comes with `secure`.
    pub fn parse(self, context: Option<&TlsContext>) -> Result<Route> {
        let ms = |ms: u32| Duration::from_millis(ms.into());
        let secure = self.secure.as_ref().zip(context);
        let secure = secure.map(|(secure, context)| secure.parse(context)).transpose()?;
        let target = match self.path {
            Some(path) => unix_target(path)?,
            None => Target::Tcp(TcpTarget {
                host: self.host,
                port: port(self.port)?,
                family: self.family as u8,
                hints: self.hints,
                order: match self.order.as_str() {
                    "ipv4first" => Order::Ipv4First,
                    "ipv6first" => Order::Ipv6First,
                    _ => Order::Verbatim,
                },
                first_only: self.first_only,
                attempt_delay: ms(self.attempt_delay),
                local_address: self.local_address.as_deref().map(address).transpose()?,
                local_port: port(self.local_port)?,
                no_delay: self.no_delay,
                keep_alive: self.keep_alive.map(ms),
            }),
        };
        Ok(Route {
            destination: Destination {
                agent: self.agent,
                target,
                secure,
                resolver: 0,
                connect_timeout: self.connect_timeout.map(ms),
                dead_peer: self.dead_peer.map(ms),
                ttl: self.ttl.map(ms),
            },
            limits: Limits {
                read_ahead: self.read_ahead,
                max_buffered: self.max_buffered as u64,
                max_replay: self.max_replay as usize,
                answers: None,
                parse: self.parse,
                queues: self.queues,
            },
        })
    }
}

/// A lane with addresses that JavaScript has found.
#[napi(object)]
pub struct OpenOptions {
    pub flags: i32,
    pub route: u32,
    pub resolver: u32,
    pub addresses: Vec<String>,
    /// For how many ms they serve other connects.
    pub ttl: Option<u32>,
}

impl OpenOptions {
    pub fn parse(&self) -> Result<Open> {
        Ok(Open {
            how: Opening::new(self.flags, self.route, self.resolver),
            addresses: Some(addresses(&self.addresses)?),
            answers: self.ttl.map(|ms| Duration::from_millis(ms.into())),
        })
    }
}

pub fn addresses(list: &[String]) -> Result<Vec<IpAddr>> {
    list.iter().map(String::as_str).map(address).collect()
}

fn address(text: &str) -> Result<IpAddr> {
    text.parse().map_err(|_| Error::new(Status::InvalidArg, format!("not an IP address: {text}")))
}

fn port(number: u32) -> Result<u16> {
    u16::try_from(number).map_err(|_| Error::new(Status::InvalidArg, format!("not a port: {number}")))
}

#[cfg(unix)]
fn unix_target(path: String) -> Result<Target> {
    Ok(Target::Unix(path.into()))
}

#[cfg(not(unix))]
fn unix_target(_path: String) -> Result<Target> {
    Err(Error::new(Status::InvalidArg, "pipes are Node's on this system".to_owned()))
}
