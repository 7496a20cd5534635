//! The public half of a TLS key, as it is pinned.

use mosaic_common::ids::{hex, unhex};
use mosaic_common::keys::{InvalidKey, VerifyingKey, sha256};
use rustls::server::ParsedCertificate;
use rustls_pki_types::CertificateDer;
use std::{fmt, str::FromStr};

/// What stands before the 32 bytes of an Ed25519 key in its SubjectPublicKeyInfo (RFC 8410).
const ED25519_SPKI: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

/// The SHA-256 of a certificate's SubjectPublicKeyInfo, written as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TlsKey([u8; 32]);

impl TlsKey {
    /// The key of a certificate; `None` if it cannot be parsed.
    #[must_use]
    pub fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let parsed = ParsedCertificate::try_from(certificate).ok()?;
        Some(Self(sha256(&parsed.subject_public_key_info())))
    }

    /// What the pin would be if a signing key were used for TLS as well.
    #[must_use]
    pub fn of_signing_key(key: &VerifyingKey) -> Self {
        Self(sha256(&[&ED25519_SPKI[..], key.as_bytes()].concat()))
    }
}

impl FromStr for TlsKey {
    type Err = InvalidKey;
    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        let bytes = unhex(text).ok_or(InvalidKey::Malformed)?;
        bytes
            .try_into()
            .map(Self)
            .map_err(|_| InvalidKey::Malformed)
    }
}

impl fmt::Display for TlsKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for TlsKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "TlsKey({self})")
    }
}
