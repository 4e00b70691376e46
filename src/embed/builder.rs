//! Pipelines that are described in code become the equivalent TOML.

use super::BoxError;
use super::body::Body;
use super::description::{Description, SourceKind};
use super::gateway::Gateway;
use super::native::{INNER, native};
use super::service::{Layer, Service};
use crate::config::Diagnostics;
use crate::gateway::inputs::NativeService;
use crate::plan::Given;
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body as HttpBody;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use toml::{Table, Value};

/// The source of a component: a path, relative to the process's folder if it is not absolute, or bytes.
#[derive(Clone, Debug)]
pub struct Source(pub(super) SourceKind);

/// `From` for each type that is a path.
macro_rules! paths {
    ($($path:ty),*) => {$(
        impl From<$path> for Source {
            fn from(path: $path) -> Self {
                Self(SourceKind::File(path.into()))
            }
        }
    )*};
}
paths!(&str, String, &Path, PathBuf);

/// `From` for each type that is bytes.
macro_rules! bytes {
    ($($bytes:ty),*) => {$(
        impl From<$bytes> for Source {
            fn from(bytes: $bytes) -> Self {
                Self(SourceKind::Bytes(Given(bytes.into())))
            }
        }
    )*};
}
bytes!(Vec<u8>, &'static [u8], Arc<[u8]>);

/// The type of `include_bytes!`.
impl<const N: usize> From<&'static [u8; N]> for Source {
    fn from(bytes: &'static [u8; N]) -> Self {
        bytes.as_slice().into()
    }
}

/// A component at its place in a [`Pipeline`], as a table of the file's `stages`.
#[derive(Clone, Debug)]
pub struct Stage {
    name: String,
    source: Source,
    keys: Table,
    config: Vec<(String, String)>,
}

impl Stage {
    /// The component called `name`, in kebab case, from a path or from bytes.
    pub fn new(name: impl Into<String>, source: impl Into<Source>) -> Self {
        Self { name: name.into(), source: source.into(), keys: Table::new(), config: Vec::new() }
    }

    /// Sets a value of its configuration. Diagnostics don't show the value, as with secrets.
    #[must_use]
    pub fn config(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.config.push((key.into(), value.into()));
        self
    }

    /// Grants it something, by a key of `grant`: `.grant("random", true)`.
    #[must_use]
    pub fn grant(self, key: &str, value: impl Into<Value>) -> Self {
        self.set(&format!("grant.{key}"), value)
    }

    /// Sets a bound of one instance, by a key of the stage's `limits`: `.limit("memory", "16MiB")`.
    #[must_use]
    pub fn limit(self, key: &str, value: impl Into<Value>) -> Self {
        self.set(&format!("limits.{key}"), value)
    }

    /// Sets any other key; dots lead into tables: `.set("link", "dynamic")`, `.set("next.beta", "edge-next")`.
    #[must_use]
    pub fn set(mut self, key: &str, value: impl Into<Value>) -> Self {
        insert(&mut self.keys, key, value.into());
        self
    }
}

/// Puts a value under a dotted key, in place of an earlier one.
fn insert(table: &mut Table, key: &str, value: Value) {
    let Some((first, rest)) = key.split_once('.') else {
        table.insert(key.to_owned(), value);
        return;
    };
    let inner = table.entry(first).or_insert_with(|| Value::Table(Table::new()));
    if !inner.is_table() {
        *inner = Value::Table(Table::new());
    }
    if let Value::Table(inner) = inner {
        insert(inner, rest, value);
    }
}

/// A pipeline, as a table of the file's `pipelines`.
#[derive(Clone, Debug)]
pub struct Pipeline {
    name: String,
    keys: Table,
    stages: Vec<Stage>,
    service: Option<Stage>,
}

impl Pipeline {
    /// The pipeline called `name`, in kebab case, without stages yet.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), keys: Table::new(), stages: Vec::new(), service: None }
    }

    /// Adds a middleware behind those that it has.
    #[must_use]
    pub fn stage(mut self, stage: Stage) -> Self {
        self.stages.push(stage);
        self
    }

    /// Ends the pipeline in a component.
    #[must_use]
    pub fn service(mut self, service: Stage) -> Self {
        self.service = Some(service);
        self
    }

    /// Ends the pipeline in the service that the [`Gateway`] has under this name.
    #[must_use]
    pub fn native(self, name: &str) -> Self {
        self.set("native", name)
    }

    /// Sets a bound, by a key of the pipeline's `limits`: `.limit("deadline", "5s")`.
    #[must_use]
    pub fn limit(self, key: &str, value: impl Into<Value>) -> Self {
        self.set(&format!("limits.{key}"), value)
    }

    /// Sets any other key: `.set("link", "dynamic")`.
    #[must_use]
    pub fn set(mut self, key: &str, value: impl Into<Value>) -> Self {
        insert(&mut self.keys, key, value.into());
        self
    }

    /// Builds the pipeline in a [`Gateway`] of its own. This reads and compiles components, which may take seconds.
    ///
    /// # Errors
    /// Everything that is wrong with the pipeline.
    pub fn build(self) -> Result<Service, Diagnostics> {
        let name = self.name.clone();
        Ok(Gateway::builder().pipeline(self).build()?.named(&name))
    }

    /// Builds the pipeline as a layer, in a [`Gateway`] of its own: it ends in the service that is wrapped.
    ///
    /// # Errors
    /// Everything that is wrong with the pipeline.
    pub fn layer(self) -> Result<Layer, Diagnostics> {
        self.native(INNER).build().map(Layer)
    }

    /// Builds the pipeline around one service.
    ///
    /// # Errors
    /// Everything that is wrong with the pipeline.
    pub fn around<S, R>(self, service: S) -> Result<Service, Diagnostics>
    where
        S: tower_service::Service<Request<Body>, Response = Response<R>> + Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
        S::Error: Into<BoxError>,
        R: HttpBody<Data = Bytes> + Send + 'static,
        R::Error: Into<BoxError>,
    {
        self.layer().map(|layer| tower_layer::Layer::layer(&layer, service))
    }

    /// The pipeline's table; its components, values and services are added to `into`.
    fn describe(self, into: &mut Description) -> Table {
        let Self { name, mut keys, stages, service } = self;
        let mut number = 0;
        let mut stage = |stage: Stage, into: &mut Description| {
            number += 1;
            describe_stage(stage, &format!("{name}.{}", number - 1), into)
        };
        let stages: Vec<_> = stages.into_iter().map(|it| stage(it, into)).collect();
        if !stages.is_empty() {
            keys.insert("stages".to_owned(), Value::Array(stages));
        }
        if let Some(service) = service {
            let service = stage(service, into);
            keys.insert("service".to_owned(), service);
        }
        keys
    }
}

/// The table of a stage, in which its values stand by name only.
fn describe_stage(stage: Stage, place: &str, into: &mut Description) -> Value {
    let Stage { name, source, mut keys, config } = stage;
    let mut values = Table::new();
    for (key, value) in config {
        let variable = format!("{place}.{key}");
        values.insert(key, Value::Table(Table::from_iter([("env".to_owned(), variable.clone().into())])));
        into.values.insert(variable, value);
    }
    if !values.is_empty() {
        keys.insert("config".to_owned(), Value::Table(values));
    }
    keys.insert("component".to_owned(), name.clone().into());
    into.add(name, source.0);
    Value::Table(keys)
}

/// A [`Gateway`] before it is built.
#[derive(Default)]
pub struct GatewayBuilder {
    file: Option<PathBuf>,
    text: String,
    keys: Table,
    pipelines: Vec<Pipeline>,
    components: BTreeMap<String, Given>,
    natives: BTreeMap<String, NativeService>,
}

impl GatewayBuilder {
    /// The configuration in a file, which a reload reads again.
    #[must_use]
    pub fn file(mut self, path: impl Into<PathBuf>) -> Self {
        self.file = Some(path.into());
        self
    }

    /// The configuration in a text; its relative paths start from the process's folder.
    #[must_use]
    pub fn toml(mut self, text: impl Into<String>) -> Self {
        self.text = text.into();
        self
    }

    /// Adds a pipeline to those of the file or text. Its name, and those of its components, differ from theirs.
    #[must_use]
    pub fn pipeline(mut self, pipeline: Pipeline) -> Self {
        self.pipelines.push(pipeline);
        self
    }

    /// Sets the bytes of a component that the file or text names, in place of its file.
    #[must_use]
    pub fn component(mut self, name: impl Into<String>, bytes: impl Into<Arc<[u8]>>) -> Self {
        self.components.insert(name.into(), Given(bytes.into()));
        self
    }

    /// Adds a service in which pipelines may end: `native = "<name>"`.
    #[must_use]
    pub fn native<S, R>(mut self, name: impl Into<String>, service: S) -> Self
    where
        S: tower_service::Service<Request<Body>, Response = Response<R>> + Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
        S::Error: Into<BoxError>,
        R: HttpBody<Data = Bytes> + Send + 'static,
        R::Error: Into<BoxError>,
    {
        self.natives.insert(name.into(), NativeService::new(native(service)));
        self
    }

    /// Sets a key outside of pipelines that the file or text does not have: `.set("gateway.workers", 2)`.
    #[must_use]
    pub fn set(mut self, key: &str, value: impl Into<Value>) -> Self {
        insert(&mut self.keys, key, value.into());
        self
    }

    /// Builds everything and starts the workers. This reads and compiles components, which may take seconds.
    ///
    /// # Errors
    /// Everything that is wrong with the configuration; or that no thread can be started.
    pub fn build(self) -> Result<Gateway, Diagnostics> {
        Gateway::start(self.describe())
    }

    fn describe(self) -> Description {
        let Self { file, mut text, keys, pipelines, components, natives } = self;
        let mut into = Description::new(file, components, natives);
        let mut tables = vec![keys];
        for pipeline in pipelines {
            let name = pipeline.name.clone();
            tables.push(nested("pipelines", name, pipeline.describe(&mut into)));
        }
        tables.extend(into.paths().map(|(name, path)| {
            let path = Table::from_iter([("path".to_owned(), path.into())]);
            nested("components", name.to_owned(), path)
        }));
        // One after the other, so that the reader of the text finds a name that is given twice.
        for table in tables.iter().filter(|table| !table.is_empty()) {
            // Texts, numbers and tables can always be written.
            text = text + "\n" + &toml::to_string_pretty(table).unwrap_or_default();
        }
        into.text = text;
        into
    }
}

impl Gateway {
    /// The description of an empty gateway.
    ///
    /// ```no_run
    /// use linkspan::embed::{Gateway, Pipeline, Stage};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let gateway = Gateway::builder()
    ///     .file("linkspan.toml")
    ///     .pipeline(Pipeline::new("hello").service(Stage::new("hello", "hello.wasm")))
    ///     .build()?;
    /// let hello = gateway.service("hello").ok_or("just built")?;
    /// gateway.reload()?;
    /// # let _ = hello;
    /// # Ok(())
    /// # }
    /// ```
    pub fn builder() -> GatewayBuilder {
        GatewayBuilder::default()
    }

    /// Like [`Gateway::reload`], with another configuration from now on.
    ///
    /// # Errors
    /// Everything that is wrong. Then the live configuration stays, and a later reload reads the earlier one again.
    pub fn replace(&self, by: GatewayBuilder) -> Result<bool, Diagnostics> {
        self.redescribe(by.describe())
    }
}

/// `[first.second]`
fn nested(first: &str, second: String, table: Table) -> Table {
    let inner = Table::from_iter([(second, Value::Table(table))]);
    Table::from_iter([(first.to_owned(), Value::Table(inner))])
}
