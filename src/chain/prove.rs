//! A segment is proven before it serves.
//!
//! One instance of the segment is made and dropped, within the limits that it has when it serves. A start that traps,
//! computes or waits for ever, or needs too much memory, is thus found while the previous generation is live. Then each
//! stage that can judge its configuration (`linkspan:config/check`, see `wit/config.wit`) does so in the same instance,
//! with its own configuration and grants, but without a way out (`host/rehearsal.rs`). The segment's composition
//! exports its stages' judgements beside the handler.
//!
//! Bounds: the pipeline's `limits.deadline` and `limits.cpu` for the start and for each judgement, the stages'
//! `limits.memory`; [`MAX_FINDINGS`] findings of a stage, in [`MAX_WORDS`] bytes.

use super::compile::{Pre, Segment};
use super::compose::{EXPORT, EXPORT_0_2, judge_label};
use super::panics::caught;
use crate::host::{Act, InstanceState, Pulse};
use std::sync::Arc;
use std::time::Duration;
use wasmtime::Store;
use wasmtime::component::{ComponentType, Instance, Lift};
use wasmtime_wasi_http::p2::bindings::Proxy;
use wasmtime_wasi_http::p3::bindings::Service;

/// The most findings of one stage that are reported.
const MAX_FINDINGS: usize = 64;

/// The most bytes that a judgement may take in the host.
const MAX_WORDS: usize = 256 << 10;

/// What is wrong with a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// No instance can be made.
    Start(Breakdown),
    /// A stage finds its configuration wrong.
    Config {
        /// Its index.
        stage: usize,
        /// The key that is wrong, as the stage sees it.
        key: Option<String>,
        /// What is wrong, in the stage's own words.
        message: String,
    },
    /// A stage's judgement failed.
    Judge(Breakdown),
}

/// How guests failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breakdown {
    /// The stages whose code it may have been; empty if that is not known.
    pub stages: Vec<usize>,
    /// Why.
    pub reason: String,
    /// The last lines that they wrote to their logs.
    pub said: Vec<String>,
    /// Whether they were refused memory before.
    pub wanted_memory: bool,
}

/// A stage's finding: `linkspan:config/check`'s `finding`.
#[derive(ComponentType, Lift)]
#[component(record)]
struct Finding {
    key: Option<String>,
    message: String,
}

type Judgement = Result<(), Vec<Finding>>;

impl Segment {
    /// Finds everything that the first request would have met, and what the stages say of their configurations.
    pub fn prove(&self) -> Vec<Flaw> {
        // Guests that start may wait for the host, which needs a runtime for that; on a thread of its own, since
        // whoever builds may have one already.
        let prove = || match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime.block_on(self.rehearse()),
            Err(error) => vec![Flaw::Start(self.breakdown(&[], error.into(), &Pulse::default()))],
        };
        let flaws = std::thread::scope(|scope| scope.spawn(|| caught(prove)).join());
        let panicked = |why: &dyn std::fmt::Display| {
            let error = wasmtime::format_err!("at its start, {why}");
            vec![Flaw::Start(self.breakdown(&[], error, &Pulse::default()))]
        };
        let flaws = match flaws {
            Ok(flaws) => flaws.unwrap_or_else(|why| panicked(&why)),
            Err(_) => panicked(&"linkspan panicked"),
        };
        self.rehearsal.begin(Act::Over);
        flaws
    }

    async fn rehearse(&self) -> Vec<Flaw> {
        let mut flaws = Vec::new();
        let mut judges = self.judges.iter();
        // An instance in which a judgement trapped can't be used for the next one.
        'instance: loop {
            let pulse: Arc<Pulse> = Arc::default();
            let mut store = self.store(Arc::clone(&pulse));
            self.rehearsal.begin(Act::Start);
            let instance = match self.in_time(self.start(&mut store)).await {
                Ok(instance) => instance,
                Err(error) => {
                    flaws.push(Flaw::Start(self.breakdown(&[], error, &pulse)));
                    return flaws;
                }
            };
            store.set_hostcall_fuel(MAX_WORDS);
            for &stage in judges.by_ref() {
                // The time computed so far belongs to another judgement.
                pulse.on_pending();
                self.rehearsal.begin(Act::Judgement);
                match self.in_time(judge(&mut store, &instance, stage)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(findings)) => {
                        let flaw = |Finding { key, message }| Flaw::Config { stage, key, message };
                        flaws.extend(findings.into_iter().take(MAX_FINDINGS).map(flaw));
                    }
                    Err(error) => {
                        flaws.push(Flaw::Judge(self.breakdown(&[stage], error, &pulse)));
                        continue 'instance;
                    }
                }
            }
            self.rehearse_direct().await;
            return flaws;
        }
    }

    /// Makes an instance in the direct form, if the segment has it. If there is none, the component form serves.
    async fn rehearse_direct(&self) {
        let Some(chain) = self.form.direct() else { return };
        self.rehearsal.begin(Act::Start);
        let mut store = self.direct_store(chain, Arc::default());
        if let Err(error) = self.in_time(chain.instantiate(&mut store)).await {
            self.form.give_up(format!("it does not start in the direct form: {}", reason(&error)));
        }
    }

    async fn in_time<T>(&self, work: impl Future<Output = wasmtime::Result<T>>) -> wasmtime::Result<T> {
        let deadline: Duration = self.limits.deadline;
        tokio::time::timeout(deadline, work)
            .await
            .map_err(|_| wasmtime::format_err!("it did not end within `limits.deadline`"))?
    }

    /// An instance, once it is known to have the function that requests enter by, with the type that it should have.
    async fn start(&self, store: &mut Store<InstanceState>) -> wasmtime::Result<Instance> {
        match &self.pre {
            Pre::Handler(pre) => {
                let instance = pre.instance_pre().instantiate_async(&mut *store).await?;
                Service::new(store, &instance).map_err(|error| differs(EXPORT, &error))?;
                Ok(instance)
            }
            Pre::Incoming(pre) => {
                let instance = pre.instance_pre().instantiate_async(&mut *store).await?;
                Proxy::new(store, &instance).map_err(|error| differs(EXPORT_0_2, &error))?;
                Ok(instance)
            }
        }
    }

    /// How guests failed with `error`: the fault of `stages`, or else of the stages in its backtrace.
    fn breakdown(&self, stages: &[usize], error: wasmtime::Error, pulse: &Pulse) -> Breakdown {
        let mut stages = stages.to_vec();
        if stages.is_empty() {
            stages = match &self.scopes[..] {
                [only] => vec![only.id.index],
                _ => self.blamed(&error),
            };
        }
        let said = self.rehearsal.said(&stages);
        Breakdown { said, reason: reason(&error), wanted_memory: pulse.was_refused_memory(), stages }
    }
}

/// What `stage` says of its configuration.
async fn judge(
    store: &mut Store<InstanceState>,
    instance: &Instance,
    stage: usize,
) -> wasmtime::Result<Judgement> {
    let export = instance.get_export_index(&mut *store, None, &judge_label(stage));
    let check = export.and_then(|export| instance.get_export_index(&mut *store, Some(&export), "check"));
    let check = check.ok_or_else(|| wasmtime::format_err!("its `linkspan:config/check` has no `check`"))?;
    let check = instance
        .get_typed_func::<(), (Judgement,)>(&mut *store, check)
        .map_err(|error| differs("linkspan:config/check", &error))?;
    let (judgement,) = check.call_async(&mut *store, ()).await?;
    Ok(judgement)
}

/// The error that an export has the type of another version than its name says.
fn differs(export: &str, error: &wasmtime::Error) -> wasmtime::Error {
    wasmtime::format_err!("its `{export}` has the wrong type: {error:#}")
}

/// The causes of `error` in one line, without backtraces.
fn reason(error: &wasmtime::Error) -> String {
    let mut parts: Vec<String> = Vec::new();
    for cause in error.chain() {
        let text = cause.to_string();
        let line = text.lines().next().unwrap_or_default().trim();
        let known = line.is_empty() || line.starts_with("error while executing at wasm backtrace");
        if !known && parts.last().is_none_or(|last| last != line) {
            parts.push(line.to_owned());
        }
    }
    parts.join(": ")
}
