//! A witness of what agents do: a pipe that each sandbox shows its agent, and nobody of ours holds.
//!
//! What an agent says there is heard at once and once, whatever dies afterwards. A pipe can be
//! written also where it is shown read-only.

use crate::work::Promise;
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};

type Heard = Arc<Mutex<BTreeMap<String, Promise>>>;

/// Hears agents.
#[derive(Debug)]
pub struct Witness {
    pipe: PathBuf,
    heard: Heard,
}

impl Witness {
    /// Makes the folder with the pipe, and listens from now on.
    ///
    /// # Errors
    /// The step that failed.
    pub fn of(folder: &Path) -> Result<Self> {
        fs::create_dir(folder)?;
        fs::set_permissions(folder, Permissions::from_mode(0o755))?;
        let pipe = folder.join("pipe");
        let made = Command::new("mkfifo").arg(&pipe).status();
        anyhow::ensure!(made.is_ok_and(|made| made.success()), "cannot make a pipe");
        fs::set_permissions(&pipe, Permissions::from_mode(0o622))?;
        // Held for writing too: so nobody waits for a reader, and there is no end of it.
        let held = File::options().read(true).write(true).open(&pipe);
        let lines = BufReader::new(held.context("the witness's pipe")?).lines();
        let heard = Heard::default();
        let told = heard.clone();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if line == "end" {
                    return;
                }
                hear(
                    &mut told.lock().unwrap_or_else(PoisonError::into_inner),
                    &line,
                );
            }
        });
        Ok(Self { pipe, heard })
    }

    /// The pipe.
    #[must_use]
    pub fn pipe(&self) -> &Path {
        &self.pipe
    }

    /// What an agent was seen to do.
    #[must_use]
    pub fn of_agent(&self, agent: &str) -> Promise {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.get(agent).cloned().unwrap_or_default()
    }

    /// What every agent was seen to do.
    #[must_use]
    pub fn promises(&self) -> Vec<Promise> {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.values().cloned().collect()
    }

    /// Forgets what was heard, and what it was held against.
    pub fn forget(&self) {
        self.heard
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        drop(fs::write(&self.pipe, "end\n")); // the listener holds it open
    }
}

fn hear(heard: &mut BTreeMap<String, Promise>, line: &str) {
    let words: Vec<&str> = line.split(' ').collect();
    let [verb, agent, rest @ ..] = words.as_slice() else {
        return;
    };
    let promise = heard.entry((*agent).to_owned()).or_default();
    promise.agent = (*agent).to_owned();
    match (*verb, rest) {
        ("begun", _) => promise.begun += 1,
        ("file", [path, content]) => promise
            .files
            .push(((*path).to_owned(), format!("{content}\n"))),
        ("commit", [commit]) => promise.commits.push((*commit).to_owned()),
        ("done", _) => promise.done = true,
        _ => {}
    }
}
