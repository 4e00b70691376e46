//! `env`: the variables that are granted to the stage, and none of the gateway's own.

use crate::host::bindings::named_imports as p3;
use crate::host::scope::Scope;
use crate::host::state::InstanceState;
use crate::host::wasi2::bindings::named_imports as p2;
use crate::telemetry::HostCall;

offers! {
    own "wasi:cli/environment" "0.3" (p3::wasi::cli::environment) needs Env;
    own "wasi:cli/environment" "0.2" (p2::wasi::cli::environment) inert_without Env;
}

fn variables(scope: &Scope) -> Vec<(String, String)> {
    let granted = scope.grants.env.iter().flatten();
    granted.map(|(name, value)| (name.clone(), value.expose().to_owned())).collect()
}

/// By convention the first argument is the program's name.
fn arguments(scope: &Scope) -> Vec<String> {
    vec![scope.id.component.to_string()]
}

impl p3::wasi::cli::environment::Host for InstanceState {
    fn get_environment(&mut self, scope: Scope) -> wasmtime::Result<Vec<(String, String)>> {
        self.count_call(HostCall::Environment);
        Ok(variables(&scope))
    }

    fn get_arguments(&mut self, scope: Scope) -> wasmtime::Result<Vec<String>> {
        self.count_call(HostCall::Environment);
        Ok(arguments(&scope))
    }

    fn get_initial_cwd(&mut self, _scope: Scope) -> wasmtime::Result<Option<String>> {
        Ok(None)
    }
}

impl p2::wasi::cli::environment::Host for InstanceState {
    fn get_environment(&mut self, scope: Scope) -> wasmtime::Result<Vec<(String, String)>> {
        self.count_call(HostCall::Environment);
        Ok(variables(&scope))
    }

    fn get_arguments(&mut self, scope: Scope) -> wasmtime::Result<Vec<String>> {
        self.count_call(HostCall::Environment);
        Ok(arguments(&scope))
    }

    fn initial_cwd(&mut self, _scope: Scope) -> wasmtime::Result<Option<String>> {
        Ok(None)
    }
}
