//! The smaller tables of the file.

use mosaic_store::valkey::{Address, Credentials};
use serde::{Deserialize, Deserializer, de::Error};
use std::path::PathBuf;
use std::time::Duration;

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
    /// Days that work which cannot be rescued is kept.
    pub quarantine_days: u32,
}

impl Default for Retention {
    /// A hundred thousand events are about 40 MB; a month is longer than anybody asks back.
    fn default() -> Self {
        Self {
            events: 100_000,
            ended_days: 30,
            output_bytes: 64 * 1024 * 1024,
            quarantine_days: 30,
        }
    }
}

/// How much of the disk is used.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Disk {
    /// Bytes that stay free where the data folder is: below it, no agent starts. 0: never looked at.
    pub free_bytes: u64,
    /// Bytes of all repositories' caches together.
    pub cache_bytes: u64,
    /// Bytes of all ended agents' output together.
    pub output_bytes: u64,
}

impl Default for Disk {
    /// A free gigabyte is some minutes of everything else that a machine writes, and holds the
    /// store's log many times over. Twenty of caches are some large repositories. Four of output
    /// are 64 agents that wrote all that is kept of one.
    fn default() -> Self {
        Self {
            free_bytes: 1 << 30,
            cache_bytes: 20 << 30,
            output_bytes: 4 << 30,
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
    /// [`OWNERS`](crate::folders::OWNERS).
    fn default() -> Self {
        let range = crate::folders::OWNERS;
        Self {
            first: range.start,
            count: range.end - range.start,
        }
    }
}

/// The container engine.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Docker {
    /// Whether it may be used at all. If not, nothing ever asks it for anything.
    pub enabled: bool,
    /// Its Unix socket.
    pub socket: PathBuf,
    /// The image of agents whose profile names none.
    pub image: String,
    /// Whether images that are not there are fetched, once, when the spoke starts.
    pub pull: bool,
    /// The engine's runtime, such as `runsc`; absent: the engine's default.
    pub runtime: Option<String>,
}

impl Default for Docker {
    /// The socket of Docker's own packages, and the image that `just images` builds.
    fn default() -> Self {
        Self {
            enabled: true,
            socket: "/var/run/docker.sock".into(),
            image: "mosaic-agent".to_owned(),
            pull: false,
            runtime: None,
        }
    }
}

/// Where live agents and events are copied to, for other programs.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Valkey {
    /// The server.
    #[serde(deserialize_with = "address")]
    pub url: Address,
    /// The user; without one: the server's default user.
    username: Option<String>,
    /// The file that holds the password. Read anew for each connection.
    password_file: Option<PathBuf>,
}

impl Valkey {
    /// A server that wants no password.
    #[must_use]
    pub fn at(url: Address) -> Self {
        Self {
            url,
            username: None,
            password_file: None,
        }
    }

    /// As whom to connect.
    #[must_use]
    pub fn credentials(&self) -> Credentials {
        Credentials {
            username: self.username.clone(),
            password_file: self.password_file.clone(),
        }
    }

    /// Checks what one value says of another.
    ///
    /// # Errors
    /// What is wrong, for people.
    pub(super) fn check(&self) -> Result<(), &'static str> {
        match (&self.username, &self.password_file) {
            (Some(_), None) => Err("a username needs a password_file"),
            (Some(_) | None, Some(_)) | (None, None) => Ok(()),
        }
    }
}

/// An address, without ever repeating what was written: there may be a password in it.
fn address<'de, D: Deserializer<'de>>(value: D) -> Result<Address, D::Error> {
    let text = String::deserialize(value)?;
    text.parse()
        .map_err(|error| D::Error::custom(format!("url {error}")))
}
