//! How a sandbox ends: politely, by force, and always all of it.

use crate::sandbox_contract::on_each_sandbox;
use crate::sandbox_machine::{Kind, Machine, has_groups, processes, said, says, soon, until};
use mosaic_common::agent::Limits;
use orchestrator::sandbox::{Ending, Removed, SandboxSpec};
use rustix::process::{Pid, Signal, kill_process};
use std::time::Duration;

/// Children that a kill of the process or of its group does not reach: in sessions of their own,
/// without a parent, and deaf.
const CHILDREN: &str = "setsid sleep 1000 &
    (setsid sh -c 'trap \"\" TERM HUP INT; sleep 1000 & sleep 1000' &)
    setsid sh -c 'setsid sleep 1000 & exit' &
    until test $(cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' | grep -o 'sleep 1000 ' | wc -l) -ge 4; do :; done
    echo ready;";

/// A long time to be polite: a test that needs it has failed.
const LONG: Duration = Duration::from_secs(60);

fn kill_supervisor(machine: &Machine, spec: &SandboxSpec) {
    let pid = Pid::from_raw(machine.supervisor(&spec.agent)).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
}

on_each_sandbox! {
    async fn the_end_of_the_program_is_the_end_of_its_whole_tree(machine: Machine) {
        let spec = machine.agent(&format!("{CHILDREN} exit 3"));
        let (ending, said) = machine.run(&spec).await;
        assert_eq!(ending, Ending::Exit(3), "{said}");
        assert_eq!(processes(&spec), [""; 0]);
    }

    async fn a_kill_takes_setsid_children_and_orphans_too(machine: Machine) {
        let spec = machine.agent(&format!("{CHILDREN} sleep 1000"));
        machine.sandbox.ensure(&spec).await.unwrap();
        says(&spec, "ready").await;
        assert!(processes(&spec).len() >= 5);
        let removed = soon(machine.sandbox.remove(&spec.agent, Duration::ZERO)).await.unwrap();
        assert!(matches!(removed, Removed::Dead(_)));
        assert_eq!(processes(&spec), [""; 0]);
    }

    async fn a_polite_stop_lets_the_program_finish(machine: Machine) {
        let spec = machine.agent(
            "trap 'echo asked; touch saved; exit 7' TERM; echo ready; while :; do sleep 0.01; done",
        );
        machine.sandbox.ensure(&spec).await.unwrap();
        says(&spec, "ready").await;
        let sandbox = machine.restarted().await;
        let ending = tokio::spawn({
            let (sandbox, agent) = (machine.sandbox.clone(), spec.agent.clone());
            async move { sandbox.wait(&agent).await }
        });
        tokio::task::yield_now().await;
        soon(sandbox.remove(&spec.agent, LONG)).await.unwrap();
        assert_eq!(said(&spec), "ready\nasked\n");
        assert!(spec.workdir.join("saved").exists());
        if let Ok(ending) = ending.await.unwrap() {
            assert!(matches!(ending, Ending::Exit(7) | Ending::Unknown(_)), "{ending:?}");
        }
    }

    async fn a_program_that_will_not_stop_is_killed_after_its_grace(machine: Machine) {
        let spec = machine.agent("trap '' TERM; echo ready; while :; do sleep 0.01; done");
        machine.sandbox.ensure(&spec).await.unwrap();
        says(&spec, "ready").await;
        soon(machine.sandbox.remove(&spec.agent, Duration::from_millis(300))).await.unwrap();
        assert_eq!(processes(&spec), [""; 0]);
    }

    async fn no_grace_is_no_time_for_last_words(machine: Machine) {
        let spec = machine.agent("trap 'echo asked' TERM; echo ready; while :; do sleep 0.01; done");
        machine.sandbox.ensure(&spec).await.unwrap();
        says(&spec, "ready").await;
        soon(machine.sandbox.remove(&spec.agent, Duration::ZERO)).await.unwrap();
        assert_eq!(said(&spec), "ready\n");
    }

    async fn an_agent_whose_supervisor_was_killed_is_still_proved_dead(machine: Machine) {
        let spec = machine.agent(&format!("{CHILDREN} sleep 1000"));
        machine.sandbox.ensure(&spec).await.unwrap();
        says(&spec, "ready").await;
        kill_supervisor(&machine, &spec);
        let ending = soon(machine.sandbox.wait(&spec.agent)).await.unwrap();
        assert!(matches!(ending, Ending::Unknown(_)), "{ending:?}");
        let removed = soon(machine.sandbox.remove(&spec.agent, Duration::ZERO)).await.unwrap();
        assert!(matches!(removed, Removed::Dead(_)));
        assert_eq!(processes(&spec), [""; 0]);
    }

    async fn memory_above_the_limit_is_told_from_a_kill(machine: Machine) {
        if !has_groups() {
            return; // nothing counts memory here
        }
        let limits = Limits { memory_bytes: Some(64 << 20), ..Limits::default() };
        let mut spec = machine.agent("exec tail /dev/zero");
        spec.limits = limits;
        assert_eq!(machine.run(&spec).await.0, Ending::OutOfMemory);
        let mut killed = machine.agent("kill -KILL $$");
        killed.limits = limits;
        assert_eq!(machine.run(&killed).await.0, Ending::Signal(9));
    }

    async fn a_fork_bomb_ends_at_its_limit_and_can_be_removed(machine: Machine) {
        if !has_groups() {
            return; // nothing counts processes here
        }
        let mut spec = machine.agent("bomb() { bomb | bomb & }; echo ready; bomb; sleep 1000");
        spec.limits = Limits { pids: Some(30), ..Limits::default() };
        machine.sandbox.ensure(&spec).await.unwrap();
        says(&spec, "ready").await;
        let mut most = 0;
        for _ in 0..20 {
            most = most.max(processes(&spec).len());
        }
        assert!(most <= 40, "{most} processes");
        soon(machine.sandbox.remove(&spec.agent, Duration::ZERO)).await.unwrap();
        assert_eq!(processes(&spec), [""; 0]);
    }
}

#[tokio::test]
async fn without_control_groups_the_whole_tree_still_dies() {
    let machine = Machine::new(Kind::ProcessWithoutGroups).await;
    let spec = machine.agent(&format!("{CHILDREN} sleep 1000"));
    machine.sandbox.ensure(&spec).await.unwrap();
    says(&spec, "ready").await;
    soon(machine.sandbox.remove(&spec.agent, Duration::ZERO))
        .await
        .unwrap();
    assert_eq!(processes(&spec), [""; 0]);
}

/// Such a process has no mark, no group and no supervisor: only its user tells whose it is.
#[tokio::test]
async fn without_control_groups_a_process_that_hid_its_mark_is_found_by_its_user() {
    let machine = Machine::new(Kind::ProcessWithoutGroups).await;
    let spec = machine.agent("env -i setsid sleep 1000 & echo ready; sleep 1000");
    if spec.owner.is_none() {
        return; // a spoke that is not root shares its user with its agents
    }
    machine.sandbox.ensure(&spec).await.unwrap();
    until(|| processes(&spec).iter().any(|line| line.contains("sleep"))).await;
    says(&spec, "ready").await;
    kill_supervisor(&machine, &spec);
    soon(machine.sandbox.remove(&spec.agent, Duration::ZERO))
        .await
        .unwrap();
    assert_eq!(processes(&spec), [""; 0]);
}

#[tokio::test]
async fn a_namespace_dies_with_its_supervisor() {
    let machine = Machine::new(Kind::Bubblewrap).await;
    let spec = machine.agent(&format!("{CHILDREN} sleep 1000"));
    machine.sandbox.ensure(&spec).await.unwrap();
    says(&spec, "ready").await;
    kill_supervisor(&machine, &spec);
    until(|| processes(&spec).is_empty()).await;
    soon(machine.sandbox.remove(&spec.agent, Duration::ZERO))
        .await
        .unwrap();
}
