//! What clients notice of a configuration that is swapped: linkspan beside a reload of nginx.
//!
//! Both answer a number, which each swap changes; the swap counts when a new connection gets the new one. Turns without
//! and with swaps alternate, under the same open load. The load does what clients do: a connection that was closed
//! while it was idle is made anew before a request is sent. One that breaks under a request has failed it.

use super::configs::{self, Answer, Chain, Place, Stage};
use super::group::{Folder, prepare, with_file};
use super::options::Options;
use super::report::Section;
use crate::Result;
use crate::drive::{Expected, Round, median, open, percentile};
use crate::machine::Cores;
use crate::server::{Server, free_address};
use crate::svg;
use crate::wire::{Ask, Protocol, Target};
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

pub const NAME: &str = "swap";

/// Requests a second, and time from one swap to the next one.
const RATE: f64 = 2000.0;
const PACE: Duration = Duration::from_millis(100);

/// The longest wait for a swap, and the time between two looks at the answer.
const SOON: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(2);

/// Sends signals without a process for each, which the load would notice.
struct Signals(Child);

impl Signals {
    fn start() -> Result<Self> {
        let mut shell = Command::new("sh");
        shell.args(["-c", "while read -r signal process; do kill -s \"$signal\" \"$process\"; done"]);
        Ok(Self(shell.stdin(Stdio::piped()).spawn()?))
    }

    fn send(&mut self, signal: &str, process: u32) -> Result<()> {
        let input = self.0.stdin.as_mut().ok_or("no shell")?;
        Ok(writeln!(input, "{signal} {process}")?)
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        // Its input ends, and with it the process.
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

type Write = Box<dyn Fn(u32) -> String>;

/// A server whose configuration can be swapped.
struct Swapped {
    name: &'static str,
    server: Server,
    file: PathBuf,
    /// The configuration with a number.
    write: Write,
    target: Rc<Target>,
    signals: RefCell<Signals>,
    number: Cell<u32>,
    /// Milliseconds from each swap to the first answer with it.
    took: RefCell<Vec<f64>>,
}

impl Drop for Swapped {
    fn drop(&mut self) {
        // nginx has processes of its own, which end with it if it is asked to end.
        if self.signals.get_mut().send("TERM", self.server.id()).is_ok() {
            self.server.ended(Duration::from_secs(5));
        }
    }
}

/// The results of the load.
#[derive(Default)]
struct Turns {
    /// Microseconds within which half and 99 of 100 were answered, of each turn.
    half: Vec<f64>,
    most: Vec<f64>,
    requests: u64,
    failed: u64,
    failures: Vec<String>,
}

impl Turns {
    fn add(&mut self, round: &Round) {
        self.half.push(percentile(&round.latencies, 0.5));
        self.most.push(percentile(&round.latencies, 0.99));
        self.requests += round.requests + round.failed;
        self.failed += round.failed;
        self.failures.extend(round.failures());
    }

    fn json(&self) -> Value {
        json!({
            "p50-us": median(&self.half),
            "p99-us": median(&self.most),
            "p99-us-of-turns": self.most,
            "requests": self.requests,
            "failed": self.failed,
            "failures": self.failures,
        })
    }
}

/// The answer of configuration `number`.
fn answer(number: u32) -> String {
    format!("Hello {number:06}\n")
}

impl Swapped {
    /// Swaps until it is told to stop.
    async fn swap(self: Rc<Self>, stop: Rc<Cell<bool>>) -> std::result::Result<(), String> {
        let (start, mut due) = (Instant::now(), PACE / 2);
        while !stop.get() {
            tokio::time::sleep(due.saturating_sub(start.elapsed())).await;
            self.once().await.map_err(|error| error.to_string())?;
            due += PACE;
        }
        Ok(())
    }

    async fn once(&self) -> Result<()> {
        let number = self.number.get() + 1;
        self.number.set(number);
        let next = self.file.with_extension("next");
        std::fs::write(&next, (self.write)(number))?;
        std::fs::rename(&next, &self.file)?;
        self.signals.borrow_mut().send("HUP", self.server.id())?;
        let start = Instant::now();
        let expected = answer(number);
        loop {
            let reply = async { self.target.open().await?.ask(&self.target).await };
            if reply.await.is_ok_and(|reply| reply.body == expected.as_bytes()) {
                break;
            }
            if start.elapsed() > SOON {
                return Err(
                    format!("configuration {number} was not taken:\n{}", self.server.last_words()).into()
                );
            }
            tokio::time::sleep(LOOK).await;
        }
        self.took.borrow_mut().push(start.elapsed().as_secs_f64() * 1e3);
        Ok(())
    }

    async fn turn(self: &Rc<Self>, options: &Options, swapping: bool) -> Result<Round> {
        let expected = Expected { status: 200, length: answer(0).len() };
        let stop = Rc::new(Cell::new(false));
        let swaps = swapping.then(|| tokio::task::spawn_local(Rc::clone(self).swap(Rc::clone(&stop))));
        let load = open(&self.target, expected, options.connections, RATE, options.turn, || Ok(()));
        let (round, ()) = load.await?;
        stop.set(true);
        if let Some(swaps) = swaps {
            swaps.await??;
        }
        Ok(round)
    }
}

/// One of the servers, and its results.
struct Contender {
    server: Rc<Swapped>,
    still: Turns,
    swapping: Turns,
}

/// Measures both servers.
pub async fn measure(options: &Options, cores: Option<Cores>) -> Result<Section> {
    let folder = Folder::new()?;
    prepare(&folder.0)?;
    let mut contenders = Vec::new();
    let mut notes = Vec::new();
    for made in [linkspan(options, cores, &folder.0), nginx(options, cores, &folder.0)] {
        match made {
            Ok(Some(server)) => contenders.push(Contender {
                server: Rc::new(server),
                still: Turns::default(),
                swapping: Turns::default(),
            }),
            Ok(None) => {}
            Err(error) => notes.push(error.to_string()),
        }
    }
    for round in 0..=options.rounds {
        for Contender { server, still, swapping } in &mut contenders {
            let without = server.turn(options, false).await?;
            let with = server.turn(options, true).await?;
            match round {
                // The first turn warms up, and is not counted.
                0 => server.took.borrow_mut().clear(),
                _ => {
                    still.add(&without);
                    swapping.add(&with);
                }
            }
        }
    }
    let rows = |turns: fn(&Contender) -> f64| {
        contenders.iter().map(move |contender| (contender.server.name.to_owned(), turns(contender)))
    };
    let bars: Vec<_> = rows(|contender| median(&contender.still.most))
        .map(|(name, value)| (format!("{name}, as it is"), value))
        .chain(
            rows(|contender| median(&contender.swapping.most))
                .map(|(name, value)| (format!("{name}, swapped"), value)),
        )
        .collect();
    Ok(Section {
        name: NAME,
        title: format!("{:.0} swaps a second, under load", 1.0 / PACE.as_secs_f64()),
        text: text(&contenders),
        json: contenders.iter().map(Contender::json).collect(),
        chart: svg::bars("99th percentile while configurations are swapped", "µs", &bars),
        notes,
    })
}

impl Contender {
    fn json(&self) -> Value {
        let took = self.server.took.borrow();
        json!({
            "server": self.server.name,
            "requests-per-second": RATE,
            "swaps": took.len(),
            "swap-p50-ms": median(&took),
            "without-swaps": self.still.json(),
            "while-swapping": self.swapping.json(),
        })
    }
}

fn text(contenders: &[Contender]) -> String {
    let mut text =
        "| server | swaps | ms until one answers | p50 µs, without | swapping | p99 µs, without | \
                    swapping | failed, without | swapping |\n\
                    | --- | --: | --: | --: | --: | --: | --: | --: | --: |\n"
            .to_owned();
    for Contender { server, still, swapping } in contenders {
        let took = server.took.borrow();
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "| {} | {} | {:.1} | {:.0} | {:.0} | {:.0} | {:.0} | {} of {} | {} of {} |",
            server.name,
            took.len(),
            median(&took),
            median(&still.half),
            median(&swapping.half),
            median(&still.most),
            median(&swapping.most),
            still.failed,
            still.requests,
            swapping.failed,
            swapping.requests,
        );
    }
    for Contender { server, still, swapping } in contenders {
        if let Some(failure) = still.failures.iter().chain(&swapping.failures).next() {
            let _ = writeln!(text, "\n{}: {failure}", server.name);
        }
    }
    let _ =
        writeln!(text, "\nAt {RATE:.0} requests a second, from when each was due; one core for the server.");
    text
}

fn linkspan(options: &Options, cores: Option<Cores>, folder: &Path) -> Result<Option<Swapped>> {
    let components = options.components.canonicalize()?;
    let write = move |place: Place, number: u32| {
        let greeting = answer(number);
        let chain = Chain::new(Stage::times("pass-through-sync", 3), "hello")
            .service_with(&format!(", config = {{ greeting = {:?} }}", greeting.trim_end()));
        configs::linkspan(&chain, &components, place)
    };
    start(("linkspan, 3 middleware", "linkspan"), cores, folder, write, |text, slug| {
        with_file(&options.binary, text, folder, slug, &["serve"])
    })
    .map(Some)
}

fn nginx(options: &Options, cores: Option<Cores>, folder: &Path) -> Result<Option<Swapped>> {
    let Some(nginx) = &options.peers.nginx else { return Ok(None) };
    let write = |place: Place, number: u32| {
        let text = configs::nginx(Answer::Hello, place);
        let greeting = answer(number).replace('\n', "\\n");
        // The process that reloads is not the one that serves.
        text.replace("master_process off;\n", "").replace(configs::HELLO, &greeting)
    };
    start(("nginx, return", "nginx"), cores, folder, write, |text, slug| {
        with_file(&nginx.program, text, folder, slug, &["-p", ".", "-c"])
    })
    .map(Some)
}

/// Starts a server whose configuration `write` makes.
fn start(
    (name, slug): (&'static str, &str),
    cores: Option<Cores>,
    folder: &Path,
    write: impl Fn(Place, u32) -> String + 'static,
    command: impl FnOnce(&str, &str) -> Result<Command>,
) -> Result<Swapped> {
    let address = free_address()?;
    let place = Place { address, behind: None, tls: false };
    let mut command = command(&write(place, 0), slug)?;
    command.env("LINKSPAN_LOG", "warn");
    let server = Server::start(&command, cores, address, &folder.join(format!("{slug}.log")))?;
    let certificate = rustls::pki_types::CertificateDer::from(Vec::new());
    let target = Rc::new(Target::new(address, Protocol::Plain, Ask::get("/"), &certificate)?);
    Ok(Swapped {
        name,
        server,
        file: folder.join(format!("{slug}.yaml")),
        write: Box::new(move |number| write(place, number)),
        target,
        signals: RefCell::new(Signals::start()?),
        number: Cell::new(0),
        took: RefCell::default(),
    })
}
