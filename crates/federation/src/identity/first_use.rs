//! Whether an identity has ever been used: a store that is missing under one that has was lost.

use crate::ledger::Memory;
use std::fs;
use std::io;
use std::path::Path;

/// Stands beside the keys until they are first used.
const UNUSED: &str = "unused";

/// Marks an identity as never used.
pub(super) fn mark(folder: &Path) -> io::Result<()> {
    fs::write(
        folder.join(UNUSED),
        "removed when this identity is first used\n",
    )
}

/// What is known of the past of a store that belongs to the identity in `folder`.
#[must_use]
pub fn memory(folder: &Path) -> Memory {
    if folder.join(UNUSED).exists() {
        Memory::New
    } else {
        Memory::Kept
    }
}

/// Remembers that the identity has been used. To be called once its store holds a fence.
///
/// # Errors
/// If the mark cannot be removed.
pub fn mark_used(folder: &Path) -> io::Result<()> {
    match fs::remove_file(folder.join(UNUSED)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
