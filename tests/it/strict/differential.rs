//! One path for all: what the router matched is what the service saw, and what a real server behind would make of it.
//!
//! nginx's `$uri` is its normal form, decoded. For every generated path, what linkspan passes on means the same to
//! nginx as what the client sent, and is literally what nginx decodes; and what nginx refuses, linkspan does, too.
//! linkspan refuses more: the exceptions are in [`refused_on_purpose`].

use super::support::{Raw, Strict};
use crate::harness::{Folder, Protocol, SOON, Seeded, eventually, scaled};
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

const PIECES: [&str; 30] = [
    "/", "/", "/", ".", ".", "..", "/../", "/./", "//", "%2e", "%2E", "%2f", "%2F", "%5c", "\\", ";", "a",
    "b", "c", "%61", "%62", "%25", "%252e", "%3f", "%23", "%20", "%e9", "%c3%a9", "%00", "%",
];

/// A path of up to ten pieces.
fn path(random: &mut Seeded) -> String {
    let count = random.below(10) + 1;
    let mut path = String::from("/");
    for _ in 0..count {
        path.push_str(PIECES[random.below(PIECES.len())]);
    }
    path
}

/// What linkspan refuses, and nginx takes: a backslash is a slash to some, parameters behind dots go before dots are
/// seen by some, and control characters end lines and fields.
fn refused_on_purpose(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    lower.contains('\\') || lower.contains("%5c") || {
        let decoded = lower.replace("%2e", ".").replace("%2f", "/");
        decoded.split('/').any(|segment| segment.starts_with(".;") || segment.starts_with("..;"))
    }
}

/// Asks over a connection that stays open; the status and the body.
struct Asking<S> {
    stream: S,
    buffer: Vec<u8>,
}

impl<S: AsksRaw> Asking<S> {
    fn ask(&mut self, path: &str) -> (u16, Vec<u8>) {
        self.stream.put(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes());
        loop {
            if let Some((response, length)) = super::support::Response::parse(&self.buffer)
                && response.whole
            {
                self.buffer.drain(..length);
                return (response.status, response.body);
            }
            let mut piece = [0; 4096];
            let count = self.stream.get(&mut piece);
            assert_ne!(count, 0, "{path}: closed after {:?}", String::from_utf8_lossy(&self.buffer));
            self.buffer.extend_from_slice(&piece[..count]);
        }
    }
}

trait AsksRaw {
    fn put(&mut self, bytes: &[u8]);
    fn get(&mut self, bytes: &mut [u8]) -> usize;
}

impl AsksRaw for Raw {
    fn put(&mut self, bytes: &[u8]) {
        self.send(bytes);
    }

    fn get(&mut self, bytes: &mut [u8]) -> usize {
        self.read(bytes).unwrap()
    }
}

impl AsksRaw for UnixStream {
    fn put(&mut self, bytes: &[u8]) {
        self.write_all(bytes).unwrap();
    }

    fn get(&mut self, bytes: &mut [u8]) -> usize {
        self.read(bytes).unwrap()
    }
}

/// A real nginx that answers with what it takes a path for.
struct Nginx {
    child: Child,
    folder: Folder,
}

impl Nginx {
    /// `None`, and a line that says so, where there is no nginx.
    fn start() -> Option<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
        let Some(binary) = folders.map(|folder| folder.join("nginx")).find(|file| file.is_file()) else {
            eprintln!("SKIPPED: no nginx in PATH or /usr/sbin; paths are not compared with it");
            return None;
        };
        let folder = Folder::new();
        let mut temporary = String::new();
        for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
            writeln!(temporary, "{kind}_temp_path {}/{kind};", folder.path().display()).unwrap();
        }
        let file = folder.write(
            "nginx.conf",
            format!(
                "daemon off;\nmaster_process off;\npid {0}/pid;\nerror_log {0}/error.log;\nevents {{}}\nhttp {{\naccess_log \
                 off;\nkeepalive_requests 1000000;\n{temporary}\nserver {{\nlisten unix:{0}/socket;\nlocation / {{\nreturn 200 \
                 $uri;\n}}\n}}\n}}\n",
                folder.path().display()
            ),
        );
        let child = Command::new(binary)
            .arg("-c")
            .arg(file)
            .arg("-p")
            .arg(folder.path())
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let nginx = Self { child, folder };
        eventually("nginx listens", || UnixStream::connect(nginx.folder.path().join("socket")).is_ok());
        Some(nginx)
    }

    /// What it takes `path` for; it closes after a 400.
    fn sees(&self, asking: &mut Option<Asking<UnixStream>>, path: &str) -> Option<Vec<u8>> {
        let connect = || {
            let stream = UnixStream::connect(self.folder.path().join("socket")).unwrap();
            stream.set_read_timeout(Some(SOON)).unwrap();
            Asking { stream, buffer: Vec::new() }
        };
        let (status, body) = asking.get_or_insert_with(connect).ask(path);
        if status == 200 {
            return Some(body);
        }
        assert_eq!(status, 400, "{path}");
        *asking = None;
        None
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn decoded(path: &str) -> Vec<u8> {
    let mut bytes = path.bytes();
    let mut decoded = Vec::new();
    while let Some(byte) = bytes.next() {
        let digits = (byte == b'%').then(|| [bytes.next().unwrap(), bytes.next().unwrap()]);
        let value =
            digits.map(|digits| u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
        decoded.push(value.unwrap_or(byte));
    }
    decoded
}

/// What the service behind linkspan sees of `path`, and which route led there.
fn seen(asking: &mut Asking<Raw>, path: &str) -> Option<(String, String)> {
    let (status, body) = asking.ask(path);
    if status == 400 {
        return None;
    }
    assert_eq!(status, 200, "{path}");
    let saw: serde_json::Value = serde_json::from_slice(&body).unwrap();
    Some((saw["path"].as_str().unwrap().to_owned(), saw["config"][0][1].as_str().unwrap().to_owned()))
}

const ROUTES: [&str; 5] = ["/a", "/a/b", "/b", "/b/a", "/c"];

/// The route that should lead to what a service sees as `path`: the longest that it is, or is below.
fn route(path: &str) -> &str {
    let is_at = |route: &&&str| {
        path.strip_prefix(**route).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    ROUTES.iter().filter(is_at).max_by_key(|route| route.len()).copied().unwrap_or("none")
}

fn routed(policy: &str) -> Strict {
    let mut tables = String::new();
    for route in ROUTES {
        let name = format!("at{}", route.replace('/', "-"));
        write!(
            tables,
            "\n[pipelines.{name}.service]\ncomponent = \"probe\"\ngrant = {{ env = {{}} }}\nconfig = {{ route = \"{route}\" \
             }}\n\n[[routes]]\npipeline = \"{name}\"\npath = \"{route}\"\n"
        )
        .unwrap();
    }
    Strict::with(policy, "", &tables)
}

#[test]
fn router_service_and_nginx_agree() {
    let nginx = Nginx::start();
    let mut asking_nginx = None;
    for (number, policy) in
        ["", "encoded-slash = \"decode\"", "encoded-slash = \"keep\"\nmerge-slashes = false"]
            .iter()
            .enumerate()
    {
        let strict = routed(policy);
        let mut random = Seeded(number as u64 + 1);
        let mut asking =
            Asking { stream: Raw::connect(&strict.gateway, Protocol::Http1), buffer: Vec::new() };
        let (mut refused, mut served) = (0, 0);
        for _ in 0..scaled(2_000, 100_000) {
            let path = path(&mut random);
            let outcome = seen(&mut asking, &path);
            match &outcome {
                None => refused += 1,
                Some((saw, led)) => {
                    served += 1;
                    assert_eq!(
                        led,
                        route(saw),
                        "{path} -> {saw}: another route than the path that the service sees"
                    );
                    assert_eq!(
                        seen(&mut asking, saw).as_ref(),
                        outcome.as_ref(),
                        "{path} -> {saw}: not its own form"
                    );
                }
            }
            // nginx decodes slashes and merges them, so the other policies differ by intention.
            let Some(nginx) = nginx.as_ref().filter(|_| !policy.contains("keep")) else { continue };
            let sent = nginx.sees(&mut asking_nginx, &path);
            match (outcome, sent) {
                (Some((saw, _)), Some(sent)) => {
                    assert_eq!(decoded(&saw), sent, "{path} -> {saw}: nginx reads the path otherwise");
                    let passed = nginx.sees(&mut asking_nginx, &saw);
                    assert_eq!(
                        passed,
                        Some(sent),
                        "{path} -> {saw}: nginx reads what is passed on otherwise"
                    );
                }
                (Some((saw, _)), None) => panic!("{path} -> {saw}: nginx refuses it"),
                (None, Some(_)) if policy.is_empty() && path.to_ascii_lowercase().contains("%2f") => {}
                (None, Some(sent)) => {
                    let sent = String::from_utf8_lossy(&sent).into_owned();
                    assert!(refused_on_purpose(&path), "{path}: refused, and nginx takes it for {sent}");
                }
                (None, None) => {}
            }
        }
        assert!(refused > 300 && served > 300, "{refused} refused, {served} served: the paths show little");
        strict.gateway.stop();
    }
}
