//! What a client asks for, once it has been checked.

use crate::ids::{AgentId, Alias, InvalidId, TaskId};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, str::FromStr, time::Duration};

/// Longest task text in bytes.
///
/// Half of what a message may hold: with everything else in a command it stays below that.
pub const TASK_MAX: usize = 32 * 1024;

/// What an agent shall be. Every name in it is an alias of the spoke's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Spec {
    /// Its id.
    pub agent_id: AgentId,
    /// The caller's name for the work.
    pub task_id: TaskId,
    /// The repository it works on; `None`: no worktree.
    pub repository: Option<Alias>,
    /// Where it starts from; `None`: the repository's default branch.
    pub base_ref: Option<BaseRef>,
    /// How it is started; `None`: the spoke's default.
    pub profile: Option<Alias>,
    /// Where it lives; `None`: the spoke's default.
    pub sandbox: Option<Alias>,
    /// What it shall do.
    pub task: String,
    /// What it may use.
    pub limits: Limits,
    /// The caller's labels.
    pub labels: BTreeMap<String, String>,
}

/// Limits of one agent; `None`: the spoke's default. In configuration files the names are
/// written with underscores, as TOML's are; in JSON in camel case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Limits {
    /// Bytes of memory, the whole process tree.
    #[serde(skip_serializing_if = "Option::is_none", alias = "memory_bytes")]
    pub memory_bytes: Option<u64>,
    /// Thousandths of one processor.
    #[serde(skip_serializing_if = "Option::is_none", alias = "cpu_millis")]
    pub cpu_millis: Option<u32>,
    /// Processes and threads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pids: Option<u32>,
    /// Longest life in seconds.
    #[serde(skip_serializing_if = "Option::is_none", alias = "wall_clock_seconds")]
    pub wall_clock_seconds: Option<u64>,
    /// Longest silence in seconds.
    #[serde(skip_serializing_if = "Option::is_none", alias = "idle_seconds")]
    pub idle_seconds: Option<u64>,
    /// Bytes on the disk, everything in the agent's own folder.
    #[serde(skip_serializing_if = "Option::is_none", alias = "disk_bytes")]
    pub disk_bytes: Option<u64>,
}

impl Limits {
    /// Longest life.
    #[must_use]
    pub fn wall_clock(&self) -> Option<Duration> {
        self.wall_clock_seconds.map(Duration::from_secs)
    }

    /// Longest silence.
    #[must_use]
    pub fn idle(&self) -> Option<Duration> {
        self.idle_seconds.map(Duration::from_secs)
    }

    /// These limits, with `default` where one is unset.
    #[must_use]
    pub fn or(self, default: Self) -> Self {
        Self {
            memory_bytes: self.memory_bytes.or(default.memory_bytes),
            cpu_millis: self.cpu_millis.or(default.cpu_millis),
            pids: self.pids.or(default.pids),
            wall_clock_seconds: self.wall_clock_seconds.or(default.wall_clock_seconds),
            idle_seconds: self.idle_seconds.or(default.idle_seconds),
            disk_bytes: self.disk_bytes.or(default.disk_bytes),
        }
    }

    /// These limits, none above `most` and none unset where `most` has one.
    #[must_use]
    pub fn at_most(self, most: Self) -> Self {
        fn lower<T: Ord>(wanted: Option<T>, most: Option<T>) -> Option<T> {
            match (wanted, most) {
                (Some(wanted), Some(most)) => Some(wanted.min(most)),
                (wanted, most) => wanted.or(most),
            }
        }
        Self {
            memory_bytes: lower(self.memory_bytes, most.memory_bytes),
            cpu_millis: lower(self.cpu_millis, most.cpu_millis),
            pids: lower(self.pids, most.pids),
            wall_clock_seconds: lower(self.wall_clock_seconds, most.wall_clock_seconds),
            idle_seconds: lower(self.idle_seconds, most.idle_seconds),
            disk_bytes: lower(self.disk_bytes, most.disk_bytes),
        }
    }
}

/// A branch, a tag or a full commit id, safe to hand to git as `refs/heads/…` or `refs/tags/…`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BaseRef(String);

impl BaseRef {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The commit, if it is a full commit id.
    #[must_use]
    pub fn commit(&self) -> Option<&str> {
        let is_id = self.0.len() == 40
            && self
                .0
                .bytes()
                .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        is_id.then_some(self.0.as_str())
    }
}

impl FromStr for BaseRef {
    type Err = InvalidRef;
    fn from_str(text: &str) -> Result<Self, InvalidRef> {
        let parts_fit = text.split('/').all(|part| {
            !part.is_empty()
                && !part.starts_with(['.', '-'])
                && !part.ends_with('.')
                && !part.ends_with(".lock")
        });
        let fits = text.len() <= 128
            && parts_fit
            && !text.contains("..")
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'/' | b'-'));
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidRef)
        }
    }
}

/// Text that is no branch, tag or commit id we accept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a ref must be 1 to 128 characters of [A-Za-z0-9._/-], as git check-ref-format allows, no part starting with - or ."
)]
pub struct InvalidRef;

impl TryFrom<String> for BaseRef {
    type Error = InvalidRef;
    fn try_from(text: String) -> Result<Self, InvalidRef> {
        text.parse()
    }
}

impl From<BaseRef> for String {
    fn from(base: BaseRef) -> Self {
        base.0
    }
}

impl fmt::Display for BaseRef {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl fmt::Debug for BaseRef {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// Checks labels: at most 16, short, plain keys.
///
/// # Errors
/// What is wrong, for people.
pub(super) fn check_labels(labels: &BTreeMap<String, String>) -> Result<(), String> {
    if labels.len() > 16 {
        return Err(format!("at most 16, not {}", labels.len()));
    }
    for (key, value) in labels {
        let plain =
            |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-');
        if key.len() > 63
            || !key.starts_with(|c: char| c.is_ascii_lowercase())
            || !key.bytes().all(plain)
        {
            return Err(
                "a key must be 1 to 63 characters of [a-z0-9._-], the first a letter".into(),
            );
        }
        if value.len() > 128 || value.chars().any(char::is_control) {
            return Err(format!(
                "the value of {key} must be at most 128 bytes without control characters"
            ));
        }
    }
    Ok(())
}

/// Reads an optional name: empty text is none.
pub(super) fn optional<T: FromStr<Err = E>, E>(text: &str) -> Result<Option<T>, E> {
    if text.is_empty() {
        Ok(None)
    } else {
        text.parse().map(Some)
    }
}

/// Reads an optional task id: empty text is the agent's id.
pub(super) fn task_or_agent(text: &str, agent: &AgentId) -> Result<TaskId, InvalidId> {
    if text.is_empty() {
        agent.as_str().parse()
    } else {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refs_that_git_would_take_for_something_else_are_refused() {
        let hostile = [
            "",
            "-x",
            "--upload-pack=sh",
            "a/-b",
            "a..b",
            "a@{1}",
            "a b",
            "a~1",
            "a^",
            "a:b",
            "a?",
            "a*",
            "a[",
            "a\\b",
            "/a",
            "a/",
            "a//b",
            ".a",
            "a/.b",
            "a.lock",
            "a.lock/b",
            "a.",
            "a\0",
            "a\n",
            "\u{202e}a",
            &"a".repeat(129),
            "refs/heads/../x",
        ];
        for text in hostile {
            assert!(text.parse::<BaseRef>().is_err(), "{text:?}");
        }
        for text in ["main", "feature/x-1", "v1.2.3", "release_2026"] {
            assert!(text.parse::<BaseRef>().is_ok(), "{text:?}");
        }
    }

    #[test]
    fn a_limit_is_never_raised_and_never_forgotten() {
        let wanted = Limits {
            memory_bytes: Some(10),
            pids: Some(99),
            ..Limits::default()
        };
        let most = Limits {
            memory_bytes: Some(20),
            pids: Some(50),
            idle_seconds: Some(5),
            ..Limits::default()
        };
        let granted = wanted.at_most(most);
        assert_eq!(
            (granted.memory_bytes, granted.pids, granted.idle_seconds),
            (Some(10), Some(50), Some(5))
        );
    }
}
