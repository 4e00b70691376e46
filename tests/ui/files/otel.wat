;; A middleware that imports what there is of `wasi:otel`, and what is not on offer.
(component
  (import "wasi:otel/tracing@0.2.0-rc.2" (instance (export "on-start" (func))))
  (import "wasi:otel/logs@0.2.0-rc.2" (instance (export "on-emit" (func))))
  (import "wasi:otel/metrics@0.2.0-rc.2" (instance (export "export" (func))))
  (import "wasi:otel/tracing@0.2.0-rc.1" (instance (export "on-end" (func))))
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
