//! Names that have been checked. Whoever holds one need not check it again:
//! none can hold a separator, a control character or a path.

use ring::{digest, rand::SecureRandom, rand::SystemRandom};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// A name that does not have the form it must have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} must be {form}")]
pub struct InvalidId {
    what: &'static str,
    form: &'static str,
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $form:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(InvalidId { what: $what, form: $form })
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(text: String) -> Result<Self, InvalidId> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(&self.0)
            }
        }
    };
}

text_id!(
    /// Names one agent, everywhere: `ag_` and 26 characters of base32 (130 bits).
    ///
    /// Folders, refs, sandboxes and cgroups are named from it alone.
    AgentId, "an agent id", "ag_ followed by 26 characters of [a-z2-7]", |text| {
        text.strip_prefix("ag_").is_some_and(|rest| {
            rest.len() == 26 && rest.bytes().all(|b| matches!(b, b'a'..=b'z' | b'2'..=b'7'))
        })
    }
);

text_id!(
    /// The caller's own name for a piece of work.
    TaskId, "a task id", "1 to 128 characters of [A-Za-z0-9._-], the first a letter or digit", |text| {
        is_name(text, 128)
    }
);

text_id!(
    /// A name that a configuration gives: a site, hub, spoke, connection, repository, profile.
    Alias, "a name", "1 to 64 characters of [A-Za-z0-9._-], the first a letter or digit", |text| {
        is_name(text, 64)
    }
);

fn is_name(text: &str, longest: usize) -> bool {
    text.len() <= longest
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
        && !text.contains("..")
}

impl AgentId {
    /// The id of the agent that a command spawns when its sender named none:
    /// a retry of the command finds the same agent.
    #[must_use]
    pub fn of_command(command: CommandId) -> Self {
        let mut hash = digest::Context::new(&digest::SHA256);
        hash.update(b"mosaic agent id\0");
        hash.update(&command.0);
        Self(format!("ag_{}", base32(hash.finish().as_ref(), 26)))
    }

    /// The same name for programs that want a UUID: always the same one, version 8 (RFC 9562).
    #[must_use]
    pub fn uuid(&self) -> String {
        let mut hash = digest::Context::new(&digest::SHA256);
        hash.update(b"mosaic agent uuid\0");
        hash.update(self.0.as_bytes());
        let mut hex = String::new();
        for (at, byte) in hash.finish().as_ref().iter().take(16).enumerate() {
            let byte = match at {
                6 => byte & 0x0f | 0x80, // version
                8 => byte & 0x3f | 0x80, // variant
                _ => *byte,
            };
            let dash = if matches!(at, 4 | 6 | 8 | 10) {
                "-"
            } else {
                ""
            };
            hex.push_str(&format!("{dash}{byte:02x}"));
        }
        hex
    }
}

/// The first `length` characters of `bytes` in lower-case base32 (RFC 4648).
fn base32(bytes: &[u8], length: usize) -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let bit = |at: usize| {
        bytes
            .get(at / 8)
            .map_or(0, |byte| (byte >> (7 - at % 8)) & 1)
    };
    (0..length)
        .map(|place| (0..5).fold(0, |value, offset| value << 1 | bit(place * 5 + offset)))
        .map(|value| char::from(ALPHABET[usize::from(value)]))
        .collect()
}

/// Names one command: 16 random bytes, written as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CommandId([u8; 16]);

impl CommandId {
    /// A fresh one.
    ///
    /// # Panics
    /// If the operating system has no randomness: nothing can be signed safely then either.
    #[must_use]
    #[allow(clippy::expect_used)]
    pub fn random() -> Self {
        let mut bytes = [0; 16];
        SystemRandom::new()
            .fill(&mut bytes)
            .expect("the operating system's randomness");
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl TryFrom<&[u8]> for CommandId {
    type Error = InvalidId;
    fn try_from(bytes: &[u8]) -> Result<Self, InvalidId> {
        let wrong = InvalidId {
            what: "a command id",
            form: "16 bytes",
        };
        bytes.try_into().map(Self).map_err(|_| wrong)
    }
}

impl FromStr for CommandId {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let wrong = InvalidId {
            what: "a command id",
            form: "32 digits of [0-9a-f]",
        };
        let bytes = unhex(text).ok_or(wrong.clone())?;
        bytes.try_into().map(Self).map_err(|_| wrong)
    }
}

impl TryFrom<String> for CommandId {
    type Error = InvalidId;
    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}

impl From<CommandId> for String {
    fn from(id: CommandId) -> Self {
        id.to_string()
    }
}

impl fmt::Display for CommandId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for CommandId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{self}")
    }
}

/// Writes bytes as lower-case hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads lower-case hexadecimal digits; `None` if they are not that.
#[must_use]
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |b: u8| match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs
        .iter()
        .map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_has_one_uuid_and_no_other_agent_has_it() {
        let uuid = |id: &str| id.parse::<AgentId>().unwrap().uuid();
        let one = uuid("ag_aaaaaaaaaaaaaaaaaaaaaaaaaa");
        assert_eq!(one, uuid("ag_aaaaaaaaaaaaaaaaaaaaaaaaaa"));
        assert_ne!(one, uuid("ag_aaaaaaaaaaaaaaaaaaaaaaaaab"));
        let lengths: Vec<_> = one.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12]);
        assert_eq!(&one[14..15], "8");
        assert!(matches!(&one[19..20], "8" | "9" | "a" | "b"));
    }

    #[test]
    fn hostile_names_are_refused() {
        let hostile = [
            "",
            ".",
            "..",
            "../x",
            "/etc",
            "a/b",
            "a\0b",
            "a\nb",
            "-x",
            "%2e",
            "a..b",
            "ag_",
            "é",
            " a",
            "\u{1b}[31m",
            &"a".repeat(129),
        ];
        for text in hostile {
            assert!(text.parse::<AgentId>().is_err(), "agent id {text:?}");
            assert!(
                text.parse::<TaskId>().is_err() || text == "ag_",
                "task id {text:?}"
            );
            assert!(
                text.parse::<Alias>().is_err() || text == "ag_",
                "alias {text:?}"
            );
            assert!(text.parse::<CommandId>().is_err(), "command id {text:?}");
        }
    }

    #[test]
    fn a_command_always_spawns_the_same_agent() {
        let command: CommandId = "000102030405060708090a0b0c0d0e0f".parse().unwrap();
        let agent = AgentId::of_command(command);
        assert_eq!(agent, AgentId::of_command(command));
        assert_eq!(agent.as_str().parse(), Ok(agent));
        assert_ne!(
            AgentId::of_command(CommandId::random()),
            AgentId::of_command(command)
        );
    }

    #[test]
    fn base32_matches_the_vectors_of_rfc_4648() {
        assert_eq!(base32(b"foobar", 10), "mzxw6ytboi");
    }
}
