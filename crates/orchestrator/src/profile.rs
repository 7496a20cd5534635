//! How a kind of agent is started and judged. A profile is data of the spoke's configuration;
//! the hub only ever names one.

use crate::sandbox::{Ending, Network};
use mosaic_common::agent::{Cause, Limits};
use serde::Deserialize;
use std::{collections::BTreeMap, fmt, path::PathBuf};

/// A kind of agent program: how it is told its task, and what its end means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Any program. The task is its standard input; exit code 0 is success.
    Command,
}

impl Kind {
    /// What the program reads on standard input.
    #[must_use]
    pub fn stdin(self, task: &str) -> Vec<u8> {
        match self {
            Self::Command => task.as_bytes().to_vec(),
        }
    }

    /// Why an agent whose program ended so has ended.
    #[must_use]
    pub fn verdict(self, ending: Ending, limits: &Limits) -> Cause {
        match self {
            Self::Command => ending.cause(limits),
        }
    }
}

/// One `[profiles.<name>]` table.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// What kind of program it is.
    pub kind: Kind,
    /// Program and fixed arguments. Nothing of a request is ever added to them.
    pub argv: Vec<String>,
    /// Environment of the program, in the clear.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Environment of the program whose values are secret.
    #[serde(default)]
    pub secrets: BTreeMap<String, SecretSource>,
    /// What it may reach.
    #[serde(default)]
    pub network: Network,
    /// The container image it runs in, where the sandbox is docker.
    pub image: Option<String>,
    /// Limits where a request gives none.
    #[serde(default)]
    pub limits: Limits,
}

/// Where a secret comes from. Read anew for each spawn, so that it can be rotated.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretSource {
    /// A file that holds it; a line end at its end is left out.
    pub file: PathBuf,
}

/// A profile that cannot be used.
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
}

impl Profile {
    /// Checks what the types cannot.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<(), Invalid> {
        if self.argv.first().is_none_or(String::is_empty) {
            return Err(Invalid::NoProgram);
        }
        self.env
            .keys()
            .chain(self.secrets.keys())
            .try_for_each(|name| check_variable(name))
    }

    /// The environment of one agent: the profile's own, its secrets, and nothing inherited.
    ///
    /// # Errors
    /// The variable whose secret could not be read. Never the secret.
    pub fn environment(&self) -> Result<BTreeMap<String, String>, SecretError> {
        let mut env = self.env.clone();
        for (name, source) in &self.secrets {
            let value = std::fs::read_to_string(&source.file).map_err(|source| SecretError {
                variable: name.clone(),
                source,
            })?;
            env.insert(
                name.clone(),
                value.trim_end_matches(['\r', '\n']).to_owned(),
            );
        }
        Ok(env)
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

fn check_variable(name: &str) -> Result<(), Invalid> {
    const SET_BY_US: [&str; 9] = [
        "PATH",
        "HOME",
        "USER",
        "LOGNAME",
        "SHELL",
        "TMPDIR",
        "BASH_ENV",
        "ENV",
        "NODE_OPTIONS",
    ];
    const FAMILIES: [&str; 5] = ["LD_", "GIT_", "PYTHON", "PERL5", "MOSAIC_"];
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    if !name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') || !name.bytes().all(plain)
    {
        return Err(Invalid::Name(name.to_owned()));
    }
    if SET_BY_US.contains(&name) || FAMILIES.iter().any(|family| name.starts_with(family)) {
        return Err(Invalid::Variable(name.to_owned()));
    }
    Ok(())
}

impl fmt::Display for Kind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Command => out.write_str("command"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(toml: &str) -> Result<(), String> {
        let profile: Profile = toml::from_str(toml).map_err(|e| e.to_string())?;
        profile.check().map_err(|e| e.to_string())
    }

    #[test]
    fn variables_that_run_other_code_are_refused() {
        for name in [
            "LD_PRELOAD",
            "GIT_SSH",
            "BASH_ENV",
            "NODE_OPTIONS",
            "PYTHONPATH",
            "PERL5LIB",
            "PATH",
            "HOME",
        ] {
            let toml = format!("kind='command'\nargv=['sh']\nenv={{{name}='x'}}");
            assert!(
                profile(&toml).unwrap_err().contains("may not be set"),
                "{name}"
            );
            let toml = format!("kind='command'\nargv=['sh']\nsecrets={{{name}={{file='x'}}}}");
            assert!(
                profile(&toml).unwrap_err().contains("may not be set"),
                "{name}"
            );
        }
    }

    #[test]
    fn a_profile_needs_a_program_and_nothing_unknown() {
        assert!(profile("kind='command'\nargv=['sh', '-s']").is_ok());
        assert!(profile("kind='command'\nargv=[]").is_err());
        assert!(profile("kind='command'\nargv=['sh']\nrobot='x'").is_err());
        assert!(profile("kind='robot'\nargv=['sh']").is_err());
    }
}
