//! The proof that an agent is dead: nothing that is known of it, or that bears its mark, lives.

use super::{Found, LOOK, PROOF, failed, is_of_this_boot, off_thread};
use crate::sandbox::Error;
use crate::sandbox::cgroup::Cgroup;
use crate::sandbox::procfs::{self, Process};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Looks until nothing of the agent lives, and says how that was seen.
pub(super) async fn prove(found: &Found) -> Result<String, Error> {
    let (deadline, mut pause) = (Instant::now() + PROOF, LOOK.0);
    loop {
        let (known, cgroup) = (known(found), found.cgroup.clone());
        let (mark, owner) = (found.mark.clone(), found.owner);
        let look = move || {
            let mut left: Vec<Process> = known
                .into_iter()
                .filter(|process| process.is_alive())
                .collect();
            if let Some(cgroup) = &cgroup {
                left.extend(cgroup.members()?);
            }
            left.extend(procfs::marked(&mark, owner)?);
            drop(procfs::kill(&left));
            Ok(left)
        };
        let left = off_thread(look)
            .await
            .map_err(failed("look for what is left"))?;
        let Some(first) = left.first() else {
            return Ok(said(found));
        };
        if Instant::now() > deadline {
            return Err(Error::Alive(format!(
                "process {} and {} more do not die",
                first.pid(),
                left.len() - 1
            )));
        }
        wait(&mut pause).await;
    }
}

fn known(found: &Found) -> Vec<Process> {
    let state = found.state.as_ref().filter(|state| is_of_this_boot(state));
    state
        .map(|state| {
            [Some(state.supervisor), state.init]
                .into_iter()
                .flatten()
                .collect()
        })
        .unwrap_or_default()
}

fn said(found: &Found) -> String {
    let mut seen = vec!["supervisor gone"];
    if found
        .state
        .as_ref()
        .is_some_and(|state| state.init.is_some() && state.sandbox == "bubblewrap")
    {
        seen.push("its process namespace gone");
    }
    if found.cgroup.is_some() {
        seen.push("its control group empty");
    }
    seen.push("no process bears its id");
    if found.owner.is_some() {
        seen.push("none runs as its user");
    }
    seen.join(", ")
}

/// Removes a group. The last process of it may take a moment to leave.
pub(super) async fn remove_group(cgroup: &Cgroup) -> Result<(), Error> {
    let (deadline, mut pause) = (Instant::now() + PROOF, LOOK.0);
    loop {
        match cgroup.remove() {
            Ok(()) => return Ok(()),
            Err(error) if Instant::now() > deadline => {
                return Err(failed("remove the control group")(error));
            }
            Err(_) => wait(&mut pause).await,
        }
    }
}

/// Waits for a pause, and makes the next one longer.
async fn wait(pause: &mut Duration) {
    sleep(*pause).await;
    *pause = (*pause * 2).min(LOOK.1);
}
