//! What isolates an agent is the same for every request.

use super::*;
use mosaic_common::agent::Limits;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;

fn site() -> Site {
    let settings = Settings {
        image: "image".to_owned(),
        runtime: Some("runsc".to_owned()),
        ..Settings::default()
    };
    let owner = "site".parse().unwrap();
    Site::new(
        &owner,
        &settings,
        &Folders::new("/data"),
        "/data/bin/supervise".into(),
    )
}

fn spec() -> SandboxSpec {
    let agent: AgentId = "ag_aaaaaaaaaaaaaaaaaaaaaaaaaa".parse().unwrap();
    SandboxSpec {
        argv: vec!["claude".to_owned()],
        env: BTreeMap::new(),
        stdin: b"task".to_vec(),
        folder: "/data/agents/a".into(),
        owner: Some(200_007),
        workdir: "/data/agents/a/worktree".into(),
        read_only: vec!["/data/cache/r.git/objects".into()],
        limits: Limits {
            memory_bytes: Some(1 << 30),
            cpu_millis: Some(1_500),
            pids: Some(100),
            ..Limits::default()
        },
        network: Network::None,
        image: None,
        output: "/data/output/a".into(),
        output_max: 1 << 20,
        agent,
    }
}

/// A container without what is empty, and without the mark of this process.
fn seen(spec: &SandboxSpec) -> Value {
    let mut body = site().container(spec);
    body.labels.as_mut().unwrap().remove(LIFE);
    serde_json::to_value(body).unwrap()
}

#[test]
fn a_container_is_hardened_to_the_letter() {
    let expected: Value = serde_json::from_str(include_str!("golden.json")).unwrap();
    let seen = seen(&spec());
    assert_eq!(
        seen,
        expected,
        "{}",
        serde_json::to_string_pretty(&seen).unwrap()
    );
}

#[test]
fn only_an_agent_with_a_network_is_on_one() {
    let with = SandboxSpec {
        network: Network::Host,
        ..spec()
    };
    assert_eq!(seen(&with)["HostConfig"]["NetworkMode"], site().network());
    assert_eq!(seen(&spec())["HostConfig"]["NetworkMode"], "none");
}

#[test]
fn no_limit_is_no_setting() {
    let free = SandboxSpec {
        limits: Limits::default(),
        ..spec()
    };
    let host = &seen(&free)["HostConfig"];
    for limit in ["Memory", "MemorySwap", "CpuQuota", "CpuPeriod", "PidsLimit"] {
        assert!(host.get(limit).is_none_or(Value::is_null), "{limit}");
    }
}

proptest! {
    /// Whatever a client asks for, only these differ from the golden container.
    #[test]
    fn no_field_of_a_request_changes_a_security_setting(
        task in ".*",
        argument in ".*",
        variable in "[A-Z_]{1,20}",
        value in ".*",
        memory in proptest::option::of(any::<u64>()),
        cpu_millis in proptest::option::of(any::<u32>()),
        pids in proptest::option::of(any::<u32>()),
        output_max in any::<u64>(),
    ) {
        let asked = SandboxSpec {
            argv: vec!["claude".to_owned(), argument],
            env: BTreeMap::from([(variable, value)]),
            stdin: task.into_bytes(),
            limits: Limits { memory_bytes: memory, cpu_millis, pids, ..Limits::default() },
            output_max,
            ..spec()
        };
        let (mut asked, mut golden) = (seen(&asked), seen(&spec()));
        for body in [&mut asked, &mut golden] {
            for limit in ["Memory", "MemorySwap", "CpuQuota", "CpuPeriod", "PidsLimit", "LogConfig"] {
                body["HostConfig"].as_object_mut().unwrap().remove(limit);
            }
            body["Labels"].as_object_mut().unwrap().remove(OUTPUT_MAX);
        }
        prop_assert_eq!(asked, golden);
    }

    /// A limit is what was asked, or as much as the engine can be told; never none or another one.
    #[test]
    fn limits_are_never_widened(memory in any::<u64>(), pids in any::<u32>(), cpu in any::<u32>()) {
        let limits = Limits {
            memory_bytes: Some(memory),
            pids: Some(pids),
            cpu_millis: Some(cpu),
            ..Limits::default()
        };
        let host = site().container(&SandboxSpec { limits, ..spec() }).host_config.unwrap();
        let (memory_seen, most) = (host.memory.unwrap(), memory.max(1));
        prop_assert!(memory_seen >= 1 && memory_seen.unsigned_abs() <= most, "{}", memory_seen);
        prop_assert_eq!(host.memory_swap, host.memory);
        prop_assert_eq!(host.pids_limit, Some(i64::from(pids) + OWN_TASKS));
        let quota = host.cpu_quota.unwrap();
        prop_assert!(quota >= 1 && quota <= (i64::from(cpu) * CPU_PERIOD / 1_000).max(1));
    }
}

#[test]
fn the_environment_and_the_task_are_told_and_never_recorded() {
    let secret = SandboxSpec {
        argv: vec!["canary-argument".to_owned()],
        env: BTreeMap::from([("TOKEN".to_owned(), "canary-value".to_owned())]),
        stdin: b"canary-task".to_vec(),
        ..spec()
    };
    assert!(!seen(&secret).to_string().contains("canary"));
}

#[test]
fn the_golden_container_is_closed() {
    let host = &seen(&spec())["HostConfig"];
    assert_eq!(host["Privileged"], json!(false));
    assert_eq!(host["CapDrop"], json!(["ALL"]));
    assert_eq!(host["SecurityOpt"], json!(["no-new-privileges"]));
    assert_eq!(host["ReadonlyRootfs"], json!(true));
    for open in [
        "Binds",
        "CapAdd",
        "Devices",
        "PidMode",
        "UsernsMode",
        "UTSMode",
        "GroupAdd",
    ] {
        assert!(host.get(open).is_none_or(Value::is_null), "{open}");
    }
}
