//! Who a hub or a spoke is: an id, a key that signs, and another that speaks TLS.
//!
//! Owns the folder they are kept in. It never prints a private key and never overwrites one.

mod files;
mod first_use;

pub use first_use::{mark_used, memory};

use crate::tls::TlsKey;
use files::{make_folder, read, read_private, write_new};
use mosaic_common::Alias;
use mosaic_common::ids::{InvalidId, hex, unhex};
use mosaic_common::keys::{InvalidKey, SigningKey, VerifyingKey};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zeroize::Zeroizing;

const ID: &str = "id";
const SIGNING_KEY: &str = "signing.key";
const TLS_KEY: &str = "tls.key";
const TLS_CERTIFICATE: &str = "tls.crt";

/// An id and its private keys.
#[derive(Debug, Clone)]
pub struct Identity {
    id: Alias,
    signing: Arc<SigningKey>,
    tls: TlsPair,
}

/// What the other side pins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicIdentity {
    /// Its id.
    pub id: Alias,
    /// The key it signs commands or receipts with.
    pub signing_key: VerifyingKey,
    /// The key it speaks TLS with.
    pub tls_key: TlsKey,
}

/// Why an identity cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// There is one already: overwriting it would cut every connection it has.
    #[error("{path} exists already; remove it by hand to give this identity up for good")]
    Exists {
        /// Which file.
        path: PathBuf,
    },
    /// A file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {path}")]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Others than its owner may read or write a private key.
    #[error("{path} has mode {mode:04o}: others can reach a private key; run chmod 600 on it")]
    Exposed {
        /// Which.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The id is not a name.
    #[error("{path} does not hold a name")]
    Id {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: InvalidId,
    },
    /// The signing key is not a key.
    #[error("{path} does not hold a signing key")]
    SigningKey {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: InvalidKey,
    },
    /// The TLS key or certificate cannot be parsed.
    #[error("{path} does not hold the PEM of a TLS key or certificate")]
    Pem {
        /// Which file.
        path: PathBuf,
    },
    /// The TLS certificate cannot be made.
    #[error("cannot make a TLS certificate")]
    Certificate(#[source] rcgen::Error),
}

impl Identity {
    /// Makes an identity in `folder`, which is made if it is missing.
    ///
    /// # Errors
    /// If one of its files is there already, or cannot be written.
    pub fn generate(folder: &Path, id: Alias) -> Result<Self, IdentityError> {
        for name in [ID, SIGNING_KEY, TLS_KEY, TLS_CERTIFICATE] {
            let path = folder.join(name);
            if path.symlink_metadata().is_ok() {
                return Err(IdentityError::Exists { path });
            }
        }
        let (_, seed) = SigningKey::generate();
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519)
            .map_err(IdentityError::Certificate)?;
        let certificate = rcgen::CertificateParams::new(vec![id.to_string()])
            .and_then(|params| params.self_signed(&key))
            .map_err(IdentityError::Certificate)?;
        let pem = Zeroizing::new(key.serialize_pem());
        let seed = Zeroizing::new(hex(&*seed));
        make_folder(folder)?;
        write_new(&folder.join(SIGNING_KEY), &seed)?;
        write_new(&folder.join(TLS_KEY), &pem)?;
        write_new(&folder.join(TLS_CERTIFICATE), &certificate.pem())?;
        first_use::mark(folder).map_err(|source| IdentityError::Write {
            path: folder.to_owned(),
            source,
        })?;
        // Last, so that a folder with an id is a whole identity.
        write_new(&folder.join(ID), id.as_str())?;
        Self::load(folder)
    }

    /// Reads the identity in `folder`.
    ///
    /// # Errors
    /// If a file is missing or malformed, or if anybody but its owner may read a private key.
    pub fn load(folder: &Path) -> Result<Self, IdentityError> {
        let path = folder.join(ID);
        let id = read(&path)?
            .trim_end()
            .parse()
            .map_err(|source| IdentityError::Id { path, source })?;
        let path = folder.join(SIGNING_KEY);
        let text = read_private(&path)?;
        let signing = parse_seed(text.trim_end())
            .map_err(|source| IdentityError::SigningKey { path, source })?;
        let path = folder.join(TLS_KEY);
        let text = read_private(&path)?;
        let Ok(key) = PrivatePkcs8KeyDer::from_pem_slice(text.as_bytes()) else {
            return Err(IdentityError::Pem { path });
        };
        let path = folder.join(TLS_CERTIFICATE);
        let parsed = CertificateDer::from_pem_slice(read(&path)?.as_bytes())
            .ok()
            .and_then(|certificate| Some((TlsKey::of(&certificate)?, certificate)));
        let Some((public, certificate)) = parsed else {
            return Err(IdentityError::Pem { path });
        };
        Ok(Self {
            id,
            signing: Arc::new(signing),
            tls: TlsPair {
                key: Arc::new(key),
                certificate,
                public,
            },
        })
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &Alias {
        &self.id
    }

    /// What the other side pins.
    #[must_use]
    pub fn public(&self) -> PublicIdentity {
        PublicIdentity {
            id: self.id.clone(),
            signing_key: self.signing.public(),
            tls_key: self.tls.public,
        }
    }

    pub(crate) fn signing(&self) -> &Arc<SigningKey> {
        &self.signing
    }

    pub(crate) fn tls(&self) -> &TlsPair {
        &self.tls
    }
}

/// The private key and the certificate of one TLS identity.
#[derive(Clone)]
pub(crate) struct TlsPair {
    key: Arc<PrivatePkcs8KeyDer<'static>>,
    certificate: CertificateDer<'static>,
    public: TlsKey,
}

impl TlsPair {
    pub(crate) fn certificates(&self) -> Vec<CertificateDer<'static>> {
        vec![self.certificate.clone()]
    }

    pub(crate) fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(self.key.clone_key())
    }
}

impl std::fmt::Debug for TlsPair {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "TlsPair(of {})", self.public)
    }
}

fn parse_seed(text: &str) -> Result<SigningKey, InvalidKey> {
    let bytes = Zeroizing::new(unhex(text).ok_or(InvalidKey::Malformed)?);
    let seed: &[u8; 32] = bytes[..].try_into().map_err(|_| InvalidKey::Malformed)?;
    SigningKey::from_seed(seed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::MetadataExt;
    use std::os::unix::fs::PermissionsExt;

    fn alias(text: &str) -> Alias {
        text.parse().unwrap()
    }

    #[test]
    fn a_stored_identity_is_read_back_the_same_and_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let made = Identity::generate(folder.path(), alias("hub-berlin")).unwrap();
        let read = Identity::load(folder.path()).unwrap();
        assert_eq!(made.public(), read.public());
        let again = Identity::generate(folder.path(), alias("hub-berlin"));
        assert!(matches!(again, Err(IdentityError::Exists { .. })));
    }

    #[test]
    fn private_keys_are_for_their_owner_alone() {
        for name in [SIGNING_KEY, TLS_KEY] {
            let folder = tempfile::tempdir().unwrap();
            Identity::generate(folder.path(), alias("x")).unwrap();
            let path = folder.path().join(name);
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
            fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
            let error = Identity::load(folder.path()).unwrap_err();
            assert!(error.to_string().contains("0640"), "{error}");
        }
    }

    #[test]
    fn a_malformed_file_is_named() {
        for name in [ID, SIGNING_KEY, TLS_KEY, TLS_CERTIFICATE] {
            let folder = tempfile::tempdir().unwrap();
            Identity::generate(folder.path(), alias("x")).unwrap();
            fs::write(folder.path().join(name), "../nonsense").unwrap();
            let error = Identity::load(folder.path()).unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
        }
    }

    #[test]
    fn no_private_key_shows_in_debug_output() {
        let folder = tempfile::tempdir().unwrap();
        let identity = Identity::generate(folder.path(), alias("x")).unwrap();
        let seed = fs::read_to_string(folder.path().join(SIGNING_KEY)).unwrap();
        assert!(!format!("{identity:?}").contains(seed.trim()));
    }
}
