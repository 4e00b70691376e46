//! How stages identify a client's certificate: three fields that only the gateway sets.
//!
//! | field | of the verified certificate |
//! | --- | --- |
//! | `client-cert-subject` | its subject (RFC 4514), `CN=alice,O=Example` |
//! | `client-cert-names` | its alternative names, `DNS:a.example, URI:spiffe://example/a`; absent if there are none |
//! | `client-cert-sha256` | its SHA-256, in lower-case hexadecimal |
//!
//! On every listener, fields whose names begin with `client-cert` are removed from every request and its trailers,
//! including those of RFC 9440, which other servers take for a proxy's statement. `_` counts as `-` in these names,
//! because some servers treat them alike. A stage that finds `client-cert-sha256` therefore knows that the client has
//! shown this certificate, and that its chain ends in one of the listener's `client-auth.roots`.

use http::{HeaderMap, HeaderName};

use super::kinds::{Kinds, is_certificate};
use crate::net::ConnInfo;

const SUBJECT: HeaderName = HeaderName::from_static("client-cert-subject");
const NAMES: HeaderName = HeaderName::from_static("client-cert-names");
const SHA256: HeaderName = HeaderName::from_static("client-cert-sha256");

/// Removes the fields in which a client claims a certificate.
pub fn strip(headers: &mut HeaderMap) {
    let forged: Vec<HeaderName> = headers.keys().filter(|name| is_certificate(name)).cloned().collect();
    for name in &forged {
        headers.remove(name);
    }
}

/// Sets the fields of the client's certificate, and removes those in which the client claims one. `kinds` are the kinds
/// of fields in `headers`.
pub fn identify(headers: &mut HeaderMap, conn: &ConnInfo, kinds: Kinds) {
    if kinds.has(Kinds::CERTIFICATE) {
        strip(headers);
    }
    let Some(client) = conn.tls.as_ref().and_then(|tls| tls.client.as_deref()) else { return };
    headers.insert(SUBJECT, client.subject.clone());
    if !client.names.is_empty() {
        headers.insert(NAMES, client.names.clone());
    }
    headers.insert(SHA256, client.sha256.clone());
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn nothing_that_could_be_taken_for_ours_is_left() {
        let mut headers = HeaderMap::new();
        for name in [
            "client-cert-subject",
            "client-cert-names",
            "client-cert-sha256",
            "client-cert",
            "client-cert-chain",
            "client_cert_subject",
            "Client-Cert_Subject",
            "client-certificate",
        ] {
            headers.append(HeaderName::try_from(name).unwrap(), HeaderValue::from_static("CN=root"));
        }
        for name in ["x-client-cert", "client", "client-cer", "clientxcert"] {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static("kept"));
        }
        strip(&mut headers);
        assert_eq!(headers.len(), 4, "{headers:?}");
        assert!(headers.values().all(|value| value == "kept"));
        let mut late = HeaderMap::new();
        late.insert("client-cert-subject", HeaderValue::from_static("CN=root"));
        super::super::headers::clean_trailers(&mut late);
        assert!(late.is_empty());
    }
}
