//! What runs of components: of real ones, of small ones that show one thing each, and of broken ones.

#![allow(clippy::panic, reason = "a test that fails there says where")]

use linkspan_rewrite::flatten::{
    Canonical, Flat, Function, Item, MAX_EVALUATED, Operation, Options, Resource, Type, flatten,
};
use std::fmt::Write as _;
use std::path::PathBuf;

/// All components that the guests' build makes; none, if it was not run.
fn built() -> Vec<(String, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../components/dist");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .map(|entry| entry.expect("a file").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "wasm"))
        .collect();
    files.sort();
    let name = |path: &PathBuf| path.file_stem().expect("a name").to_string_lossy().into_owned();
    files.iter().map(|path| (name(path), std::fs::read(path).expect("a file"))).collect()
}

fn parse(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// Each index leads somewhere, each item is of the kind that its place wants, and instances get what was there before
/// them, or a canonical function.
fn assert_sound(name: &str, flat: &Flat<'_>) {
    let item = |item: &Item<'_>, before: usize| match item {
        Item::Canonical(canonical) => assert!(*canonical < flat.canonicals.len(), "{name}"),
        Item::Export { instance, name: export } => {
            assert!(*instance < before, "{name}: {export} of an instance that is made later");
            let module = &flat.modules[flat.instances[*instance].module];
            assert!(module.exports.iter().any(|known| known.name == *export), "{name}: {export}");
        }
    };
    let all = flat.instances.len();
    for (place, instance) in flat.instances.iter().enumerate() {
        let module = &flat.modules[instance.module];
        assert!(instance.part < flat.parts, "{name}");
        assert_eq!(module.imports.len(), instance.imports.len(), "{name}");
        instance.imports.iter().for_each(|import| item(import, place));
    }
    let options = |options: &Options<'_>| {
        for option in [options.memory, options.realloc, options.post_return, options.callback] {
            option.iter().for_each(|option| item(option, all));
        }
    };
    for lift in &flat.lifts {
        assert!(lift.part < flat.parts, "{name}");
        item(&lift.core, all);
        options(&lift.options);
    }
    for function in &flat.canonicals {
        assert!(function.part < flat.parts, "{name}");
        match &function.canonical {
            Canonical::Lower { function: Function::Imported(import), .. } => {
                assert!(*import < flat.imports.len(), "{name}");
            }
            Canonical::Lower { function: Function::Lifted(lift), .. } => {
                assert!(*lift < flat.lifts.len(), "{name}");
            }
            Canonical::ResourceNew(resource)
            | Canonical::ResourceRep(resource)
            | Canonical::ResourceDrop(resource) => assert!(*resource < flat.resources.len(), "{name}"),
            Canonical::TaskReturn { options: given, .. } | Canonical::Operation { options: given, .. } => {
                options(given);
            }
        }
    }
    assert!(!flat.exports.is_empty(), "{name}");
}

/// What the core imports of `flat` are, a line each, without those of modules that are not the last one.
fn imports(flat: &Flat<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    for (place, instance) in flat.instances.iter().enumerate() {
        for (import, item) in flat.modules[instance.module].imports.iter().zip(&instance.imports) {
            lines.push(format!("{place} {} {}: {}", import.module, import.name, shown(flat, item)));
        }
    }
    lines
}

fn shown(flat: &Flat<'_>, item: &Item<'_>) -> String {
    let Item::Canonical(canonical) = item else {
        let Item::Export { instance, name } = item else { unreachable!() };
        return format!("{instance}.{name}");
    };
    let function = &flat.canonicals[*canonical];
    let resource = |index: &usize| match &flat.resources[*index] {
        Resource::Imported { instance: Some(instance), name } => format!("{}#{name}", instance.interface()),
        Resource::Imported { instance: None, name } => name.clone(),
        Resource::Defined { part, .. } => format!("of part {part}"),
    };
    let mut text = match &function.canonical {
        Canonical::Lower { function: Function::Imported(import), options, .. } => {
            let import = flat.imports[*import];
            let how = if options.asynchronous { " async" } else { "" };
            format!("lower{how} {}#{}", import.instance.map_or("", |of| of.interface()), import.name)
        }
        Canonical::Lower { function: Function::Lifted(lift), .. } => {
            format!("lower of part {}", flat.lifts[*lift].part)
        }
        Canonical::ResourceNew(of) => format!("new {}", resource(of)),
        Canonical::ResourceRep(of) => format!("rep {}", resource(of)),
        Canonical::ResourceDrop(of) => format!("drop {}", resource(of)),
        Canonical::TaskReturn { .. } => "task.return".to_owned(),
        Canonical::Operation { operation, .. } => format!("{operation:?}"),
    };
    if flat.parts > 1 {
        write!(text, " in part {}", function.part).expect("a string takes it");
    }
    text
}

#[test]
fn real_components_are_their_modules() {
    for (name, bytes) in built() {
        let flat = flatten(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_sound(&name, &flat);
        assert_eq!(flat.parts, 1, "{name}");
        // Shim and fix-up are gone; but Python's stand for functions of a module that is made later.
        let linked = name == "locale-python";
        assert_eq!(flat.instances.len(), if linked { 14 } else { 1 }, "{name}");
        assert_eq!(flat.modules.len(), flat.instances.len(), "{name}");
        let handle = flat.exports.iter().find(|export| export.name == "handle").expect("a handler");
        let Function::Lifted(lift) = handle.function else { panic!("{name} exports what it imports") };
        let lift = &flat.lifts[lift];
        assert!(matches!(lift.core, Item::Export { .. }), "{name}");
        assert_eq!(lift.options.asynchronous, lift.options.callback.is_some(), "{name}");
        for line in imports(&flat) {
            assert!(linked || !line.contains("$imports"), "{name}: {line}");
        }
    }
}

#[test]
fn a_pass_through_is_three_functions() {
    let Some((_, bytes)) = built().into_iter().find(|(name, _)| name == "pass-through-sync") else { return };
    let flat = flatten(&bytes).expect("it is evaluated");
    let mut lines = imports(&flat);
    lines.sort();
    let expected = [
        "0 wasi:http/handler@0.3.0 handle: lower wasi:http/handler@0.3.0#handle",
        "0 wasi:http/types@0.3.0 [resource-drop]request: drop wasi:http/types@0.3.0#request",
        "0 wasi:http/types@0.3.0 [resource-drop]response: drop wasi:http/types@0.3.0#response",
    ];
    assert_eq!(lines, expected);
    let lift = &flat.lifts[0];
    assert!(lift.options.memory.is_some() && lift.options.post_return.is_some());
    let [(name, Type::Own(request))] = &*lift.ty.params else { panic!("{:?}", lift.ty) };
    assert_eq!((name.as_str(), lift.ty.asynchronous), ("request", true));
    assert!(matches!(&flat.resources[*request], Resource::Imported { name, .. } if name == "request"));
    let Some(Type::Result(Some(response), Some(error))) = &lift.ty.result else { panic!("{:?}", lift.ty) };
    assert!(matches!(**response, Type::Own(_)));
    assert!(matches!(&**error, Type::Variant(cases) if cases.len() == 39), "{error:?}");
}

/// Two stages of one component: each calls what it imports, drops a resource of the host, and has one of its own.
const STAGE: &str = r#"
  (import "host" (instance $host
    (export "thing" (type (sub resource)))))
  (alias export $host "thing" (type $thing))
  (import "next" (func $next (param "t" (own $thing)) (result u32)))
  (core module $shim
    (type $call (func (param i32) (result i32)))
    (table (export "$imports") 2 2 funcref)
    (func (export "0") (type $call) (call_indirect (type $call) (local.get 0) (i32.const 0)))
    (func (export "1") (type $drop) (call_indirect (type $drop) (local.get 0) (i32.const 1)))
    (type $drop (func (param i32))))
  (core module $main
    (import "host" "next" (func $next (param i32) (result i32)))
    (import "host" "drop" (func (param i32)))
    (import "own" "new" (func (param i32) (result i32)))
    (memory (export "memory") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 8))
    (func (export "run") (param i32) (result i32) (call $next (local.get 0)))
    ;; MAIN
  )
  (core module $fixup
    (import "" "0" (func $0 (param i32) (result i32)))
    (import "" "1" (func $1 (param i32)))
    (import "" "$imports" (table 2 2 funcref))
    (elem (i32.const 0) func $0 $1))
  (core instance $shim (instantiate $shim))
  (type $mine (resource (rep i32)))
  (core func $new (canon resource.new $mine))
  (core instance $main (instantiate $main
    (with "host" (instance
      (export "next" (func $shim "0"))
      (export "drop" (func $shim "1"))))
    (with "own" (instance (export "new" (func $new))))))
  (alias core export $main "memory" (core memory $memory))
  (alias core export $shim "$imports" (core table $table))
  (core func $lower (canon lower (func $next) (memory $memory) (realloc (func $main "realloc"))))
  (core func $drop (canon resource.drop $thing))
  (core instance (instantiate $fixup (with "" (instance
    (export "0" (func $lower))
    (export "1" (func $drop))
    (export "$imports" (table $table))))))
  (func $run (param "t" (own $thing)) (result u32) (canon lift (core func $main "run")))
  (export "run" (func $run))"#;

fn stage(changes: &[(&str, &str)]) -> String {
    let changed = changes.iter().fold(STAGE.to_owned(), |text, (old, new)| {
        assert!(text.contains(old), "{old}");
        text.replacen(old, new, 1)
    });
    format!("(component {changed})")
}

#[test]
fn shims_are_dissolved() {
    let bytes = parse(&stage(&[]));
    let flat = flatten(&bytes).expect("it is evaluated");
    assert_sound("stage", &flat);
    assert_eq!(flat.instances.len(), 1);
    let expected = ["0 host next: lower #next", "0 host drop: drop host#thing", "0 own new: new of part 0"];
    assert_eq!(imports(&flat), expected);
    let Canonical::Lower { options, .. } = &flat.canonicals[1].canonical else { panic!("{flat:?}") };
    assert_eq!(options.memory, Some(Item::Export { instance: 0, name: "memory" }));
}

#[test]
fn what_only_looks_like_a_shim_stays() {
    // Each is one thing away from a shim with its fix-up.
    for (what, changes) in [
        (
            "it calls with another parameter",
            &[("(local.get 0) (i32.const 0)", "(i32.const 7) (i32.const 0)")][..],
        ),
        (
            "it calls another function first",
            &[("(func (export \"0\") (type $call) ", "(func (export \"0\") (type $call) nop ")],
        ),
        (
            "it has a memory",
            &[(
                "(table (export \"$imports\") 2 2 funcref)",
                "(table (export \"$imports\") 2 2 funcref) (memory 1)",
            )],
        ),
        ("a place is empty", &[("func $0 $1)", "func $0)")]),
        ("the list is too long", &[("func $0 $1)", "func $0 $1 $0)")]),
        ("the list begins elsewhere", &[("(elem (i32.const 0)", "(elem (i32.const 1)")]),
        ("the fix-up has a function", &[("(elem (i32.const 0)", "(func) (elem (i32.const 0)")]),
        (
            "the table is seen by another module",
            &[(
                "(func $run (param",
                "(core module $other (import \"\" \"$imports\" (table 2 2 funcref)))
              (core instance (instantiate $other (with \"\" (instance (export \"$imports\" (table $table))))))
              (func $run (param",
            )],
        ),
    ] {
        let bytes = parse(&stage(changes));
        let flat = flatten(&bytes).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_sound(what, &flat);
        assert!(flat.instances.len() >= 3, "{what}");
        assert_eq!(imports(&flat)[0], "1 host next: 0.0", "{what}");
    }
    let early = stage(&[(";; MAIN", "(func $go) (start $go)")]);
    let error = flatten(&parse(&early)).expect_err("it could call what is not there").to_string();
    assert_eq!(error, "code of it runs before its imports are there");
}

#[test]
fn a_composition_is_its_components() {
    let stage = STAGE;
    let text = format!(
        r#"(component
          (import "host" (instance $host (export "thing" (type (sub resource)))))
          (alias export $host "thing" (type $thing))
          (import "end" (instance $end (export "run" (func (param "t" (own $thing)) (result u32)))))
          (component $stage {stage})
          (instance $last (instantiate $stage (with "host" (instance $host)) (with "next" (func $end "run"))))
          (instance $first (instantiate $stage (with "host" (instance $host)) (with "next" (func $last "run"))))
          (export "a:b/c" (instance $first)))"#
    );
    let bytes = parse(&text);
    let flat = flatten(&bytes).expect("it is evaluated");
    assert_sound("composition", &flat);
    assert_eq!((flat.parts, flat.modules.len(), flat.instances.len()), (2, 1, 2));
    assert_eq!(
        imports(&flat),
        [
            "0 host next: lower end#run in part 0",
            "0 host drop: drop host#thing in part 0",
            "0 own new: new of part 0 in part 0",
            "1 host next: lower of part 0 in part 1",
            "1 host drop: drop host#thing in part 1",
            "1 own new: new of part 1 in part 1",
        ]
    );
    assert_eq!(flat.exports.len(), 1);
    assert_eq!((flat.exports[0].instance, &*flat.exports[0].name), (Some("a:b/c"), "run"));
    let Function::Lifted(lift) = flat.exports[0].function else { panic!("{flat:?}") };
    assert_eq!(flat.lifts[lift].part, 1);
}

/// A resource of one component is another one for each of its instances, and the same for whoever is given it.
#[test]
fn resources_are_those_of_their_instances() {
    let text = r#"(component
      (component $maker
        (type $r (resource (rep i32)))
        (core func $new (canon resource.new $r))
        (core module $m (import "" "new" (func (param i32) (result i32))) (func (export "make") (result i32) i32.const 0))
        (core instance $i (instantiate $m (with "" (instance (export "new" (func $new))))))
        (export $e "r" (type $r))
        (func $make (result (own $e)) (canon lift (core func $i "make")))
        (export "make" (func $make)))
      (component $user
        (import "maker" (instance $maker
          (export "r" (type $r (sub resource)))
          (export "make" (func (result (own $r))))))
        (alias export $maker "r" (type $r))
        (core func $make (canon lower (func $maker "make")))
        (core func $drop (canon resource.drop $r))
        (core module $m (import "" "make" (func (result i32))) (import "" "drop" (func (param i32))) (func (export "run")))
        (core instance $i (instantiate $m (with "" (instance (export "make" (func $make)) (export "drop" (func $drop))))))
        (func $run (canon lift (core func $i "run")))
        (export "run" (func $run)))
      (instance $a (instantiate $maker))
      (instance $b (instantiate $maker))
      (instance $user (instantiate $user (with "maker" (instance $b))))
      (export "run" (func $user "run")))"#;
    let bytes = parse(text);
    let flat = flatten(&bytes).expect("it is evaluated");
    assert_sound("resources", &flat);
    assert_eq!(
        imports(&flat),
        [
            "0  new: new of part 0 in part 0",
            "1  new: new of part 1 in part 1",
            "2  make: lower of part 1 in part 2",
            "2  drop: drop of part 1 in part 2",
        ]
    );
    let Canonical::Lower { ty, .. } = &flat.canonicals[2].canonical else { panic!("{flat:?}") };
    let Some(Type::Own(made)) = ty.result else { panic!("{ty:?}") };
    assert!(matches!(flat.resources[made], Resource::Defined { part: 1, .. }));
}

#[test]
fn operations_have_their_types_and_options() {
    let text = r#"(component
      (core module $libc (memory (export "memory") 1))
      (core instance $libc (instantiate $libc))
      (alias core export $libc "memory" (core memory $memory))
      (type $s (stream u8))
      (core func $read (canon stream.read $s async (memory $memory)))
      (core func $cancel (canon stream.cancel-write $s async))
      (core func $poll (canon waitable-set.poll cancellable (memory $memory)))
      (core func $get (canon context.get i32 1))
      (core module $m
        (import "" "read" (func (param i32 i32 i32) (result i32)))
        (import "" "cancel" (func (param i32) (result i32)))
        (import "" "poll" (func (param i32 i32) (result i32)))
        (import "" "get" (func (result i32)))
        (func (export "run")))
      (core instance $i (instantiate $m (with "" (instance (export "read" (func $read))
        (export "cancel" (func $cancel)) (export "poll" (func $poll)) (export "get" (func $get))))))
      (func $run (canon lift (core func $i "run")))
      (export "run" (func $run)))"#;
    let bytes = parse(text);
    let flat = flatten(&bytes).expect("it is evaluated");
    assert_sound("operations", &flat);
    let of = |place: usize| match &flat.canonicals[place].canonical {
        Canonical::Operation { operation, ty, options } => (*operation, ty.is_some(), *options),
        other => panic!("{other:?}"),
    };
    let memory = Some(Item::Export { instance: 0, name: "memory" });
    let plain = Options::default();
    assert_eq!(of(0), (Operation::StreamRead, true, Options { memory, asynchronous: true, ..plain }));
    assert_eq!(of(1), (Operation::StreamCancelWrite, true, Options { asynchronous: true, ..plain }));
    assert_eq!(of(2), (Operation::WaitableSetPoll, false, Options { memory, cancellable: true, ..plain }));
    assert_eq!(of(3), (Operation::ContextGet(1), false, plain));
}

#[test]
fn what_is_not_known_has_a_reason() {
    for (text, expected) in [
        ("(module)", "it is a core module"),
        ("(component (import \"m\" (core module)))", "it imports a core module"),
        ("(component (import \"c\" (component)))", "it imports a component"),
        (
            "(component (import \"i\" (instance $i (export \"j\" (instance)))) (alias export $i \"j\" (instance)))",
            "it imports an instance that has more than functions and types",
        ),
        (
            "(component (import \"i\" (instance $i (export \"f\" (func)))) (export \"e\" (instance $i)))",
            "it exports what it imports",
        ),
        (
            "(component (core func (canon thread.index)))",
            "it uses a part of the component model that is not known here (ThreadIndex)",
        ),
        (
            "(component (import \"f\" (func $f (param \"s\" string))) (core module $m (memory (export \"m\") 1))
              (core instance $i (instantiate $m)) (alias core export $i \"m\" (core memory $m))
              (core func (canon lower (func $f) (memory $m) string-encoding=utf16)))",
            "its strings are not UTF-8",
        ),
    ] {
        assert_eq!(flatten(&parse(text)).expect_err(text).to_string(), expected, "{text}");
    }
    let error = flatten(b"\0asm\x0d\0\x01\0\x01\x20").expect_err("not whole").to_string();
    assert!(error.starts_with("it is not valid: "), "{error}");
}

/// Each of forty components instantiates the one before it twice.
#[test]
fn what_multiplies_is_bounded() {
    let mut text = "(component (component $c0 (core module $m) (core instance (instantiate $m)))".to_owned();
    for level in 1..40 {
        let before = level - 1;
        write!(
            text,
            "(component $c{level} (alias outer 1 $c{before} (component $c)) (instance (instantiate $c)) (instance (instantiate $c)))"
        )
        .expect("a string takes it");
    }
    text.push_str("(instance (instantiate $c39)))");
    let error = flatten(&parse(&text)).expect_err("it has 2^39 instances").to_string();
    let expected =
        format!("it has more than {MAX_EVALUATED} definitions once the components in it are instantiated");
    assert_eq!(error, expected);
}

/// Broken bytes get an error, or are something else that is sound.
#[test]
fn broken_components_never_panic() {
    let mut inputs = vec![("stage".to_owned(), parse(&stage(&[])))];
    inputs.extend(built().into_iter().filter(|(name, _)| name == "pass-through-sync"));
    let mut state = 7_u64;
    let mut next = |bound: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % bound
    };
    for (name, bytes) in inputs {
        let step = (bytes.len() / 400).max(1);
        for length in (0..bytes.len()).step_by(step) {
            let _ = flatten(&bytes[..length]);
        }
        for _ in 0..2_000 {
            let mut changed = bytes.clone();
            for _ in 0..=next(3) {
                let place = next(changed.len());
                changed[place] = next(256) as u8;
            }
            if let Ok(flat) = flatten(&changed)
                && !flat.exports.is_empty()
            {
                assert_sound(&name, &flat);
            }
        }
    }
}
