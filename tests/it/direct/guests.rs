//! Guests that break one rule each.

use super::ends;

/// A middleware whose allocator, post-return and `handle` are given, with all functions of the list.
const GUEST: &str = r#"(component
  (import "wasi:http/types@0.3.0" (instance $types
    (export "fields" (type $fields (sub resource)))
    (export "request" (type $request (sub resource)))
    (export "response" (type $response (sub resource)))
    (type $dns' (record (field "rcode" (option string)) (field "info-code" (option u16))))
    (export "DNS-error-payload" (type $dns (eq $dns')))
    (type $tls' (record (field "alert-id" (option u8)) (field "alert-message" (option string))))
    (export "TLS-alert-received-payload" (type $tls (eq $tls')))
    (type $fs' (record (field "field-name" (option string)) (field "field-size" (option u32))))
    (export "field-size-payload" (type $fs (eq $fs')))
    (type $code' (variant (case "DNS-timeout") (case "DNS-error" $dns) (case "destination-not-found")
      (case "destination-unavailable") (case "destination-IP-prohibited") (case "destination-IP-unroutable")
      (case "connection-refused") (case "connection-terminated") (case "connection-timeout")
      (case "connection-read-timeout") (case "connection-write-timeout") (case "connection-limit-reached")
      (case "TLS-protocol-error") (case "TLS-certificate-error") (case "TLS-alert-received" $tls)
      (case "HTTP-request-denied") (case "HTTP-request-length-required") (case "HTTP-request-body-size" (option u64))
      (case "HTTP-request-method-invalid") (case "HTTP-request-URI-invalid") (case "HTTP-request-URI-too-long")
      (case "HTTP-request-header-section-size" (option u32)) (case "HTTP-request-header-size" (option $fs))
      (case "HTTP-request-trailer-section-size" (option u32)) (case "HTTP-request-trailer-size" $fs)
      (case "HTTP-response-incomplete") (case "HTTP-response-header-section-size" (option u32))
      (case "HTTP-response-header-size" $fs) (case "HTTP-response-body-size" (option u64))
      (case "HTTP-response-trailer-section-size" (option u32)) (case "HTTP-response-trailer-size" $fs)
      (case "HTTP-response-transfer-coding" (option string)) (case "HTTP-response-content-coding" (option string))
      (case "HTTP-response-timeout") (case "HTTP-upgrade-failed") (case "HTTP-protocol-error")
      (case "loop-detected") (case "configuration-error") (case "internal-error" (option string))))
    (export "error-code" (type $code (eq $code')))
    (type $he' (variant (case "invalid-syntax") (case "forbidden") (case "immutable") (case "size-exceeded")
      (case "other" (option string))))
    (export "header-error" (type $he (eq $he')))
    (export "[method]request.get-headers" (func (param "self" (borrow $request)) (result (own $fields))))
    (export "[method]response.get-status-code" (func (param "self" (borrow $response)) (result u16)))
    (export "[method]fields.get" (func (param "self" (borrow $fields)) (param "name" string) (result (list (list u8)))))
    (export "[method]fields.has" (func (param "self" (borrow $fields)) (param "name" string) (result bool)))
    (type $method' (variant (case "get") (case "head") (case "post") (case "put") (case "delete") (case "connect")
      (case "options") (case "trace") (case "patch") (case "other" string)))
    (export "method" (type $method (eq $method')))
    (export "[method]request.get-method" (func (param "self" (borrow $request)) (result $method)))
    (export "[method]request.get-path-with-query" (func (param "self" (borrow $request)) (result (option string))))
    (export "[method]request.get-authority" (func (param "self" (borrow $request)) (result (option string))))
    (export "[method]response.set-status-code"
      (func (param "self" (borrow $response)) (param "status-code" u16) (result (result))))
    (export "[method]response.get-headers" (func (param "self" (borrow $response)) (result (own $fields))))
    MORE_TYPES
    (export "[method]fields.copy-all" (func (param "self" (borrow $fields)) (result (list (tuple string (list u8))))))))
  (import "wasi:config/store@0.2.0-rc.1" (instance $store
    (type $e' (variant (case "upstream" string) (case "io" string))) (export "error" (type $e (eq $e')))
    (export "get" (func (param "key" string) (result (result (option string) (error $e)))))
    (export "get-all" (func (result (result (list (tuple string string)) (error $e)))))))
  (import "wasi:logging/logging@0.1.0-draft" (instance $logging
    (type $l' (enum "trace" "debug" "info" "warn" "error" "critical")) (export "level" (type $l (eq $l')))
    (export "log" (func (param "level" $l) (param "context" string) (param "message" string)))))
  (import "linkspan:gateway/rate-limiter@0.1.0" (instance $limiter
    (type $q' (record (field "burst" u32) (field "interval" u64))) (export "quota" (type $q (eq $q')))
    (type $d' (record (field "allowed" bool) (field "remaining" u32) (field "retry-after" u64)
      (field "reset-after" u64)))
    (export "decision" (type $d (eq $d')))
    (type $e' (enum "invalid-quota" "key-too-long" "too-many-keys")) (export "error" (type $e (eq $e')))
    (export "take" (func (param "key" string) (param "quota" $q) (result (result $d (error $e)))))))
  (import "linkspan:gateway/signatures@0.1.0" (instance $signatures
    (type $a' (enum "rs256" "rs384" "rs512" "ps256" "ps384" "ps512" "es256" "es384" "ed25519" "hs256" "hs384" "hs512"))
    (export "algorithm" (type $a (eq $a')))
    (type $e' (enum "invalid-key" "too-long")) (export "error" (type $e (eq $e')))
    (export "verify" (func (param "algorithm" $a) (param "key" (list u8)) (param "message" (list u8))
      (param "signature" (list u8)) (result (result bool (error $e)))))))
  (import "wasi:clocks/monotonic-clock@0.3.0" (instance $monotonic
    (export "now" (func (result u64))) (export "get-resolution" (func (result u64)))))
  (import "wasi:clocks/system-clock@0.3.0" (instance $system
    (type $i' (record (field "seconds" s64) (field "nanoseconds" u32))) (export "instant" (type $i (eq $i')))
    (export "now" (func (result $i))) (export "get-resolution" (func (result u64)))))
  (alias export $types "request" (type $request))
  (alias export $types "response" (type $response))
  (alias export $types "fields" (type $fields))
  (alias export $types "error-code" (type $code))
  (alias export $types "header-error" (type $he))
  MORE_DEFINITIONS
  (import "wasi:http/handler@0.3.0" (instance $next
    (alias outer 1 $request (type $rq')) (export "request" (type $rq (eq $rq')))
    (alias outer 1 $response (type $rs')) (export "response" (type $rs (eq $rs')))
    (alias outer 1 $code (type $c')) (export "error-code" (type $c (eq $c')))
    (export "handle" (func async (param "request" (own $rq)) (result (result (own $rs) (error $c)))))))
  (import "linkspan:gateway/headers@0.1.0" (instance $headers
    (alias outer 1 $request (type $rq')) (export "request" (type $rq (eq $rq')))
    (alias outer 1 $he (type $he')) (export "header-error" (type $he (eq $he')))
    (type $edit' (variant (case "set" (tuple string (list u8))) (case "append" (tuple string (list u8)))
      (case "default" (tuple string (list u8))) (case "remove" string)))
    (export "edit" (type $edit (eq $edit')))
    (type $refusal' (record (field "index" u32) (field "reason" $he)))
    (export "refusal" (type $refusal (eq $refusal')))
    (export "edit-request" (func (param "request" (borrow $rq)) (param "edits" (list $edit)) (result (result (error $refusal)))))
    (alias outer 1 $response (type $rs')) (export "response" (type $rs (eq $rs')))
    (export "edit-response" (func (param "response" (borrow $rs)) (param "edits" (list $edit)) (result (result (error $refusal)))))
    (export "response-values" (func (param "response" (borrow $rs)) (param "name" string) (result (list (list u8)))))
    (export "request-values" (func (param "request" (borrow $rq)) (param "name" string) (result (list (list u8)))))))
  (import "wasi:random/random@0.3.0" (instance $random (export "get-random-u64" (func (result u64)))))
  (core module $libc
    (memory (export "memory") 1)
    (table (export "out") 1 funcref)
    (type $out (func))
    (global $top (mut i32) (i32.const 4096))
    (func (export "realloc") (param $old i32) (param $size i32) (param $align i32) (param $new i32) (result i32)
      REALLOC)
    (data (i32.const 16) "a\ff\c0name")
    MORE_DATA
    (data (i32.const 1024) "x-edited and a value"))
  (core instance $libc (instantiate $libc))
  (alias core export $libc "memory" (core memory $memory))
  (alias core export $libc "realloc" (core func $realloc))
  (core func $handle (canon lower (func $next "handle") (memory $memory) (realloc $realloc)))
  (core func $drop-request (canon resource.drop $request))
  (core func $drop-response (canon resource.drop $response))
  (core func $drop-fields (canon resource.drop $fields))
  (core func $edit (canon lower (func $headers "edit-request") (memory $memory) (realloc $realloc)))
  (core func $values (canon lower (func $headers "request-values") (memory $memory) (realloc $realloc)))
  (core func $edit-response (canon lower (func $headers "edit-response") (memory $memory) (realloc $realloc)))
  (core func $response-values (canon lower (func $headers "response-values") (memory $memory) (realloc $realloc)))
  (core func $response-fields (canon lower (func $types "[method]response.get-headers")))
  (core func $scheme (canon lower (func $types "[method]request.get-scheme") (memory $memory) (realloc $realloc)))
  (core func $random (canon lower (func $random "get-random-u64")))
  (core func $fields-of (canon lower (func $types "[method]request.get-headers")))
  (core func $status (canon lower (func $types "[method]response.get-status-code")))
  (core func $get (canon lower (func $types "[method]fields.get") (memory $memory) (realloc $realloc)))
  (core func $has (canon lower (func $types "[method]fields.has") (memory $memory)))
  (core func $method (canon lower (func $types "[method]request.get-method") (memory $memory) (realloc $realloc)))
  (core func $path (canon lower (func $types "[method]request.get-path-with-query") (memory $memory) (realloc $realloc)))
  (core func $authority (canon lower (func $types "[method]request.get-authority") (memory $memory) (realloc $realloc)))
  (core func $set-status (canon lower (func $types "[method]response.set-status-code")))
  (core func $all (canon lower (func $types "[method]fields.copy-all") (memory $memory) (realloc $realloc)))
  (core func $key (canon lower (func $store "get") (memory $memory) (realloc $realloc)))
  (core func $keys (canon lower (func $store "get-all") (memory $memory) (realloc $realloc)))
  (core func $log (canon lower (func $logging "log") (memory $memory)))
  (core func $take (canon lower (func $limiter "take") (memory $memory)))
  (core func $verify (canon lower (func $signatures "verify") (memory $memory)))
  (core func $mark (canon lower (func $monotonic "now")))
  (core func $step (canon lower (func $monotonic "get-resolution")))
  (core func $now (canon lower (func $system "now") (memory $memory)))
  (core func $resolution (canon lower (func $system "get-resolution")))
  MORE_CANONICALS
  (core module $main
    (import "l" "memory" (memory 1))
    (import "l" "out" (table 1 funcref))
    (import "wasi:http/handler@0.3.0" "handle" (func $handle (param i32 i32)))
    (import "h" "drop-request" (func $drop-request (param i32)))
    (import "h" "drop-response" (func $drop-response (param i32)))
    (import "h" "drop-fields" (func $drop-fields (param i32)))
    (import "h" "edit" (func $edit (param i32 i32 i32 i32)))
    (import "h" "values" (func $values (param i32 i32 i32 i32)))
    (import "h" "edit-response" (func $edit-response (param i32 i32 i32 i32)))
    (import "h" "response-values" (func $response-values (param i32 i32 i32 i32)))
    (import "h" "response-fields" (func $response-fields (param i32) (result i32)))
    (import "h" "scheme" (func $scheme (param i32 i32)))
    (import "h" "random" (func $random (result i64)))
    (import "h" "fields-of" (func $fields-of (param i32) (result i32)))
    (import "h" "status" (func $status (param i32) (result i32)))
    (import "h" "get" (func $get (param i32 i32 i32 i32)))
    (import "h" "has" (func $has (param i32 i32 i32) (result i32)))
    (import "h" "method" (func $method (param i32 i32)))
    (import "h" "path" (func $path (param i32 i32)))
    (import "h" "authority" (func $authority (param i32 i32)))
    (import "h" "set-status" (func $set-status (param i32 i32) (result i32)))
    (import "h" "all" (func $all (param i32 i32)))
    (import "h" "key" (func $key (param i32 i32 i32)))
    (import "h" "keys" (func $keys (param i32)))
    (import "h" "log" (func $log (param i32 i32 i32 i32 i32)))
    (import "h" "take" (func $take (param i32 i32 i32 i64 i32)))
    (import "h" "verify" (func $verify (param i32 i32 i32 i32 i32 i32 i32 i32)))
    (import "h" "mark" (func $mark (result i64)))
    (import "h" "step" (func $step (result i64)))
    (import "h" "now" (func $now (param i32)))
    (import "h" "resolution" (func $resolution (result i64)))
    MORE_IMPORTS
    (elem (i32.const 0) func $outward)
    (func $outward (drop (call $step)))
    ;; An edit of the name at 1024, 8 bytes, with the value at 1037, at 512.
    (func $an-edit (param $kind i32)
      (i32.store8 (i32.const 512) (local.get $kind))
      (i32.store (i32.const 516) (i32.const 1024)) (i32.store (i32.const 520) (i32.const 8))
      (i32.store (i32.const 524) (i32.const 1037)) (i32.store (i32.const 528) (i32.const 7)))
    (func $pass (param $q i32) (result i32) (call $handle (local.get $q) (i32.const 256)) (i32.const 256))
    (func $fail (param $case i32) (result i32)
      (i32.store8 (i32.const 256) (i32.const 1)) (i32.store8 (i32.const 264) (local.get $case)) (i32.const 256))
    ;; An error that tells a number: the sum of the words from 128 on, and those of the bytes that the second one points to.
    (func $tell (param $words i32) (result i32) (local $sum i32) (local $at i32)
      (local.set $at (i32.const 128))
      (loop
        (local.set $sum (i32.add (i32.mul (local.get $sum) (i32.const 31)) (i32.load (local.get $at))))
        (local.set $at (i32.add (local.get $at) (i32.const 4)))
        (local.set $words (i32.sub (local.get $words) (i32.const 1)))
        (br_if 0 (local.get $words)))
      (i32.store8 (i32.const 272) (i32.const 1)) (i32.store (i32.const 276) (local.get $sum))
      (call $fail (i32.const 21)))
    ;; The same of the text whose place and length are at this address.
    (func $tell-text (param $at i32) (result i32)
      (i32.store8 (i32.const 272) (i32.const 1)) (i32.store (i32.const 276) (i32.load (local.get $at)))
      (i32.store (i32.const 280) (i32.load offset=4 (local.get $at))) (call $fail (i32.const 38)))
    MORE_HELPERS
    (func (export "handle") (param $q i32) (result i32) (local $x i32) (local $v i64) (local $u i64)
      HANDLE)
    (func (export "post") (param i32)
      POST))
  (core instance $main (instantiate $main (with "l" (instance $libc))
    (with "wasi:http/handler@0.3.0" (instance (export "handle" (func $handle)))) (with "h" (instance
    (export "drop-request" (func $drop-request))
    (export "drop-response" (func $drop-response)) (export "drop-fields" (func $drop-fields))
    (export "edit" (func $edit)) (export "values" (func $values)) (export "fields-of" (func $fields-of))
    (export "edit-response" (func $edit-response)) (export "response-values" (func $response-values))
    (export "response-fields" (func $response-fields)) (export "scheme" (func $scheme)) (export "random" (func $random))
    (export "status" (func $status)) (export "get" (func $get)) (export "has" (func $has))
    (export "method" (func $method)) (export "path" (func $path)) (export "authority" (func $authority))
    (export "set-status" (func $set-status)) (export "all" (func $all)) (export "key" (func $key))
    (export "keys" (func $keys)) (export "log" (func $log)) (export "take" (func $take)) (export "verify" (func $verify)) (export "mark" (func $mark))
    (export "step" (func $step)) (export "now" (func $now)) (export "resolution" (func $resolution))
    MORE_EXPORTS))))
  (func $lifted async (param "request" (own $request)) (result (result (own $response) (error $code)))
    (canon lift (core func $main "handle") (memory $memory) (realloc $realloc) (post-return (func $main "post"))))
  (instance $handler (export "request" (type $request)) (export "response" (type $response))
    (export "error-code" (type $code)) (export "handle" (func $lifted)))
  (export "wasi:http/handler@0.3.0" (instance $handler)))"#;

/// An allocator that never frees.
pub const REALLOC: &str = "(local $at i32)
    (local.set $at (i32.and (i32.add (global.get $top) (i32.sub (local.get $align) (i32.const 1)))
      (i32.sub (i32.const 0) (local.get $align))))
    (global.set $top (i32.add (local.get $at) (local.get $new)))
    (local.get $at)";

pub const PASS: &str = "(call $pass (local.get $q))";

/// What it does, and the guest.
pub fn hostile() -> Vec<(String, String)> {
    let mut guests = Vec::new();
    let mut add = |what: &str, guest: String| guests.push((what.to_owned(), guest));
    for (what, handle) in HANDLES {
        add(what, make(REALLOC, handle, ""));
    }
    for (what, handle) in ends::handles() {
        add(what, make(REALLOC, &format!("(local $y i32) {handle}"), ""));
    }
    let values = "(call $values (local.get $q) (i32.const 16) (i32.const 1) (i32.const 128)) (call $pass (local.get $q))";
    for (what, realloc) in [
        ("an allocator out of bounds", "(i32.const 65535)"),
        ("an allocator far out of bounds", "(i32.const -4)"),
        ("an allocator that is not aligned", "(i32.const 4097)"),
        ("an allocator that traps", "unreachable"),
        ("an allocator that calls out", "(call_indirect (type $out) (i32.const 0)) (i32.const 4096)"),
        ("an allocator that gives one place", "(i32.const 8192)"),
        ("an allocator that gives its result", "(i32.const 128)"),
        ("an allocator that grows", "(i32.shl (memory.grow (i32.const 1)) (i32.const 16))"),
    ] {
        add(what, make(realloc, values, ""));
    }
    for (what, post) in [
        ("a post-return that traps", "unreachable"),
        ("a post-return that calls out", "(call $drop-request (i32.const 1))"),
        ("a post-return that calls the next stage", "(call $handle (i32.const 1) (i32.const 256))"),
        (
            "a post-return that edits",
            "(call $an-edit (i32.const 0)) (call $edit (i32.const 1) (i32.const 512) (i32.const 1) (i32.const 256))",
        ),
    ] {
        add(what, make(REALLOC, PASS, post));
    }
    let kept = "(i32.store (i32.const 600) (call $fields-of (local.get $q))) (call $pass (local.get $q))";
    for (what, post) in [
        ("a post-return that drops fields", "(call $drop-fields (i32.load (i32.const 600)))"),
        (
            "a post-return that reads fields",
            "(call $get (i32.load (i32.const 600)) (i32.const 16) (i32.const 1) (i32.const 128))",
        ),
    ] {
        add(what, make(REALLOC, kept, post));
    }
    guests
}

/// A guest with this body of `handle`.
pub fn with_handle(handle: &str) -> String {
    make(REALLOC, handle, "")
}

/// A guest with these bodies of its functions.
pub fn make(realloc: &str, handle: &str, post: &str) -> String {
    let guest = GUEST
        .replace("MORE_TYPES", ends::TYPES)
        .replace("MORE_DEFINITIONS", ends::DEFINITIONS)
        .replace("MORE_CANONICALS", &ends::canonicals())
        .replace("MORE_IMPORTS", &ends::imports())
        .replace("MORE_HELPERS", ends::HELPERS)
        .replace("MORE_EXPORTS", &ends::exports())
        .replace("MORE_DATA", ends::DATA);
    guest.replace("REALLOC", realloc).replace("HANDLE", handle).replace("POST", post)
}

/// A guest that answers with an error that has a text.
pub fn erring() -> String {
    let (_, handle) = HANDLES.iter().find(|(what, _)| *what == "an error with a text").expect("it is there");
    with_handle(handle)
}

/// What `handle` does.
pub const HANDLES: &[(&str, &str)] = &[
    ("it passes", PASS),
    ("its handle is told", "(i32.store8 (i32.const 256) (i32.const 1)) (i32.store8 (i32.const 264) (i32.const 21))
      (i32.store8 (i32.const 272) (i32.const 1)) (i32.store (i32.const 276) (local.get $q)) (i32.const 256)"),
    ("the second handle is told", "(local.set $x (call $fields-of (local.get $q))) (call $drop-fields (local.get $x))
      (local.set $x (call $fields-of (local.get $q)))
      (i32.store8 (i32.const 256) (i32.const 1)) (i32.store8 (i32.const 264) (i32.const 21))
      (i32.store8 (i32.const 272) (i32.const 1)) (i32.store (i32.const 276) (local.get $x)) (i32.const 256)"),
    ("no handle", "(call $pass (i32.const 0))"),
    ("a forged handle", "(call $pass (i32.const 77))"),
    ("a huge handle", "(call $pass (i32.const -1))"),
    ("a request twice", "(drop (call $pass (local.get $q))) (call $pass (local.get $q))"),
    ("a request dropped twice", "(call $drop-request (local.get $q)) (call $drop-request (local.get $q)) (i32.const 256)"),
    ("a stale request", "(call $drop-request (local.get $q)) (call $pass (local.get $q))"),
    ("a request dropped as a response", "(call $drop-response (local.get $q)) (i32.const 256)"),
    ("fields passed as a request", "(call $pass (call $fields-of (local.get $q)))"),
    ("a request read as a response", "(drop (call $status (local.get $q))) (call $pass (local.get $q))"),
    ("a response dropped before it is given", "(drop (call $pass (local.get $q)))
      (call $drop-response (i32.load (i32.const 264))) (i32.const 256)"),
    ("a request given as a response", "(i32.store8 (i32.const 256) (i32.const 0)) (i32.store (i32.const 264) (local.get $q)) (i32.const 256)"),
    ("the next one's result out of bounds", "(call $handle (local.get $q) (i32.const 65528)) (i32.const 256)"),
    ("the next one's result not aligned", "(call $handle (local.get $q) (i32.const 260)) (i32.const 256)"),
    ("a result out of bounds", "(drop (call $pass (local.get $q))) (i32.const 65504)"),
    ("a result that wraps", "(drop (call $pass (local.get $q))) (i32.const -8)"),
    ("a result that is not aligned", "(drop (call $pass (local.get $q))) (i32.const 252)"),
    ("a wrong case", "(i32.store8 (i32.const 256) (i32.const 2)) (i32.const 256)"),
    ("a wrong error", "(call $fail (i32.const 39))"),
    ("a wrong option", "(i32.store8 (i32.const 272) (i32.const 2)) (call $fail (i32.const 38))"),
    ("an error", "(call $fail (i32.const 6))"),
    ("an error with nothing", "(call $fail (i32.const 22))"),
    ("an error with a text", "(i32.store8 (i32.const 272) (i32.const 1)) (i32.store (i32.const 276) (i32.const 1024))
      (i32.store (i32.const 280) (i32.const 20)) (call $fail (i32.const 38))"),
    ("an error with all it can have", "(i32.store8 (i32.const 272) (i32.const 1)) (i32.store8 (i32.const 276) (i32.const 1))
      (i32.store (i32.const 280) (i32.const 1024)) (i32.store (i32.const 284) (i32.const 20))
      (i32.store8 (i32.const 288) (i32.const 1)) (i32.store (i32.const 292) (i32.const 77)) (call $fail (i32.const 22))"),
    ("an error whose text is out of bounds", "(i32.store8 (i32.const 272) (i32.const 1))
      (i32.store (i32.const 276) (i32.const 65535)) (i32.store (i32.const 280) (i32.const 2)) (call $fail (i32.const 38))"),
    ("an error whose text wraps", "(i32.store8 (i32.const 272) (i32.const 1))
      (i32.store (i32.const 276) (i32.const 16)) (i32.store (i32.const 280) (i32.const -8)) (call $fail (i32.const 38))"),
    ("an error whose text is not UTF-8", "(i32.store8 (i32.const 272) (i32.const 1))
      (i32.store (i32.const 276) (i32.const 16)) (i32.store (i32.const 280) (i32.const 3)) (call $fail (i32.const 38))"),
    ("an edit", "(call $an-edit (i32.const 0)) (call $edit (local.get $q) (i32.const 512) (i32.const 1) (i32.const 128)) (call $pass (local.get $q))"),
    ("an edit that is none", "(call $an-edit (i32.const 4)) (call $edit (local.get $q) (i32.const 512) (i32.const 1) (i32.const 128)) (call $pass (local.get $q))"),
    ("too many edits", "(call $edit (local.get $q) (i32.const 512) (i32.const 1001) (i32.const 128)) (call $fail (i32.load8_u (i32.const 128)))"),
    ("far too many edits", "(call $edit (local.get $q) (i32.const 512) (i32.const 0x10000000) (i32.const 128)) (call $pass (local.get $q))"),
    ("edits out of bounds", "(call $edit (local.get $q) (i32.const 65520) (i32.const 1) (i32.const 128)) (call $pass (local.get $q))"),
    ("edits that are not aligned", "(call $edit (local.get $q) (i32.const 513) (i32.const 1) (i32.const 128)) (call $pass (local.get $q))"),
    ("edits with a result out of bounds", "(call $an-edit (i32.const 0)) (call $edit (local.get $q) (i32.const 512) (i32.const 1) (i32.const 65520)) (call $pass (local.get $q))"),
    ("no edits, nowhere", "(call $edit (local.get $q) (i32.const 65536) (i32.const 0) (i32.const 128)) (call $pass (local.get $q))"),
    ("an edit whose name is not UTF-8", "(call $an-edit (i32.const 0)) (i32.store (i32.const 516) (i32.const 17)) (call $edit (local.get $q) (i32.const 512) (i32.const 1) (i32.const 128)) (call $pass (local.get $q))"),
    ("an edit whose value is out of bounds", "(call $an-edit (i32.const 0)) (i32.store (i32.const 528) (i32.const 65536)) (call $edit (local.get $q) (i32.const 512) (i32.const 1) (i32.const 128)) (call $pass (local.get $q))"),
    ("an edit that is refused", "(call $an-edit (i32.const 0)) (i32.store (i32.const 520) (i32.const 12)) (call $edit (local.get $q) (i32.const 512) (i32.const 1) (i32.const 128)) (call $fail (i32.load8_u (i32.const 128)))"),
    ("an edit after the request is gone", "(drop (call $pass (local.get $q))) (call $an-edit (i32.const 0)) (call $edit (local.get $q) (i32.const 512) (i32.const 1) (i32.const 128)) (i32.const 256)"),
    ("values of a name out of bounds", "(call $values (local.get $q) (i32.const 65530) (i32.const 100) (i32.const 128)) (call $pass (local.get $q))"),
    ("values of a name that is not UTF-8", "(call $values (local.get $q) (i32.const 17) (i32.const 2) (i32.const 128)) (call $pass (local.get $q))"),
    ("values with a result out of bounds", "(call $values (local.get $q) (i32.const 16) (i32.const 1) (i32.const 65532)) (call $pass (local.get $q))"),
    ("values told", "(call $values (local.get $q) (i32.const 16) (i32.const 1) (i32.const 128))
      (i32.store8 (i32.const 272) (i32.const 1)) (i32.store (i32.const 276) (i32.load (i32.load (i32.const 128))))
      (i32.store (i32.const 280) (i32.load offset=4 (i32.load (i32.const 128)))) (call $fail (i32.const 38))"),
    ("fields read", "(local.set $x (call $fields-of (local.get $q))) (call $get (local.get $x) (i32.const 16) (i32.const 1) (i32.const 128))
      (call $drop-fields (local.get $x)) (call $fail (i32.add (i32.load (i32.const 132)) (call $has (call $fields-of (local.get $q)) (i32.const 16) (i32.const 1))))"),
    ("fields after they are dropped", "(local.set $x (call $fields-of (local.get $q))) (call $drop-fields (local.get $x))
      (drop (call $has (local.get $x) (i32.const 16) (i32.const 1))) (call $pass (local.get $q))"),
    ("a method told", "(call $method (local.get $q) (i32.const 128)) (call $tell (i32.const 1))"),
    ("a method told nowhere", "(call $method (local.get $q) (i32.const 65528)) (call $tell (i32.const 1))"),
    ("a method of nothing", "(call $method (i32.const 7) (i32.const 128)) (call $tell (i32.const 1))"),
    ("a path told", "(call $path (local.get $q) (i32.const 128)) (call $tell-text (i32.const 132))"),
    ("a path told aside", "(call $path (local.get $q) (i32.const 130)) (call $tell-text (i32.const 132))"),
    ("an authority told", "(call $authority (local.get $q) (i32.const 128)) (call $tell-text (i32.const 132))"),
    ("an authority of fields", "(call $authority (call $fields-of (local.get $q)) (i32.const 128)) (call $tell-text (i32.const 132))"),
    ("all fields told", "(call $all (call $fields-of (local.get $q)) (i32.const 128)) (call $tell-text (i32.load (i32.const 128)))"),
    ("all fields counted", "(call $all (call $fields-of (local.get $q)) (i32.const 128)) (i32.store (i32.const 128) (i32.const 0)) (call $tell (i32.const 2))"),
    ("all fields nowhere", "(call $all (call $fields-of (local.get $q)) (i32.const -8)) (call $tell (i32.const 2))"),
    ("a status set", "(drop (call $pass (local.get $q))) (drop (call $set-status (i32.load (i32.const 264)) (i32.const 418))) (i32.const 256)"),
    ("a status that is none", "(drop (call $pass (local.get $q))) (i32.store (i32.const 128) (call $set-status (i32.load (i32.const 264)) (i32.const 600))) (call $tell (i32.const 1))"),
    ("a status that is too wide", "(drop (call $pass (local.get $q))) (i32.store (i32.const 128) (call $set-status (i32.load (i32.const 264)) (i32.const 0x100C8))) (call $tell (i32.const 1))"),
    ("a request's status", "(drop (call $set-status (local.get $q) (i32.const 200))) (call $pass (local.get $q))"),
    ("a key told", "(call $key (i32.const 16) (i32.const 1) (i32.const 128)) (call $tell-text (i32.const 136))"),
    ("a key that is not there", "(call $key (i32.const 19) (i32.const 4) (i32.const 128)) (call $tell (i32.const 2))"),
    ("a key that is not UTF-8", "(call $key (i32.const 17) (i32.const 2) (i32.const 128)) (call $tell (i32.const 2))"),
    ("a key out of bounds", "(call $key (i32.const 65535) (i32.const 2) (i32.const 128)) (call $tell (i32.const 2))"),
    ("all keys told", "(call $keys (i32.const 128)) (call $tell-text (i32.add (i32.load (i32.const 132)) (i32.const 8)))"),
    ("a line", "(call $log (i32.const 2) (i32.const 1024) (i32.const 8) (i32.const 1024) (i32.const 20)) (call $pass (local.get $q))"),
    ("a line of no level", "(call $log (i32.const 6) (i32.const 1024) (i32.const 8) (i32.const 1024) (i32.const 20)) (call $pass (local.get $q))"),
    ("a line of a wide level", "(call $log (i32.const 258) (i32.const 1024) (i32.const 8) (i32.const 1024) (i32.const 20)) (call $pass (local.get $q))"),
    ("a line out of bounds", "(call $log (i32.const 2) (i32.const 1024) (i32.const 8) (i32.const 65530) (i32.const 20)) (call $pass (local.get $q))"),
    ("a line that is not UTF-8", "(call $log (i32.const 2) (i32.const 17) (i32.const 2) (i32.const 1024) (i32.const 20)) (call $pass (local.get $q))"),
    ("a line that is too long", "(drop (memory.grow (i32.const 40))) (call $log (i32.const 2) (i32.const 1024) (i32.const 8) (i32.const 4096) (i32.const 2000000)) (call $pass (local.get $q))"),
    ("a token", "(call $take (i32.const 16) (i32.const 1) (i32.const 3) (i64.const 1000000000000) (i32.const 128)) (i32.store (i32.const 136) (i32.load8_u (i32.const 136))) (call $tell (i32.const 4))"),
    ("a signature that is valid", "(i64.store (i32.const 40064) (i64.const -5308323630610652244)) (i64.store (i32.const 40072) (i64.const -3698318359415817903)) (i64.store (i32.const 40080) (i64.const -221836939383256469)) (i64.store (i32.const 40088) (i64.const 4077010723740523430)) (call $verify (i32.const 9) (i32.const 40000) (i32.const 32) (i32.const 1024) (i32.const 8) (i32.const 40064) (i32.const 32) (i32.const 128)) (call $tell (i32.const 1))"),
    ("a signature that is not valid", "(call $verify (i32.const 9) (i32.const 40000) (i32.const 32) (i32.const 1024) (i32.const 8) (i32.const 40064) (i32.const 32) (i32.const 128)) (call $tell (i32.const 1))"),
    ("a signature by no key", "(call $verify (i32.const 0) (i32.const 40000) (i32.const 32) (i32.const 1024) (i32.const 8) (i32.const 40064) (i32.const 32) (i32.const 128)) (call $tell (i32.const 1))"),
    ("a signature by a long key", "(call $verify (i32.const 9) (i32.const 40000) (i32.const 1025) (i32.const 1024) (i32.const 8) (i32.const 40064) (i32.const 32) (i32.const 128)) (call $tell (i32.const 1))"),
    ("a signature by an algorithm that is none", "(call $verify (i32.const 12) (i32.const 40000) (i32.const 32) (i32.const 1024) (i32.const 8) (i32.const 40064) (i32.const 32) (i32.const 128)) (call $tell (i32.const 1))"),
    ("a signature by a key out of bounds", "(call $verify (i32.const 9) (i32.const 65520) (i32.const 32) (i32.const 1024) (i32.const 8) (i32.const 40064) (i32.const 32) (i32.const 128)) (call $tell (i32.const 1))"),
    ("a signature out of bounds", "(call $verify (i32.const 9) (i32.const 40000) (i32.const 32) (i32.const 1024) (i32.const 8) (i32.const -1) (i32.const 32) (i32.const 128)) (call $tell (i32.const 1))"),
    ("a signature of a message that wraps", "(call $verify (i32.const 9) (i32.const 40000) (i32.const 32) (i32.const 1024) (i32.const -1) (i32.const 40064) (i32.const 32) (i32.const 128)) (call $tell (i32.const 1))"),
    ("a signature told nowhere", "(call $verify (i32.const 9) (i32.const 40000) (i32.const 32) (i32.const 1024) (i32.const 8) (i32.const 40064) (i32.const 32) (i32.const 65535)) (call $tell (i32.const 1))"),
    ("a signature told at the end", "(call $verify (i32.const 9) (i32.const 40000) (i32.const 32) (i32.const 1024) (i32.const 8) (i32.const 40064) (i32.const 32) (i32.const 65534)) (call $tell (i32.const 1))"),
    ("a token of no quota", "(call $take (i32.const 16) (i32.const 1) (i32.const 0) (i64.const 0) (i32.const 128)) (call $tell (i32.const 3))"),
    ("a token told aside", "(call $take (i32.const 16) (i32.const 1) (i32.const 3) (i64.const 1000) (i32.const 132)) (call $tell (i32.const 3))"),
    ("a token told nowhere", "(call $take (i32.const 16) (i32.const 1) (i32.const 3) (i64.const 1000) (i32.const 65512)) (call $tell (i32.const 3))"),
    ("a token for a key out of bounds", "(call $take (i32.const 65536) (i32.const 1) (i32.const 3) (i64.const 1000) (i32.const 128)) (call $tell (i32.const 3))"),
    ("clocks that go", "(call $now (i32.const 128)) (i32.store (i32.const 128) (i32.and (i64.gt_u (call $mark) (i64.const 0)) (i64.gt_s (i64.load (i32.const 128)) (i64.const 1000000000)))) (call $tell (i32.const 1))"),
    ("clocks with steps", "(i64.store (i32.const 128) (call $step)) (i64.store (i32.const 136) (call $resolution)) (call $tell (i32.const 4))"),
    ("a time told aside", "(call $now (i32.const 132)) (call $pass (local.get $q))"),
    ("a time told nowhere", "(call $now (i32.const 65528)) (call $pass (local.get $q))"),
    ("it traps", "unreachable"),
    ("it traps after the next one", "(drop (call $pass (local.get $q))) unreachable"),
    ("it loops into its stack", "(call $pass (call $pass (i32.const 0)))"),
];
