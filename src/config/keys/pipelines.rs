//! Pipelines and their stages.

use std::time::Duration;

use super::grants::Grant;
use super::limits::{PipelineLimits, StageLimits};
use super::when::When;
use crate::config::declare::{choices, count, keys, node, one_of, table, tables, text, time};
use crate::config::kinds::{Kind, TextForm};
use crate::config::syntax::Node;
use crate::config::typed::{At, Decoded};
use crate::config::units::{HOUR, MS};

/// Most stages before the service of a pipeline.
pub const MAX_MIDDLEWARE: usize = 16;

/// Most combinations of statically linked stages that the conditions of one pipeline may need: each is a component of
/// its own.
pub const MAX_COMBINATIONS: usize = 16;

/// Most pipelines that one stage reaches by name.
pub const MAX_NEXT: usize = 16;

keys! {
    /// Stages that a request goes through, and the service or upstream that answers it.
    Pipeline = "pipeline", "a pipeline";

    /// The link of stages that do not set it themselves: `"static"` or `"dynamic"`, see [Links](#links).
    link: Link = one_of().default("static");
    /// `"reuse"`: an instance serves many requests; a trap fails all requests that are in the instance. `"request"`:
    /// each request has fresh instances, made in advance where there is room. See [Isolation](#isolation).
    isolation: Isolation = one_of().default("reuse");
    /// Whether the async-lifted middleware of stages that do not set it themselves is rewritten to a sync lift:
    /// `"as-is"`, `"auto"` or `"sync"`, see [Lift rewriting](lift.md).
    lift: Relift = one_of().default("auto");
    /// `"auto"`: segments run in the [direct form](direct.md) where all their stages can. `"component"`: none does.
    form: Form = one_of().default("auto");
    /// Middleware in the order in which a request meets it, at most 16.
    stages: Vec<Decoded<Stage>> = tables(0, MAX_MIDDLEWARE).optional("[{ component = \"request-id\" }]", "none");
    /// The service that answers.
    service: Option<Decoded<Stage>> =
        table().optional("{ component = \"hello\" }", "required, or `upstream` or `native`");
    /// In place of `service`: a name under [`[upstreams]`](#upstreams), whose servers answer.
    upstream: Option<At<String>> = text(TextForm::Upstream).optional("\"backend\"", "none");
    /// In place of `service`: a service of the program that [embeds](embedding.md) the gateway, by the name that the
    /// program gave it. The pipeline needs at least one stage.
    native: Option<At<String>> = text(TextForm::Native).optional("\"app\"", "none");
    /// Bounds of the pipeline, below.
    limits: Option<Decoded<PipelineLimits>> = table().optional("{ deadline = \"30s\" }", "");
}

keys! {
    /// A component at its place in a pipeline.
    Stage = "stage", "a stage";

    /// A name under `[components]`, or a [standard component](middleware.md), which linkspan brings: `"std:cors"`.
    component: Option<At<String>> = text(TextForm::Component).required("\"hello\"");
    /// The configuration that the component reads (`wasi:config/store`). The keys are the component's; see below.
    config: Option<Node> = node(Kind::Settings).optional("{ header = \"x-request-id\" }", "empty");
    /// The capabilities of the stage, below.
    grant: Option<Decoded<Grant>> = table().optional("{ clocks = true }", "nothing");
    /// The requests to which the stage applies, see [Conditions](#conditions). Not for a service.
    when: Option<Decoded<When>> = table().optional("{ path = \"/api\" }", "every request");
    /// Bounds of the stage, [below](#limits-of-a-stage).
    limits: Option<Decoded<StageLimits>> = table().optional("{ memory = \"64MiB\" }", "");
    /// `"static"` or `"dynamic"`, see [Links](#links).
    link: Option<Link> = one_of().optional("\"static\"", "the pipeline's");
    /// Like the pipeline's key. Only for a dynamic stage.
    isolation: Option<Isolation> = one_of().optional("\"request\"", "the pipeline's");
    /// `"as-is"`: as its author lifted it. `"auto"`: rewritten to a sync lift where that is proven to change nothing
    /// else, and nothing is lost. `"sync"`: rewritten, or an error. See [Lift rewriting](lift.md).
    lift: Option<At<Relift>> = one_of().optional("\"sync\"", "the pipeline's");
    /// What happens to a request whose stage fails: `"fail"`, or `"bypass"` to continue without the stage. Only for a
    /// dynamic middleware.
    on_failure: OnFailure = one_of().default("fail");
    /// Takes a stage that keeps failing out of the way. Only for a dynamic stage.
    breaker: Option<Breaker> = table().optional("{ failures = 5, open = \"5s\" }", "none");
    /// The pipelines that the component reaches under names of its own, at most 16, see [More than one
    /// next](#more-than-one-next).
    next: Option<Node> =
        node(Kind::Texts { form: TextForm::Pipeline, max: MAX_NEXT }).optional("{ a = \"edge\", b = \"edge-next\" }", "none");
}

keys! {
    /// Takes a stage that keeps failing out of the way, and probes it back in.
    Breaker = "breaker", "`breaker`";

    /// Failures within the window that open the breaker.
    failures: usize = count(1, 1_000_000).default("5");
    /// How long a failure counts.
    window: Duration = time(MS, HOUR).default("10s");
    /// How long the breaker stays open. Then one request tries the stage, and its response's head decides; if its body
    /// breaks off within `window`, the breaker opens again.
    open: Duration = time(MS, HOUR).default("5s");
    /// While the breaker is open: requests continue without the stage with `"bypass"`, and are answered with 503 with
    /// `"close"`.
    then: BreakerThen = one_of().default("bypass");
}

choices! {
    /// How a stage is linked with its neighbours.
    #[derive(Default)]
    Link {
        /// Composed with static neighbours into one component, in one store.
        #[default]
        Static = "static",
        /// A store of its own; the host carries requests and responses across.
        Dynamic = "dynamic",
    }
}

choices! {
    /// How many requests an instance serves.
    #[derive(Default)]
    Isolation {
        /// As many as `limits.reuse` says.
        #[default]
        Reuse = "reuse",
        /// One: nothing that the instance remembers reaches another request.
        Request = "request",
    }
}

choices! {
    /// How the segments of a pipeline run.
    #[derive(Default)]
    Form {
        /// As core modules, where linkspan can answer all that their stages import; else as components.
        #[default]
        Auto = "auto",
        /// As components.
        Component = "component",
    }
}

choices! {
    /// Whether an async-lifted component is rewritten to a sync lift.
    #[derive(Default)]
    Relift {
        /// If the rewriting is proven to change nothing but the cost, and nothing is lost.
        #[default]
        Auto = "auto",
        /// No.
        AsIs = "as-is",
        /// Yes; a component that can't be rewritten is an error.
        Sync = "sync",
    }
}

choices! {
    /// What happens to a request whose stage fails.
    #[derive(Default)]
    OnFailure {
        /// The request fails, too.
        #[default]
        Fail = "fail",
        /// The request continues without the stage, if the stage has neither touched the request's body nor called the
        /// next stage.
        Bypass = "bypass",
    }
}

choices! {
    /// What happens to requests while a breaker is open.
    #[derive(Default)]
    BreakerThen {
        /// They continue without the stage.
        #[default]
        Bypass = "bypass",
        /// They are answered with 503.
        Close = "close",
    }
}
