//! What an agent left.

use super::bytes::BytesView;
use mosaic_common::proto::agent::v1 as pb;
use serde::Serialize;

/// What an agent left, in numbers and commits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ResultView {
    /// The commit the agent started from.
    pub base_commit: String,
    /// The commit that holds all its work.
    pub rescue_commit: String,
    /// Where that commit stands.
    pub rescue_ref: String,
    /// Files changed between the two.
    pub files_changed: u64,
    /// Lines added.
    pub insertions: u64,
    /// Lines removed.
    pub deletions: u64,
    /// Commits between the two.
    pub commit_count: u64,
    /// The commits, newest first; left out with `--stat`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commits: Option<Vec<CommitView>>,
}

/// One commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CommitView {
    /// Its id.
    pub id: String,
    /// First line of its message.
    pub subject: String,
    /// Its author's name.
    pub author: String,
    /// Whether the spoke made it of what was left uncommitted.
    pub rescue: bool,
}

/// A bundle that was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BundleView {
    /// The file.
    pub bundle: String,
    /// Its size.
    pub bytes: u64,
    /// The commit that a clone must have to fetch from it.
    pub base_commit: String,
    /// The commit that holds all the agent's work.
    pub rescue_commit: String,
    /// The ref to fetch.
    pub rescue_ref: String,
}

/// One line of `--patch --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "type")]
pub(crate) enum PatchLine {
    /// The first line.
    Summary(ResultView),
    /// A commit.
    Commit(CommitView),
    /// A piece of the patch: the pieces joined are the patch.
    Patch(BytesView),
}

impl From<pb::ResultSummary> for ResultView {
    fn from(wire: pb::ResultSummary) -> Self {
        Self {
            base_commit: wire.base_commit,
            rescue_commit: wire.rescue_commit,
            rescue_ref: wire.rescue_ref,
            files_changed: wire.files_changed,
            insertions: wire.insertions,
            deletions: wire.deletions,
            commit_count: wire.commits,
            commits: None,
        }
    }
}

impl From<pb::Commit> for CommitView {
    fn from(wire: pb::Commit) -> Self {
        Self {
            id: wire.id,
            subject: wire.subject,
            author: wire.author,
            rescue: wire.rescue,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_result_has_the_documented_fields_and_no_others() {
        let mut view = ResultView::from(pb::ResultSummary {
            base_commit: "a".into(),
            rescue_commit: "b".into(),
            rescue_ref: "refs/mosaic/agents/ag_x".into(),
            files_changed: 1,
            insertions: 2,
            deletions: 3,
            commits: 1,
        });
        view.commits = Some(vec![CommitView::from(pb::Commit {
            id: "b".into(),
            subject: "s".into(),
            author: "x".into(),
            rescue: true,
        })]);
        let expected = json!({
            "baseCommit": "a", "rescueCommit": "b", "rescueRef": "refs/mosaic/agents/ag_x",
            "filesChanged": 1, "insertions": 2, "deletions": 3, "commitCount": 1,
            "commits": [{"id": "b", "subject": "s", "author": "x", "rescue": true}],
        });
        assert_eq!(serde_json::to_value(view).unwrap(), expected);
    }

    #[test]
    fn lines_of_a_patch_are_told_apart_by_their_type() {
        let line = PatchLine::Patch(BytesView::from(b"diff".as_ref()));
        let expected = json!({"type": "patch", "text": "diff"});
        assert_eq!(serde_json::to_value(line).unwrap(), expected);
    }
}
