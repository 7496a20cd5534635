//! The spoke as a program: flags, logs, signals.

use crate::config::{Config, Flags};
use crate::{Spoke, StartError, adapters, without_store};
use anyhow::{Context, Result};
use clap::Parser;
use mosaic_common::{in_full, process};
use mosaic_federation::connection;
use mosaic_federation::identity::Identity;
use mosaic_store::valkey;
use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

/// Runs the spoke with a command line, until it is told to stop.
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
    let config = match flags.load().context("the configuration is wrong") {
        Ok(config) => config,
        Err(error) => return told(&error, 2),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return told(&error.into(), 1),
    };
    if flags.check_config {
        let checked = runtime.block_on(check(&config));
        return match checked {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                let error = error.context(flags.config.display().to_string());
                told(&error.context("the configuration is wrong"), 2)
            }
        };
    }
    match runtime.block_on(run(config)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => told(&error, 1),
    }
}

fn told(error: &anyhow::Error, code: u8) -> ExitCode {
    drop(writeln!(std::io::stderr(), "error: {error:#}"));
    ExitCode::from(code)
}

async fn run(config: Config) -> Result<()> {
    process::log(config.log.format, &config.log.filter).context("log.filter")?;
    let spoke = start(config).await?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let mut stop = Box::pin(process::stop_signal());
    loop {
        tokio::select! {
            stopped = &mut stop => {
                stopped?;
                spoke.stop().await;
                return Ok(());
            }
            Some(()) = hang_up.recv() => match spoke.reload() {
                Ok(()) => tracing::info!("connections read again"),
                Err(error) => tracing::error!(%error, "connections stay as they were"),
            },
        }
    }
}

/// Starts the spoke, as soon as its store can be used.
async fn start(config: Config) -> Result<Spoke> {
    let mut killed_all = false;
    loop {
        match Spoke::start(config.clone()).await {
            Ok(spoke) => {
                if killed_all {
                    spoke
                        .kill_all("kill-all came while the store could not be used")
                        .await;
                }
                return Ok(spoke);
            }
            Err(StartError::Store(why)) => {
                let identity = Identity::load(&config.identity_folder()).context("identity")?;
                let kept = without_store::keep(&config, identity.id(), &why).await;
                killed_all |= kept.context(in_full(&why))?;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Checks everything that the configuration names, and says what was found.
async fn check(config: &Config) -> Result<()> {
    process::log(config.log.format, &config.log.filter).context("log.filter")?;
    let identity = Identity::load(&config.identity_folder())
        .context("identity")?
        .public();
    let peers = connection::load_hubs(&config.connections_file()).context("connections")?;
    for (name, profile) in &config.profiles {
        profile
            .secret_values()
            .with_context(|| format!("profiles.{name}"))?;
    }
    if let Some(valkey) = &config.valkey {
        valkey
            .credentials()
            .password()
            .context("valkey.password_file")?;
    }
    let folders = adapters::folders(config);
    folders.create().context("data")?;
    let sandboxes = adapters::sandboxes(config, &folders, &identity.id).await;
    let mirror = reached(config).await;
    let mut out = std::io::stdout().lock();
    writeln!(out, "site {}: spoke {}", config.name, identity.id)?;
    writeln!(
        out,
        "signing key {}, TLS key {}",
        identity.signing_key, identity.tls_key
    )?;
    for peer in peers {
        writeln!(
            out,
            "connection {}: hub {}, {}",
            peer.id,
            peer.hub,
            peer.state.as_str()
        )?;
    }
    if let Some(line) = mirror {
        writeln!(out, "{line}")?;
    }
    for sandbox in sandboxes.usable() {
        writeln!(out, "sandbox {}: works", sandbox.name())?;
    }
    for (name, why) in sandboxes.unusable() {
        writeln!(out, "sandbox {name}: cannot be used: {why}")?;
    }
    anyhow::ensure!(
        sandboxes.usable().next().is_some(),
        "sandboxes: none works here"
    );
    Ok(())
}

/// Whether Valkey can be reached now. It need not be: the spoke runs without it.
async fn reached(config: &Config) -> Option<String> {
    let settings = config.valkey.as_ref()?;
    let url = &settings.url;
    Some(match valkey::reach(url, &settings.credentials()).await {
        Ok(()) => format!("valkey {url}: works"),
        Err(error) => format!("valkey {url}: warning: {}", in_full(error.as_ref())),
    })
}
