//! Fields that concern one connection, whatever the message (RFC 9110 §7.6.1).

use http::header::{
    CONNECTION, HeaderMap, HeaderName, HeaderValue, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE,
    TRANSFER_ENCODING, UPGRADE,
};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// Fields about the connection in both directions. `TE` is one of them: hyper has read it, and sends trailers to an
/// HTTP/1.1 client only after `TE: trailers`.
static HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    KEEP_ALIVE,
    PROXY_CONNECTION,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
    HTTP2_SETTINGS,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
];

/// Whether a field is about one connection.
pub fn is_hop_by_hop(name: &HeaderName) -> bool {
    HOP_BY_HOP.contains(name)
}

/// Removes the fields of a connection, and those that its `Connection` names.
pub fn strip_hop_by_hop(headers: &mut HeaderMap) {
    // Most heads have none of these fields: comparing each of their names takes less time than nine look-ups.
    if !headers.keys().any(is_hop_by_hop) {
        return;
    }
    if headers.contains_key(CONNECTION) {
        strip_named(headers);
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
}

/// Removes the fields that `Connection` names.
fn strip_named(headers: &mut HeaderMap) {
    // The values are cheap to clone (shared bytes), and the map cannot be changed while they are borrowed from it.
    let values: Vec<HeaderValue> = headers.get_all(CONNECTION).iter().cloned().collect();
    for value in values {
        for option in value.as_bytes().split(|byte| *byte == b',') {
            let option = option.trim_ascii();
            if option.eq_ignore_ascii_case(b"close") || option.is_empty() {
                continue;
            }
            if let Ok(name) = HeaderName::from_bytes(option) {
                headers.remove(name);
            }
        }
    }
}
