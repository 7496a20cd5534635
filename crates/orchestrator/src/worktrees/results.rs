//! The bare repository that holds rescued work. It borrows from the cache; no sandbox mounts it,
//! and no agent can read or write it.
//!
//! Three refs tell everything about an agent: `bases/` where it started (written when its working
//! tree is whole), `agents/` what it left, `notes/` what was counted while that was gathered.

use super::{Error, git_failed, system_failed};
use git2::{ErrorCode, Oid, Repository, RepositoryInitOptions};
use mosaic_common::AgentId;
use mosaic_common::failpoint;
use mosaic_common::ids::hex;
use mosaic_common::keys::random_bytes;
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File},
    os::unix::fs::DirBuilderExt,
    path::Path,
};

/// The rescued work of one repository, open.
pub(super) struct Results(Repository);

/// What was counted during a rescue.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Notes {
    /// Files left out because the repository ignores them.
    pub(super) ignored_files: u64,
    /// Things left out because git cannot hold them.
    pub(super) skipped_files: u64,
    /// The commits that the spoke made.
    pub(super) made: Vec<String>,
}

/// Makes empty results at `path` that borrow from the cache.
fn make(path: &Path, cache_objects: &Path) -> Result<(), Error> {
    let borrowed =
        std::path::absolute(cache_objects).map_err(system_failed("find the cache's objects"))?;
    let mut private = fs::DirBuilder::new();
    let made = private.recursive(true).mode(0o700).create(path);
    made.map_err(system_failed("make the results' folder"))?;
    let mut options = RepositoryInitOptions::new();
    options.bare(true).mkpath(true).external_template(false);
    let made = Repository::init_opts(path, &options);
    let mut config = made
        .and_then(|made| made.config())
        .map_err(git_failed("make the results"))?;
    let set = config.set_str("gc.auto", "0");
    set.map_err(git_failed("set up the results"))?;
    let info = path.join("objects/info");
    // one step: all of it is in a draft, which is moved in whole
    fs::create_dir_all(&info).map_err(system_failed("make the results' folder"))?;
    let line = format!("{}\n", borrowed.display());
    // one step: so is this
    fs::write(info.join("alternates"), line).map_err(system_failed("let the results borrow"))
}

impl Results {
    /// Opens the results at `path`, made if need be, borrowing from `cache_objects`.
    ///
    /// # Errors
    /// The step that failed.
    pub(super) fn ensure(path: &Path, cache_objects: &Path) -> Result<Self, Error> {
        if !path.join("objects/info/alternates").exists() {
            // Made aside and moved in whole: two agents may be the first of a repository at once.
            let draft = path.with_extension(format!("new-{}", hex(&random_bytes::<8>())));
            make(&draft, cache_objects)?;
            failpoint!("results.drafted");
            let moved = fs::rename(&draft, path);
            if moved.is_err() {
                // one step: nothing was moved
                drop(fs::remove_dir_all(&draft)); // ours alone, and no agent has seen it
            }
            if !path.exists() {
                moved.map_err(system_failed("move the results into place"))?;
            }
        }
        Self::open(path)
    }

    /// Opens the results at `path`.
    ///
    /// # Errors
    /// If there are none, too.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let opened = Repository::open_bare(path).map_err(git_failed("open the results"))?;
        Ok(Self(opened))
    }

    /// The repository.
    pub(super) fn git(&self) -> &Repository {
        &self.0
    }

    /// Where the agent started; `None`: its working tree was never whole.
    pub(super) fn base(&self, agent: &AgentId) -> Result<Option<Oid>, Error> {
        self.target(&format!("refs/mosaic/bases/{agent}"))
    }

    /// Records that the agent's working tree is whole. Survives a loss of power: without it,
    /// what the agent left would be taken for rubble.
    pub(super) fn set_base(&self, agent: &AgentId, base: Oid) -> Result<(), Error> {
        self.point(&format!("refs/mosaic/bases/{agent}"), base)?;
        failpoint!("worktree.base_recorded");
        let folder = self.0.path().join("refs/mosaic/bases");
        for path in [folder.join(agent.as_str()), folder] {
            File::open(path)
                .and_then(|file| file.sync_all())
                .map_err(system_failed("put the base's record on the disk"))?;
        }
        Ok(())
    }

    /// Forgets where the agent started: its folder is about to be made anew.
    pub(super) fn forget_base(&self, agent: &AgentId) -> Result<(), Error> {
        match self.0.find_reference(&format!("refs/mosaic/bases/{agent}")) {
            Ok(mut found) => found.delete().map_err(git_failed("forget the base")),
            Err(error) if error.code() == ErrorCode::NotFound => Ok(()),
            Err(error) => Err(git_failed("look for the base")(error)),
        }
    }

    /// What the agent left.
    pub(super) fn rescued(&self, agent: &AgentId) -> Result<Option<Oid>, Error> {
        self.target(&format!("refs/mosaic/agents/{agent}"))
    }

    /// Records what the agent left, and puts everything on the disk before it returns.
    pub(super) fn set_rescued(
        &self,
        agent: &AgentId,
        rescue: Oid,
        notes: &Notes,
    ) -> Result<(), Error> {
        let text = serde_json::to_vec(notes).map_err(system_failed("write the rescue's notes"))?;
        let blob = self.0.blob(&text);
        let blob = blob.map_err(git_failed("write the rescue's notes"))?;
        failpoint!("rescue.counted");
        self.point(&format!("refs/mosaic/notes/{agent}"), blob)?;
        failpoint!("rescue.noted");
        self.point(&format!("refs/mosaic/agents/{agent}"), rescue)?;
        failpoint!("rescue.pointed");
        self.sync() // the ref is no use without any of the objects
    }

    /// What was counted during the rescue; nothing, if nothing was noted.
    pub(super) fn notes(&self, agent: &AgentId) -> Result<Notes, Error> {
        let Some(id) = self.target(&format!("refs/mosaic/notes/{agent}"))? else {
            return Ok(Notes::default());
        };
        let blob = self.0.find_blob(id);
        let blob = blob.map_err(git_failed("read the rescue's notes"))?;
        serde_json::from_slice(blob.content()).map_err(system_failed("read the rescue's notes"))
    }

    /// Every commit and note that a ref names, one a line.
    pub(super) fn tips(&self) -> Result<String, Error> {
        let failed = || git_failed("list the refs of the results");
        let mut tips = String::new();
        for found in self.0.references().map_err(failed())? {
            if let Some(id) = found.map_err(failed())?.target() {
                tips.push_str(&format!("{id}\n"));
            }
        }
        Ok(tips)
    }

    /// Puts everything that was written on the disk before it returns: one call, however many
    /// objects there are.
    pub(super) fn sync(&self) -> Result<(), Error> {
        File::open(self.0.path())
            .and_then(|folder| Ok(rustix::fs::syncfs(folder)?))
            .map_err(system_failed("put the rescued work on the disk"))
    }

    fn target(&self, name: &str) -> Result<Option<Oid>, Error> {
        match self.0.refname_to_id(name) {
            Ok(id) => Ok(Some(id)),
            Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
            Err(error) => Err(git_failed("read a ref of the results")(error)),
        }
    }

    fn point(&self, name: &str, to: Oid) -> Result<(), Error> {
        let written = self.0.reference(name, to, true, "");
        written
            .map(drop)
            .map_err(git_failed("write a ref of the results"))
    }
}
