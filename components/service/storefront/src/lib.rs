//! A shop's front: `GET /<article>` answers what the pipelines `catalogue`, `inventory` and
//! `pricing` say of it, as JSON, and 404 for what the catalogue does not know.
//!
//! All three are asked at once. Without the catalogue there is no page, and the answer is
//! 503; what another one does not say is `null`.

use linkspan_sdk::{Body, Error, Method, Request, Response, call, json, service, warn};
use std::pin::pin;
use std::task::Poll;

/// The longest answer that is read, in bytes.
const MAX_ANSWER: usize = 1024;

async fn handle(request: Request) -> Result<Response, Error> {
    let path = request.path_with_query().unwrap_or_default();
    let numbers = both(ask("inventory", &path), ask("pricing", &path));
    let (name, (stock, price)) = both(ask("catalogue", &path), numbers).await;
    let name = match name {
        Ok((200, name)) => name,
        Ok((404, _)) => return Ok(Response::problem(404, "There is no such article")),
        _ => return Ok(Response::problem(503, "The catalogue does not answer")),
    };
    let page =
        json::object([("name", json::string(&name)), ("stock", number(stock)), ("cents", number(price))]);
    Ok(Response::new(200)
        .with_header("content-type", "application/json")
        .with_body(Body::bytes(page.into_bytes())))
}
service!(async handle);

/// The status and text with which `pipeline` answers.
async fn ask(pipeline: &str, path: &str) -> Result<(u16, String), Error> {
    let answer = async {
        let mut response = call(pipeline, Request::new(Method::Get, path)).await?;
        let body = response.take_body()?.into_bytes(MAX_ANSWER).await?;
        Ok((response.status(), String::from_utf8_lossy(&body).into_owned()))
    };
    answer.await.inspect_err(|error| warn!("{pipeline} gave no answer: {error:?}"))
}

/// The number that was answered, or `null`.
fn number(answer: Result<(u16, String), Error>) -> String {
    match answer {
        Ok((200, text)) if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) => text,
        _ => "null".into(),
    }
}

/// What two futures come to that go on side by side.
async fn both<A, B>(one: impl Future<Output = A>, other: impl Future<Output = B>) -> (A, B) {
    let (mut one, mut other) = (pin!(one), pin!(other));
    let (mut of_one, mut of_other) = (None, None);
    std::future::poll_fn(move |cx| {
        if of_one.is_none()
            && let Poll::Ready(value) = one.as_mut().poll(cx)
        {
            of_one = Some(value);
        }
        if of_other.is_none()
            && let Poll::Ready(value) = other.as_mut().poll(cx)
        {
            of_other = Some(value);
        }
        match (of_one.take(), of_other.take()) {
            (Some(one), Some(other)) => Poll::Ready((one, other)),
            not_yet => {
                (of_one, of_other) = not_yet;
                Poll::Pending
            }
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_number_is_null() {
        for (answer, expected) in [
            (Ok((200, "12")), "12"),
            (Ok((200, "")), "null"),
            (Ok((200, "1e3")), "null"),
            (Ok((404, "12")), "null"),
            (Err(Error::HttpRequestDenied), "null"),
        ] {
            assert_eq!(number(answer.map(|(status, text)| (status, text.to_owned()))), expected);
        }
    }
}
