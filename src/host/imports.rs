//! Answers to the imports that are each stage's own.

use super::bindings::named_imports as own;
use super::calls;
use super::egress;
use super::kept::{HEAD, size_of_fields};
use super::limiter::{Quota, TakeError};
use super::next;
use super::scope::Scope;
use super::state::InstanceState;
use super::stdio::LineLog;
use crate::host::bindings::linkspan::gateway::rate_limiter;
use crate::host::bindings::wasi::config::store;
use crate::host::bindings::wasi::logging::logging;
use tokio::sync::oneshot;
use wasmtime::component::{Access, Accessor, FutureReader, HasSelf, Resource, StreamReader};
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystemCtxView};
use wasmtime_wasi::p3::bindings::cli::types::ErrorCode as CliError;
use wasmtime_wasi::p3::bindings::clocks::{monotonic_clock, system_clock};
use wasmtime_wasi::p3::bindings::filesystem::preopens;
use wasmtime_wasi_http::Error;
use wasmtime_wasi_http::p3::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::p3::{Request, Response};

type Own = HasSelf<InstanceState>;

impl wasmtime_wasi::p3::bindings::cli::types::Host for InstanceState {}

impl own::wasi::config::store::Host for InstanceState {
    fn get(&mut self, scope: Scope, key: String) -> wasmtime::Result<Result<Option<String>, store::Error>> {
        Ok(Ok(scope.config.iter().find(|(name, _)| *name == key).map(|(_, value)| value.clone())))
    }

    fn get_all(&mut self, scope: Scope) -> wasmtime::Result<Result<Vec<(String, String)>, store::Error>> {
        Ok(Ok(scope.config.clone()))
    }
}

impl own::wasi::cli::environment::Host for InstanceState {
    fn get_environment(&mut self, scope: Scope) -> wasmtime::Result<Vec<(String, String)>> {
        Ok(scope.environment.clone())
    }

    fn get_arguments(&mut self, scope: Scope) -> wasmtime::Result<Vec<String>> {
        // By convention the first argument is the program's name.
        Ok(vec![scope.id.component.to_string()])
    }

    fn get_initial_cwd(&mut self, _scope: Scope) -> wasmtime::Result<Option<String>> {
        Ok(None)
    }
}

impl own::wasi::clocks::system_clock::Host for InstanceState {
    fn now(&mut self, scope: Scope) -> wasmtime::Result<system_clock::Instant> {
        let now = system_clock::Host::now(&mut self.clocks())?;
        let nanoseconds = scope.clocks.round_nanoseconds(now.nanoseconds);
        Ok(system_clock::Instant { seconds: now.seconds, nanoseconds })
    }

    fn get_resolution(&mut self, scope: Scope) -> wasmtime::Result<u64> {
        Ok(scope.clocks.resolution(system_clock::Host::get_resolution(&mut self.clocks())?))
    }
}

impl own::wasi::clocks::monotonic_clock::Host for InstanceState {
    fn now(&mut self, scope: Scope) -> wasmtime::Result<u64> {
        Ok(scope.clocks.round(monotonic_clock::Host::now(&mut self.clocks())?))
    }

    fn get_resolution(&mut self, scope: Scope) -> wasmtime::Result<u64> {
        Ok(scope.clocks.resolution(monotonic_clock::Host::get_resolution(&mut self.clocks())?))
    }
}

impl own::wasi::clocks::monotonic_clock::HostWithStore<InstanceState> for Own {
    async fn wait_until(
        store: &Accessor<InstanceState, Self>,
        scope: Scope,
        when: u64,
    ) -> wasmtime::Result<()> {
        let now = store.with(|mut store| monotonic_clock::Host::now(&mut store.get().clocks()))?;
        sleep(scope.clocks.round_up(when).saturating_sub(now)).await;
        Ok(())
    }

    async fn wait_for(
        _store: &Accessor<InstanceState, Self>,
        scope: Scope,
        duration: u64,
    ) -> wasmtime::Result<()> {
        sleep(scope.clocks.round_up(duration)).await;
        Ok(())
    }
}

/// Waits for so many nanoseconds; not at all for none.
async fn sleep(nanoseconds: u64) {
    if nanoseconds > 0 {
        tokio::time::sleep(std::time::Duration::from_nanos(nanoseconds)).await;
    }
}

impl own::wasi::filesystem::preopens::Host for InstanceState {
    fn get_directories(&mut self, scope: Scope) -> wasmtime::Result<Vec<(Resource<Descriptor>, String)>> {
        let ctx = &mut scope.filesystem.clone();
        preopens::Host::get_directories(&mut WasiFilesystemCtxView { ctx, table: &mut self.table })
    }
}

impl own::wasi::logging::logging::Host for InstanceState {}

impl own::wasi::logging::logging::HostWithStore<InstanceState> for Own {
    fn log(
        mut store: Access<'_, InstanceState, Self>,
        scope: Scope,
        level: logging::Level,
        context: String,
        message: String,
    ) -> wasmtime::Result<()> {
        let level = match level {
            logging::Level::Trace => tracing::Level::TRACE,
            logging::Level::Debug => tracing::Level::DEBUG,
            logging::Level::Info => tracing::Level::INFO,
            logging::Level::Warn => tracing::Level::WARN,
            logging::Level::Error | logging::Level::Critical => tracing::Level::ERROR,
        };
        scope.log_for(next::request(&mut store)?, level, &context, &message);
        Ok(())
    }
}

impl own::linkspan::gateway::rate_limiter::Host for InstanceState {
    fn take(
        &mut self,
        scope: Scope,
        key: String,
        quota: rate_limiter::Quota,
    ) -> wasmtime::Result<Result<rate_limiter::Decision, rate_limiter::Error>> {
        let quota = Quota { burst: quota.burst, interval: quota.interval };
        Ok(match scope.limiter.take(&key, quota) {
            Ok(decision) => Ok(rate_limiter::Decision {
                allowed: decision.allowed,
                remaining: decision.remaining,
                retry_after: decision.retry_after,
                reset_after: decision.reset_after,
            }),
            Err(TakeError::InvalidQuota) => Err(rate_limiter::Error::InvalidQuota),
            Err(TakeError::KeyTooLong) => Err(rate_limiter::Error::KeyTooLong),
            Err(TakeError::TooManyKeys) => Err(rate_limiter::Error::TooManyKeys),
        })
    }
}

impl own::wasi::cli::stdin::Host for InstanceState {}
impl own::wasi::cli::stdout::Host for InstanceState {}
impl own::wasi::cli::stderr::Host for InstanceState {}

impl<T: 'static> own::wasi::cli::stdin::HostWithStore<T> for Own {
    fn read_via_stream(
        mut store: Access<'_, T, Self>,
        _scope: Scope,
    ) -> wasmtime::Result<(StreamReader<u8>, FutureReader<Result<(), CliError>>)> {
        let stream = StreamReader::new(&mut store, std::iter::empty::<u8>())?;
        Ok((stream, done(&mut store)?))
    }
}

impl own::wasi::cli::stdout::HostWithStore<InstanceState> for Own {
    fn write_via_stream(
        mut store: Access<'_, InstanceState, Self>,
        scope: Scope,
        data: StreamReader<u8>,
    ) -> wasmtime::Result<FutureReader<Result<(), CliError>>> {
        let log = LineLog::outside(scope, "stdout", store.get())?;
        data.pipe(&mut store, log)?;
        done(&mut store)
    }
}

impl own::wasi::cli::stderr::HostWithStore<InstanceState> for Own {
    fn write_via_stream(
        mut store: Access<'_, InstanceState, Self>,
        scope: Scope,
        data: StreamReader<u8>,
    ) -> wasmtime::Result<FutureReader<Result<(), CliError>>> {
        let log = LineLog::outside(scope, "stderr", store.get())?;
        data.pipe(&mut store, log)?;
        done(&mut store)
    }
}

/// A future that is already there: writing to the log can't fail.
fn done<T: 'static>(store: &mut Access<'_, T, Own>) -> wasmtime::Result<FutureReader<Result<(), CliError>>> {
    FutureReader::new(store, async { wasmtime::error::Ok(Ok(())) })
}

impl own::wasi::http::client::Host for InstanceState {}

impl own::wasi::http::client::HostWithStore<InstanceState> for Own {
    async fn send(
        store: &Accessor<InstanceState, Self>,
        scope: Scope,
        request: Resource<Request>,
    ) -> wasmtime::Result<Result<Resource<Response>, ErrorCode>> {
        let callee = store.with(|mut store| {
            let request = store.get().table.get(&request)?;
            wasmtime::error::Ok(request.authority.as_ref().and_then(calls::callee).map(str::to_owned))
        })?;
        if let Some(callee) = callee {
            return calls::send(store, &scope, request, &callee).await;
        }
        // Says to the guest that its request was sent, or not.
        let (sent, was_sent) = oneshot::channel();
        let result = async { was_sent.await.unwrap_or(Err(Error::ConnectionTerminated)) };
        let request = store.with(|mut store| {
            let request = store.get().table.delete(request)?;
            // Until it is answered.
            let kept = store.get().keep_outside(size_of_fields(&request.headers))?;
            wasmtime::error::Ok((request.into_http(&mut store, result), kept))
        })?;
        let (request, options, _kept) = match request {
            (Ok((request, options)), kept) => (request, options, kept),
            (Err(error), _) => return error.downcast().map(Err),
        };
        let outcome = egress::send(&scope, request, options.as_deref().copied()).await;
        store.with(|mut store| match outcome {
            Ok(response) => {
                let _ = sent.send(Ok(()));
                store.get().keep(HEAD)?;
                let http = store.get().http();
                let (response, _) = Response::from_http(http.hooks, response);
                Ok(Ok(http.table.push(response)?))
            }
            Err(code) => Ok(Err(code)),
        })
    }
}
