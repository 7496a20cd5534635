//! A repository as the configuration names it. What is not plainly safe to hand to git is refused.
//!
//! It opens nothing and knows no network.

use serde::Deserialize;
use std::path::PathBuf;

/// A repository that agents may work on.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Fields")]
pub struct Repository {
    /// Where it comes from.
    pub source: Source,
    /// What the rescue does with files that the repository ignores.
    pub ignored: Ignored,
}

/// Where a repository comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A repository on this machine.
    Path(PathBuf),
    /// A server that speaks https.
    Https {
        /// `https://host/path`, without a user.
        url: String,
        /// A file in the format of git's credential store: `https://user:token@host`, one a line.
        credentials: Option<PathBuf>,
    },
    /// A server that speaks ssh.
    Ssh {
        /// `ssh://user@host/path`.
        url: String,
        /// The private key; `None`: what ssh finds by itself.
        key: Option<PathBuf>,
    },
}

/// What the rescue does with files that the repository ignores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ignored {
    /// Leaves them out and counts them: they are most often built from the rest.
    #[default]
    Omit,
    /// Keeps them like every other file.
    Include,
}

/// A repository that cannot be used, and why, for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a repository {0}")]
pub struct InvalidRepository(&'static str);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    path: Option<PathBuf>,
    url: Option<String>,
    credentials_file: Option<PathBuf>,
    ssh_key: Option<PathBuf>,
    #[serde(default)]
    ignored: Ignored,
}

impl TryFrom<Fields> for Repository {
    type Error = InvalidRepository;
    fn try_from(fields: Fields) -> Result<Self, InvalidRepository> {
        let (credentials, key) = (
            plain_path(fields.credentials_file)?,
            plain_path(fields.ssh_key)?,
        );
        let source = match (fields.path, fields.url) {
            (Some(path), None) => local(path)?,
            (None, Some(url)) => remote(url, credentials.clone(), key.clone())?,
            (Some(_), Some(_)) | (None, None) => {
                return Err(InvalidRepository("needs either `path` or `url`"));
            }
        };
        let fits = match &source {
            Source::Path(_) => credentials.is_none() && key.is_none(),
            Source::Https { .. } => key.is_none(),
            Source::Ssh { .. } => credentials.is_none(),
        };
        if !fits {
            return Err(InvalidRepository(
                "takes `credentials_file` with an https:// url and `ssh_key` with an ssh:// url only",
            ));
        }
        Ok(Self {
            source,
            ignored: fields.ignored,
        })
    }
}

/// A repository on this machine. Relative paths would depend on where the spoke was started.
fn local(path: PathBuf) -> Result<Source, InvalidRepository> {
    if !path.is_absolute() {
        return Err(InvalidRepository("`path` must be absolute"));
    }
    Ok(Source::Path(path))
}

/// A repository on a server.
fn remote(
    url: String,
    credentials: Option<PathBuf>,
    key: Option<PathBuf>,
) -> Result<Source, InvalidRepository> {
    if let Some(rest) = url.strip_prefix("https://") {
        if rest.split('/').next().unwrap_or_default().contains('@') {
            return Err(InvalidRepository(
                "`url` must not name a user or a password; put them into `credentials_file`",
            ));
        }
        check_address(rest)?;
        return Ok(Source::Https { url, credentials });
    }
    let Some(rest) = url.strip_prefix("ssh://") else {
        return Err(InvalidRepository(
            "`url` must start with https:// or ssh:// (git@host:path is written ssh://git@host/path)",
        ));
    };
    let address = match rest.split_once('@') {
        None => rest,
        Some((user, address)) if is_word(user) => address,
        Some(_) => {
            return Err(InvalidRepository(
                "`url` may hold a user name of [A-Za-z0-9._-], and no password",
            ));
        }
    };
    check_address(address)?;
    Ok(Source::Ssh { url, key })
}

/// Checks `host[:port]/path`. A host that begins with `-` would be an option to ssh.
fn check_address(address: &str) -> Result<(), InvalidRepository> {
    let wrong =
        InvalidRepository("`url` must be https://host[:port]/path or ssh://user@host[:port]/path");
    let (server, path) = address.split_once('/').ok_or(wrong.clone())?;
    let (host, port) = server.split_once(':').unwrap_or((server, "1"));
    let path_fits = !path.is_empty()
        && !path.starts_with('-')
        && path.bytes().all(|b| {
            b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'/' | b'-' | b'~' | b'+' | b'%')
        });
    if is_word(host) && port.parse::<u16>().is_ok_and(|port| port > 0) && path_fits {
        Ok(())
    } else {
        Err(wrong)
    }
}

fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

/// Checks a path that git hands to a shell: nothing in it may mean something there.
fn plain_path(path: Option<PathBuf>) -> Result<Option<PathBuf>, InvalidRepository> {
    let plain = |path: &PathBuf| {
        path.is_absolute()
            && path.to_str().is_some_and(|text| {
                text.bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'/' | b'-'))
            })
    };
    match path {
        Some(path) if !plain(&path) => Err(InvalidRepository(
            "needs `credentials_file` and `ssh_key` to be absolute paths of [A-Za-z0-9._/-]",
        )),
        path => Ok(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Repository, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn plain_repositories_are_read() {
        let local = parse("path = '/srv/web.git'").unwrap();
        assert_eq!(local.source, Source::Path("/srv/web.git".into()));
        assert_eq!(local.ignored, Ignored::Omit);
        let ssh = parse("url = 'ssh://git@example.org:2222/team/web.git'\nssh_key = '/etc/key'");
        assert!(matches!(
            ssh.unwrap().source,
            Source::Ssh { key: Some(_), .. }
        ));
        let https = parse("url = 'https://example.org/web.git'\nignored = 'include'").unwrap();
        assert_eq!(https.ignored, Ignored::Include);
    }

    #[test]
    fn what_git_would_take_for_something_else_is_refused() {
        let urls = [
            "ext::sh -c touch% /tmp/x",
            "EXT::sh",
            "file:///etc",
            "git://example.org/x",
            "http://example.org/x",
            "HTTPS://example.org/x",
            "fd::17",
            "/srv/x",
            "--upload-pack=sh",
            "-u",
            "git@example.org:x",
            "ssh://-oProxyCommand=sh/x",
            "ssh://user@-oProxyCommand=sh/x",
            "ssh://-o@example.org/x",
            "ssh://git:secret@example.org/x",
            "https://user:secret@example.org/x",
            "https://token@example.org/x",
            "https://example.org/-x",
            "https://example.org/",
            "https://example.org",
            "https:///x",
            "https://example.org:0/x",
            "https://example.org/a b",
            "https://example.org/x?y",
            "https://example.org/x\\ny",
            "",
        ];
        for url in urls {
            let error = parse(&format!("url = \"{url}\"")).expect_err(url);
            assert!(!error.is_empty());
        }
        for text in [
            "",
            "path = 'relative'",
            "path = '/a'\nurl = 'https://example.org/x'",
            "path = '/a'\nssh_key = '/k'",
            "url = 'https://example.org/x'\nssh_key = '/k'",
            "url = 'ssh://example.org/x'\nssh_key = '/k; touch /tmp/x'",
            "path = '/a'\nhooks = true",
        ] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }
}
