;; What a hop is made of. `front` calls `back`, n times, inside of one component; the host is called the same way.
(component
  (import "host" (func $host (param "x" u32) (result u32)))

  (component $back
    (type $thing (resource (rep i32)))
    (core func $new (canon resource.new $thing))
    (core func $drop (canon resource.drop $thing))
    (core module $module
      (import "" "new" (func $new (param i32) (result i32)))
      (import "" "drop" (func $drop (param i32)))
      (func (export "add") (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))
      (func (export "make") (result i32) (call $new (i32.const 7)))
      (func (export "take") (param i32) (call $drop (local.get 0))))
    (core instance $instance (instantiate $module
      (with "" (instance (export "new" (func $new)) (export "drop" (func $drop))))))
    (export $exported "thing" (type $thing))
    (func (export "add") (param "x" u32) (result u32) (canon lift (core func $instance "add")))
    (func (export "make") (result (own $exported)) (canon lift (core func $instance "make")))
    (func (export "take") (param "it" (own $exported)) (canon lift (core func $instance "take"))))
  (instance $back (instantiate $back))

  (component $front
    (import "back" (instance $back
      (export "thing" (type $thing (sub resource)))
      (export "add" (func (param "x" u32) (result u32)))
      (export "make" (func (result (own $thing))))
      (export "take" (func (param "it" (own $thing))))))
    (import "host" (func $host (param "x" u32) (result u32)))
    (core func $add (canon lower (func $back "add")))
    (core func $make (canon lower (func $back "make")))
    (core func $take (canon lower (func $back "take")))
    (core func $host (canon lower (func $host)))
    (core module $module
      (import "" "add" (func $add (param i32) (result i32)))
      (import "" "make" (func $make (result i32)))
      (import "" "take" (func $take (param i32)))
      (import "" "host" (func $host (param i32) (result i32)))
      (func (export "nothing") (param $n i32) (result i32) (local $x i32)
        (loop $again
          (local.set $x (i32.add (local.get $x) (i32.const 1)))
          (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (local.get $x))
      (func (export "call") (param $n i32) (result i32) (local $x i32)
        (loop $again
          (local.set $x (call $add (local.get $x)))
          (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (local.get $x))
      (func (export "handle") (param $n i32) (result i32) (local $x i32)
        (loop $again
          (call $take (call $make))
          (local.set $x (i32.add (local.get $x) (i32.const 1)))
          (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (local.get $x))
      (func (export "host") (param $n i32) (result i32) (local $x i32)
        (loop $again
          (local.set $x (call $host (local.get $x)))
          (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (local.get $x)))
    (core instance $instance (instantiate $module (with "" (instance
      (export "add" (func $add))
      (export "make" (func $make))
      (export "take" (func $take))
      (export "host" (func $host))))))
    (func (export "nothing") (param "n" u32) (result u32) (canon lift (core func $instance "nothing")))
    (func (export "call") (param "n" u32) (result u32) (canon lift (core func $instance "call")))
    (func (export "handle") (param "n" u32) (result u32) (canon lift (core func $instance "handle")))
    (func (export "host") (param "n" u32) (result u32) (canon lift (core func $instance "host"))))
  (instance $front (instantiate $front (with "back" (instance $back)) (with "host" (func $host))))

  (export "nothing" (func $front "nothing"))
  (export "call" (func $front "call"))
  (export "handle" (func $front "handle"))
  (export "host" (func $front "host")))
