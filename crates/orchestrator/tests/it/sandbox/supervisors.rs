//! What holds where a supervisor stands between the spoke and the program.

use super::bench::NOBODY;
use super::bench::{Bench, holding, needed};
use super::deaths::{all_ran_away, kill, moment, runaways, sleepers};
use orchestrator::sandbox::{Ending, SandboxSpec};

claims!([bubblewrap, process] [
    what_a_crash_left_half_made_is_removed,
    a_killed_supervisor_leaves_nothing_that_cannot_be_found,
    no_secret_is_written_to_the_supervisors_folder,
]);

async fn what_a_crash_left_half_made_is_removed(bench: &Bench) {
    let spec = bench.spec("exit 0");
    let folder = bench.folders.run(&spec.agent);
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("claim"), "").unwrap();
    assert!(bench.sandbox.list().await.unwrap().contains(&spec.agent));
    bench.remove_for_good(&spec).await;
    let (_, ending) = bench.run_spec(spec).await;
    assert_eq!(ending, Ending::Exit(0));
}

async fn kill_supervisor(bench: &Bench, spec: &SandboxSpec) {
    let folder = bench.folders.run(&spec.agent);
    let supervisor = holding(
        "cmdline",
        format!("supervise\0{}\0", folder.display()).as_bytes(),
    );
    let [supervisor] = supervisor[..] else {
        panic!("one supervisor: {supervisor:?}");
    };
    kill(supervisor);
}

async fn a_killed_supervisor_leaves_nothing_that_cannot_be_found(bench: &Bench) {
    let moment = moment();
    let script = format!("{} : > ready; sleep 1000", runaways(moment));
    let spec = bench.running(&script).await;
    all_ran_away(moment).await;
    kill_supervisor(bench, &spec).await;
    let ending = bench.ending(&spec).await;
    assert!(matches!(ending, Ending::Unknown(_)), "{ending:?}");
    bench.remove_for_good(&spec).await;
    assert_eq!(sleepers(moment), NOBODY);
}

#[tokio::test]
async fn without_groups_children_are_found_by_their_user_when_the_supervisor_was_killed() {
    let bench = Bench::process_alone();
    let moment = moment();
    let script = format!("{} : > ready; sleep 1000", runaways(moment));
    let spec = bench.running(&script).await;
    all_ran_away(moment).await;
    let owner = spec.owner.ok_or("agents have no users of their own");
    if needed("root", owner.map_err(String::from)).is_none() {
        return;
    }
    kill_supervisor(&bench, &spec).await;
    bench.remove_for_good(&spec).await;
    assert_eq!(sleepers(moment), NOBODY);
}

async fn no_secret_is_written_to_the_supervisors_folder(bench: &Bench) {
    const CANARY: &str = "canary-1d0a93bc";
    let mut spec = bench.spec(": > ready; sleep 1000");
    spec.env.insert("TOKEN".to_owned(), CANARY.to_owned());
    spec.stdin = CANARY.into();
    bench.sandbox.ensure(&spec).await.unwrap();
    let run = bench.folders.run(&spec.agent);
    for entry in std::fs::read_dir(run).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read(&path).unwrap();
        let text = String::from_utf8_lossy(&text);
        assert!(!text.contains(CANARY), "{}", path.display());
    }
    bench.remove_for_good(&spec).await;
}
