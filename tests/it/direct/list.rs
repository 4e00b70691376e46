//! Which components are on the list, and in which order their stages may stand.

use super::both::{Stage, dist, text};
use super::guests::with_handle;
use super::requests::synchronous;
use super::tasks;

/// What a component must be, to be on the list; what is not has a reason.
#[test]
fn what_is_not_on_the_list_has_a_reason() {
    let reason = |stage: Stage| linkspan::direct::read(&stage.component).unwrap_err().to_string();
    assert!(reason(dist("probe-middleware")).contains("is not on the list"));
    let renamed = with_handle("unreachable").replace(
        "(import \"wasi:config/store@0.2.0-rc.1\" (instance",
        "(import \"mine\" (implements \"wasi:config/store@0.2.0-rc.1\") (instance",
    );
    assert!(
        reason(text(&renamed)).starts_with("it imports `wasi:config/store#"),
        "{}",
        reason(text(&renamed))
    );
    assert!(reason(dist("print")).contains("`wasi:cli/stdout@0.3.0` is not on the list"));
    let slot = with_handle("unreachable")
        .replace("(core func $now ", "(core func $context (canon context.get i32 0)) (core func $now ")
        .replace(
            "(import \"h\" \"now\"",
            "(import \"h\" \"context\" (func (result i32))) (import \"h\" \"now\"",
        )
        .replace(
            "(export \"now\" (func $now))",
            "(export \"context\" (func $context)) (export \"now\" (func $now))",
        );
    assert_eq!(reason(text(&slot)), "it uses `context.get`, and is lifted synchronously");
    let stackful = tasks::named("it traps").replace("(callback (func $main \"callback\"))", "").replace(
        "(func (export \"handle\") (param $q i32) (result i32)",
        "(func (export \"handle\") (param $q i32)",
    );
    assert_eq!(reason(text(&stackful)), "it is lifted asynchronously, without a callback");
    for component in [
        "pass-through-sync",
        "hello",
        "catalogue",
        "storefront",
        "caller",
        "egress",
        "page",
        "fork",
        "ab-router",
        "edit-p3",
    ] {
        assert_eq!(linkspan::direct::read(&dist(component).component).err(), None, "{component}");
    }
    for standard in linkspan::standard::all() {
        for suffix in ["", "-in-place"] {
            let component = dist(&format!("{}{suffix}", standard.name)).component;
            assert_eq!(linkspan::direct::read(&component).err(), None, "{}{suffix}", standard.name);
        }
    }
    let starts =
        with_handle("unreachable").replace("(func $outward", "(start $begins) (func $begins) (func $outward");
    assert_eq!(reason(text(&starts)), "code of it runs when it is instantiated");
}

/// What may wait on a fiber has no place behind what goes on meanwhile.
#[test]
fn who_waits_has_no_place_behind_who_goes_on() {
    let order = |stages: &[Stage]| {
        let read = |stage: &Stage| linkspan::direct::read(&stage.component).unwrap();
        linkspan::direct::order(&stages.iter().map(read).collect::<Vec<_>>()).map_err(|(at, _)| at)
    };
    let goes_on = dist("pass-through-async");
    let waits = |handle: &str| text(&synchronous(handle));
    let quiet = text(&with_handle("(call $drop-request (local.get $q)) (call $fail (i32.const 6))"));
    assert_eq!(order(&[goes_on.clone(), dist("empty")]), Ok(()));
    assert_eq!(order(&[waits("(call $fail (i32.const 6))"), goes_on.clone()]), Ok(()));
    assert_eq!(order(&[goes_on.clone(), waits("(call $fail (i32.const 6))")]), Err(1));
    assert_eq!(order(&[goes_on, quiet]), Err(1), "it has a next stage, outside");
}
