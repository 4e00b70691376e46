;; A middleware, as far as its imports and exports say, that wants random numbers.
(component
  (import "wasi:random/random@0.3.0" (instance (export "get-random-u64" (func))))
  (import "wasi:http/handler@0.3.0" (instance $next (export "handle" (func))))
  (core func $lowered (canon lower (func $next "handle")))
  (core module $code
    (import "wasi:http/handler@0.3.0" "handle" (func $next))
    (func (export "handle") call $next))
  (core instance $core (instantiate $code
    (with "wasi:http/handler@0.3.0" (instance (export "handle" (func $lowered))))))
  (func $handle (canon lift (core func $core "handle")))
  (instance (export "wasi:http/handler@0.3.0") (export "handle" (func $handle))))
