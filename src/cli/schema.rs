//! `linkspan schema`: the JSON Schema of a configuration.

use super::failed::{Failed, print};
use crate::gateway::inputs::{Shapes, load_components};
use serde_json::{Value, json};
use std::path::Path;

/// Runs the command. With a configuration, a stage's `config` is described as its component describes it.
pub(super) fn run(file: Option<&Path>) -> Result<(), Failed> {
    let mut schema = crate::config::schema();
    if let Some(file) = file {
        add_components(&mut schema, file)?;
    }
    print(&format!("{schema:#}\n"))
}

fn add_components(schema: &mut Value, file: &Path) -> Result<(), Failed> {
    // What is wrong elsewhere in the file is no matter here.
    let (plan, mut found) = crate::plan::survey(file);
    let Some(plan) = plan else { return Err(Failed::wrong(found)) };
    let components = load_components(&plan, &Shapes::default(), &mut found);
    let mut cases = Vec::new();
    for (reference, component) in plan.components.iter().zip(components.originals()) {
        let known = component.and_then(|component| component.shape.schema.as_ref()?.as_ref().ok());
        let Some(known) = known else { continue };
        let name = format!("config of {}", reference.name);
        // Any value may come from the environment or from a file.
        let elsewhere = |scalar| json!({ "anyOf": [scalar, { "$ref": "#/$defs/reference" }] });
        schema["$defs"][&name] = known.to_json(&elsewhere);
        cases.push(json!({
            "if": { "properties": { "component": { "const": reference.name.to_string() } } },
            "then": { "properties": { "config": { "$ref": format!("#/$defs/{}", name.replace(' ', "%20")) } } },
        }));
    }
    schema["$defs"]["stage"]["allOf"] = Value::Array(cases);
    let one = |key: &str| {
        json!({
            "type": "object",
            "properties": { key: { "type": "string" } },
            "required": [key],
            "additionalProperties": false,
        })
    };
    schema["$defs"]["reference"] = json!({ "anyOf": [one("env"), one("file")] });
    Ok(())
}
