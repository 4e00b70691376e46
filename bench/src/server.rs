//! A server's process: started on its core, measured, and ended with the run.

use crate::Result;
use crate::machine::{self, Cores};
use std::fs::File;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longest start: a large composition is compiled first.
const SOON: Duration = Duration::from_secs(120);

/// A running server, which is killed when this is dropped.
pub struct Server {
    child: Child,
    pub address: SocketAddr,
    log: PathBuf,
}

/// An address that is free now.
pub fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?)
}

impl Server {
    /// Starts `command`, which will listen at `address`, with its output in `log`, and waits until it accepts
    /// connections.
    pub fn start(command: &Command, cores: Option<Cores>, address: SocketAddr, log: &Path) -> Result<Self> {
        let mut pinned = match cores {
            Some(cores) => {
                let mut pinned = Command::new("taskset");
                pinned.args(["-c", &cores.server.to_string()]).arg(command.get_program());
                pinned
            }
            None => Command::new(command.get_program()),
        };
        pinned.args(command.get_args());
        if let Some(folder) = command.get_current_dir() {
            pinned.current_dir(folder);
        }
        for (name, value) in command.get_envs() {
            value.map(|value| pinned.env(name, value));
        }
        let output = File::create(log)?;
        pinned.env("RUST_BACKTRACE", "0").stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let name = command.get_program().to_string_lossy().into_owned();
        let child = pinned.spawn().map_err(|error| format!("cannot start {name}: {error}"))?;
        let mut server = Self { child, address, log: log.to_owned() };
        let start = Instant::now();
        while TcpStream::connect(address).is_err() {
            if let Some(status) = server.child.try_wait()? {
                return Err(format!("{name} ended with {status}:\n{}", server.last_words()).into());
            }
            if start.elapsed() > SOON {
                return Err(format!("{name} does not listen:\n{}", server.last_words()).into());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(server)
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits, up to this time, until it has ended by itself.
    pub fn ended(&mut self, time: Duration) {
        let start = Instant::now();
        while start.elapsed() < time && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The end of its output.
    pub fn last_words(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = text.lines().rev().take(5).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// Processor time that it took.
    pub fn cpu(&self) -> Result<Duration> {
        machine::cpu(self.child.id())
    }

    /// Resident bytes now, and the most there were.
    pub fn resident(&self) -> Result<(u64, u64)> {
        machine::resident(self.child.id())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
