;; Middleware that waits for a timer, and may race that against the next stage.
(component
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
  (import "wasi:clocks/monotonic-clock@0.3.0" (instance $clock
    (export "wait-for" (func async (param "how-long" u64)))))
  (core func $wait (canon lower (func $clock "wait-for") async))
  (core module $main
    (import "wasi:http/handler@0.3.0" "handle" (func (param i32 i32) (result i32)))
    (func (export "entry") (param i32) (result i32) i32.const 0)
    (func (export "callback") (param i32 i32 i32) (result i32) i32.const 0))
  (core instance $main (instantiate $main
    (with "wasi:http/handler@0.3.0" (instance (export "handle" (func $lower))))))
  (func $lifted async (param "request" (own $request)) (result $result)
    (canon lift (core func $main "entry") (memory $memory) async (callback (func $main "callback"))))
  (instance $handler (export "handle" (func $lifted)))
  (export "wasi:http/handler@0.3.0" (instance $handler))
)
