//! What an agent that is out to do harm gets hold of.

use crate::sandbox_machine::{Kind, Machine, says};
use orchestrator::sandbox::{Ending, Network};
use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;

#[tokio::test]
async fn it_reads_no_other_agents_folder_and_nothing_of_the_spoke() {
    for kind in [Kind::Bubblewrap, Kind::Process] {
        let machine = Machine::new(kind).await;
        if kind == Kind::Process && machine.agent("").owner.is_none() {
            continue; // a plain process of the spoke's own user is not kept from anything
        }
        let other = machine.agent("");
        fs::write(other.workdir.join("work"), "canary").unwrap();
        fs::write(machine.folders.store().join("records"), "canary").unwrap();
        fs::write(machine.folders.results().join("work"), "canary").unwrap();
        let said = machine
            .ask(&format!(
                "cat {other}/work {store}/* {results}/* {run}/*/* {output}/* 2>&1;
                 find {data} -type f 2>/dev/null | xargs -r cat 2>/dev/null | head -c 999999 | grep -a canary; :",
                other = other.workdir.display(),
                store = machine.folders.store().display(),
                results = machine.folders.results().display(),
                run = machine.folders.run_root().display(),
                output = machine.folders.output_root().display(),
                data = machine.folders.data().display(),
            ))
            .await;
        assert!(
            !said.contains("canary\n") && !said.contains("canarycanary"),
            "{kind:?}: {said}"
        );
    }
}

#[tokio::test]
async fn it_writes_nothing_outside_its_own_folder() {
    let machine = Machine::new(Kind::Bubblewrap).await;
    let other = machine.agent("");
    let spoken = [
        machine.folders.data().to_owned(),
        machine.folders.agents_root(),
        other.folder,
        other.workdir,
    ];
    let system = [
        "/",
        "/usr",
        "/usr/bin",
        "/etc",
        "/proc/sys/kernel",
        "/lib",
        "/.mosaic",
    ];
    let places = spoken.into_iter().chain(system.map(PathBuf::from));
    let made: Vec<_> = places.map(|place| place.join("mosaic-was-here")).collect();
    let list: Vec<_> = made.iter().map(|path| path.display().to_string()).collect();
    machine
        .ask(&format!("touch {} 2>/dev/null; :", list.join(" ")))
        .await;
    // What it made in the memory it takes for these folders has gone with it.
    for path in made {
        assert!(!path.exists(), "{}", path.display());
    }
}

#[tokio::test]
async fn what_it_may_only_read_it_cannot_write() {
    let machine = Machine::new(Kind::Bubblewrap).await;
    let cache = machine.folders.cache().join("objects");
    fs::create_dir(&cache).unwrap();
    fs::write(cache.join("object"), "shared").unwrap();
    let path = cache.display();
    let mut spec = machine.agent(&format!(
        "cat {path}/object; touch {path}/made 2>/dev/null && echo wrote; rm -f {path}/object 2>/dev/null; mount -o remount,rw {path} 2>/dev/null && echo mounted; :"
    ));
    spec.read_only = vec![cache.clone()];
    assert_eq!(machine.run(&spec).await, (Ending::Exit(0), "shared".into()));
    assert!(cache.join("object").exists());
}

#[tokio::test]
async fn it_sees_and_reaches_no_process_of_the_machine() {
    let machine = Machine::new(Kind::Bubblewrap).await;
    let own = std::process::id();
    let said = machine
        .ask(&format!(
            "ls /proc | grep -c '^[0-9]'; kill -0 {own} 2>/dev/null && echo reached; test -e /proc/{own}/cmdline && echo seen; :"
        ))
        .await;
    let count: u32 = said.trim().parse().expect("a count and nothing more");
    assert!(count < 8, "{count} processes");
}

#[tokio::test]
async fn it_reaches_the_machines_loopback_only_with_its_network() {
    let machine = Machine::new(Kind::Bubblewrap).await;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let script =
        format!("bash -c 'exec 3<>/dev/tcp/127.0.0.1/{port}' 2>/dev/null && echo reached; :");
    let mut spec = machine.agent(&script);
    assert_eq!(machine.run(&spec).await, (Ending::Exit(0), String::new()));
    spec = machine.agent(&script);
    spec.network = Network::Host;
    assert_eq!(
        machine.run(&spec).await,
        (Ending::Exit(0), "reached\n".into())
    );
}

#[tokio::test]
async fn it_cannot_speak_for_the_process_that_reports_its_ending() {
    for kind in [Kind::Bubblewrap, Kind::Process] {
        let machine = Machine::new(kind).await;
        if kind == Kind::Process && machine.agent("").owner.is_none() {
            continue; // the same user may do to it what it likes
        }
        // A frame that says: exited with 0.
        let spec = machine.agent(
            r"for file in /proc/1/fd/1 /proc/$PPID/fd/1 /proc/1/fd/2; do
                  printf 'X\004\000\000\000\000\000\000\000' 2>/dev/null > $file; done 2>/dev/null; exit 9",
        );
        assert_eq!(machine.run(&spec).await.0, Ending::Exit(9), "{kind:?}");
    }
}

#[tokio::test]
async fn it_has_no_capabilities_and_no_devices() {
    let machine = Machine::new(Kind::Bubblewrap).await;
    let said = machine
        .ask(
            "grep -h Cap /proc/self/status | grep -v '0000000000000000$';
             mknod disk b 8 0 2>/dev/null && echo device; ls /dev | tr '\\n' ' '; test -e /var/run/docker.sock && echo socket; :",
        )
        .await;
    for forbidden in ["Cap", "device\n", "sda", "vda", "kvm", "kmsg", "socket\n"] {
        assert!(!said.contains(forbidden), "{said}");
    }
}

#[tokio::test]
async fn a_shell_habit_of_killing_its_group_kills_the_agent_alone() {
    for kind in [Kind::Bubblewrap, Kind::Process] {
        let machine = Machine::new(kind).await;
        let neighbour = machine.agent("echo ready; sleep 1000");
        machine.sandbox.ensure(&neighbour).await.unwrap();
        says(&neighbour, "ready").await;
        let spec = machine.agent("kill -KILL 0; sleep 1000");
        let (ending, _) = machine.run(&spec).await;
        assert_eq!(ending, Ending::Signal(9), "{kind:?}");
        let running = machine.sandbox.wait(&neighbour.agent);
        assert!(
            tokio::time::timeout(Duration::from_millis(20), running)
                .await
                .is_err()
        );
        machine
            .sandbox
            .remove(&neighbour.agent, Duration::ZERO)
            .await
            .unwrap();
    }
}
