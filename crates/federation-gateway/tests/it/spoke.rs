//! A spoke in memory: stricter than a real one about what a hub sends, and able to lie.

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use mosaic_common::envelope::{PROTOCOL, open, seal};
use mosaic_common::ids::unhex;
use mosaic_common::keys::{SigningKey, VerifyingKey, sha256};
use mosaic_common::proto::agent::v1 as pb;
use mosaic_common::proto::federation::v1::{
    Command, CommandKind, Envelope, Frame, Receipt, ReceiptStatus,
};
use mosaic_common::{Alias, Reason, Refusal};
use mosaic_federation::connection::{ConnectionState, SpokePeer};
use mosaic_federation::identity::Identity;
use mosaic_federation::link::{Frames, Link, LinkError};
use prost::Message;
use std::collections::HashMap;
use std::sync::Mutex;

/// How the spoke behaves.
#[derive(Debug, Clone, Default)]
pub(crate) enum Mood {
    /// As it should.
    #[default]
    Well,
    /// Nobody can connect.
    Gone,
    /// It takes commands, does them, and never answers.
    Mute,
    /// Its receipts are signed with a key of somebody else's.
    Forging,
    /// Its receipts are changed before they are signed.
    Twisting(fn(&mut Receipt)),
    /// It answers about this agent, whatever it is asked.
    About(String),
    /// It refuses everything.
    Refusing(Reason),
}

#[derive(Debug, Default)]
struct State {
    agents: Vec<pb::Agent>,
    done: HashMap<Vec<u8>, ([u8; 32], Envelope)>,
    sequence: u64,
    mood: Mood,
    received: Vec<Command>,
}

#[derive(Debug)]
pub(crate) struct Spoke {
    pub(crate) peer: SpokePeer,
    key: SigningKey,
    hub: (Alias, VerifyingKey),
    state: Mutex<State>,
}

type Answer = Result<Vec<u8>, Refusal>;

impl Spoke {
    pub(crate) fn new(site: &str, state: ConnectionState, hub: &Identity) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let id: Alias = format!("spoke-{site}").parse().unwrap();
        let keys = Identity::generate(folder.path(), id).unwrap().public();
        let seed = std::fs::read_to_string(folder.path().join("signing.key")).unwrap();
        let seed = unhex(seed.trim()).unwrap().try_into().unwrap();
        Self {
            peer: SpokePeer {
                id: format!("to-{site}").parse().unwrap(),
                epoch: 3,
                state,
                site: site.parse().unwrap(),
                spoke: keys.id,
                address: "127.0.0.1:1".into(),
                signing_key: keys.signing_key,
                tls_key: keys.tls_key,
            },
            key: SigningKey::from_seed(&seed).unwrap(),
            hub: (hub.id().clone(), hub.public().signing_key),
            state: Mutex::default(),
        }
    }

    pub(crate) fn feel(&self, mood: Mood) {
        self.state.lock().unwrap().mood = mood;
    }

    /// Every command that came, in order.
    pub(crate) fn received(&self) -> Vec<Command> {
        self.state.lock().unwrap().received.clone()
    }

    /// Commands of a kind that came.
    pub(crate) fn count(&self, kind: CommandKind) -> usize {
        let received = self.received();
        received.iter().filter(|c| c.kind() == kind).count()
    }

    pub(crate) fn agents(&self) -> usize {
        self.state.lock().unwrap().agents.len()
    }

    fn mood(&self) -> Mood {
        self.state.lock().unwrap().mood.clone()
    }

    /// Opens what the hub sent; what a hub must never send ends the test.
    fn take(&self, envelope: &Envelope) -> Command {
        let key = self.hub.1;
        let command: Command =
            open(envelope, |hint| (*hint == key.id()).then_some(key)).expect("a signed command");
        assert_eq!(command.audience, self.peer.spoke.as_str());
        assert_eq!(command.issuer, self.hub.0.as_str());
        assert_eq!(command.connection_id, self.peer.id.as_str());
        assert_eq!(command.connection_epoch, self.peer.epoch);
        assert!(!command.on_behalf_of.is_empty());
        self.state.lock().unwrap().received.push(command.clone());
        command
    }

    fn answer(&self, command: &Command) -> Answer {
        match self.mood() {
            Mood::Refusing(reason) => return Err(Refusal::new(reason, "not\u{1b}[31m today")),
            Mood::About(id) => {
                // The same bytes are a list of that one agent.
                let agent = Some(pb::Agent {
                    agent_id: id,
                    ..Default::default()
                });
                return Ok(pb::GetResponse { agent }.encode_to_vec());
            }
            Mood::Well | Mood::Gone | Mood::Mute | Mood::Forging | Mood::Twisting(_) => {}
        }
        let mut state = self.state.lock().unwrap();
        match command.kind() {
            CommandKind::Spawn => Ok(state.spawn(read(command))),
            CommandKind::Status => state.status(&read::<pb::GetRequest>(command).agent_id),
            CommandKind::List => Ok(state.list(&read(command))),
            CommandKind::Kill => Ok(state.kill(&read::<pb::KillRequest>(command).agent_id)),
            CommandKind::KillAll => Ok(state.kill_all()),
            CommandKind::Release => Ok(released()),
            kind => panic!("{kind:?} is not executed"),
        }
    }

    fn receipt(&self, command: &Command, answer: &Answer) -> Envelope {
        let mut state = self.state.lock().unwrap();
        state.sequence += 1;
        let mut receipt = Receipt {
            protocol: PROTOCOL,
            request_sha256: sha256(&command.body).to_vec().into(),
            command_id: command.command_id.clone(),
            issuer: self.peer.spoke.to_string(),
            audience: command.issuer.clone(),
            connection_id: self.peer.id.to_string(),
            connection_epoch: self.peer.epoch,
            sequence: state.sequence,
            status: ReceiptStatus::Ok.into(),
            ..Receipt::default()
        };
        match answer {
            Ok(result) => receipt.result = result.clone().into(),
            Err(refusal) => {
                receipt.status = ReceiptStatus::Refused.into();
                receipt.reason_code = refusal.reason.to_string();
                receipt.message = refusal.message.clone();
            }
        }
        match state.mood {
            Mood::Twisting(twist) => twist(&mut receipt),
            Mood::Forging => return seal(&receipt, &SigningKey::generate().0),
            _ => {}
        }
        seal(&receipt, &self.key)
    }
}

fn read<R: Message + Default>(command: &Command) -> R {
    R::decode(command.body.clone()).expect("the body that the kind names")
}

fn released() -> Vec<u8> {
    let released = vec!["whatever-it-calls-itself".to_owned()];
    let answer = pb::ReleaseResponse {
        released,
        ..Default::default()
    };
    answer.encode_to_vec()
}

impl State {
    fn spawn(&mut self, request: pb::SpawnRequest) -> Vec<u8> {
        assert_eq!(request.site, "", "the audience says who is meant");
        let spec = request.spec.expect("a spec");
        let known = |agent: &&pb::Agent| agent.agent_id == spec.agent_id;
        assert!(self.agents.iter().find(known).is_none(), "a second agent");
        let agent = pb::Agent {
            agent_id: spec.agent_id.clone(),
            state: pb::AgentState::Running.into(),
            create_time: Some(now()),
            spec: Some(spec),
            ..Default::default()
        };
        self.agents.insert(0, agent.clone());
        pb::SpawnResponse { agent: Some(agent) }.encode_to_vec()
    }

    fn status(&self, id: &str) -> Answer {
        let agent = self.agents.iter().find(|agent| agent.agent_id == id);
        let agent = agent.cloned().ok_or_else(|| {
            Refusal::new(Reason::AgentNotFound, "there never was such an agent here")
        })?;
        Ok(pb::GetResponse { agent: Some(agent) }.encode_to_vec())
    }

    fn list(&self, request: &pb::ListRequest) -> Vec<u8> {
        let from: usize = request.page_token.parse().unwrap_or(0);
        let agents = self.agents.iter().skip(from);
        let agents: Vec<_> = agents.take(request.page_size as usize).cloned().collect();
        let end = from + agents.len();
        let more = end < self.agents.len();
        let next_page_token = if more { end.to_string() } else { String::new() };
        let answer = pb::ListResponse {
            agents,
            next_page_token,
            ..Default::default()
        };
        answer.encode_to_vec()
    }

    fn kill(&mut self, id: &str) -> Vec<u8> {
        let found = self.agents.iter_mut().find(|agent| agent.agent_id == id);
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

    fn kill_all(&mut self) -> Vec<u8> {
        let results = self.agents.iter().map(|agent| pb::KillAllResult {
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

#[async_trait::async_trait]
impl Link for Spoke {
    async fn execute(&self, envelope: Envelope) -> Result<Envelope, LinkError> {
        if matches!(self.mood(), Mood::Gone) {
            return Err(LinkError::Connect {
                address: self.peer.address.clone(),
                detail: "nobody listens".into(),
            });
        }
        let command = self.take(&envelope);
        let digest = sha256(&command.body);
        let done = self
            .state
            .lock()
            .unwrap()
            .done
            .get(&command.command_id[..])
            .cloned();
        let receipt = match done {
            Some((same, receipt)) => {
                assert_eq!(same, digest, "another body under a used command id");
                receipt
            }
            None => {
                let answer = self.answer(&command);
                let receipt = self.receipt(&command, &answer);
                let well = matches!(self.mood(), Mood::Well | Mood::Mute);
                if answer.is_ok() && well {
                    let entry = (digest, receipt.clone());
                    let mut state = self.state.lock().unwrap();
                    state.done.insert(command.command_id.to_vec(), entry);
                }
                receipt
            }
        };
        if matches!(self.mood(), Mood::Mute) {
            std::future::pending::<()>().await;
        }
        Ok(receipt)
    }

    async fn open(&self, envelope: Envelope) -> Result<(Envelope, Frames), LinkError> {
        let command = self.take(&envelope);
        let refused = match self.mood() {
            Mood::Refusing(reason) => Err(Refusal::new(reason, "no")),
            _ => Ok(Vec::new()),
        };
        let receipt = self.receipt(&command, &refused);
        Ok((receipt, frames(&command, self.mood())))
    }
}

/// Endless output for logs; one event and then silence for a watch.
fn frames(command: &Command, mood: Mood) -> BoxStream<'static, Result<Frame, LinkError>> {
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
        kind => panic!("{kind:?} opens no stream here"),
    }
}
