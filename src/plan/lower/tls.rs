//! TLS of a listener.

use super::lowering::Lowering;
use crate::config::keys::{self, Alpn, CipherSuite, ClientAuthMode, Fallback, TlsVersion};
use crate::config::{At, Decoded, Fault, Span, Text};
use crate::plan::host::HostPattern;
use crate::plan::tls::{Certificate, ClientAuth, File, Tls};

impl Lowering<'_> {
    /// Everything is checked, whatever is wrong with a part.
    pub(super) fn tls(&mut self, table: &Decoded<keys::Tls>) -> Option<Tls> {
        let keys::Tls {
            certificate,
            key,
            ocsp,
            certificates,
            fallback,
            client_auth,
            min_version,
            cipher_suites,
            alpn,
            resumption,
        } = &**table;
        let first = self.certificate([certificate, key, ocsp], Vec::new());
        let mut others = Vec::new();
        for more in certificates {
            let keys::Certificate { certificate, key, ocsp, names } = &**more;
            let names = self.certificate_names(names);
            others.push(self.certificate([certificate, key, ocsp], names));
        }
        let client_auth = client_auth.as_ref().map(|clients| self.client_auth(clients));
        let tls12 = *min_version == TlsVersion::Tls12;
        let suites_span = table.span_of(keys::Tls::cipher_suites);
        let cipher_suites: Vec<_> = cipher_suites.iter().copied().map(CipherSuite::word).collect();
        if !tls12 && !cipher_suites.is_empty() && !cipher_suites.iter().any(|name| name.starts_with("TLS13_"))
        {
            self.diagnostics
                .error(suites_span, "no cipher suite is one of TLS 1.3")
                .label("and `min-version` is \"1.3\"")
                .help("add one whose name begins with `TLS13_`, or lower `min-version`");
        }
        let alpn = if alpn.is_empty() { &vec![Alpn::H2, Alpn::Http11] } else { alpn };
        Some(Tls {
            certificates: std::iter::once(first).chain(others).collect::<Option<_>>()?,
            refuse_unknown_names: *fallback == Fallback::Refuse,
            client_auth: client_auth.map_or(Some(None), |clients| clients.map(Some))?,
            tls12,
            cipher_suites,
            alpn: alpn.iter().copied().map(Alpn::word).collect(),
            resumption: *resumption,
            suites_span,
        })
    }

    /// The files of a certificate, its key and what is stapled to it.
    fn certificate(
        &mut self,
        [certificate, key, ocsp]: [&Option<At<String>>; 3],
        names: Vec<(String, Span)>,
    ) -> Option<Certificate> {
        let certificate = certificate.as_ref().and_then(|path| self.file(path.text(), "certificate"));
        let key = key.as_ref().and_then(|path| self.file(path.text(), "key"));
        let ocsp = ocsp.as_ref().map(|path| self.file(path.text(), "OCSP response"));
        Some(Certificate {
            certificate: certificate?,
            key: key?,
            ocsp: ocsp.map_or(Some(None), |file| file.map(Some))?,
            names,
        })
    }

    fn certificate_names(&mut self, texts: &[At<String>]) -> Vec<(String, Span)> {
        let mut names = Vec::new();
        for text in texts.iter().map(At::text) {
            match HostPattern::parse(text.text) {
                Ok(HostPattern::Exact(name))
                    if name.starts_with('[') || name.parse::<std::net::IpAddr>().is_ok() =>
                {
                    self.diagnostics
                        .error(text.span, format!("`{}` is an address", text.text))
                        .label("not a name")
                        .help("clients never ask for an address; they get the listener's first certificate");
                }
                Ok(pattern) => names.push((pattern.to_string(), text.span)),
                Err(Fault { label, help, .. }) => {
                    let help = if text.text == "*" {
                        "leave the certificate out of `certificates`: the first one is for all names"
                    } else {
                        &help
                    };
                    self.diagnostics
                        .error(text.span, format!("invalid name `{}`", text.text))
                        .label(label)
                        .help(help);
                }
            }
        }
        names
    }

    fn client_auth(&mut self, table: &keys::ClientAuth) -> Option<ClientAuth> {
        let keys::ClientAuth { roots, mode, revoked } = table;
        let roots = roots.as_ref().and_then(|path| self.file(path.text(), "roots"));
        let revoked = revoked.as_ref().map(|path| self.file(path.text(), "revocation list"));
        Some(ClientAuth {
            roots: roots?,
            revoked: revoked.map_or(Some(None), |file| file.map(Some))?,
            optional: *mode == ClientAuthMode::Optional,
        })
    }

    fn file(&mut self, text: Text<'_>, noun: &str) -> Option<File> {
        Some(File { path: self.existing_file(text, noun)?, span: text.span })
    }
}
