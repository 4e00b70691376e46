//! Component files that are none, and builds that panic: told as what they are, and never the end of what serves.

use crate::harness::{
    Client, Folder, Line, MS, Protocol, SOON, Seeded, binary, dist, repository, run, scaled, soon,
};
use crate::swap::support::{Served, head, pipeline};
use linkspan::chain::{Member, Naming, compose};
use linkspan::component::Component;
use linkspan::config::Diagnostics;
use linkspan::gateway::control::{Change, Control, Gather, Prepare};
use linkspan::gateway::inputs::{Inputs, Shapes, load_components};
use linkspan::gateway::{Live, Workshop, build};
use linkspan::plan::Plan;
use rustix::process::Signal;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// A component with a module of 32 bytes, of which 8 are there.
const CUT_SHORT: &[u8] = b"\0asm\x0d\0\x01\0\x01\x20\0asm\x01\0\0\0";

/// What is said of it.
const WHY: &str = "it is cut short: what begins at byte 10 needs 24 bytes more";

/// One pipeline, of a service whose file is in the same folder.
fn hello() -> String {
    format!(
        "[components.hello]\npath = \"hello.wasm\"\n\n{}[[routes]]\npipeline = \"main\"\n",
        pipeline("main", "", "component = \"hello\""),
    )
}

#[test]
fn a_component_that_is_cut_short_is_told_by_every_command() {
    let folder = Folder::new();
    let component = folder.write("hello.wasm", CUT_SHORT);
    let file =
        folder.write("linkspan.toml", format!("[[listeners]]\naddress = \"127.0.0.1:0\"\n\n{}", hello()));
    let (component, file) = (component.to_str().unwrap(), file.to_str().unwrap());
    let out = folder.path().join("out.wasm");
    let compose = ["compose", file, "--pipeline", "main", "-o", out.to_str().unwrap()];
    for arguments in [&["inspect", component][..], &["check", file], &["serve", file], &compose] {
        let output = binary(arguments).output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {told}");
        assert!(told.contains(WHY) && !told.contains("panicked"), "{arguments:?}: {told}");
    }
}

fn refused(line: &Line) -> bool {
    let text = line.to_string();
    text.contains("the configuration was refused") && text.contains(WHY)
}

#[test]
fn a_reload_of_a_component_that_is_cut_short_is_refused() {
    let folder = Folder::new();
    let good = std::fs::read(dist("hello")).unwrap();
    let component = folder.write("hello.wasm", &good);
    let served = Served::start_in(folder, &head("watch = \"50ms\"\n"), &hello());
    run(async {
        let mut client = Client::connect(&served.gateway, Protocol::Http1).await;
        client.get("/", &[]).await.ok();
        std::fs::write(&component, CUT_SHORT).unwrap();
        soon("the changed file is refused", || served.gateway.count(refused) == 1).await;
        client.get("/", &[]).await.ok();
        served.gateway.signal(Signal::HUP);
        soon("the reload of SIGHUP is refused", || served.gateway.count(refused) == 2).await;
        client.get("/", &[]).await.ok();
        assert_eq!(served.reload().await.0, 422);
        client.get("/", &[]).await.ok();
    });
    served.gateway.stop();
}

/// Everything that becomes of a component's bytes before they are compiled.
fn take_apart(bytes: Vec<u8>, next: &Component) {
    let Ok(component) = Component::from_bytes(Path::new("x.wasm"), bytes.into(), |_| None) else { return };
    let forms = [Some(component.clone()), component.relift().ok().map(|(rewritten, _)| rewritten)];
    for component in forms.iter().flatten() {
        for naming in [Naming::PerStage, Naming::Portable] {
            let alone = Member { index: 0, component };
            let _ = compose(&[alone], naming);
            let _ = compose(&[alone, Member { index: 1, component: next }], naming);
        }
    }
}

/// All of our own components, cut short and with bytes changed.
#[test]
fn no_change_of_a_component_panics() {
    let next = Component::load(&dist("hello")).unwrap();
    let mut files: Vec<_> = std::fs::read_dir(repository().join("components/dist"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.metadata().unwrap().len() < 1 << 20)
        .collect();
    files.sort();
    let mut seeded = Seeded(12);
    for file in files {
        let whole = std::fs::read(&file).unwrap();
        for _ in 0..scaled(20, 1_000) {
            let cut = seeded.below(whole.len());
            take_apart(whole[..cut].to_vec(), &next);
            let mut changed = whole.clone();
            for _ in 0..=seeded.below(3) {
                changed[seeded.below(whole.len())] = u8::try_from(seeded.below(256)).unwrap();
            }
            take_apart(changed, &next);
        }
    }
}

/// What a gateway is built from, of a file of this repository.
fn gathered(file: &Path) -> Result<(Inputs, Diagnostics), Diagnostics> {
    let (plan, mut found) = linkspan::plan::load(file)?;
    let components = load_components(&plan, &Shapes::default(), &mut found);
    Ok((Inputs::bare(plan, components), found))
}

/// Whether a reload panics, and in which of its steps.
#[derive(Default)]
struct Panics {
    reading: AtomicBool,
    preparing: AtomicBool,
}

#[test]
fn a_build_that_panics_leaves_the_live_generation() {
    let folder = Folder::new();
    folder.write("hello.wasm", std::fs::read(dist("hello")).unwrap());
    let text = |port: u16| format!("[[listeners]]\naddress = \"127.0.0.1:{port}\"\n\n{}", hello());
    let file = folder.write("linkspan.toml", text(1));
    let workshop = Arc::new(Workshop::default());
    let (inputs, _) = gathered(&file).unwrap();
    let generation = build(&inputs, &workshop).map_err(|found| found.to_string()).ok().unwrap();
    let live = Arc::new(Live::new(generation));
    let panics = Arc::new(Panics::default());
    let (reading, preparing) = (Arc::clone(&panics), Arc::clone(&panics));
    let gather: Gather = Box::new(move |file, _| {
        assert!(!reading.reading.load(Ordering::Relaxed), "a defect while it reads");
        Ok(gathered(file)?)
    });
    let prepare: Prepare = Box::new(move |_: &Plan, _: &mut Diagnostics| {
        assert!(!preparing.preparing.load(Ordering::Relaxed), "a defect while it listens");
        Some(Box::new(|| ()))
    });
    let control = Control::new(Arc::clone(&live), workshop, inputs, gather, prepare);
    let number = || live.load().number;
    assert_eq!(number(), 1);

    for (switch, defect) in
        [(&panics.reading, "a defect while it reads"), (&panics.preparing, "a defect while it listens")]
    {
        std::fs::write(&file, text(2)).unwrap();
        switch.store(true, Ordering::Relaxed);
        for trigger in ["file", "signal", "admin"] {
            let outcome = control.reload(trigger);
            let Change::Refused(found) = outcome.result else { panic!("{trigger}: {outcome:?}") };
            let found = found.to_string();
            assert!(found.contains(defect) && found.contains("a defect of linkspan"), "{trigger}: {found}");
            assert_eq!((outcome.generation, number()), (1, 1), "{trigger}");
        }
        switch.store(false, Ordering::Relaxed);
    }
    // Nothing is stuck, and nothing was taken for known.
    let start = Instant::now();
    assert!(matches!(control.reload("signal").result, Change::Swapped { .. }));
    panics.preparing.store(true, Ordering::Relaxed);
    assert!(matches!(control.rollback().result, Change::Refused(_)));
    panics.preparing.store(false, Ordering::Relaxed);
    assert!(
        matches!(control.rollback().result, Change::Swapped { .. }),
        "what was there before is still known"
    );
    while control.look_after_retired() > 0 {
        assert!(start.elapsed() < SOON, "a generation does not end");
        std::thread::sleep(10 * MS);
    }
}
