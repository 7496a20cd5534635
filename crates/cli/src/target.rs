//! Which server to talk to, and as whom: from flags, variables and the per-user file.
//!
//! A token is sent only where it cannot be read on the way, and the one of the per-user
//! file only to the endpoint of the same file.

use crate::{failure::Failure, token::Token};
use serde::{Deserialize, Serialize};
use std::{fmt, fs, io, path::PathBuf};
use tonic::transport::Uri;

/// Where a hub listens when nobody said otherwise.
pub(crate) const DEFAULT_ENDPOINT: &str = "http://127.0.0.1:7600";

/// Where to connect, and as whom.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Server")]
pub(crate) struct TargetArgs {
    /// The hub or spoke: http://HOST:PORT, https://HOST:PORT or unix:/path/to/spoke.sock
    #[arg(long, global = true, env = "MOSAIC_ENDPOINT", value_name = "URL")]
    endpoint: Option<Endpoint>,
    /// The certificate authority of an https endpoint, PEM
    #[arg(long, global = true, env = "MOSAIC_CA", value_name = "FILE")]
    ca: Option<PathBuf>,
    /// A file with the bearer token, mode 0600 [env: MOSAIC_TOKEN_FILE, or the token itself in MOSAIC_TOKEN]
    #[arg(long, global = true, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// The address of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// TCP in clear.
    Http(Uri),
    /// TCP with TLS.
    Https(Uri),
    /// A local socket.
    Unix(PathBuf),
}

impl Endpoint {
    /// Whether a token may travel: encrypted, or never leaving this machine.
    fn is_private(&self) -> bool {
        match self {
            Self::Https(_) | Self::Unix(_) => true,
            Self::Http(uri) => uri.host().is_some_and(|host| {
                let host = host.trim_start_matches('[').trim_end_matches(']');
                let address: Option<std::net::IpAddr> = host.parse().ok();
                host == "localhost" || address.is_some_and(|address| address.is_loopback())
            }),
        }
    }
}

impl std::str::FromStr for Endpoint {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "must be http://HOST:PORT, https://HOST:PORT or unix:/absolute/path";
        if let Some(path) = text.strip_prefix("unix:") {
            let path = PathBuf::from(path.strip_prefix("//").unwrap_or(path));
            return if path.is_absolute() {
                Ok(Self::Unix(path))
            } else {
                Err(FORM)
            };
        }
        let uri: Uri = text.parse().map_err(|_| FORM)?;
        // Credentials in a URL would be in argv, and a path would be silently ignored.
        let is_plain = uri.host().is_some_and(|host| !host.is_empty())
            && matches!(uri.path(), "" | "/")
            && uri.query().is_none()
            && !text.contains('@');
        match uri.scheme_str() {
            Some("http") if is_plain => Ok(Self::Http(uri)),
            Some("https") if is_plain => Ok(Self::Https(uri)),
            Some(_) | None => Err(FORM),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(uri) | Self::Https(uri) => write!(out, "{uri}"),
            Self::Unix(path) => write!(out, "unix:{}", path.display()),
        }
    }
}

/// The per-user file `client.toml`. `mosaic up` writes it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClientFile {
    /// As `--endpoint`.
    pub endpoint: Option<String>,
    /// As `--ca`.
    pub ca: Option<PathBuf>,
    /// As `--token-file`. Used only with `endpoint` above.
    pub token_file: Option<PathBuf>,
}

impl ClientFile {
    /// Where it stands: in `$XDG_CONFIG_HOME/mosaic`, else in `~/.config/mosaic`.
    pub(crate) fn path() -> Option<PathBuf> {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let folder = set("XDG_CONFIG_HOME").map(PathBuf::from);
        let folder = folder.or_else(|| Some(PathBuf::from(set("HOME")?).join(".config")))?;
        Some(folder.join("mosaic").join("client.toml"))
    }

    /// Reads it; one that is not there is empty.
    fn read() -> Result<Self, Failure> {
        let Some(path) = Self::path() else {
            return Ok(Self::default());
        };
        let fail = |why: String| Failure::input(format!("cannot use {}: {why}", path.display()));
        match fs::read_to_string(&path) {
            Ok(text) => toml::from_str(&text).map_err(|error| fail(error.message().to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(fail(error.to_string())),
        }
    }
}

/// Where to connect, and as whom: decided.
#[derive(Debug)]
pub(crate) struct Target {
    /// The server.
    pub endpoint: Endpoint,
    /// Its certificate authority.
    pub ca: Option<PathBuf>,
    /// Who we are, where the server asks.
    pub token: Option<Token>,
}

impl TargetArgs {
    /// Decides: flags first, then variables, then the per-user file, then the default.
    ///
    /// # Errors
    /// If a file cannot be used, or if a token would travel in clear.
    pub(crate) fn resolve(&self) -> Result<Target, Failure> {
        let file = ClientFile::read()?;
        let of_file = file.endpoint.as_deref().map(str::parse).transpose();
        let of_file: Option<Endpoint> =
            of_file.map_err(|why| Failure::input(format!("client.toml: endpoint {why}")))?;
        let endpoint = match (&self.endpoint, &of_file) {
            (Some(given), _) => given.clone(),
            (None, Some(of_file)) => of_file.clone(),
            (None, None) => DEFAULT_ENDPOINT.parse().map_err(Failure::input)?,
        };
        let is_of_file = of_file.as_ref() == Some(&endpoint);
        let file = if is_of_file {
            file
        } else {
            ClientFile::default()
        };
        // A spoke's socket asks the kernel who we are; a token has no business there.
        let token = match &endpoint {
            Endpoint::Unix(_) => None,
            Endpoint::Http(_) | Endpoint::Https(_) => self.token(file.token_file)?,
        };
        if token.is_some() && !endpoint.is_private() {
            return Err(Failure::input_with_hint(
                format!("the token would travel to {endpoint} in clear"),
                "use https:// with --ca, or a tunnel that ends on this machine",
            ));
        }
        let ca = self.ca.clone().or(file.ca);
        Ok(Target {
            endpoint,
            ca,
            token,
        })
    }

    /// The token that was given, nearest source first.
    fn token(&self, of_file: Option<PathBuf>) -> Result<Option<Token>, Failure> {
        if let Some(path) = &self.token_file {
            return Token::read(path).map(Some);
        }
        if let Some(text) = std::env::var_os("MOSAIC_TOKEN").filter(|text| !text.is_empty()) {
            return Token::parse(&text.to_string_lossy(), "MOSAIC_TOKEN").map(Some);
        }
        let path = std::env::var_os("MOSAIC_TOKEN_FILE").filter(|path| !path.is_empty());
        let path = path.map(PathBuf::from).or(of_file);
        path.map(|path| Token::read(&path)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_of_three_kinds_are_read() {
        for text in [
            "http://127.0.0.1:7600",
            "https://hub.example:443",
            "http://[::1]:1",
        ] {
            assert!(text.parse::<Endpoint>().is_ok(), "{text}");
        }
        let socket = Endpoint::Unix("/run/spoke.sock".into());
        assert_eq!("unix:/run/spoke.sock".parse(), Ok(socket.clone()));
        assert_eq!("unix:///run/spoke.sock".parse(), Ok(socket));
    }

    #[test]
    fn what_is_no_endpoint_is_refused() {
        let hostile = [
            "",
            "127.0.0.1:7600",
            "ftp://x",
            "http://",
            "unix:relative",
            "unix:",
            "http://user:secret@host",
            "http://host/path",
            "http://host?x=1",
            "http://a b",
        ];
        for text in hostile {
            assert!(text.parse::<Endpoint>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_token_may_travel_only_where_nobody_can_read_it() {
        let table = [
            ("http://127.0.0.1:1", true),
            ("http://127.9.9.9:1", true),
            ("http://[::1]:1", true),
            ("http://localhost:1", true),
            ("https://hub.example", true),
            ("http://hub.example", false),
            ("http://10.0.0.1:1", false),
            ("http://localhost.evil.example", false),
        ];
        for (text, private) in table {
            assert_eq!(
                text.parse::<Endpoint>().unwrap().is_private(),
                private,
                "{text}"
            );
        }
    }
}
