//! Whole configurations: the plans of good ones. The golden files in `tests/ui` have the diagnostics of bad ones.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::Method;

use super::policy::{EncodedSlash, ForwardedForm, PathRules, ProxyPlan, ProxyVersion, RequestIdPolicy};
use super::*;
use crate::config::keys::{self, Presence, Table};
use crate::config::{self, Keys as _};

/// A configuration with a key of every kind.
const FULL: &str = include_str!("tests/full.toml");

/// A folder with the files that the configurations here name; removed with everything in it at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("linkspan-plan-{}-{test}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        let folder = Folder(path);
        for name in ["hello.wasm", "cert.pem", "key.pem"] {
            folder.write(name, b"");
        }
        folder
    }

    fn write(&self, name: &str, content: &[u8]) {
        fs::write(self.0.join(name), content).unwrap();
    }

    fn parse(&self, text: &str) -> Result<(Plan, Diagnostics), Diagnostics> {
        let env = |name: &str| match name {
            "KEYS" => Some("hunter2".to_owned()),
            "TOKEN" => Some("hunter3".to_owned()),
            "ADMIN" => Some("hunter4-hunter4-hunter4".to_owned()),
            "LONG" => Some("x".repeat(ConfigValue::MAX_SIZE + 1)),
            _ => None,
        };
        let source = Arc::new(SourceFile::new(self.0.join("edge.toml"), text));
        let program = Program { natives: ["app".to_owned()].into(), ..Program::default() };
        let program = text.contains("native = ").then_some(&program);
        lower::lower(source, &Surroundings { env: &env, program })
    }

    /// The plan of a configuration whose service has the given keys besides its component.
    fn with_service(&self, keys: &str) -> Result<(Plan, Diagnostics), Diagnostics> {
        self.parse(&format!(
            r#"
            listeners = [{{ address = "127.0.0.1:0" }}]
            routes = [{{ pipeline = "edge" }}]
            components.hello.path = "hello.wasm"
            [pipelines.edge.service]
            component = "hello"
            {keys}
            "#
        ))
    }

    /// What the service is configured with, when `config` is its table.
    fn settings(&self, config: &str) -> Vec<(String, String)> {
        let (plan, _) = self.with_service(&format!("config = {config}")).unwrap();
        let pairs = plan.pipelines[0].service().unwrap().config.iter();
        pairs.map(|(key, value)| (key.clone(), value.expose().to_owned())).collect()
    }
}

/// Stages with the keys of a `when` each; with none where that is empty.
pub(super) fn stages_with(conditions: &[&str]) -> Vec<Stage> {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let stage = |keys: &&str| match *keys {
        "" => "{ component = \"hello\" }".to_owned(),
        keys => format!("{{ component = \"hello\", when = {{ {keys} }} }}"),
    };
    let stages: Vec<_> = conditions.iter().map(stage).collect();
    let text = format!(
        r#"
        listeners = [{{ address = "127.0.0.1:0" }}]
        routes = [{{ pipeline = "edge" }}]
        components.hello.path = "hello.wasm"
        [pipelines.edge]
        link = "dynamic"
        stages = [{}]
        service = {{ component = "hello" }}
        "#,
        stages.join(", ")
    );
    let folder = Folder::new(&format!("when-{}", NEXT.fetch_add(1, Ordering::Relaxed)));
    folder.parse(&text).unwrap().0.pipelines.remove(0).stages
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn every_key() {
    let folder = Folder::new("every-key");
    let (plan, warnings) = folder.parse(FULL).unwrap();
    let http = &plan.http;
    assert_eq!((http.forwarded, http.via.as_deref()), (ForwardedForm::Forwarded, Some("edge")));
    assert_eq!((http.request_id, http.make_traceparent), (RequestIdPolicy::Accept, true));
    assert_eq!(http.paths, PathRules { encoded_slash: EncodedSlash::Decode, merge_slashes: false });
    assert!(
        http.any_sni
            && http.keep_underscores
            && http.trusts("10.9.9.9".parse().unwrap())
            && !http.trusts("11.0.0.0".parse().unwrap())
    );
    let warnings: Vec<_> = warnings.sorted().iter().map(|warning| warning.message().to_owned()).collect();
    assert_eq!(warnings, ["`admin` is not used", "`listeners` is not used"]);
    assert_eq!(plan.workers.get(), 3);
    assert_eq!(plan.limits.header_size, 16 << 10);
    assert_eq!(plan.limits.half_close_timeout, Duration::from_secs(6));
    let admin = plan.admin.as_ref().unwrap();
    assert_eq!(admin.address.to_string(), "127.0.0.1:9180");
    assert_eq!(admin.token.as_ref().unwrap().expose(), "hunter4-hunter4-hunter4");
    let log = plan.access_log.as_ref().unwrap();
    assert_eq!((log.format, log.queue, log.query), (AccessFormat::Combined, 100, true));
    assert_eq!(log.path, Some(folder.0.join("access.log")));
    assert_eq!(plan.components[0].sha256, Some([1; 32]));
    assert_eq!(plan.components[1].path, folder.0.join("hello.wasm"));

    let pipeline = &plan.pipelines[0];
    assert_eq!(pipeline.limits.request_body, 5 << 20);
    let ids: Vec<String> = pipeline.all_stages().map(|stage| stage.id.to_string()).collect();
    assert_eq!(ids, ["edge/0:key-auth", "edge/1:hello"]);
    assert_eq!(pipeline.service().unwrap().component, ComponentIndex(0));
    assert_eq!(pipeline.service().unwrap().grants, Grants::default());
    let stage = &pipeline.stages[0];
    assert_eq!(stage.component, ComponentIndex(1));
    assert_eq!((stage.limits.memory, stage.limits.table_elements), (1 << 20, 5));
    assert_eq!(stage.limits.host_memory, 4 << 20);
    assert_eq!(stage.config[1].1.expose(), "hunter2");
    assert!(stage.grants.random && stage.grants.clocks == Clocks::Real && stage.grants.stdio);
    assert_eq!(stage.grants.env.as_ref().unwrap()[1].1.expose(), "hunter3");
    assert!(stage.grants.egress.allows("http", "a.example.com", 8080));
    assert!(!stage.grants.egress.allows("http", "api.example.com", 443));

    assert_eq!((stage.next[0].name.as_str(), stage.next[0].pipeline), ("stable", PipelineIndex(1)));
    assert_eq!(plan.pipelines[1].end, End::Native(Name::parse("app").unwrap()));
    assert_eq!(plan.called_first(), [PipelineIndex(1), PipelineIndex(0), PipelineIndex(2)]);
    assert_eq!(plan.pipelines[2].end, End::Upstream(UpstreamIndex(0)));
    let upstream = plan.upstream(UpstreamIndex(0));
    let servers: Vec<String> = upstream.servers.iter().map(ToString::to_string).collect();
    assert_eq!(servers, ["http://10.0.0.1:8080", "https://b.example"]);
    assert_eq!((upstream.protocol, upstream.balance), (UpstreamProtocol::Http1, Balance::LeastRequests));
    assert_eq!((&upstream.host, upstream.tls.name.as_deref()), (&HostPolicy::Upstream, Some("b.internal")));
    assert_eq!(upstream.tls.files().count(), 3);
    assert_eq!(upstream.health.as_ref().unwrap().status, Some(204));
    assert_eq!(upstream.retry, Retry { attempts: 2, budget: 30 });
    assert_eq!((upstream.limits.connections, upstream.limits.keep_alive), (5, 9));
    assert_eq!(plan.gateway.calls, 17);
    assert!(matches!(&plan.gateway.compile_cache, CompileCache::Folder(folder) if folder.ends_with("cache")));
    assert_eq!(plan.gateway.compile_cache_size, 2 << 20);

    let route = &plan.routes[0];
    assert_eq!(route.host, HostPattern::Suffix(".example.com".to_owned()));
    assert_eq!(route.methods.as_ref().unwrap()[0], Method::GET);
    assert_eq!((plan.routes[1].path.as_str(), &plan.routes[1].host), ("/", &HostPattern::Any));
}

#[test]
fn every_key_of_a_listener() {
    let folder = Folder::new("every-key-of-a-listener");
    let (plan, _) = folder.parse(FULL).unwrap();
    let proxy = ProxyPlan { version: ProxyVersion::Binary, timeout: Duration::from_secs(6) };
    assert_eq!((plan.listeners[0].proxy, plan.listeners[1].proxy), (None, Some(proxy)));
    assert_eq!(
        plan.listeners[0].tls.as_ref().unwrap().certificates[0].certificate.path,
        folder.0.join("cert.pem")
    );
    assert_eq!(plan.listeners[1].address.to_string(), "[::1]:0");
    let tls = plan.listeners[0].tls.as_ref().unwrap();
    let names: Vec<_> = tls.certificates[1].names.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["a.example", "*.b.example"]);
    assert!(tls.refuse_unknown_names && !tls.tls12 && !tls.resumption);
    assert_eq!((tls.alpn.join(" "), tls.cipher_suites.len()), ("http/1.1".to_owned(), 1));
    assert!(tls.client_auth.as_ref().unwrap().optional);
    assert_eq!(tls.files().count(), 8);
    assert_eq!((plan.listeners[0].redirect, plan.listeners[1].redirect), (None, Some(8443)));
}

#[test]
fn every_key_of_a_store() {
    let folder = Folder::new("every-key-of-a-store");
    let (plan, _) = folder.parse(FULL).unwrap();
    let stores = plan.pipelines[0].stages[0].grants.stores.as_ref().unwrap();
    assert_eq!(stores[1].kind, StoreKind::Memory { entries: 7 });
    let StoreKind::Redis(redis) = &stores[0].kind else { panic!("another kind") };
    assert!(redis.server.tls);
    assert_eq!((redis.server.host.to_string().as_str(), redis.server.port), ("redis.example.com", 7000));
    assert_eq!((redis.server.database, redis.prefix.as_str()), (3, "p:"));
    assert_eq!(redis.username.as_deref(), Some("edge"));
    assert_eq!(redis.password.as_ref().unwrap().expose(), "hunter4-hunter4-hunter4");
    let bounds = &redis.bounds;
    assert_eq!((bounds.timeout.as_millis(), bounds.connect_timeout.as_secs()), (20, 2));
    assert_eq!((bounds.retry_interval.as_secs(), bounds.retry_interval_max.as_secs()), (1, 30));
    assert_eq!((bounds.queue, bounds.batch, bounds.in_flight), (8, 9, 10));
    assert!(!format!("{plan:?}").contains("hunter4"), "a password is a secret");
}

#[test]
fn who_runs_the_gateway_sees_it() {
    let folder = Folder::new("operations");
    let with = |more: &str| folder.with_service(&format!("config = {{}}\n{more}"));
    let (plan, _) = with("[access-log]").unwrap();
    let log = plan.access_log.unwrap();
    assert_eq!((log.path, log.format, log.queue, log.query), (None, AccessFormat::Json, 8192, false));
    let (plan, _) = with("[admin]\naddress = \"[::ffff:127.0.0.1]:0\"").unwrap();
    assert_eq!((plan.admin.unwrap().token, plan.access_log), (None, None));
    folder.write("token", b"0123456789abcdef\n");
    let (plan, _) = with("[admin]\naddress = \"0.0.0.0:0\"\ntoken = { file = \"token\" }").unwrap();
    assert_eq!(plan.admin.unwrap().token.unwrap().expose(), "0123456789abcdef");
}

#[test]
fn spans_point_at_what_they_blame() {
    let (plan, _) = Folder::new("spans").parse(FULL).unwrap();
    let text = |span: Span| &FULL[span.start()..span.end()];
    let stage = &plan.pipelines[0].stages[0];
    assert_eq!(text(plan.listeners[0].span), "\"127.0.0.1:8443\"");
    assert_eq!(text(plan.listeners[0].tls.as_ref().unwrap().certificates[0].key.span), "\"key.pem\"");
    assert_eq!(text(plan.components[0].path_span), "\"hello.wasm\"");
    assert!(text(plan.components[0].sha256_span.unwrap()).starts_with("\"0101"));
    assert_eq!(text(plan.pipelines[0].span), "edge");
    assert_eq!(text(stage.component_span), "\"key-auth\"");
    assert_eq!(text(stage.span), "[[pipelines.edge.stages]]");
    assert_eq!(text(stage.grants_span.unwrap()), "[pipelines.edge.stages.grant]");
    assert_eq!(text(stage.config[1].1.span()), "{ env = \"KEYS\" }");
    assert_eq!(text(plan.routes[1].span), "[[routes]]");
}

#[test]
fn debug_shows_no_secret() {
    let folder = Folder::new("debug");
    let (plan, _) = folder.parse(FULL).unwrap();
    let shown = format!("{plan:?} {plan:#?}");
    assert!(shown.contains("x-api-key") && !shown.contains("hunter"), "{shown}");

    let with_error = FULL.replace("pipeline = \"edge\"", "pipeline = \"other\"");
    let diagnostics = folder.parse(&with_error).unwrap_err();
    let shown = format!("{diagnostics} {diagnostics:?} {}", diagnostics.to_json());
    assert!(!shown.contains("hunter"), "{shown}");
}

#[test]
fn settings_are_flattened_in_order() {
    let folder = Folder::new("settings");
    let pairs = folder.settings(
        "{ z = 'text', int = 0x1F, float = 1_000.5, no = false, day = 2024-05-27, list = [1, ['a', 'b'], { k = 2 }], \
         a.b.c = 'deep', none = [], nothing = {}, 'quoted key' = 1, mixed = { env = 'KEYS', other = 1 }, \
         number = { env = 5 }, secret = { env = 'KEYS' } }",
    );
    let expected = [
        ("z", "text"),
        ("int", "31"),
        ("float", "1000.5"),
        ("no", "false"),
        ("day", "2024-05-27"),
        ("list.0", "1"),
        ("list.1.0", "a"),
        ("list.1.1", "b"),
        ("list.2.k", "2"),
        ("a.b.c", "deep"),
        ("quoted key", "1"),
        ("mixed.env", "KEYS"),
        ("mixed.other", "1"),
        ("number.env", "5"),
        ("secret", "hunter2"),
    ];
    assert_eq!(pairs, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
    // The table itself is no reference.
    assert_eq!(folder.settings("{ env = 'KEYS' }"), [("env".to_owned(), "KEYS".to_owned())]);
}

#[test]
fn a_file_loses_one_line_feed() {
    let folder = Folder::new("files");
    for (content, expected) in
        [("a", "a"), ("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), ("\n", ""), ("", ""), ("a\r", "a\r")]
    {
        folder.write("value", content.as_bytes());
        assert_eq!(folder.settings("{ key = { file = 'value' } }")[0].1, expected, "{content:?}");
    }
}

#[test]
fn values_are_bounded() {
    let folder = Folder::new("bounds");
    let most = "x".repeat(ConfigValue::MAX_SIZE);
    folder.write("most", format!("{most}\r\n").as_bytes());
    assert_eq!(folder.settings("{ key = { file = 'most' } }")[0].1, most);
    let too_many: Vec<String> = (0..=Stage::MAX_VALUES).map(|index| format!("k{index} = 1")).collect();
    for config in [
        "{ key = { env = 'LONG' } }".to_owned(),
        format!("{{ key = '{most}x' }}"),
        format!("{{ {} = 1 }}", "k".repeat(257)),
        format!("{{ {} }}", too_many.join(", ")),
    ] {
        let result = folder.with_service(&format!("config = {config}"));
        let diagnostics = result.unwrap_err();
        assert_eq!(diagnostics.errors(), 1);
        assert!(diagnostics.to_string().len() < 3000, "long values are not repeated");
    }
}

#[test]
fn an_empty_environment_is_a_grant() {
    let folder = Folder::new("empty-environment");
    let env =
        |keys: &str| folder.with_service(keys).unwrap().0.pipelines[0].service().unwrap().grants.env.clone();
    assert_eq!(env("grant = { env = {} }"), Some(Vec::new()));
    assert_eq!(env("grant = {}"), None);
}

#[test]
fn defaults_are_the_documented_ones() {
    let gateway = GatewayLimits::default();
    assert_eq!((gateway.connections, gateway.header_size), (10_000, 64 << 10));
    assert_eq!(gateway.idle_timeout, Duration::from_secs(75));
    let pipeline = PipelineLimits::default();
    assert_eq!((pipeline.instances, pipeline.request_body, pipeline.lift_trial), (64, 64 << 20, 32));
    assert_eq!(pipeline.deadline, Duration::from_secs(30));
    let stage = StageLimits::default();
    assert_eq!((stage.memory, stage.table_elements, stage.host_memory), (64 << 20, 20_000, 32 << 20));
    assert_eq!((stage.egress_requests, stage.egress_connections), (256, 64));
    let upstream = UpstreamLimits::default();
    assert_eq!((upstream.connections, upstream.pending, upstream.keep_alive), (256, 1024, 32));
    assert!(upstream.response_timeout < pipeline.deadline, "a server that hangs is known for it");
}

/// What a diagnostic proposes is right itself.
#[test]
fn examples_and_defaults_are_good_values() {
    fn check(table: &'static Table) {
        for key in table.keys {
            let quoted = matches!(
                key.kind,
                keys::Kind::Size { .. } | keys::Kind::Duration { .. } | keys::Kind::Text(_)
            ) && key.presence == Presence::Default;
            let value = if quoted { format!("\"{}\"", key.example) } else { key.example.to_owned() };
            config::check_example(table, &format!("{} = {value}", key.name));
            match &key.kind {
                keys::Kind::Table(inner) | keys::Kind::Named { table: inner, .. } => check(inner),
                keys::Kind::List { item: keys::Kind::Table(inner), .. } => check(inner),
                _ => {}
            }
        }
    }
    check(keys::File::TABLE);
}

#[test]
fn references_to_refused_tables_are_not_called_unknown() {
    let folder = Folder::new("cascades");
    let diagnostics = folder
        .parse("listeners = [{ address = '127.0.0.1:0' }]\nroutes = [{ pipeline = 'edge' }]\npipelines = 1");
    assert_eq!(diagnostics.unwrap_err().errors(), 1);
}

#[test]
fn any_text_gives_a_plan_or_diagnostics() {
    let folder = Folder::new("cuts");
    for end in (0..FULL.len()).step_by(7) {
        let half = &FULL[..end];
        if let Err(diagnostics) = folder.parse(half) {
            // Warnings have their places among the errors.
            let text = diagnostics.to_string();
            assert!(diagnostics.has_errors() && text.contains("error: "), "{text}");
        }
        let without = format!("{half}{}", FULL.get(end + 3..).unwrap_or_default());
        let _ = folder.parse(&without).map_err(|diagnostics| diagnostics.to_string());
    }
}
