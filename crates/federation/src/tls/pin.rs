//! Certificate verifiers that know public keys and nothing else.
//!
//! The signature of the handshake is always checked by rustls: a pin without it would prove
//! only that somebody has seen the certificate.

use super::TlsKey;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use std::{fmt::Debug, sync::Arc};

/// Says which peers may connect, now.
pub trait Pins: Debug + Send + Sync {
    /// Whether a peer that holds this key may speak.
    fn admits(&self, key: &TlsKey) -> bool;
}

/// Lets in the peers of the connection table, as it is at that moment.
#[derive(Debug)]
pub(crate) struct PinnedClients {
    pins: Arc<dyn Pins>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl PinnedClients {
    pub(crate) fn new(pins: Arc<dyn Pins>, provider: &CryptoProvider) -> Self {
        Self {
            pins,
            algorithms: provider.signature_verification_algorithms,
        }
    }
}

/// Accepts one server.
#[derive(Debug)]
pub(crate) struct PinnedServer {
    pin: TlsKey,
    algorithms: WebPkiSupportedAlgorithms,
}

impl PinnedServer {
    pub(crate) fn new(pin: TlsKey, provider: &CryptoProvider) -> Self {
        Self {
            pin,
            algorithms: provider.signature_verification_algorithms,
        }
    }
}

fn key_of(certificate: &CertificateDer<'_>) -> Result<TlsKey, Error> {
    TlsKey::of(certificate).ok_or(Error::InvalidCertificate(CertificateError::BadEncoding))
}

const UNKNOWN: Error = Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure);

impl ClientCertVerifier for PinnedClients {
    /// Empty: names of authorities would only tell a stranger whom we know.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if self.pins.admits(&key_of(certificate)?) {
            Ok(ClientCertVerified::assertion())
        } else {
            Err(UNKNOWN)
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl ServerCertVerifier for PinnedServer {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if key_of(certificate)? == self.pin {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(UNKNOWN)
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
