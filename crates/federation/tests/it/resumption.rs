//! TLS: nothing is resumed, and nothing older than 1.3 is spoken.

use crate::world::{Party, World};
use mosaic_federation::connection::ConnectionState;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, DigitallySignedStruct, HandshakeKind, SignatureScheme};
use std::sync::Arc;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A client that trusts whoever answers: here the server is under test.
#[derive(Debug)]
struct Trusting;

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

/// A client with every convenience that a real hub has switched off.
fn eager(hub: &Party, versions: &[&'static rustls::SupportedProtocolVersion]) -> TlsConnector {
    let file = |name: &str| hub.folder.path().join("identity").join(name);
    let certificate = CertificateDer::from_pem_file(file("tls.crt")).unwrap();
    let key = PrivateKeyDer::from_pem_file(file("tls.key")).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Trusting))
        .with_client_auth_cert(vec![certificate], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.resumption = Resumption::in_memory_sessions(32);
    TlsConnector::from(Arc::new(config))
}

/// Shakes hands and waits for the server's first byte.
async fn visit(connector: &TlsConnector, world: &World) -> std::io::Result<HandshakeKind> {
    let socket = TcpStream::connect(world.running.address).await?;
    let name = ServerName::try_from("spoke-alpha").unwrap();
    let mut tls = connector.connect(name, socket).await?;
    tls.read_u8().await?;
    let kind = tls.get_ref().1.handshake_kind();
    Ok(kind.unwrap())
}

#[tokio::test]
async fn no_tls_ticket_resumes() {
    let world = World::new().await;
    let connector = eager(&world.hub, &[&TLS13]);
    for _ in 0..3 {
        let kind = visit(&connector, &world).await.unwrap();
        assert_eq!(kind, HandshakeKind::Full);
    }
    world.change(|peer| peer.state = ConnectionState::Revoked);
    assert!(visit(&connector, &world).await.is_err());
}

#[tokio::test]
async fn tls_1_2_is_not_spoken() {
    let world = World::new().await;
    let connector = eager(&world.hub, &[&TLS12]);
    assert!(visit(&connector, &world).await.is_err());
}

#[tokio::test]
async fn silence_does_not_keep_others_out() {
    let world = World::new().await;
    let mut silent = Vec::new();
    for _ in 0..50 {
        let socket = TcpStream::connect(world.running.address).await.unwrap();
        silent.push(socket);
    }
    assert_eq!(world.side.ask(&crate::world::status()).await, "");
}
