//! `linkspan top`: a running gateway live in the terminal, or as a table for programs.
//!
//! `ask` gets the admin listener's `answers`, of which `rates` makes what happens per second. `state` is what is looked
//! at, `keys` changes it, `views` says what it shows, and `draw` puts that on `cells` of any size: these know no
//! terminal, and are tested without one. `screen`, `input` and `live` have the terminal.

mod answers;
mod ask;
mod cells;
mod draw;
mod format;
mod grid;
mod input;
mod keys;
mod label;
mod live;
mod rates;
mod screen;
mod state;
mod strip;
#[cfg(test)]
mod tests;
mod views;

use self::answers::Overview;
use self::rates::History;
use self::state::Sort;
use super::admin::{self, AdminClient, Error, TokenFrom, USUAL_ADDRESS};
use super::failed::{Failed, print};
use crate::config::{format_duration, parse_duration};
use crate::telemetry::harmless_json;
use clap::Args;
use serde::Deserialize as _;
use serde_json::Value;
use std::io::{IsTerminal as _, stdin, stdout};
use std::time::Duration;

/// How often the gateway is asked.
const USUAL_INTERVAL: Duration = Duration::from_secs(1);
const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);
const LONGEST_INTERVAL: Duration = Duration::from_secs(3600);

#[derive(Debug, Args)]
pub(super) struct Options {
    /// The admin listener of the gateway, as http://HOST:PORT or HOST:PORT
    #[arg(value_name = "ADMIN", default_value = USUAL_ADDRESS)]
    address: String,
    /// How often the gateway is asked, as 500ms or 5s. With --once or --json, the time that rates are of; without it, they
    /// are of the time since the gateway's start
    #[arg(long, value_name = "TIME", value_parser = interval)]
    interval: Option<Duration>,
    /// Print one table of the pipelines, and end
    #[arg(long)]
    once: bool,
    /// Print what the admin listener answers at /overview, of all pipelines, and end
    #[arg(long, conflicts_with = "once")]
    json: bool,
    #[command(flatten)]
    token: TokenFrom,
}

fn interval(text: &str) -> Result<Duration, String> {
    let interval = parse_duration(text).map_err(|fault| format!("{fault}; {}", fault.help))?;
    if !(SHORTEST_INTERVAL..=LONGEST_INTERVAL).contains(&interval) {
        let (least, most) = (format_duration(SHORTEST_INTERVAL), format_duration(LONGEST_INTERVAL));
        return Err(format!("expected at least {least} and at most {most}"));
    }
    Ok(interval)
}

/// Runs the command.
pub(super) fn run(options: &Options) -> Result<(), Failed> {
    let live = !options.once && !options.json;
    if live && !(stdin().is_terminal() && stdout().is_terminal()) {
        return Err(Failed::usage(
            "standard input and output are no terminal: `--once` prints a table, and `--json` what the gateway answers",
        ));
    }
    let token = options.token.read()?;
    let client = AdminClient::new(&options.address, token.as_deref())?;
    if live {
        let interval = options.interval.unwrap_or(USUAL_INTERVAL);
        return admin::run(live::watch(&client, interval))?;
    }
    let text = admin::run(text(&client, options))?;
    let text = text.map_err(|error| match error {
        error @ (Error::Address(..) | Error::Token) => error.into(),
        error => Failed::system(format!("cannot ask `{}`: {error}", client.address())),
    })?;
    print(&text)
}

/// What is printed without a terminal.
async fn text(client: &AdminClient, options: &Options) -> Result<String, Error> {
    let first = ask::whole(client).await?;
    if options.json {
        return Ok(format!("{}\n", harmless_json(&format!("{first:#}"))));
    }
    let mut history = History::default();
    history.push(overview(&first)?);
    if let Some(interval) = options.interval {
        tokio::time::sleep(interval).await;
        history.push(overview(&ask::whole(client).await?)?);
    }
    Ok(views::table(&history, Sort::Configuration).0.to_text())
}

fn overview(answer: &Value) -> Result<Overview, Error> {
    Overview::deserialize(answer).map_err(|error| Error::NotOurs(error.to_string()))
}
