//! Hubs and spokes as real processes, with their own keys, folders and sockets.

#![allow(clippy::disallowed_methods)] // it watches real processes, in real time

mod faults;
pub(crate) mod network;

pub(crate) use faults::end;

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// How long anything that is waited for may take: far more than it does.
const PATIENCE: Duration = Duration::from_secs(60);

/// A folder with keys and configurations, and the processes that live in it.
pub(crate) struct World {
    folder: tempfile::TempDir,
    hubs: BTreeMap<String, (SocketAddr, Option<Child>)>,
    spokes: BTreeMap<String, (SocketAddr, Option<Child>)>,
    sandbox: &'static str,
    failpoint: Option<String>,
    /// Spokes that live in a network of their own.
    networks: BTreeMap<String, String>,
}

/// What a process prints, and how it ended.
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    /// The one JSON object on standard output.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(self.out.trim())
            .unwrap_or_else(|error| panic!("{error}: {}\n{}", self.out, self.err))
    }

    /// Every JSON object on standard output.
    pub(crate) fn lines(&self) -> Vec<serde_json::Value> {
        self.out
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// The reason code on standard error.
    pub(crate) fn reason(&self) -> String {
        let error: serde_json::Value = serde_json::from_str(self.err.trim()).unwrap_or_default();
        error["error"]["reason"]
            .as_str()
            .unwrap_or(&self.err)
            .to_owned()
    }
}

impl World {
    /// Hubs and spokes, each hub connected to each spoke that `connected` names for it.
    pub(crate) fn new(connected: &[(&str, &[&str])]) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("mosaic-test-")
            .tempdir()
            .unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o711)).unwrap();
        let sandbox = if bubblewrap_works() {
            "bubblewrap"
        } else {
            "process"
        };
        let mut world = Self {
            folder,
            hubs: BTreeMap::new(),
            spokes: BTreeMap::new(),
            sandbox,
            failpoint: None,
            networks: BTreeMap::new(),
        };
        world.make_repository();
        let spokes: std::collections::BTreeSet<&str> = connected
            .iter()
            .flat_map(|(_, spokes)| spokes.iter().copied())
            .collect();
        for spoke in spokes {
            world.keygen(spoke, &format!("spoke-{spoke}"));
            world
                .spokes
                .insert(spoke.to_owned(), (free_address(), None));
        }
        for (hub, _) in connected {
            world.keygen(hub, hub);
            world.hubs.insert((*hub).to_owned(), (free_address(), None));
        }
        for (hub, spokes) in connected {
            world.connect(hub, spokes);
        }
        for spoke in world.spokes.keys() {
            let theirs = connected
                .iter()
                .filter(|(_, spokes)| spokes.contains(&spoke.as_str()));
            let hubs: Vec<&str> = theirs.map(|(hub, _)| *hub).collect();
            world.write_spoke(spoke, &hubs, "active");
        }
        world.start_all();
        world
    }

    /// One hub and these spokes.
    pub(crate) fn of(spokes: &[&str]) -> Self {
        Self::new(&[("hub", spokes)])
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The data folder of a hub or a spoke.
    pub(crate) fn data(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    pub(crate) fn hub_address(&self, hub: &str) -> SocketAddr {
        self.hubs[hub].0
    }

    pub(crate) fn token_file(&self, hub: &str) -> PathBuf {
        self.folder().join(format!("{hub}.token"))
    }

    pub(crate) fn socket(&self, spoke: &str) -> PathBuf {
        self.data(spoke).join("spoke.sock")
    }

    /// Runs `mosaic` against the hub called `hub`.
    pub(crate) fn hub(&self, arguments: &[&str]) -> Said {
        self.at_hub("hub", arguments)
    }

    /// Runs `mosaic` against a hub.
    pub(crate) fn at_hub(&self, hub: &str, arguments: &[&str]) -> Said {
        let endpoint = format!("http://{}", self.hub_address(hub));
        let token = self.token_file(hub).display().to_string();
        said(
            mosaic()
                .args(["--json", "--endpoint", &endpoint, "--token-file", &token])
                .args(arguments),
        )
    }

    /// Runs `mosaic` against a spoke's socket.
    pub(crate) fn at_spoke(&self, spoke: &str, arguments: &[&str]) -> Said {
        let endpoint = format!("unix:{}", self.socket(spoke).display());
        said(
            mosaic()
                .args(["--json", "--endpoint", &endpoint])
                .args(arguments),
        )
    }

    /// Spawns an agent at a site through the hub called `hub`, and returns its id.
    pub(crate) fn spawn(&self, site: &str, script: &str) -> String {
        let said = self.hub(&["spawn", "--site", site, "--repo", "demo", script]);
        assert_eq!(said.code, 0, "{}", said.err);
        said.json()["agentId"].as_str().unwrap().to_owned()
    }

    /// Waits until an agent's output holds a text, asked at its spoke.
    pub(crate) fn until_it_says(&self, spoke: &str, agent: &str, text: &str) {
        until(&format!("{agent} to say {text:?}"), || {
            self.at_spoke(spoke, &["logs", agent]).out.contains(text)
        });
    }

    /// Waits until an agent's record holds what is wanted, asked at its spoke.
    pub(crate) fn until_state(&self, spoke: &str, agent: &str, state: &str) -> serde_json::Value {
        let mut last = serde_json::Value::Null;
        until(&format!("{agent} to be {state}"), || {
            last = self.at_spoke(spoke, &["status", agent]).json();
            last["state"] == state
                && (state == "running" || state == "queued" || !last["cleanup"].is_null())
        });
        last
    }

    /// Counts what a spoke has on the machine, without asking it.
    pub(crate) fn inventory(&self, spoke: &str) -> serde_json::Value {
        let said = said(
            mosaic()
                .arg("--json")
                .arg("inventory")
                .arg(self.data(spoke)),
        );
        assert_eq!(said.code, 0, "{}", said.err);
        said.json()
    }

    /// Sends a signal to a hub or a spoke.
    pub(crate) fn signal(&self, name: &str, signal: &str) {
        let child = self
            .hubs
            .get(name)
            .or_else(|| self.spokes.get(name))
            .unwrap()
            .1
            .as_ref()
            .unwrap();
        let killed = Command::new("kill")
            .args([signal, &child.id().to_string()])
            .status()
            .unwrap();
        assert!(killed.success());
    }

    /// Waits for the end of a hub or a spoke that was told to stop.
    pub(crate) fn ended(&mut self, name: &str) -> i32 {
        let entry = self
            .hubs
            .get_mut(name)
            .or_else(|| self.spokes.get_mut(name))
            .unwrap();
        let mut child = entry.1.take().unwrap();
        let mut code = None;
        until(&format!("{name} to end"), || {
            code = child.try_wait().unwrap();
            code.is_some()
        });
        code.unwrap().code().unwrap_or(-1)
    }

    /// Starts a spoke again.
    pub(crate) fn start_spoke(&mut self, spoke: &str) {
        let child = self.start(spoke, "spoke");
        self.spokes.get_mut(spoke).unwrap().1 = Some(child);
        let socket = self.socket(spoke);
        until(&format!("{spoke} to serve"), || {
            std::os::unix::net::UnixStream::connect(&socket).is_ok()
        });
    }

    /// Starts a hub again.
    pub(crate) fn start_hub(&mut self, hub: &str) {
        let child = self.start(hub, "hub");
        let may_die = self.failpoint.is_some();
        let entry = self.hubs.get_mut(hub).unwrap();
        let child = entry.1.insert(child);
        until(&format!("{hub} to serve"), || {
            // Who is to die at a failpoint may do so before anybody has seen it serve.
            let mut is_dead = || child.try_wait().unwrap().is_some();
            std::net::TcpStream::connect(entry.0).is_ok() || (may_die && is_dead())
        });
    }

    /// What a process has logged so far.
    pub(crate) fn log(&self, name: &str) -> String {
        fs::read_to_string(self.folder().join(format!("{name}.log"))).unwrap_or_default()
    }

    /// Writes a spoke's half of its connections.
    pub(crate) fn write_spoke(&self, spoke: &str, hubs: &[&str], state: &str) {
        let mut connections = String::new();
        for hub in hubs {
            let keys = self.public(hub);
            connections.push_str(&format!(
                "[[connection]]\nid = \"{hub}-{spoke}\"\nepoch = 1\nstate = \"{state}\"\nhub = \"{hub}\"\n{keys}\
                 [connection.grant]\ncommands = [\"spawn\", \"status\", \"list\", \"kill\", \"kill_all\", \"release\", \
                 \"watch\", \"logs\", \"result\"]\nrepositories = [\"demo\"]\nprofiles = [\"command\", \"secret\"]\n\
                 sandboxes = [\"bubblewrap\", \"process\"]\nmax_agents = 8\ncommands_per_minute = 60000\n"
            ));
        }
        fs::write(self.data(spoke).join("connections.toml"), connections).unwrap();
        let (address, _) = self.spokes[spoke];
        let text = format!(
            "name = \"{spoke}\"\ndata = {:?}\nlisten = \"{address}\"\nsandboxes = [\"{}\"]\n\
             default_profile = \"command\"\n[limits]\nmemory_bytes = 536870912\npids = 128\nwall_clock_seconds = 300\n\
             [times]\nstop_grace_seconds = 2\n[repositories.demo]\npath = {:?}\n\
             [profiles.command]\nkind = \"command\"\nargv = [\"/bin/sh\"]\n\
             [profiles.secret]\nkind = \"command\"\nargv = [\"/bin/sh\"]\nsecrets = {{ API_KEY = {{ file = {:?} }} }}\n",
            self.data(spoke),
            self.sandbox,
            self.folder().join("repository"),
            self.folder().join("secret"),
        );
        fs::write(self.folder().join(format!("{spoke}.toml")), text).unwrap();
    }

    /// Adds tables to a service's configuration; it reads them when it starts.
    pub(crate) fn add_to_config(&self, name: &str, tables: &str) {
        let path = self.folder().join(format!("{name}.toml"));
        let text = fs::read_to_string(&path).unwrap();
        fs::write(path, text + tables).unwrap();
    }

    fn connect(&mut self, hub: &str, spokes: &[&str]) {
        let mut connections = String::new();
        for spoke in spokes {
            let (address, _) = self.spokes[*spoke];
            connections.push_str(&format!(
                "[[connection]]\nid = \"{hub}-{spoke}\"\nepoch = 1\nstate = \"active\"\nsite = \"{spoke}\"\n\
                 spoke = \"spoke-{spoke}\"\naddress = \"{address}\"\n{}\n",
                self.public(spoke)
            ));
        }
        fs::write(self.data(hub).join("connections.toml"), connections).unwrap();
        let (address, _) = self.hubs[hub];
        let text = format!("data = {:?}\nlisten = \"{address}\"\n", self.data(hub));
        fs::write(self.folder().join(format!("{hub}.toml")), text).unwrap();
        let (data, out) = (self.data(hub), self.token_file(hub));
        let made = said(
            mosaic()
                .args([
                    "token", "create", "--name", "test", "--role", "admin", "--data",
                ])
                .arg(data)
                .arg("--out")
                .arg(out),
        );
        assert_eq!(made.code, 0, "{}", made.err);
    }

    fn keygen(&self, name: &str, id: &str) {
        let made = said(
            mosaic()
                .args(["--json", "keygen", "--id", id, "--out"])
                .arg(self.data(name).join("identity")),
        );
        assert_eq!(made.code, 0, "{}", made.err);
        fs::write(self.folder().join(format!("{name}.public")), &made.out).unwrap();
    }

    /// Both public keys of a hub or spoke, as a connections file has them.
    fn public(&self, name: &str) -> String {
        let text = fs::read_to_string(self.folder().join(format!("{name}.public"))).unwrap();
        let keys: serde_json::Value = serde_json::from_str(&text).unwrap();
        format!(
            "signing_key = {}\ntls_key = {}\n",
            keys["signingKey"], keys["tlsKey"]
        )
    }

    fn make_repository(&self) {
        let repository = self.folder().join("repository");
        fs::create_dir(&repository).unwrap();
        fs::write(repository.join("README.md"), "# Test\n").unwrap();
        fs::write(self.folder().join("secret"), crate::federation::CANARY).unwrap();
        for arguments in [
            &["init", "-q", "-b", "main"][..],
            &["add", "."],
            &[
                "-c",
                "user.name=T",
                "-c",
                "user.email=t@example.invalid",
                "commit",
                "-q",
                "-m",
                "Begin",
            ],
        ] {
            let done = Command::new("git")
                .args(arguments)
                .current_dir(&repository)
                .status()
                .unwrap();
            assert!(done.success());
        }
    }

    fn start_all(&mut self) {
        for spoke in self.spokes.keys().cloned().collect::<Vec<_>>() {
            self.start_spoke(&spoke);
        }
        for hub in self.hubs.keys().cloned().collect::<Vec<_>>() {
            self.start_hub(&hub);
        }
    }

    fn start(&self, name: &str, part: &str) -> Child {
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.folder().join(format!("{name}.log")));
        let log = log.unwrap();
        let mut program = match self.networks.get(name) {
            Some(network) => network::within(network),
            None => mosaic(),
        };
        program.envs(
            self.failpoint
                .iter()
                .map(|place| ("MOSAIC_FAILPOINT", place)),
        );
        program
            .args([
                part,
                "--log-filter",
                "debug,h2=info,tower=info,hyper_util=info",
                "--config",
            ])
            .arg(self.folder().join(format!("{name}.toml")))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap()
    }
}

impl Drop for World {
    /// Stops everything; a spoke takes its agents with it.
    fn drop(&mut self) {
        let mut children: Vec<Child> = Vec::new();
        for (_, child) in self.hubs.values_mut().chain(self.spokes.values_mut()) {
            children.extend(child.take());
        }
        for child in &children {
            drop(
                Command::new("kill")
                    .args(["-TERM", &child.id().to_string()])
                    .status(),
            );
        }
        let deadline = Instant::now() + PATIENCE;
        for mut child in children {
            while child.try_wait().is_ok_and(|code| code.is_none()) && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(10));
            }
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// Waits until something holds.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited too long for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The program, with nothing of the caller's environment that it would heed.
pub(crate) fn mosaic() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mosaic"));
    for name in [
        "MOSAIC_ENDPOINT",
        "MOSAIC_TOKEN",
        "MOSAIC_TOKEN_FILE",
        "MOSAIC_CA",
    ] {
        command.env_remove(name);
    }
    command
        .env("XDG_CONFIG_HOME", "/nonexistent")
        .stdin(Stdio::null());
    command
}

/// Runs a program to its end.
pub(crate) fn said(command: &mut Command) -> Said {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    Said {
        code: status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&stdout).into_owned(),
        err: String::from_utf8_lossy(&stderr).into_owned(),
    }
}

/// Whether agents can live in bubblewrap here. In CI they must.
fn bubblewrap_works() -> bool {
    let works = Command::new("bwrap")
        .args(["--unshare-all", "--ro-bind", "/", "/", "true"])
        .status();
    let works = works.is_ok_and(|status| status.success());
    assert!(
        works || std::env::var_os("MOSAIC_CI").is_none(),
        "bubblewrap is missing"
    );
    if !works {
        eprintln!("!!! bubblewrap does not work here: tested with the process sandbox only");
    }
    works
}

fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .unwrap()
        .local_addr()
        .unwrap()
}
