//! TLS as a client: TLS 1.2 and 1.3 by aws-lc-rs.

use rustls::client::WantsClientCert;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore};
use std::sync::Arc;

/// Settings of a client that believes in `roots`, or in the web's authorities; what is left is its own certificate.
///
/// # Errors
/// Those of rustls, none of which are known.
pub fn client_settings(
    roots: Option<RootCertStore>,
) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, rustls::Error> {
    let of_web = || RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(builder.with_root_certificates(roots.unwrap_or_else(of_web)))
}
