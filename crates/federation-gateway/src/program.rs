//! The hub as a program: flags, logs, signals.

use crate::Hub;
use crate::config::{Config, Flags};
use anyhow::{Context, Result};
use clap::Parser;
use mosaic_common::process;
use mosaic_federation::connection;
use mosaic_federation::identity::Identity;
use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

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
    let config = match flags
        .load()
        .context("the configuration is wrong")
        .and_then(|config| {
            if flags.check_config {
                check(&config)?;
            }
            Ok(config)
        }) {
        Ok(config) => config,
        Err(error) => return told(&error, 2),
    };
    if flags.check_config {
        return ExitCode::SUCCESS;
    }
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

/// Checks everything that the configuration names, and says what was found.
fn check(config: &Config) -> Result<()> {
    let identity = Identity::load(&config.identity_folder())
        .context("identity")?
        .public();
    let peers = connection::load_spokes(&config.connections_file()).context("connections")?;
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "hub {}: signing key {}, TLS key {}",
        identity.id, identity.signing_key, identity.tls_key
    )?;
    writeln!(
        out,
        "clients: {}{}",
        config.listen,
        if config.tls.is_some() {
            ", TLS"
        } else {
            ", no TLS"
        }
    )?;
    for peer in peers {
        writeln!(
            out,
            "site {}: {} at {}, {}",
            peer.site,
            peer.spoke,
            peer.address,
            peer.state.as_str()
        )?;
    }
    Ok(())
}
