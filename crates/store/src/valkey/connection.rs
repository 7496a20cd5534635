//! One connection to the server, and the four scripts that are all it is used for. It never
//! connects again or repeats a call by itself: whoever holds it decides that.

use super::address::{Address, Transport};
use super::entry::{Change, Entry, Look, Written, id};
use super::keys::{CHANNEL, Keys, LIVE};
use fred::clients::Client;
use fred::interfaces::{ClientLike, LuaInterface};
use fred::types::config::{
    Config, ConnectionConfig, PerformanceConfig, Server, ServerConfig, TlsConnector,
};
use fred::types::{Builder, ConnectHandle};
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::timeout;

/// How long a connection or a call may take. The longest honest one, a script over a full batch,
/// takes milliseconds; a server that is slower is as good as away.
const ANSWER: Duration = Duration::from_secs(2);

/// Each script begins with the function that says how far the stream is.
macro_rules! script {
    ($file:literal) => {
        concat!(include_str!("position.lua"), include_str!($file))
    };
}

/// As whom to connect. The password is read anew for each connection, so that it can be changed.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    /// The user; `None`: the server's default user.
    pub username: Option<String>,
    /// The file that holds the password; white space around it is not part of it.
    pub password_file: Option<PathBuf>,
}

impl Credentials {
    /// Reads the password.
    ///
    /// # Errors
    /// If its file cannot be read.
    pub fn password(&self) -> std::io::Result<Option<String>> {
        let read = self.password_file.as_ref().map(std::fs::read_to_string);
        Ok(read.transpose()?.map(|text| text.trim().to_owned()))
    }
}

/// What went wrong between us and the server.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    /// The password cannot be read.
    #[error("cannot read the password's file")]
    Password(#[source] std::io::Error),
    /// It cannot be connected to.
    #[error("cannot connect to {address}")]
    Connect {
        address: Address,
        #[source]
        source: fred::error::Error,
    },
    /// A call failed.
    #[error("cannot {step}")]
    Call {
        step: &'static str,
        #[source]
        source: fred::error::Error,
    },
    /// There was no answer in time.
    #[error("cannot {step}: no answer in time")]
    Silent { step: &'static str },
}

/// A connection. Dropped, it is closed.
#[derive(Debug)]
pub(super) struct Connection {
    client: Client,
    task: ConnectHandle,
    keys: Keys,
    look: String,
    append: String,
    rebuild: String,
    reset: String,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort(); // it owns the socket
    }
}

impl Connection {
    pub(super) async fn open(
        address: &Address,
        credentials: &Credentials,
        keys: Keys,
    ) -> Result<Self, Failed> {
        let failed = |source| Failed::Connect {
            address: address.clone(),
            source,
        };
        let config = config(address, credentials)?;
        let client = client(config).map_err(failed)?;
        let mut connection = Self {
            task: client.connect(),
            client,
            keys,
            look: String::new(),
            append: String::new(),
            rebuild: String::new(),
            reset: String::new(),
        };
        let (client, task) = (&connection.client, &mut connection.task);
        let connected = async {
            tokio::select! {
                connected = client.wait_for_connect() => connected,
                // It ends when it cannot connect, perhaps before anybody listens.
                ended = task => ended.unwrap_or(Ok(())).and(Err(fred::error::Error::new_canceled())),
            }
        };
        match timeout(ANSWER, connected).await {
            Ok(connected) => connected.map_err(failed)?,
            Err(_) => return Err(Failed::Silent { step: "connect" }),
        }
        connection.look = connection.load(script!("look.lua")).await?;
        connection.append = connection.load(script!("append.lua")).await?;
        connection.rebuild = connection.load(script!("rebuild.lua")).await?;
        connection.reset = connection.load(script!("reset.lua")).await?;
        Ok(connection)
    }

    /// Returns when the connection was lost.
    pub(super) async fn lost(&mut self) {
        drop((&mut self.task).await); // why is told by the next try
    }

    pub(super) async fn look(&self) -> Result<Look, Failed> {
        let keys = vec![self.keys.stream.clone()];
        let call = self.client.evalsha(self.look.as_str(), keys, ());
        let (id, last) = answer("read the stream's position", call).await?;
        Ok(Look { id, last })
    }

    /// Appends entries to a stream that is at `position`, and changes live keys with them.
    pub(super) async fn append(
        &self,
        position: u64,
        keep: u64,
        entries: &[Entry],
    ) -> Result<Written, Failed> {
        let mut arguments = vec![id(position), keep.to_string(), CHANNEL.into(), LIVE.into()];
        for entry in entries {
            let (change, row, value) = match &entry.change {
                Change::Keep => ("keep", "", ""),
                Change::Set { row, json } => ("set", row.as_str(), json.as_str()),
                Change::Clear { row } => ("clear", row.as_str(), ""),
            };
            arguments.push(id(entry.sequence));
            arguments.extend([&entry.json, change, row, value].map(str::to_owned));
        }
        self.write("append events", &self.append, arguments).await
    }

    /// Makes the live keys be `live`, ids with values, if the stream is at `position`.
    pub(super) async fn rebuild(
        &self,
        position: u64,
        live: Vec<(String, String)>,
    ) -> Result<Written, Failed> {
        let mut arguments = vec![id(position), LIVE.to_owned()];
        arguments.extend(live.into_iter().flat_map(|(row, json)| [row, json]));
        self.write("rebuild the live keys", &self.rebuild, arguments)
            .await
    }

    /// Removes a stream whose last id is `at`.
    pub(super) async fn reset(&self, at: &str) -> Result<Written, Failed> {
        self.write("remove the stream", &self.reset, vec![at.to_owned()])
            .await
    }

    async fn write(
        &self,
        step: &'static str,
        script: &str,
        arguments: Vec<String>,
    ) -> Result<Written, Failed> {
        let keys = vec![self.keys.stream.clone(), self.keys.index.clone()];
        let written: u64 = answer(step, self.client.evalsha(script, keys, arguments)).await?;
        Ok(if written == 1 {
            Written::Done
        } else {
            Written::Refused
        })
    }

    async fn load(&self, script: &'static str) -> Result<String, Failed> {
        answer("load the scripts", self.client.script_load(script)).await
    }
}

async fn answer<T>(
    step: &'static str,
    call: impl Future<Output = Result<T, fred::error::Error>>,
) -> Result<T, Failed> {
    match timeout(ANSWER, call).await {
        Ok(answered) => answered.map_err(|source| Failed::Call { step, source }),
        Err(_) => Err(Failed::Silent { step }),
    }
}

fn config(address: &Address, credentials: &Credentials) -> Result<Config, Failed> {
    // One line of a local file, read once in a while: not worth a thread.
    let password = credentials.password().map_err(Failed::Password)?;
    let (server, database, transport) = match address {
        Address::Unix(path) => (
            ServerConfig::Unix { path: path.clone() },
            0,
            Transport::Plain,
        ),
        Address::Tcp {
            host,
            port,
            database,
            transport,
        } => {
            let server = Server::new(host.clone(), *port);
            (ServerConfig::Centralized { server }, *database, *transport)
        }
    };
    let tls = match transport {
        Transport::Plain => None,
        Transport::Tls => {
            Some(
                TlsConnector::default_rustls().map_err(|source| Failed::Connect {
                    address: address.clone(),
                    source,
                })?,
            )
        }
    };
    Ok(Config {
        username: credentials.username.clone(),
        password,
        server,
        database: Some(database).filter(|number| *number > 0),
        tls: tls.map(Into::into),
        ..Config::default()
    })
}

/// A client that does nothing behind our back: no reconnection, one attempt at each call.
fn client(config: Config) -> Result<Client, fred::error::Error> {
    let mut builder = Builder::from_config(config);
    builder.set_connection_config(ConnectionConfig {
        connection_timeout: ANSWER,
        internal_command_timeout: ANSWER,
        max_command_attempts: 1,
        disable_cluster_health_check: true,
        ..ConnectionConfig::default()
    });
    builder.set_performance_config(PerformanceConfig {
        default_command_timeout: ANSWER,
        ..PerformanceConfig::default()
    });
    builder.build()
}
