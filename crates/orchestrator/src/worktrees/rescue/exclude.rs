//! Which files a repository ignores: the rules of each folder on the way down, the nearest first.
//!
//! Rules are read from handles and matched in memory; nothing outside the working tree counts.

use crate::worktrees::handle::Folder;
use ignore::{
    Match,
    gitignore::{Gitignore, GitignoreBuilder},
};
use std::{ffi::OsStr, os::unix::ffi::OsStrExt, path::Path};

/// Most of one file of rules that is read. A larger one is no list of rules that people wrote.
const RULES_MAX: u64 = 1 << 20;

/// The rules that hold where the walk is.
#[derive(Debug, Default)]
pub(super) struct Rules(Vec<Level>);

#[derive(Debug)]
struct Level {
    /// How deep in the tree the folder of these rules is.
    depth: usize,
    /// How many bytes of a path lead to it.
    prefix: usize,
    rules: Gitignore,
}

impl Rules {
    /// Rules for the whole tree.
    pub(super) fn new(whole: Option<Gitignore>) -> Self {
        let level = |rules| Level {
            depth: 0,
            prefix: 0,
            rules,
        };
        Self(whole.map(level).into_iter().collect())
    }

    /// Enters a folder and reads its rules. `prefix`: how many bytes of a path lead to it.
    pub(super) fn enter(&mut self, folder: &Folder, depth: usize, prefix: usize) {
        if let Some(rules) = folder
            .read(b".gitignore", RULES_MAX)
            .ok()
            .and_then(|text| parse(&text))
        {
            self.0.push(Level {
                depth,
                prefix,
                rules,
            });
        }
    }

    /// Leaves the folders at `depth` and below it.
    pub(super) fn leave(&mut self, depth: usize) {
        // Those of the whole tree are at depth 0, and the walk's own folders begin at 1.
        while self.0.last().is_some_and(|level| level.depth >= depth) {
            self.0.pop();
        }
    }

    /// Whether the rules say to ignore a path of a folder.
    pub(super) fn ignore_folder(&self, path: &[u8]) -> bool {
        self.ignored(path, |rules, path| rules.matched(path, true))
    }

    /// Whether the rules say to ignore a path of anything else.
    pub(super) fn ignore_file(&self, path: &[u8]) -> bool {
        self.ignored(path, |rules, path| rules.matched(path, false))
    }

    fn ignored(
        &self,
        path: &[u8],
        ask: impl for<'a> Fn(&'a Gitignore, &'a Path) -> Match<&'a ignore::gitignore::Glob>,
    ) -> bool {
        for level in self.0.iter().rev() {
            let below = path.get(level.prefix..).unwrap_or_default();
            match ask(&level.rules, Path::new(OsStr::from_bytes(below))) {
                Match::None => {}
                Match::Ignore(_) => return true,
                Match::Whitelist(_) => return false,
            }
        }
        false
    }
}

/// The rules that the agent's repository has for itself.
pub(super) fn of_repository(repository: &Folder) -> Option<Gitignore> {
    let text = repository.folder(b"info").ok()?.read(b"exclude", RULES_MAX);
    parse(&text.ok()?)
}

/// Reads rules; a line that is none is no rule.
fn parse(text: &[u8]) -> Option<Gitignore> {
    let text = String::from_utf8_lossy(text);
    let mut rules = GitignoreBuilder::new("");
    for line in text.trim_start_matches('\u{feff}').lines() {
        let _no_rule = rules.add_line(None, line);
    }
    rules.build().ok().filter(|rules| !rules.is_empty())
}
