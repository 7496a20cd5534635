//! Keys, connections and configurations of a world: the product's defaults, but for what is said here.

use super::Addresses;
use crate::plan::MOST;
use anyhow::{Context, Result, ensure};
use federation_gateway::tokens::{Role, Tokens};
use mosaic_common::Alias;
use mosaic_federation::identity::Identity;
use std::fmt::Write;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// The hub's id.
const HUB: &str = "hub-chaos";
/// Agents that run at once: more than a round starts.
const AGENTS: usize = 32;
/// Users for the agents of one world, and where they begin: two worlds on one machine must not
/// share any, since a spoke kills what its agents' users run.
const USERS: (u32, u32) = (1_000_000, 1_000);
/// Worlds of one process that may live at once; the next one takes the users of one that is gone.
const WORLDS: u32 = 16;
/// Processes with worlds: those whose ids differ by as many are not there at once.
const PROCESSES: u32 = 65_536;
/// The image of agents in containers: the one that tests use.
const IMAGE: &str = "mosaic-test";

/// What a spoke's configuration depends on.
pub(super) struct Spoke<'a> {
    pub(super) folder: &'a Path,
    pub(super) site: &'a str,
    pub(super) number: u32,
    pub(super) addresses: Addresses,
    pub(super) docker: bool,
    pub(super) evicts: bool,
    pub(super) valkey: Option<String>,
    pub(super) fresh: usize,
}

/// Makes keys, both halves of the connection, the repository and the hub's configuration. Returns
/// the client's token.
pub(super) async fn prepare(folder: &Path, site: &str, addresses: Addresses) -> Result<String> {
    let (hub_data, spoke_data) = (folder.join("hub"), folder.join("spoke"));
    let hub = Identity::generate(&hub_data.join("identity"), HUB.parse()?)?.public();
    let spoke = Identity::generate(&spoke_data.join("identity"), spoke_id(site).parse()?)?.public();
    pass_through(&spoke_data)?;
    let keys = format!(
        "hub = \"{HUB}\"\nsigning_key = \"{}\"\ntls_key = \"{}\"\n",
        hub.signing_key, hub.tls_key
    );
    fs::write(folder.join("hub.keys"), keys)?;
    let connection = format!(
        "[[connection]]\nid = \"chaos\"\nepoch = 1\nstate = \"active\"\nsite = \"{site}\"\n\
         spoke = \"{}\"\naddress = \"{}\"\nsigning_key = \"{}\"\ntls_key = \"{}\"\n",
        spoke_id(site),
        addresses.spoke,
        spoke.signing_key,
        spoke.tls_key
    );
    fs::write(hub_data.join("connections.toml"), connection)?;
    let text = format!("data = {hub_data:?}\nlisten = \"{}\"\n", addresses.hub);
    fs::write(folder.join("hub.toml"), text)?;
    repository(&folder.join("repository"))?;
    let name: Alias = "chaos".parse()?;
    Ok(Tokens::of(&hub_data)?.create(&name, Role::Admin).await?)
}

/// Writes the spoke's configuration, and its half of the connection.
pub(super) fn write_spoke(of: &Spoke<'_>) -> Result<()> {
    let (data, source) = (of.folder.join("spoke"), of.folder.join("repository"));
    let witness = of.folder.join("witness");
    let sandboxes = if of.docker {
        "\"bubblewrap\", \"docker\", \"process\""
    } else {
        "\"bubblewrap\", \"process\""
    };
    let world = std::process::id() % PROCESSES * WORLDS + of.number % WORLDS;
    let (first, count) = (USERS.0 + world * USERS.1, USERS.1);
    let mut text = format!(
        "name = \"{}\"\ndata = {data:?}\nlisten = \"{}\"\nsandboxes = [{sandboxes}]\n\
         default_profile = \"alone\"\n[capacity]\nrunning = {AGENTS}\n\
         [times]\nstop_grace_seconds = 1\n[uids]\nfirst = {first}\ncount = {count}\n\
         [retention]\nquarantine_days = 0\n[rescue]\nbytes = {}\n\
         [docker]\nenabled = {}\nimage = \"{IMAGE}\"\n",
        of.site,
        of.addresses.spoke,
        u64::from(MOST) * 1024 * 1024,
        of.docker
    );
    for (profile, network) in [("alone", "none"), ("online", "host")] {
        writeln!(
            text,
            "[profiles.{profile}]\nkind = \"command\"\nargv = [\"/bin/sh\"]\n\
             network = \"{network}\"\nread_only = [{witness:?}]"
        )?;
    }
    let mut names = vec!["\"web\"".to_owned()];
    writeln!(text, "[repositories.web]\npath = {source:?}")?;
    for fresh in 1..=of.fresh {
        names.push(format!("\"fresh-{fresh}\""));
        writeln!(text, "[repositories.fresh-{fresh}]\npath = {source:?}")?;
    }
    if of.evicts {
        writeln!(text, "[disk]\ncache_bytes = 0")?;
    }
    if let Some(url) = &of.valkey {
        writeln!(text, "[valkey]\nurl = \"{url}\"")?;
    }
    fs::write(of.folder.join("spoke.toml"), text)?;
    let keys = fs::read_to_string(of.folder.join("hub.keys"))?;
    let connection = format!(
        "[[connection]]\nid = \"chaos\"\nepoch = 1\nstate = \"active\"\n{keys}[connection.grant]\n\
         commands = [\"spawn\", \"status\", \"list\", \"kill\", \"kill_all\", \"release\", \"watch\", \
         \"logs\", \"result\"]\nrepositories = [{}]\nprofiles = [\"alone\", \"online\"]\n\
         sandboxes = [{sandboxes}]\nmax_agents = {AGENTS}\ncommands_per_minute = 1000000\n",
        names.join(", ")
    );
    fs::write(data.join("connections.toml"), connection).context("the connection")
}

/// The spoke's id: one of its own, since containers and networks of one engine bear it.
fn spoke_id(site: &str) -> String {
    format!("spoke-{site}")
}

/// An address on this machine that nobody listens on.
pub(super) fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// Lets agents, which run as users of their own, through to what is theirs.
pub(super) fn pass_through(folder: &Path) -> Result<()> {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o711))
        .with_context(|| format!("cannot open {} to agents", folder.display()))
}

fn repository(folder: &Path) -> Result<()> {
    let script = "git init -q -b main . && git config user.name t && git config user.email t@t.invalid && \
                  mkdir src && for n in 1 2 3 4 5 6 7 8; do echo $n > src/$n.txt; done && \
                  echo hello > README.md && git add . && git commit -q -m begin";
    fs::create_dir(folder)?;
    let made = Command::new("sh")
        .args(["-c", script])
        .current_dir(folder)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .status()?;
    ensure!(made.success(), "cannot make a repository");
    Ok(())
}
