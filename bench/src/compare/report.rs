//! The results: tables for people, JSON for programs, charts.

use super::options::Options;
use super::peers::Peer;
use super::scenario::Scenario;
use crate::Result;
use crate::drive::{Round, median, percentile};
use crate::machine::{self, Cores};
use crate::svg;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

/// The measurements of one server.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// Microseconds of CPU a request, and requests a second, of each turn.
    pub cpu: Vec<f64>,
    rates: Vec<f64>,
    /// The same CPU, and microseconds within which half and 99 of 100 were answered, under the open load.
    open_cpu: Vec<f64>,
    half: Vec<f64>,
    most: Vec<f64>,
    requests: u64,
    pub failures: Vec<String>,
    /// Bytes, at the end and at most.
    pub resident: u64,
    pub most_resident: u64,
}

fn micros(cpu: Duration, requests: u64) -> f64 {
    cpu.as_secs_f64() * 1e6 / requests.max(1) as f64
}

impl Figures {
    /// Adds a turn of the closed load.
    pub fn closed(&mut self, round: &Round, cpu: Duration) {
        self.cpu.push(micros(cpu, round.requests));
        self.rates.push(round.requests as f64 / round.elapsed.as_secs_f64());
        self.requests += round.requests;
        self.failures.extend(round.failures());
    }

    /// Adds a turn of the open load.
    pub fn open(&mut self, round: &Round, cpu: Duration) {
        self.open_cpu.push(micros(cpu, round.requests));
        self.half.push(percentile(&round.latencies, 0.5));
        self.most.push(percentile(&round.latencies, 0.99));
        self.requests += round.requests;
        self.failures.extend(round.failures());
    }

    /// Requests a second.
    pub fn rate(&self) -> f64 {
        median(&self.rates)
    }

    fn json(&self) -> Value {
        json!({
            "cpu-us": median(&self.cpu),
            "cpu-us-of-turns": self.cpu,
            "requests-per-second": self.rate(),
            "open-cpu-us": number(median(&self.open_cpu)),
            "open-p50-us": number(median(&self.half)),
            "open-p99-us": number(median(&self.most)),
            "requests": self.requests,
            "failures": self.failures,
            "resident-bytes": self.resident,
            "most-resident-bytes": self.most_resident,
        })
    }
}

/// JSON has no number for a missing measurement.
fn number(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

/// The servers of a scenario.
pub struct Table {
    name: String,
    title: String,
    /// Requests a second of the open load.
    pub rate: Option<f64>,
    pub rows: Vec<(String, Figures)>,
    pub notes: Vec<String>,
}

impl Table {
    pub fn new(scenario: &Scenario) -> Self {
        let (name, title) = (scenario.name.clone(), scenario.title.clone());
        Self { name, title, rate: None, rows: Vec::new(), notes: Vec::new() }
    }

    /// For people, as Markdown.
    pub fn text(&self) -> String {
        let mut text = format!(
            "\n### {}\n\n| server | µs CPU a request | against linkspan | requests a second | p50 µs | p99 µs | resident MiB | failed |\n\
             | --- | --: | --: | --: | --: | --: | --: | --: |\n",
            self.title
        );
        let first = self.rows.first().map_or(f64::NAN, |(_, figures)| median(&figures.cpu));
        for (name, figures) in &self.rows {
            let cpu = median(&figures.cpu);
            let show = |value: f64| if value.is_finite() { format!("{value:.0}") } else { "-".to_owned() };
            // Writing to a string does not fail.
            let _ = writeln!(
                text,
                "| {name} | {cpu:.2} | {:.2} × | {:.0} | {} | {} | {:.1} | {} |",
                cpu / first,
                figures.rate(),
                show(median(&figures.half)),
                show(median(&figures.most)),
                figures.resident as f64 / f64::from(1 << 20),
                if figures.failures.is_empty() { "0".to_owned() } else { figures.failures.join("; ") },
            );
        }
        if let Some(rate) = self.rate {
            let _ = writeln!(text, "\nLatencies at {rate:.0} requests a second, from when each was due.");
        }
        for note in &self.notes {
            let _ = writeln!(text, "\nNot compared: {note}");
        }
        text
    }

    fn json(&self) -> Value {
        let rows: Vec<_> = self
            .rows
            .iter()
            .map(|(name, figures)| {
                let mut row = figures.json();
                row["server"] = name.as_str().into();
                row
            })
            .collect();
        json!({ "scenario": self.name, "title": self.title, "open-rate": self.rate, "servers": rows })
    }
}

/// Another kind of measurement.
pub struct Section {
    pub name: &'static str,
    pub title: String,
    /// Markdown, below the title.
    pub text: String,
    pub json: Value,
    /// SVG.
    pub chart: String,
    /// What was not measured, and why.
    pub notes: Vec<String>,
}

impl Section {
    fn text(&self) -> String {
        let notes: String = self.notes.iter().map(|note| format!("\nNot compared: {note}\n")).collect();
        format!("\n### {}\n\n{}{notes}", self.title, self.text)
    }
}

/// All results.
pub struct Report {
    about: Value,
    tables: Vec<Table>,
    sections: Vec<Section>,
    pub notes: Vec<String>,
}

impl Report {
    pub fn new(options: &Options, cores: Option<Cores>) -> Self {
        let peers = &options.peers;
        let version = |peer: &Option<Peer>| peer.as_ref().map(|peer| peer.version.clone());
        let own = std::process::Command::new(&options.binary).arg("--version").output();
        let own =
            own.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
        let about = json!({
            "benchmark": "compare",
            "date": machine::date(),
            "machine": machine::describe(),
            "pinned": cores.map(|cores| format!("{cores:?}")),
            "rounds": options.rounds,
            "seconds": options.turn.as_secs_f64(),
            "connections": options.connections,
            "versions": {
                "linkspan": own,
                "wasmtime": version(&peers.wasmtime),
                "envoy": version(&peers.envoy),
                "nginx": version(&peers.nginx),
                "haproxy": version(&peers.haproxy),
            },
        });
        Self { about, tables: Vec::new(), sections: Vec::new(), notes: peers.missing.clone() }
    }

    /// Prints a table and adds it; what it notes.
    pub fn table(&mut self, table: Table) -> Vec<String> {
        print!("{}", table.text());
        let notes = table.notes.clone();
        self.tables.push(table);
        notes
    }

    /// The same for a result that is no table of servers.
    pub fn section(&mut self, section: Section) -> Vec<String> {
        print!("{}", section.text());
        let notes = section.notes.clone();
        self.sections.push(section);
        notes
    }

    /// Whether anything was measured.
    pub fn has_figures(&self) -> bool {
        !(self.tables.is_empty() && self.sections.is_empty())
    }

    /// Writes `compare.json`, `compare.md` and a chart for each scenario.
    pub fn write(&self, folder: &Path) -> Result<()> {
        std::fs::create_dir_all(folder)?;
        let mut json = self.about.clone();
        json["scenarios"] = self.tables.iter().map(Table::json).collect();
        for section in &self.sections {
            json[section.name] = section.json.clone();
        }
        json["notes"] = self.notes.clone().into();
        std::fs::write(folder.join("compare.json"), format!("{json:#}\n"))?;
        let mut text = String::from("# linkspan beside others\n\n");
        let _ = writeln!(text, "```json\n{:#}\n```", self.about);
        for table in &self.tables {
            text.push_str(&table.text());
            let rows: Vec<_> =
                table.rows.iter().map(|(name, figures)| (name.clone(), median(&figures.cpu))).collect();
            let title = format!("{}: µs of CPU a request", table.title);
            std::fs::write(
                folder.join(format!("compare-{}.svg", table.name)),
                svg::bars(&title, "µs", &rows),
            )?;
        }
        for section in &self.sections {
            text.push_str(&section.text());
            std::fs::write(folder.join(format!("compare-{}.svg", section.name)), &section.chart)?;
        }
        std::fs::write(folder.join("compare.md"), text)?;
        let hops = self.hops();
        if hops.iter().any(|(_, points)| points.len() > 1) {
            let chart = svg::lines("CPU a request against middleware", "no-op middleware", "µs", &hops);
            std::fs::write(folder.join("compare-chain.svg"), chart)?;
        }
        Ok(())
    }

    /// CPU a request against the number of middleware, for each kind of server.
    fn hops(&self) -> Vec<svg::Series> {
        let mut series: Vec<svg::Series> = Vec::new();
        for table in &self.tables {
            let Some(count) = table.name.strip_prefix("chain-").and_then(|count| count.parse::<f64>().ok())
            else {
                continue;
            };
            for (name, figures) in &table.rows {
                let point = (count, median(&figures.cpu));
                match series.iter_mut().find(|(known, _)| known == name) {
                    Some((_, points)) => points.push(point),
                    None => series.push((name.clone(), vec![point])),
                }
            }
        }
        series.retain(|(_, points)| points.len() > 1);
        series
    }
}
