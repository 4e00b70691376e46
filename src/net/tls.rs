//! A listener's TLS: rustls with aws-lc-rs, TLS 1.2 and 1.3, ALPN `h2` before `http/1.1`, resumption by tickets (TLS 1.3,
//! and 1.2 with the extension) and by a bounded cache of sessions (TLS 1.2 without).
//!
//! Certificate and key are PEM files, read once. Whatever is wrong with them is a [`TlsError`] that names the file and says
//! what was expected; a configuration's diagnostic shows it at the line that named the file.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ServerSessionMemoryCache;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{InconsistentKeys, ServerConfig};

/// Sessions kept for clients that resume without tickets; about a kilobyte each.
const SESSION_CACHE: usize = 4096;

/// A PEM file beyond this is none: a chain with key is some ten kilobytes.
const MAX_PEM: u64 = 1024 * 1024;

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
    #[error("cannot set TLS up: {0}")]
    Setup(rustls::Error),
}

impl TlsError {
    /// The file that is at fault, so that a diagnostic can point at the line that names it.
    #[must_use]
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
            | Self::Mismatch { key: file, .. } => Some(file),
            Self::Setup(_) => None,
        }
    }
}

/// A listener's TLS from its two files; workers share it.
///
/// # Errors
/// The first thing that is wrong, certificate before key.
pub fn load(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    server_config(load_certified_key(certificate, key)?).map(Arc::new)
}

/// Certificate chain and key, read and found to belong together.
///
/// # Errors
/// The first thing that is wrong, certificate before key.
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

fn server_config(certified: CertifiedKey) -> Result<ServerConfig, TlsError> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(TlsError::Setup)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.ticketer = aws_lc_rs::Ticketer::new().map_err(TlsError::Setup)?;
    config.session_storage = ServerSessionMemoryCache::new(SESSION_CACHE);
    // A request in early data can be replayed by whoever saw it.
    config.max_early_data_size = 0;
    Ok(config)
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

/// PKCS #8's and, older, OpenSSL's way to say so.
fn is_encrypted(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text);
    text.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----") || text.contains("Proc-Type: 4,ENCRYPTED")
}

fn bad_pem(file: &Path, error: &pem::Error) -> TlsError {
    TlsError::BadPem { file: file.into(), reason: error.to_string() }
}

fn read_pem(file: &Path) -> Result<Vec<u8>, TlsError> {
    let unreadable = |source| TlsError::Unreadable { file: file.into(), source };
    let mut text = Vec::new();
    let source = std::fs::File::open(file).map_err(unreadable)?;
    source.take(MAX_PEM + 1).read_to_end(&mut text).map_err(unreadable)?;
    if text.len() as u64 > MAX_PEM {
        return Err(TlsError::TooLarge { file: file.into() });
    }
    Ok(text)
}
