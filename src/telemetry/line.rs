//! One line of the access log.
//!
//! Much of a line is text from a client, so nothing in it can end a line or a field, or disturb a terminal: every field
//! is escaped, and cut at a bound where a client chooses its length. In JSON, control characters, line separators and
//! marks of writing direction become `\uXXXX`, and bytes that are not UTF-8 become U+FFFD; in the combined format,
//! everything except visible ASCII becomes `\xHH`. A field that was cut ends in `...`.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime};

use super::calendar::Utc;
use super::escape::Within;
use super::trace::{SpanId, TraceId};
use crate::plan::AccessFormat;

/// Most bytes that a path or a query takes in a line, escaped.
const MAX_TARGET: usize = 2048;
/// Most bytes that another field takes, escaped.
const MAX_FIELD: usize = 512;
/// What ends a field that was cut.
const CUT: &str = "...";

/// A request whose response has ended. Text is what the client or the configuration said, unescaped; what is unknown is
/// `None`.
#[derive(Clone, Copy, Debug)]
pub struct AccessEntry<'a> {
    /// When the request's head was there.
    pub time: SystemTime,
    /// The gateway's id for the request.
    pub request_id: &'a str,
    /// The trace, if the request has one.
    pub trace_id: Option<TraceId>,
    /// The request's span, if its trace is recorded.
    pub span_id: Option<SpanId>,
    /// The address of the peer.
    pub peer: SocketAddr,
    /// The client: the peer, or the address that a trusted proxy names.
    pub client: IpAddr,
    /// The listener of the connection.
    pub listener: &'a str,
    /// As it was sent.
    pub method: Option<&'a str>,
    /// `http` or `https`.
    pub scheme: &'a str,
    /// With the port, if there is one.
    pub host: Option<&'a str>,
    /// Without the query.
    pub path: Option<&'a str>,
    /// Without the `?`; logged only if the configuration says so.
    pub query: Option<&'a str>,
    /// `HTTP/1.1` or `HTTP/2.0`.
    pub protocol: &'a str,
    /// The pipeline, if a route led to one.
    pub pipeline: Option<&'a str>,
    /// The generation that served it.
    pub generation: u64,
    /// The route, in the caller's words.
    pub route: Option<&'a str>,
    /// The stages that do not apply to it.
    pub not_applied: Option<&'a str>,
    /// The stages that were bypassed, since they failed or their breakers were open.
    pub bypassed: Option<&'a str>,
    /// The response's status.
    pub status: u16,
    /// Why the gateway answered by itself, or why the response broke off.
    pub reason: Option<&'a str>,
    /// The rule that the request broke.
    pub detail: Option<&'a str>,
    /// Bytes of the request's body that were read.
    pub request_bytes: u64,
    /// Bytes of the response's body that were passed on.
    pub response_bytes: u64,
    /// From the request's head to the response's end.
    pub duration: Duration,
    /// From the request's head to the response's head.
    pub to_head: Option<Duration>,
    /// `User-Agent`.
    pub user_agent: Option<&'a [u8]>,
    /// `Referer`; its query is logged only if the configuration says so.
    pub referer: Option<&'a [u8]>,
}

impl AccessEntry<'_> {
    /// The line with its line feed. Writing to a string cannot fail, which is why results are passed over here.
    pub(super) fn line(&self, format: AccessFormat, query: bool) -> String {
        let mut out = String::with_capacity(512);
        match format {
            AccessFormat::Json => self.json(&mut out, query),
            AccessFormat::Combined => self.combined(&mut out, query),
        }
        out.push('\n');
        out
    }

    fn json(&self, out: &mut String, query: bool) {
        out.push_str("{\"time\":\"");
        let _ = Utc::new(self.time).write_rfc3339(out);
        out.push('"');
        text(out, "request-id", self.request_id, MAX_FIELD);
        if let Some(trace) = self.trace_id {
            let _ = write!(out, ",\"trace_id\":\"{trace}\"");
        }
        if let Some(span) = self.span_id {
            let _ = write!(out, ",\"span_id\":\"{span}\"");
        }
        let _ = write!(out, ",\"peer\":\"{}\",\"client\":\"{}\"", self.peer, self.client);
        text(out, "listener", self.listener, MAX_FIELD);
        optional(out, "method", self.method, MAX_FIELD);
        text(out, "scheme", self.scheme, MAX_FIELD);
        optional(out, "host", self.host, MAX_FIELD);
        optional(out, "path", self.path, MAX_TARGET);
        optional(out, "query", self.query.filter(|_| query), MAX_TARGET);
        text(out, "protocol", self.protocol, MAX_FIELD);
        optional(out, "pipeline", self.pipeline, MAX_FIELD);
        let _ = write!(out, ",\"generation\":{}", self.generation);
        optional(out, "route", self.route, MAX_FIELD);
        optional(out, "not-applied", self.not_applied, MAX_FIELD);
        optional(out, "bypassed", self.bypassed, MAX_FIELD);
        let _ = write!(out, ",\"status\":{}", self.status);
        optional(out, "reason", self.reason, MAX_FIELD);
        optional(out, "detail", self.detail, MAX_FIELD);
        let _ = write!(out, ",\"request-bytes\":{}", self.request_bytes);
        let _ = write!(out, ",\"response-bytes\":{}", self.response_bytes);
        let _ = write!(out, ",\"duration-ms\":{}", Millis(self.duration));
        if let Some(to_head) = self.to_head {
            let _ = write!(out, ",\"to-head-ms\":{}", Millis(to_head));
        }
        let lossy = |bytes| String::from_utf8_lossy(within_field(bytes));
        optional(out, "user-agent", self.user_agent.map(lossy).as_deref(), MAX_FIELD);
        optional(out, "referer", self.shown_referer(query).map(lossy).as_deref(), MAX_FIELD);
        out.push('}');
    }

    fn combined(&self, out: &mut String, query: bool) {
        let _ = write!(out, "{} - - [", self.client);
        let _ = Utc::new(self.time).write_common(out);
        out.push_str("] \"");
        self.request_line(out, query);
        let _ = write!(out, "\" {} {} \"", self.status, self.response_bytes);
        visible(out, self.shown_referer(query).unwrap_or(b"-"), MAX_FIELD, "");
        out.push_str("\" \"");
        visible(out, self.user_agent.unwrap_or(b"-"), MAX_FIELD, "");
        out.push('"');
    }

    fn request_line(&self, out: &mut String, query: bool) {
        let Some(method) = self.method else {
            // The request's target is unknown.
            out.push('-');
            return;
        };
        visible(out, method.as_bytes(), MAX_FIELD, " ");
        out.push(' ');
        visible(out, self.path.unwrap_or("-").as_bytes(), MAX_TARGET, " ");
        if let Some(query) = self.query.filter(|_| query) {
            out.push('?');
            visible(out, query.as_bytes(), MAX_TARGET, " ");
        }
        out.push(' ');
        visible(out, self.protocol.as_bytes(), MAX_FIELD, " ");
    }

    /// The referrer, without parts that may hold secrets.
    fn shown_referer(&self, query: bool) -> Option<&[u8]> {
        let whole = self.referer?;
        let end = whole.iter().position(|byte| !query && matches!(byte, b'?' | b'#')).unwrap_or(whole.len());
        Some(&whole[..end])
    }
}

/// Milliseconds with three decimals.
struct Millis(Duration);

impl std::fmt::Display for Millis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let micros = self.0.as_micros();
        write!(f, "{}.{:03}", micros / 1000, micros % 1000)
    }
}

/// The part of a long value that can appear: an escape never makes it shorter.
fn within_field(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.len().min(MAX_FIELD + 1)]
}

fn optional(out: &mut String, key: &str, value: Option<&str>, most: usize) {
    if let Some(value) = value {
        text(out, key, value, most);
    }
}

/// A key with a text, after a comma.
fn text(out: &mut String, key: &str, value: &str, most: usize) {
    let _ = write!(out, ",\"{key}\":\"");
    let start = out.len();
    for char in value.chars() {
        let before = out.len();
        let _ = Within::Json.write(char, out);
        if out.len() - start > most {
            out.truncate(before);
            out.push_str(CUT);
            break;
        }
    }
    out.push('"');
}

/// Visible ASCII and spaces stay; quotes and backslashes get a backslash; all other bytes are written in hexadecimal,
/// also those in `also`.
fn visible(out: &mut String, bytes: &[u8], most: usize, also: &str) {
    let start = out.len();
    for &byte in bytes {
        let before = out.len();
        match byte {
            b'"' | b'\\' => out.extend(['\\', char::from(byte)]),
            b' '..=b'~' if !also.as_bytes().contains(&byte) => out.push(char::from(byte)),
            _ => _ = write!(out, "\\x{byte:02X}"),
        }
        if out.len() - start > most {
            out.truncate(before);
            out.push_str(CUT);
            break;
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::UNIX_EPOCH;

    use super::super::escape::is_hostile;

    use super::*;

    pub(in super::super) fn entry() -> AccessEntry<'static> {
        AccessEntry {
            time: UNIX_EPOCH + Duration::from_millis(1_795_172_384_123),
            request_id: "00c0ffee00c0ffee",
            trace_id: None,
            span_id: None,
            peer: SocketAddr::from(([192, 0, 2, 7], 50_000)),
            client: IpAddr::from([192, 0, 2, 7]),
            listener: "0",
            method: Some("GET"),
            scheme: "https",
            host: Some("example.com"),
            path: Some("/a/b"),
            query: Some("token=hunter2"),
            protocol: "HTTP/2.0",
            pipeline: Some("edge"),
            generation: 3,
            route: Some("0"),
            not_applied: None,
            bypassed: None,
            status: 200,
            reason: None,
            detail: None,
            request_bytes: 0,
            response_bytes: 512,
            duration: Duration::from_micros(1500),
            to_head: Some(Duration::from_micros(1007)),
            user_agent: Some(b"curl/8"),
            referer: Some(b"https://example.com/?key=hunter3"),
        }
    }

    #[test]
    fn json() {
        let expected = "{\"time\":\"2026-11-20T10:59:44.123Z\",\"request-id\":\"00c0ffee00c0ffee\",\
            \"peer\":\"192.0.2.7:50000\",\"client\":\"192.0.2.7\",\"listener\":\"0\",\"method\":\"GET\",\"scheme\":\"https\",\"host\":\"example.com\",\
            \"path\":\"/a/b\",\"protocol\":\"HTTP/2.0\",\"pipeline\":\"edge\",\"generation\":3,\"route\":\"0\",\
            \"status\":200,\"request-bytes\":0,\"response-bytes\":512,\"duration-ms\":1.500,\"to-head-ms\":1.007,\
            \"user-agent\":\"curl/8\",\"referer\":\"https://example.com/\"}\n";
        assert_eq!(entry().line(AccessFormat::Json, false), expected);
        let with_query: serde_json::Value =
            serde_json::from_str(&entry().line(AccessFormat::Json, true)).unwrap();
        assert_eq!(with_query["query"], "token=hunter2");
        assert_eq!(with_query["referer"], "https://example.com/?key=hunter3");
    }

    #[test]
    fn combined() {
        let expected = "192.0.2.7 - - [20/Nov/2026:10:59:44 +0000] \"GET /a/b HTTP/2.0\" 200 512 \
            \"https://example.com/\" \"curl/8\"\n";
        assert_eq!(entry().line(AccessFormat::Combined, false), expected);
        let unheard = AccessEntry {
            method: None,
            host: None,
            path: None,
            query: None,
            status: 400,
            user_agent: None,
            referer: None,
            ..entry()
        };
        let expected = "192.0.2.7 - - [20/Nov/2026:10:59:44 +0000] \"-\" 400 512 \"-\" \"-\"\n";
        assert_eq!(unheard.line(AccessFormat::Combined, true), expected);
        let line =
            AccessEntry { user_agent: None, referer: None, ..entry() }.line(AccessFormat::Combined, true);
        assert!(line.contains("\"GET /a/b?token=hunter2 HTTP/2.0\" 200 512 \"-\" \"-\""), "{line}");
    }

    #[test]
    fn nothing_that_a_client_sends_ends_a_field_or_a_line() {
        let hostile = "x\"\\\r\n\u{1b}[2J\u{7f}\u{85}\u{2028}\u{202e}\0 192.0.2.9 - - [x] \"GET / y";
        let bytes = b"x\" \"\r\n\x1b[2J\xff\x85\\";
        let entry = AccessEntry {
            method: Some(hostile),
            scheme: hostile,
            host: Some(hostile),
            path: Some(hostile),
            query: Some(hostile),
            reason: Some(hostile),
            route: Some(hostile),
            not_applied: Some(hostile),
            bypassed: Some(hostile),
            user_agent: Some(bytes),
            referer: Some(bytes),
            ..entry()
        };
        let json = entry.line(AccessFormat::Json, true);
        let parsed: serde_json::Value = serde_json::from_str(&json).unwrap();
        for key in ["method", "scheme", "host", "path", "query", "reason", "route", "not-applied", "bypassed"]
        {
            assert_eq!(parsed[key], hostile, "{key}");
        }
        assert_eq!(parsed["user-agent"], String::from_utf8_lossy(bytes).as_ref());
        assert!(!json.trim_end_matches('\n').chars().any(is_hostile), "{json}");

        let combined = entry.line(AccessFormat::Combined, true);
        assert!(
            combined.trim_end_matches('\n').bytes().all(|byte| (b' '..=b'~').contains(&byte)),
            "{combined}"
        );
        // Quotes of our own: three fields, two each.
        let own = combined.replace("\\\\", "").replace("\\\"", "");
        assert_eq!(own.matches('"').count(), 6, "{combined}");
        let (_, request) = own.split_once("] \"").unwrap();
        assert_eq!(request.split('"').next().unwrap().split(' ').count(), 3, "{combined}");
    }

    #[test]
    fn long_fields_are_cut() {
        let long = "\u{1}ü".repeat(100_000);
        let bytes = long.as_bytes();
        let entry = AccessEntry {
            path: Some(&long),
            query: Some(&long),
            host: Some(&long),
            user_agent: Some(bytes),
            referer: Some(bytes),
            ..entry()
        };
        for format in [AccessFormat::Json, AccessFormat::Combined] {
            let line = entry.line(format, true);
            assert!(line.len() < 8192 && line.contains("...\""), "{}", line.len());
            if format == AccessFormat::Json {
                assert!(serde_json::from_str::<serde_json::Value>(&line).is_ok());
            }
        }
        let mut exact = String::new();
        text(&mut exact, "k", "abcd", 4);
        text(&mut exact, "l", "abcde", 4);
        assert_eq!(exact, ",\"k\":\"abcd\",\"l\":\"abcd...\"");
    }
}
