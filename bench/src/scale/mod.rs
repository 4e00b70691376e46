//! `scale`: the cost of a request against the number of middleware, pipelines, routes, idle connections, and requests
//! that wait; and the memory of each.
//!
//! Nothing may grow worse than linearly, and what a request does not use may cost it nothing.

mod memory;
mod start;

use crate::Result;
use crate::arguments::Arguments;
use crate::compare::Peers;
use crate::compare::configs::{Chain, Stage, components};
use crate::drive::{Expected, Shape, closed, median};
use crate::machine::{self, Cores};
use crate::server::{Server, free_address};
use crate::svg;
use crate::wire::{Ask, Protocol, Target};
use rustls::pki_types::CertificateDer;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;
use std::time::{Duration, Instant};

pub const HELP: &str = "\
linkspan-bench scale [options]

Measures what a request costs against the number of things, and the memory of each of them.

  --binary FILE      the gateway (target/release/linkspan)
  --components DIR   its components (components/dist)
  --peers DIR        where others are, of which the start is measured, too (target/peers)
  --only NAMES       of stages, pipelines, routes, idle, mix, waiting, warm, start, with commas between them
  --seconds N        of each measurement (2)
  --rounds N         measurements of each point, of which the middle one counts (3)
  --output DIR       where results go (bench/results/<date>-<machine>)
  --quick            a fifth of a second, one round, and small numbers
";

const SYNC: &str = "pass-through-sync";
const ASYNC: &str = "pass-through-async";

struct Scale {
    binary: PathBuf,
    components: PathBuf,
    time: Duration,
    rounds: usize,
    quick: bool,
    cores: Option<Cores>,
    folder: PathBuf,
    certificate: CertificateDer<'static>,
    peers: Peers,
}

/// A line of a chart: its name, and for each number the measurement and resident bytes.
struct Line {
    name: String,
    points: Vec<Point>,
}

struct Point {
    number: f64,
    /// In the chart's measure; not a number if nothing was measured.
    value: f64,
    resident: u64,
}

impl Point {
    /// KiB that each additional thing up to `last` keeps resident.
    fn kib_each_to(&self, last: &Self) -> f64 {
        last.resident.saturating_sub(self.resident) as f64 / (last.number - self.number) / 1024.0
    }
}

/// A chart: the meaning of its numbers, and its lines.
struct Chart {
    name: &'static str,
    title: &'static str,
    across: &'static str,
    measure: Measure,
    lines: Vec<Line>,
    notes: Vec<String>,
}

/// What is measured at each number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Measure {
    /// Microseconds of CPU a request.
    Cpu,
    /// Milliseconds from the start of the process to the first answer.
    Start,
}

impl Measure {
    /// Its name in a table, in JSON, and in the file name of a chart; and its unit.
    fn names(self) -> [&'static str; 4] {
        match self {
            Self::Cpu => ["µs CPU a request", "cpu-us", "cpu", "µs"],
            Self::Start => ["ms to the first answer", "start-ms", "time", "ms"],
        }
    }
}

/// Runs it.
pub async fn run(mut arguments: Arguments) -> Result<bool> {
    let quick = arguments.flag("--quick");
    let folder = std::env::temp_dir().join(format!("linkspan-scale-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let only = arguments.text("--only", "stages,pipelines,routes,idle,mix,waiting,warm,start");
    let output = format!("bench/results/{}-{}", machine::date(), machine::name());
    let output: PathBuf = arguments.text("--output", &output).into();
    let certificate = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?.cert.der().clone();
    let scale = Scale {
        binary: std::path::absolute(arguments.text("--binary", "target/release/linkspan"))?,
        components: PathBuf::from(arguments.text("--components", "components/dist")).canonicalize()?,
        time: Duration::from_secs_f64(
            arguments.number("--seconds", if quick { 0.2 } else { 2.0 })?.clamp(0.1, 60.0),
        ),
        rounds: (arguments.number("--rounds", if quick { 1.0 } else { 3.0 })? as usize).clamp(1, 100),
        quick,
        cores: Cores::split(),
        folder,
        certificate,
        // Peers that start in a moment are not worth an installation.
        peers: Peers::find(Path::new(&arguments.text("--peers", "target/peers")), false),
    };
    arguments.end(HELP)?;
    let mut charts = Vec::new();
    for name in only.split(',') {
        eprintln!("==> {name}");
        let chart = match name {
            "stages" => scale.stages().await,
            "pipelines" => scale.pipelines().await,
            "routes" => scale.routes().await,
            "idle" => scale.idle().await,
            "mix" => scale.mix().await,
            "waiting" => scale.waiting().await,
            "warm" => scale.warm().await,
            "start" => scale.starts().await,
            other => Err(format!("there is no chart {other}\n\n{HELP}").into()),
        }?;
        print!("{}", chart.text());
        charts.push(chart);
        write(&scale, &charts, &output)?;
    }
    // Remains are in the system's temporary folder.
    let _ = std::fs::remove_dir_all(&scale.folder);
    eprintln!("==> {}", output.display());
    Ok(true)
}

fn write(scale: &Scale, charts: &[Chart], output: &Path) -> Result<()> {
    std::fs::create_dir_all(output)?;
    let json = json!({
        "benchmark": "scale",
        "date": machine::date(),
        "machine": machine::describe(),
        "seconds": scale.time.as_secs_f64(),
        "rounds": scale.rounds,
        "charts": charts.iter().map(Chart::json).collect::<Vec<_>>(),
    });
    std::fs::write(output.join("scale.json"), format!("{json:#}\n"))?;
    let text: String = charts.iter().map(Chart::text).collect();
    std::fs::write(output.join("scale.md"), format!("# Against the number of things\n{text}"))?;
    for chart in charts {
        let values: Vec<_> = chart.series(|point| point.value);
        if values.iter().any(|(_, points)| !points.is_empty()) {
            let [measured, _, name, unit] = chart.measure.names();
            let svg = svg::lines(&format!("{}: {measured}", chart.title), chart.across, unit, &values);
            std::fs::write(output.join(format!("scale-{}-{name}.svg", chart.name)), svg)?;
        }
        let memory = chart.series(|point| point.resident as f64 / f64::from(1 << 20));
        let svg = svg::lines(&format!("{}: resident memory", chart.title), chart.across, "MiB", &memory);
        std::fs::write(output.join(format!("scale-{}-memory.svg", chart.name)), svg)?;
    }
    Ok(())
}

impl Chart {
    fn new(name: &'static str, title: &'static str, across: &'static str) -> Self {
        Self { name, title, across, measure: Measure::Cpu, lines: Vec::new(), notes: Vec::new() }
    }

    fn series(&self, value: impl Fn(&Point) -> f64) -> Vec<svg::Series> {
        let line = |line: &Line| {
            let points =
                line.points.iter().map(|point| (point.number, value(point))).filter(|(_, y)| y.is_finite());
            (line.name.clone(), points.collect())
        };
        self.lines.iter().map(line).collect()
    }

    fn text(&self) -> String {
        let mut text = format!(
            "\n### {}\n\n| | {} | {} | resident MiB |\n| --- | --: | --: | --: |\n",
            self.title,
            self.across,
            self.measure.names()[0]
        );
        for line in &self.lines {
            for Point { number, value, resident } in &line.points {
                let mebibytes = *resident as f64 / f64::from(1 << 20);
                let value = if value.is_finite() { format!("{value:.2}") } else { "-".to_owned() };
                // Writing to a string does not fail.
                let _ = writeln!(text, "| {} | {number} | {value} | {mebibytes:.1} |", line.name);
            }
        }
        for note in &self.notes {
            let _ = writeln!(text, "\n{note}");
        }
        text
    }

    fn json(&self) -> Value {
        let line = |line: &Line| {
            let points: Vec<_> = line
                .points
                .iter()
                .map(|point| {
                    let value = Some(point.value).filter(|value| value.is_finite());
                    let measured = self.measure.names()[1];
                    json!({ "number": point.number, measured: value, "resident-bytes": point.resident })
                })
                .collect();
            json!({ "name": line.name, "points": points })
        };
        json!({
            "name": self.name,
            "title": self.title,
            "across": self.across,
            "lines": self.lines.iter().map(line).collect::<Vec<_>>(),
            "notes": self.notes,
        })
    }
}

/// One worker, and room for everything that is measured here.
fn head(address: SocketAddr, gateway: &str) -> String {
    format!(
        "[gateway]\nworkers = 1\nwatch = \"0s\"\n{gateway}\n[limits]\nconnections = 50000\nconnections-per-address = 50000\nidle-timeout = \"1h\"\n\
         instances = 20000\n\n[[listeners]]\naddress = \"{address}\"\n\n"
    )
}

impl Scale {
    /// The numbers to measure at.
    fn numbers<const N: usize>(&self, all: [usize; N]) -> Vec<usize> {
        all.into_iter().filter(|number| !self.quick || *number <= 100).collect()
    }

    fn start(&self, name: &str, rest: &str) -> Result<Server> {
        self.start_with("", name, rest)
    }

    /// The same with further keys of `[gateway]`.
    fn start_with(&self, gateway: &str, name: &str, rest: &str) -> Result<Server> {
        let address = free_address()?;
        let file = self.folder.join(format!("{name}.toml"));
        std::fs::write(&file, head(address, gateway) + rest)?;
        let mut command = Command::new(&self.binary);
        command.arg("serve").arg(&file).env("LINKSPAN_LOG", "warn").current_dir(&self.folder);
        Server::start(&command, self.cores, address, &self.folder.join(format!("{name}.log")))
    }

    fn target(&self, server: &Server, ask: Ask) -> Result<Rc<Target>> {
        Ok(Rc::new(Target::new(server.address, Protocol::Plain, ask, &self.certificate)?))
    }

    /// Microseconds of CPU that a request costs over 32 connections, once warm.
    async fn cpu(&self, server: &Server, ask: Ask) -> Result<f64> {
        let target = self.target(server, ask)?;
        let expected = Expected { status: 200, length: 0 };
        let shape = Shape { connections: 32, fresh: false };
        closed(&target, expected, shape, self.time / 4, || Ok(())).await?;
        let mut found = Vec::new();
        for _ in 0..self.rounds {
            let (round, before) = closed(&target, expected, shape, self.time, || server.cpu()).await?;
            if let Some(failure) = round.failure {
                return Err(
                    format!("{} requests failed: {failure}\n{}", round.failed, server.last_words()).into()
                );
            }
            found.push((server.cpu()? - before).as_secs_f64() * 1e6 / round.requests.max(1) as f64);
        }
        Ok(median(&found))
    }

    async fn point(&self, number: usize, server: &Server, path: &str) -> Result<Point> {
        let value = self.cpu(server, Ask::get(path)).await?;
        Ok(Point { number: number as f64, value, resident: server.resident()?.0 })
    }

    async fn stages(&self) -> Result<Chart> {
        let mut chart = Chart::new("stages", "No-op middleware in a pipeline", "middleware");
        let kinds = [
            ("static, sync", SYNC, ""),
            ("static, async rewritten", ASYNC, "lift = \"sync\""),
            ("static, async as it is", ASYNC, "lift = \"as-is\""),
            ("dynamic, sync", SYNC, "link = \"dynamic\""),
            ("dynamic, async", ASYNC, "link = \"dynamic\""),
        ];
        for (name, component, keys) in kinds {
            let mut points = Vec::new();
            for number in self.numbers([0, 1, 2, 4, 8, 12, 16]) {
                let chain = Chain::new(Stage::times(component, number), "empty").with(keys);
                let text = components([&chain], &self.components) + &chain.write("main");
                let server = self.start("stages", &(text + "[[routes]]\npipeline = \"main\"\n"))?;
                points.push(self.point(number, &server, "/").await?);
            }
            chart.lines.push(Line { name: name.to_owned(), points });
        }
        Ok(chart)
    }

    async fn pipelines(&self) -> Result<Chart> {
        let mut chart = Chart::new("pipelines", "Pipelines in a gateway, of which one is used", "pipelines");
        let chain = Chain::new(Stage::times(SYNC, 1), "empty");
        let mut points = Vec::new();
        for number in self.numbers([1, 10, 100, 300, 1000]) {
            let mut text = components([&chain], &self.components);
            for at in 0..number {
                text += &chain.clone().with("limits = { instances = 4 }").write(&format!("p{at}"));
                text += &format!("[[routes]]\npath = \"/p{at}\"\npipeline = \"p{at}\"\n\n");
            }
            let start = Instant::now();
            let server = self.start("pipelines", &text)?;
            let started = start.elapsed();
            points.push(self.point(number, &server, &format!("/p{}", number / 2)).await?);
            chart.notes.push(format!("{number} pipelines were ready after {:.1} s.", started.as_secs_f64()));
        }
        chart.lines.push(Line { name: "static, sync".to_owned(), points });
        Ok(chart)
    }

    async fn routes(&self) -> Result<Chart> {
        let mut chart = Chart::new("routes", "Routes in a gateway, of which one is used", "routes");
        let chain = Chain::new(Vec::new(), "empty");
        type Keys = fn(usize) -> String;
        let kinds: [(&str, Keys, &str); 2] = [
            ("by path", |at| format!("path = \"/api/v1/r{at}\""), "/api/v1/r"),
            ("by host, the last one for all", |at| format!("host = \"h{at}.example.com\""), "/"),
        ];
        for (name, route, path) in kinds {
            let mut points = Vec::new();
            for number in self.numbers([1, 10, 100, 1000, 10_000]) {
                let mut text = components([&chain], &self.components) + &chain.write("main");
                let last = number - 1;
                for at in 0..number {
                    let keys = if path == "/" && at == last { String::new() } else { route(at) };
                    text += &format!("[[routes]]\npipeline = \"main\"\n{keys}\n\n");
                }
                let server = self.start("routes", &text)?;
                let path = if path == "/" { path.to_owned() } else { format!("{path}{}", number / 2) };
                points.push(self.point(number, &server, &path).await?);
            }
            chart.lines.push(Line { name: name.to_owned(), points });
        }
        Ok(chart)
    }
}
