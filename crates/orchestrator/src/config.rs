//! What an operator decides about a spoke: one TOML file, variables and flags on top.
//! Everything is typed and checked before anything binds or starts.

mod flags;

pub use flags::Flags;

use crate::profile::Profile;
use crate::worktrees::Repository;
use mosaic_common::Alias;
use mosaic_common::agent::Limits;
use mosaic_common::process::LogFormat;
use serde::Deserialize;
use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};

/// A spoke's configuration file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The site's name, as clients see it.
    pub name: Alias,
    /// The data folder: everything the spoke keeps and makes.
    pub data: PathBuf,
    /// The folder of its identity, as `mosaic keygen` makes it. Default: `<data>/identity`.
    pub identity: Option<PathBuf>,
    /// The file of its connections. Default: `<data>/connections.toml`.
    pub connections: Option<PathBuf>,
    /// Where hubs connect, such as `0.0.0.0:7443`. Absent: no hub can.
    pub listen: Option<SocketAddr>,
    /// The local operator's Unix socket. Default: `<data>/spoke.sock`.
    pub socket: Option<PathBuf>,
    /// The profile of requests that name none.
    pub default_profile: Option<Alias>,
    /// Sandboxes that may be used, the first that works being the default.
    #[serde(default = "default_sandboxes")]
    pub sandboxes: Vec<SandboxName>,
    /// How many agents.
    #[serde(default)]
    pub capacity: Capacity,
    /// Limits where neither request nor profile gives one.
    #[serde(default = "default_limits")]
    pub limits: Limits,
    /// Limits that no request can exceed.
    #[serde(default)]
    pub max_limits: Limits,
    /// How long things may take.
    #[serde(default)]
    pub times: Times,
    /// How much is kept.
    #[serde(default)]
    pub retention: Retention,
    /// The uids that agents of a root spoke get.
    #[serde(default)]
    pub uids: Uids,
    /// What agents may work on.
    #[serde(default)]
    pub repositories: BTreeMap<Alias, Repository>,
    /// How agents are started.
    #[serde(default)]
    pub profiles: BTreeMap<Alias, Profile>,
    /// How log lines are written.
    #[serde(default)]
    pub log: Log,
}

/// A sandbox that can be configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum SandboxName {
    /// Namespaces, by bubblewrap.
    Bubblewrap,
    /// No isolation.
    Process,
}

impl SandboxName {
    /// Its name, as in requests.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bubblewrap => "bubblewrap",
            Self::Process => "process",
        }
    }
}

/// How many agents.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Capacity {
    /// That run at once.
    pub running: usize,
    /// That wait for a place.
    pub queued: usize,
}

impl Default for Capacity {
    /// Eight agents of two gigabytes fit a small server; a queue of eight times that is
    /// longer than anybody waits.
    fn default() -> Self {
        Self {
            running: 8,
            queued: 64,
        }
    }
}

/// How long things may take, in seconds.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Times {
    /// From a polite stop to a kill.
    stop_grace_seconds: u64,
    /// From SIGTERM to the end of the spoke.
    drain_seconds: u64,
}

impl Default for Times {
    /// Docker's and systemd's defaults, so that a spoke fits into either: containers get ten
    /// seconds to stop, services ninety.
    fn default() -> Self {
        Self {
            stop_grace_seconds: 10,
            drain_seconds: 80,
        }
    }
}

impl Times {
    /// From a polite stop to a kill.
    #[must_use]
    pub fn stop_grace(&self) -> Duration {
        Duration::from_secs(self.stop_grace_seconds)
    }

    /// From SIGTERM to the end of the spoke.
    #[must_use]
    pub fn drain(&self) -> Duration {
        Duration::from_secs(self.drain_seconds)
    }
}

/// How much is kept.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// Events in the log.
    pub events: u64,
    /// Days that an ended agent's record and output stay.
    pub ended_days: u32,
    /// Bytes of output kept of one agent.
    pub output_bytes: u64,
}

impl Default for Retention {
    /// A hundred thousand events are about 40 MB; a month is longer than anybody asks back.
    fn default() -> Self {
        Self {
            events: 100_000,
            ended_days: 30,
            output_bytes: 64 * 1024 * 1024,
        }
    }
}

/// A range of uids that nobody else uses.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Uids {
    /// The first.
    pub first: u32,
    /// How many.
    pub count: u32,
}

impl Default for Uids {
    /// Above what distributions give to people and subordinate ids by default, below 2^31.
    fn default() -> Self {
        Self {
            first: 0x6d00_0000,
            count: 65_536,
        }
    }
}

/// How log lines are written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// Text or JSON.
    pub format: LogFormat,
    /// In the syntax of `RUST_LOG`.
    pub filter: String,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            format: LogFormat::Text,
            filter: "info".to_owned(),
        }
    }
}

fn default_sandboxes() -> Vec<SandboxName> {
    vec![SandboxName::Bubblewrap]
}

/// Enough for a build, and nothing that a small machine dies of.
fn default_limits() -> Limits {
    Limits {
        memory_bytes: Some(2 * 1024 * 1024 * 1024),
        cpu_millis: Some(2000),
        pids: Some(512),
        wall_clock_seconds: Some(3600),
        idle_seconds: Some(900),
    }
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
    /// A value that does not fit the others.
    #[error("{field}: {problem}")]
    Value {
        /// Where.
        field: String,
        /// What is wrong and what to do.
        problem: String,
    },
}

impl Config {
    /// Parses a file's text. Times, limits and names are checked; the machine is not asked.
    ///
    /// # Errors
    /// The first thing that is wrong, with its place.
    pub fn parse(text: &str, path: PathBuf) -> Result<Self, ConfigError> {
        let config: Self = toml::from_str(text).map_err(|error| ConfigError::Parse {
            path,
            problem: error.to_string(),
        })?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let value = |field: String, problem: String| Err(ConfigError::Value { field, problem });
        for (name, profile) in &self.profiles {
            if let Err(error) = profile.check() {
                return value(format!("profiles.{name}"), error.to_string());
            }
        }
        if let Some(default) = self
            .default_profile
            .as_ref()
            .filter(|name| !self.profiles.contains_key(*name))
        {
            return value(
                "default_profile".into(),
                format!("there is no [profiles.{default}]"),
            );
        }
        if self.sandboxes.is_empty() {
            return value(
                "sandboxes".into(),
                "name at least one: bubblewrap or process".into(),
            );
        }
        if self.capacity.running == 0 {
            return value("capacity.running".into(), "must be at least 1".into());
        }
        if !self.data.is_absolute() {
            return value(
                "data".into(),
                "must be an absolute path: agents see it at the same place".into(),
            );
        }
        Ok(())
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

    /// The local operator's socket.
    #[must_use]
    pub fn socket_path(&self) -> PathBuf {
        self.socket
            .clone()
            .unwrap_or_else(|| self.data.join("spoke.sock"))
    }
}
