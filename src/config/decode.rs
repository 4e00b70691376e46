//! Checks a tree against the key tables.

use std::time::Duration;

use super::diagnostic::Diagnostics;
use super::fields::{self, Checked, Fields, Item, Named};
use super::keys::File;
use super::kinds::{Key, Kind, Presence, Table, TextForm};
use super::nearest::{nearest, suggest};
use super::ratio::Ratio;
use super::source::Span;
use super::syntax::{Entry, Node, Value};
use super::typed::Keys as _;
use super::units::{format_duration, format_size, parse_duration, parse_size};

/// The value that is checked: its name, and an example of a valid one.
struct Subject<'a> {
    name: &'a str,
    example: &'a str,
}

/// Checks a table and everything in it. `None` if `node` is no table.
pub(super) fn table(node: &Node, table: &'static Table, diagnostics: &mut Diagnostics) -> Option<Fields> {
    let Value::Table(entries) = &node.value else {
        if node.value == Value::Refused {
            return None;
        }
        diagnostics
            .error(node.span, format!("{} must be a table, found {}", table.title, node.value.type_name()))
            .label("expected a table")
            .help(format!("keys are: {}", key_list(table)));
        return None;
    };
    let mut fields = Fields { table, span: node.span, ..Fields::defaults(table) };
    for entry in entries {
        match table.key(&entry.key) {
            None => fields.refused.extend(unknown_key(entry, table, diagnostics)),
            Some(key) => match field(entry, key, diagnostics) {
                Some(field) => fields.fields.push(field),
                None => fields.refused.push(key.name),
            },
        }
    }
    for key in table.keys.iter().filter(|key| key.presence == Presence::Required) {
        if !entries.iter().any(|entry| entry.key == key.name) && !fields.refused.contains(&key.name) {
            diagnostics
                .error(node.span, format!("`{}` is missing from {}", key.name, table.title))
                .label(format!("`{}` is required", key.name))
                .help(format!("add `{} = {}`", key.name, key.example));
        }
    }
    Some(fields)
}

fn key_list(table: &Table) -> String {
    let names: Vec<String> = table.keys.iter().map(|key| format!("`{}`", key.name)).collect();
    names.join(", ")
}

/// Reports an unknown key, and returns the key that was most likely meant, which then is not missing.
fn unknown_key(entry: &Entry, table: &Table, diagnostics: &mut Diagnostics) -> Option<&'static str> {
    let names: Vec<&'static str> = table.keys.iter().map(|key| key.name).collect();
    let meant = nearest(&entry.key, names.iter().copied());
    let meant = names.iter().copied().find(|name| Some(*name) == meant);
    let help = match (meant, elsewhere(&entry.key)) {
        (None, Some((name, table))) => format!("`{name}` is a key of {}", table.title),
        _ => suggest(&entry.key, &names, "keys are", "remove it"),
    };
    diagnostics
        .error(entry.key_span, format!("unknown key `{}` in {}", entry.key, table.title))
        .label("unknown key")
        .help(help);
    meant
}

/// The key of the file's other tables that is spelled like `name`, apart from `_` and capitals, and the first table
/// that has it.
fn elsewhere(name: &str) -> Option<(&'static str, &'static Table)> {
    let folded = name.to_ascii_lowercase().replace('_', "-");
    let mut tables: Vec<&'static Table> = vec![File::TABLE];
    let mut at = 0;
    while let Some(table) = tables.get(at).copied() {
        if let Some(key) = table.keys.iter().find(|key| key.name == folded) {
            return Some((key.name, table));
        }
        for key in table.keys {
            let (Kind::Table(inner)
            | Kind::Named { table: inner, .. }
            | Kind::List { item: Kind::Table(inner), .. }) = &key.kind
            else {
                continue;
            };
            if !tables.iter().any(|known| known.id == inner.id) {
                tables.push(inner);
            }
        }
        at += 1;
    }
    None
}

fn field(entry: &Entry, key: &'static Key, diagnostics: &mut Diagnostics) -> Option<fields::GivenKey> {
    let example = match (&key.kind, key.presence) {
        // The defaults of these kinds are kept without the quotes that they have in TOML.
        (Kind::Size { .. } | Kind::Duration { .. } | Kind::Text(_), Presence::Default) => {
            format!("\"{}\"", key.example)
        }
        _ => key.example.to_owned(),
    };
    let subject = Subject { name: key.name, example: &example };
    let checked = value(&entry.node, &key.kind, &subject, diagnostics)?;
    Some(fields::GivenKey { key, span: entry.node.span, checked })
}

fn value(
    node: &Node,
    kind: &'static Kind,
    subject: &Subject<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Checked> {
    match (kind, &node.value) {
        (Kind::Boolean | Kind::BooleanOr(_), Value::Boolean(value)) => Some(Checked::Boolean(*value)),
        (Kind::BooleanOr(words), Value::String(text)) => {
            boolean_or(text, words, node.span, subject, diagnostics)
        }
        (Kind::Count { min, max }, Value::Integer(value)) => {
            count(*value, *min, *max, node.span, subject, diagnostics)
        }
        (Kind::Ratio, Value::Integer(value)) => ratio(&value.to_string(), node.span, subject, diagnostics),
        (Kind::Ratio, Value::Float(text)) => ratio(text, node.span, subject, diagnostics),
        (Kind::Size { .. } | Kind::Duration { .. }, Value::String(text)) => {
            quantity(text, kind, node.span, subject, diagnostics)
        }
        (Kind::Size { .. } | Kind::Duration { .. }, Value::Integer(number)) => {
            missing_unit(*number, kind, node.span, subject, diagnostics);
            None
        }
        (Kind::Text(form), Value::String(text)) => word(text, *form, node.span, subject.name, diagnostics),
        (Kind::List { item, min, max }, Value::Array(items)) => {
            list(items, item, (*min, *max), node.span, subject, diagnostics)
        }
        (Kind::Table(inner), Value::Table(_)) => table(node, inner, diagnostics).map(Checked::Table),
        (Kind::Named { table, max }, Value::Table(entries)) => {
            too_many(entries.len(), *max, node.span, subject, diagnostics);
            Some(Checked::Named(named(entries, table, diagnostics)))
        }
        (Kind::Texts { max, .. }, Value::Table(entries)) => {
            too_many(entries.len(), *max, node.span, subject, diagnostics);
            Some(Checked::Node(node.clone()))
        }
        (Kind::Settings | Kind::Variables | Kind::Secrets | Kind::Secret, Value::Table(_))
        | (Kind::Secret, Value::String(_)) => Some(Checked::Node(node.clone())),
        (_, Value::Refused) => None,
        _ => {
            wrong_type(node, kind, subject, diagnostics);
            None
        }
    }
}

/// Former words.
const RENAMED: &[(&str, &str)] = &[("skip", "bypass")];

/// Text, which must be one of the form's words if it has words.
fn word(text: &str, form: TextForm, span: Span, key: &str, diagnostics: &mut Diagnostics) -> Option<Checked> {
    if let TextForm::OneOf { noun, words } = form
        && !words.contains(&text)
    {
        let noun = if noun.is_empty() { key } else { noun };
        let now = RENAMED.iter().find(|(old, now)| *old == text && words.contains(now));
        let help = match now {
            Some((_, now)) => format!("the value is called `{now}` now"),
            None => suggest(text, words, "there are", ""),
        };
        diagnostics
            .error(span, format!("unknown {noun} `{text}`"))
            .label(format!("unknown {noun}"))
            .help(help);
        return None;
    }
    Some(Checked::Text(text.to_owned()))
}

fn boolean_or(
    text: &str,
    words: &[&str],
    span: Span,
    subject: &Subject<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Checked> {
    if words.contains(&text) {
        return Some(Checked::Text(text.to_owned()));
    }
    let words: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
    diagnostics
        .error(span, format!("unknown {} `{text}`", subject.name))
        .label(format!("unknown {}", subject.name))
        .help(format!("write true, false or {}", words.join(" or ")));
    None
}

fn wrong_type(node: &Node, kind: &Kind, subject: &Subject<'_>, diagnostics: &mut Diagnostics) {
    let expected = expected(kind);
    diagnostics
        .error(node.span, format!("`{}` must be {expected}, found {}", subject.name, node.value.type_name()))
        .label(format!("expected {expected}"))
        .help(format!("for example `{} = {}`", subject.name, subject.example));
}

fn expected(kind: &Kind) -> &'static str {
    match kind {
        Kind::Boolean => "`true` or `false`",
        Kind::BooleanOr(_) => "`true`, `false` or a word in quotes",
        Kind::Count { .. } => "an integer",
        Kind::Ratio => "a number",
        Kind::Size { .. } => "a size in quotes",
        Kind::Duration { .. } => "a duration in quotes",
        Kind::Text(TextForm::Address) => "an IP address and port in quotes",
        Kind::Text(TextForm::Path) => "a path in quotes",
        Kind::Text(_) => "a string",
        Kind::List { item: Kind::Table(_), .. } => "an array of tables",
        Kind::List { .. } => "an array of strings",
        Kind::Table(_) | Kind::Settings | Kind::Variables | Kind::Secrets => "a table",
        Kind::Texts { .. } => "a table of strings",
        Kind::Named { .. } => "a table of tables",
        Kind::Secret => "a string, or a table with the one key `env` or `file`",
    }
}

fn count(
    value: i64,
    min: u64,
    max: u64,
    span: Span,
    subject: &Subject<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Checked> {
    let number = u64::try_from(value).ok().filter(|number| (min..=max).contains(number));
    if number.is_none() {
        out_of_range(&value.to_string(), &min.to_string(), &max.to_string(), span, subject, diagnostics);
    }
    number.map(Checked::Number)
}

fn ratio(text: &str, span: Span, subject: &Subject<'_>, diagnostics: &mut Diagnostics) -> Option<Checked> {
    let ratio = Ratio::parse(text);
    if ratio.is_none() {
        out_of_range(text, "0", "1", span, subject, diagnostics);
    }
    ratio.map(Checked::Number)
}

fn quantity(
    text: &str,
    kind: &Kind,
    span: Span,
    subject: &Subject<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Checked> {
    let (checked, in_range, min, max) = match kind {
        Kind::Size { min, max } => {
            let size = parse_size(text).map_err(|fault| diagnostics.fault(span, fault)).ok()?;
            (Checked::Number(size), (min..=max).contains(&&size), format_size(*min), format_size(*max))
        }
        Kind::Duration { min, max } => {
            let duration = parse_duration(text).map_err(|fault| diagnostics.fault(span, fault)).ok()?;
            let in_range = (min..=max).contains(&&duration);
            (Checked::Duration(duration), in_range, format_duration(*min), format_duration(*max))
        }
        _ => return None,
    };
    if !in_range {
        out_of_range(text, &min, &max, span, subject, diagnostics);
        return None;
    }
    Some(checked)
}

fn missing_unit(number: i64, kind: &Kind, span: Span, subject: &Subject<'_>, diagnostics: &mut Diagnostics) {
    let (noun, proposal) = match (kind, u64::try_from(number)) {
        (Kind::Size { .. }, Ok(bytes)) => ("size", format!("\"{}\"", format_size(bytes))),
        (Kind::Duration { .. }, Ok(seconds)) => {
            ("duration", format!("\"{}\"", format_duration(Duration::from_secs(seconds))))
        }
        (Kind::Size { .. }, Err(_)) => ("size", subject.example.to_owned()),
        _ => ("duration", subject.example.to_owned()),
    };
    diagnostics
        .error(span, format!("`{}` needs a unit", subject.name))
        .label(format!("expected a {noun} in quotes"))
        .help(format!("for example `{} = {proposal}`", subject.name));
}

fn out_of_range(
    value: &str,
    min: &str,
    max: &str,
    span: Span,
    subject: &Subject<'_>,
    diagnostics: &mut Diagnostics,
) {
    diagnostics
        .error(span, format!("`{}` is out of range: {value}", subject.name))
        .label(format!("not between {min} and {max}"))
        .help(format!("for example `{} = {}`", subject.name, subject.example));
}

fn list(
    items: &[Node],
    kind: &'static Kind,
    (min, max): (usize, usize),
    span: Span,
    subject: &Subject<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Checked> {
    if items.len() < min {
        diagnostics
            .error(span, format!("`{}` is empty", subject.name))
            .label(format!("expected at least {min}"))
            .help(format!("for example `{} = {}`, or leave it out", subject.name, subject.example));
        return None;
    }
    let beyond = items.get(max).map_or(span, |item| item.span);
    too_many(items.len(), max, beyond, subject, diagnostics);
    let mut good = Vec::with_capacity(items.len());
    for node in items {
        let checked = match (kind, &node.value) {
            (Kind::Table(inner), _) => table(node, inner, diagnostics).map(Checked::Table),
            (Kind::Text(form), Value::String(text)) => {
                word(text, *form, node.span, subject.name, diagnostics)
            }
            (_, Value::Refused) => None,
            _ => {
                let (expected, found) = (expected(kind), node.value.type_name());
                diagnostics
                    .error(
                        node.span,
                        format!("an item of `{}` must be {expected}, found {found}", subject.name),
                    )
                    .label(format!("expected {expected}"))
                    .help(format!("for example `{} = {}`", subject.name, subject.example));
                None
            }
        };
        good.extend(checked.map(|checked| Item { span: node.span, checked }));
    }
    // A list of nothing but mistakes is refused, so that it is not reported as empty.
    if good.is_empty() && !items.is_empty() {
        return None;
    }
    // Later steps rely on the bound, although the plan is refused.
    good.truncate(max);
    Some(Checked::List(good))
}

fn too_many(count: usize, max: usize, span: Span, subject: &Subject<'_>, diagnostics: &mut Diagnostics) {
    if count > max {
        diagnostics
            .error(span, format!("`{}` has {count} items, at most {max} are allowed", subject.name))
            .label(format!("more than {max}"))
            .help(format!("remove {} of them", count - max));
    }
}

fn named(entries: &[Entry], kind: &'static Table, diagnostics: &mut Diagnostics) -> Vec<Named> {
    let tables = entries.iter().map(|entry| {
        // The name counts as defined even if its table is wrong, so that references to it are not reported as well.
        let table = table(&entry.node, kind, diagnostics).unwrap_or_else(|| Fields::defaults(kind));
        Named { name: entry.key.clone(), name_span: entry.key_span, table }
    });
    tables.collect()
}
