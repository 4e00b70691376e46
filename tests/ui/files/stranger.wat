;; A middleware that imports what linkspan does not offer, one way of each kind.
(component
  (import "wasi:keyvalue/store@0.2.0-draft" (instance))
  (import "wasi:clocks/monotonic-clock@0.1.0" (instance))
  (import "wasi:cli/exit@0.3.0" (instance))
  (import "wasi:config/store@0.2.0-draft" (instance))
  (import "acme:cache/store" (instance))
  (import "get-secret" (func (result string)))
  (import "wasi:http/handler@0.3.0" (instance $next (export "handle" (func))))
  (core func $lowered (canon lower (func $next "handle")))
  (core module $code
    (import "wasi:http/handler@0.3.0" "handle" (func $next))
    (func (export "handle") call $next))
  (core instance $core (instantiate $code
    (with "wasi:http/handler@0.3.0" (instance (export "handle" (func $lowered))))))
  (func $handle (canon lift (core func $core "handle")))
  (instance (export "wasi:http/handler@0.3.0") (export "handle" (func $handle))))
