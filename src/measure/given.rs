//! `linkspan bench hops --stage`: chains of given middleware.

use super::Failure;
use crate::chain::Member;
use crate::component::Component;
use crate::config::Span;
use crate::host::{Counters, Scope, StageScope};
use crate::plan::{
    Clocks, ComponentIndex, ConfigValue, Grants, Isolation, Link, Name, OnFailure, Relift, Stage, StageId,
    StageLimits, ValueOrigin,
};
use crate::stores::{KeyBound, Limiter};
use clap::Args;
use http::{HeaderMap, HeaderName, HeaderValue};
use std::path::PathBuf;
use std::sync::Arc;

/// What is measured beside, or instead of, linkspan's own no-ops.
#[derive(Debug, Args)]
pub(super) struct Given {
    /// Measure chains of this middleware, with this configuration; it gets clocks and random numbers
    #[arg(long = "stage", value_name = "FILE[,KEY=VALUE]...", value_parser = Middleware::parse)]
    pub stages: Vec<Middleware>,
    /// The service behind all chains, instead of one that answers with nothing
    #[arg(long, value_name = "FILE")]
    pub service: Option<PathBuf>,
    /// A field of the requests
    #[arg(long = "header", value_name = "NAME:VALUE", value_parser = field)]
    pub fields: Vec<(HeaderName, HeaderValue)>,
}

impl Given {
    /// The fields of each request.
    pub(super) fn head(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.fields {
            headers.append(name, value.clone());
        }
        headers
    }
}

fn field(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("has no `:`")?;
    let name = name.trim().parse().map_err(|_| "has a name that no field can have")?;
    let value = value.trim().parse().map_err(|_| "has a value that no field can have")?;
    Ok((name, value))
}

/// A component's file, and its configuration as text.
#[derive(Clone, Debug)]
pub(super) struct Middleware {
    file: PathBuf,
    config: Vec<(String, String)>,
}

impl Middleware {
    fn parse(text: &str) -> Result<Self, String> {
        let mut parts = text.split(',');
        let file = parts.next().unwrap_or_default().into();
        let pair = |part: &str| {
            let (key, value) = part.split_once('=').ok_or_else(|| format!("`{part}` has no `=`"))?;
            Ok((key.to_owned(), value.to_owned()))
        };
        let config = parts.map(pair).collect::<Result<_, String>>()?;
        Ok(Self { file, config })
    }

    /// What its chains are called, its component, and its configuration; if its lift can be rewritten, that form as
    /// well.
    pub(super) fn load(&self) -> Result<Vec<Guest>, Failure> {
        let component = Component::load(&self.file).map_err(Failure::wrong)?;
        let label = self.file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let guest = |label, component| Guest { label, component, config: self.config.clone() };
        let rewritten =
            component.relift().ok().map(|(rewritten, _)| guest(format!("{label}, rewritten"), rewritten));
        Ok([Some(guest(label, component)), rewritten].into_iter().flatten().collect())
    }
}

/// A middleware in the measured chains.
pub(super) struct Guest {
    pub label: String,
    pub component: Component,
    pub config: Vec<(String, String)>,
}

impl Guest {
    /// One of linkspan's own middleware.
    pub(super) fn plain(label: &str, component: Component) -> Self {
        Self { label: label.to_owned(), component, config: Vec::new() }
    }

    /// The scopes of `members`: the configuration is for this component.
    pub(super) fn scopes(&self, members: &[Member<'_>]) -> Result<Vec<Scope>, Failure> {
        let scope = |member: &Member<'_>| {
            let is_this = member.component.digest == self.component.digest;
            let stage = stage(member.index, if is_this { &self.config } else { &[] })?;
            let scope = StageScope::new(
                &stage,
                Counters::apart(Arc::new(Limiter::new(KeyBound::new(1_000)))),
                Vec::new(),
                Arc::default(),
            );
            Ok(Arc::new(scope.map_err(|(_, error)| Failure::system(error))?))
        };
        members.iter().map(scope).collect()
    }
}

fn stage(index: usize, config: &[(String, String)]) -> Result<Stage, Failure> {
    let span = Span::default();
    let name = |text: &str| Name::parse(text).map_err(|fault| Failure::wrong(fault.message));
    let value = |(key, text): &(String, String)| {
        (key.clone(), ConfigValue::new(text.clone(), ValueOrigin::Inline, span))
    };
    Ok(Stage {
        id: StageId { pipeline: name("bench")?, index, component: name("stage")? },
        component: ComponentIndex(0),
        config: config.iter().map(value).collect(),
        config_table: None,
        refused: false,
        grants: Grants { random: true, clocks: Clocks::Real, ..Grants::default() },
        grants_span: None,
        when: None,
        limits: StageLimits::default(),
        link: Link::Static,
        isolation: Isolation::default(),
        lift: Relift::AsIs,
        lift_span: None,
        on_failure: OnFailure::Fail,
        breaker: None,
        next: Vec::new(),
        component_span: span,
        span,
    })
}
