//! What keys do.

use super::state::{PAGE, State, View};
use super::views::page_of;

/// The longest filter.
const LONGEST_FILTER: usize = 60;
/// How far the page keys go.
const STEP: usize = 10;

/// A key, as far as it has a meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Up,
    Down,
    PageUp,
    PageDown,
    Home,
    End,
    Enter,
    Escape,
    Tab,
    BackTab,
    Backspace,
    Char(char),
    /// Control-C.
    Interrupt,
}

/// What is to be done after a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    Draw,
    /// Something else is looked at, of which there may be no answer yet.
    Ask,
    Quit,
}

/// All of them, for people.
pub(super) const HELP: [(&str, &str); 11] = [
    ("1 2 3 4, Tab", "pipelines, upstreams, generations, traces"),
    ("Up Down, k j", "select a row; PgUp, PgDown, Home and End go further"),
    ("Enter", "look into a pipeline or a trace"),
    ("Esc", "back; removes the filter"),
    ("/", "show only rows with a text; Enter ends it"),
    ("s", "sort pipelines by req/s, 5xx, p99, traps, name, or as configured"),
    ("[ ]", "the pipelines before and after these, where there are more"),
    ("p", "pause: ask the gateway for nothing"),
    ("r", "ask now"),
    ("?", "this help"),
    ("q", "quit"),
];

/// Does what a key means.
pub(super) fn press(state: &mut State, key: Key) -> Then {
    match key {
        Key::Interrupt => return Then::Quit,
        _ if state.typing => return write(state, key),
        _ if state.help => {
            state.help = false;
            return if key == Key::Char('q') { Then::Quit } else { Then::Draw };
        }
        Key::Char('q') => return Then::Quit,
        Key::Char('?') => state.help = true,
        Key::Char('p') => state.paused = !state.paused,
        Key::Char('r') => return Then::Ask,
        Key::Char('s') => state.sort = state.sort.next(),
        Key::Char('/') if !state.is_inside() => state.typing = true,
        Key::Char(number @ '1'..='4') => return go(state, View::ALL[number as usize - '1' as usize]),
        Key::Tab => return go(state, View::ALL[(state.view as usize + 1) % View::ALL.len()]),
        Key::BackTab => {
            return go(state, View::ALL[(state.view as usize + View::ALL.len() - 1) % View::ALL.len()]);
        }
        Key::Enter => return open(state),
        Key::Escape => return close(state),
        Key::Char('[' | ']') => return turn(state, key == Key::Char(']')),
        _ => step(state, key),
    }
    Then::Draw
}

/// A key while the filter is written.
fn write(state: &mut State, key: Key) -> Then {
    match key {
        Key::Enter => state.typing = false,
        Key::Escape => {
            state.typing = false;
            state.filter.clear();
        }
        Key::Backspace => _ = state.filter.pop(),
        Key::Char(char) if !char.is_control() && state.filter.chars().count() < LONGEST_FILTER => {
            state.filter.push(char);
        }
        _ => step(state, key),
    }
    Then::Draw
}

fn go(state: &mut State, view: View) -> Then {
    state.view = view;
    Then::Ask
}

fn open(state: &mut State) -> Then {
    let page = page_of(state);
    let Some(key) = page.keys.get(page.selected).cloned() else { return Then::Draw };
    match state.view {
        View::Pipelines if state.pipeline.is_none() => {
            (state.pipeline, state.stage) = (Some(key), Default::default());
        }
        View::Traces if state.trace.is_none() => {
            (state.trace, state.span) = (Some(key), Default::default());
            (state.spans, state.forgotten) = (None, false);
            return Then::Ask;
        }
        _ => {}
    }
    Then::Draw
}

fn close(state: &mut State) -> Then {
    match state.view {
        View::Pipelines if state.pipeline.is_some() => state.pipeline = None,
        View::Traces if state.trace.is_some() => {
            (state.trace, state.spans) = (None, None);
            return Then::Ask;
        }
        _ => state.filter.clear(),
    }
    Then::Draw
}

/// To the pipelines before or after these.
fn turn(state: &mut State, on: bool) -> Then {
    let total = state.history.last().map_or(0, |overview| overview.total);
    let to = if on { state.from.saturating_add(PAGE) } else { state.from.saturating_sub(PAGE) };
    if state.view != View::Pipelines || state.pipeline.is_some() || to == state.from || to >= total {
        return Then::Draw;
    }
    state.from = to;
    state.cursors[View::Pipelines as usize] = Default::default();
    Then::Ask
}

/// To another row.
fn step(state: &mut State, key: Key) {
    let page = page_of(state);
    let last = page.keys.len().saturating_sub(1);
    let to = match key {
        Key::Up | Key::Char('k') => page.selected.saturating_sub(1),
        Key::Down | Key::Char('j') => page.selected + 1,
        Key::PageUp => page.selected.saturating_sub(STEP),
        Key::PageDown => page.selected + STEP,
        Key::Home | Key::Char('g') => 0,
        Key::End | Key::Char('G') => last,
        _ => return,
    };
    state.cursor().select(to, &page.keys);
}
