//! `AgentService` at the hub: parse, choose the site, forward.

use super::HubParts;
use crate::fanout;
use crate::paging::{self, Cursor, SitePage};
use crate::sites::{Needs, Site};
use crate::tokens::{Role, Token};
use futures_util::stream::BoxStream;
use mosaic_common::agent::wire::{parse_agent_id, parse_command_id, parse_spec};
use mosaic_common::ids::hex;
use mosaic_common::keys::sha256;
use mosaic_common::proto::agent::v1 as pb;
use mosaic_common::proto::agent::v1::agent_service_server::AgentService;
use mosaic_common::{AgentId, CommandId, Reason, Refusal};
use std::time::Duration;
use tonic::{Request, Response, Status};

/// Agents on a page when the request does not say, and at most: what a spoke gives too.
const PAGE: (u32, u32) = (100, 500);

/// How much longer than other answers that of a kill may take: the spoke's own budget for a
/// proof, beyond the grace.
const KILL_EXTRA: Duration = Duration::from_secs(30);

/// The grace a spoke gives where the request names none, at most.
const GRACE_MAX: Duration = Duration::from_secs(300);

/// `AgentService` at the hub.
#[derive(Debug, Clone)]
pub struct HubAgents {
    parts: HubParts,
}

impl HubAgents {
    /// Over the hub's parts.
    #[must_use]
    pub fn new(parts: HubParts) -> Self {
        Self { parts }
    }

    async fn spawn(
        &self,
        caller: &Token,
        mut request: pb::SpawnRequest,
    ) -> Result<pb::SpawnResponse, Refusal> {
        let command = parse_command_id(&request.command_id)?;
        let wire = request
            .spec
            .as_ref()
            .ok_or_else(|| Refusal::invalid("spec", "must be set"))?;
        let spec = parse_spec(wire, command)?;
        let agent = spec.agent_id.clone();
        let chosen = self
            .parts
            .sites
            .choose(
                &request.site,
                Some(&agent),
                &self.parts.index,
                Needs::Active,
            )
            .await?;
        if self.parts.index.claim(&agent, chosen.name()).await? != *chosen.name() {
            let what = format!("the agent {agent} was asked for at another site");
            return Err(Refusal::new(Reason::CommandConflict, what));
        }
        request.command_id = command.to_string();
        request.site = chosen.name().to_string();
        request.spec = Some((&spec).into());
        self.parts
            .to_site(
                caller,
                &chosen,
                (command, Some(agent), Duration::ZERO),
                &request,
            )
            .await
    }

    async fn list(
        &self,
        caller: &Token,
        request: pb::ListRequest,
    ) -> Result<pb::ListResponse, Refusal> {
        let cursor = Cursor::parse(&request.page_token)?;
        let mut sites = self.sites(&request.site, Needs::Active)?;
        if let Some(Cursor(on)) = &cursor {
            sites.retain(|site| on.contains_key(site.name().as_str()));
        }
        let size = match request.page_size {
            0 => PAGE.0,
            size => size.min(PAGE.1),
        };
        let share = (size / u32::try_from(sites.len().max(1)).unwrap_or(u32::MAX)).max(1);
        let answers = fanout::ask(sites, |site| {
            let on = cursor
                .as_ref()
                .and_then(|Cursor(on)| on.get(site.name().as_str()).cloned());
            let request = pb::ListRequest {
                site: site.name().to_string(),
                page_size: share,
                page_token: on.unwrap_or_default(),
                ..request.clone()
            };
            async move {
                let answer = self.parts.to_site(
                    caller,
                    &site,
                    (CommandId::random(), None, Duration::ZERO),
                    &request,
                );
                self.own(&site, answer.await?).await
            }
        });
        let answers = answers.await;
        let (agents, cursor) =
            paging::merge(answers.answered.into_iter().map(|(_, page)| page).collect());
        Ok(pb::ListResponse {
            agents,
            next_page_token: cursor.token(),
            unreachable: answers.unreachable,
        })
    }

    /// What a site lists, without agents that are known to be another site's: a site can only
    /// speak of its own.
    async fn own(&self, site: &Site, answer: pb::ListResponse) -> Result<SitePage, Refusal> {
        let mut agents = Vec::with_capacity(answer.agents.len());
        for mut agent in answer.agents {
            let Ok(id) = agent.agent_id.parse::<AgentId>() else {
                continue;
            };
            if self.parts.index.claim(&id, site.name()).await? == *site.name() {
                agent.site = site.name().to_string();
                agents.push(agent);
            } else {
                tracing::warn!(agent.id = %id, connection.id = %site.peer().id, "a site lists another site's agent");
            }
        }
        Ok(SitePage {
            site: site.name().to_string(),
            agents,
            next: answer.next_page_token,
        })
    }

    async fn kill(
        &self,
        caller: &Token,
        mut request: pb::KillRequest,
    ) -> Result<pb::KillResponse, Refusal> {
        let command = parse_command_id(&request.command_id)?;
        let agent = parse_agent_id(&request.agent_id)?;
        let grace = request
            .grace
            .map_or(Ok(Duration::from_secs(10)), Duration::try_from);
        let grace = grace
            .map_err(|_| Refusal::invalid("grace", "must not be negative"))?
            .min(GRACE_MAX);
        let site = self
            .parts
            .site_of(&request.site, &agent, Needs::Usable)
            .await?;
        // From now on the id belongs there: a spawn of it must meet the bar that this kill puts up.
        self.parts.index.claim(&agent, site.name()).await?;
        request.command_id = command.to_string();
        request.site = site.name().to_string();
        self.parts
            .to_site(
                caller,
                &site,
                (command, Some(agent), grace + KILL_EXTRA),
                &request,
            )
            .await
    }

    async fn kill_all(
        &self,
        caller: &Token,
        request: pb::KillAllRequest,
    ) -> Result<pb::KillAllResponse, Refusal> {
        let command = parse_command_id(&request.command_id)?;
        let answers = fanout::ask(self.sites(&request.site, Needs::Active)?, |site| {
            let id = for_site(command, &site);
            let site_name = site.name().to_string();
            let request = pb::KillAllRequest {
                site: site_name,
                command_id: id.to_string(),
                ..request.clone()
            };
            async move {
                self.parts
                    .to_site(caller, &site, (id, None, KILL_EXTRA), &request)
                    .await
            }
        });
        let answers = answers.await;
        let told = answers.answered.into_iter().flat_map(|(site, answer)| {
            let name = site.name().to_string();
            answer
                .results
                .into_iter()
                .map(move |result| pb::KillAllResult {
                    site: name.clone(),
                    ..result
                })
        });
        Ok(pb::KillAllResponse {
            results: told.collect(),
            unreachable: answers.unreachable,
        })
    }

    async fn release(
        &self,
        caller: &Token,
        request: pb::ReleaseRequest,
    ) -> Result<pb::ReleaseResponse, Refusal> {
        let command = parse_command_id(&request.command_id)?;
        let answers = fanout::ask(self.sites(&request.site, Needs::Active)?, |site| {
            let id = for_site(command, &site);
            let request = pb::ReleaseRequest {
                site: site.name().to_string(),
                command_id: id.to_string(),
            };
            async move {
                self.parts
                    .to_site(caller, &site, (id, None, Duration::ZERO), &request)
                    .await
            }
        });
        let answers = answers.await;
        let was = answers
            .answered
            .iter()
            .filter(|(_, answer)| !answer.released.is_empty());
        let released = was.map(|(site, _)| site.name().to_string()).collect();
        Ok(pb::ReleaseResponse {
            released,
            unreachable: answers.unreachable,
        })
    }

    /// The named site, or every one.
    fn sites(&self, named: &str, needs: Needs) -> Result<Vec<Site>, Refusal> {
        if named.is_empty() {
            return self.parts.sites.every(needs);
        }
        let name = named
            .parse()
            .map_err(|error| Refusal::invalid("site", error))?;
        Ok(vec![self.parts.sites.named(&name, needs)?])
    }
}

/// The command id of one site's part of a command for all: a repeat of the whole repeats each.
fn for_site(command: CommandId, site: &Site) -> CommandId {
    let hash = sha256(format!("{command}/{}", site.peer().id).as_bytes());
    hex(&hash[..16]).parse().unwrap_or(command) // 32 digits: always one
}

#[tonic::async_trait]
impl AgentService for HubAgents {
    type WatchStream = BoxStream<'static, Result<pb::WatchResponse, Status>>;
    type LogsStream = BoxStream<'static, Result<pb::LogsResponse, Status>>;
    type ResultStream = BoxStream<'static, Result<pb::ResultResponse, Status>>;

    async fn spawn(
        &self,
        request: Request<pb::SpawnRequest>,
    ) -> Result<Response<pb::SpawnResponse>, Status> {
        let caller = self.parts.caller(&request, Role::Admin).await?;
        Ok(Response::new(
            Self::spawn(self, &caller, request.into_inner()).await?,
        ))
    }

    async fn get(
        &self,
        request: Request<pb::GetRequest>,
    ) -> Result<Response<pb::GetResponse>, Status> {
        let caller = self.parts.caller(&request, Role::Viewer).await?;
        let request = request.into_inner();
        let agent = parse_agent_id(&request.agent_id)?;
        let how = (CommandId::random(), Needs::Usable, Duration::ZERO);
        let asked = pb::GetRequest {
            site: String::new(),
            ..request.clone()
        };
        Ok(Response::new(
            self.parts
                .to_agent(&caller, (&request.site, agent), how, &asked)
                .await?,
        ))
    }

    async fn list(
        &self,
        request: Request<pb::ListRequest>,
    ) -> Result<Response<pb::ListResponse>, Status> {
        let caller = self.parts.caller(&request, Role::Viewer).await?;
        Ok(Response::new(
            Self::list(self, &caller, request.into_inner()).await?,
        ))
    }

    async fn kill(
        &self,
        request: Request<pb::KillRequest>,
    ) -> Result<Response<pb::KillResponse>, Status> {
        let caller = self.parts.caller(&request, Role::Admin).await?;
        Ok(Response::new(
            Self::kill(self, &caller, request.into_inner()).await?,
        ))
    }

    async fn kill_all(
        &self,
        request: Request<pb::KillAllRequest>,
    ) -> Result<Response<pb::KillAllResponse>, Status> {
        let caller = self.parts.caller(&request, Role::Admin).await?;
        Ok(Response::new(
            Self::kill_all(self, &caller, request.into_inner()).await?,
        ))
    }

    async fn release(
        &self,
        request: Request<pb::ReleaseRequest>,
    ) -> Result<Response<pb::ReleaseResponse>, Status> {
        let caller = self.parts.caller(&request, Role::Admin).await?;
        Ok(Response::new(
            Self::release(self, &caller, request.into_inner()).await?,
        ))
    }

    async fn watch(
        &self,
        request: Request<pb::WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let caller = self.parts.caller(&request, Role::Viewer).await?;
        let mut request = request.into_inner();
        let agent = match request.agent_id.as_str() {
            "" => None,
            id => Some(parse_agent_id(id)?),
        };
        let site = match &agent {
            Some(agent) => {
                self.parts
                    .site_of(&request.site, agent, Needs::Active)
                    .await?
            }
            None => {
                self.parts
                    .sites
                    .choose(&request.site, None, &self.parts.index, Needs::Active)
                    .await?
            }
        };
        request.site.clear();
        Ok(Response::new(
            self.parts.open(&caller, &site, agent, &request).await?,
        ))
    }

    async fn logs(
        &self,
        request: Request<pb::LogsRequest>,
    ) -> Result<Response<Self::LogsStream>, Status> {
        let caller = self.parts.caller(&request, Role::Viewer).await?;
        let mut request = request.into_inner();
        let agent = parse_agent_id(&request.agent_id)?;
        let site = self
            .parts
            .site_of(&request.site, &agent, Needs::Active)
            .await?;
        request.site.clear();
        Ok(Response::new(
            self.parts
                .open(&caller, &site, Some(agent), &request)
                .await?,
        ))
    }

    async fn result(
        &self,
        request: Request<pb::ResultRequest>,
    ) -> Result<Response<Self::ResultStream>, Status> {
        let caller = self.parts.caller(&request, Role::Viewer).await?;
        let mut request = request.into_inner();
        let agent = parse_agent_id(&request.agent_id)?;
        let site = self
            .parts
            .site_of(&request.site, &agent, Needs::Active)
            .await?;
        request.site.clear();
        Ok(Response::new(
            self.parts
                .open(&caller, &site, Some(agent), &request)
                .await?,
        ))
    }
}
