//! The configurations that are swapped in, one after the other.
//!
//! Each has its number in the configuration of three stages, so that no two are the same and every answer tells which
//! one it is from. What else differs goes round in eight shapes: number of stages, components and their files, links,
//! routes, certificate, listeners. The second pipeline has a stamp that changes with every fourth number only, so that
//! most swaps take it over as it runs.

use crate::Result;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// Numbers that have the second pipeline in common.
const SHARED: u64 = 4;

/// The stamp of the second pipeline in configuration `number`.
pub fn shared(number: u64) -> u64 {
    number - number % SHARED
}

/// The folder of a run, which is removed with it.
pub struct Folder {
    path: PathBuf,
    components: PathBuf,
    workers: usize,
    /// Certificates that clients trust.
    pub certificates: Vec<rustls::pki_types::CertificateDer<'static>>,
}

impl Folder {
    /// Makes certificates, and a second file of a component.
    pub fn new(components: &Path, workers: usize) -> Result<Self> {
        let path = std::env::temp_dir().join(format!("linkspan-bench-{}", std::process::id()));
        fs::create_dir_all(&path)?;
        let components = components
            .canonicalize()
            .map_err(|error| format!("the components are missing ({error}): run cargo xtask components"))?;
        let mut folder = Self { path, components, workers, certificates: Vec::new() };
        for name in ["a", "b"] {
            let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
            fs::write(folder.path.join(format!("{name}.crt")), made.cert.pem())?;
            fs::write(folder.path.join(format!("{name}.key")), made.signing_key.serialize_pem())?;
            folder.certificates.push(made.cert.der().clone());
        }
        let hello = fs::read(folder.components.join("hello.wasm"))?;
        fs::write(folder.path.join("hello-a.wasm"), &hello)?;
        // The same component with a custom section called `v` behind it: other bytes, the same behaviour.
        fs::write(folder.path.join("hello-b.wasm"), [&hello[..], &[0, 2, 1, b'v']].concat())?;
        Ok(folder)
    }

    /// The configuration file.
    pub fn file(&self) -> PathBuf {
        self.path.join("linkspan.toml")
    }

    /// Puts configuration `number` in the file's place.
    pub fn write(&self, number: u64) -> Result<()> {
        let next = self.path.join("next.toml");
        fs::write(&next, self.toml(number)?)?;
        fs::rename(next, self.file())?;
        Ok(())
    }

    fn toml(&self, number: u64) -> std::result::Result<String, std::fmt::Error> {
        let shape = number % 8;
        let certificate = if shape < 4 { "a" } else { "b" };
        let file = if shape.is_multiple_of(2) { "hello-a" } else { "hello-b" };
        let mut toml = format!(
            "[gateway]\nworkers = {}\nwatch = \"0s\"\n\n[admin]\naddress = \"127.0.0.1:0\"\n\n[[listeners]]\n\
             address = \"127.0.0.1:0\"\ntls = {{ certificate = \"{certificate}.crt\", key = \"{certificate}.key\" }}\n",
            self.workers,
        );
        if shape == 5 {
            // A listener that comes and goes.
            toml.push_str("\n[[listeners]]\naddress = \"127.0.0.1:0\"\n");
        }
        writeln!(toml, "\n[components]\nhello.path = \"{file}.wasm\"")?;
        let (between, used): (_, &[&str]) = match shape {
            0 | 4 => ("", &[]),
            1 | 5 => ("{ component = \"security-headers\" },", &["security-headers"]),
            2 | 6 => ("{ component = \"pass-through-sync\" },", &["pass-through-sync"]),
            _ => (
                "{ component = \"pass-through-async\" }, { component = \"security-headers\" },",
                &["pass-through-async", "security-headers"],
            ),
        };
        for name in ["probe-middleware", "echo"].iter().chain(used) {
            writeln!(toml, "{name}.path = {:?}", self.components.join(format!("{name}.wasm")))?;
        }
        let stamp = |name: &str, value: u64, more: &str| {
            format!(
                "{{ component = \"probe-middleware\", grant = {{ env = {{}} }}, \
                 config = {{ name = \"{name}\", value = \"{value}\" }}{more} }}"
            )
        };
        let link = if shape == 6 { ", link = \"dynamic\"" } else { "" };
        writeln!(
            toml,
            "\n[pipelines.main]\nstages = [{}, {between} {}]\nservice = {{ component = \"hello\", config = {{ greeting = \
             \"{number}\" }} }}\n\n[pipelines.echo]\nstages = [{}]\nservice = {{ component = \"echo\" }}",
            stamp("outer", number, ""),
            stamp("inner", number, link),
            stamp("outer", shared(number), ""),
        )?;
        toml.push_str(
            "\n[[routes]]\npath = \"/echo\"\npipeline = \"echo\"\n\n[[routes]]\npipeline = \"main\"\n",
        );
        if shape == 3 {
            writeln!(
                toml,
                "\n[[routes]]\npath = \"/only/{number}\"\nhost = \"*.example.com\"\npipeline = \"echo\""
            )?;
        }
        Ok(toml)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What stays behind is in the system's temporary folder.
        let _ = fs::remove_dir_all(&self.path);
    }
}
