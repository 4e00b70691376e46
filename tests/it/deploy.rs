//! The board and the alerts of `deploy/`: what they ask of Prometheus is what a gateway has.

use crate::harness::{Client, Gateway, Pipeline, Protocol, Setup, repository, run};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;

const BOARD: &str = "deploy/grafana/linkspan.json";
const ALERTS: &str = "deploy/prometheus/alerts.yml";

/// The words of PromQL that are used.
const WORDS: [&str; 17] = [
    "and",
    "by",
    "changes",
    "count",
    "group_left",
    "histogram_quantile",
    "increase",
    "max",
    "min",
    "on",
    "or",
    "rate",
    "sum",
    "unless",
    "vector",
    "label_values",
    "without",
];
/// Words before a list of labels.
const LISTS: [&str; 4] = ["by", "without", "on", "group_left"];
/// The labels that Prometheus adds.
const ADDED: [&str; 3] = ["job", "instance", "le"];

/// What an expression names.
#[derive(Debug, Default, PartialEq, Eq)]
struct Named {
    metrics: BTreeSet<String>,
    labels: BTreeSet<String>,
}

/// Reads an expression, as far as names are concerned.
fn named(expression: &str) -> Named {
    let mut named = Named::default();
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut rest = expression;
    // Within braces and lists of labels, names are labels.
    let (mut braces, mut list, mut last) = (false, false, String::new());
    while let Some(first) = rest.chars().next() {
        let mut length = first.len_utf8();
        match first {
            '"' => length = 2 + rest[1..].find('"').expect("a string ends"),
            '{' => braces = true,
            '}' => braces = false,
            '[' => length = 1 + rest.find(']').expect("a range ends"),
            '(' => list = LISTS.contains(&last.as_str()),
            ')' => list = false,
            first if first.is_ascii_digit() => {
                length = rest.find(|c: char| !is_name(c) && c != '.').unwrap_or(rest.len());
            }
            first if is_name(first) => {
                length = rest.find(|c: char| !is_name(c)).unwrap_or(rest.len());
                let name = &rest[..length];
                match (braces || list, WORDS.contains(&name)) {
                    (true, _) => _ = named.labels.insert(name.to_owned()),
                    (false, true) => {}
                    (false, false) => _ = named.metrics.insert(name.to_owned()),
                }
                name.clone_into(&mut last);
                rest = &rest[length..];
                continue;
            }
            _ => {}
        }
        if !first.is_whitespace() {
            last.clear();
        }
        rest = &rest[length..];
    }
    named
}

/// All values of these keys, however deep.
fn values<'v>(value: &'v Value, keys: &[&str], found: &mut Vec<&'v str>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                match value.as_str().filter(|_| keys.contains(&key.as_str())) {
                    Some(text) => found.push(text),
                    None => values(value, keys, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| values(item, keys, found)),
        _ => {}
    }
}

fn board() -> Value {
    serde_json::from_str(&fs::read_to_string(repository().join(BOARD)).unwrap()).unwrap()
}

/// What the variables of the board ask is no PromQL, but for the metric.
fn of_board(board: &Value) -> Vec<String> {
    let mut found = Vec::new();
    values(board, &["expr"], &mut found);
    let mut queries = Vec::new();
    values(&board["templating"], &["definition"], &mut queries);
    let metric = |query: &&str| {
        let inside = query.strip_prefix("label_values(").unwrap().strip_suffix(')').unwrap();
        let (metric, label) = inside.rsplit_once(", ").unwrap();
        format!("sum by ({label}) ({metric})")
    };
    assert_eq!(queries.len(), 3);
    found.into_iter().map(str::to_owned).chain(queries.iter().map(metric)).collect()
}

/// Each alert and its expression. The file is read as it is written: an expression stands behind `expr:`, or in the lines
/// below it that are further to the right.
fn alerts() -> Vec<(String, String)> {
    let text = fs::read_to_string(repository().join(ALERTS)).unwrap();
    let mut alerts: Vec<(String, String)> = Vec::new();
    let mut within = false;
    for line in text.lines() {
        let told = line.trim_start();
        if let Some(name) = told.strip_prefix("- alert: ") {
            alerts.push((name.split_whitespace().next().unwrap().to_owned(), String::new()));
        } else if let Some(expression) = told.strip_prefix("expr: ") {
            within = expression == "|";
            let expression = if within { "" } else { expression };
            alerts.last_mut().unwrap().1.push_str(expression);
        } else if within && line.starts_with("          ") {
            let expression = &mut alerts.last_mut().unwrap().1;
            expression.push_str(told);
            expression.push(' ');
        } else {
            within = false;
        }
    }
    alerts
}

/// An upstream whose server is not there.
const UPSTREAM: &str = "[upstreams.backend]\nservers = [\"http://127.0.0.1:1\"]\n\n[pipelines.away]\nupstream = \
                        \"backend\"\n\n[[routes]]\npath = \"/away\"\npipeline = \"away\"\n";

/// The metrics that a gateway has, by their kinds; a request to an upstream and a reload make some of them appear.
fn exposed() -> Vec<(String, String)> {
    let setup = Setup::of([Pipeline::new("main", "hello")]);
    let gateway = Gateway::start(&setup.more("[admin]\naddress = \"127.0.0.1:0\"\n").more(UPSTREAM));
    let line = gateway.line(|line| line["message"] == "admin listening");
    let admin = line["address"].as_str().unwrap().parse().unwrap();
    let text = run(async {
        let reload =
            crate::harness::request(http::Method::POST, "/-/reload", &[], crate::harness::body::empty());
        Client::open(admin, Protocol::Http1).await.ask(reload).await.ok();
        let away = Client::open(gateway.plain, Protocol::Http1).await.get("/away", &[]).await;
        assert!(away.status.is_server_error(), "{away:?}");
        Client::open(admin, Protocol::Http1).await.get("/metrics", &[]).await.ok().text().to_owned()
    });
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    types.map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect()
}

/// The metric of a name: samples of a histogram have suffixes.
fn metric<'n>(name: &'n str, exposed: &[(String, String)]) -> &'n str {
    let is_histogram = |name: &str| exposed.iter().any(|(known, kind)| known == name && kind == "histogram");
    let bare = ["_bucket", "_count", "_sum"].iter().find_map(|suffix| name.strip_suffix(suffix));
    bare.filter(|bare| is_histogram(bare)).unwrap_or(name)
}

#[test]
fn names_are_found_in_expressions() {
    let found =
        named("sum by (a, le) (rate(x_bucket{b=~\"y{z\", c!=\"$d\"}[5m])) / 0.9 * vector(1e3) > other == 0");
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(found, Named { metrics: set(&["other", "x_bucket"]), labels: set(&["a", "b", "c", "le"]) });
    assert!(
        alerts().len() > 10
            && alerts().iter().all(|(name, expression)| !name.is_empty() && expression.len() > 5)
    );
}

/// A name that no gateway has would be an empty panel, and an alert that never fires.
#[test]
fn the_board_and_the_alerts_ask_for_metrics_that_exist() {
    let exposed = exposed();
    let page = fs::read_to_string(repository().join("docs/metrics.md")).unwrap();
    let documented: BTreeSet<_> = page.split('`').skip(1).step_by(2).collect();
    let board = board();
    let mut expressions: Vec<_> = of_board(&board).into_iter().map(|it| (BOARD.to_owned(), it)).collect();
    expressions
        .extend(alerts().into_iter().map(|(name, expression)| (format!("{ALERTS}: {name}"), expression)));
    let (mut wrong, mut used) = (Vec::new(), BTreeSet::new());
    for (place, expression) in &expressions {
        let named = named(expression);
        if named.metrics.is_empty() {
            wrong.push(format!("{place}: no metric in {expression}"));
        }
        for name in &named.metrics {
            let metric = metric(name, &exposed);
            used.insert(metric.to_owned());
            if !exposed.iter().any(|(known, _)| known == metric) {
                wrong.push(format!("{place}: no gateway has `{name}`"));
            }
            if !documented.contains(metric) {
                wrong.push(format!("{place}: docs/metrics.md has no `{metric}`"));
            }
        }
        for label in named.labels.iter().filter(|label| !ADDED.contains(&label.as_str())) {
            if !documented.contains(label.as_str()) {
                wrong.push(format!("{place}: docs/metrics.md has no label `{label}`"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // The board shows all that there is.
    let missing: Vec<_> = exposed.iter().map(|(name, _)| name).filter(|name| !used.contains(*name)).collect();
    assert!(missing.is_empty(), "neither the board nor an alert has {missing:?}");
}

/// A counter says something by its rate, a gauge by its value.
#[test]
fn counters_are_rates() {
    let exposed = exposed();
    let board = board();
    let alerts = alerts().into_iter().map(|(_, expression)| expression);
    let mut wrong = Vec::new();
    for expression in of_board(&board).into_iter().chain(alerts) {
        for name in named(&expression).metrics {
            let kind = &exposed.iter().find(|(known, _)| known == metric(&name, &exposed)).unwrap().1;
            for (at, _) in expression.match_indices(&name) {
                // Not within a longer name.
                if expression[at + name.len()..].starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
                {
                    continue;
                }
                let before = expression[..at].trim_end();
                let is_rate = ["rate(", "increase("].iter().any(|function| before.ends_with(function));
                if is_rate != (kind != "gauge") {
                    wrong.push(format!("`{name}` is a {kind}: {expression}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Panels have places of their own.
#[test]
fn panels_do_not_overlap() {
    let board = board();
    let panels = board["panels"].as_array().unwrap();
    let place = |panel: &Value| ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_u64().unwrap());
    for (number, panel) in panels.iter().enumerate() {
        let [x, y, w, h] = place(panel);
        assert!(x + w <= 24 && !panel["title"].as_str().unwrap().is_empty(), "{panel:#}");
        for other in &panels[..number] {
            let [a, b, c, d] = place(other);
            let apart = x >= a + c || a >= x + w || y >= b + d || b >= y + h;
            assert!(apart && other["id"] != panel["id"], "{} and {}", panel["title"], other["title"]);
        }
    }
}
