//! The lines that stages write to the log, in the order in which they write them.

use std::collections::HashMap;
use std::fmt::{Debug, Write as _};
use std::sync::{Mutex, PoisonError};
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

static LINES: Mutex<Option<HashMap<String, Vec<String>>>> = Mutex::new(None);

/// Keeps the lines of the chains that this thread runs, until it is dropped.
pub fn keep_lines() -> tracing::subscriber::DefaultGuard {
    let stages =
        tracing_subscriber::filter::Targets::new().with_target("linkspan::stage", tracing::Level::TRACE);
    tracing::subscriber::set_default(tracing_subscriber::registry().with(Lines.with_filter(stages)))
}

/// The lines of the chain with this name since that was asked last.
pub fn lines_of(pipeline: &str) -> Vec<String> {
    let mut lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
    lines.as_mut().and_then(|lines| lines.remove(pipeline)).unwrap_or_default()
}

struct Lines;

/// A line: its pipeline, and the rest of it.
#[derive(Default)]
struct Line(String, String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let value = format!("{value:?}");
        // Writing to a string does not fail.
        let _ = match field.name() {
            "pipeline" => {
                self.0 = value;
                Ok(())
            }
            "stage" => write!(self.1, "{} ", value.split_once('/').map_or("", |(_, stage)| stage)),
            _ => write!(self.1, "{}: {value} ", field.name()),
        };
    }
}

impl<S: tracing::Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let mut line = Line::default();
        event.record(&mut line);
        let Line(pipeline, text) = line;
        let mut lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
        let text = format!("{} {text}", event.metadata().level());
        lines.get_or_insert_default().entry(pipeline).or_default().push(text);
    }
}
