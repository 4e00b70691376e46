//! A shop's inventory: `GET /<article>` answers how many there are, 0 of what it does not
//! know.
//!
//! | key | meaning | default |
//! | --- | --- | --- |
//! | `stock` | the number of each article | none |

use linkspan_sdk::{Body, Config, Error, FromConfig, Request, Response, service};

struct Options {
    stock: Vec<(String, u32)>,
}

impl FromConfig for Options {
    fn from_config(config: &mut Config) -> Option<Self> {
        Some(Self { stock: config.table("stock") })
    }
}

async fn handle(options: &'static Options, request: Request) -> Result<Response, Error> {
    let path = request.path_with_query().unwrap_or_default();
    let found = options.stock.iter().find(|(article, _)| path.strip_prefix('/') == Some(article));
    let number = found.map_or(0, |(_, number)| *number);
    Ok(Response::new(200)
        .with_header("content-type", "text/plain; charset=utf-8")
        .with_body(Body::bytes(number.to_string().into_bytes())))
}
service!(async handle, Options);
