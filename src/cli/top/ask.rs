//! Asking the gateway.

use super::super::admin::{AdminClient, Error};
use super::answers::{Answer, Overview};
use super::state::Ask;
use http::StatusCode;
use serde_json::Value;

/// The most pipelines of which a table is made.
const MOST: usize = 100_000;
/// How often the pages of an overview are read anew since the configuration changed between two of them.
const ATTEMPTS: usize = 3;

/// The answers to all `asks`, one after the other.
///
/// # Errors
/// If there is no answer to one of them.
pub(super) async fn ask(client: &AdminClient, asks: Vec<Ask>) -> Result<Vec<(Ask, Answer)>, Error> {
    let mut answers = Vec::with_capacity(asks.len());
    for ask in asks {
        let path = ask.path();
        let answer = match &ask {
            Ask::Overview(_) => {
                let overview = client.get::<Overview>(&path).await.map_err(older)?;
                expect_version(!overview.version.as_str().is_empty())?;
                Answer::Overview(overview)
            }
            Ask::Generations => Answer::Generations(client.get(&path).await?),
            Ask::Traces => Answer::Traces(client.get(&path).await.map_err(older)?),
            Ask::Trace(_) => match client.get(&path).await {
                Err(Error::Refused(StatusCode::NOT_FOUND, _)) => Answer::Forgotten,
                trace => Answer::Trace(trace?),
            },
        };
        answers.push((ask, answer));
    }
    Ok(answers)
}

/// The overview of all pipelines, as it is answered page by page.
///
/// # Errors
/// If a page can't be had, or there are too many pipelines.
pub(super) async fn whole(client: &AdminClient) -> Result<Value, Error> {
    let mut attempt = 1;
    loop {
        let mut whole: Value = client.get(&Ask::Overview(0).path()).await.map_err(older)?;
        expect_version(whole["version"].is_string() && whole["pipelines"].is_array())?;
        let mut changed = false;
        loop {
            let count = whole["pipelines"].as_array().map_or(0, Vec::len);
            if whole["total"].as_u64().is_none_or(|total| count as u64 >= total) {
                break;
            }
            if count >= MOST {
                return Err(Error::NotOurs(format!("it has more than {MOST} pipelines")));
            }
            let mut page: Value = client.get(&Ask::Overview(count).path()).await?;
            changed |= page["generation"] != whole["generation"];
            match (whole["pipelines"].as_array_mut(), page["pipelines"].as_array_mut()) {
                (Some(all), Some(more)) if !more.is_empty() => all.append(more),
                _ => break,
            }
        }
        // In the end, a mixture is better than nothing.
        if !changed || attempt == ATTEMPTS {
            return Ok(whole);
        }
        attempt += 1;
    }
}

fn expect_version(there: bool) -> Result<(), Error> {
    let told = "it has no version and no pipelines; is this the admin listener of a linkspan gateway?";
    if there { Ok(()) } else { Err(Error::NotOurs(told.to_owned())) }
}

/// A gateway that has no such path was built before this command.
fn older(error: Error) -> Error {
    match error {
        Error::Refused(StatusCode::NOT_FOUND, _) => {
            let told = "nothing is at its path; is this the admin listener of a linkspan gateway that is as new as this command?";
            Error::NotOurs(told.to_owned())
        }
        error => error,
    }
}
