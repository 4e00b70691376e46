//! A state on a screen: header, views, the page of the view, and a line at the bottom.

use super::cells::{Cells, Colour, Style};
use super::format;
use super::grid::{Cell, Grid};
use super::keys::HELP;
use super::state::{Sort, State, View};
use super::strip::{Strip, Tone, cut, joined};
use super::views::{Page, page_of};
use unicode_width::UnicodeWidthStr as _;

/// The columns before a row, for the mark of the selected one.
const MARK: usize = 2;

/// How tones look.
#[derive(Clone, Copy, Debug)]
pub(super) struct Theme {
    /// Without colours (`NO_COLOR`), tones differ by weight alone. No meaning is in a colour alone.
    pub(super) colours: bool,
}

impl Theme {
    fn style(self, tone: Tone) -> Style {
        let style = Style::default();
        let coloured = |colour| Style { colour: Some(colour).filter(|_| self.colours), ..style };
        match tone {
            Tone::Plain => style,
            Tone::Dim => Style { dim: true, ..style },
            Tone::Strong => Style { bold: true, ..style },
            Tone::Good => coloured(Colour::Green),
            Tone::Warn => coloured(Colour::Yellow),
            Tone::Bad => Style { bold: true, ..coloured(Colour::Red) },
            Tone::Bar => coloured(Colour::Cyan),
        }
    }
}

/// A screen that is drawn.
struct Canvas {
    cells: Cells,
    theme: Theme,
}

impl Canvas {
    fn strip(&mut self, x: usize, y: usize, strip: &Strip) {
        let mut x = x;
        for (tone, text) in &strip.0 {
            self.cells.write(x, y, text, usize::MAX, self.theme.style(*tone));
            x += text.width();
        }
    }

    /// A bar between two shares of `width`, of at least one column if there is anything.
    fn bar(&mut self, x: usize, y: usize, width: usize, (from, to): (f64, f64)) {
        if to <= from || width == 0 {
            return;
        }
        let column = |share: f64| ((share.clamp(0.0, 1.0) * width as f64).round() as usize).min(width);
        let begin = column(from).min(width - 1);
        let bar = "█".repeat(column(to).saturating_sub(begin).max(1));
        self.cells.write(x + begin, y, &bar, width - begin, self.theme.style(Tone::Bar));
    }
}

/// `state` on a screen of this size.
pub(super) fn draw(state: &State, address: &str, theme: Theme, (width, height): (usize, usize)) -> Cells {
    let mut canvas = Canvas { cells: Cells::new(width, height), theme };
    canvas.strip(0, 0, &header(state, address, width));
    canvas.strip(0, 1, &tabs(state, width));
    // The last line is the footer's.
    let bottom = height.saturating_sub(1);
    if state.help {
        for (at, (keys, meaning)) in HELP.iter().enumerate().take(bottom.saturating_sub(3)) {
            canvas.strip(
                MARK,
                3 + at,
                &Strip::of(Tone::Strong, format!("{keys:<14}")).and(Tone::Plain, *meaning),
            );
        }
    } else {
        content(&mut canvas, &page_of(state), bottom);
    }
    if bottom > 0 {
        canvas.strip(0, bottom, &footer(state));
    }
    canvas.cells
}

/// A page between the tabs and the line at `bottom`.
fn content(canvas: &mut Canvas, page: &Page, bottom: usize) {
    let width = canvas.cells.width;
    let mut y = 2;
    let heads = page.head.iter().flat_map(|strip| broken(strip, width));
    // However much there is to say, rows are left.
    for strip in heads.take(bottom.saturating_sub(6)) {
        canvas.strip(0, y, &strip);
        y += 1;
    }
    if page.grid.rows.is_empty() {
        canvas.strip(MARK, y + 1, &Strip::of(Tone::Dim, page.empty.as_str()));
        return;
    }
    let room = bottom.saturating_sub(y + 1);
    let detail: Vec<_> = page.detail.iter().flat_map(|strip| broken(strip, width)).collect();
    let of_rows = room.saturating_sub(detail.len() + 1).max(room.div_ceil(2)).min(page.grid.rows.len());
    let places: Vec<_> = page.grid.places(width.saturating_sub(MARK));
    for place in &places {
        let style = Style { underlined: true, ..canvas.theme.style(Tone::Dim) };
        canvas.cells.write(MARK + place.x, y, &page.grid.title(*place), place.width, style);
    }
    y += 1;
    let first = (page.selected + 1).saturating_sub(of_rows);
    for at in (first..page.grid.rows.len()).take(of_rows) {
        row(canvas, &page.grid, at, y, at == page.selected);
        y += 1;
    }
    let room = bottom.saturating_sub(y + 1);
    let fits = if detail.len() > room { room.saturating_sub(1) } else { detail.len() };
    for strip in &detail[..fits] {
        y += 1;
        canvas.strip(0, y, strip);
    }
    if fits < detail.len() && room > 0 {
        let told = format!("… {} further lines, for which a higher terminal has room", detail.len() - fits);
        canvas.strip(0, y + 1, &Strip::of(Tone::Dim, told));
    }
}

fn row(canvas: &mut Canvas, grid: &Grid, at: usize, y: usize, selected: bool) {
    for place in grid.places(canvas.cells.width.saturating_sub(MARK)) {
        match grid.rows[at].get(place.column) {
            Some(Cell::Text(tone, text)) => {
                let style = canvas.theme.style(*tone);
                canvas.cells.write(MARK + place.x, y, &grid.aligned(place, text), place.width, style);
            }
            Some(Cell::Bar(from, to)) => canvas.bar(MARK + place.x, y, place.width, (*from, *to)),
            None => {}
        }
    }
    if selected {
        canvas.cells.write(0, y, ">", 1, Style::default());
        canvas.cells.reverse(y);
    }
}

/// `strip` in lines that fit, broken at spaces; what follows the first is indented.
fn broken(strip: &Strip, width: usize) -> Vec<Strip> {
    const INDENT: &str = "  ";
    let mut lines = vec![Strip::default()];
    let mut used = 0;
    for (tone, text) in &strip.0 {
        for word in text.split_inclusive(' ') {
            if used > INDENT.len() && used + word.trim_end().width() > width {
                lines.push(Strip::of(Tone::Plain, INDENT));
                used = INDENT.len();
            }
            used += word.width();
            if let Some(line) = lines.last_mut() {
                match line.0.last_mut() {
                    Some((last, text)) if last == tone => text.push_str(word),
                    _ => line.0.push((*tone, word.to_owned())),
                }
            }
        }
    }
    lines
}

/// Which gateway, and how it is; as much of it as there is room for.
fn header(state: &State, address: &str, width: usize) -> Strip {
    let Some(overview) = state.history.last() else {
        return joined([(Tone::Strong, "linkspan".to_owned()), (Tone::Plain, address.to_owned())], " · ");
    };
    let ready = if overview.ready { (Tone::Good, "ready") } else { (Tone::Bad, "not ready") };
    let limited = match overview.traces.limited {
        0 => String::new(),
        limited => format!(" ({} over the limit)", format::count(limited)),
    };
    let parts = [
        (Tone::Strong, format!("linkspan {}", overview.version)),
        (Tone::Plain, format!("generation {}", overview.generation)),
        (ready.0, ready.1.to_owned()),
        (Tone::Plain, format!("up {}", format::rough(overview.now - overview.started))),
        (Tone::Plain, overview.memory.map(format::bytes).unwrap_or_default()),
        (Tone::Plain, overview.connections.map(connections).unwrap_or_default()),
        (Tone::Plain, address.to_owned()),
        (Tone::Plain, format!("{} sampled{limited}", format::count(overview.traces.sampled))),
    ];
    let mut used = 0;
    let fits = |(_, text): &(Tone, String)| {
        used += text.width() + 3;
        !text.is_empty() && used <= width + 3
    };
    joined(parts.into_iter().filter(|(_, text)| !text.is_empty()).take_while(fits), " · ")
}

fn connections(open: u64) -> String {
    format!("{} connection{}", format::count(open), if open == 1 { "" } else { "s" })
}

/// The views, and how the present one is shown.
fn tabs(state: &State, width: usize) -> Strip {
    let mut strip = Strip::default();
    for (number, view) in (1..).zip(View::ALL) {
        let (tone, text) = match view == state.view {
            true => (Tone::Strong, format!("[{number} {}] ", view.title())),
            false => (Tone::Dim, format!(" {number} {}  ", view.title())),
        };
        strip.0.push((tone, text));
    }
    // The most important first: what has no room is left out.
    let mut parts = Vec::new();
    let is_list = state.view == View::Pipelines && state.pipeline.is_none();
    if let Some(it) = state.history.last().filter(|it| is_list && it.total > it.pipelines.len()) {
        parts.push(format!("{}–{} of {}", it.from + 1, it.from + it.pipelines.len(), it.total));
    }
    if !state.filter.is_empty() && !state.is_inside() {
        parts.push(format!("/{}", cut(&state.filter, 20)));
    }
    if is_list && state.sort != Sort::Configuration {
        parts.push(format!("by {}", state.sort.title()));
    }
    parts.push(match state.history.window() {
        _ if state.paused => "paused".to_owned(),
        Some(window) if !window.whole => format!("last {}", format::rough(window.seconds.round())),
        _ => "since start".to_owned(),
    });
    let rest = width.saturating_sub(strip.width());
    while let Some(told) = Some(parts.join(" · ")).filter(|told| !told.is_empty()) {
        if told.width() <= rest {
            strip.0.push((Tone::Dim, " ".repeat(rest - told.width()) + &told));
            break;
        }
        parts.pop();
    }
    strip
}

/// What is being written, what is wrong, or what can be done.
fn footer(state: &State) -> Strip {
    if state.typing {
        return Strip::of(Tone::Strong, "filter: ").and(Tone::Plain, format!("{}_", state.filter));
    }
    if let Some(trouble) = &state.trouble {
        let since = format!("no answer since {} UTC: ", format::clock(trouble.since));
        return Strip::of(Tone::Bad, since)
            .and(Tone::Plain, trouble.message.lines().next().unwrap_or_default());
    }
    let of_view = match (state.view, state.is_inside()) {
        (_, true) => "Esc back",
        (View::Pipelines, false) => "Enter stages  s sort  / filter",
        (View::Traces, false) => "Enter spans  / filter",
        (View::Upstreams | View::Generations, false) => "/ filter",
    };
    Strip::of(Tone::Dim, format!("q quit  ? help  Tab views  {of_view}  p pause"))
}
