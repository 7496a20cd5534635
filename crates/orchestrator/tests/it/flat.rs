//! A spoke that lives long: what it holds at the end is what it held in the middle.

use crate::doors::connect;
use crate::site::{Site, until};
use crate::stage::Stage;
use mosaic_common::proto::agent::v1 as pb;
use mosaic_common::proto::agent::v1::agent_service_client::AgentServiceClient;
use orchestrator::sandbox::Ending;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::collections::VecDeque;
use std::fs;
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// Agents in each half, without `MOSAIC_FLAT_AGENTS`: so many that a handle kept for each would show.
const AGENTS: usize = 100;

/// How many live at once.
const AT_ONCE: usize = 6;

/// What a process holds.
#[derive(Debug, Clone, Copy)]
struct Holdings {
    files: usize,
    threads: usize,
    children: usize,
    /// KiB that are its own.
    memory: u64,
}

fn holdings(pid: u32) -> Holdings {
    let of = |name: &str| format!("/proc/{pid}/{name}");
    let count = |name: &str| fs::read_dir(of(name)).unwrap().count();
    let rollup = fs::read_to_string(of("smaps_rollup")).unwrap();
    // Neither what the kernel has swapped out nor what it reads again from a file makes a difference.
    let own = |line: &&str| line.starts_with("Anonymous:") || line.starts_with("Swap:");
    let own = rollup.lines().filter(own);
    let kib = |line: &str| line.split_whitespace().nth(1)?.parse::<u64>().ok();
    let threads = fs::read_dir(of("task")).unwrap();
    let children = threads.map(|thread| {
        let listed = fs::read_to_string(thread.unwrap().path().join("children"));
        listed.map_or(0, |listed| listed.split_whitespace().count())
    });
    Holdings {
        files: count("fd"),
        threads: count("task"),
        children: children.sum(),
        memory: own.filter_map(kib).sum(),
    }
}

/// Runs so many agents, some at a time, each with a worktree and work to rescue.
async fn run(site: &mut Site, agents: usize) {
    let mut alive = VecDeque::new();
    for number in 0..agents {
        if alive.len() == AT_ONCE {
            let first: String = alive.pop_front().unwrap();
            assert_eq!(site.ended(&first).await, pb::AgentState::Completed);
        }
        let spec = pb::AgentSpec {
            repository: "web".into(),
            task: format!("echo {number} | tee work"),
            ..Default::default()
        };
        alive.push_back(site.spawn_spec(spec).await);
    }
    for last in alive {
        assert_eq!(site.ended(&last).await, pb::AgentState::Completed);
    }
}

#[tokio::test]
async fn hundreds_of_agents_leave_files_threads_and_memory_as_they_were() {
    let mut site = Site::start_with("sandboxes = ['process']\n", "", &[]).await;
    let pid = site.process();
    let wanted = std::env::var("MOSAIC_FLAT_AGENTS").ok();
    let half = wanted.map_or(AGENTS, |wanted| wanted.parse().unwrap());
    run(&mut site, half).await;
    // Threads that had something to wait for go after ten seconds without.
    tokio::time::sleep(Duration::from_secs(12)).await;
    let middle = holdings(pid);
    run(&mut site, half).await;
    tokio::time::sleep(Duration::from_secs(12)).await;
    let end = holdings(pid);
    eprintln!("{middle:?} and after {half} more {end:?}");
    assert!(end.files <= middle.files + 3, "{middle:?} {end:?}");
    assert!(end.threads <= middle.threads + 3, "{middle:?} {end:?}");
    assert_eq!(end.children, 0, "{middle:?} {end:?}");
    // Less than 32 KiB for each agent that is gone: records in a cache, not what it was made of.
    let grown = end.memory.saturating_sub(middle.memory);
    assert!(grown <= 32 * half as u64, "{middle:?} {end:?}");
    for folder in ["agents", "run", "trash"] {
        let left = fs::read_dir(site.data().join(folder)).unwrap().count();
        assert_eq!(left, 0, "{folder}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_agents_leave_no_task_behind() {
    let stage = Stage::new().await;
    let tasks = || {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
    };
    let mut after = Vec::new();
    for _ in 0..2 {
        for _ in 0..500 {
            let agent = stage.running(&Stage::on_web()).await;
            stage.sandbox.finish(&agent, Ending::Exit(0));
            stage.cleaned(&agent).await;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        after.push(tasks());
    }
    assert_eq!(after[0], after[1]);
    assert!(stage.agents.alive().is_empty());
}

#[tokio::test]
async fn silent_connections_never_take_the_files_that_a_kill_needs() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = port.local_addr().unwrap();
    drop(port);
    let own = getrlimit(Resource::Nofile);
    let few = Rlimit {
        current: Some(128),
        ..own
    };
    setrlimit(Resource::Nofile, few).unwrap(); // the spoke inherits it
    let top = format!("sandboxes = ['process']\nlisten = '{address}'\n");
    let mut site = Site::start_with(&top, "", &[]).await;
    setrlimit(Resource::Nofile, own).unwrap();
    let (pid, socket) = (site.process(), site.data().join("spoke.sock"));
    let victim = site.spawn("sleep 600").await;
    let other = site.spawn("sleep 600").await;
    let before = holdings(pid);
    let local: Vec<_> = (0..100)
        .map(|_| UnixStream::connect(&socket).unwrap())
        .collect();
    let remote: Vec<_> = (0..300)
        .map(|_| std::net::TcpStream::connect(address).unwrap())
        .collect();
    until("the flood has arrived", || {
        holdings(pid).files > before.files + 40
    })
    .await;
    // Whoever was there is served, and so is the machine: death is proved from files.
    let begun = tokio::time::Instant::now();
    site.kill(&victim).await;
    assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
    assert_eq!(site.ended(&victim).await, pb::AgentState::Killed);
    assert!(holdings(pid).files < 128, "{:?}", holdings(pid));
    // Whoever comes now waits for the silent ones to be sent away, and for nothing else.
    let mut late = AgentServiceClient::new(connect(&socket).await);
    let request = pb::KillRequest {
        agent_id: other.clone(),
        ..Default::default()
    };
    late.kill(request).await.unwrap();
    assert_eq!(site.ended(&other).await, pb::AgentState::Killed);
    drop((local, remote, late));
    let after = site.spawn("true").await;
    assert_eq!(site.ended(&after).await, pb::AgentState::Completed);
    until("its files are what they were", || {
        holdings(pid).files <= before.files + 3
    })
    .await;
}
