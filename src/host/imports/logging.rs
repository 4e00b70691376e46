//! A stage's own lines in the log.

use crate::host::bindings::named_imports as own;
use crate::host::bindings::wasi::logging::logging::Level;
use crate::host::next;
use crate::host::scope::Scope;
use crate::host::state::InstanceState;
use crate::telemetry::HostCall;
use wasmtime::component::{Access, HasSelf};

offers! {
    own "wasi:logging/logging" "0.1.0-draft" (own::wasi::logging::logging);
}

impl own::wasi::logging::logging::Host for InstanceState {}

impl own::wasi::logging::logging::HostWithStore<InstanceState> for HasSelf<InstanceState> {
    fn log(
        mut store: Access<'_, InstanceState, Self>,
        scope: Scope,
        level: Level,
        context: String,
        message: String,
    ) -> wasmtime::Result<()> {
        let level = match level {
            Level::Trace => tracing::Level::TRACE,
            Level::Debug => tracing::Level::DEBUG,
            Level::Info => tracing::Level::INFO,
            Level::Warn => tracing::Level::WARN,
            Level::Error | Level::Critical => tracing::Level::ERROR,
        };
        store.get().count_call(HostCall::Log);
        store.get().pulse.act();
        let behalf = next::behalf(&mut store)?;
        scope.log(behalf.as_ref(), level, &context, &message);
        Ok(())
    }
}
