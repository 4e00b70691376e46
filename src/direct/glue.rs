//! The one core module between stages: hops, and the allocations that a result needs.
//!
//! Host functions that call a guest cost several times what this does, so stages call each other here, in WebAssembly.
//! Stages import what this module exports, under names that begin with their number; it calls the host with that number
//! as a constant. What stages export stands in its table, three places for each: `handle`, its post-return or its callback,
//! `realloc`.
//!
//! A stage that is lifted asynchronously and has a next one that is, too, calls its function once here, and is told what came
//! of that; their callbacks are called in turns ([`tasks`](super::tasks)).
//!
//! The global `current` is the stage whose code, or whose values, are at work: what traps is its. While an answer goes to the
//! stage that called, the host knows better whose values fail ([`State::receiver`](super::state::State)).

use super::call::{After, HOST, HostFunction};
use super::callbacks::{self, FILL};
use super::calls::WAITS;
use super::subtasks::Status;
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
    /// Whether it has a callback instead.
    pub callback: bool,
    /// How many handlers it imports under names of its own.
    pub named: usize,
}

pub const TABLE: &str = "stages";
pub const CURRENT: &str = "current";
pub const ENTER: &str = "enter";
/// Gives tasks their turns, until none has anything to do.
pub const TURN: &str = "turn";

/// The name of a stage's next one.
pub fn handle_name(stage: usize) -> String {
    format!("{stage}:handle")
}

/// The name of a handler that a stage imports under a name of its own.
pub fn named_name(stage: usize, named: usize) -> String {
    format!("{stage}:named:{named}")
}

/// The name of the function at `place` of the list, for a stage.
pub fn host_name(stage: usize, place: usize) -> String {
    format!("{stage}:{place}")
}

/// The places of `handle`, post-return or callback, and `realloc` of a stage in the table.
pub fn places(stage: usize) -> [u32; 3] {
    let first = u32::try_from(stage * 3).unwrap_or(u32::MAX);
    [first, first + 1, first + 2]
}

const BEGIN: u32 = 0;
const END: u32 = 1;
const NEED: u32 = 2;
const GIVE: u32 = 3;
const NEXT: u32 = 4;
const TOLD: u32 = 5;
const RESUME: u32 = 6;
const WAIT: u32 = 7;
const START: u32 = 8;
const STARTED: u32 = 9;
const SEND: u32 = 10;
const CANCELLED: u32 = 11;
const NAMED: u32 = 12;
const SEND_NAMED: u32 = 13;
const FIXED: u32 = 14;

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

/// What the module imports: first what it needs itself, at the places above, then the functions as they are listed.
fn import(builder: &mut Builder, host: &[&HostFunction]) {
    builder.import("begin", &[I32, I32], &[I32]);
    builder.import("end", &[I32, I32, I32], &[I32]);
    builder.import("need", &[I32], &[I64]);
    builder.import("give", &[I32, I32], &[]);
    builder.import("next", &[I32, I32, I32], &[I32]);
    builder.import("told", &[I32, I32], &[I32]);
    builder.import("resume", &[], &[I32, I32, I32, I32]);
    builder.import("wait", &[], &[]);
    builder.import("start", &[I32, I32, I32], &[I32, I32]);
    builder.import("started", &[I32, I32, I32], &[I32]);
    builder.import("send", &[I32, I32, I32], &[I32]);
    builder.import("cancelled", &[I32, I32, I32], &[I32]);
    builder.import("named", &[I32, I32, I32, I32], &[I32]);
    builder.import("send-named", &[I32, I32, I32, I32], &[I32]);
    for function in host {
        let params: Vec<_> = std::iter::once(I32).chain(function.params.iter().copied()).collect();
        builder.import(function.name, &params, function.results);
    }
}

/// The module between `stages`, with the host's functions as they are listed.
pub fn module(stages: &[StageGlue], host: &[&HostFunction]) -> Vec<u8> {
    let mut builder = Builder::default();
    import(&mut builder, host);
    let types = Types {
        handle: builder.ty(&[I32], &[I32]),
        post: builder.ty(&[I32], &[]),
        realloc: builder.ty(&[I32; 4], &[I32]),
        callback: builder.ty(&[I32; 3], &[I32]),
    };
    let fill = fill(&mut builder, types.realloc);
    let step = stages.iter().any(|stage| stage.callback).then(|| turns(&mut builder, &types, fill));
    let glue = Glue { stages, types, fill, step };
    builder.define(Some(ENTER), &[I32, I32], &[], &[I32], |code| glue.hop(code, -1, 0));
    for (stage, of) in stages.iter().enumerate() {
        glue.define_handle(&mut builder, stage);
        (0..of.named).for_each(|named| glue.define_named(&mut builder, stage, named));
        for (index, name) in &of.functions {
            glue.define_function(&mut builder, stage, (*index, name), host[*index]);
        }
    }
    finish(builder, stages.len())
}

/// The types of what stages export.
struct Types {
    handle: u32,
    post: u32,
    realloc: u32,
    callback: u32,
}

/// What the functions between stages are made of.
struct Glue<'s> {
    stages: &'s [StageGlue],
    types: Types,
    fill: u32,
    /// Gives a task its turn, if there are stages that have tasks.
    step: Option<u32>,
}

impl Glue<'_> {
    /// What a stage calls as `handle`, with the handle of a request and the place of a result. From one that goes on meanwhile,
    /// it has a result: what came of the call so far.
    fn define_handle(&self, builder: &mut Builder, stage: usize) {
        let name = handle_name(stage);
        let this = number(stage);
        let next = self.stages.get(stage + 1);
        if !self.stages[stage].callback {
            builder.define(Some(&name), &[I32, I32], &[], &[I32], |code| match next {
                Some(_) => self.hop(code, this, stage + 1),
                None => {
                    code.i32_const(this).local_get(0).local_get(1).call(NEXT);
                    code.if_(BlockType::Empty).i32_const(this).call(self.fill).end();
                }
            });
            return;
        }
        builder.define(Some(&name), &[I32, I32], &[I32], &[I32], |code| match next {
            Some(next) if next.callback => self.start(code, stage),
            Some(_) => {
                self.hop(code, this, stage + 1);
                code.i32_const(Status::Returned.pack(0));
            }
            None => {
                code.i32_const(this).local_get(0).local_get(1).call(SEND);
                code.i32_const(this).call(self.fill);
            }
        });
    }

    /// The same of a handler that it imports under a name of its own, which is never in this store.
    fn define_named(&self, builder: &mut Builder, stage: usize, named: usize) {
        let (name, this) = (named_name(stage, named), number(stage));
        let callback = self.stages[stage].callback;
        let results: &[ValType] = if callback { &[I32] } else { &[] };
        builder.define(Some(&name), &[I32, I32], results, &[], |code| {
            code.i32_const(this).i32_const(number(named)).local_get(0).local_get(1);
            code.call(if callback { SEND_NAMED } else { NAMED });
            if !callback {
                code.drop();
            }
            code.i32_const(this).call(self.fill);
        });
    }

    /// From `stage` `before`, or from the host, to the one after it; the local 2 has its result.
    fn hop(&self, code: &mut InstructionSink<'_>, before: i32, to: usize) {
        let [at, after, _] = places(to);
        code.i32_const(before).local_get(0).call(BEGIN);
        set(code, number(to));
        code.i32_const(at.cast_signed()).call_indirect(0, self.types.handle).local_set(2);
        if let Some(step) = self.step.filter(|_| self.stages[to].callback) {
            code.i32_const(number(to)).local_get(2).call(TOLD);
            if before < 0 {
                // It is asked for its answer, which may come later.
                code.drop();
                set(code, before);
                return;
            }
            code.if_(BlockType::Empty).loop_(BlockType::Empty);
            code.call(WAIT).call(step).br_if(0);
            code.end().end();
        }
        code.i32_const(before).local_get(2).local_get(1).call(END);
        set(code, before);
        if before < 0 {
            code.drop();
        } else {
            code.if_(BlockType::Empty).i32_const(before).call(self.fill).end();
        }
        if self.stages[to].post_return {
            set(code, number(to));
            code.local_get(2).i32_const(after.cast_signed()).call_indirect(0, self.types.post);
            set(code, before);
        }
    }

    /// From a task of `stage` to the one after it, which is lifted asynchronously; the local 2 has the subtask's number.
    fn start(&self, code: &mut InstructionSink<'_>, stage: usize) {
        let (this, to) = (number(stage), number(stage + 1));
        let [at, ..] = places(stage + 1);
        code.i32_const(this).local_get(0).local_get(1).call(START).local_set(2).local_set(0);
        set(code, to);
        code.i32_const(to).local_get(0).i32_const(at.cast_signed()).call_indirect(0, self.types.handle);
        code.local_get(2).call(STARTED);
        set(code, this);
    }

    /// A function of the host, for `stage`.
    fn define_function(
        &self,
        builder: &mut Builder,
        stage: usize,
        (index, name): (usize, &str),
        function: &HostFunction,
    ) {
        let (this, index) = (number(stage), FIXED + u32::try_from(index).unwrap_or(u32::MAX));
        builder.define(Some(name), function.params, function.results, &[I32], |code| {
            code.i32_const(this);
            for param in 0..u32::try_from(function.params.len()).unwrap_or(u32::MAX) {
                code.local_get(param);
            }
            code.call(index);
            match function.after {
                After::Nothing => {}
                After::Fill => {
                    code.i32_const(this).call(self.fill);
                }
                After::Return => {
                    let caller = stage.checked_sub(1).filter(|caller| self.stages[*caller].callback);
                    if let Some(caller) = caller {
                        set(code, number(caller));
                        code.i32_const(number(caller)).call(self.fill);
                        set(code, this);
                    }
                }
                After::Cancel { waits } => self.cancel(code, stage, waits),
            }
        });
    }

    /// What comes after a subtask of `stage` was told to end early, whose handle is the local 0: its task's callback, if that
    /// waits, then what came of it. The local 1 has that.
    fn cancel(&self, code: &mut InstructionSink<'_>, stage: usize, waits: bool) {
        let this = number(stage);
        match self.stages.get(stage + 1).filter(|next| next.callback) {
            Some(_) => {
                let (to, [_, at, _]) = (number(stage + 1), places(stage + 1));
                code.if_(BlockType::Empty);
                set(code, to);
                code.i32_const(to).i32_const(callbacks::CANCELLED.0).i32_const(0).i32_const(0);
                code.i32_const(at.cast_signed()).call_indirect(0, self.types.callback).call(TOLD).drop();
                set(code, this);
                code.end();
            }
            None => {
                code.drop();
            }
        }
        code.loop_(BlockType::Empty);
        code.i32_const(this).local_get(0).i32_const(i32::from(waits)).call(CANCELLED).local_tee(1);
        if let Some(step) = self.step.filter(|_| waits) {
            code.i32_const(WAITS).i32_eq().if_(BlockType::Empty).call(WAIT).call(step).drop();
            set(code, this);
            code.br(1).end();
        } else {
            code.drop();
        }
        code.end().local_get(1);
    }
}

fn number(stage: usize) -> i32 {
    i32::try_from(stage).unwrap_or(i32::MAX)
}

/// What traps from here on is this stage's.
fn set(code: &mut InstructionSink<'_>, current: i32) {
    code.i32_const(current).global_set(0);
}

/// A turn of a task. Its result is 0 if the call that is waited for has its answer, and is negative if no task could have a
/// turn, or none should have one now. What gives all of them their turns is exported.
fn turns(builder: &mut Builder, types: &Types, fill: u32) -> u32 {
    let step = builder.define(None, &[], &[I32], &[I32; 4], |code| {
        code.loop_(BlockType::Empty);
        set(code, -1);
        code.call(RESUME).local_set(3).local_set(2).local_set(1).local_set(0);
        code.local_get(1).i32_const(-1).i32_eq().if_(BlockType::Empty).i32_const(-1).return_().end();
        code.local_get(0).global_set(0);
        code.local_get(1).i32_const(FILL).i32_eq();
        code.if_(BlockType::Empty).local_get(0).call(fill).br(1).end();
        code.end();
        code.local_get(0).local_get(1).local_get(2).local_get(3);
        code.local_get(0).i32_const(3).i32_mul().i32_const(1).i32_add().call_indirect(0, types.callback);
        code.call(TOLD);
    });
    builder.define(Some(TURN), &[], &[], &[], |code| {
        code.loop_(BlockType::Empty).call(step).i32_const(0).i32_ge_s().br_if(0).end();
        set(code, -1);
    });
    step
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
