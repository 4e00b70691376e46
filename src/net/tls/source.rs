//! Where a listener's TLS settings come from.

use std::fmt;
use std::sync::Arc;

use rustls::ServerConfig;

/// The function is called once for each connection, when its `ClientHello` has arrived. A change of certificates
/// therefore holds for every handshake that begins after it; open connections continue.
#[derive(Clone)]
pub struct TlsSource(Arc<dyn Fn() -> Arc<ServerConfig> + Send + Sync>);

impl TlsSource {
    /// `ask` runs on the workers' threads and must not block.
    pub fn new(ask: impl Fn() -> Arc<ServerConfig> + Send + Sync + 'static) -> Self {
        Self(Arc::new(ask))
    }

    pub(in crate::net) fn ask(&self) -> Arc<ServerConfig> {
        (self.0)()
    }
}

/// Settings that never change.
impl From<Arc<ServerConfig>> for TlsSource {
    fn from(config: Arc<ServerConfig>) -> Self {
        Self::new(move || Arc::clone(&config))
    }
}

impl fmt::Debug for TlsSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsSource")
    }
}
