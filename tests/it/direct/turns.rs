//! Who is first, where several could go on: in both forms the same, or as docs/direct.md says.

use super::both::{BUDGET, Both, Stage, fields, run, runtime, text};
use super::interpreter::interpreting_service;
use super::outward::{ASYNC, asynchronous};
use super::passing::{self, called, middleware, named};
use super::tasks::service;
use linkspan::host::Budget;
use std::time::Duration;

const SHORT: (Budget, Duration) = (BUDGET, Duration::from_secs(2));

/// What comes of a request in the component form, and in the direct one.
fn answers<const N: usize>(chains: [Vec<Stage>; N], request: &[(&str, &str)]) -> [[String; 2]; N] {
    let runtime = runtime(&chains);
    let mut said = Vec::new();
    run(async {
        for stages in &chains {
            let both = Both::within(SHORT, &runtime, stages);
            let headers = fields(request);
            let component = both.ask(&both.component, &headers).await.0;
            said.push([component, both.ask(&both.direct, &headers).await.0]);
        }
    });
    said.try_into().expect("one for each")
}

fn traps(stage: usize) -> String {
    format!("trap of test/{stage}:stage")
}

fn tells(number: u32) -> String {
    format!("ErrorCode::HttpRequestHeaderSectionSize(Some({number}))")
}

/// Waits for a timer of so many milliseconds, which begins before it asks the next stage.
fn timed(milliseconds: u32) -> Stage {
    let handle = format!(
        "(i32.store (i32.const 1920) (i32.shr_u (call $wait-for (i64.const {milliseconds}000000)) (i32.const 4)))
        (call $ask (local.get $q)) (i32.store (i32.const 1912) (call $set-new))
        (call $join (i32.load (i32.const 1920)) (i32.load (i32.const 1912)))
        (call $wait (i32.load (i32.const 1912)))"
    );
    let functions = [passing::FUNCTIONS, ASYNC].concat();
    text(&asynchronous(&handle, "unreachable", &functions, passing::HELPERS))
}

/// Two stages wait, and both timers are over when that is seen. The one behind has waited for longer.
#[test]
fn who_first_has_what_it_waits_for_has_its_turn_first() {
    assert_eq!(answers([vec![timed(1), timed(4)]], &[("x-end", "busy")]), [[traps(0), traps(0)]]);
}

/// A stage that cancels what is with the host, and waits for the host's word, lets the host go on with its answer meanwhile.
#[test]
fn an_answer_is_out_when_its_stage_waits_for_a_cancellation() {
    let read = "(local.set $x (call $open (local.get $q)))
        (drop (call $stream-read (local.get $x) (i32.const 1700) (i32.const 20)))";
    let tell = "(call $return-number (i32.const 7))";
    let cancel = "(drop (call $stream-cancel-read (local.get $x)))";
    let guest = |handle: String| vec![text(&middleware(&format!("{handle} unreachable"), "unreachable"))];
    let chains = [
        guest(format!("{read} {tell} {cancel}")),
        guest(format!("{read} {cancel} {tell}")),
        guest(format!("{read} {tell}")),
    ];
    let expected = [tells(7), traps(0), traps(0)].map(|said| [said.clone(), said]);
    assert_eq!(answers(chains, &[("x-body", "slow")]), expected);
}

/// The same while it waits for the next stage, which does not end early.
#[test]
fn an_answer_is_out_while_its_stage_waits_for_the_next_one_to_end() {
    let cancels = |answer: &str| {
        let handle = format!(
            "(call $ask (local.get $q)) (call $alone) {answer} (drop (call $cancel (call $sub))) (i32.const 0)"
        );
        text(&middleware(&handle, "unreachable"))
    };
    let wait = "(call $wait (call $set-new))";
    let next = || text(&service(wait, wait));
    let chains = [
        vec![cancels("(call $return-number (i32.const 7))"), next()],
        vec![cancels("(call $return-empty)"), next()],
    ];
    let expected = [tells(7), "200 OK {} b\"\" None".to_owned()].map(|said| [said.clone(), said]);
    assert_eq!(answers(chains, &[]), expected);
}

/// Wasmtime (48) lets a stage go on as soon as the one that it called calls another one. As the specification has it, a call that
/// waits for nobody is over when its caller goes on.
#[test]
fn a_call_of_two_stages_in_a_row_may_be_over_at_once() {
    let first = || text(&named("it tells the first word"));
    let last = || {
        let guest = called().into_iter().find(|(what, _)| *what == "returns at once").expect("it is there").1;
        text(&guest)
    };
    let [near, far] = answers([vec![first(), last()], vec![first(), text(&named("it passes")), last()]], &[]);
    let answer = "200 OK {} b\"\" None";
    assert_eq!(near, [answer, answer]);
    assert_eq!(far[1], answer);
    assert!(far[0].starts_with("ErrorCode::HttpRequestHeaderSectionSize"), "{}", far[0]);
}

/// What a service answers, in both forms, that tells what its instance has had, after a request by which it did this.
fn told_after(program: &str) -> [String; 2] {
    let chain = vec![text(&interpreting_service('p'))];
    let runtime = runtime(std::slice::from_ref(&chain));
    let mut said = [const { String::new() }; 2];
    run(async {
        let both = Both::within(SHORT, &runtime, &chain);
        for (said, form) in said.iter_mut().zip([&both.component, &both.direct]) {
            for program in [program, "NaaataaaMaaa"] {
                *said = both.ask(form, &fields(&[("p", program), ("x-body", "at once")])).await.0;
            }
        }
    });
    said
}

/// In the component form, an instance ends where the host has something for a task that is over, and where the host waits in vain
/// for what is behind a short body.
#[test]
fn what_a_task_leaves_ends_instances_in_the_component_form() {
    let stream = told_after("Eaaa0aba8bvmtaaaMaaa");
    assert_eq!(stream, [tells(2_976), tells(2_976)]);
    assert_eq!(told_after("Eaaa0aba=baaDcvataaaMaaa"), [tells(0), tells(u32::MAX - 30)]);
    let [component, direct] = told_after("Raaa7bhkSaaa7bhkSaaa<baaMaaa");
    assert_eq!(component, tells(0));
    assert_ne!(direct, tells(0));
}
