//! What every program does first and last: logs, and the signal to stop.

use std::io::IsTerminal;
use std::str::FromStr;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl FromStr for LogFormat {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            other => Err(format!("{other:?} is neither text nor json")),
        }
    }
}

/// How log lines are written, as a table of a configuration file.
#[derive(Debug, Clone, serde::Deserialize)]
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

/// How many files this process may have open at once. It counts sockets, too.
#[must_use]
pub fn open_files_max() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let most = limit.current.unwrap_or(u64::MAX);
    usize::try_from(most).unwrap_or(usize::MAX)
}

/// Who is silent unless a filter names it: the client of Valkey warns at each of its tries, and
/// the mirror that holds it says the same once.
const QUIET: &str = "fred";

/// Sends logs to standard error. `filter` is in the syntax of `RUST_LOG`, such as `info`.
///
/// A second call in one process changes nothing.
///
/// # Errors
/// If `filter` cannot be parsed.
pub fn log(format: LogFormat, filter: &str) -> Result<(), tracing_subscriber::filter::ParseError> {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(env_filter(filter)?)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    let set = match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    drop(set); // an error says only that a subscriber is there already
    Ok(())
}

fn env_filter(filter: &str) -> Result<EnvFilter, tracing_subscriber::filter::ParseError> {
    let parsed = EnvFilter::try_new(filter)?;
    if filter.contains(QUIET) {
        return Ok(parsed);
    }
    Ok(parsed.add_directive(format!("{QUIET}=off").parse()?))
}

/// Waits for SIGTERM or SIGINT.
///
/// # Errors
/// If no handler can be installed.
pub async fn stop_signal() -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_of_valkey_is_silent_unless_it_is_asked_for() {
        for (filter, told) in [
            ("info", "fred=off,info"),
            ("orchestrator=debug", "fred=off,orchestrator=debug"),
            ("info,fred=debug", "fred=debug,info"),
        ] {
            let parsed = env_filter(filter).unwrap().to_string();
            let mut parts: Vec<_> = parsed.split(',').collect();
            parts.sort_unstable();
            let mut wanted: Vec<_> = told.split(',').collect();
            wanted.sort_unstable();
            assert_eq!(parts, wanted, "{filter}");
        }
        assert!(env_filter("orchestrator=loud").is_err());
    }
}
