//! The conditions under which a stage applies.

use super::routes::Pin;
use crate::config::declare::{count, keys, table, text, texts};
use crate::config::kinds::{Kind, TextForm};
use crate::config::typed::{At, Decoded};

keys! {
    /// The requests to which a stage applies; other requests pass it by.
    When = "when", "`when`";

    /// As for a [route](#routes).
    methods: Option<Vec<At<String>>> =
        texts(&Kind::Text(TextForm::Method), 1, 32).optional("[\"POST\", \"PUT\"]", "all");
    /// As for a route: the path and everything below it.
    path: Option<At<String>> = text(TextForm::Prefix).optional("\"/api\"", "every path");
    /// `{ name = "x-debug" }`: the request has such a field. `{ name = "x-debug", value = "1" }`: one such field has
    /// exactly this value.
    header: Option<Decoded<WhenHeader>> = table().optional("{ name = \"x-debug\", value = \"1\" }", "none is needed");
    /// A share of the requests.
    percent: Option<u8> = count(0, 100).optional("10", "all");
    /// `{ header = "x-user" }` or `{ cookie = "session" }`: the value that decides for `percent`. Equal values decide
    /// equally, on every gateway; a request without the field is left to chance.
    pin: Option<Decoded<Pin>> = table().optional("{ cookie = \"session\" }", "chance");
}

keys! {
    /// A field that a request has.
    WhenHeader = "when-header", "`header`";

    /// The field's name.
    name: Option<At<String>> = text(TextForm::FieldName).required("\"x-debug\"");
    /// The whole value of one of the fields with this name.
    value: Option<At<String>> = text(TextForm::FieldValue).optional("\"1\"", "any value");
}
