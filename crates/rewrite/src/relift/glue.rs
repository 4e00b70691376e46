//! The two core modules that a rewritten component has beside its own.
//!
//! The *counters* stand between the guest and the functions that make futures and streams, and count those that are
//! still to be written to. They also keep the task's context, which costs a call to the host otherwise. The *glue*
//! stands in place of the async lift: it runs the guest's entry and callback to its answer, keeps the answer where a
//! sync lift returns it from, and later continues the tasks that the guest left behind.
//!
//! Impossible states trap in a function whose name gives the reason, so that the reason stands in every host's
//! backtrace.

use super::analyse::Watched;
use crate::layout::{Shape, Storing};
use crate::module::Builder;
use wasm_encoder::{BlockType, InstructionSink, MemArg, Module, ValType};

/// The most tasks that an instance may have left behind at once.
pub const MAX_LEFT: i32 = 64;

/// How often in a row a task is continued while it has something to do.
const MAX_ROUNDS: i32 = 16;

/// The beginning of the name of a function whose call is the trap.
pub const TRAP_PREFIX: &str = "linkspan relift: ";
const OPEN: &str = "the guest has a stream or future to write after its answer";
const NO_ANSWER: &str = "the guest ended without an answer";
const TWICE: &str = "the guest answered twice";
const TOO_MANY: &str = "the guest left too many tasks behind";
const UNKNOWN: &str = "the guest asked for something unknown";

/// Results of an entry and a callback, in the low four bits.
const EXIT: i32 = 0;
const YIELD: i32 = 1;
const WAIT: i32 = 2;

/// The result of an async-lowered function that has already returned.
const RETURNED: i32 = 2;

/// The result of a cancelled write that was not read.
const CANCELLED: i32 = 2;

use ValType::{I32, I64};

/// Globals that all modules of a component share.
struct Shared {
    /// Futures and streams that were made since the last request came in.
    made: u32,
    /// Futures that nothing was written to yet, and streams that are not ended.
    open: u32,
    /// The running task's context, by slot.
    slots: Vec<(u32, u32)>,
}

impl Shared {
    fn slot(&self, slot: u32) -> u32 {
        self.slots.iter().find(|(known, _)| *known == slot).map_or(0, |(_, global)| *global)
    }
}

fn shared_state(builder: &mut Builder, slots: &[u32], imported: bool) -> Shared {
    let slot = |slot: &u32| (*slot, format!("slot{slot}"));
    Shared {
        made: builder.shared("made", imported),
        open: builder.shared("open", imported),
        slots: slots.iter().map(slot).map(|(slot, name)| (slot, builder.shared(&name, imported))).collect(),
    }
}

fn add(code: &mut InstructionSink<'_>, global: u32, by: i32) {
    code.global_get(global).i32_const(by).i32_add().global_set(global);
}

/// A watched function's replacement: counts, and calls the function itself.
fn watch(code: &mut InstructionSink<'_>, kind: Watched, shared: &Shared, inner: u32) {
    match kind {
        Watched::GetContext(slot) => {
            code.global_get(shared.slot(slot));
        }
        Watched::SetContext(slot) => {
            code.local_get(0).global_set(shared.slot(slot));
        }
        Watched::NewFuture | Watched::NewStream => {
            add(code, shared.made, 1);
            add(code, shared.open, 1);
            code.call(inner);
        }
        Watched::WriteFuture => {
            add(code, shared.open, -1);
            code.local_get(0).local_get(1).call(inner);
        }
        Watched::CancelFuture => {
            code.local_get(0).call(inner).local_tee(1);
            code.i32_const(CANCELLED).i32_eq().if_(BlockType::Empty);
            add(code, shared.open, 1);
            code.end().local_get(1);
        }
        Watched::DropStream => {
            add(code, shared.open, -1);
            code.local_get(0).call(inner);
        }
    }
}

fn signature(kind: Watched) -> (&'static [ValType], &'static [ValType]) {
    match kind {
        Watched::NewFuture | Watched::NewStream => (&[], &[I64]),
        Watched::WriteFuture => (&[I32, I32], &[I32]),
        Watched::CancelFuture => (&[I32], &[I32]),
        Watched::DropStream | Watched::SetContext(_) => (&[I32], &[]),
        Watched::GetContext(_) => (&[], &[I32]),
    }
}

/// The name under which the watched function at `place` is imported and exported.
pub fn watched_name(place: usize) -> String {
    format!("watched{place}")
}

/// Imports and replaces `watched`, in order.
fn add_watched(builder: &mut Builder, watched: &[Watched], inner: &[u32], shared: &Shared) {
    for (place, (kind, inner)) in watched.iter().zip(inner).enumerate() {
        let (params, results) = signature(*kind);
        let index = builder.declare(kind.name(), params, results);
        builder.export(&watched_name(place), index);
        builder.body(1, |code| watch(code, *kind, shared, *inner));
    }
}

fn import_watched(builder: &mut Builder, watched: &[Watched]) -> Vec<u32> {
    let import = |(place, kind): (usize, &Watched)| {
        if !kind.wraps() {
            return 0;
        }
        let (params, results) = signature(*kind);
        builder.import(&watched_name(place), params, results)
    };
    watched.iter().enumerate().map(import).collect()
}

/// The module that replaces `watched`; with state of its own, or that of one before.
pub fn counters(watched: &[Watched], slots: &[u32], imported: bool) -> Module {
    let mut builder = Builder::default();
    let shared = shared_state(&mut builder, slots, imported);
    let inner = import_watched(&mut builder, watched);
    add_watched(&mut builder, watched, &inner, &shared);
    builder.finish("linkspan relift counters")
}

/// The properties of a component on which its glue depends.
pub struct Glue<'a> {
    /// What `handle` returns.
    pub result: &'a Shape,
    /// Slots of a task's context.
    pub slots: &'a [u32],
    /// Watched functions that need the guest's memory.
    pub watched: &'a [Watched],
    /// Whether a module of counters comes before it.
    pub counted: bool,
    /// Whether the guest lowers the next stage's function asynchronously.
    pub lowers: bool,
}

/// The imports of the glue.
struct Imports {
    realloc: u32,
    entry: u32,
    callback: u32,
    wait: u32,
    poll: u32,
    give_way: u32,
    /// The next stage, lowered in both ways.
    next: Option<(u32, u32)>,
}

/// The functions of the glue that it does not export.
struct Own {
    area: u32,
    leave: u32,
    resume: u32,
    keep_text: Vec<u32>,
    traps: Vec<(&'static str, u32)>,
}

impl Own {
    fn trap(&self, code: &mut InstructionSink<'_>, reason: &str) {
        if let Some((_, function)) = self.traps.iter().find(|(known, _)| *known == reason) {
            code.call(*function);
        }
        code.unreachable();
    }
}

/// Globals of the glue.
struct State {
    shared: Shared,
    /// The address of the area in the guest's memory, 0 until it is allocated.
    area: u32,
    /// Whether the guest has answered the current request.
    returned: u32,
    /// Tasks left behind.
    left: u32,
    /// A buffer's address and capacity for each text of an answer.
    texts: Vec<(u32, u32)>,
}

impl Glue<'_> {
    /// The area begins with the answer, which no type aligns to more than 8 bytes.
    fn event_at(&self) -> u32 {
        self.result.size().next_multiple_of(8)
    }

    fn left_at(&self) -> u32 {
        self.event_at() + 8
    }

    /// A task left behind is its last result, and its context.
    fn stride(&self) -> u32 {
        4 + 4 * u32::try_from(self.slots.len()).unwrap_or(u32::MAX)
    }

    fn area_size(&self) -> i32 {
        let size = self.left_at() + self.stride() * MAX_LEFT.unsigned_abs();
        i32::try_from(size).unwrap_or(i32::MAX)
    }

    /// The module.
    pub fn module(&self) -> Module {
        let mut builder = Builder::default();
        builder.import_memory();
        let shared = shared_state(&mut builder, self.slots, self.counted);
        let imports = self.imports(&mut builder);
        let inner = import_watched(&mut builder, self.watched);
        let texts = (0..self.result.texts()).map(|_| (builder.global(), builder.global())).collect();
        let (area, returned, left) = (builder.global(), builder.global(), builder.global());
        let state = State { shared, area, returned, left, texts };

        let traps = [OPEN, NO_ANSWER, TWICE, TOO_MANY, UNKNOWN];
        let trap = |reason| {
            let function = builder.declare(&format!("{TRAP_PREFIX}{reason}"), &[], &[]);
            builder.body(0, |code| {
                code.unreachable();
            });
            (reason, function)
        };
        let traps = traps.into_iter().map(trap).collect();
        let keep_text = state.texts.iter().map(|text| keep_text(&mut builder, &imports, *text)).collect();
        let area = self.define_area(&mut builder, &imports, &state);
        let mut own = Own { area, leave: 0, resume: 0, keep_text, traps };
        own.leave = self.define_leave(&mut builder, &state, &own);
        own.resume = self.define_resume(&mut builder, &imports, &state, &own);
        self.define_return(&mut builder, &state, &own);
        self.define_handle(&mut builder, &imports, &state, &own);
        if let Some(next) = imports.next {
            define_lower(&mut builder, next, &state.shared);
        }
        add_watched(&mut builder, self.watched, &inner, &state.shared);
        builder.finish("linkspan relift glue")
    }

    fn imports(&self, builder: &mut Builder) -> Imports {
        let realloc = builder.import("realloc", &[I32; 4], &[I32]);
        let entry = builder.import("entry", &[I32], &[I32]);
        let callback = builder.import("callback", &[I32; 3], &[I32]);
        let wait = builder.import("waitable-set.wait", &[I32, I32], &[I32]);
        let poll = builder.import("waitable-set.poll", &[I32, I32], &[I32]);
        let give_way = builder.import("thread.yield", &[], &[I32]);
        let next = self.lowers.then(|| {
            let blocking = builder.import("next", &[I32, I32], &[]);
            (blocking, builder.import("next-async", &[I32, I32], &[I32]))
        });
        Imports { realloc, entry, callback, wait, poll, give_way, next }
    }

    /// The address of the area, which is allocated at the first request.
    fn define_area(&self, builder: &mut Builder, imports: &Imports, state: &State) -> u32 {
        let index = builder.declare("area", &[], &[I32]);
        builder.body(0, |code| {
            code.global_get(state.area).i32_eqz().if_(BlockType::Empty);
            code.i32_const(0).i32_const(0).i32_const(8).i32_const(self.area_size());
            code.call(imports.realloc).global_set(state.area).end();
            code.global_get(state.area);
        });
        index
    }

    /// `leave(said)`: keeps the current task for later.
    fn define_leave(&self, builder: &mut Builder, state: &State, own: &Own) -> u32 {
        let index = builder.declare("leave", &[I32], &[]);
        builder.body(1, |code| {
            code.global_get(state.left).i32_const(MAX_LEFT).i32_ge_u().if_(BlockType::Empty);
            own.trap(code, TOO_MANY);
            code.end();
            self.place_of(code, state, |code| {
                code.global_get(state.left);
            });
            code.local_set(1);
            self.save(code, state, 1, 0);
            add(code, state.left, 1);
        });
        index
    }

    /// The address of the task left behind whose number `number` pushes.
    fn place_of(
        &self,
        code: &mut InstructionSink<'_>,
        state: &State,
        number: impl FnOnce(&mut InstructionSink<'_>),
    ) {
        code.global_get(state.area);
        number(code);
        code.i32_const(self.stride().cast_signed()).i32_mul().i32_add();
    }

    /// Stores what the running task said and its context at the place in local `place`.
    fn save(&self, code: &mut InstructionSink<'_>, state: &State, place: u32, said: u32) {
        code.local_get(place).local_get(said).i32_store(word(self.left_at()));
        for (at, (_, slot)) in (1..).zip(&state.shared.slots) {
            code.local_get(place).global_get(*slot).i32_store(word(self.left_at() + 4 * at));
        }
    }

    /// `callback` with the event that is in the area, or none.
    fn call_back(
        &self,
        code: &mut InstructionSink<'_>,
        imports: &Imports,
        state: &State,
        event: Option<u32>,
    ) {
        match event {
            None => code.i32_const(0).i32_const(0).i32_const(0),
            Some(event) => code
                .local_get(event)
                .global_get(state.area)
                .i32_load(word(self.event_at()))
                .global_get(state.area)
                .i32_load(word(self.event_at() + 4)),
        };
        code.call(imports.callback);
    }

    /// The result of `wait` or `poll` on the set for which the task in local `said` waits.
    fn look(&self, code: &mut InstructionSink<'_>, state: &State, said: u32, how: u32) {
        code.local_get(said).i32_const(4).i32_shr_u();
        code.global_get(state.area).i32_const(self.event_at().cast_signed()).i32_add().call(how);
    }

    /// Continues tasks that were left behind, as far as they have something to do.
    fn define_resume(&self, builder: &mut Builder, imports: &Imports, state: &State, own: &Own) -> u32 {
        let index = builder.declare("resume", &[], &[]);
        let (number, place, said, event, rounds) = (0, 1, 2, 3, 4);
        builder.body(5, |code| {
            code.block(BlockType::Empty).loop_(BlockType::Empty);
            code.local_get(number).global_get(state.left).i32_ge_u().br_if(1);
            self.place_of(code, state, |code| {
                code.local_get(number);
            });
            code.local_tee(place).i32_load(word(self.left_at())).local_set(said);
            for (at, (_, slot)) in (1..).zip(&state.shared.slots) {
                code.local_get(place).i32_load(word(self.left_at() + 4 * at)).global_set(*slot);
            }
            code.i32_const(0).local_set(rounds);
            code.block(BlockType::Empty).loop_(BlockType::Empty);
            kind_is(code, said, EXIT).br_if(1);
            code.local_get(rounds).i32_const(MAX_ROUNDS).i32_ge_u().br_if(1);
            code.local_get(rounds).i32_const(1).i32_add().local_set(rounds);
            kind_is(code, said, YIELD).if_(BlockType::Empty);
            self.call_back(code, imports, state, None);
            code.local_set(said).br(1).end();
            kind_is(code, said, WAIT).i32_eqz().if_(BlockType::Empty);
            own.trap(code, UNKNOWN);
            code.end();
            self.look(code, state, said, imports.poll);
            code.local_tee(event).i32_eqz().br_if(1);
            self.call_back(code, imports, state, Some(event));
            code.local_set(said).br(0).end().end();
            // The task is over: the last one takes its place.
            kind_is(code, said, EXIT).if_(BlockType::Empty);
            add(code, state.left, -1);
            code.local_get(place).i32_const(self.left_at().cast_signed()).i32_add();
            self.place_of(code, state, |code| {
                code.global_get(state.left);
            });
            code.i32_const(self.left_at().cast_signed()).i32_add();
            code.i32_const(self.stride().cast_signed()).memory_copy(0, 0);
            code.else_();
            self.save(code, state, place, said);
            code.local_get(number).i32_const(1).i32_add().local_set(number);
            code.end().br(0).end().end();
        });
        index
    }

    /// `task.return`: lays the answer out in the area.
    fn define_return(&self, builder: &mut Builder, state: &State, own: &Own) {
        let flat = self.result.flat();
        let index = builder.declare("task.return", &flat, &[]);
        builder.export("task-return", index);
        let base = u32::try_from(flat.len()).unwrap_or(u32::MAX);
        builder.body(1, |code| {
            code.global_get(state.returned).if_(BlockType::Empty);
            own.trap(code, TWICE);
            code.end();
            code.i32_const(1).global_set(state.returned).call(own.area).local_set(base);
            let keep_text = |place: u32| own.keep_text.get(place as usize).copied().unwrap_or_default();
            Storing { code, base, flat: &flat, keep_text: &keep_text }.store(self.result, 0, 0, 0);
        });
    }

    /// The export: runs the guest to its answer.
    fn define_handle(&self, builder: &mut Builder, imports: &Imports, state: &State, own: &Own) {
        let index = builder.declare("handle", &[I32], &[I32]);
        builder.export("handle", index);
        let (request, said, event, rounds) = (0, 1, 2, 3);
        let open = state.shared.open;
        builder.body(3, |code| {
            code.call(own.area).drop();
            code.global_get(state.left).if_(BlockType::Empty).call(own.resume).end();
            // A task begins with an empty context.
            for (_, slot) in &state.shared.slots {
                code.i32_const(0).global_set(*slot);
            }
            code.i32_const(0).global_set(state.shared.made);
            code.i32_const(0).global_set(state.returned);
            code.local_get(request).call(imports.entry).local_set(said);
            code.loop_(BlockType::Empty);
            kind_is(code, said, EXIT).if_(BlockType::Empty);
            code.global_get(state.returned).i32_eqz().if_(BlockType::Empty);
            own.trap(code, NO_ANSWER);
            code.end().global_get(state.area).return_().end();

            code.global_get(state.returned).if_(BlockType::Empty);
            // Tasks that can continue at once do so first.
            code.local_get(rounds).i32_const(MAX_ROUNDS).i32_lt_u().if_(BlockType::Empty);
            code.local_get(rounds).i32_const(1).i32_add().local_set(rounds);
            kind_is(code, said, YIELD).if_(BlockType::Empty);
            self.call_back(code, imports, state, None);
            code.local_set(said).br(3).end();
            code.global_get(open).if_(BlockType::Empty);
            self.look(code, state, said, imports.poll);
            code.local_tee(event).if_(BlockType::Empty);
            self.call_back(code, imports, state, Some(event));
            code.local_set(said).br(4).end().end().end();
            code.global_get(open).if_(BlockType::Empty);
            own.trap(code, OPEN);
            code.end();
            code.local_get(said).call(own.leave).global_get(state.area).return_().end();

            kind_is(code, said, YIELD).if_(BlockType::Empty);
            code.call(imports.give_way).drop();
            self.call_back(code, imports, state, None);
            code.local_set(said).br(1).end();
            kind_is(code, said, WAIT).i32_eqz().if_(BlockType::Empty);
            own.trap(code, UNKNOWN);
            code.end();
            self.look(code, state, said, imports.wait);
            code.local_set(event);
            self.call_back(code, imports, state, Some(event));
            code.local_set(said).br(0).end().unreachable();
        });
    }
}

/// Whether the task in local `said` said `kind`.
fn kind_is<'a, 'b>(code: &'a mut InstructionSink<'b>, said: u32, kind: i32) -> &'a mut InstructionSink<'b> {
    code.local_get(said).i32_const(15).i32_and().i32_const(kind).i32_eq()
}

fn word(offset: u32) -> MemArg {
    MemArg { offset: offset.into(), align: 2, memory_index: 0 }
}

/// `keep(pointer, length)`: copies a text of an answer, since the guest frees its own as soon as it has answered. The
/// buffer is as large as the longest yet.
fn keep_text(builder: &mut Builder, imports: &Imports, (buffer, capacity): (u32, u32)) -> u32 {
    let index = builder.declare("keep text", &[I32, I32], &[I32]);
    builder.body(0, |code| {
        code.local_get(1).i32_eqz().if_(BlockType::Empty).local_get(0).return_().end();
        code.local_get(1).global_get(capacity).i32_gt_u().if_(BlockType::Empty);
        code.global_get(buffer).global_get(capacity).i32_const(1).local_get(1);
        code.call(imports.realloc).global_set(buffer).local_get(1).global_set(capacity).end();
        code.global_get(buffer).local_get(0).local_get(1).memory_copy(0, 0);
        code.global_get(buffer);
    });
    index
}

/// The next stage: called synchronously, unless the guest holds an end of something that it made, and that may have to
/// move before the next stage answers.
fn define_lower(builder: &mut Builder, (blocking, asynchronous): (u32, u32), shared: &Shared) {
    let index = builder.declare("next stage", &[I32, I32], &[I32]);
    builder.export("next", index);
    builder.body(0, |code| {
        code.global_get(shared.made).global_get(shared.open).i32_or();
        code.if_(BlockType::Result(I32));
        code.local_get(0).local_get(1).call(asynchronous);
        code.else_();
        code.local_get(0).local_get(1).call(blocking).i32_const(RETURNED);
        code.end();
    });
}
