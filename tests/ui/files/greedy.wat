;; A middleware that imports everything that needs a grant, one grant for two of its imports.
(component
  (import "wasi:clocks/monotonic-clock@0.3.0" (instance (export "now" (func))))
  (import "wasi:clocks/system-clock@0.3.0" (instance (export "now" (func))))
  (import "wasi:random/random@0.3.1" (instance (export "get-random-u64" (func))))
  (import "wasi:cli/environment@0.3.0" (instance (export "get-environment" (func))))
  (import "wasi:cli/stdout@0.3.0" (instance (export "write-via-stream" (func))))
  (import "wasi:http/client@0.3.0" (instance (export "send" (func))))
  (import "wasi:filesystem/preopens@0.3.0" (instance (export "get-directories" (func))))
  (import "wasi:sockets/types@0.3.0" (instance (export "create" (func))))
  (import "wasi:http/types@0.3.0" (instance))
  (import "wasi:http/handler@0.3.0" (instance $next (export "handle" (func))))
  (core func $lowered (canon lower (func $next "handle")))
  (core module $code
    (import "wasi:http/handler@0.3.0" "handle" (func $next))
    (func (export "handle") call $next))
  (core instance $core (instantiate $code
    (with "wasi:http/handler@0.3.0" (instance (export "handle" (func $lowered))))))
  (func $handle (canon lift (core func $core "handle")))
  (instance (export "wasi:http/handler@0.3.0") (export "handle" (func $handle))))
