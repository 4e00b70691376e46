//! A proxy-wasm filter of Envoy's, for each kind of work that is compared.

/// The key that is compared.
pub const KEY: &str = "bench-key-bench-key";

/// The work of a filter of Envoy: the same as that of the guest `measured`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    Nothing,
    Header,
    Key,
    Log,
}

impl Filter {
    pub const ALL: [Self; 4] = [Self::Nothing, Self::Header, Self::Key, Self::Log];

    /// The compiled filter in the folder of a run.
    pub fn file(self) -> &'static str {
        match self {
            Self::Nothing => "nothing.wasm",
            Self::Header => "header.wasm",
            Self::Key => "key.wasm",
            Self::Log => "log.wasm",
        }
    }

    pub fn title(self) -> &'static str {
        match self {
            Self::Nothing => "passes on",
            Self::Header => "appends a field to the response",
            Self::Key => "compares a key, sets a field of the request",
            Self::Log => "says the path in the log, below its level",
        }
    }

    /// Its work on the head of a request, and of a response.
    fn calls(self) -> (&'static str, &'static str) {
        match self {
            Self::Nothing => ("", ""),
            // 2: the response's fields.
            Self::Header => (
                "",
                "(drop (call $add (i32.const 2) (i32.const 0) (i32.const 10) (i32.const 16) (i32.const 16)))",
            ),
            // 0: the request's fields. The memory that the host allocates for a value is freed with the call.
            Self::Key => (
                "(local $free i32)
                 (local.set $free (global.get $free))
                 (drop (call $get (i32.const 0) (i32.const 48) (i32.const 9) (i32.const 120) (i32.const 124)))
                 (if (i32.eqz (call $same (i32.load (i32.const 120)) (i32.load (i32.const 124))
                   (i32.const 64) (i32.const 19)))
                   (then
                     (drop (call $answer (i32.const 401) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
                       (i32.const 0) (i32.const 0) (i32.const -1)))
                     (return (i32.const 1))))
                 (drop (call $set (i32.const 0) (i32.const 32) (i32.const 10) (i32.const 88) (i32.const 8)))
                 (global.set $free (local.get $free))",
                "",
            ),
            Self::Log => (
                "(local $free i32)
                 (local.set $free (global.get $free))
                 (drop (call $get (i32.const 0) (i32.const 100) (i32.const 5) (i32.const 120) (i32.const 124)))
                 (drop (call $log (i32.const 2) (i32.load (i32.const 120)) (i32.load (i32.const 124))))
                 (global.set $free (local.get $free))",
                "",
            ),
        }
    }

    /// The filter as text.
    pub fn text(self) -> String {
        let (request, response) = self.calls();
        let data = r#"
  (data (i32.const 0) "x-measured")
  (data (i32.const 16) "0123456789abcdef")
  (data (i32.const 32) "x-consumer")
  (data (i32.const 48) "x-api-key")
  (data (i32.const 88) "measured")
  (data (i32.const 100) ":path")
"#;
        module(&format!("{data}  (data (i32.const 64) \"{KEY}\")\n"), request, response)
    }
}

/// Where a filter's further texts may stand in its memory, up to what it allocates.
pub const FREE_DATA: usize = 256;

/// A filter of proxy-wasm's ABI 0.2.1, as text, which has all functions of a filter that looks at heads. Memory from
/// 32,768 on is free.
pub fn module(data: &str, request: &str, response: &str) -> String {
    MODULE.replace("DATA", data).replace("REQUEST", request).replace("RESPONSE", response)
}

const MODULE: &str = r#"
(module
  (import "env" "proxy_add_header_map_value" (func $add (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_replace_header_map_value" (func $set (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_get_header_map_value" (func $get (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_remove_header_map_value" (func $remove (param i32 i32 i32) (result i32)))
  (import "env" "proxy_send_local_response"
    (func $answer (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
  (import "env" "proxy_get_current_time_nanoseconds" (func $now (param i32) (result i32)))
  (memory (export "memory") 1)
DATA  (global $free (mut i32) (i32.const 4096))
  (global $until (mut i64) (i64.const 0))
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "_initialize"))
  (func (export "proxy_on_memory_allocate") (param $size i32) (result i32)
    (local $at i32)
    (local.set $at (global.get $free))
    (global.set $free (i32.add (global.get $free) (local.get $size)))
    (local.get $at))
  (func (export "proxy_on_vm_start") (param i32 i32) (result i32) (i32.const 1))
  (func (export "proxy_on_configure") (param i32 i32) (result i32) (i32.const 1))
  (func (export "proxy_on_context_create") (param i32 i32))
  ;; Whether two texts are the same, in time that their bytes do not tell.
  (func $same (param $at i32) (param $length i32) (param $other i32) (param $size i32) (result i32)
    (local $i i32)
    (local $unlike i32)
    (if (i32.ne (local.get $length) (local.get $size)) (then (return (i32.const 0))))
    (loop $next
      (local.set $unlike (i32.or (local.get $unlike)
        (i32.xor (i32.load8_u (i32.add (local.get $at) (local.get $i)))
          (i32.load8_u (i32.add (local.get $other) (local.get $i))))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $i) (local.get $length))))
    (i32.eqz (local.get $unlike)))
  ;; Whether a text has 1 to 128 visible characters.
  (func $is-word (param $at i32) (param $length i32) (result i32)
    (local $i i32)
    (if (i32.gt_u (i32.sub (local.get $length) (i32.const 1)) (i32.const 127)) (then (return (i32.const 0))))
    (loop $next
      (if (i32.gt_u (i32.sub (i32.load8_u (i32.add (local.get $at) (local.get $i))) (i32.const 33)) (i32.const 93))
        (then (return (i32.const 0))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $i) (local.get $length))))
    (i32.const 1))
  ;; Writes a number in decimal, and says where it ends.
  (func $decimal (param $number i64) (param $at i32) (result i32)
    (local $rest i64)
    (local $end i32)
    (local.set $rest (local.get $number))
    (local.set $end (local.get $at))
    (loop $count
      (local.set $end (i32.add (local.get $end) (i32.const 1)))
      (local.set $rest (i64.div_u (local.get $rest) (i64.const 10)))
      (br_if $count (i64.ne (local.get $rest) (i64.const 0))))
    (local.set $at (local.get $end))
    (loop $digit
      (local.set $at (i32.sub (local.get $at) (i32.const 1)))
      (i64.store8 (local.get $at) (i64.add (i64.rem_u (local.get $number) (i64.const 10)) (i64.const 48)))
      (local.set $number (i64.div_u (local.get $number) (i64.const 10)))
      (br_if $digit (i64.ne (local.get $number) (i64.const 0))))
    (local.get $end))
  (func (export "proxy_on_request_headers") (param $request i32) (param i32 i32) (result i32)
    REQUEST
    (i32.const 0))
  (func (export "proxy_on_response_headers") (param $request i32) (param i32 i32) (result i32)
    RESPONSE
    (i32.const 0))
  (func (export "proxy_on_done") (param i32) (result i32) (i32.const 1))
  (func (export "proxy_on_log") (param i32))
  (func (export "proxy_on_delete") (param i32)))
"#;
