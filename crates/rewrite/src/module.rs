//! A core module that is made here, beside the guest's own.

use wasm_encoder::{
    CodeSection, ConstExpr, EntityType, ExportKind, ExportSection, Function, FunctionSection, GlobalSection,
    GlobalType, ImportSection, InstructionSink, MemoryType, Module, NameMap, NameSection, TypeSection,
    ValType::{self, I32},
};

/// A module under construction: its imports first, then its functions.
#[derive(Default)]
pub struct Builder {
    types: TypeSection,
    imports: ImportSection,
    functions: FunctionSection,
    globals: GlobalSection,
    exports: ExportSection,
    code: CodeSection,
    names: NameMap,
    imported: u32,
    defined: u32,
    global_count: u32,
}

impl Builder {
    fn ty(&mut self, params: &[ValType], results: &[ValType]) -> u32 {
        let index = self.types.len();
        self.types.ty().function(params.iter().copied(), results.iter().copied());
        index
    }

    /// Imports a function.
    pub fn import(&mut self, name: &str, params: &[ValType], results: &[ValType]) -> u32 {
        let ty = self.ty(params, results);
        self.imports.import("guest", name, EntityType::Function(ty));
        self.names.append(self.imported, name);
        self.imported += 1;
        self.imported - 1
    }

    /// Declares a function, whose body follows in the order of declarations.
    pub fn declare(&mut self, name: &str, params: &[ValType], results: &[ValType]) -> u32 {
        let ty = self.ty(params, results);
        self.functions.function(ty);
        let index = self.imported + self.defined;
        self.names.append(index, name);
        self.defined += 1;
        index
    }

    /// Imports the memory that the guest works in.
    pub fn import_memory(&mut self) {
        let memory =
            MemoryType { minimum: 0, maximum: None, memory64: false, shared: false, page_size_log2: None };
        self.imports.import("guest", "memory", memory);
    }

    /// Exports a function.
    pub fn export(&mut self, name: &str, function: u32) {
        self.exports.export(name, ExportKind::Func, function);
    }

    /// The body of the next function that was declared, with `locals` beside its parameters.
    pub fn body(&mut self, locals: u32, write: impl FnOnce(&mut InstructionSink<'_>)) {
        let mut function = Function::new([(locals, I32)]);
        let mut code = function.instructions();
        write(&mut code);
        code.end();
        self.code.function(&function);
    }

    /// A variable of this module, 0 at first.
    pub fn global(&mut self) -> u32 {
        self.globals.global(WORD, &ConstExpr::i32_const(0));
        self.global_count += 1;
        self.global_count - 1
    }

    /// A global that modules share: imported, or defined and exported.
    pub fn shared(&mut self, name: &str, imported: bool) -> u32 {
        if imported {
            self.imports.import("shared", name, WORD);
            self.global_count += 1;
            return self.global_count - 1;
        }
        let global = self.global();
        self.exports.export(name, ExportKind::Global, global);
        global
    }

    /// The module, called `name`.
    pub fn finish(self, name: &str) -> Module {
        let mut names = NameSection::new();
        names.module(name);
        names.functions(&self.names);
        let mut module = Module::new();
        module.section(&self.types).section(&self.imports).section(&self.functions);
        module.section(&self.globals).section(&self.exports).section(&self.code).section(&names);
        module
    }
}

const WORD: GlobalType = GlobalType { val_type: I32, mutable: true, shared: false };
