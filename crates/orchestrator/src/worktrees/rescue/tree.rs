//! A tree object, written from entries that were found on disk.

use git2::{ObjectType, Odb, Oid};
use std::cmp::Ordering;

/// What an entry is. The numbers are git's modes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A plain file.
    File,
    /// A file that may be executed.
    Program,
    /// A symbolic link; its blob is its text.
    Link,
    /// A folder.
    Folder,
    /// A submodule: the commit of another repository.
    Submodule,
}

impl Kind {
    fn mode(self) -> &'static str {
        match self {
            Self::File => "100644",
            Self::Program => "100755",
            Self::Link => "120000",
            Self::Folder => "40000",
            Self::Submodule => "160000",
        }
    }
}

/// One entry.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) kind: Kind,
    pub(super) name: Vec<u8>,
    pub(super) id: Oid,
}

/// Writes a tree of these entries.
pub(super) fn write(odb: &Odb<'_>, mut entries: Vec<Entry>) -> Result<Oid, git2::Error> {
    entries.sort_by(order);
    let mut content = Vec::new();
    for entry in &entries {
        content.extend_from_slice(entry.kind.mode().as_bytes());
        content.push(b' ');
        content.extend_from_slice(&entry.name);
        content.push(0);
        content.extend_from_slice(entry.id.as_bytes());
    }
    odb.write(ObjectType::Tree, &content)
}

/// Git's order: by name, a folder's as if it ended in `/`.
fn order(one: &Entry, other: &Entry) -> Ordering {
    fn key(entry: &Entry) -> impl Iterator<Item = u8> {
        let end = (entry.kind == Kind::Folder).then_some(b'/');
        entry.name.iter().copied().chain(end)
    }
    key(one).cmp(key(other))
}

/// Whether git would take the name for a repository's own folder on some system: it refuses to
/// check such a tree out anywhere.
pub(super) fn is_git_folder(name: &[u8]) -> bool {
    let name = name.to_ascii_lowercase();
    let rest = name.strip_prefix(b".git").or(name.strip_prefix(b"git~1"));
    rest.is_some_and(|rest| {
        let tail = rest.iter().position(|b| !matches!(b, b' ' | b'.'));
        tail.is_none_or(|at| matches!(rest[at], b':' | b'\\'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_sort_as_git_sorts_them() {
        let entry = |kind, name: &str| Entry {
            kind,
            name: name.into(),
            id: Oid::ZERO_SHA1,
        };
        let mut entries = [
            entry(Kind::File, "a0"),
            entry(Kind::Folder, "a"),
            entry(Kind::File, "a.txt"),
        ];
        entries.sort_by(order);
        let names = entries.map(|entry| String::from_utf8(entry.name).unwrap());
        assert_eq!(names, ["a.txt", "a", "a0"]);
    }

    #[test]
    fn every_spelling_of_a_git_folder_is_known() {
        for name in [
            ".git",
            ".GIT",
            "git~1",
            ".git.",
            ".git ",
            ".git. .",
            ".git::$INDEX",
            ".git\\x",
        ] {
            assert!(is_git_folder(name.as_bytes()), "{name:?}");
        }
        for name in [".gitignore", ".github", "git", "x.git", "git~2", ".gi"] {
            assert!(!is_git_folder(name.as_bytes()), "{name:?}");
        }
    }
}
