//! `cargo xtask demo`: serve `pipelines/edge.toml`, and say what to try.
//!
//! The development certificate is made once, for this machine's own names, and kept in `pipelines/dev`; its key is
//! readable by its owner alone. The gateway runs in a process group of its own and is sent the signal that ends this
//! task, once, so that it can let requests finish.

use crate::command::step;
use crate::project::Project;
use anyhow::{Context, Result, bail, ensure};
use rcgen::{CertificateParams, DnType, KeyPair};
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::env;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

/// The listener of `pipelines/edge.toml`.
const ADDRESS: ([u8; 4], u16) = ([127, 0, 0, 1], 8443);

/// Its admin listener.
const DASHBOARD: &str = "http://127.0.0.1:9180/";

/// How long the gateway may take to compile its pipelines and listen.
const START: Duration = Duration::from_secs(60);

/// The names that the certificate is for.
const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// How long it is valid. A new one is made when half of that time is over.
const VALIDITY: Duration = Duration::from_secs(365 * 24 * 60 * 60);

const KEY_VARIABLE: &str = "LINKSPAN_DEMO_KEY";

/// Serve until a signal arrives.
pub fn run(project: &Project) -> Result<()> {
    let binary = project.build_gateway("release")?;
    certificate(&project.root.join("pipelines/dev"))?;
    let key = env::var(KEY_VARIABLE).unwrap_or_else(|_| "demo-key".into());
    ensure!(!listens(), "something listens on port {} already", ADDRESS.1);
    step("serving pipelines/edge.toml");
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let mut gateway = Command::new(&binary)
        .args(["serve", "pipelines/edge.toml"])
        .current_dir(&project.root)
        .env(KEY_VARIABLE, &key)
        .stdin(Stdio::null())
        .process_group(0)
        .spawn()
        .with_context(|| format!("can't run {}", binary.display()))?;
    let pid = Pid::from_child(&gateway);
    thread::spawn(move || {
        for signal in signals.forever() {
            let signal = if signal == SIGINT { Signal::INT } else { Signal::TERM };
            // The gateway may have ended by itself meanwhile; then there is nothing to do.
            let _ = kill_process(pid, signal);
        }
    });
    if wait_until_it_listens(&mut gateway)? {
        print_requests(&key);
    }
    let status = gateway.wait()?;
    ensure!(status.success(), "the gateway ended: {status}");
    Ok(())
}

/// Make the certificate and its key, unless both are there and will be valid for some time yet.
fn certificate(folder: &Path) -> Result<()> {
    let (certificate, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    let age = fs::metadata(&certificate).and_then(|file| file.modified()).ok();
    let age = age.and_then(|made| made.elapsed().ok());
    if key.is_file() && age.is_some_and(|age| age < VALIDITY / 2) {
        return Ok(());
    }
    step(&format!("making a development certificate for {}", NAMES.join(", ")));
    let mut params = CertificateParams::new(NAMES.map(String::from))?;
    params.distinguished_name.push(DnType::CommonName, "linkspan development");
    let now = SystemTime::now();
    params.not_before = now.into();
    params.not_after = (now + VALIDITY).into();
    let pair = KeyPair::generate()?;
    let signed = params.self_signed(&pair)?;
    fs::create_dir_all(folder).with_context(|| format!("can't create {}", folder.display()))?;
    // Both are new files: the mode holds from the first byte, whatever existed before.
    let _ = fs::remove_file(&key);
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&key)
        .and_then(|mut file| file.write_all(pair.serialize_pem().as_bytes()))
        .with_context(|| format!("can't write {}", key.display()))?;
    fs::write(&certificate, signed.pem()).with_context(|| format!("can't write {}", certificate.display()))
}

fn listens() -> bool {
    let address = SocketAddr::from(ADDRESS);
    TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_ok()
}

/// Whether the gateway listens; `false` if it ended before that, after it said why.
fn wait_until_it_listens(gateway: &mut Child) -> Result<bool> {
    let deadline = Instant::now() + START;
    while Instant::now() < deadline {
        if gateway.try_wait()?.is_some() {
            return Ok(false);
        }
        if listens() {
            return Ok(true);
        }
        thread::sleep(Duration::from_millis(50));
    }
    gateway.kill()?;
    bail!("the gateway did not listen within {} s", START.as_secs())
}

fn print_requests(key: &str) {
    let curl = "curl --cacert pipelines/dev/cert.pem";
    let url = "https://localhost:8443";
    println!(
        "
Serving on {url}. Ctrl-C stops it. The dashboard is at {DASHBOARD}

To try, in this folder of another terminal:

# 200, through all five middleware, over HTTP/2 and HTTP/1.1
{curl} -i --http2 -H 'x-api-key: {key}' {url}/hello
{curl} -i --http1.1 -H 'x-api-key: {key}' {url}/hello

# 401: no key
{curl} -i --http2 {url}/hello
{curl} -i --http1.1 {url}/hello

# 429 after the burst of 20, with Retry-After
{curl} -s --http2 -H 'x-api-key: {key}' -o /dev/null -w '%{{http_code}} ' '{url}/hello?[1-40]'; echo
{curl} -i --http1.1 -H 'x-api-key: {key}' {url}/hello

# 204: a browser's preflight
{curl} -i --http2 -X OPTIONS -H 'origin: https://app.example' -H 'access-control-request-method: POST' {url}/hello

# 404: no route
{curl} -i --http2 {url}/
{curl} -i --http1.1 {url}/

# any body, streamed back
head -c 10000000 /dev/zero | {curl} -s --http2 -T - {url}/echo | cksum
"
    );
}
