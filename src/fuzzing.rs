//! What is fuzzed. A target is one function: it takes any bytes, and panics where linkspan does not do what it
//! promises.
//!
//! `fuzz/` runs each under libFuzzer; the unit tests below run each on its corpus and on changes of it that follow from
//! a seed. Targets stand in the rooms whose private parts they use, all others here. Each is called by its own name and by
//! no table, so that a fuzzer's program has the code of one target alone. None of it is in a product.

use crate::chain::{Member, Naming, compose};
use crate::component::Component;
use crate::component::flatten::{self as evaluation, Item};
use crate::host::{Counters, Next, Scope, StageScope};
use crate::stores::{KeyBound, Limiter};
use std::path::Path;
use std::sync::{Arc, LazyLock};

pub use crate::admin::fuzzing::run as admin;
pub use crate::host::fuzzing::run as fields;
pub use crate::http::fuzzing::run as paths;
pub use crate::net::conn::http1::fuzzing::run as wire;
pub use crate::net::conn::http2::frames::fuzzing::run as frames;
pub use crate::net::conn::proxy_protocol::fuzzing::run as proxy;
pub use crate::net::handover::fuzzing::run as handover;
pub use crate::telemetry::trace::fuzzing::run as trace;

/// The canonical functions of the direct form: see [`crate::direct::fuzzing`].
pub fn canonical(data: &[u8]) {
    static SCOPES: LazyLock<[Scope; 3]> = LazyLock::new(|| {
        // Any file will do: it is not read.
        let file = std::env::current_exe().expect("a program");
        let text = format!(
            "[[listeners]]\naddress = \"127.0.0.1:0\"\n[components.a]\npath = {:?}\n[pipelines.a]\n\
             stages = [{{ component = \"a\", config = {{ a = \"b\" }} }}, {{ component = \"a\" }}]\n\
             service = {{ component = \"a\" }}\n[[routes]]\npipeline = \"a\"\n",
            file.display().to_string(),
        );
        let (plan, _) =
            crate::plan::parse(Path::new("/nowhere/fuzzed.toml"), &text, &|_| None).expect("a plan");
        let stages: Vec<_> = plan.pipelines[0].all_stages().collect();
        std::array::from_fn(|index| {
            let limiter = Arc::new(Limiter::new(KeyBound::new(16)));
            let next: Next = Arc::new(|_, body, _| Box::pin(async move { Ok(http::Response::new(body)) }));
            let calls = vec![("a".to_owned(), next)];
            Arc::new(
                StageScope::new(stages[index], Counters::apart(limiter), calls, Arc::default())
                    .map_err(|(_, error)| error)
                    .expect("a scope"),
            )
        })
    });
    crate::direct::fuzzing::run(data, &SCOPES);
}

/// A component file: inspected, adapted where it is of a release candidate, rewritten, and composed with itself.
pub fn component(data: &[u8]) {
    let Ok(component) = Component::from_bytes(Path::new("fuzzed.wasm"), data.into(), |_| None) else {
        return;
    };
    let rewritten = component.relift().ok().map(|(rewritten, _)| rewritten);
    for component in [Some(&component), rewritten.as_ref()].into_iter().flatten() {
        for naming in [Naming::PerStage, Naming::Portable] {
            for length in [1, 2] {
                let members: Vec<_> = (0..length).map(|index| Member { index, component }).collect();
                if let Err(error) = compose(&members, naming) {
                    assert!(!error.message.contains("panicked"), "{error}");
                }
            }
        }
    }
}

/// A component, evaluated: what it names is there, and a composition of it with itself is twice what it is alone.
pub fn flatten(data: &[u8]) {
    let Ok(flat) = evaluation::flatten(data) else { return };
    let assert_there = |item: &Item<'_>| match item {
        Item::Canonical(canonical) => assert!(*canonical < flat.canonicals.len()),
        Item::Export { instance, name } => {
            let module = &flat.modules[flat.instances[*instance].module];
            assert!(module.exports.iter().any(|export| export.name == *name), "{name}");
        }
    };
    for instance in &flat.instances {
        assert_eq!(instance.imports.len(), flat.modules[instance.module].imports.len());
        instance.imports.iter().for_each(assert_there);
    }
    flat.lifts.iter().for_each(|lift| assert_there(&lift.core));
    let Ok(component) = Component::from_bytes(Path::new("fuzzed.wasm"), data.into(), |_| None) else {
        return;
    };
    if component.bytes[..] != *data {
        return;
    }
    let members: Vec<_> = (0..2).map(|index| Member { index, component: &component }).collect();
    if let Ok(composition) = compose(&members, Naming::Portable) {
        let composed = evaluation::flatten(&composition.bytes).expect("both of it were understood");
        assert_eq!(composed.parts, 2 * flat.parts);
        assert_eq!(composed.instances.len(), 2 * flat.instances.len());
    }
}

/// A configuration: to a plan, or to findings that can be shown; and without its secrets, for the admin listener.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = crate::admin::redacted(text);
    // What OpenTelemetry's variables say is not about the text.
    let env = |name: &str| (!name.is_empty() && !name.starts_with("OTEL_")).then(|| "value".to_owned());
    let found = match crate::plan::parse(Path::new("/nowhere/fuzzed.toml"), text, &env) {
        Ok((plan, warnings)) => {
            assert!(!plan.called_first().is_empty() || plan.pipelines.is_empty());
            let _ = crate::gateway::Router::new(&plan.routes);
            warnings
        }
        Err(found) => {
            assert!(found.has_errors(), "refused without a reason");
            found
        }
    };
    let shown = found.to_string();
    assert_eq!(shown.is_empty(), found.is_empty());
    let _ = found.to_json();
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::path::PathBuf;
    use std::time::{Duration, Instant};

    /// A target's name, which its corpus has too, and what it does with some bytes.
    type Target = (&'static str, fn(&[u8]));

    const TARGETS: [Target; 12] = [
        ("admin", super::admin),
        ("canonical", super::canonical),
        ("component", super::component),
        ("config", super::config),
        ("fields", super::fields),
        ("flatten", super::flatten),
        ("frames", super::frames),
        ("handover", super::handover),
        ("paths", super::paths),
        ("proxy", super::proxy),
        ("trace", super::trace),
        ("wire", super::wire),
    ];

    /// Bytes that mean something in many a format.
    const ODD: &[u8] = b"\0\r\n\t:/.%;,= -@[]\"\\\xff\x7f\x80\x0109aFZ";

    /// SplitMix64.
    struct Seeded(u64);

    impl Seeded {
        fn next(&mut self) -> u64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ (mixed >> 31)
        }

        fn below(&mut self, bound: usize) -> usize {
            (self.next() % bound.max(1) as u64) as usize
        }
    }

    fn corpus(name: &str) -> Vec<Vec<u8>> {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
        let entries = std::fs::read_dir(&folder).expect("every target has a corpus");
        let mut files: Vec<_> = entries.map(|entry| entry.expect("a file").path()).collect();
        files.sort();
        assert!(!files.is_empty(), "every target has a corpus");
        files.iter().map(|file| std::fs::read(file).expect("a file")).collect()
    }

    /// One of `corpus`, changed in a few places, and now and then with a part of another one.
    fn change(corpus: &[Vec<u8>], seeded: &mut Seeded) -> Vec<u8> {
        let mut bytes = corpus[seeded.below(corpus.len())].clone();
        for _ in 0..=seeded.below(4) {
            let at = seeded.below(bytes.len());
            match seeded.below(7) {
                _ if bytes.is_empty() => bytes.push(seeded.next() as u8),
                0 => bytes[at] ^= 1 << seeded.below(8),
                1 => bytes[at] = seeded.next() as u8,
                2 => bytes.insert(at, ODD[seeded.below(ODD.len())]),
                3 => bytes.truncate(at),
                4 => {
                    let end = (at + 1 + seeded.below(8)).min(bytes.len());
                    bytes.drain(at..end);
                }
                5 => {
                    let end = (at + 1 + seeded.below(16)).min(bytes.len());
                    let again = bytes[at..end].to_vec();
                    bytes.splice(at..at, again);
                }
                _ => {
                    let other = &corpus[seeded.below(corpus.len())];
                    let from = seeded.below(other.len());
                    let end = (from + seeded.below(32)).min(other.len());
                    bytes.splice(at..at, other[from..end].iter().copied());
                }
            }
        }
        bytes
    }

    /// The corpus of the target called `name`, and so many changes of it: more, or for so many seconds, with
    /// `LINKSPAN_FUZZ_RUNS` and `LINKSPAN_FUZZ_SECONDS`.
    fn fuzz(name: &str, runs: u64) {
        let (_, run) = TARGETS.iter().find(|(known, _)| *known == name).expect("a target");
        let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
        let runs = number("LINKSPAN_FUZZ_RUNS").unwrap_or(runs);
        let time = number("LINKSPAN_FUZZ_SECONDS").map_or(Duration::MAX, Duration::from_secs);
        let mut seeded = Seeded(number("LINKSPAN_FUZZ_SEED").unwrap_or(1));
        let tried = |bytes: &[u8]| {
            let shown = || bytes.escape_ascii().to_string();
            assert!(
                catch_unwind(AssertUnwindSafe(|| run(bytes))).is_ok(),
                "{name} fails for b\"{}\"",
                shown()
            );
        };
        let corpus = corpus(name);
        corpus.iter().for_each(|bytes| tried(bytes));
        let (start, mut count) = (Instant::now(), 0);
        while count < runs && (count % 64 != 0 || start.elapsed() < time) {
            tried(&change(&corpus, &mut seeded));
            count += 1;
        }
        println!("{name}: {count} executions in {:?}", start.elapsed());
    }

    #[test]
    fn admin() {
        fuzz("admin", 2_000);
    }

    #[test]
    fn canonical_functions() {
        fuzz("canonical", 5_000);
    }

    #[test]
    fn components() {
        fuzz("component", 500);
    }

    #[test]
    fn configurations() {
        fuzz("config", 500);
    }

    #[test]
    fn fields() {
        fuzz("fields", 5_000);
    }

    #[test]
    fn flattened() {
        fuzz("flatten", 500);
    }

    #[test]
    fn frames() {
        fuzz("frames", 5_000);
    }

    #[test]
    fn handover() {
        fuzz("handover", 500);
    }

    #[test]
    fn paths() {
        fuzz("paths", 5_000);
    }

    #[test]
    fn trace_context() {
        fuzz("trace", 20_000);
    }

    #[test]
    fn proxy() {
        fuzz("proxy", 5_000);
    }

    #[test]
    fn wire() {
        fuzz("wire", 2_000);
    }

    /// Each has a file for libFuzzer.
    #[test]
    fn libfuzzer_has_them_all() {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz");
        let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).expect("a manifest");
        for (name, _) in TARGETS {
            assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
            let file = std::fs::read_to_string(folder.join(format!("targets/{name}.rs"))).expect("a file");
            assert!(file.contains(&format!("fuzzing::{name}(data)")), "{name}");
        }
    }
}
