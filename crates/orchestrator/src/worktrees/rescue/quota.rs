//! How much of what an agent left is kept.

use crate::worktrees::Error;

/// Most that is rescued of one agent. Beyond it nothing is, and nothing is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Most {
    /// Bytes of new content: what the repository already has does not count.
    pub bytes: u64,
    /// Files, folders and objects that are looked at.
    pub files: u64,
}

impl Default for Most {
    /// 4 GiB, far above any source change and below what fills a disk; 2,000,000 files, twice the
    /// largest public repositories with as much again built beside it.
    fn default() -> Self {
        Self {
            bytes: 4 << 30,
            files: 2_000_000,
        }
    }
}

/// What is left of it.
#[derive(Debug, Clone)]
pub(super) struct Quota {
    most: Most,
    left: Most,
}

impl Quota {
    pub(super) fn new(most: Most) -> Self {
        Self { most, left: most }
    }

    /// How many files may still come.
    pub(super) fn files_left(&self) -> u64 {
        self.left.files
    }

    /// Takes bytes off it.
    ///
    /// # Errors
    /// [`Error::TooLarge`].
    pub(super) fn bytes(&mut self, count: u64) -> Result<(), Error> {
        self.left.bytes = self.left.bytes.checked_sub(count).ok_or(Error::TooLarge {
            limit: self.most.bytes,
            unit: "bytes",
        })?;
        Ok(())
    }

    /// Takes files off it.
    ///
    /// # Errors
    /// [`Error::TooLarge`].
    pub(super) fn files(&mut self, count: u64) -> Result<(), Error> {
        let left = self.left.files.checked_sub(count);
        self.left.files = left.ok_or_else(|| self.too_many())?;
        Ok(())
    }

    /// The error for more files than are kept.
    pub(super) fn too_many(&self) -> Error {
        Error::TooLarge {
            limit: self.most.files,
            unit: "files",
        }
    }

    /// Whether so many bytes would still fit.
    pub(super) fn fits(&self, count: u64) -> bool {
        count <= self.left.bytes
    }
}
