//! The live view on screens of several sizes, without a terminal and without a gateway.
//!
//! `tests/answers.json` has two answers of a gateway with some seconds between them, and `tests/*.txt` the screens that
//! are made of them; `BLESS=1` writes these.

use super::answers::{Answer, Overview, Pipeline, Stage, Trace};
use super::cells::Cells;
use super::draw::{Theme, draw};
use super::keys::{Key, Then, press};
use super::label::Label;
use super::rates::History;
use super::state::{Ask, PAGE, Sort, State, View};
use super::views::table;
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::Path;

const ADDRESS: &str = "http://127.0.0.1:9180";

fn answers() -> Value {
    serde_json::from_str(include_str!("tests/answers.json")).unwrap()
}

fn read<T: for<'de> Deserialize<'de>>(answer: &Value) -> T {
    T::deserialize(answer).unwrap()
}

/// A state with all answers.
fn state() -> State {
    let answers = answers();
    let mut state = State::default();
    state.take(1_763_846_681.0, vec![(Ask::Overview(0), Answer::Overview(read(&answers["before"])))]);
    state.take(
        1_763_846_691.0,
        vec![
            (Ask::Overview(0), Answer::Overview(read(&answers["now"]))),
            (Ask::Generations, Answer::Generations(read(&answers["generations"]))),
            (Ask::Traces, Answer::Traces(read(&answers["traces"]))),
        ],
    );
    state
}

/// The same after some keys; the trace that they open is there.
fn after(keys: &[Key]) -> State {
    let mut state = state();
    for key in keys {
        press(&mut state, *key);
        if let Some(id) = state.trace.clone().filter(|_| state.spans.is_none()) {
            state.take(0.0, vec![(Ask::Trace(id), Answer::Trace(read(&answers()["trace"])))]);
        }
    }
    state
}

fn drawn(state: &State, width: usize, height: usize) -> Cells {
    draw(state, ADDRESS, Theme { colours: true }, (width, height))
}

/// What somebody reads.
fn text(cells: &Cells) -> String {
    cells.to_text()
}

fn screens() -> Vec<(&'static str, State)> {
    let mut away = state();
    away.fail("no connection: Connection refused (os error 111)");
    vec![
        ("pipelines", state()),
        ("chain", after(&[Key::Enter, Key::Down, Key::Down])),
        ("upstreams", after(&[Key::Tab])),
        ("generations", after(&[Key::Char('3')])),
        ("traces", after(&[Key::Char('4')])),
        ("waterfall", after(&[Key::Char('4'), Key::Enter, Key::Char('j')])),
        ("help", after(&[Key::Char('?')])),
        ("filter", after(&[Key::Char('/'), Key::Char('C'), Key::Char('a'), Key::Char('n')])),
        ("away", away),
    ]
}

#[test]
fn screens_are_as_they_were() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli/top/tests");
    let bless = std::env::var_os("BLESS").is_some_and(|value| value == "1");
    let mut wrong = Vec::new();
    for (name, state) in screens() {
        for (width, height) in [(80, 24), (120, 40)] {
            let file = folder.join(format!("{name}-{width}x{height}.txt"));
            let shown = text(&drawn(&state, width, height));
            if bless {
                std::fs::write(&file, &shown).unwrap();
            } else if std::fs::read_to_string(&file).ok().as_ref() != Some(&shown) {
                wrong.push(format!("{}:\n{shown}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "these screens changed (`BLESS=1` writes them):\n{}", wrong.join("\n"));
}

/// Narrow screens keep what matters, and no size ends the program.
#[test]
fn every_size_can_be_drawn() {
    for (name, state) in screens() {
        for (width, height) in (0..60).flat_map(|it| [(it, it), (it, 24), (80, it), (200, it)]) {
            let shown = text(&drawn(&state, width, height));
            assert_eq!(shown.lines().count(), height, "{name} {width}x{height}");
        }
    }
    let narrow = text(&drawn(&state(), 40, 10));
    for word in ["edge", "req/s", "p99", "1200"] {
        assert!(narrow.contains(word), "no {word} in\n{narrow}");
    }
    let low = text(&drawn(&after(&[Key::Enter, Key::End]), 80, 12));
    assert!(low.contains("> 3:hello"), "{low}");
}

/// An answer whose every text is made to harm a terminal.
fn hostile() -> Value {
    const NAME: &str =
        "\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}31m\r\n\u{202e}漢字 \u{1f600}\u{200d}\u{1f600} e\u{301}\u{0}";
    fn spoil(value: &mut Value) {
        match value {
            Value::String(text) => *text = format!("{NAME}{text}{}", "長".repeat(500)),
            Value::Array(items) => items.iter_mut().for_each(spoil),
            Value::Object(fields) => {
                fields.values_mut().for_each(spoil);
                // Names of attributes, traps and events come from outside, too.
                fields.insert(format!("{NAME}x"), Value::Null);
            }
            _ => {}
        }
    }
    let mut answers = answers();
    for counts in ["traps", "events"] {
        answers["now"]["pipelines"][0][counts][NAME] = json!(3);
    }
    answers["trace"]["spans"][0]["attributes"][NAME] = json!({ "deep": [NAME] });
    for answer in ["now", "traces", "trace", "generations"] {
        let mut counts = answers[answer].take();
        // Counts stay counts.
        let (traps, events) =
            (counts["pipelines"][0]["traps"].clone(), counts["pipelines"][0]["events"].clone());
        spoil(&mut counts);
        if answer == "now" {
            for pipeline in counts["pipelines"].as_array_mut().unwrap() {
                (pipeline["traps"], pipeline["events"]) = (traps.clone(), events.clone());
            }
        }
        answers[answer] = counts;
    }
    answers
}

#[test]
fn no_name_reaches_the_terminal_raw() {
    let answers = hostile();
    let harmful = |char: char| char.is_control() || "\u{202e}\u{200d}\u{9b}".contains(char);
    for (view, inside) in View::ALL.iter().flat_map(|view| [(*view, false), (*view, true)]) {
        let overview: Overview = read(&answers["now"]);
        let trace: Trace = read(&answers["trace"]);
        let mut state = State {
            view,
            pipeline: inside.then(|| overview.pipelines[0].name.clone()),
            trace: inside.then(|| trace.id.clone()),
            spans: inside.then_some(trace),
            generations: Some(read(&answers["generations"])),
            traces: Some(read(&answers["traces"])),
            ..State::default()
        };
        state.take(0.0, vec![(Ask::Overview(0), Answer::Overview(overview))]);
        // The trace's id makes no path.
        assert!(!state.asks().iter().any(|ask| matches!(ask, Ask::Trace(_))));
        for (width, height) in [(80, 24), (120, 40), (300, 60), (13, 9)] {
            let told = drawn(&state, width, height).changes(None);
            // Of the program's own are the sequences, and nothing else.
            let whole = told.strip_prefix("\u{1b}[0m\u{1b}[2J").unwrap();
            for part in whole.split('\u{1b}').skip(1) {
                let parameters = part.strip_prefix('[').unwrap_or_else(|| panic!("{view:?}: {part:?}"));
                let end = parameters.find(|c: char| !c.is_ascii_digit() && c != ';').unwrap();
                assert!("HmKG".contains(&parameters[end..=end]), "{view:?}: {part:?}");
                assert!(!part.chars().any(harmful), "{view:?}: {part:?}");
            }
        }
    }
    let mut history = History::default();
    history.push(read(&answers["now"]));
    let table = table(&history, Sort::Configuration).0.to_text();
    assert!(table.contains("owned") && !table.replace('\n', "").chars().any(harmful), "{table}");
    assert_eq!(table.lines().count(), 4);
}

#[test]
fn without_colours_nothing_is_lost() {
    let [plain, coloured] =
        [false, true].map(|colours| draw(&after(&[Key::Enter]), ADDRESS, Theme { colours }, (80, 24)));
    assert!(coloured.is_coloured() && !plain.is_coloured());
    assert_eq!(text(&coloured), text(&plain));
}

#[test]
fn keys_lead_through_the_views() {
    let mut state = state();
    for (key, then, view) in [
        (Key::Tab, Then::Ask, View::Upstreams),
        (Key::Tab, Then::Ask, View::Generations),
        (Key::Char('4'), Then::Ask, View::Traces),
        (Key::Tab, Then::Ask, View::Pipelines),
        (Key::BackTab, Then::Ask, View::Traces),
        (Key::Char('1'), Then::Ask, View::Pipelines),
    ] {
        assert_eq!((press(&mut state, key), state.view), (then, view), "{key:?}");
    }
    let selected = |state: &State| {
        let shown = text(&drawn(state, 80, 24));
        shown.lines().find_map(|line| Some(line.strip_prefix("> ")?.split(' ').next()?.to_owned())).unwrap()
    };
    assert_eq!(selected(&state), "edge");
    for (key, expected) in [
        (Key::Down, "api-canary"),
        (Key::Char('j'), "never-asked"),
        (Key::Down, "never-asked"),
        (Key::Char('k'), "api-canary"),
        (Key::Home, "edge"),
        (Key::End, "never-asked"),
        (Key::PageUp, "edge"),
        (Key::PageDown, "never-asked"),
    ] {
        press(&mut state, key);
        assert_eq!(selected(&state), expected, "{key:?}");
    }
    // The selection stays with its row.
    for _ in 0..5 {
        press(&mut state, Key::Char('s'));
        assert_eq!(selected(&state), "never-asked", "{:?}", state.sort);
    }
    press(&mut state, Key::Up);
    press(&mut state, Key::Enter);
    assert!(state.is_inside() && state.pipeline.is_some());
    press(&mut state, Key::Escape);
    assert!(!state.is_inside());
    press(&mut state, Key::Char('p'));
    assert!(state.paused);
    press(&mut state, Key::Char('?'));
    assert_eq!((press(&mut state, Key::Down), state.help), (Then::Draw, false));
    assert_eq!(press(&mut state, Key::Char('r')), Then::Ask);
    assert_eq!(press(&mut state, Key::Char('q')), Then::Quit);
    // What is written is no command, but for Control-C.
    press(&mut state, Key::Char('/'));
    for key in "quiet".chars() {
        assert_eq!(press(&mut state, Key::Char(key)), Then::Draw);
    }
    press(&mut state, Key::Backspace);
    assert_eq!(state.filter, "quie");
    assert_eq!(press(&mut state, Key::Interrupt), Then::Quit);
    press(&mut state, Key::Escape);
    assert!(state.filter.is_empty() && !state.typing);
    (0..500).for_each(|_| _ = press(&mut state, Key::Char('/')));
    assert!(state.typing && state.filter.len() < 100);
}

#[test]
fn thousands_of_pipelines_are_looked_at_page_by_page() {
    let page = |from: usize| {
        let pipeline = |number| Pipeline {
            name: Label::new(&format!("p{number}")),
            stages: vec![Stage::default()],
            ..Pipeline::default()
        };
        let pipelines = (from..from + PAGE).map(pipeline).collect();
        let overview = Overview { now: from as f64, total: 10_000, from, pipelines, ..Overview::default() };
        vec![(Ask::Overview(from), Answer::Overview(overview))]
    };
    let mut state = State::default();
    state.take(0.0, page(0));
    assert_eq!(press(&mut state, Key::Char('[')), Then::Draw);
    press(&mut state, Key::End);
    assert_eq!(press(&mut state, Key::Char(']')), Then::Ask);
    assert_eq!(state.asks(), [Ask::Overview(PAGE)]);
    state.take(1.0, page(PAGE));
    let shown = text(&drawn(&state, 100, 24));
    assert!(shown.contains("251–500 of 10000") && shown.contains("> p250"), "{shown}");
    let pages = (0..100).filter(|_| press(&mut state, Key::Char(']')) == Then::Ask).count();
    assert_eq!((pages, state.from), (38, 9750));
}
