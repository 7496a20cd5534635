//! Nothing that an agent started outlives its removal, or its own program's end.

use super::bench::{Bench, LONG, NOBODY, bearing, holding, in_time, until};
use mosaic_common::agent::Limits;
use orchestrator::sandbox::{Ending, Removed};
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;
use tokio::time::Instant;

contract! {
    removing_kills_a_running_program_and_proves_it,
    removing_twice_says_missing_the_second_time,
    removing_twice_at_once_is_one_removal,
    children_that_ran_away_die_with_their_program,
    children_that_outlive_their_program_die_at_its_end,
    a_polite_stop_lets_the_program_say_goodbye,
    a_program_that_ignores_the_request_is_killed_after_its_grace,
    no_grace_kills_at_once,
    a_stopped_program_is_killed,
    removing_one_agent_leaves_the_other_alone,
    starting_and_removing_at_once_leave_all_or_nothing,
    a_fork_bomb_is_contained_and_removed,
    a_killed_program_parent_ends_the_agent,
}

/// A number of seconds that no other process sleeps.
pub(super) fn moment() -> u64 {
    1_000_000 + RandomState::new().hash_one(0) % 1_000_000_000
}

/// Everything that sleeps for so long.
pub(super) fn sleepers(moment: u64) -> Vec<i32> {
    holding("cmdline", format!("sleep\0{moment}\0").as_bytes())
}

/// Children of every kind that gets away: in sessions of their own, orphaned, without their mark.
pub(super) fn runaways(moment: u64) -> String {
    format!(
        "setsid sleep {moment} >/dev/null 2>&1 & \
         (setsid sh -c 'sleep {moment} & sleep {moment} & exit 0' &) & \
         env -i setsid sleep {moment} & \
         (env -i sh -c 'setsid sleep {moment} &' &) & "
    )
}

/// How many children [`runaways`] are.
const RUNAWAYS: usize = 5;

pub(super) async fn all_ran_away(moment: u64) {
    until("the children have run away", || {
        sleepers(moment).len() >= RUNAWAYS
    })
    .await;
}

async fn removing_kills_a_running_program_and_proves_it(bench: &Bench) {
    let spec = bench.running(": > ready; sleep 1000").await;
    assert_ne!(bearing(&spec.agent), NOBODY);
    let listed = bench.sandbox.list().await.unwrap();
    assert!(listed.contains(&spec.agent));
    let Removed::Dead(proof) = bench.remove(&spec).await.unwrap() else {
        panic!("it was there");
    };
    let words = match bench.sandbox.name().as_str() {
        "docker" => "had stopped (Exited) and is removed",
        _ => "no process bears its id",
    };
    assert!(proof.contains(words), "{proof}");
    bench.assert_gone(&spec).await;
}

async fn removing_twice_says_missing_the_second_time(bench: &Bench) {
    let (spec, _) = bench.run("exit 0").await;
    assert!(matches!(bench.remove(&spec).await, Ok(Removed::Dead(_))));
    assert!(matches!(bench.remove(&spec).await, Ok(Removed::Missing)));
}

async fn removing_twice_at_once_is_one_removal(bench: &Bench) {
    let spec = bench.running(": > ready; sleep 1000").await;
    let (one, other) = tokio::join!(bench.remove(&spec), bench.remove(&spec));
    let removed = [one.unwrap(), other.unwrap()];
    assert!(removed.contains(&Removed::Missing), "{removed:?}");
    assert!(removed.iter().any(|one| *one != Removed::Missing));
    bench.assert_gone(&spec).await;
}

async fn children_that_ran_away_die_with_their_program(bench: &Bench) {
    let moment = moment();
    let script = format!("{} : > ready; sleep 1000", runaways(moment));
    let spec = bench.running(&script).await;
    all_ran_away(moment).await;
    bench.remove_for_good(&spec).await;
    assert_eq!(sleepers(moment), NOBODY);
}

async fn children_that_outlive_their_program_die_at_its_end(bench: &Bench) {
    let moment = moment();
    let go = "while ! [ -e go ]; do sleep 0.05; done";
    let script = format!("{} : > ready; {go}; exit 4", runaways(moment));
    let spec = bench.running(&script).await;
    all_ran_away(moment).await;
    std::fs::write(spec.workdir.join("go"), "").unwrap();
    assert_eq!(bench.ending(&spec).await, Ending::Exit(4));
    assert_eq!(sleepers(moment), NOBODY);
    assert_eq!(bearing(&spec.agent), NOBODY);
    bench.remove_for_good(&spec).await;
}

const POLITE: &str = "trap 'echo bye > bye; exit 0' TERM; : > ready; while :; do sleep 0.05; done";

async fn a_polite_stop_lets_the_program_say_goodbye(bench: &Bench) {
    let spec = bench.running(POLITE).await;
    let begun = Instant::now();
    let removed = in_time(bench.sandbox.remove(&spec.agent, LONG)).await;
    assert!(matches!(removed, Ok(Removed::Dead(_))));
    assert!(begun.elapsed() < LONG, "it did not wait for the grace");
    let bye = std::fs::read_to_string(spec.workdir.join("bye")).unwrap();
    assert_eq!(bye, "bye\n");
    bench.assert_gone(&spec).await;
}

async fn a_program_that_ignores_the_request_is_killed_after_its_grace(bench: &Bench) {
    let spec = bench
        .running("trap '' TERM; : > ready; while :; do sleep 0.05; done")
        .await;
    let (begun, grace) = (Instant::now(), Duration::from_secs(1));
    let removed = in_time(bench.sandbox.remove(&spec.agent, grace)).await;
    assert!(matches!(removed, Ok(Removed::Dead(_))));
    assert!(begun.elapsed() >= grace, "it had its grace");
    bench.assert_gone(&spec).await;
}

async fn no_grace_kills_at_once(bench: &Bench) {
    let spec = bench.running(POLITE).await;
    bench.remove_for_good(&spec).await;
    assert!(!spec.workdir.join("bye").exists(), "nobody asked it");
}

async fn a_stopped_program_is_killed(bench: &Bench) {
    let spec = bench.running(": > ready; kill -STOP $$; exit 0").await;
    let grace = Duration::from_millis(100);
    let removed = in_time(bench.sandbox.remove(&spec.agent, grace)).await;
    assert!(matches!(removed, Ok(Removed::Dead(_))));
    bench.assert_gone(&spec).await;
}

async fn removing_one_agent_leaves_the_other_alone(bench: &Bench) {
    let go = "while ! [ -e go ]; do sleep 0.05; done";
    let other = bench.running(&format!(": > ready; {go}; exit 8")).await;
    let spec = bench.running(": > ready; sleep 1000").await;
    assert_ne!(spec.owner, other.owner);
    bench.remove_for_good(&spec).await;
    std::fs::write(other.workdir.join("go"), "").unwrap();
    assert_eq!(bench.ending(&other).await, Ending::Exit(8));
}

async fn starting_and_removing_at_once_leave_all_or_nothing(bench: &Bench) {
    let (sandbox, again) = (&bench.sandbox, bench.again().await);
    for round in 0..10 {
        let spec = bench.spec("sleep 1000");
        let remove = async {
            tokio::time::sleep(Duration::from_millis(round * 5)).await; // another moment each time
            again.remove(&spec.agent, Duration::ZERO).await
        };
        let (started, removed) =
            in_time(async { tokio::join!(sandbox.ensure(&spec), remove) }).await;
        if let (Err(error), Ok(Removed::Missing)) = (&started, &removed) {
            panic!("nobody was there to spoil it: {error}");
        }
        let rest = bench.remove(&spec).await;
        assert!(rest.is_ok(), "{rest:?} after {started:?} and {removed:?}");
        bench.assert_gone(&spec).await;
    }
}

async fn a_fork_bomb_is_contained_and_removed(bench: &Bench) {
    const PIDS: u32 = 40;
    let mut spec = bench.spec("exec perl -e 'while (1) { fork }'");
    spec.limits = Limits {
        pids: Some(PIDS),
        ..Limits::default()
    };
    bench.sandbox.ensure(&spec).await.unwrap();
    let most = PIDS as usize + 8; // the sandbox's own come on top
    until("the bomb has reached its limit", || {
        let count = bearing(&spec.agent).len();
        assert!(count <= most, "{count} processes");
        count >= PIDS as usize
    })
    .await;
    let (_, other) = bench.run("exit 0").await;
    assert_eq!(other, Ending::Exit(0), "the machine goes on");
    bench.remove_for_good(&spec).await;
}

pub(super) fn kill(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    match rustix::process::kill_process(pid, rustix::process::Signal::KILL) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => {} // another's death may have taken it along
        Err(error) => panic!("{error}"),
    }
}

async fn a_killed_program_parent_ends_the_agent(bench: &Bench) {
    let moment = moment();
    let script = format!("{} : > ready; sleep 1000", runaways(moment));
    let spec = bench.running(&script).await;
    all_ran_away(moment).await;
    let all = bearing(&spec.agent);
    let mut inits = holding("cmdline", b"supervise-init\0");
    inits.extend(holding("cmdline", b"supervise-contain\0"));
    for init in all.into_iter().filter(|pid| inits.contains(pid)) {
        kill(init);
    }
    let ending = bench.ending(&spec).await;
    assert!(
        matches!(ending, Ending::Signal(_) | Ending::Unknown(_)),
        "{ending:?}"
    );
    assert_eq!(sleepers(moment), NOBODY);
    bench.remove_for_good(&spec).await;
}
