//! TLS of a listener, as the configuration's text has it. The files existed when the plan was made; they are not read
//! yet.

use std::path::{Path, PathBuf};

use crate::config::Span;

/// TLS of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// Never empty. The first one is shown to clients that ask for a name that no certificate has.
    pub certificates: Vec<Certificate>,
    /// Whether such clients are refused instead.
    pub refuse_unknown_names: bool,
    /// The certificates that clients have to show.
    pub client_auth: Option<ClientAuth>,
    /// Whether TLS 1.2 is spoken.
    pub tls12: bool,
    /// Words of [`crate::config::keys::CipherSuite`], in the order of preference; empty means all.
    pub cipher_suites: Vec<&'static str>,
    /// The protocols that ALPN offers, in the order of preference; never empty.
    pub alpn: Vec<&'static str>,
    /// Whether sessions can be resumed.
    pub resumption: bool,
    /// The place of the cipher suites, else of the table.
    pub suites_span: Span,
}

/// A path and its place in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Relative paths are resolved against the configuration's folder.
    pub path: PathBuf,
    /// The place.
    pub span: Span,
}

/// A certificate, its key, and its names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// PEM with the certificate chain.
    pub certificate: File,
    /// PEM with the private key.
    pub key: File,
    /// DER with an OCSP response.
    pub ocsp: Option<File>,
    /// In lower case; `*.` before a domain means one label; empty means all names in the certificate.
    pub names: Vec<(String, Span)>,
}

/// The certificates that clients have to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientAuth {
    /// PEM with the certificates that are trusted.
    pub roots: File,
    /// PEM with revocation lists.
    pub revoked: Option<File>,
    /// Whether a client may show no certificate.
    pub optional: bool,
}

impl Tls {
    /// All files that the settings name.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let certificates = self
            .certificates
            .iter()
            .flat_map(|one| [Some(&one.certificate), Some(&one.key), one.ocsp.as_ref()]);
        let clients =
            self.client_auth.iter().flat_map(|clients| [Some(&clients.roots), clients.revoked.as_ref()]);
        certificates.chain(clients).flatten().map(|file| file.path.as_path())
    }
}
