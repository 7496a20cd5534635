//! Makes and starts a container, and tells its first process what to start.

use super::container::Site;
use super::engine::{Created, Engine, tell};
use crate::sandbox::supervise::Contained;
use crate::sandbox::{Error, SandboxSpec};
use mosaic_common::failpoint;

/// The variable by which anybody on the machine can see whose a process is.
pub(super) const MARK: &str = "MOSAIC_AGENT_ID";

/// Leaves alone a container of that name that is there already.
///
/// # Errors
/// The step that failed; there may be a container then.
pub(super) async fn begin(
    engine: &Engine,
    site: &Site,
    spec: &SandboxSpec,
) -> Result<Created, Error> {
    let name = site.container_name(&spec.agent);
    if let Some(network) = site.network_of(spec) {
        engine.ensure_network(&network, &site.labels()).await?;
    }
    failpoint!("docker.network_made");
    if engine.create(&name, site.container(spec)).await? == Created::Exists {
        return Ok(Created::Exists);
    }
    failpoint!("docker.created");
    let mut env = spec.env.clone();
    env.insert(MARK.to_owned(), spec.agent.to_string());
    let told = Contained {
        argv: spec.argv.clone(),
        env,
        input: spec.stdin.len(),
    };
    let told = told
        .told(&spec.stdin)
        .map_err(|error| Error::Start(error.to_string()))?;
    let input = engine.attach(&name).await?;
    failpoint!("docker.attached");
    engine.start(&name).await?;
    failpoint!("docker.started");
    // In a task: a program that does not read what it is given must not hold up its start.
    tokio::spawn(tell(input, told));
    Ok(Created::New)
}
