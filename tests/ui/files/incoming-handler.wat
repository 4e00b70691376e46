;; A service of WASI 0.2.
(component
  (core module $code (func (export "handle")))
  (core instance $core (instantiate $code))
  (func $handle (canon lift (core func $core "handle")))
  (instance (export "wasi:http/incoming-handler@0.2.6") (export "handle" (func $handle))))
