;; A service of an older release candidate of WASI 0.3, whose errors of header fields were fewer.
(component
  (import "wasi:http/types@0.3.0-rc-2026-01-06" (instance $types
    (type $error' (variant (case "invalid-syntax") (case "forbidden") (case "immutable")))
    (export "header-error" (type $error (eq $error')))
    (export "fields" (type $fields (sub resource)))
    (type $result (result (error $error)))
    (type $self (borrow $fields))
    (export "[method]fields.delete" (func (param "self" $self) (param "name" string) (result $result)))))
  (core module $code (func (export "handle")))
  (core instance $core (instantiate $code))
  (func $handle (canon lift (core func $core "handle")))
  (instance (export "wasi:http/handler@0.3.0-rc-2026-01-06") (export "handle" (func $handle))))
