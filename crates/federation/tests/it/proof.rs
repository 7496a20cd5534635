//! Steps 3 to 7: what cannot be attributed is rejected, and its sender learns nothing more.

use crate::world::{Party, TestClock, World, alias, spawn, status};
use bytes::Bytes;
use mosaic_common::envelope::seal;
use mosaic_common::keys::SigningKey;
use mosaic_common::proto::federation::v1::{Command, CommandKind, Envelope, Receipt};
use mosaic_common::{CommandId, Reason, Refusal};
use mosaic_federation::connection::Connections;
use mosaic_federation::ledger::{Ledger, Memory};
use mosaic_federation::link::{Link, LinkError};
use mosaic_federation::verify::{Call, Rejection, Verifier};
use mosaic_store::MemoryStore;
use proptest::prelude::*;
use prost::Message;
use std::sync::Arc;

type Change = fn(&mut Command);

fn payload(envelope: &Envelope) -> Command {
    Command::decode(envelope.payload.clone()).unwrap()
}

/// A command of this world with one thing changed, signed by the right hub.
fn changed(world: &World, change: impl FnOnce(&mut Command)) -> Envelope {
    let mut command = payload(world.side.sign(&spawn()).envelope());
    change(&mut command);
    seal(&command, &world.hub.signing_key())
}

async fn assert_rejected(world: &World, envelope: Envelope, what: &str) {
    let refusal = world.rejected(envelope).await;
    assert_eq!(refusal, Refusal::from(Rejection::Epoch), "{what}");
    assert_eq!(refusal.reason, Reason::CommandRejected);
    assert_eq!(world.executed(), 0, "{what}");
}

#[tokio::test]
async fn forged_commands_are_rejected() {
    let world = World::new().await;
    let (forger, _) = SigningKey::generate();
    let command = payload(world.side.sign(&spawn()).envelope());
    let forged = seal(&command, &forger);
    assert_rejected(&world, forged.clone(), "another key").await;
    let real = world.side.sign(&spawn()).envelope().key_id.clone();
    let disguised = Envelope {
        key_id: real,
        ..forged
    };
    assert_rejected(&world, disguised, "another key under the right hint").await;
}

#[tokio::test]
async fn tampered_envelopes_are_rejected() {
    let world = World::new().await;
    let good = world.side.sign(&spawn()).envelope().clone();
    let other = world.side.sign(&status()).envelope().clone();
    let longer = [&good.payload[..], b"\x08\x01"].concat();
    let table = [
        Envelope::default(),
        Envelope {
            payload: other.payload.clone(),
            ..good.clone()
        },
        Envelope {
            payload: longer.into(),
            ..good.clone()
        },
        Envelope {
            payload: good.payload.slice(1..),
            ..good.clone()
        },
        Envelope {
            signature: good.signature.slice(..63),
            ..good.clone()
        },
        Envelope {
            key_id: Bytes::new(),
            ..good.clone()
        },
        Envelope {
            payload_type: "application/vnd.mosaic.receipt.v1+protobuf".into(),
            ..good.clone()
        },
        seal(&Receipt::default(), &world.hub.signing_key()),
    ];
    for (number, envelope) in table.into_iter().enumerate() {
        assert_rejected(&world, envelope, &format!("case {number}")).await;
    }
}

#[tokio::test]
async fn misaddressed_commands_are_rejected_even_if_the_right_hub_signed_them() {
    let world = World::new().await;
    let table: [(&str, Change); 5] = [
        ("audience", |c| c.audience = "spoke-beta".into()),
        ("issuer", |c| c.issuer = "hub-paris".into()),
        ("connection", |c| c.connection_id = "berlin-2".into()),
        ("an older epoch", |c| c.connection_epoch = 0),
        ("a newer epoch", |c| c.connection_epoch = 2),
    ];
    for (what, change) in table {
        assert_rejected(&world, changed(&world, change), what).await;
    }
}

#[tokio::test]
async fn what_this_version_does_not_know_is_rejected() {
    let world = World::new().await;
    let table: [(&str, Change); 9] = [
        ("protocol 0", |c| c.protocol = 0),
        ("protocol 2", |c| c.protocol = 2),
        ("a critical feature", |c| {
            c.critical_features.push("time-travel".into());
        }),
        ("no kind", |c| c.kind = 0),
        ("an unknown kind", |c| c.kind = 99),
        ("a stream in Execute", |c| {
            c.kind = CommandKind::Watch.into();
        }),
        ("a short command id", |c| c.command_id.truncate(15)),
        ("no time", |c| c.issued_at = None),
        ("a control character", |c| c.on_behalf_of = "ada\n".into()),
    ];
    for (what, change) in table {
        assert_rejected(&world, changed(&world, change), what).await;
    }
}

#[tokio::test]
async fn an_act_cannot_come_in_by_open() {
    let world = World::new().await;
    let command = world.side.sign(&spawn());
    let opened = world.side.link.open(command.envelope().clone()).await;
    assert!(matches!(opened, Err(LinkError::Rejected(_))));
    assert_eq!(world.executed(), 0);
}

#[tokio::test]
async fn a_command_of_an_earlier_establishing_is_rejected() {
    let world = World::new().await;
    let old = world.side.sign(&spawn()).envelope().clone();
    world.change(|peer| peer.epoch = 2);
    // The change of epoch cut the TLS connection; the next call finds a new one.
    let mut refusal = world.side.link.execute(old.clone()).await;
    if let Err(LinkError::Broken(_)) = refusal {
        refusal = world.side.link.execute(old).await;
    }
    assert!(
        matches!(&refusal, Err(LinkError::Rejected(refusal))
            if refusal.reason == Reason::CommandRejected),
        "{refusal:?}"
    );
    assert_eq!(world.executed(), 0);
}

#[tokio::test]
async fn an_oversize_command_is_not_even_sent() {
    let world = World::new().await;
    let mut request = spawn();
    request.spec.as_mut().unwrap().task = "x".repeat(70_000);
    let sealed = world.side.sign(&request);
    let refusal = world.rejected(sealed.envelope().clone()).await;
    assert_eq!(refusal.reason, Reason::RequestTooLarge);
}

/// One identity field of a command, and which.
#[derive(Debug, Clone)]
enum Flip {
    TlsPeer,
    SigningKey,
    KeyId(usize),
    Issuer(String),
    Audience(String),
    Connection(String),
    Epoch(u64),
}

fn flip() -> impl Strategy<Value = Flip> {
    let name = "[a-z]{1,9}-[0-9]{1,3}";
    prop_oneof![
        Just(Flip::TlsPeer),
        Just(Flip::SigningKey),
        (0usize..128).prop_map(Flip::KeyId),
        name.prop_map(Flip::Issuer),
        name.prop_map(Flip::Audience),
        name.prop_map(Flip::Connection),
        (2u64..).prop_map(Flip::Epoch),
    ]
}

/// Two hubs that one spoke knows, and its verifier.
struct Stage {
    hub: Party,
    connections: Connections<mosaic_federation::connection::HubPeer>,
    verifier: Verifier,
}

impl Stage {
    fn new() -> Self {
        let (hub, other) = (Party::new("hub-a"), Party::new("hub-b"));
        let peers = vec![hub.as_hub("a"), other.as_hub("b")];
        let clock = TestClock::new();
        let ledger = Ledger::open(Arc::<MemoryStore>::default(), clock.clone(), Memory::New);
        let ledger = tokio::runtime::Runtime::new().unwrap().block_on(ledger);
        let ledger = Arc::new(ledger.unwrap());
        Self {
            hub,
            connections: Connections::new(peers),
            verifier: Verifier::new(alias("spoke"), alias("site"), clock, ledger),
        }
    }

    /// Whether the command passes steps 3 to 7 with this flipped.
    fn passes(&self, flip: Option<&Flip>) -> bool {
        let now = Some(mosaic_common::proto::timestamp(jiff::Timestamp::UNIX_EPOCH));
        let mut command = Command {
            protocol: 1,
            issuer: "hub-a".into(),
            audience: "spoke".into(),
            connection_id: "a".into(),
            connection_epoch: 1,
            command_id: Bytes::copy_from_slice(CommandId::random().as_bytes()),
            issued_at: now,
            expires_at: now,
            kind: CommandKind::List.into(),
            ..Default::default()
        };
        let (mut peer, mut key, mut key_bit) = ("a", self.hub.signing_key(), None);
        match flip {
            None => {}
            Some(Flip::TlsPeer) => peer = "b",
            Some(Flip::SigningKey) => key = SigningKey::from_seed(&[7; 32]).unwrap(),
            Some(Flip::KeyId(bit)) => key_bit = Some(*bit),
            Some(Flip::Issuer(name)) => command.issuer.clone_from(name),
            Some(Flip::Audience(name)) => command.audience.clone_from(name),
            Some(Flip::Connection(name)) => command.connection_id.clone_from(name),
            Some(Flip::Epoch(epoch)) => command.connection_epoch = *epoch,
        }
        let mut envelope = seal(&command, &key);
        if let Some(bit) = key_bit {
            let mut id = envelope.key_id.to_vec();
            id[bit / 8] ^= 1 << (bit % 8);
            envelope.key_id = id.into();
        }
        let live = self.connections.by_id(&alias(peer)).unwrap();
        self.verifier.prove(live, Call::Execute, &envelope).is_ok()
    }
}

#[test]
fn flipping_any_one_identity_field_rejects_the_command() {
    let stage = Stage::new();
    assert!(stage.passes(None));
    let mut runner = proptest::test_runner::TestRunner::default();
    let result = runner.run(&flip(), |flip| {
        prop_assert!(!stage.passes(Some(&flip)));
        Ok(())
    });
    result.unwrap();
}
