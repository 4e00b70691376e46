//! The layout of values, and a reason for each thing that is not known.

use super::Seam;
use super::analyse::analyse;
use super::relift;
use crate::layout::Shape;
use wasm_encoder::ValType::{F32, F64, I32, I64};

const SEAM: Seam = Seam {
    callee: ("wasi:http", "handler"),
    function: "handle",
    noun: "next stage",
    data: ("wasi:http", "types"),
    beside: ("linkspan:config", "check"),
};

#[test]
fn values_are_laid_out_as_the_canonical_abi_has_it() {
    let byte = Shape::Number(I32, 1);
    let record = Shape::Record(vec![byte.clone(), Shape::Number(I64, 8), Shape::Text]);
    let option = |shape| Shape::Variant(vec![None, Some(shape)]);
    let large = Shape::Variant(vec![None; 300]);
    let mixed = Shape::Variant(vec![Some(Shape::Number(F32, 4)), Some(Shape::Text), Some(byte.clone())]);
    let wide = Shape::Variant(vec![Some(Shape::Number(F32, 4)), Some(Shape::Number(F64, 8))]);
    for (shape, size, align, flat) in [
        (byte.clone(), 1, 1, vec![I32]),
        (Shape::Text, 8, 4, vec![I32, I32]),
        (record.clone(), 24, 8, vec![I32, I64, I32, I32]),
        (option(byte), 2, 1, vec![I32, I32]),
        (option(record), 32, 8, vec![I32, I32, I64, I32, I32]),
        (large, 2, 2, vec![I32]),
        (mixed, 12, 4, vec![I32, I32, I32]),
        (wide, 16, 8, vec![I32, I64]),
        (Shape::Record(Vec::new()), 0, 1, vec![]),
    ] {
        assert_eq!((shape.size(), shape.align(), shape.flat()), (size, align, flat), "{shape:?}");
    }
    let texts =
        Shape::Variant(vec![Some(Shape::Record(vec![Shape::Text, option(Shape::Text)])), Some(Shape::Text)]);
    assert_eq!(texts.texts(), 2);
}

/// A middleware of two modules, of which the second has the code.
const MIDDLEWARE: &str = r#"(component
  (import "wasi:http/types@0.3.0" (instance $types
    (export "request" (type (sub resource)))
    (export "response" (type (sub resource)))))
  (alias export $types "request" (type $request))
  (alias export $types "response" (type $response))
  (import "wasi:http/handler@0.3.0" (instance $next
    (alias outer 1 $request (type $rq))
    (export "request" (type $request (eq $rq)))
    (alias outer 1 $response (type $rs))
    (export "response" (type $response (eq $rs)))
    (export "handle" (func async (param "request" (own $request)) (result (result (own $response) (error string)))))))
  (core module $libc
    (memory (export "memory") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 64))
  (core instance $libc (instantiate $libc))
  (alias core export $libc "memory" (core memory $memory))
  (alias core export $libc "realloc" (core func $realloc))
  (alias export $next "handle" (func $handle))
  (core func $lower (canon lower (func $handle) async (memory $memory) (realloc $realloc)))
  (type $result (result (own $response) (error string)))
  (core func $return (canon task.return (result $result) (memory $memory)))
  ;; MORE
  (core module $main
    (func (export "entry") (param i32) (result i32) i32.const 0)
    (func (export "callback") (param i32 i32 i32) (result i32) i32.const 0))
  (core instance $main (instantiate $main))
  (func $lifted async (param "request" (own $request)) (result $result)
    (canon lift (core func $main "entry") (memory $memory) async (callback (func $main "callback"))))
  (export "handle" (func $lifted))
)"#;

/// Why the middleware stays as it is, with each of `changes` made.
fn reason(changes: &[(&str, &str)]) -> String {
    let text = changes.iter().fold(MIDDLEWARE.to_owned(), |text, (old, new)| {
        assert!(text.contains(old), "{old}");
        text.replacen(old, new, 1)
    });
    let bytes = wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    relift(&bytes, &SEAM).expect_err("it is left as it is").to_string()
}

/// Where the middleware's text takes more.
const MORE: &str = ";; MORE";

/// Changes of the middleware, and why it is left as it is then.
const UNKNOWN: &[(&[(&str, &str)], &str)] = &[
    (&[], "its parts come in an order that is not known here"),
    (&[("async (callback (func $main \"callback\"))", "")], "it is lifted synchronously already"),
    (
        &[
            ("(callback (func $main \"callback\"))", ""),
            ("(param i32) (result i32) i32.const 0)", "(param i32))"),
        ],
        "it is lifted without a callback",
    ),
    (
        &[
            ("(export \"handle\" (func $lifted))", "(func async (canon lift (core func $main \"run\")))"),
            ("(func (export \"entry\")", "(func (export \"run\")) (func (export \"entry\")"),
        ],
        "it exports not one function, but none or several",
    ),
    (
        &[("(core func $return (canon task.return (result $result) (memory $memory)))", "")],
        "it does not answer in one place",
    ),
    (
        &[(MORE, "(core func (canon task.return (result $result) (memory $memory)))")],
        "it does not answer in one place",
    ),
    (
        &[("(memory $memory)))\n  ;; MORE", "(memory $memory) string-encoding=utf16))")],
        "its strings are not UTF-8",
    ),
    (
        &[(MORE, "(core func (canon lower (func $handle) async (memory $memory) (realloc $realloc)))")],
        "it calls the next stage in several ways",
    ),
    (
        &[("(core func $lower (canon lower (func $handle) async (memory $memory) (realloc $realloc)))", "")],
        "it calls no next stage",
    ),
    (
        &[(MORE, "(core func (canon backpressure.inc))")],
        "it uses a part of the component model that is not known here (BackpressureInc)",
    ),
    (&[(MORE, "(component (core module))")], "it is composed of several components"),
    (&[(MORE, "(import \"other\" (core module))")], "it imports or exports a core module"),
    (
        &[(MORE, "(import \"other\" (func $other)) (core func (canon lower (func $other)))")],
        "it calls a function that belongs to no interface",
    ),
    (
        &[(
            MORE,
            "(import \"a:b/timer\" (instance $timer (export \"wait\" (func async))))\n(core func (canon lower (func $timer \"wait\") async))",
        )],
        "it may wait for `a:b/timer#wait` while the next stage works",
    ),
    (
        &[(
            MORE,
            "(import \"a:b/log\" (instance $log (export \"write\" (func (param \"to\" (stream u8))))))\n(core func (canon lower (func $log \"write\")))",
        )],
        "`a:b/log#write` has a stream or future that may need it while the next stage works",
    ),
];

#[test]
fn what_is_not_known_is_left_alone() {
    let bytes = wat::parse_str(MIDDLEWARE).expect("a component");
    analyse(&bytes, &SEAM).expect("nothing in it is unknown, but the order of its parts");
    for (changes, expected) in UNKNOWN {
        assert_eq!(reason(changes), *expected, "{changes:?}");
    }
    assert!(relift(b"\0asm", &SEAM).expect_err("not a component").to_string().starts_with("it is not valid"));
}

#[test]
fn streams_that_nobody_else_can_have_are_not_counted() {
    let watched = |more: &str| {
        let bytes = wat::parse_str(MIDDLEWARE.replacen(MORE, more, 1)).expect("a component");
        let watched = analyse(&bytes, &SEAM).expect("nothing in it is unknown").watched;
        watched.into_iter().map(|(_, kind)| kind.name()).collect::<Vec<_>>()
    };
    let ends = "(core func (canon stream.new $s)) (core func (canon stream.drop-writable $s))";
    let of = |element: &str| format!("(type $s (stream {element})) {ends}");
    assert!(watched(&of("")).is_empty(), "it wakes tasks of the component");
    assert_eq!(watched(&of("u8")), ["stream.new", "stream.drop-writable"]);
    let lent = "(import \"wasi:http/types@0.3.1\" (instance $other (export \"give\" (func (param \"s\" (stream))))))\n\
                (core func (canon lower (func $other \"give\")))";
    assert_eq!(watched(&format!("{lent}\n{}", of(""))), ["stream.new", "stream.drop-writable"]);
}
