//! What the standard components do that judge, move and answer requests: each in both of its builds, in every kind of chain.

use crate::chain_test;
use crate::harness::{Answer, Chain, Client, Gateway, PROTOCOLS, Protocol, Setup, body, request, run};

/// A stage, and what comes of requests to it.
struct Case {
    component: &'static str,
    config: &'static str,
    asks: &'static [Ask],
}

/// A request, and what comes of it.
#[derive(Clone, Copy)]
struct Ask {
    method: &'static str,
    /// What follows the name of the pipeline.
    path: &'static str,
    fields: &'static [(&'static str, &'static str)],
    status: u16,
    /// Fields of the answer; empty for one that is not there.
    answer: &'static [(&'static str, &'static str)],
    /// The path that the service sees, where the request comes to it, and fields; empty for one that is not there.
    seen: &'static [(&'static str, &'static str)],
}

const fn get(path: &'static str, status: u16) -> Ask {
    ask("GET", path, &[], status)
}

const fn ask(method: &'static str, path: &'static str, fields: Fields, status: u16) -> Ask {
    Ask { method, path, fields, status, answer: &[], seen: &[] }
}

type Fields = &'static [(&'static str, &'static str)];

impl Ask {
    const fn answers(self, answer: Fields) -> Self {
        Self { answer, ..self }
    }

    const fn shows(self, seen: Fields) -> Self {
        Self { seen, ..self }
    }
}

/// `NAME` stands for the pipeline's name.
const CASES: &[Case] = &[
    Case {
        component: "ip",
        config: "allow = [\"127.0.0.0/8\", \"2001:db8::/32\"], deny = [\"127.0.0.1\"]",
        asks: &[
            get("", 403).answers(&[("content-type", "application/problem+json")]),
            // Nobody may say where they are.
            ask("GET", "", &[("x-real-ip", "127.0.0.2")], 403),
            ask("GET", "", &[("x-forwarded-for", "127.0.0.2")], 403),
        ],
    },
    Case {
        component: "ip",
        config: "allow = \"127.0.0.1\"",
        asks: &[get("", 200), ask("GET", "", &[("x-real-ip", "192.0.2.1")], 200)],
    },
    Case {
        component: "ip",
        config: "deny = \"192.0.2.0/24\", header = \"x-peer\"",
        asks: &[
            // Who is not known is not let in.
            get("", 403),
            ask("GET", "", &[("x-peer", "192.0.2.9")], 403),
            ask("GET", "", &[("x-peer", "::ffff:192.0.2.9")], 403),
            ask("GET", "", &[("x-peer", "198.51.100.1"), ("x-peer", "198.51.100.1")], 403),
            ask("GET", "", &[("x-peer", "198.51.100.1")], 200),
        ],
    },
    Case {
        component: "key-auth",
        // The hash of `abc`.
        config: "keys = { alice = \"sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\", bob = \"plain\" }",
        asks: &[
            get("", 401).answers(&[("www-authenticate", "Bearer realm=\"api\"")]),
            ask("GET", "", &[("x-api-key", "abc")], 200).shows(&[("x-consumer", "alice"), ("x-api-key", "")]),
            ask("GET", "", &[("authorization", "Bearer abc")], 200).shows(&[("x-consumer", "alice")]),
            ask("GET", "", &[("x-api-key", "plain")], 200).shows(&[("x-consumer", "bob")]),
            // Who knows the hash has no key.
            ask(
                "GET",
                "",
                &[("x-api-key", "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")],
                401,
            ),
        ],
    },
    Case {
        component: "redirect",
        config: "to = \"https://{host}:8443{path-and-query}\", status = 301",
        asks: &[get("/a?b=c", 301)
            .answers(&[("location", "https://localhost:8443/NAME/a?b=c"), ("content-length", "0")])],
    },
    Case {
        component: "redirect",
        config: "to = \"/NAME/new/{header.x-a}\"",
        asks: &[
            ask("POST", "/old", &[("x-a", "a/../b ?#")], 308)
                .answers(&[("location", "/NAME/new/a%2F..%2Fb%20%3F%23")]),
            // It is there already.
            ask("GET", "/new/b", &[("x-a", "b")], 200),
        ],
    },
    Case {
        component: "rewrite",
        config: "strip-prefix = \"/NAME\", replace = { \"/old/*\" = \"/new/*\" }, add-prefix = \"/v2\", original = \"x-original\"",
        asks: &[
            get("/old/a%20b?q=/NAME", 200)
                .shows(&[("path", "/v2/new/a%20b?q=/NAME"), ("x-original", "/NAME/old/a%20b?q=/NAME")]),
            get("", 200).shows(&[("path", "/v2/")]),
            get("//evil.example", 200).shows(&[("path", "/v2/evil.example")]),
            ask("GET", "/x", &[("x-original", "forged")], 200).shows(&[("x-original", "/NAME/x")]),
        ],
    },
    Case {
        component: "headers",
        config: "request-remove = [\"x-secret\"], request-set = { x-tenant = \"{header.x-a}\", x-path = \"{path}\" }, \
                 request-append = { x-many = \"2\" }, response-remove = [\"content-type\"], \
                 response-set = { x-served-by = \"{host} {method}\" }, response-default = { cache-control = \"no-store\" }",
        asks: &[
            ask(
                "GET",
                "/p?q",
                &[("x-secret", "s"), ("x-a", "acme"), ("x-tenant", "forged"), ("x-many", "1")],
                200,
            )
            .answers(&[("x-served-by", "localhost GET"), ("content-type", ""), ("cache-control", "no-store")])
            .shows(&[
                ("x-secret", ""),
                ("x-tenant", "acme"),
                ("x-path", "/NAME/p"),
                ("x-many", "1, 2"),
            ]),
            // What it can't be told is not what a client says.
            ask("GET", "", &[("x-tenant", "forged")], 200).shows(&[("x-tenant", "")]),
        ],
    },
    Case {
        component: "respond",
        config: "status = 418, body = \"short and stout\", fields = { x-a = \"b\" }",
        asks: &[
            get("", 418).answers(&[
                ("content-length", "15"),
                ("content-type", "text/plain; charset=utf-8"),
                ("x-a", "b"),
            ]),
            ask("HEAD", "", &[], 418).answers(&[("content-length", "15")]),
        ],
    },
    Case {
        component: "respond",
        config: "status = 204",
        asks: &[get("", 204).answers(&[("content-type", ""), ("content-length", "")])],
    },
    Case {
        component: "maintenance",
        config: "retry-after = \"2m\", allow = \"192.0.2.0/24\"",
        asks: &[
            get("", 503).answers(&[("retry-after", "120"), ("cache-control", "no-store")]),
            ask("GET", "", &[("x-real-ip", "192.0.2.1")], 503),
        ],
    },
    Case {
        component: "maintenance",
        config: "body = \"<p>Soon\", allow = \"127.0.0.1\"",
        asks: &[get("", 200)],
    },
    Case { component: "maintenance", config: "enabled = false", asks: &[get("", 200)] },
    Case {
        component: "csrf",
        config: "origins = \"https://app.example\"",
        asks: &[
            ask("GET", "", &[("sec-fetch-site", "cross-site")], 200),
            ask("POST", "", &[("sec-fetch-site", "cross-site")], 403),
            ask("DELETE", "", &[("sec-fetch-site", "same-site"), ("origin", "https://b.localhost")], 403),
            ask("POST", "", &[("sec-fetch-site", "cross-site"), ("origin", "https://app.example")], 200),
            ask("POST", "", &[("sec-fetch-site", "same-origin")], 200),
            ask("POST", "", &[("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")], 403),
            ask("POST", "", &[("origin", "null")], 403),
            ask("POST", "", &[("origin", "https://localhost.evil.example")], 403),
            ask("POST", "", &[], 200),
        ],
    },
];

/// The pipeline of a case, in one of its builds.
fn name(place: usize, suffix: &str) -> String {
    format!("{}-{place}{suffix}", CASES[place].component)
}

fn setup(chain: Chain) -> Setup {
    let pipeline = |(place, suffix): (usize, &str)| {
        let case = &CASES[place];
        let name = name(place, suffix);
        let config = format!("config = {{ {} }}", case.config.replace("NAME", &name));
        let (component, route) = (format!("{}{suffix}", case.component), format!("path = \"/{name}\""));
        match case.component {
            // A service.
            "respond" => chain.named(&name, &component).service_with(&config).route(&route),
            _ => chain.named(&name, "probe").stage_with(&component, &config).route(&route),
        }
    };
    Setup::of((0..CASES.len()).flat_map(|place| [(place, ""), (place, "-in-place")]).map(pipeline))
}

impl Ask {
    fn check(&self, answer: &Answer, name: &str) {
        let what = format!("{} {}{} {:?}", self.method, name, self.path, self.fields);
        assert_eq!(answer.status.as_u16(), self.status, "{what}: {answer:?}");
        for (field, value) in self.answer {
            let value = value.replace("NAME", name);
            assert_eq!(answer.header(field).unwrap_or_default(), value, "{what}: {field} of {answer:?}");
        }
        for (field, value) in self.seen {
            let (seen, value) = (answer.json(), value.replace("NAME", name));
            let found = match *field {
                "path" => seen["path"].as_str().unwrap().to_owned(),
                field => {
                    let values = seen["headers"].as_array().unwrap().iter().filter(|pair| pair[0] == field);
                    values.map(|pair| pair[1].as_str().unwrap()).collect::<Vec<_>>().join(", ")
                }
            };
            assert_eq!(found, value, "{what}: {field} of {seen}");
        }
    }
}

chain_test! {
    fn requests_are_judged_moved_and_answered(chain) {
        let gateway = Gateway::start(&setup(chain));
        run(async {
            for protocol in PROTOCOLS {
                let mut client = Client::connect(&gateway, protocol).await;
                for (place, suffix) in (0..CASES.len()).flat_map(|place| [(place, ""), (place, "-in-place")]) {
                    let name = name(place, suffix);
                    for ask in CASES[place].asks {
                        let path = format!("/{name}{}", ask.path.replace("NAME", &name));
                        let sent = request(ask.method.parse().unwrap(), &path, ask.fields, body::empty());
                        ask.check(&client.ask(sent).await, &name);
                    }
                }
            }
        });
        gateway.stop();
    }
}

/// One stage sends everybody to `https`, and nobody in a circle; a proxy that is believed says which of the two a client has,
/// and who the client is.
#[test]
fn the_gateway_s_word_counts() {
    let main = Chain { link: "static", front: &[] }.pipeline("hello");
    let main = main.stage_with("redirect", "config = { to = \"https://{host}{path-and-query}\" }");
    let main = main.stage_with("ip", "config = { deny = \"192.0.2.0/24\" }");
    let trusting = Setup::of([main.clone()]).more("[http]\ntrusted-proxies = [\"127.0.0.1\"]\n");
    for (setup, believes) in [(Setup::of([main]), false), (trusting, true)] {
        let gateway = Gateway::start(&setup);
        run(async {
            let mut plain = Client::connect(&gateway, Protocol::Http1).await;
            let answer = plain.get("/a?b", &[]).await;
            assert_eq!(
                (answer.status.as_u16(), answer.header("location")),
                (308, Some("https://localhost/a?b"))
            );
            let from_proxy = [("x-forwarded-proto", "https"), ("x-forwarded-for", "192.0.2.7")];
            let expected = if believes { [200, 403] } else { [308, 308] };
            for (fields, expected) in [(&from_proxy[..1], expected[0]), (&from_proxy, expected[1])] {
                assert_eq!(plain.get("/a?b", fields).await.status, expected, "{fields:?}");
            }
            let mut encrypted = Client::connect(&gateway, Protocol::Http1Tls).await;
            encrypted.get("/a?b", &[]).await.ok();
        });
        gateway.stop();
    }
}
