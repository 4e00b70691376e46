//! A Redis server, where one is installed.

use crate::harness::{Folder, MS, SOON, free, identity};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Where the server is; without it, says so, and the test is none.
pub fn installed() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let names = ["redis-server", "valkey-server"];
    let found = std::env::split_paths(&path)
        .flat_map(|folder| names.map(|name| folder.join(name)))
        .find(|file| file.is_file());
    if found.is_none() {
        eprintln!("SKIPPED: there is no redis-server (Debian: apt-get install redis-server)");
    }
    found
}

/// A running server without persistence. Dropped, it is killed.
pub struct Redis {
    binary: PathBuf,
    pub address: SocketAddr,
    arguments: Vec<String>,
    folder: Folder,
    child: Child,
}

impl Redis {
    pub fn start(binary: PathBuf, arguments: &[&str]) -> Self {
        Self::at(free(), binary, arguments)
    }

    /// One that listens at `address`.
    pub fn at(address: SocketAddr, binary: PathBuf, arguments: &[&str]) -> Self {
        let folder = Folder::new();
        let arguments: Vec<_> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let child = spawn(&binary, &folder, address, &arguments);
        let redis = Self { binary, address, arguments, folder, child };
        redis.answers();
        redis
    }

    /// One that speaks TLS only, with the certificate of all tests.
    pub fn encrypted(binary: PathBuf) -> Self {
        let (folder, address) = (Folder::new(), free());
        let identity = identity();
        let certificate = folder.write("cert.pem", &identity.certificate);
        let key = folder.write("key.pem", &identity.key);
        let text = |path: &std::path::Path| path.to_str().unwrap().to_owned();
        let arguments =
            ["--tls-port", &address.port().to_string(), "--port", "0", "--tls-auth-clients", "no"];
        let mut arguments: Vec<_> = arguments.map(str::to_owned).to_vec();
        arguments.extend(["--tls-cert-file".to_owned(), text(&certificate), "--tls-key-file".to_owned()]);
        arguments.push(text(&key));
        let child = spawn(&binary, &folder, address, &arguments);
        let redis = Self { binary, address, arguments, folder, child };
        redis.answers();
        redis
    }

    /// Until it takes connections, and has nothing to load.
    fn answers(&self) {
        let start = Instant::now();
        let is_encrypted = self.arguments.iter().any(|argument| argument == "--tls-port");
        let is_there = || TcpStream::connect(self.address).is_ok();
        while !(is_there() && (is_encrypted || self.says("PING").is_some())) {
            assert!(start.elapsed() < SOON, "redis-server does not start: {}", self.log());
            std::thread::sleep(5 * MS);
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// The first bytes of what it answers to an inline command.
    pub fn says(&self, command: &str) -> Option<String> {
        let mut stream = TcpStream::connect(self.address).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        stream.write_all(format!("{command}\r\n").as_bytes()).ok()?;
        let mut bytes = [0; 4096];
        let read = stream.read(&mut bytes).ok().filter(|read| *read > 0)?;
        Some(String::from_utf8_lossy(&bytes[..read]).into_owned())
    }

    /// Its clients, among them the one that asks.
    pub fn clients(&self) -> usize {
        self.says("CLIENT LIST").unwrap().matches("addr=").count() / 2
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal).unwrap();
    }

    /// Kills it. Its address stays free for another one.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }

    /// Starts an empty one in its place.
    pub fn replace(&mut self) {
        self.kill();
        self.child = spawn(&self.binary, &self.folder, self.address, &self.arguments);
        self.answers();
    }

    /// `[stores.shared]`, with further keys.
    pub fn store(&self, keys: &str) -> String {
        format!("[stores.shared]\nkind = \"redis\"\nurl = \"redis://{}\"\n{keys}\n", self.address)
    }
}

fn spawn(binary: &std::path::Path, folder: &Folder, address: SocketAddr, arguments: &[String]) -> Child {
    let mut command = Command::new(binary);
    command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--daemonize", "no"]);
    if !arguments.iter().any(|argument| argument == "--port") {
        command.args(["--port", &address.port().to_string()]);
    }
    command.arg("--dir").arg(folder.path()).arg("--logfile").arg(folder.path().join("log")).args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}
