//! Compiled compositions, kept so that nothing is composed or compiled twice.
//!
//! The cache is in memory, for configurations that come back within the life of the process, and, in the cache folder,
//! on disk, for a start that need not compile at all. The key is the hash of everything that is composed (the
//! components, their places, and the method: [`COMPOSITION`], and the glue of the direct form) and of everything in the
//! engine that affects the code (Wasmtime's version, its settings, the CPU).
//!
//! Pipelines of the same components, each with its own configuration, run the same code: the code is in memory once for
//! an engine, as long as a segment has it.
//!
//! Compiled code is run without being checked, so the loaded code must be the stored code. The folder must belong to
//! this user and be writable to nobody else, or it is not used. Each file begins with the hash of its content and of
//! its key, so that a file that was damaged, truncated or renamed is compiled again. Files are written under another
//! name first and never seen half-written.
//!
//! Bounds: [`MAX_MEMORY`] bytes in memory, and the configured size on disk; the entries that were unused for the
//! longest time are dropped. The folder may be emptied at any time.

use super::compose::{COMPOSITION, Composed, Member, Places};
use super::form::{self, DirectCode};
use crate::component::Digest;
use crate::direct;
use crate::files;
use crate::plan::{CompileCache, Form, Gateway};
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::hash::{Hash, Hasher};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};
use std::time::SystemTime;
use wasmtime::component::Component;
use wasmtime::{Engine, Module};

/// Bytes of compiled code that are kept in memory.
const MAX_MEMORY: usize = 256 << 20;

/// Largest file of compiled code that is read, in bytes.
const MAX_CODE: u64 = 1 << 30;

/// The first bytes of a file: its format.
const MAGIC: &[u8; 16] = b"linkspan-code-3\n";

/// Why a folder can't be used as a cache.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// It can't be made or looked at.
    #[error("cannot use `{path}`: {source}")]
    Io {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Somebody else could put code into it.
    #[error("`{0}` can be written by others than the user that linkspan runs as")]
    Unsafe(PathBuf),
}

/// A composition, compiled.
pub struct Code {
    /// What can be instantiated.
    pub component: Component,
    /// Where in it each component is.
    pub places: Places,
    /// The same stages in the direct form.
    pub direct: DirectCode,
}

/// Compiled compositions.
#[derive(Default)]
pub struct Cache {
    memory: Mutex<Memory>,
    running: Mutex<HashMap<Digest, Vec<Weak<Code>>>>,
    disk: Option<Disk>,
}

/// A folder with compiled code.
struct Disk {
    folder: PathBuf,
    /// Bytes that its files may have together.
    most: u64,
}

#[derive(Default)]
struct Memory {
    code: HashMap<Digest, (u64, Arc<[u8]>)>,
    bytes: usize,
    /// Counts uses, to tell the oldest.
    uses: u64,
}

impl Cache {
    /// A cache that also keeps compiled code in `folder`, which is made if it is not there, up to `most` bytes.
    ///
    /// # Errors
    /// See [`CacheError`].
    pub fn on_disk(folder: &Path, most: u64) -> Result<Self, CacheError> {
        use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
        let io = |source| CacheError::Io { path: folder.to_owned(), source };
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true).mode(0o700).create(folder).map_err(io)?;
        let metadata = std::fs::metadata(folder).map_err(io)?;
        let own = metadata.uid() == rustix::process::geteuid().as_raw();
        if !metadata.is_dir() || !own || metadata.mode() & 0o022 != 0 {
            return Err(CacheError::Unsafe(folder.to_owned()));
        }
        Ok(Self { disk: Some(Disk { folder: folder.to_owned(), most }), ..Self::default() })
    }

    /// The cache of a configuration, for a program that keeps one by default: a folder that the configuration names
    /// must be usable; without the default folder, there is no cache on disk.
    ///
    /// # Errors
    /// See [`CacheError`].
    pub fn of(gateway: &Gateway) -> Result<Self, CacheError> {
        match &gateway.compile_cache {
            CompileCache::Off => Ok(Self::default()),
            CompileCache::Folder(folder) => Self::on_disk(folder, gateway.compile_cache_size),
            CompileCache::Usual => {
                let Some(folder) = usual_folder(|name| std::env::var_os(name)) else {
                    return Ok(Self::default());
                };
                Ok(Self::on_disk(&folder, gateway.compile_cache_size).unwrap_or_else(|error| {
                    tracing::info!(%error, "compiled components are not kept over restarts");
                    Self::default()
                }))
            }
        }
    }

    /// The code of `members` for `engine`, in the direct form too if `form` permits it; `None` if it is not in the
    /// cache.
    pub fn load(&self, engine: &Engine, members: &[Member<'_>], form: Form) -> Option<Arc<Code>> {
        let key = key(engine, members, form);
        if let Some(code) = self.running(engine, &key) {
            return Some(code);
        }
        let entry = self.recall(&key).or_else(|| self.read(&key))?;
        match decode(engine, members, form, &entry) {
            Ok(code) => {
                self.remember(key, entry);
                Some(self.run(key, code))
            }
            Err(error) => {
                tracing::warn!(%key, %error, "cached code can't be used; compiling again");
                None
            }
        }
    }

    /// Compiles `composed`, which was made of `members`, for `engine`, and `members` with `form` if they may have it.
    ///
    /// # Errors
    /// What Wasmtime says of the component. A cache that fails costs time only.
    pub fn compile(
        &self,
        engine: &Engine,
        members: &[Member<'_>],
        composed: Composed,
        form: Form,
    ) -> wasmtime::Result<Arc<Code>> {
        let component = Component::new(engine, &composed.bytes)?;
        let key = key(engine, members, form);
        let mut modules = Vec::new();
        let direct = form::code(engine, members, form, |bytes| {
            let module = Module::new(engine, bytes)?;
            modules.push(module.clone());
            Ok(module)
        });
        match encode(&component, &composed.places, &modules) {
            Ok(entry) => {
                if let Err(error) = self.write(&key, &entry) {
                    tracing::warn!(%error, "compiled code can't be kept");
                }
                self.remember(key, entry.into());
            }
            Err(error) => tracing::warn!(%error, "compiled code can't be kept"),
        }
        Ok(self.run(key, Code { component, places: composed.places, direct }))
    }

    /// The code with the key `key`, if a segment of `engine` runs it.
    fn running(&self, engine: &Engine, key: &Digest) -> Option<Arc<Code>> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let mut known = running.get(key)?.iter().filter_map(Weak::upgrade);
        known.find(|code| Engine::same(code.component.engine(), engine))
    }

    /// Remembers code that is about to run, and forgets code that no segment runs any more.
    fn run(&self, key: Digest, code: Code) -> Arc<Code> {
        let code = Arc::new(code);
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.retain(|_, codes| {
            codes.retain(|code| code.strong_count() > 0);
            !codes.is_empty()
        });
        running.entry(key).or_default().push(Arc::downgrade(&code));
        code
    }

    fn recall(&self, key: &Digest) -> Option<Arc<[u8]>> {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.uses += 1;
        let now = memory.uses;
        let (used, code) = memory.code.get_mut(key)?;
        *used = now;
        Some(Arc::clone(code))
    }

    fn remember(&self, key: Digest, code: Arc<[u8]>) {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.uses += 1;
        let now = memory.uses;
        memory.bytes += code.len();
        if let Some((_, old)) = memory.code.insert(key, (now, code)) {
            memory.bytes -= old.len();
        }
        while memory.bytes > MAX_MEMORY && memory.code.len() > 1 {
            let oldest = memory.code.iter().min_by_key(|(_, (used, _))| *used).map(|(key, _)| *key);
            let Some((_, old)) = oldest.and_then(|key| memory.code.remove(&key)) else { break };
            memory.bytes -= old.len();
        }
    }

    /// The code in the file of `key`, if it is what was written there.
    fn read(&self, key: &Digest) -> Option<Arc<[u8]>> {
        let path = self.disk.as_ref()?.folder.join(key.to_string());
        let file = files::read(&path, MAX_CODE).ok()??;
        let rest = file.strip_prefix(MAGIC)?;
        let (hash, code) = rest.split_at_checked(32)?;
        if hash != seal(key, code) {
            tracing::warn!(%key, "a file of the compile cache was changed; compiling again");
            return None;
        }
        // A recent time keeps a used file. This fails on a read-only file system, where nothing is removed either.
        let _ = std::fs::File::open(&path).and_then(|file| file.set_modified(SystemTime::now()));
        Some(code.into())
    }

    fn write(&self, key: &Digest, code: &[u8]) -> std::io::Result<()> {
        use std::os::unix::fs::OpenOptionsExt as _;
        let Some(Disk { folder, most }) = &self.disk else { return Ok(()) };
        if (MAGIC.len() + 32 + code.len()) as u64 > *most {
            return Ok(());
        }
        let unfinished = folder.join(format!("{key}.{}", std::process::id()));
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
        file.write_all(MAGIC)?;
        file.write_all(&seal(key, code))?;
        file.write_all(code)?;
        drop(file);
        std::fs::rename(&unfinished, folder.join(key.to_string()))?;
        trim(folder, *most)
    }
}

/// Where a program of this user keeps what it can make again: the folder that systemd made for the service
/// (`CacheDirectory=`), else that of the XDG Base Directory Specification.
fn usual_folder(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let absolute = |name| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    // systemd separates several folders by colons.
    let service = variable("CACHE_DIRECTORY").and_then(|all| std::env::split_paths(&all).next());
    service.filter(|path| path.is_absolute()).or_else(|| {
        let user = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")));
        Some(user?.join("linkspan"))
    })
}

/// Removes the files that were not used for the longest time, until `folder` has at most `most` bytes. Files with other
/// names than ours are left alone; unfinished ones of processes that ended count, too.
fn trim(folder: &Path, most: u64) -> std::io::Result<()> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        // Another process may have removed it.
        let Ok(metadata) = entry.metadata() else { continue };
        if is_ours(&entry.file_name()) && metadata.is_file() {
            files.push((metadata.modified()?, metadata.len(), entry.path()));
        }
    }
    let mut bytes: u64 = files.iter().map(|(_, length, _)| length).sum();
    files.sort();
    for (_, length, path) in files {
        if bytes <= most {
            break;
        }
        // A process that has the file open can still read it.
        let _ = std::fs::remove_file(path);
        bytes -= length;
    }
    Ok(())
}

/// Whether a file is named by a digest, as a cache's files are.
fn is_ours(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    name.len() >= 64 && name[..64].iter().all(u8::is_ascii_hexdigit)
}

/// Binds a file's content to its name.
fn seal(key: &Digest, code: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(key.0).chain_update(code).finalize().into()
}

/// What tells the glue of one version of linkspan from that of another.
static GLUE: LazyLock<Vec<u8>> = LazyLock::new(direct::sample);

fn key(engine: &Engine, members: &[Member<'_>], form: Form) -> Digest {
    struct Sha(Sha256);
    impl Hasher for Sha {
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }
        fn finish(&self) -> u64 {
            0
        }
    }
    let mut sha = Sha(Sha256::new());
    (env!("CARGO_PKG_VERSION"), COMPOSITION, form).hash(&mut sha);
    GLUE.hash(&mut sha);
    engine.precompile_compatibility_hash().hash(&mut sha);
    for member in members {
        (member.index, member.form()).hash(&mut sha);
    }
    Digest(sha.0.finalize().into())
}

/// The places as text, the code, and that of the modules of the direct form, each after its length.
fn encode(component: &Component, places: &Places, modules: &[Module]) -> wasmtime::Result<Vec<u8>> {
    let mut parts = vec![serde_json::to_vec(places)?, component.serialize()?];
    for module in modules {
        parts.push(module.serialize()?);
    }
    let mut entry = Vec::with_capacity(parts.iter().map(|part| 8 + part.len()).sum());
    for part in parts {
        entry.extend_from_slice(&(part.len() as u64).to_le_bytes());
        entry.extend_from_slice(&part);
    }
    Ok(entry)
}

/// The next part of `entry`.
fn part<'e>(entry: &mut &'e [u8]) -> wasmtime::Result<&'e [u8]> {
    let cut_short = || wasmtime::format_err!("it is cut short");
    let (length, rest) = entry.split_first_chunk().ok_or_else(cut_short)?;
    let length = usize::try_from(u64::from_le_bytes(*length))?;
    let (part, rest) = rest.split_at_checked(length).ok_or_else(cut_short)?;
    *entry = rest;
    Ok(part)
}

fn decode(engine: &Engine, members: &[Member<'_>], form: Form, mut entry: &[u8]) -> wasmtime::Result<Code> {
    let places = serde_json::from_slice(part(&mut entry)?)?;
    let code = part(&mut entry)?;
    #[expect(unsafe_code, reason = "Wasmtime can't check compiled code")]
    // SAFETY: the code came from `Component::serialize`, in this process, or in one
    // of the same user through a folder that only this user can write; its seal was checked. Wasmtime itself checks
    // that the engine is the same.
    let component = unsafe { Component::deserialize(engine, code) }?;
    let mut fits = true;
    let direct = form::code(engine, members, form, |_| {
        #[expect(unsafe_code, reason = "Wasmtime can't check compiled code")]
        // SAFETY: as above; the modules are asked for in the order in which they were compiled.
        let module = part(&mut entry).and_then(|code| unsafe { Module::deserialize(engine, code) });
        fits &= module.is_ok();
        module
    });
    // Another version may have had another opinion of which components can have the direct form.
    if !fits || !entry.is_empty() {
        wasmtime::bail!("its modules are others");
    }
    Ok(Code { component, places, direct })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("linkspan-cache-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        folder
    }

    #[test]
    fn running_code_is_there_once_for_an_engine() {
        let (cache, engine) = (Cache::default(), Engine::default());
        let composed =
            Composed { bytes: wat::parse_str("(component)").expect("a component"), places: Places::new() };
        let first = cache.compile(&engine, &[], composed, Form::Component).expect("code");
        let second = cache.load(&engine, &[], Form::Component).expect("the same");
        assert!(Arc::ptr_eq(&first, &second));
        let other = Engine::default();
        let third = cache.load(&other, &[], Form::Component).expect("code for another engine");
        assert!(!Arc::ptr_eq(&first, &third) && Engine::same(third.component.engine(), &other));
        drop((first, second, third));
        let count = |cache: &Cache| cache.running.lock().expect("a lock").values().flatten().count();
        let _again = cache.load(&engine, &[], Form::Component).expect("code");
        assert_eq!(count(&cache), 1, "what does not run is forgotten");
    }

    #[test]
    fn changed_files_are_not_read() {
        let folder = folder("changed");
        let cache = Cache::on_disk(&folder, 1 << 20).expect("a cache");
        let (key, other) = (Digest([1; 32]), Digest([2; 32]));
        cache.write(&key, b"some code").expect("a file");
        assert_eq!(cache.read(&key).as_deref(), Some(&b"some code"[..]));
        // Renamed.
        std::fs::copy(folder.join(key.to_string()), folder.join(other.to_string())).expect("a copy");
        assert_eq!(cache.read(&other), None);
        // Changed, and cut short.
        let mut bytes = std::fs::read(folder.join(key.to_string())).expect("the file");
        *bytes.last_mut().expect("bytes") ^= 1;
        std::fs::write(folder.join(key.to_string()), &bytes).expect("written");
        assert_eq!(cache.read(&key), None);
        std::fs::write(folder.join(key.to_string()), &bytes[..20]).expect("written");
        assert_eq!(cache.read(&key), None);
        std::fs::remove_dir_all(&folder).expect("removed");
    }

    #[test]
    fn a_folder_that_others_can_write_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = folder("open");
        std::fs::create_dir(&folder).expect("a folder");
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o777)).expect("set");
        assert!(matches!(Cache::on_disk(&folder, 1 << 20), Err(CacheError::Unsafe(_))));
        std::fs::remove_dir_all(&folder).expect("removed");
    }

    #[test]
    fn what_was_not_used_for_long_goes_first() {
        let folder = folder("trimmed");
        let (head, code) = (MAGIC.len() as u64 + 32, [7; 100]);
        // Two fit, three do not.
        let cache = Cache::on_disk(&folder, 3 * (head + 100) - 1).expect("a cache");
        std::fs::write(folder.join("notes.txt"), [0; 1000]).expect("somebody else's file");
        let keys = [1, 2, 3].map(|number| Digest([number; 32]));
        let used = |key: &Digest, ago: u64| {
            let file = std::fs::File::open(folder.join(key.to_string())).expect("a file");
            file.set_modified(SystemTime::now() - std::time::Duration::from_secs(ago)).expect("a time");
        };
        cache.write(&keys[0], &code).expect("written");
        cache.write(&keys[1], &code).expect("written");
        used(&keys[0], 200);
        used(&keys[1], 100);
        assert!(cache.read(&keys[0]).is_some(), "and so used now");
        cache.write(&keys[2], &code).expect("written");
        assert_eq!(keys.map(|key| cache.read(&key).is_some()), [true, false, true]);
        // An entry that is too large by itself is not written, and no other entry is dropped for it.
        cache.write(&Digest([4; 32]), &[0; 1000]).expect("left out");
        assert_eq!(keys.map(|key| cache.read(&key).is_some()), [true, false, true]);
        assert!(folder.join("notes.txt").exists() && cache.read(&Digest([4; 32])).is_none());
        std::fs::remove_dir_all(&folder).expect("removed");
    }

    #[test]
    fn the_usual_folder_is_the_services_or_the_users() {
        let folder = |pairs: &[(&str, &str)]| {
            usual_folder(|name| pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into()))
        };
        let user = ("HOME", "/home/a");
        assert_eq!(folder(&[user]), Some("/home/a/.cache/linkspan".into()));
        assert_eq!(folder(&[user, ("XDG_CACHE_HOME", "/c")]), Some("/c/linkspan".into()));
        assert_eq!(
            folder(&[user, ("XDG_CACHE_HOME", "not/absolute")]),
            Some("/home/a/.cache/linkspan".into())
        );
        assert_eq!(folder(&[user, ("CACHE_DIRECTORY", "/var/cache/l:/other")]), Some("/var/cache/l".into()));
        assert_eq!(folder(&[]), None);
    }
}
