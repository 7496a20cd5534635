//! The containers of `docker-compose.yml`, under a name, a port and a folder of this test's own.

use crate::world::{Said, mosaic, said};
use serde_json::Value;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// What the images are built on, and Valkey's image: `scripts/engine start` makes it.
const BASE: &str = "mosaic-test";

/// Takes everything down, whatever is left: containers, networks, volumes, agents, and what root
/// wrote into the data folder.
const TEARDOWN: &str = r#"
$COMPOSE -p "$COMPOSE_PROJECT_NAME" down -v
for site in osaka tokyo; do
    docker ps -aq --filter "label=mosaic.data=$MOSAIC_DATA/$site" | xargs -r docker rm -f
done
docker run --rm -v "$MOSAIC_DATA:/data" "$MOSAIC_VALKEY_IMAGE" sh -c 'rm -rf /data/*'
"#;

/// Everything that runs. Dropped, or killed, it takes it down.
pub(crate) struct Stack {
    folder: tempfile::TempDir,
    compose: Vec<&'static str>,
    project: String,
    port: u16,
    images: Vec<(String, String)>,
    watchdog: Option<Child>,
}

impl Stack {
    /// Builds the images and starts them; `None`, loudly, where there is no engine to do it.
    pub(crate) fn up() -> Option<Self> {
        let Some(compose) = compose_program() else {
            assert!(
                std::env::var_os("MOSAIC_CI").is_none(),
                "a Docker engine, the image {BASE} (scripts/engine start) or docker-compose is missing"
            );
            eprintln!(
                "!!! no Docker engine, image {BASE} or docker-compose: docker-compose.yml was NOT tested"
            );
            return None;
        };
        let folder = tempfile::Builder::new().prefix("mosaic-compose-").tempdir();
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut stack = Self {
            folder: folder.unwrap(),
            compose,
            project: format!("mosaic-test-{}", std::process::id()),
            port: port.local_addr().unwrap().port(),
            images: build_images(),
            watchdog: None,
        };
        drop(port);
        fs::create_dir(stack.data()).unwrap();
        make_repository(&stack.folder.path().join("repository"));
        stack.watchdog = Some(stack.watch());
        stack.compose(&["up", "-d"]);
        Some(stack)
    }

    /// `MOSAIC_DATA`.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The image that a variable names.
    pub(crate) fn image(&self, variable: &str) -> &str {
        let mut images = self.images.iter();
        &images.find(|(name, _)| name == variable).unwrap().1
    }

    /// Runs compose; returns what it printed.
    pub(crate) fn compose(&self, arguments: &[&str]) -> String {
        let mut command = self.command(self.compose[0]);
        let done = said(command.args(&self.compose[1..]).args(arguments));
        assert_eq!(done.code, 0, "{arguments:?}: {}{}", done.out, done.err);
        done.out
    }

    /// Runs a program in a service's container; returns what it printed.
    pub(crate) fn exec(&self, service: &str, argv: &[&str]) -> String {
        self.compose(&[&["exec", "-T", service], argv].concat())
    }

    /// The same, however it ends.
    pub(crate) fn try_exec(&self, service: &str, argv: &[&str]) {
        let mut command = self.command(self.compose[0]);
        let command = command.args(&self.compose[1..]);
        drop(said(command.args(["exec", "-T", service]).args(argv)));
    }

    /// When a service's container was started last.
    pub(crate) fn started(&self, service: &str) -> String {
        let id = self.compose(&["ps", "-q", service]);
        docker(&["inspect", "--format", "{{.State.StartedAt}}", id.trim()])
    }

    /// Runs `mosaic` on the host, with what the stack gave the host.
    pub(crate) fn mosaic(&self, arguments: &[&str]) -> Said {
        let client = self.data().join("client");
        let mut command = mosaic();
        command
            .args(["--json", "--endpoint"])
            .arg(format!("https://localhost:{}", self.port))
            .arg("--ca")
            .arg(client.join("ca.crt"))
            .arg("--token-file")
            .arg(client.join("token"));
        said(command.args(arguments))
    }

    /// What the stack gave the host.
    pub(crate) fn client_files(&self) -> Vec<String> {
        let read = |name| fs::read_to_string(self.data().join("client").join(name)).unwrap();
        ["ca.crt", "token", "env"].map(read).to_vec()
    }

    /// The engine's records of all services' containers.
    pub(crate) fn containers(&self) -> Vec<Value> {
        let ids = self.labelled(&["ps", "-aq"]);
        let mut arguments = vec!["inspect"];
        arguments.extend(ids.iter().map(String::as_str));
        serde_json::from_str(&docker(&arguments)).unwrap()
    }

    /// A volume's name in the file.
    pub(crate) fn short(&self, volume: &str) -> String {
        let short = volume.strip_prefix(&format!("{}_", self.project));
        short.unwrap_or(volume).to_owned()
    }

    /// Everything that the engine still has of the stack and its agents.
    pub(crate) fn left(&self) -> Vec<String> {
        let mut left = self.labelled(&["ps", "-aq"]);
        left.extend(self.labelled(&["network", "ls", "-q"]));
        left.extend(self.labelled(&["volume", "ls", "-q"]));
        for site in ["osaka", "tokyo"] {
            let label = format!("label=mosaic.data={}", self.data().join(site).display());
            for list in [&["ps", "-aq"][..], &["network", "ls", "-q"]] {
                let agents = docker(&[list, &["--filter", &label]].concat());
                left.extend(agents.lines().map(str::to_owned));
            }
        }
        left
    }

    fn labelled(&self, list: &[&str]) -> Vec<String> {
        let label = format!("label=com.docker.compose.project={}", self.project);
        let found = docker(&[list, &["--filter", &label]].concat());
        found.lines().map(str::to_owned).collect()
    }

    /// A program that sees the stack's variables, at the top of the repository.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(top())
            .env("COMPOSE", self.compose.join(" "))
            .env("COMPOSE_PROJECT_NAME", &self.project)
            .env("MOSAIC_DATA", self.data())
            .env("MOSAIC_PORT", self.port.to_string())
            .env("MOSAIC_REPOSITORY", self.folder.path().join("repository"))
            .env(
                "MOSAIC_USER",
                rustix::process::geteuid().as_raw().to_string(),
            )
            .env("MOSAIC_VALKEY_IMAGE", BASE)
            .envs(self.images.iter().cloned())
            .stdin(Stdio::null());
        command
    }

    /// A process that takes everything down if this one is killed before it can.
    fn watch(&self) -> Child {
        let script = format!(
            "while kill -0 {}; do sleep 1; done\n{TEARDOWN}",
            std::process::id()
        );
        self.command("setsid")
            .args(["sh", "-c", &script])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let mut logs = self.command(self.compose[0]);
            logs.args(&self.compose[1..]).args(["logs", "--no-color"]);
            eprintln!("{}", said(&mut logs).out);
        }
        drop(said(self.command("sh").args(["-c", TEARDOWN])));
        if let Some(mut watchdog) = self.watchdog.take() {
            drop(watchdog.kill());
            drop(watchdog.wait());
        }
    }
}

/// Asks the engine; returns what it printed.
pub(crate) fn docker(arguments: &[&str]) -> String {
    let done = said(Command::new("docker").args(arguments));
    assert_eq!(done.code, 0, "{arguments:?}: {}", done.err);
    done.out.trim().to_owned()
}

/// How compose is called here, if it can be used.
fn compose_program() -> Option<Vec<&'static str>> {
    let works = |argv: &[&str]| {
        let mut command = Command::new(argv[0]);
        let command = command.args(&argv[1..]);
        let command = command.stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    if !works(&["docker", "image", "inspect", BASE]) {
        return None;
    }
    let ways = [vec!["docker", "compose"], vec!["docker-compose"]];
    let mut ways = ways.into_iter();
    ways.find(|way| works(&[way.as_slice(), &["version"]].concat()))
}

/// Builds the images around this very program, as `just images` does, and names them by their
/// contents: a build beside this one may move their tags meanwhile.
fn build_images() -> Vec<(String, String)> {
    let mut build = Command::new(top().join("scripts/images"));
    let build = build.arg(env!("CARGO_BIN_EXE_mosaic"));
    let built = said(build.env("BASE", BASE).env("TAG", "test"));
    assert_eq!(built.code, 0, "{}{}", built.out, built.err);
    ["agent", "hub", "spoke"]
        .map(|name| {
            let tag = format!("mosaic-{name}:test");
            let id = docker(&["image", "inspect", "--format", "{{.Id}}", &tag]);
            (format!("MOSAIC_{}_IMAGE", name.to_uppercase()), id)
        })
        .to_vec()
}

fn make_repository(folder: &Path) {
    let git = |arguments: &[&str]| {
        let mut git = Command::new("git");
        let git = git.arg("-C").arg(folder);
        let name = ["-c", "user.name=T", "-c", "user.email=t@example.invalid"];
        assert!(git.args(name).args(arguments).status().unwrap().success());
    };
    fs::create_dir(folder).unwrap();
    fs::write(folder.join("README.md"), "# Test\n").unwrap();
    git(&["init", "-q", "-b", "main"]);
    git(&["add", "."]);
    git(&["commit", "-q", "-m", "Begin"]);
}

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
