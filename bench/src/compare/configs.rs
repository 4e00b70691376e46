//! Configurations of the servers, each for the same work.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

/// Where certificate and key are, in the folder of a run; the last one has both.
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

/// A pipeline of linkspan's.
#[derive(Clone, Debug)]
pub struct Chain {
    pub stages: Vec<Stage>,
    pub service: &'static str,
    /// Keys of the pipeline, as TOML.
    pub keys: String,
    /// Further keys of the service, as TOML.
    pub service_keys: String,
}

impl Chain {
    pub fn new(stages: Vec<Stage>, service: &'static str) -> Self {
        Self { stages, service, keys: String::new(), service_keys: String::new() }
    }

    pub fn with(mut self, keys: &str) -> Self {
        let _ = writeln!(self.keys, "{keys}");
        self
    }

    pub fn service_with(mut self, keys: &str) -> Self {
        self.service_keys.push_str(keys);
        self
    }

    /// The pipeline, under this name.
    pub fn write(&self, name: &str) -> String {
        let stages: Vec<_> = self
            .stages
            .iter()
            .map(|Stage { component, keys }| format!("  {{ component = \"{component}\"{keys} }},\n"))
            .collect();
        let Self { keys, service, service_keys, .. } = self;
        format!(
            "[pipelines.{name}]\n{keys}stages = [\n{}]\nservice = {{ component = \"{service}\"{service_keys} }}\n\n",
            stages.concat()
        )
    }
}

/// The components that chains use.
pub fn components<'a>(chains: impl IntoIterator<Item = &'a Chain>, folder: &Path) -> String {
    let used = |chain: &'a Chain| chain.stages.iter().map(|stage| stage.component).chain([chain.service]);
    let mut names: Vec<_> = chains.into_iter().flat_map(used).collect();
    names.sort_unstable();
    names.dedup();
    let lines = names.iter().map(|name| format!("{name}.path = {:?}\n", folder.join(format!("{name}.wasm"))));
    format!("[components]\n{}\n", lines.collect::<String>())
}

/// linkspan with one worker and one pipeline.
pub fn linkspan(chain: &Chain, components_folder: &Path, address: SocketAddr, tls: bool) -> String {
    let tls = match tls {
        true => format!("tls = {{ certificate = \"{CERTIFICATE}\", key = \"{KEY}\" }}\n"),
        false => String::new(),
    };
    format!(
        "[gateway]\nworkers = 1\nwatch = \"0s\"\n\n[[listeners]]\naddress = \"{address}\"\n{tls}\n{}{}\n[[routes]]\n\
         pipeline = \"main\"\n",
        components([chain], components_folder),
        chain.write("main"),
    )
}

/// A filter of proxy-wasm's ABI 0.2.1 that has all calls of a filter which looks at heads, and does nothing in them.
pub const NO_OP_FILTER: &str = r#"
(module
  (memory (export "memory") 1)
  (global $free (mut i32) (i32.const 1024))
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "_initialize"))
  (func (export "proxy_on_memory_allocate") (param $size i32) (result i32)
    (local $at i32)
    (local.set $at (global.get $free))
    (global.set $free (i32.add (global.get $free) (local.get $size)))
    (local.get $at))
  (func (export "proxy_on_vm_start") (param i32 i32) (result i32) (i32.const 1))
  (func (export "proxy_on_configure") (param i32 i32) (result i32) (i32.const 1))
  (func (export "proxy_on_context_create") (param i32 i32))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 0))
  (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32) (i32.const 0))
  (func (export "proxy_on_done") (param i32) (result i32) (i32.const 1))
  (func (export "proxy_on_log") (param i32))
  (func (export "proxy_on_delete") (param i32)))
"#;

/// The name of the compiled filter in the folder of a run.
pub const FILTER: &str = "no-op.wasm";

/// What a server without WebAssembly answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// 200, no body.
    Empty,
    /// What the service `hello` answers.
    Hello,
}

const HELLO: &str = "Hello!\\n";
const TEXT: &str = "text/plain; charset=utf-8";

/// Envoy with so many no-op filters in front of an answer of its own.
pub fn envoy(answer: Answer, filters: usize, address: SocketAddr, tls: bool) -> String {
    let wasm: String = (0..filters)
        .map(|at| {
            format!(
                r#"
          - name: no-op-{at}
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm
              config:
                name: no-op-{at}
                root_id: no-op-{at}
                vm_config: {{ vm_id: no-op, runtime: envoy.wasm.runtime.v8, code: {{ local: {{ filename: {FILTER} }} }} }}"#
            )
        })
        .collect();
    let (body, fields) = match answer {
        Answer::Empty => (String::new(), String::new()),
        Answer::Hello => (
            format!(", body: {{ inline_string: \"{HELLO}\" }}"),
            format!(
                "\n                response_headers_to_add:\n                - {{ header: {{ key: content-type, value: \"{TEXT}\" }}, \
                 append_action: OVERWRITE_IF_EXISTS_OR_ADD }}"
            ),
        ),
    };
    let transport = match tls {
        false => String::new(),
        true => format!(
            r#"
      transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          common_tls_context:
            alpn_protocols: [h2, http/1.1]
            tls_certificates:
            - {{ certificate_chain: {{ filename: {CERTIFICATE} }}, private_key: {{ filename: {KEY} }} }}"#
        ),
    };
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
          generate_request_id: false
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: {{ prefix: "/" }}
                direct_response: {{ status: 200{body} }}{fields}
          http_filters:{wasm}
          - name: envoy.filters.http.router
            typed_config: {{ "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }}{transport}
"#,
        port = address.port(),
    )
}

/// nginx with an answer of its own, or in front of another server.
pub fn nginx(answer: Answer, behind: Option<SocketAddr>, address: SocketAddr, tls: bool) -> String {
    let location = match (behind, answer) {
        (Some(_), _) => {
            "proxy_pass http://next; proxy_http_version 1.1; proxy_set_header connection \"\";".to_owned()
        }
        (None, Answer::Empty) => "return 200;".to_owned(),
        (None, Answer::Hello) => format!("default_type \"{TEXT}\"; return 200 \"{HELLO}\";"),
    };
    let upstream = behind.map_or_else(String::new, |next| {
        format!("  upstream next {{ server {next}; keepalive 128; keepalive_requests 100000000; }}\n")
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

/// HAProxy with an answer of its own.
pub fn haproxy(answer: Answer, address: SocketAddr, tls: bool) -> String {
    let body = match answer {
        Answer::Empty => String::new(),
        Answer::Hello => format!(" content-type \"{TEXT}\" lf-string \"{HELLO}\""),
    };
    let tls = if tls { format!(" ssl crt {BOTH} alpn h2,http/1.1") } else { String::new() };
    format!(
        "global\n  nbthread 1\n  maxconn 20000\ndefaults\n  mode http\n  timeout client 60s\n  timeout server 60s\n  \
         timeout connect 5s\nfrontend main\n  bind {address}{tls}\n  http-request return status 200{body}\n"
    )
}
