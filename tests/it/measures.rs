//! `linkspan bench`: that it measures what it says, not how fast anything is.

use crate::harness::{Folder, Pipeline, Setup, binary, dist};
use serde_json::Value;

/// What the command prints as JSON.
fn bench(arguments: &[&str]) -> Value {
    let output = binary(&[&["bench"], arguments].concat()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn setup(folder: &Folder) -> String {
    let pipeline = Pipeline::new("main", "hello")
        .stage_with("key-auth", "config = { keys = { a = \"secret-secret-secret\" } }")
        .stage_with("pass-through-async", "lift = \"sync\"\nwhen = { path = \"/never\" }")
        .stage_with("pass-through-async", "lift = \"sync\"\nwhen = { percent = 0 }")
        .stage_with("pass-through-async", "link = \"dynamic\"");
    Setup::of([pipeline]).write(folder).to_str().unwrap().to_owned()
}

/// Each stage that applies has a row, with how it runs; and the answers tell that the request was the right one.
#[test]
fn a_pipeline_is_measured_stage_by_stage() {
    let folder = Folder::new();
    let file = setup(&folder);
    let always = ["--pipeline", "main", "--requests", "20", "--rounds", "2", "--json"];
    let with = |more: &[&str]| bench(&[&["pipeline", file.as_str()], &always[..], more].concat());
    let found = with(&["--header", "X-Api-Key: secret-secret-secret"]);
    let stages: Vec<_> = found["stages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| ["stage", "lift", "link"].map(|key| row[key].as_str().unwrap().to_owned()))
        .collect();
    let expected = [
        ["0 key-auth", "sync", "static"],
        ["2 pass-through-async", "sync, rewritten", "static"],
        ["3 pass-through-async", "async", "dynamic"],
        ["hello", "async", "static"],
    ];
    assert_eq!(stages, expected, "{found:#}");
    assert_eq!(found["stages-that-do-not-apply"], 1);
    assert_eq!(found["whole"]["answers"], serde_json::json!({ "200": 40 }));
    assert!(
        found["whole"]["p50-us"].as_f64().unwrap() > 0.0 && found["service"]["us"].as_f64().unwrap() > 0.0
    );
    assert!(found["whole"]["us"].as_f64() <= found["whole"]["p50-us"].as_f64(), "{found:#}");
    // Without the key, the stage that refuses is the one without which the answers are others.
    let found = with(&["--method", "POST", "--body", "100000"]);
    assert_eq!(found["whole"]["answers"], serde_json::json!({ "401": 40 }));
    assert_eq!(found["stages"][0]["without"]["answers"], serde_json::json!({ "200": 40 }));
    assert_eq!(found["stages"][2]["without"]["answers"], serde_json::json!({ "401": 40 }));
}

#[test]
fn a_report_for_people_has_a_chart() {
    let folder = Folder::new();
    let file = setup(&folder);
    let arguments = ["bench", "pipeline", &file, "--pipeline", "main", "--requests", "5", "--rounds", "1"];
    let output = binary(&arguments).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("GET / through `main`: 5 × 401\n1 of its stages do not apply"), "{text}");
    assert!(text.contains('█') && text.contains("without it the answers are others: 5 × 200"), "{text}");
    let wrong = binary(&["bench", "pipeline", &file, "--pipeline", "other"]).output().unwrap();
    assert_eq!(wrong.status.code(), Some(1));
    assert!(
        String::from_utf8(wrong.stderr).unwrap().contains("there is no pipeline `other`; there are `main`")
    );
}

/// An installed binary has what it measures with it, wherever it is run.
#[test]
fn nothing_but_the_binary_is_needed() {
    let nowhere = Folder::new();
    let here = |arguments: &[&str]| {
        let output = binary(&[&["bench"], arguments].concat()).current_dir(nowhere.path()).output().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let few = ["--rounds", "1", "--requests", "20", "--json"];
    let (code, hops, error) = here(&[&["hops", "--depths", "1"], &few[..]].concat());
    assert_eq!(code, Some(0), "{error}");
    let hops: Value = serde_json::from_str(&hops).unwrap();
    assert_eq!(hops["rows"].as_array().unwrap().len(), 6, "{hops:#}");
    let (code, _, error) = here(&["calls", "--rounds", "1", "--calls", "10"]);
    assert_eq!(code, Some(0), "{error}");
    let (code, _, error) = here(&["hops", "--components", "no-such-folder"]);
    assert_eq!(code, Some(1));
    assert!(error.contains("cannot use `no-such-folder`"), "{error}");
    let (code, _, error) = here(&["micro", "--components", "."]);
    assert_eq!(code, Some(1));
    assert!(error.contains("`cargo xtask components` makes the components"), "{error}");
}

/// All of the floor can be measured, and is told once.
#[test]
fn a_hop_is_taken_apart() {
    let folder = dist("empty");
    let folder = folder.parent().unwrap().to_str().unwrap();
    let found = bench(&["micro", "--components", folder, "--requests", "20", "--rounds", "1", "--json"]);
    let rows = found.as_array().unwrap();
    for group in ["floor", "native", "hop", "guest", "form", "loopback"] {
        assert!(rows.iter().any(|row| row["group"] == group), "{group}");
    }
    assert!(rows.iter().all(|row| row["ns"].is_number()), "{found:#}");
}
