;; A component that is no stage: it exports something else.
(component
  (core module $code (func (export "handle")))
  (core instance $core (instantiate $code))
  (func $handle (canon lift (core func $core "handle")))
  (instance (export "acme:greeting/greet@1.0.0") (export "handle" (func $handle))))
