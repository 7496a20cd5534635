//! What an operator decides about a hub: one TOML file, variables and flags on top.
//! Everything is typed and checked before anything binds.

mod flags;

pub use flags::Flags;

use mosaic_common::place;
pub use mosaic_common::process::Log;
use serde::Deserialize;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// Longest memory of commands, in days: ten years, more than any audit asks for.
const DAYS_MAX: u32 = 3660;

/// A hub's configuration file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The data folder: identity, connections, store.
    pub data: PathBuf,
    /// The folder of its identity, as `mosaic keygen` makes it. Default: `<data>/identity`.
    pub identity: Option<PathBuf>,
    /// The file of its connections. Default: `<data>/connections.toml`.
    pub connections: Option<PathBuf>,
    /// Where clients connect.
    #[serde(default = "default_listen")]
    pub listen: SocketAddr,
    /// Certificate and key that clients see. Needed to listen beyond this machine.
    pub tls: Option<Tls>,
    /// Listen beyond this machine without TLS, because something in front does it.
    #[serde(default)]
    pub insecure_listen: bool,
    /// How many requests at once, and how long things may take.
    #[serde(default)]
    pub limits: Limits,
    /// Days that records of commands stay.
    #[serde(default = "default_days")]
    pub command_days: u32,
    /// How log lines are written.
    #[serde(default)]
    pub log: Log,
}

/// Certificate and key, as PEM files.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The certificate chain.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// How many requests at once, and how long things may take.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Requests at once, apart from kill and status, which have a lane of their own.
    pub requests: usize,
    /// Streams open at once.
    pub streams: usize,
    /// Connections of clients at once.
    pub clients: usize,
    /// How long a site may take to answer, in seconds. A kill has its grace on top.
    pub site_seconds: u64,
    /// From SIGTERM to the end of the hub, in seconds.
    pub drain_seconds: u64,
}

impl Default for Limits {
    /// What one small machine serves without queueing; a site that is silent for half a minute
    /// does not answer any more.
    fn default() -> Self {
        Self {
            requests: 512,
            streams: 256,
            clients: 512,
            site_seconds: 30,
            drain_seconds: 10,
        }
    }
}

impl Limits {
    /// How long a site may take to answer.
    #[must_use]
    pub fn site(&self) -> Duration {
        Duration::from_secs(self.site_seconds)
    }

    /// From SIGTERM to the end of the hub.
    #[must_use]
    pub fn drain(&self) -> Duration {
        Duration::from_secs(self.drain_seconds)
    }
}

fn default_listen() -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7600)
}

fn default_days() -> u32 {
    30
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is not what it should be.
    #[error("{path}: {problem}")]
    Parse {
        /// Which.
        path: PathBuf,
        /// Line, field and what is wrong.
        problem: String,
    },
    /// Clients would send their tokens in the clear.
    #[error(
        "listen: {0} is reachable from other machines, and without [tls] tokens would travel in the clear; \
         set tls.certificate and tls.key, listen on 127.0.0.1, or set insecure_listen = true if a proxy does TLS"
    )]
    Exposed(SocketAddr),
    /// Nobody could use what is offered to other machines.
    #[error(
        "listen: {0} is reachable from other machines, and this hub has no token yet; \
         create one with `mosaic token create`, or listen on 127.0.0.1"
    )]
    NoTokens(SocketAddr),
    /// How long is not a number of days that a calendar has.
    #[error("command_days: must be from 1 to {DAYS_MAX}")]
    Days,
    /// Nothing could be served.
    #[error("limits.{0}: must be at least 1")]
    Zero(&'static str),
}

impl ConfigError {
    /// The same with its place, where the file says what is wrong; `text` is the file's.
    #[must_use]
    pub fn within(self, text: &str, path: PathBuf) -> Self {
        let field = match &self {
            Self::Read { .. } | Self::Parse { .. } => return self,
            Self::Exposed(_) | Self::NoTokens(_) => "listen".to_owned(),
            Self::Days => "command_days".to_owned(),
            Self::Zero(name) => format!("limits.{name}"),
        };
        match place::of_field(text, &field) {
            unknown if unknown.is_empty() => self,
            place => Self::Parse {
                path,
                problem: format!("{place}{self}"),
            },
        }
    }
}

impl Config {
    /// Parses a file's text.
    ///
    /// # Errors
    /// The first thing that is wrong, with its place.
    pub fn parse(text: &str, path: PathBuf) -> Result<Self, ConfigError> {
        toml::from_str(text).map_err(|error| ConfigError::Parse {
            path,
            problem: place::of_offset(text, error.span().map(|span| span.start)) + error.message(),
        })
    }

    /// Checks what the types cannot, after everything has been set.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(self) -> Result<Self, ConfigError> {
        if self.is_exposed() && self.tls.is_none() {
            return Err(ConfigError::Exposed(self.listen));
        }
        if !(1..=DAYS_MAX).contains(&self.command_days) {
            return Err(ConfigError::Days);
        }
        let Limits {
            requests,
            streams,
            clients,
            site_seconds,
            drain_seconds: _, // none is a choice: everything is cut at once
        } = self.limits;
        let bounds = [
            (requests as u64, "requests"),
            (streams as u64, "streams"),
            (clients as u64, "clients"),
            (site_seconds, "site_seconds"),
        ];
        match bounds.iter().find(|(value, _)| *value == 0) {
            Some((_, name)) => Err(ConfigError::Zero(name)),
            None => Ok(self),
        }
    }

    /// Whether other machines can connect, and nobody has said that this is taken care of.
    #[must_use]
    pub fn is_exposed(&self) -> bool {
        !self.listen.ip().is_loopback() && !self.insecure_listen
    }

    /// A configuration of defaults around a data folder.
    #[must_use]
    pub fn of(data: PathBuf) -> Self {
        Self {
            data,
            identity: None,
            connections: None,
            listen: default_listen(),
            tls: None,
            insecure_listen: false,
            limits: Limits::default(),
            command_days: default_days(),
            log: Log::default(),
        }
    }

    /// The folder of the identity.
    #[must_use]
    pub fn identity_folder(&self) -> PathBuf {
        self.identity
            .clone()
            .unwrap_or_else(|| self.data.join("identity"))
    }

    /// The file of the connections.
    #[must_use]
    pub fn connections_file(&self) -> PathBuf {
        self.connections
            .clone()
            .unwrap_or_else(|| self.data.join("connections.toml"))
    }
}

/// The folder of a hub's store.
#[must_use]
pub fn store_folder(data: &std::path::Path) -> PathBuf {
    data.join("store")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(toml: &str) -> Result<Config, ConfigError> {
        Config::parse(toml, "hub.toml".into())?.check()
    }

    #[test]
    fn a_hub_listens_beyond_its_machine_only_with_tls_or_when_told_so() {
        let tls = "[tls]\ncertificate = 'c'\nkey = 'k'";
        let table = [
            ("127.0.0.1:1", "", true),
            ("[::1]:1", "", true),
            ("0.0.0.0:1", "", false),
            ("[::]:1", "", false),
            ("10.0.0.7:1", "", false),
            ("10.0.0.7:1", "insecure_listen = true", true),
            ("10.0.0.7:1", tls, true),
        ];
        for (listen, more, allowed) in table {
            let result = check(&format!("data = '/d'\nlisten = '{listen}'\n{more}"));
            assert_eq!(result.is_ok(), allowed, "{listen} {more}: {result:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let error = check("data = '/d'\nlisten = 'here'")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("hub.toml") && error.contains("line 2"),
            "{error}"
        );
        let error = check("data = '/d'\nport = 1").unwrap_err().to_string();
        assert!(error.contains("port"), "{error}");
        let error = check("data = '/d'\nlimits = { requests = 0 }")
            .unwrap_err()
            .to_string();
        assert!(error.contains("limits.requests"), "{error}");
    }
}
