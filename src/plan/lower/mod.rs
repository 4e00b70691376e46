//! From decoded tables to a plan, collecting all errors.
//!
//! One file for each part of the plan. A part that is wrong is left out or replaced, and the rest is still checked: the
//! plan leaves this folder only if nothing was wrong, so a replacement is never seen.

mod components;
mod grants;
mod listeners;
mod lowering;
mod next;
mod operations;
mod pipelines;
mod policy;
mod routes;
mod settings;
mod stores;
mod telemetry;
mod tls;
mod upstreams;
mod when;

pub use self::grants::{Call, Clocks, Egress, Elsewhere, Grant, Grants, Mount};

use std::num::NonZeroUsize;
use std::sync::Arc;

use self::lowering::{KnownStores, Lowering, Names};
use super::{Admin, CompileCache, ComponentIndex, Gateway, GatewayLimits, Plan, Surroundings, TelemetryPlan};
use crate::config::keys::{self, File};
use crate::config::{self, At, Decoded, Diagnostics, Fixed, Named, SourceFile};

pub(super) fn lower(
    source: Arc<SourceFile>,
    around: &Surroundings<'_>,
) -> Result<(Plan, Diagnostics), Diagnostics> {
    match survey(source, around) {
        (Some(plan), diagnostics) => diagnostics.into_result(plan),
        (None, diagnostics) => Err(diagnostics),
    }
}

/// The valid parts of a plan, whatever is wrong with the others, for the search for further mistakes.
pub(super) fn survey(source: Arc<SourceFile>, around: &Surroundings<'_>) -> (Option<Plan>, Diagnostics) {
    let mut diagnostics = Diagnostics::new(source.clone());
    let Some(root) = config::decode(&mut diagnostics) else {
        return (None, diagnostics);
    };
    let stores = KnownStores::default();
    let mut lowering = Lowering { source, around, diagnostics, standards: Vec::new(), stores };
    let File {
        gateway,
        limits,
        http,
        admin,
        log,
        access_log,
        telemetry,
        listeners: _,
        components,
        upstreams,
        stores,
        pipelines,
        routes: _,
    } = &*root;
    let mut component_names = Names::of(&root, File::components, components);
    let mut upstream_names = Names::of(&root, File::upstreams, upstreams);
    let mut pipeline_names = Names::of(&root, File::pipelines, pipelines);

    lowering.read_stores(stores);
    let listeners = lowering.listeners(&root);
    let admin = admin.as_ref().and_then(|admin| lowering.admin(admin, &listeners));
    let telemetry = lowering.telemetry(telemetry, admin.is_some());
    let fixed = fixed(root.fixed(), admin.as_ref(), &telemetry);
    let mut plan = Plan {
        file: lowering.source.path().to_path_buf(),
        source: lowering.source.clone(),
        workers: workers(gateway),
        gateway: lowering.gateway(gateway),
        limits: lowering.gateway_limits(limits),
        http: lowering.http(http),
        fixed,
        admin,
        log: (**log).clone(),
        telemetry,
        access_log: access_log.as_ref().and_then(|log| lowering.access_log(log)),
        listeners,
        components: lowering.components(components),
        upstreams: lowering.upstreams(upstreams),
        pipelines: lowering.pipelines(&root, &mut component_names, &mut upstream_names, &mut pipeline_names),
        routes: lowering.routes(&root, &mut pipeline_names),
    };
    plan.components.extend(lowering.standards());
    // After a misspelt reference, or a stage that was refused, the target of the reference may look unused.
    if !lowering.diagnostics.has_errors() {
        lowering.report_unused(components, &component_names, "no stage uses it");
        lowering.report_unused(upstreams, &upstream_names, "no pipeline ends in it");
        lowering.report_unused_stores();
        // A program calls a pipeline by its name.
        if around.program.is_none() {
            lowering.report_unused(pipelines, &pipeline_names, "no route leads to it");
        }
    }
    lowering.report_not_embedded(&root);
    if lowering.diagnostics.has_errors() {
        point_by_name(&mut plan);
    }
    (Some(plan), lowering.diagnostics)
}

/// Where components were left out, the places of others changed.
fn point_by_name(plan: &mut Plan) {
    let place = |name: &str| plan.components.iter().position(|component| &*component.name == name);
    for pipeline in &mut plan.pipelines {
        for stage in pipeline.all_stages_mut() {
            stage.component = ComponentIndex(place(&stage.id.component).unwrap_or(usize::MAX));
        }
    }
}

/// Adds to `keys` what only a restart changes, and what may stand in files or variables.
fn fixed(keys: Fixed, admin: Option<&Admin>, telemetry: &TelemetryPlan) -> Fixed {
    let tokens = admin.into_iter().flat_map(|it| [("token", &it.token), ("read-token", &it.read_token)]);
    let tokens = tokens.filter_map(|(name, token)| Some((format!("admin.{name}"), token.as_ref()?)));
    let headers = telemetry.export.iter().flat_map(|export| &export.headers);
    let headers = headers.map(|(name, value)| (format!("telemetry.headers.{name}"), value));
    tokens.chain(headers).fold(keys, |keys, (name, value)| keys.with(&name, value.expose()))
}

fn workers(gateway: &keys::Gateway) -> NonZeroUsize {
    let configured = gateway.workers.and_then(NonZeroUsize::new);
    let most = NonZeroUsize::new(256).unwrap_or(NonZeroUsize::MIN);
    let available = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN).min(most);
    configured.unwrap_or_else(available)
}

impl Lowering<'_> {
    fn gateway(&self, gateway: &keys::Gateway) -> Gateway {
        let keys::Gateway {
            workers: _,
            watch,
            retire_timeout,
            warm_up,
            history,
            compile_cache,
            compile_cache_size,
            drain_delay,
            handover,
            calls,
            prove,
        } = gateway;
        let path = |text: &Option<At<String>>| Some(self.source.folder().join(&text.as_ref()?.value));
        Gateway {
            watch: *watch,
            retire_timeout: *retire_timeout,
            warm_up: *warm_up,
            history: *history,
            compile_cache: match path(compile_cache) {
                None => CompileCache::Usual,
                Some(_) if compile_cache.as_ref().is_some_and(|text| text.value == "off") => {
                    CompileCache::Off
                }
                Some(folder) => CompileCache::Folder(folder),
            },
            compile_cache_size: *compile_cache_size,
            drain_delay: *drain_delay,
            handover: path(handover),
            calls: *calls,
            prove: *prove,
        }
    }

    fn gateway_limits(&mut self, limits: &Decoded<GatewayLimits>) -> GatewayLimits {
        if limits.uri_size > limits.header_size {
            let header_size = config::format_size(limits.header_size as u64);
            self.diagnostics
                .error(limits.span_of(GatewayLimits::uri_size), "`uri-size` is larger than `header-size`")
                .label(format!("can never be reached: a head is at most {header_size}"))
                .help("the target is a part of the head: lower `uri-size` or raise `header-size`");
        }
        GatewayLimits::clone(limits)
    }

    fn report_unused<T>(&mut self, tables: &[Named<T>], names: &Names<'_>, label: &str) {
        for (named, used) in tables.iter().zip(&names.used) {
            if !used {
                let noun = names.table.trim_end_matches('s');
                self.diagnostics
                    .warning(named.name_span, format!("the {noun} `{}` is not used", named.name))
                    .label(label)
                    .help("remove it, or use it");
            }
        }
    }

    /// Warns of keys that are the program's own task where a program embeds the gateway.
    fn report_not_embedded(&mut self, root: &Decoded<File>) {
        for key in [File::listeners, File::admin] {
            if self.around.program.is_some() && root.has(key) {
                self.diagnostics
                    .warning(root.span_of(key), format!("`{}` is not used", key.name))
                    .label("the program that embeds the gateway listens by itself")
                    .help("remove it");
            }
        }
    }
}
