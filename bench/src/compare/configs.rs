//! Configurations of the servers, each for the same work.

use crate::Result;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

/// The files of the certificate and the key, in the folder of a run; the last one has both.
pub const CERTIFICATE: &str = "cert.pem";
pub const KEY: &str = "key.pem";
pub const BOTH: &str = "both.pem";

/// A middleware in linkspan's configuration.
#[derive(Clone, Debug)]
pub struct Stage {
    pub component: &'static str,
    /// Further keys, as TOML.
    pub keys: String,
}

impl Stage {
    /// A component without further keys, `count` times.
    pub fn times(component: &'static str, count: usize) -> Vec<Self> {
        vec![Self { component, keys: String::new() }; count]
    }
}

/// The name of the server behind a proxy.
const NEXT: &str = "next";

/// A pipeline of linkspan's.
#[derive(Clone, Debug)]
pub struct Chain {
    pub stages: Vec<Stage>,
    /// Without one, the pipeline ends in the upstream [`NEXT`].
    pub service: Option<&'static str>,
    /// Keys of the pipeline, as TOML.
    pub keys: String,
    /// Further keys of the service, as TOML.
    pub service_keys: String,
    /// Tables beside the pipeline, as TOML.
    pub beside: String,
}

impl Chain {
    pub fn new(stages: Vec<Stage>, service: &'static str) -> Self {
        Self { service: Some(service), ..Self::proxy(stages) }
    }

    /// In front of another server.
    pub fn proxy(stages: Vec<Stage>) -> Self {
        let nothing = String::new;
        Self { stages, service: None, keys: nothing(), service_keys: nothing(), beside: nothing() }
    }

    pub fn with(mut self, keys: &str) -> Self {
        let _ = writeln!(self.keys, "{keys}");
        self
    }

    pub fn service_with(mut self, keys: &str) -> Self {
        self.service_keys.push_str(keys);
        self
    }

    pub fn beside(mut self, tables: &str) -> Self {
        self.beside.push_str(tables);
        self
    }

    /// The pipeline, under this name.
    pub fn write(&self, name: &str) -> String {
        let stages: Vec<_> = self
            .stages
            .iter()
            .map(|Stage { component, keys }| format!("  {{ component = \"{component}\"{keys} }},\n"))
            .collect();
        let Self { keys, service_keys, .. } = self;
        let end = match self.service {
            Some(service) => format!("service = {{ component = \"{service}\"{service_keys} }}"),
            None => format!("upstream = \"{NEXT}\""),
        };
        format!("[pipelines.{name}]\n{keys}stages = [\n{}]\n{end}\n\n", stages.concat())
    }
}

/// The components that chains use.
pub fn components<'a>(chains: impl IntoIterator<Item = &'a Chain>, folder: &Path) -> String {
    let used = |chain: &'a Chain| chain.stages.iter().map(|stage| stage.component).chain(chain.service);
    let mut names: Vec<_> = chains.into_iter().flat_map(used).collect();
    names.sort_unstable();
    names.dedup();
    let lines = names.iter().map(|name| format!("{name}.path = {:?}\n", folder.join(format!("{name}.wasm"))));
    format!("[components]\n{}\n", lines.collect::<String>())
}

/// The address of a server, and of the one behind it.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub address: SocketAddr,
    pub behind: Option<SocketAddr>,
    pub tls: bool,
}

/// linkspan with one worker and one pipeline.
pub fn linkspan(chain: &Chain, components_folder: &Path, Place { address, behind, tls }: Place) -> String {
    let tls = match tls {
        true => format!("tls = {{ certificate = \"{CERTIFICATE}\", key = \"{KEY}\" }}\n"),
        false => String::new(),
    };
    let upstream = match (chain.service, behind) {
        (None, Some(behind)) => format!(
            "[upstreams.{NEXT}]\nservers = [\"http://{behind}\"]\nlimits = {{ keep-alive = 128 }}\n\n"
        ),
        _ => String::new(),
    };
    format!(
        "[gateway]\nworkers = 1\nwatch = \"0s\"\n\n[[listeners]]\naddress = \"{address}\"\n{tls}\n{}{upstream}{}\n\
         [[routes]]\npipeline = \"main\"\n\n{}",
        components([chain], components_folder),
        chain.write("main"),
        chain.beside,
    )
}

/// Makes `linkspan compose` write the pipeline of its configuration as a component for other hosts.
pub fn portable(compose: &mut Command, output: &Path) -> Result<()> {
    let composed = compose.args(["--portable", "--pipeline", "main", "--output"]).arg(output).output()?;
    if composed.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&composed.stderr).into_owned().into())
}

/// `wasmtime serve` with a component.
pub fn wasmtime(program: &Path, address: SocketAddr, component: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(["serve", "-S", "cli,http,p3,config", "-W", "component-model-async"]);
    command.args(arguments).arg("--addr").arg(address.to_string()).arg(component);
    command
}

/// The response of a server without WebAssembly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// 200, no body.
    Empty,
    /// The response of the service `hello`.
    Hello,
    /// The response of the server behind it.
    Behind,
}

/// As configurations spell it.
pub const HELLO: &str = "Hello!\\n";
const TEXT: &str = "text/plain; charset=utf-8";

/// TLS of Envoy.
const TRANSPORT: &str = r#"
      transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          common_tls_context:
            alpn_protocols: [h2, http/1.1]
            tls_certificates:
            - { certificate_chain: { filename: CERTIFICATE }, private_key: { filename: KEY } }"#;

/// The server behind Envoy.
fn cluster(behind: SocketAddr) -> String {
    format!(
        r#"  clusters:
  - name: {NEXT}
    type: STATIC
    connect_timeout: 5s
    load_assignment:
      cluster_name: {NEXT}
      endpoints:
      - lb_endpoints:
        - endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {} }} }} }}
"#,
        behind.port()
    )
}

/// What stands in front of Envoy's router, as YAML.
pub struct Filters {
    pub http: String,
    /// Keys of the connection manager.
    pub manager: &'static str,
    /// Keys of the virtual host.
    pub host: String,
}

impl Filters {
    /// The proxy-wasm filters in these files.
    pub fn wasm(files: impl IntoIterator<Item = &'static str>) -> Self {
        let filter = |(at, file)| {
            format!(
                r#"
          - name: filter-{at}
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm
              config:
                name: filter-{at}
                root_id: filter-{at}
                vm_config: {{ vm_id: filter, runtime: envoy.wasm.runtime.v8, code: {{ local: {{ filename: {file} }} }} }}"#
            )
        };
        let http = files.into_iter().enumerate().map(filter).collect();
        Self { http, manager: "generate_request_id: false", host: String::new() }
    }
}

/// Envoy with these filters.
pub fn envoy(answer: Answer, Filters { http, manager, host }: &Filters, place: Place) -> String {
    let Place { address, behind, tls } = place;
    let own = "direct_response: { status: 200";
    let route = match answer {
        Answer::Empty => format!("{own} }}"),
        Answer::Hello => format!(
            "{own}, body: {{ inline_string: \"{HELLO}\" }} }}\n                response_headers_to_add:\n                \
             - {{ header: {{ key: content-type, value: \"{TEXT}\" }}, append_action: OVERWRITE_IF_EXISTS_OR_ADD }}"
        ),
        Answer::Behind => format!("route: {{ cluster: {NEXT} }}"),
    };
    let clusters = behind.filter(|_| answer == Answer::Behind).map_or_else(String::new, cluster);
    let transport =
        if tls { TRANSPORT.replace("CERTIFICATE", CERTIFICATE).replace("KEY", KEY) } else { String::new() };
    format!(
        r#"static_resources:
  listeners:
  - address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: bench
          codec_type: AUTO
          {manager}
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]{host}
              routes:
              - match: {{ prefix: "/" }}
                {route}
          http_filters:{http}
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
              suppress_envoy_headers: true{transport}
{clusters}"#,
        port = address.port(),
    )
}

/// nginx with an answer of its own, or in front of another server.
pub fn nginx(answer: Answer, Place { address, behind, tls }: Place) -> String {
    let location = match answer {
        Answer::Behind => format!(
            "proxy_pass http://{NEXT}; proxy_http_version 1.1; proxy_set_header connection \"\"; \
             proxy_set_header host $http_host;"
        ),
        Answer::Empty => "return 200;".to_owned(),
        Answer::Hello => format!("default_type \"{TEXT}\"; return 200 \"{HELLO}\";"),
    };
    let upstream = behind.filter(|_| answer == Answer::Behind).map_or_else(String::new, |next| {
        format!("  upstream {NEXT} {{ server {next}; keepalive 128; keepalive_requests 100000000; }}\n")
    });
    let tls = match tls {
        true => format!(" ssl http2; ssl_certificate {CERTIFICATE}; ssl_certificate_key {KEY}"),
        false => String::new(),
    };
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|name| format!("  {name}_temp_path temp-{name};\n"))
        .collect();
    format!(
        "daemon off;\nmaster_process off;\nworker_processes 1;\npid nginx.pid;\nerror_log stderr warn;\n\
         events {{ worker_connections 20000; }}\nhttp {{\n  access_log off;\n  keepalive_requests 100000000;\n\
         {temporary}{upstream}  server {{\n    listen {address}{tls};\n    location / {{ {location} }}\n  }}\n}}\n"
    )
}

/// HAProxy with an answer of its own, or in front of another server.
pub fn haproxy(answer: Answer, Place { address, behind, tls }: Place) -> String {
    let answer = match (answer, behind) {
        (Answer::Behind, Some(next)) => {
            format!("default_backend {NEXT}\nbackend {NEXT}\n  http-reuse always\n  server {NEXT} {next}")
        }
        (Answer::Hello, _) => {
            format!("http-request return status 200 content-type \"{TEXT}\" lf-string \"{HELLO}\"")
        }
        _ => "http-request return status 200".to_owned(),
    };
    let tls = if tls { format!(" ssl crt {BOTH} alpn h2,http/1.1") } else { String::new() };
    format!(
        "global\n  nbthread 1\n  maxconn 2000\ndefaults\n  mode http\n  timeout client 60s\n  timeout server 60s\n  \
         timeout connect 5s\nfrontend main\n  bind {address}{tls}\n  {answer}\n"
    )
}
