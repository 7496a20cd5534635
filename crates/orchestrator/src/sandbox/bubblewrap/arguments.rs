//! Bubblewrap's command line. Pure, but for a look at how the system's folders are linked.
//! No secret ever stands on it: environments are inherited, never passed as arguments.

use crate::sandbox::{Network, SandboxSpec};
use std::path::Path;

/// Bytes of `/tmp`, which lies in memory and counts towards the agent's limit.
const TMP: u64 = 1024 * 1024 * 1024;

/// Where the parent of the program stands inside.
const INIT: &str = "/.mosaic/init";

/// What programs need of `/etc`, and nothing that tells of this machine's services.
const ETC: [&str; 9] = [
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/ssl",
    "/etc/ca-certificates",
    "/etc/alternatives",
    "/etc/passwd",
    "/etc/group",
    "/etc/nsswitch.conf",
];

/// What an agent that may use the network needs besides.
const NETWORK: [&str; 3] = ["/etc/resolv.conf", "/etc/hosts", "/etc/services"];

/// Everything between `bwrap` and the program's parent, that included.
pub(super) fn arguments(spec: &SandboxSpec, program: &Path) -> Vec<String> {
    let mut arguments: Vec<String> = vec![
        "--unshare-user",
        "--unshare-pid",
        "--unshare-ipc",
        "--unshare-uts",
        "--unshare-cgroup-try",
        // Process 1 of the namespace is ours: when it ends, the kernel kills the rest.
        "--as-pid-1",
        "--die-with-parent",
        "--new-session",
        "--cap-drop",
        "ALL",
        "--hostname",
        "agent",
    ]
    .into_iter()
    .map(String::from)
    .collect();
    let mut add = |parts: &[&str]| arguments.extend(parts.iter().map(|part| (*part).to_owned()));
    add(&["--ro-bind", "/usr", "/usr"]);
    for link in system_links() {
        add(&[&link]);
    }
    for path in ETC {
        add(&["--ro-bind-try", path, path]);
    }
    match spec.network {
        Network::None => add(&["--unshare-net"]),
        Network::Host => NETWORK
            .iter()
            .for_each(|path| add(&["--ro-bind-try", path, path])),
    }
    add(&["--proc", "/proc", "--dev", "/dev"]);
    add(&["--size", &TMP.to_string(), "--tmpfs", "/tmp"]);
    add(&["--ro-bind", &text(program), INIT]);
    for path in &spec.read_only {
        add(&["--ro-bind", &text(path), &text(path)]);
    }
    add(&["--bind", &text(&spec.folder), &text(&spec.folder)]);
    add(&[
        "--remount-ro",
        "/",
        "--chdir",
        &text(&spec.workdir),
        "--",
        INIT,
    ]);
    arguments
}

/// The system's top folders, as they are here: links into `/usr`, or folders of their own.
pub(super) fn system_links() -> Vec<String> {
    let mut arguments = Vec::new();
    for path in ["/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"] {
        match std::fs::read_link(path) {
            Ok(target) => {
                arguments.extend(["--symlink".to_owned(), text(&target), path.to_owned()]);
            }
            Err(_) => {
                arguments.extend(["--ro-bind-try".to_owned(), path.to_owned(), path.to_owned()]);
            }
        }
    }
    arguments
}

/// Paths here are made of the configuration's data folder and of ids; the configuration is text.
fn text(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use mosaic_common::{AgentId, CommandId, agent::Limits};

    fn spec(network: Network) -> SandboxSpec {
        let agent = AgentId::of_command(CommandId::random());
        SandboxSpec {
            agent,
            argv: vec!["sh".into()],
            env: [("SECRET".into(), "canary".into())].into(),
            stdin: b"canary".to_vec(),
            folder: "/d/agents/a".into(),
            owner: Some(7),
            workdir: "/d/agents/a/worktree".into(),
            read_only: vec!["/d/cache/r.git/objects".into()],
            limits: Limits::default(),
            network,
            image: None,
            output: "/d/output/a".into(),
            output_max: 1,
        }
    }

    #[test]
    fn nothing_of_the_machine_can_be_written_but_the_agents_own_folder() {
        let arguments = arguments(&spec(Network::None), Path::new("/d/bin/mosaic"));
        let writable: Vec<_> = arguments
            .iter()
            .zip(&arguments[1..])
            .filter(|(flag, _)| *flag == "--bind")
            .collect();
        assert_eq!(writable.len(), 1);
        assert_eq!(writable[0].1, "/d/agents/a");
        for needed in [
            "--unshare-pid",
            "--unshare-net",
            "--die-with-parent",
            "--new-session",
            "--as-pid-1",
        ] {
            assert!(
                arguments.iter().any(|argument| argument == needed),
                "{needed}"
            );
        }
    }

    #[test]
    fn the_network_is_there_only_when_it_is_asked_for() {
        let program = Path::new("/d/bin/mosaic");
        assert!(!arguments(&spec(Network::Host), program).contains(&"--unshare-net".to_owned()));
        assert!(!arguments(&spec(Network::None), program).contains(&"/etc/resolv.conf".to_owned()));
    }

    #[test]
    fn no_secret_stands_on_the_command_line() {
        let arguments = arguments(&spec(Network::None), Path::new("/d/bin/mosaic"));
        assert!(!arguments.iter().any(|argument| argument.contains("canary")));
    }
}
