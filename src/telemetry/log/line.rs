//! One line of the log, as text for people or as a JSON object.
//!
//! Much of a line is text from a client or a guest, so nothing in it can end the line or reach a terminal: every value
//! is escaped, and cut at a bound. A text value that could be taken for several values is quoted. Only `findings`,
//! which linkspan makes about the operator's files, have lines of their own, and those are indented.

use std::fmt::{self, Debug, Write};

use tracing::field::{Field, Visit};
use tracing::{Event, Level};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};

use crate::telemetry::escape::Within;

/// The form of lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people, in colours if wanted.
    Text {
        /// Whether a terminal shows it.
        colours: bool,
    },
    /// One JSON object per line.
    Json,
}

/// Longest findings, in bytes.
const MAX_FINDINGS: usize = 64 * 1024;
/// What ends a value that was cut.
const CUT: &str = "… (cut)";

/// The fields that name the subject of a line.
const SUBJECT: [&str; 6] = ["pipeline", "stage", "upstream", "server", "listener", "caller"];

/// An event's fields, as they will stand in its line.
pub(super) struct Fields {
    format: LogFormat,
    /// Longest value, in bytes.
    most: usize,
    message: String,
    /// All fields but the message, each with its separator.
    rest: String,
    findings: String,
    /// The target of lines from the crate `log`.
    target: Option<String>,
    subject: Vec<String>,
}

impl Fields {
    pub(super) fn of(event: &Event<'_>, format: LogFormat, most: usize) -> Self {
        let mut fields = Self {
            format,
            most,
            message: String::new(),
            rest: String::new(),
            findings: String::new(),
            target: None,
            subject: Vec::new(),
        };
        event.record(&mut fields);
        fields
    }

    /// What distinguishes lines of one place in the code.
    pub(super) fn subject(&self) -> Vec<&str> {
        self.subject.iter().map(String::as_str).collect()
    }

    /// The kind of this line, in short.
    pub(super) fn example(&self) -> String {
        let mut example = self.message.clone();
        for subject in &self.subject {
            example.push_str(", ");
            example.push_str(subject);
        }
        example
    }

    /// The whole line with its end.
    pub(super) fn line(&self, level: Level, target: &str) -> String {
        let target = self.target.as_deref().unwrap_or(target);
        let mut time = String::new();
        let _ = SystemTime.format_time(&mut Writer::new(&mut time));
        let mut line = match self.format {
            LogFormat::Json => format!(
                "{{\"timestamp\":\"{time}\",\"level\":\"{level}\",\"message\":\"{}\"{},\"target\":\"{target}\"}}",
                self.message, self.rest
            ),
            LogFormat::Text { colours: false } => {
                format!("{time} {level:>5} {target}: {}{}", self.message, self.rest)
            }
            LogFormat::Text { colours: true } => {
                let colour = match level {
                    Level::ERROR => 31,
                    Level::WARN => 33,
                    Level::INFO => 32,
                    Level::DEBUG => 34,
                    Level::TRACE => 35,
                };
                format!(
                    "\x1b[2m{time}\x1b[0m \x1b[{colour}m{level:>5}\x1b[0m \x1b[2m{target}:\x1b[0m {}{}",
                    self.message, self.rest
                )
            }
        };
        for finding in self.findings.lines() {
            line.push_str("\n    ");
            line.push_str(finding);
        }
        line.push('\n');
        line
    }

    fn value(&mut self, name: &str, value: fmt::Arguments<'_>) {
        let most = self.most;
        match (name, self.format) {
            ("message", LogFormat::Text { .. }) => {
                Bounded::write(&mut self.message, Within::Text, most, value);
            }
            ("message", LogFormat::Json) => Bounded::write(&mut self.message, Within::Json, most, value),
            ("findings", LogFormat::Text { .. }) => self.findings(&value.to_string()),
            (_, LogFormat::Json) => {
                let most = if name == "findings" { MAX_FINDINGS } else { most };
                let _ = write!(self.rest, ",\"{name}\":\"");
                Bounded::write(&mut self.rest, Within::Json, most, value);
                self.rest.push('"');
            }
            (_, LogFormat::Text { .. }) => {
                let mut text = String::new();
                Bounded::write(&mut text, Within::Text, most, value);
                if text.is_empty() || text.contains([' ', '=']) {
                    text.clear();
                    Bounded::write(&mut text, Within::Quotes, most, value);
                    text = format!("\"{text}\"");
                }
                let _ = write!(self.rest, " {name}={text}");
            }
        }
    }

    fn findings(&mut self, text: &str) {
        for line in text.lines() {
            let left = MAX_FINDINGS.saturating_sub(self.findings.len());
            Bounded::write(&mut self.findings, Within::Text, left, format_args!("{line}"));
            self.findings.push('\n');
            if left == 0 {
                break;
            }
        }
    }

    /// A value that needs no escape, and no quotes in JSON.
    fn plain(&mut self, name: &str, value: impl fmt::Display) {
        let _ = match self.format {
            LogFormat::Json => write!(self.rest, ",\"{name}\":{value}"),
            LogFormat::Text { .. } => write!(self.rest, " {name}={value}"),
        };
    }

    fn text(&mut self, name: &str, value: fmt::Arguments<'_>) {
        if SUBJECT.contains(&name) {
            let mut subject = String::new();
            Bounded::write(&mut subject, Within::Text, 256, value);
            self.subject.push(format!("{name} {subject}"));
        }
        match name.strip_prefix("log.") {
            None => self.value(name, value),
            Some("target") => {
                let mut target = String::new();
                Bounded::write(&mut target, Within::Json, 256, value);
                self.target = Some(target);
            }
            // The place in the code.
            Some(_) => {}
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.text(field.name(), format_args!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field.name(), format_args!("{value}"));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.plain(field.name(), value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.plain(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        // The line of the crate `log` in its file.
        if !field.name().starts_with("log.") {
            self.plain(field.name(), value);
        }
    }
}

/// Escapes the text that is written, and cuts it at a bound.
struct Bounded<'a> {
    out: &'a mut String,
    within: Within,
    end: usize,
}

impl Bounded<'_> {
    fn write(out: &mut String, within: Within, most: usize, value: fmt::Arguments<'_>) {
        let end = out.len() + most;
        let mut bounded = Bounded { out, within, end };
        if bounded.write_fmt(value).is_err() {
            bounded.out.push_str(CUT);
        }
    }
}

impl Write for Bounded<'_> {
    /// Fails at the bound, so that formatting stops.
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for char in text.chars() {
            let before = self.out.len();
            self.within.write(char, self.out)?;
            if self.out.len() > self.end {
                self.out.truncate(before);
                return Err(fmt::Error);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::logged;
    use super::*;

    const TEXT: LogFormat = LogFormat::Text { colours: false };

    #[test]
    fn what_a_guest_says_is_one_line_in_both_forms() {
        let said = "x\n2026-11-21T00:00:00Z ERROR linkspan: forged\r\0\u{1b}[2J\u{85}\u{2028}\u{202e}";
        let all = |format| {
            logged(format, || {
                tracing::warn!(stage = "0:a", reason = %said, path = said, count = 3, "{said}");
            })
        };
        let text = all(TEXT);
        assert_eq!(text.matches('\n').count(), 1, "{text}");
        assert!(!text.trim_end().chars().any(crate::telemetry::escape::is_hostile), "{text}");
        assert!(text.contains(" WARN linkspan::telemetry::log::line::tests: x\\n2026-11-21"), "{text}");
        assert!(
            text.contains("stage=0:a reason=\"x\\n2026") && text.contains("\\u{202e}\" count=3"),
            "{text}"
        );

        let json = all(LogFormat::Json);
        assert!(!json.trim_end().chars().any(crate::telemetry::escape::is_hostile), "{json}");
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        for name in ["message", "reason", "path"] {
            assert_eq!(json[name], said, "{name}");
        }
        assert_eq!((&json["level"], &json["count"]), (&"WARN".into(), &3.into()));
    }

    #[test]
    fn values_are_cut_and_findings_have_lines_of_their_own() {
        let long = "ü\n".repeat(1_000_000);
        let text = logged(TEXT, || tracing::error!(reason = %long, findings = %"a\n b\u{1b}\nc", "no"));
        assert!(text.len() < 20_000 && text.contains(CUT), "{}", text.len());
        assert!(text.ends_with("\n    a\n     b\\u{1b}\n    c\n"), "{text}");
        let json = logged(LogFormat::Json, || tracing::error!(reason = %long, findings = %"a\nb", "no"));
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!((&json["findings"], &json["message"]), (&"a\nb".into(), &"no".into()));
    }
}
