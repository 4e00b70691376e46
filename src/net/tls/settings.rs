//! The parts of a listener's TLS, and the settings that rustls gets from them.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateRevocationListDer;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ServerSessionMemoryCache, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};

use super::certificates::{Certificate, Certificates};
use super::files::{TlsError, load_certified_key};

/// Sessions that are kept for clients that resume without tickets; about a kilobyte each.
const SESSION_CACHE: usize = 4096;

/// The parts of a listener's TLS.
#[derive(Debug)]
pub struct Settings {
    /// The first certificate is for clients that ask for a name that none of them has.
    pub certificates: Vec<Certificate>,
    /// Whether such clients are refused instead.
    pub refuse_unknown_names: bool,
    /// The certificates that clients have to show.
    pub clients: Option<Clients>,
    /// Whether TLS 1.2 is spoken.
    pub tls12: bool,
    /// Cipher suites by rustls' names, in the order of preference; empty means all. Suites that are not listed are left
    /// out.
    pub cipher_suites: Vec<String>,
    /// In the order of preference.
    pub alpn: Vec<Vec<u8>>,
    /// Whether sessions can be resumed.
    pub resumption: bool,
}

/// The certificates that clients have to show.
#[derive(Debug)]
pub struct Clients {
    /// The authorities in which chains must end.
    pub roots: RootCertStore,
    /// Revocation lists, of all authorities in chains if there is any list.
    pub revoked: Vec<CertificateRevocationListDer<'static>>,
    /// Whether a client may show no certificate.
    pub optional: bool,
}

impl Settings {
    /// The defaults, with one certificate.
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
    /// If the parts don't fit together.
    pub fn server_config(self) -> Result<Arc<ServerConfig>, TlsError> {
        let mut provider = aws_lc_rs::default_provider();
        if !self.cipher_suites.is_empty() {
            let known = provider.cipher_suites;
            let named =
                |name: &String| known.iter().find(|suite| format!("{:?}", suite.suite()) == *name).copied();
            provider.cipher_suites = self.cipher_suites.iter().filter_map(named).collect();
        }
        // A version without a cipher suite is not offered.
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
        // A request in early data can be replayed by anybody who saw it.
        config.max_early_data_size = 0;
        // The order of the settings decides.
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
/// The first error, of the certificate before that of the key.
pub fn load(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    Settings::of(Certificate::new(load_certified_key(certificate, key)?)).server_config()
}
