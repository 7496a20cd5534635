//! Signed envelopes: exact bytes and a signature over them.
//!
//! The signature covers DSSE's pre-authentication encoding of type and payload
//! (<https://github.com/secure-systems-lab/dsse/blob/v1.0.2/protocol.md>), so no two pairs of
//! type and payload sign the same bytes. Nothing is encoded again before it is verified:
//! protobuf has many encodings of one message, and a decoder drops what it does not know.

use crate::keys::{KeyId, SigningKey, VerifyingKey};
use crate::proto::federation::v1::{Command, Envelope, Receipt};
use bytes::Bytes;
use prost::Message;

/// The version of the federation protocol that this code speaks.
pub const PROTOCOL: u32 = 1;

/// A message that may be signed. Sealed: what can be signed is decided here.
pub trait Signed: Message + Default + sealed::Sealed {
    /// Its media type.
    const PAYLOAD_TYPE: &'static str;
}

impl Signed for Command {
    const PAYLOAD_TYPE: &'static str = "application/vnd.mosaic.command.v1+protobuf";
}

impl Signed for Receipt {
    const PAYLOAD_TYPE: &'static str = "application/vnd.mosaic.receipt.v1+protobuf";
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Command {}
    impl Sealed for super::Receipt {}
}

/// What can be wrong with an envelope, in the order it is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Not the type that is expected here.
    #[error("payload type is not the expected one")]
    PayloadType,
    /// Key id or signature of the wrong length.
    #[error("key id must be 16 bytes and signature 64")]
    Shape,
    /// Signed by no key that may sign here.
    #[error("key id is not one of this connection")]
    UnknownKey,
    /// The signature is not that key's over these bytes.
    #[error("signature does not match")]
    Signature,
    /// The payload is not the message it says it is.
    #[error("payload cannot be decoded")]
    Payload,
}

/// Encodes and signs a message.
#[must_use]
pub fn seal<M: Signed>(message: &M, key: &SigningKey) -> Envelope {
    let payload = Bytes::from(message.encode_to_vec());
    let signature = key
        .sign(&pre_authentication(M::PAYLOAD_TYPE, &payload))
        .into();
    let key_id = Bytes::copy_from_slice(&key.public().id());
    Envelope {
        payload,
        payload_type: M::PAYLOAD_TYPE.to_owned(),
        key_id,
        signature,
    }
}

/// Checks type, shape, key and signature, in that order, and only then decodes.
///
/// `key` finds the key of a hint among those that may sign here, now.
///
/// # Errors
/// The first check that failed.
pub fn open<M: Signed>(
    envelope: &Envelope,
    key: impl FnOnce(&KeyId) -> Option<VerifyingKey>,
) -> Result<M, OpenError> {
    if envelope.payload_type != M::PAYLOAD_TYPE {
        return Err(OpenError::PayloadType);
    }
    let hint: &KeyId = envelope
        .key_id
        .as_ref()
        .try_into()
        .map_err(|_| OpenError::Shape)?;
    if envelope.signature.len() != 64 {
        return Err(OpenError::Shape);
    }
    let key = key(hint).ok_or(OpenError::UnknownKey)?;
    let signed = pre_authentication(&envelope.payload_type, &envelope.payload);
    if !key.verifies(&signed, &envelope.signature) {
        return Err(OpenError::Signature);
    }
    M::decode(envelope.payload.clone()).map_err(|_| OpenError::Payload)
}

/// `"DSSEv1" SP LEN(type) SP type SP LEN(payload) SP payload`.
fn pre_authentication(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!(
        "DSSEv1 {} {payload_type} {} ",
        payload_type.len(),
        payload.len()
    );
    [head.as_bytes(), payload].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sealed() -> (Envelope, VerifyingKey) {
        let (key, _) = SigningKey::generate();
        let command = Command {
            issuer: "hub".into(),
            audience: "spoke".into(),
            ..Default::default()
        };
        (seal(&command, &key), key.public())
    }

    #[test]
    fn the_encoding_is_the_one_of_the_dsse_specification() {
        let encoded = pre_authentication("http://example.com/HelloWorld", b"hello world");
        assert_eq!(
            encoded,
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
    }

    #[test]
    fn every_single_bit_of_an_envelope_matters() {
        let (good, key) = sealed();
        let open_with =
            |envelope: &Envelope| open::<Command>(envelope, |id| (*id == key.id()).then_some(key));
        assert!(open_with(&good).is_ok());
        let flipped = |bytes: &Bytes, bit: usize| {
            let mut bytes = bytes.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            Bytes::from(bytes)
        };
        for bit in 0..good.payload.len() * 8 {
            let bad = Envelope {
                payload: flipped(&good.payload, bit),
                ..good.clone()
            };
            assert_eq!(open_with(&bad).err(), Some(OpenError::Signature));
        }
        for bit in 0..512 {
            let bad = Envelope {
                signature: flipped(&good.signature, bit),
                ..good.clone()
            };
            assert_eq!(open_with(&bad).err(), Some(OpenError::Signature));
        }
        for bit in 0..128 {
            let bad = Envelope {
                key_id: flipped(&good.key_id, bit),
                ..good.clone()
            };
            assert_eq!(open_with(&bad).err(), Some(OpenError::UnknownKey));
        }
    }

    #[test]
    fn a_command_cannot_be_passed_off_as_a_receipt() {
        let (good, key) = sealed();
        assert_eq!(
            open::<Receipt>(&good, |_| Some(key)),
            Err(OpenError::PayloadType)
        );
        let renamed = Envelope {
            payload_type: Receipt::PAYLOAD_TYPE.into(),
            ..good
        };
        assert_eq!(
            open::<Receipt>(&renamed, |_| Some(key)),
            Err(OpenError::Signature)
        );
    }

    proptest! {
        #[test]
        fn no_two_pairs_sign_the_same_bytes(
            a in (".{0,20}", proptest::collection::vec(any::<u8>(), 0..40)),
            b in (".{0,20}", proptest::collection::vec(any::<u8>(), 0..40)),
        ) {
            let same = pre_authentication(&a.0, &a.1) == pre_authentication(&b.0, &b.1);
            prop_assert_eq!(same, a == b);
        }
    }
}
