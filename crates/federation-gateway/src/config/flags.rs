//! The command line of `federation-gateway`: where the file is, and what to set above it.

use super::{Config, ConfigError};
use mosaic_common::process::LogFormat;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Runs a Mosaic hub: takes requests from clients, signs them, and forwards them to spokes.
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "federation-gateway", version)]
pub struct Flags {
    /// The configuration file.
    #[arg(
        long,
        env = "MOSAIC_HUB_CONFIG",
        default_value = "/etc/mosaic/hub.toml"
    )]
    pub config: PathBuf,
    /// Instead of `data` in the file.
    #[arg(long, env = "MOSAIC_HUB_DATA")]
    pub data: Option<PathBuf>,
    /// Instead of `listen` in the file.
    #[arg(long, env = "MOSAIC_HUB_LISTEN")]
    pub listen: Option<SocketAddr>,
    /// Instead of `identity` in the file.
    #[arg(long, env = "MOSAIC_HUB_IDENTITY")]
    pub identity: Option<PathBuf>,
    /// Instead of `connections` in the file.
    #[arg(long, env = "MOSAIC_HUB_CONNECTIONS")]
    pub connections: Option<PathBuf>,
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
        let mut config = Config::parse(&text, path.clone())?;
        let over = self.clone();
        config.data = over.data.unwrap_or(config.data);
        config.listen = over.listen.unwrap_or(config.listen);
        config.identity = over.identity.or(config.identity);
        config.connections = over.connections.or(config.connections);
        config.log.format = over.log_format.unwrap_or(config.log.format);
        config.log.filter = over.log_filter.unwrap_or(config.log.filter);
        let from_flag = over.listen.is_some();
        config.check().map_err(|error| match error {
            ConfigError::Exposed(_) if from_flag => error, // the file does not say it
            error => error.within(&text, path),
        })
    }
}
