//! Files of certificates, keys, revocation lists and staples.

use std::io;
use std::path::{Path, PathBuf};

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, RootCertStore};

use super::ocsp::Staple;
use crate::files;

/// The largest PEM file: a chain with its key has some ten kilobytes.
pub const MAX_PEM: u64 = 1024 * 1024;

/// Why a listener cannot have its TLS.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each message says what its variant means")]
pub enum TlsError {
    #[error("cannot read {}: {source}", file.display())]
    Unreadable { file: PathBuf, source: io::Error },
    #[error("{} is larger than 1 MiB, so it is no PEM file of a certificate or key", file.display())]
    TooLarge { file: PathBuf },
    #[error("{} is not valid PEM: {reason}", file.display())]
    BadPem { file: PathBuf, reason: String },
    #[error("{} has no certificate: expected PEM with `-----BEGIN CERTIFICATE-----`, the server's own first", file.display())]
    NoCertificate { file: PathBuf },
    #[error("{} has a certificate that cannot be read: {reason}", file.display())]
    BadCertificate { file: PathBuf, reason: String },
    #[error("{} has no private key: expected PEM with `-----BEGIN PRIVATE KEY-----` (PKCS #8), or an EC or RSA one", file.display())]
    NoKey { file: PathBuf },
    #[error("{} has an encrypted private key; decrypt it first, e.g. with `openssl pkey -in KEY -out PLAIN`", file.display())]
    EncryptedKey { file: PathBuf },
    #[error("{} has a private key that cannot be used: {reason}", file.display())]
    BadKey { file: PathBuf, reason: String },
    #[error("the key in {} does not belong to the first certificate in {}", key.display(), certificate.display())]
    Mismatch { certificate: PathBuf, key: PathBuf },
    #[error("{} can't be stapled: {reason}", file.display())]
    BadStaple { file: PathBuf, reason: &'static str },
    #[error("{} has no revocation list: expected PEM with `-----BEGIN X509 CRL-----`", file.display())]
    NoList { file: PathBuf },
    #[error("client certificates can't be verified: {0}")]
    Verifier(String),
    #[error("cannot set TLS up: {0}")]
    Setup(rustls::Error),
}

impl TlsError {
    /// The file at fault, so that a diagnostic can point at the line that names it.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::Unreadable { file, .. }
            | Self::TooLarge { file }
            | Self::BadPem { file, .. }
            | Self::NoCertificate { file }
            | Self::BadCertificate { file, .. }
            | Self::NoKey { file }
            | Self::EncryptedKey { file }
            | Self::BadKey { file, .. }
            | Self::BadStaple { file, .. }
            | Self::NoList { file }
            | Self::Mismatch { key: file, .. } => Some(file),
            Self::Verifier(_) | Self::Setup(_) => None,
        }
    }
}

/// What clients' chains must end in.
///
/// # Errors
/// The first error.
pub fn load_roots(file: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in read_chain(file)? {
        let bad =
            |error: rustls::Error| TlsError::BadCertificate { file: file.into(), reason: error.to_string() };
        roots.add(certificate).map_err(bad)?;
    }
    Ok(roots)
}

/// Certificate revocation lists.
///
/// # Errors
/// The first error.
pub fn load_revoked(file: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
    let text = read_pem(file)?;
    let lists: Vec<_> = CertificateRevocationListDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|error| bad_pem(file, &error))?;
    if lists.is_empty() {
        return Err(TlsError::NoList { file: file.into() });
    }
    Ok(lists)
}

/// The OCSP response for a certificate. It may have expired.
///
/// # Errors
/// If the response can't be read, or is not about this certificate.
pub fn load_staple(file: &Path, key: &CertifiedKey) -> Result<Staple, TlsError> {
    let der = read_pem(file)?;
    let parsed = key.cert.first().map(webpki::EndEntityCert::try_from);
    let serial = parsed.as_ref().and_then(|it| it.as_ref().ok()).map_or(&[][..], |it| it.serial());
    Staple::read(der, serial).map_err(|reason| TlsError::BadStaple { file: file.into(), reason })
}

/// Certificate chain and key, read and found to belong together.
///
/// # Errors
/// The first error, of the certificate before that of the key.
pub fn load_certified_key(certificate: &Path, key: &Path) -> Result<CertifiedKey, TlsError> {
    let chain = read_chain(certificate)?;
    let private = read_key(key)?;
    let signing = aws_lc_rs::sign::any_supported_type(&private)
        .map_err(|error| TlsError::BadKey { file: key.into(), reason: error.to_string() })?;
    let certified = CertifiedKey::new(chain, signing);
    match certified.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(certified),
        Err(rustls::Error::InconsistentKeys(_)) => {
            Err(TlsError::Mismatch { certificate: certificate.into(), key: key.into() })
        }
        Err(error) => Err(TlsError::BadCertificate { file: certificate.into(), reason: error.to_string() }),
    }
}

fn read_chain(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read_pem(file)?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|error| bad_pem(file, &error))?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate { file: file.into() });
    }
    Ok(chain)
}

fn read_key(file: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let text = read_pem(file)?;
    match PrivateKeyDer::from_pem_slice(&text) {
        Ok(key) => Ok(key),
        Err(_) if is_encrypted(&text) => Err(TlsError::EncryptedKey { file: file.into() }),
        Err(pem::Error::NoItemsFound) => Err(TlsError::NoKey { file: file.into() }),
        Err(error) => Err(bad_pem(file, &error)),
    }
}

/// Whether a key is encrypted, in the form of PKCS #8 or in the older one of OpenSSL.
fn is_encrypted(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text);
    text.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----") || text.contains("Proc-Type: 4,ENCRYPTED")
}

fn bad_pem(file: &Path, error: &pem::Error) -> TlsError {
    TlsError::BadPem { file: file.into(), reason: error.to_string() }
}

fn read_pem(file: &Path) -> Result<Vec<u8>, TlsError> {
    let text =
        files::read(file, MAX_PEM).map_err(|source| TlsError::Unreadable { file: file.into(), source })?;
    text.ok_or_else(|| TlsError::TooLarge { file: file.into() })
}
