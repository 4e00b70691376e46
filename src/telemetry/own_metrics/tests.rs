use super::*;
use crate::telemetry::{Format, Metrics};

fn point<T>(attributes: &[(&str, &str)], value: T) -> Point<T> {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    Point { attributes: attributes.iter().map(owned).collect(), value }
}

fn metric(name: &str, data: Data) -> OwnMetric {
    let library = ("lib".to_owned(), None);
    OwnMetric { library, name: name.into(), description: "What it is.".into(), unit: String::new(), data }
}

fn counter(name: &str, value: f64, delta: bool) -> OwnMetric {
    metric(name, Data::Sum { points: vec![point(&[], value)], monotonic: true, delta })
}

fn level(name: &str, value: f64, delta: bool) -> OwnMetric {
    metric(name, Data::Sum { points: vec![point(&[], value)], monotonic: false, delta })
}

fn buckets(ends: &[f64], counts: &[u64], sum: f64) -> Buckets {
    Buckets { ends: ends.to_vec(), counts: counts.to_vec(), sum }
}

fn histogram(value: Buckets, delta: bool) -> OwnMetric {
    metric("size", Data::Histogram { points: vec![point(&[], value)], delta })
}

fn lines(own: &OwnMetrics) -> Vec<String> {
    let metrics = Metrics::new();
    metrics.set_own_metrics(own.clone());
    let text = metrics.render(Format::Prometheus);
    let is_own = |line: &&str| line.contains("stage_") && !line.contains("linkspan_stage_");
    text.lines()
        .filter(is_own)
        .map(|line| line.replace("linkspan_pipeline=\"edge\",linkspan_stage=", ""))
        .collect()
}

/// The value of the only series of this name.
#[track_caller]
fn value(own: &OwnMetrics, name: &str) -> String {
    let lines = lines(own);
    let mut found = lines.iter().filter(|line| line.starts_with(&format!("{name}{{")));
    let line = found.next().unwrap_or_else(|| panic!("{lines:?}"));
    assert_eq!(found.next(), None);
    line.rsplit_once(' ').unwrap().1.to_owned()
}

#[test]
fn instances_add_up_and_what_is_gone_stays() {
    let own = OwnMetrics::default();
    let stage = own.of("edge", "0:a");
    let (mut one, mut two) = (stage.begin(), stage.begin());
    for (told, total) in [(3.0, "3"), (3.0, "3"), (5.0, "5")] {
        one.tell(&counter("hits", told, false)).unwrap();
        assert_eq!(value(&own, "stage_hits_total"), total);
    }
    two.tell(&counter("hits", 10.0, false)).unwrap();
    assert_eq!(value(&own, "stage_hits_total"), "15");
    drop(one);
    assert_eq!(value(&own, "stage_hits_total"), "15");
    // It began anew.
    two.tell(&counter("hits", 2.0, false)).unwrap();
    assert_eq!(value(&own, "stage_hits_total"), "17");
    two.tell(&counter("hits", 2.0, true)).unwrap();
    two.tell(&counter("hits", 2.0, true)).unwrap();
    assert_eq!(value(&own, "stage_hits_total"), "21");
}

#[test]
fn a_sum_that_can_fall_goes_with_its_instance_and_a_gauge_stays() {
    let own = OwnMetrics::default();
    let stage = own.of("edge", "0:a");
    let (mut one, mut two) = (stage.begin(), stage.begin());
    one.tell(&level("open", 7.0, false)).unwrap();
    two.tell(&level("open", 1.0, true)).unwrap();
    two.tell(&level("open", 1.0, true)).unwrap();
    one.tell(&level("open", 4.0, false)).unwrap();
    two.tell(&metric("heat", Data::Gauge(vec![point(&[], -1.5)]))).unwrap();
    assert_eq!(value(&own, "stage_open"), "6");
    drop(two);
    assert_eq!((value(&own, "stage_open").as_str(), value(&own, "stage_heat").as_str()), ("4", "-1.5"));
    drop(one);
    assert_eq!(value(&own, "stage_open"), "0");
}

#[test]
fn buckets_add_up_and_begin_anew() {
    let own = OwnMetrics::default();
    let mut one = own.of("edge", "0:a").begin();
    let told = |counts: [u64; 3], sum, delta| histogram(buckets(&[1.0, 2.5], &counts, sum), delta);
    one.tell(&told([1, 0, 0], 0.5, false)).unwrap();
    one.tell(&told([1, 2, 1], 9.5, false)).unwrap();
    one.tell(&told([1, 0, 0], 1.0, true)).unwrap();
    // Fewer than before: all of them are new.
    one.tell(&told([0, 0, 1], 4.0, false)).unwrap();
    let found = lines(&own);
    let labels = "{\"0:a\",otel_scope_name=\"lib\"";
    for line in [
        "# TYPE stage_size histogram".to_owned(),
        format!("stage_size_bucket{labels},le=\"1\"}} 2"),
        format!("stage_size_bucket{labels},le=\"2.5\"}} 4"),
        format!("stage_size_bucket{labels},le=\"+Inf\"}} 6"),
        format!("stage_size_sum{labels}}} 14.5"),
        format!("stage_size_count{labels}}} 6"),
    ] {
        assert!(found.contains(&line), "{line}\n{found:#?}");
    }
}

#[test]
fn names_and_labels_have_the_spelling_of_prometheus() {
    let own = OwnMetrics::default();
    let mut one = own.of("edge", "0:a").begin();
    let attributes = [
        ("http.request.method", "\"GE\\\"T\""),
        ("ratio", "0.5"),
        ("le", "\"x\""),
        ("linkspan_stage", "\"another\""),
        ("7", "[1,2]"),
        ("a.b", "1"),
        ("a/b", "2"),
    ];
    let mut told = metric(
        "app.cache  hits",
        Data::Sum { points: vec![point(&attributes, 1.0)], monotonic: true, delta: false },
    );
    (told.unit, told.library.1) = ("By".into(), Some("2".into()));
    told.description = "one\nline \\ and no more".into();
    one.tell(&told).unwrap();
    assert_eq!(
        lines(&own),
        [
            "# HELP stage_app_cache_hits_bytes_total one line   and no more",
            "# TYPE stage_app_cache_hits_bytes_total counter",
            "stage_app_cache_hits_bytes_total{\"0:a\",a_b=\"1\",exported_le=\"x\",exported_linkspan_stage=\"another\",\
             http_request_method=\"GE\\\"T\",key_7=\"[1,2]\",otel_scope_name=\"lib\",otel_scope_version=\"2\",ratio=\"0.5\"} 1",
        ]
    );
    for (name, unit, data, expected) in [
        ("latency", "s", counter("", 1.0, false).data, "stage_latency_seconds_total"),
        ("latency_seconds", "s", level("", 1.0, false).data, "stage_latency_seconds"),
        ("used", "1", Data::Gauge(vec![point(&[], 1.0)]), "stage_used_ratio"),
        ("jobs_total", "{job}", counter("", 1.0, false).data, "stage_jobs_total"),
    ] {
        let mut told = metric(name, data);
        told.unit = unit.into();
        one.tell(&told).unwrap();
        assert_eq!(value(&own, expected), "1");
    }
}

#[test]
fn what_can_t_be_taken_is_counted_and_the_rest_is_taken() {
    let own = OwnMetrics::default();
    own.set_bound(3);
    let stage = own.of("edge", "0:a");
    let mut one = stage.begin();
    let many = |count: u32| {
        let points = (0..count).map(|at| point(&[("at", &at.to_string())], 1.0)).collect();
        metric("many", Data::Sum { points, monotonic: true, delta: true })
    };
    assert_eq!(one.tell(&many(10)), Err((7, Dropped::TooMany)));
    assert_eq!(lines(&own).iter().filter(|line| line.starts_with("stage_many_total")).count(), 3);
    assert_eq!(one.tell(&many(3)), Ok(()), "those that are there go on");
    own.set_bound(20);
    let long = "n".repeat(129);
    let wide: Vec<_> = (0..17).map(|at| (format!("k{at}"), "1".to_owned())).collect();
    let wide = Data::Gauge(vec![Point { attributes: wide, value: 1.0 }]);
    let huge = buckets(&(0..256).map(f64::from).collect::<Vec<_>>(), &[1; 257], 1.0);
    one.tell(&histogram(buckets(&[1.0], &[1, 1], 2.0), false)).unwrap();
    for (told, why) in [
        (counter("", 1.0, false), Dropped::Name),
        (counter(&long, 1.0, false), Dropped::Name),
        (metric("wide", wide), Dropped::Name),
        (metric("keyless", Data::Gauge(vec![point(&[("", "1")], 1.0)])), Dropped::Name),
        (metric("many_total", Data::Gauge(vec![point(&[], 1.0)])), Dropped::Type),
        (histogram(buckets(&[1.0, 2.0], &[1, 1, 1], 3.0), false), Dropped::Value),
        (histogram(buckets(&[2.0, 1.0], &[1, 1, 1], 3.0), false), Dropped::Value),
        (histogram(buckets(&[1.0], &[1], 3.0), false), Dropped::Value),
        (histogram(buckets(&[1.0], &[1, 1], f64::NAN), false), Dropped::Value),
        (histogram(buckets(&[f64::INFINITY], &[1, 1], 1.0), false), Dropped::Value),
        (histogram(huge, false), Dropped::Value),
        (counter("down", -1.0, true), Dropped::Value),
        (counter("nan", f64::NAN, false), Dropped::Value),
        (metric("inf", Data::Gauge(vec![point(&[], f64::INFINITY)])), Dropped::Value),
    ] {
        assert_eq!(one.tell(&told), Err((1, why)), "{told:?}");
    }
    // Another stage has room of its own, and the same names.
    let mut other = own.of("edge", "1:b").begin();
    assert_eq!(other.tell(&level("many_total", 1.0, false)), Err((1, Dropped::Type)));
    assert_eq!(other.tell(&many(1)), Ok(()));
    let metrics = Metrics::new();
    metrics.set_own_metrics(own.clone());
    let text = metrics.render(Format::OpenMetrics);
    for (stage, dropped) in [("0:a", 21), ("1:b", 1)] {
        let line = format!(
            "linkspan_stage_points_dropped_total{{linkspan_pipeline=\"edge\",linkspan_stage=\"{stage}\"}} {dropped}"
        );
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    assert!(text.contains("# TYPE stage_many counter\n"), "{text}");
}

#[test]
fn all_stages_together_have_a_bound() {
    let own = OwnMetrics::default();
    own.0.count.store(MOST - 1, Relaxed);
    let mut one = own.of("edge", "0:a").begin();
    one.tell(&counter("a", 1.0, false)).unwrap();
    assert_eq!(one.tell(&counter("b", 1.0, false)), Err((1, Dropped::TooMany)));
    assert_eq!(one.tell(&counter("a", 2.0, false)), Ok(()));
}
