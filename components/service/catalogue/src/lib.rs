//! A shop's catalogue: `GET /<article>` answers the article's name, or 404.
//!
//! | key | meaning | default |
//! | --- | --- | --- |
//! | `names` | the name of each article | none |

use linkspan_sdk::{Body, Config, Error, FromConfig, Request, Response, service};

struct Options {
    names: Vec<(String, String)>,
}

impl FromConfig for Options {
    fn from_config(config: &mut Config) -> Option<Self> {
        Some(Self { names: config.table("names") })
    }
}

async fn handle(options: &'static Options, request: Request) -> Result<Response, Error> {
    let path = request.path_with_query().unwrap_or_default();
    let found = options.names.iter().find(|(article, _)| path.strip_prefix('/') == Some(article));
    Ok(match found {
        None => Response::problem(404, "There is no such article"),
        Some((_, name)) => Response::new(200)
            .with_header("content-type", "text/plain; charset=utf-8")
            .with_body(Body::bytes(name.as_bytes())),
    })
}
service!(async handle, Options);
