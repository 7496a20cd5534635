//! A program is started once, as its own user, with what it was given and nothing else.

use super::bench::{Bench, NOBODY, bearing, holding, in_time, said};
use orchestrator::sandbox::{Ending, Removed, SandboxSpec};
use std::collections::BTreeMap;
use std::time::Duration;

contract! {
    ensuring_again_starts_nothing,
    ensuring_at_once_starts_one_program,
    ensuring_after_the_end_starts_nothing,
    a_spoke_that_came_back_finds_the_agent,
    an_agent_is_removed_by_a_spoke_that_came_back,
    the_environment_is_what_was_given_and_the_agents_id,
    the_program_runs_as_its_owner_with_no_further_rights,
    no_secret_stands_on_a_command_line,
    another_agents_folder_cannot_be_read,
    the_program_reads_its_input_and_its_end,
    a_program_that_does_not_read_its_input_ends,
}

/// Counts its starts, then goes on until the file `go` is there.
const COUNT: &str =
    "echo start >> starts; : > ready; while ! [ -e go ]; do sleep 0.05; done; exit 7";

fn go(spec: &SandboxSpec) {
    std::fs::write(spec.workdir.join("go"), "").unwrap();
}

fn starts(spec: &SandboxSpec) -> usize {
    let starts = std::fs::read_to_string(spec.workdir.join("starts"));
    starts.unwrap().lines().count()
}

async fn ensuring_again_starts_nothing(bench: &Bench) {
    let spec = bench.running(COUNT).await;
    bench.sandbox.ensure(&spec).await.unwrap();
    bench.again().await.ensure(&spec).await.unwrap();
    go(&spec);
    assert_eq!(bench.ending(&spec).await, Ending::Exit(7));
    assert_eq!(starts(&spec), 1);
}

async fn ensuring_at_once_starts_one_program(bench: &Bench) {
    let (spec, other) = (bench.spec(COUNT), bench.again().await);
    go(&spec);
    let sandbox = &bench.sandbox;
    let done = tokio::join!(
        sandbox.ensure(&spec),
        other.ensure(&spec),
        sandbox.ensure(&spec),
        other.ensure(&spec),
    );
    assert!(done.0.is_ok() && done.1.is_ok() && done.2.is_ok() && done.3.is_ok());
    assert_eq!(bench.ending(&spec).await, Ending::Exit(7));
    assert_eq!(starts(&spec), 1);
    bench.remove_for_good(&spec).await;
}

async fn ensuring_after_the_end_starts_nothing(bench: &Bench) {
    let spec = bench.spec(COUNT);
    go(&spec);
    let (spec, ending) = bench.run_spec(spec).await;
    bench.sandbox.ensure(&spec).await.unwrap();
    assert_eq!(bench.ending(&spec).await, ending);
    assert_eq!((starts(&spec), bearing(&spec.agent)), (1, vec![]));
}

async fn a_spoke_that_came_back_finds_the_agent(bench: &Bench) {
    let spec = bench.running(COUNT).await;
    let again = bench.again().await;
    assert!(again.list().await.unwrap().contains(&spec.agent));
    let agent = spec.agent.clone();
    let waiting = tokio::spawn(async move { again.wait(&agent).await });
    go(&spec);
    let ending = in_time(waiting).await.unwrap().unwrap();
    assert_eq!(ending, Ending::Exit(7));
}

async fn an_agent_is_removed_by_a_spoke_that_came_back(bench: &Bench) {
    let spec = bench.running(COUNT).await;
    let again = bench.again().await;
    let removed = in_time(again.remove(&spec.agent, Duration::ZERO)).await;
    assert!(matches!(removed, Ok(Removed::Dead(_))));
    bench.assert_gone(&spec).await;
}

async fn the_environment_is_what_was_given_and_the_agents_id(bench: &Bench) {
    let mut spec = bench.spec("");
    spec.argv = vec!["/usr/bin/env".to_owned(), "-0".to_owned()];
    spec.env = BTreeMap::from([
        ("TOKEN".to_owned(), "two\nlines = ünïcode".to_owned()),
        ("EMPTY".to_owned(), String::new()),
    ]);
    let (spec, ending) = bench.run_spec(spec).await;
    assert_eq!(ending, Ending::Exit(0));
    let said = said(&spec);
    let seen: BTreeMap<_, _> = said
        .split_terminator('\0')
        .filter_map(|entry| entry.split_once('='))
        .collect();
    let mut given: BTreeMap<_, _> = spec
        .env
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    given.insert("MOSAIC_AGENT_ID", spec.agent.as_str());
    let spoke = bench.folders.fingerprint();
    if bench.sandbox.name().as_str() != "docker" {
        given.insert("MOSAIC_SPOKE", &spoke); // a container has labels
    }
    assert_eq!(seen, given);
}

async fn the_program_runs_as_its_owner_with_no_further_rights(bench: &Bench) {
    let script = "id -u; id -g; id -G; grep -E '^Cap(Eff|Prm):' /proc/self/status; pwd";
    let (spec, _) = bench.run(script).await;
    let owner = spec.owner.unwrap();
    let none = "0000000000000000";
    let expected = format!(
        "{owner}\n{owner}\n{owner}\nCapPrm:\t{none}\nCapEff:\t{none}\n{}\n",
        spec.workdir.display()
    );
    assert_eq!(said(&spec), expected);
}

async fn no_secret_stands_on_a_command_line(bench: &Bench) {
    const CANARY: &str = "canary-52f1c07e";
    let mut spec = bench.spec(COUNT);
    spec.env.insert("TOKEN".to_owned(), CANARY.to_owned());
    spec.stdin = CANARY.repeat(10_000).into_bytes(); // more than a pipe holds
    bench.sandbox.ensure(&spec).await.unwrap();
    let starts = spec.workdir.join("starts");
    super::bench::until("it runs", || starts.exists()).await;
    assert_ne!(bearing(&spec.agent), NOBODY);
    assert_eq!(holding("cmdline", CANARY.as_bytes()), NOBODY);
    go(&spec);
    assert_eq!(bench.ending(&spec).await, Ending::Exit(7));
}

async fn another_agents_folder_cannot_be_read(bench: &Bench) {
    let victim = bench.spec("");
    std::fs::write(victim.workdir.join("secret"), "canary").unwrap();
    let (at, data) = (victim.workdir.display(), bench.folders.data().display());
    let script = format!(
        "cat {at}/secret; ls {at}; echo x > {at}/x; \
         for at in run output store results trash; do ls {data}/$at; done; echo done"
    );
    let (spec, _) = bench.run(&script).await;
    assert_eq!(said(&spec), "done\n");
    assert!(!victim.workdir.join("x").exists());
}

async fn the_program_reads_its_input_and_its_end(bench: &Bench) {
    let mut spec = bench.spec("cat; echo end");
    spec.stdin = b"a\nb\n".to_vec();
    let (spec, ending) = bench.run_spec(spec).await;
    assert_eq!(
        (said(&spec).as_str(), ending),
        ("a\nb\nend\n", Ending::Exit(0))
    );
    let (empty, _) = bench.run("cat; echo end").await;
    assert_eq!(said(&empty), "end\n");
}

async fn a_program_that_does_not_read_its_input_ends(bench: &Bench) {
    let mut spec = bench.spec("exit 6");
    spec.stdin = vec![b'x'; 1 << 20];
    assert_eq!(bench.run_spec(spec).await.1, Ending::Exit(6));
}
