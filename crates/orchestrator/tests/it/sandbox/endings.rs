//! How a program ended is told, and told apart.

use super::bench::{Bench, NOBODY, bearing, in_time};
use mosaic_common::agent::Limits;
use mosaic_common::{AgentId, CommandId};
use orchestrator::sandbox::{Ending, Error, Removed, SandboxSpec};
use std::time::Duration;

contract! {
    exit_codes_are_told,
    a_segmentation_fault_is_told_from_exit_139,
    a_program_killed_by_a_signal_is_told,
    running_out_of_memory_is_told,
    a_child_out_of_memory_does_not_spoil_a_good_end,
    waiting_after_the_end_answers_again_and_again,
    an_unknown_agent_is_missing,
    a_program_that_does_not_exist_is_told_and_leaves_nothing,
    a_program_that_may_not_run_is_told_and_leaves_nothing,
}

async fn exit_codes_are_told(bench: &Bench) {
    for code in [0, 3, 255] {
        let (spec, ending) = bench.run(&format!("exit {code}")).await;
        assert_eq!(ending, Ending::Exit(code));
        bench.remove_for_good(&spec).await;
    }
}

async fn a_segmentation_fault_is_told_from_exit_139(bench: &Bench) {
    assert_eq!(bench.run("kill -SEGV $$").await.1, Ending::Signal(11));
    assert_eq!(bench.run("exit 139").await.1, Ending::Exit(139));
}

async fn a_program_killed_by_a_signal_is_told(bench: &Bench) {
    assert_eq!(bench.run("kill -KILL $$").await.1, Ending::Signal(9));
    assert_eq!(bench.run("kill -USR1 $$").await.1, Ending::Signal(10));
    assert_eq!(bench.run("exit 137").await.1, Ending::Exit(137));
}

fn small(bench: &Bench, script: &str) -> SandboxSpec {
    let limits = Limits {
        memory_bytes: Some(64 << 20),
        ..Limits::default()
    };
    SandboxSpec {
        limits,
        ..bench.spec(script)
    }
}

async fn running_out_of_memory_is_told(bench: &Bench) {
    for script in ["exec tail /dev/zero", "tail /dev/zero; exit 1"] {
        let (spec, ending) = bench.run_spec(small(bench, script)).await;
        assert_eq!(ending, Ending::OutOfMemory, "{script}");
        bench.remove_for_good(&spec).await;
    }
}

async fn a_child_out_of_memory_does_not_spoil_a_good_end(bench: &Bench) {
    let spec = small(bench, "tail /dev/zero; exit 0");
    assert_eq!(bench.run_spec(spec).await.1, Ending::Exit(0));
}

async fn waiting_after_the_end_answers_again_and_again(bench: &Bench) {
    let (spec, ending) = bench.run("exit 5").await;
    assert_eq!(bearing(&spec.agent), NOBODY, "nothing runs after the end");
    for _ in 0..3 {
        assert_eq!(bench.ending(&spec).await, ending);
    }
    bench.remove_for_good(&spec).await;
    let missing = in_time(bench.sandbox.wait(&spec.agent)).await;
    assert!(matches!(missing, Err(Error::Missing(agent)) if agent == spec.agent));
}

async fn an_unknown_agent_is_missing(bench: &Bench) {
    let agent = AgentId::of_command(CommandId::random());
    let waited = in_time(bench.sandbox.wait(&agent)).await;
    assert!(matches!(waited, Err(Error::Missing(missing)) if missing == agent));
    let removed = in_time(bench.sandbox.remove(&agent, Duration::ZERO)).await;
    assert_eq!(removed.unwrap(), Removed::Missing);
    assert!(!bench.sandbox.list().await.unwrap().contains(&agent));
}

async fn a_program_that_does_not_exist_is_told_and_leaves_nothing(bench: &Bench) {
    let mut spec = bench.spec("");
    spec.argv = vec!["no-such-program".to_owned()];
    assert_does_not_start(bench, &spec, "no-such-program").await;
}

async fn a_program_that_may_not_run_is_told_and_leaves_nothing(bench: &Bench) {
    let mut spec = bench.spec("");
    spec.argv = vec!["/etc/passwd".to_owned()];
    assert_does_not_start(bench, &spec, "/etc/passwd").await;
}

async fn assert_does_not_start(bench: &Bench, spec: &SandboxSpec, name: &str) {
    let failed = in_time(bench.sandbox.ensure(spec)).await;
    let Err(Error::Start(why)) = failed else {
        panic!("it started: {failed:?}");
    };
    assert!(why.contains(name), "{why}");
    let Ending::Unknown(told) = bench.ending(spec).await else {
        panic!("it never ran");
    };
    assert!(
        told.contains(name),
        "whoever asks later hears it too: {told}"
    );
    assert_eq!(bearing(&spec.agent), NOBODY);
    bench.remove_for_good(spec).await;
}
