//! Every `tests/ui/*.toml`, and in the `.err` beside it the exact text of what is wrong with it. `BLESS=1` writes the
//! `.err` files anew; a change of theirs is then read like one of code.

use crate::harness::{binary, repository};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

fn bless() -> bool {
    std::env::var_os("BLESS").is_some_and(|value| value == "1")
}

fn folder() -> PathBuf {
    repository().join("tests/ui")
}

/// The files of `folder` that end in `extension`, sorted.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|found| found == extension));
    files.sort();
    files
}

#[test]
fn diagnostics_are_as_expected() {
    let files = files(&folder(), "toml");
    assert!(files.len() >= 50, "{} files", files.len());
    let mut wrong = String::new();
    for file in &files {
        let found = diagnostics(file);
        let expected = file.with_extension("err");
        if bless() {
            fs::write(&expected, &found).unwrap();
            continue;
        }
        let text = fs::read_to_string(&expected).unwrap_or_default();
        if text != found {
            writeln!(wrong, "{}:\n{}", expected.display(), diff(&text, &found)).unwrap();
        }
    }
    assert!(wrong.is_empty(), "not as expected (BLESS=1 writes what is found):\n\n{wrong}");
}

/// What `check` writes about `file`, without its last line, which only counts. It runs in the folder of the file, so
/// that the text is the same on every machine.
fn diagnostics(file: &Path) -> String {
    let name = file.file_name().unwrap().to_str().unwrap();
    let output = binary(&["check", name]).current_dir(file.parent().unwrap()).output().unwrap();
    let mut text = String::from_utf8(output.stderr).unwrap();
    match output.status.code() {
        Some(0) => assert!(!text.contains("error: "), "{name} was accepted, and has errors:\n{text}"),
        Some(1) => {
            let end = text.trim_end().rfind('\n').map_or(0, |at| at + 1);
            let summary = text.split_off(end);
            let count = text.lines().filter(|line| line.starts_with("error: ")).count();
            let plural = if count == 1 { "" } else { "s" };
            assert_eq!(summary, format!("{name}: {count} error{plural}\n"));
        }
        code => panic!("{name}: ended with {code:?}:\n{text}"),
    }
    let control = |c: char| c.is_control() && c != '\n';
    assert!(!text.contains(control), "{name}: a terminal would obey a part of this: {text:?}");
    text
}

/// The lines that differ, once what both begin and end with is left out.
fn diff(expected: &str, found: &str) -> String {
    let (expected, found): (Vec<_>, Vec<_>) = (expected.lines().collect(), found.lines().collect());
    let both = expected.len().min(found.len());
    let start = (0..both).take_while(|at| expected[*at] == found[*at]).count();
    let equal_from_end = |at: &usize| expected[expected.len() - 1 - at] == found[found.len() - 1 - at];
    let end = (0..both - start).take_while(equal_from_end).count();
    let lines =
        |sign: &str, lines: &[&str]| lines.iter().map(|line| format!("{sign} {line}\n")).collect::<String>();
    format!(
        "from line {}\n{}{}",
        start + 1,
        lines("-", &expected[start..expected.len() - end]),
        lines("+", &found[start..found.len() - end]),
    )
}

/// No file is left over from a configuration that is gone.
#[test]
fn each_expectation_has_its_configuration() {
    for file in files(&folder(), "err") {
        assert!(file.with_extension("toml").exists(), "{} belongs to nothing", file.display());
    }
}

/// The components there are what their texts say, so that a reader need not take a binary for granted.
#[test]
fn components_are_what_their_texts_say() {
    for text in files(&folder().join("files"), "wat") {
        let bytes = wat::parse_file(&text).unwrap();
        let file = text.with_extension("wasm");
        if bless() {
            fs::write(&file, &bytes).unwrap();
        }
        let same = fs::read(&file).unwrap() == bytes;
        assert!(same, "{} is not what its text says (BLESS=1 makes it anew)", file.display());
    }
}
