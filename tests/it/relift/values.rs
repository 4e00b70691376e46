//! Every value that a `handle` can return, through a guest as it is and rewritten, without a gateway between.

use crate::harness::dist;
use std::sync::{Arc, Mutex};
use wasmtime::component::{Component, Func, Instance, Linker, Resource, Type, Val, types};
use wasmtime::{Config, Engine, Store};

/// What the next stage answers.
type Next = Arc<Mutex<Option<Val>>>;

/// A middleware whose next stage is this test.
struct Guest {
    store: Store<Next>,
    handle: Func,
}

impl Guest {
    fn new(bytes: &[u8]) -> Self {
        let mut config = Config::new();
        config.wasm_component_model_async(true);
        let engine = Engine::new(&config).unwrap();
        let component = Component::new(&engine, bytes).unwrap();
        let mut linker = Linker::<Next>::new(&engine);
        let mut handler = linker.instance("wasi:http/handler@0.3.0").unwrap();
        handler
            .func_new_concurrent("handle", |store, _, _, results| {
                Box::pin(async move {
                    results[0] = store.with(|mut store| store.get().lock().unwrap().take()).unwrap();
                    Ok(())
                })
            })
            .unwrap();
        linker.define_unknown_imports_as_traps(&component).unwrap();
        let mut store = Store::new(&engine, Next::default());
        let instance: Instance =
            futures::executor::block_on(linker.instantiate_async(&mut store, &component)).unwrap();
        let interface = instance.get_export_index(&mut store, None, "wasi:http/handler@0.3.0").unwrap();
        let handle = instance.get_export_index(&mut store, Some(&interface), "handle").unwrap();
        let handle = instance.get_func(&mut store, handle).unwrap();
        Self { store, handle }
    }

    /// What becomes of `answer` on its way through.
    fn pass(&mut self, answer: Val) -> Val {
        *self.store.data().lock().unwrap() = Some(answer);
        let request = Resource::<()>::new_own(1).try_into_resource_any(&mut self.store).unwrap();
        let mut results = [Val::Bool(false)];
        let parameters = [Val::Resource(request)];
        let call = self.handle.call_async(&mut self.store, &parameters, &mut results);
        futures::executor::block_on(call).unwrap();
        let [result] = results;
        result
    }

    fn error_code(&self) -> types::Variant {
        let ty = self.handle.ty(&self.store);
        let Some(Type::Result(result)) = ty.results().next() else { panic!("no result") };
        let Some(Type::Variant(code)) = result.err() else { panic!("no error-code") };
        code
    }
}

/// Values of `ty`, its extremes among them.
fn values(ty: &Type) -> Vec<Val> {
    let texts = ["", "a", "späte Antwort", &"long ".repeat(2_000)];
    match ty {
        Type::String => texts.iter().map(|text| Val::String((*text).to_owned())).collect(),
        Type::U8 => [0, 1, u8::MAX].map(Val::U8).into(),
        Type::U16 => [0, 1, u16::MAX].map(Val::U16).into(),
        Type::U32 => [0, 1, u32::MAX].map(Val::U32).into(),
        Type::U64 => [0, 1, u64::MAX].map(Val::U64).into(),
        Type::Option(option) => {
            let some = values(&option.ty()).into_iter().map(|value| Val::Option(Some(Box::new(value))));
            some.chain([Val::Option(None)]).collect()
        }
        Type::Record(record) => {
            let mut records = vec![Vec::new()];
            for field in record.fields() {
                let longer = records.iter().flat_map(|fields: &Vec<(String, Val)>| {
                    let add = |value| [fields.as_slice(), &[(field.name.to_owned(), value)]].concat();
                    values(&field.ty).into_iter().map(add)
                });
                records = longer.collect();
            }
            records.into_iter().map(Val::Record).collect()
        }
        other => panic!("`error-code` has a type that this test does not know: {other:?}"),
    }
}

/// Every case of `error-code` with every form of its payload.
fn errors(code: &types::Variant) -> Vec<Val> {
    let mut errors = Vec::new();
    for case in code.cases() {
        let name = case.name.to_owned();
        match &case.ty {
            None => errors.push(Val::Variant(name, None)),
            Some(ty) => {
                errors.extend(
                    values(ty).into_iter().map(|value| Val::Variant(name.clone(), Some(Box::new(value)))),
                );
            }
        }
    }
    errors.into_iter().map(|error| Val::Result(Err(Some(Box::new(error))))).collect()
}

#[test]
fn every_error_survives() {
    for name in ["plain-async", "pass-through-async"] {
        let original = std::fs::read(dist(name)).unwrap();
        let rewritten =
            linkspan_rewrite::relift::relift(&original, &linkspan::component::SEAM).unwrap().bytes;
        let (mut original, mut rewritten) = (Guest::new(&original), Guest::new(&rewritten));
        let errors = errors(&original.error_code());
        assert!(errors.len() > 150, "{} values", errors.len());
        // Twice, and then in the other direction: nothing of a long text stays in a short one.
        for error in errors.iter().chain(&errors).chain(errors.iter().rev()) {
            assert_eq!(&original.pass(error.clone()), error, "{name}");
            assert_eq!(&rewritten.pass(error.clone()), error, "{name}, rewritten");
        }
    }
}

#[test]
fn responses_survive() {
    let original = std::fs::read(dist("plain-async")).unwrap();
    let rewritten = linkspan_rewrite::relift::relift(&original, &linkspan::component::SEAM).unwrap().bytes;
    let mut guest = Guest::new(&rewritten);
    for rep in [1, 77, u32::MAX] {
        let response = Resource::<()>::new_own(rep).try_into_resource_any(&mut guest.store).unwrap();
        let answer = guest.pass(Val::Result(Ok(Some(Box::new(Val::Resource(response))))));
        let Val::Result(Ok(Some(answer))) = answer else { panic!("{answer:?}") };
        let Val::Resource(answer) = *answer else { panic!("{answer:?}") };
        let answer: Resource<()> = answer.try_into_resource(&mut guest.store).unwrap();
        assert_eq!(answer.rep(), rep);
    }
}
