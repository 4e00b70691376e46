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

/// Most combinations of statically linked stages that the conditions of one pipeline may need: each is a component of its
/// own.
pub const MAX_COMBINATIONS: usize = 16;

/// Most pipelines that one stage reaches by name.
pub const MAX_NEXT: usize = 16;

keys! {
    /// Stages that a request goes through, and the service or upstream that answers it.
    Pipeline = "pipeline", "a pipeline";

    /// How the stages are linked where they do not say it themselves: `"static"` or `"dynamic"`, see [Links](#links).
    link: Link = one_of().default("static");
    /// `"reuse"`: an instance serves many requests; one that traps fails all that are in it then. `"request"`: each
    /// request has fresh instances, made before they are needed where there is room. See [Isolation](#isolation).
    isolation: Isolation = one_of().default("reuse");
    /// Whether async-lifted middleware is rewritten to a sync lift where it says nothing itself: `"as-is"`, `"auto"` or
    /// `"sync"`, see [Lift rewriting](lift.md).
    lift: Relift = one_of().default("as-is");
    /// Middleware in the order in which a request meets it, at most 16.
    stages: Vec<Decoded<Stage>> = tables(0, MAX_MIDDLEWARE).optional("[{ component = \"request-id\" }]", "none");
    /// The service that answers.
    service: Option<Decoded<Stage>> =
        table().optional("{ component = \"hello\" }", "required, or `upstream` or `native`");
    /// In place of `service`: a name under [`[upstreams]`](#upstreams), whose servers answer.
    upstream: Option<At<String>> = text(TextForm::Upstream).optional("\"backend\"", "none");
    /// In place of `service`: a service of the program that [embeds](embedding.md) the gateway, by the name that the
    /// program gave it. There must be a stage before it.
    native: Option<At<String>> = text(TextForm::Native).optional("\"app\"", "none");
    /// Bounds of the pipeline, below.
    limits: Option<Decoded<PipelineLimits>> = table().optional("{ deadline = \"30s\" }", "");
}

keys! {
    /// A component at its place in a pipeline.
    Stage = "stage", "a stage";

    /// A name under `[components]`.
    component: Option<At<String>> = text(TextForm::Component).required("\"hello\"");
    /// What the component reads as its configuration (`wasi:config/store`). Of any shape; see below.
    config: Option<Node> = node(Kind::Settings).optional("{ header = \"x-request-id\" }", "empty");
    /// What the stage may use of the world outside, below.
    grant: Option<Decoded<Grant>> = table().optional("{ clocks = true }", "nothing");
    /// Which requests the stage applies to, see [Conditions](#conditions). Not of a service.
    when: Option<Decoded<When>> = table().optional("{ path = \"/api\" }", "every request");
    /// Bounds of the stage, [below](#limits-of-a-stage).
    limits: Option<Decoded<StageLimits>> = table().optional("{ memory = \"64MiB\" }", "");
    /// `"static"` or `"dynamic"`, see [Links](#links).
    link: Option<Link> = one_of().optional("\"static\"", "the pipeline's");
    /// As the pipeline's. Only for a dynamic stage.
    isolation: Option<Isolation> = one_of().optional("\"request\"", "the pipeline's");
    /// `"as-is"`: as its author lifted it. `"auto"`: rewritten to a sync lift where that is known to change nothing
    /// else. `"sync"`: rewritten, or an error. See [Lift rewriting](lift.md).
    lift: Option<At<Relift>> = one_of().optional("\"auto\"", "the pipeline's");
    /// What happens to a request whose stage fails: `"fail"`, or `"bypass"` to go on without the stage. Only for a
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

    /// Failures within the window that open it.
    failures: usize = count(1, 1_000_000).default("5");
    /// How long a failure counts.
    window: Duration = time(MS, HOUR).default("10s");
    /// How long it stays open. Then one request tries the stage, and its response's head decides; if its body breaks off
    /// within `window`, the breaker opens again.
    open: Duration = time(MS, HOUR).default("5s");
    /// While it is open: requests go on without the stage with `"bypass"`, and are answered 503 with `"close"`.
    then: BreakerThen = one_of().default("bypass");
}

choices! {
    /// How a stage is linked with its neighbours.
    #[derive(Default)]
    Link {
        /// Composed with those of them that are static, too, into one component, in one store.
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
        /// One: nothing that it remembers reaches another request.
        Request = "request",
    }
}

choices! {
    /// Whether an async-lifted component is rewritten to a sync lift.
    #[derive(Default)]
    Relift {
        /// If it is known that this changes nothing but the cost.
        Auto = "auto",
        /// No.
        #[default]
        AsIs = "as-is",
        /// Yes; it is an error where it can't be.
        Sync = "sync",
    }
}

choices! {
    /// What happens to a request whose stage fails.
    #[derive(Default)]
    OnFailure {
        /// It fails, too.
        #[default]
        Fail = "fail",
        /// The request goes on without the stage, if that has not touched the request's body nor called the next stage.
        Bypass = "bypass",
    }
}

choices! {
    /// What happens to requests while a breaker is open.
    #[derive(Default)]
    BreakerThen {
        /// They go on without the stage.
        #[default]
        Bypass = "bypass",
        /// They are answered 503.
        Close = "close",
    }
}
