//! What the demo needs before anybody acts: folders, keys, connections, a small repository,
//! and one configuration file for each process.

use anyhow::{Context, Result, ensure};
use federation_gateway::tokens::{Role, Tokens};
use mosaic_common::Alias;
use mosaic_federation::identity::{Identity, PublicIdentity};
use orchestrator::config::{Docker, SandboxName};
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// The set scene. Its folder goes with it, unless it is kept.
pub(super) struct Scene {
    folder: TempDir,
    hub: SocketAddr,
    token: String,
    spokes: Vec<SpokePlace>,
    sandbox: Choice,
}

/// Where one spoke lives.
pub(super) struct SpokePlace {
    pub(super) name: String,
    pub(super) config: PathBuf,
    data: PathBuf,
    listen: SocketAddr,
}

impl SpokePlace {
    /// The spoke's local socket.
    pub(super) fn socket(&self) -> PathBuf {
        self.data.join("spoke.sock")
    }
}

/// The sandbox, and why that one.
struct Choice {
    name: SandboxName,
    why: String,
}

impl Scene {
    /// Makes everything, in a temporary folder that agents' users can reach.
    pub(super) async fn set(sandbox: Option<SandboxName>, docker: &Docker) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("mosaic-demo-").tempdir()?;
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o711))?;
        let root = folder.path().to_owned();
        make_repository(&root.join("repository")).context("cannot make the repository")?;
        let hub_identity = identity(&root.join("hub/identity"), "hub-demo")?;
        let hub = free_address()?;
        let sandbox = choose(sandbox, &root, docker).await;
        let mut spokes = Vec::new();
        let mut connections = String::new();
        for name in ["alpha", "beta"] {
            let data = root.join(name);
            let listen = free_address()?;
            let spoke = identity(&data.join("identity"), &format!("spoke-{name}"))?;
            connections.push_str(&hub_side(name, &spoke, listen));
            fs::write(
                data.join("connections.toml"),
                spoke_side(name, &hub_identity),
            )?;
            let config = root.join(format!("{name}.toml"));
            fs::write(
                &config,
                spoke_config(
                    name,
                    &data,
                    listen,
                    &root,
                    &sandbox_config(sandbox.name, docker),
                ),
            )?;
            spokes.push(SpokePlace {
                name: name.to_owned(),
                config,
                data,
                listen,
            });
        }
        fs::write(root.join("hub/connections.toml"), connections)?;
        fs::write(root.join("hub.toml"), hub_config(&root.join("hub"), hub))?;
        let token = make_token(&root.join("hub")).await?;
        Ok(Self {
            folder,
            hub,
            token,
            spokes,
            sandbox,
        })
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Leaves the folder where it is.
    pub(super) fn keep(mut self) -> PathBuf {
        self.folder.disable_cleanup(true);
        self.folder.path().to_owned()
    }

    pub(super) fn spokes(&self) -> &[SpokePlace] {
        &self.spokes
    }

    pub(super) fn spoke_folders(&self) -> Vec<PathBuf> {
        self.spokes.iter().map(|spoke| spoke.data.clone()).collect()
    }

    pub(super) fn hub_config(&self) -> PathBuf {
        self.folder().join("hub.toml")
    }

    pub(super) fn hub_address(&self) -> SocketAddr {
        self.hub
    }

    pub(super) fn endpoint(&self) -> String {
        format!("http://{}", self.hub)
    }

    pub(super) fn token(&self) -> &str {
        &self.token
    }

    pub(super) fn log(&self, name: &str) -> PathBuf {
        self.folder().join(format!("{name}.log"))
    }

    /// Where a process listens, for people.
    pub(super) fn place(&self, name: &str) -> String {
        match self.spokes.iter().find(|spoke| spoke.name == name) {
            Some(spoke) => format!(
                "mutual TLS on {}, its operator's socket in {}",
                spoke.listen,
                spoke.data.display()
            ),
            None => format!("clients on {}", self.endpoint()),
        }
    }

    pub(super) fn sandbox_and_why(&self) -> String {
        format!("{} ({})", self.sandbox.name.as_str(), self.sandbox.why)
    }

    pub(super) fn warning(&self) -> Option<&'static str> {
        match self.sandbox.name {
            SandboxName::Docker | SandboxName::Bubblewrap => None,
            SandboxName::Process => {
                Some("the process sandbox isolates nothing: agents can do what you can do")
            }
        }
    }
}

async fn choose(asked: Option<SandboxName>, root: &Path, docker: &Docker) -> Choice {
    if let Some(name) = asked {
        return Choice {
            name,
            why: "you asked for it".to_owned(),
        };
    }
    let no_docker = match orchestrator::docker_works(root, docker).await {
        Ok(()) => {
            return Choice {
                name: SandboxName::Docker,
                why: format!("an engine answers, and has the image {}", docker.image),
            };
        }
        Err(why) => why,
    };
    match orchestrator::bubblewrap_works(root) {
        Ok(()) => Choice {
            name: SandboxName::Bubblewrap,
            why: format!("no docker: {no_docker}"),
        },
        Err(why) => Choice {
            name: SandboxName::Process,
            why: format!("no docker: {no_docker}; no bubblewrap: {why}"),
        },
    }
}

/// What the configuration says of the sandbox.
fn sandbox_config(name: SandboxName, docker: &Docker) -> String {
    format!(
        "sandboxes = [\"{}\"]\n[docker]\nimage = {:?}\n",
        name.as_str(),
        docker.image
    )
}

fn identity(folder: &Path, id: &str) -> Result<PublicIdentity> {
    fs::create_dir_all(folder.parent().context("a folder has a parent")?)?;
    let id: Alias = id.parse()?;
    Ok(Identity::generate(folder, id)
        .context("cannot make keys")?
        .public())
}

/// A port that was free a moment ago.
fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

async fn make_token(hub: &Path) -> Result<String> {
    let tokens = Tokens::of(hub).context("cannot open the hub's store")?;
    tokens
        .create(&"demo".parse()?, Role::Admin)
        .await
        .context("cannot make a token")
}

fn hub_side(site: &str, spoke: &PublicIdentity, listen: SocketAddr) -> String {
    format!(
        "[[connection]]\nid = \"demo-{site}\"\nepoch = 1\nstate = \"active\"\nsite = \"{site}\"\nspoke = \"{}\"\n\
         address = \"{listen}\"\nsigning_key = \"{}\"\ntls_key = \"{}\"\n\n",
        spoke.id, spoke.signing_key, spoke.tls_key
    )
}

fn spoke_side(site: &str, hub: &PublicIdentity) -> String {
    format!(
        "[[connection]]\nid = \"demo-{site}\"\nepoch = 1\nstate = \"active\"\nhub = \"{}\"\n\
         signing_key = \"{}\"\ntls_key = \"{}\"\n[connection.grant]\n\
         commands = [\"spawn\", \"status\", \"list\", \"kill\", \"kill_all\", \"release\", \"watch\", \"logs\", \"result\"]\n\
         repositories = [\"demo\"]\nprofiles = [\"command\"]\nsandboxes = [\"docker\", \"bubblewrap\", \"process\"]\nmax_agents = 8\ncommands_per_minute = 6000\n",
        hub.id, hub.signing_key, hub.tls_key
    )
}

fn hub_config(data: &Path, listen: SocketAddr) -> String {
    format!("data = {data:?}\nlisten = \"{listen}\"\n")
}

fn spoke_config(name: &str, data: &Path, listen: SocketAddr, root: &Path, sandbox: &str) -> String {
    let repository = root.join("repository");
    format!(
        "name = \"{name}\"\ndata = {data:?}\nlisten = \"{listen}\"\n\
         default_profile = \"command\"\n{sandbox}[limits]\nmemory_bytes = 268435456\npids = 64\nwall_clock_seconds = 120\n\
         [repositories.demo]\npath = {repository:?}\n[profiles.command]\nkind = \"command\"\nargv = [\"/bin/sh\"]\n"
    )
}

fn make_repository(folder: &Path) -> Result<()> {
    fs::create_dir(folder)?;
    fs::write(
        folder.join("README.md"),
        "# A small repository\n\nAgents of the demo work on it.\n",
    )?;
    let identity = [
        "-c",
        "user.name=Demo",
        "-c",
        "user.email=demo@example.invalid",
    ];
    git(folder, &["init", "--quiet", "--initial-branch=main"])?;
    git(folder, &["add", "."])?;
    git(
        folder,
        &[&identity[..], &["commit", "--quiet", "-m", "Begin"]].concat(),
    )
}

fn git(folder: &Path, arguments: &[&str]) -> Result<()> {
    let done = Command::new("git")
        .args(arguments)
        .current_dir(folder)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .stdin(Stdio::null())
        .output()
        .context("cannot run git: install it")?;
    ensure!(
        done.status.success(),
        "git {arguments:?}: {}",
        String::from_utf8_lossy(&done.stderr).trim()
    );
    Ok(())
}
