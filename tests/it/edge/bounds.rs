//! docs/bounds.md has every bound as it is.

use crate::harness::repository;
use linkspan::config::Keys as _;
use linkspan::config::keys::{self, Presence, Table};

/// The rows of all tables of a page, as cells.
fn rows(page: &str) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(repository().join("docs").join(page)).unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    rows.map(|row| row.split(" | ").map(|cell| cell.trim_matches(['`', '"']).to_owned()).collect()).collect()
}

fn bounds() -> impl Iterator<Item = (&'static str, &'static keys::Key)> {
    let tables: [(&str, &'static Table); 3] = [
        ("limits.", keys::GatewayLimits::TABLE),
        ("pipelines.*.limits.", keys::PipelineLimits::TABLE),
        ("stages.*.limits.", keys::StageLimits::TABLE),
    ];
    tables.into_iter().flat_map(|(prefix, table)| table.keys.iter().map(move |key| (prefix, key)))
}

#[test]
fn each_bound_is_told_with_its_default() {
    let told: Vec<_> = rows("bounds.md").into_iter().filter(|row| row[0].contains("limits.")).collect();
    let mut expected = Vec::new();
    for (prefix, key) in bounds() {
        let default = match key.presence {
            Presence::Default => key.example,
            Presence::Optional("the pipeline's") => "the pipeline's",
            _ => panic!("a bound that is not there by default: {}", key.name),
        };
        expected.push((format!("{prefix}{}", key.name), default.to_owned()));
    }
    let mut found: Vec<_> =
        told.iter().map(|row| (row[0].clone(), row[1].trim_matches('`').to_owned())).collect();
    expected.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, expected);
}
