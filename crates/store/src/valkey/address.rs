//! Where the server is, as an operator writes it. Holds no secret, and refuses one.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Where a server listens when nothing is said.
const PORT: u16 = 6379;

/// Where a Valkey or Redis server is. Never a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A host and port.
    Tcp {
        /// Name or IP address.
        host: String,
        /// Port.
        port: u16,
        /// The database's number.
        database: u8,
        /// Whether it is spoken to over TLS.
        transport: Transport,
    },
    /// A Unix socket.
    Unix(PathBuf),
}

/// What the bytes travel in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// Nothing.
    Plain,
    /// TLS, with the roots of the machine.
    Tls,
}

/// An address that cannot be used. Tells no part of it: there may be a password in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAddress {
    /// It begins otherwise.
    #[error("must begin with redis://, rediss:// (TLS) or redis+unix://")]
    Scheme,
    /// It holds a user name or password.
    #[error("must not hold a user or password; use `username` and `password_file`")]
    Credentials,
    /// There is no host.
    #[error("names no host")]
    Host,
    /// The port is not one.
    #[error("the port must be a number from 1 to 65535")]
    Port,
    /// The database is not a number.
    #[error("the path must be the database's number, 0 to 255")]
    Database,
    /// The socket's path does not begin at the root.
    #[error("the socket must be an absolute path, as in redis+unix:///run/valkey.sock")]
    Socket,
    /// There is something after `?` or `#`.
    #[error("takes no parameters")]
    Parameters,
}

impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let (scheme, rest) = text.split_once("://").ok_or(InvalidAddress::Scheme)?;
        let transport = match scheme {
            "redis" | "valkey" => Transport::Plain,
            "rediss" | "valkeys" => Transport::Tls,
            "redis+unix" | "valkey+unix" => return socket(rest),
            _ => return Err(InvalidAddress::Scheme),
        };
        plain(rest)?;
        let (place, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (host, port) = place_of(place)?;
        let database = match path {
            "" => 0,
            number => number.parse().map_err(|_| InvalidAddress::Database)?,
        };
        Ok(Self::Tcp {
            host,
            port,
            database,
            transport,
        })
    }
}

fn socket(path: &str) -> Result<Address, InvalidAddress> {
    plain(path)?;
    let path = PathBuf::from(path);
    match path.is_absolute() && path.file_name().is_some() {
        true => Ok(Address::Unix(path)),
        false => Err(InvalidAddress::Socket),
    }
}

/// Refuses what we would have to hide or would not obey.
fn plain(rest: &str) -> Result<(), InvalidAddress> {
    if rest.contains('@') {
        return Err(InvalidAddress::Credentials);
    }
    if rest.contains(['?', '#']) {
        return Err(InvalidAddress::Parameters);
    }
    Ok(())
}

fn place_of(place: &str) -> Result<(String, u16), InvalidAddress> {
    let (host, port) = match place.strip_prefix('[') {
        // An IPv6 address has colons of its own.
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or(InvalidAddress::Host)?;
            let host: std::net::Ipv6Addr = host.parse().map_err(|_| InvalidAddress::Host)?;
            (host.to_string(), port)
        }
        None => {
            let (host, port) = place.split_at(place.find(':').unwrap_or(place.len()));
            let may_be = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
            if host.is_empty() || !host.chars().all(may_be) {
                return Err(InvalidAddress::Host);
            }
            (host.to_owned(), port)
        }
    };
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => PORT,
        Some(number) => match number.parse() {
            Ok(0) | Err(_) => return Err(InvalidAddress::Port),
            Ok(port) => port,
        },
        None => return Err(InvalidAddress::Port),
    };
    Ok((host, port))
}

impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(out, "redis+unix://{}", path.display()),
            Self::Tcp {
                host,
                port,
                database,
                transport,
            } => {
                let scheme = match transport {
                    Transport::Plain => "redis",
                    Transport::Tls => "rediss",
                };
                let (open, close) = if host.contains(':') {
                    ("[", "]")
                } else {
                    ("", "")
                };
                write!(out, "{scheme}://{open}{host}{close}:{port}/{database}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_told_in_full() {
        let table = [
            ("redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
            ("valkey://cache", "redis://cache:6379/0"),
            ("redis://cache/", "redis://cache:6379/0"),
            (
                "rediss://cache.example.org:7000/3",
                "rediss://cache.example.org:7000/3",
            ),
            ("redis://[::1]:7/255", "redis://[::1]:7/255"),
            (
                "redis+unix:///run/valkey.sock",
                "redis+unix:///run/valkey.sock",
            ),
        ];
        for (text, told) in table {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), told, "{text}");
        }
    }

    #[test]
    fn an_address_that_cannot_be_used_is_refused_without_repeating_it() {
        use InvalidAddress::{Credentials, Database, Host, Parameters, Port, Scheme, Socket};
        let table = [
            ("", Scheme),
            ("127.0.0.1:6379", Scheme),
            ("http://cache", Scheme),
            ("redis-cluster://cache", Scheme),
            ("redis://:hunter2@cache", Credentials),
            ("redis://user:hunter2@cache/0", Credentials),
            ("redis+unix://:hunter2@/run/x.sock", Credentials),
            ("redis://", Host),
            ("redis:///0", Host),
            ("redis://a b", Host),
            ("redis://[::1", Host),
            ("redis://[cache]", Host),
            ("redis://cache:", Port),
            ("redis://cache:0", Port),
            ("redis://cache:70000", Port),
            ("redis://[::1]6379", Port),
            ("redis://cache/256", Database),
            ("redis://cache/0/1", Database),
            ("redis://cache/0?timeout=1", Parameters),
            ("redis+unix://run/valkey.sock", Socket),
            ("redis+unix:///", Socket),
        ];
        for (text, fault) in table {
            let error = text.parse::<Address>().unwrap_err();
            assert_eq!(error, fault, "{text}");
            assert!(!error.to_string().contains("hunter2"));
        }
    }
}
