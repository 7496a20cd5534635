//! What a supervisor writes for whoever comes to look: two small files, each whole or not there.

use crate::sandbox::Ending;
use crate::sandbox::cgroup::Cgroup;
use crate::sandbox::procfs::Process;
use mosaic_common::failpoint;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Who runs, from before the program starts.
pub(crate) const STATE: &str = "state.json";

/// How the program ended, once nothing of it is left.
pub(crate) const EXIT: &str = "exit.json";

/// Made by the first supervisor of an agent, so that there is no second one.
const CLAIM: &str = "claim";

/// Who runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct State {
    /// The sandbox's name.
    pub(crate) sandbox: String,
    /// Which boot of the machine: pids of another mean nothing.
    pub(crate) boot: String,
    /// The supervisor.
    pub(crate) supervisor: Process,
    /// The first process of the agent's namespace.
    pub(crate) init: Option<Process>,
    /// The user it runs as.
    pub(crate) owner: Option<u32>,
    /// The group it is in.
    pub(crate) cgroup: Option<Cgroup>,
}

/// How it ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Exit {
    /// How the program ended.
    pub(crate) ending: Ending,
}

/// Makes this process the agent's only supervisor. False if there is one.
pub(super) fn claim(folder: &Path) -> io::Result<bool> {
    let made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(folder.join(CLAIM));
    match made {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

/// Writes a file so that a reader sees all of it or none.
pub(super) fn write(folder: &Path, name: &str, value: &impl Serialize) -> io::Result<()> {
    let draft = folder.join(format!("{name}.new"));
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&draft)?;
    file.write_all(&serde_json::to_vec(value)?)?;
    file.sync_all()?; // one step: with the line before
    failpoint!("supervise.drafted");
    fs::rename(&draft, folder.join(name))
}

/// Reads a file; `None` if it is not there.
pub(crate) fn read<T: DeserializeOwned>(folder: &Path, name: &str) -> io::Result<Option<T>> {
    match fs::read(folder.join(name)) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
