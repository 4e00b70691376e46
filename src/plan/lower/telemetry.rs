//! Traces. What the file leaves open, the variables say that OpenTelemetry's specification has for it ("Environment
//! Variable Specification", "OpenTelemetry Protocol Exporter").
//!
//! A variable that is empty counts as not set, as there. A program that embeds the gateway has variables for its own
//! telemetry, so for it only the file counts.

use std::time::Duration;

use http::{HeaderName, HeaderValue};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::lowering::{Lowering, describe};
use crate::config::keys;
use crate::config::{Decoded, Node, Span, Text, Value};
use crate::files;
use crate::plan::telemetry::Endpoint;
use crate::plan::{ConfigValue, ExportPlan, TelemetryPlan, ValueOrigin};

/// How long the receiver has for an answer, where nothing else is said.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The bounds of that.
const TIMEOUTS: std::ops::RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(60);

/// The most bytes of a file of certificates.
const MAX_ROOTS: u64 = 1 << 20;

/// The attribute with the name of the gateway.
const SERVICE_NAME: &str = "service.name";

/// A variable for traces, and the variable for all signals.
type Names = [&'static str; 2];

const ENDPOINT: Names = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
const HEADERS: Names = ["OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"];
const CERTIFICATE: Names = ["OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "OTEL_EXPORTER_OTLP_CERTIFICATE"];
const PROTOCOL: Names = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];
const PATIENCE: Names = ["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"];

impl Lowering<'_> {
    pub(super) fn telemetry(&mut self, table: &Decoded<keys::Telemetry>, has_admin: bool) -> TelemetryPlan {
        let keys::Telemetry {
            sample,
            sample_max,
            stages,
            query,
            spans,
            value_size,
            stage_spans,
            stage_span_size,
            stage_series,
            body_size,
            recent,
            endpoint,
            headers,
            roots,
            resource,
            timeout,
            queue,
        } = &**table;
        // Looked at without an endpoint, too: a mistake is one.
        let headers = headers.as_ref().map(|node| self.export_headers(node));
        let roots = roots.as_ref().map(|path| self.roots(path.text()));
        let endpoint = match endpoint {
            Some(text) => match Endpoint::parse(&text.value) {
                Ok(endpoint) => Some(endpoint),
                Err(fault) => {
                    self.diagnostics.fault(text.span, fault);
                    None
                }
            },
            None => self.endpoint_of_variables(),
        };
        let resource = self.resource(resource.as_ref(), endpoint.is_some());
        let export = endpoint.map(|endpoint| ExportPlan {
            endpoint,
            headers: headers.unwrap_or_else(|| self.headers_of_variables()),
            roots: roots.unwrap_or_else(|| self.roots_of_variable()),
            resource,
            timeout: timeout.unwrap_or_else(|| self.timeout_of_variable()),
            queue: *queue,
        });
        TelemetryPlan {
            sample: *sample,
            sample_max: *sample_max,
            stages: stages.unwrap_or(export.is_some() || has_admin),
            query: *query,
            spans: *spans,
            value_size: *value_size,
            stage_spans: *stage_spans,
            stage_span_size: *stage_span_size,
            stage_series: *stage_series,
            body_size: *body_size,
            recent: if has_admin { *recent } else { 0 },
            export,
        }
    }

    /// The first of these variables that is set, and its name.
    fn variable(&self, names: &[&'static str]) -> Option<(&'static str, String)> {
        let program = self.around.program.is_some();
        let mut set =
            names.iter().filter(|_| !program).filter_map(|name| Some((*name, (self.around.env)(name)?)));
        set.find(|(_, value)| !value.trim().is_empty())
    }

    fn endpoint_of_variables(&mut self) -> Option<Endpoint> {
        let is = |of: &Self, name, wanted: &str| {
            of.variable(&[name]).is_some_and(|(_, value)| value.trim().eq_ignore_ascii_case(wanted))
        };
        let (name, text) = self.variable(&ENDPOINT)?;
        let other_exporter =
            self.variable(&["OTEL_TRACES_EXPORTER"]).is_some() && !is(self, "OTEL_TRACES_EXPORTER", "otlp");
        if other_exporter || is(self, "OTEL_SDK_DISABLED", "true") {
            return None;
        }
        if let Some((name, protocol)) = self.variable(&PROTOCOL)
            && protocol.trim() != "http/protobuf"
        {
            self.wrong_variable(name, "linkspan sends spans as `http/protobuf` only");
            return None;
        }
        let endpoint = match name == ENDPOINT[0] {
            true => Endpoint::exact(text.trim()),
            false => Endpoint::parse(text.trim()),
        };
        if endpoint.is_err() {
            self.wrong_variable(name, "write scheme://host[:port][/path], such as http://127.0.0.1:4318");
        }
        endpoint.ok()
    }

    /// A variable with a mistake is reported, and counts as not set, as the specification asks for: it may be meant for
    /// other programs. Its value may be a secret, and is not shown.
    fn wrong_variable(&mut self, name: &str, help: &str) {
        self.diagnostics
            .warning(None, format!("the environment variable `{name}` has a value that can't be used"))
            .help(format!("{help}; or say it in `[telemetry]`, where the file wins over variables"));
    }

    /// The `headers`.
    fn export_headers(&mut self, node: &Node) -> Vec<(HeaderName, ConfigValue)> {
        let Value::Table(entries) = &node.value else { return Vec::new() };
        let mut headers = Vec::new();
        for entry in entries {
            let what = format!("the field `{}`", entry.key);
            let Some(value) = self.text_or_reference(&entry.node, &what, &entry.key) else { continue };
            let label = match HeaderName::from_bytes(entry.key.as_bytes()) {
                Err(_) => "not the name of a field",
                Ok(_) if HeaderValue::from_str(value.expose()).is_err() => "not the value of a field",
                Ok(name) => {
                    headers.push((name, value));
                    continue;
                }
            };
            self.diagnostics
                .error(entry.key_span, format!("invalid field `{}`", entry.key))
                .label(label)
                .help("a value is visible ASCII and spaces, on one line");
        }
        headers
    }

    /// `name=value,name=value`, encoded as in `baggage` (W3C Baggage §3.2.1).
    fn headers_of_variables(&mut self) -> Vec<(HeaderName, ConfigValue)> {
        let Some((variable, text)) = self.variable(&HEADERS) else { return Vec::new() };
        let field = |(name, value): (String, String)| {
            HeaderValue::from_str(&value).ok()?;
            let value =
                ConfigValue::new(value, ValueOrigin::Environment(variable.to_owned()), Span::default());
            Some((HeaderName::from_bytes(name.as_bytes()).ok()?, value))
        };
        let headers: Option<Vec<_>> = pairs(&text).and_then(|pairs| pairs.into_iter().map(field).collect());
        headers.unwrap_or_else(|| {
            self.wrong_variable(
                variable,
                "write name=value,name=value, with `%` escapes for other characters",
            );
            Vec::new()
        })
    }

    /// The certificates in a file, of authorities.
    pub(super) fn roots(&mut self, text: Text<'_>) -> Option<Vec<CertificateDer<'static>>> {
        let path = self.existing_file(text, "file")?;
        let label = match files::read(&path, MAX_ROOTS) {
            Ok(Some(pem)) => match certificates(&pem) {
                Some(roots) => return Some(roots),
                None => "no certificates in PEM".to_owned(),
            },
            Ok(None) => "larger than 1 MiB".to_owned(),
            Err(error) => describe(&error),
        };
        self.diagnostics
            .error(text.span, format!("cannot use the certificates in `{}`", text.text))
            .label(label)
            .help("give a PEM file with the certificate of the authority");
        None
    }

    fn roots_of_variable(&mut self) -> Option<Vec<CertificateDer<'static>>> {
        let (name, path) = self.variable(&CERTIFICATE)?;
        let pem = files::read(std::path::Path::new(&path), MAX_ROOTS).ok().flatten();
        let roots = pem.and_then(|pem| certificates(&pem));
        if roots.is_none() {
            self.wrong_variable(name, "name a PEM file with the certificate of the authority");
        }
        roots
    }

    /// The gateway's attributes. Those of the file win over those of variables, of which the service's name wins.
    fn resource(&mut self, node: Option<&Node>, with_variables: bool) -> Vec<(String, String)> {
        let mut resource: Vec<(String, String)> = Vec::new();
        let mut add = |name: String, value: String| {
            if !resource.iter().any(|(known, _)| *known == name) {
                resource.push((name, value));
            }
        };
        if let Some(Value::Table(entries)) = node.map(|node| &node.value) {
            for entry in entries {
                match &entry.node.value {
                    Value::String(text) => add(entry.key.clone(), text.clone()),
                    other => {
                        let message = format!(
                            "the attribute `{}` must be text, found {}",
                            entry.key,
                            other.type_name()
                        );
                        self.diagnostics
                            .error(entry.node.span, message)
                            .label("expected a string")
                            .help(format!("for example `{} = \"…\"`", entry.key));
                    }
                }
            }
        }
        let name = self.variable(&["OTEL_SERVICE_NAME"]).filter(|_| with_variables);
        if let Some((_, name)) = name {
            add(SERVICE_NAME.to_owned(), name.trim().to_owned());
        }
        let attributes = self.variable(&["OTEL_RESOURCE_ATTRIBUTES"]).filter(|_| with_variables);
        if let Some((variable, text)) = attributes {
            match pairs(&text) {
                Some(pairs) => pairs.into_iter().for_each(|(name, value)| add(name, value)),
                None => self.wrong_variable(variable, "write name=value,name=value, with `%` escapes"),
            }
        }
        add(SERVICE_NAME.to_owned(), "linkspan".to_owned());
        add("service.version".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
        resource
    }

    fn timeout_of_variable(&mut self) -> Duration {
        let Some((name, text)) = self.variable(&PATIENCE) else { return TIMEOUT };
        let timeout = text.trim().parse().ok().map(Duration::from_millis);
        timeout.filter(|timeout| TIMEOUTS.contains(timeout)).unwrap_or_else(|| {
            self.wrong_variable(name, "write milliseconds between 1 and 60000");
            TIMEOUT
        })
    }
}

/// The certificates in a PEM file, at least one.
fn certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    found.ok().filter(|found| !found.is_empty())
}

/// `name=value,name=value`, with `%` escapes in values. `None` if it is not that.
fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    let pair = |part: &str| {
        let (name, value) = part.split_once('=')?;
        let name = name.trim();
        (!name.is_empty()).then_some((name.to_owned(), decoded(value.trim())?))
    };
    parts.map(pair).collect()
}

/// A text without its `%` escapes.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, after) = after.split_at_checked(2)?;
        let digits = std::str::from_utf8(digits).ok().filter(|digits| !digits.starts_with('+'))?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::parse;
    use std::path::Path;

    const REST: &str = "listeners = [{ address = '127.0.0.1:0' }]\nroutes = [{ pipeline = 'a' }]\n\
        pipelines.a = { upstream = 'b' }\nupstreams.b = { servers = ['http://127.0.0.1:1'] }\n";

    fn plan(telemetry: &str, variables: &[(&str, &str)]) -> Result<TelemetryPlan, String> {
        parsed(telemetry, variables).map(|(plan, _)| plan)
    }

    /// With the warnings.
    fn parsed(telemetry: &str, variables: &[(&str, &str)]) -> Result<(TelemetryPlan, String), String> {
        let text = format!("{REST}[telemetry]\n{telemetry}\n");
        let env =
            |name: &str| variables.iter().find(|(set, _)| *set == name).map(|(_, value)| (*value).to_owned());
        match parse(Path::new("a.toml"), &text, &env) {
            Ok((plan, warnings)) => Ok((plan.telemetry, warnings.to_string())),
            Err(diagnostics) => Err(diagnostics.to_string()),
        }
    }

    fn export(telemetry: &str, variables: &[(&str, &str)]) -> ExportPlan {
        plan(telemetry, variables).unwrap().export.unwrap()
    }

    fn shown(export: &ExportPlan) -> Vec<String> {
        let headers = export.headers.iter().map(|(name, value)| format!("{name}: {}", value.expose()));
        headers.chain(export.resource.iter().map(|(name, value)| format!("{name}={value}"))).collect()
    }

    #[test]
    fn the_file_wins_over_variables_and_these_over_defaults() {
        let version = concat!("service.version=", env!("CARGO_PKG_VERSION"));
        assert_eq!(plan("", &[]).unwrap().export, None);
        let bare = export("endpoint = 'http://a:4318'", &[]);
        assert_eq!(bare.endpoint.to_string(), "http://a:4318/v1/traces");
        assert_eq!((bare.timeout, bare.queue), (TIMEOUT, 8192));
        assert_eq!(shown(&bare), ["service.name=linkspan", version]);
        let variables = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://b:1/x"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20abc, x-b = 2"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "2500"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
            ("OTEL_SERVICE_NAME", "edge"),
            ("OTEL_RESOURCE_ATTRIBUTES", "service.name=other,deployment.environment.name=test"),
        ];
        let all = export("", &variables);
        assert_eq!(all.endpoint.to_string(), "http://b:1/x/v1/traces");
        assert_eq!(all.timeout, Duration::from_millis(2500));
        let environment = "deployment.environment.name=test";
        assert_eq!(
            shown(&all),
            ["authorization: Bearer abc", "x-b: 2", "service.name=edge", environment, version]
        );
        assert!(!format!("{all:?}").contains("abc"), "a variable's value is a secret");
        let own = "endpoint = 'http://a/'\nheaders = { x-c = '3' }\ntimeout = '1s'\nresource = { 'service.name' = 'own' }";
        let own = export(own, &variables);
        assert_eq!((own.endpoint.to_string().as_str(), own.timeout.as_secs()), ("http://a/v1/traces", 1));
        assert_eq!(shown(&own), ["x-c: 3", "service.name=own", environment, version]);
        let exact = [variables[0], ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://c:2/exact")];
        assert_eq!(export("", &exact).endpoint.to_string(), "http://c:2/exact");
    }

    #[test]
    fn variables_may_say_that_nothing_is_sent() {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://b:1");
        for off in [("OTEL_SDK_DISABLED", "TRUE"), ("OTEL_TRACES_EXPORTER", "none")] {
            assert_eq!(plan("", &[endpoint, off]).unwrap().export, None);
            assert!(plan("endpoint = 'http://a'", &[off]).unwrap().export.is_some(), "the file wins");
        }
        assert_eq!(plan("", &[("OTEL_EXPORTER_OTLP_ENDPOINT", " ")]).unwrap().export, None);
        assert!(plan("", &[endpoint, ("OTEL_TRACES_EXPORTER", "otlp")]).unwrap().export.is_some());
    }

    #[test]
    fn mistakes_are_found_and_show_no_value() {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://b:1");
        for variable in [
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "hunter2"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "a=%zzhunter2"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "hunter2"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "hunter2"),
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/hunter2"),
            ("OTEL_RESOURCE_ATTRIBUTES", "hunter2"),
        ] {
            let (_, findings) = parsed("", &[endpoint, variable]).unwrap();
            assert!(findings.contains(variable.0) && !findings.contains("hunter2"), "{findings}");
            let (plan, findings) = parsed("", &[variable]).unwrap();
            assert!(plan.export.is_none(), "{variable:?}");
            assert!(findings.is_empty() || variable.0.ends_with("ENDPOINT"), "{findings}");
        }
        for (telemetry, said) in [
            ("endpoint = 'grpc://a'", "not the scheme, host and port of a server"),
            ("headers = { 'a b' = 'c' }", "not the name of a field"),
            ("headers = { a = \"b\\nc\" }", "not the value of a field"),
            ("resource = { a = 1 }", "must be text, found an integer"),
            ("sample = 1.5", "`sample` is out of range: 1.5"),
            ("sample = '1%'", "`sample` must be a number, found a string"),
        ] {
            let findings = plan(telemetry, &[]).unwrap_err();
            assert!(findings.contains(said), "{findings}");
        }
    }

    #[test]
    fn escapes() {
        for (text, plain) in [
            ("a%20b", Some("a b")),
            ("%C3%BC", Some("ü")),
            ("%", None),
            ("%2", None),
            ("%+1", None),
            ("%ff", None),
        ] {
            assert_eq!(decoded(text).as_deref(), plain, "{text}");
        }
    }
}
