//! The agents of a spoke in memory, and the streams about them.

use super::{Answer, Mood, read};
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use mosaic_common::proto::agent::v1 as pb;
use mosaic_common::proto::federation::v1::{Command, CommandKind, Frame};
use mosaic_common::{Reason, Refusal};
use mosaic_federation::link::LinkError;
use prost::Message;

/// Newest first.
#[derive(Debug, Default)]
pub(super) struct Agents(Vec<pb::Agent>);

impl Agents {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn spawn(&mut self, request: pb::SpawnRequest) -> Vec<u8> {
        assert_eq!(request.site, "", "the audience says who is meant");
        let spec = request.spec.expect("a spec");
        let known = |agent: &&pb::Agent| agent.agent_id == spec.agent_id;
        assert!(self.0.iter().find(known).is_none(), "a second agent");
        let agent = pb::Agent {
            agent_id: spec.agent_id.clone(),
            command_id: request.command_id,
            state: pb::AgentState::Running.into(),
            create_time: Some(now()),
            spec: Some(spec),
            ..Default::default()
        };
        self.0.insert(0, agent.clone());
        pb::SpawnResponse { agent: Some(agent) }.encode_to_vec()
    }

    pub(super) fn status(&self, id: &str) -> Answer {
        let agent = self.0.iter().find(|agent| agent.agent_id == id);
        let agent = agent.cloned().ok_or_else(|| {
            Refusal::new(Reason::AgentNotFound, "there never was such an agent here")
        })?;
        Ok(pb::GetResponse { agent: Some(agent) }.encode_to_vec())
    }

    pub(super) fn list(&self, request: &pb::ListRequest) -> Vec<u8> {
        let from: usize = request.page_token.parse().unwrap_or(0);
        let agents = self.0.iter().skip(from);
        let agents: Vec<_> = agents.take(request.page_size as usize).cloned().collect();
        let end = from + agents.len();
        let more = end < self.0.len();
        let next_page_token = if more { end.to_string() } else { String::new() };
        let answer = pb::ListResponse {
            agents,
            next_page_token,
            ..Default::default()
        };
        answer.encode_to_vec()
    }

    pub(super) fn kill(&mut self, id: &str) -> Vec<u8> {
        let found = self.0.iter_mut().find(|agent| agent.agent_id == id);
        let outcome = match &found {
            Some(_) => pb::KillOutcome::Killed,
            None => pb::KillOutcome::NeverStarted,
        };
        let agent = found.map(|agent| {
            agent.state = pb::AgentState::Killed.into();
            agent.clone()
        });
        let answer = pb::KillResponse {
            outcome: outcome.into(),
            agent,
            ..Default::default()
        };
        answer.encode_to_vec()
    }

    pub(super) fn kill_all(&mut self) -> Vec<u8> {
        let results = self.0.iter().map(|agent| pb::KillAllResult {
            agent_id: agent.agent_id.clone(),
            outcome: pb::KillOutcome::Killed.into(),
            ..Default::default()
        });
        let answer = pb::KillAllResponse {
            results: results.collect(),
            ..Default::default()
        };
        answer.encode_to_vec()
    }
}

/// Rises with every call: agents made in one test have an order over all sites.
fn now() -> prost_types::Timestamp {
    use std::sync::atomic::{AtomicI64, Ordering};
    static NEXT: AtomicI64 = AtomicI64::new(1);
    prost_types::Timestamp {
        seconds: NEXT.fetch_add(1, Ordering::Relaxed),
        nanos: 0,
    }
}

pub(super) fn released() -> Vec<u8> {
    let released = vec!["whatever-it-calls-itself".to_owned()];
    let answer = pb::ReleaseResponse {
        released,
        ..Default::default()
    };
    answer.encode_to_vec()
}

/// Endless output for logs; one event and then silence for a watch.
pub(super) fn frames(
    command: &Command,
    mood: Mood,
) -> BoxStream<'static, Result<Frame, LinkError>> {
    let frame = |sequence: u64, data: Vec<u8>| {
        Ok(Frame {
            sequence,
            data: data.into(),
        })
    };
    match command.kind() {
        CommandKind::Logs => stream::iter(1..)
            .map(move |number| {
                let output = pb::LogsResponse {
                    data: vec![b'x'; 1024].into(),
                    next_cursor: number,
                    ..Default::default()
                };
                frame(number, output.encode_to_vec())
            })
            .boxed(),
        CommandKind::Watch => {
            let request: pb::WatchRequest = read(command);
            let agent_id = match mood {
                Mood::About(id) => id,
                _ => request.agent_id,
            };
            let event = pb::Event {
                sequence: 1,
                agent_id,
                ..Default::default()
            };
            let item = Some(pb::watch_response::Item::Event(event));
            let first = frame(1, pb::WatchResponse { item }.encode_to_vec());
            stream::iter([first]).chain(stream::pending()).boxed()
        }
        _ => stream::empty().boxed(),
    }
}
