//! `compare`: linkspan beside other servers, on the same work, in the same run.
//!
//! The servers of a scenario run at once, on one core, and have their turns one after the other, round after round, so
//! that a machine whose speed drifts slows all of them; the load comes from another core. Before they are measured, all
//! must answer alike: status, body, and every field that is not a server's own.

pub mod configs;
mod filter;
mod filters;
mod peers;
mod reload;
mod report;
mod scenario;
mod scenarios;

use self::configs::{BOTH, CERTIFICATE, KEY, Place};
use self::filter::Filter;
pub use self::peers::Peers;
use self::report::{Figures, Report, Table};
use self::scenario::{Contender, Scenario, Setup};
use crate::Result;
use crate::arguments::Arguments;
use crate::drive::{Expected, Round, Shape, closed, open};
use crate::machine::Cores;
use crate::server::{Server, free_address};
use crate::wire::{Reply, Target};
use rustls::pki_types::CertificateDer;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;
use std::time::{Duration, Instant};

pub const HELP: &str = "\
linkspan-bench compare [options]

Compares linkspan with wasmtime serve, Envoy, nginx and HAProxy, as far as they are there or can be installed.

  --binary FILE      the gateway (target/release/linkspan)
  --before FILE      another build of it, which is measured beside it in every scenario
  --components DIR   its components (components/dist)
  --peers DIR        where peers are installed (target/peers)
  --no-install       use what is there; else wheels are unpacked into that folder, and root
                     installs Debian's nginx and haproxy where they are missing
  --only NAMES       these scenarios, with commas between them
  --rounds N         turns of each server (5)
  --seconds N        of a turn (2), and of one with an open-loop load
  --connections N    of the load (32)
  --minutes N        at most so long; scenarios that are left then are not run (60)
  --output DIR       where results go (bench/results/<date>-<machine>)
  --quick            2 rounds of half a second, and the shortest list of scenarios
";

/// Scenarios of the quick form.
const QUICK: [&str; 7] =
    ["service-empty", "chain-8", "fresh-8", "tls-h1", "upstream", filters::NAME, reload::NAME];

/// What is wanted.
pub struct Options {
    binary: PathBuf,
    before: Option<PathBuf>,
    components: PathBuf,
    only: Vec<String>,
    rounds: u32,
    turn: Duration,
    connections: usize,
    until: Instant,
    output: PathBuf,
    peers: Peers,
}

impl Options {
    fn parse(mut arguments: Arguments) -> Result<Self> {
        let quick = arguments.flag("--quick");
        let install = !arguments.flag("--no-install");
        let folder: PathBuf = arguments.text("--peers", "target/peers").into();
        let before = arguments.text("--before", "");
        let only = arguments.text("--only", if quick { "quick" } else { "" });
        let only: Vec<String> = match only.as_str() {
            "quick" => QUICK.map(str::to_owned).to_vec(),
            names => names.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect(),
        };
        let output = format!("bench/results/{}-{}", crate::machine::date(), crate::machine::name());
        let options = Self {
            binary: arguments.text("--binary", "target/release/linkspan").into(),
            before: (!before.is_empty()).then(|| before.into()),
            components: arguments.text("--components", "components/dist").into(),
            only,
            rounds: u32::try_from(arguments.number("--rounds", if quick { 2.0 } else { 5.0 })? as u64)?
                .clamp(1, 1000),
            turn: Duration::from_secs_f64(
                arguments.number("--seconds", if quick { 0.5 } else { 2.0 })?.clamp(0.1, 600.0),
            ),
            connections: (arguments.number("--connections", 32.0)? as usize).clamp(1, 1000),
            until: Instant::now()
                + Duration::from_secs_f64(60.0 * arguments.number("--minutes", 60.0)?.clamp(0.1, 1440.0)),
            output: arguments.text("--output", &output).into(),
            peers: Peers::find(&folder, install),
        };
        arguments.end(HELP)?;
        Ok(options)
    }
}

/// Runs it; says whether all of it could be.
pub async fn run(arguments: Arguments) -> Result<bool> {
    let options = Options::parse(arguments)?;
    for missing in &options.peers.missing {
        eprintln!("==> without {missing}");
    }
    let scenarios = scenarios::all();
    let names = scenarios.iter().map(|scenario| scenario.name.as_str());
    let names: Vec<_> = names.chain([filters::NAME, reload::NAME]).collect();
    if let Some(unknown) = options.only.iter().find(|name| !names.contains(&name.as_str())) {
        return Err(format!("there is no scenario {unknown}; there are {}", names.join(", ")).into());
    }
    let cores = Cores::split();
    if cores.is_none() {
        eprintln!("==> nothing is pinned: there is one core, or no taskset");
    }
    let mut report = Report::new(&options, cores);
    let start = Instant::now();
    let names: Vec<_> = names.into_iter().map(str::to_owned).collect();
    let wanted = names.iter().filter(|name| options.only.is_empty() || options.only.contains(name));
    for name in wanted {
        if Instant::now() > options.until {
            report.notes.push(format!("{name}: not run, the time was over"));
            continue;
        }
        eprintln!("==> {name}, after {:.1} min", start.elapsed().as_secs_f64() / 60.0);
        let notes = match scenarios.iter().find(|scenario| scenario.name == *name) {
            Some(scenario) => measure(&options, cores, scenario).await.map(|table| report.table(table)),
            None if name == filters::NAME => {
                filters::measure(&options, cores).await.map(|section| report.section(section))
            }
            None => reload::measure(&options, cores).await.map(|section| report.section(section)),
        };
        match notes {
            Ok(notes) => report.notes.extend(notes.iter().map(|note| format!("{name}: {note}"))),
            Err(error) => report.notes.push(format!("{name}: {error}")),
        }
        // What there is so far outlives a run that is broken off.
        report.write(&options.output)?;
    }
    for note in &report.notes {
        eprintln!("note: {note}");
    }
    report.write(&options.output)?;
    eprintln!("==> {}", options.output.display());
    Ok(report.has_figures())
}

/// A folder for one scenario, which is removed with it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self> {
        let folder = Self(std::env::temp_dir().join(format!("linkspan-compare-{}", std::process::id())));
        std::fs::create_dir_all(&folder.0)?;
        Ok(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What stays behind is in the system's temporary folder.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A server that runs, and what was measured of it.
struct Running {
    name: String,
    like: &'static str,
    server: Server,
    target: Rc<Target>,
    reply: Reply,
    figures: Figures,
}

/// The servers of a scenario.
struct Group {
    running: Vec<Running>,
    /// What some of them are in front of.
    _behind: Option<Server>,
    /// Why others are not among them.
    notes: Vec<String>,
    /// Last, since servers end before it.
    _folder: Folder,
}

impl Group {
    /// Starts them, and takes those that answer alike.
    async fn start(options: &Options, cores: Option<Cores>, scenario: &Scenario) -> Result<Self> {
        let folder = Folder::new()?;
        let certificate = prepare(&folder.0)?;
        let behind = match (scenario.behind, &options.peers.nginx) {
            (Some(answer), Some(nginx)) => {
                let place = Place { address: free_address()?, behind: None, tls: false };
                let text = configs::nginx(answer, place);
                let command = with_file(&nginx.program, &text, &folder.0, "behind", &["-p", ".", "-c"])?;
                Some(Server::start(&command, cores, place.address, &folder.0.join("behind.log"))?)
            }
            (Some(_), None) => return Err("there is no nginx to be a proxy of".into()),
            (None, _) => None,
        };
        let next = behind.as_ref().map(|server| server.address);
        let (mut running, mut notes) = (Vec::<Running>::new(), Vec::new());
        let contenders = match &options.before {
            Some(_) => scenario.clone().with_before().contenders,
            None => scenario.contenders.clone(),
        };
        for contender in &contenders {
            match start(options, cores, scenario, contender, next, &folder.0, &certificate).await {
                Ok(Some(started)) => {
                    let first = running.iter().find(|running| running.like == started.like);
                    match first.and_then(|first| difference(&first.reply, &started.reply)) {
                        Some(difference) => {
                            notes.push(format!("{} does other work: {difference}", started.name));
                        }
                        None => running.push(started),
                    }
                }
                Ok(None) => {}
                Err(error) => notes.push(format!("{}: {error}", contender.name)),
            }
        }
        Ok(Self { running, _behind: behind, notes, _folder: folder })
    }

    /// Rounds with a closed load. The first one warms up, and is not counted.
    async fn closed(&mut self, options: &Options, shape: Shape) -> Result<()> {
        for round in 0..=options.rounds {
            let time = if round == 0 { options.turn / 4 } else { options.turn };
            for contender in &mut self.running {
                let expected = expected(&contender.reply);
                let cpu = || contender.server.cpu();
                let (found, before) = closed(&contender.target, expected, shape, time, cpu).await?;
                if round > 0 {
                    contender.figures.closed(&found, contender.server.cpu()? - before);
                }
            }
        }
        Ok(())
    }
}

async fn measure(options: &Options, cores: Option<Cores>, scenario: &Scenario) -> Result<Table> {
    let mut table = Table::new(scenario);
    let mut group = Group::start(options, cores, scenario).await?;
    group.closed(options, Shape { connections: options.connections, fresh: scenario.fresh }).await?;
    table.notes.append(&mut group.notes);
    // At half of what the slowest one can do, the same for all.
    let slowest =
        group.running.iter().map(|contender| contender.figures.rate()).fold(f64::INFINITY, f64::min);
    let rate = slowest / 2.0;
    if rate.is_finite() && rate > 1.0 && !scenario.fresh {
        table.rate = Some(rate);
        for _ in 0..options.rounds {
            for contender in &mut group.running {
                let (target, expected) = (&contender.target, expected(&contender.reply));
                let cpu = || contender.server.cpu();
                let (found, before) =
                    open(target, expected, options.connections, rate, options.turn, cpu).await?;
                contender.figures.open(&found, contender.server.cpu()? - before);
            }
        }
    }
    for contender in &mut group.running {
        let figures = &mut contender.figures;
        (figures.resident, figures.most_resident) = contender.server.resident()?;
        table.rows.push((contender.name.clone(), figures.clone()));
    }
    Ok(table)
}

fn expected(reply: &Reply) -> Expected {
    Expected { status: reply.status, length: reply.body.len() }
}

/// Certificates and filters.
fn prepare(folder: &Path) -> Result<CertificateDer<'static>> {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    std::fs::write(folder.join(CERTIFICATE), &certificate)?;
    std::fs::write(folder.join(KEY), &key)?;
    std::fs::write(folder.join(BOTH), certificate + &key)?;
    for filter in Filter::ALL {
        std::fs::write(folder.join(filter.file()), wat::parse_str(filter.text())?)?;
    }
    Ok(made.cert.der().clone())
}

/// Starts a contender and asks it once; `None` if the peer is not there.
async fn start(
    options: &Options,
    cores: Option<Cores>,
    scenario: &Scenario,
    contender: &Contender,
    behind: Option<SocketAddr>,
    folder: &Path,
    certificate: &CertificateDer<'static>,
) -> Result<Option<Running>> {
    let address = free_address()?;
    let place = Place { address, behind, tls: scenario.protocol != crate::wire::Protocol::Plain };
    let slug: String = contender.name.chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect();
    let Some(command) = command(options, contender, folder, &slug, place)? else {
        return Ok(None);
    };
    let server = Server::start(&command, cores, address, &folder.join(format!("{slug}.log")))?;
    let target = Rc::new(Target::new(address, scenario.protocol, scenario.ask.clone(), certificate)?);
    let reply = async { target.open().await?.ask(&target).await };
    let reply = tokio::time::timeout(Duration::from_secs(20), reply).await;
    let reply = reply
        .map_err(|_| "no answer".into())
        .and_then(|reply| reply)
        .map_err(|error| format!("{error}\n{}", server.last_words()))?;
    if reply.status != 200 {
        return Err(format!("answered {}\n{}", reply.status, server.last_words()).into());
    }
    let (name, like, figures) = (contender.name.clone(), contender.like, Figures::default());
    Ok(Some(Running { name, like, server, target, reply, figures }))
}

/// A server that takes its configuration as a file behind `arguments`.
pub fn with_file(
    program: &Path,
    text: &str,
    folder: &Path,
    slug: &str,
    arguments: &[&str],
) -> Result<Command> {
    // Envoy goes by the extension.
    let file = folder.join(format!("{slug}.yaml"));
    std::fs::write(&file, text)?;
    // A path with a slash would be looked for in the folder.
    let program =
        if program.components().count() > 1 { std::path::absolute(program)? } else { program.to_owned() };
    let mut command = Command::new(program);
    command.args(arguments).arg(file).current_dir(folder);
    Ok(command)
}

fn command(
    options: &Options,
    contender: &Contender,
    folder: &Path,
    slug: &str,
    place: Place,
) -> Result<Option<Command>> {
    let peers = &options.peers;
    let components = options.components.canonicalize()?;
    let file = |peer: &Option<peers::Peer>, text: String, arguments: &[&str]| match peer {
        None => Ok(None),
        Some(peer) => with_file(&peer.program, &text, folder, slug, arguments).map(Some),
    };
    match &contender.setup {
        Setup::Linkspan(chain) | Setup::Before(chain) => {
            let text = configs::linkspan(chain, &components, place);
            let before = options.before.as_deref().filter(|_| matches!(contender.setup, Setup::Before(_)));
            let mut command = with_file(before.unwrap_or(&options.binary), &text, folder, slug, &["serve"])?;
            command.env("LINKSPAN_LOG", "warn");
            Ok(Some(command))
        }
        Setup::Wasmtime(chain, arguments) => {
            let Some(peer) = &peers.wasmtime else { return Ok(None) };
            let text = configs::linkspan(chain, &components, place);
            let output = folder.join(format!("{slug}.wasm"));
            let mut compose = with_file(&options.binary, &text, folder, slug, &["compose"])?;
            configs::portable(&mut compose, &output)?;
            Ok(Some(configs::wasmtime(&peer.program, place.address, &output, arguments)))
        }
        Setup::Envoy(answer, filters) => {
            let text = configs::envoy(*answer, *filters, place);
            let arguments = ["--concurrency", "1", "--disable-hot-restart", "--log-level", "error", "-c"];
            file(&peers.envoy, text, &arguments)
        }
        Setup::Nginx(answer) => file(&peers.nginx, configs::nginx(*answer, place), &["-p", ".", "-c"]),
        Setup::Haproxy(answer) => file(&peers.haproxy, configs::haproxy(*answer, place), &["-f"]),
    }
}

/// Fields that are a server's or a connection's own.
const OWN: [&str; 7] =
    ["date", "server", "connection", "keep-alive", "transfer-encoding", "content-length", "ratelimit"];

/// How two answers are not the same work.
fn difference(one: &Reply, other: &Reply) -> Option<String> {
    if (one.status, &one.body) != (other.status, &other.body) {
        let tell = |reply: &Reply| format!("{} with {} bytes", reply.status, reply.body.len());
        return Some(format!("{} instead of {}", tell(other), tell(one)));
    }
    let own = |name: &str| OWN.contains(&name) || (one.body.is_empty() && name == "content-type");
    let fields = |reply: &Reply| {
        let kept = reply.fields.iter().filter(|(name, _)| !own(name));
        let mut kept: Vec<_> = kept.map(|(name, value)| format!("{name}: {value}")).collect();
        kept.sort();
        kept
    };
    let (one, other) = (fields(one), fields(other));
    (one != other).then(|| format!("fields {other:?} instead of {one:?}"))
}

/// What came of a turn: used by [`Figures`].
pub(crate) fn failed(round: &Round) -> Option<String> {
    let why = round.failure.as_deref().unwrap_or_default();
    (round.failed > 0)
        .then(|| format!("{} of {} requests failed: {why}", round.failed, round.failed + round.requests))
}
