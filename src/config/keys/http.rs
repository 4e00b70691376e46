//! Rules for requests, and fields that the gateway adds to them.

use crate::config::declare::{boolean, choices, keys, one_of, text, texts};
use crate::config::kinds::{Kind, TextForm};
use crate::config::typed::At;

keys! {
    /// Rules for requests, and fields that the gateway adds to them.
    Http = "http", "[http]";

    /// Proxies that are trusted to name the client's address: `["10.0.0.0/8", "2001:db8::/32"]`. An IPv4 network also
    /// matches addresses in IPv6 form.
    trusted_proxies: Vec<At<String>> =
        texts(&Kind::Text(TextForm::Network), 0, 1000).optional("[\"10.0.0.0/8\", \"2001:db8::/32\"]", "none");
    /// The form in which [stages see the client's address](http.md#the-clients-address), and in which trusted proxies
    /// send it: `"x-forwarded"`, `"forwarded"` (RFC 7239) or `"none"`.
    forwarded: ForwardedForm = one_of().default("x-forwarded");
    /// The gateway's name in `Via`.
    via: Option<At<String>> = text(TextForm::FieldName).optional("\"edge\"", "none");
    /// How [`X-Request-Id`](http.md#identity-of-a-request) is treated: `"pass"`, `"make"` or `"accept"`.
    request_id: RequestIdPolicy = one_of().default("pass");
    /// Whether a missing [`traceparent`](http.md#identity-of-a-request) is added: `"pass"` or `"make"`.
    traceparent: Traceparent = one_of().default("pass");
    /// How `%2F` in a [path](http.md#paths) is treated: `"reject"`, `"keep"` or `"decode"`.
    encoded_slash: EncodedSlash = one_of().default("reject");
    /// Whether several slashes in a row are one.
    merge_slashes: bool = boolean().default("true");
    /// Whether a request must be for the [host that the TLS handshake named](http.md#host): `"strict"` or `"ignore"`.
    sni: Sni = one_of().default("strict");
    /// How fields with `_` in their names are treated, which [some servers take for fields with
    /// `-`](http.md#fields-of-a-connection): `"remove"` or `"keep"`.
    underscores: Underscores = one_of().default("remove");
}

choices! {
    /// The fields that name the client's address.
    #[derive(Default)]
    ForwardedForm {
        /// `X-Forwarded-For` and related fields.
        #[default]
        XForwarded = "x-forwarded",
        /// RFC 7239.
        Forwarded = "forwarded",
        /// None.
        None = "none",
    }
}

choices! {
    /// What becomes of `X-Request-Id`.
    #[derive(Default)]
    RequestIdPolicy {
        /// Nothing.
        #[default]
        Pass = "pass",
        /// It is the gateway's own.
        Make = "make",
        /// It is the gateway's own, unless a trusted proxy sent a valid one.
        Accept = "accept",
    }
}

choices! {
    /// What becomes of `traceparent`.
    Traceparent {
        /// A valid one is kept.
        Pass = "pass",
        /// A missing one is added.
        Make = "make",
    }
}

choices! {
    /// What `%2F` in a path is.
    #[derive(Default)]
    EncodedSlash {
        /// An error.
        #[default]
        Reject = "reject",
        /// A character of its segment.
        Keep = "keep",
        /// A slash.
        Decode = "decode",
    }
}

choices! {
    /// Whether a request's host must be the name in the TLS handshake.
    Sni {
        /// It must.
        Strict = "strict",
        /// It need not.
        Ignore = "ignore",
    }
}

choices! {
    /// What becomes of fields with `_` in their names.
    Underscores {
        /// They are removed.
        Remove = "remove",
        /// They stay, except fields that would frame the message or name the client.
        Keep = "keep",
    }
}
