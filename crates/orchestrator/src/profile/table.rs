//! A profile as it stands in the configuration file: one flat table, whose settings belong to a kind.

use super::claude::Settings;
use super::{Invalid, Kind, Limits, Network, Profile, SecretSource};
use serde::Deserialize;
use std::{collections::BTreeMap, path::PathBuf};

/// Where nothing says otherwise: see [`Settings`].
const MAX_RETRIES: u32 = 4;
const START_SECONDS: u64 = 30;

/// One `[profiles.<name>]` table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Table {
    kind: KindName,
    argv: Option<Vec<String>>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    #[serde(default)]
    secrets: BTreeMap<String, SecretSource>,
    #[serde(default)]
    network: Network,
    image: Option<String>,
    #[serde(default)]
    read_only: Vec<PathBuf>,
    #[serde(default)]
    limits: Limits,
    model: Option<String>,
    fallback_model: Option<String>,
    max_turns: Option<u32>,
    max_budget_usd: Option<f64>,
    append_system_prompt: Option<String>,
    base_url: Option<String>,
    max_retries: Option<u32>,
    start_seconds: Option<u64>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum KindName {
    Command,
    ClaudeCode,
}

impl TryFrom<Table> for Profile {
    type Error = Invalid;

    fn try_from(table: Table) -> Result<Self, Invalid> {
        let (kind, argv) = match table.kind {
            KindName::Command => {
                table.has_no_settings()?;
                (Kind::Command, Vec::new())
            }
            KindName::ClaudeCode => (
                Kind::ClaudeCode(Settings {
                    model: table.model,
                    fallback_model: table.fallback_model,
                    max_turns: table.max_turns,
                    max_budget_usd: table.max_budget_usd,
                    append_system_prompt: table.append_system_prompt,
                    base_url: table.base_url,
                    max_retries: table.max_retries.unwrap_or(MAX_RETRIES),
                    start_seconds: table.start_seconds.unwrap_or(START_SECONDS),
                }),
                vec!["claude".to_owned()],
            ),
        };
        Ok(Self {
            kind,
            argv: table.argv.unwrap_or(argv),
            env: table.env,
            secrets: table.secrets,
            network: table.network,
            image: table.image,
            read_only: table.read_only,
            limits: table.limits,
        })
    }
}

impl Table {
    /// Whether nothing is there that only claude-code understands.
    fn has_no_settings(&self) -> Result<(), Invalid> {
        let there = [
            ("model", self.model.is_some()),
            ("fallback_model", self.fallback_model.is_some()),
            ("max_turns", self.max_turns.is_some()),
            ("max_budget_usd", self.max_budget_usd.is_some()),
            ("append_system_prompt", self.append_system_prompt.is_some()),
            ("base_url", self.base_url.is_some()),
            ("max_retries", self.max_retries.is_some()),
            ("start_seconds", self.start_seconds.is_some()),
        ];
        match there.into_iter().find(|(_, is_there)| *is_there) {
            Some((field, _)) => Err(Invalid::Foreign(field)),
            None => Ok(()),
        }
    }
}
