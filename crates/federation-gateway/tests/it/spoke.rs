//! A spoke in memory: stricter than a real one about what a hub sends, and able to lie.

mod agents;

use agents::Agents;
use mosaic_common::envelope::{PROTOCOL, open, seal};
use mosaic_common::ids::unhex;
use mosaic_common::keys::{SigningKey, VerifyingKey, sha256};
use mosaic_common::proto::agent::v1 as pb;
use mosaic_common::proto::federation::v1::{
    Command, CommandKind, Envelope, Receipt, ReceiptStatus,
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
    /// It refuses everything, and nobody hears it.
    MuteTo(Reason),
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
    agents: Agents,
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
        // What the hub asks for itself, whenever it likes, is no test's business.
        if command.on_behalf_of != "hub" {
            self.state.lock().unwrap().received.push(command.clone());
        }
        command
    }

    fn answer(&self, command: &Command) -> Answer {
        match self.mood() {
            Mood::Refusing(reason) | Mood::MuteTo(reason) => {
                return Err(Refusal::new(reason, "not\u{1b}[31m today"));
            }
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
            CommandKind::Spawn => Ok(state.agents.spawn(read(command))),
            CommandKind::Status => state
                .agents
                .status(&read::<pb::GetRequest>(command).agent_id),
            CommandKind::List => Ok(state.agents.list(&read(command))),
            CommandKind::Kill => Ok(state
                .agents
                .kill(&read::<pb::KillRequest>(command).agent_id)),
            CommandKind::KillAll => Ok(state.agents.kill_all()),
            CommandKind::Release => Ok(agents::released()),
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
        if matches!(self.mood(), Mood::Mute | Mood::MuteTo(_)) {
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
        Ok((receipt, agents::frames(&command, self.mood())))
    }
}
