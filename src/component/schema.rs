//! The schema of a configuration that a component carries: its keys and their types.
//!
//! The schema is a custom section of the component, or of a core module in it, where a compiler can write it
//! ([`SECTION`]; `docs/stage-interface.md` has the format). Its content is a JSON Schema of the stage's `config` table,
//! of which the keywords of [`Schema`] count. Other keywords are ignored, so that an author may use them for editors.
//!
//! Bounds: [`MAX_BYTES`], [`MAX_KEYS`], [`MAX_DEPTH`], and [`MAX_WORD`] for text in a finding. A malformed schema is a
//! warning, and never more than that.

use serde_json::{Map, Value, json};

/// The section's name.
pub const SECTION: &str = "linkspan:config-schema";

/// The largest section, in bytes.
pub const MAX_BYTES: usize = 64 << 10;

/// The most keys in all tables together.
pub const MAX_KEYS: usize = 1_000;

/// The most tables and lists within each other.
pub const MAX_DEPTH: usize = 8;

/// The longest `title`, word, default or example, in bytes.
pub const MAX_WORD: usize = 256;

/// The most words for one value.
const MAX_WORDS: usize = 1_000;

/// The schema of a value, or of a table with its keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schema {
    /// `type`: one of these; any, if the list is empty.
    pub types: Vec<Type>,
    /// `description`
    pub doc: String,
    /// `title`: the name of the value in a sentence, such as `a rate`.
    pub title: Option<String>,
    /// `default`, as JSON.
    pub default: Option<String>,
    /// The first of `examples`, as JSON.
    pub example: Option<String>,
    /// `pattern`: for editors.
    pub pattern: Option<String>,
    /// `enum`, as text.
    pub words: Vec<String>,
    /// `minimum` of an integer.
    pub least: Option<i64>,
    /// `maximum` of an integer.
    pub most: Option<i64>,
    /// `items` of a list.
    pub items: Option<Box<Self>>,
    /// `minItems` of a list, `minProperties` of a table.
    pub min_items: usize,
    /// `properties` of a table.
    pub keys: Vec<(String, Self)>,
    /// `required` of a table.
    pub required: Vec<String>,
    /// `additionalProperties` of a table.
    pub others: Others,
}

/// A type of JSON. A stage gets every scalar as text: a number is the text of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// Any text.
    String,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// A list.
    Array,
    /// A table.
    Object,
}

/// The keys of a table that the schema does not name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Others {
    /// Any keys are allowed.
    #[default]
    Any,
    /// No keys are allowed.
    None,
    /// Each value must match this schema.
    Each(Box<Schema>),
}

const TYPES: [(&str, Type); 6] = [
    ("string", Type::String),
    ("integer", Type::Integer),
    ("number", Type::Number),
    ("boolean", Type::Boolean),
    ("array", Type::Array),
    ("object", Type::Object),
];

impl Type {
    /// Its name in JSON Schema.
    pub fn name(self) -> &'static str {
        TYPES.iter().find(|(_, ty)| *ty == self).map_or("", |(name, _)| *name)
    }
}

impl Schema {
    /// The schema in the content of a section.
    ///
    /// # Errors
    /// Why there is no schema in it, in words that follow "it".
    pub fn parse(section: &[u8]) -> Result<Self, String> {
        if section.len() > MAX_BYTES {
            return Err(format!("has {} bytes, at most {MAX_BYTES} are read", section.len()));
        }
        let value: Value = serde_json::from_slice(section).map_err(|error| format!("is no JSON: {error}"))?;
        let mut keys = 0;
        let schema = Self::read(&value, MAX_DEPTH, &mut keys)?;
        match schema.types[..] {
            [Type::Object] => Ok(schema),
            _ => Err("describes no table: its `type` is not `object`".to_owned()),
        }
    }

    fn read(value: &Value, depth: usize, keys: &mut usize) -> Result<Self, String> {
        let Value::Object(members) = value else { return Err("has a schema that is no object".to_owned()) };
        let depth = depth.checked_sub(1).ok_or_else(|| format!("is nested more than {MAX_DEPTH} deep"))?;
        let text = |name: &str| match members.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(format!("has a `{name}` that is no text")),
        };
        let number = |name: &str| match members.get(name) {
            None => Ok(None),
            // A bound beyond 64 bits is ignored: a configuration has no such integers.
            Some(Value::Number(number)) => Ok(number.as_i64()),
            Some(_) => Err(format!("has a `{name}` that is no number")),
        };
        let mut schema = Self {
            types: types(members.get("type"))?,
            doc: text("description")?.unwrap_or_default(),
            title: text("title")?.filter(|title| title.len() <= MAX_WORD),
            default: short(members.get("default")),
            example: short(members.get("examples").and_then(|all| all.get(0))),
            pattern: text("pattern")?,
            words: words(members.get("enum"))?,
            least: number("minimum")?,
            most: number("maximum")?,
            required: texts(members.get("required"), "required")?,
            ..Self::default()
        };
        let least = number("minItems")?.max(number("minProperties")?).unwrap_or_default();
        schema.min_items = usize::try_from(least).unwrap_or_default();
        if let Some(items) = members.get("items") {
            schema.items = Some(Box::new(Self::read(items, depth, keys)?));
        }
        schema.others = match members.get("additionalProperties") {
            None | Some(Value::Bool(true)) => Others::Any,
            Some(Value::Bool(false)) => Others::None,
            Some(other) => Others::Each(Box::new(Self::read(other, depth, keys)?)),
        };
        match members.get("properties") {
            None => {}
            Some(Value::Object(properties)) => {
                *keys += properties.len();
                if *keys > MAX_KEYS {
                    return Err(format!("has more than {MAX_KEYS} keys"));
                }
                for (name, property) in properties {
                    schema.keys.push((name.clone(), Self::read(property, depth, keys)?));
                }
            }
            Some(_) => return Err("has `properties` that are no object".to_owned()),
        }
        Ok(schema)
    }

    /// The key of a table, if the schema names it.
    pub fn key(&self, name: &str) -> Option<&Self> {
        self.keys.iter().find(|(known, _)| known == name).map(|(_, schema)| schema)
    }

    /// Whether a value may be of type `ty`.
    pub fn takes(&self, ty: Type) -> bool {
        self.types.is_empty() || self.types.contains(&ty)
    }

    /// The types in words: `string`, `array of string`, `table of integer`.
    pub fn type_name(&self) -> String {
        let name = |ty: &Type| match (ty, &self.items, &self.others) {
            (Type::Array, Some(items), _) => format!("list of {}", items.type_name()),
            (Type::Array, None, _) => "list".to_owned(),
            (Type::Object, _, Others::Each(each)) => format!("table of {}", each.type_name()),
            (Type::Object, ..) => "table".to_owned(),
            (Type::String, ..) if !self.words.is_empty() => {
                let words: Vec<_> = self.words.iter().map(|word| format!("{word:?}")).collect();
                words.join(" or ")
            }
            (ty, ..) => ty.name().to_owned(),
        };
        // A value that may be a list may also be one of its items, which needs no mention.
        let list = self.types.contains(&Type::Array);
        let types: Vec<_> = self.types.iter().filter(|ty| !list || **ty == Type::Array).map(name).collect();
        if types.is_empty() { "any".to_owned() } else { types.join(" or ") }
    }

    /// As JSON Schema; `wrap` is applied to each value that is no table.
    pub fn to_json(&self, wrap: &impl Fn(Value) -> Value) -> Value {
        let mut schema = Map::new();
        let mut set = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                schema.insert(name.to_owned(), value);
            }
        };
        let parsed = |text: &Option<String>| text.as_ref().and_then(|text| serde_json::from_str(text).ok());
        let some = |items: Vec<Value>| (!items.is_empty()).then_some(Value::Array(items));
        set("type", some(self.types.iter().map(|ty| ty.name().into()).collect()));
        set("description", (!self.doc.is_empty()).then(|| self.doc.clone().into()));
        set("title", self.title.clone().map(Value::from));
        set("default", parsed(&self.default));
        set("examples", parsed(&self.example).map(|example: Value| json!([example])));
        set("pattern", self.pattern.clone().map(Value::from));
        set("enum", some(self.words.iter().map(|word| word.clone().into()).collect()));
        set("minimum", self.least.map(Value::from));
        set("maximum", self.most.map(Value::from));
        set("required", some(self.required.iter().map(|key| key.clone().into()).collect()));
        set("items", self.items.as_ref().map(|items| items.to_json(wrap)));
        let (list, table) = (self.types.contains(&Type::Array), self.types.contains(&Type::Object));
        set("minItems", (list && self.min_items > 0).then(|| self.min_items.into()));
        set("minProperties", (table && self.min_items > 0).then(|| self.min_items.into()));
        let keys: Map<_, _> =
            self.keys.iter().map(|(key, schema)| (key.clone(), schema.to_json(wrap))).collect();
        set("properties", (!keys.is_empty()).then_some(Value::Object(keys)));
        set(
            "additionalProperties",
            match &self.others {
                Others::Any => None,
                Others::None => Some(Value::Bool(false)),
                Others::Each(each) => Some(each.to_json(wrap)),
            },
        );
        match table {
            true => Value::Object(schema),
            false => wrap(Value::Object(schema)),
        }
    }
}

fn types(value: Option<&Value>) -> Result<Vec<Type>, String> {
    let names = match value {
        None => return Ok(Vec::new()),
        Some(Value::String(name)) => vec![name.clone()],
        list => texts(list, "type")?,
    };
    let known = |name: &String| {
        let found = TYPES.iter().find(|(known, _)| known == name).map(|(_, ty)| *ty);
        found.ok_or_else(|| "has a `type` that no TOML value has".to_owned())
    };
    names.iter().map(known).collect()
}

fn texts(value: Option<&Value>, name: &str) -> Result<Vec<String>, String> {
    let items = match value {
        None => return Ok(Vec::new()),
        Some(Value::Array(items)) if items.len() <= MAX_KEYS => items,
        Some(_) => return Err(format!("has a `{name}` that is no list, or too long a one")),
    };
    let text = |item: &Value| item.as_str().map(str::to_owned);
    items
        .iter()
        .map(text)
        .collect::<Option<_>>()
        .ok_or_else(|| format!("has a `{name}` that is no list of texts"))
}

/// A value as JSON, if it is not too long to be shown.
fn short(value: Option<&Value>) -> Option<String> {
    value.map(Value::to_string).filter(|text| text.len() <= MAX_WORD)
}

/// The values of `enum`, as the texts that a stage gets.
fn words(value: Option<&Value>) -> Result<Vec<String>, String> {
    let items = match value {
        None => return Ok(Vec::new()),
        Some(Value::Array(items)) if items.len() <= MAX_WORDS => items,
        Some(_) => return Err("has an `enum` that is no list, or too long a one".to_owned()),
    };
    let word = |item: &Value| match item {
        Value::String(text) if text.len() <= MAX_WORD => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(boolean) => Some(boolean.to_string()),
        _ => None,
    };
    items
        .iter()
        .map(word)
        .collect::<Option<_>>()
        .ok_or_else(|| "has an `enum` of more than short scalars".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_says_what_it_takes() {
        let text = r#"{ "type": "object", "required": ["rate"], "additionalProperties": false, "properties": {
            "rate": { "type": "string", "title": "a rate", "examples": ["10/s"], "pattern": "x" },
            "on": { "type": "boolean", "default": true, "$comment": "skipped" },
            "level": { "enum": ["a", 1], "type": ["string"] },
            "list": { "type": ["array", "integer"], "items": { "type": "integer", "minimum": 1 }, "minItems": 1 },
            "keys": { "type": "object", "additionalProperties": { "type": "string" }, "minProperties": 2 }
        } }"#;
        let schema = Schema::parse(text.as_bytes()).unwrap();
        let of = |key: &str| schema.key(key).unwrap();
        assert_eq!(
            (of("rate").title.as_deref(), of("rate").example.as_deref()),
            (Some("a rate"), Some("\"10/s\""))
        );
        assert_eq!((of("on").default.as_deref(), of("level").words.len()), (Some("true"), 2));
        assert_eq!((of("list").min_items, of("keys").min_items), (1, 2));
        let names: Vec<_> = schema.keys.iter().map(|(_, key)| key.type_name()).collect();
        assert_eq!(names, ["table of string", "\"a\" or \"1\"", "list of integer", "boolean", "string"]);
        let again = schema.to_json(&|scalar| scalar).to_string();
        assert_eq!(Schema::parse(again.as_bytes()), Ok(schema));
    }

    #[test]
    fn what_is_malformed_is_told() {
        let deep = format!("{}{}", r#"{"type":"object","items":"#.repeat(200), "}".repeat(200));
        let nested = format!("{}{{}}{}", r#"{"type":"object","items":"#.repeat(20), "}".repeat(20));
        let many: Vec<_> = (0..=MAX_KEYS).map(|key| format!("\"{key}\":{{}}")).collect();
        let many = format!("{{\"type\":\"object\",\"properties\":{{{}}}}}", many.join(","));
        let large = " ".repeat(MAX_BYTES + 1);
        for (text, expected) in [
            ("", "is no JSON"),
            ("{", "is no JSON"),
            ("[]", "has a schema that is no object"),
            ("{}", "describes no table"),
            (r#"{"type":"array"}"#, "describes no table"),
            (r#"{"type":"file"}"#, "has a `type` that no"),
            (r#"{"type":[1]}"#, "has a `type` that is no list of texts"),
            (r#"{"type":"object","properties":[]}"#, "has `properties` that are no object"),
            (r#"{"type":"object","properties":{"a":1}}"#, "has a schema that is no object"),
            (r#"{"type":"object","required":"a"}"#, "has a `required` that is no list"),
            (r#"{"type":"object","description":1}"#, "has a `description` that is no text"),
            (r#"{"type":"object","minimum":"1"}"#, "has a `minimum` that is no number"),
            (r#"{"type":"object","enum":[{}]}"#, "has an `enum` of more than short scalars"),
            (&deep, "is no JSON"),
            (&nested, "is nested more than 8 deep"),
            (&many, "has more than 1000 keys"),
            (&large, "has 65537 bytes"),
        ] {
            let error = Schema::parse(text.as_bytes()).unwrap_err();
            assert!(error.starts_with(expected), "{expected}: {error}");
        }
        assert!(Schema::parse(b"\xff\xfe").is_err());
    }
}
