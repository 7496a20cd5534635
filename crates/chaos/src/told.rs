//! What a spoke says of its agents, asked at its own socket or through its hub.

use anyhow::{Context, Result, ensure};
use mosaic_common::proto::agent::v1::agent_service_client::AgentServiceClient;
use mosaic_common::proto::agent::v1::{
    Agent, AgentState, CleanupOutcome, CleanupReport, CleanupStep, ListRequest, cause::Kind,
};
use std::path::Path;
use tonic::body::Body as RequestBody;
use tonic::client::GrpcService;
use tonic::codegen::{Body, Bytes, StdError};
use tonic::transport::{Channel, Endpoint};

/// What is said of one agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Its id.
    pub agent: String,
    /// Its state.
    pub state: AgentState,
    /// Its sandbox.
    pub sandbox: String,
    /// Whether its ending left nothing to do.
    pub is_clean: bool,
    /// The commit that is said to hold its work, if one is said to.
    pub rescue: Option<String>,
    /// Whether its work could not be rescued and is kept as it was left.
    pub is_quarantined: bool,
    /// The steps that failed, and why.
    pub failed: Vec<String>,
}

impl Told {
    /// Whether it has ended.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self.state {
            AgentState::Completed | AgentState::Failed | AgentState::Killed => true,
            AgentState::Unspecified
            | AgentState::Queued
            | AgentState::Spawning
            | AgentState::Running
            | AgentState::Stopping => false,
        }
    }

    /// Whether it is over, and nothing of it is left to do.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.is_final() && self.is_clean
    }

    /// Reads an answer.
    #[must_use]
    pub fn of(agent: &Agent) -> Self {
        let report = agent.cleanup.as_ref();
        let kind = agent.cause.as_ref().and_then(|cause| cause.kind.as_ref());
        let barred = matches!(kind, Some(Kind::Barred(_))); // it never was, so nothing ended
        let failed: Vec<String> = report.map(failed).unwrap_or_default();
        Self {
            agent: agent.agent_id.clone(),
            state: agent.state(),
            sandbox: agent.sandbox.clone(),
            is_clean: barred || (report.is_some() && failed.is_empty()),
            rescue: report
                .map(|report| report.rescue_commit.clone())
                .filter(|commit| !commit.is_empty()),
            is_quarantined: report.is_some_and(|report| report.quarantine.is_some()),
            failed,
        }
    }
}

fn failed(report: &CleanupReport) -> Vec<String> {
    let kept = report.quarantine.is_some(); // then its rescue is over, though it failed
    let steps: [(&str, Option<&CleanupStep>); 4] = [
        ("sandbox", report.sandbox.as_ref()),
        ("rescue", report.rescue.as_ref()),
        ("worktree", report.worktree.as_ref()),
        ("state", report.state.as_ref()),
    ];
    let told = |step: Option<&CleanupStep>| match step {
        None => Some("not told".to_owned()),
        Some(step) if step.outcome() == CleanupOutcome::Failed => Some(step.detail.clone()),
        Some(_) => None,
    };
    let failed = steps
        .into_iter()
        .filter(|(name, _)| !(kept && *name == "rescue"))
        .filter_map(|(name, step)| Some(format!("{name}: {}", told(step)?)));
    failed.collect()
}

/// A client of the spoke's own socket; it connects when it is used, and again when it has to.
///
/// # Errors
/// If the path is no address.
pub fn at_socket(socket: &Path) -> Result<AgentServiceClient<Channel>> {
    let endpoint = Endpoint::from_shared(format!("unix:{}", socket.display()))?;
    Ok(AgentServiceClient::new(endpoint.connect_lazy()))
}

/// Everything that the spoke, or a hub's every site, says of its agents.
///
/// # Errors
/// If one does not answer.
pub async fn ask<C>(client: &mut AgentServiceClient<C>) -> Result<Vec<Told>>
where
    C: GrpcService<RequestBody>,
    C::Error: Into<StdError>,
    C::ResponseBody: Body<Data = Bytes> + Send + 'static,
    <C::ResponseBody as Body>::Error: Into<StdError> + Send,
{
    /// Agents asked for at once.
    const PAGE: u32 = 500;
    let (mut told, mut token) = (Vec::new(), String::new());
    loop {
        let request = ListRequest {
            page_size: PAGE,
            page_token: token,
            ..ListRequest::default()
        };
        let page = client.list(request).await.context("there is no list")?;
        let page = page.into_inner();
        ensure!(page.unreachable.is_empty(), "a site does not list");
        told.extend(page.agents.iter().map(Told::of));
        if page.next_page_token.is_empty() {
            return Ok(told);
        }
        token = page.next_page_token;
    }
}
