//! A stage's `config`, flattened to text.

use crate::host::bindings::named_imports as own;
use crate::host::bindings::wasi::config::store;
use crate::host::scope::Scope;
use crate::host::state::InstanceState;
use crate::telemetry::HostCall;

offers! {
    own "wasi:config/store" "0.2.0-rc.1" (own::wasi::config::store);
}

impl own::wasi::config::store::Host for InstanceState {
    fn get(&mut self, scope: Scope, key: String) -> wasmtime::Result<Result<Option<String>, store::Error>> {
        self.count_call(HostCall::Config);
        Ok(Ok(scope.config.iter().find(|(name, _)| *name == key).map(|(_, value)| value.clone())))
    }

    fn get_all(&mut self, scope: Scope) -> wasmtime::Result<Result<Vec<(String, String)>, store::Error>> {
        self.count_call(HostCall::Config);
        Ok(Ok(scope.config.clone()))
    }
}
