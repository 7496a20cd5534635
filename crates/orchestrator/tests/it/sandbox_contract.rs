//! What holds of every sandbox that runs real programs.

use crate::sandbox_machine::{Kind, Machine, said, says, soon, until};
use mosaic_common::{AgentId, CommandId};
use orchestrator::output::{self, Stream};
use orchestrator::sandbox::{Ending, Error, Removed};
use std::time::Duration;

/// One test for each adapter.
macro_rules! on_each_sandbox {
    ($($(#[$meta:meta])* async fn $name:ident($machine:ident: Machine) $body:block)+) => {
        $($(#[$meta])* async fn $name($machine: Machine) $body)+
        mod bubblewrap {
            use super::*;
            $(#[tokio::test] async fn $name() { super::$name(Machine::new(Kind::Bubblewrap).await).await; })+
        }
        mod process {
            use super::*;
            $(#[tokio::test] async fn $name() { super::$name(Machine::new(Kind::Process).await).await; })+
        }
    };
}
pub(crate) use on_each_sandbox;

on_each_sandbox! {
    async fn an_exit_code_is_what_the_program_said(machine: Machine) {
        for code in [0, 3, 255] {
            let spec = machine.agent(&format!("exit {code}"));
            assert_eq!(machine.run(&spec).await.0, Ending::Exit(code));
        }
    }

    async fn a_segmentation_fault_is_told_from_exit_139(machine: Machine) {
        let crash = machine.agent("kill -SEGV $$");
        assert_eq!(machine.run(&crash).await.0, Ending::Signal(11));
        let exit = machine.agent("exit 139");
        assert_eq!(machine.run(&exit).await.0, Ending::Exit(139));
    }

    async fn the_environment_is_what_was_given_and_nothing_else(machine: Machine) {
        let mut spec = machine.agent("");
        spec.argv = vec!["env".into()]; // found in the PATH that was given
        spec.env.insert("GIVEN".into(), "a b=c".into());
        let (ending, said) = machine.run(&spec).await;
        assert_eq!(ending, Ending::Exit(0), "{said}");
        let mut lines: Vec<_> = said.lines().filter(|line| !line.starts_with("PWD=")).collect();
        lines.sort_unstable();
        let mark = format!("MOSAIC_AGENT_ID={}", spec.agent);
        assert_eq!(lines, ["GIVEN=a b=c", &mark, "PATH=/usr/bin:/bin"]);
    }

    async fn the_input_arrives_and_ends(machine: Machine) {
        let mut spec = machine.agent("cat; echo . end");
        spec.stdin = b"the task".to_vec();
        assert_eq!(machine.run(&spec).await.1, "the task. end\n");
    }

    async fn a_program_that_does_not_read_a_large_input_still_ends(machine: Machine) {
        let mut spec = machine.agent("exit 4");
        spec.stdin = vec![b'x'; 256 * 1024];
        assert_eq!(machine.run(&spec).await.0, Ending::Exit(4));
    }

    async fn it_starts_in_its_working_folder_and_may_write_there(machine: Machine) {
        let spec = machine.agent("pwd; echo done > made");
        let (ending, said) = machine.run(&spec).await;
        assert_eq!((ending, said.trim()), (Ending::Exit(0), spec.workdir.to_str().unwrap()));
        assert!(spec.workdir.join("made").exists());
    }

    async fn output_is_kept_byte_for_byte_and_by_stream(machine: Machine) {
        let spec = machine.agent(r"printf 'a\000\377b'; printf oops >&2");
        machine.run(&spec).await;
        let chunks = output::read(&spec.output, 0, usize::MAX).unwrap();
        let of = |stream| chunks.iter().filter(move |chunk| chunk.stream == stream)
            .flat_map(|chunk| chunk.data.to_vec()).collect::<Vec<u8>>();
        assert_eq!(of(Stream::Stdout), b"a\0\xffb");
        assert_eq!(of(Stream::Stderr), b"oops");
    }

    async fn output_above_the_limit_is_counted_and_does_not_stop_the_program(machine: Machine) {
        let mut spec = machine.agent("head -c 300000 /dev/zero; exit 5");
        spec.output_max = 100_000;
        let (ending, said) = machine.run(&spec).await;
        let chunks = output::read(&spec.output, 0, usize::MAX).unwrap();
        let dropped: u64 = chunks.iter().map(|chunk| chunk.dropped).sum();
        assert_eq!(ending, Ending::Exit(5));
        assert_eq!(said.len() as u64 + dropped, 300_000);
        assert!(said.len() <= 100_000);
    }

    async fn a_program_that_is_not_there_is_an_error_and_leaves_nothing(machine: Machine) {
        let mut spec = machine.agent("");
        spec.argv = vec!["/no/such/program".into()];
        let error = machine.sandbox.ensure(&spec).await.unwrap_err();
        assert!(matches!(&error, Error::Start(why) if why.contains("/no/such/program")), "{error}");
        let removed = machine.sandbox.remove(&spec.agent, Duration::ZERO).await.unwrap();
        assert!(matches!(removed, Removed::Dead(_)));
        assert_eq!(machine.sandbox.list().await.unwrap(), []);
    }

    async fn a_repeated_ensure_never_starts_a_second_program(machine: Machine) {
        let spec = machine.agent("echo started; read forever < fifo");
        pipe_without_writer(&spec.workdir.join("fifo"), spec.owner);
        let again = machine.restarted().await;
        let (one, two) = tokio::join!(machine.sandbox.ensure(&spec), machine.sandbox.ensure(&spec));
        one.unwrap();
        two.unwrap();
        again.ensure(&spec).await.unwrap();
        says(&spec, "started").await;
        machine.sandbox.remove(&spec.agent, Duration::ZERO).await.unwrap();
        assert_eq!(said(&spec), "started\n");
        assert_eq!(std::fs::read_dir(machine.folders.run_root()).unwrap().count(), 0);
    }

    async fn a_program_that_has_ended_is_not_started_again(machine: Machine) {
        let spec = machine.agent("echo once");
        machine.run(&spec).await;
        machine.sandbox.ensure(&spec).await.unwrap();
        assert_eq!(soon(machine.sandbox.wait(&spec.agent)).await.unwrap(), Ending::Exit(0));
        assert_eq!(said(&spec), "once\n");
    }

    async fn a_restarted_spoke_hears_the_same_ending(machine: Machine) {
        let spec = machine.agent("until test -e go; do sleep 0.01; done; exit 6");
        machine.sandbox.ensure(&spec).await.unwrap();
        let again = machine.restarted().await;
        let dropped = tokio::time::timeout(Duration::from_millis(20), again.wait(&spec.agent));
        assert!(dropped.await.is_err(), "it runs still");
        std::fs::write(spec.workdir.join("go"), "").unwrap();
        for sandbox in [&again, &machine.sandbox] {
            assert_eq!(soon(sandbox.wait(&spec.agent)).await.unwrap(), Ending::Exit(6));
        }
    }

    async fn it_is_listed_until_it_is_removed_and_then_missing(machine: Machine) {
        let spec = machine.agent("sleep 1000");
        assert_eq!(machine.sandbox.list().await.unwrap(), []);
        machine.sandbox.ensure(&spec).await.unwrap();
        assert_eq!(machine.sandbox.list().await.unwrap(), std::slice::from_ref(&spec.agent));
        let removed = machine.sandbox.remove(&spec.agent, Duration::ZERO).await.unwrap();
        assert!(matches!(removed, Removed::Dead(proof) if !proof.is_empty()));
        assert_eq!(machine.sandbox.list().await.unwrap(), []);
        let removed = machine.sandbox.remove(&spec.agent, Duration::ZERO).await.unwrap();
        assert_eq!(removed, Removed::Missing);
    }

    async fn an_agent_that_never_was_is_missing(machine: Machine) {
        let agent = AgentId::of_command(CommandId::random());
        assert!(matches!(machine.sandbox.wait(&agent).await, Err(Error::Missing(_))));
        let removed = machine.sandbox.remove(&agent, Duration::ZERO).await.unwrap();
        assert_eq!(removed, Removed::Missing);
    }

    async fn it_runs_as_its_owner_without_further_groups_or_privileges(machine: Machine) {
        let spec = machine.agent("id -u; id -G; grep NoNewPrivs /proc/self/status; ulimit -c");
        let (_, said) = machine.run(&spec).await;
        let uid = spec.owner.unwrap_or_else(|| rustix::process::geteuid().as_raw());
        let lines: Vec<_> = said.lines().collect();
        assert_eq!(lines[0], uid.to_string());
        if spec.owner.is_some() {
            assert_eq!(lines[1], uid.to_string());
        }
        assert_eq!(lines[2..], ["NoNewPrivs:\t1", "0"]);
    }

    async fn no_secret_stands_on_any_command_line_or_in_any_file(machine: Machine) {
        let mut spec = machine.agent("read line; echo ready; sleep 1000");
        spec.stdin = b"canary-input\n".to_vec();
        spec.env.insert("KEY".into(), "canary-env".into());
        machine.sandbox.ensure(&spec).await.unwrap();
        says(&spec, "ready").await;
        for entry in std::fs::read_dir("/proc").unwrap() {
            let line = std::fs::read(entry.unwrap().path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line);
            assert!(!line.contains("canary-"), "{line}");
        }
        for entry in std::fs::read_dir(machine.folders.run(&spec.agent)).unwrap() {
            let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
            assert!(!text.contains("canary-"), "{text}");
        }
        machine.sandbox.remove(&spec.agent, Duration::ZERO).await.unwrap();
    }

    async fn an_agent_outlives_the_spokes_interest_and_its_output_goes_on(machine: Machine) {
        let spec = machine.agent("i=0; while :; do i=$((i+1)); echo line $i; sleep 0.01; done");
        machine.sandbox.ensure(&spec).await.unwrap();
        says(&spec, "line 2\n").await;
        let cursor = output::read(&spec.output, 0, usize::MAX).unwrap().last().unwrap().next;
        until(|| !output::read(&spec.output, cursor, 1).unwrap().is_empty()).await;
        machine.sandbox.remove(&spec.agent, Duration::ZERO).await.unwrap();
    }
}

/// A pipe that nobody will ever write to.
fn pipe_without_writer(path: &std::path::Path, owner: Option<u32>) {
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    std::os::unix::fs::lchown(path, owner, owner).unwrap();
}
