;; A core module, as compilers write it: not a component yet.
(module (func (export "handle")))
