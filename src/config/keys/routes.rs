//! Routes, and what a draw is pinned to.

use crate::config::declare::{count, keys, table, tables, text, texts};
use crate::config::kinds::{Kind, TextForm};
use crate::config::typed::{At, Decoded};

keys! {
    /// Which requests go to a pipeline.
    Route = "route", "a route";

    /// A host without port, `"api.example.com"`, or `"*.example.com"` for all hosts below the domain, at any depth.
    host: Option<At<String>> = text(TextForm::Host).optional("\"api.example.com\"", "every host");
    /// A path and everything below it: `/v1` means `/v1`, `/v1/` and `/v1/users`, not `/v10`. At most 1024 bytes,
    /// without `/` at the end and without `%`.
    path: At<String> = text(TextForm::Prefix).default("/");
    /// Request methods, 1 to 32, in capitals. `GET` does not include `HEAD`.
    methods: Option<Vec<At<String>>> =
        texts(&Kind::Text(TextForm::Method), 1, 32).optional("[\"GET\", \"POST\"]", "all");
    /// A name under `[pipelines]`.
    pipeline: Option<At<String>> = text(TextForm::Pipeline).optional("\"edge\"", "required, or `split`");
    /// 1 to 16 of `{ pipeline = "edge", weight = 99 }`, instead of `pipeline`: pipelines that share the requests by
    /// weight, not all 0.
    split: Vec<Decoded<Split>> =
        tables(1, 16).optional("[{ pipeline = \"edge\", weight = 99 }, { pipeline = \"edge-next\", weight = 1 }]", "");
    /// `{ header = "x-user" }` or `{ cookie = "session" }`: the value that decides between the pipelines of `split`.
    /// Equal values go to the same pipeline while the weights stay; a value that is the name of one of the pipelines
    /// chooses it; a request without the field is left to chance.
    pin: Option<Decoded<Pin>> = table().optional("{ cookie = \"session\" }", "chance");
    /// A pipeline that gets a copy of each request; its answers are dropped. A mirrored request that falls behind is
    /// cancelled.
    mirror: Option<At<String>> = text(TextForm::Pipeline).optional("\"edge-next\"", "none");
}

keys! {
    /// A pipeline and its share of a route's requests.
    Split = "split", "one of `split`";

    /// A name under `pipelines`.
    pipeline: Option<At<String>> = text(TextForm::Pipeline).required("\"edge\"");
    /// The pipeline's share, relative to the sum of all weights.
    weight: u32 = count(0, 1_000_000).default("1");
}

keys! {
    /// Equal values decide equally; in `split`, a value that is the name of a pipeline chooses it.
    Pin = "pin", "`pin`";

    /// A request header.
    header: Option<At<String>> = text(TextForm::FieldName).optional("\"x-user\"", "");
    /// A cookie. Exclusive with `header`.
    cookie: Option<At<String>> = text(TextForm::FieldName).optional("\"session\"", "");
}
