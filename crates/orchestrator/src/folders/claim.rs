//! An agent's folder and its owner: a uid that no other agent has.

use super::{AgentFolder, Error, Folders, failed, trash};
use mosaic_common::{AgentId, failpoint};
use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, MetadataExt, lchown},
    sync::PoisonError,
};

impl Folders {
    /// Ensures the agent's folder, with `worktree` and `home`, owned by a uid no other agent has.
    ///
    /// # Errors
    /// The step that failed. Half a folder is never seen: it is built aside and moved in.
    pub fn claim(&self, agent: &AgentId) -> Result<AgentFolder, Error> {
        let _one_at_a_time = self.claiming.lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.agent(agent);
        match fs::symlink_metadata(&path) {
            Ok(found) => return Ok(self.folder(path, found.uid())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed("look at", &path)(error)),
        }
        let owner = self.free_owner(agent)?;
        let aside = self.trash().join(format!("{agent}.new"));
        trash::delete(&self.trash(), &format!("{agent}.new"))?;
        for part in [&aside, &aside.join("worktree"), &aside.join("home")] {
            let made = fs::DirBuilder::new().mode(0o700).create(part);
            made.map_err(failed("create", part))?;
            failpoint!("folder.drafted");
            if let Some(uid) = owner {
                lchown(part, Some(uid), Some(uid)).map_err(failed("change the owner of", part))?;
            }
        }
        failpoint!("folder.given");
        fs::rename(&aside, &path).map_err(failed("move", &aside))?;
        Ok(self.folder(path, owner.unwrap_or_default()))
    }

    /// The first uid from the id's hash on that owns no agent's folder.
    fn free_owner(&self, agent: &AgentId) -> Result<Option<u32>, Error> {
        let Some(range) = &self.owners else {
            return Ok(None);
        };
        let root = self.agents_root();
        let mut used = std::collections::HashSet::new();
        for entry in fs::read_dir(&root).map_err(failed("list", &root))? {
            let entry = entry.map_err(failed("list", &root))?;
            match fs::symlink_metadata(entry.path()) {
                Ok(found) => drop(used.insert(found.uid())),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(failed("look at", &entry.path())(error)),
            }
        }
        let first = hash(agent) % u32::try_from(range.len().max(1)).unwrap_or(u32::MAX);
        let probes = (range.start + first..range.end).chain(range.start..range.start + first);
        let free = probes.into_iter().find(|uid| !used.contains(uid));
        free.map(Some).ok_or(Error::NoOwner(range.len()))
    }
}

/// FNV-1a: it only spreads agents over the range, so that most are found at the first probe.
fn hash(agent: &AgentId) -> u32 {
    agent.as_str().bytes().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}
