//! `AgentService` at the hub: parse, choose the site, forward.

use super::hub::{Answers, HubParts, origin, to_its_end};
use super::parse;
use crate::sites::Needs;
use futures_util::stream::{BoxStream, StreamExt};
use mosaic_common::proto::agent::v1 as pb;
use mosaic_common::proto::agent::v1::agent_service_server::AgentService;
use mosaic_common::{AgentId, Reason, Refusal};
use tonic::{Request, Response, Status};

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

    /// Ends a watch that tells of an agent which another site is known to have.
    fn own(&self, events: Answers<pb::WatchResponse>) -> Answers<pb::WatchResponse> {
        let index = self.parts.index.clone();
        let mut over = false;
        let checked = events.then(move |answer| {
            let index = index.clone();
            async move {
                let answer = answer?;
                let Some(pb::watch_response::Item::Event(event)) = &answer.item else {
                    return Ok(answer);
                };
                let id = event.agent_id.parse::<AgentId>();
                let owner = match id {
                    Ok(id) => index.site(&id).await?,
                    Err(_) => None,
                };
                if owner.is_none_or(|owner| owner.as_str() == event.site) {
                    return Ok(answer);
                }
                let problem = format!("the site {} tells of another site's agent", event.site);
                Err(Refusal::new(Reason::ReceiptInvalid, problem))
            }
        });
        let ended = checked.take_while(move |answer| {
            let goes_on = !over;
            over |= answer.is_err();
            std::future::ready(goes_on)
        });
        ended.boxed()
    }
}

fn sent<T: Send + 'static>(answers: Answers<T>) -> Response<BoxStream<'static, Result<T, Status>>> {
    Response::new(answers.map(|answer| answer.map_err(Status::from)).boxed())
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
        let (parts, origin) = (self.parts.clone(), origin(&request)?);
        let work = async move { parts.spawn(origin, request.into_inner()).await };
        Ok(Response::new(to_its_end(work).await?))
    }

    async fn get(
        &self,
        request: Request<pb::GetRequest>,
    ) -> Result<Response<pb::GetResponse>, Status> {
        let (parts, origin) = (self.parts.clone(), origin(&request)?);
        let mut request = request.into_inner();
        let about = parse::agent_at(&request.site, &request.agent_id)?;
        request.site.clear();
        let work = async move { parts.read(&origin, about, &request).await };
        Ok(Response::new(to_its_end(work).await?))
    }

    async fn list(
        &self,
        request: Request<pb::ListRequest>,
    ) -> Result<Response<pb::ListResponse>, Status> {
        let (parts, origin) = (self.parts.clone(), origin(&request)?);
        let work = async move { parts.list(origin, request.into_inner()).await };
        Ok(Response::new(to_its_end(work).await?))
    }

    async fn kill(
        &self,
        request: Request<pb::KillRequest>,
    ) -> Result<Response<pb::KillResponse>, Status> {
        let (parts, origin) = (self.parts.clone(), origin(&request)?);
        let work = async move { parts.kill(origin, request.into_inner()).await };
        Ok(Response::new(to_its_end(work).await?))
    }

    async fn kill_all(
        &self,
        request: Request<pb::KillAllRequest>,
    ) -> Result<Response<pb::KillAllResponse>, Status> {
        let (parts, origin) = (self.parts.clone(), origin(&request)?);
        let work = async move { parts.kill_all(origin, request.into_inner()).await };
        Ok(Response::new(to_its_end(work).await?))
    }

    async fn release(
        &self,
        request: Request<pb::ReleaseRequest>,
    ) -> Result<Response<pb::ReleaseResponse>, Status> {
        let (parts, origin) = (self.parts.clone(), origin(&request)?);
        let work = async move { parts.release(origin, request.into_inner()).await };
        Ok(Response::new(to_its_end(work).await?))
    }

    async fn watch(
        &self,
        request: Request<pb::WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let (parts, origin) = (&self.parts, origin(&request)?);
        let mut request = request.into_inner();
        let (named, agent) = parse::watch(&request)?;
        let site = match &agent {
            Some(agent) => parts.site_of(named.as_ref(), agent, Needs::Active).await?,
            None => parts.sites.choose(named.as_ref(), None, Needs::Active)?,
        };
        request.site.clear();
        let events = parts.open(&origin, &site, agent, &request).await?;
        Ok(sent(self.own(events)))
    }

    async fn logs(
        &self,
        request: Request<pb::LogsRequest>,
    ) -> Result<Response<Self::LogsStream>, Status> {
        let (parts, origin) = (&self.parts, origin(&request)?);
        let mut request = request.into_inner();
        let (named, agent) = parse::agent_at(&request.site, &request.agent_id)?;
        let site = parts.site_of(named.as_ref(), &agent, Needs::Active).await?;
        request.site.clear();
        let output = parts.open(&origin, &site, Some(agent), &request).await?;
        Ok(sent(output))
    }

    async fn result(
        &self,
        request: Request<pb::ResultRequest>,
    ) -> Result<Response<Self::ResultStream>, Status> {
        let (parts, origin) = (&self.parts, origin(&request)?);
        let mut request = request.into_inner();
        let (named, agent) = parse::agent_at(&request.site, &request.agent_id)?;
        parse::format(request.format)?;
        let site = parts.site_of(named.as_ref(), &agent, Needs::Active).await?;
        request.site.clear();
        let items = parts.open(&origin, &site, Some(agent), &request).await?;
        Ok(sent(items))
    }
}
