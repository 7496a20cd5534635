//! What an operator decides about a spoke: one TOML file, variables and flags on top.
//! Everything is typed and checked before anything binds or starts.

mod flags;
mod parts;

pub use flags::Flags;
use mosaic_common::place;
pub use mosaic_common::process::Log;
pub use parts::{Capacity, Disk, Docker, Retention, Times, Uids, Valkey};

use crate::profile::Profile;
use crate::worktrees::{Most, Repository};
use mosaic_common::Alias;
use mosaic_common::agent::Limits;
use serde::Deserialize;
use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf};

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
    /// The container engine, where `sandboxes` names it.
    #[serde(default)]
    pub docker: Docker,
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
    /// How much is rescued of one agent; what left more goes to quarantine.
    #[serde(default)]
    pub rescue: Most,
    /// How much of the disk is used.
    #[serde(default)]
    pub disk: Disk,
    /// Where live agents and events are copied to. Absent: nowhere.
    pub valkey: Option<Valkey>,
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
    /// Containers, by Docker's engine.
    Docker,
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
            Self::Docker => "docker",
            Self::Bubblewrap => "bubblewrap",
            Self::Process => "process",
        }
    }
}

fn default_sandboxes() -> Vec<SandboxName> {
    vec![SandboxName::Docker, SandboxName::Bubblewrap]
}

/// Enough for a build, and nothing that a small machine dies of.
fn default_limits() -> Limits {
    Limits {
        memory_bytes: Some(2 * 1024 * 1024 * 1024),
        cpu_millis: Some(2000),
        pids: Some(512),
        wall_clock_seconds: Some(3600),
        idle_seconds: Some(900),
        disk_bytes: Some(DISK),
    }
}

/// Bytes of the disk for an agent where nobody says otherwise: a large repository with what is built
/// from it. Unlike the other limits it holds also where `[limits]` leaves it out, since one agent
/// without it takes the room of all.
const DISK: u64 = 10 << 30;

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
        let mut config: Self = toml::from_str(text).map_err(|error| ConfigError::Parse {
            path: path.clone(),
            problem: place::of_offset(text, error.span().map(|span| span.start)) + error.message(),
        })?;
        config.limits.disk_bytes.get_or_insert(DISK);
        match config.check() {
            // Said of the file alone, so that is where it is.
            Err(ConfigError::Value { field, problem }) => {
                let place = place::of_field(text, &field);
                let problem = format!("{place}{field}: {problem}");
                Err(ConfigError::Parse { path, problem })
            }
            checked => checked.map(|()| config),
        }
    }

    fn check(&self) -> Result<(), ConfigError> {
        let value = |field: String, problem: String| Err(ConfigError::Value { field, problem });
        for (name, profile) in &self.profiles {
            if let Err(error) = profile.check() {
                return value(format!("profiles.{name}"), error.to_string());
            }
            let inside =
                |path: &PathBuf| path.starts_with(&self.data) || self.data.starts_with(path);
            if profile.read_only.iter().any(inside) {
                let problem = "must not show the data folder: keys and other agents are there";
                return value(format!("profiles.{name}.read_only"), problem.into());
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
                "name at least one: docker, bubblewrap or process".into(),
            );
        }
        if self.sandboxes == [SandboxName::Docker] && !self.docker.enabled {
            return value(
                "sandboxes".into(),
                "docker alone is named, and docker.enabled is false".into(),
            );
        }
        if !self.docker.socket.is_absolute() {
            return value("docker.socket".into(), "must be an absolute path".into());
        }
        if self.docker.image.is_empty() {
            return value("docker.image".into(), "must name an image".into());
        }
        if self.limits.disk_bytes == Some(0) || self.max_limits.disk_bytes == Some(0) {
            return value("limits.disk_bytes".into(), "must be at least 1".into());
        }
        if self.capacity.running == 0 {
            return value("capacity.running".into(), "must be at least 1".into());
        }
        if let Some(Err(problem)) = self.valkey.as_ref().map(Valkey::check) {
            return value("valkey".into(), problem.into());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_profile_shows_the_data_folder_to_its_agents() {
        for (folder, fine) in [
            ("/opt/claude", true),
            ("/var/lib/mosaic-tools", true),
            ("/var/lib", false),
            ("/var/lib/mosaic", false),
            ("/var/lib/mosaic/identity", false),
        ] {
            let text = format!(
                "name = 'a'\ndata = '/var/lib/mosaic'\n[profiles.sh]\nkind = 'command'\n\
                 argv = ['sh']\nread_only = ['{folder}']\n"
            );
            let parsed = Config::parse(&text, "spoke.toml".into());
            assert_eq!(parsed.is_ok(), fine, "{folder}: {parsed:?}");
        }
    }
}
