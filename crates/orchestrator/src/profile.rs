//! How a kind of agent is started. A profile is data of the spoke's configuration; the hub only
//! ever names one. What a kind's end means is decided beside it.

pub mod claude;
mod table;
mod variables;

use crate::sandbox::Network;
use mosaic_common::AgentId;
use mosaic_common::agent::Limits;
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    path::{Component, Path, PathBuf},
};

/// A kind of agent program: how it is told its task, and what its end means.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// Any program. The task is its standard input; exit code 0 is success.
    Command,
    /// Claude Code, with what the profile says about it.
    ClaudeCode(claude::Settings),
}

/// One `[profiles.<name>]` table.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "table::Table")]
pub struct Profile {
    /// What kind of program it is.
    pub kind: Kind,
    /// Program and fixed arguments. Nothing of a request is ever added to them.
    pub argv: Vec<String>,
    /// Environment of the program, in the clear.
    pub env: BTreeMap<String, String>,
    /// Environment of the program whose values are secret.
    pub secrets: BTreeMap<String, SecretSource>,
    /// What it may reach.
    pub network: Network,
    /// The container image it runs in, where the sandbox is docker.
    pub image: Option<String>,
    /// Folders of the machine that it may read, at the same path.
    pub read_only: Vec<PathBuf>,
    /// Limits where a request gives none.
    pub limits: Limits,
}

/// Where a secret comes from. Read anew for each spawn, so that it can be rotated.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretSource {
    /// A file that holds it; a line end at its end is left out.
    pub file: PathBuf,
}

/// Where a program will run, as far as its command line and environment depend on it.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// Whose program it is.
    pub agent: &'a AgentId,
    /// The agent's home folder.
    pub home: &'a Path,
    /// Who runs it.
    pub user: User,
    /// What is between it and the machine.
    pub isolation: Isolation,
}

/// Who runs a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum User {
    /// The machine's root.
    Root,
    /// Anybody else.
    Other,
}

/// What is between a program and the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// A sandbox that hides the machine.
    Sandbox,
    /// Nothing.
    None,
}

/// A profile that cannot be used. It names fields and variables, and never what they hold.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// No program.
    #[error("argv must name a program")]
    NoProgram,
    /// A variable that changes what a loader, shell or interpreter runs.
    #[error("{0} may not be set: it changes what other programs run, or is set by the spoke")]
    Variable(String),
    /// Not a name of a variable.
    #[error("{0:?} is not the name of an environment variable")]
    Name(String),
    /// A key in the clear.
    #[error("{0} is a key: name its file under secrets, not env")]
    Key(String),
    /// An argument that is the spoke's business.
    #[error("argv may not have {0}: the spoke sets what the program's output and task depend on")]
    Argument(String),
    /// A setting of another kind.
    #[error("{0} is only for the kind claude-code")]
    Foreign(&'static str),
    /// A setting that cannot be.
    #[error("{field} {problem}")]
    Setting {
        /// Which.
        field: &'static str,
        /// What is wrong.
        problem: &'static str,
    },
}

impl Profile {
    /// Checks what the types cannot.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<(), Invalid> {
        let Some((program, arguments)) = self.argv.split_first() else {
            return Err(Invalid::NoProgram);
        };
        if program.is_empty() {
            return Err(Invalid::NoProgram);
        }
        let mut names = self.env.keys().chain(self.secrets.keys());
        names.try_for_each(|name| variables::check(name))?;
        self.read_only
            .iter()
            .try_for_each(|path| check_folder(path))?;
        match &self.kind {
            Kind::Command => Ok(()),
            Kind::ClaudeCode(settings) => {
                let mut names = self.env.keys().chain(self.secrets.keys());
                names.try_for_each(|name| claude::check_variable(name))?;
                let mut clear = self.env.keys();
                clear.try_for_each(|name| claude::check_in_the_clear(name))?;
                claude::check_arguments(arguments)?;
                settings.check()
            }
        }
    }

    /// Program and arguments of one agent.
    #[must_use]
    pub fn command_line(&self, place: &Place<'_>) -> Vec<String> {
        let mut command_line = self.argv.clone();
        match &self.kind {
            Kind::Command => {}
            Kind::ClaudeCode(settings) => command_line.extend(settings.arguments(place)),
        }
        command_line
    }

    /// What the program reads on standard input.
    #[must_use]
    pub fn stdin(&self, task: &str) -> Vec<u8> {
        match self.kind {
            Kind::Command => task.as_bytes().to_vec(),
            Kind::ClaudeCode(_) => claude::stdin(task),
        }
    }

    /// The environment of one agent: the profile's own, its secrets, its kind's, and nothing
    /// inherited.
    ///
    /// # Errors
    /// The variable whose secret could not be read. Never the secret.
    pub fn environment(&self, place: &Place<'_>) -> Result<BTreeMap<String, String>, SecretError> {
        let mut env = self.env.clone();
        env.extend(self.secret_values()?);
        match &self.kind {
            Kind::Command => {}
            Kind::ClaudeCode(settings) => env.extend(settings.environment(place)),
        }
        Ok(env)
    }

    /// The secret variables, as their files are now.
    ///
    /// # Errors
    /// As [`environment`](Self::environment).
    pub fn secret_values(&self) -> Result<BTreeMap<String, String>, SecretError> {
        let read = |(name, source): (&String, &SecretSource)| {
            let value = std::fs::read_to_string(&source.file).map_err(|source| SecretError {
                variable: name.clone(),
                source,
            })?;
            let value = value.trim_end_matches(['\r', '\n']);
            Ok((name.clone(), value.to_owned()))
        };
        self.secrets.iter().map(read).collect()
    }
}

/// A secret that could not be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the secret for {variable}")]
pub struct SecretError {
    variable: String,
    #[source]
    source: std::io::Error,
}

/// Checks a folder that agents may read: a place of its own, none that the sandbox makes, and none
/// where services have their sockets: whoever reaches an engine's is root.
fn check_folder(path: &Path) -> Result<(), Invalid> {
    const WHOLE: [&str; 4] = ["/", "/tmp", "/.mosaic", "/var"];
    const ALL_BELOW: [&str; 5] = ["/proc", "/dev", "/sys", "/run", "/var/run"];
    let plain = |part: Component<'_>| matches!(part, Component::RootDir | Component::Normal(_));
    let closed = WHOLE.iter().any(|closed| path == Path::new(closed))
        || ALL_BELOW.iter().any(|closed| path.starts_with(closed));
    if path.is_absolute() && path.components().all(plain) && !closed {
        return Ok(());
    }
    Err(Invalid::Setting {
        field: "read_only",
        problem: "must be absolute paths without .., not of what the sandbox makes itself, and not \
                  where services have their sockets",
    })
}

#[cfg(test)]
mod tests;
