//! A trace as text: who did what, for how long, and what it changed.

use super::changes::{Change, Field, changes};
use crate::telemetry::{HostCall, harmless};
use serde_json::Value;
use std::fmt::Write as _;

/// Columns of the bar that shows when something was done.
const BAR: usize = 24;
/// Digits of a row of what is no text.
const ROW: usize = 64;
/// Characters of a text that are shown.
const MOST: usize = 200;

/// The text of `trace`, as the admin listener tells of it.
pub(super) fn text(trace: &Value) -> String {
    let spans = trace["spans"].as_array().map_or(&[][..], Vec::as_slice);
    let mut view = View {
        spans,
        left: spans.len(),
        whole: trace["duration"].as_f64().unwrap_or_default(),
        out: String::new(),
    };
    let Some(root) = spans.iter().find(|span| view.parent(span).is_none()) else {
        return "the trace has no spans\n".to_owned();
    };
    view.title(trace, root);
    view.span(root, 0);
    // What hangs under a span that was dropped.
    let strays: Vec<_> = spans.iter().filter(|span| view.parent(span).is_none()).skip(1).collect();
    strays.into_iter().for_each(|span| view.span(span, 0));
    view.out
}

struct View<'t> {
    spans: &'t [Value],
    /// Spans that are not shown yet: a gateway that calls two alike, or one its own parent, is not followed for ever.
    left: usize,
    whole: f64,
    out: String,
}

impl<'t> View<'t> {
    fn title(&mut self, trace: &Value, root: &Value) {
        let heads = &root["heads"];
        let asked = match (heads["method"].as_str(), heads["target"].as_str()) {
            (Some(method), Some(target)) => format!("{method} {target}"),
            _ => plain(&root["name"]),
        };
        let status = trace["status"].as_u64().map_or_else(|| "no status".to_owned(), |it| it.to_string());
        let pipeline = trace["pipeline"].as_str().map_or_else(String::new, |it| format!(" through `{it}`"));
        let line =
            format!("{asked} → {status}{pipeline}, {} (trace {})", time(self.whole), plain(&trace["id"]));
        self.line(0, &harmless(&line, 2 * MOST));
    }

    fn parent(&self, span: &Value) -> Option<&'t Value> {
        let parent = span["parent"].as_str()?;
        self.spans.iter().find(|other| other["id"] == parent)
    }

    fn children(&self, span: &Value) -> Vec<&'t Value> {
        let spans = self.spans;
        spans.iter().filter(|other| other["parent"].is_string() && other["parent"] == span["id"]).collect()
    }

    fn span(&mut self, span: &'t Value, depth: usize) {
        let Some(left) = self.left.checked_sub(1) else { return };
        self.left = left;
        let bar = bar(&span["start"], &span["duration"], self.whole);
        let told = harmless(&about(span), MOST);
        let name = harmless(&plain(&span["name"]), MOST);
        let indented = format!("{}{name}", "  ".repeat(depth));
        let _ = writeln!(self.out, "\n{bar} {indented:<28} {told}");
        let error = span["error"].as_str().filter(|error| !error.is_empty());
        if let Some(error) = error {
            self.line(depth, &format!("error    {}", harmless(error, MOST)));
        }
        for event in span["events"].as_array().into_iter().flatten() {
            let attributes = &event["attributes"];
            let level = attributes["log.level"].as_str().unwrap_or("");
            let message =
                attributes["log.message"].as_str().map_or_else(|| plain(&event["name"]), str::to_owned);
            self.line(depth, &format!("log      {} {}", harmless(level, 5), harmless(&message, MOST)));
        }
        if let Some(calls) = host_calls(&span["attributes"]) {
            self.line(depth, &format!("host     {calls}"));
        }
        self.heads(span, depth);
        self.bodies(span, depth);
        // A trace has at most some hundreds of spans, and a depth of as many.
        for child in self.children(span) {
            self.span(child, depth + 1);
        }
    }

    /// What it changed: the request that it got, beside the one that it passed on, and the responses likewise.
    fn heads(&mut self, span: &'t Value, depth: usize) {
        let heads = &span["heads"];
        if !heads.is_object() {
            return;
        }
        let next = self.children(span).into_iter().find(|child| child["heads"].is_object());
        let Some(next) = next.map(|next| &next["heads"]) else {
            let answer = fields(&heads["response"]);
            for (name, value) in answer {
                self.line(depth, &format!("answers  {}: {}", harmless(name, MOST), harmless(value, MOST)));
            }
            return;
        };
        if (&heads["method"], &heads["target"]) != (&next["method"], &next["target"]) {
            let target = format!("{} {}", plain(&next["method"]), plain(&next["target"]));
            self.line(depth, &format!("request  ~ {}", harmless(&target, MOST)));
        }
        self.changes("request ", depth, &fields(&heads["request"]), &fields(&next["request"]));
        // A stage that got no response has changed none.
        if next["response"].is_array() && heads["response"].is_array() {
            if heads["status"] != next["status"] {
                let line = format!("response ~ {} instead of {}", heads["status"], next["status"]);
                self.line(depth, &line);
            }
            self.changes("response", depth, &fields(&next["response"]), &fields(&heads["response"]));
        }
    }

    /// The bodies that it got and gave, unless they are those that the span before it got, or the one behind it gave.
    fn bodies(&mut self, span: &'t Value, depth: usize) {
        let behind = self.children(span).into_iter().find(|child| child["heads"]["bodies"].is_object());
        for (what, nearer) in [("request", self.parent(span)), ("response", behind)] {
            let body = &span["heads"]["bodies"][what];
            let Some(bytes) = body["bytes"].as_u64().filter(|bytes| *bytes > 0) else { continue };
            if nearer.is_some_and(|nearer| nearer["heads"]["bodies"][what] == *body) {
                self.line(depth, &format!("{what:<8} body, {bytes} bytes, unchanged"));
                continue;
            }
            let cut = match body["truncated"].as_bool() {
                Some(true) => format!(", of which the first {} are", body["shown"]),
                _ => String::new(),
            };
            self.line(depth, &format!("{what:<8} body, {bytes} bytes{cut}:"));
            match (body["text"].as_str(), body["hex"].as_str()) {
                (Some(text), _) => {
                    text.lines().for_each(|line| {
                        self.line(depth, &format!("         | {}", harmless(line, usize::MAX)))
                    });
                }
                (None, Some(hex)) => {
                    for row in hex.as_bytes().chunks(ROW) {
                        let row = String::from_utf8_lossy(row);
                        self.line(depth, &format!("         x {}", harmless(&row, ROW)));
                    }
                }
                (None, None) => {}
            }
        }
    }

    fn changes(&mut self, what: &str, depth: usize, before: &[Field<'_>], after: &[Field<'_>]) {
        for change in changes(before, after) {
            let text = match change {
                Change::Added(name, value) => format!("+ {name}: {value}"),
                Change::Removed(name, value) => format!("- {name}: {value}"),
                Change::Changed(name, before, after) => format!("~ {name}: {after} (was {before})"),
            };
            self.line(depth, &format!("{what} {}", harmless(&text, MOST)));
        }
    }

    fn line(&mut self, depth: usize, text: &str) {
        let indent = if self.out.is_empty() { 0 } else { BAR + 3 + 2 * depth };
        let _ = writeln!(self.out, "{:indent$}{text}", "");
    }
}

/// What a span says of itself in a line.
fn about(span: &Value) -> String {
    let attributes = &span["attributes"];
    let own = attributes["linkspan.stage.own_time"].as_f64();
    let mut parts = Vec::new();
    match own {
        Some(own) => {
            parts.push(format!("own {}", time(own)));
            let busy = attributes["linkspan.stage.busy_time"].as_f64();
            parts.extend(busy.map(|busy| format!("busy {}", time(busy))));
            let queued = attributes["linkspan.stage.queue_time"].as_f64().filter(|queued| *queued > 1e-3);
            parts.extend(queued.map(|queued| format!("waited {} for a place", time(queued))));
        }
        None => parts.push(time(span["duration"].as_f64().unwrap_or_default())),
    }
    parts.extend(attributes["url.full"].as_str().map(str::to_owned));
    let status = attributes["http.response.status_code"].as_u64();
    parts.extend(status.map(|status| status.to_string()));
    parts.extend(attributes["linkspan.stage.outcome"].as_str().map(|outcome| outcome.replace('-', " ")));
    parts.extend(attributes["error.type"].as_str().map(|kind| format!("({kind})")));
    parts.join("  ")
}

/// What a stage asked of its host, if it is known and there was anything.
fn host_calls(attributes: &Value) -> Option<String> {
    let kinds = HostCall::ALL.into_iter().filter_map(|kind| {
        let number = attributes[kind.attribute()].as_u64().filter(|number| *number > 0)?;
        let name = match kind {
            HostCall::Request => "requests of its own",
            kind => kind.attribute().rsplit_once('.')?.1,
        };
        Some(format!("{name} {number}"))
    });
    let kinds: Vec<_> = kinds.collect();
    (!kinds.is_empty()).then(|| kinds.join(", "))
}

/// When something began and ended, within the whole.
fn bar(start: &Value, duration: &Value, whole: f64) -> String {
    let (start, duration) = (start.as_f64().unwrap_or_default(), duration.as_f64().unwrap_or_default());
    let column = |at: f64| match whole > 0.0 {
        true => ((at / whole * BAR as f64).round() as usize).min(BAR),
        false => 0,
    };
    let from = column(start).min(BAR - 1);
    let to = column(start + duration).clamp(from + 1, BAR);
    format!("{}{}{}", "·".repeat(from), "█".repeat(to - from), "·".repeat(BAR - to))
}

/// A time in the unit that suits it.
fn time(seconds: f64) -> String {
    match seconds {
        _ if seconds < 1e-3 => format!("{:.1} µs", seconds * 1e6),
        _ if seconds < 1.0 => format!("{:.2} ms", seconds * 1e3),
        _ => format!("{seconds:.2} s"),
    }
}

/// The fields of a head.
fn fields(head: &Value) -> Vec<Field<'_>> {
    fn pair(field: &Value) -> Option<Field<'_>> {
        Some((field[0].as_str()?, field[1].as_str()?))
    }
    head.as_array().into_iter().flatten().filter_map(pair).collect()
}

fn plain(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn stages_and_what_they_changed() {
        let head = |request: Value, response: Value| json!({ "method": "GET", "target": "/x", "request": request, "status": 200, "response": response });
        let trace = json!({
            "id": "4bf92f3577b34da6a3ce929d0e0e4736", "duration": 0.002, "status": 200, "pipeline": "main",
            "spans": [
                { "id": "1", "parent": null, "name": "GET /", "start": 0.0, "duration": 0.002, "attributes": {},
                  "events": [], "error": null, "heads": head(json!([["a", "1"]]), json!([["x", "1"], ["y", "2"]])) },
                { "id": "2", "parent": "1", "name": "0:edits", "start": 0.0005, "duration": 0.001, "error": null,
                  "attributes": { "linkspan.stage.own_time": 0.00001, "linkspan.stage.outcome": "passed-on",
                                  "linkspan.stage.host_calls": 3, "linkspan.stage.host_calls.config": 2,
                                  "linkspan.stage.host_calls.log": 1, "linkspan.stage.outgoing_requests": 4 },
                  "events": [{ "at": 0.0006, "name": "log",
                               "attributes": { "log.level": "INFO", "log.message": "evil \u{1b}[2J" } }],
                  "heads": head(json!([["a", "1"]]), json!([["x", "1"], ["y", "2"]])) },
                { "id": "3", "parent": "2", "name": "hello", "start": 0.001, "duration": 0.0005,
                  "error": "it trapped", "attributes": { "linkspan.stage.own_time": 0.0005 }, "events": [],
                  "heads": head(json!([["a", "2"], ["b", "3"]]), json!([["x", "1"]])) },
            ],
        });
        let expected = "\
GET /x → 200 through `main`, 2.00 ms (trace 4bf92f3577b34da6a3ce929d0e0e4736)

████████████████████████ GET /                        2.00 ms

······████████████······   0:edits                    own 10.0 µs  passed on
                             log      INFO evil \\u{1b}[2J
                             host     config 2, log 1, requests of its own 4
                             request  ~ a: 2 (was 1)
                             request  + b: 3
                             response + y: 2

············██████······     hello                    own 500.0 µs
                               error    it trapped
                               answers  x: 1
";
        assert_eq!(text(&trace), expected);
        assert_eq!(text(&json!({ "spans": [] })), "the trace has no spans\n");
    }
}
