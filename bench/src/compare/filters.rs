//! The cost of a middleware in each of its forms, beside a filter of Envoy that does the same.
//!
//! Each kind of work stands eight times in a pipeline of linkspan, in each form, and eight times as a proxy-wasm filter
//! in Envoy; a round has a turn of each of them, and of both servers without any. The cost of one is an eighth of the
//! CPU per request that all of them add in the same round; the median round counts.

use super::configs::{Answer, Chain, Stage};
use super::filter::{Filter, KEY};
use super::group::Group;
use super::options::Options;
use super::report::Section;
use super::scenario::{Scenario, Setup, before};
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
        if self == Self::Rewritten { "lift = \"sync\"" } else { "lift = \"as-is\"" }
    }
}

/// The contenders in their order: which work, in which form of linkspan, or as Envoy's filter.
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
            // There is nothing to edit in place.
            if form == Form::InPlace && matches!(filter, Filter::Nothing | Filter::Log) {
                continue;
            }
            let chain = Chain::new(stages(filter, form, DEPTH), "empty").with(form.lift());
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

/// Measures all contenders.
pub async fn measure(options: &Options, cores: Option<Cores>) -> Result<Section> {
    let (scenario, which) = scenario();
    let mut group = Group::start(options, cores, &scenario).await?;
    group.closed(options, Shape { connections: options.connections, fresh: false }).await?;
    let turns = |name: &str| {
        let found = group.running.iter().find(|running| running.name == name);
        found.map(|running| (running.figures.cpu.clone(), running.figures.failures.len()))
    };
    let mut failed = 0;
    // For each work and form: the name, and the cost of one in each round.
    let mut costs = |named: &dyn Fn(&str) -> String| {
        let mut found: Vec<(Filter, Option<Form>, f64)> = Vec::new();
        for (contender, which) in scenario.contenders.iter().zip(&which) {
            let Some((filter, form)) = *which else { continue };
            let base = if form.is_some() { &scenario.contenders[0] } else { &scenario.contenders[1] };
            let (all, none) = (turns(&named(&contender.name)), turns(&named(&base.name)));
            let (Some((all, failures)), Some((none, _))) = (all, none) else { continue };
            failed += failures;
            let each: Vec<_> = all.iter().zip(none).map(|(all, none)| (all - none) / DEPTH as f64).collect();
            found.push((filter, form, median(&each)));
        }
        found
    };
    let found = costs(&str::to_owned);
    let before = options.before.as_ref().map(|_| costs(&before));
    let mut text = text(&found);
    if let Some(before) = &before {
        text = format!("{text}\nThe build before:\n\n{}", self::text(before));
    }
    let rows = |found: &[(Filter, Option<Form>, f64)], build: &str| -> Vec<_> {
        let row = |(filter, form, micros): &(Filter, Option<Form>, f64)| {
            let form = form.map_or("Envoy", Form::name);
            json!({ "build": build, "work": filter.title(), "form": form, "cpu-us-each": micros })
        };
        found.iter().map(row).collect()
    };
    let mut json = rows(&found, "this");
    json.extend(rows(before.as_deref().unwrap_or_default(), "before"));
    let mut notes = group.notes.clone();
    if failed > 0 {
        notes.push(format!("requests failed in {failed} turns"));
    }
    Ok(Section { name: NAME, title: scenario.title, text, json: json.into(), chart: chart(&found), notes })
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

/// The guest `measured` with this work, or a no-op.
fn stages(work: Filter, form: Form, count: usize) -> Vec<Stage> {
    let component = match (work, form) {
        (Filter::Nothing, Form::AsIs | Form::Rewritten) => "pass-through-async",
        (Filter::Nothing, _) => "pass-through-sync",
        (_, Form::AsIs | Form::Rewritten) => "measured-async",
        (_, Form::Sync) => "measured",
        (_, Form::InPlace) => "measured-in-place",
    };
    let keys = match work {
        Filter::Nothing => String::new(),
        Filter::Header => ", config = { work = \"header\" }".to_owned(),
        Filter::Key => format!(", config = {{ work = \"key\", key = \"{KEY}\" }}"),
        Filter::Log => ", config = { work = \"log\" }".to_owned(),
    };
    vec![Stage { component, keys }; count]
}
