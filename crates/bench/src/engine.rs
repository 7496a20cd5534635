//! The floor of starting and ending an agent in a container: the engine's own API over its
//! socket, asked for the very container that the spoke makes, and nothing between.

use anyhow::Context;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// The socket of Docker's own packages, which the spoke uses too.
const SOCKET: &str = "/var/run/docker.sock";

/// A container that can be made again.
#[derive(Debug)]
pub(crate) struct Recipe(Value);

impl Recipe {
    /// Reads what a running agent's container was made of. Its program is replaced: the spoke's
    /// first process waits to be told what to start, and nobody would tell it.
    ///
    /// # Errors
    /// If the agent has no container, or the engine cannot be asked.
    pub(crate) fn learn(agent: &str, script: &str) -> anyhow::Result<Self> {
        let filters = json!({ "label": [format!("mosaic.agent={agent}")] }).to_string();
        let filters = filters
            .replace('"', "%22")
            .replace('{', "%7B")
            .replace('}', "%7D");
        let found = ask("GET", &format!("/containers/json?filters={filters}"), None)?;
        let id = found[0]["Id"]
            .as_str()
            .context("the agent has no container")?;
        let seen = ask("GET", &format!("/containers/{id}/json"), None)?;
        let mut body = seen["Config"].clone();
        body["HostConfig"] = seen["HostConfig"].clone();
        body["Entrypoint"] = json!(["/bin/sh", "-c", script]);
        body["Cmd"] = Value::Null;
        // The spoke would take it for one of its own.
        body["Labels"] = json!({});
        Ok(Self(body))
    }

    /// Creates and starts it as `name`, with another folder instead of the agent's.
    pub(crate) fn start(&self, name: &str, from: &Path, to: &Path) -> anyhow::Result<()> {
        let (from, to) = (from.display().to_string(), to.display().to_string());
        let body = self.0.to_string().replace(&from, &to);
        ask(
            "POST",
            &format!("/containers/create?name={name}"),
            Some(&body),
        )?;
        ask("POST", &format!("/containers/{name}/start"), None)?;
        Ok(())
    }
}

/// Kills a container and removes it.
pub(crate) fn remove(name: &str) -> anyhow::Result<()> {
    ask("DELETE", &format!("/containers/{name}?force=1"), None).map(drop)
}

/// One request in the oldest form of HTTP: the answer ends with the connection, whole and plain.
fn ask(method: &str, path: &str, body: Option<&str>) -> anyhow::Result<Value> {
    let mut socket = UnixStream::connect(SOCKET).context("cannot reach the engine")?;
    let body = body.unwrap_or_default();
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.0\r\nHost: docker\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    );
    socket.write_all(head.as_bytes())?;
    socket.write_all(body.as_bytes())?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no answer")?;
    let is_ok = head
        .split(' ')
        .nth(1)
        .is_some_and(|code| code.starts_with('2'));
    anyhow::ensure!(is_ok, "{method} {path}: {body}");
    Ok(serde_json::from_str(body).unwrap_or_default()) // some have no body
}
