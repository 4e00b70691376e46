//! Where a connection came in.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use super::proxy_protocol::ProxyProtocol;
use crate::net::limit_log::LimitLog;
use crate::net::tls::TlsSource;

/// A listening socket of one worker, as its connections know it.
#[derive(Debug)]
pub(in crate::net) struct ListenerState {
    pub(in crate::net) name: Arc<str>,
    pub(in crate::net) tls: Option<TlsSource>,
    pub(in crate::net) redirect: Option<u16>,
    pub(in crate::net) proxy: Option<ProxyProtocol>,
    /// Requests that came in by this socket and have no complete answer yet.
    pub(in crate::net) in_flight: Rc<Cell<usize>>,
    /// What is logged of floods of HTTP/2 frames.
    pub(in crate::net) flood_log: RefCell<LimitLog>,
}
