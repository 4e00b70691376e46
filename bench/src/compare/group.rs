//! The servers of a scenario: started at once, and compared before they are measured.

use super::configs::{self, Answer, BOTH, CERTIFICATE, Filters, KEY, Place};
use super::filter::Filter;
use super::options::Options;
use super::peers::Peer;
use super::real;
use super::report::Figures;
use super::scenario::{Contender, Scenario, Setup};
use crate::Result;
use crate::drive::{Expected, Shape, closed};
use crate::machine::Cores;
use crate::server::{Server, free_address};
use crate::wire::{Protocol, Reply, Target};
use rustls::pki_types::CertificateDer;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

/// A folder for one scenario, which is removed with it.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Result<Self> {
        let folder = Self(std::env::temp_dir().join(format!("linkspan-compare-{}", std::process::id())));
        std::fs::create_dir_all(&folder.0)?;
        Ok(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Remains are in the system's temporary folder.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A running server, and its measurements.
pub struct Running {
    pub name: String,
    pub like: &'static str,
    pub server: Server,
    pub target: Rc<Target>,
    pub reply: Reply,
    pub figures: Figures,
}

/// The servers of a scenario.
pub struct Group {
    pub running: Vec<Running>,
    /// The server behind some of them.
    _behind: Option<Server>,
    /// Why others are not among them.
    pub notes: Vec<String>,
    /// Last, since servers end before it.
    _folder: Folder,
}

impl Group {
    /// Starts the servers, and keeps those that answer alike.
    pub async fn start(options: &Options, cores: Option<Cores>, scenario: &Scenario) -> Result<Self> {
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
        for contender in &scenario.contenders {
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

    /// Rounds with a closed load. The first one warms up, and is not counted. Each round begins with the next contender:
    /// whoever has the first turn of all rounds costs some percent more than the same server in another place.
    pub async fn closed(&mut self, options: &Options, shape: Shape) -> Result<()> {
        let count = self.running.len();
        for round in 0..=options.rounds {
            let time = if round == 0 { options.turn / 4 } else { options.turn };
            for turn in 0..count {
                let contender = &mut self.running[(round as usize + turn) % count];
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

/// The answer that was compared.
pub fn expected(reply: &Reply) -> Expected {
    Expected { status: reply.status, length: reply.body.len() }
}

/// Certificates and filters.
pub fn prepare(folder: &Path) -> Result<CertificateDer<'static>> {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    std::fs::write(folder.join(CERTIFICATE), &certificate)?;
    std::fs::write(folder.join(KEY), &key)?;
    std::fs::write(folder.join(BOTH), certificate + &key)?;
    for filter in Filter::ALL {
        std::fs::write(folder.join(filter.file()), wat::parse_str(filter.text())?)?;
    }
    for (file, text) in real::texts() {
        std::fs::write(folder.join(file), wat::parse_str(text)?)?;
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
    let place = Place { address, behind, tls: scenario.protocol != Protocol::Plain };
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

/// Envoy's arguments, before its configuration.
const ENVOY: [&str; 6] = ["--concurrency", "1", "--disable-hot-restart", "--log-level", "error", "-c"];

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
    let file = |peer: &Option<Peer>, text: String, arguments: &[&str]| match peer {
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
        Setup::Envoy(answer, (filter, count)) => {
            let filters = Filters::wasm(std::iter::repeat_n(filter.file(), *count));
            file(&peers.envoy, configs::envoy(*answer, &filters, place), &ENVOY)
        }
        Setup::EnvoyReal(real) => {
            file(&peers.envoy, configs::envoy(Answer::Hello, &real.filters(), place), &ENVOY)
        }
        Setup::Nginx(answer) => file(&peers.nginx, configs::nginx(*answer, place), &["-p", ".", "-c"]),
        Setup::Haproxy(answer) => file(&peers.haproxy, configs::haproxy(*answer, place), &["-f"]),
    }
}

/// Fields that belong to a server or a connection.
const OWN: [&str; 7] =
    ["date", "server", "connection", "keep-alive", "transfer-encoding", "content-length", "ratelimit"];

/// Why two answers are not the same work, if they are not.
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
