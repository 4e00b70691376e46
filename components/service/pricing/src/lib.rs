//! A shop's prices: `GET /<article>` answers the price in cents, or 404. What the pipeline
//! `inventory` has little of costs more.
//!
//! | key | meaning | default |
//! | --- | --- | --- |
//! | `prices` | the price of each article, in cents | none |
//! | `scarce-below` | what there is less of costs the surcharge | 0 |
//! | `surcharge` | in per cent | 0 |
//!
//! Without an answer of `inventory`, the price has no surcharge.

use linkspan_sdk::{Body, Config, Error, FromConfig, Method, Request, Response, call, service};

struct Options {
    prices: Vec<(String, u32)>,
    scarce_below: u32,
    surcharge: u32,
}

impl FromConfig for Options {
    fn from_config(config: &mut Config) -> Option<Self> {
        let prices = config.table("prices");
        Some(Self {
            prices,
            scarce_below: config.or("scarce-below", 0),
            surcharge: config.or("surcharge", 0),
        })
    }
}

async fn handle(options: &'static Options, request: Request) -> Result<Response, Error> {
    let path = request.path_with_query().unwrap_or_default();
    let found = options.prices.iter().find(|(article, _)| path.strip_prefix('/') == Some(article));
    let Some((_, price)) = found else {
        return Ok(Response::problem(404, "There is no such article"));
    };
    let scarce = stock(&path).await.is_some_and(|stock| stock < options.scarce_below);
    let price = if scarce { with_surcharge(*price, options.surcharge) } else { *price };
    Ok(Response::new(200)
        .with_header("content-type", "text/plain; charset=utf-8")
        .with_body(Body::bytes(price.to_string().into_bytes())))
}
service!(async handle, Options);

/// How many there are of the article at `path`, if that is to be had.
async fn stock(path: &str) -> Option<u32> {
    let mut response = call("inventory", Request::new(Method::Get, path)).await.ok()?;
    let body = response.take_body().ok()?.into_bytes(16).await.ok()?;
    core::str::from_utf8(&body).ok()?.parse().ok().filter(|_| response.status() == 200)
}

fn with_surcharge(price: u32, per_cent: u32) -> u32 {
    price.saturating_add((u64::from(price) * u64::from(per_cent) / 100).min(u64::from(u32::MAX)) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_surcharge_never_wraps() {
        assert_eq!(with_surcharge(1000, 25), 1250);
        assert_eq!(with_surcharge(u32::MAX, u32::MAX), u32::MAX);
    }
}
