//! Which requests have a trace.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::context::TraceContext;
use super::id::mixed;
use super::queue::{SpanQueue, TraceCounters};
use super::recent::RecentTraces;
use super::recording::{Sink, Trace};
use super::sampler::Sampler;
use super::watch::{Asked, Watches};
use crate::plan::TelemetryPlan;

/// Begins the traces of all workers.
pub struct Tracer {
    sampler: Sampler,
    sink: Arc<Sink>,
}

impl Tracer {
    /// A tracer whose traces go into `queue`, if there is a receiver.
    pub fn new(queue: Option<Arc<SpanQueue>>, counters: Arc<TraceCounters>) -> Arc<Self> {
        let (recent, watches) = (RecentTraces::default(), Watches::default());
        Arc::new(Self { sampler: Sampler::new(), sink: Arc::new(Sink { queue, counters, recent, watches }) })
    }

    /// Traces that were recorded last.
    pub fn recent(&self) -> &RecentTraces {
        &self.sink.recent
    }

    /// Traces that somebody asked for.
    pub fn watches(&self) -> &Watches {
        &self.sink.watches
    }

    /// The trace of a request that came with `context`, if it has one. `number` differs from request to request. What is
    /// `asked` is known of a request that has a normal form.
    ///
    /// A client can't have itself sampled: only the word of a `trusted` sender counts, or of an operator.
    pub fn begin(
        &self,
        plan: &TelemetryPlan,
        (number, asked): (u64, Option<Asked<'_>>),
        context: Option<TraceContext>,
        trusted: bool,
    ) -> Option<Arc<Trace>> {
        let named = context.as_ref().map(|context| context.trace);
        if let Some(forced) = asked.and_then(|asked| self.sink.watches.take(&asked, named)) {
            self.sink.counters.sampled.fetch_add(1, Relaxed);
            return Some(Trace::recorded(context, plan, Some(forced), Arc::clone(&self.sink)));
        }
        let chosen = match &context {
            Some(context) if trusted => context.is_sampled(),
            // Mixed: shares of a split are drawn by the same number.
            _ => plan.sample.has(mixed(number)),
        };
        if !chosen {
            return context.map(Trace::passing);
        }
        let counters = &self.sink.counters;
        if !self.sampler.admits(plan.sample_max) {
            counters.limited.fetch_add(1, Relaxed);
            return context.map(Trace::passing);
        }
        counters.sampled.fetch_add(1, Relaxed);
        Some(Trace::recorded(context, plan, None, Arc::clone(&self.sink)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::context::{TRACEPARENT, TRACESTATE};
    use super::super::queue::{DropReason, FinishedTrace};
    use super::super::span::SpanKind;
    use super::*;
    use crate::plan::Ratio;
    use http::{HeaderMap, HeaderValue};
    use std::time::Duration;

    const SENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn plan(sample: u64) -> TelemetryPlan {
        TelemetryPlan {
            sample: Ratio::of_billionths(sample),
            sample_max: 1_000_000,
            stages: false,
            query: false,
            spans: 3,
            value_size: 64,
            stage_spans: 8,
            stage_span_size: 1024,
            stage_series: 8,
            body_size: 16,
            recent: 0,
            export: None,
        }
    }

    fn context(flags: &str) -> Option<TraceContext> {
        let mut headers = HeaderMap::new();
        headers.insert(TRACEPARENT, HeaderValue::from_str(&SENT.replace("-01", flags)).unwrap());
        headers.insert(TRACESTATE, HeaderValue::from_static("a=b"));
        TraceContext::of(&headers)
    }

    fn tracer() -> (Arc<Tracer>, Arc<SpanQueue>, Arc<TraceCounters>) {
        let counters = Arc::<TraceCounters>::default();
        let queue = Arc::new(SpanQueue::new(100, 1, Arc::clone(&counters)));
        (Tracer::new(Some(Arc::clone(&queue)), Arc::clone(&counters)), queue, counters)
    }

    #[test]
    fn only_a_trusted_sender_chooses() {
        let (tracer, _, counters) = tracer();
        let (all, none) = (plan(1_000_000_000), plan(0));
        assert!(tracer.begin(&none, (1, None), None, false).is_none());
        for (plan, flags, trusted, sampled) in [
            (&none, "-01", true, true),
            (&none, "-01", false, false),
            (&none, "-00", true, false),
            (&all, "-00", true, false),
            (&all, "-00", false, true),
        ] {
            let trace = tracer.begin(plan, (1, None), context(flags), trusted).unwrap();
            assert_eq!(trace.is_sampled(), sampled, "{flags} {trusted}");
            assert_eq!(trace.id(), context(flags).unwrap().trace);
        }
        assert_eq!(counters.sampled(), 2);
        let bounded = TelemetryPlan { sample_max: 3, ..plan(1_000_000_000) };
        let (tracer, _, counters) = self::tracer();
        let begun =
            (0..100).filter(|number| tracer.begin(&bounded, (*number, None), None, true).is_some()).count();
        assert!((3..=6).contains(&begun) && counters.limited() == 100 - begun as u64, "{begun}");
        assert!(
            !tracer
                .begin(&TelemetryPlan { sample_max: 0, ..all }, (1, None), context("-01"), true)
                .unwrap()
                .is_sampled()
        );
    }

    #[test]
    fn the_share_holds_for_numbers_that_follow_each_other() {
        let (tracer, ..) = tracer();
        let plan = plan(100_000_000);
        let begun =
            (0..10_000).filter(|number| tracer.begin(&plan, (*number, None), None, true).is_some()).count();
        assert!((900..1100).contains(&begun), "{begun}");
    }

    fn finished(queue: &SpanQueue) -> FinishedTrace {
        queue.take(Duration::ZERO).unwrap().remove(0)
    }

    #[test]
    fn spans_hang_under_each_other_and_nest() {
        let (tracer, queue, counters) = tracer();
        let trace = tracer.begin(&plan(0), (1, None), context("-03"), true).unwrap();
        let mut root = trace.open_root("GET /").unwrap();
        let inner = trace.open(root.id().unwrap(), SpanKind::Client, "GET").unwrap();
        std::thread::sleep(Duration::from_millis(2));
        drop(inner);
        root.set("a", "x".repeat(99));
        root.note("half", Vec::new());
        root.fail("it broke");
        let (one, two) = (
            trace.open(trace.root().unwrap(), SpanKind::Internal, "a"),
            trace.open(root.id().unwrap(), SpanKind::Internal, "b"),
        );
        assert!(one.is_some() && two.is_none(), "three spans at most");
        drop(trace);
        assert!(queue.is_empty(), "spans are open");
        drop(one);
        drop(root);
        let FinishedTrace { id, flags, state, spans } = finished(&queue);
        assert_eq!(
            (id.to_string().as_str(), flags, state.unwrap().to_str().unwrap()),
            (&SENT[3..35], 3, "a=b")
        );
        let [inner, _, root] = &spans[..] else { panic!("{spans:?}") };
        assert_eq!((root.parent.unwrap().to_string().as_str(), root.parent_is_remote), (&SENT[36..52], true));
        assert_eq!((inner.parent, inner.parent_is_remote), (Some(root.id), false));
        assert!(root.start <= inner.start && inner.start + 2_000_000 <= inner.end && inner.end <= root.end);
        assert!(root.events[0].at >= inner.end && root.events[0].at <= root.end);
        assert_eq!(root.attributes[0].1, "x".repeat(64).into());
        assert_eq!((root.error.as_deref(), counters.dropped(DropReason::TraceFull)), (Some("it broke"), 1));
    }

    fn fields(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
    }

    /// `traceparent` and `tracestate`.
    fn both(headers: &HeaderMap) -> (&str, Option<&str>) {
        let text = |name| headers.get(name).map(|value| value.to_str().unwrap());
        (text(TRACEPARENT).unwrap(), text(TRACESTATE))
    }

    #[test]
    fn others_are_told_of_a_recorded_span() {
        let (tracer, ..) = tracer();
        let trace = tracer.begin(&plan(0), (1, None), context("-01"), true).unwrap();
        let span = trace.root().unwrap();
        let own = format!("00-{}-{span}-01", trace.id());
        let mut headers = HeaderMap::new();
        trace.tell(&mut headers, span);
        assert_eq!(both(&headers), (&*own, Some("a=b")));
        let mut passed = fields(&[("traceparent", SENT), ("tracestate", "c=d")]);
        trace.tell(&mut passed, span);
        assert_eq!(both(&passed), (&*own, Some("c=d")));
        let other = "00-11111111111111111111111111111111-2222222222222222-00";
        let mut other_trace = fields(&[("traceparent", other), ("tracestate", "c=d")]);
        trace.lead(&mut other_trace, Some(span));
        assert_eq!(both(&other_trace), (other, Some("c=d")));
        let new = tracer.begin(&plan(1_000_000_000), (1, None), None, false).unwrap();
        let mut wrong = fields(&[("traceparent", "wrong"), ("tracestate", "c=d")]);
        new.tell(&mut wrong, span);
        assert_eq!(both(&wrong), (&*format!("00-{}-{span}-03", new.id()), None));
    }

    #[test]
    fn without_a_receiver_only_what_came_is_passed_on() {
        let silent = Tracer::new(None, Arc::default());
        let recorded = silent.begin(&plan(0), (1, None), context("-01"), true).unwrap();
        let passing = silent.begin(&plan(0), (1, None), context("-01"), false).unwrap();
        for trace in [recorded, passing] {
            let mut headers = HeaderMap::new();
            trace.lead(&mut headers, trace.root());
            assert_eq!(both(&headers), (SENT, Some("a=b")));
            let mut has =
                fields(&[("traceparent", "00-11111111111111111111111111111111-2222222222222222-00")]);
            let before = has.clone();
            trace.lead(&mut has, trace.root());
            assert_eq!(has, before);
        }
        let new = silent.begin(&plan(1_000_000_000), (1, None), None, false).unwrap();
        let mut headers = HeaderMap::new();
        new.lead(&mut headers, new.root());
        assert!(headers.is_empty());
    }
}
