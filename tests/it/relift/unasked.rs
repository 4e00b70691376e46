//! What `lift = "auto"`, the default, rewrites: a stage whose segment loses nothing by that.

use crate::harness::{Folder, binary, dist};

/// A stage of `component`.
fn stage(component: &str) -> String {
    stage_with(component, "")
}

fn stage_with(component: &str, keys: &str) -> String {
    let comma = if keys.is_empty() { "" } else { ", " };
    format!("{{ component = \"{component}\"{comma}{keys} }}")
}

/// The form of the pipeline with these `keys` and stages, the last of which is the service, and which stages are rewritten.
fn found(keys: &str, stages: &[String]) -> (String, Vec<String>) {
    let folder = Folder::new();
    let (service, middleware) = stages.split_last().unwrap();
    let mut text = format!(
        "[[listeners]]\naddress = \"127.0.0.1:0\"\n\n[[routes]]\npipeline = \"main\"\n\n[pipelines.main]\n{keys}\n\
         stages = [{}]\nservice = {service}\n\n",
        middleware.join(", ")
    );
    for component in ["pass-through-sync", "pass-through-async", "plain-async", "print", "hello", "empty"] {
        text += &format!("[components.{component}]\npath = {:?}\n\n", dist(component));
    }
    let file = folder.write("linkspan.toml", text);
    let (file, output) = (file.to_str().unwrap(), folder.path().join("composed.wasm"));
    let said = |arguments: &[&str]| {
        let output = binary(arguments).output().unwrap();
        assert!(output.status.success(), "{keys} {stages:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let checked = said(&["check", file]);
    let form = checked.lines().find_map(|line| line.strip_prefix("main: ")).unwrap().to_owned();
    let composed = said(&["compose", file, "--pipeline", "main", "-o", output.to_str().unwrap()]);
    let rewritten = composed.lines().filter_map(|line| {
        let name = line.strip_prefix("stage `main/")?.strip_suffix("`: lifted synchronously")?;
        Some(name.to_owned())
    });
    (form, rewritten.collect())
}

const NOTHING: [&str; 0] = [];

#[test]
fn what_has_the_direct_form_keeps_it() {
    let (sync, passing, plain) =
        (stage("pass-through-sync"), stage("pass-through-async"), stage("plain-async"));
    for stages in [
        &[plain.clone(), passing.clone(), stage("hello")][..],
        &[sync.clone(), plain.clone(), passing.clone(), stage("hello")],
        &[plain.clone(), passing.clone(), stage("empty")],
    ] {
        let (form, rewritten) = found("", stages);
        assert_eq!((form.as_str(), &rewritten[..]), ("direct", &[][..]), "{stages:?}");
    }
    for stages in [&[plain, passing.clone(), stage("hello")][..], &[sync, passing, stage("empty")]] {
        let (form, rewritten) = found("link = \"dynamic\"", stages);
        assert_eq!((form.as_str(), &rewritten[..]), ("direct ⇒ direct ⇒ direct", &[][..]), "{stages:?}");
    }
}

/// Whatever the reason for its form, also where it is the order of its stages.
#[test]
fn a_component_with_a_sync_stage_is_rewritten() {
    let (sync, plain) = (stage("pass-through-sync"), stage("plain-async"));
    let elsewhere = stage_with("print", "grant = { stdio = true }");
    let component = "form = \"component\"";
    for (keys, stages, form, expected) in [
        (
            component,
            vec![sync.clone(), plain.clone(), stage("hello")],
            "`form = \"component\"`",
            "1:plain-async",
        ),
        (component, vec![plain.clone(), stage("empty")], "`form = \"component\"`", "0:plain-async"),
        (
            "",
            vec![plain.clone(), elsewhere, sync.clone(), stage("hello")],
            "1:print: `wasi:cli/stdout@0.3.0` is not on the list",
            "0:plain-async",
        ),
        (
            "",
            vec![plain.clone(), sync.clone(), stage("hello")],
            "0:plain-async: its lift is rewritten",
            "0:plain-async",
        ),
    ] {
        let (found, rewritten) = found(keys, &stages);
        assert_eq!(
            (found, rewritten),
            (format!("component ({form})"), vec![expected.to_owned()]),
            "{stages:?}"
        );
    }
}

/// Such segments take several waiting requests into an instance.
#[test]
fn a_segment_without_a_sync_stage_stays_as_it_is() {
    let (sync, plain) = (stage("pass-through-sync"), stage("plain-async"));
    let component = "form = \"component\"";
    for stages in [
        vec![plain.clone(), plain.clone(), stage("hello")],
        // The sync stage has a store of its own.
        vec![stage_with("pass-through-sync", "link = \"dynamic\""), plain.clone(), stage("hello")],
        // There are requests to which it does not apply.
        vec![stage_with("pass-through-sync", "when = { path = \"/some\" }"), plain.clone(), stage("hello")],
        vec![sync.clone(), stage_with("plain-async", "lift = \"as-is\""), stage("hello")],
    ] {
        assert_eq!(found(component, &stages).1, NOTHING, "{stages:?}");
    }
    let dynamic = format!("{component}\nlink = \"dynamic\"");
    assert_eq!(found(&dynamic, &[sync, plain.clone(), stage("empty")]).1, NOTHING);
    // A stage with a condition may be rewritten itself.
    let some = stage_with("plain-async", "when = { path = \"/some\" }");
    assert_eq!(found(component, &[some, plain, stage("empty")]).1, ["0:plain-async", "1:plain-async"]);
}
