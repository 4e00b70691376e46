//! `docs/middleware.md` is what the schemas of the middleware say. `BLESS=1` writes it.

use crate::harness::{dist, repository};
use linkspan::component::{Component, Schema};
use linkspan::standard;
use std::fmt::Write as _;
use std::fs;

const HEAD: &str = "# Middleware

This page lists the bundled middleware and the keys of their configuration. `linkspan check` reports mistakes in a
configuration, and `linkspan inspect` shows the same keys of any component that carries a
[schema](stage-interface.md#the-schema). The sources, [components/middleware](../components/middleware), describe the
behaviour.

linkspan brings them: a stage has one by its name after `std:`, without a file. The keys belong into the stage's `config`:

```toml
[pipelines.edge]
stages = [{ component = \"std:rate-limit\", config = { rate = \"10/s\" } }]
```

`linkspan std list` lists them, `linkspan std show NAME` shows the keys of one, the grants that it needs, and an example.
`std:rate-limit@1` names the major version of its keys and behaviour, which later versions of linkspan keep.
[pipelines/standard.toml](../pipelines/standard.toml) is an edge that is made of them.

Each is there in two builds of one source. A stage has the one that edits heads [in place](writing-a-stage.md#edits-in-place), which
linkspan alone runs and which costs less. `linkspan std export NAME -o FILE` and `compose --portable` write the portable one, which
every host of `wasi:http/middleware` runs; `rate-limit` alone needs linkspan in both, since no instance can count for another.

This page is generated from the components (`BLESS=1 cargo xtask test`).

## Templates

The values of `headers` and the URL of `redirect` are text with parts of the request in it:

| in braces | is |
| --- | --- |
| `{method}` | the method |
| `{scheme}` | `http` or `https`, as the client used it: what `X-Forwarded-Proto` says, which linkspan vouches for, else the request's own |
| `{authority}`, `{host}` | the host with its port, and without |
| `{path}`, `{query}`, `{path-and-query}` | as they came; the query without its `?` |
| `{header.NAME}` | the first value of a field of the request, if it is text |

What is not there is empty. `{{` and `}}` stand for braces. A template has at most 32 values, and it and what is made of it have at
most 8 KiB: a request for which it would be more gets 431 (`headers`) or 414 (`redirect`). In a URL, what comes from a field is
percent-encoded, and the host is text, `{host}` or `{authority}`: whatever a client sends, it is not led elsewhere.

## Keys from a URL

```toml
{ component = \"std:jwt-remote\", grant = { clocks = true, egress = [\"https://issuer.example\"] },
  config = { jwks-url = \"https://issuer.example/.well-known/jwks.json\", audiences = [\"api\"] } }
```

`jwt-remote` is a component of its own, for two reasons. It sends requests, which a stage must be granted; `jwt`, whose keys are in
a file, can send none. And it waits for their answers, so it is lifted asynchronously: a hop costs more, and which stages behind it
have the [direct form](direct.md#which-segments-have-it) depends on their lifts. `link = \"dynamic\"` on the stage behind it lets those have it.

| what happens | what becomes of it |
| --- | --- |
| the first request with a token | fetches the keys, and waits; others that come meanwhile wait for the same fetch |
| keys near their end, at 70 to 90 % of their time | the next request has them fetched, and goes on with those that are there |
| keys whose time is over | the next request fetches them and waits; if that fails, they are used for `jwks-stale` more, and nobody waits any more |
| a `kid` that no key has | one fetch, if there was none within `jwks-cooldown`; else 401 |
| no keys, since they can't be fetched | 503 with `Retry-After`; the log says why. The next fetch is after 1 s, then 2, 4, … up to `jwks-cooldown` |
| another status than 200, a redirect, no JSON type, more than `jwks-max-bytes` or 64 keys, an answer after `jwks-timeout` | a fetch that failed |
| a key of an unknown kind, too weak or not valid, or a secret | is left out |

Every instance has keys of its own, and one fetch under way at most. An instance takes up to `limits.concurrency` requests, so there
are few; a gateway has at most as many as `gateway.workers` times the pipeline's `limits.instances`. All of them fetch once in the keys' time, and
once more for each instance that is replaced, after `limits.reuse` requests: with the default of 10,000, a gateway with 10,000 requests a second
fetches once a second. A larger `limits.reuse` makes that less; with `isolation = \"request\"`, every request with a token fetches. The stage's `egress-requests` and `egress-connections` bound what is under way at once.

## Passwords and keys

`basic-auth` has the hashes of passwords and not the passwords. These commands make them:

```console
$ htpasswd -nB -C 10 alice    # bcrypt, as a line `alice:$2y$10$…`; in Debian's apache2-utils
$ printf %s \"$PASSWORD\" | argon2 \"$(openssl rand -hex 16)\" -id -k 19456 -t 2 -p 1 -e    # argon2id; in Debian's argon2
```

A file of `htpasswd` is `htpasswd = { file = \"htpasswd\" }`; its lines with MD5, SHA-1 or `crypt` are refused. A hash is slow on
purpose, and a stage has a second (`limits.cpu`) and 64 MiB (`limits.memory`), so its parameters are bounded: bcrypt by cost 12,
argon2id by 46 MiB, and by 128 MiB times passes. The memory of argon2id stays with each instance that has checked a password, and there
are up to `limits.instances` on each worker: prefer bcrypt where many come at once. A password that was right costs no further hash in
the same instance for `remember`. A wrong one always costs a hash, whether there is such a user or not, so put a limit in front, which counts
all requests of a client:

```toml
stages = [
  { component = \"std:rate-limit\", config = { rate = \"10/s\", burst = 20, key-header = \"x-real-ip\" } },
  { component = \"std:basic-auth\", config = { htpasswd = { file = \"htpasswd\" } }, grant = { clocks = true } },
]
```

bcrypt takes 72 bytes of a password, and a longer one is refused, not cut. A user's name has no colon and no control characters; one
with a dot can only be in `htpasswd`.

A key of `key-auth` can be its SHA-256 (`printf %s \"$KEY\" | sha256sum`): `keys = { alice = \"sha256:…\" }`. That is for keys of 128
random bits or more (`openssl rand -hex 32`); a password has too few, and would be guessed from its hash.

## Asking a service

```toml
{ component = \"std:forward-auth\", grant = { egress = [\"http://127.0.0.1:9000\"] },
  config = { url = \"http://127.0.0.1:9000/verify\", response-headers = [\"x-user\"] } }
```

`forward-auth` sends a GET without a body to `url` before each request passes, as `ForwardAuth` of Traefik, `ext_authz` of Envoy and
`auth_request` of nginx do. The service can be a pipeline: `url = \"http://gate.internal/\"` with `grant = { calls = [\"gate\"] }`. It gets the
fields in `request-headers`, as the client sent them, and these, which no client can write:

| field | is |
| --- | --- |
| `X-Forwarded-Method`, `X-Forwarded-Uri`, `X-Forwarded-Host` | method, path with query, and authority, exactly as the stages behind this one get them |
| `X-Forwarded-Proto`, `X-Forwarded-For` | scheme and addresses, which [linkspan vouches for](http.md#the-clients-address) |

| the service | what becomes of the request |
| --- | --- |
| answers 2xx | passes with the fields in `response-headers`; those in `client-response-headers` are added to its response |
| answers 3xx or 4xx | the client gets that status, the fields in `refusal-headers`, and the body, if it is whole and has at most `max-body` bytes |
| answers anything else, or nothing within `timeout`, or can't be reached | 503 with `Retry-After`; with `on-service-failure = \"open\"`, the request passes |

Whatever the service says, the client's own fields of `response-headers` are removed first, and with them those that differ in `_` and `-`
alone. A field of the connection is neither sent nor taken. A request with two `Authorization` fields gets 400. Redirects go to the client;
nobody follows them here. No answer is remembered. The stage's `egress-requests` and `egress-connections` bound the questions under way,
and the pipeline's `deadline` the body of a refusal. Put `cors` in front: a browser's preflight request has no credentials.

## Bodies

`body-limit` and `compress` are the stages that read bodies, and are lifted asynchronously. As the last ones in front of the server,
they have the [direct form](direct.md) together with all others; in front of a stage that is lifted synchronously, they would not.

`compress` passes on what it has as soon as the server pauses, so that events arrive one by one. It leaves alone what has a coding
already, `no-transform` (of the response, or of the request), parts (206), bodies that have no type of the list or are shorter than
`min-size`, and those with a digest (`Content-Digest`, `Repr-Digest`, `Digest`, `Content-MD5`), which would be wrong. A strong `ETag`
becomes a weak one: `If-None-Match` works as before, `If-Match` and `If-Range` do not with a weak one. A HEAD has the fields that the GET
would have, without `Content-Length`. A client that refuses the body as it is (`identity;q=0`) and accepts no coding that is there gets
it as it is. zstd is not among the codings.

A compressed body's length tells something of its content. Where a page has a secret, like a token of a form, and a part of the request
as well, a page of another site can have a browser send many requests and learn the secret from the lengths (BREACH). Secrets that
differ in each response are safe from that. Otherwise set `cross-site = false`, or leave those paths out with
[`when`](configuration.md#conditions).

`body-limit` refuses a body that announces too much before any of it is read. A body that does not announce its length is counted on
its way: `max` bytes of it may have reached the server when the client gets 413. It breaks off; where the response has begun, that
breaks off with it, if the server answers with what it reads. `limits.request-body` bounds all bodies of a pipeline besides.
";

fn page() -> String {
    let mut page = HEAD.to_owned();
    for standard::Standard { name } in standard::all() {
        let schema = |name: &str| {
            let component = Component::load(&dist(name)).unwrap();
            component.shape.schema.expect("a schema").expect("a good one")
        };
        let keys = schema(name);
        assert_eq!(keys, schema(&format!("{name}-in-place")));
        writeln!(page, "\n## {name}\n\n{}\n", keys.doc).unwrap();
        page += "| key | type | default | meaning |\n| --- | --- | --- | --- |\n";
        for (key, value) in &keys.keys {
            writeln!(page, "{}", row(key, value, keys.required.contains(key))).unwrap();
        }
    }
    page
}

fn row(key: &str, value: &Schema, required: bool) -> String {
    let default = match (&value.default, required) {
        (_, true) => "required".to_owned(),
        (Some(default), _) => format!("`{default}`"),
        (None, _) => String::new(),
    };
    let bounds = match (value.least, value.most) {
        (Some(least), Some(most)) => format!(", {least} to {most}"),
        _ => String::new(),
    };
    let meaning = value.doc.replace('|', "\\|");
    format!("| `{key}` | {}{bounds} | {default} | {meaning} |", value.type_name())
}

#[test]
fn the_page_is_what_the_components_say() {
    let file = repository().join("docs/middleware.md");
    let page = page();
    if std::env::var_os("BLESS").is_some_and(|value| value == "1") {
        fs::write(&file, &page).unwrap();
    }
    let found = fs::read_to_string(&file).unwrap_or_default();
    assert!(found == page, "{} is not what the components say: run with BLESS=1", file.display());
}
