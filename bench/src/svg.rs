//! Charts as SVG, written by hand: bars for comparisons, lines for growth.

use std::fmt::Write as _;

const INK: &str = "#222";
const PALE: &str = "#ddd";
const COLOURS: [&str; 8] =
    ["#0b7285", "#e8590c", "#5f3dc4", "#2b8a3e", "#c2255c", "#868e96", "#1864ab", "#a06b00"];

/// Text in XML.
fn text(content: &str) -> String {
    content.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn open(title: &str, width: f64, height: f64) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\" font-family=\"system-ui, sans-serif\" font-size=\"13\" fill=\"{INK}\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n\
         <text x=\"16\" y=\"26\" font-size=\"16\" font-weight=\"600\">{}</text>\n",
        text(title)
    )
}

/// A number with its significant digits.
pub fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// One bar a row; rows whose name begins alike with `linkspan` stand out.
pub fn bars(title: &str, unit: &str, rows: &[(String, f64)]) -> String {
    const LEFT: f64 = 290.0;
    const RIGHT: f64 = 110.0;
    const WIDTH: f64 = 860.0;
    let height = 56.0 + 26.0 * rows.len() as f64 + 16.0;
    let most = rows.iter().map(|(_, value)| *value).filter(|value| value.is_finite()).fold(0.0, f64::max);
    let mut svg = open(title, WIDTH, height);
    for (at, (name, value)) in rows.iter().enumerate() {
        let y = 48.0 + 26.0 * at as f64;
        let length = if most > 0.0 { (value / most).max(0.0) * (WIDTH - LEFT - RIGHT) } else { 0.0 };
        let colour = if name.starts_with("linkspan") { COLOURS[0] } else { COLOURS[5] };
        // Writing to a string does not fail, here and below.
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>\
             <rect x=\"{LEFT}\" y=\"{y}\" width=\"{length:.1}\" height=\"18\" fill=\"{colour}\"/>\
             <text x=\"{:.1}\" y=\"{}\">{} {unit}</text>",
            LEFT - 8.0,
            y + 14.0,
            text(name),
            LEFT + length + 6.0,
            y + 14.0,
            number(*value),
        );
    }
    svg + "</svg>\n"
}

/// A name and its points.
pub type Series = (String, Vec<(f64, f64)>);

/// Lines over a common axis, which is logarithmic if its values span more than a hundredfold.
pub fn lines(title: &str, across: &str, up: &str, series: &[Series]) -> String {
    const WIDTH: f64 = 860.0;
    const HEIGHT: f64 = 420.0;
    const LEFT: f64 = 70.0;
    const TOP: f64 = 48.0;
    const RIGHT: f64 = 250.0;
    const BOTTOM: f64 = 56.0;
    let points = || series.iter().flat_map(|(_, points)| points.iter().copied());
    let (least, most) =
        points().fold((f64::INFINITY, 0.0_f64), |(least, most), (x, _)| (least.min(x), most.max(x)));
    let highest = nice(points().map(|(_, y)| y).filter(|y| y.is_finite()).fold(0.0, f64::max));
    let logarithmic = least > 0.0 && most / least > 100.0;
    let scale = |x: f64| if logarithmic { x.ln() } else { x };
    let span = (scale(most) - scale(least)).max(f64::MIN_POSITIVE);
    let at = |x: f64, y: f64| {
        let x = LEFT + (scale(x) - scale(least)) / span * (WIDTH - LEFT - RIGHT);
        (x, HEIGHT - BOTTOM - y / highest * (HEIGHT - TOP - BOTTOM))
    };
    let mut svg = open(title, WIDTH, HEIGHT);
    for step in 0..=4 {
        let value = highest * f64::from(step) / 4.0;
        let (_, y) = at(least, value);
        let _ = writeln!(
            svg,
            "<line x1=\"{LEFT}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"{PALE}\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            WIDTH - RIGHT,
            LEFT - 8.0,
            y + 4.0,
            number(value),
        );
    }
    let mut ticks: Vec<f64> = points().map(|(x, _)| x).collect();
    ticks.sort_unstable_by(f64::total_cmp);
    ticks.dedup();
    for x in ticks {
        let (left, bottom) = at(x, 0.0);
        let _ = writeln!(
            svg,
            "<text x=\"{left:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{x}</text>",
            bottom + 18.0
        );
    }
    let _ = writeln!(
        svg,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text><text x=\"{}\" y=\"42\" text-anchor=\"end\">{}</text>",
        LEFT + (WIDTH - LEFT - RIGHT) / 2.0,
        HEIGHT - 14.0,
        text(across),
        LEFT + 30.0,
        text(up),
    );
    for (number, (name, points)) in series.iter().enumerate() {
        let placed: Vec<_> = points.iter().map(|(x, y)| at(*x, *y)).collect();
        svg += &line(
            name,
            COLOURS[number % COLOURS.len()],
            &placed,
            (WIDTH - RIGHT + 20.0, TOP + 20.0 * number as f64),
        );
    }
    svg + "</svg>\n"
}

/// One line with its points, and its name beside the chart.
fn line(name: &str, colour: &str, points: &[(f64, f64)], (left, top): (f64, f64)) -> String {
    let path: Vec<_> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let circles: String = points
        .iter()
        .map(|(x, y)| format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>\n"))
        .collect();
    format!(
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\n{circles}\
         <rect x=\"{left}\" y=\"{top}\" width=\"12\" height=\"12\" fill=\"{colour}\"/>\
         <text x=\"{}\" y=\"{}\">{}</text>\n",
        path.join(" "),
        left + 18.0,
        top + 11.0,
        text(name),
    )
}

/// The next round number above.
fn nice(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let power = 10_f64.powf(value.log10().floor());
    [1.0, 1.2, 1.6, 2.0, 2.4, 3.2, 4.0, 5.0, 6.0, 8.0, 10.0]
        .iter()
        .map(|step| step * power)
        .find(|end| *end >= value)
        .unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_at_round_numbers() {
        for (value, end) in [(0.0, 1.0), (0.3, 0.32), (1.0, 1.0), (37.0, 40.0), (81.0, 100.0), (799.0, 800.0)]
        {
            assert!((nice(value) - end).abs() < 1e-9, "{value}");
        }
    }

    #[test]
    fn names_can_not_end_the_markup() {
        let svg = bars("a < b & c", "µs", &[("<script>".to_owned(), 1.0)]);
        assert!(
            svg.contains("a &lt; b &amp; c") && svg.contains("&lt;script&gt;") && !svg.contains("<script")
        );
    }
}
