//! What is taken for HTTP, and what requests carry along.

use crate::config::declare::{boolean, choices, keys, one_of, text, texts};
use crate::config::kinds::{Kind, TextForm};
use crate::config::typed::At;

keys! {
    /// What is taken for HTTP, and what requests carry along.
    Http = "http", "[http]";

    /// Whose word about the client is taken: `["10.0.0.0/8", "2001:db8::/32"]`. An IPv4 address is met in IPv6's form,
    /// too.
    trusted_proxies: Vec<At<String>> =
        texts(&Kind::Text(TextForm::Network), 0, 1000).optional("[\"10.0.0.0/8\", \"2001:db8::/32\"]", "none");
    /// In which form [stages are told of the client](http.md#the-clients-address), and trusted proxies are understood:
    /// `"x-forwarded"`, `"forwarded"` (RFC 7239) or `"none"`.
    forwarded: ForwardedForm = one_of().default("x-forwarded");
    /// The gateway's name in `Via`.
    via: Option<At<String>> = text(TextForm::FieldName).optional("\"edge\"", "none");
    /// What becomes of [`X-Request-Id`](http.md#identity-of-a-request): `"pass"`, `"make"` or `"accept"`.
    request_id: RequestIdPolicy = one_of().default("pass");
    /// Whether a missing [`traceparent`](http.md#identity-of-a-request) is made: `"pass"` or `"make"`.
    traceparent: Traceparent = one_of().default("pass");
    /// What `%2F` in a [path](http.md#paths) is: `"reject"`, `"keep"` or `"decode"`.
    encoded_slash: EncodedSlash = one_of().default("reject");
    /// Whether several slashes in a row are one.
    merge_slashes: bool = boolean().default("true");
    /// Whether a request must be for the [host that the TLS handshake named](http.md#host): `"strict"` or `"ignore"`.
    sni: Sni = one_of().default("strict");
    /// Fields of requests with `_` in their names, which [some servers take for those with
    /// `-`](http.md#fields-of-a-connection): `"remove"` or `"keep"`.
    underscores: Underscores = one_of().default("remove");
}

choices! {
    /// The fields that tell of the client.
    #[derive(Default)]
    ForwardedForm {
        /// `X-Forwarded-For` and its kin.
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
        /// It is made where there is none.
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
        /// They are taken off.
        Remove = "remove",
        /// They stay, but for those that would frame the message or tell of the client.
        Keep = "keep",
    }
}
