//! What a hub believes of a spoke's answer.

use crate::world::{Party, World, alias, spawn, status};
use bytes::Bytes;
use mosaic_common::Reason;
use mosaic_common::envelope::{OpenError, seal};
use mosaic_common::keys::SigningKey;
use mosaic_common::proto::federation::v1::{Envelope, Receipt, ReceiptStatus};
use mosaic_federation::issuer::SealedCommand;
use mosaic_federation::link::Link;
use mosaic_federation::receipt::{ReceiptChecker, ReceiptError, answer};
use prost::Message;

type Change = fn(&mut Receipt);

/// A true answer, and a way to change it under the spoke's own key.
struct Answered {
    world: World,
    command: SealedCommand,
    envelope: Envelope,
}

impl Answered {
    async fn new() -> Self {
        let world = World::new().await;
        let command = world.side.sign(&spawn());
        let envelope = world.side.link.execute(command.envelope().clone()).await;
        Self {
            world,
            command,
            envelope: envelope.unwrap(),
        }
    }

    fn check(&self, envelope: &Envelope) -> Result<Receipt, ReceiptError> {
        let checker = ReceiptChecker::new(alias("hub-berlin"));
        checker.check(&self.world.side.peer, &self.command, envelope)
    }

    fn changed(&self, change: impl FnOnce(&mut Receipt)) -> Envelope {
        let mut receipt = Receipt::decode(self.envelope.payload.clone()).unwrap();
        change(&mut receipt);
        seal(&receipt, &self.world.spoke.signing_key())
    }
}

#[tokio::test]
async fn a_true_receipt_says_what_became_of_the_command() {
    let answered = Answered::new().await;
    let receipt = answered.check(&answered.envelope).unwrap();
    assert_eq!(receipt.status(), ReceiptStatus::Ok);
    assert_eq!(answer(&receipt), Ok(Bytes::from("answer 1")));
    assert!(receipt.agent_id.starts_with("ag_"));
}

#[tokio::test]
async fn a_forged_receipt_is_refused() {
    let answered = Answered::new().await;
    let receipt = Receipt::decode(answered.envelope.payload.clone()).unwrap();
    let forged = seal(&receipt, &SigningKey::generate().0);
    let unknown = Err(ReceiptError::Open(OpenError::UnknownKey));
    assert_eq!(answered.check(&forged), unknown);
    let disguised = Envelope {
        key_id: answered.envelope.key_id.clone(),
        ..forged
    };
    let signature = Err(ReceiptError::Open(OpenError::Signature));
    assert_eq!(answered.check(&disguised), signature);
    let command = answered.command.envelope();
    let kind = Err(ReceiptError::Open(OpenError::PayloadType));
    assert_eq!(answered.check(command), kind);
}

#[tokio::test]
async fn a_receipt_for_another_request_is_refused() {
    let answered = Answered::new().await;
    let side = &answered.world.side;
    let other = side.sign(&status());
    let answer = side.link.execute(other.envelope().clone()).await.unwrap();
    assert_eq!(answered.check(&answer), Err(ReceiptError::Command));
    let swapped = answered.changed(|receipt| receipt.request_sha256 = vec![0; 32].into());
    assert_eq!(answered.check(&swapped), Err(ReceiptError::Request));
}

#[tokio::test]
async fn a_receipt_for_another_hub_spoke_connection_or_epoch_is_refused() {
    let answered = Answered::new().await;
    let table: [(Change, ReceiptError); 5] = [
        (|r| r.audience = "hub-paris".into(), ReceiptError::Audience),
        (|r| r.issuer = "spoke-beta".into(), ReceiptError::Issuer),
        (
            |r| r.connection_id = "berlin-2".into(),
            ReceiptError::Connection,
        ),
        (|r| r.connection_epoch = 2, ReceiptError::Epoch),
        (|r| r.protocol = 2, ReceiptError::Protocol),
    ];
    for (change, error) in table {
        assert_eq!(answered.check(&answered.changed(change)), Err(error));
    }
}

#[tokio::test]
async fn a_receipt_that_contradicts_itself_is_refused() {
    let answered = Answered::new().await;
    let table: [(Change, ReceiptError); 6] = [
        (|r| r.status = 0, ReceiptError::Field("status")),
        (|r| r.status = 9, ReceiptError::Field("status")),
        (
            |r| r.reason_code = "INTERNAL".into(),
            ReceiptError::Field("reason_code"),
        ),
        (
            |r| {
                r.status = ReceiptStatus::Refused.into();
                r.reason_code = "\u{1b}[31m".into();
            },
            ReceiptError::Field("reason_code"),
        ),
        (
            |r| r.agent_id = "../etc".into(),
            ReceiptError::Field("agent_id"),
        ),
        (|r| r.sequence = 0, ReceiptError::Sequence(0)),
    ];
    for (change, error) in table {
        assert_eq!(answered.check(&answered.changed(change)), Err(error));
    }
}

#[tokio::test]
async fn one_number_never_stands_for_two_commands() {
    let answered = Answered::new().await;
    let side = &answered.world.side;
    let checker = ReceiptChecker::new(alias("hub-berlin"));
    let check = |command, envelope: &Envelope| checker.check(&side.peer, command, envelope);
    let first = check(&answered.command, &answered.envelope).unwrap();
    check(&answered.command, &answered.envelope).unwrap();
    let other = side.sign(&spawn());
    let honest = side.link.execute(other.envelope().clone()).await.unwrap();
    let mut receipt = Receipt::decode(honest.payload.clone()).unwrap();
    assert!(receipt.sequence > first.sequence);
    receipt.sequence = first.sequence;
    let reused = seal(&receipt, &answered.world.spoke.signing_key());
    let error = ReceiptError::Sequence(first.sequence);
    assert_eq!(check(&other, &reused), Err(error));
    check(&other, &honest).unwrap();
}

#[tokio::test]
async fn what_a_spoke_writes_to_people_is_cleaned_and_cut() {
    let answered = Answered::new().await;
    let envelope = answered.changed(|receipt| {
        receipt.status = ReceiptStatus::Refused.into();
        receipt.reason_code = "FROM_THE_FUTURE".into();
        receipt.message = format!("\u{1b}[31mred\r\n{}", "x".repeat(5000));
        receipt.result = Bytes::new();
    });
    let refusal = answer(&answered.check(&envelope).unwrap()).unwrap_err();
    assert_eq!(refusal.reason, Reason::Internal);
    assert!(refusal.message.contains("FROM_THE_FUTURE"));
    assert!(refusal.message.len() < 1200);
    assert!(!refusal.message.chars().any(char::is_control));
}

#[test]
fn the_two_keys_of_an_identity_are_different() {
    let public = Party::new("x").identity.public();
    let as_tls = mosaic_federation::tls::TlsKey::of_signing_key(&public.signing_key);
    assert_ne!(as_tls, public.tls_key);
}
