//! TLS as Open vSwitch does it: both sides present a certificate, and a certificate is accepted if its chain leads to a
//! configured CA. Names aren't checked unless some are configured: database servers are known by address, and their
//! certificates (`ovs-pki`) often carry no useful name.
//!
//! The files are read again for each connection, so keys and CAs may change while we run; a file that can't be used at
//! that moment (it is being replaced) leaves what was read before.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::{DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

/// Files in PEM, as for `ovn-nbctl --private-key --certificate --ca-cert`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsConfig {
    /// Our private key.
    pub private_key: PathBuf,
    /// Our certificate, followed by intermediate ones if there are.
    pub certificate: PathBuf,
    /// The CA certificates that the server's chain must lead to: one of them, so both the old and the new one may stand here
    /// while a CA is replaced.
    pub ca_certificate: PathBuf,
    /// DNS names and addresses of which a server's certificate must bear one; empty: any certificate of the CA's will do.
    pub names: Vec<String>,
}

/// Keys or certificates that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file can't be read.
    #[error(
        "reading the {what} for OVSDB from {}: {source}; is the Secret kube-ovn-tls (keys cacert, cert, key) there and mounted?",
        .path.display()
    )]
    Read {
        /// What was looked for.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file holds nothing of the kind.
    #[error("reading the {what} for OVSDB from {}: {source}; expected PEM", .path.display())]
    Pem {
        /// What was looked for.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Why not.
        source: rustls_pki_types::pem::Error,
    },
    /// A CA's certificate that none is.
    #[error("the CA certificate for OVSDB in {} can't be used: {source}", .path.display())]
    Authority {
        /// Where.
        path: PathBuf,
        /// Why not.
        source: rustls::Error,
    },
    /// Key and certificate don't fit.
    #[error(
        "the certificate for OVSDB in {} and the private key in {} can't be used together: {source}",
        .certificate.display(), .key.display()
    )]
    Pair {
        /// The certificate.
        certificate: PathBuf,
        /// The key.
        key: PathBuf,
        /// Why not.
        source: rustls::Error,
    },
    /// A name that no server can have.
    #[error("{0:?} is neither a DNS name nor an address that a server's certificate could bear")]
    Name(String),
    /// The rest.
    #[error("TLS for OVSDB can't be set up: {0}")]
    Setup(#[from] rustls::Error),
}

/// What the three files hold.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Files {
    key: Vec<u8>,
    certificate: Vec<u8>,
    ca: Vec<u8>,
}

impl TlsConfig {
    fn read(&self) -> Result<Files, TlsError> {
        let read = |what, path: &PathBuf| {
            std::fs::read(path).map_err(|source| TlsError::Read { what, path: path.clone(), source })
        };
        Ok(Files {
            ca: read("CA certificate", &self.ca_certificate)?,
            certificate: read("certificate", &self.certificate)?,
            key: read("private key", &self.private_key)?,
        })
    }

    fn connector(&self, files: &Files) -> Result<Arc<rustls::ClientConfig>, TlsError> {
        let none = || rustls_pki_types::pem::Error::NoItemsFound;
        let pem = |what, path: &PathBuf, source| TlsError::Pem { what, path: path.clone(), source };
        let certificates = |what, path: &PathBuf, bytes: &[u8]| {
            let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
            let all: Vec<CertificateDer<'static>> = read.map_err(|source| pem(what, path, source))?;
            if all.is_empty() { Err(pem(what, path, none())) } else { Ok(all) }
        };
        let mut roots = RootCertStore::empty();
        for certificate in certificates("CA certificate", &self.ca_certificate, &files.ca)? {
            let path = || self.ca_certificate.clone();
            roots.add(certificate).map_err(|source| TlsError::Authority { path: path(), source })?;
        }
        let chain = certificates("certificate", &self.certificate, &files.certificate)?;
        let key = PrivateKeyDer::from_pem_slice(&files.key)
            .map_err(|source| pem("private key", &self.private_key, source))?;
        let names = self
            .names
            .iter()
            .map(|name| ServerName::try_from(name.clone()).map_err(|_| TlsError::Name(name.clone())));
        let names = names.collect::<Result<_, _>>()?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = Arc::new(Chain { roots, names, provider: provider.clone() });
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_client_auth_cert(chain, key)
            .map_err(|source| TlsError::Pair {
                certificate: self.certificate.clone(),
                key: self.private_key.clone(),
                source,
            })?;
        Ok(Arc::new(config))
    }
}

/// The files as they are now, or were when they could last be used. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Tls {
    config: Arc<TlsConfig>,
    last: Arc<Mutex<(Files, Arc<rustls::ClientConfig>)>>,
}

impl Tls {
    /// Reads the files; here a mistake is an error.
    pub(super) fn new(config: TlsConfig) -> Result<Self, TlsError> {
        let files = config.read()?;
        let connector = config.connector(&files)?;
        Ok(Self { config: Arc::new(config), last: Arc::new(Mutex::new((files, connector))) })
    }

    /// What to connect with now.
    pub(super) fn connector(&self) -> Arc<rustls::ClientConfig> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let read = self.config.read().and_then(|files| {
            if files == last.0 {
                return Ok(None);
            }
            self.config.connector(&files).map(|connector| Some((files, connector)))
        });
        match read {
            Ok(None) => {}
            Ok(Some(new)) => {
                tracing::info!(
                    ca = %self.config.ca_certificate.display(),
                    certificate = %self.config.certificate.display(),
                    "keys and certificates for OVSDB have changed; new connections use them"
                );
                *last = new;
            }
            Err(error) => tracing::warn!(%error, "keys and certificates for OVSDB stay as they were"),
        }
        last.1.clone()
    }

    /// A failed handshake in words that say where to look.
    pub(super) fn explain(&self, error: &io::Error) -> io::Error {
        let cause = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        let show = |path: &Path| path.display().to_string();
        let hint = match cause {
            Some(rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer)) => {
                format!("the server's certificate is not of a CA in {}", show(&self.config.ca_certificate))
            }
            Some(rustls::Error::InvalidCertificate(
                rustls::CertificateError::NotValidForName
                | rustls::CertificateError::NotValidForNameContext { .. },
            )) => {
                format!("the server's certificate bears none of the names {}", self.config.names.join(", "))
            }
            Some(rustls::Error::InvalidCertificate(_)) => "the server's certificate".to_owned(),
            Some(rustls::Error::AlertReceived(_)) => {
                format!("the server refuses our certificate {}", show(&self.config.certificate))
            }
            _ => "TLS".to_owned(),
        };
        io::Error::new(error.kind(), format!("{hint}: {error}"))
    }
}

/// The chain in any case, names only if some are wanted.
#[derive(Debug)]
struct Chain {
    roots: RootCertStore,
    names: Vec<ServerName<'static>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Chain {
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
        let mut borne = self.names.iter().map(|name| verify_server_name(&certificate, name));
        if let Some(first) = borne.next() {
            borne.fold(first, Result::or)?;
        }
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
