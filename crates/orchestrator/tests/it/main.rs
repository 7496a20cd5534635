//! The spoke's parts against the real machine: git, processes, files.

mod worktrees_add;
mod worktrees_hostile;
mod worktrees_rescue;
mod worktrees_result;
mod worktrees_site;
