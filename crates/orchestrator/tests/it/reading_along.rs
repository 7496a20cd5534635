//! A spoke's inside reads along with a real program that speaks as Claude Code does: what it said
//! counts, from its first line to its last.

use crate::sandbox::bench::{Bench, in_time};
use mosaic_common::agent::wire::parse_spec;
use mosaic_common::agent::{AgentRecord, AgentState, Cause, EventType, Fault, Limits};
use mosaic_common::proto::agent::v1 as pb;
use mosaic_common::{CommandId, SystemClock};
use mosaic_store::{MemoryStore, StateStore};
use orchestrator::journal::Journal;
use orchestrator::lifecycle::{Agents, Deps, Gate};
use orchestrator::profile::Profile;
use orchestrator::sandboxes::Sandboxes;
use orchestrator::spawner::Spawner;
use orchestrator::worktrees::{GitWorktrees, Worktrees};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A spoke's inside on a real sandbox, whose program is a script.
struct Inside {
    agents: Agents,
    store: Arc<MemoryStore>,
    bench: Bench,
}

impl Inside {
    /// `profile`: further lines of its table.
    async fn with(script: &str, profile: &str) -> Option<Self> {
        let bench = Bench::process().await?;
        let program = bench.folders.data().join("bin/claude");
        fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
        let text = format!("kind = 'claude-code'\nargv = [{program:?}]\n{profile}");
        let profile: Profile = toml::from_str(&text).unwrap();
        let clock = Arc::new(SystemClock);
        let git = GitWorktrees::new(bench.folders.clone(), clock.clone(), BTreeMap::new());
        let worktrees: Arc<dyn Worktrees> = Arc::new(git.unwrap());
        let sandboxes = Sandboxes::default().with(bench.sandbox.clone());
        let spawner = Spawner {
            worktrees: worktrees.clone(),
            sandboxes: sandboxes.clone(),
            repositories: BTreeSet::new(),
            profiles: [("claude".parse().unwrap(), profile)].into(),
            default_profile: Some("claude".parse().unwrap()),
            limits: Limits::default(),
            max_limits: Limits::default(),
            output: bench.folders.output_root(),
            output_max: 1 << 20,
        };
        let store = Arc::new(MemoryStore::default());
        let deps = Deps {
            spawner,
            sandboxes,
            worktrees,
            journal: Journal::new(store.clone(), clock, "here".parse().unwrap()),
            stop_grace: Duration::from_secs(1),
            quarantine: jiff::SignedDuration::from_hours(24),
        };
        let agents = Agents::new(deps, Gate::new(4, BTreeSet::new()), 2);
        Some(Self {
            agents,
            store,
            bench,
        })
    }

    /// Runs one agent to the end of its cleanup.
    async fn run(&self) -> AgentRecord {
        let spec = pb::AgentSpec {
            task: "do it".into(),
            ..Default::default()
        };
        let command = CommandId::random();
        let spec = parse_spec(&spec, command).unwrap();
        let deps = self.agents.deps();
        let record = AgentRecord {
            spec: deps.spawner.resolve(spec, Limits::default()).unwrap(),
            site: "here".parse().unwrap(),
            state: AgentState::Queued,
            cause: None,
            connection: None,
            command_id: command,
            created: deps.journal.now(),
            started: None,
            ended: None,
            cleanup: None,
            usage: None,
        };
        let pass = self.agents.gate().enter(None).unwrap();
        let agent = self.agents.accept(record, pass).await.unwrap().id().clone();
        in_time(async {
            loop {
                let record = self.agents.get(&agent).await.unwrap().unwrap();
                if record.cleanup.is_some() {
                    return record;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await
    }

    async fn types(&self) -> Vec<EventType> {
        let events = self.store.events(0, 1_000).await.unwrap().events;
        let events = events.iter().map(|(_, event)| event.as_slice());
        let events = events.map(|event| serde_json::from_slice(event).unwrap());
        events
            .map(|event: mosaic_common::agent::Event| event.r#type)
            .collect()
    }
}

/// A run of the real program, told again.
fn recorded(name: &str, exit: i32) -> String {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/claude");
    let lines = fs::read_to_string(folder.join(name).with_extension("jsonl")).unwrap();
    format!("cat > task.jsonl; cat <<'LINES'\n{lines}LINES\nsleep 1.2; exit {exit}")
}

#[tokio::test]
async fn what_it_used_is_told_while_it_runs_and_its_success_at_its_end() {
    let Some(inside) = Inside::with(&recorded("done", 0), "").await else {
        return;
    };
    let record = inside.run().await;
    assert_eq!(record.cause, Some(Cause::Exit { code: 0 }));
    assert_eq!(record.state, AgentState::Completed);
    assert!(record.usage.unwrap().output_tokens > 0);
    let types = inside.types().await;
    let at = |wanted| types.iter().position(|seen| *seen == wanted).unwrap();
    assert!(at(EventType::Running) < at(EventType::Usage), "{types:?}");
    assert!(at(EventType::Usage) < at(EventType::Completed), "{types:?}");
    let left = inside.bench.sandbox.list().await.unwrap();
    assert!(!left.contains(record.id()), "its sandbox is left");
}

#[tokio::test]
async fn exit_code_0_after_a_bad_result_or_none_is_a_failure() {
    for (run, expected) in [("http-401", Fault::Auth), ("sigkill", Fault::Protocol)] {
        let Some(inside) = Inside::with(&recorded(run, 0), "").await else {
            return;
        };
        let record = inside.run().await;
        assert_eq!(record.state, AgentState::Failed, "{run}");
        let cause = record.cause.unwrap();
        assert!(
            matches!(&cause, Cause::AgentFailed { reason, .. } if *reason == expected),
            "{run}: {cause:?}"
        );
    }
}

#[tokio::test]
async fn a_program_that_never_begins_is_ended_and_told() {
    let Some(inside) = Inside::with("exec sleep 1000", "start_seconds = 1\n").await else {
        return;
    };
    let record = inside.run().await;
    let cause = record.cause.unwrap();
    assert!(
        matches!(
            &cause,
            Cause::AgentFailed {
                reason: Fault::StartFailed,
                ..
            }
        ),
        "{cause:?}"
    );
}
