//! The exact JSON that other programs read; `docs/valkey.md` shows the same lines.

use super::AgentView;
use mosaic_common::agent::{AgentRecord, AgentState, Cause, CleanupReport, Event, Step, TimeLimit};
use mosaic_store::valkey::View;
use serde_json::{Value, json};

const PAGE: &str = include_str!("../../../../docs/valkey.md");

fn view() -> AgentView {
    AgentView {
        site: "berlin".parse().unwrap(),
    }
}

fn record(state: AgentState) -> AgentRecord {
    let record = json!({
        "spec": {
            "agentId": "ag_k3v6m2qwz7xn4t5bhyaojr2ecd",
            "taskId": "nightly-42",
            "repository": "web",
            "baseRef": null,
            "profile": "shell",
            "sandbox": "bubblewrap",
            "task": "what nobody else is told",
            "limits": {},
            "labels": {"team": "search"},
        },
        "site": "berlin",
        "state": state.as_str(),
        "commandId": "00112233445566778899aabbccddeeff",
        "connection": "main",
        "created": "2026-11-23T12:00:00Z",
        "started": "2026-11-23T12:00:01.25Z",
    });
    serde_json::from_value(record).unwrap()
}

fn told(sequence: u64, event: &Event) -> (String, bool) {
    let bytes = serde_json::to_vec(event).unwrap();
    let told = view().event(sequence, &bytes).unwrap();
    assert_eq!(told.row, "ag_k3v6m2qwz7xn4t5bhyaojr2ecd");
    (told.json, told.is_end)
}

/// The page shows this line, so whoever changes one changes the other.
fn assert_documented(line: &str) {
    assert!(PAGE.contains(line), "docs/valkey.md does not show:\n{line}");
}

fn report(sandbox: Step, worktree: Step) -> CleanupReport {
    CleanupReport {
        sandbox,
        rescue: Step::done("commit 8f14e45fceea"),
        worktree,
        state: Step::done("archived"),
        rescue_commit: Some("8f14e45fceea167a5a36dedd4bea2543c0ffee00".into()),
        base_commit: None,
        ignored_files: 0,
        attempts: 1,
        next_attempt: None,
        quarantine: None,
    }
}

fn cleaned(state: AgentState, sandbox: Step, worktree: Step) -> (String, Value) {
    let mut record = record(state);
    record.cleanup = Some(report(sandbox, worktree));
    let (json, is_end) = told(
        19,
        &record.cleanup_event("2026-11-23T12:07:31Z".parse().unwrap()),
    );
    assert!(is_end);
    let value = serde_json::from_str(&json).unwrap();
    (json, value)
}

#[test]
fn a_clean_ending_looks_as_documented() {
    let (json, value) = cleaned(
        AgentState::Completed,
        Step::done("already gone"),
        Step::done("removed"),
    );
    assert_documented(&json);
    assert_eq!(
        json,
        concat!(
            r#"{"type":"agent.cleanup","agentId":"ag_k3v6m2qwz7xn4t5bhyaojr2ecd","taskId":"nightly-42","#,
            r#""timestamp":"2026-11-23T12:07:31Z","sequence":19,"site":"berlin","state":"completed","#,
            r#""cleanup":{"docker":true,"worktree":true,"state":true},"detail":{},"#,
            r#""rescueCommit":"8f14e45fceea167a5a36dedd4bea2543c0ffee00"}"#
        )
    );
    assert_eq!(value["detail"], json!({}));
}

#[test]
fn what_was_skipped_or_failed_is_false_and_its_detail_says_which_and_why() {
    let (json, value) = cleaned(
        AgentState::Failed,
        Step::skipped("it never started"),
        Step::failed("kept: its work is not rescued"),
    );
    assert_documented(&json);
    assert_eq!(
        value["cleanup"],
        json!({"docker": false, "worktree": false, "state": true})
    );
    assert_eq!(
        value["detail"],
        json!({"docker": "skipped: it never started", "worktree": "failed: kept: its work is not rescued"})
    );
}

#[test]
fn what_may_be_alive_keeps_its_key_and_is_not_called_cleared() {
    let (_, value) = cleaned(
        AgentState::Stopping,
        Step::failed("process 17 does not die"),
        Step::failed("kept: something that writes to it may be alive"),
    );
    assert_eq!(
        value["cleanup"],
        json!({"docker": false, "worktree": false, "state": false})
    );
    assert_eq!(value["detail"]["state"], "skipped: it has not ended");
    let row = serde_json::to_vec(&record(AgentState::Stopping)).unwrap();
    assert!(view().live(&row).unwrap().is_some());
}

#[test]
fn every_state_has_its_event_and_only_ends_have_a_cause() {
    let now = "2026-11-23T12:00:01.25Z".parse().unwrap();
    let (running, is_end) = told(3, &record(AgentState::Running).state_event(now));
    assert_documented(&running);
    assert!(!is_end);
    for state in AgentState::ALL {
        let mut record = record(state);
        record.cause = Some(Cause::TimedOut {
            limit: TimeLimit::Idle,
        });
        let (json, _) = told(7, &record.state_event(now));
        let value: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["type"], format!("agent.{}", state.as_str()));
        assert_eq!(value["state"], state.as_str());
        assert_eq!(value["site"], "berlin");
        assert_eq!(value["sequence"], 7);
        assert_eq!(value.get("cause").is_some(), state.is_final(), "{json}");
        assert_eq!(value.get("cleanup"), None);
        if state == AgentState::Failed {
            assert_documented(&json);
        }
    }
}

#[test]
fn a_live_key_shows_the_agent_but_not_its_task_and_is_gone_at_its_end() {
    for state in AgentState::ALL {
        let row = serde_json::to_vec(&record(state)).unwrap();
        let live = view().live(&row).unwrap();
        assert_eq!(live.is_none(), state.is_final());
        let Some(json) = live else { continue };
        assert!(!json.contains("nobody else"));
        if state == AgentState::Running {
            assert_documented(&json);
        }
    }
}

#[test]
fn a_gap_says_from_where_to_where() {
    let gap = view().gap(120, 4075);
    assert_documented(&gap);
    let value: Value = serde_json::from_str(&gap).unwrap();
    assert_eq!((&value["from"], &value["to"]), (&json!(120), &json!(4075)));
}

#[test]
fn what_cannot_be_read_is_an_error_and_no_panic() {
    for bytes in [&b""[..], b"{}", b"\xff", br#"{"type":"agent.flying"}"#] {
        assert!(view().event(1, bytes).is_err());
        assert!(view().live(bytes).is_err());
    }
}
