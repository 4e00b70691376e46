//! The parts of `wasi:cli` that are the same for every stage: there is no terminal, and an exit ends the instance.

use crate::host::state::InstanceState;
use wasmtime::component::{HasSelf, Resource};
use wasmtime_wasi::p2::bindings::cli::{
    exit, terminal_input, terminal_output, terminal_stderr, terminal_stdin, terminal_stdout,
};
use wasmtime_wasi::p3::bindings::cli::types;

type Own = HasSelf<InstanceState>;

offers! {
    shared "wasi:cli/types" "0.3" (types as Own, |state| state);
    shared "wasi:cli/exit" "0.2" (exit as Own, |state| state);
    shared "wasi:cli/terminal-input" "0.2" (terminal_input as Own, |state| state);
    shared "wasi:cli/terminal-output" "0.2" (terminal_output as Own, |state| state);
    shared "wasi:cli/terminal-stdin" "0.2" (terminal_stdin as Own, |state| state);
    shared "wasi:cli/terminal-stdout" "0.2" (terminal_stdout as Own, |state| state);
    shared "wasi:cli/terminal-stderr" "0.2" (terminal_stderr as Own, |state| state);
}

impl types::Host for InstanceState {}

/// The error of a guest that ended itself. It ends the instance, and nothing else.
#[derive(Debug, thiserror::Error)]
#[error("called `wasi:cli/exit` with {0}")]
struct Exited(String);

impl exit::Host for InstanceState {
    fn exit(&mut self, status: Result<(), ()>) -> wasmtime::Result<()> {
        Err(Exited(if status.is_ok() { "success" } else { "failure" }.to_owned()).into())
    }

    fn exit_with_code(&mut self, code: u8) -> wasmtime::Result<()> {
        Err(Exited(format!("the code {code}")).into())
    }
}

impl terminal_stdin::Host for InstanceState {
    fn get_terminal_stdin(&mut self) -> wasmtime::Result<Option<Resource<terminal_input::TerminalInput>>> {
        Ok(None)
    }
}

impl terminal_stdout::Host for InstanceState {
    fn get_terminal_stdout(&mut self) -> wasmtime::Result<Option<Resource<terminal_output::TerminalOutput>>> {
        Ok(None)
    }
}

impl terminal_stderr::Host for InstanceState {
    fn get_terminal_stderr(&mut self) -> wasmtime::Result<Option<Resource<terminal_output::TerminalOutput>>> {
        Ok(None)
    }
}

impl terminal_input::Host for InstanceState {}
impl terminal_output::Host for InstanceState {}

impl terminal_input::HostTerminalInput for InstanceState {
    fn drop(&mut self, terminal: Resource<terminal_input::TerminalInput>) -> wasmtime::Result<()> {
        self.table.delete(terminal)?;
        Ok(())
    }
}

impl terminal_output::HostTerminalOutput for InstanceState {
    fn drop(&mut self, terminal: Resource<terminal_output::TerminalOutput>) -> wasmtime::Result<()> {
        self.table.delete(terminal)?;
        Ok(())
    }
}
