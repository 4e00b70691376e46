//! `linkspan bench calls`: what a call of another service costs, by name, inside a program, and over connections.
//!
//! Two gateways run as processes of their own, as users run them: one whose service calls, and one that is called over
//! HTTP. The caller is a guest that sends the same request again and again, in one request of ours: to a pipeline of
//! its own gateway, by name, and to the other gateway, as `egress` lets it, with a connection each. A native client
//! calls that gateway over one connection that is kept alive: what is left of HTTP when neither a guest nor a
//! connection is to be paid for. For comparison, native services call each other: as functions, as a tower service, and
//! over kept connections whose two sides are on one thread. No call and no answer has a body. Rounds of all ways
//! alternate.

use super::guests::{Guests, Source, own_folder};
use super::native::{self, Connection, Stack};
use super::{Failure, run_here};
use clap::Args;
use http::{Request, Response};
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

/// What is measured, and how.
#[derive(Debug, Args)]
pub struct Options {
    /// Rounds, of which the best and the median are told
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u64).range(1..=1000))]
    rounds: u64,
    /// Calls in a round; a tenth of them over connections of their own
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(10..=10_000_000))]
    calls: u64,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    components: Source,
}

/// A way to call, and the nanoseconds of a call in each round so far.
struct Row {
    name: &'static str,
    way: Way,
    calls: u64,
    rounds: Vec<f64>,
}

/// Who calls whom.
enum Way {
    /// A native function another one.
    Function(Box<dyn Fn(Request<()>) -> Response<()>>),
    /// A native service one behind a layer.
    Layers(Stack),
    /// A native client a server.
    Connected(Connection),
    /// A guest, which is asked over this connection, whoever is at the origin.
    Guest(Connection, String),
}

impl Way {
    async fn call(&mut self, calls: u64) -> Result<(), Failure> {
        match self {
            Self::Guest(guest, origin) => return from_guest(guest, origin, calls).await,
            Self::Function(function) => {
                (0..calls).for_each(|_| drop(std::hint::black_box(function(Request::new(())))));
            }
            Self::Layers(stack) => {
                for _ in 0..calls {
                    stack.ask().await?;
                }
            }
            Self::Connected(connection) => {
                for _ in 0..calls {
                    connection.ask(&[]).await?;
                }
            }
        }
        Ok(())
    }
}

impl Row {
    fn best(&self) -> f64 {
        self.rounds.iter().copied().fold(f64::INFINITY, f64::min)
    }

    fn median(&self) -> f64 {
        let mut rounds = self.rounds.clone();
        rounds.sort_by(f64::total_cmp);
        rounds.get(rounds.len() / 2).copied().unwrap_or(f64::NAN)
    }
}

/// The way that the others are compared with.
const BY_NAME: &str = "a guest, by name";

/// Measures, and returns the result.
///
/// # Errors
/// If the gateways can't be started, or do not answer well.
pub fn run(options: &Options) -> Result<String, Failure> {
    let rows = run_here(measure(options))?;
    if options.json {
        let row = |row: &Row| {
            let (best, median) = (row.best(), row.median());
            serde_json::json!({ "way": row.name, "calls": row.calls, "ns_per_call": best, "median_ns_per_call": median })
        };
        let rows: Vec<_> = rows.iter().map(row).collect();
        return Ok(format!("{:#}\n", serde_json::json!({ "rounds": options.rounds, "rows": rows })));
    }
    let by_name = rows.iter().find(|row| row.name == BY_NAME).map_or(f64::NAN, Row::median);
    let mut text = format!("{:44}  {:>9}  {:>9}  {:>7}\n", "a call", "best, ns", "median", "times");
    for row in &rows {
        let (best, median) = (row.best(), row.median());
        // Writing to a string does not fail.
        let _ = writeln!(text, "{:44}  {best:>9.0}  {median:>9.0}  {:>7.2}", row.name, median / by_name);
    }
    Ok(text + &format!("\none call at a time; {} rounds of {} calls\n", options.rounds, options.calls))
}

async fn measure(options: &Options) -> Result<Vec<Row>, Failure> {
    let guests = options.components.open()?;
    let callee = Gateway::start(&configuration(&guests, None)?)?;
    let caller = Gateway::start(&configuration(&guests, Some(callee.address))?)?;
    let (by_name, by_egress) =
        (native::connect(caller.address).await?, native::connect(caller.address).await?);
    let over_http = format!("http://{}", callee.address);
    let kept = native::connect(callee.address).await?;
    let rows = [
        ("a function", Way::Function(native::function())),
        ("a tower service behind a layer", Way::Layers(native::layers(1))),
        (BY_NAME, Way::Guest(by_name, "http://callee.internal".to_owned())),
        ("a Unix socket, HTTP/1.1, native", Way::Connected(native::unix_socket().await?)),
        ("loopback, HTTP/1.1, native", Way::Connected(native::loopback().await?)),
        ("loopback, HTTP/2, native", Way::Connected(native::loopback_http2().await?)),
        ("loopback, HTTP/1.1, native, to a gateway", Way::Connected(kept)),
        ("loopback, HTTP/1.1, a guest, a connection each", Way::Guest(by_egress, over_http)),
    ];
    let mut rows = rows.map(|(name, way)| {
        let each = matches!(&way, Way::Guest(_, origin) if !origin.ends_with(".internal"));
        Row { name, way, calls: if each { options.calls / 10 } else { options.calls }, rounds: Vec::new() }
    });
    // The first round only warms up.
    for round in 0..=options.rounds {
        for row in &mut rows {
            let start = Instant::now();
            row.way.call(row.calls).await?;
            if round > 0 {
                row.rounds.push(start.elapsed().as_nanos() as f64 / row.calls as f64);
            }
        }
    }
    Ok(rows.into())
}

/// Makes the guest behind a connection send `calls` requests to `origin`.
async fn from_guest(guest: &mut Connection, origin: &str, calls: u64) -> Result<(), Failure> {
    let times = calls.to_string();
    let answered = guest.ask(&[("x-way", origin), ("x-times", &times)]).await?;
    match answered == times.as_bytes() {
        true => Ok(()),
        false => {
            let answered = String::from_utf8_lossy(&answered);
            Err(Failure::wrong(format!(
                "of {times} calls of {origin} by the guest, {answered} were answered"
            )))
        }
    }
}

/// A gateway whose pipeline `callee` serves all requests; or, given another gateway, one whose service calls that one,
/// and has a pipeline of that name.
fn configuration(guests: &Guests, other: Option<SocketAddr>) -> Result<String, Failure> {
    let file = |name: &str| Ok::<_, Failure>(format!("{:?}", guests.find(name)?.display().to_string()));
    let mut text = format!(
        "[gateway]\nworkers = 1\nwatch = \"0s\"\n[[listeners]]\naddress = \"127.0.0.1:0\"\n\
         [components]\nempty.path = {}\n[pipelines.callee]\nservice = {{ component = \"empty\" }}\n",
        file("empty")?,
    );
    match other {
        None => text += "[[routes]]\npipeline = \"callee\"\n",
        Some(address) => {
            text += &format!(
                "[components.caller]\npath = {}\n[pipelines.caller]\nlimits = {{ deadline = \"1h\", cpu = \"1m\" }}\n\
                 service = {{ component = \"caller\", grant = {{ calls = [\"callee\"], egress = \
                 [\"http://{address}\"] }} }}\n[[routes]]\npipeline = \"caller\"\n",
                file("caller")?,
            );
        }
    }
    Ok(text)
}

/// A gateway that serves until it is dropped.
struct Gateway {
    child: Child,
    address: SocketAddr,
    /// Its configuration, which is removed with it.
    folder: PathBuf,
}

impl Gateway {
    fn start(configuration: &str) -> Result<Self, Failure> {
        let folder = own_folder()?;
        let file = folder.join("linkspan.toml");
        let written =
            std::fs::File::create_new(&file).and_then(|mut file| file.write_all(configuration.as_bytes()));
        let binary = std::env::current_exe().map_err(Failure::system)?;
        let child = written.and_then(|()| {
            Command::new(binary)
                .args(["serve", "--log-format", "json"])
                .arg(&file)
                .env("LINKSPAN_LOG", "info")
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
        });
        let child = child.map_err(Failure::system)?;
        let mut gateway = Self { child, address: SocketAddr::from(([0; 4], 0)), folder };
        gateway.address = gateway.listening()?;
        Ok(gateway)
    }

    /// The address in its log; the rest of the log is not read.
    fn listening(&mut self) -> Result<SocketAddr, Failure> {
        let mut told = String::new();
        let stderr = self.child.stderr.take();
        let Some(stderr) = stderr else { return Err(Failure::system("a gateway without a log")) };
        let mut lines = BufReader::new(stderr).lines();
        for line in lines.by_ref() {
            let line = line.map_err(Failure::system)?;
            let value: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
            if value["message"] == "listening" {
                // Later output must not fill the pipe.
                std::thread::spawn(move || lines.for_each(drop));
                let address = value["address"].as_str().and_then(|address| address.parse().ok());
                return address.ok_or_else(|| Failure::system(format!("not understood: {line}")));
            }
            told += &line;
            told.push('\n');
        }
        Err(Failure::wrong(format!("the gateway of the benchmark did not start:\n{told}")))
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // The process may have ended already; its folder is in the system's temporary folder.
        drop(self.child.kill());
        drop(self.child.wait());
        drop(std::fs::remove_dir_all(&self.folder));
    }
}
