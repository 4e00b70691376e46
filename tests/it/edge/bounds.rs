//! docs/security.md and docs/configuration.md tell every bound as it is.

use crate::harness::repository;
use linkspan::config::keys::{self, Presence, Table};

/// The rows of all tables of a page, as cells.
fn rows(page: &str) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(repository().join("docs").join(page)).unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    rows.map(|row| row.split(" | ").map(|cell| cell.trim_matches(['`', '"']).to_owned()).collect()).collect()
}

fn bounds() -> impl Iterator<Item = (&'static str, &'static keys::Key)> {
    let tables: [(&str, &'static Table); 3] = [
        ("limits.", &keys::LIMITS),
        ("pipelines.*.limits.", &keys::PIPELINE_LIMITS),
        ("stages.*.limits.", &keys::STAGE_LIMITS),
    ];
    tables.into_iter().flat_map(|(prefix, table)| table.keys.iter().map(move |key| (prefix, key)))
}

#[test]
fn each_bound_is_told_with_its_default() {
    let told: Vec<_> = rows("security.md").into_iter().filter(|row| row[0].contains("limits.")).collect();
    let mut expected = Vec::new();
    for (prefix, key) in bounds() {
        assert_eq!(key.presence, Presence::Default, "a bound that is not there by default: {}", key.name);
        expected.push((format!("{prefix}{}", key.name), key.example.to_owned()));
    }
    let mut found: Vec<_> =
        told.iter().map(|row| (row[0].clone(), row[1].trim_matches('`').to_owned())).collect();
    expected.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, expected);
}

#[test]
fn each_bound_is_described_with_its_default() {
    let rows = rows("configuration.md");
    for (_, key) in bounds() {
        let default = key.example;
        let described = rows.iter().any(|row| row[0] == key.name && row.iter().any(|cell| cell == default));
        assert!(described, "`{}` with `{default}` is in no table", key.name);
    }
}
