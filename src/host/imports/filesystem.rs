//! `filesystem`: an open file belongs to the stage in whose directory it was found.

use crate::host::bindings::named_imports as own3;
use crate::host::scope::Scope;
use crate::host::state::InstanceState;
use crate::host::wasi2::bindings::named_imports as own2;
use crate::telemetry::HostCall;
use wasmtime::component::Resource;
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystem, WasiFilesystemCtxView};
use wasmtime_wasi::{p2::bindings as p2, p3::bindings as p3};

offers! {
    shared "wasi:filesystem/types" "0.3"
        (p3::filesystem::types as WasiFilesystem, InstanceState::filesystem) needs Filesystem;
    own "wasi:filesystem/preopens" "0.3" (own3::wasi::filesystem::preopens) needs Filesystem;
    shared "wasi:filesystem/types" "0.2"
        (p2::filesystem::types as WasiFilesystem, counted) inert_without Filesystem;
    own "wasi:filesystem/preopens" "0.2" (own2::wasi::filesystem::preopens) inert_without Filesystem;
}

/// The open files of a store, for a function of theirs.
fn counted(state: &mut InstanceState) -> WasiFilesystemCtxView<'_> {
    state.count_call(HostCall::Files);
    state.filesystem()
}

impl own3::wasi::filesystem::preopens::Host for InstanceState {
    fn get_directories(&mut self, scope: Scope) -> wasmtime::Result<Vec<(Resource<Descriptor>, String)>> {
        self.count_call(HostCall::Files);
        let ctx = &mut scope.filesystem.clone();
        let mut view = WasiFilesystemCtxView { ctx, table: &mut self.table };
        p3::filesystem::preopens::Host::get_directories(&mut view)
    }
}

impl own2::wasi::filesystem::preopens::Host for InstanceState {
    fn get_directories(&mut self, scope: Scope) -> wasmtime::Result<Vec<(Resource<Descriptor>, String)>> {
        self.count_call(HostCall::Files);
        let ctx = &mut scope.filesystem.clone();
        let mut view = WasiFilesystemCtxView { ctx, table: &mut self.table };
        p2::filesystem::preopens::Host::get_directories(&mut view)
    }
}
