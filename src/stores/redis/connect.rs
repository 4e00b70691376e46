//! A connection with Redis, from a name to a login.
//!
//! The stream is linkspan's own, TLS by its rustls settings; the protocol on it, RESP3, is the crate `redis`'s. The worker
//! runs the connection's driver, so that the connection stays on its thread.

use super::script::SCRIPT;
use crate::net::tls::client_settings;
use crate::plan::{RedisPlan, ServerHost};
use crate::telemetry::StoreMetrics;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ProtocolVersion, RedisConnectionInfo, RedisError};
use rustls::RootCertStore;
use rustls::pki_types::ServerName;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

/// What all links to a server share.
pub struct Settings {
    /// The store's name.
    pub name: String,
    pub plan: RedisPlan,
    pub counts: Arc<StoreMetrics>,
    login: RedisConnectionInfo,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl Settings {
    pub fn new(name: &str, plan: &RedisPlan, counts: Arc<StoreMetrics>) -> Result<Self, rustls::Error> {
        let mut login = RedisConnectionInfo::default()
            .set_protocol(ProtocolVersion::RESP3)
            .set_db(plan.server.database.into())
            .set_lib_name("linkspan", env!("CARGO_PKG_VERSION"));
        if let Some(username) = &plan.username {
            login = login.set_username(username);
        }
        if let Some(password) = &plan.password {
            login = login.set_password(password.expose());
        }
        let tls = plan.server.tls.then(|| tls(plan)).transpose()?;
        Ok(Self { name: name.to_owned(), plan: plan.clone(), counts, login, tls })
    }

    /// The address of the server, for the log.
    pub fn address(&self) -> String {
        format!("{}:{}", self.plan.server.host, self.plan.server.port)
    }
}

fn tls(plan: &RedisPlan) -> Result<(TlsConnector, ServerName<'static>), rustls::Error> {
    let own = |certificates: &Vec<_>| {
        let mut roots = RootCertStore::empty();
        for certificate in certificates {
            roots.add(Clone::clone(certificate))?;
        }
        Ok::<_, rustls::Error>(roots)
    };
    let roots = plan.roots.as_ref().map(own).transpose()?;
    let config = client_settings(roots)?.with_no_client_auth();
    let name = plan.server.host.certified();
    let name = name.map_err(|error| rustls::Error::General(error.to_string()))?;
    Ok((TlsConnector::from(Arc::new(config)), name))
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("it was not there in `connect-timeout`")]
    Timeout,
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Redis(#[from] RedisError),
}

/// A connection that is logged in, and that knows the script.
pub struct Connection {
    pub redis: MultiplexedConnection,
    /// The name by which the server knows the script.
    pub script: String,
    /// Ends with the connection.
    pub driver: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Connects, within `connect-timeout`.
pub async fn connect(settings: &Settings) -> Result<Connection, ConnectError> {
    let bound = settings.plan.bounds.connect_timeout;
    tokio::time::timeout(bound, open(settings)).await.unwrap_or(Err(ConnectError::Timeout))
}

async fn open(settings: &Settings) -> Result<Connection, ConnectError> {
    let tcp = reach(settings).await?;
    tcp.set_nodelay(true)?;
    let stream: Box<dyn Stream> = match &settings.tls {
        None => Box::new(tcp),
        Some((connector, name)) => Box::new(connector.connect(name.clone(), tcp).await?),
    };
    // What waits is bounded here, and the time for an answer is the link's.
    let config = AsyncConnectionConfig::new().set_response_timeout(None);
    let (mut redis, driver) = MultiplexedConnection::new_with_config(&settings.login, stream, config).await?;
    let driver = tokio::task::spawn_local(driver);
    let mut connection = Connection { redis: redis.clone(), script: String::new(), driver };
    let mut load = redis::cmd("SCRIPT");
    load.arg("LOAD").arg(SCRIPT);
    connection.script = load.query_async(&mut redis).await?;
    Ok(connection)
}

/// A TCP connection with the first of the server's addresses that takes one.
async fn reach(settings: &Settings) -> io::Result<TcpStream> {
    let server = &settings.plan.server;
    let addresses: Vec<SocketAddr> = match &server.host {
        ServerHost::Address(address) => vec![SocketAddr::new(*address, server.port)],
        ServerHost::Name(name) => tokio::net::lookup_host((name.as_str(), server.port)).await?.collect(),
    };
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}
