//! Listeners and their TLS.

use std::time::Duration;

use crate::config::declare::{
    boolean, choices, count, keys, one_of, path, some_of, table, tables, text, texts, time,
};
use crate::config::kinds::{Kind, TextForm};
use crate::config::typed::{At, Decoded};
use crate::config::units::{MINUTE, MS};

/// Most certificates beside a listener's first.
pub const MAX_CERTIFICATES: usize = 256;

keys! {
    /// An address on which requests are accepted.
    Listener = "listener", "a listener";

    /// IP address and port: `"127.0.0.1:8443"`, `"[::1]:8443"`. Port 0 takes a free port, which the log names. `[::]`
    /// accepts IPv6 only.
    address: Option<At<String>> = text(TextForm::Address).required("\"127.0.0.1:8443\"");
    /// TLS, below.
    tls: Option<Decoded<Tls>> =
        table().optional("{ certificate = \"cert.pem\", key = \"key.pem\" }", "plain HTTP/1.1");
    /// Every request is answered with 308 and the same host, path and query under https. Exclusive with `tls`.
    redirect: Option<Redirect> = one_of().optional("\"https\"", "none");
    /// The https port to which clients are redirected.
    redirect_port: Option<u16> = count(1, 65_535).optional("8443", "`443`");
    /// `"v1"` or `"v2"`: each connection begins with a header of the [PROXY protocol](http.md#proxy-protocol), from one
    /// of `http.trusted-proxies`.
    proxy_protocol: Option<ProxyVersion> = one_of().optional("\"v2\"", "none");
    /// How long the header of the PROXY protocol may take. Then the connection closes.
    proxy_timeout: Duration = time(MS, MINUTE).default("5s");
}

keys! {
    /// TLS of a listener: its certificates, and the requirements for clients.
    Tls = "tls", "`tls`";

    /// PEM file with the certificate chain, the server's own certificate first. An expired certificate is a warning.
    certificate: Option<At<String>> = path().required("\"cert.pem\"");
    /// PEM file with the certificate's private key, not encrypted.
    key: Option<At<String>> = path().required("\"key.pem\"");
    /// DER file with an OCSP response for the certificate, stapled until it expires; an expired response is a warning.
    /// linkspan does not fetch responses: let a timer fetch them, and linkspan [loads](operations.md#reload) the
    /// changed file.
    ocsp: Option<At<String>> = path().optional("\"ocsp.der\"", "none");
    /// Further certificates: `certificate`, `key` and `ocsp` as above, and `names`, the host names for which the
    /// certificate is used: `"shop.example.org"`, or `"*.example.org"` for one label before the domain. Without
    /// `names`, all DNS names in the certificate.
    certificates: Vec<Decoded<Certificate>> =
        tables(1, MAX_CERTIFICATES).optional("[{ certificate = \"b.pem\", key = \"b.key\" }]", "none");
    /// For a client that asks for a name (SNI) that no certificate has, or for none: `"default"` shows the first
    /// certificate, `"refuse"` ends the handshake.
    fallback: Fallback = one_of().default("default");
    /// Certificates of clients, below.
    client_auth: Option<Decoded<ClientAuth>> = table().optional("{ roots = \"clients.pem\" }", "none");
    /// The oldest version of TLS that is accepted, `"1.2"` or `"1.3"`.
    min_version: TlsVersion = one_of().default("1.2");
    /// The accepted cipher suites by name, in order of preference: `TLS13_AES_256_GCM_SHA384`,
    /// `TLS13_AES_128_GCM_SHA256`, `TLS13_CHACHA20_POLY1305_SHA256`, and for TLS 1.2 `TLS_ECDHE_ECDSA_WITH_…` and
    /// `TLS_ECDHE_RSA_WITH_…` with `AES_256_GCM_SHA384`, `AES_128_GCM_SHA256` or `CHACHA20_POLY1305_SHA256`. There are
    /// no others. A version without a suite is not accepted.
    cipher_suites: Vec<CipherSuite> = some_of().optional("[\"TLS13_AES_256_GCM_SHA384\"]", "all");
    /// The protocols that a client may choose, in order of preference. A client without ALPN gets HTTP/1.1.
    alpn: Vec<Alpn> = some_of().optional("[\"h2\", \"http/1.1\"]", "`[\"h2\", \"http/1.1\"]`");
    /// Whether clients may resume sessions.
    resumption: bool = boolean().default("true");
}

keys! {
    /// A certificate for names of its own.
    Certificate = "certificate", "one of `certificates`";

    /// PEM file with the certificate chain, relative to this file's folder.
    certificate: Option<At<String>> = path().required("\"cert.pem\"");
    /// PEM file with the private key, relative to this file's folder.
    key: Option<At<String>> = path().required("\"key.pem\"");
    /// DER file with the OCSP response for the certificate, stapled until it expires.
    ocsp: Option<At<String>> = path().optional("\"ocsp.der\"", "none");
    /// The host names for which the certificate is used.
    names: Vec<At<String>> =
        texts(&Kind::Text(TextForm::Host), 1, 100).optional("[\"b.example.com\", \"*.b.example.com\"]", "all DNS names that it has");
}

keys! {
    /// Certificates of clients.
    ClientAuth = "client-auth", "`client-auth`";

    /// PEM file with the authorities in which clients' certificate chains must end.
    roots: Option<At<String>> = path().required("\"clients.pem\"");
    /// `"required"`: without a certificate there is no connection. `"optional"`: a client may have no certificate, but
    /// not a wrong one.
    mode: ClientAuthMode = one_of().default("required");
    /// PEM file with the revocation lists of all authorities in clients' chains. A certificate whose authority has no
    /// list is refused; an expired list still counts.
    revoked: Option<At<String>> = path().optional("\"clients.crl\"", "none");
}

choices! {
    /// The target to which a listener redirects every request.
    Redirect {
        /// The same target under https.
        Https = "https",
    }
}

choices! {
    /// The versions of the PROXY protocol.
    ProxyVersion {
        /// Version 1, as text.
        Text = "v1",
        /// Version 2, in binary.
        Binary = "v2",
    }
}

choices! {
    /// The oldest version of TLS that is accepted.
    TlsVersion {
        /// TLS 1.2.
        Tls12 = "1.2",
        /// TLS 1.3.
        Tls13 = "1.3",
    }
}

choices! {
    /// The answer to a client that asks for a name that no certificate has.
    Fallback {
        /// The first certificate.
        First = "default",
        /// The end of its handshake.
        Refuse = "refuse",
    }
}

choices! {
    /// Whether clients must show a certificate.
    ClientAuthMode {
        /// They must.
        Required = "required",
        /// They may.
        Optional = "optional",
    }
}

choices! {
    /// The protocols of ALPN.
    Alpn("protocol") {
        /// HTTP/2.
        H2 = "h2",
        /// HTTP/1.1.
        Http11 = "http/1.1",
    }
}

choices! {
    /// The cipher suites, as IANA has them, but for the names of TLS 1.3's, which begin with `TLS13_`.
    CipherSuite("cipher suite") {
        /// TLS 1.3.
        Tls13Aes256GcmSha384 = "TLS13_AES_256_GCM_SHA384",
        /// TLS 1.3.
        Tls13Aes128GcmSha256 = "TLS13_AES_128_GCM_SHA256",
        /// TLS 1.3.
        Tls13Chacha20Poly1305Sha256 = "TLS13_CHACHA20_POLY1305_SHA256",
        /// TLS 1.2.
        EcdsaAes256GcmSha384 = "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        /// TLS 1.2.
        EcdsaAes128GcmSha256 = "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        /// TLS 1.2.
        EcdsaChacha20Poly1305Sha256 = "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        /// TLS 1.2.
        RsaAes256GcmSha384 = "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        /// TLS 1.2.
        RsaAes128GcmSha256 = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        /// TLS 1.2.
        RsaChacha20Poly1305Sha256 = "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
    }
}
