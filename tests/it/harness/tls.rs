//! The certificate that all gateways of this process show, and what their clients trust.

use std::sync::{Arc, LazyLock};

/// PEM texts.
pub struct Identity {
    pub certificate: String,
    pub key: String,
}

static MADE: LazyLock<rcgen::CertifiedKey<rcgen::KeyPair>> =
    LazyLock::new(|| rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap());

/// A self-signed certificate for `localhost`.
pub fn identity() -> Identity {
    Identity { certificate: MADE.cert.pem(), key: MADE.signing_key.serialize_pem() }
}

/// A client that trusts just that certificate and offers one protocol.
pub fn client(alpn: &'static [u8]) -> Arc<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(MADE.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    Arc::new(config)
}
