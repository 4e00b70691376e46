//! A listener's certificates, and the choice of the one that a client is shown.
//!
//! The name that a client asks for decides (SNI): a certificate for just that name comes before one for `*.` and the
//! name's parent domain, and that before the listener's first one. A staple is sent along while it is fresh.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use der::{SliceReader, Tag};
use rustls::pki_types::{DnsName, ServerName};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::der::{inside, optional, time};
use super::ocsp::Staple;

/// A certificate with its key, and data that belongs to it.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// Chain and key.
    pub key: CertifiedKey,
    /// The OCSP response that is stapled to it.
    pub staple: Option<Staple>,
    /// The names of the certificate in lower case, some with `*.` in front, which stands for one label.
    pub names: Vec<String>,
}

impl Certificate {
    /// A certificate for all DNS names that it has.
    pub fn new(key: CertifiedKey) -> Self {
        let names = dns_names(&key);
        Self { key, staple: None, names }
    }

    /// The time in which the certificate is valid, as far as it can be read.
    pub fn validity(&self) -> Option<(SystemTime, SystemTime)> {
        let mut whole = SliceReader::new(self.key.cert.first()?).ok()?;
        let mut body = inside(&mut inside(&mut whole, Tag::Sequence)?, Tag::Sequence)?;
        optional(&mut body)?;
        inside(&mut body, Tag::Integer)?;
        // The signature's algorithm, and the issuer.
        inside(&mut body, Tag::Sequence)?;
        inside(&mut body, Tag::Sequence)?;
        let mut validity = inside(&mut body, Tag::Sequence)?;
        Some((time(&mut validity)?, time(&mut validity)?))
    }

    /// Whether clients that ask for `name` will accept the certificate; `name` may begin with `*.`.
    pub fn covers(&self, name: &str) -> bool {
        if name.starts_with("*.") {
            return dns_names(&self.key).iter().any(|own| own == name);
        }
        let parsed = self.key.cert.first().map(webpki::EndEntityCert::try_from);
        let (Some(Ok(parsed)), Ok(name)) = (parsed, DnsName::try_from(name)) else { return false };
        parsed.verify_is_valid_for_subject_name(&ServerName::DnsName(name)).is_ok()
    }
}

fn dns_names(key: &CertifiedKey) -> Vec<String> {
    let Some(Ok(parsed)) = key.cert.first().map(webpki::EndEntityCert::try_from) else { return Vec::new() };
    parsed.valid_dns_names().map(str::to_ascii_lowercase).collect()
}

/// For rustls.
#[derive(Debug)]
pub(super) struct Certificates {
    shown: Vec<Shown>,
    /// By name, including `*.`; the value is the place in `shown`.
    by_name: HashMap<String, usize>,
    refuse_unknown: bool,
}

#[derive(Debug)]
struct Shown {
    bare: Arc<CertifiedKey>,
    stapled: Option<(Staple, Arc<CertifiedKey>)>,
}

impl Certificates {
    /// A name of a later certificate goes before the same name of an earlier one.
    pub(super) fn new(certificates: Vec<Certificate>, refuse_unknown: bool) -> Self {
        let mut by_name = HashMap::new();
        let mut shown = Vec::new();
        for Certificate { key, staple, names } in certificates {
            by_name.extend(names.into_iter().map(|name| (name, shown.len())));
            let stapled = staple.map(|staple| {
                let key = CertifiedKey { ocsp: Some(staple.der.clone()), ..key.clone() };
                (staple, Arc::new(key))
            });
            shown.push(Shown { bare: Arc::new(key), stapled });
        }
        Self { shown, by_name, refuse_unknown }
    }

    fn find(&self, name: Option<&str>) -> Option<&Shown> {
        let known = name.and_then(|name| {
            let wildcard = || Some(format!("*.{}", name.split_once('.')?.1));
            self.by_name.get(name).or_else(|| self.by_name.get(&wildcard()?)).copied()
        });
        let place = known.or((!self.refuse_unknown).then_some(0))?;
        self.shown.get(place)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let Shown { bare, stapled } = self.find(hello.server_name())?;
        let fresh = stapled.as_ref().filter(|(staple, _)| staple.is_fresh(SystemTime::now()));
        Some(Arc::clone(fresh.map_or(bare, |(_, key)| key)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(names: &[&str]) -> Certificate {
        let made =
            rcgen::generate_simple_self_signed(names.iter().map(ToString::to_string).collect::<Vec<_>>());
        let made = made.unwrap();
        let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).unwrap();
        Certificate::new(CertifiedKey::new(vec![made.cert.der().clone()], key))
    }

    #[test]
    fn the_nearest_name_wins_and_the_rest_gets_the_first() {
        let all = ["first.example", "*.example.com", "a.example.com", "*.Deep.example.com"];
        let certificates = |refuse| Certificates::new(all.map(|name| certificate(&[name])).into(), refuse);
        let keys = certificates(false);
        let place = |keys: &Certificates, name: Option<&str>| {
            let found = keys.find(name)?;
            keys.shown.iter().position(|one| std::ptr::eq(one, found))
        };
        for (name, expected) in [
            ("first.example", 0),
            ("b.example.com", 1),
            ("a.example.com", 2),
            ("example.com", 0),
            ("x.deep.example.com", 3),
            ("x.y.example.com", 0),
            ("com", 0),
            ("*.example.com", 1),
        ] {
            assert_eq!(place(&keys, Some(name)), Some(expected), "{name}");
        }
        assert_eq!(place(&keys, None), Some(0));
        let keys = certificates(true);
        assert_eq!(place(&keys, Some("a.example.com")), Some(2));
        assert_eq!(place(&keys, Some("other")), None);
        assert_eq!(place(&keys, None), None);
    }

    #[test]
    fn a_certificate_covers_what_its_clients_would_take() {
        let one = certificate(&["a.example", "*.b.example"]);
        for (name, expected) in [
            ("a.example", true),
            ("x.b.example", true),
            ("*.b.example", true),
            ("*.a.example", false),
            ("b.example", false),
            ("x.y.b.example", false),
            ("", false),
        ] {
            assert_eq!(one.covers(name), expected, "{name}");
        }
    }
}
