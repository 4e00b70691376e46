//! `linkspan bench calls`: what a call of another service costs, by name and over the
//! network's loopback.
//!
//! Two gateways run as processes of their own, as users run them: one whose service
//! calls, and one that is called over HTTP. The caller is a guest that sends the same
//! request again and again, in one request of ours: to a pipeline of its own gateway,
//! by name, and to the other gateway, as `egress` lets it, with a connection each. The
//! third way is a native client's, on one connection that is kept alive: what is left
//! of HTTP when neither a guest nor a connection is to be paid for. Rounds of all three
//! alternate, and the best of each counts.

use super::guests::{Guests, Source, own_folder};
use super::{Failure, run_here};
use clap::Args;
use http::{Request, header};
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What is measured, and how.
#[derive(Debug, Args)]
pub struct Options {
    /// Rounds of which the best counts
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

/// A way to call, and its best round so far.
struct Row {
    way: &'static str,
    calls: u64,
    best: Duration,
}

impl Row {
    fn nanoseconds(&self) -> f64 {
        self.best.as_nanos() as f64 / self.calls as f64
    }
}

/// Measures, and returns the result.
///
/// # Errors
/// If the gateways can't be started, or do not answer well.
pub fn run(options: &Options) -> Result<String, Failure> {
    let rows = run_here(measure(options))?;
    let by_name = rows[0].nanoseconds();
    if options.json {
        let rows: Vec<_> = rows
            .iter()
            .map(|row| serde_json::json!({ "way": row.way, "calls": row.calls, "ns_per_call": row.nanoseconds() }))
            .collect();
        return Ok(format!("{:#}\n", serde_json::json!({ "rounds": options.rounds, "rows": rows })));
    }
    let mut text = "call                                     ns a call   times\n".to_owned();
    for row in &rows {
        let ns = row.nanoseconds();
        // Writing to a string does not fail.
        let _ = writeln!(text, "{:39}  {ns:>9.0}  {:>6.1}", row.way, ns / by_name);
    }
    Ok(text + &format!("\none call at a time; best of {} rounds of {}\n", options.rounds, options.calls))
}

async fn measure(options: &Options) -> Result<Vec<Row>, Failure> {
    let guests = options.components.open()?;
    let callee = Gateway::start(&configuration(&guests, None)?)?;
    let caller = Gateway::start(&configuration(&guests, Some(callee.address))?)?;
    let mut guest = connect(caller.address).await?;
    let mut native = connect(callee.address).await?;
    let over_http = format!("http://{}", callee.address);
    let row = |way, calls| Row { way, calls, best: Duration::MAX };
    let mut rows = vec![
        row("by name", options.calls),
        row("loopback HTTP, kept alive, native client", options.calls),
        row("loopback HTTP, from the guest", options.calls / 10),
    ];
    // The first round only warms up.
    for round in 0..=options.rounds {
        for (at, row) in rows.iter_mut().enumerate() {
            let start = Instant::now();
            match at {
                0 => from_guest(&mut guest, "http://callee.internal", row.calls).await?,
                1 => from_here(&mut native, row.calls).await?,
                _ => from_guest(&mut guest, &over_http, row.calls).await?,
            }
            if round > 0 {
                row.best = row.best.min(start.elapsed());
            }
        }
    }
    Ok(rows)
}

type Connection = SendRequest<Empty<bytes::Bytes>>;

async fn connect(address: SocketAddr) -> Result<Connection, Failure> {
    let stream = tokio::net::TcpStream::connect(address).await.map_err(Failure::system)?;
    stream.set_nodelay(true).map_err(Failure::system)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(Failure::system)?;
    #[expect(clippy::disallowed_methods, reason = "a client, on a runtime that has nothing else")]
    tokio::spawn(async move { drop(connection.await) });
    Ok(sender)
}

async fn ask(connection: &mut Connection, fields: &[(&str, &str)]) -> Result<(u16, bytes::Bytes), Failure> {
    let request = Request::get("/").header(header::HOST, "callee.internal");
    let request = fields.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let request = request.body(Empty::new()).map_err(Failure::wrong)?;
    let response = connection.send_request(request).await.map_err(Failure::wrong)?;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.map_err(Failure::wrong)?;
    Ok((status, body.to_bytes()))
}

/// Makes the guest send `calls` requests to `origin`.
async fn from_guest(connection: &mut Connection, origin: &str, calls: u64) -> Result<(), Failure> {
    let times = calls.to_string();
    let (status, answer) = ask(connection, &[("x-way", origin), ("x-times", &times)]).await?;
    match status == 200 && answer == times.as_bytes() {
        true => Ok(()),
        false => Err(Failure::wrong(format!(
            "the guest's calls of {origin} were not all answered: {status} {}",
            String::from_utf8_lossy(&answer),
        ))),
    }
}

async fn from_here(connection: &mut Connection, calls: u64) -> Result<(), Failure> {
    for _ in 0..calls {
        let (status, _) = ask(connection, &[]).await?;
        if status != 200 {
            return Err(Failure::wrong(format!("the callee answered {status}")));
        }
    }
    Ok(())
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
