//! Guests that make messages, and that use streams, futures and sets of them.

/// Types that the guests import beside the others.
pub const TYPES: &str = r#"
    (export "request-options" (type $options (sub resource)))
    (export "[constructor]fields" (func (result (own $fields))))
    (export "[static]fields.from-list"
      (func (param "entries" (list (tuple string (list u8)))) (result (result (own $fields) (error $he)))))
    (export "[method]fields.set" (func (param "self" (borrow $fields)) (param "name" string)
      (param "value" (list (list u8))) (result (result (error $he)))))
    (export "[method]fields.append" (func (param "self" (borrow $fields)) (param "name" string)
      (param "value" (list u8)) (result (result (error $he)))))
    (export "[method]fields.delete"
      (func (param "self" (borrow $fields)) (param "name" string) (result (result (error $he)))))
    (export "[method]fields.get-and-delete"
      (func (param "self" (borrow $fields)) (param "name" string) (result (result (list (list u8)) (error $he)))))
    (export "[method]fields.clone" (func (param "self" (borrow $fields)) (result (own $fields))))
    (type $scheme' (variant (case "HTTP") (case "HTTPS") (case "other" string)))
    (export "scheme" (type $scheme (eq $scheme')))
    (export "[method]request.set-method"
      (func (param "self" (borrow $request)) (param "method" $method) (result (result))))
    (export "[method]request.set-path-with-query"
      (func (param "self" (borrow $request)) (param "path-with-query" (option string)) (result (result))))
    (export "[method]request.set-scheme"
      (func (param "self" (borrow $request)) (param "scheme" (option $scheme)) (result (result))))
    (export "[method]request.set-authority"
      (func (param "self" (borrow $request)) (param "authority" (option string)) (result (result))))
    (export "[method]request.get-scheme" (func (param "self" (borrow $request)) (result (option $scheme))))
    (export "[method]request.get-options"
      (func (param "self" (borrow $request)) (result (option (own $options)))))
    (type $behind (future (result (option (own $fields)) (error $code))))
    (type $received (future (result (error $code))))
    (export "[static]request.new" (func (param "headers" (own $fields)) (param "contents" (option (stream u8)))
      (param "trailers" $behind) (param "options" (option (own $options))) (result (tuple (own $request) $received))))
    (export "[static]response.new" (func (param "headers" (own $fields)) (param "contents" (option (stream u8)))
      (param "trailers" $behind) (result (tuple (own $response) $received))))
    (export "[static]request.consume-body"
      (func (param "this" (own $request)) (param "res" $received) (result (tuple (stream u8) $behind))))
    (export "[static]response.consume-body"
      (func (param "this" (own $response)) (param "res" $received) (result (tuple (stream u8) $behind))))"#;

/// What is defined beside the others.
pub const DEFINITIONS: &str = r#"
  (alias export $types "request-options" (type $options))
  (type $stream (stream u8))
  (type $units (stream))
  (type $behind (future (result (option (own $fields)) (error $code))))
  (type $received (future (result (error $code))))"#;

const MEMORY: &str = "(memory $memory) (realloc $realloc)";

/// Names of functions, what each is of the host, and its core type.
const FUNCTIONS: &[(&str, &str, &str)] = &[
    ("drop-options", "resource.drop $options", "(param i32)"),
    ("fields-new", "lower (func $types \"[constructor]fields\")", "(result i32)"),
    ("from-list", "lower (func $types \"[static]fields.from-list\") MEMORY", "(param i32 i32 i32)"),
    ("set", "lower (func $types \"[method]fields.set\") MEMORY", "(param i32 i32 i32 i32 i32 i32)"),
    ("append", "lower (func $types \"[method]fields.append\") MEMORY", "(param i32 i32 i32 i32 i32 i32)"),
    ("delete", "lower (func $types \"[method]fields.delete\") MEMORY", "(param i32 i32 i32 i32)"),
    ("take-out", "lower (func $types \"[method]fields.get-and-delete\") MEMORY", "(param i32 i32 i32 i32)"),
    ("clone", "lower (func $types \"[method]fields.clone\")", "(param i32) (result i32)"),
    (
        "set-method",
        "lower (func $types \"[method]request.set-method\") MEMORY",
        "(param i32 i32 i32 i32) (result i32)",
    ),
    (
        "set-path",
        "lower (func $types \"[method]request.set-path-with-query\") MEMORY",
        "(param i32 i32 i32 i32) (result i32)",
    ),
    (
        "set-scheme",
        "lower (func $types \"[method]request.set-scheme\") MEMORY",
        "(param i32 i32 i32 i32 i32) (result i32)",
    ),
    (
        "set-authority",
        "lower (func $types \"[method]request.set-authority\") MEMORY",
        "(param i32 i32 i32 i32) (result i32)",
    ),
    ("options-of", "lower (func $types \"[method]request.get-options\") MEMORY", "(param i32 i32)"),
    (
        "request-new",
        "lower (func $types \"[static]request.new\") MEMORY",
        "(param i32 i32 i32 i32 i32 i32 i32)",
    ),
    ("response-new", "lower (func $types \"[static]response.new\") MEMORY", "(param i32 i32 i32 i32 i32)"),
    ("open-request", "lower (func $types \"[static]request.consume-body\") MEMORY", "(param i32 i32 i32)"),
    ("open-response", "lower (func $types \"[static]response.consume-body\") MEMORY", "(param i32 i32 i32)"),
    ("stream", "stream.new $stream", "(result i64)"),
    ("stream-write", "stream.write $stream async (memory $memory)", "(param i32 i32 i32) (result i32)"),
    ("stream-read", "stream.read $stream async (memory $memory)", "(param i32 i32 i32) (result i32)"),
    ("stream-cancel-write", "stream.cancel-write $stream", "(param i32) (result i32)"),
    ("stream-cancel-write-async", "stream.cancel-write $stream async", "(param i32) (result i32)"),
    ("stream-cancel-read", "stream.cancel-read $stream", "(param i32) (result i32)"),
    ("stream-cancel-read-async", "stream.cancel-read $stream async", "(param i32) (result i32)"),
    ("stream-drop-writable", "stream.drop-writable $stream", "(param i32)"),
    ("stream-drop-readable", "stream.drop-readable $stream", "(param i32)"),
    ("units", "stream.new $units", "(result i64)"),
    ("units-write", "stream.write $units async", "(param i32 i32 i32) (result i32)"),
    ("units-read", "stream.read $units async", "(param i32 i32 i32) (result i32)"),
    ("units-cancel-write", "stream.cancel-write $units", "(param i32) (result i32)"),
    ("units-cancel-write-async", "stream.cancel-write $units async", "(param i32) (result i32)"),
    ("units-cancel-read", "stream.cancel-read $units", "(param i32) (result i32)"),
    ("units-cancel-read-async", "stream.cancel-read $units async", "(param i32) (result i32)"),
    ("units-drop-writable", "stream.drop-writable $units", "(param i32)"),
    ("units-drop-readable", "stream.drop-readable $units", "(param i32)"),
    ("behind", "future.new $behind", "(result i64)"),
    ("behind-write", "future.write $behind async (memory $memory)", "(param i32 i32) (result i32)"),
    ("behind-read", "future.read $behind async MEMORY", "(param i32 i32) (result i32)"),
    ("behind-cancel-write", "future.cancel-write $behind", "(param i32) (result i32)"),
    ("behind-cancel-write-async", "future.cancel-write $behind async", "(param i32) (result i32)"),
    ("behind-cancel-read", "future.cancel-read $behind", "(param i32) (result i32)"),
    ("behind-cancel-read-async", "future.cancel-read $behind async", "(param i32) (result i32)"),
    ("behind-drop-writable", "future.drop-writable $behind", "(param i32)"),
    ("behind-drop-readable", "future.drop-readable $behind", "(param i32)"),
    ("received", "future.new $received", "(result i64)"),
    ("received-write", "future.write $received async (memory $memory)", "(param i32 i32) (result i32)"),
    ("received-read", "future.read $received async MEMORY", "(param i32 i32) (result i32)"),
    ("received-cancel-write", "future.cancel-write $received", "(param i32) (result i32)"),
    ("received-cancel-write-async", "future.cancel-write $received async", "(param i32) (result i32)"),
    ("received-cancel-read", "future.cancel-read $received", "(param i32) (result i32)"),
    ("received-cancel-read-async", "future.cancel-read $received async", "(param i32) (result i32)"),
    ("received-drop-writable", "future.drop-writable $received", "(param i32)"),
    ("received-drop-readable", "future.drop-readable $received", "(param i32)"),
    ("set-new", "waitable-set.new", "(result i32)"),
    ("set-poll", "waitable-set.poll (memory $memory)", "(param i32 i32) (result i32)"),
    ("set-drop", "waitable-set.drop", "(param i32)"),
    ("join", "waitable.join", "(param i32 i32)"),
];

/// The canonical functions.
pub fn canonicals() -> String {
    let line = |(name, canon, _): &(&str, &str, &str)| {
        format!("  (core func ${name} (canon {}))\n", canon.replace("MEMORY", MEMORY))
    };
    FUNCTIONS.iter().map(line).collect()
}

/// Their imports in the guest's module, and what it makes of them.
pub fn imports() -> String {
    let line =
        |(name, _, ty): &(&str, &str, &str)| format!("    (import \"h\" \"{name}\" (func ${name} {ty}))\n");
    FUNCTIONS.iter().map(line).collect()
}

/// What they are given as.
pub fn exports() -> String {
    FUNCTIONS.iter().map(|(name, ..)| format!("(export \"{name}\" (func ${name}))\n")).collect()
}

/// Helpers of the guest's module. At 1100 is `content-length`, at 1120 `20`, at 1299 `/abc`; from 1536 on are zeros, which is
/// `ok(none)`, and from 1600 to 2048 is room.
pub const HELPERS: &str = r#"
    (func $r (param i64) (result i32) (i32.wrap_i64 (local.get 0)))
    (func $w (param i64) (result i32) (i32.wrap_i64 (i64.shr_u (local.get 0) (i64.const 32))))
    ;; Fields that announce 20 bytes.
    (func $announced (result i32) (local $f i32)
      (local.set $f (call $fields-new))
      (call $append (local.get $f) (i32.const 1100) (i32.const 14) (i32.const 1120) (i32.const 2) (i32.const 1600))
      (local.get $f))
    ;; A response of these fields, this body and these trailers, as the result.
    (func $answer (param $fields i32) (param $some i32) (param $body i32) (param $behind i32) (result i32)
      (call $response-new (local.get $fields) (local.get $some) (local.get $body) (local.get $behind) (i32.const 1600))
      (call $received-drop-readable (i32.load (i32.const 1604)))
      (i32.store8 (i32.const 256) (i32.const 0)) (i32.store (i32.const 264) (i32.load (i32.const 1600)))
      (i32.const 256))
    ;; The same without a body, whose trailers are there.
    (func $empty (param $fields i32) (result i32) (local $t i64) (local $result i32)
      (local.set $t (call $behind))
      (local.set $result
        (call $answer (local.get $fields) (i32.const 0) (i32.const 0) (call $r (local.get $t))))
      (drop (call $behind-write (call $w (local.get $t)) (i32.const 1536)))
      (local.get $result))
    ;; The body of a request, opened: its stream, with its trailers at 1604.
    (func $open (param $q i32) (result i32) (local $t i64)
      (local.set $t (call $received))
      (call $open-request (local.get $q) (call $r (local.get $t)) (i32.const 1600))
      (drop (call $received-write (call $w (local.get $t)) (i32.const 1536)))
      (call $received-drop-writable (call $w (local.get $t)))
      (i32.load (i32.const 1600)))
    ;; A request with this body and these trailers, as it is passed on.
    (func $request (param $body i32) (param $behind i32) (result i32)
      (call $request-new (call $fields-new) (i32.const 1) (local.get $body) (local.get $behind) (i32.const 0) (i32.const 0)
        (i32.const 1600))
      (call $received-drop-readable (i32.load (i32.const 1604)))
      (i32.load (i32.const 1600)))
    ;; Tells a number.
    (func $number (param $number i32) (result i32)
      (i32.store (i32.const 128) (local.get $number)) (call $tell (i32.const 1)))
    ;; Counts what came of a call.
    (func $note (param $op i32) (param $outcome i32)
      (i32.store8 (i32.const 2200) (local.get $op)) (i32.store8 (i32.const 2201) (local.get $outcome))
      (call $take (i32.const 2200) (i32.const 2) (i32.const 1000000) (i64.const 10000000000000) (i32.const 2208)))
    ;; What a read, a write or a cancellation came to.
    (func $came (param $code i32) (result i32)
      (if (i32.eq (local.get $code) (i32.const -1)) (then (return (i32.const 98))))
      (i32.load8_u (i32.add (i32.const 2244) (i32.and (local.get $code) (i32.const 3)))))
    ;; `r`, or the reason at the second place if there is a refusal at the first one.
    (func $refused (param $at i32) (param $reason i32) (result i32)
      (if (i32.eqz (i32.load8_u (local.get $at))) (then (return (i32.const 114))))
      (i32.add (i32.const 65) (i32.load8_u (local.get $reason))))
    ;; A result that is this error: with a text, of which the low bits of `mix` are the length; the others say which options
    ;; there are, and are the number.
    (func $error-at (param $at i32) (param $case i32) (param $text i32) (param $mix i32) (local $p i32) (local $number i32)
      (local.set $p (i32.add (local.get $at) (i32.const 16)))
      (local.set $number (i32.shr_u (local.get $mix) (i32.const 9)))
      (i32.store8 (local.get $at) (i32.const 1)) (i32.store8 offset=8 (local.get $at) (local.get $case))
      (i32.store8 (local.get $p) (i32.and (i32.shr_u (local.get $mix) (i32.const 6)) (i32.const 1)))
      (if (i32.or (i32.eq (local.get $case) (i32.const 14)) (i32.eq (local.get $case) (i32.const 22))) (then
        (i32.store8 offset=1 (local.get $p) (local.get $number))
        (i32.store8 offset=4 (local.get $p) (i32.and (i32.shr_u (local.get $mix) (i32.const 7)) (i32.const 1)))
        (i32.store offset=8 (local.get $p) (local.get $text))
        (i32.store offset=12 (local.get $p) (i32.and (local.get $mix) (i32.const 63)))
        (i32.store8 offset=16 (local.get $p) (i32.and (i32.shr_u (local.get $mix) (i32.const 8)) (i32.const 1)))
        (i32.store offset=20 (local.get $p) (local.get $number)) (return)))
      (if (i32.or (i32.eq (local.get $case) (i32.const 17)) (i32.eq (local.get $case) (i32.const 28))) (then
        (i64.store offset=8 (local.get $p) (i64.mul (i64.extend_i32_u (local.get $number)) (i64.const 0x123456789))) (return)))
      (if (i32.and (i32.shr_u (i32.const 0x24a00000) (local.get $case)) (i32.const 1)) (then
        (i32.store offset=4 (local.get $p) (local.get $number)) (return)))
      (i32.store offset=4 (local.get $p) (local.get $text))
      (i32.store offset=8 (local.get $p) (i32.and (local.get $mix) (i32.const 63)))
      (i32.store8 offset=12 (local.get $p) (i32.and (i32.shr_u (local.get $mix) (i32.const 8)) (i32.const 1)))
      (i32.store offset=16 (local.get $p) (local.get $number))
      (if (i32.eq (local.get $case) (i32.const 1)) (then (i32.store16 offset=14 (local.get $p) (local.get $number)))))"#;

/// Text of the guests beside the others.
pub const DATA: &str = r#"(data (i32.const 1100) "content-length") (data (i32.const 1120) "20") (data (i32.const 1299) "/abc") (data (i32.const 2244) "cdef")"#;

const EMPTY: &str = "(call $empty (call $fields-new))";

/// What `handle` does, with `$q`, `$x`, `$y` and the pairs of ends `$v` and `$u`.
pub fn handles() -> Vec<(&'static str, String)> {
    let listed = |list: &[(&'static str, &str)]| -> Vec<_> {
        list.iter().map(|(what, handle)| (*what, handle.replace("EMPTY", EMPTY))).collect()
    };
    [listed(MESSAGES), listed(BODIES), listed(STREAMS), listed(FUTURES), listed(SETS)].concat()
}

const MESSAGES: &[(&str, &str)] = &[
    ("an answer of its own", "EMPTY"),
    ("an answer whose fields stay", "(local.set $x (call $fields-new)) (drop (call $empty (local.get $x))) (call $drop-fields (local.get $x)) (i32.const 256)"),
    ("an answer with a status", "(local.set $x EMPTY) (drop (call $set-status (i32.load (i32.const 1600)) (i32.const 418))) (local.get $x)"),
    ("fields that are set", "(local.set $x (call $fields-new))
      (i32.store (i32.const 1620) (i32.const 1300)) (i32.store (i32.const 1624) (i32.const 3))
      (i32.store (i32.const 1628) (i32.const 1024)) (i32.store (i32.const 1632) (i32.const 8))
      (call $set (local.get $x) (i32.const 1024) (i32.const 8) (i32.const 1620) (i32.const 2) (i32.const 1640))
      (call $append (local.get $x) (i32.const 1300) (i32.const 3) (i32.const 1024) (i32.const 8) (i32.const 1640))
      (call $append (local.get $x) (i32.const 1024) (i32.const 8) (i32.const 1300) (i32.const 0) (i32.const 1640))
      (call $empty (local.get $x))"),
    ("fields from a list", "(i32.store (i32.const 1620) (i32.const 1300)) (i32.store (i32.const 1624) (i32.const 3))
      (i32.store (i32.const 1628) (i32.const 1024)) (i32.store (i32.const 1632) (i32.const 8))
      (call $from-list (i32.const 1620) (i32.const 1) (i32.const 1640)) (call $empty (i32.load (i32.const 1644)))"),
    ("fields from a list that is refused", "(i32.store (i32.const 1620) (i32.const 1024)) (i32.store (i32.const 1624) (i32.const 12))
      (call $from-list (i32.const 1620) (i32.const 1) (i32.const 1640)) (call $number (i32.load8_u (i32.const 1644)))"),
    ("fields from a list out of bounds", "(call $from-list (i32.const 65528) (i32.const 1) (i32.const 1640)) EMPTY"),
    ("fields from a list aside", "(call $from-list (i32.const 1622) (i32.const 1) (i32.const 1640)) EMPTY"),
    ("fields from a list that is too long", "(call $from-list (i32.const 0) (i32.const 0x1000000) (i32.const 1640)) EMPTY"),
    ("fields from a list that takes too much", "(drop (memory.grow (i32.const 40))) (call $from-list (i32.const 65536) (i32.const 30000) (i32.const 1640)) EMPTY"),
    ("fields from a list told nowhere", "(call $from-list (i32.const 1620) (i32.const 0) (i32.const 65520)) EMPTY"),
    ("fields that are deleted", "(local.set $x (call $announced)) (call $delete (local.get $x) (i32.const 1100) (i32.const 14) (i32.const 1640)) (call $empty (local.get $x))"),
    ("fields that are taken out", "(local.set $x (call $announced)) (call $take-out (local.get $x) (i32.const 1100) (i32.const 14) (i32.const 1640))
      (call $tell-text (i32.load (i32.const 1644)))"),
    ("nothing taken out", "(local.set $x (call $fields-new)) (call $take-out (local.get $x) (i32.const 1100) (i32.const 14) (i32.const 1640)) (call $number (i32.load (i32.const 1648)))"),
    ("no name taken out", "(local.set $x (call $fields-new)) (call $take-out (local.get $x) (i32.const 1024) (i32.const 12) (i32.const 1640)) (call $number (i32.load8_u (i32.const 1644)))"),
    ("a length twice", "(local.set $x (call $announced)) (call $append (local.get $x) (i32.const 1100) (i32.const 14) (i32.const 1120) (i32.const 2) (i32.const 1640)) (call $number (i32.load8_u (i32.const 1640)))"),
    ("fields of another's that are edited", "(local.set $x (call $fields-of (local.get $q))) (call $delete (local.get $x) (i32.const 16) (i32.const 1) (i32.const 1640)) (call $number (i32.load8_u (i32.const 1644)))"),
    ("fields of another's that are copied", "(local.set $x (call $clone (call $fields-of (local.get $q)))) (call $delete (local.get $x) (i32.const 16) (i32.const 1) (i32.const 1640)) (call $empty (local.get $x))"),
    ("fields of a message that was made", "(local.set $x (call $request (call $open (local.get $q)) (i32.load (i32.const 1604))))
      (local.set $y (call $fields-of (local.get $x))) (call $delete (local.get $y) (i32.const 16) (i32.const 1) (i32.const 1640)) (call $number (i32.load8_u (i32.const 1644)))"),
    ("a method set", "(drop (call $set-method (local.get $q) (i32.const 2) (i32.const 0) (i32.const 0))) (call $pass (local.get $q))"),
    ("a method of its own set", "(drop (call $set-method (local.get $q) (i32.const 9) (i32.const 1024) (i32.const 8))) (call $pass (local.get $q))"),
    ("a method that is none", "(call $number (call $set-method (local.get $q) (i32.const 9) (i32.const 1024) (i32.const 12)))"),
    ("a method of no case", "(call $number (call $set-method (local.get $q) (i32.const 10) (i32.const 1024) (i32.const 8)))"),
    ("a path set", "(i32.store8 (i32.const 1023) (i32.const 47)) (drop (call $set-path (local.get $q) (i32.const 1) (i32.const 1023) (i32.const 9))) (call $pass (local.get $q))"),
    ("no path set", "(drop (call $set-path (local.get $q) (i32.const 0) (i32.const -1) (i32.const -1))) (call $pass (local.get $q))"),
    ("a path that is none", "(call $number (call $set-path (local.get $q) (i32.const 1) (i32.const 1024) (i32.const 8)))"),
    ("a path of no case", "(call $number (call $set-path (local.get $q) (i32.const 2) (i32.const 1024) (i32.const 8)))"),
    ("a scheme set", "(drop (call $set-scheme (local.get $q) (i32.const 1) (i32.const 2) (i32.const 1300) (i32.const 3))) (call $pass (local.get $q))"),
    ("no scheme set", "(drop (call $set-scheme (local.get $q) (i32.const 0) (i32.const 9) (i32.const 0) (i32.const 0))) (call $pass (local.get $q))"),
    ("a scheme that is none", "(call $number (call $set-scheme (local.get $q) (i32.const 1) (i32.const 2) (i32.const 1024) (i32.const 12)))"),
    ("a scheme of no case", "(call $number (call $set-scheme (local.get $q) (i32.const 1) (i32.const 3) (i32.const 1024) (i32.const 12)))"),
    ("an authority set", "(drop (call $set-authority (local.get $q) (i32.const 1) (i32.const 1300) (i32.const 3))) (call $authority (local.get $q) (i32.const 128)) (call $tell-text (i32.const 132))"),
    ("an authority that is none", "(call $number (call $set-authority (local.get $q) (i32.const 1) (i32.const 1024) (i32.const 12)))"),
    ("an authority with user info", "(i32.store8 (i32.const 1301) (i32.const 64)) (drop (call $set-authority (local.get $q) (i32.const 1) (i32.const 1300) (i32.const 3))) (call $pass (local.get $q))"),
    ("options of none", "(call $options-of (local.get $q) (i32.const 1640)) (call $number (i32.load8_u (i32.const 1640)))"),
    ("options told nowhere", "(call $options-of (local.get $q) (i32.const 65532)) EMPTY"),
    ("options that are none", "(call $drop-options (local.get $q)) EMPTY"),
];

const BODIES: &[(&str, &str)] = &[
    ("a body passed on in a request of its own", "(call $pass (call $request (call $open (local.get $q)) (i32.load (i32.const 1604))))"),
    ("a body passed on with a length", "(local.set $x (call $open (local.get $q)))
      (call $request-new (call $announced) (i32.const 1) (local.get $x) (i32.load (i32.const 1604)) (i32.const 0) (i32.const 0) (i32.const 1600))
      (call $pass (i32.load (i32.const 1600)))"),
    ("a body opened twice", "(drop (call $open (local.get $q))) (drop (call $open (local.get $q))) EMPTY"),
    ("a body opened as a response's", "(local.set $v (call $received)) (call $open-response (local.get $q) (call $r (local.get $v)) (i32.const 1600)) EMPTY"),
    ("a body opened with a forged future", "(call $open-request (local.get $q) (i32.const 77) (i32.const 1600)) EMPTY"),
    ("a body opened with the wrong future", "(local.set $v (call $behind)) (call $open-request (local.get $q) (call $r (local.get $v)) (i32.const 1600)) EMPTY"),
    ("a body opened with the wrong end", "(local.set $v (call $received)) (call $open-request (local.get $q) (call $w (local.get $v)) (i32.const 1600)) EMPTY"),
    ("a body opened nowhere", "(local.set $v (call $received)) (call $open-request (local.get $q) (call $r (local.get $v)) (i32.const 65532)) EMPTY"),
    ("the numbers of a body that is opened", "(local.set $x (call $open (local.get $q))) (call $number (i32.add (i32.shl (local.get $x) (i32.const 8)) (i32.load (i32.const 1604))))"),
    ("a response passed on in one of its own", "(drop (call $pass (local.get $q))) (local.set $v (call $received))
      (local.set $y (i32.load (i32.const 264)))
      (call $open-response (local.get $y) (call $r (local.get $v)) (i32.const 1600))
      (drop (call $received-write (call $w (local.get $v)) (i32.const 1536)))
      (call $answer (call $fields-new) (i32.const 1) (i32.load (i32.const 1600)) (i32.load (i32.const 1604)))"),
    ("a response read and told", "(drop (call $pass (local.get $q))) (local.set $v (call $received))
      (call $open-response (i32.load (i32.const 264)) (call $r (local.get $v)) (i32.const 1600))
      (local.set $x (call $stream-read (i32.load (i32.const 1600)) (i32.const 1700) (i32.const 12)))
      (local.set $y (call $stream-read (i32.load (i32.const 1600)) (i32.const 1712) (i32.const 100)))
      (i32.store (i32.const 128) (local.get $x)) (i32.store (i32.const 132) (local.get $y))
      (i32.store (i32.const 136) (i32.load (i32.const 1700))) (i32.store (i32.const 140) (i32.load (i32.const 1712)))
      (call $tell (i32.const 4))"),
    ("a response read to its end, with its trailers", "(drop (call $pass (local.get $q))) (local.set $v (call $received))
      (call $open-response (i32.load (i32.const 264)) (call $r (local.get $v)) (i32.const 1600))
      (drop (call $stream-read (i32.load (i32.const 1600)) (i32.const 1700) (i32.const 100)))
      (local.set $x (call $stream-read (i32.load (i32.const 1600)) (i32.const 1700) (i32.const 100)))
      (local.set $y (call $behind-read (i32.load (i32.const 1604)) (i32.const 1800)))
      (i32.store (i32.const 128) (local.get $x)) (i32.store (i32.const 132) (local.get $y))
      (i32.store (i32.const 136) (i32.load8_u (i32.const 1800))) (i32.store (i32.const 140) (i32.load8_u (i32.const 1808)))
      (call $tell (i32.const 4))"),
    ("a response read after its end", "(drop (call $pass (local.get $q))) (local.set $v (call $received))
      (call $open-response (i32.load (i32.const 264)) (call $r (local.get $v)) (i32.const 1600))
      (drop (call $stream-read (i32.load (i32.const 1600)) (i32.const 1700) (i32.const 100)))
      (drop (call $stream-read (i32.load (i32.const 1600)) (i32.const 1700) (i32.const 100)))
      (drop (call $stream-read (i32.load (i32.const 1600)) (i32.const 1700) (i32.const 100))) EMPTY"),
    ("a response half read and passed on", "(drop (call $pass (local.get $q))) (local.set $v (call $received))
      (call $open-response (i32.load (i32.const 264)) (call $r (local.get $v)) (i32.const 1600))
      (drop (call $stream-read (i32.load (i32.const 1600)) (i32.const 1700) (i32.const 5)))
      (call $answer (call $fields-new) (i32.const 1) (i32.load (i32.const 1600)) (i32.load (i32.const 1604)))"),
    ("a response whose trailers are read early", "(drop (call $pass (local.get $q))) (local.set $v (call $received))
      (call $open-response (i32.load (i32.const 264)) (call $r (local.get $v)) (i32.const 1600))
      (local.set $x (call $behind-read (i32.load (i32.const 1604)) (i32.const 1800)))
      (local.set $y (call $behind-cancel-read (i32.load (i32.const 1604))))
      (call $stream-drop-readable (i32.load (i32.const 1600)))
      (i32.store (i32.const 128) (local.get $x)) (i32.store (i32.const 132) (local.get $y))
      (i32.store (i32.const 136) (call $behind-read (i32.load (i32.const 1604)) (i32.const 1800))) (call $tell (i32.const 3))"),
    ("a response read with no room", "(drop (call $pass (local.get $q))) (local.set $v (call $received))
      (call $open-response (i32.load (i32.const 264)) (call $r (local.get $v)) (i32.const 1600))
      (i32.store (i32.const 128) (call $stream-read (i32.load (i32.const 1600)) (i32.const 1700) (i32.const 0)))
      (i32.store (i32.const 132) (call $stream-read (i32.load (i32.const 1600)) (i32.const 1700) (i32.const 3))) (call $tell (i32.const 2))"),
    ("a response dropped after it is made", "(drop EMPTY) (call $drop-response (i32.load (i32.const 1600))) (i32.const 256)"),
    ("a body of twenty bytes", "(local.set $v (call $stream)) (local.set $u (call $behind))
      (drop (call $answer (call $announced) (i32.const 1) (call $r (local.get $v)) (call $r (local.get $u))))
      (drop (call $stream-write (call $w (local.get $v)) (i32.const 1024) (i32.const 20)))
      (drop (call $behind-write (call $w (local.get $u)) (i32.const 1536))) (i32.const 256)"),
    ("a body that is written before it is given", "(local.set $v (call $stream)) (local.set $u (call $behind))
      (drop (call $stream-write (call $w (local.get $v)) (i32.const 1024) (i32.const 20)))
      (drop (call $behind-write (call $w (local.get $u)) (i32.const 1536)))
      (call $answer (call $announced) (i32.const 1) (call $r (local.get $v)) (call $r (local.get $u)))"),
    ("a body that is too long", "(local.set $v (call $stream)) (local.set $u (call $behind))
      (drop (call $stream-write (call $w (local.get $v)) (i32.const 1024) (i32.const 25)))
      (drop (call $behind-write (call $w (local.get $u)) (i32.const 1536)))
      (call $answer (call $announced) (i32.const 1) (call $r (local.get $v)) (call $r (local.get $u)))"),
    ("a body that never comes", "(local.set $v (call $stream)) (local.set $u (call $behind))
      (drop (call $behind-write (call $w (local.get $u)) (i32.const 1536)))
      (drop (call $answer (call $announced) (i32.const 1) (call $r (local.get $v)) (call $r (local.get $u))))
      (call $stream-drop-writable (call $w (local.get $v))) (i32.const 256)"),
    ("a body of no bytes", "(local.set $v (call $stream)) (local.set $u (call $behind))
      (drop (call $behind-write (call $w (local.get $u)) (i32.const 1536)))
      (call $stream-drop-writable (call $w (local.get $v)))
      (call $answer (call $fields-new) (i32.const 1) (call $r (local.get $v)) (call $r (local.get $u)))"),
    ("a body with trailers", "(local.set $v (call $stream)) (local.set $u (call $behind)) (call $stream-drop-writable (call $w (local.get $v)))
      (i32.store8 (i32.const 1544) (i32.const 1)) (i32.store (i32.const 1548) (call $announced))
      (drop (call $behind-write (call $w (local.get $u)) (i32.const 1536)))
      (call $answer (call $fields-new) (i32.const 1) (call $r (local.get $v)) (call $r (local.get $u)))"),
    ("a body that ends with an error", "(local.set $u (call $behind))
      (i32.store8 (i32.const 1536) (i32.const 1)) (i32.store8 (i32.const 1544) (i32.const 7))
      (drop (call $behind-write (call $w (local.get $u)) (i32.const 1536)))
      (call $answer (call $fields-new) (i32.const 0) (i32.const 0) (call $r (local.get $u)))"),
    ("a body without trailers, dropped", "(local.set $u (call $behind)) (call $behind-drop-readable (call $r (local.get $u)))
      (call $answer (call $fields-new) (i32.const 0) (i32.const 0) (call $r (local.get $u)))"),
    ("a response of a case that is none", "(local.set $u (call $behind)) (call $response-new (call $fields-new) (i32.const 2) (i32.const 0) (call $r (local.get $u)) (i32.const 1600)) EMPTY"),
    ("a response told nowhere", "(local.set $u (call $behind)) (call $response-new (call $fields-new) (i32.const 0) (i32.const 0) (call $r (local.get $u)) (i32.const 65532)) EMPTY"),
    ("a response with a stream for trailers", "(local.set $u (call $stream)) (call $response-new (call $fields-new) (i32.const 0) (i32.const 0) (call $r (local.get $u)) (i32.const 1600)) EMPTY"),
    ("a response with the writing end", "(local.set $u (call $behind)) (call $response-new (call $fields-new) (i32.const 0) (i32.const 0) (call $w (local.get $u)) (i32.const 1600)) EMPTY"),
    ("a response with no fields", "(local.set $u (call $behind)) (call $response-new (local.get $q) (i32.const 0) (i32.const 0) (call $r (local.get $u)) (i32.const 1600)) EMPTY"),
    ("the numbers of a response", "(local.set $u (call $behind)) (call $response-new (call $fields-new) (i32.const 0) (i32.const 0) (call $r (local.get $u)) (i32.const 1600))
      (call $number (i32.add (i32.shl (i32.load (i32.const 1600)) (i32.const 8)) (i32.load (i32.const 1604))))"),
    ("what became of a body that was dropped", "(local.set $u (call $behind)) (call $response-new (call $fields-new) (i32.const 0) (i32.const 0) (call $r (local.get $u)) (i32.const 1600))
      (call $drop-response (i32.load (i32.const 1600))) (i32.store (i32.const 128) (call $received-read (i32.load (i32.const 1604)) (i32.const 1704)))
      (i32.store (i32.const 132) (i32.load8_u (i32.const 1704))) (call $tell (i32.const 2))"),
    ("what became of a body that is there", "(local.set $u (call $behind)) (call $response-new (call $fields-new) (i32.const 0) (i32.const 0) (call $r (local.get $u)) (i32.const 1600))
      (i32.store (i32.const 128) (call $received-read (i32.load (i32.const 1604)) (i32.const 1704)))
      (i32.store (i32.const 132) (call $received-cancel-read (i32.load (i32.const 1604)))) (call $tell (i32.const 2))"),
    ("what became of a body, told aside", "(local.set $u (call $behind)) (call $response-new (call $fields-new) (i32.const 0) (i32.const 0) (call $r (local.get $u)) (i32.const 1600))
      (call $drop-response (i32.load (i32.const 1600))) (drop (call $received-read (i32.load (i32.const 1604)) (i32.const 1700))) (call $pass (local.get $q))"),
    ("what became of a body, told while it waits", "(local.set $u (call $behind)) (call $response-new (call $fields-new) (i32.const 0) (i32.const 0) (call $r (local.get $u)) (i32.const 1600))
      (call $drop-response (i32.load (i32.const 1600))) (drop (call $received-read (i32.load (i32.const 1604)) (i32.const 1704)))
      (local.set $x (call $set-new)) (call $join (i32.load (i32.const 1604)) (local.get $x))
      (i32.store (i32.const 128) (call $set-poll (local.get $x) (i32.const 1608))) (drop (call $pass (local.get $q)))
      (i32.store (i32.const 132) (call $set-poll (local.get $x) (i32.const 1608))) (i32.store (i32.const 136) (i32.load (i32.const 1608)))
      (i32.store (i32.const 140) (i32.load (i32.const 1612))) (call $tell (i32.const 4))"),
    ("a body told to be received badly", "(local.set $v (call $received)) (local.set $u (call $behind))
      (call $response-new (call $fields-new) (i32.const 0) (i32.const 0) (call $r (local.get $u)) (i32.const 1600))
      (call $open-response (i32.load (i32.const 1600)) (call $r (local.get $v)) (i32.const 1608))
      (i32.store8 (i32.const 1536) (i32.const 1)) (i32.store8 (i32.const 1544) (i32.const 7))
      (i32.store (i32.const 128) (call $received-write (call $w (local.get $v)) (i32.const 1536)))
      (i32.store (i32.const 132) (call $received-read (i32.load (i32.const 1604)) (i32.const 1704)))
      (i32.store (i32.const 136) (i32.load8_u (i32.const 1712))) (call $tell (i32.const 3))"),
    ("a receipt of no case", "(local.set $v (call $received)) (call $open-request (local.get $q) (call $r (local.get $v)) (i32.const 1600))
      (i32.store8 (i32.const 1536) (i32.const 2)) (drop (call $received-write (call $w (local.get $v)) (i32.const 1536))) EMPTY"),
    ("a receipt aside", "(local.set $v (call $received)) (call $open-request (local.get $q) (call $r (local.get $v)) (i32.const 1600))
      (drop (call $received-write (call $w (local.get $v)) (i32.const 1540))) EMPTY"),
    ("a receipt written twice", "(local.set $v (call $received)) (call $open-request (local.get $q) (call $r (local.get $v)) (i32.const 1600))
      (drop (call $received-write (call $w (local.get $v)) (i32.const 1536)))
      (drop (call $received-write (call $w (local.get $v)) (i32.const 1536))) EMPTY"),
];

const STREAMS: &[(&str, &str)] = &[
    ("the numbers of a stream", "(local.set $v (call $stream)) (call $number (i32.add (i32.shl (call $r (local.get $v)) (i32.const 8)) (call $w (local.get $v))))"),
    ("a stream written and read", "(local.set $v (call $stream))
      (i32.store (i32.const 128) (call $stream-write (call $w (local.get $v)) (i32.const 1024) (i32.const 20)))
      (i32.store (i32.const 132) (call $stream-read (call $r (local.get $v)) (i32.const 1700) (i32.const 8)))
      (i32.store (i32.const 136) (call $stream-read (call $r (local.get $v)) (i32.const 1708) (i32.const 100)))
      (i32.store (i32.const 140) (call $stream-cancel-write (call $w (local.get $v))))
      (i32.store (i32.const 144) (i32.load (i32.const 1716))) (call $tell (i32.const 5))"),
    ("a stream read and written", "(local.set $v (call $stream))
      (i32.store (i32.const 128) (call $stream-read (call $r (local.get $v)) (i32.const 1700) (i32.const 100)))
      (i32.store (i32.const 132) (call $stream-write (call $w (local.get $v)) (i32.const 1024) (i32.const 8)))
      (i32.store (i32.const 136) (call $stream-write (call $w (local.get $v)) (i32.const 1024) (i32.const 12)))
      (i32.store (i32.const 140) (call $stream-cancel-read (call $r (local.get $v))))
      (i32.store (i32.const 144) (i32.load (i32.const 1708))) (call $tell (i32.const 5))"),
    ("a stream of nothing written and read", "(local.set $v (call $stream))
      (i32.store (i32.const 128) (call $stream-write (call $w (local.get $v)) (i32.const 1024) (i32.const 0)))
      (i32.store (i32.const 132) (call $stream-read (call $r (local.get $v)) (i32.const 1700) (i32.const 0)))
      (i32.store (i32.const 136) (call $stream-cancel-write (call $w (local.get $v))))
      (i32.store (i32.const 140) (call $stream-cancel-read (call $r (local.get $v)))) (call $tell (i32.const 4))"),
    ("a stream of nothing read and written", "(local.set $v (call $stream))
      (i32.store (i32.const 128) (call $stream-read (call $r (local.get $v)) (i32.const 1700) (i32.const 0)))
      (i32.store (i32.const 132) (call $stream-write (call $w (local.get $v)) (i32.const 1024) (i32.const 5)))
      (i32.store (i32.const 136) (call $stream-cancel-read (call $r (local.get $v))))
      (i32.store (i32.const 140) (call $stream-cancel-write (call $w (local.get $v)))) (call $tell (i32.const 4))"),
    ("a stream written out of bounds", "(local.set $v (call $stream)) (drop (call $stream-write (call $w (local.get $v)) (i32.const 65530) (i32.const 20))) EMPTY"),
    ("a stream written far out of bounds", "(local.set $v (call $stream)) (drop (call $stream-write (call $w (local.get $v)) (i32.const -1) (i32.const 1))) EMPTY"),
    ("far too much written", "(local.set $v (call $stream)) (drop (call $stream-write (call $w (local.get $v)) (i32.const 0) (i32.const 0x10000000))) EMPTY"),
    ("a stream read out of bounds", "(local.set $v (call $stream)) (drop (call $stream-read (call $r (local.get $v)) (i32.const 65530) (i32.const 20))) EMPTY"),
    ("the reading end written", "(local.set $v (call $stream)) (drop (call $stream-write (call $r (local.get $v)) (i32.const 0) (i32.const 1))) EMPTY"),
    ("the writing end read", "(local.set $v (call $stream)) (drop (call $stream-read (call $w (local.get $v)) (i32.const 0) (i32.const 1))) EMPTY"),
    ("a request written", "(drop (call $stream-write (local.get $q) (i32.const 0) (i32.const 1))) EMPTY"),
    ("a forged end written", "(drop (call $stream-write (i32.const 99) (i32.const 0) (i32.const 1))) EMPTY"),
    ("two writes", "(local.set $v (call $stream)) (drop (call $stream-write (call $w (local.get $v)) (i32.const 0) (i32.const 1)))
      (drop (call $stream-write (call $w (local.get $v)) (i32.const 0) (i32.const 1))) EMPTY"),
    ("a busy end dropped", "(local.set $v (call $stream)) (drop (call $stream-write (call $w (local.get $v)) (i32.const 0) (i32.const 1)))
      (call $stream-drop-writable (call $w (local.get $v))) EMPTY"),
    ("a busy end given", "(local.set $v (call $stream)) (local.set $u (call $behind)) (drop (call $stream-read (call $r (local.get $v)) (i32.const 0) (i32.const 1)))
      (call $answer (call $fields-new) (i32.const 1) (call $r (local.get $v)) (call $r (local.get $u)))"),
    ("an end dropped twice", "(local.set $v (call $stream)) (call $stream-drop-writable (call $w (local.get $v))) (call $stream-drop-writable (call $w (local.get $v))) EMPTY"),
    ("the reading end dropped as the writing one", "(local.set $v (call $stream)) (call $stream-drop-writable (call $r (local.get $v))) EMPTY"),
    ("the writing end dropped as the reading one", "(local.set $v (call $stream)) (call $stream-drop-readable (call $w (local.get $v))) EMPTY"),
    ("a stream written for nobody", "(local.set $v (call $stream)) (call $stream-drop-readable (call $r (local.get $v)))
      (call $number (call $stream-write (call $w (local.get $v)) (i32.const 1024) (i32.const 20)))"),
    ("a stream written twice for nobody", "(local.set $v (call $stream)) (call $stream-drop-readable (call $r (local.get $v)))
      (drop (call $stream-write (call $w (local.get $v)) (i32.const 1024) (i32.const 20)))
      (drop (call $stream-write (call $w (local.get $v)) (i32.const 1024) (i32.const 20))) EMPTY"),
    ("a stream read of nobody", "(local.set $v (call $stream)) (call $stream-drop-writable (call $w (local.get $v)))
      (call $number (call $stream-read (call $r (local.get $v)) (i32.const 1700) (i32.const 20)))"),
    ("a stream read of nobody and given", "(local.set $v (call $stream)) (local.set $u (call $behind)) (call $stream-drop-writable (call $w (local.get $v)))
      (drop (call $stream-read (call $r (local.get $v)) (i32.const 1700) (i32.const 20)))
      (call $answer (call $fields-new) (i32.const 1) (call $r (local.get $v)) (call $r (local.get $u)))"),
    ("nothing cancelled", "(local.set $v (call $stream)) (drop (call $stream-cancel-write (call $w (local.get $v)))) EMPTY"),
    ("a read cancelled, and begun again", "(local.set $v (call $stream)) (drop (call $stream-read (call $r (local.get $v)) (i32.const 1700) (i32.const 20)))
      (i32.store (i32.const 128) (call $stream-cancel-read (call $r (local.get $v))))
      (i32.store (i32.const 132) (call $stream-write (call $w (local.get $v)) (i32.const 1024) (i32.const 20)))
      (i32.store (i32.const 136) (call $stream-read (call $r (local.get $v)) (i32.const 1700) (i32.const 20))) (call $tell (i32.const 3))"),
];

const FUTURES: &[(&str, &str)] = &[
    ("a future dropped unwritten", "(local.set $u (call $behind)) (call $behind-drop-writable (call $w (local.get $u))) EMPTY"),
    ("a future dropped unread", "(local.set $u (call $behind)) (call $behind-drop-readable (call $r (local.get $u)))
      (call $number (call $behind-write (call $w (local.get $u)) (i32.const 1536)))"),
    ("a future dropped at both ends", "(local.set $u (call $behind)) (call $behind-drop-readable (call $r (local.get $u)))
      (drop (call $behind-write (call $w (local.get $u)) (i32.const 1536))) (call $behind-drop-writable (call $w (local.get $u))) EMPTY"),
    ("a future read and written by one", "(local.set $u (call $received)) (drop (call $received-write (call $w (local.get $u)) (i32.const 1536)))
      (drop (call $received-read (call $r (local.get $u)) (i32.const 1704))) EMPTY"),
    ("a future written and cancelled", "(local.set $u (call $received)) (drop (call $received-write (call $w (local.get $u)) (i32.const 1536)))
      (call $number (call $received-cancel-write (call $w (local.get $u))))"),
    ("a future written out of bounds", "(local.set $u (call $received)) (drop (call $received-write (call $w (local.get $u)) (i32.const 65500))) EMPTY"),
    ("a future of the other type", "(local.set $u (call $received)) (drop (call $behind-write (call $w (local.get $u)) (i32.const 1536))) EMPTY"),
    ("a future as a stream", "(local.set $u (call $received)) (call $stream-drop-readable (call $r (local.get $u))) EMPTY"),
    ("trailers that are none", "(local.set $u (call $behind)) (i32.store8 (i32.const 1544) (i32.const 1)) (i32.store (i32.const 1548) (i32.const 99))
      (drop (call $answer (call $fields-new) (i32.const 0) (i32.const 0) (call $r (local.get $u))))
      (i32.store (i32.const 128) (call $behind-write (call $w (local.get $u)) (i32.const 1536))) (call $tell (i32.const 1))"),
];

const SETS: &[(&str, &str)] = &[
    ("a set with nothing", "(call $number (i32.add (call $set-poll (call $set-new) (i32.const 1600)) (i32.load (i32.const 1600))))"),
    ("a set told nowhere", "(call $number (call $set-poll (call $set-new) (i32.const 65532)))"),
    ("a set told aside", "(call $number (call $set-poll (call $set-new) (i32.const 1602)))"),
    ("a forged set", "(call $number (call $set-poll (local.get $q) (i32.const 1600)))"),
    ("a set dropped twice", "(local.set $x (call $set-new)) (call $set-drop (local.get $x)) (call $set-drop (local.get $x)) EMPTY"),
    ("a set dropped with an end in it", "(local.set $x (call $set-new)) (local.set $v (call $stream)) (call $join (call $r (local.get $v)) (local.get $x)) (call $set-drop (local.get $x)) EMPTY"),
    ("a set left and dropped", "(local.set $x (call $set-new)) (local.set $v (call $stream)) (call $join (call $r (local.get $v)) (local.get $x))
      (call $join (call $r (local.get $v)) (i32.const 0)) (call $set-drop (local.get $x)) EMPTY"),
    ("a request in a set", "(call $join (local.get $q) (call $set-new)) EMPTY"),
    ("an end in a forged set", "(local.set $v (call $stream)) (call $join (call $r (local.get $v)) (i32.const 99)) EMPTY"),
    ("an end in a set given", "(local.set $v (call $stream)) (local.set $u (call $behind)) (call $join (call $r (local.get $v)) (call $set-new))
      (call $answer (call $fields-new) (i32.const 1) (call $r (local.get $v)) (call $r (local.get $u)))"),
    ("a cancel in a set", "(local.set $v (call $stream)) (drop (call $stream-write (call $w (local.get $v)) (i32.const 1024) (i32.const 20)))
      (call $join (call $w (local.get $v)) (call $set-new)) (drop (call $stream-cancel-write (call $w (local.get $v)))) EMPTY"),
    ("an event", "(local.set $v (call $stream)) (local.set $x (call $set-new)) (call $join (call $w (local.get $v)) (local.get $x))
      (drop (call $stream-write (call $w (local.get $v)) (i32.const 1024) (i32.const 20)))
      (i32.store (i32.const 140) (call $set-poll (local.get $x) (i32.const 1600)))
      (drop (call $stream-read (call $r (local.get $v)) (i32.const 1700) (i32.const 7)))
      (i32.store (i32.const 128) (call $set-poll (local.get $x) (i32.const 1600)))
      (i32.store (i32.const 132) (i32.load (i32.const 1600))) (i32.store (i32.const 136) (i32.load (i32.const 1604)))
      (i32.store (i32.const 144) (call $stream-read (call $r (local.get $v)) (i32.const 1700) (i32.const 7)))
      (call $tell (i32.const 5))"),
    ("an event of an end that is gone", "(local.set $v (call $stream)) (local.set $x (call $set-new)) (call $join (call $w (local.get $v)) (local.get $x))
      (call $stream-drop-readable (call $r (local.get $v)))
      (i32.store (i32.const 128) (call $set-poll (local.get $x) (i32.const 1600)))
      (i32.store (i32.const 132) (i32.load (i32.const 1600))) (i32.store (i32.const 136) (i32.load (i32.const 1604)))
      (i32.store (i32.const 140) (call $set-poll (local.get $x) (i32.const 1600))) (call $tell (i32.const 4))"),
    ("an event that is told after a write", "(local.set $v (call $stream)) (local.set $x (call $set-new)) (call $join (call $w (local.get $v)) (local.get $x))
      (drop (call $stream-write (call $w (local.get $v)) (i32.const 1024) (i32.const 20)))
      (call $stream-drop-readable (call $r (local.get $v)))
      (i32.store (i32.const 128) (call $set-poll (local.get $x) (i32.const 1600)))
      (i32.store (i32.const 132) (i32.load (i32.const 1604)))
      (call $stream-drop-writable (call $w (local.get $v))) (call $tell (i32.const 2))"),
    ("what was taken is told when it is next called", "(if (i32.load (i32.const 1900)) (then
      (i32.store (i32.const 128) (call $set-poll (i32.load (i32.const 1900)) (i32.const 1600)))
      (i32.store (i32.const 132) (i32.load (i32.const 1600))) (i32.store (i32.const 136) (i32.load (i32.const 1604)))
      (return (call $tell (i32.const 3)))))
      (i32.store (i32.const 1900) (call $set-new)) (local.set $v (call $stream)) (local.set $u (call $behind))
      (drop (call $behind-write (call $w (local.get $u)) (i32.const 1536)))
      (drop (call $answer (call $announced) (i32.const 1) (call $r (local.get $v)) (call $r (local.get $u))))
      (drop (call $stream-write (call $w (local.get $v)) (i32.const 1024) (i32.const 20)))
      (call $join (call $w (local.get $v)) (i32.load (i32.const 1900))) (i32.const 256)"),
];
