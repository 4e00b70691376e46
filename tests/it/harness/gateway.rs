//! The binary, serving.

use super::{Folder, SOON, Setup, eventually};
use serde_json::Value;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// A line of the gateway's log; what is no JSON is a string.
pub type Line = Value;

/// The binary with arguments, and nothing of this process's environment that it would look at. What one test's gateway
/// compiled, another's need not compile again.
pub fn binary(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_linkspan"));
    command.args(arguments).env_remove("LINKSPAN_LOG").env_remove("CACHE_DIRECTORY");
    command
        .env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR"))
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::null());
    command
}

#[derive(Default)]
struct Log {
    lines: Mutex<Vec<Line>>,
    arrived: Condvar,
}

/// A running gateway. Dropped, it is killed.
pub struct Gateway {
    child: Child,
    log: Arc<Log>,
    /// With plain HTTP/1.1.
    pub plain: SocketAddr,
    /// With TLS.
    pub tls: SocketAddr,
    folder: Folder,
}

impl Gateway {
    /// Serves `setup`, and waits until it listens.
    pub fn start(setup: &Setup) -> Self {
        let folder = Folder::new();
        let file = setup.write(&folder);
        Self::serve(folder, &file, setup.environment())
    }

    /// Serves a file of `folder`, which must have a listener of each kind, and waits until it listens.
    pub fn serve<'a>(
        folder: Folder,
        file: &Path,
        environment: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let mut child = binary(&["serve", file.to_str().unwrap(), "--log-format", "json"])
            .envs(environment)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Log::default());
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let sink = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in stderr.lines() {
                let Ok(line) = line else { return };
                let line = serde_json::from_str(&line).unwrap_or(Value::String(line));
                sink.lines.lock().unwrap().push(line);
                sink.arrived.notify_all();
            }
        });
        let nowhere = SocketAddr::from(([0; 4], 0));
        let mut gateway = Self { child, log, plain: nowhere, tls: nowhere, folder };
        gateway.plain = gateway.address("http");
        gateway.tls = gateway.address("https");
        gateway
    }

    fn address(&mut self, scheme: &str) -> SocketAddr {
        let listening = |line: &Line| line["message"] == "listening" && line["scheme"] == scheme;
        let start = Instant::now();
        loop {
            if let Some(line) = self.log().iter().find(|line| listening(line)) {
                return line["address"].as_str().unwrap().parse().unwrap();
            }
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("the gateway ended with {status}: {:#?}", self.log());
            }
            assert!(start.elapsed() < SOON, "the gateway does not listen: {:#?}", self.log());
            let lines = self.log.lines.lock().unwrap();
            drop(self.log.arrived.wait_timeout(lines, super::MS * 10).unwrap());
        }
    }

    /// The folder of its configuration.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// All log lines so far.
    pub fn log(&self) -> Vec<Line> {
        self.log.lines.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// The CPU time that the process took so far, in steps of 10 ms.
    pub fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        // After the program's name in parentheses. `utime` and `stime` are the 14th and the 15th field, in hundredths of a
        // second on every Linux that these tests run on (proc_pid_stat(5)).
        let fields = stat.rsplit_once(')').unwrap().1.split_whitespace();
        let ticks: u64 = fields.skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum();
        Duration::from_millis(ticks * 10)
    }

    /// How many log lines so far are `wanted`.
    pub fn count(&self, wanted: impl Fn(&Line) -> bool) -> usize {
        self.log.lines.lock().unwrap().iter().filter(|line| wanted(line)).count()
    }

    /// Waits until exactly `number` log lines are `wanted`: a line may arrive later than the answer that it is about.
    pub fn counts(&self, number: usize, wanted: impl Fn(&Line) -> bool) {
        eventually("the log has as many lines", || self.count(&wanted) >= number);
        assert_eq!(self.count(&wanted), number, "{:#?}", self.log());
    }

    /// The first log line that is `wanted`, waited for.
    pub fn line(&self, wanted: impl Fn(&Line) -> bool) -> Line {
        let start = Instant::now();
        let mut lines = self.log.lines.lock().unwrap();
        loop {
            if let Some(line) = lines.iter().find(|line| wanted(line)) {
                return line.clone();
            }
            assert!(start.elapsed() < SOON, "no such line in {lines:#?}");
            lines = self.log.arrived.wait_timeout(lines, SOON).unwrap().0;
        }
    }

    /// The line that says why the request `id` had no response of its chain.
    pub fn reason(&self, id: &str) -> Line {
        self.line(|line| line["request_id"] == id && line["message"] == "the chain gave no response")
    }

    fn proc(&self, name: &str) -> std::path::PathBuf {
        Path::new("/proc").join(self.child.id().to_string()).join(name)
    }

    /// How often its thread of this name was woken.
    pub fn woken(&self, thread: &str) -> u64 {
        let tasks = std::fs::read_dir(self.proc("task")).unwrap();
        let mut statuses =
            tasks.filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("status")).ok());
        let status = statuses.find(|status| status.lines().next().unwrap().ends_with(thread)).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")).unwrap();
        line.trim().parse().unwrap()
    }

    /// Resident memory, in bytes.
    pub fn resident(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// The most resident memory since it started, or since [`Gateway::forget_peak`], in bytes.
    pub fn peak(&self) -> u64 {
        self.memory("VmHWM:")
    }

    /// Begins anew with the most resident memory.
    pub fn forget_peak(&self) {
        std::fs::write(self.proc("clear_refs"), "5").unwrap();
    }

    fn memory(&self, what: &str) -> u64 {
        let status = std::fs::read_to_string(self.proc("status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(what)).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// Open file descriptors.
    pub fn open_files(&self) -> usize {
        std::fs::read_dir(self.proc("fd")).unwrap().count()
    }

    /// Lets the gateway open no further file or socket, whatever it closes.
    pub fn opens_nothing_more(&self) {
        let open: std::collections::HashSet<u64> = std::fs::read_dir(self.proc("fd"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap())
            .collect();
        let free = (0..).find(|number| !open.contains(number)).unwrap();
        let pid = rustix::process::Pid::from_raw(self.child.id().try_into().unwrap());
        let limit = rustix::process::Rlimit { current: Some(free), maximum: Some(free) };
        rustix::process::prlimit(pid, rustix::process::Resource::Nofile, limit).unwrap();
    }

    /// The files that are open when nothing happens: waits until the workers have opened theirs.
    pub fn files_at_rest(&self) -> usize {
        let (mut files, mut since) = (self.open_files(), Instant::now());
        while since.elapsed() < 300 * super::MS {
            std::thread::sleep(10 * super::MS);
            if self.open_files() != files {
                (files, since) = (self.open_files(), Instant::now());
            }
        }
        files
    }

    /// Waits until no more files are open than `before`: connections that have ended are gone.
    pub fn closes_down_to(&self, before: usize) {
        eventually("all connections are closed", || self.open_files() <= before);
    }

    /// Sends a signal.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(self.child.id().try_into().unwrap()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Waits for its end.
    pub fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        eventually("the gateway ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    /// Asks it to stop, and checks that it did, with nothing cut off.
    pub fn stop(mut self) {
        self.signal(rustix::process::Signal::TERM);
        let status = self.ended();
        assert_eq!(status.code(), Some(0), "{:#?}", self.log());
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let lines = self.log();
            for line in lines.iter().rev().take(30).rev() {
                eprintln!("{line}");
            }
        }
    }
}
