use super::*;

const ROOM: Room = Room { spans: 4, span_size: 200, value_size: 20 };

fn id(number: u8) -> SpanId {
    SpanId::parse(format!("{number:016x}").as_bytes()).unwrap()
}

/// A span that the gateway has recorded.
fn own(number: u8, times: (u64, u64)) -> Span {
    let mut span = Span::new(id(number), (None, false), SpanKind::Internal, "own".into(), times.0);
    span.end = times.1;
    span
}

fn told(parent: &str, times: (u64, u64)) -> ToldSpan {
    ToldSpan { parent: parent.into(), name: "told".into(), times, sampled: true, ..ToldSpan::default() }
}

fn digits(number: u8) -> String {
    id(number).to_string()
}

/// The spans that `stage` tells of, each with the digits of its parent, below the gateway's span 1 from 100 to 200.
fn hung(spans: &[(u8, &str)]) -> Vec<(SpanId, SpanId)> {
    let room = Room { spans: 100, ..ROOM };
    let mut all = Told::default();
    for (number, parent) in spans {
        assert!(all.has_place(id(*number), room));
        all.begin(id(1), id(*number));
        all.end(id(*number), told(parent, (120, 130)).into_span(id(*number), "0:a".into(), room));
    }
    let mut found = vec![own(1, (100, 200))];
    assert_eq!(all.finish(&mut found), 0);
    found.iter().skip(1).map(|span| (span.id, span.parent.unwrap())).collect()
}

#[test]
fn spans_hang_under_each_other_or_under_the_stage() {
    let (two, three, four) = (digits(2), digits(3), digits(4));
    for (spans, expected) in [
        // Whoever ends first.
        (vec![(3, two.as_str()), (2, "")], vec![(3, 2), (2, 1)]),
        (vec![(2, ""), (3, &two), (4, &three)], vec![(2, 1), (3, 2), (4, 3)]),
        // Nobody knows the parent, or it is no name.
        (vec![(2, "00000000000000ff"), (3, "x"), (4, "0000000000000000")], vec![(2, 1), (3, 1), (4, 1)]),
        (vec![(2, &two)], vec![(2, 1)]),
    ] {
        let expected: Vec<_> = expected.into_iter().map(|(span, parent)| (id(span), id(parent))).collect();
        assert_eq!(hung(&spans), expected, "{spans:?}");
    }
    // In a circle, one of them hangs under the stage, and the others are reached from there.
    for (spans, size) in [
        (vec![(2, three.as_str()), (3, two.as_str())], 2),
        (vec![(5, two.as_str()), (2, &three), (3, &four), (4, &two)], 4),
    ] {
        let hung: HashMap<_, _> = hung(&spans).into_iter().collect();
        assert_eq!(hung.len(), size);
        for span in hung.keys() {
            let way = std::iter::successors(Some(*span), |at| hung.get(at).copied());
            assert!(way.take(size + 1).any(|at| at == id(1)), "{span:?} in {hung:?}");
        }
    }
}

#[test]
fn a_stage_hangs_nothing_under_the_spans_of_another_one() {
    let mut all = Told::default();
    for (stage, span, parent) in [(1, 3, String::new()), (2, 4, digits(3))] {
        all.begin(id(stage), id(span));
        assert!(!all.has_begun(id(3 - stage), id(span)), "it is another stage's");
        all.end(id(span), told(&parent, (120, 130)).into_span(id(span), "0:a".into(), ROOM));
    }
    let mut found = vec![own(1, (100, 200)), own(2, (110, 190))];
    all.finish(&mut found);
    assert_eq!((found[2].parent, found[3].parent), (Some(id(1)), Some(id(2))));
}

#[test]
fn what_can_not_be_taken_is_counted_for_its_stage() {
    let mut all = Told::default();
    all.begin(id(1), id(2));
    assert!(!all.has_place(id(2), ROOM), "it is taken");
    assert!(!all.has_place(id(1), ROOM), "it is a stage's");
    for number in [3, 4, 5] {
        assert!(all.has_place(id(number), ROOM));
        all.begin(id(1), id(number));
    }
    assert!(!all.has_place(id(6), ROOM), "there is no room");
    assert_eq!((all.current(id(1)), all.current(id(9))), (id(5), id(9)));
    // One is the gateway's, one is not over, and one could not begin.
    for number in [2, 3, 5] {
        all.end(id(number), told("", (120, 130)).into_span(id(number), "0:a".into(), ROOM));
    }
    assert_eq!(all.current(id(1)), id(4));
    all.drop_of(id(1));
    let mut found = vec![own(1, (100, 200)), own(3, (100, 200))];
    assert_eq!(all.finish(&mut found), 2);
    assert_eq!(found.iter().map(|span| span.id).collect::<Vec<_>>(), [id(1), id(3), id(2), id(5)]);
    assert_eq!(found[0].get("linkspan.stage.dropped_spans"), Some(&Value::Number(3)));
}

#[test]
fn times_are_within_the_stage() {
    for (given, expected) in [
        ((120, 130), (120, 130)),
        ((0, u64::MAX), (100, 200)),
        ((130, 120), (130, 130)),
        ((300, 400), (200, 200)),
        ((u64::MAX, 0), (200, 200)),
    ] {
        let mut all = Told::default();
        all.begin(id(1), id(2));
        all.end(id(2), told("", given).into_span(id(2), "0:a".into(), ROOM));
        let mut found = vec![own(1, (100, 200))];
        all.finish(&mut found);
        assert_eq!((found[1].start, found[1].end), expected, "{given:?}");
    }
}

#[test]
fn attributes_are_values_and_have_bounds() {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let attributes = [
        ("text", "\"é\""),
        ("whole", "-7"),
        ("part", "1.5"),
        ("truth", "true"),
        ("list", "[1, 2]"),
        ("none", "{"),
        ("text", "\"again\""),
        ("", "1"),
        ("linkspan.stage.own_time", "9"),
        ("long", "\"0123456789012345678901234\""),
    ];
    let attributes = attributes.map(|(name, value)| pair(name, value)).to_vec();
    let events =
        vec![(125, "event".to_owned(), attributes[..2].to_vec()), (999, "n".repeat(500), Vec::new())];
    let error = Some("e".repeat(99));
    let library = ("lib".to_owned(), Some("1".to_owned()));
    let told = ToldSpan { attributes, events, error, library, dropped: [1, 2, 3], ..told("", (120, 130)) };
    let span = told.clone().into_span(id(2), "0:a".into(), ROOM);
    let kept: Vec<_> = span.attributes.iter().map(|(name, value)| (&**name, value.clone())).collect();
    let text = |text: &str| Value::from(text.to_owned());
    assert_eq!(
        kept,
        [
            ("linkspan.stage", text("0:a")),
            ("otel.scope.name", text("lib")),
            ("otel.scope.version", text("1")),
            ("text", text("é")),
            ("whole", Value::Number(-7)),
            ("part", Value::Double(1.5)),
            ("truth", Value::Boolean(true)),
            ("list", text("[1, 2]")),
            ("none", text("{")),
            ("long", text("01234567890123456789")),
        ]
    );
    assert_eq!((span.dropped_attributes, span.dropped_events, span.dropped_links), (4, 3, 3));
    assert_eq!((span.events.len(), span.events[0].attributes.len()), (1, 2));
    assert_eq!(span.error.as_deref(), Some(&*"e".repeat(20)));
    assert!(span.told);

    let many = (0..200).map(|at| pair(&format!("a{at}"), "1")).collect();
    let room = Room { span_size: 100_000, ..ROOM };
    let many = ToldSpan { attributes: many, ..told.clone() }.into_span(id(2), "0:a".into(), room);
    assert_eq!((many.attributes.len(), many.dropped_attributes), (MOST_ATTRIBUTES, 1 + 200 - 61));
    let events = (0..99).map(|at| (at, "e".to_owned(), Vec::new())).collect();
    let events = ToldSpan { events, ..told.clone() }.into_span(id(2), "0:a".into(), room);
    assert_eq!((events.events.len(), events.dropped_events), (MOST_EVENTS, 2 + 99 - MOST_EVENTS as u32));
    let narrow = told.into_span(id(2), "0:a".into(), Room { span_size: 14, ..ROOM });
    assert_eq!(narrow.dropped_attributes, 10, "{narrow:?}");
}

#[test]
fn a_span_is_of_the_trace_that_is_recorded() {
    let (trace, other) = (TraceId::random(), TraceId::random());
    let span = |trace: &str, id: &str| ToldSpan { trace: trace.into(), id: id.into(), ..told("", (1, 2)) };
    assert_eq!(span(&trace.to_string(), &digits(2)).id_in(trace), Some(id(2)));
    for (named, number) in [
        (other.to_string(), digits(2)),
        (trace.to_string().to_uppercase() + "g", digits(2)),
        (String::new(), digits(2)),
        (trace.to_string(), String::new()),
        (trace.to_string(), "0".repeat(16)),
        (trace.to_string(), "x".repeat(1 << 20)),
        ("é".repeat(16), "é".repeat(8)),
    ] {
        assert_eq!(span(&named, &number).id_in(trace), None, "{named:.40} {number:.40}");
    }
}
