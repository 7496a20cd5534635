//! Removes what a crash left in the spoke's own repositories: locks of refs, half-written objects,
//! half-made repositories. Runs before anything else works on them.
//!
//! Only libgit2 in this process writes refs of Mosaic's own and results, and this process has just
//! begun. In the caches a `git fetch` of an earlier life may still be at work: what could be its
//! own stays until it is old.

use super::{Error, system_failed};
use std::ffi::OsStr;
use std::fs::{self, DirEntry};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// No fetch takes so long: it is cut off well before.
const OLD: Duration = Duration::from_secs(24 * 3600);

/// How git and libgit2 begin the names of objects and packs that they have not finished.
const UNFINISHED: [&str; 4] = ["tmp_", ".tmp-", "pack_git2_", "tmp_object_git2_"];

/// Removes what a crash left in results below `root`.
///
/// # Errors
/// The step that failed.
pub(super) fn of_results(root: &Path) -> Result<(), Error> {
    for repository in folders_in(root)? {
        if is_draft(&repository) {
            fs::remove_dir_all(&repository).map_err(failed("remove half-made results"))?;
            continue;
        }
        locks(&repository, "refs")?;
        unfinished(&repository, Duration::ZERO)?;
    }
    Ok(())
}

/// Removes what a crash left in caches below `root`.
///
/// # Errors
/// The step that failed.
pub(super) fn of_caches(root: &Path) -> Result<(), Error> {
    for repository in folders_in(root)? {
        locks(&repository, "refs/mosaic")?;
        unfinished(&repository, OLD)?;
    }
    Ok(())
}

/// Whether it was to be moved into place once it was whole.
fn is_draft(path: &Path) -> bool {
    let extension = path.extension().and_then(OsStr::to_str);
    extension.is_some_and(|extension| extension.starts_with("new-"))
}

/// Removes the locks of refs below a folder of a repository, and of the files beside it.
fn locks(repository: &Path, below: &str) -> Result<(), Error> {
    let mut folders = vec![repository.join(below)];
    let beside = ["HEAD.lock", "config.lock"].map(|name| repository.join(name));
    let mut found: Vec<PathBuf> = beside.into();
    while let Some(folder) = folders.pop() {
        for entry in entries(&folder)? {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                Ok(_) if entry.path().extension() == Some(OsStr::new("lock")) => {
                    found.push(entry.path());
                }
                Ok(_) | Err(_) => {}
            }
        }
    }
    found.iter().try_for_each(|lock| remove(lock))
}

/// Removes objects and packs that were never finished, and have not been touched for so long.
fn unfinished(repository: &Path, age: Duration) -> Result<(), Error> {
    let objects = repository.join("objects");
    for folder in [objects.clone(), objects.join("pack")] {
        for entry in entries(&folder)? {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let is_unfinished = UNFINISHED.iter().any(|start| name.starts_with(start));
            if is_unfinished && is_older(&entry, age) {
                remove(&entry.path())?;
            }
        }
    }
    Ok(())
}

fn is_older(entry: &DirEntry, age: Duration) -> bool {
    let touched = entry.metadata().and_then(|found| found.modified());
    touched.is_ok_and(|touched| touched.elapsed().unwrap_or_default() >= age)
}

fn remove(file: &Path) -> Result<(), Error> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(failed("remove what a crash left")(error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn folders_in(root: &Path) -> Result<Vec<PathBuf>, Error> {
    let folders = entries(root)?.into_iter().map(|entry| entry.path());
    Ok(folders.filter(|path| path.is_dir()).collect())
}

/// What is in a folder; nothing, if there is none.
fn entries(folder: &Path) -> Result<Vec<DirEntry>, Error> {
    match fs::read_dir(folder) {
        Ok(entries) => entries
            .collect::<io::Result<_>>()
            .map_err(failed("look for what a crash left")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(failed("look for what a crash left")(error)),
    }
}

fn failed(step: &'static str) -> impl FnOnce(io::Error) -> Error {
    system_failed(step)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "x").unwrap();
    }

    #[test]
    fn what_a_crash_left_in_results_goes_and_the_rest_stays() {
        let root = tempfile::tempdir().unwrap();
        let web = root.path().join("web.git");
        let left = [
            "refs/mosaic/agents/a.lock",
            "config.lock",
            "objects/tmp_object_git2_x",
            "objects/pack/pack_git2_y",
        ];
        let kept = ["refs/mosaic/agents/a", "config", "objects/pack/pack-1.pack"];
        left.iter()
            .chain(&kept)
            .for_each(|path| write(&web.join(path)));
        let draft = root.path().join("web.new-0123");
        fs::create_dir(&draft).unwrap();
        of_results(root.path()).unwrap();
        assert!(left.iter().all(|path| !web.join(path).exists()));
        assert!(kept.iter().all(|path| web.join(path).exists()));
        assert!(!draft.exists());
    }

    #[test]
    fn what_a_fetch_may_still_be_writing_stays_in_a_cache() {
        let root = tempfile::tempdir().unwrap();
        let web = root.path().join("web.git");
        let pin = web.join("refs/mosaic/bases/a.lock");
        let fetch = ["refs/heads/main.lock", "objects/pack/tmp_pack_z"].map(|path| web.join(path));
        fetch.iter().chain([&pin]).for_each(|path| write(path));
        of_caches(root.path()).unwrap();
        assert!(!pin.exists() && fetch.iter().all(|path| path.exists()));
    }
}
