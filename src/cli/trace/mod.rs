//! `linkspan trace`: what each stage of a running gateway did with one request.
//!
//! With a URL, the request is sent, to the listener that clients use; without one, the next request that matches is waited for.
//! Either way the gateway is asked, by its admin listener, to record that request whatever its sample says. A request that is
//! sent is known by the trace that it names, 128 random bits.
//!
//! Bounds: `--timeout` for all of it; 1 MiB of the response's body is read.

mod changes;
mod options;
mod send;
mod show;

use super::admin::{AdminClient, Error, run as block_on};
use super::failed::{Failed, print};
use http::{Method, StatusCode};
pub(super) use options::Options;
use send::Sending;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// The time between two questions for the trace.
const AGAIN: Duration = Duration::from_millis(100);

/// How long to wait for the request's end in the gateway once its response is here.
const REST: Duration = Duration::from_secs(10);

/// Runs the command.
pub(super) fn run(options: &Options) -> Result<(), Failed> {
    let client = AdminClient::new(&options.admin, options.token.read()?.as_deref())?;
    let trace = block_on(trace(options, &client))??;
    match options.json {
        true => print(&format!("{trace:#}\n")),
        false => print(&show::text(&trace)),
    }
}

async fn trace(options: &Options, client: &AdminClient) -> Result<Value, Failed> {
    let until = Instant::now() + Duration::from_secs(options.timeout);
    let sending = options.url.as_ref().map(|url| Sending::new(options, url)).transpose()?;
    let wanted = match &sending {
        Some(sending) => json!({ "trace-id": sending.trace.to_string() }),
        None => {
            let conditions = [
                ("method", options.method.as_ref().map(Method::to_string)),
                ("host", options.host.clone()),
                ("path", options.path.clone()),
            ];
            conditions
                .into_iter()
                .filter_map(|(name, value)| Some((name.to_owned(), Value::String(value?))))
                .collect()
        }
    };
    let ask = json!({ "match": with_place(wanted, sending.as_ref()), "reveal": options.reveal, "body": options.body, "timeout": options.timeout });
    let answer = client.ask(Method::POST, "/-/traces", Some(&ask)).await?;
    let answer: Value = serde_json::from_slice(&answer).map_err(Failed::system)?;
    let path = format!("/traces/next/{}", answer["watch"].as_str().unwrap_or_default());
    let Some(sending) = sending else {
        eprintln!("waiting for a request; {} s at most", options.timeout);
        return wait(client, &path, until, |state| state.is_some())
            .await?
            .ok_or_else(|| late("no request came"));
    };
    // Until the gateway is ready to look at the stages.
    wait(client, &path, until, |state| state != Some("armed")).await?;
    if Instant::now() >= until {
        return Err(late("the gateway was not ready to look at its stages"));
    }
    let sent =
        tokio::time::timeout_at(until.into(), sending.send()).await.map_err(|_| late("no response came"))?;
    let status = sent?;
    let until = until.min(Instant::now() + REST);
    match wait(client, &path, until, |state| state.is_some()).await? {
        Some(trace) => Ok(trace),
        None => Err(Failed::system(format!(
            "the response came ({status}), but not the trace: is the URL a listener of the gateway at {}?",
            client.address()
        ))),
    }
}

/// With the host and path to which a request will be sent: for their stages the gateway makes ready.
fn with_place(mut wanted: Value, sending: Option<&Sending>) -> Value {
    if let Some(sending) = sending {
        wanted["host"] = sending.host().into();
        wanted["path"] = sending.path().into();
    }
    wanted
}

fn late(what: &str) -> Failed {
    Failed::system(format!("{what} in time (`--timeout`)"))
}

/// Asks for the trace of a watch, for as long as it `waits` in its state, or until its time is over.
async fn wait(
    client: &AdminClient,
    path: &str,
    until: Instant,
    waits: impl Fn(Option<&str>) -> bool,
) -> Result<Option<Value>, Failed> {
    loop {
        let answer = match client.ask(Method::GET, path, None).await {
            // Its time is over there as well.
            Err(Error::Refused(StatusCode::NOT_FOUND, _)) => return Ok(None),
            answer => answer?,
        };
        let answer: Value = serde_json::from_slice(&answer).map_err(Failed::system)?;
        match answer["state"].as_str() {
            None => return Ok(Some(answer)),
            state if !waits(state) || Instant::now() >= until => return Ok(None),
            Some(_) => tokio::time::sleep(AGAIN).await,
        }
    }
}
