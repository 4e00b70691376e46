//! The tables of `docs/configuration.md` must equal the declarations; `BLESS=1` writes them.

use std::path::Path;
use std::time::Duration;

use super::keys::File;
use super::kinds::{Change, Key, Kind, Presence, Table, TextForm};
use super::typed::Keys as _;

/// The table of a kind of table.
fn rows(table: &Table) -> String {
    let bounded = table.keys.iter().any(|key| !bounds(&key.kind).is_empty());
    let mut rows = match bounded {
        true => "| key | type | default | bounds | meaning |\n| --- | --- | --- | --- | --- |\n".to_owned(),
        false => "| key | type | default | meaning |\n| --- | --- | --- | --- |\n".to_owned(),
    };
    for key in table.keys {
        let mut cells = vec![format!("`{}`", key.name), kind(&key.kind), default(key)];
        if bounded {
            cells.push(bounds(&key.kind));
        }
        cells.push(meaning(key));
        let cells: Vec<_> = cells.iter().map(|cell| format!("| {cell} ").replace("|  ", "| ")).collect();
        rows.push_str(&format!("{}|\n", cells.concat()));
    }
    rows
}

fn kind(kind: &Kind) -> String {
    match kind {
        Kind::Boolean => "boolean".to_owned(),
        Kind::BooleanOr(words) => format!("boolean or {}", list(words)),
        Kind::Count { .. } => "count".to_owned(),
        Kind::Ratio => "number".to_owned(),
        Kind::Size { .. } => "size".to_owned(),
        Kind::Duration { .. } => "time".to_owned(),
        Kind::Text(TextForm::OneOf { words, .. }) => list(words),
        Kind::Text(TextForm::Path) => "path".to_owned(),
        Kind::Text(TextForm::Address) => "address".to_owned(),
        Kind::Text(_) => "text".to_owned(),
        Kind::List { item: Kind::Table(_), .. } => "array of tables".to_owned(),
        Kind::List { .. } => "array of text".to_owned(),
        Kind::Named { .. } => "tables by name".to_owned(),
        Kind::Table(_) | Kind::Settings | Kind::Variables | Kind::Secrets | Kind::Texts { .. } => {
            "table".to_owned()
        }
        Kind::Secret => "text, `{ env = \"…\" }` or `{ file = \"…\" }`".to_owned(),
    }
}

fn list(words: &[&str]) -> String {
    let words: Vec<_> = words.iter().map(|word| format!("`\"{word}\"`")).collect();
    match words.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => words.concat(),
    }
}

fn default(key: &Key) -> String {
    match (key.presence, &key.kind) {
        (Presence::Required, _) => "**required**".to_owned(),
        (Presence::Optional(otherwise), _) => otherwise.to_owned(),
        (Presence::Default, Kind::Size { .. } | Kind::Duration { .. } | Kind::Text(_)) => {
            format!("`\"{}\"`", key.example)
        }
        (Presence::Default, _) => format!("`{}`", key.example),
    }
}

fn bounds(kind: &Kind) -> String {
    let number = |number: u64| {
        let digits = number.to_string();
        let from_end = |at: usize| digits.len() - at;
        let comma = |at: usize| if number >= 10_000 && at > 0 && from_end(at) % 3 == 0 { "," } else { "" };
        digits.char_indices().map(|(at, digit)| format!("{}{digit}", comma(at))).collect::<String>()
    };
    match *kind {
        Kind::Count { min, max } => format!("{} to {}", number(min), number(max)),
        Kind::Ratio => "0 to 1".to_owned(),
        Kind::Size { min, max } => {
            format!("{} to {}", spaced(super::format_size(min)), spaced(super::format_size(max)))
        }
        Kind::Duration { min, max } => format!("{} to {}", time(min), time(max)),
        Kind::List { min: 0 | 1, max, .. } | Kind::Named { max, .. } | Kind::Texts { max, .. } => {
            format!("at most {}", number(max as u64))
        }
        Kind::List { min, max, .. } => format!("{} to {}", number(min as u64), number(max as u64)),
        _ => String::new(),
    }
}

fn time(time: Duration) -> String {
    let day = Duration::from_secs(24 * 3600);
    match time.as_secs() / day.as_secs() {
        days if days > 1 => format!("{days} days"),
        _ => spaced(super::format_duration(time)),
    }
}

/// `64 KiB` of `64KiB`, and `0` of nothing.
fn spaced(text: String) -> String {
    let unit = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    match text.split_at(unit) {
        ("0", _) => "0".to_owned(),
        (number, unit) => format!("{number} {unit}"),
    }
}

fn meaning(key: &Key) -> String {
    match key.change {
        Change::Reload => key.doc.to_owned(),
        Change::Restart => {
            format!("{} Needs a [restart](operations.md#what-needs-a-restart).", key.doc)
        }
    }
}

/// The kinds of tables below one, it among them, in the order of the file.
fn below(table: &'static Table, found: &mut Vec<&'static Table>) {
    if found.iter().any(|other| other.id == table.id) {
        return;
    }
    found.push(table);
    for key in table.keys {
        match &key.kind {
            Kind::Table(inner)
            | Kind::Named { table: inner, .. }
            | Kind::List { item: Kind::Table(inner), .. } => {
                below(inner, found);
            }
            _ => {}
        }
    }
}

#[test]
fn the_page_has_the_keys_that_there_are() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let mut tables = Vec::new();
    below(File::TABLE, &mut tables);
    let mut wanted = page.clone();
    for table in tables {
        // A table stands between such a comment and the next empty line.
        let marker = format!("<!-- keys of {} -->\n", table.id);
        assert_eq!(wanted.matches(&marker).count(), 1, "docs/configuration.md has no place for {marker}");
        let start = wanted.find(&marker).unwrap() + marker.len();
        let end = start + wanted[start..].find("\n\n").unwrap_or(wanted.len() - start) + 1;
        wanted.replace_range(start..end, &rows(table));
    }
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &wanted).unwrap();
    } else {
        assert!(
            page == wanted,
            "docs/configuration.md is not what the declarations say: run with BLESS=1, and read the diff"
        );
    }
}
