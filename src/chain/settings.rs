//! A stage's configuration against the schema that its component carries.
//!
//! A stage receives every scalar as text, whatever its type in TOML, so a text that is a number counts as a number
//! here. No finding shows a value.

use crate::component::schema::{Others, Schema, Type};
use crate::config::{Diagnostics, Entry, Node, Span, Value, nearest, suggest};
use crate::plan::Stage;

/// Adds what is wrong with the configuration of `stage`, by the schema of its component, to `diagnostics`.
pub(super) fn check_settings(
    stage: &Stage,
    schema: Option<&Result<Schema, String>>,
    diagnostics: &mut Diagnostics,
) {
    let component = &stage.id.component;
    let schema = match schema {
        None => return,
        Some(Ok(schema)) => schema,
        Some(Err(reason)) => {
            diagnostics
                .warning(
                    stage.component_span,
                    format!("component `{component}` has a configuration schema that can't be read"),
                )
                .label(format!("it {}", reason.escape_debug()))
                .help(
                    "the configuration is not checked against it; rebuild the component, or ask its author",
                );
            return;
        }
    };
    let empty = Node { span: stage.component_span, value: Value::Table(Vec::new()) };
    Check { stage, diagnostics }.table("", stage.config_table.as_ref().unwrap_or(&empty), schema);
}

struct Check<'a> {
    stage: &'a Stage,
    diagnostics: &'a mut Diagnostics,
}

impl Check<'_> {
    /// What a stage gets for the scalar `key`; a table there names an environment variable or a file.
    fn text(&self, key: &str) -> Option<&str> {
        let found = self.stage.config.iter().find(|(known, _)| known == key);
        found.map(|(_, value)| value.expose())
    }

    fn table(&mut self, path: &str, table: &Node, schema: &Schema) {
        let Value::Table(entries) = &table.value else { return };
        let entries = unfolded(entries, schema);
        let mut meant = Vec::new();
        for entry in &entries {
            let key = joined(path, &entry.key);
            match (schema.key(&entry.key), &schema.others) {
                (Some(schema), _) => self.value(&key, &entry.node, entry.key_span, schema),
                (None, Others::Any) => {}
                (None, Others::Each(schema)) => self.value(&key, &entry.node, entry.key_span, schema),
                (None, Others::None) => meant.extend(self.unknown(entry, &key, schema)),
            }
        }
        for key in &schema.required {
            if !entries.iter().any(|entry| entry.key == *key) && !meant.contains(key) {
                self.missing(&joined(path, key), table.span, schema.key(key));
            }
        }
    }

    /// Reports an unknown key, and returns the key that was most likely meant.
    fn unknown(&mut self, entry: &Entry, key: &str, schema: &Schema) -> Option<String> {
        let names: Vec<&str> = schema.keys.iter().map(|(name, _)| name.as_str()).collect();
        let component = &self.stage.id.component;
        self.diagnostics
            .error(entry.key_span, format!("unknown key `{key}` in the configuration of `{component}`"))
            .label("unknown key")
            .help(suggest(&entry.key, &names, "it knows", "remove the key: the component knows none"));
        nearest(&entry.key, names).map(str::to_owned)
    }

    fn missing(&mut self, key: &str, span: Span, schema: Option<&Schema>) {
        let component = &self.stage.id.component;
        let example = schema.map_or_else(|| "…".to_owned(), example);
        self.diagnostics
            .error(span, format!("`{key}` is missing from the configuration of `{component}`"))
            .label(format!("`{key}` is required"))
            .help(format!("add `{key} = {example}` to the stage's `config`"));
    }

    fn value(&mut self, key: &str, node: &Node, key_span: Span, schema: &Schema) {
        if let Some(text) = self.text(key).map(str::to_owned) {
            return self.scalar(key, &text, node, schema);
        }
        match &node.value {
            // `"methods.0"`, which is the only way where a configuration has no lists.
            Value::Table(items) if schema.takes(Type::Array) && items.iter().all(is_index) => {
                for item in items {
                    if let Some(schema) = &schema.items {
                        self.value(&joined(key, &item.key), &item.node, item.key_span, schema);
                    }
                }
                self.number(key, items.len(), key_span, schema);
            }
            Value::Table(entries) if schema.takes(Type::Object) => {
                self.table(key, node, schema);
                self.number(key, entries.len(), key_span, schema);
            }
            Value::Array(items) if schema.takes(Type::Array) => {
                for (index, item) in items.iter().enumerate() {
                    if let Some(schema) = &schema.items {
                        self.value(&format!("{key}.{index}"), item, item.span, schema);
                    }
                }
                self.number(key, items.len(), node.span, schema);
            }
            Value::Table(_) => self.wrong(key, key_span, Some("a table"), schema),
            Value::Array(_) => self.wrong(key, node.span, Some("an array"), schema),
            // The mistake was reported already.
            _ => {}
        }
    }

    fn number(&mut self, key: &str, number: usize, span: Span, schema: &Schema) {
        if number < schema.min_items {
            let (least, component) = (schema.min_items, &self.stage.id.component);
            self.diagnostics
                .error(span, format!("`{key}` in the configuration of `{component}` has too few entries"))
                .label(format!("{number}, expected at least {least}"))
                .help(format!("for example `{key} = {}`", example(schema)));
        }
    }

    fn scalar(&mut self, key: &str, text: &str, node: &Node, schema: &Schema) {
        let is = |ty: &Type| match ty {
            Type::String => true,
            Type::Integer => text.parse::<i64>().is_ok() || text.parse::<u64>().is_ok(),
            Type::Number => text.parse::<f64>().is_ok(),
            Type::Boolean => matches!(text, "true" | "false"),
            Type::Array | Type::Object => false,
        };
        let known = schema.words.is_empty() || schema.words.iter().any(|word| word == text);
        if !known || !(schema.types.is_empty() || schema.types.iter().any(is)) {
            let found = match node.value {
                // The content of a variable or a file is not shown, nor its type.
                Value::Table(_) => None,
                _ => Some(node.value.type_name()),
            };
            return self.wrong(key, node.span, found.filter(|_| known), schema);
        }
        let Ok(number) = text.parse::<i64>() else { return };
        if schema.least.is_some_and(|least| number < least) || schema.most.is_some_and(|most| number > most) {
            self.wrong(key, node.span, None, schema);
        }
    }

    fn wrong(&mut self, key: &str, span: Span, found: Option<&str>, schema: &Schema) {
        let component = &self.stage.id.component;
        let found = found.map(|found| format!(", found {found}")).unwrap_or_default();
        self.diagnostics
            .error(
                span,
                format!("`{key}` in the configuration of `{component}` must be {}{found}", expected(schema)),
            )
            .label("another value is expected")
            .help(format!("for example `{key} = {}`", example(schema)));
    }
}

/// The entries of a table by the names that the schema knows: a stage gets `"keys.alice"` as it gets `alice` in `keys`.
fn unfolded(entries: &[Entry], schema: &Schema) -> Vec<Entry> {
    let mut all: Vec<Entry> = Vec::with_capacity(entries.len());
    for entry in entries {
        let mut entry = entry.clone();
        if schema.key(&entry.key).is_none()
            && let Some((first, rest)) = entry.key.split_once('.')
        {
            let (key, key_span, span) = (first.to_owned(), entry.key_span, entry.node.span);
            let inner = Entry { key: rest.to_owned(), ..entry };
            entry = Entry { key, key_span, node: Node { span, value: Value::Table(vec![inner]) } };
        }
        let known = all.iter_mut().find(|known| known.key == entry.key);
        match (known.map(|known| &mut known.node.value), entry.node.value) {
            (Some(Value::Table(all)), Value::Table(more)) => all.extend(more),
            (_, value) => all.push(Entry { node: Node { value, ..entry.node }, ..entry }),
        }
    }
    all
}

fn is_index(entry: &Entry) -> bool {
    entry.key.parse::<usize>().is_ok()
}

fn joined(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// What a value must be, in words.
fn expected(schema: &Schema) -> String {
    if !schema.words.is_empty() {
        let words: Vec<_> = schema.words.iter().take(12).map(|word| format!("{word:?}")).collect();
        return words.join(" or ");
    }
    let list = schema.types.contains(&Type::Array);
    let kind = |ty: &Type| match ty {
        Type::String => schema.title.clone().unwrap_or_else(|| "text".to_owned()),
        Type::Integer => match (schema.least, schema.most) {
            (Some(least), Some(most)) => format!("an integer from {least} to {most}"),
            (Some(least), None) => format!("an integer of at least {least}"),
            (None, Some(most)) => format!("an integer of at most {most}"),
            (None, None) => "an integer".to_owned(),
        },
        Type::Number => "a number".to_owned(),
        Type::Boolean => "`true` or `false`".to_owned(),
        Type::Array => "a list".to_owned(),
        Type::Object => "a table".to_owned(),
    };
    let kinds: Vec<_> = schema.types.iter().filter(|ty| !list || **ty == Type::Array).map(kind).collect();
    kinds.join(" or ")
}

/// A value in TOML.
fn example(schema: &Schema) -> String {
    let of = |text: &Option<String>| text.as_ref().filter(|text| !text.contains(['{', '\n'])).cloned();
    let given = of(&schema.example).or_else(|| of(&schema.default));
    let word = schema.words.first().map(|word| format!("{word:?}"));
    let least = schema.least.unwrap_or(1);
    let scalar = given.or(word);
    match (schema.types.first(), scalar) {
        (Some(Type::Object), _) => match &schema.others {
            Others::Each(each) => format!("{{ name = {} }}", example(each)),
            _ => "{ … }".to_owned(),
        },
        (Some(Type::Array), Some(item)) if !item.starts_with('[') => format!("[{item}]"),
        (Some(Type::Array), None) => "[\"…\"]".to_owned(),
        (_, Some(scalar)) => scalar,
        (Some(Type::Integer | Type::Number), None) => least.max(1).to_string(),
        (Some(Type::Boolean), None) => "true".to_owned(),
        (Some(Type::String) | None, None) => "\"…\"".to_owned(),
    }
}
