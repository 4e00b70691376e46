//! A listener's TLS: rustls with aws-lc-rs, TLS 1.2 and 1.3, resumption by tickets (TLS 1.3, and 1.2 with the extension)
//! and by a bounded cache of sessions (TLS 1.2 without).
//!
//! The keys of tickets are made with the settings, change every six hours, and are nowhere but in memory. So a session
//! can be resumed as long as the settings are the same ones, reloads that don't touch them included; after a reload that
//! does, and in another process, also one that took over, clients begin anew. A session with settings that asked for
//! no certificate can't be resumed with settings that do.
//!
//! Files are read once. Whatever is wrong with them is a [`TlsError`] that names the file and says what was expected; a
//! configuration's diagnostic shows it at the line that named the file.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ServerSessionMemoryCache, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, RootCertStore, ServerConfig, SupportedProtocolVersion};

use super::certificates::{Certificate, Certificates};
use super::ocsp::Staple;

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
            | Self::BadStaple { file, .. }
            | Self::NoList { file }
            | Self::Mismatch { key: file, .. } => Some(file),
            Self::Verifier(_) | Self::Setup(_) => None,
        }
    }
}

/// What a listener's TLS is made of.
#[derive(Debug)]
pub struct Settings {
    /// The first one is for clients whose name none of them has.
    pub certificates: Vec<Certificate>,
    /// Whether such clients are sent away instead.
    pub refuse_unknown_names: bool,
    /// Whose certificates clients have to show.
    pub clients: Option<Clients>,
    /// Whether TLS 1.2 is spoken.
    pub tls12: bool,
    /// Cipher suites by rustls' names, most wanted first; empty for all. Others are left out.
    pub cipher_suites: Vec<String>,
    /// Most wanted first.
    pub alpn: Vec<Vec<u8>>,
    /// Whether sessions can be resumed.
    pub resumption: bool,
}

/// Whose certificates clients have to show.
#[derive(Debug)]
pub struct Clients {
    /// What chains must end in.
    pub roots: RootCertStore,
    /// Of all authorities in chains, if any.
    pub revoked: Vec<CertificateRevocationListDer<'static>>,
    /// Whether a client may have none.
    pub optional: bool,
}

impl Settings {
    /// The defaults, with one certificate.
    #[must_use]
    pub fn of(certificate: Certificate) -> Self {
        Self {
            certificates: vec![certificate],
            refuse_unknown_names: false,
            clients: None,
            tls12: true,
            cipher_suites: Vec::new(),
            alpn: vec![b"h2".to_vec(), b"http/1.1".to_vec()],
            resumption: true,
        }
    }

    /// For rustls; workers share it.
    ///
    /// # Errors
    /// Where the parts don't fit together.
    pub fn server_config(self) -> Result<Arc<ServerConfig>, TlsError> {
        let mut provider = aws_lc_rs::default_provider();
        if !self.cipher_suites.is_empty() {
            let known = provider.cipher_suites;
            let named =
                |name: &String| known.iter().find(|suite| format!("{:?}", suite.suite()) == *name).copied();
            provider.cipher_suites = self.cipher_suites.iter().filter_map(named).collect();
        }
        // A version without a suite is not offered.
        let speaks = |version: &SupportedProtocolVersion| {
            provider.cipher_suites.iter().any(|suite| suite.version().version == version.version)
        };
        let mut versions = vec![&rustls::version::TLS13];
        if self.tls12 {
            versions.push(&rustls::version::TLS12);
        }
        versions.retain(|version| speaks(version));
        let provider = Arc::new(provider);
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&versions)
            .map_err(TlsError::Setup)?;
        let certificates = Certificates::new(self.certificates, self.refuse_unknown_names);
        let builder = match self.clients {
            None => builder.with_no_client_auth(),
            Some(clients) => builder.with_client_cert_verifier(clients.verifier(provider)?),
        };
        let mut config = builder.with_cert_resolver(Arc::new(certificates));
        config.alpn_protocols = self.alpn;
        if self.resumption {
            config.ticketer = aws_lc_rs::Ticketer::new().map_err(TlsError::Setup)?;
            config.session_storage = ServerSessionMemoryCache::new(SESSION_CACHE);
        } else {
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        // A request in early data can be replayed by whoever saw it.
        config.max_early_data_size = 0;
        // The order of the settings counts.
        config.ignore_client_order = true;
        Ok(Arc::new(config))
    }
}

impl Clients {
    fn verifier(
        self,
        provider: Arc<rustls::crypto::CryptoProvider>,
    ) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(self.roots), provider)
            .with_crls(self.revoked);
        let builder = if self.optional { builder.allow_unauthenticated() } else { builder };
        builder.build().map_err(|error| TlsError::Verifier(error.to_string()))
    }
}

/// A listener's TLS from its two files, with the defaults.
///
/// # Errors
/// The first thing that is wrong, certificate before key.
pub fn load(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    Settings::of(Certificate::new(load_certified_key(certificate, key)?)).server_config()
}

/// What clients' chains must end in.
///
/// # Errors
/// The first thing that is wrong.
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
/// The first thing that is wrong.
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
/// If it can't be read, or isn't about this certificate.
pub fn load_staple(file: &Path, key: &CertifiedKey) -> Result<Staple, TlsError> {
    let der = read_pem(file)?;
    let parsed = key.cert.first().map(webpki::EndEntityCert::try_from);
    let serial = parsed.as_ref().and_then(|it| it.as_ref().ok()).map_or(&[][..], |it| it.serial());
    Staple::read(der, serial).map_err(|reason| TlsError::BadStaple { file: file.into(), reason })
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
    let text =
        read_whole(file, MAX_PEM).map_err(|source| TlsError::Unreadable { file: file.into(), source })?;
    text.ok_or_else(|| TlsError::TooLarge { file: file.into() })
}

/// A file's content; `None` if that has more than `most` bytes.
pub(crate) fn read_whole(file: &Path, most: u64) -> io::Result<Option<Vec<u8>>> {
    let mut content = Vec::new();
    std::fs::File::open(file)?.take(most + 1).read_to_end(&mut content)?;
    Ok((content.len() as u64 <= most).then_some(content))
}
