//! What an agent's container is made of. Pure: the same request always gives the same container,
//! and nothing of a request but its limits reaches any setting that isolates it.

use super::seen::Seen;
use crate::config::Docker as Settings;
use crate::folders::Folders;
use crate::sandbox::supervise::CONTAIN;
use crate::sandbox::{Network, SandboxSpec};
use bollard::models::{
    ContainerCreateBody, HealthConfig, HostConfig, HostConfigLogConfig, Mount, MountBindOptions,
    MountType, ResourcesUlimits, RestartPolicy, RestartPolicyNameEnum,
};
use mosaic_common::{AgentId, Alias, CommandId};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Label: the agent's id.
pub(super) const AGENT: &str = "mosaic.agent";
/// Label, instead of the agent's: a container that only tries the engine out.
pub(super) const PROBE: &str = "mosaic.probe";
/// Label: the spoke's id.
const OWNER: &str = "mosaic.owner";
/// Label: the spoke's data folder, which tells two spokes of one id apart.
const DATA: &str = "mosaic.data";
/// Label: bytes of output to keep.
const OUTPUT_MAX: &str = "mosaic.output-max";
/// Label: which run of the spoke's process made it.
const LIFE: &str = "mosaic.life";

/// Where the first process stands inside.
const INIT: &str = "/.mosaic/init";

/// Bytes of `/tmp`, which lies in memory and counts towards the agent's limit.
const TMP: u64 = 1024 * 1024 * 1024;

/// The length of an accounting period of processor time in microseconds: the kernel's default.
const CPU_PERIOD: i64 = 100_000;

/// Threads of the first process, which come on top of the limit.
const OWN_TASKS: i64 = 8;

/// What all containers of one spoke have in common.
#[derive(Debug, Clone)]
pub(super) struct Site {
    owner: String,
    data: PathBuf,
    fingerprint: String,
    image: String,
    runtime: Option<String>,
    program: PathBuf,
    /// The label that names whose a container is.
    mark: &'static str,
}

impl Site {
    pub(super) fn new(
        owner: &Alias,
        settings: &Settings,
        folders: &Folders,
        program: PathBuf,
    ) -> Self {
        Self {
            owner: owner.to_string(),
            data: folders.data().to_owned(),
            fingerprint: folders.fingerprint(),
            image: settings.image.clone(),
            runtime: settings.runtime.clone(),
            program,
            mark: AGENT,
        }
    }

    /// The same for containers that are no agent's.
    pub(super) fn probing(&self) -> Self {
        Self {
            mark: PROBE,
            ..self.clone()
        }
    }

    /// The folder of the first process's program.
    pub(super) fn program_folder(&self) -> PathBuf {
        self.program.parent().unwrap_or(&self.data).to_owned()
    }

    /// The agent's container, there or not.
    pub(super) fn container_name(&self, agent: &AgentId) -> String {
        format!("mosaic-{}-{agent}", self.owner)
    }

    /// The network of agents that may use one.
    pub(super) fn network(&self) -> String {
        format!("mosaic-{}-{}", self.owner, self.fingerprint)
    }

    /// The network this agent needs to be there.
    pub(super) fn network_of(&self, spec: &SandboxSpec) -> Option<String> {
        (spec.network == Network::Host).then(|| self.network())
    }

    /// What everything of this spoke is labelled with.
    pub(super) fn labels(&self) -> HashMap<String, String> {
        let mut labels = labels_of(&self.data);
        labels.insert(OWNER.to_owned(), self.owner.clone());
        labels
    }

    /// Whether a container is this spoke's, and this agent's.
    pub(super) fn owns(&self, seen: &Seen, agent: &AgentId) -> bool {
        let mut labels = self.labels();
        labels.insert(AGENT.to_owned(), agent.to_string());
        labels
            .iter()
            .all(|(name, value)| seen.labels.get(name) == Some(value))
    }

    /// Whether this very process made the container.
    pub(super) fn is_of_this_life(&self, seen: &Seen) -> bool {
        seen.labels.get(LIFE).is_some_and(|made| made == life())
    }

    /// How many bytes of output are kept of it.
    pub(super) fn output_max(&self, seen: &Seen) -> u64 {
        let max = seen.labels.get(OUTPUT_MAX);
        max.and_then(|max| max.parse().ok()).unwrap_or(0)
    }

    /// The agent's container.
    pub(super) fn container(&self, spec: &SandboxSpec) -> ContainerCreateBody {
        let mut labels = self.labels();
        labels.extend([
            (self.mark.to_owned(), spec.agent.to_string()),
            (OUTPUT_MAX.to_owned(), spec.output_max.to_string()),
            (LIFE.to_owned(), life().to_owned()),
        ]);
        ContainerCreateBody {
            image: Some(spec.image.clone().unwrap_or_else(|| self.image.clone())),
            entrypoint: Some(vec![INIT.to_owned(), CONTAIN.to_owned()]),
            env: Some(vec![format!("{}={}", super::begin::MARK, spec.agent)]),
            user: Some(user(spec.owner)),
            working_dir: Some(text(&spec.workdir)),
            hostname: Some("agent".to_owned()),
            labels: Some(labels),
            open_stdin: Some(true),
            stdin_once: Some(true),
            attach_stdin: Some(true),
            tty: Some(false),
            healthcheck: Some(HealthConfig {
                test: Some(vec!["NONE".to_owned()]),
                ..HealthConfig::default()
            }),
            host_config: Some(self.host(spec)),
            ..ContainerCreateBody::default()
        }
    }

    fn host(&self, spec: &SandboxSpec) -> HostConfig {
        let limits = &spec.limits;
        // Zero would be no limit.
        let memory = limits
            .memory_bytes
            .map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX).max(1));
        let cpu = limits
            .cpu_millis
            .map(|millis| (i64::from(millis) * CPU_PERIOD / 1_000).max(1));
        let mut mounts = vec![mount(&self.program, Path::new(INIT), true)];
        mounts.extend(spec.read_only.iter().map(|path| mount(path, path, true)));
        mounts.push(mount(&spec.folder, &spec.folder, false));
        HostConfig {
            privileged: Some(false),
            cap_drop: Some(vec!["ALL".to_owned()]),
            // The engine's own seccomp filter and AppArmor profile stay as they are.
            security_opt: Some(vec!["no-new-privileges".to_owned()]),
            readonly_rootfs: Some(true),
            ipc_mode: Some("private".to_owned()),
            network_mode: Some(self.network_of(spec).unwrap_or_else(|| "none".to_owned())),
            publish_all_ports: Some(false),
            mounts: Some(mounts),
            tmpfs: Some(HashMap::from([(
                "/tmp".to_owned(),
                format!("rw,exec,nosuid,nodev,mode=1777,size={TMP}"),
            )])),
            memory,
            memory_swap: memory, // both together: no swap
            cpu_period: cpu.map(|_| CPU_PERIOD),
            cpu_quota: cpu,
            pids_limit: limits.pids.map(|pids| i64::from(pids) + OWN_TASKS),
            ulimits: Some(vec![ResourcesUlimits {
                name: Some("core".to_owned()),
                soft: Some(0),
                hard: Some(0),
            }]),
            restart_policy: Some(RestartPolicy {
                name: Some(RestartPolicyNameEnum::NO),
                maximum_retry_count: None,
            }),
            auto_remove: Some(false), // its log and ending are read after its end
            log_config: Some(log(spec.output_max)),
            runtime: self.runtime.clone(),
            // Its first process is ours, and reaps.
            init: Some(false),
            ..HostConfig::default()
        }
    }
}

/// What everything of the spoke with this data folder is labelled with, whatever its id is.
pub(super) fn labels_of(data: &Path) -> HashMap<String, String> {
    HashMap::from([(DATA.to_owned(), text(data))])
}

/// The engine's log, in the one format that all engines can read back. It holds output in base64;
/// twice what is kept of it, so that a spoke that was away finds all that it would keep.
fn log(output_max: u64) -> HostConfigLogConfig {
    let size = output_max.saturating_mul(2).max(1024 * 1024);
    HostConfigLogConfig {
        typ: Some("json-file".to_owned()),
        config: Some(HashMap::from([
            ("max-size".to_owned(), size.to_string()),
            ("max-file".to_owned(), "2".to_owned()),
        ])),
    }
}

/// The agent's own user, or the spoke's where agents have none of their own.
fn user(owner: Option<u32>) -> String {
    let user = owner.unwrap_or_else(|| rustix::process::geteuid().as_raw());
    let group = owner.unwrap_or_else(|| rustix::process::getegid().as_raw());
    format!("{user}:{group}")
}

fn mount(source: &Path, target: &Path, read_only: bool) -> Mount {
    Mount {
        typ: Some(MountType::BIND),
        source: Some(text(source)),
        target: Some(text(target)),
        read_only: Some(read_only),
        bind_options: Some(MountBindOptions {
            propagation: None, // private
            ..MountBindOptions::default()
        }),
        ..Mount::default()
    }
}

/// Names this run of the process: of a container that another run made, nobody is the maker any more.
fn life() -> &'static str {
    static LIFE: OnceLock<String> = OnceLock::new();
    LIFE.get_or_init(|| CommandId::random().to_string())
}

/// Paths here are made of the configuration's data folder and of ids; the configuration is text.
fn text(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests;
