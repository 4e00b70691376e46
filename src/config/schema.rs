//! The JSON Schema of the file, for editors.

use serde_json::{Map, Value, json};

use super::fields::{Checked, default_of};
use super::keys::File;
use super::kinds::{Key, Kind, Presence, Table, TextForm};
use super::typed::Keys as _;
use super::units::{DURATION_PATTERN, SIZE_PATTERN};

/// The pattern of a name under `components` or `pipelines`.
const NAME_PATTERN: &str = "^[a-z0-9]+(-[a-z0-9]+)*$";
/// The same, or the name of a standard component.
const COMPONENT_PATTERN: &str = "^(std:)?[a-z0-9]+(-[a-z0-9]+)*(@[0-9]+)?$";

/// The JSON Schema (draft 2020-12) of a configuration file.
///
/// The schema is made from [`super::keys`], like the decoder, and has for every key its description, default and
/// bounds. It can't express everything: only a check of the file shows what a name refers to, whether files exist, and
/// how large a size is.
pub fn schema() -> Value {
    let mut definitions = Map::new();
    let mut root = table_schema(File::TABLE, &mut definitions);
    if let Some(pipeline) = definitions.get_mut("pipeline") {
        pipeline["oneOf"] = json!([
            { "required": ["service"] },
            { "required": ["upstream"] },
            { "required": ["native"] },
        ]);
    }
    definitions.insert("setting".to_owned(), setting_schema());
    definitions.insert("variable".to_owned(), variable_schema());
    root["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    root["title"] = json!("linkspan configuration");
    // The decoder leaves these keys to `plan`, which reports more than that a key is missing.
    for list in ["listeners", "routes"] {
        root["properties"][list]["minItems"] = json!(1);
    }
    root["properties"]["pipelines"]["minProperties"] = json!(1);
    root["required"] = json!(["listeners", "pipelines", "routes"]);
    root["$defs"] = Value::Object(definitions);
    root
}

fn table_schema(table: &Table, definitions: &mut Map<String, Value>) -> Value {
    let mut properties = Map::new();
    for key in table.keys {
        properties.insert(key.name.to_owned(), key_schema(key, definitions));
    }
    let required: Vec<&str> =
        table.keys.iter().filter(|key| key.presence == Presence::Required).map(|key| key.name).collect();
    let mut schema = json!({
        "type": "object",
        "description": table.doc,
        "properties": properties,
        "additionalProperties": false,
    });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

fn key_schema(key: &Key, definitions: &mut Map<String, Value>) -> Value {
    let mut schema = kind_schema(&key.kind, definitions);
    schema["description"] = json!(description(key));
    let default = match (default_of(key), &key.kind) {
        (None, _) => return schema,
        (Some(Checked::Boolean(value)), _) => json!(value),
        (Some(Checked::Number(value)), Kind::Count { .. }) => json!(value),
        (Some(_), Kind::Ratio) => json!(key.example.parse::<f64>().unwrap_or_default()),
        (Some(_), _) => json!(key.example),
    };
    schema["default"] = default;
    schema
}

/// The purpose of a key, and what it means to leave it out, without the links of its Markdown.
fn description(key: &Key) -> String {
    let text = match key.presence {
        Presence::Optional(otherwise) if !otherwise.is_empty() => {
            format!("{} Left out: {otherwise}.", key.doc)
        }
        _ => key.doc.to_owned(),
    };
    let mut plain = String::new();
    let mut rest = text.as_str();
    // `[text](target)` becomes `text`.
    while let Some((before, middle, after)) = next_link(rest) {
        plain.extend([before, middle]);
        rest = after;
    }
    plain + rest
}

/// The parts of a Markdown text before its first link, in it, and after it.
fn next_link(text: &str) -> Option<(&str, &str, &str)> {
    let middle = text.find("](")?;
    let mut closed = 0;
    // The text of a link may have brackets of its own.
    let (start, _) = text[..middle].char_indices().rev().find(|(_, c)| {
        closed += match c {
            ']' => 1,
            '[' => -1,
            _ => 0,
        };
        closed < 0
    })?;
    let end = middle + text[middle..].find(')')?;
    Some((&text[..start], &text[start + 1..middle], &text[end + 1..]))
}

fn kind_schema(kind: &Kind, definitions: &mut Map<String, Value>) -> Value {
    match kind {
        Kind::Boolean => json!({ "type": "boolean" }),
        Kind::BooleanOr(words) => {
            json!({ "anyOf": [{ "type": "boolean" }, { "type": "string", "enum": words }] })
        }
        Kind::Count { min, max } => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Kind::Ratio => json!({ "type": "number", "minimum": 0, "maximum": 1 }),
        Kind::Size { .. } => json!({ "type": "string", "pattern": SIZE_PATTERN }),
        Kind::Duration { .. } => json!({ "type": "string", "pattern": DURATION_PATTERN }),
        Kind::Text(form) => text_schema(*form),
        Kind::List { item, min, max } => {
            let items = kind_schema(item, definitions);
            json!({ "type": "array", "items": items, "minItems": min, "maxItems": max })
        }
        Kind::Table(table) => reference(table, definitions),
        Kind::Named { table, max } => json!({
            "type": "object",
            "propertyNames": { "pattern": NAME_PATTERN, "maxLength": 64 },
            "additionalProperties": reference(table, definitions),
            "maxProperties": max,
        }),
        Kind::Settings => {
            json!({ "type": "object", "additionalProperties": { "$ref": "#/$defs/setting" } })
        }
        Kind::Variables => json!({
            "type": "object",
            "propertyNames": { "pattern": "^[A-Za-z_][A-Za-z0-9_]*$" },
            "additionalProperties": { "$ref": "#/$defs/variable" },
        }),
        Kind::Secrets => json!({
            "type": "object",
            "additionalProperties": { "$ref": "#/$defs/variable" },
        }),
        Kind::Texts { form, max } => json!({
            "type": "object",
            "additionalProperties": text_schema(*form),
            "maxProperties": max,
        }),
        Kind::Secret => json!({ "$ref": "#/$defs/variable" }),
    }
}

fn reference(table: &Table, definitions: &mut Map<String, Value>) -> Value {
    if !definitions.contains_key(table.id) {
        let schema = table_schema(table, definitions);
        definitions.insert(table.id.to_owned(), schema);
    }
    json!({ "$ref": format!("#/$defs/{}", table.id) })
}

fn text_schema(form: TextForm) -> Value {
    let pattern = match form {
        TextForm::OneOf { words, .. } => return json!({ "type": "string", "enum": words }),
        TextForm::Address => "^(\\[[0-9A-Fa-f:.]+(%[0-9]+)?\\]|[0-9.]+):[0-9]{1,5}$",
        TextForm::Path => "^.+$",
        TextForm::Digest => "^[0-9A-Fa-f]{64}$",
        TextForm::Component => COMPONENT_PATTERN,
        TextForm::Pipeline | TextForm::Native | TextForm::Upstream | TextForm::Store => NAME_PATTERN,
        TextForm::Server => "^[Hh][Tt][Tt][Pp][Ss]?://([A-Za-z0-9_.-]+|\\[[0-9A-Fa-f:.]+\\])(:[0-9]{1,5})?$",
        TextForm::RedisUrl => {
            "^[Rr][Ee][Dd][Ii][Ss][Ss]?://([A-Za-z0-9_.-]+|\\[[0-9A-Fa-f:.]+\\])(:[0-9]{1,5})?(/[0-9]{0,5})?$"
        }
        TextForm::Url => {
            "^[Hh][Tt][Tt][Pp][Ss]?://([A-Za-z0-9_.-]+|\\[[0-9A-Fa-f:.]+\\])(:[0-9]{1,5})?(/[^\\s?#]*)?$"
        }
        TextForm::Authority => "^([A-Za-z0-9_.-]+|\\[[0-9A-Fa-f:.]+\\])(:[0-9]{1,5})?$",
        TextForm::Target => "^/[^\\s#]*$",
        TextForm::Host => "^(\\*\\.)?[A-Za-z0-9_.-]+$|^\\[[0-9A-Fa-f:.]+\\]$",
        TextForm::Prefix => "^/([^/%?#\\s]+(/[^/%?#\\s]+)*)?$",
        TextForm::FieldName => "^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}$",
        TextForm::Network => "^[0-9A-Fa-f:.]+(/[0-9]{1,3})?$",
        TextForm::FieldValue => "^[\\x21-\\x7e]([\\x20-\\x7e]*[\\x21-\\x7e])?$",
        TextForm::Method => return method_schema(),
        TextForm::Socket => {
            "^([Tt][Cc][Pp]|[Uu][Dd][Pp])://([0-9.]+|\\[[0-9A-Fa-f:.]+\\])(/[0-9]{1,3})?:[0-9]{1,5}(-[0-9]{1,5})?$"
        }
        TextForm::GuestPath => "^/([^/]+(/[^/]+)*)?$",
        TextForm::Origin => {
            "^[Hh][Tt][Tt][Pp][Ss]?://((\\*\\.)?[A-Za-z0-9_.-]+|\\[[0-9A-Fa-f:.]+\\])(:[0-9]{1,5})?$"
        }
    };
    json!({ "type": "string", "pattern": pattern })
}

/// A standard method in capitals, or a non-standard one.
fn method_schema() -> Value {
    const STANDARD: [&str; 9] =
        ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"];
    let any_case = |letter: char| format!("[{letter}{}]", letter.to_ascii_lowercase());
    let spelled: Vec<String> = STANDARD.iter().map(|method| method.chars().map(any_case).collect()).collect();
    json!({ "type": "string", "maxLength": 32, "anyOf": [
        { "enum": STANDARD },
        {
            "pattern": "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$",
            "not": { "pattern": format!("^({})$", spelled.join("|")) },
        },
    ] })
}

fn setting_schema() -> Value {
    json!({
        "description": "Any value; `{ env = \"NAME\" }` and `{ file = \"path\" }` are replaced by what they name.",
        "anyOf": [
            { "type": ["string", "number", "boolean"] },
            { "type": "array", "items": { "$ref": "#/$defs/setting" } },
            { "type": "object", "additionalProperties": { "$ref": "#/$defs/setting" } },
        ],
    })
}

fn variable_schema() -> Value {
    let one = |key: &str| {
        json!({
            "type": "object",
            "properties": { key: { "type": "string" } },
            "required": [key],
            "additionalProperties": false,
        })
    };
    json!({
        "description": "Text, or `{ env = \"NAME\" }` or `{ file = \"path\" }`.",
        "anyOf": [{ "type": "string" }, one("env"), one("file")],
    })
}
