//! The TLS settings of listeners, from the files that a plan names.

use crate::component::Digest;
use crate::config::{Diagnostics, Span};
use crate::files;
use crate::gateway::inputs::Tls;
use crate::net::tls::{self, Clients, Settings, TlsError};
use crate::net::{self};
use crate::plan::{self, Plan};
use rustls::ServerConfig;
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

/// TLS settings by what they were made of: a reload that does not change them keeps their sessions.
#[derive(Default)]
pub struct TlsSettings(Mutex<HashMap<Digest, Arc<ServerConfig>>>);

/// The most settings that are remembered; with more, all are forgotten.
const MAX_SETTINGS: usize = 256;

/// What to do with a listener whose settings can't be made.
const USELESS: &str = "the listener's certificate and key can't be used";

impl TlsSettings {
    /// The settings of each listener. An error is reported at its place.
    pub fn load(&self, plan: &Plan, found: &mut Diagnostics) -> Vec<Option<Tls>> {
        plan.listeners.iter().map(|listener| self.of(listener.tls.as_ref()?, found)).collect()
    }

    fn of(&self, planned: &plan::Tls, found: &mut Diagnostics) -> Option<Tls> {
        let digest = digest(planned);
        let known = self.lock().get(&digest).cloned();
        let config = match known {
            Some(config) => config,
            None => make(planned, found)?,
        };
        let mut settings = self.lock();
        if settings.len() >= MAX_SETTINGS {
            settings.clear();
        }
        settings.insert(digest, Arc::clone(&config));
        Some(Tls { config, digest })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Digest, Arc<ServerConfig>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The digest of all parts of the settings, without their places.
fn digest(planned: &plan::Tls) -> Digest {
    // The loader reports files that can't be read.
    let content = |path: &Path| {
        let read = files::read(path, tls::MAX_PEM).ok().flatten();
        Digest::of(&read.unwrap_or_default()).0
    };
    let mut parts: Vec<u8> = planned.files().flat_map(content).collect();
    let plan::Tls {
        certificates,
        refuse_unknown_names,
        client_auth,
        tls12,
        cipher_suites,
        alpn,
        resumption,
        ..
    } = planned;
    let names: Vec<Vec<&str>> =
        certificates.iter().map(|one| one.names.iter().map(|(name, _)| name.as_str()).collect()).collect();
    let has_staple: Vec<bool> = certificates.iter().map(|one| one.ocsp.is_some()).collect();
    let clients = client_auth.as_ref().map(|clients| (clients.optional, clients.revoked.is_some()));
    let rest = (names, has_staple, refuse_unknown_names, clients, tls12, cipher_suites, alpn, resumption);
    parts.extend(format!("{rest:?}").bytes());
    Digest::of(&parts)
}

fn make(planned: &plan::Tls, found: &mut Diagnostics) -> Option<Arc<ServerConfig>> {
    let certificates: Vec<_> =
        planned.certificates.iter().enumerate().map(|(at, one)| certificate(at, one, found)).collect();
    let clients = planned.client_auth.as_ref().map(|clients| self::clients(clients, found));
    let certificates: Vec<_> = certificates.into_iter().collect::<Option<_>>()?;
    if !names_are_unique(planned, &certificates, found) {
        return None;
    }
    let settings = Settings {
        certificates,
        refuse_unknown_names: planned.refuse_unknown_names,
        clients: clients.map_or(Some(None), |clients| clients.map(Some))?,
        tls12: planned.tls12,
        cipher_suites: planned.cipher_suites.iter().map(ToString::to_string).collect(),
        alpn: planned.alpn.iter().map(|name| name.as_bytes().to_vec()).collect(),
        resumption: planned.resumption,
    };
    settings.server_config().map_err(|error| wrong_whole(planned, &error, found)).ok()
}

/// The certificate at the place `at`: the first one is for all names.
fn certificate(at: usize, planned: &plan::Certificate, found: &mut Diagnostics) -> Option<net::Certificate> {
    let key = tls::load_certified_key(&planned.certificate.path, &planned.key.path)
        .map_err(|error| {
            let span = if is_about_key(&error, &planned.key.path) {
                planned.key.span
            } else {
                planned.certificate.span
            };
            let help = "both are PEM files: the certificate chain, and the private key that belongs to it";
            found.error(span, USELESS).label(error.to_string()).help(help);
        })
        .ok();
    let mut certificate = net::Certificate::new(key?);
    warn_of_time(&certificate, planned.certificate.span, found);
    let mut good = true;
    for (name, span) in &planned.names {
        if !certificate.covers(name) {
            good = false;
            let has = list(&certificate.names);
            found
                .error(*span, format!("the certificate is not for `{name}`"))
                .label("clients that ask for this name would refuse it")
                .help(format!("its names are: {has}"));
        }
    }
    if !planned.names.is_empty() {
        certificate.names = planned.names.iter().map(|(name, _)| name.clone()).collect();
    } else if at > 0 && certificate.names.is_empty() {
        good = false;
        found
            .error(planned.certificate.span, "the certificate has no name")
            .label("no DNS name among its alternative names (subjectAltName)")
            .help("clients could not ask for it; request a certificate with the names of its hosts");
    }
    if let Some(file) = &planned.ocsp {
        match tls::load_staple(&file.path, &certificate.key) {
            Ok(staple) if staple.is_fresh(SystemTime::now()) => certificate.staple = Some(staple),
            Ok(_) => {
                found
                    .warning(file.span, "the OCSP response has expired")
                    .label("not stapled")
                    .help("replace the file; linkspan loads changed files");
            }
            Err(error) => {
                good = false;
                let help =
                    "expected the responder's answer in DER, as `openssl ocsp -respout FILE` writes it";
                found.error(file.span, "the OCSP response can't be used").label(error.to_string()).help(help);
            }
        }
    }
    good.then_some(certificate)
}

/// A certificate that is not valid now is served all the same: a gateway that does not start helps nobody.
fn warn_of_time(certificate: &net::Certificate, span: Span, found: &mut Diagnostics) {
    let now = SystemTime::now();
    let message = match certificate.validity() {
        Some((_, until)) if until < now => "the certificate has expired",
        Some((from, _)) if from > now => "the certificate is not valid yet",
        _ => return,
    };
    let help = "replace the file; linkspan loads changed files";
    found.warning(span, message).label("clients refuse it").help(help);
}

/// Some names, for a sentence.
fn list(names: &[String]) -> String {
    const FEW: usize = 5;
    match names.len() {
        0 => "none".to_owned(),
        1..=FEW => names.join(", "),
        more => format!("{} and {} more", names[..FEW].join(", "), more - FEW),
    }
}

/// Whether no two of the further certificates are for the same name. The first certificate yields to them.
fn names_are_unique(planned: &plan::Tls, made: &[net::Certificate], found: &mut Diagnostics) -> bool {
    let mut taken: HashMap<&str, Span> = HashMap::new();
    let mut good = true;
    for (planned, made) in planned.certificates.iter().zip(made).skip(1) {
        for name in &made.names {
            let given = planned.names.iter().find(|(given, _)| given == name);
            let span = given.map_or(planned.certificate.span, |(_, span)| *span);
            let Some(earlier) = taken.insert(name, span) else { continue };
            if earlier != span {
                good = false;
                found
                    .error(span, format!("two certificates are for `{name}`"))
                    .label("for this name, too")
                    .related(earlier, "the first one")
                    .help("assign the name to one of them with `names`");
            }
        }
    }
    good
}

fn clients(planned: &plan::ClientAuth, found: &mut Diagnostics) -> Option<Clients> {
    let mut wrong = |span: Span, error: &TlsError| {
        let help = "expected a PEM file: authorities' certificates, or their revocation lists";
        found.error(span, "clients' certificates can't be checked").label(error.to_string()).help(help);
    };
    let roots = tls::load_roots(&planned.roots.path).map_err(|error| wrong(planned.roots.span, &error)).ok();
    let revoked = match &planned.revoked {
        None => Some(Vec::new()),
        Some(file) => tls::load_revoked(&file.path).map_err(|error| wrong(file.span, &error)).ok(),
    };
    Some(Clients { roots: roots?, revoked: revoked?, optional: planned.optional })
}

/// The parts are valid, but don't fit together.
fn wrong_whole(planned: &plan::Tls, error: &TlsError, found: &mut Diagnostics) {
    let clients = planned.client_auth.as_ref().filter(|_| matches!(error, TlsError::Verifier(_)));
    let span = match clients {
        Some(clients) => clients.revoked.as_ref().unwrap_or(&clients.roots).span,
        None => planned.suites_span,
    };
    found.error(span, "TLS can't be set up like this").label(error.to_string());
}

/// Whether the key is at fault: both keys of the table may name one file.
fn is_about_key(error: &TlsError, key: &Path) -> bool {
    match error {
        TlsError::NoCertificate { .. } | TlsError::BadCertificate { .. } => false,
        _ => error.file() == Some(key),
    }
}
