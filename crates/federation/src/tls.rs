//! TLS between hub and spoke: 1.3 only, mutual, keys pinned, nothing resumed.
//!
//! Owns the two rustls configurations. It trusts no certificate authority and reads no name in a
//! certificate: who a peer is follows from its public key alone.

mod key;
mod pin;

pub use key::TlsKey;
pub use pin::Pins;
pub(crate) use pin::{PinnedClients, PinnedServer};

use crate::identity::Identity;
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, ring};
use rustls::server::NoServerSessionStorage;
use rustls::version::TLS13;
use rustls::{ClientConfig, ServerConfig};
use std::sync::Arc;

/// HTTP/2, as ALPN names it. Nothing else is offered, so no peer can fall back to HTTP/1.
const ALPN: &[u8] = b"h2";

/// Why a TLS configuration cannot be made: the key and the certificate do not fit.
#[derive(Debug, thiserror::Error)]
#[error("the TLS key and certificate of {id} cannot be used")]
pub struct TlsError {
    id: String,
    #[source]
    source: rustls::Error,
}

/// The configuration of a spoke's listener: peers are those that `pins` knows at that moment.
///
/// # Errors
/// If the identity's key and certificate do not fit.
pub fn server(identity: &Identity, pins: Arc<dyn Pins>) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = provider();
    let verifier = Arc::new(PinnedClients::new(pins, &provider));
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map(|builder| builder.with_client_cert_verifier(verifier))
        .and_then(|builder| {
            builder.with_single_cert(identity.tls().certificates(), identity.tls().key())
        })
        .map_err(|source| failed(identity, source))?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    // With resumption on, a peer revoked since its last visit comes back in on a ticket,
    // and no verifier is asked.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// The configuration for dialling the one spoke that holds `pin`.
///
/// # Errors
/// If the identity's key and certificate do not fit.
pub fn client(identity: &Identity, pin: TlsKey) -> Result<Arc<ClientConfig>, TlsError> {
    let provider = provider();
    let verifier = Arc::new(PinnedServer::new(pin, &provider));
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map(|builder| {
            builder
                .dangerous() // no chain is checked: the key itself is pinned
                .with_custom_certificate_verifier(verifier)
        })
        .and_then(|builder| {
            builder.with_client_auth_cert(identity.tls().certificates(), identity.tls().key())
        })
        .map_err(|source| failed(identity, source))?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// Named, not taken from the process: a second provider in the tree would make that panic.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn failed(identity: &Identity, source: rustls::Error) -> TlsError {
    TlsError {
        id: identity.id().to_string(),
        source,
    }
}
