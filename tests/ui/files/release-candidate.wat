;; A service of a release candidate of WASI 0.3.
(component
  (core module $code (func (export "handle")))
  (core instance $core (instantiate $code))
  (func $handle (canon lift (core func $core "handle")))
  (instance (export "wasi:http/handler@0.3.0-rc-2026-03-15") (export "handle" (func $handle))))
