//! TLS with servers: rustls with aws-lc-rs, TLS 1.2 and 1.3. Files are read once, when a configuration is loaded.

use crate::files;
use crate::net::tls::client_settings;
use crate::plan::{Server, UpstreamProtocol, UpstreamTlsFiles};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, InvalidDnsNameError, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The largest PEM file: all authorities of the web have some 200 KiB.
const MAX_PEM: u64 = 4 << 20;

/// Why TLS with servers is not possible.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each message says what its variant means")]
pub enum TlsError {
    #[error("cannot read {}: {source}", file.display())]
    Unreadable { file: PathBuf, source: io::Error },
    #[error("{} is larger than 4 MiB, so it is no PEM file of certificates or a key", file.display())]
    TooLarge { file: PathBuf },
    #[error("{} has no certificate: expected PEM with `-----BEGIN CERTIFICATE-----`", file.display())]
    NoCertificate { file: PathBuf },
    #[error("{} has a certificate that can't be used: {reason}", file.display())]
    BadCertificate { file: PathBuf, reason: String },
    #[error("{} has no private key that can be used: {reason}", file.display())]
    BadKey { file: PathBuf, reason: String },
    #[error("the certificate in {} can't be used with its key: {source}", file.display())]
    BadIdentity { file: PathBuf, source: rustls::Error },
    #[error("cannot set TLS up: {0}")]
    Setup(rustls::Error),
}

impl TlsError {
    /// The file at fault, if one is.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::Unreadable { file, .. }
            | Self::TooLarge { file }
            | Self::NoCertificate { file }
            | Self::BadCertificate { file, .. }
            | Self::BadKey { file, .. }
            | Self::BadIdentity { file, .. } => Some(file),
            Self::Setup(_) => None,
        }
    }
}

/// What a connection with TLS needs.
#[derive(Clone)]
pub struct TlsSettings {
    pub(super) config: Arc<ClientConfig>,
    /// Replaces the server's host.
    name: Option<String>,
    /// The contents that were read, for comparison.
    pub contents: Vec<Vec<u8>>,
}

impl TlsSettings {
    /// Reads `files`, for servers that speak `protocol`.
    ///
    /// # Errors
    /// The first error.
    pub fn load(files: &UpstreamTlsFiles, protocol: UpstreamProtocol) -> Result<Self, TlsError> {
        let mut contents = Vec::new();
        let own = |(file, _): &(PathBuf, _), contents: &mut Vec<Vec<u8>>| {
            let text = read(file)?;
            let mut roots = RootCertStore::empty();
            for certificate in chain(file, &text)? {
                let bad = |error: rustls::Error| bad_certificate(file, &error);
                roots.add(certificate).map_err(bad)?;
            }
            contents.push(text);
            Ok(roots)
        };
        let roots = files.roots.as_ref().map(|file| own(file, &mut contents)).transpose()?;
        let builder = client_settings(roots).map_err(TlsError::Setup)?;
        let mut config = match &files.identity {
            None => builder.with_no_client_auth(),
            Some([(certificate, _), (key, _)]) => {
                let (chain_text, key_text) = (read(certificate)?, read(key)?);
                let chain = chain(certificate, &chain_text)?;
                let private = PrivateKeyDer::from_pem_slice(&key_text)
                    .map_err(|error| TlsError::BadKey { file: key.clone(), reason: error.to_string() })?;
                contents.extend([chain_text, key_text]);
                let bad = |source| TlsError::BadIdentity { file: certificate.clone(), source };
                builder.with_client_auth_cert(chain, private).map_err(bad)?
            }
        };
        config.alpn_protocols = match protocol {
            UpstreamProtocol::Auto => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
            UpstreamProtocol::Http1 => vec![b"http/1.1".to_vec()],
            UpstreamProtocol::Http2 => vec![b"h2".to_vec()],
        };
        Ok(Self { config: Arc::new(config), name: files.name.clone(), contents })
    }

    /// The name that is sent (SNI), and that the certificate must have.
    pub(super) fn name(&self, server: &Server) -> Result<ServerName<'static>, InvalidDnsNameError> {
        match &self.name {
            Some(name) => ServerName::try_from(name.trim_matches(['[', ']']).to_owned()),
            None => server.host.certified(),
        }
    }
}

fn bad_certificate(file: &Path, reason: &dyn std::fmt::Display) -> TlsError {
    TlsError::BadCertificate { file: file.into(), reason: reason.to_string() }
}

fn chain(file: &Path, text: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    let chain = chain.map_err(|error| bad_certificate(file, &error))?;
    if chain.is_empty() { Err(TlsError::NoCertificate { file: file.into() }) } else { Ok(chain) }
}

fn read(file: &Path) -> Result<Vec<u8>, TlsError> {
    let text =
        files::read(file, MAX_PEM).map_err(|source| TlsError::Unreadable { file: file.into(), source })?;
    text.ok_or_else(|| TlsError::TooLarge { file: file.into() })
}
