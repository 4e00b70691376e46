//! The one core module between stages: hops, and the allocations that a result needs.
//!
//! Host functions that call a guest cost several times what this does, so stages call each other here, in WebAssembly.
//! Stages import what this module exports, under names that begin with their number; it calls the host with that number
//! as a constant. What stages export stands in its table, three places for each: `handle`, its post-return, `realloc`.
//!
//! The global `current` is the stage whose code, or whose values, are at work: what traps is its. While an answer goes to the
//! stage that called, the host knows better whose values fail ([`State::receiver`](super::state::State)).

use super::call::{HOST, HostFunction};
use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, EntityType, ExportKind, ExportSection, Function, FunctionSection,
    GlobalSection, GlobalType, ImportSection, InstructionSink, Module, RefType, TableSection, TableType,
    TypeSection,
    ValType::{self, I32, I64},
};

/// What the glue knows of a stage.
pub struct StageGlue {
    /// The functions of the host that it imports, by their places in the list, and how they are exported.
    pub functions: Vec<(usize, String)>,
    /// Whether it has a post-return.
    pub post_return: bool,
}

pub const TABLE: &str = "stages";
pub const CURRENT: &str = "current";
pub const ENTER: &str = "enter";

/// The name of a stage's next one.
pub fn handle_name(stage: usize) -> String {
    format!("{stage}:handle")
}

/// The name of the function at `place` of the list, for a stage.
pub fn host_name(stage: usize, place: usize) -> String {
    format!("{stage}:{place}")
}

/// The places of `handle`, post-return and `realloc` of a stage in the table.
pub fn places(stage: usize) -> [u32; 3] {
    let first = u32::try_from(stage * 3).unwrap_or(u32::MAX);
    [first, first + 1, first + 2]
}

const BEGIN: u32 = 0;
const END: u32 = 1;
const NEED: u32 = 2;
const GIVE: u32 = 3;
const NEXT: u32 = 4;
const FIXED: u32 = 5;

#[derive(Default)]
struct Builder {
    types: TypeSection,
    imports: ImportSection,
    functions: FunctionSection,
    exports: ExportSection,
    code: CodeSection,
    count: u32,
}

impl Builder {
    fn ty(&mut self, params: &[ValType], results: &[ValType]) -> u32 {
        self.types.ty().function(params.iter().copied(), results.iter().copied());
        self.types.len() - 1
    }

    fn import(&mut self, name: &str, params: &[ValType], results: &[ValType]) {
        let ty = self.ty(params, results);
        self.imports.import(HOST, name, EntityType::Function(ty));
        self.count += 1;
    }

    fn define(
        &mut self,
        export: Option<&str>,
        params: &[ValType],
        results: &[ValType],
        locals: &[ValType],
        write: impl FnOnce(&mut InstructionSink<'_>),
    ) -> u32 {
        let ty = self.ty(params, results);
        self.functions.function(ty);
        let mut function = Function::new(locals.iter().map(|ty| (1, *ty)));
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
}

/// The module between `stages`, with the host's functions as they are listed.
pub fn module(stages: &[StageGlue], host: &[&HostFunction]) -> Vec<u8> {
    let mut builder = Builder::default();
    builder.import("begin", &[I32, I32], &[I32]);
    builder.import("end", &[I32, I32, I32], &[I32]);
    builder.import("need", &[I32], &[I64]);
    builder.import("give", &[I32, I32], &[]);
    builder.import("next", &[I32, I32, I32], &[I32]);
    for function in host {
        let params: Vec<_> = std::iter::once(I32).chain(function.params.iter().copied()).collect();
        builder.import(function.name, &params, function.results);
    }
    let handle = builder.ty(&[I32], &[I32]);
    let post = builder.ty(&[I32], &[]);
    let realloc = builder.ty(&[I32; 4], &[I32]);
    let fill = fill(&mut builder, realloc);
    let number = |stage: usize| i32::try_from(stage).unwrap_or(i32::MAX);
    // From `stage`, or from the host, to the one after it; the local 2 has its result.
    let hop = |code: &mut InstructionSink<'_>, before: i32, to: usize, fills: bool| {
        let [at, after, _] = places(to);
        let set = |code: &mut InstructionSink<'_>, current: i32| {
            code.i32_const(current).global_set(0);
        };
        code.i32_const(before).local_get(0).call(BEGIN);
        set(code, number(to));
        code.i32_const(at.cast_signed()).call_indirect(0, handle).local_set(2);
        code.i32_const(before).local_get(2).local_get(1).call(END);
        set(code, before);
        if fills {
            code.if_(BlockType::Empty).i32_const(before).call(fill).end();
        } else {
            code.drop();
        }
        if stages[to].post_return {
            set(code, number(to));
            code.local_get(2).i32_const(after.cast_signed()).call_indirect(0, post);
            set(code, before);
        }
    };
    builder.define(Some(ENTER), &[I32, I32], &[], &[I32], |code| hop(code, -1, 0, false));
    for (stage, glue) in stages.iter().enumerate() {
        let name = handle_name(stage);
        builder.define(Some(&name), &[I32, I32], &[], &[I32], |code| {
            if stage + 1 < stages.len() {
                hop(code, number(stage), stage + 1, true);
                return;
            }
            code.i32_const(number(stage)).local_get(0).local_get(1).call(NEXT);
            code.if_(BlockType::Empty).i32_const(number(stage)).call(fill).end();
        });
        for (index, name) in &glue.functions {
            let function = host[*index];
            let index = FIXED + u32::try_from(*index).unwrap_or(u32::MAX);
            builder.define(Some(name), function.params, function.results, &[], |code| {
                code.i32_const(number(stage));
                for param in 0..u32::try_from(function.params.len()).unwrap_or(u32::MAX) {
                    code.local_get(param);
                }
                code.call(index);
                if function.allocates {
                    code.i32_const(number(stage)).call(fill);
                }
            });
        }
    }
    finish(builder, stages.len())
}

/// Asks the host what is to be allocated for a stage, until there is nothing.
fn fill(builder: &mut Builder, realloc: u32) -> u32 {
    builder.define(None, &[I32], &[], &[I64], |code| {
        code.loop_(BlockType::Empty);
        code.local_get(0).call(NEED).local_tee(1).i64_const(0).i64_ge_s().if_(BlockType::Empty);
        code.local_get(0);
        code.i32_const(0).i32_const(0);
        code.local_get(1).i64_const(32).i64_shr_u().i32_wrap_i64();
        code.local_get(1).i32_wrap_i64();
        code.local_get(0).i32_const(3).i32_mul().i32_const(2).i32_add();
        code.call_indirect(0, realloc).call(GIVE).br(1);
        code.end().end();
    })
}

fn finish(mut builder: Builder, stages: usize) -> Vec<u8> {
    let size = stages as u64 * 3;
    let mut tables = TableSection::new();
    tables.table(TableType {
        element_type: RefType::FUNCREF,
        table64: false,
        minimum: size,
        maximum: Some(size),
        shared: false,
    });
    let mut globals = GlobalSection::new();
    globals.global(GlobalType { val_type: I32, mutable: true, shared: false }, &ConstExpr::i32_const(-1));
    builder.exports.export(TABLE, ExportKind::Table, 0).export(CURRENT, ExportKind::Global, 0);
    let mut module = Module::new();
    module.section(&builder.types).section(&builder.imports).section(&builder.functions).section(&tables);
    module.section(&globals).section(&builder.exports).section(&builder.code);
    module.finish()
}
