//! Configurations, written as TOML into a folder of their own.

use super::tls;
use std::fmt::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// The folder of the repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The file of the component `name`.
pub fn dist(name: &str) -> PathBuf {
    let folder = repository().join("components/dist");
    assert!(folder.is_dir(), "{} is missing: run cargo xtask components", folder.display());
    let file = folder.join(format!("{name}.wasm"));
    assert!(file.is_file(), "{} is missing: run cargo xtask components", file.display());
    file
}

/// Whether a component is there that not every machine can build.
pub fn there(name: &str) -> bool {
    let there = repository().join(format!("components/dist/{name}.wasm")).is_file();
    if !there {
        eprintln!("SKIPPED: {name} could not be built on this machine");
    }
    there
}

/// An address where nobody listens. Its port is none of those that the system gives out, so that no other test is given
/// it before somebody listens there.
pub fn free() -> SocketAddr {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let first = usize::try_from(std::process::id()).unwrap() * 101;
    loop {
        let port = 10_000 + (first + NEXT.fetch_add(1, Ordering::Relaxed)) % 20_000;
        let address = SocketAddr::from(([127, 0, 0, 1], port.try_into().unwrap()));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

/// A folder that is removed with its content.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let unique = format!("linkspan-it-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(unique);
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file and returns its path.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, content).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What stays behind is in the system's temporary folder.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What a stage's component needs to be granted, for those of `components/`.
fn grants(component: &str) -> &'static str {
    match component {
        "fault-middleware" | "fault-middleware-sync" | "fault-service" | "fault-service-sync" => {
            "clocks = true"
        }
        "ab-router" | "request-id" => "random = true",
        "print" => "stdio = true",
        "probe-0-2" | "service-0-2" => "clocks = true, random = true",
        "probe" | "probe-middleware" => "env = {}",
        _ => "",
    }
}

/// A pipeline and the route to it.
#[derive(Clone, Debug)]
pub struct Pipeline {
    name: String,
    link: String,
    isolation: &'static str,
    form: &'static str,
    stages: Vec<(String, String)>,
    service: (String, String),
    limits: Vec<String>,
    routes: Vec<String>,
}

impl Pipeline {
    /// A pipeline that ends in the component `service` and serves every request.
    pub fn new(name: &str, service: &str) -> Self {
        Self {
            name: name.to_owned(),
            link: "static".to_owned(),
            isolation: "reuse",
            form: "auto",
            stages: Vec::new(),
            service: (service.to_owned(), String::new()),
            limits: Vec::new(),
            routes: Vec::new(),
        }
    }

    pub fn link(mut self, link: &str) -> Self {
        self.link = link.to_owned();
        self
    }

    /// A fresh instance for every request.
    pub fn isolated(mut self) -> Self {
        self.isolation = "request";
        self
    }

    /// The form of its segments.
    pub fn form(mut self, form: &'static str) -> Self {
        self.form = form;
        self
    }

    /// One more middleware, behind those that are there.
    pub fn stage(self, component: &str) -> Self {
        self.stage_with(component, "")
    }

    /// One more middleware, with further keys as TOML.
    pub fn stage_with(mut self, component: &str, keys: &str) -> Self {
        self.stages.push((component.to_owned(), keys.to_owned()));
        self
    }

    /// Further keys of the service.
    pub fn service_with(mut self, keys: &str) -> Self {
        self.service.1 = keys.to_owned();
        self
    }

    /// A line of the pipeline's `limits`.
    pub fn limit(mut self, line: &str) -> Self {
        self.limits.push(line.to_owned());
        self
    }

    /// A route to it instead of that for every request: its keys as TOML.
    pub fn route(mut self, keys: &str) -> Self {
        self.routes.push(keys.to_owned());
        self
    }

    fn components(&self) -> impl Iterator<Item = &str> {
        self.stages.iter().chain([&self.service]).map(|(component, _)| component.as_str())
    }

    fn write(&self, toml: &mut String) -> std::fmt::Result {
        let Self { name, link, isolation, form, stages, service, limits, routes } = self;
        writeln!(
            toml,
            "\n[pipelines.{name}]\nlink = \"{link}\"\nisolation = \"{isolation}\"\nform = \"{form}\"\n\n\
             [pipelines.{name}.limits]\n{}",
            limits.join("\n")
        )?;
        let stages = stages.iter().map(|stage| (format!("[[pipelines.{name}.stages]]"), stage));
        for (title, (component, keys)) in stages.chain([(format!("[pipelines.{name}.service]"), service)]) {
            writeln!(toml, "\n{title}\ncomponent = \"{component}\"\n{keys}")?;
            if !grants(component).is_empty() && !keys.contains("grant") {
                writeln!(toml, "grant = {{ {} }}", grants(component))?;
            }
        }
        if routes.is_empty() {
            writeln!(toml, "\n[[routes]]\npipeline = \"{name}\"")?;
        }
        for keys in routes {
            writeln!(toml, "\n[[routes]]\npipeline = \"{name}\"\n{keys}")?;
        }
        Ok(())
    }
}

/// A configuration: a plain listener, one with TLS, and pipelines.
#[derive(Clone, Debug)]
pub struct Setup {
    workers: usize,
    limits: Vec<String>,
    /// Further keys of the plain listener, and of the other one's `tls`.
    listener: String,
    tls: String,
    files: Vec<(String, String)>,
    pipelines: Vec<Pipeline>,
    more: String,
    log: String,
    environment: Vec<(String, String)>,
}

impl Setup {
    pub fn of(pipelines: impl IntoIterator<Item = Pipeline>) -> Self {
        Self {
            workers: 1,
            limits: Vec::new(),
            listener: String::new(),
            tls: String::new(),
            files: Vec::new(),
            pipelines: pipelines.into_iter().collect(),
            more: String::new(),
            log: "info".to_owned(),
            environment: Vec::new(),
        }
    }

    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// Lines of the plain listener.
    pub fn listener(mut self, keys: &str) -> Self {
        keys.clone_into(&mut self.listener);
        self
    }

    /// Keys of `tls`, one after the other with commas.
    pub fn tls(mut self, keys: &str) -> Self {
        self.tls = format!(", {keys}");
        self
    }

    /// A text file beside the configuration.
    pub fn file(mut self, name: &str, text: &str) -> Self {
        self.files.push((name.to_owned(), text.to_owned()));
        self
    }

    /// A line of the gateway's `limits`.
    pub fn limit(mut self, line: &str) -> Self {
        self.limits.push(line.to_owned());
        self
    }

    /// A line of the limits of every pipeline.
    pub fn each(mut self, line: &str) -> Self {
        self.pipelines = self.pipelines.into_iter().map(|pipeline| pipeline.limit(line)).collect();
        self
    }

    /// Further tables.
    pub fn more(mut self, tables: &str) -> Self {
        self.more += tables;
        self
    }

    /// What `LINKSPAN_LOG` says; the address must be in it.
    pub fn log(mut self, filter: &str) -> Self {
        self.log = format!("linkspan::server=info,{filter}");
        self
    }

    /// A variable of the gateway's environment.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The environment of the process.
    pub fn environment(&self) -> impl Iterator<Item = (&str, &str)> {
        let environment = self.environment.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        environment.chain([("LINKSPAN_LOG", self.log.as_str())])
    }

    /// Writes the file, and the certificate that it names, into `folder`.
    pub fn write(&self, folder: &Folder) -> PathBuf {
        let identity = tls::identity();
        folder.write("cert.pem", &identity.certificate);
        folder.write("key.pem", &identity.key);
        for (name, text) in &self.files {
            folder.write(name, text);
        }
        folder.write("linkspan.toml", self.toml())
    }

    fn toml(&self) -> String {
        let mut toml = format!(
            "[gateway]\nworkers = {}\n\n[limits]\n{}\n\n[[listeners]]\naddress = \"127.0.0.1:0\"\n{}\n\n[[listeners]]\n\
             address = \"127.0.0.1:0\"\ntls = {{ certificate = \"cert.pem\", key = \"key.pem\"{} }}\n\n[components]\n",
            self.workers,
            self.limits.join("\n"),
            self.listener,
            self.tls,
        );
        let mut components: Vec<_> = self.pipelines.iter().flat_map(Pipeline::components).collect();
        components.sort_unstable();
        components.dedup();
        for component in components {
            writeln!(toml, "{component}.path = {:?}", dist(component)).unwrap();
        }
        for pipeline in &self.pipelines {
            pipeline.write(&mut toml).unwrap();
        }
        toml.push('\n');
        toml += &self.more;
        toml
    }
}
