//! What verified commands of hubs do: the same requests, from another caller.

use super::{Caller, Requests};
use bytes::Bytes;
use futures_util::stream::{BoxStream, Stream, StreamExt};
use mosaic_common::proto::agent::v1 as pb;
use mosaic_common::proto::federation::v1::CommandKind;
use mosaic_common::{Reason, Refusal};
use mosaic_federation::execute::{Answer, Execute};
use mosaic_federation::verify::VerifiedCommand;
use prost::Message;
use std::sync::Arc;

/// Carries out verified commands.
#[derive(Debug, Clone)]
pub struct HubCommands {
    requests: Requests,
}

impl HubCommands {
    /// Over the spoke's requests.
    #[must_use]
    pub fn new(requests: Requests) -> Self {
        Self { requests }
    }
}

fn caller(command: &VerifiedCommand) -> Caller {
    Caller::Hub {
        connection: command.connection().clone(),
        client: command.on_behalf_of().to_owned(),
        grant: Arc::new(command.grant().clone()),
    }
}

fn body<T: Message + Default>(command: &VerifiedCommand) -> Result<T, Refusal> {
    T::decode(command.body().clone())
        .map_err(|_| Refusal::invalid("body", "is not the request its kind names"))
}

fn answer(agent: &str, response: &impl Message) -> Answer {
    Answer {
        agent: agent.parse().ok(),
        result: response.encode_to_vec().into(),
    }
}

fn encoded<T: Message + 'static>(
    answers: impl Stream<Item = Result<T, Refusal>> + Send + 'static,
) -> BoxStream<'static, Result<Bytes, Refusal>> {
    answers
        .map(|answer| answer.map(|message| message.encode_to_vec().into()))
        .boxed()
}

fn wrong_door(kind: CommandKind) -> Refusal {
    Refusal::new(
        Reason::InvalidRequest,
        format!("{} is not served by this call", kind.as_str_name()),
    )
}

#[async_trait::async_trait]
impl Execute for HubCommands {
    fn admit(&self, command: &VerifiedCommand) -> Result<(), Refusal> {
        match command.kind() {
            CommandKind::Spawn => {
                self.requests
                    .admit(&caller(command), command.id(), &body(command)?)
            }
            CommandKind::Unspecified
            | CommandKind::Status
            | CommandKind::List
            | CommandKind::Kill
            | CommandKind::KillAll
            | CommandKind::Release
            | CommandKind::Watch
            | CommandKind::Logs
            | CommandKind::Result => Ok(()),
        }
    }

    async fn execute(&self, command: &VerifiedCommand) -> Result<Answer, Refusal> {
        let (caller, id) = (caller(command), command.id());
        match command.kind() {
            CommandKind::Spawn => {
                let response = self.requests.spawn(&caller, id, body(command)?).await?;
                let agent = response
                    .agent
                    .as_ref()
                    .map(|agent| agent.agent_id.clone())
                    .unwrap_or_default();
                Ok(answer(&agent, &response))
            }
            CommandKind::Status => {
                let request: pb::GetRequest = body(command)?;
                Ok(answer(
                    &request.agent_id.clone(),
                    &self.requests.get(&caller, request).await?,
                ))
            }
            CommandKind::List => Ok(answer(
                "",
                &self.requests.list(&caller, body(command)?).await?,
            )),
            CommandKind::Kill => {
                let request: pb::KillRequest = body(command)?;
                Ok(answer(
                    &request.agent_id.clone(),
                    &self.requests.kill(&caller, id, request).await?,
                ))
            }
            CommandKind::KillAll => Ok(answer(
                "",
                &self.requests.kill_all(&caller, id, body(command)?).await?,
            )),
            CommandKind::Release => Ok(answer(
                "",
                &self.requests.release(&caller, id, body(command)?).await?,
            )),
            kind @ (CommandKind::Unspecified
            | CommandKind::Watch
            | CommandKind::Logs
            | CommandKind::Result) => Err(wrong_door(kind)),
        }
    }

    async fn open(
        &self,
        command: &VerifiedCommand,
    ) -> Result<BoxStream<'static, Result<Bytes, Refusal>>, Refusal> {
        let caller = caller(command);
        match command.kind() {
            CommandKind::Watch => Ok(encoded(self.requests.watch(&caller, body(command)?).await?)),
            CommandKind::Logs => Ok(encoded(self.requests.logs(&caller, body(command)?).await?)),
            CommandKind::Result => Ok(encoded(
                self.requests.result(&caller, body(command)?).await?,
            )),
            kind @ (CommandKind::Unspecified
            | CommandKind::Spawn
            | CommandKind::Status
            | CommandKind::List
            | CommandKind::Kill
            | CommandKind::KillAll
            | CommandKind::Release) => Err(wrong_door(kind)),
        }
    }
}
