//! Names and labels in Prometheus's spelling ("Prometheus and OpenMetrics Compatibility" of OpenTelemetry), with bounds.

use std::sync::Arc;

use super::told::{Dropped, Kind, OwnMetric};

/// Labels, by name.
pub(super) type Labels = Vec<(Arc<str>, Arc<str>)>;

/// What all names begin with, so that none is one of the gateway's.
const PREFIX: &str = "stage_";

/// Most attributes of one series.
pub(super) const MOST_LABELS: usize = 16;

/// Longest name of a metric or an attribute, longest value of an attribute, and longest meaning, in bytes. Longer values and
/// meanings are cut.
const NAME: usize = 128;
const VALUE: usize = 256;
const MEANING: usize = 256;

/// Units that the names of metrics end in.
const UNITS: [(&str, &str); 18] = [
    ("d", "days"),
    ("h", "hours"),
    ("min", "minutes"),
    ("s", "seconds"),
    ("ms", "milliseconds"),
    ("us", "microseconds"),
    ("ns", "nanoseconds"),
    ("By", "bytes"),
    ("KiBy", "kibibytes"),
    ("MiBy", "mebibytes"),
    ("GiBy", "gibibytes"),
    ("kBy", "kilobytes"),
    ("MBy", "megabytes"),
    ("GBy", "gigabytes"),
    ("Cel", "celsius"),
    ("Hz", "hertz"),
    ("J", "joules"),
    ("%", "percent"),
];

/// The metric's name.
pub(super) fn of(metric: &OwnMetric, kind: Kind) -> Result<Arc<str>, Dropped> {
    if metric.name.is_empty() || metric.name.len() > NAME {
        return Err(Dropped::Name);
    }
    let mut name = PREFIX.to_owned();
    spell(&mut name, &metric.name);
    let unit = UNITS.iter().find(|(unit, _)| *unit == metric.unit).map(|(_, word)| *word);
    let unit = unit.or((metric.unit == "1" && kind == Kind::Gauge).then_some("ratio"));
    let total = if kind == Kind::Counter { Some("total") } else { None };
    if total.is_some() {
        name.truncate(name.trim_end_matches("_total").len());
    }
    for suffix in [unit, total].into_iter().flatten() {
        if !name.ends_with(suffix) {
            name.push('_');
            name.push_str(suffix);
        }
    }
    Ok(name.into())
}

/// Adds `text` with what a name may not have as underscores, several in a row as one.
fn spell(name: &mut String, text: &str) {
    for char in text.chars() {
        match char {
            'a'..='z' | 'A'..='Z' | '0'..='9' => name.push(char),
            _ if name.ends_with('_') => {}
            _ => name.push('_'),
        }
    }
}

/// The labels of a series, sorted. One that has a label's name of the gateway's is called `exported_…`, as Prometheus calls such.
pub(super) fn labels(metric: &OwnMetric, attributes: &[(String, String)]) -> Result<Labels, Dropped> {
    if attributes.len() > MOST_LABELS {
        return Err(Dropped::Name);
    }
    let mut labels = Labels::new();
    for (key, value) in attributes {
        if key.is_empty() || key.len() > NAME {
            return Err(Dropped::Name);
        }
        let first = key.starts_with(|char: char| char.is_ascii_digit());
        let mut name = if first { "key_".to_owned() } else { String::new() };
        spell(&mut name, key);
        if name == "le" || ["__", "linkspan_", "otel_scope_"].iter().any(|own| name.starts_with(own)) {
            name.insert_str(0, "exported_");
        }
        labels.push((name.into(), cut(&text(value), VALUE).into()));
    }
    let (library, version) = &metric.library;
    labels.push(("otel_scope_name".into(), cut(library, VALUE).into()));
    if let Some(version) = version {
        labels.push(("otel_scope_version".into(), cut(version, VALUE).into()));
    }
    labels.sort();
    // Names that are spelled alike would be one label twice.
    labels.dedup_by(|later, first| later.0 == first.0);
    Ok(labels)
}

/// A text as it is; anything else as JSON.
fn text(json: &str) -> String {
    serde_json::from_str(json).unwrap_or_else(|_| json.to_owned())
}

fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

/// A meaning in one line, with none of what the format escapes there.
pub(super) fn meaning(description: &str) -> Arc<str> {
    let plain = |char: char| if char.is_control() || char == '\\' { ' ' } else { char };
    cut(description, MEANING).chars().map(plain).collect::<String>().into()
}
