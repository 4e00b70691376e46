//! The W3C's own tests of Trace Context, where Python is: a gateway whose service calls back what they say.

use super::receiver::Receiver;
use crate::harness::{Gateway, Pipeline, Setup, free, python, repository};
use std::process::Command;

/// The cases of level 1 and 2, strict, at the commit that is vendored.
const CASES: usize = 41;

/// The package that the tests need beside Python.
const AIOHTTP: &str = "aiohttp==3.14.5";
const ADVICE: &str = "Debian: apt-get install python3-aiohttp";

/// Runs all cases against the service in this form.
fn conforms(form: &'static str) {
    let Some(python) = python("aiohttp", &[AIOHTTP], ADVICE) else { return };
    let (harness, receiver) = (free(), Receiver::start());
    let grant = format!("grant = {{ egress = [\"http://{harness}\"] }}");
    let pipeline = Pipeline::new("main", "callback").form(form).service_with(&grant);
    let telemetry =
        format!("[telemetry]\nsample = 1\nsample-max = 1000000\nendpoint = {:?}\n\n", receiver.url());
    let gateway = Gateway::start(&Setup::of([pipeline]).more(&telemetry));
    let output = Command::new(python)
        .current_dir(repository().join("tests/vendor/w3c-trace-context"))
        .args(["test.py", &format!("http://{}/test", gateway.plain)])
        .env("HARNESS_PORT", harness.port().to_string())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .envs([("SPEC_LEVEL", "2"), ("STRICT_LEVEL", "2")])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    assert!(told.contains(&format!("Ran {CASES} tests")) && !told.contains("skipped"), "{told}");
    gateway.stop();
    // What the harness was told of was recorded.
    assert!(receiver.spans(1).iter().any(|span| span.name == "POST"));
}

#[test]
fn trace_context_in_the_direct_form() {
    conforms("auto");
}

#[test]
fn trace_context_in_the_component_form() {
    conforms("component");
}
