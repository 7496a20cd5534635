//! `mosaic up`: a hub and a spoke in one process, for one machine.
//!
//! The first run makes identities, the connection between the two, a token, and the client's
//! own file; later runs find them. It makes nothing that two processes would not have.

use crate::commands::Context;
use crate::console::{Console, Form, Paint};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::image::ImageArgs;
use crate::target::ClientFile;
use anyhow::Context as _;
use federation_gateway::tokens::{Role, Tokens};
use federation_gateway::{Hub, config as hub_config};
use mosaic_common::Alias;
use mosaic_common::process::{self, LogFormat};
use mosaic_federation::identity::Identity;
use orchestrator::Spoke;
use orchestrator::config::{Config as SpokeConfig, Docker, SandboxName};
use serde::Serialize;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// What to run, and for which repositories.
#[derive(Debug, clap::Args)]
pub(crate) struct UpArgs {
    /// The folder for everything it keeps
    #[arg(long, value_name = "DIR", env = "MOSAIC_UP_DATA")]
    data: Option<PathBuf>,
    /// A repository that agents may work on; may be given again
    #[arg(long, value_name = "NAME=PATH", value_parser = repository)]
    repo: Vec<(Alias, PathBuf)>,
    /// Where agents live. Default: docker where an engine has the image, else bubblewrap; `process`
    /// isolates nothing and has to be asked for
    #[arg(long, value_name = "NAME")]
    sandbox: Option<SandboxName>,
    #[command(flatten)]
    image: ImageArgs,
    /// Where the hub listens for clients, on this machine only
    #[arg(long, value_name = "PORT", default_value_t = 7600)]
    port: u16,
}

/// Runs until it is told to stop.
///
/// # Errors
/// If something it needs cannot be made or started.
pub(crate) async fn run(args: UpArgs, context: &Context) -> Result<Exit, Failure> {
    // Hub and spoke do the work of servers: more than the client's one thread.
    let console = context.console;
    let work = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()?;
        runtime.block_on(serve(&args, console))
    });
    context
        .console
        .note("starting a hub and a spoke; ctrl-c stops both");
    match work.await {
        Ok(Ok(())) => Ok(Exit::Done),
        Ok(Err(error)) => Err(Failure::input(format!("{error:#}"))),
        Err(error) => Err(Failure::input(error.to_string())),
    }
}

async fn serve(args: &UpArgs, console: Console) -> anyhow::Result<()> {
    process::log(LogFormat::Text, "warn")?;
    let data = data_folder(args)?;
    let place = Place::prepare(&data, args)?;
    let spoke = Spoke::start(place.spoke()?)
        .await
        .context("cannot start the spoke")?;
    let listen = spoke.listen().context("the spoke listens to hubs")?;
    place.connect(&listen.to_string())?;
    let hub = Hub::start(place.hub(args.port)?)
        .await
        .context("cannot start the hub")?;
    let token = place.token().await?;
    place.client_file(&format!("http://{}", hub.address()), &token)?;
    let ready = Ready {
        endpoint: format!("http://{}", hub.address()),
        token_file: token,
        data: place.data.clone(),
        sandbox: first_sandbox(&spoke),
        repositories: place.names(),
    };
    greet(console, &ready);
    process::stop_signal().await?;
    hub.stop().await;
    spoke.stop().await;
    Ok(())
}

/// What there is once it serves.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Ready {
    /// Where the hub listens for clients.
    endpoint: String,
    /// The file with the client's token.
    token_file: PathBuf,
    /// The folder of everything it keeps.
    data: PathBuf,
    /// Where agents live.
    sandbox: String,
    /// What agents may work on.
    repositories: Vec<String>,
}

fn first_sandbox(spoke: &Spoke) -> String {
    let first = spoke.sandboxes().usable().next();
    first.map_or_else(String::new, |sandbox| sandbox.name().to_string())
}

/// Says that it serves. Nobody need read it: it serves all the same.
fn greet(console: Console, ready: &Ready) {
    if console.form() == Form::Json {
        drop(console.object(ready));
        return;
    }
    let repositories = match ready.repositories.as_slice() {
        [] => "none (pass --repo NAME=PATH)".to_owned(),
        names => names.join(", "),
    };
    let first = ready.repositories.first().map_or("NAME", String::as_str);
    let lines = [
        format!("hub     {}", ready.endpoint),
        format!("spoke   local, agents in {}", ready.sandbox),
        format!("data    {}", ready.data.display()),
        format!("repos   {repositories}"),
        String::new(),
        "in another terminal:".to_owned(),
        format!("  mosaic spawn --repo {first} --wait 'echo hello > hello.txt'"),
        "  mosaic ps --all".to_owned(),
    ];
    for line in lines {
        drop(console.line(Paint::Plain, &line));
    }
}

/// Everything that `up` keeps, in one folder.
struct Place {
    data: PathBuf,
    sandboxes: Vec<&'static str>,
    docker: Docker,
    repositories: Vec<(Alias, PathBuf)>,
}

impl Place {
    /// Makes what is missing.
    fn prepare(data: &Path, args: &UpArgs) -> anyhow::Result<Self> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o711)
            .create(data)?;
        for (folder, id) in [
            ("hub/identity", "hub-local"),
            ("spoke/identity", "spoke-local"),
        ] {
            if !data.join(folder).join("id").exists() {
                Identity::generate(&data.join(folder), id.parse()?).context("cannot make keys")?;
            }
        }
        // The data folder of a spoke must let agents' users through to their own.
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o711)
            .create(data.join("spoke"))?;
        let place = Self {
            data: data.to_owned(),
            sandboxes: match args.sandbox {
                Some(sandbox) => vec![sandbox.as_str()],
                None => vec![
                    SandboxName::Docker.as_str(),
                    SandboxName::Bubblewrap.as_str(),
                ],
            },
            docker: args.image.docker(),
            repositories: args.repo.clone(),
        };
        place.connections()?;
        Ok(place)
    }

    /// What agents may work on.
    fn names(&self) -> Vec<String> {
        let names = self.repositories.iter().map(|(name, _)| name.to_string());
        names.collect()
    }

    /// Writes the spoke's half of the connection: all of this spoke for its own hub.
    fn connections(&self) -> anyhow::Result<()> {
        let hub = Identity::load(&self.data.join("hub/identity"))?.public();
        let names = self.names();
        let text = format!(
            "[[connection]]\nid = \"local\"\nepoch = 1\nstate = \"active\"\nhub = \"{}\"\nsigning_key = \"{}\"\n\
             tls_key = \"{}\"\n[connection.grant]\n\
             commands = [\"spawn\", \"status\", \"list\", \"kill\", \"kill_all\", \"release\", \"watch\", \"logs\", \"result\"]\n\
             repositories = {names:?}\nprofiles = [\"command\"]\nsandboxes = {:?}\nmax_agents = 64\n\
             commands_per_minute = 6000\n",
            hub.id, hub.signing_key, hub.tls_key, self.sandboxes,
        );
        Ok(fs::write(self.data.join("spoke/connections.toml"), text)?)
    }

    /// Writes the hub's half, once the spoke listens.
    fn connect(&self, address: &str) -> anyhow::Result<()> {
        let spoke = Identity::load(&self.data.join("spoke/identity"))?.public();
        let text = format!(
            "[[connection]]\nid = \"local\"\nepoch = 1\nstate = \"active\"\nsite = \"local\"\nspoke = \"{}\"\n\
             address = \"{address}\"\nsigning_key = \"{}\"\ntls_key = \"{}\"\n",
            spoke.id, spoke.signing_key, spoke.tls_key
        );
        Ok(fs::write(self.data.join("hub/connections.toml"), text)?)
    }

    fn spoke(&self) -> anyhow::Result<SpokeConfig> {
        let mut text = format!(
            "name = \"local\"\ndata = {:?}\nlisten = \"127.0.0.1:0\"\nsandboxes = {:?}\n\
             default_profile = \"command\"\n[docker]\nimage = {:?}\npull = {}\n[profiles.command]\nkind = \"command\"\nargv = [\"/bin/sh\"]\n",
            self.data.join("spoke"),
            self.sandboxes,
            self.docker.image,
            self.docker.pull
        );
        for (name, path) in &self.repositories {
            text.push_str(&format!("[repositories.\"{name}\"]\npath = {path:?}\n"));
        }
        Ok(SpokeConfig::parse(
            &text,
            "the configuration that `mosaic up` makes".into(),
        )?)
    }

    fn hub(&self, port: u16) -> anyhow::Result<hub_config::Config> {
        let text = format!(
            "data = {:?}\nlisten = \"127.0.0.1:{port}\"\n",
            self.data.join("hub")
        );
        Ok(
            hub_config::Config::parse(&text, "the configuration that `mosaic up` makes".into())?
                .check()?,
        )
    }

    /// The client's token, made at the first run and kept where only this user can read it.
    async fn token(&self) -> anyhow::Result<PathBuf> {
        let file = self.data.join("client.token");
        if file.exists() {
            return Ok(file);
        }
        let tokens = Tokens::of(&self.data.join("hub"))?;
        let name: Alias = "mosaic-up".parse()?;
        tokens.revoke(&name).await?; // of a run that was cut off before it could keep it
        let secret = tokens.create(&name, Role::Admin).await?;
        private(&file)?.write_all(secret.as_bytes())?;
        Ok(file)
    }

    /// Tells later calls of `mosaic` where to go, unless the user has said so already.
    fn client_file(&self, endpoint: &str, token: &Path) -> anyhow::Result<()> {
        let Some(path) = ClientFile::path() else {
            return Ok(());
        };
        let ours = ClientFile {
            endpoint: Some(endpoint.to_owned()),
            ca: None,
            token_file: Some(token.to_owned()),
        };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let there = fs::read_to_string(&path).unwrap_or_default();
        let theirs = toml::from_str::<ClientFile>(&there).unwrap_or_default();
        if theirs.token_file.as_ref().is_some_and(|file| file != token) {
            anyhow::bail!(
                "{} names another hub; move it away, or pass --endpoint and --token-file",
                path.display()
            );
        }
        Ok(fs::write(&path, toml::to_string(&ours)?)?)
    }
}

fn private(path: &Path) -> std::io::Result<fs::File> {
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

/// The folder that was named; else root's place for state, or the user's.
fn data_folder(args: &UpArgs) -> anyhow::Result<PathBuf> {
    if let Some(data) = &args.data {
        return Ok(std::path::absolute(data)?);
    }
    if rustix::process::geteuid().is_root() {
        return Ok("/var/lib/mosaic".into());
    }
    let set = |name| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let state = set("XDG_STATE_HOME").or_else(|| Some(set("HOME")?.join(".local/state")));
    Ok(state
        .context("pass --data: neither XDG_STATE_HOME nor HOME is set")?
        .join("mosaic"))
}

fn repository(text: &str) -> Result<(Alias, PathBuf), String> {
    let (name, path) = text.split_once('=').ok_or("write NAME=PATH")?;
    let name = name.parse().map_err(|error| format!("{error}"))?;
    let path = std::path::absolute(path).map_err(|error| error.to_string())?;
    Ok((name, path))
}
