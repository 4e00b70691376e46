//! The gateway's process, and the answers of its admin listener.

use crate::Result;
use crate::client::Payload;
use http_body_util::BodyExt as _;
use hyper::Request;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;
use tokio::net::TcpStream;

/// Longest start, and longest reload.
const SOON: Duration = Duration::from_secs(60);

/// A running gateway, which is killed when this is dropped.
pub struct Gateway {
    child: Child,
    /// With TLS.
    pub address: SocketAddr,
    admin: SocketAddr,
}

impl Gateway {
    /// Starts `binary` with `file`, and waits until it listens.
    pub fn start(binary: &Path, file: &Path) -> Result<Self> {
        let mut child = Command::new(binary)
            .arg("serve")
            .arg(file)
            .args(["--log-format", "json"])
            .env("LINKSPAN_LOG", "warn,linkspan::server=info")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot start {}: {error}", binary.display()))?;
        let Some(log) = child.stderr.take() else { return Err("the gateway has no log".into()) };
        let (found, addresses) = sync_channel(2);
        // Reads to the end, so that the gateway can write; lines without an address are for people.
        std::thread::spawn(move || {
            for line in BufReader::new(log).lines().map_while(std::result::Result::ok) {
                let json: Value = serde_json::from_str(&line).unwrap_or_default();
                let admin = json["message"] == "admin listening";
                if admin || (json["message"] == "listening" && json["scheme"] == "https") {
                    let address = json["address"].as_str().and_then(|text| text.parse::<SocketAddr>().ok());
                    let _ = address.map(|address| found.try_send((admin, address)));
                } else if json["level"] != "INFO" {
                    eprintln!("{line}");
                }
            }
        });
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut gateway = Self { child, address: nowhere, admin: nowhere };
        gateway.wait(&addresses)?;
        Ok(gateway)
    }

    fn wait(&mut self, addresses: &Receiver<(bool, SocketAddr)>) -> Result<()> {
        for _ in 0..2 {
            match addresses.recv_timeout(SOON) {
                Ok((true, address)) => self.admin = address,
                Ok((false, address)) => self.address = address,
                Err(_) => return Err("the gateway does not listen".into()),
            }
        }
        Ok(())
    }

    /// Asks the admin listener; returns status and answer.
    pub async fn ask(&self, method: &str, path: &str) -> Result<(u16, Value)> {
        let answer = async {
            let tcp = TcpStream::connect(self.admin).await?;
            let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(tcp)).await?;
            let connection = tokio::task::spawn_local(connection);
            let request = Request::builder().method(method).uri(path).header("host", "localhost");
            let response = sender.send_request(request.body(Payload::empty())?).await?;
            let status = response.status().as_u16();
            let body = response.into_body().collect().await?.to_bytes();
            connection.abort();
            Ok((status, serde_json::from_slice(&body)?))
        };
        tokio::time::timeout(SOON, answer).await.map_err(|_| format!("{method} {path}: no answer"))?
    }

    /// Waits, for some time, until no replaced generation is left; returns how many are.
    pub async fn settle(&self) -> Result<usize> {
        let mut left = 0;
        for _ in 0..50 {
            let (_, state) = self.ask("GET", "/generations").await?;
            left = state["retiring"].as_array().map_or(0, Vec::len);
            if left == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(left)
    }

    /// Resident memory in bytes, and open files.
    pub fn usage(&self) -> Result<(u64, usize)> {
        let proc = Path::new("/proc").join(self.child.id().to_string());
        let status = std::fs::read_to_string(proc.join("status"))?;
        let resident = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok())
            .ok_or("no resident memory in /proc")?;
        Ok((resident * 1024, std::fs::read_dir(proc.join("fd"))?.count()))
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
