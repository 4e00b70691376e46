//! TLS of a listener.

use super::Lowering;
use crate::config::keys::CIPHER_SUITES;
use crate::config::{Fault, Fields, Span, Text, suggest};
use crate::plan::host::HostPattern;
use crate::plan::tls::{Certificate, ClientAuth, File, Tls};

impl Lowering<'_> {
    /// Everything is checked, whatever is wrong with a part.
    pub(super) fn tls(&mut self, fields: &Fields) -> Option<Tls> {
        let first = self.certificate(fields, Vec::new());
        let mut others = Vec::new();
        for more in fields.tables("certificates") {
            let names = self.certificate_names(more);
            others.push(self.certificate(more, names));
        }
        let client_auth = fields.table("client-auth").map(|clients| self.client_auth(clients));
        let cipher_suites = self.words(fields, "cipher-suites", "cipher suite", CIPHER_SUITES);
        let tls12 = self.choice(fields, "min-version", &["1.2", "1.3"]) != Some(1);
        let suites_span = fields.span_of("cipher-suites");
        if !tls12 && !cipher_suites.is_empty() && !cipher_suites.iter().any(|name| name.starts_with("TLS13_"))
        {
            self.diagnostics
                .error(suites_span, "no cipher suite is one of TLS 1.3")
                .label("and `min-version` is \"1.3\"")
                .help("add one whose name begins with `TLS13_`, or lower `min-version`");
        }
        let alpn = self.words(fields, "alpn", "protocol", &["h2", "http/1.1"]);
        let fallback = self.choice(fields, "fallback", &["default", "refuse"]);
        Some(Tls {
            certificates: std::iter::once(first).chain(others).collect::<Option<_>>()?,
            refuse_unknown_names: fallback == Some(1),
            client_auth: client_auth.map_or(Some(None), |clients| clients.map(Some))?,
            tls12,
            cipher_suites,
            alpn: if alpn.is_empty() { vec!["h2".to_owned(), "http/1.1".to_owned()] } else { alpn },
            resumption: fields.boolean("resumption"),
            suites_span,
        })
    }

    fn certificate(&mut self, fields: &Fields, names: Vec<(String, Span)>) -> Option<Certificate> {
        let certificate = fields.text("certificate").and_then(|text| self.file(text, "certificate"));
        let key = fields.text("key").and_then(|text| self.file(text, "key"));
        let ocsp = fields.text("ocsp").map(|text| self.file(text, "OCSP response"));
        Some(Certificate {
            certificate: certificate?,
            key: key?,
            ocsp: ocsp.map_or(Some(None), |file| file.map(Some))?,
            names,
        })
    }

    fn certificate_names(&mut self, fields: &Fields) -> Vec<(String, Span)> {
        let mut names = Vec::new();
        for text in fields.texts("names") {
            match HostPattern::parse(text.text) {
                Ok(HostPattern::Exact(name))
                    if name.starts_with('[') || name.parse::<std::net::IpAddr>().is_ok() =>
                {
                    self.diagnostics
                        .error(text.span, format!("`{}` is an address", text.text))
                        .label("not a name")
                        .help("clients never ask for an address; the listener's first certificate is what they get");
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

    fn client_auth(&mut self, fields: &Fields) -> Option<ClientAuth> {
        let roots = fields.text("roots").and_then(|text| self.file(text, "roots"));
        let revoked = fields.text("revoked").map(|text| self.file(text, "revocation list"));
        let optional = self.choice(fields, "mode", &["required", "optional"]) == Some(1);
        Some(ClientAuth {
            roots: roots?,
            revoked: revoked.map_or(Some(None), |file| file.map(Some))?,
            optional,
        })
    }

    fn file(&mut self, text: Text<'_>, noun: &str) -> Option<File> {
        Some(File { path: self.existing_file(text, noun)?, span: text.span })
    }

    /// The words of a list, each of which must be known.
    fn words(&mut self, fields: &Fields, key: &str, noun: &str, known: &[&str]) -> Vec<String> {
        let mut words = Vec::new();
        for text in fields.texts(key) {
            if known.contains(&text.text) {
                words.push(text.text.to_owned());
            } else {
                self.diagnostics
                    .error(text.span, format!("unknown {noun} `{}`", text.text))
                    .label(format!("unknown {noun}"))
                    .help(suggest(text.text, known, "there are", ""));
            }
        }
        words
    }
}
