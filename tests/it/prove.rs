//! What is proven before it serves: that stages start, and that they find their configurations right.

use crate::harness::{Client, Folder, Gateway, Pipeline, Protocol, Setup, binary, dist, repository, run};
use crate::swap::support::{Served, head, pipeline};
use std::fs;
use std::path::Path;

const LINKS: [&str; 2] = ["static", "dynamic"];
const ROUTE: &str = "[[routes]]\npipeline = \"main\"\n";

/// A configuration of one pipeline, whose components are in its folder.
fn whole(gateway: &str, link: &str, stages: &str, service: &str) -> String {
    let mut text = format!(
        "[gateway]\nworkers = 1\n{gateway}\n[[listeners]]\naddress = \"127.0.0.1:0\"\n[components]\n"
    );
    for name in ["stage", "service"] {
        text += &format!("{name}.path = \"{name}.wasm\"\n");
    }
    let pipeline =
        pipeline("main", stages, service).replace("stages = ", &format!("link = \"{link}\"\nstages = "));
    text + &pipeline + ROUTE
}

/// What `check` says, and whether it accepts.
fn check(file: &Path) -> (bool, String) {
    let mut command = binary(&["check", file.to_str().unwrap()]);
    let output = command.env("PROVE_SECRET", "hunter2").output().unwrap();
    (output.status.code() == Some(0), String::from_utf8(output.stderr).unwrap())
}

/// `tests/ui/files/hello.wat`, which exports the types of its handler as well, so that it can be composed.
fn hello() -> String {
    let text = fs::read_to_string(repository().join("tests/ui/files/hello.wat")).unwrap();
    text.replace(
        "(export \"handle\" (func $handle))",
        "(export \"request\" (type $request)) (export \"response\" (type $response))
         (export \"error-code\" (type $error-code)) (export \"handle\" (func $handle))",
    )
}

/// The same with more in its core module and behind all of it.
fn service(code: &str, behind: &str) -> Vec<u8> {
    let text = hello();
    let memory = "(memory (export \"memory\") 1)";
    let text = text.replace(memory, &format!("{memory} {code}"));
    let end = text.rfind(')').unwrap();
    wat::parse_str(format!("{} {behind})", &text[..end])).unwrap()
}

/// A service that starts with `code`.
fn starting(code: &str) -> Vec<u8> {
    service(&format!("(func $start {code}) (start $start)"), "")
}

/// A service that judges its configuration with `code`, where 100 is the place of a finding about `rate`.
fn judging(code: &str) -> Vec<u8> {
    let data = r#"
        (data (i32.const 100) "\01\00\00\00\c8\00\00\00\01\00\00\00")
        (data (i32.const 200) "\01\00\00\00\2c\01\00\00\04\00\00\00\36\01\00\00\18\00\00\00")
        (data (i32.const 300) "rate      is \1b[31mred like hunter2")"#;
    let finding = r#"(record (field "key" (option string)) (field "message" string))"#;
    service(
        &format!("{data} (func (export \"check\") (result i32) {code})"),
        &format!(
            r#"(type $finding {finding})
            (func $check (result (result (error (list $finding))))
              (canon lift (core func $core "check") (memory (core memory $core "memory"))))
            (component $shim
              (type $of {finding})
              (import "finding" (type $finding (eq $of)))
              (import "check" (func $check (result (result (error (list $finding))))))
              (export $out "finding" (type $finding))
              (export "check" (func $check) (func (result (result (error (list $out)))))))
            (instance $checked (instantiate $shim (with "finding" (type $finding)) (with "check" (func $check))))
            (export "linkspan:config/check@0.1.0" (instance $checked))"#
        ),
    )
}

/// The three of them: what is wrong with the stage, and what is said of it. The component is `stage`.
const WRONG: [(&str, &str, &[&str]); 5] = [
    (
        "rate-limit",
        "rate = \"10 per second\"",
        &[
            "stage `main/0:stage` refuses its configuration: `rate` is not a rate",
            "\"10 per second\"",
            "^^^^^",
        ],
    ),
    ("key-auth", "key = { alice = \"s\" }", &["unknown key `key`", "did you mean `keys`?"]),
    // A file was swapped for one that knows other keys.
    ("security-headers", "rate = \"10/s\"", &["unknown key `rate` in the configuration of `stage`"]),
    (
        "rate-limit",
        "rate = \"10/s\", burst = \"many\"",
        &["`burst`", "must be an integer from 1 to 1000000000"],
    ),
    (
        "cors",
        "origins = \"*\", credentials = true",
        &["`credentials` can't be true while", "credentials = true"],
    ),
];

#[test]
fn a_wrong_configuration_is_refused_by_check_and_at_the_start() {
    for link in LINKS {
        for (component, config, expected) in WRONG {
            let folder = Folder::new();
            folder.write("stage.wasm", fs::read(dist(component)).unwrap());
            folder.write("service.wasm", fs::read(dist("hello")).unwrap());
            let stage = format!("{{ component = \"stage\", config = {{ {config} }} }}");
            let file = folder.write("linkspan.toml", whole("", link, &stage, "component = \"service\""));
            let (accepted, text) = check(&file);
            assert!(!accepted, "{link}, {component} with {config} was accepted");
            for expected in expected {
                assert!(text.contains(expected), "{expected} is not in:\n{text}");
            }
            assert!(text.contains("linkspan.toml:11:"), "{text}");
            let started = binary(&["serve", file.to_str().unwrap()]).output().unwrap();
            assert_eq!(started.status.code(), Some(1));
            assert!(String::from_utf8(started.stderr).unwrap().contains(expected[0]));
        }
    }
}

/// A stage gets `"keys.alice"` as it gets `alice` in `keys`, and programs have no other way to name it.
#[test]
fn a_key_with_dots_is_a_path() {
    let said = |component: &str, config: &str| {
        let folder = Folder::new();
        folder.write("stage.wasm", fs::read(dist(component)).unwrap());
        folder.write("service.wasm", fs::read(dist("hello")).unwrap());
        let stage = format!("{{ component = \"stage\", config = {{ {config} }} }}");
        check(&folder.write("linkspan.toml", whole("", "static", &stage, "component = \"service\"")))
    };
    let both = "keys = { bob = \"b\" }, \"keys.alice\" = \"s3cret\"";
    for (component, config) in [("key-auth", both), ("cors", "\"origins.0\" = \"https://a.example\"")] {
        let (accepted, text) = said(component, config);
        assert!(accepted, "{config}: {text}");
    }
    let (accepted, text) = said("key-auth", "\"keyz.alice\" = \"s3cret\"");
    assert!(!accepted && text.contains("unknown key `keyz`"), "{text}");
}

#[test]
fn a_wrong_configuration_is_refused_by_a_reload_and_the_good_one_serves_on() {
    for link in LINKS {
        let folder = Folder::new();
        folder.write("stage.wasm", fs::read(dist("rate-limit")).unwrap());
        folder.write("service.wasm", fs::read(dist("hello")).unwrap());
        let rest = |config: &str| {
            let stage = format!("{{ component = \"stage\", link = \"{link}\", config = {{ {config} }} }}");
            let components = "[components]\nstage.path = \"stage.wasm\"\nservice.path = \"service.wasm\"\n";
            components.to_owned() + &pipeline("main", &stage, "component = \"service\"") + ROUTE
        };
        let served = Served::start_in(folder, &head(""), &rest("rate = \"1000/s\""));
        run(async {
            let mut client = Client::connect(&served.gateway, Protocol::Http1).await;
            client.get("/", &[]).await.ok();
            let refused = async |expected: &str| {
                let (status, answer) = served.reload().await;
                assert_eq!(status, 422, "{answer:#}");
                assert!(answer.to_string().contains(expected), "{expected} is not in {answer:#}");
            };
            for (component, config, expected) in WRONG {
                fs::write(served.file("stage.wasm"), fs::read(dist(component)).unwrap()).unwrap();
                served.write(&rest(config));
                refused(expected[0]).await;
                client.get("/", &[]).await.ok();
            }
            fs::write(served.file("stage.wasm"), fs::read(dist("rate-limit")).unwrap()).unwrap();
            served.swap(&rest("rate = \"999/s\"")).await;
            client.get("/", &[]).await.ok();
            // One that does not start.
            fs::write(served.file("service.wasm"), starting("unreachable")).unwrap();
            refused("does not start").await;
            client.get("/", &[]).await.ok();
        });
    }
}

/// Serves `stage` behind a stage that does nothing, and says what `check` makes of it.
fn checked(gateway: &str, link: &str, component: Vec<u8>, keys: &str) -> (bool, String) {
    let folder = Folder::new();
    folder.write("stage.wasm", fs::read(dist("pass-through-sync")).unwrap());
    folder.write("service.wasm", component);
    let service = format!("component = \"service\"{keys}");
    let file = folder.write("linkspan.toml", whole(gateway, link, "{ component = \"stage\" }", &service));
    check(&file)
}

#[test]
fn a_stage_that_does_not_start_is_told_at_its_line() {
    let logging = r#"(import "wasi:logging/logging@0.1.0-draft" (instance $logging
        (type $l (enum "trace" "debug" "info" "warn" "error" "critical"))
        (export "level" (type $level (eq $l)))
        (export "log" (func (param "level" $level) (param "context" string) (param "message" string)))))
      (core module $words (memory (export "memory") 1) (data (i32.const 0) "no database at hunter2"))
      (core instance $words (instantiate $words))
      (core func $log (canon lower (func $logging "log") (memory (core memory $words "memory"))))
      (core module $code "#;
    let text = hello()
        .replace("(core module $code", logging)
        .replace("    (memory (export \"memory\") 1)", "    (import \"host\" \"log\" (func $log (param i32 i32 i32 i32 i32)))
            (memory (export \"memory\") 1)
            (func $start (call $log (i32.const 4) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 22)) unreachable)
            (start $start)")
        .replace("(instantiate $code)", "(instantiate $code (with \"host\" (instance (export \"log\" (func $log)))))");
    let speaking = wat::parse_str(text).unwrap();
    let hungry = "(if (i32.eq (memory.grow (i32.const 4000)) (i32.const -1)) (then unreachable))";
    for link in LINKS {
        let refused = |component, keys, expected: &[&str]| {
            let (accepted, text) = checked("", link, component, keys);
            let line = "stage `main/1:service` does not start\n";
            for expected in expected.iter().chain(&[line, "linkspan.toml:12:", "\"service\""]) {
                assert!(!accepted && text.contains(expected), "{expected} is not in:\n{text}");
            }
        };
        refused(starting("unreachable"), "", &["wasm trap: wasm `unreachable`"]);
        refused(starting("(loop br 0)"), "", &["limits.cpu"]);
        refused(starting(hungry), ", limits = { memory = \"1MiB\" }", &["refused memory"]);
        refused(
            speaking.clone(),
            ", config = { password = { env = \"PROVE_SECRET\" } }",
            &["it wrote: no database at <secret>"],
        );
        let (accepted, text) = checked("prove = false", link, starting("unreachable"), "");
        assert!(accepted, "{text}");
    }
}

/// Whoever waits for a build is told that it goes on, and how far it is.
#[test]
fn a_long_build_says_how_far_it_is() {
    let folder = Folder::new();
    folder.write("stage.wasm", fs::read(dist("pass-through-sync")).unwrap());
    folder.write("service.wasm", starting("(loop br 0)"));
    let text = whole("", "dynamic", "{ component = \"stage\" }", "component = \"service\"");
    let file = folder.write("linkspan.toml", text + "[pipelines.main.limits]\ncpu = \"3s\"\n");
    let output = binary(&["serve", file.to_str().unwrap(), "--log-format", "json"]).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    let lines = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let told = lines.filter(|line| line["message"] == "compiling").collect::<Vec<_>>();
    let first = told.first().unwrap_or_else(|| panic!("no such line in {text}"));
    assert_eq!((&first["pipeline"], &first["segment"], &first["of"]), (&"main".into(), &1.into(), &2.into()));
    assert!(first["seconds"].as_u64() >= Some(1), "{first}");
}

/// A component that stands in two pipelines is compiled once, though each is composed for itself.
#[test]
fn equal_functions_of_pipelines_are_compiled_once() {
    let (cache, side) = (Folder::new(), Pipeline::new("side", "fault-service").route("path = \"/side\""));
    let main = Pipeline::new("main", "fault-service").stage("pass-through-sync");
    let setup = Setup::of([main, side]).log("linkspan=debug");
    let gateway = Gateway::start(&setup.env("XDG_CACHE_HOME", cache.path().to_str().unwrap()));
    let line = gateway.line(|line| line["message"] == "functions were compiled");
    let (compiled, shared) = (line["compiled"].as_u64().unwrap(), line["shared"].as_u64().unwrap());
    assert!(shared * 2 > compiled, "{line}");
    gateway.stop();
}

#[test]
fn a_stage_judges_its_configuration() {
    for link in LINKS {
        let config = ", config = { rate = \"1\", password = { env = \"PROVE_SECRET\" } }";
        let (accepted, text) = checked("", link, judging("i32.const 0"), config);
        assert!(accepted, "{text}");
        for (code, expected) in [
            ("i32.const 100", "refuses its configuration: `rate` is \u{fffd}[31mred like <secret>"),
            ("unreachable", "can't judge its configuration"),
            ("(loop $l br $l) i32.const 0", "limits.cpu"),
            // A million findings at one place.
            (
                "(i32.store (i32.const 108) (i32.const 1000000)) i32.const 100",
                "can't judge its configuration",
            ),
            ("i32.const 65530", "can't judge its configuration"),
        ] {
            let (accepted, text) = checked("", link, judging(code), config);
            assert!(!accepted && text.contains(expected), "{expected} is not in:\n{text}");
            assert!(!text.contains("hunter2"), "{text}");
        }
        let (accepted, text) = checked("prove = false", link, judging("unreachable"), config);
        assert!(accepted, "{text}");
    }
}

#[test]
fn a_schema_that_is_malformed_is_told_and_nothing_more() {
    let carrying = |sections: &[&[u8]]| {
        let mut component = fs::read(dist("empty")).unwrap();
        for section in sections {
            let name = b"linkspan:config-schema";
            let mut content = vec![u8::try_from(name.len()).unwrap()];
            content.extend(name);
            content.extend(*section);
            let length = content.len();
            component.extend([
                0,
                (length & 127) as u8 | 128,
                (length >> 7 & 127) as u8 | 128,
                (length >> 14) as u8,
            ]);
            component.extend(content);
        }
        component
    };
    let deep = "[".repeat(60_000);
    let large = " ".repeat(70_000);
    for section in
        ["", "{", "null", "[]", "\u{1b}[31m", "{\"type\":\"\u{1b}\"}", "{\"type\":[[]]}", &deep, &large]
    {
        let (accepted, text) = checked("", "static", carrying(&[section.as_bytes()]), "");
        assert!(
            accepted && text.contains("has a configuration schema that can't be read"),
            "{section}:\n{text}"
        );
    }
    let (_, text) = checked("", "static", carrying(&[b"\xff\xfe\x00"]), "");
    assert!(text.contains("can't be read"), "{text}");
    let good = br#"{ "type": "object", "properties": { "a": { "enum": ["x", "y"] } }, "additionalProperties": false }"#;
    let (accepted, text) = checked("", "static", carrying(&[good]), ", config = { a = \"x\" }");
    assert!(accepted && text.is_empty(), "{text}");
    let (accepted, text) = checked("", "static", carrying(&[good]), ", config = { a = \"z\", b = 1 }");
    assert!(
        !accepted && text.contains("must be \"x\" or \"y\"") && text.contains("unknown key `b`"),
        "{text}"
    );
}

#[test]
fn keys_are_shown_and_described_for_editors() {
    let folder = Folder::new();
    folder.write("stage.wasm", fs::read(dist("rate-limit")).unwrap());
    folder.write("service.wasm", fs::read(dist("pass-through-sync")).unwrap());
    let stage = "{ component = \"stage\", config = { rate = \"10/s\" } }";
    let file = folder.write("linkspan.toml", whole("", "static", stage, "component = \"service\""));
    let output = |arguments: &[&str]| {
        let output = binary(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let schema: serde_json::Value =
        serde_json::from_str(&output(&["schema", file.to_str().unwrap()])).unwrap();
    let cases = schema["$defs"]["stage"]["allOf"].as_array().unwrap();
    assert_eq!(cases.len(), 1, "only one of the components carries a schema");
    assert_eq!(cases[0]["if"]["properties"]["component"]["const"], "stage");
    assert_eq!(cases[0]["then"]["properties"]["config"]["$ref"], "#/$defs/config%20of%20stage");
    let config = &schema["$defs"]["config of stage"];
    assert_eq!(
        (&config["additionalProperties"], &config["required"]),
        (&false.into(), &serde_json::json!(["rate"]))
    );
    let burst = &config["properties"]["burst"]["anyOf"];
    assert_eq!(
        (&burst[0]["maximum"], &burst[1]["$ref"]),
        (&1_000_000_000.into(), &"#/$defs/reference".into())
    );
    let component = dist("rate-limit");
    let text = output(&["inspect", component.to_str().unwrap()]);
    for line in
        ["rate  string; required  Requests per time", "key-header  string; default \"x-consumer\"  The field"]
    {
        assert!(text.contains(line), "{line} is not in:\n{text}");
    }
    let json: serde_json::Value =
        serde_json::from_str(&output(&["inspect", component.to_str().unwrap(), "--json"])).unwrap();
    assert_eq!(
        (&json["judges"], &json["config"]["properties"]["name"]["default"]),
        (&true.into(), &"default".into())
    );
}
