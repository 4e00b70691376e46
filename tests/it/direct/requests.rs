//! Requests of a stage's own, and timers: what a stage may have to wait for beside the next one, in both forms.

use super::both::{BUDGET, dist, run, text};
use super::outward::{self, ASYNC, AUTHORITIES, AUTHORITY, Function, OPTIONS, SYNC};
use super::services::compare_all;
use crate::harness::{Client, Folder, PROTOCOLS, body, request};
use crate::swap::support::{Served, head};
use http::Method;
use std::time::Duration;

/// Sets one of the authorities.
fn goes_to(authority: &str) -> String {
    let at = AUTHORITY + 32 * AUTHORITIES.iter().position(|it| *it == authority).expect("it is one of them");
    let length = authority.len();
    format!("(drop (call $set-authority (local.get $q) (i32.const 1) (i32.const {at}) (i32.const {length})))")
}

/// One that is lifted synchronously.
pub fn synchronous(handle: &str) -> String {
    outward::synchronous(&format!("(local $y i32) {handle}"), "", &[SYNC, OPTIONS].concat())
}

const SUBTASKS: &[Function] = &[
    ("subtask-drop", "subtask.drop", "(param i32)"),
    ("subtask-cancel", "subtask.cancel", "(param i32) (result i32)"),
    ("subtask-cancel-async", "subtask.cancel async", "(param i32) (result i32)"),
];

/// One that is lifted asynchronously.
fn asynchronous(handle: &str, callback: &str) -> String {
    // Waits for a call, if it has to: what it says is at 1920.
    let helpers = "(func $handle (param i32 i32) unreachable)
        (func $await (param $status i32) (result i32)
          (if (i32.eqz (i32.load (i32.const 1912))) (then (i32.store (i32.const 1912) (call $set-new))))
          (i32.store (i32.const 1920) (i32.shr_u (local.get $status) (i32.const 4)))
          (call $join (i32.load (i32.const 1920)) (i32.load (i32.const 1912)))
          (call $wait (i32.load (i32.const 1912))))
        (func $is-under-way (param $status i32) (result i32)
          (i32.eq (i32.and (local.get $status) (i32.const 15)) (i32.const 1)))";
    outward::asynchronous(handle, callback, &[ASYNC, SUBTASKS, OPTIONS].concat(), helpers)
}

const TOLD: &str =
    "(call $return-number (i32.add (i32.mul (i32.add (i32.mul (local.get $kind) (i32.const 31))
    (local.get $end)) (i32.const 31)) (local.get $code)))";

fn waiters() -> Vec<(String, String)> {
    let mut guests = Vec::new();
    let sent = |before: &str| format!("{before} (call $send (local.get $q) (i32.const 256)) (i32.const 256)");
    let side = goes_to("side.internal");
    for authority in AUTHORITIES {
        guests.push((format!("it sends to {authority}"), synchronous(&sent(&goes_to(authority)))));
    }
    let nowhere = "(drop (call $set-authority (local.get $q) (i32.const 0) (i32.const 0) (i32.const 0)))";
    let other =
        "(drop (call $set-scheme (local.get $q) (i32.const 1) (i32.const 2) (i32.const 1300) (i32.const 3)))";
    let none =
        "(drop (call $set-scheme (local.get $q) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))
        (drop (call $set-path (local.get $q) (i32.const 0) (i32.const 0) (i32.const 0)))";
    let pass = "(call $pass (local.get $q))";
    let number = "(call $tell (i32.const 8))";
    for (what, handle) in [
        ("it sends to nobody", sent(nowhere)),
        ("it sends by another scheme", sent(&format!("{side} {other}"))),
        ("it sends by another scheme into the network", sent(&format!("{} {other}", goes_to("127.0.0.1:1")))),
        ("it sends without scheme and path", sent(&format!("{side} {none}"))),
        ("it sends without scheme and path into the network", sent(&format!("{} {none}", goes_to("127.0.0.1:1")))),
        ("it sends what it has not", sent("(local.set $q (i32.const 99))")),
        ("it sends fields", sent("(local.set $q (call $fields-new))")),
        ("it sends twice", sent(&sent(&side).replace("(i32.const 256)) (i32.const 256)", "(i32.const 256))"))),
        ("it has no place for an answer", format!("{side} (call $send (local.get $q) (i32.const 65530)) (i32.const 256)")),
        ("its place is not aligned", format!("{side} (call $send (local.get $q) (i32.const 257)) (i32.const 256)")),
        ("it waits, and passes", format!("(call $wait-for (i64.const 2000000)) {pass}")),
        ("it waits for no time", format!("(call $wait-for (i64.const 0)) {pass}")),
        ("it waits until a time that was", format!("(call $wait-until (i64.const 1)) {pass}")),
        ("it waits until a time", format!("(call $wait-until (i64.add (call $mark) (i64.const 2000000))) {pass}")),
        ("it waits too long", format!("(call $wait-for (i64.const -1)) {pass}")),
        (
            "it sets options",
            format!(
                "(local.set $x (call $options-new)) (call $get-first (local.get $x) (i32.const 128))
                (call $set-first (local.get $x) (i32.const 1) (i64.const 7000000000) (i32.const 144))
                (local.set $y (call $options-clone (local.get $x)))
                (call $set-first (local.get $x) (i32.const 0) (i64.const 9) (i32.const 148))
                (call $get-first (local.get $y) (i32.const 128)) (call $drop-options (local.get $x)) {number}"
            ),
        ),
        ("its options have no case", format!("(call $set-first (call $options-new) (i32.const 2) (i64.const 7) (i32.const 128)) {pass}")),
        ("its options are none", format!("(call $get-first (local.get $q) (i32.const 128)) {pass}")),
        ("its options have no place", format!("(call $get-first (call $options-new) (i32.const 65528)) {pass}")),
        ("the time of its options is not aligned", format!("(call $get-first (call $options-new) (i32.const 132)) {pass}")),
        (
            "its request has options",
            format!(
                "(local.set $x (call $options-new))
                (call $set-first (local.get $x) (i32.const 1) (i64.const 5) (i32.const 144))
                (local.set $v (call $behind))
                (call $request-new (call $fields-new) (i32.const 0) (i32.const 0) (call $r (local.get $v)) (i32.const 1)
                  (local.get $x) (i32.const 1600))
                (call $options-of (i32.load (i32.const 1600)) (i32.const 128)) (local.set $x (i32.load (i32.const 132)))
                (call $set-first (local.get $x) (i32.const 1) (i64.const 6) (i32.const 136))
                (call $get-first (local.get $x) (i32.const 144)) {number}"
            ),
        ),
    ] {
        guests.push((what.to_owned(), synchronous(&handle)));
    }
    guests
}

fn goers() -> Vec<(String, String)> {
    let mut guests = Vec::new();
    // The status and the place of the result are one number where it is there at once.
    let send = "(local.set $x (call $send (local.get $q) (i32.const 256)))
        (if (call $is-under-way (local.get $x)) (then (return (call $await (local.get $x)))))
        (call $return (i32.const 256)) (i32.const 0)";
    let done = "(call $return (i32.const 256)) (i32.const 0)";
    for authority in AUTHORITIES {
        let handle = format!("{} {send}", goes_to(authority));
        guests.push((format!("it sends to {authority}"), asynchronous(&handle, done)));
    }
    let timer = "(call $await (call $wait-for (i64.const 2000000)))";
    let told = format!("{TOLD} (i32.const 0)");
    let handle = "(i32.load (i32.const 1920))";
    let cancelled = |cancel: &str| {
        format!(
            "(local.set $x (call $wait-for (i64.const 900000000000)))
            (local.set $x (call ${cancel} (i32.shr_u (local.get $x) (i32.const 4))))
            (call $return-number (local.get $x)) (i32.const 0)"
        )
    };
    for (what, handle, callback) in [
        ("it waits", timer.to_owned(), told.clone()),
        ("it waits for no time", "(call $return-number (call $wait-for (i64.const 0))) (i32.const 0)".to_owned(), told.clone()),
        ("it waits until a time that was", "(call $return-number (call $wait-until (i64.const 1))) (i32.const 0)".to_owned(), told.clone()),
        ("it waits until a time", "(call $await (call $wait-until (i64.add (call $mark) (i64.const 2000000))))".to_owned(), told.clone()),
        ("it waits, and drops the call", timer.to_owned(), format!("(call $subtask-drop {handle}) {told}")),
        ("it drops the call at once", "(call $subtask-drop (i32.shr_u (call $wait-for (i64.const 900000000000)) (i32.const 4))) (i32.const 0)".to_owned(), told.clone()),
        ("it cancels a timer", cancelled("subtask-cancel"), told.clone()),
        ("it begins to cancel a timer", cancelled("subtask-cancel-async"), told.clone()),
        ("it waits twice", timer.to_owned(), format!(
            "(if (i32.load (i32.const 1928)) (then {TOLD} (return (i32.const 0))))
            (i32.store (i32.const 1928) (i32.const 1)) (call $subtask-drop {handle}) {timer}"
        )),
        ("it waits for two times", format!(
            "(drop (call $await (call $wait-for (i64.const 900000000000)))) {timer}"
        ), told.clone()),
        ("it returns, and waits", format!("(call $return-empty) {timer}"), "(i32.const 0)".to_owned()),
        ("it sends what it has not", format!("(local.set $q (i32.const 99)) {send}"), done.to_owned()),
        ("it has no place for an answer", format!("{} (drop (call $send (local.get $q) (i32.const 65530))) (i32.const 0)", goes_to("side.internal")), done.to_owned()),
    ] {
        guests.push((what.to_owned(), asynchronous(&handle, &callback)));
    }
    guests
}

/// What comes of each guest is the same, alone and between others, whatever the called pipeline does.
#[test]
fn what_stages_wait_for_is_alike() {
    let pass = dist("pass-through-sync");
    let chains: Vec<_> = (waiters().into_iter().map(|it| ("lifted synchronously", it)))
        .chain(goers().into_iter().map(|it| ("lifted asynchronously", it)))
        .flat_map(|(how, (what, guest))| {
            let guest = text(&guest);
            let what = format!("{how}: {what}");
            [(what.clone(), vec![guest.clone()]), (what, vec![pass.clone(), guest])]
        })
        .collect();
    let requests: &[&[_]] = &[
        &[("a", "value")],
        &[("a", "value"), ("x-body", "slow")],
        &[("x-end", "text")],
        &[("x-end", "trailers"), ("x-body", "at once")],
    ];
    run(compare_all(&chains, (BUDGET, Duration::from_secs(2)), requests));
}

/// One that never has an answer meets its deadline, and a task that is cancelled ends its call.
#[test]
fn calls_without_an_answer_are_alike() {
    let side = goes_to("side.internal");
    let send = "(local.set $x (call $send (local.get $q) (i32.const 256)))";
    let cancel = |how: &str| {
        format!(
            "{side} {send} (call $return-number (call ${how} (i32.shr_u (local.get $x) (i32.const 4)))) (i32.const 0)"
        )
    };
    let chains: Vec<_> = [
        (
            "it waits",
            synchronous(&format!("{side} (call $send (local.get $q) (i32.const 256)) (i32.const 256)")),
        ),
        ("it goes on", asynchronous(&format!("{side} {send} (call $await (local.get $x))"), "unreachable")),
        ("it cancels", asynchronous(&cancel("subtask-cancel"), "unreachable")),
        ("it begins to cancel", asynchronous(&cancel("subtask-cancel-async"), "unreachable")),
    ]
    .map(|(what, guest)| (what.to_owned(), vec![text(&guest)]))
    .into();
    run(compare_all(&chains, (BUDGET, Duration::from_secs(1)), &[&[("x-end", "never")], &[("a", "value")]]));
}

/// A gateway with this configuration in the direct form, and one in the component form, of these components.
fn both_served(configuration: &str, components: &[&str]) -> [Served; 2] {
    let components = components.iter().map(|name| {
        format!("[components.{name}]\npath = {:?}\n", crate::harness::dist(name).display().to_string())
    });
    let components: String = components.collect();
    ["auto", "component"].map(|form| {
        let folder = Folder::new();
        let identity = crate::harness::identity();
        folder.write("cert.pem", &identity.certificate);
        folder.write("key.pem", &identity.key);
        let text = configuration.replace("FORM", &format!("form = \"{form}\""));
        let file = folder.write("linkspan.toml", format!("{}{text}{components}", head("")));
        let served = Served::serve(folder, &file, &head(""));
        let line = served.gateway.line(|line| line["message"] == "ready");
        let told = line["form"].as_str().unwrap_or_default();
        assert_eq!(told.contains("component"), form == "component", "{told}");
        served
    })
}

/// Both answer each of `requests` alike.
fn compare_served(served: [Served; 2], requests: &[Vec<(&str, &str)>]) {
    crate::harness::run(async {
        for protocol in PROTOCOLS {
            for fields in requests {
                let mut seen = Vec::new();
                for served in &served {
                    let mut client = Client::connect(&served.gateway, protocol).await;
                    let answer = client
                        .ask(request(Method::POST, "/", fields, body::with_trailers("some", TRAILERS)))
                        .await;
                    // What follows is the request's own number.
                    let text = answer.text().split("\"request-id\"").next().map(str::to_owned);
                    seen.push((answer.status, answer.header("x-side").map(str::to_owned), text));
                }
                assert_eq!(seen[0], seen[1], "{protocol:?} {fields:?}");
            }
        }
    });
    for served in served {
        served.gateway.stop();
    }
}

const TRAILERS: &[(&str, &str)] = &[("x-trailer", "behind")];

/// A service of the SDK that calls pipelines and servers, as its clients see it.
#[test]
fn what_clients_see_of_callers_is_alike() {
    let configuration = "[pipelines.main]\nFORM\nservice = { component = \"caller\", grant = { \
        calls = [\"side\", \"main-2\"], egress = [\"http://127.0.0.1:1\"], egress-networks = [\"127.0.0.0/8\"] } }\n\
        [pipelines.main-2]\nFORM\nservice = { component = \"caller\", grant = { calls = [\"side\"] } }\n\
        [pipelines.side]\nFORM\nservice = { component = \"echo\" }\n[[routes]]\npipeline = \"main\"\n\
        [[routes]]\npath = \"/side\"\npipeline = \"side\"\n";
    let ways = [
        "http://side.internal",
        "http://SIDE.internal,http://side.internal",
        "http://main-2.internal,http://side.internal",
        "https://side.internal",
        "ftp://side.internal",
        "http://other.internal",
        "http://side.internal:80",
        "http://me@side.internal",
        "http://127.0.0.1:1",
        "https://127.0.0.1:1",
        "ftp://127.0.0.1:1",
        "http://127.0.0.1:99999",
        "http://nobody.invalid",
        "",
    ];
    let more = [&[][..], &[("x-pass-error", "1")], &[("x-patience-ms", "9000")], &[("x-times", "20")]];
    let requests: Vec<_> =
        ways.iter().flat_map(|way| more.map(|more| [&[("x-way", *way)], more].concat())).collect();
    compare_served(both_served(configuration, &["caller", "echo"]), &requests);
}

/// A middleware with a next stage and a pipeline under a name of its own, and a service with names alone.
#[test]
fn handlers_with_names_are_reached_alike() {
    let main = "[[routes]]\npipeline = \"main\"\n[[routes]]\npath = \"/side\"\npipeline = \"side\"\n\
        [pipelines.side]\nFORM\nstages = [{ component = \"pass-through-async\" }]\nservice = { component = \"echo\" }\n";
    let fork = format!(
        "[pipelines.main]\nFORM\nstages = [{{ component = \"pass-through-sync\" }}, {{ component = \"fork\", \
         next = {{ side = \"side\" }} }}]\nservice = {{ component = \"echo\" }}\n{main}"
    );
    let requests = ["next", "side", "both", ""].map(|way| vec![("x-fork", way)]);
    let served = both_served(&fork, &["fork", "echo", "pass-through-sync", "pass-through-async"]);
    compare_served(served, &requests);
    let router = format!(
        "[pipelines.main]\nFORM\nservice = {{ component = \"ab-router\", next = {{ a = \"side\", b = \"side\" }}, \
         grant = {{ random = true }} }}\n{main}"
    );
    let requests = ["a", "b"].map(|variant| vec![("x-variant", variant)]);
    compare_served(both_served(&router, &["ab-router", "echo", "pass-through-async"]), &requests);
}
