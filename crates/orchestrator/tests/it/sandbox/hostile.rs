//! What an agent in a namespace or container cannot do. The agent is asked to try; the machine is then looked at.

use super::bench::{Bench, said};
use orchestrator::sandbox::{Ending, Network, SandboxSpec};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

claims!([docker, bubblewrap] [
    another_agents_folder_is_not_there,
    nothing_of_the_spoke_is_there,
    nothing_can_be_written_but_its_own_folder_and_a_tmp_of_its_own,
    no_process_but_its_own_can_be_seen,
    a_program_cannot_speak_for_its_parent,
    a_program_cannot_end_its_parent,
    no_program_gains_rights,
]);

/// Runs a script; its word, and what it said.
async fn tried(bench: &Bench, script: &str) -> (Ending, String) {
    let (spec, ending) = bench.run(script).await;
    (ending, said(&spec))
}

async fn another_agents_folder_is_not_there(bench: &Bench) {
    let victim = bench.spec("");
    let secret = victim.workdir.join("secret");
    fs::write(&secret, "canary").unwrap();
    for path in [&victim.folder, &victim.workdir, &secret] {
        // Even if it were careless about its modes.
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
    }
    let script = format!(
        "cat {0}; echo x > {0}; ls -A {1}; ls -A {2}",
        secret.display(),
        victim.folder.display(),
        bench.folders.data().display()
    );
    let (_, said) = tried(bench, &script).await;
    assert_eq!(said, "agents\n", "it sees the way to its own folder only");
    assert_eq!(fs::read_to_string(secret).unwrap(), "canary");
}

async fn nothing_of_the_spoke_is_there(bench: &Bench) {
    let folders = &bench.folders;
    let private = [
        folders.store(),
        folders.results(),
        folders.run_root(),
        folders.output_root(),
        folders.trash(),
        folders.cache(),
    ];
    for path in &private {
        fs::write(path.join("secret"), "canary").unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
        let path = path.display();
        let script = format!("cat {path}/secret; ls {path}; [ -e {path} ] && echo there; :");
        let (_, said) = tried(bench, &script).await;
        assert_eq!(said, "", "{path}");
    }
}

async fn nothing_can_be_written_but_its_own_folder_and_a_tmp_of_its_own(bench: &Bench) {
    let canary = format!("mosaic-canary-{}", std::process::id());
    let script = format!(
        "for at in / /usr /usr/bin /etc /var /root /home /proc /sys /.mosaic; do \
           (: > $at/{canary}) 2>/dev/null && echo $at; \
         done; : > /tmp/{canary} && : > $PWD/mine && rm /.mosaic/init 2>/dev/null || echo done; : > {data}/{canary}",
        data = bench.folders.data().display(),
    );
    let (_, said) = tried(bench, &script).await;
    assert_eq!(said, "done\n");
    let data = bench.folders.data();
    for at in ["/", "/usr", "/etc", "/tmp"]
        .map(Path::new)
        .into_iter()
        .chain([data])
    {
        let path = at.join(&canary);
        assert!(!path.exists(), "{}", path.display());
    }
}

async fn no_process_but_its_own_can_be_seen(bench: &Bench) {
    let script = "for at in /proc/[0-9]*; do tr '\\0' ' ' < $at/cmdline; echo; done; kill -KILL -1";
    let (_, said) = tried(bench, script).await;
    let foreign: Vec<_> = said
        .lines()
        .filter(|line| !line.is_empty())
        .filter(|line| !line.contains("supervise-") && !line.contains("for at in"))
        .filter(|line| !line.starts_with("tr "))
        .collect();
    assert_eq!(foreign, Vec::<&str>::new(), "{said}");
    assert!(said.contains("for at in"), "it sees itself: {said}");
}

#[tokio::test]
async fn the_machines_loopback_is_reached_only_with_its_network() {
    let Some(bench) = Bench::bubblewrap().await else {
        return;
    };
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let script = format!("exec bash -c 'exec 3<>/dev/tcp/127.0.0.1/{port} && exit 0; exit 9'");
    for (network, reached) in [(Network::None, false), (Network::Host, true)] {
        let spec = SandboxSpec {
            network,
            ..bench.spec(&script)
        };
        let (_, ending) = bench.run_spec(spec).await;
        assert_eq!(
            ending == Ending::Exit(0),
            reached,
            "{network:?}: {ending:?}"
        );
    }
}

async fn a_program_cannot_speak_for_its_parent(bench: &Bench) {
    let forged = "printf 'X\\004\\000\\000\\000\\000\\000\\000\\000' > /proc/1/fd/1";
    let script = format!("({forged}); (cat /proc/1/environ); sleep 0.2; exit 3");
    let (ending, said) = tried(bench, &script).await;
    assert_eq!((ending, said.as_str()), (Ending::Exit(3), ""));
}

async fn a_program_cannot_end_its_parent(bench: &Bench) {
    let (ending, _) = tried(bench, "kill -KILL 1; kill -STOP 1; exit 3").await;
    assert_eq!(ending, Ending::Exit(3));
}

async fn no_program_gains_rights(bench: &Bench) {
    let script = "grep -E '^(NoNewPrivs|CapBnd):' /proc/self/status; \
                  mount -t tmpfs none /usr 2>/dev/null && echo mounted; \
                  mount -o remount,rw / 2>/dev/null && echo remounted; :";
    let (_, said) = tried(bench, script).await;
    assert_eq!(said, "CapBnd:\t0000000000000000\nNoNewPrivs:\t1\n");
}
