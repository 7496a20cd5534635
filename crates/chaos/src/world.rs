//! A hub, a spoke and Valkey as real processes, with keys, folders and sockets of their own, each
//! of which can be killed and started again; and a witness of what agents do.

mod config;
mod process;
mod witness;

pub use process::{Death, Part, play};
pub use witness::Witness;

use crate::check::Check;
use crate::seen::{Engine, Place};
use crate::told::at_socket;
use crate::work::Scope;
use anyhow::{Context, Result};
use mosaic_common::proto::agent::v1::agent_service_client::AgentServiceClient;
use mosaic_testkit::valkey::{AppendOnly, Server};
use process::Process;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::{Interceptor, interceptor::InterceptedService};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

/// A client of the hub, with its token.
pub type HubClient = AgentServiceClient<InterceptedService<Channel, Bearer>>;

/// Puts the token on a request.
#[derive(Debug, Clone)]
pub struct Bearer(MetadataValue<Ascii>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request
            .metadata_mut()
            .insert("authorization", self.0.clone());
        Ok(request)
    }
}

/// What is used at the next start of the spoke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Uses {
    /// Agents may run in containers.
    pub docker: bool,
    /// What happens is copied to Valkey, if there is a server.
    pub valkey: bool,
    /// Caches that nobody uses go at once.
    pub evicts: bool,
}

/// Everything of one site.
#[derive(Debug)]
pub struct World {
    hub: Option<Process>,
    spoke: Option<Process>,
    /// A server of its own; `None` where there is none on this machine.
    pub valkey: Option<Server>,
    /// What agents were seen to do.
    pub witness: Witness,
    uses: Uses,
    fresh: usize,
    token: MetadataValue<Ascii>,
    addresses: Addresses,
    site: String,
    number: u32,
    program: PathBuf,
    folder: tempfile::TempDir,
}

/// Where hub and spoke listen.
#[derive(Debug, Clone, Copy)]
struct Addresses {
    hub: SocketAddr,
    spoke: SocketAddr,
}

impl World {
    /// Makes keys, a repository and configurations, and starts everything. `program` plays the
    /// parts: this crate's own.
    ///
    /// # Errors
    /// The step that failed.
    pub async fn start(program: &Path, uses: Uses) -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let prefix = "mosaic-chaos-";
        let folder = tempfile::Builder::new().prefix(prefix).tempdir()?;
        config::pass_through(folder.path())?;
        let addresses = Addresses {
            hub: config::free_address()?,
            spoke: config::free_address()?,
        };
        let witness = Witness::of(&folder.path().join("witness"))?;
        let valkey = tokio::task::spawn_blocking(|| Server::start(AppendOnly::No)).await?;
        let site = format!("chaos-{}-{number}", std::process::id());
        let secret = config::prepare(folder.path(), &site, addresses).await?;
        let mut world = Self {
            hub: None,
            spoke: None,
            valkey,
            witness,
            uses,
            fresh: 0,
            token: format!("Bearer {secret}").parse().context("a token")?,
            addresses,
            site,
            number,
            program: program.to_owned(),
            folder,
        };
        world.run(Part::Spoke, None).await?;
        world.run(Part::Hub, None).await?;
        Ok(world)
    }

    /// Says what the next start of the spoke uses.
    pub fn use_next(&mut self, uses: Uses) {
        self.uses = uses;
    }

    /// The name of a repository that the spoke, when it is started again, knows and has not touched.
    pub fn fresh_repository(&mut self) -> String {
        self.fresh += 1;
        format!("fresh-{}", self.fresh)
    }

    /// Starts a part. With a failpoint it is not waited for: it may not get as far as to serve.
    ///
    /// # Errors
    /// If it does not come up.
    pub async fn run(&mut self, part: Part, failpoint: Option<&str>) -> Result<()> {
        self.write_config()?;
        let (config, log) = (self.config(part), self.log(part));
        let mut process = Process::start(&self.program, part, (&config, &log), failpoint)?;
        if failpoint.is_none() {
            let (socket, hub) = (self.socket(), self.addresses.hub);
            let serves = || match part {
                Part::Spoke => UnixStream::connect(&socket).is_ok(),
                Part::Hub => TcpStream::connect(hub).is_ok(),
            };
            process.until(serves).await?;
        }
        *self.slot(part) = Some(process);
        Ok(())
    }

    /// Kills the spoke and starts it again, with what it is to use now.
    ///
    /// # Errors
    /// If it does not come up.
    pub async fn restart_spoke(&mut self) -> Result<()> {
        self.kill(Part::Spoke);
        self.run(Part::Spoke, None).await
    }

    /// Stops everything, and leaves the folder for whoever looks into it.
    #[must_use]
    pub fn keep(mut self) -> String {
        self.folder.disable_cleanup(true);
        self.folder.path().display().to_string()
    }

    /// Kills a part as `kill -9` does.
    pub fn kill(&mut self, part: Part) {
        *self.slot(part) = None;
    }

    /// Asks a part to stop.
    pub fn ask_to_stop(&mut self, part: Part) {
        if let Some(process) = self.slot(part) {
            process.ask_to_stop();
        }
    }

    /// How a part ended; `None`: it lives, or was killed by us.
    pub fn death(&mut self, part: Part) -> Option<Death> {
        let slot = self.slot(part);
        let death = slot.as_mut()?.death()?;
        *slot = None;
        Some(death)
    }

    /// Whether a part has said something since it was started.
    #[must_use]
    pub fn has_said(&self, part: Part, text: &str) -> bool {
        let process = match part {
            Part::Hub => &self.hub,
            Part::Spoke => &self.spoke,
        };
        process
            .as_ref()
            .is_some_and(|process| process.has_said(text))
    }

    /// A part's process id, while it lives.
    #[must_use]
    pub fn pid(&self, part: Part) -> Option<u32> {
        match part {
            Part::Hub => self.hub.as_ref(),
            Part::Spoke => self.spoke.as_ref(),
        }
        .map(Process::id)
    }

    /// A client of the hub; it connects when it is used.
    ///
    /// # Errors
    /// If the address is none.
    pub fn at_hub(&self) -> Result<HubClient> {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.addresses.hub))?;
        let bearer = Bearer(self.token.clone());
        Ok(AgentServiceClient::with_interceptor(
            endpoint.connect_lazy(),
            bearer,
        ))
    }

    /// A client of the spoke's own socket; it connects when it is used.
    ///
    /// # Errors
    /// If the path is no address.
    pub fn at_spoke(&self) -> Result<AgentServiceClient<Channel>> {
        at_socket(&self.socket())
    }

    /// The checker of this world.
    ///
    /// # Errors
    /// If the spoke has no address.
    pub fn checker(&self) -> Result<Check> {
        let valkey = self.valkey.as_ref().filter(|_| self.uses.valkey);
        Ok(Check {
            place: Place {
                data: self.data(),
                site: self.site.clone(),
                engine: if self.uses.docker {
                    Engine::Asked
                } else {
                    Engine::Unused
                },
                valkey: valkey.and_then(|server| port(&server.url())),
            },
            client: self.at_spoke()?,
            scope: Scope::Promised,
        })
    }

    /// The site's name.
    #[must_use]
    pub fn site(&self) -> &str {
        &self.site
    }

    /// The spoke's data folder.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("spoke")
    }

    /// The folder of everything.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The file that a part's words go to.
    #[must_use]
    pub fn log(&self, part: Part) -> PathBuf {
        self.folder.path().join(format!("{}.log", part.name()))
    }

    fn socket(&self) -> PathBuf {
        self.data().join("spoke.sock")
    }

    fn config(&self, part: Part) -> PathBuf {
        self.folder.path().join(format!("{}.toml", part.name()))
    }

    fn write_config(&self) -> Result<()> {
        let valkey = self.valkey.as_ref().filter(|_| self.uses.valkey);
        config::write_spoke(&config::Spoke {
            folder: self.folder.path(),
            site: &self.site,
            number: self.number,
            addresses: self.addresses,
            docker: self.uses.docker,
            evicts: self.uses.evicts,
            valkey: valkey.map(Server::url),
            fresh: self.fresh,
        })
    }

    fn slot(&mut self, part: Part) -> &mut Option<Process> {
        match part {
            Part::Hub => &mut self.hub,
            Part::Spoke => &mut self.spoke,
        }
    }
}

impl Drop for World {
    /// A spoke that is told to stop takes its agents with it.
    fn drop(&mut self) {
        for part in [Part::Hub, Part::Spoke] {
            if let Some(mut process) = self.slot(part).take() {
                process.stop();
            }
        }
    }
}

fn port(url: &str) -> Option<u16> {
    url.rsplit_once(':')?.1.split('/').next()?.parse().ok()
}
