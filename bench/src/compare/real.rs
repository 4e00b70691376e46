//! Five real middleware in Envoy: request id, security headers, CORS, key, rate limit. By its own filters, and as proxy-wasm
//! filters that do what the components of the same name do for a request that is admitted.

use super::configs::Filters;
use super::filter::{self, KEY};

/// The origin that CORS admits.
pub const ORIGIN: &str = "https://app.example";
/// Whom the key belongs to.
pub const CONSUMER: &str = "bench";
/// Requests that each consumer has in a second.
pub const RATE: u32 = 1_000_000;

/// How Envoy does it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Real {
    Native,
    Wasm,
}

/// The proxy-wasm filters, in the order in which requests pass them.
const FILES: [(&str, Work); 5] = [
    ("real-request-id.wasm", request_id),
    ("real-security-headers.wasm", security_headers),
    ("real-cors.wasm", cors),
    ("real-key-auth.wasm", key_auth),
    ("real-rate-limit.wasm", rate_limit),
];

/// What the components add to a response by default.
const SECURITY: [(&str, &str); 3] = [
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "strict-origin-when-cross-origin"),
];
const POLICY: (&str, &str) = (
    "content-security-policy",
    "default-src 'self'; object-src 'none'; base-uri 'self'; frame-ancestors 'none'",
);

impl Real {
    pub fn filters(self) -> Filters {
        match self {
            Self::Wasm => Filters::wasm(FILES.map(|(file, _)| file)),
            Self::Native => Filters {
                http: NATIVE
                    .replace("KEY", KEY)
                    .replace("CONSUMER", CONSUMER)
                    .replace("RATE", &RATE.to_string()),
                manager: "preserve_external_request_id: true\n          always_set_request_id_in_response: true",
                host: host(),
            },
        }
    }
}

/// The proxy-wasm filters as text, each for its file.
pub fn texts() -> impl Iterator<Item = (&'static str, String)> {
    FILES.into_iter().map(|(file, calls)| {
        let mut data = Data::default();
        let (request, response) = calls(&mut data);
        (file, filter::module(&data.text, &request, &response))
    })
}

/// Envoy's own filters for CORS, the key and the rate.
const NATIVE: &str = r#"
          - name: envoy.filters.http.cors
            typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors }
          - name: envoy.filters.http.api_key_auth
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.api_key_auth.v3.ApiKeyAuth
              credentials: [{ key: KEY, client: CONSUMER }]
              key_sources: [{ header: x-api-key }]
              forwarding: { header: x-consumer, hide_credentials: true }
          - name: envoy.filters.http.local_ratelimit
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit
              stat_prefix: rate
              token_bucket: { max_tokens: RATE, tokens_per_fill: RATE, fill_interval: 1s }
              filter_enabled: { default_value: { numerator: 100 } }
              filter_enforced: { default_value: { numerator: 100 } }
              enable_x_ratelimit_headers: DRAFT_VERSION_03"#;

/// The origins, and the fields that are added to each response.
fn host() -> String {
    let add = |(name, value): (&str, &str), how: &str| {
        format!("\n              - {{ header: {{ key: {name}, value: \"{value}\" }}, append_action: {how} }}")
    };
    let mut fields: String = SECURITY.map(|field| add(field, "OVERWRITE_IF_EXISTS_OR_ADD")).concat();
    fields += &add(POLICY, "ADD_IF_ABSENT");
    fields += &add(("vary", "origin"), "APPEND_IF_EXISTS_OR_ADD");
    format!(
        r#"
              typed_per_filter_config:
                envoy.filters.http.cors:
                  "@type": type.googleapis.com/envoy.extensions.filters.http.cors.v3.CorsPolicy
                  allow_origin_string_match: [{{ exact: "{ORIGIN}" }}]
              response_headers_to_add:{fields}"#
    )
}

/// What a filter does with the head of a request, and with that of a response.
type Calls = (String, String);

/// Makes it, and the texts that it needs.
type Work = fn(&mut Data) -> Calls;

/// Texts in a filter's memory.
#[derive(Default)]
struct Data {
    text: String,
    end: usize,
}

impl Data {
    /// Puts a text into the memory, and says where it is.
    fn place(&mut self, text: &str) -> usize {
        let at = filter::FREE_DATA + self.end;
        self.end += text.len();
        self.text += &format!("  (data (i32.const {at}) \"{}\")\n", text.replace('"', "\\22"));
        at
    }

    /// The place and the length of a text, as two constants.
    fn put(&mut self, text: &str) -> String {
        format!("(i32.const {}) (i32.const {})", self.place(text), text.len())
    }

    /// Reads a field; place and length of its value are then in the locals `at` and `length`, which are 0 without one.
    fn get(&mut self, map: u32, name: &str) -> String {
        let name = self.put(name);
        format!(
            "(i32.store (i32.const 120) (i32.const 0)) (i32.store (i32.const 124) (i32.const 0))
             (drop (call $get (i32.const {map}) {name} (i32.const 120) (i32.const 124)))
             (local.set $at (i32.load (i32.const 120))) (local.set $length (i32.load (i32.const 124)))\n"
        )
    }

    /// Sets or appends a field, with a value from the data or from elsewhere.
    fn put_field(&mut self, how: &str, map: u32, name: &str, value: &str) -> String {
        let name = self.put(name);
        format!("(drop (call ${how} (i32.const {map}) {name} {value}))\n")
    }

    fn field(&mut self, how: &str, map: u32, (name, value): (&str, &str)) -> String {
        let value = self.put(value);
        self.put_field(how, map, name, &value)
    }
}

const REQUEST: u32 = 0;
const RESPONSE: u32 = 2;
/// What `get` read.
const VALUE: &str = "(local.get $at) (local.get $length)";
/// Where what is kept of a request stands, behind a number.
const KEPT: &str = "(i32.add (local.get $slot) (i32.const 8))";

/// `calls`, and what they allocate is free afterwards. `$slot` is memory that is the request's own among those that are
/// under way, which are fewer than 64: at its response, a filter sees no more of the request than what it kept.
fn with_value(calls: &str) -> String {
    format!(
        "(local $free i32) (local $at i32) (local $length i32) (local $slot i32)
         (local.set $free (global.get $free))
         (local.set $slot (i32.add (i32.const 32768)
           (i32.shl (i32.and (local.get $request) (i32.const 63)) (i32.const 8))))
         {calls}
         (global.set $free (local.get $free))"
    )
}

/// What is not measured is an error, so that it is noticed.
fn unless(condition: &str) -> String {
    format!(
        "(if (i32.eqz {condition}) (then
           (drop (call $answer (i32.const 500) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
             (i32.const 0) (i32.const -1)))
           (return (i32.const 1))))\n"
    )
}

fn request_id(data: &mut Data) -> Calls {
    let request = data.get(REQUEST, "x-request-id")
        + &unless(&format!("(call $is-word {VALUE})"))
        + &format!("(i32.store (local.get $slot) (local.get $length)) (memory.copy {KEPT} {VALUE})");
    let kept = format!("{KEPT} (i32.load (local.get $slot))");
    let response = data.put_field("set", RESPONSE, "x-request-id", &kept);
    (with_value(&request), with_value(&response))
}

fn security_headers(data: &mut Data) -> Calls {
    let mut response: String = SECURITY.map(|field| data.field("set", RESPONSE, field)).concat();
    response += &data.get(RESPONSE, POLICY.0);
    let policy = data.field("add", RESPONSE, POLICY);
    response += &format!("(if (i32.eqz (local.get $length)) (then {policy}))");
    (String::new(), with_value(&response))
}

fn cors(data: &mut Data) -> Calls {
    let mut request = data.get(REQUEST, ":method");
    let options = data.put("OPTIONS");
    request += &unless(&format!("(i32.eqz (call $same {VALUE} {options}))"));
    request += &data.get(REQUEST, "origin");
    let admitted = data.put(ORIGIN);
    request += &format!("(i32.store (local.get $slot) (call $same {VALUE} {admitted}))");
    let mut response = data.field("add", RESPONSE, ("vary", "origin"));
    let allow = data.field("set", RESPONSE, ("access-control-allow-origin", ORIGIN));
    response += &format!("(if (i32.load (local.get $slot)) (then {allow}))");
    (with_value(&request), with_value(&response))
}

fn key_auth(data: &mut Data) -> Calls {
    let mut request = data.get(REQUEST, "x-api-key");
    let key = data.put(KEY);
    request += &unless(&format!("(call $same {VALUE} {key})"));
    request += &data.field("set", REQUEST, ("x-consumer", CONSUMER));
    let name = data.put("x-api-key");
    request += &format!("(drop (call $remove (i32.const {REQUEST}) {name}))");
    (with_value(&request), String::new())
}

/// The time at which all that was admitted has flowed off is in `$until`; a request adds its share of a second. There is
/// one consumer, and so one such time.
fn rate_limit(data: &mut Data) -> Calls {
    let consumer = data.get(REQUEST, "x-consumer");
    let known = data.put(CONSUMER);
    let share = 1_000_000_000 / RATE;
    let request = format!(
        "{consumer} {}
         (drop (call $now (i32.const 112)))
         (if (i64.lt_u (global.get $until) (i64.load (i32.const 112)))
           (then (global.set $until (i64.load (i32.const 112)))))
         (global.set $until (i64.add (global.get $until) (i64.const {share})))
         (i64.store (local.get $slot) (i64.div_s
           (i64.sub (i64.const 1000000000) (i64.sub (global.get $until) (i64.load (i32.const 112))))
           (i64.const {share})))
         {}",
        unless(&format!("(call $same {VALUE} {known})")),
        unless("(i64.ge_s (i64.load (local.get $slot)) (i64.const 0))"),
    );
    let policy = format!("\"default\";q={RATE};w=1");
    let mut response = data.field("set", RESPONSE, ("ratelimit-policy", &policy));
    // The number that is left stands behind this, and `;t=1` behind that.
    let start = "\"default\";r=";
    let at = data.place(&format!("{start}{:24}", ""));
    let number = at + start.len();
    let state = format!("(i32.const {at}) (i32.sub (local.get $length) (i32.const {at}))");
    response += &format!(
        "(local.set $length (call $decimal (i64.load (local.get $slot)) (i32.const {number})))
         (i32.store (local.get $length) (i32.const 0x313d743b))
         (local.set $length (i32.add (local.get $length) (i32.const 4)))
         {}",
        data.put_field("set", RESPONSE, "ratelimit", &state)
    );
    (with_value(&request), with_value(&response))
}
