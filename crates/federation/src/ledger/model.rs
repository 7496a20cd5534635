//! The ledger against a model of a dozen lines, a million steps long: claims, answers, crashes, broken
//! stores, time. `MOSAIC_MODEL_STEPS` and `MOSAIC_MODEL_SEED` change the walk.

use super::{Claim, Claimed, KEEP, Ledger, Memory};
use crate::connection::{Connections, parse_hubs};
use crate::record::CommandRecord;
use crate::verify::{Proven, VerifiedCommand};
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use mosaic_common::proto::federation::v1::{CommandKind, Envelope};
use mosaic_common::{Clock, CommandId, Reason};
use mosaic_store::MemoryStore;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// Commands in play: few, so that they meet often.
const COMMANDS: usize = 24;

#[derive(Debug)]
struct HandClock(Mutex<Timestamp>);

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

/// A command that passed every step, without the steps.
fn command(kind: CommandKind, id: CommandId, body: u8) -> VerifiedCommand {
    let file = include_str!("../../../../deploy/spoke-connections.toml");
    let connections = Connections::new(parse_hubs(file).unwrap());
    let connection = connections.find(|_| true).unwrap();
    let proven = Proven {
        connection,
        id,
        kind,
        body: Bytes::from(vec![body]),
        body_sha256: [body; 32],
        issued_at: Timestamp::UNIX_EPOCH,
        expires_at: Timestamp::UNIX_EPOCH,
        on_behalf_of: String::new(),
        traceparent: String::new(),
    };
    VerifiedCommand::unverified(proven)
}

/// What the model knows of one command id.
#[derive(Debug, Clone)]
struct Known {
    body: usize,
    since: Timestamp,
    receipt: Option<Envelope>,
}

/// What a claim must come to.
#[derive(Debug, PartialEq)]
enum Expected {
    Fresh,
    Repeat(Envelope),
    Refused(Reason),
}

struct Walk {
    store: Arc<MemoryStore>,
    clock: Arc<HandClock>,
    ledger: Ledger,
    commands: Vec<[VerifiedCommand; 2]>,
    known: HashMap<usize, Known>,
    open: Vec<(usize, usize, Claim)>,
    reads: bool,
    writes: bool,
    random: u64,
    answers: u64,
}

impl Walk {
    async fn new(seed: u64) -> Self {
        let (store, clock) = (
            Arc::new(MemoryStore::default()),
            Arc::new(HandClock(Mutex::new(Timestamp::UNIX_EPOCH))),
        );
        let ledger = Ledger::open(store.clone(), clock.clone(), Memory::New)
            .await
            .unwrap();
        let commands = (0..COMMANDS).map(|number| {
            // One in three only ends agents: it is carried out even if it cannot be remembered.
            let kind = if number % 3 == 0 {
                CommandKind::Kill
            } else {
                CommandKind::Spawn
            };
            let id = CommandId::random();
            [command(kind, id, 0), command(kind, id, 1)]
        });
        Self {
            store,
            clock,
            ledger,
            commands: commands.collect(),
            known: HashMap::new(),
            open: Vec::new(),
            reads: true,
            writes: true,
            random: seed.max(1),
            answers: 0,
        }
    }

    /// Xorshift: the same walk for the same seed.
    fn below(&mut self, bound: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        usize::try_from(self.random >> 33).unwrap() % bound
    }

    fn expected(&self, which: usize, body: usize) -> Expected {
        if let Some((_, running, _)) = self.open.iter().find(|(open, ..)| *open == which) {
            return Expected::Refused(if *running == body {
                Reason::CommandInProgress
            } else {
                Reason::CommandConflict
            });
        }
        let only_ends = self.commands[which][0].kind() == CommandKind::Kill;
        match self.known.get(&which).filter(|_| self.reads) {
            Some(known) if known.body != body => Expected::Refused(Reason::CommandConflict),
            Some(Known {
                receipt: Some(receipt),
                ..
            }) => Expected::Repeat(receipt.clone()),
            Some(_) => Expected::Fresh,
            None if self.reads && self.writes || only_ends => Expected::Fresh,
            None => Expected::Refused(Reason::StoreUnavailable),
        }
    }

    async fn claim(&mut self) {
        let (which, body) = (self.below(COMMANDS), usize::from(self.below(8) == 0));
        let expected = self.expected(which, body);
        let command = &self.commands[which][body];
        let claimed = self.ledger.claim(command, || Ok(())).await;
        let (got, claim) = match claimed {
            Ok(Claimed::Fresh(claim)) => (Expected::Fresh, Some(claim)),
            Ok(Claimed::Repeat(receipt)) => (Expected::Repeat(receipt), None),
            Err(refusal) => (Expected::Refused(refusal.reason), None),
        };
        assert_eq!(got, expected, "command {which}, body {body}");
        if let Some(claim) = claim {
            if claim.stored().is_some() {
                let since = self.clock.now();
                let new = Known {
                    body,
                    since,
                    receipt: None,
                };
                self.known.entry(which).or_insert(new);
            }
            self.open.push((which, body, claim));
        }
    }

    /// Ends a claim: answered, given back, or dropped as if its task had died.
    async fn conclude(&mut self) {
        if self.open.is_empty() {
            return;
        }
        let place = self.below(self.open.len());
        let (which, body, claim) = self.open.swap_remove(place);
        let record = CommandRecord::of_command(&self.commands[which][body], self.clock.now());
        let is_durable = claim.stored().is_some();
        match self.below(4) {
            0 => drop(claim),
            1 => {
                let released = self.ledger.release(claim, &record).await;
                assert_eq!(released.is_ok(), self.writes || !is_durable);
                if is_durable && self.writes {
                    self.known.remove(&which);
                }
            }
            _ => {
                self.answers += 1;
                let payload = self.answers.to_be_bytes().to_vec().into();
                let receipt = Envelope {
                    payload,
                    ..Envelope::default()
                };
                let settled = self.ledger.settle(claim, &receipt, &record).await;
                assert_eq!(settled.is_ok(), self.writes || !is_durable);
                if let Some(known) = self
                    .known
                    .get_mut(&which)
                    .filter(|_| is_durable && self.writes)
                {
                    known.receipt = Some(receipt);
                }
            }
        }
    }

    /// Forgets what was alone in memory, as kill -9 does.
    async fn crash(&mut self) {
        self.mend();
        self.open.clear();
        let opened = Ledger::open(self.store.clone(), self.clock.clone(), Memory::Kept).await;
        self.ledger = opened.unwrap();
    }

    fn mend(&mut self) {
        self.store.mend();
        (self.reads, self.writes) = (true, true);
    }

    async fn forget(&mut self) {
        let hours = i64::try_from(self.below(9)).unwrap();
        *self.clock.0.lock().unwrap() += SignedDuration::from_hours(hours);
        // As the spoke does it: what runs now is not old.
        if !self.reads || !self.writes || !self.open.is_empty() {
            return;
        }
        let limit = self.clock.now() - KEEP;
        let before = self.known.len();
        self.known.retain(|_, known| known.since >= limit);
        let removed = self.ledger.forget(|_| false).await.unwrap();
        assert_eq!(removed, before - self.known.len());
    }

    async fn step(&mut self) {
        match self.below(100) {
            0 => self.crash().await,
            1 => self.forget().await,
            2 => {
                self.store.break_writes();
                self.writes = false;
            }
            3 => {
                self.store.break_reads();
                self.reads = false;
            }
            4..=9 => self.mend(),
            10..=54 => self.conclude().await,
            _ => self.claim().await,
        }
    }
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}

#[tokio::test]
async fn a_million_steps_of_the_ledger_are_as_the_model_says() {
    let seed = number("MOSAIC_MODEL_SEED", 0x5eed);
    let mut walk = Walk::new(seed).await;
    for _ in 0..number("MOSAIC_MODEL_STEPS", 1_000_000) {
        walk.step().await;
    }
    assert!(walk.answers > 1000 || number("MOSAIC_MODEL_STEPS", 1_000_000) < 100_000);
}
