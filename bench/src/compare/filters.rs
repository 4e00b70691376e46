//! What a middleware costs in each form that it can have, beside a filter of Envoy's that does the same.
//!
//! Each kind of work stands eight times in a pipeline of linkspan's, in each form, and eight times as a proxy-wasm filter
//! in Envoy; a round has a turn of each of them, and of both servers without any. What one costs is an eighth of the CPU
//! a request that all of them add in the same round; the middle round counts.

use super::configs::{Answer, Chain, Stage};
use super::report::Section;
use super::scenarios::{Scenario, Setup};
use super::{Group, Options};
use crate::Result;
use crate::drive::{Shape, median};
use crate::machine::Cores;
use crate::svg;
use crate::wire::{Ask, Protocol};
use serde_json::json;
use std::fmt::Write as _;

pub const NAME: &str = "filters";

/// How often a middleware stands in its chain.
const DEPTH: usize = 8;

const KEY: &str = "bench-key-bench-key";

/// What a filter of Envoy's does: the same as the guest `measured`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    Nothing,
    Header,
    Key,
    Log,
}

impl Filter {
    pub const ALL: [Self; 4] = [Self::Nothing, Self::Header, Self::Key, Self::Log];

    /// The compiled filter in the folder of a run.
    pub fn file(self) -> &'static str {
        match self {
            Self::Nothing => "nothing.wasm",
            Self::Header => "header.wasm",
            Self::Key => "key.wasm",
            Self::Log => "log.wasm",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Nothing => "passes on",
            Self::Header => "appends a field to the response",
            Self::Key => "compares a key, sets a field of the request",
            Self::Log => "says the path in the log, below its level",
        }
    }

    /// What it does with the head of a request, and of a response.
    fn calls(self) -> (&'static str, &'static str) {
        match self {
            Self::Nothing => ("", ""),
            // 2: the response's fields.
            Self::Header => (
                "",
                "(drop (call $add (i32.const 2) (i32.const 0) (i32.const 10) (i32.const 16) (i32.const 16)))",
            ),
            // 0: the request's fields. What the host allocates for a value is given back with the call.
            Self::Key => (
                "(local $free i32)
                 (local.set $free (global.get $free))
                 (drop (call $get (i32.const 0) (i32.const 48) (i32.const 9) (i32.const 120) (i32.const 124)))
                 (if (i32.eqz (call $same (i32.load (i32.const 120)) (i32.load (i32.const 124))))
                   (then
                     (drop (call $answer (i32.const 401) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
                       (i32.const 0) (i32.const 0) (i32.const -1)))
                     (return (i32.const 1))))
                 (drop (call $set (i32.const 0) (i32.const 32) (i32.const 10) (i32.const 88) (i32.const 8)))
                 (global.set $free (local.get $free))",
                "",
            ),
            Self::Log => (
                "(local $free i32)
                 (local.set $free (global.get $free))
                 (drop (call $get (i32.const 0) (i32.const 100) (i32.const 5) (i32.const 120) (i32.const 124)))
                 (drop (call $log (i32.const 2) (i32.load (i32.const 120)) (i32.load (i32.const 124))))
                 (global.set $free (local.get $free))",
                "",
            ),
        }
    }

    /// A filter of proxy-wasm's ABI 0.2.1, as text. It has all calls of a filter which looks at heads.
    pub fn text(self) -> String {
        let (request, response) = self.calls();
        format!(
            r#"
(module
  (import "env" "proxy_add_header_map_value" (func $add (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_replace_header_map_value" (func $set (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_get_header_map_value" (func $get (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_send_local_response"
    (func $answer (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "x-measured")
  (data (i32.const 16) "0123456789abcdef")
  (data (i32.const 32) "x-consumer")
  (data (i32.const 48) "x-api-key")
  (data (i32.const 64) "{KEY}")
  (data (i32.const 88) "measured")
  (data (i32.const 100) ":path")
  (global $free (mut i32) (i32.const 1024))
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "_initialize"))
  (func (export "proxy_on_memory_allocate") (param $size i32) (result i32)
    (local $at i32)
    (local.set $at (global.get $free))
    (global.set $free (i32.add (global.get $free) (local.get $size)))
    (local.get $at))
  (func (export "proxy_on_vm_start") (param i32 i32) (result i32) (i32.const 1))
  (func (export "proxy_on_configure") (param i32 i32) (result i32) (i32.const 1))
  (func (export "proxy_on_context_create") (param i32 i32))
  ;; Whether a value is the key, in constant time.
  (func $same (param $at i32) (param $length i32) (result i32)
    (local $i i32)
    (local $other i32)
    (if (i32.ne (local.get $length) (i32.const {length})) (then (return (i32.const 0))))
    (loop $next
      (local.set $other (i32.or (local.get $other)
        (i32.xor (i32.load8_u (i32.add (local.get $at) (local.get $i)))
          (i32.load8_u offset=64 (local.get $i)))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $i) (i32.const {length}))))
    (i32.eqz (local.get $other)))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    {request}
    (i32.const 0))
  (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32)
    {response}
    (i32.const 0))
  (func (export "proxy_on_done") (param i32) (result i32) (i32.const 1))
  (func (export "proxy_on_log") (param i32))
  (func (export "proxy_on_delete") (param i32)))
"#,
            length = KEY.len(),
        )
    }

    /// The guest `measured` with this work, or a no-op.
    fn stages(self, form: Form, count: usize) -> Vec<Stage> {
        let component = match (self, form) {
            (Self::Nothing, Form::AsIs | Form::Rewritten) => "pass-through-async",
            (Self::Nothing, _) => "pass-through-sync",
            (_, Form::AsIs | Form::Rewritten) => "measured-async",
            (_, Form::Sync) => "measured",
            (_, Form::InPlace) => "measured-in-place",
        };
        let keys = match self {
            Self::Nothing => String::new(),
            Self::Header => ", config = { work = \"header\" }".to_owned(),
            Self::Key => format!(", config = {{ work = \"key\", key = \"{KEY}\" }}"),
            Self::Log => ", config = { work = \"log\" }".to_owned(),
        };
        vec![Stage { component, keys }; count]
    }
}

/// How a middleware of linkspan's is built, and loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    AsIs,
    Rewritten,
    Sync,
    InPlace,
}

impl Form {
    const ALL: [Self; 4] = [Self::AsIs, Self::Rewritten, Self::Sync, Self::InPlace];

    fn name(self) -> &'static str {
        match self {
            Self::AsIs => "async as it is",
            Self::Rewritten => "async rewritten",
            Self::Sync => "sync",
            Self::InPlace => "sync, in place",
        }
    }

    fn lift(self) -> &'static str {
        if self == Self::Rewritten { "lift = \"sync\"" } else { "" }
    }
}

/// What is measured, in the order of its contenders: which work, in which form of linkspan's, or as Envoy's filter.
type Which = Option<(Filter, Option<Form>)>;

fn scenario() -> (Scenario, Vec<Which>) {
    let mut ask = Ask::get("/");
    ask.fields = vec![("x-api-key", KEY.to_owned())];
    let title = "What a middleware costs in each form, and as a filter of Envoy's";
    let mut scenario = Scenario::new(NAME, title, Protocol::Plain, ask)
        .contender("linkspan, service alone", Setup::Linkspan(Chain::new(Vec::new(), "empty")))
        .contender("Envoy, direct response", Setup::Envoy(Answer::Empty, (Filter::Nothing, 0)));
    let mut which: Vec<Which> = vec![None, None];
    for filter in Filter::ALL {
        for form in Form::ALL {
            // There is nothing to be done in place.
            if form == Form::InPlace && matches!(filter, Filter::Nothing | Filter::Log) {
                continue;
            }
            let chain = Chain::new(filter.stages(form, DEPTH), "empty").with(form.lift());
            let name = format!("linkspan, {}, {}", filter.title(), form.name());
            scenario = scenario.contender_like(filter.file(), &name, Setup::Linkspan(chain));
            which.push(Some((filter, Some(form))));
        }
        let name = format!("Envoy, {}", filter.title());
        let setup = Setup::Envoy(Answer::Empty, (filter, DEPTH));
        scenario = scenario.contender_like(filter.file(), &name, setup);
        which.push(Some((filter, None)));
    }
    (scenario, which)
}

/// Measures all of it.
pub async fn measure(options: &Options, cores: Option<Cores>) -> Result<Section> {
    let (scenario, which) = scenario();
    let mut group = Group::start(options, cores, &scenario).await?;
    group.closed(options, Shape { connections: options.connections, fresh: false }).await?;
    let turns = |name: &str| {
        let found = group.running.iter().find(|running| running.name == name);
        found.map(|running| (running.figures.cpu.clone(), running.figures.failures.len()))
    };
    let mut failed = 0;
    // For each work and form: the name, and what one costs in each round.
    let mut found: Vec<(Filter, Option<Form>, f64)> = Vec::new();
    for (contender, which) in scenario.contenders.iter().zip(&which) {
        let Some((filter, form)) = *which else { continue };
        let base = if form.is_some() { &scenario.contenders[0] } else { &scenario.contenders[1] };
        let (Some((all, failures)), Some((none, _))) = (turns(&contender.name), turns(&base.name)) else {
            continue;
        };
        failed += failures;
        let each: Vec<_> = all.iter().zip(none).map(|(all, none)| (all - none) / DEPTH as f64).collect();
        found.push((filter, form, median(&each)));
    }
    let mut notes = group.notes.clone();
    if failed > 0 {
        notes.push(format!("requests failed in {failed} turns"));
    }
    Ok(Section {
        name: NAME,
        title: scenario.title,
        text: text(&found),
        json: found
            .iter()
            .map(|(filter, form, micros)| {
                let form = form.map_or("Envoy", Form::name);
                json!({ "work": filter.title(), "form": form, "cpu-us-each": micros })
            })
            .collect(),
        chart: chart(&found),
        notes,
    })
}

fn text(found: &[(Filter, Option<Form>, f64)]) -> String {
    let mut text = String::from("| µs of CPU each |");
    let columns = || Form::ALL.into_iter().map(Some).chain([None]);
    for form in columns() {
        let _ = write!(text, " {} |", form.map_or("Envoy's filter", Form::name));
    }
    text.push_str("\n| --- | --: | --: | --: | --: | --: |\n");
    for filter in Filter::ALL {
        let _ = write!(text, "| {} |", filter.title());
        for column in columns() {
            let cell = found.iter().find(|(other, form, _)| (*other, *form) == (filter, column));
            let _ = match cell {
                Some((_, _, micros)) => write!(text, " {micros:.2} |"),
                None => write!(text, " |"),
            };
        }
        text.push('\n');
    }
    text
}

fn chart(found: &[(Filter, Option<Form>, f64)]) -> String {
    let name = |filter: &Filter, form: &Option<Form>| {
        let work = filter.file().trim_end_matches(".wasm");
        match form {
            Some(form) => format!("linkspan, {work}, {}", form.name()),
            None => format!("Envoy, {work}"),
        }
    };
    let rows: Vec<_> = found.iter().map(|(filter, form, micros)| (name(filter, form), *micros)).collect();
    svg::bars("One middleware: µs of CPU", "µs", &rows)
}
