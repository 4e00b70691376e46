;; A service with two handlers under names of its own, as far as its imports and exports say.
(component
  (import "a" (implements "wasi:http/handler@0.3.0") (instance (export "handle" (func))))
  (import "b" (implements "wasi:http/handler@0.3.0") (instance (export "handle" (func))))
  (core module $code
    (func (export "handle")))
  (core instance $core (instantiate $code))
  (func $handle (canon lift (core func $core "handle")))
  (instance (export "wasi:http/handler@0.3.0") (export "handle" (func $handle))))
