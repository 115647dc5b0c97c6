//! TLS as Open vSwitch does it: both sides show a certificate, and a certificate counts if its chain leads
//! to the configured CA. Names aren't looked at: database servers are known by address, and their
//! certificates (`ovs-pki`) carry none of use.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::{DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

/// Files in PEM, as for `ovn-nbctl --private-key --certificate --ca-cert`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsConfig {
    /// Our private key.
    pub private_key: PathBuf,
    /// Our certificate, followed by intermediate ones if there are.
    pub certificate: PathBuf,
    /// The CA certificates that the server's chain must lead to.
    pub ca_certificate: PathBuf,
}

/// Keys or certificates that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file can't be read or holds nothing of the kind.
    #[error("reading the {what} for OVSDB from {}: {source}", .path.display())]
    Pem {
        /// What was looked for.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Why not.
        source: rustls_pki_types::pem::Error,
    },
    /// They don't fit.
    #[error("TLS for OVSDB can't be set up: {0}")]
    Setup(#[from] rustls::Error),
}

impl TlsConfig {
    /// Reads the files.
    pub(super) fn connector(&self) -> Result<Arc<rustls::ClientConfig>, TlsError> {
        let certificates = |what, path: &PathBuf| {
            let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
            read.map_err(|source| TlsError::Pem { what, path: path.clone(), source })
        };
        let ca: Vec<CertificateDer<'static>> = certificates("CA certificate", &self.ca_certificate)?;
        let chain: Vec<CertificateDer<'static>> = certificates("certificate", &self.certificate)?;
        let key = PrivateKeyDer::from_pem_file(&self.private_key).map_err(|source| TlsError::Pem {
            what: "private key",
            path: self.private_key.clone(),
            source,
        })?;
        let mut roots = RootCertStore::empty();
        for certificate in ca {
            roots.add(certificate)?;
        }
        if roots.is_empty() {
            let source = rustls_pki_types::pem::Error::NoItemsFound;
            return Err(TlsError::Pem { what: "CA certificate", path: self.ca_certificate.clone(), source });
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = Arc::new(ChainOnly { roots, provider: provider.clone() });
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_client_auth_cert(chain, key)?;
        Ok(Arc::new(config))
    }
}

/// Chain yes, name no.
#[derive(Debug)]
struct ChainOnly {
    roots: RootCertStore,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for ChainOnly {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let certificate = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&certificate, &self.roots, intermediates, now, algorithms)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
