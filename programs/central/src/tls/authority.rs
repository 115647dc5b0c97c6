//! Certificates: made by an authority, and read.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::Files;

const DAY: u64 = 24 * 3600;
/// How long an authority lives.
pub const AUTHORITY_LIFE: Duration = Duration::from_secs(3650 * DAY);
/// How long a certificate that it issues lives.
pub const LEAF_LIFE: Duration = Duration::from_secs(365 * DAY);
/// Certificates count from a moment before they are made: clocks differ.
const BACK: Duration = Duration::from_secs(3600);

/// An authority's certificate, and its key where it can issue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// In PEM.
    pub certificate: String,
    /// In PEM; none of an authority whose key is lost.
    pub key: Option<String>,
}

/// When a certificate counts, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// From then on.
    pub from: u64,
    /// Until then.
    pub until: u64,
}

impl Validity {
    /// Whether this part of its life, in percent, is over.
    #[must_use]
    pub fn is_spent(self, percent: u64, now: u64) -> bool {
        now >= self.from + self.until.saturating_sub(self.from) / 100 * percent
    }

    /// Whether it counts at a moment.
    #[must_use]
    pub fn holds(self, now: u64) -> bool {
        (self.from..self.until).contains(&now)
    }
}

/// Seconds since 1970.
#[must_use]
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

impl Authority {
    /// A new one.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn create(now: u64) -> Result<Self> {
        let key = KeyPair::generate().context("making an authority's key")?;
        let mut params = authority_params(now)?;
        lasts(&mut params, now, AUTHORITY_LIFE)?;
        let certificate = params.self_signed(&key).context("making an authority's certificate")?;
        Ok(Self { certificate: certificate.pem(), key: Some(key.serialize_pem()) })
    }

    /// When it was made, in seconds since 1970.
    ///
    /// # Errors
    /// A certificate that is none.
    pub fn made(&self) -> Result<u64> {
        Ok(validity(&self.certificate)?.from + BACK.as_secs())
    }

    /// Issues a certificate by a common name for these DNS names and addresses; that and its key.
    ///
    /// # Errors
    /// An authority without a key; a name that is none.
    pub fn issue(&self, common_name: &str, names: &[String], now: u64) -> Result<(String, String)> {
        let own = self.key.as_deref().context("the authority's key is lost")?;
        let own = KeyPair::from_pem(own).context("reading the authority's key")?;
        let issuer = Issuer::new(authority_params(self.made()?)?, own);
        let mut params = CertificateParams::new(names.to_vec()).context("naming a certificate's subject")?;
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        lasts(&mut params, now, LEAF_LIFE)?;
        let key = KeyPair::generate().context("making a key")?;
        let certificate =
            params.signed_by(&key, &issuer).with_context(|| format!("certifying {common_name}"))?;
        Ok((certificate.pem(), key.serialize_pem()))
    }
}

/// Authorities differ by the moment they are made in, so that a reader tells them apart.
fn authority_params(made: u64) -> Result<CertificateParams> {
    let mut params = CertificateParams::new(Vec::new()).context("describing an authority")?;
    params.distinguished_name.push(DnType::CommonName, format!("ovn-ca {made}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn lasts(params: &mut CertificateParams, now: u64, life: Duration) -> Result<()> {
    let at = |seconds: u64| {
        time::OffsetDateTime::from_unix_timestamp(i64::try_from(seconds)?).map_err(anyhow::Error::from)
    };
    let of = || "reading the clock";
    params.not_before = at(now.saturating_sub(BACK.as_secs())).with_context(of)?;
    params.not_after = at(now + life.as_secs()).with_context(of)?;
    Ok(())
}

/// The certificates in a text in PEM, each in its own text.
///
/// # Errors
/// A text that has none, or is broken.
pub fn split(bundle: &str) -> Result<Vec<String>> {
    const END: &str = "-----END CERTIFICATE-----";
    let all: Vec<String> = bundle
        .split_inclusive(END)
        .filter_map(|part| {
            part.find("-----BEGIN CERTIFICATE-----").map(|start| format!("{}\n", &part[start..]))
        })
        .collect();
    ensure!(!all.is_empty(), "no certificate in PEM is in it");
    all.iter().try_for_each(|one| validity(one).map(drop))?;
    Ok(all)
}

/// When a certificate counts.
///
/// # Errors
/// A text that is none.
pub fn validity(pem: &str) -> Result<Validity> {
    with(pem, |certificate| {
        let seconds = |time: i64| u64::try_from(time).unwrap_or_default();
        let validity = certificate.validity();
        Ok(Validity {
            from: seconds(validity.not_before.timestamp()),
            until: seconds(validity.not_after.timestamp()),
        })
    })
}

/// Whether an authority's certificate verifies another one.
///
/// # Errors
/// A text that is no certificate.
pub fn verifies(authority: &str, pem: &str) -> Result<bool> {
    with(authority, |authority| {
        with(pem, |certificate| Ok(certificate.verify_signature(Some(authority.public_key())).is_ok()))
    })
}

/// Whether a certificate bears all these DNS names and addresses.
///
/// # Errors
/// A text that is no certificate.
pub fn bears(pem: &str, names: &[String]) -> Result<bool> {
    use x509_parser::extensions::GeneralName;
    with(pem, |certificate| {
        let extension = certificate.subject_alternative_name().context("reading a certificate's names")?;
        let all = extension.map(|extension| extension.value.general_names.as_slice()).unwrap_or_default();
        let text = |name: &GeneralName<'_>| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            GeneralName::IPAddress(bytes) => match bytes.len() {
                4 => <[u8; 4]>::try_from(*bytes).ok().map(|ip| std::net::IpAddr::from(ip).to_string()),
                _ => <[u8; 16]>::try_from(*bytes).ok().map(|ip| std::net::IpAddr::from(ip).to_string()),
            },
            _ => None,
        };
        let there: Vec<String> = all.iter().filter_map(text).collect();
        Ok(names.iter().all(|name| there.contains(name)))
    })
}

fn with<T>(pem: &str, read: impl FnOnce(&X509Certificate<'_>) -> Result<T>) -> Result<T> {
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).context("reading a certificate in PEM")?;
    let (_, certificate) = X509Certificate::from_der(&der).context("reading a certificate")?;
    read(&certificate)
}

/// Checks that three files are of use together: the key is the certificate's, an authority of cacert has issued it, and it
/// counts now. Until when.
///
/// # Errors
/// A sentence about what doesn't fit.
pub fn check(files: &Files, now: u64) -> Result<Validity> {
    let authorities = split(&files.cacert).context("cacert")?;
    let chain = split(&files.cert).context("cert")?;
    let key =
        PrivateKeyDer::from_pem_slice(files.key.as_bytes()).context("key: reading a private key in PEM")?;
    let der = chain
        .iter()
        .map(|one| CertificateDer::from_pem_slice(one.as_bytes()).context("cert"))
        .collect::<Result<Vec<_>>>()?;
    CertifiedKey::from_der(der, key, &rustls::crypto::ring::default_provider())
        .context("key and cert don't belong together")?;
    is_issued(&authorities, &chain)?;
    let mut shortest = validity(&chain[0])?;
    for one in chain.iter().chain(authorities.iter().filter(|_| authorities.len() == 1)) {
        let of = validity(one)?;
        shortest = Validity { from: shortest.from.max(of.from), until: shortest.until.min(of.until) };
    }
    ensure!(now >= shortest.from, "cert isn't valid yet: check this node's clock");
    ensure!(now < shortest.until, "cert or cacert has expired: issue it anew");
    Ok(shortest)
}

fn is_issued(authorities: &[String], chain: &[String]) -> Result<()> {
    for (number, one) in chain.iter().enumerate() {
        for authority in authorities {
            if verifies(authority, one)? {
                return Ok(());
            }
        }
        let Some(next) = chain.get(number + 1) else { break };
        ensure!(verifies(next, one)?, "the certificates in cert are no chain");
    }
    bail!("cert was issued by no authority of cacert: put the CA's certificate there that has issued it")
}
