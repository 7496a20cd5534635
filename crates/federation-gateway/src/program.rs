//! The hub as a program: flags, logs, signals.

use crate::config::{self, Config, ConfigError, Flags};
use crate::tokens::is_token;
use crate::{Hub, serve};
use anyhow::{Context, Result};
use clap::Parser;
use mosaic_common::process;
use mosaic_federation::connection;
use mosaic_federation::identity::Identity;
use mosaic_store::{EmbeddedStore, Table};
use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

/// Most rows that are looked at to count tokens: more are as good as that.
const ROWS_MAX: usize = 1000;

/// Runs the hub with a command line, until it is told to stop.
///
/// Exit codes: 0 stopped when asked, 1 failed, 2 the configuration is wrong.
pub fn main_with(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let flags = match Flags::try_parse_from(arguments) {
        Ok(flags) => flags,
        Err(error) => {
            drop(error.print());
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    let config = flags.load().map_err(anyhow::Error::from);
    let config = match config {
        Ok(config) if flags.check_config => match check(&config) {
            Ok(()) => return ExitCode::SUCCESS,
            Err(error) => {
                let error = error.context(flags.config.display().to_string());
                return told(&error.context("the configuration is wrong"), 2);
            }
        },
        Ok(config) => config,
        Err(error) => return told(&error.context("the configuration is wrong"), 2),
    };
    match run(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => told(&error, 1),
    }
}

fn told(error: &anyhow::Error, code: u8) -> ExitCode {
    drop(writeln!(std::io::stderr(), "error: {error:#}"));
    ExitCode::from(code)
}

fn run(config: Config) -> Result<()> {
    process::log(config.log.format, &config.log.filter).context("log.filter")?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let hub = Hub::start(config).await?;
        let mut hang_up = signal(SignalKind::hangup())?;
        let mut stop = Box::pin(process::stop_signal());
        loop {
            tokio::select! {
                stopped = &mut stop => {
                    stopped?;
                    hub.stop().await;
                    return Ok(());
                }
                Some(()) = hang_up.recv() => match hub.reload() {
                    Ok(()) => tracing::info!("connections read again"),
                    Err(error) => tracing::error!(%error, "connections stay as they were"),
                },
            }
        }
    })
}

/// Checks everything that the configuration names, and says what was found. Writes nothing.
fn check(config: &Config) -> Result<()> {
    process::log(config.log.format, &config.log.filter).context("log.filter")?;
    let identity = Identity::load(&config.identity_folder()).context("identity")?;
    let identity = identity.public();
    let peers = connection::load_spokes(&config.connections_file()).context("connections")?;
    if let Some(tls) = &config.tls {
        serve::check_certificate(tls).context("tls")?;
    }
    let tokens = tokens(config)?;
    if config.is_exposed() && tokens == 0 {
        return Err(ConfigError::NoTokens(config.listen).into());
    }
    let tls = if config.tls.is_some() {
        "TLS"
    } else {
        "no TLS"
    };
    let (id, signs, speaks) = (&identity.id, identity.signing_key, identity.tls_key);
    let mut out = std::io::stdout().lock();
    writeln!(out, "hub {id}: signing key {signs}, TLS key {speaks}")?;
    writeln!(out, "clients: {}, {tls}; tokens: {tokens}", config.listen)?;
    for peer in peers {
        let (site, spoke, at, state) = (peer.site, peer.spoke, peer.address, peer.state);
        writeln!(out, "site {site}: {spoke} at {at}, {state}")?;
    }
    Ok(())
}

/// How many tokens the store has. One that does not exist yet has none, and is not made.
fn tokens(config: &Config) -> Result<usize> {
    let folder = config::store_folder(&config.data);
    if !folder.exists() {
        return Ok(0);
    }
    let store = EmbeddedStore::open_read_only(&folder).context("store")?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let rows = runtime.block_on(store.scan(Table::Tokens, None, ROWS_MAX));
    let rows = rows.context("store")?;
    Ok(rows.iter().filter(|row| is_token(row)).count())
}
