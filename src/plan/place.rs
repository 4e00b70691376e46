//! The place of a key of a stage's configuration.

use crate::config::{Node, Span, Value};

/// The place of `key`, nested keys joined by dots and list items by their index, in `table`: see
/// [`super::Stage::config_span`].
pub(super) fn within(table: &Node, key: &str) -> Span {
    find(table, key).unwrap_or(table.span)
}

fn find(node: &Node, key: &str) -> Option<Span> {
    match &node.value {
        Value::Table(entries) => entries.iter().find_map(|entry| {
            let rest = key.strip_prefix(entry.key.as_str())?;
            let here = match entry.node.value {
                Value::Table(_) | Value::Array(_) => entry.key_span,
                _ => entry.node.span,
            };
            match rest.strip_prefix('.') {
                Some(rest) => Some(find(&entry.node, rest).unwrap_or(here)),
                None => rest.is_empty().then_some(here),
            }
        }),
        Value::Array(items) => {
            let (index, rest) = key.split_once('.').unwrap_or((key, ""));
            let item = items.get(index.parse::<usize>().ok()?)?;
            Some(find(item, rest).unwrap_or(item.span))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::plan::{Plan, parse};
    use std::path::Path;

    #[test]
    fn a_key_is_found_where_it_stands() {
        let text = "[[listeners]]\naddress = \"127.0.0.1:0\"\n[[routes]]\npipeline = \"a\"\n\
                    [components.x]\npath = \"Cargo.toml\"\n[pipelines.a]\nservice = { component = \"x\", config = { \
                    rate = \"r\", keys = { al.ice = \"s\", file = { file = \"Cargo.toml\" } }, list = [\"1\", \"22\"] } }\n";
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
        let plan: Plan = parse(&folder.join("x.toml"), text, &|_| None).unwrap().0;
        let stage = plan.pipelines[0].service().unwrap();
        let at = |key: &str| {
            let span = stage.config_span(key);
            &text[span.start()..span.end()]
        };
        assert_eq!((at("rate"), at("keys"), at("list")), ("\"r\"", "keys", "list"));
        assert_eq!((at("keys.al.ice"), at("list.1"), at("list.7")), ("\"s\"", "\"22\"", "list"));
        assert_eq!((at("keys.bob"), at("keys.file")), ("keys", "file"));
        assert!(at("burst").starts_with("{ rate"), "{}", at("burst"));
    }
}
