//! One checkout: a working tree made whole, or found whole.

use super::git::folder_failed;
use super::{Error, Worktree, cache::Cache, checkout, results::Results};
use crate::folders::{AgentFolder, Folders};
use crate::turns::Turn;
use mosaic_common::agent::BaseRef;
use mosaic_common::{AgentId, failpoint};
use std::{path::PathBuf, sync::Arc};

/// One checkout, with the agent's turn held until it is done.
pub(super) struct Job {
    pub(super) agent: AgentId,
    pub(super) base: Option<BaseRef>,
    pub(super) folders: Folders,
    pub(super) cache: Arc<Cache>,
    pub(super) results: PathBuf,
    pub(super) _turn: Turn,
}

impl Job {
    /// What is there, if it is whole. Rubble of an attempt that was cut short is cleared: no agent
    /// ran in it.
    pub(super) fn existing(&self) -> Result<Option<Worktree>, Error> {
        if !self.folders.agent(&self.agent).exists() {
            return Ok(None);
        }
        let results = Results::ensure(&self.results, &self.cache.objects())?;
        let Some(base) = results.base(&self.agent)? else {
            self.folders.discard(&self.agent).map_err(folder_failed)?;
            return Ok(None);
        };
        // one step: the folder is there, and this only looks
        let folder = self.folders.claim(&self.agent).map_err(folder_failed)?;
        Ok(Some(self.describe(folder, base)))
    }

    pub(super) fn build(self) -> Result<Worktree, Error> {
        let results = Results::ensure(&self.results, &self.cache.objects())?;
        results.forget_base(&self.agent)?;
        failpoint!("worktree.base_forgotten");
        let base = self.cache.pin(&self.agent, self.base.as_ref())?;
        failpoint!("worktree.base_pinned");
        let folder = self.folders.claim(&self.agent).map_err(folder_failed)?;
        failpoint!("worktree.folder_claimed");
        checkout::build(&self.agent, &folder, base, &self.cache.objects())?;
        failpoint!("worktree.built");
        results.set_base(&self.agent, base)?;
        Ok(self.describe(folder, base))
    }

    fn describe(&self, folder: AgentFolder, base: git2::Oid) -> Worktree {
        Worktree {
            read_only: vec![self.cache.objects()],
            base_commit: Some(base.to_string()),
            ..worktree(folder)
        }
    }
}

/// What an agent's folder offers before there is a repository in it.
pub(super) fn worktree(folder: AgentFolder) -> Worktree {
    Worktree {
        path: folder.worktree,
        home: folder.home,
        owner: folder.owner,
        folder: folder.path,
        read_only: Vec::new(),
        base_commit: None,
    }
}
