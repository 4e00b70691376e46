//! Guests that do what they find in their memory.
//!
//! A program is a row of steps. A step is the number of a function, from 1 on, and its values; 0 is the end, and what
//! follows it is what is returned. A value is one byte: a number up to 7, as handles are, a place in memory, an earlier result, or,
//! with the four bytes behind it, any number.

use crate::direct::call::HostFunction;
use crate::direct::load::{Import, Place, Reading};
use crate::direct::{callbacks, calls, functions, waiting};
use std::ops::Range;
use wasm_encoder::ValType::{self, I32, I64};
use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, DataSection, EntityType, ExportKind, ExportSection, Function,
    FunctionSection, GlobalSection, GlobalType, ImportSection, InstructionSink, MemArg, MemorySection,
    MemoryType, Module, TypeSection,
};

/// Where a stage's program stands.
pub const PROGRAM: usize = 1024;

/// Memory that nobody writes.
pub const CANARY: Range<usize> = 4096..8192;

/// Results of functions stand here, the last 64.
const RESULTS: i32 = 256;

/// What the next allocation gets, if it is not 0; and whether the allocator does a step of the program.
const ALLOCATED: i32 = 16;
const ALLOCATES: i32 = 20;

/// Allocations, one behind the other.
const HEAP: i32 = 32 << 10;

const PC: u32 = 0;
const TOP: u32 = 1;
const COUNT: u32 = 2;

/// A stage that calls the functions of the list, and the next stage.
pub fn caller(callback: bool) -> Reading {
    let list = functions::list();
    let fits = |function: &HostFunction| callback || !only_of_tasks(function.name);
    let places: Vec<_> = (0..list.len()).filter(|place| fits(list[*place])).collect();
    let mut guest = Guest::default();
    let results: &[_] = if callback { &[I32] } else { &[] };
    guest.import("next", &[I32, I32], results);
    for place in &places {
        guest.import(list[*place].name, list[*place].params, list[*place].results);
    }
    let imports = std::iter::once(Import::Next).chain(places.iter().map(|place| Import::Host(*place)));
    let imports = imports.collect();
    reading(guest.caller(callback), imports, places, callback)
}

/// A stage that drops what it gets, and says that it failed.
pub fn victim() -> Reading {
    let list = functions::list();
    let place = list.iter().position(|function| function.name == "drop request").expect("it is listed");
    let mut guest = Guest::default();
    guest.import("drop request", &[I32], &[]);
    reading(guest.victim(), vec![Import::Host(place)], vec![place], false)
}

/// Whether only a stage that is lifted asynchronously may call it, by the same rule as for components.
fn only_of_tasks(name: &str) -> bool {
    let of_tasks = callbacks::FUNCTIONS.iter().chain(calls::FUNCTIONS);
    let waits = |name: &str| name.strip_suffix(waiting::ASYNC).is_some_and(functions::waits);
    of_tasks.into_iter().any(|function| function.name == name) || waits(name)
}

fn reading(module: Vec<u8>, imports: Vec<Import>, functions: Vec<usize>, callback: bool) -> Reading {
    let place = |name: &str| Place { instance: 0, name: name.to_owned() };
    Reading {
        modules: vec![module],
        passes_on: imports.iter().any(|import| matches!(import, Import::Next)),
        instances: vec![(0, imports)],
        functions,
        waits: true,
        named: Vec::new(),
        memory: place("memory"),
        handle: place("handle"),
        post_return: (!callback).then(|| place("post")),
        callback: callback.then(|| place("callback")),
        realloc: Some(place("realloc")),
    }
}

#[derive(Default)]
struct Guest {
    types: TypeSection,
    imports: ImportSection,
    functions: FunctionSection,
    exports: ExportSection,
    code: CodeSection,
    /// What is imported: parameters and results.
    imported: Vec<(Vec<ValType>, Vec<ValType>)>,
    count: u32,
}

fn at(offset: u64) -> MemArg {
    MemArg { offset, align: 0, memory_index: 0 }
}

impl Guest {
    fn ty(&mut self, params: &[ValType], results: &[ValType]) -> u32 {
        self.types.ty().function(params.iter().copied(), results.iter().copied());
        self.types.len() - 1
    }

    fn import(&mut self, name: &str, params: &[ValType], results: &[ValType]) {
        let ty = self.ty(params, results);
        self.imports.import("host", name, EntityType::Function(ty));
        self.imported.push((params.to_vec(), results.to_vec()));
        self.count += 1;
    }

    fn define(
        &mut self,
        export: Option<&str>,
        params: &[ValType],
        results: &[ValType],
        write: impl FnOnce(&mut InstructionSink<'_>),
    ) -> u32 {
        let ty = self.ty(params, results);
        self.functions.function(ty);
        let mut function = Function::new([(2, I32), (1, I64)]);
        let mut code = function.instructions();
        write(&mut code);
        code.end();
        self.code.function(&function);
        self.count += 1;
        if let Some(name) = export {
            self.exports.export(name, ExportKind::Func, self.count - 1);
        }
        self.count - 1
    }

    fn caller(mut self, callback: bool) -> Vec<u8> {
        let value = self.define(None, &[], &[I32], value);
        let keep = self.define(None, &[I32], &[], |code| {
            code.global_get(COUNT).i32_const(63).i32_and().i32_const(2).i32_shl().local_get(0);
            code.i32_store(at(RESULTS as u64));
            code.global_get(COUNT).i32_const(1).i32_add().global_set(COUNT);
        });
        let imported = std::mem::take(&mut self.imported);
        let run = self.define(None, &[], &[], |code| steps(code, &imported, value, keep));
        let code_of = move |code: &mut InstructionSink<'_>| {
            code.call(value).call(value).i32_const(4).i32_shl().i32_or();
        };
        self.define(Some("handle"), &[I32], &[I32], |code| {
            code.local_get(0).call(keep).call(run);
            code_of(code);
        });
        if callback {
            self.define(Some("callback"), &[I32; 3], &[I32], |code| {
                code.local_get(1).call(keep).local_get(2).call(keep).call(run);
                code_of(code);
            });
        } else {
            self.define(Some("post"), &[I32], &[], |code| {
                code.call(run);
            });
        }
        self.define(Some("realloc"), &[I32; 4], &[I32], |code| {
            code.i32_const(0).i32_load(at(ALLOCATES as u64)).if_(BlockType::Empty).call(run).end();
            code.i32_const(0).i32_load(at(ALLOCATED as u64)).local_tee(4).if_(BlockType::Empty);
            code.i32_const(0).i32_const(0).i32_store(at(ALLOCATED as u64)).local_get(4).return_().end();
            code.global_get(TOP).local_get(2).i32_add().i32_const(1).i32_sub();
            code.i32_const(0).local_get(2).i32_sub().i32_and().local_tee(4);
            code.local_get(3).i32_add().global_set(TOP).local_get(4);
        });
        self.finish(&[])
    }

    fn victim(mut self) -> Vec<u8> {
        self.define(Some("handle"), &[I32], &[I32], |code| {
            // An error without a payload.
            code.local_get(0).call(0).i32_const(RESULTS);
        });
        self.define(Some("post"), &[I32], &[], |_| {});
        self.define(Some("realloc"), &[I32; 4], &[I32], |code| {
            code.unreachable();
        });
        let canary = vec![0xa5; CANARY.len()];
        self.finish(&[(RESULTS, vec![1, 0, 0, 0, 0, 0, 0, 0, 2]), (CANARY.start as i32, canary)])
    }

    fn finish(mut self, contents: &[(i32, Vec<u8>)]) -> Vec<u8> {
        let mut memories = MemorySection::new();
        memories.memory(MemoryType {
            minimum: 1,
            maximum: Some(1),
            memory64: false,
            shared: false,
            page_size_log2: None,
        });
        let mut globals = GlobalSection::new();
        for start in [PROGRAM as i32, HEAP, 0] {
            let ty = GlobalType { val_type: I32, mutable: true, shared: false };
            globals.global(ty, &ConstExpr::i32_const(start));
        }
        self.exports.export("memory", ExportKind::Memory, 0);
        let mut data = DataSection::new();
        for (place, bytes) in contents {
            data.active(0, &ConstExpr::i32_const(*place), bytes.iter().copied());
        }
        let mut module = Module::new();
        module.section(&self.types).section(&self.imports).section(&self.functions).section(&memories);
        module.section(&globals).section(&self.exports).section(&self.code).section(&data);
        module.finish()
    }
}

/// The next byte of the program.
fn byte(code: &mut InstructionSink<'_>) {
    code.global_get(PC).i32_load8_u(at(0)).global_get(PC).i32_const(1).i32_add().global_set(PC);
}

/// The next value of the program.
fn value(code: &mut InstructionSink<'_>) {
    byte(code);
    code.local_tee(0).i32_const(128).i32_lt_u().if_(BlockType::Empty);
    code.local_get(0).i32_const(7).i32_and().return_().end();
    code.local_get(0).i32_const(192).i32_lt_u().if_(BlockType::Empty);
    code.local_get(0)
        .i32_const(128)
        .i32_sub()
        .i32_const(4)
        .i32_shl()
        .i32_const(512)
        .i32_add()
        .return_()
        .end();
    code.local_get(0).i32_const(250).i32_lt_u().if_(BlockType::Empty);
    // The last result is that before the one which comes next.
    code.global_get(COUNT).i32_const(191).i32_add().local_get(0).i32_sub().i32_const(63).i32_and();
    code.i32_const(2).i32_shl().i32_load(at(RESULTS as u64)).return_().end();
    code.global_get(PC).i32_load(at(0)).global_get(PC).i32_const(4).i32_add().global_set(PC);
}

/// Steps until the end of the program: calls of what is imported, and what writes memory.
fn steps(code: &mut InstructionSink<'_>, imported: &[(Vec<ValType>, Vec<ValType>)], value: u32, keep: u32) {
    let count = u32::try_from(imported.len()).expect("a hundred or so");
    code.block(BlockType::Empty).loop_(BlockType::Empty);
    // A block around each step: the number says out of how many it leaps.
    for _ in 0..count + 2 {
        code.block(BlockType::Empty);
    }
    byte(code);
    let depths: Vec<_> = (0..count + 2).collect();
    code.br_table(depths, 1);
    code.end();
    // 0: the end.
    code.br(count + 2);
    code.end();
    // 1: a word of memory is written, and so is everything above the last function.
    code.call(value).call(value).i32_store(at(0)).br(count);
    for (index, (params, results)) in (0_u32..).zip(imported) {
        code.end();
        for param in params {
            code.call(value);
            if *param == I64 {
                code.i64_extend_i32_u();
            }
        }
        code.call(index);
        match results.as_slice() {
            [I32] => {
                code.call(keep);
            }
            [I64] => {
                code.local_tee(2).i32_wrap_i64().call(keep);
                code.local_get(2).i64_const(32).i64_shr_u().i32_wrap_i64().call(keep);
            }
            _ => {}
        }
        code.br(count - 1 - index);
    }
    code.end().end();
}
