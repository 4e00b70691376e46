//! The tables for the conditions under which a stage applies, and for what a draw is pinned to.

use super::tables::{optional, required};
use super::{Kind, Table, TextForm};

/// `when` of a stage.
pub static WHEN: Table = Table {
    id: "when",
    title: "`when`",
    doc: "Which requests a stage applies to; the others go past it.",
    keys: &[
        optional(
            "methods",
            Kind::List { item: &Kind::Text(TextForm::Method), min: 1, max: 32 },
            "[\"POST\", \"PUT\"]",
            "Request methods. Default: all.",
        ),
        optional(
            "path",
            Kind::Text(TextForm::Prefix),
            "\"/api\"",
            "A path and everything below it, as of a route. Default: every path.",
        ),
        optional(
            "header",
            Kind::Table(&WHEN_HEADER),
            "{ name = \"x-debug\", value = \"1\" }",
            "A field that the request has. Default: none is needed.",
        ),
        optional(
            "percent",
            Kind::Count { min: 0, max: 100 },
            "10",
            "A share of the requests, drawn once for all stages of a pipeline. Default: all.",
        ),
        optional(
            "pin",
            Kind::Table(&PIN),
            "{ cookie = \"session\" }",
            "What draws for `percent`, instead of chance: equal values are drawn alike.",
        ),
    ],
};

/// `header` of a condition.
pub static WHEN_HEADER: Table = Table {
    id: "when-header",
    title: "`header`",
    doc: "A field that a request has.",
    keys: &[
        required("name", Kind::Text(TextForm::FieldName), "\"x-debug\"", "The field's name."),
        optional(
            "value",
            Kind::Text(TextForm::FieldValue),
            "\"1\"",
            "The whole value of one of the fields with this name. Default: any value.",
        ),
    ],
};

/// `pin` of a route.
pub static PIN: Table = Table {
    id: "pin",
    title: "`pin`",
    doc: "Requests with the same value are decided alike; of `split`, one with a pipeline's name as its value goes there.",
    keys: &[
        optional("header", Kind::Text(TextForm::FieldName), "\"x-user\"", "A request header."),
        optional(
            "cookie",
            Kind::Text(TextForm::FieldName),
            "\"session\"",
            "A cookie. Either this or `header`.",
        ),
    ],
};
