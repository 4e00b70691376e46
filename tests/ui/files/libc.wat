;; A middleware that imports WASI 0.2 beside 0.3, as one with a libc does: what is there without a grant, types alone of
;; what needs one, and what it calls of that.
(component
  (import "wasi:io/error@0.2.6" (instance (export "error" (type (sub resource)))))
  (import "wasi:cli/environment@0.2.6" (instance (export "get-environment" (func))))
  (import "wasi:cli/exit@0.2.6" (instance (export "exit" (func))))
  (import "wasi:cli/stdout@0.2.6" (instance (export "get-stdout" (func))))
  (import "wasi:clocks/wall-clock@0.2.6" (instance))
  (import "wasi:clocks/monotonic-clock@0.2.6" (instance (export "now" (func))))
  (import "wasi:filesystem/preopens@0.2.6" (instance (export "get-directories" (func))))
  (import "wasi:sockets/tcp-create-socket@0.2.6" (instance (export "create-tcp-socket" (func))))
  (import "wasi:http/outgoing-handler@0.2.6" (instance (export "handle" (func))))
  (import "wasi:random/insecure-seed@0.2.6" (instance (export "insecure-seed" (func))))
  (import "wasi:filesystem/types@0.3.0" (instance))
  (import "wasi:filesystem/preopens@0.3.0" (instance (export "get-directories" (func))))
  (import "wasi:sockets/types@0.3.0" (instance (export "create" (func))))
  (import "wasi:http/handler@0.3.0" (instance $next (export "handle" (func))))
  (core func $lowered (canon lower (func $next "handle")))
  (core module $code
    (import "wasi:http/handler@0.3.0" "handle" (func $next))
    (func (export "handle") call $next))
  (core instance $core (instantiate $code
    (with "wasi:http/handler@0.3.0" (instance (export "handle" (func $lowered))))))
  (func $handle (canon lift (core func $core "handle")))
  (instance (export "wasi:http/handler@0.3.0") (export "handle" (func $handle))))
