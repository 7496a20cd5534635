//! The command line of `orchestrator`: where the file is, and what to set above it.

use super::{Config, ConfigError, SandboxName, Valkey};
use mosaic_common::process::LogFormat;
use std::{net::SocketAddr, path::PathBuf};

/// Runs a Mosaic spoke: verifies commands and runs agents on this machine.
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "orchestrator", version)]
pub struct Flags {
    /// The configuration file.
    #[arg(
        long,
        env = "MOSAIC_SPOKE_CONFIG",
        default_value = "/etc/mosaic/spoke.toml"
    )]
    pub config: PathBuf,
    /// Instead of `data` in the file.
    #[arg(long, env = "MOSAIC_SPOKE_DATA")]
    pub data: Option<PathBuf>,
    /// Instead of `listen` in the file.
    #[arg(long, env = "MOSAIC_SPOKE_LISTEN")]
    pub listen: Option<SocketAddr>,
    /// Instead of `socket` in the file.
    #[arg(long, env = "MOSAIC_SPOKE_SOCKET")]
    pub socket: Option<PathBuf>,
    /// Instead of `sandboxes` in the file.
    #[arg(long, env = "MOSAIC_SPOKE_SANDBOXES", value_delimiter = ',')]
    pub sandboxes: Option<Vec<SandboxName>>,
    /// Instead of `docker.image` in the file.
    #[arg(long, env = "MOSAIC_AGENT_IMAGE")]
    pub agent_image: Option<String>,
    /// Instead of `valkey.url` in the file.
    // Text here: clap would repeat what it cannot parse, and a password may be in it.
    #[arg(long, env = "MOSAIC_VALKEY_URL", hide_env_values = true)]
    pub valkey: Option<String>,
    /// Instead of `log.format` in the file: text or json.
    #[arg(long, env = "MOSAIC_LOG_FORMAT")]
    pub log_format: Option<LogFormat>,
    /// Instead of `log.filter` in the file, in the syntax of RUST_LOG.
    #[arg(long, env = "MOSAIC_LOG")]
    pub log_filter: Option<String>,
    /// Check the configuration and everything it names, say what was found, and stop.
    #[arg(long)]
    pub check_config: bool,
}

impl Flags {
    /// Reads the file and sets above it what was given here.
    ///
    /// # Errors
    /// The first thing that is wrong, with its place.
    pub fn load(&self) -> Result<Config, ConfigError> {
        let path = self.config.clone();
        let text = std::fs::read_to_string(&path).map_err(|source| ConfigError::Read {
            path: path.clone(),
            source,
        })?;
        let mut config = Config::parse(&text, path)?;
        let over = self.clone();
        config.data = over.data.unwrap_or(config.data);
        config.listen = over.listen.or(config.listen);
        config.socket = over.socket.or(config.socket);
        config.sandboxes = over.sandboxes.unwrap_or(config.sandboxes);
        config.docker.image = over.agent_image.unwrap_or(config.docker.image);
        if let Some(text) = over.valkey {
            let url = text.parse().map_err(|error| ConfigError::Value {
                field: "valkey.url".to_owned(),
                problem: format!("{error}"),
            })?;
            match &mut config.valkey {
                Some(valkey) => valkey.url = url,
                none => *none = Some(Valkey::at(url)),
            }
        }
        config.log.format = over.log_format.unwrap_or(config.log.format);
        config.log.filter = over.log_filter.unwrap_or(config.log.filter);
        config.check()?;
        Ok(config)
    }
}
