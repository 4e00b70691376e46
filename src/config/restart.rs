//! The parts of a configuration that hold until the process is started again, according to the declarations of their
//! keys.

use std::fmt::{self, Write as _};

use super::fields::{Checked, Fields, default_of};
use super::kinds::{Change, Kind, Table};
use super::syntax::{Node, Value};

/// The values of the keys that only a restart changes.
#[derive(Clone, PartialEq, Eq)]
pub struct Fixed(Vec<(String, String)>);

impl Fixed {
    /// The values in a file.
    pub(super) fn of(root: &Fields) -> Self {
        let mut fixed = Self(Vec::new());
        fixed.collect("", root);
        fixed
    }

    /// Adds a value that stands elsewhere, and to which the key `name` refers.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.0.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The keys whose values differ from those `now`.
    pub fn changed(&self, now: &Self) -> Vec<String> {
        let differs = |name: &str| self.value(name) != now.value(name);
        let names = now.0.iter().chain(&self.0).map(|(name, _)| name);
        let mut changed: Vec<String> = names.filter(|name| differs(name)).cloned().collect();
        changed.sort_unstable();
        changed.dedup();
        changed
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    fn collect(&mut self, prefix: &str, fields: &Fields) {
        for key in fields.table.keys {
            let name = format!("{prefix}{}", key.name);
            let given = fields.find(key.name).map(|entry| &entry.checked);
            match (key.change, &key.kind, given) {
                (Change::Restart, ..) => {
                    let mut text = String::new();
                    if let Some(value) = given.or(default_of(key).as_ref()) {
                        write_value(value, &mut text);
                    }
                    self.0.push((name, text));
                }
                (Change::Reload, Kind::Table(_), Some(Checked::Table(inner))) => {
                    self.collect(&format!("{name}."), inner);
                }
                (Change::Reload, Kind::Table(table), None) => self.collect_defaults(&name, table),
                (Change::Reload, ..) => {}
            }
        }
    }

    fn collect_defaults(&mut self, name: &str, table: &'static Table) {
        self.collect(&format!("{name}."), &Fields::defaults(table));
    }
}

/// Without the values: some of them are secrets.
impl fmt::Debug for Fixed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

/// Writes a value without its places.
fn write_value(value: &Checked, text: &mut String) {
    // Writing to a string does not fail.
    let _ = match value {
        Checked::Boolean(value) => write!(text, "{value}"),
        Checked::Number(value) => write!(text, "{value}"),
        Checked::Duration(value) => write!(text, "{value:?}"),
        Checked::Text(value) => write!(text, "{value:?}"),
        Checked::List(items) => {
            items.iter().for_each(|item| write_value(&item.checked, text));
            write!(text, "[{}]", items.len())
        }
        Checked::Table(fields) => write_table(fields, text),
        Checked::Named(tables) => {
            for named in tables {
                let _ = write!(text, "{:?}", named.name);
                let _ = write_table(&named.table, text);
            }
            write!(text, "[{}]", tables.len())
        }
        Checked::Node(node) => write_node(node, text),
    };
}

/// Writes the meaning of a table: a key that is left out has its default.
fn write_table(fields: &Fields, text: &mut String) -> fmt::Result {
    for key in fields.table.keys {
        write!(text, "{}=", key.name)?;
        let given = fields.find(key.name).map(|entry| &entry.checked);
        if let Some(value) = given.or(default_of(key).as_ref()) {
            write_value(value, text);
        }
        text.push(';');
    }
    Ok(())
}

fn write_node(node: &Node, text: &mut String) -> fmt::Result {
    match &node.value {
        Value::Table(entries) => {
            for entry in entries {
                write!(text, "{:?}=", entry.key)?;
                write_node(&entry.node, text)?;
            }
            write!(text, "[{}]", entries.len())
        }
        Value::Array(items) => {
            items.iter().try_for_each(|item| write_node(item, text))?;
            write!(text, "[{}]", items.len())
        }
        scalar => write!(text, "{scalar:?};"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Diagnostics, SourceFile, decode};
    use super::*;
    use std::sync::Arc;

    fn fixed(text: &str) -> Fixed {
        let mut diagnostics = Diagnostics::new(Arc::new(SourceFile::new("a.toml", text)));
        decode(&mut diagnostics).unwrap().fixed()
    }

    #[test]
    fn a_key_that_needs_a_restart_is_named_when_its_value_changes() {
        let first = fixed("limits = { connections = 5 }\nadmin = { address = '127.0.0.1:1' }");
        for (text, changed) in [
            ("admin = { address = '127.0.0.1:1' }\n[limits]\nconnections = 5\nuri-size = '1KiB'", &[][..]),
            ("[admin]\naddress = '127.0.0.1:1'\n[limits]\nconnections = 5\nstreams = 128", &[]),
            ("admin = { address = '127.0.0.1:2' }\nlimits.connections = 5", &["admin"]),
            ("[gateway]\nhandover = 'a'", &["admin", "gateway.handover", "limits.connections"]),
        ] {
            assert_eq!(first.changed(&fixed(text)), changed, "{text}");
        }
        let token = |token: &str| fixed("").with("admin.token", token);
        assert_eq!(token("a").changed(&token("b")), ["admin.token"]);
        assert_eq!(token("a").changed(&fixed("")), ["admin.token"]);
        assert!(!format!("{:?}", token("secret")).contains("secret"));
    }
}
