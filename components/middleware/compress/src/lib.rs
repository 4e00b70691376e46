//! Compresses the bodies of responses with gzip (RFC 1952) and Brotli (RFC 7932), as the client accepts them. See [`Keys`].
//!
//! What is compressed is decided by the response's head alone, so that a HEAD has the fields that a GET would have; its
//! `Content-Length` is left out, since nobody knows it. A response goes as it is if it has no body by its status, is a part
//! (206), has a coding already, says `no-transform`, as its request may, or carries a digest of its content, which would lie.
//! `Vary` says that the choice depends on `Accept-Encoding` wherever another request could have got another answer.
//!
//! A strong validator becomes a weak one: the same resource in other bytes (RFC 9110 §8.8.3.3). `If-None-Match` compares
//! weakly, so the server that knows the strong one finds it again; its 304 then has the validator that the client has.
//!
//! Bytes go out as soon as those that come pause, so that a stream of events comes event by event. A body that breaks off
//! does so compressed: nothing that was cut looks complete.
//!
//! Bounds: [`Keys::concurrent`] bodies at once in an instance, each with an encoder of less than 3 MiB.

mod accept;
mod encoder;
mod head;
mod stream;

use encoder::{Coding, Encoder};
use linkspan_sdk::{
    AsyncNext, Config, Error, FromConfig, MediaRange, Method, Request, Response, Size, Value, configuration,
    middleware, schema,
};
use stream::Permit;

configuration! {
    /// Compresses the bodies of responses with gzip and Brotli, as the client accepts them.
    struct Keys {
        /// The codings, the preferred one first: it decides where a client likes several equally.
        list(["br", "gzip"]) encodings: Coding,
        /// The media types that are compressed, in place of `text/*`, `application/json`, `application/*+json`, `application/x-ndjson`, `application/xml`, `application/*+xml`, `application/javascript`, `application/wasm`, `application/vnd.ms-fontobject`, `font/otf`, `font/ttf`, `image/svg+xml`, `image/bmp` and `image/vnd.microsoft.icon`.
        list types: MediaRange,
        /// Bodies that are shorter, by their `Content-Length`, go as they are. Those of unknown length are compressed.
        default("1KiB") min_size: Size,
        /// How hard gzip tries: 1 is the fastest.
        default(5) gzip_level: u32 where 1..=9,
        /// How hard Brotli tries: 0 is the fastest. Levels above 5 would need from 4 to 35 MiB for each body.
        default(4) br_level: u32 where 0..=5,
        /// Whether requests with `Cookie` or `Authorization` that a page of another site had a browser send (`Sec-Fetch-Site`) get a compressed body, whose length may tell that page what secrets are in it (BREACH).
        default(true) cross_site: bool,
        /// Bodies that an instance compresses at once; further ones go as they are. Each needs up to 3 MiB of the stage's `limits.memory`.
        default(16) concurrent: u32 where 1..=1000,
    }
}

/// The media types that are compressed where none are named.
const TYPES: [&str; 14] = [
    "text/*",
    "application/json",
    "application/*+json",
    "application/x-ndjson",
    "application/xml",
    "application/*+xml",
    "application/javascript",
    "application/wasm",
    "application/vnd.ms-fontobject",
    "font/otf",
    "font/ttf",
    "image/svg+xml",
    "image/bmp",
    "image/vnd.microsoft.icon",
];

struct Options {
    encodings: Vec<Coding>,
    types: Vec<MediaRange>,
    min_size: u64,
    gzip_level: u32,
    br_level: u32,
    cross_site: bool,
    concurrent: u32,
}

impl FromConfig for Options {
    const SCHEMA: &'static [schema::Part] = Keys::SCHEMA;

    fn from_config(config: &mut Config) -> Option<Self> {
        let keys = Keys::from_config(config)?;
        let encodings = keys.encodings.unwrap_or_else(|| vec![Coding::Brotli, Coding::Gzip]);
        if encodings.is_empty() {
            config.reject("encodings", "has no coding: leave the stage out instead");
        }
        if encodings.iter().enumerate().any(|(place, coding)| encodings[..place].contains(coding)) {
            config.reject("encodings", "has a coding twice");
        }
        let types = keys
            .types
            .unwrap_or_else(|| TYPES.into_iter().filter_map(|range| MediaRange::parse(range).ok()).collect());
        Some(Self {
            encodings,
            types,
            min_size: keys.min_size.bytes(),
            gzip_level: keys.gzip_level,
            br_level: keys.br_level,
            cross_site: keys.cross_site,
            concurrent: keys.concurrent,
        })
    }
}

/// What a request says of its response's coding.
struct Wish {
    /// The coding that it gets, where the response can have one.
    coding: Option<Coding>,
    is_head: bool,
    /// The validators that the client has, where a 304 may come.
    known: Vec<Vec<u8>>,
}

impl Options {
    /// `None` if nothing is done for this request, whatever its response is.
    fn wish(&self, request: &Request) -> Option<Wish> {
        if head::lists(&request.header_values("cache-control"), "no-transform") {
            return None;
        }
        let coding = accept::choose(&request.header_values("accept-encoding"), &self.encodings);
        let coding = coding.filter(|_| self.cross_site || !is_exposed(request));
        let known = match coding {
            Some(_) => request.header_values("if-none-match"),
            None => Vec::new(),
        };
        Some(Wish { coding, is_head: matches!(request.method(), Method::Head), known })
    }

    fn level(&self, coding: Coding) -> u32 {
        match coding {
            Coding::Gzip => self.gzip_level,
            Coding::Brotli => self.br_level,
        }
    }
}

/// Whether a page of another site had a browser send it with what tells its user from others.
fn is_exposed(request: &Request) -> bool {
    request.header_values("sec-fetch-site").iter().any(|value| value == b"cross-site")
        && (request.has_header("cookie") || request.has_header("authorization"))
}

async fn handle(options: &'static Options, request: Request, next: AsyncNext) -> Result<Response, Error> {
    let Some(wish) = options.wish(&request) else { return next.call(request).await };
    let mut response = next.call(request).await?;
    if response.status() == 304 {
        head::revalidated(&mut response, &wish.known);
        return Ok(response);
    }
    if !head::is_compressible(&response, &options.types, options.min_size) {
        return Ok(response);
    }
    head::vary(&mut response);
    let Some(coding) = wish.coding else { return Ok(response) };
    if wish.is_head {
        head::encoded(&mut response, coding);
        return Ok(response);
    }
    let Some(permit) = Permit::take(options.concurrent) else { return Ok(response) };
    head::encoded(&mut response, coding);
    let encoder = Encoder::new(coding, options.level(coding));
    let body = response.take_body()?;
    response.set_body(stream::compressed(body, encoder, permit));
    Ok(response)
}
middleware!(async handle, Options);

#[cfg(test)]
mod tests {
    use super::*;

    fn read(entries: &[(&str, &str)]) -> Result<Options, String> {
        Config::read(entries.iter().map(|(k, v)| (k.to_string(), v.to_string())))
    }

    #[test]
    fn defaults_are_those_of_the_page() {
        let options = read(&[]).expect("good");
        assert_eq!(options.encodings, [Coding::Brotli, Coding::Gzip]);
        assert_eq!((options.types.len(), options.min_size), (TYPES.len(), 1024));
        assert_eq!((options.level(Coding::Gzip), options.level(Coding::Brotli)), (5, 4));
        const LENGTH: usize = schema::length(Keys::SCHEMA);
        let schema = String::from_utf8(schema::write::<LENGTH>(Keys::SCHEMA).to_vec()).expect("text");
        for range in TYPES {
            assert!(
                MediaRange::parse(range).is_ok() && schema.contains(&format!("`{range}`")),
                "{range}: {schema}"
            );
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (entries, start) in [
            (&[("encodings", "zstd")][..], "`encodings` is not `gzip` or `br`"),
            (&[("encodings.0", "br"), ("encodings.1", "br")], "`encodings` has a coding twice"),
            (&[("types.0", "json")], "`types.0` is not a media type"),
            (&[("min-size", "1024")], "`min-size` is not a size"),
            (&[("gzip-level", "10")], "`gzip-level` is not from 1 to 9"),
            (&[("br-level", "6")], "`br-level` is not from 0 to 5"),
            (&[("concurrent", "0")], "`concurrent` is not from 1"),
        ] {
            let error = read(entries).err().unwrap_or_default();
            assert!(error.starts_with(start), "{error}");
        }
    }
}
